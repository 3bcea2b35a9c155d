// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who lives in memory: processes with pages mapped in a window, a page cache, pins, and the
//! machinery that finds pages for them, moves them and drops them.
//!
//! The way of the data: somebody touches a page of a process or of the cache → `supply` finds a
//! page under the watermarks, reclaiming or killing where there is none → the page is mapped, or
//! filled from its source → it waits in a batch and then stands on an LRU list →
//! [`super::contig_range`] moves or drops it when a driver wants its frame. All of it is done by
//! [`Mm`], which borrows the zone and the users of memory together.
//!
//! What holds true: a process is read and written through its virtual address only; a page knows
//! who shows it (its descriptor's owner: a slot of the window or a place in the cache), and they
//! know the page; every page has contents that can be told from any other page's, and from its own
//! of a moment ago (`content`). The tables that all this needs are taken from the page allocator at
//! `open`, and given back at `close`.

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
/// Pages on their way to the LRU lists (`PAGEVEC_SIZE`).
const LRU_BATCH: usize = 15;
/// Most slots of the window, and most pages of the cache: their tables are then one block of the
/// largest order.
pub const MAX_SLOTS: u32 = 1 << 18;

/// What is called at the boundaries between the phases of a contiguous allocation: other users of
/// memory go on there.
pub type Meanwhile = Box<dyn FnMut(&mut Mm<'_, '_>, Phase)>;

/// A step that migration leaves out, to show that the checks notice.
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
    /// Pages to move to that are left; `None` for no limit.
    pub targets_left: Option<u32>,
    /// Clean pages are not dropped.
    pub keep_clean_pages: bool,
    /// The source takes nothing back.
    pub refuse_write_back: bool,
    /// Pages move although they are pinned.
    pub ignore_pins: bool,
    /// Migration leaves a step out.
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
    /// What the contiguous allocation that runs has done.
    pub(super) journal: Journal,
    batch: [Frame; LRU_BATCH],
    batched: usize,
    /// Background reclaim has work.
    kswapd_awake: bool,
    /// The stamp that was given out last.
    pub last_stamp: u32,
    /// Whose pages may enter the areas.
    pub(super) lend: Lend,
    /// What is counted.
    pub stats: Stats,
    /// What shall go wrong.
    pub faults: Faults,
    /// Who uses memory between the phases.
    pub meanwhile: Option<Meanwhile>,
}

/// The zone and those who live in it, together.
pub struct Mm<'a, 'm> {
    /// The page allocator.
    pub zone: &'a mut Zone<'m>,
    /// Who lives there.
    pub live: &'a mut Live,
    /// Where events are written.
    pub trace: &'a mut Trace,
    /// Who has to know when the processor reads or writes pages.
    pub watch: &'a mut dyn FrameWatch,
    /// Whether they want to know it at present.
    pub watched: bool,
}

/// Why something that lives could not do what it wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LiveError {
    /// No page could be had, though everything that may be dropped or killed was.
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
    /// The disk did not do it.
    Io(DiskFault),
}

impl fmt::Display for LiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory => f.write_str("no page is left, and nobody to take one from"),
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
    /// The machine has no address space to lend.
    NoAddressSpace,
    /// They are there already.
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
            Self::Open => f.write_str("memory is lived in already"),
            Self::NoDisk => f.write_str("there is no disk: start with DISK=disk.img, which scripts/disk-image makes"),
            Self::NoTables(error) => write!(f, "no memory for the tables of the window: {error}"),
            Self::NoWindow(why) => write!(f, "no window of mappings: {why}"),
        }
    }
}

/// A block of at least that many bytes for each table; where one cannot be had, none is taken.
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
    /// Opens users of memory over a zone; none is there yet. Their page cache is on the disk, if
    /// there is one.
    ///
    /// # Errors
    /// See [`OpenError`]; address space and disk are then given back, and the zone is as it was.
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
            cached.max(1) * cache::ENTRY_BYTES,
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

    /// True where no process and no page of the cache is in memory.
    pub fn is_empty(&self) -> bool {
        self.cache.cached == 0 && self.processes.iter().all(Option::is_none)
    }

    /// Nanoseconds by the machine's clock.
    pub fn now_ns(&self) -> u64 {
        self.space.now_ns()
    }

    /// The machine's memory, for a device made of software that moves the data of its requests.
    pub fn space(&mut self) -> &mut dyn AddressSpace {
        &mut *self.space
    }
}

impl Mm<'_, '_> {
    /// Everybody moves out: processes, cache, pins; their pages, and those on the per-CPU lists, go
    /// back to the buddy. The disk has to be settled ([`Mm::settle_disk`]).
    pub fn evict_everybody(&mut self) {
        self.live.meanwhile = None;
        self.live.faults = Faults::default();
        self.unpin_all();
        for id in self.process_ids() {
            // It is there: the list is of a moment ago, and nothing else destroys processes.
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

    /// Empties the per-CPU lists and the batch on its way to the LRU.
    pub fn drain_lists(&mut self) {
        self.lru_add_drain();
        self.zone.drain_all_pages();
    }

    /// Says that the processor is about to read or write a page that a device might own.
    #[inline]
    #[track_caller]
    pub(super) fn cpu_access(&mut self, frame: Pfn, write: bool) {
        if self.watched {
            self.watch.on_access(frame, write, Location::caller());
        }
    }

    /// Shows a buffer's pages to its driver, one after the other.
    #[track_caller]
    pub fn buffer_words(&mut self, buffer: &Buffer, mut driver: impl FnMut(&mut [u32])) {
        for page in 0..buffer.pages() {
            let frame = buffer.first().add(page);
            self.cpu_access(frame, true);
            driver(self.live.space.frame_words(OwnedFrame::of_buffer(buffer, page)));
        }
    }

    /// Changes when movable requests take CMA pages, and whose pages may enter the areas.
    pub fn set_policy(&mut self, cma_use: CmaUse, lend: Lend) {
        self.zone.set_cma_use(cma_use);
        self.zone.bar_cma(lend == Lend::None);
        self.live.lend = lend;
    }
}

/// What users of memory borrow from the system.
pub type Belongings = (Box<dyn AddressSpace>, Option<Box<dyn PageSource>>);

/// Gives back the tables of those who have moved out, and returns address space and disk.
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
