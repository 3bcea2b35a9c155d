// SPDX-License-Identifier: MIT OR Apache-2.0

//! The memory system as a whole: the zone, the areas in it, the devices that use them, and the buffers that outlive the
//! command that made them.
//!
//! This is where a request enters (`cma_alloc`) and where it leaves (`cma_release`). Exclusive access (`&mut`) stands for
//! the locks of `mm/cma.c` and `mm/page_alloc.c`: there is one processor, and interrupt handlers do not allocate.

//!
//! What holds true: a page of an area is in exactly one place ([`System::check`]); a buffer is its holder's, or stands in the
//! registry under a number; an allocation that fails leaves everything as it was.
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
mod dma;
mod relocate;
#[cfg(test)]
mod tests;

pub use alloc_story::Reported;
pub use placement::plan::{MAX_LOOKS, ROUNDS, WINDOWS};
pub use relocate::{MAX_MOVABLE, MAX_PLANS};

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use ::dma::{DeviceId, Dma};
use block::{BlockDevice, Disk};
use cma::area::Area;
use cma::{AreaId, Buffer, CmaError, Owners, ReleaseError};
use devicetree::AreaUser;
use migration::contig_range::ContigReport;
use migration::live::source::PageSource;
use migration::live::space::AddressSpace;
use migration::live::stats::Stats;
use migration::live::watch::FrameWatch;
use migration::live::{Live, Mm, OpenError, close};
use page_alloc::policy::{CmaUse, Lend};
use page_alloc::trace::{Event, Trace};
use page_alloc::zone::Zone;
use page_alloc::{Imbalance, balance};
use placement::Request;
use reserved::MAX_CMA_AREAS;
use units::Pfn;
use units::linux::LinuxVersion;

/// A buffer in the registry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Its identifier.
    pub id: u32,
    /// Its first page.
    pub first: Pfn,
    /// Its length in pages.
    pub pages: u32,
}

/// The page allocator, the CMA areas, and who uses them.
pub struct System<'m> {
    /// The page allocator.
    pub zone: Zone<'m>,
    areas: Vec<Area>,
    default_area: Option<AreaId>,
    /// The default area is there only because nobody asked for one.
    default_unasked: bool,
    area_users: Vec<AreaUser>,
    last_kept: u32,
    /// Those who lend buffers that may move.
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
    /// The stamp that pages were filled by last: contents that earlier users left in memory never pass for later ones.
    last_stamp: u32,
    /// Which Linux is answered like.
    linux: LinuxVersion,
    /// Where events are written.
    pub trace: Trace,
    /// What drivers have of memory.
    pub dma: Dma,
    /// Invariants are checked after every command (`check=on`).
    pub check_enabled: bool,
}

impl<'m> System<'m> {
    /// A system without areas over a zone that has its free memory.
    pub fn new(zone: Zone<'m>, area_users: Vec<AreaUser>) -> Self {
        let areas = Vec::with_capacity(MAX_CMA_AREAS);
        Self {
            zone,
            areas,
            default_area: None,
            default_unasked: false,
            area_users,
            last_kept: 0,
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

    /// Chooses which Linux is answered like, in events, error numbers and files.
    pub fn answer_like(&mut self, linux: LinuxVersion) {
        self.linux = linux;
        self.trace.answer_like(linux);
    }

    /// Which Linux is answered like.
    pub fn linux(&self) -> LinuxVersion {
        self.linux
    }

    /// Activates an area: its pageblocks become MIGRATE_CMA and their pages free (`cma_activate_area`).
    ///
    /// The range lies in the zone, is whole pageblocks, and is in use by nobody; see [`reserved`], which places areas.
    /// There are at most [`MAX_CMA_AREAS`] calls.
    pub fn activate_area(&mut self, name: String, base: Pfn, pages: u32, default: bool) -> AreaId {
        assert!(self.areas.len() < MAX_CMA_AREAS, "no more than MAX_CMA_AREAS areas are placed");
        let id = AreaId(self.areas.len() as u8);
        self.zone.free_cma_range(base, pages);
        self.areas.push(Area::new(name, base, pages, 0));
        if default {
            self.default_area = Some(id);
        }
        id
    }

    /// All areas, in the order they were created.
    pub fn areas(&self) -> &[Area] {
        &self.areas
    }

    /// One area.
    pub fn area(&self, id: AreaId) -> &Area {
        &self.areas[id.0 as usize]
    }

    /// One area, to change its placement.
    pub fn area_mut(&mut self, id: AreaId) -> &mut Area {
        &mut self.areas[id.0 as usize]
    }

    /// Every area's identifier.
    pub fn area_ids(&self) -> impl Iterator<Item = AreaId> + use<> {
        (0..self.areas.len() as u8).map(AreaId)
    }

    /// The area of that name.
    pub fn find_area(&self, name: &str) -> Option<AreaId> {
        self.area_ids().find(|&id| self.area(id).name() == name)
    }

    /// The area that requests without one of their own go to.
    pub fn default_area(&self) -> Option<AreaId> {
        self.default_area
    }

    /// Tells that the default area is there only because neither the tree nor the command line asked for one.
    pub fn set_default_unasked(&mut self) {
        self.default_unasked = true;
    }

    /// The area for whoever names none: the one that a device names, else the default area, else the first. A default area
    /// that nobody asked for comes last, whatever its place among the areas.
    pub fn unnamed_area(&self) -> Option<AreaId> {
        let asked = self.default_area.filter(|_| !self.default_unasked);
        let first = self.area_ids().find(|&id| self.default_area != Some(id));
        self.device_area().or(asked).or(first).or(self.default_area)
    }

    /// The area that the first device which names one names.
    pub fn device_area(&self) -> Option<AreaId> {
        self.area_users.iter().find_map(|user| self.find_area(&user.area))
    }

    /// The devices that name an area.
    pub fn area_users(&self) -> &[AreaUser] {
        &self.area_users
    }

    /// Allocates `pages` contiguous pages aligned to 2^`align_order` pages from an area (`cma_alloc`).
    ///
    /// A candidate that holds a page in use is emptied where that can be done, and else passed over: the search goes on
    /// behind it.
    ///
    /// # Errors
    /// See [`CmaError`]; the area and the zone are then as they were.
    pub fn cma_alloc(&mut self, id: AreaId, pages: u32, align_order: u32) -> Result<Buffer, CmaError> {
        if self.trace.is_enabled() {
            return self.cma_alloc_reported(id, pages, align_order).0;
        }
        let area = &mut self.areas[id.0 as usize];
        let request = area.request(pages, align_order)?;
        let Some(bit) = area.place(&request) else { return self.cma_alloc_without_room(id, &request, pages) };
        area.reserve(bit, request.bits);
        let first = area.frame(bit);
        if self.zone.take_range(first, pages).is_err() {
            return self.cma_alloc_busy(id, &request, pages, bit);
        }
        Ok(area.hand_out(id, first, pages))
    }

    /// The first candidate, whose bits are reserved, holds a page in use: from here on the long way.
    #[cold]
    fn cma_alloc_busy(&mut self, id: AreaId, request: &Request, pages: u32, bit: u32) -> Result<Buffer, CmaError> {
        let area = &mut self.areas[id.0 as usize];
        let unreserved = area.release(area.frame(bit), pages);
        debug_assert_eq!(unreserved, Ok(()));
        let mut report = ContigReport::default();
        report.start(self.now_ns());
        self.cma_alloc_from(id, request, pages, Some(bit), &mut report)
    }

    /// Takes a buffer back; every bit of it has to be set (`cma_release`).
    ///
    /// # Errors
    /// See [`ReleaseError`]; nothing was changed then.
    pub fn cma_release(&mut self, buffer: Buffer) -> Result<(), ReleaseError> {
        if self.trace.is_enabled() {
            return self.cma_release_traced(&buffer);
        }
        self.release(&buffer)
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

    /// Lets the living move in: from now on movable and reclaimable pages can fill memory.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing was changed then.
    pub fn open_live(&mut self, cma_use: CmaUse, lend: Lend) -> Result<Mm<'_, 'm>, OpenError> {
        self.open_live_over(false, cma_use, lend)
    }

    /// The same with the page cache on the disk.
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
        // What a disk owns is its until it has done: only then is a mapping that is left somebody's mistake.
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

    /// What the living have done since boot.
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
    pub fn copy_frame(&mut self, from: Pfn, to: Pfn) {
        match (&mut self.live, &mut self.space) {
            (Some(live), _) => live.space().copy(from, to),
            (None, Some(space)) => space.copy(from, to),
            (None, None) => {}
        }
    }

    /// The contents of a page of a buffer, for its holder; `None` where there is no address space.
    pub fn frame_words(&mut self, frame: Pfn) -> Option<&mut [u32]> {
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

    #[inline(always)]
    fn release(&mut self, buffer: &Buffer) -> Result<(), ReleaseError> {
        let area = &mut self.areas[buffer.area().0 as usize];
        area.release(buffer.first(), buffer.pages())?;
        area.stats.release_pages_success += u64::from(buffer.pages());
        self.zone.give_range(buffer.first(), buffer.pages());
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn cma_release_traced(&mut self, buffer: &Buffer) -> Result<(), ReleaseError> {
        self.release(buffer)?;
        self.trace_event(Event::Release { area: buffer.area().0, first: buffer.first(), count: buffer.pages() });
        Ok(())
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

    /// Leaves a buffer in the registry, which lies in the page descriptors and therefore has room for all.
    ///
    /// Returns the identifier to take it back by; identifiers count up from 1 over all areas.
    pub fn keep(&mut self, buffer: Buffer) -> u32 {
        self.last_kept = self.last_kept.wrapping_add(1).max(1);
        self.zone.hold(buffer.first(), buffer.pages(), self.last_kept);
        self.last_kept
    }

    /// Takes a buffer out of the registry.
    pub fn take_back(&mut self, id: u32) -> Option<Buffer> {
        let mut areas = self.area_ids();
        let (area, kept) = areas.find_map(|area| Some((area, self.kept(area).find(|kept| kept.id == id)?)))?;
        self.zone.unhold(kept.first);
        Some(Buffer::new(area, kept.first, kept.pages))
    }

    /// Takes the buffer that begins at a page of an area out of the registry; costs the same however many there are.
    pub fn take_back_at(&mut self, id: AreaId, first: Pfn) -> Option<Buffer> {
        let area = self.area(id);
        if first.0.wrapping_sub(area.base().0) >= area.pages() {
            return None;
        }
        let (_, pages) = self.zone.held(first)?;
        self.zone.unhold(first);
        Some(Buffer::new(id, first, pages))
    }

    /// The buffers of an area that are in the registry, by address.
    pub fn kept(&self, id: AreaId) -> impl Iterator<Item = Kept> + '_ {
        let mut bit = 0;
        core::iter::from_fn(move || {
            let (at, kept) = self.next_kept(id, bit)?;
            bit = self.bit_behind(id, at, kept.pages);
            Some(kept)
        })
    }

    /// The first kept buffer that begins at or after a bit, and the bit it begins at.
    fn next_kept(&self, id: AreaId, mut bit: u32) -> Option<(u32, Kept)> {
        let area = self.area(id);
        loop {
            bit = area.bitmap().next_set(bit);
            if bit >= area.bitmap().bits() {
                return None;
            }
            let first = area.frame(bit);
            if let Some((kept, pages)) = self.zone.held(first) {
                return Some((bit, Kept { id: kept, first, pages }));
            }
            bit += 1;
        }
    }

    /// Releases every buffer of an area that is in the registry; returns how many there were.
    pub fn release_all(&mut self, id: AreaId) -> u32 {
        self.release_those(id, |_| true)
    }

    /// As [`System::release_all`], of the buffers whose identifiers are wanted.
    pub fn release_those(&mut self, id: AreaId, wanted: impl Fn(u32) -> bool) -> u32 {
        let (mut released, mut bit) = (0, 0);
        while let Some((at, kept)) = self.next_kept(id, bit) {
            if wanted(kept.id) {
                self.zone.unhold(kept.first);
                released += u32::from(self.cma_release(Buffer::new(id, kept.first, kept.pages)).is_ok());
            }
            bit = self.bit_behind(id, at, kept.pages);
        }
        released
    }

    /// The bit behind a buffer that begins at a bit.
    fn bit_behind(&self, id: AreaId, bit: u32, pages: u32) -> u32 {
        bit + pages.div_ceil(1 << self.area(id).order_per_bit())
    }

    /// Checks that zone and areas agree: every page of an area is in exactly one place, and no driver was seen to misuse
    /// the DMA API that nobody was told of.
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
        self.areas.iter().try_for_each(|area| area.check(&self.zone))
    }
}
