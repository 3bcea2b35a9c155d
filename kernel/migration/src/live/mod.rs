// SPDX-License-Identifier: MIT OR Apache-2.0

//! The users of memory: processes with pages mapped in a window, a page cache, pins, and the code
//! that finds, moves and drops their pages.
//!
//! The data flow: a page of a process or of the cache is touched → `supply` finds a page under the
//! watermarks, reclaiming or killing if there is none → the page is mapped, or filled from its
//! source → it waits in the LRU batch and is then on an LRU list → [`super::contig_range`] moves or
//! drops it when a driver wants its frame. All of it is done by [`Mm`], which borrows the zone and
//! the users of memory together.
//!
//! Invariants: a process's pages are read and written through their virtual addresses only; a
//! page's descriptor leads to its users (its owner: a slot of the window, or an index in the
//! cache), and they refer to the page; the contents of every page differ from those of any other
//! page, and from its own earlier ones (`content`). The tables for all this are allocated from the
//! page allocator at `open`, and freed at `close`.

pub mod cache;
mod check;
mod content;
pub mod disk;
pub(super) mod journal;
pub mod own_journal;
pub mod pins;
pub mod processes;
pub mod readwrite;
mod slots;
pub mod source;
pub mod space;
pub mod stats;
mod supply;
pub mod watch;

pub(super) use supply::{SWAP_CLUSTER_MAX, Targets};

#[cfg(feature = "mock")]
pub mod mock;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::panic::Location;

use crate::trace::Trace;
use cache::Cache;
use cma::Buffer;
use cma::blocked::Phase;
use journal::Journal;
use page_alloc::policy::{CmaUse, Lend};
use page_alloc::zone::Zone;
use page_alloc::{AllocError, Block, Frame, Migratetype};
use pins::{MAX_PINS, Pin};
use processes::{MAX_PROCESSES, Process};
use slots::Slots;
use source::{DiskFault, PageSource};
use space::{AddressSpace, OwnedFrame, SLOTS_PER_TABLE, Table};
use stats::Stats;
use units::Pfn;
use watch::FrameWatch;

/// Bytes of a slot's translation.
const TRANSLATION_BYTES: u32 = 4;
/// Most pages of the LRU batch (`PAGEVEC_SIZE`).
const LRU_BATCH: usize = 15;
/// Most slots of the window, and most pages of the cache: each table then fits a block of the
/// largest order.
pub const MAX_SLOTS: u32 = 1 << 18;

/// Callback after each phase of a contiguous allocation, in which other users of memory run.
pub type Meanwhile = Box<dyn FnMut(&mut Mm<'_, '_>, Phase)>;

/// A step that migration leaves out, to show that the checks notice it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sabotage {
    /// The contents are not copied.
    Copy,
    /// The TLB keeps the old translation.
    Flush,
    /// The mapping still leads to the old frame.
    Mapping,
}

impl Sabotage {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Copy, Self::Flush, Self::Mapping];

    /// The word of `sabotage=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Flush => "tlb",
            Self::Mapping => "mapping",
        }
    }
}

/// Faults that can be injected.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Faults {
    /// Target pages that can still be allocated; `None` for no limit.
    pub targets_left: Option<u32>,
    /// Clean pages are not dropped.
    pub keep_clean_pages: bool,
    /// The source refuses writeback.
    pub refuse_write_back: bool,
    /// Pages move although they are pinned.
    pub ignore_pins: bool,
    /// Step that migration leaves out.
    pub sabotage: Option<Sabotage>,
}

/// All users of memory.
pub struct Live {
    pub(crate) space: Box<dyn AddressSpace>,
    slots: Slots,
    cache: Cache,
    processes: Vec<Option<Process>>,
    /// No slot below this one is free.
    lowest_free_slot: u32,
    pins: Vec<Pin>,
    /// What the running contiguous allocation has done.
    pub(super) journal: Journal,
    batch: [Frame; LRU_BATCH],
    batched: usize,
    /// Background reclaim has work.
    kswapd_awake: bool,
    /// The stamp that was used last.
    pub last_stamp: u32,
    /// Kinds of pages that may be in the areas.
    pub(super) lend: Lend,
    /// The counters.
    pub stats: Stats,
    /// The injected faults.
    pub faults: Faults,
    /// Callback that runs other users of memory between the phases.
    pub meanwhile: Option<Meanwhile>,
}

/// The zone and the users of its memory, together.
pub struct Mm<'a, 'm> {
    /// The page allocator.
    pub zone: &'a mut Zone<'m>,
    /// The users of its memory.
    pub live: &'a mut Live,
    /// The ring of trace events.
    pub trace: &'a mut Trace,
    /// Receiver of the processor's accesses to pages.
    pub watch: &'a mut dyn FrameWatch,
    /// True if it checks accesses at present.
    pub watched: bool,
}

/// Error of an operation of a user of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LiveError {
    /// No page could be allocated, even after reclaim and kills.
    NoMemory,
    /// The process was killed to get memory.
    Killed,
    /// The window has no run of slots that is long enough.
    NoSlots,
    /// There are [`MAX_PROCESSES`] processes.
    TooManyProcesses,
    /// There are [`MAX_PINS`] pins.
    TooManyPins,
    /// No such process, page, cache page or pin.
    NotThere,
    /// The slot shows a page already.
    Occupied,
    /// A request of the disk failed.
    Io(DiskFault),
}

impl fmt::Display for LiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory => f.write_str("no page is free or can be reclaimed, and there is no process to kill"),
            Self::Killed => f.write_str("the process was killed for its memory"),
            Self::NoSlots => f.write_str("the window has no room for the process"),
            Self::TooManyProcesses => write!(f, "there are {MAX_PROCESSES} processes (MAX_PROCESSES)"),
            Self::TooManyPins => write!(f, "there are {MAX_PINS} pins (MAX_PINS)"),
            Self::NotThere => f.write_str("no such process, page or pin"),
            Self::Occupied => f.write_str("the slot shows a page already"),
            Self::Io(fault) => fault.fmt(f),
        }
    }
}

/// Why users of memory could not be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenError {
    /// The machine has no address space.
    NoAddressSpace,
    /// They are open already.
    Open,
    /// There is no disk for their page cache.
    NoDisk,
    /// There is no memory for their tables.
    NoTables(AllocError),
    /// The machine refused the window.
    NoWindow(&'static str),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddressSpace => f.write_str("this machine has no window of mappings: it needs the image in QEMU"),
            Self::Open => f.write_str("users of memory are open already"),
            Self::NoDisk => f.write_str("there is no disk: start with DISK=disk.img, which scripts/disk-image makes"),
            Self::NoTables(error) => write!(f, "no memory for the tables of the window: {error}"),
            Self::NoWindow(why) => write!(f, "no window of mappings: {why}"),
        }
    }
}

/// Allocates a block of at least `bytes` bytes for each table; frees them if one cannot be
/// allocated.
fn blocks_for<const N: usize>(zone: &mut Zone<'_>, bytes: [u32; N]) -> Result<[Block; N], OpenError> {
    let mut blocks = Vec::with_capacity(N);
    for bytes in bytes {
        let order = bytes.div_ceil(4096).next_power_of_two().ilog2();
        match zone.alloc_pages(order, Migratetype::Unmovable) {
            Ok(block) => blocks.push(block),
            Err(error) => {
                blocks.into_iter().for_each(|block| zone.free_pages(block));
                return Err(OpenError::NoTables(error));
            }
        }
    }
    Ok(blocks.try_into().unwrap_or_else(|_| unreachable!("a block for each of N")))
}

impl Live {
    /// Opens the users of memory over a zone: no process, and an empty page cache, on `disk` if
    /// there is one.
    ///
    /// # Errors
    /// See [`OpenError`]; address space and disk are then given back, and the tables are freed.
    pub fn open(
        zone: &mut Zone<'_>,
        mut space: Box<dyn AddressSpace>,
        disk: Option<Box<dyn PageSource>>,
        cma_use: CmaUse,
        lend: Lend,
    ) -> Result<Self, (Belongings, OpenError)> {
        let managed = zone.managed_pages();
        let slots = (managed + managed / 16).next_multiple_of(SLOTS_PER_TABLE).min(MAX_SLOTS).min(space.max_slots());
        let frames = managed.next_multiple_of(SLOTS_PER_TABLE).min(MAX_SLOTS);
        let source = disk.as_ref().map_or(frames.into(), |disk| disk.identity().pages());
        let cached = source.min(MAX_SLOTS.into()) as u32;
        let wanted = [
            slots * slots::ENTRY_BYTES,
            cached * cache::ENTRY_BYTES,
            frames * journal::ENTRY_BYTES,
            slots * TRANSLATION_BYTES,
        ];
        let [slot_table, cache_table, journal, translations] = match blocks_for(zone, wanted) {
            Ok(blocks) => blocks,
            Err(error) => return Err(((space, disk), error)),
        };
        if let Err((translations, why)) = space.open(slots, translations) {
            [slot_table, cache_table, journal, translations].into_iter().for_each(|block| zone.free_pages(block));
            return Err(((space, disk), OpenError::NoWindow(why)));
        }
        let [slot_table, cache_table, journal] = [slot_table, cache_table, journal].map(|block| space.table(block));
        zone.set_up_watermarks();
        zone.set_cma_use(cma_use);
        zone.bar_cma(lend == Lend::None);
        Ok(Self {
            space,
            slots: Slots::new(slot_table, slots),
            cache: Cache::new(cache_table, cached, disk),
            processes: Vec::new(),
            lowest_free_slot: 0,
            pins: Vec::new(),
            journal: Journal::new(journal, frames),
            batch: [Frame(0); LRU_BATCH],
            batched: 0,
            kswapd_awake: false,
            last_stamp: 0,
            lend,
            stats: Stats::default(),
            faults: Faults::default(),
            meanwhile: None,
        })
    }

    /// True if there are no processes and no cached pages.
    pub fn is_empty(&self) -> bool {
        self.cache.cached == 0 && self.processes.iter().all(Option::is_none)
    }

    /// Nanoseconds by the machine's clock.
    pub fn now_ns(&self) -> u64 {
        self.space.now_ns()
    }

    /// The machine's memory, for a simulated device that moves the data of its requests.
    pub fn space(&mut self) -> &mut dyn AddressSpace {
        &mut *self.space
    }
}

impl Mm<'_, '_> {
    /// Ends all users: processes, cache, pins (not those of mappings); their pages, and those of
    /// the per-CPU lists, go back to the buddy allocator. No disk request may be in flight
    /// ([`Mm::settle_disk`]).
    pub fn evict_everybody(&mut self) {
        self.live.meanwhile = None;
        self.live.faults = Faults::default();
        self.unpin_all();
        for id in self.process_ids() {
            // This cannot fail: the list is current, and nothing else destroys processes.
            let _ = self.destroy(id);
        }
        self.forget_cache();
        self.zone.drain_all_pages();
        self.zone.set_cma_use(CmaUse::default());
        self.zone.bar_cma(false);
    }

    /// Nanoseconds by the machine's clock.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        self.live.space.now_ns()
    }

    /// Empties the LRU batch and the per-CPU lists.
    pub fn drain_lists(&mut self) {
        self.lru_add_drain();
        self.zone.drain_all_pages();
    }

    /// Reports that the processor is about to read or write a page that a device may own.
    #[inline]
    #[track_caller]
    pub(super) fn cpu_access(&mut self, frame: Pfn, write: bool) {
        if self.watched {
            self.watch.on_access(frame, write, Location::caller());
        }
    }

    /// Calls `driver` with the words of each page of a buffer.
    #[track_caller]
    pub fn buffer_words(&mut self, buffer: &Buffer, mut driver: impl FnMut(&mut [u32])) {
        for page in 0..buffer.pages() {
            let frame = buffer.first().add(page);
            self.cpu_access(frame, true);
            driver(self.live.space.frame_words(OwnedFrame::of_buffer(buffer, page)));
        }
    }

    /// Changes when movable requests take CMA pages, and which kinds of pages may be in the areas.
    pub fn set_policy(&mut self, cma_use: CmaUse, lend: Lend) {
        self.zone.set_cma_use(cma_use);
        self.zone.bar_cma(lend == Lend::None);
        self.live.lend = lend;
    }
}

/// Address space and disk, which users of memory borrow from the system.
pub type Belongings = (Box<dyn AddressSpace>, Option<Box<dyn PageSource>>);

/// Closes the users of memory, which have ended: frees their tables and returns address space and
/// disk.
pub fn close(zone: &mut Zone<'_>, mut live: Live) -> Belongings {
    if let Some(block) = live.space.close() {
        zone.free_pages(block);
    }
    let (cache_table, disk) = live.cache.into_parts();
    for table in [live.slots.into_table(), cache_table, live.journal.into_table()] {
        zone.free_pages(Table::into_block(table));
    }
    (live.space, disk)
}
