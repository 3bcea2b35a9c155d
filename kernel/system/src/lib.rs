// SPDX-License-Identifier: MIT OR Apache-2.0

//! The memory system as a whole: the zone, the areas in it, the devices that use them, and the
//! buffers that outlive the command that made them.
//!
//! It has the calls of users: `cma_alloc` and `cma_release`. Exclusive access (`&mut`) takes the
//! place of the locks of `mm/cma.c` and `mm/page_alloc.c`: there is one processor, and interrupt
//! handlers do not allocate.
//!
//! Invariants: a page of an area is in exactly one place ([`System::check`]); a buffer is owned by
//! its holder, or is in the registry with an ID; a failed allocation takes back what it did, except
//! for counters and what `migration`'s `undo` lists.
//!
//! # Example
//! A zone of four pageblocks, two of them an area:
//! ```
//! use cma::{CmaError, align_order_of};
//! use page_alloc::zone::{Zone, descriptors};
//! use page_alloc::{PAGEBLOCK_PAGES, Page};
//! use system::System;
//! use units::Pfn;
//!
//! let mut pages = vec![Page::default(); descriptors(4 * PAGEBLOCK_PAGES)];
//! let mut zone = Zone::new(Pfn(0x60000), &mut pages);
//! zone.free_range(Pfn(0x60000), 2 * PAGEBLOCK_PAGES);
//! let mut system = System::new(zone, Vec::new());
//! let area = system.activate_area("camera".into(), Pfn(0x60800), 2 * PAGEBLOCK_PAGES, true);
//!
//! let small = system.cma_alloc(area, 5, align_order_of(5)).unwrap();
//! let other = system.cma_alloc(area, 7, 0).unwrap();
//! let id = system.keep(other);
//! system.cma_release(small).unwrap();
//! assert_eq!((system.release_all(area), system.take_back(id)), (1, None));
//! system.check().unwrap();
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod alloc_story;
pub mod board;
mod dma;
mod owners;
pub mod plan;
mod registry;
mod relocate;
#[cfg(test)]
mod tests;

pub use alloc_story::{CmaSearch, Reported};
pub use dma::Leaked;
pub use owners::{MAX_OWNERS, OwnerId, Relocatable, StillBusy};
pub use plan::{MAX_LOOKS, ROUNDS, WINDOWS};
pub use registry::Kept;
pub use relocate::{MAX_MOVABLE, MAX_PLANS};

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use ::dma::{DeviceId, Dma};
use block::{BlockDevice, Disk};
use cma::area::Area;
use cma::{AreaId, AreaUser, Areas, Buffer};
use migration::live::source::PageSource;
use migration::live::space::{AddressSpace, OwnedFrame};
use migration::live::stats::Stats;
use migration::live::watch::FrameWatch;
use migration::live::{Live, Mm, OpenError, close};
use migration::trace::{Event, Trace};
use owners::Owners;
use page_alloc::policy::{CmaUse, Lend};
use page_alloc::zone::Zone;
use page_alloc::{HeldBuffer, Imbalance, balance};
use registry::Registry;
use units::Pfn;
use units::linux::LinuxVersion;

/// The page allocator, the CMA areas, and their users.
pub struct System<'m> {
    /// The page allocator.
    zone: Zone<'m>,
    areas: Areas,
    kept: Registry,
    /// The owners of relocatable buffers.
    owners: Owners,
    /// The machine's address space, while no users of memory have it.
    space: Option<Box<dyn AddressSpace>>,
    /// The disk, while no page cache is on it.
    disk: Option<Box<dyn PageSource>>,
    /// The disk's device ID in the DMA API.
    disk_device: Option<DeviceId>,
    /// The users of memory, while they are open.
    live: Option<Box<Live>>,
    /// The counters of earlier users of memory.
    past: Stats,
    /// The last stamp of a page's content: the contents that earlier users left differ from later
    /// ones.
    last_stamp: u32,
    /// The version of Linux that is modelled.
    linux: LinuxVersion,
    /// The ring of trace events.
    trace: Trace,
    /// The state of the DMA API.
    dma: Dma,
    /// Invariants are checked after every command (`check=on`).
    check_enabled: bool,
}

impl<'m> System<'m> {
    /// Makes a system without areas over a zone, whose free memory has been added.
    pub fn new(zone: Zone<'m>, area_users: Vec<AreaUser>) -> Self {
        Self::with_areas(zone, Areas::new(area_users))
    }

    /// Makes a system over a zone and the areas in it.
    pub fn with_areas(zone: Zone<'m>, areas: Areas) -> Self {
        Self {
            zone,
            areas,
            kept: Registry::default(),
            owners: Owners::default(),
            space: None,
            disk: None,
            disk_device: None,
            live: None,
            past: Stats::default(),
            last_stamp: 0,
            linux: LinuxVersion::default(),
            trace: Trace::default(),
            dma: Dma::default(),
            check_enabled: false,
        }
    }

    /// The page allocator.
    pub fn zone(&self) -> &Zone<'m> {
        &self.zone
    }

    /// The page allocator, for callers that allocate and free pages of their own.
    pub fn zone_mut(&mut self) -> &mut Zone<'m> {
        &mut self.zone
    }

    /// The ring of trace events.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The ring of trace events, to switch it on and off.
    pub fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// The state of the DMA API.
    pub fn dma(&self) -> &Dma {
        &self.dma
    }

    /// The state of the DMA API, to access a buffer, and to set up hardware and checker.
    pub fn dma_mut(&mut self) -> &mut Dma {
        &mut self.dma
    }

    /// True if invariants are checked after every command (`check=on`).
    pub fn check_enabled(&self) -> bool {
        self.check_enabled
    }

    /// Chooses whether invariants are checked after every command.
    pub fn check_after_commands(&mut self, enabled: bool) {
        self.check_enabled = enabled;
    }

    /// Acknowledges the writes to free memory that were found: later checks fail only for new ones.
    /// Returns the number of damaged runs other than the one that [`System::check`] fails with.
    pub fn forget_damage(&mut self) -> u32 {
        self.zone.forget_damage()
    }

    /// Chooses the version of Linux that is modelled in events, error numbers and files.
    pub fn answer_like(&mut self, linux: LinuxVersion) {
        self.linux = linux;
        self.trace.answer_like(linux);
    }

    /// The version of Linux that is modelled.
    pub fn linux(&self) -> LinuxVersion {
        self.linux
    }

    /// Activates an area: its pageblocks become MIGRATE_CMA and their pages free
    /// (`cma_activate_area`).
    ///
    /// The range must be in the zone, consist of whole pageblocks, and be unused. At most
    /// [`units::MAX_CMA_AREAS`] calls are allowed.
    pub fn activate_area(&mut self, name: String, base: Pfn, pages: u32, default: bool) -> AreaId {
        self.areas.activate(&mut self.zone, name, base, pages, default)
    }

    /// All areas, in the order they were created.
    pub fn areas(&self) -> &[Area] {
        self.areas.list()
    }

    /// Returns an area.
    pub fn area(&self, id: AreaId) -> &Area {
        self.areas.get(id)
    }

    /// Returns an area, to change it.
    pub fn area_mut(&mut self, id: AreaId) -> &mut Area {
        self.areas.get_mut(id)
    }

    /// Returns the identifiers of all areas.
    pub fn area_ids(&self) -> impl Iterator<Item = AreaId> + use<> {
        self.areas.ids()
    }

    /// Returns the area with a name.
    pub fn find_area(&self, name: &str) -> Option<AreaId> {
        self.areas.find(name)
    }

    /// Returns the area of requests that name none.
    pub fn default_area(&self) -> Option<AreaId> {
        self.areas.default_area()
    }

    /// Records that the default area exists although neither the tree nor the command line asked
    /// for one.
    pub fn set_default_unasked(&mut self) {
        self.areas.set_default_unasked();
    }

    /// Returns the area for commands that name none: see [`Areas::unnamed`].
    pub fn unnamed_area(&self) -> Option<AreaId> {
        self.areas.unnamed()
    }

    /// Returns the first existing area that a device names.
    pub fn device_area(&self) -> Option<AreaId> {
        self.areas.named_by_device()
    }

    /// The devices that name an area.
    pub fn area_users(&self) -> &[AreaUser] {
        self.areas.users()
    }

    /// Sets the address space that movable pages are mapped in.
    pub fn set_address_space(&mut self, space: Box<dyn AddressSpace>) {
        self.space = Some(space);
    }

    /// Sets the disk that a page cache can be on.
    pub fn set_disk(&mut self, disk: Box<dyn BlockDevice>) {
        self.disk_device = Some(disk.dma_device());
        self.disk = Some(Box::new(Disk::new(disk)));
    }

    /// The disk, while no page cache is on it.
    pub fn disk(&self) -> Option<&dyn PageSource> {
        self.disk.as_deref()
    }

    /// The device ID of that disk in the DMA API.
    pub fn disk_device(&self) -> Option<DeviceId> {
        self.disk_device.filter(|_| self.disk.is_some())
    }

    /// True if the machine has a window of mappings, which users of memory need; only the image's
    /// machine and tests' have one.
    pub fn has_window(&self) -> bool {
        self.live.is_some() || self.space.as_ref().is_some_and(|space| space.max_slots() > 0)
    }

    /// Opens the users of memory, which can then fill memory with movable and reclaimable pages.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing is opened.
    pub fn open_live(&mut self, cma_use: CmaUse, lend: Lend) -> Result<Mm<'_, 'm>, OpenError> {
        self.open_live_over(false, cma_use, lend)
    }

    /// Opens the users of memory, with the page cache on the disk.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing is opened.
    pub fn open_live_on_disk(&mut self, cma_use: CmaUse, lend: Lend) -> Result<Mm<'_, 'm>, OpenError> {
        self.open_live_over(true, cma_use, lend)
    }

    fn open_live_over(&mut self, on_disk: bool, cma_use: CmaUse, lend: Lend) -> Result<Mm<'_, 'm>, OpenError> {
        if self.live.is_some() {
            return Err(OpenError::Open);
        }
        if on_disk && self.disk.is_none() {
            return Err(OpenError::NoDisk);
        }
        if !self.has_window() {
            return Err(OpenError::NoAddressSpace);
        }
        let space = self.space.take().ok_or(OpenError::NoAddressSpace)?;
        let disk = if on_disk { self.disk.take() } else { None };
        match Live::open(&mut self.zone, space, disk, cma_use, lend) {
            Ok(mut live) => {
                live.last_stamp = self.last_stamp;
                self.live = Some(Box::new(live));
            }
            Err(((space, disk), error)) => {
                self.space = Some(space);
                self.disk = disk.or(self.disk.take());
                return Err(error);
            }
        }
        self.mm().ok_or(OpenError::NoAddressSpace)
    }

    /// Closes the users of memory and frees all their pages.
    pub fn close_live(&mut self) {
        // A disk owns pages until its requests have ended: a mapping that is left after that is
        // misuse.
        if let Some(mut mm) = self.mm() {
            mm.settle_disk();
        }
        self.streaming().end_pinned();
        if let Some(mut mm) = self.mm() {
            mm.evict_everybody();
        }
        if let Some(live) = self.live.take() {
            self.past.add(&live.stats);
            self.last_stamp = live.last_stamp;
            let (space, disk) = close(&mut self.zone, *live);
            self.space = Some(space);
            self.disk = disk.or(self.disk.take());
        }
    }

    /// Returns the users of memory together with the zone, if they are open.
    pub fn mm(&mut self) -> Option<Mm<'_, 'm>> {
        let live = self.live.as_deref_mut()?;
        let watched = self.dma.is_watching();
        Some(Mm { zone: &mut self.zone, live, trace: &mut self.trace, watch: &mut self.dma, watched })
    }

    /// The users of memory, if they are open.
    pub fn live(&self) -> Option<&Live> {
        self.live.as_deref()
    }

    /// Returns the counters of all users of memory since boot.
    pub fn live_stats(&self) -> Stats {
        let mut stats = self.past;
        if let Some(live) = &self.live {
            stats.add(&live.stats);
        }
        stats
    }

    /// True if there is an address space, by which pages can be copied.
    pub fn has_space(&self) -> bool {
        self.live.is_some() || self.space.is_some()
    }

    /// Copies a page of a buffer.
    fn copy_frame(&mut self, from: OwnedFrame, to: OwnedFrame) {
        match (&mut self.live, &mut self.space) {
            (Some(live), _) => live.space().copy(from, to),
            (None, Some(space)) => space.copy(from, to),
            (None, None) => {}
        }
    }

    /// Returns the words of a buffer's page, for its holder; `None` if there is no address space.
    pub fn frame_words(&mut self, frame: OwnedFrame) -> Option<&mut [u32]> {
        match (&mut self.live, &mut self.space) {
            (Some(live), _) => Some(live.space().frame_words(frame)),
            (None, Some(space)) => Some(space.frame_words(frame)),
            (None, None) => None,
        }
    }

    /// Returns the machine's time in ns; 0 if there is no address space, which has the clock.
    pub fn now_ns(&self) -> u64 {
        match (&self.live, &self.space) {
            (Some(live), _) => live.now_ns(),
            (None, Some(space)) => space.now_ns(),
            (None, None) => 0,
        }
    }

    /// Adds a trace event, if tracing is on.
    #[cold]
    #[inline(never)]
    pub fn trace_event(&mut self, event: Event) {
        if self.trace.is_enabled() {
            let now_ns = self.now_ns();
            self.trace.add(now_ns, event);
        }
    }

    /// Adds a buffer to the registry; returns the ID to take it back by. IDs count up from 1 over
    /// all areas.
    pub fn keep(&mut self, buffer: Buffer) -> u32 {
        self.kept.keep(&mut self.zone, &buffer)
    }

    /// Adds the rest of a buffer to the registry, with the ID that the buffer had there.
    pub fn keep_part(&mut self, id: u32, part: Buffer) {
        self.zone.hold(part.first(), HeldBuffer { id, pages: part.pages() });
    }

    /// Takes a buffer out of the registry.
    pub fn take_back(&mut self, id: u32) -> Option<Buffer> {
        registry::take_back(&mut self.zone, &self.areas, id)
    }

    /// Takes the buffer that begins at a page of an area out of the registry, in constant time.
    pub fn take_back_at(&mut self, id: AreaId, first: Pfn) -> Option<Buffer> {
        registry::take_back_at(&mut self.zone, &self.areas, id, first)
    }

    /// Returns the buffers of an area that are in the registry, by address.
    pub fn kept(&self, id: AreaId) -> impl Iterator<Item = Kept> + '_ {
        registry::kept(&self.zone, self.areas.get(id))
    }

    /// Releases all buffers of an area that are in the registry; returns their number.
    pub fn release_all(&mut self, id: AreaId) -> u32 {
        self.release_those(id, |_| true)
    }

    /// Releases an area's kept buffers for whose IDs `wanted` is true; returns their number.
    pub fn release_those(&mut self, id: AreaId, wanted: impl Fn(u32) -> bool) -> u32 {
        let (mut released, mut bit) = (0, 0);
        while let Some(kept) = registry::next_kept(&self.zone, self.areas.get(id), bit) {
            bit = kept.end_bit(self.areas.get(id));
            if wanted(kept.id) {
                self.zone.unhold(kept.first);
                released += u32::from(self.cma_release(Buffer::new(id, kept.first, kept.pages)).is_ok());
            }
        }
        released
    }

    /// Checks that zone and areas agree, that every page of an area is in exactly one place, and
    /// that no misuse of the DMA API is unacknowledged.
    ///
    /// # Errors
    /// The first disagreement.
    pub fn check(&self) -> Result<(), Imbalance> {
        self.zone.check()?;
        if let Some(live) = &self.live {
            live.check(&self.zone)?;
        }
        let misuses = self.dma.checker().untold();
        balance("misuses of the DMA API", None, 0, u32::try_from(misuses).unwrap_or(u32::MAX))?;
        self.areas.list().iter().try_for_each(|area| area.check(&self.zone))
    }
}
