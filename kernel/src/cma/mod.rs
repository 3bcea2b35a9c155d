//! Contiguous memory areas: a range of CMA pageblocks each, whose free pages others may use until a driver wants them.
//!
//! The way of the data: a request of so many pages under an alignment → a [`placement`] finds room in the area's
//! [`bitmap`] → the bits are set → `mm`'s contiguous path takes the pages out of the buddy allocator → the holder gets a
//! [`Buffer`], and gives it back. The steps and the retry rules are those of Linux's `cma_alloc` and `cma_release`
//! (`mm/cma.c`).

pub mod alloc;
pub mod area;
pub mod relocate;

#[cfg(test)]
mod tests;

use core::fmt;

use crate::mm::contig_range::Blocked;
use crate::mm::live::watch::OwnedPages;
use crate::units::Pfn;

pub use ::placement::{self, CMA_ALIGNMENT, align_order_of, bitmap};
pub use ::reserved::MAX_CMA_AREAS;

/// The largest alignment order that can be asked for: a 32-bit address space has 2^20 pages.
pub const MAX_ALIGN_ORDER: u32 = 20;

/// Which area: its place among the areas, in the order they were created.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AreaId(pub(crate) u8);

/// Contiguous pages that their holder owns. Neither `Clone` nor `Copy`: the only way to be rid of one is to give it back
/// or to leave it in the system's registry.
#[must_use = "a buffer that is dropped is leaked"]
#[derive(PartialEq, Eq, Debug)]
pub struct Buffer {
    area: AreaId,
    first: Pfn,
    pages: u32,
}

impl Buffer {
    pub(crate) const fn new(area: AreaId, first: Pfn, pages: u32) -> Self {
        Self { area, first, pages }
    }

    /// The area it lies in.
    pub const fn area(&self) -> AreaId {
        self.area
    }

    /// Its first page.
    pub const fn first(&self) -> Pfn {
        self.first
    }

    /// Its length in pages.
    pub const fn pages(&self) -> u32 {
        self.pages
    }

    /// Parts it after so many pages, fewer than it has and at least one.
    pub(crate) fn split(self, pages: u32) -> (Self, Self) {
        debug_assert!(0 < pages && pages < self.pages);
        let Self { area, first, pages: all } = self;
        (Self::new(area, first, pages), Self::new(area, first.add(pages), all - pages))
    }
}

impl OwnedPages for Buffer {
    fn first(&self) -> Pfn {
        self.first
    }

    fn pages(&self) -> u32 {
        self.pages
    }
}

/// Why an allocation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CmaError {
    /// Fewer pages are free than were asked for; or more, but every buffer may move and no arrangement of them has room.
    Full {
        /// Free pages of the area.
        free: u32,
    },
    /// Enough pages are free, but no run of them that is long enough and aligned.
    Fragmented {
        /// Free pages of the area.
        free: u32,
        /// The longest run of free pages.
        longest_run: u32,
    },
    /// There is room in the bitmap, but every candidate holds a page that somebody uses.
    Busy(Blocked),
    /// A candidate could not be emptied for want of memory to move its pages to.
    NoMemory(Blocked),
    /// The request makes no sense.
    Invalid {
        /// Which argument.
        argument: &'static str,
    },
}

impl CmaError {
    /// Linux's error number: -EBUSY, -EINVAL, or -ENOMEM for all that is a lack of something.
    pub const fn errno(&self) -> i32 {
        match self {
            Self::Busy(_) => -16,
            Self::Invalid { .. } => -22,
            Self::Full { .. } | Self::Fragmented { .. } | Self::NoMemory(_) => -12,
        }
    }

    /// The word for records.
    pub const fn cause(&self) -> &'static str {
        match self {
            // A request that no area of this size can ever serve finds it as full as it gets.
            Self::Full { .. } | Self::Invalid { .. } => "full",
            Self::Fragmented { .. } => "fragmented",
            Self::Busy(_) => "busy",
            Self::NoMemory(_) => "no-memory",
        }
    }
}

impl fmt::Display for CmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Full { free } => write!(f, "full: {free} pages free"),
            Self::Fragmented { free, longest_run } => {
                write!(f, "fragmented: {free} pages free, longest free run {longest_run}")
            }
            Self::Busy(blocked) => write!(f, "busy: {blocked}"),
            Self::NoMemory(blocked) => write!(f, "no memory: {blocked}"),
            Self::Invalid { argument } => write!(f, "invalid {argument}"),
        }
    }
}

/// Why a buffer was not taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReleaseError {
    /// The pages do not lie in the area.
    OutsideArea {
        /// The first page named.
        frame: Pfn,
    },
    /// A page of it is not allocated.
    NotAllocated {
        /// The first such page.
        frame: Pfn,
    },
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutsideArea { frame } => write!(f, "the page at pfn {:#x} is not in the area", frame.0),
            Self::NotAllocated { frame } => write!(f, "the page at pfn {:#x} is not allocated", frame.0),
        }
    }
}
