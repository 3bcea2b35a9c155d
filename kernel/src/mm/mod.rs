// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory, from the device tree to its users: the names under which the laboratory uses
//! [`reserved`], [`page_alloc`] and [`migration`].

pub use ::reserved::{self, addresses, early, memblock};
pub use migration::{Undo, contig_range, live, trace};
pub use page_alloc::lru::LruPages;
pub use page_alloc::policy::{CmaUse, Lend};
pub use page_alloc::{
    AllocError, Block, Busy, Imbalance, MAX_PAGE_ORDER, Migratetype, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES, Page,
    RelocatableBuffer, Watermarks, balance, lru, poison, policy, zone,
};
