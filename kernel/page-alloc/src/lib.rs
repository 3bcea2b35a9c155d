// SPDX-License-Identifier: MIT OR Apache-2.0

//! The page allocator: Linux's buddy system with MIGRATE_CMA pageblocks, per-CPU lists, LRU lists
//! and isolation (`mm/page_alloc.c`, `mm/page_isolation.c`, `mm/swap.c`), in 16 bytes a page frame.
//!
//! Data flow: at boot a [`zone::Zone`] receives the free ranges of RAM and the pageblocks of the
//! CMA areas. `buddy` splits and merges blocks, `fallback` steals between migratetypes, and
//! `contig` takes a range by address, as a CMA area requests it. Single pages go through the
//! per-CPU lists of `pcp`; `watermark` limits them. Pages in movable use are on the lists of
//! [`lru`], where migration and reclaim find them; `isolate` keeps a range's free pages from other
//! requests meanwhile. [`policy`] decides which requests may have CMA pages.
//!
//! Invariants:
//! 1. A page is in exactly one place: in a free block, in an allocated block, on a per-CPU list, or
//!    in a range that was taken. [`zone::Zone::check`] verifies it, and that every counter equals
//!    what it counts.
//! 2. A block never crosses a pageblock, because the largest order is the pageblock's. Only a
//!    block's first descriptor is used, so the cost depends on the number of blocks, not of pages.
//! 3. Pages of CMA pageblocks go to movable requests only, and a CMA pageblock never changes its
//!    type.
//! 4. The crate forms no addresses: the owner of the memory passes an implementation of
//!    [`poison::Poison`], which gets only free frames.
//!
//! The public interface mostly names a frame by its page frame number; inside, it is named by its
//! index in the zone ([`Frame`]).
//!
//! # Example
//! A zone of four pageblocks, two of them an area:
//! ```
//! use page_alloc::zone::{Zone, descriptors};
//! use page_alloc::{Migratetype, PAGEBLOCK_PAGES, Page};
//! use units::Pfn;
//!
//! let mut pages = vec![Page::default(); descriptors(4 * PAGEBLOCK_PAGES)];
//! let mut zone = Zone::new(Pfn(0x60000), &mut pages);
//! zone.free_range(Pfn(0x60000), 2 * PAGEBLOCK_PAGES);
//! zone.free_cma_range(Pfn(0x60800), 2 * PAGEBLOCK_PAGES);
//!
//! let block = zone.alloc_pages(3, Migratetype::Unmovable)?;
//! assert!(block.first() < Pfn(0x60800), "never in the area");
//! zone.take_range(Pfn(0x60900), 1500).expect("all of it is free");
//! assert_eq!((zone.nr_free_pages(), zone.nr_free_cma()), (4096 - 8 - 1500, 2048 - 1500));
//!
//! zone.give_range(Pfn(0x60900), 1500);
//! zone.free_pages(block);
//! assert_eq!(zone.free_blocks(10, Migratetype::Cma), 2, "merged as before");
//! zone.check().unwrap();
//! # Ok::<(), page_alloc::AllocError>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod buddy;
mod check;
mod contig;
mod fallback;
mod frame;
mod free_list;
mod isolate;
pub mod lru;
mod page;
mod pcp;
pub mod poison;
pub mod policy;
mod rings;
mod watermark;
pub mod zone;

#[cfg(test)]
mod tests;

pub use buddy::{AllocError, Block};
pub use check::{Imbalance, balance};
pub use contig::Busy;
pub use fallback::Claims;
pub use frame::{Frame, frames};
pub use free_list::Ring;
pub use isolate::FreedRun;
pub use page::{HeldBuffer, Page, RelocatableBuffer, State, Tag};
pub use watermark::Watermarks;

pub use units::{PAGEBLOCK_ORDER, PAGEBLOCK_PAGES};

/// The largest order of a block, which is a pageblock's: 4 MiB (Linux's `MAX_ORDER - 1` on this
/// board).
pub const MAX_PAGE_ORDER: u32 = PAGEBLOCK_ORDER;
/// The largest number of pageblocks of a zone: those of a 32-bit address space.
const MAX_PAGEBLOCKS: usize = 1024;

/// The permitted use of a pageblock's pages, in Linux's order (`enum migratetype`,
/// `include/linux/mmzone.h`).
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Migratetype {
    /// Kernel allocations, which cannot move.
    Unmovable = 0,
    /// Pages whose owner lets them be migrated.
    Movable = 1,
    /// Pages that can be dropped and rebuilt.
    Reclaimable = 2,
    /// Linux's reserve for atomic requests; always empty here, listed because Linux lists it.
    HighAtomic = 3,
    /// Pageblocks of a CMA area: serve movable requests only and never change their type.
    Cma = 4,
    /// Being emptied for a contiguous allocation: serves no requests.
    Isolate = 5,
}

impl Migratetype {
    /// Every type, in the order of `/proc/pagetypeinfo`.
    pub const ALL: [Self; 6] =
        [Self::Unmovable, Self::Movable, Self::Reclaimable, Self::HighAtomic, Self::Cma, Self::Isolate];

    /// The name in `/proc/pagetypeinfo`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unmovable => "Unmovable",
            Self::Movable => "Movable",
            Self::Reclaimable => "Reclaimable",
            Self::HighAtomic => "HighAtomic",
            Self::Cma => "CMA",
            Self::Isolate => "Isolate",
        }
    }

    /// True if requests may name this type. CMA pages go to movable ones, isolated pages to none.
    const fn is_requestable(self) -> bool {
        matches!(self, Self::Unmovable | Self::Movable | Self::Reclaimable)
    }

    /// The counter for free pages of such a pageblock: 0 outside areas, 1 CMA, 2 isolated.
    const fn kind(self) -> usize {
        (self as usize).saturating_sub(Self::HighAtomic as usize)
    }

    const fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::Unmovable,
            1 => Self::Movable,
            2 => Self::Reclaimable,
            3 => Self::HighAtomic,
            4 => Self::Cma,
            _ => Self::Isolate,
        }
    }
}
