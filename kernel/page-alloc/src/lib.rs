// SPDX-License-Identifier: MIT OR Apache-2.0

//! The page allocator: Linux's buddy system with MIGRATE_CMA pageblocks, per-CPU lists, LRU lists
//! and isolation (`mm/page_alloc.c`, `mm/page_isolation.c`, `mm/swap.c`), in 16 bytes a page frame.
//!
//! The way of the data: boot hands a [`zone::Zone`] the ranges of RAM that are free and the
//! pageblocks of the CMA areas → `buddy` serves and merges blocks, `fallback` steals between the
//! types → `contig` takes a range out by address, which is what a CMA area asks for. Single pages
//! come and go through `pcp` under the marks of `watermark`; those in movable use stand on the
//! lists of [`lru`] and are found by whoever empties a range, which `isolate` keeps to itself
//! meanwhile. [`policy`] says who may have CMA pages.
//!
//! What holds true:
//! 1. A page is in exactly one place: in a free block, in a block handed out, on a per-CPU list, or
//!    in a range that was taken. [`zone::Zone::check`] proves it, and that every counter equals
//!    what it counts.
//! 2. A block never crosses a pageblock, because the largest order is the pageblock's; only the
//!    first descriptor of a block says anything, so cost follows blocks and not pages.
//! 3. Pages of CMA pageblocks go to movable requests only, and a CMA pageblock never changes its
//!    type.
//! 4. The crate knows no address: whoever has the memory hands in [`poison::Poison`], and gets
//!    frames that are free.
//!
//! A frame is named by its page frame number where others see it, and by its index in the zone in
//! between.
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
/// Pageblocks of a 32-bit address space, which no zone has more of.
const MAX_PAGEBLOCKS: usize = 1024;

/// What the pages of a pageblock may be used for, in Linux's order (`enum migratetype`,
/// `include/linux/mmzone.h`).
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Migratetype {
    /// Kernel allocations that stay where they are.
    Unmovable = 0,
    /// Pages whose owner lets them be migrated.
    Movable = 1,
    /// Pages that can be dropped and made again.
    Reclaimable = 2,
    /// Linux's reserve for atomic requests; never filled here, listed as Linux lists it.
    HighAtomic = 3,
    /// RelocatableBuffer by a CMA area: serves movable requests only and never changes.
    Cma = 4,
    /// Being emptied for a contiguous allocation: serves nobody.
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

    /// Whether it can be asked for: CMA pages go to movable requests, isolated pages to nobody.
    const fn is_requestable(self) -> bool {
        matches!(self, Self::Unmovable | Self::Movable | Self::Reclaimable)
    }

    /// Whose the free pages of such a pageblock are: everybody's (0), an area's (1), or nobody's,
    /// being isolated (2).
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
