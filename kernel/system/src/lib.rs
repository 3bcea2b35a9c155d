// SPDX-License-Identifier: MIT OR Apache-2.0

//! The memory system as a whole: the zone, the areas in it, the devices that use them, and the
//! buffers that outlive the command that made them.
//!
//! This is where a request enters (`cma_alloc`) and where it leaves (`cma_release`). Exclusive
//! access (`&mut`) stands for the locks of `mm/cma.c` and `mm/page_alloc.c`: there is one
//! processor, and interrupt handlers do not allocate.

//!
//! What holds true: a page of an area is in exactly one place ([`System::check`]); a buffer is its
//! holder's, or stands in the registry under a number; an allocation that fails leaves everything
//! as it was.
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

/// The page allocator, the CMA areas, and who uses them.
pub struct System<'m> {
    /// The page allocator.
    zone: Zone<'m>,
    areas: Areas,
    kept: Registry,
    /// The owners of relocatable buffers.
    owners: Owners,
    /// The machine's address space, while nobody lives in it.
    space: Option<Box<dyn AddressSpace>>,
    /// The disk, while nobody's page cache is on it.
    disk: Option<Box<dyn PageSource>>,
    /// Who the disk is to the DMA API.
    disk_device: Option<DeviceId>,
    /// Who lives in memory.
    live: Option<Box<Live>>,
    /// What those did who have moved out.
    past: Stats,
    /// The stamp that pages were filled by last: contents that earlier users left in memory never
    /// pass for later ones.
    last_stamp: u32,
    /// Which Linux is answered like.
    linux: LinuxVersion,
    /// Where events are written.
    trace: Trace,
    /// What drivers have of memory.
    dma: Dma,
    /// Invariants are checked after every command (`check=on`).
    check_enabled: bool,
}

impl<'m> System<'m> {
    /// A system without areas over a zone that has its free memory.
    pub fn new(zone: Zone<'m>, area_users: Vec<AreaUser>) -> Self {
        Self::with_areas(zone, Areas::new(area_users))
    }

    /// A system over a zone and the areas in it.
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

    /// The page allocator, for those who allocate and free pages of their own.
    pub fn zone_mut(&mut self) -> &mut Zone<'m> {
        &mut self.zone
    }

    /// Where events are written.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Where events are written, to turn that on and off.
    pub fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// What drivers have of memory.
    pub fn dma(&self) -> &Dma {
        &self.dma
    }

    /// What drivers have of memory, to reach into a buffer, and to set up hardware and checker.
    pub fn dma_mut(&mut self) -> &mut Dma {
        &mut self.dma
    }

    /// Whether invariants are checked after every command (`check=on`).
    pub fn check_enabled(&self) -> bool {
        self.check_enabled
    }

    /// Has invariants checked after every command, or not.
    pub fn check_after_commands(&mut self, enabled: bool) {
        self.check_enabled = enabled;
    }

    /// Writes to free memory count as told, as misuses of the DMA API do: a later check fails for
    /// others only. Returns how many runs more were found damaged than the one that
    /// [`System::check`] fails with.
    pub fn forget_damage(&mut self) -> u32 {
        self.zone.forget_damage()
    }

    /// Chooses which Linux is answered like, in events, error numbers and files.
    pub fn answer_like(&mut self, linux: LinuxVersion) {
        self.linux = linux;
        self.trace.answer_like(linux);
    }

    /// Which Linux is answered like.
    pub fn linux(&self) -> LinuxVersion {
        self.linux
    }

    /// Activates an area: its pageblocks become MIGRATE_CMA and their pages free
    /// (`cma_activate_area`).
    ///
    /// The range lies in the zone, is whole pageblocks, and is in use by nobody. There are at most
    /// [`units::MAX_CMA_AREAS`] calls.
    pub fn activate_area(&mut self, name: String, base: Pfn, pages: u32, default: bool) -> AreaId {
        self.areas.activate(&mut self.zone, name, base, pages, default)
    }

    /// All areas, in the order they were created.
    pub fn areas(&self) -> &[Area] {
        self.areas.list()
    }

    /// One area.
    pub fn area(&self, id: AreaId) -> &Area {
        self.areas.get(id)
    }

    /// One area, to change its placement.
    pub fn area_mut(&mut self, id: AreaId) -> &mut Area {
        self.areas.get_mut(id)
    }

    /// Every area's identifier.
    pub fn area_ids(&self) -> impl Iterator<Item = AreaId> + use<> {
        self.areas.ids()
    }

    /// The area of that name.
    pub fn find_area(&self, name: &str) -> Option<AreaId> {
        self.areas.find(name)
    }

    /// The area that requests without one of their own go to.
    pub fn default_area(&self) -> Option<AreaId> {
        self.areas.default_area()
    }

    /// Tells that the default area is there only because neither the tree nor the command line
    /// asked for one.
    pub fn set_default_unasked(&mut self) {
        self.areas.set_default_unasked();
    }

    /// The area for whoever names none: see [`Areas::unnamed`].
    pub fn unnamed_area(&self) -> Option<AreaId> {
        self.areas.unnamed()
    }

    /// The area that the first device which names one names.
    pub fn device_area(&self) -> Option<AreaId> {
        self.areas.named_by_device()
    }

    /// The devices that name an area.
    pub fn area_users(&self) -> &[AreaUser] {
        self.areas.users()
    }

    /// Lends the system the address space that movable pages are mapped in.
    pub fn set_address_space(&mut self, space: Box<dyn AddressSpace>) {
        self.space = Some(space);
    }

    /// Lends the system a disk that a page cache can be on.
    pub fn set_disk(&mut self, disk: Box<dyn BlockDevice>) {
        self.disk_device = Some(disk.dma_device());
        self.disk = Some(Box::new(Disk::new(disk)));
    }

    /// The disk, while nobody's page cache is on it.
    pub fn disk(&self) -> Option<&dyn PageSource> {
        self.disk.as_deref()
    }

    /// Who that disk is to the DMA API.
    pub fn disk_device(&self) -> Option<DeviceId> {
        self.disk_device.filter(|_| self.disk.is_some())
    }

    /// Whether the machine has a window of mappings, which users of memory need; that of others
    /// than the image has none.
    pub fn has_window(&self) -> bool {
        self.live.is_some() || self.space.as_ref().is_some_and(|space| space.max_slots() > 0)
    }

    /// Opens the users of memory: from now on movable and reclaimable pages can fill memory.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing was changed then.
    pub fn open_live(&mut self, cma_use: CmaUse, lend: Lend) -> Result<Mm<'_, 'm>, OpenError> {
        self.open_live_over(false, cma_use, lend)
    }

    /// As `open_live`, with the page cache on the disk.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing was changed then.
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

    /// Everybody moves out, and the zone is as it was before.
    pub fn close_live(&mut self) {
        // What a disk owns is its until it has done: only then is a mapping that is left somebody's
        // mistake.
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

    /// Those who live in memory, with the memory.
    pub fn mm(&mut self) -> Option<Mm<'_, 'm>> {
        let live = self.live.as_deref_mut()?;
        let watched = self.dma.is_watching();
        Some(Mm { zone: &mut self.zone, live, trace: &mut self.trace, watch: &mut self.dma, watched })
    }

    /// Those who live in memory.
    pub fn live(&self) -> Option<&Live> {
        self.live.as_deref()
    }

    /// What users of memory have done since boot.
    pub fn live_stats(&self) -> Stats {
        let mut stats = self.past;
        if let Some(live) = &self.live {
            stats.add(&live.stats);
        }
        stats
    }

    /// True where pages can be copied.
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

    /// The contents of a page of a buffer, for its holder; `None` where there is no address space.
    pub fn frame_words(&mut self, frame: OwnedFrame) -> Option<&mut [u32]> {
        match (&mut self.live, &mut self.space) {
            (Some(live), _) => Some(live.space().frame_words(frame)),
            (None, Some(space)) => Some(space.frame_words(frame)),
            (None, None) => None,
        }
    }

    /// The machine's clock, in ns; 0 where there is no address space, which brings one.
    pub fn now_ns(&self) -> u64 {
        match (&self.live, &self.space) {
            (Some(live), _) => live.now_ns(),
            (None, Some(space)) => space.now_ns(),
            (None, None) => 0,
        }
    }

    /// Keeps an event, if events are kept.
    #[cold]
    #[inline(never)]
    pub fn trace_event(&mut self, event: Event) {
        if self.trace.is_enabled() {
            let now_ns = self.now_ns();
            self.trace.add(now_ns, event);
        }
    }

    /// Leaves a buffer in the registry; the identifier to take it back by. Identifiers count up
    /// from 1 over all areas.
    pub fn keep(&mut self, buffer: Buffer) -> u32 {
        self.kept.keep(&mut self.zone, &buffer)
    }

    /// Leaves what is left of a buffer in the registry, under the identifier that it had there.
    pub fn keep_part(&mut self, id: u32, part: Buffer) {
        self.zone.hold(part.first(), HeldBuffer { id, pages: part.pages() });
    }

    /// Takes a buffer out of the registry.
    pub fn take_back(&mut self, id: u32) -> Option<Buffer> {
        registry::take_back(&mut self.zone, &self.areas, id)
    }

    /// Takes the buffer that begins at a page of an area out of the registry; costs the same
    /// however many there are.
    pub fn take_back_at(&mut self, id: AreaId, first: Pfn) -> Option<Buffer> {
        registry::take_back_at(&mut self.zone, &self.areas, id, first)
    }

    /// The buffers of an area that are in the registry, by address.
    pub fn kept(&self, id: AreaId) -> impl Iterator<Item = Kept> + '_ {
        registry::kept(&self.zone, self.areas.get(id))
    }

    /// Releases every buffer of an area that is in the registry; returns how many there were.
    pub fn release_all(&mut self, id: AreaId) -> u32 {
        self.release_those(id, |_| true)
    }

    /// As [`System::release_all`], of the buffers whose identifiers are wanted.
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

    /// Checks that zone and areas agree: every page of an area is in exactly one place, and no
    /// driver was seen to misuse the DMA API that nobody was told of.
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
