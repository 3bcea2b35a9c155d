// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sizes of the debris load: the 255 slots of the published experiment, each with a fixed size.

/// Number of slots of the load; a step draws one of them.
pub const SLOTS: usize = 255;

/// Size of each slot in pages, in slot order.
#[rustfmt::skip]
pub const SLOT_PAGES: [u8; SLOTS] = [
    1, 1, 1, 4, 5, 6, 3, 4, 5, 6, 3, 8, 6, 12, 24, 14, 1, 1, 4, 13, 24, 45, 3, 15,
    17, 15, 20, 23, 31, 1, 16, 12, 3, 1, 31, 3, 4, 23, 4, 1, 1, 4, 36, 51, 2, 16, 32, 2,
    4, 34, 2, 4, 32, 1, 5, 1, 13, 21, 17, 4, 1, 1, 3, 4, 6, 12, 5, 2, 2, 1, 4, 4,
    15, 7, 8, 9, 32, 2, 12, 5, 5, 5, 4, 32, 2, 16, 23, 12, 2, 1, 1, 1, 1, 3, 2, 4,
    5, 5, 6, 7, 8, 8, 8, 7, 16, 24, 5, 37, 15, 23, 4, 13, 34, 5, 2, 24, 26, 15, 14, 32,
    12, 2, 4, 34, 4, 12, 42, 1, 1, 1, 3, 31, 1, 3, 34, 4, 4, 4, 4, 24, 4, 4, 4, 4,
    6, 32, 12, 34, 2, 21, 21, 3, 5, 21, 1, 12, 4, 4, 5, 3, 12, 7, 4, 7, 8, 9, 1, 1,
    3, 3, 16, 16, 3, 2, 2, 15, 6, 4, 2, 2, 2, 1, 3, 4, 4, 5, 2, 7, 7, 7, 5, 12,
    3, 4, 5, 6, 34, 2, 1, 1, 1, 1, 1, 1, 4, 4, 4, 4, 5, 7, 5, 4, 3, 4, 2, 4,
    8, 2, 1, 3, 8, 4, 2, 1, 3, 23, 3, 3, 4, 1, 1, 3, 1, 3, 4, 4, 4, 4, 5, 5,
    2, 1, 2, 2, 12, 15, 31, 1, 2, 4, 5, 6, 3, 8, 23,
];

/// The slots of a load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slots {
    /// Number of slots.
    pub count: u32,
    /// Factor by which each is larger than published.
    pub times: u32,
}

impl Slots {
    /// The slots of the published load.
    pub const PUBLISHED: Self = Self { count: SLOTS as u32, times: 1 };

    /// Returns the pages of a slot's buffer. The published sizes repeat, `times` as large.
    #[inline]
    pub fn pages(self, slot: usize) -> u32 {
        u32::from(SLOT_PAGES[slot % SLOTS]) * self.times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_totals() {
        let total: u32 = SLOT_PAGES.iter().map(|&pages| u32::from(pages)).sum();
        assert_eq!(total, 2224);
        assert_eq!((SLOT_PAGES.iter().min(), SLOT_PAGES.iter().max()), (Some(&1), Some(&51)));
    }
}
