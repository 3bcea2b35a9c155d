//! Memory, from the first look at the tree to the page allocator.
//!
//! The way of the data: [`early`] records what is RAM and what is taken in a [`memblock::Memblock`] → [`reserved`] places
//! the tree's reserved regions and the CMA areas in it → what is still free goes to the page allocator: a
//! [`zone::Zone`] with a 16-byte descriptor for each frame and free lists by order and migratetype → `buddy` serves and
//! merges blocks, `fallback` steals between the types → `contig` takes a range out by address, which is what a CMA area
//! asks for.
//!
//! Who lives in memory is in [`live`]: objects mapped in a window, a page cache, pins. Their single pages come and go through
//! `pcp` under the marks of `watermark`, stand on the lists of `lru`, and leave by `reclaim`. [`contig_range`] empties a range
//! that somebody lives in: `isolate`, `migrate` and `reclaim` are its phases, `undo` ends it, and [`trace`] keeps what happened.
//!
//! What holds true: a block never crosses a pageblock, because the largest order is the pageblock's; only the first
//! descriptor of a block says anything, so cost follows blocks and not pages.

mod buddy;
mod check;
mod contig;
pub mod contig_range;
pub mod early;
mod fallback;
pub mod frames;
mod free_list;
mod isolate;
pub mod live;
mod lru;
pub mod memblock;
mod migrate;
mod page;
mod pcp;
mod policy;
mod reclaim;
pub mod reserved;
mod rings;
pub mod trace;
mod undo;
mod watermark;
pub mod zone;

pub use buddy::{AllocError, Block};
pub use check::Imbalance;
pub(crate) use check::balance;
pub use contig::Busy;
pub use lru::LruPages;
pub(crate) use page::Lent;
pub use page::Page;
pub use policy::{CmaUse, Lend};
pub(crate) use reclaim::Undo;
pub use watermark::Watermarks;

#[cfg(test)]
mod tests;

/// The largest order of a block: 2^10 pages, 4 MiB (Linux's `MAX_ORDER - 1` on this board).
pub const MAX_PAGE_ORDER: u32 = 10;
/// How many orders there are.
pub const ORDERS: usize = MAX_PAGE_ORDER as usize + 1;
/// log2 of the pages in a pageblock (Linux's `pageblock_order` without huge pages).
pub const PAGEBLOCK_ORDER: u32 = MAX_PAGE_ORDER;
/// Pages in a pageblock.
pub const PAGEBLOCK_PAGES: u32 = 1 << PAGEBLOCK_ORDER;
/// Pageblocks of a 32-bit address space, which no zone has more of.
const MAX_PAGEBLOCKS: usize = 1024;

/// What the pages of a pageblock may be used for, in Linux's order (`enum migratetype`, `include/linux/mmzone.h`).
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
    /// Lent by a CMA area: serves movable requests only and never changes.
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

    /// Whose the free pages of such a pageblock are: everybody's (0), an area's (1), or nobody's, being isolated (2).
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
