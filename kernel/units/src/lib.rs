// SPDX-License-Identifier: MIT OR Apache-2.0

//! Units of the interfaces: page frame numbers, physical addresses and ranges.
//!
//! A bare integer does not say whether it counts bytes, pages or bits; these types do. Physical
//! addresses are 64 bits wide because a device tree may name addresses above 4 GiB that the
//! processor cannot reach.
//!
//! Other crates depend on this one, and it depends on none of them. [`notes`] collects messages
//! about faults that are found before there is a console.
//!
//! ```
//! use units::{PAGE_SIZE, Pfn, PhysAddr, PhysRange};
//!
//! let area = PhysRange::sized(0x6980_0000, 2048 * PAGE_SIZE);
//! assert_eq!(area.to_string(), "[mem 0x69800000-0x69ffffff]");
//! assert_eq!(PhysAddr(area.start + 5000).pfn(), Pfn(0x69801));
//! assert_eq!(Pfn(0x69801).add(2047).addr(), PhysAddr(area.end));
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod linux;
pub mod notes;
pub mod table;

use core::fmt;

/// log2 of the page size in bytes.
pub const PAGE_SHIFT: u32 = 12;
/// Page size in bytes.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;
/// One past the largest physical address of this processor (no LPAE on a Cortex-A9).
pub const ADDRESS_LIMIT: u64 = 1 << 32;

/// log2 of the pages in a pageblock (Linux's `pageblock_order` without huge pages).
pub const PAGEBLOCK_ORDER: u32 = 10;
/// Pages in a pageblock.
pub const PAGEBLOCK_PAGES: u32 = 1 << PAGEBLOCK_ORDER;

/// A page frame number: physical address divided by [`PAGE_SIZE`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Pfn(pub u32);

impl Pfn {
    /// Returns the physical address of the page's first byte.
    pub const fn addr(self) -> PhysAddr {
        PhysAddr((self.0 as u64) << PAGE_SHIFT)
    }

    /// Returns the frame `pages` frames after it.
    pub const fn add(self, pages: u32) -> Self {
        Self(self.0 + pages)
    }
}

/// Most areas, including the default one (Linux's `CONFIG_CMA_AREAS` + 1).
pub const MAX_CMA_AREAS: usize = 8;

/// A physical address in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PhysAddr(pub u64);

impl PhysAddr {
    /// Returns the frame that contains this address.
    pub const fn pfn(self) -> Pfn {
        Pfn((self.0 >> PAGE_SHIFT) as u32)
    }
}

impl fmt::Display for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// A half-open range of physical addresses, in bytes: `start <= end`, `end` excluded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PhysRange {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl PhysRange {
    /// Makes the range of `size_bytes` bytes from `start`; saturates at the end of the space.
    pub const fn sized(start: u64, size_bytes: u64) -> Self {
        Self { start, end: start.saturating_add(size_bytes) }
    }

    /// Length in bytes.
    pub const fn size(&self) -> u64 {
        self.end - self.start
    }

    /// True if the range contains no byte.
    pub const fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// True if the two ranges share at least one byte.
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end && !self.is_empty() && !other.is_empty()
    }

    /// True if every byte of `other` is in this range.
    pub const fn contains(&self, other: &Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

impl fmt::Display for PhysRange {
    /// Writes it as Linux prints resources: first and last byte, both included.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[mem {:#010x}-{:#010x}]", self.start, self.end.wrapping_sub(1))
    }
}
