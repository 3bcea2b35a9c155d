// SPDX-License-Identifier: MIT OR Apache-2.0

//! Contiguous memory areas. Each is a range of CMA pageblocks, whose free pages others may use
//! until a driver wants them.
//!
//! The data flow: a request (pages and alignment) → a [`placement`] finds room in the area's
//! [`placement::bitmap`] → the bits are set → [`Areas`] takes the pages out of the buddy allocator
//! → the holder gets a [`Buffer`], and later releases it. The steps and the retry rules are those
//! of Linux's `cma_alloc` and `cma_release` (`mm/cma.c`).
//!
//! Invariants: an area's bitmap says which of its pages are allocated, and agrees with the page
//! allocator ([`area::Area::check`]); a [`Buffer`] is a value that is neither `Clone` nor `Copy`;
//! an error says why a request failed.
//!
//! This crate moves no page in use, which `migration` does: it skips candidates that hold one.
//!
//! # Example
//! ```
//! use cma::area::Area;
//! use units::Pfn;
//!
//! let mut area = Area::new("camera".into(), Pfn(0x60800), 2048, 0);
//! let request = area.request(300, 8).unwrap();
//! let bit = area.place(&request).expect("it is empty");
//! area.reserve(bit, request.bits);
//! assert_eq!((area.frame(bit), area.used_pages()), (Pfn(0x60800), 300));
//! assert_eq!(area.shortage(1800).to_string(), "full: 1748 pages free");
//! area.release(Pfn(0x60800), 300).unwrap();
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod area;
mod areas;
pub mod blocked;
mod relocations;

use core::fmt;

use blocked::Blocked;
use units::Pfn;
use units::linux::LinuxVersion;

pub use ::placement::{CMA_ALIGNMENT, align_order_of};
pub use areas::{AreaUser, Areas};
pub use relocations::Relocations;

/// The largest alignment order of a request: a 32-bit address space has 2^20 pages.
pub const MAX_ALIGN_ORDER: u32 = 20;

/// ID of an area: its index in the order of creation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AreaId(pub u8);

/// Contiguous pages that their holder owns. Neither `Clone` nor `Copy`: the holder has to release
/// it or leave it in the system's registry.
#[must_use = "a buffer that is dropped is leaked"]
#[derive(PartialEq, Eq, Debug)]
pub struct Buffer {
    area: AreaId,
    first: Pfn,
    pages: u32,
}

impl Buffer {
    /// Makes a buffer of pages of an area that the caller has allocated there, or has taken out of
    /// a registry.
    pub const fn new(area: AreaId, first: Pfn, pages: u32) -> Self {
        Self { area, first, pages }
    }

    /// The area that contains it.
    pub const fn area(&self) -> AreaId {
        self.area
    }

    /// Its first page.
    pub const fn first(&self) -> Pfn {
        self.first
    }

    /// Its number of pages.
    pub const fn pages(&self) -> u32 {
        self.pages
    }

    /// Splits it after `pages` pages, at least one and fewer than it has.
    pub fn split(self, pages: u32) -> (Self, Self) {
        debug_assert!(0 < pages && pages < self.pages);
        let Self { area, first, pages: all } = self;
        (Self::new(area, first, pages), Self::new(area, first.add(pages), all - pages))
    }
}

/// Why an allocation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CmaError {
    /// Fewer pages are free than were asked for; or enough are free and every buffer may move, but
    /// no arrangement of the buffers has room.
    Full {
        /// Free pages of the area.
        free: u32,
    },
    /// Enough pages are free, but no run of them is long enough and aligned. The longest run is not
    /// part of the error, since finding it costs more than most calls: see
    /// [`Area::explain`](area::Area::explain).
    Fragmented {
        /// Free pages of the area.
        free: u32,
    },
    /// There is room in the bitmap, but every candidate holds a page in use.
    Busy(Blocked),
    /// A candidate could not be emptied for lack of memory to move its pages to.
    NoMemory(Blocked),
    /// An argument of the request is invalid.
    Invalid {
        /// The name of the argument.
        argument: &'static str,
    },
}

impl CmaError {
    /// Returns the error number of a version of Linux: -EBUSY, -EINVAL, -ENOMEM, or for a lack of
    /// room the version's own one.
    pub const fn errno(&self, linux: LinuxVersion) -> i32 {
        match self {
            Self::Busy(_) => -16,
            Self::Invalid { .. } => -22,
            Self::NoMemory(_) => -12,
            Self::Full { .. } | Self::Fragmented { .. } => -linux.differences().errno_no_room,
        }
    }

    /// Returns the word for records.
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::Full { .. } => "full",
            Self::Invalid { .. } => "invalid",
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
            Self::Fragmented { free } => write!(f, "fragmented: {free} pages free"),
            Self::Busy(blocked) => write!(f, "busy: {blocked}"),
            Self::NoMemory(blocked) => write!(f, "no memory: {blocked}"),
            Self::Invalid { argument } => write!(f, "invalid {argument}"),
        }
    }
}

/// Why a buffer was not released.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReleaseError {
    /// The pages are not all in the area.
    OutsideArea {
        /// The first page of the buffer.
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

#[cfg(test)]
mod tests;
