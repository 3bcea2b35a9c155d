// SPDX-License-Identifier: MIT OR Apache-2.0

//! The number of a frame in its zone, which finds its descriptor. Interfaces mostly use page frame
//! numbers instead.

use core::ops::{Add, AddAssign, Range, Sub};

use super::{PAGEBLOCK_ORDER, PAGEBLOCK_PAGES};

/// A page frame, counted from the zone's first, which is on a pageblock boundary, so that
/// arithmetic finds buddies and pageblocks ([`Zone::frame`](super::zone::Zone::frame)).
#[repr(transparent)]
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Frame(pub u32);

impl Frame {
    /// The buddy of a block of `pages` pages, a power of two, that begins here.
    #[inline(always)]
    pub(super) const fn buddy(self, pages: u32) -> Self {
        Self(self.0 ^ pages)
    }

    /// The start of the block that a block of `pages` pages, a power of two, and its buddy form.
    #[inline(always)]
    pub(super) const fn merged(self, pages: u32) -> Self {
        Self(self.0 & !pages)
    }

    /// The start of the block of `pages` pages, a power of two, that would hold it.
    #[inline(always)]
    pub(super) const fn align_down(self, pages: u32) -> Self {
        Self(self.0 & !(pages - 1))
    }

    /// The number of its pageblock.
    #[inline(always)]
    pub(super) const fn pageblock(self) -> usize {
        (self.0 >> PAGEBLOCK_ORDER) as usize
    }

    /// log2 of the largest block that may begin here.
    #[inline(always)]
    pub(super) const fn order(self) -> u32 {
        (self.0 | PAGEBLOCK_PAGES).trailing_zeros()
    }
}

/// The frames of a range, in ascending order.
#[inline]
pub fn frames(range: Range<Frame>) -> impl DoubleEndedIterator<Item = Frame> + ExactSizeIterator {
    (range.start.0..range.end.0).map(Frame)
}

impl Add<u32> for Frame {
    type Output = Self;

    #[inline(always)]
    fn add(self, pages: u32) -> Self {
        Self(self.0 + pages)
    }
}

impl AddAssign<u32> for Frame {
    #[inline(always)]
    fn add_assign(&mut self, pages: u32) {
        self.0 += pages;
    }
}

/// The number of pages from an earlier frame to this one.
impl Sub for Frame {
    type Output = u32;

    #[inline(always)]
    fn sub(self, earlier: Self) -> u32 {
        self.0 - earlier.0
    }
}
