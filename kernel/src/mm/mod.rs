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

pub mod contig_range;
pub mod live;
mod migrate;
mod reclaim;
mod undo;

pub(crate) use reclaim::Undo;

pub use ::reserved::{self, addresses, early, memblock};
pub use page_alloc::lru::LruPages;
pub use page_alloc::policy::{CmaUse, Lend};
pub use page_alloc::{
    AllocError, Block, Busy, Imbalance, Lent, MAX_PAGE_ORDER, Migratetype, ORDERS, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES,
    Page, Watermarks, balance, frames, lru, policy, trace, zone,
};
