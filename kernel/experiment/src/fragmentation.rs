// SPDX-License-Identifier: MIT OR Apache-2.0

//! Fragmentation of an area by the usual measures: free runs by length, and Gorman's two indices
//! for each order.
//!
//! The indices are those of `mm/vmstat.c` (`unusable_free_index`, `fragmentation_index`), computed
//! for the blocks in which a buddy allocator would hold the area's free pages: aligned, of 2^order
//! pages, as large as possible.

use alloc::string::String;
use core::fmt::{self, Write};

use super::record::Record;
use cma::area::Area;
use page_alloc::MAX_PAGE_ORDER;

/// Number of orders with an index.
pub const ORDERS: usize = MAX_PAGE_ORDER as usize + 1;
/// Number of classes of run lengths: from 2^class pages to less than 2^(class + 1).
const CLASSES: usize = u32::BITS as usize;

/// Free runs and blocks of an area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragmentation {
    free: u32,
    runs: [u32; CLASSES],
    blocks: [u32; ORDERS],
}

impl Fragmentation {
    /// Counts the runs and blocks of an area.
    pub fn of(area: &Area) -> Self {
        let shift = area.order_per_bit();
        let runs = area.bitmap().runs().map(|(start, length)| (area.base().0 + (start << shift), length << shift));
        Self::of_runs(runs)
    }

    /// Counts free runs, each of a first page and a length.
    fn of_runs(free_runs: impl Iterator<Item = (u32, u32)>) -> Self {
        let mut all = Self { free: 0, runs: [0; CLASSES], blocks: [0; ORDERS] };
        for (mut first, mut length) in free_runs.filter(|run| run.1 > 0) {
            all.free += length;
            all.runs[length.ilog2() as usize] += 1;
            while length > 0 {
                let order = first.trailing_zeros().min(length.ilog2()).min(MAX_PAGE_ORDER);
                all.blocks[order as usize] += 1;
                first += 1 << order;
                length -= 1 << order;
            }
        }
        all
    }

    /// Returns the number of free runs in each class, up to that of the longest.
    pub fn runs(&self) -> &[u32] {
        let classes = self.runs.iter().rposition(|&runs| runs > 0).map_or(0, |class| class + 1);
        &self.runs[..classes]
    }

    /// Returns the free pages in blocks of at least 2^`order` pages.
    fn suitable_pages(&self, order: usize) -> u32 {
        (order..).zip(&self.blocks[order..]).map(|(order, blocks)| blocks << order).sum()
    }

    /// Returns the part of the free pages that no request of 2^`order` pages could use, in
    /// permille, floored: from 0, if all of them can, to 1000, if none can, or no page is free.
    pub fn unusable_permille(&self, order: usize) -> u32 {
        if self.free == 0 {
            return 1000;
        }
        let unusable = self.free - self.suitable_pages(order);
        (u64::from(unusable) * 1000 / u64::from(self.free)) as u32
    }

    /// Returns the reason why a request of 2^`order` pages fails, in permille: near 0 for lack of
    /// free pages, near 1000 because they are scattered. Returns -1000 if it does not fail, and 0
    /// if no page is free.
    pub fn index_permille(&self, order: usize) -> i32 {
        let blocks: u32 = self.blocks.iter().sum();
        if blocks == 0 {
            return 0;
        }
        if self.suitable_pages(order) > 0 {
            return -1000;
        }
        let wanted = (u64::from(self.free) * 1000) >> order;
        1000 - ((1000 + wanted) / u64::from(blocks)) as i32
    }

    /// Adds the indices of all orders and the runs to a record.
    pub fn record(&self, record: Record) -> Record {
        record
            .list("runs", self.runs().iter().copied())
            .list("unusable_permille", (0..ORDERS).map(|order| self.unusable_permille(order)))
            .list("fragindex_permille", (0..ORDERS).map(|order| self.index_permille(order)))
    }
}

impl fmt::Display for Fragmentation {
    /// Writes a table for people; ends in a newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "order   pages  free runs of at least these  unusable free  fragmentation index")?;
        for order in 0..ORDERS.max(self.runs().len()) {
            let runs = self.runs().get(order).copied().unwrap_or(0);
            write!(f, "{order:>5} {:>7} {runs:>29}", 1u64 << order)?;
            if order < ORDERS {
                let mut index = String::new();
                match self.index_permille(order) {
                    -1000 => index.push_str("fits"),
                    permille => write!(index, "{}.{:03}", permille / 1000, permille % 1000)?,
                }
                let unusable = self.unusable_permille(order);
                write!(f, " {:>10}.{:03} {index:>20}", unusable / 1000, unusable % 1000)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn by_hand() {
        // Free: 5, 6-7, 16-31 and 40: blocks of 1, 2, 16 and 1 pages, 20 pages in all.
        let runs = [(5, 3), (16, 16), (40, 1)];
        let all = Fragmentation::of_runs(runs.into_iter());
        assert_eq!(all.runs(), [1, 1, 0, 0, 1]);
        assert_eq!((all.blocks[0], all.blocks[1], all.blocks[4], all.free), (2, 1, 1, 20));
        assert_eq!([0, 1, 2, 4, 5].map(|order| all.unusable_permille(order)), [0, 100, 200, 200, 1000]);
        assert_eq!([0, 4].map(|order| all.index_permille(order)), [-1000; 2]);
        // 1 - (1 + 20/32) / 4 blocks.
        assert_eq!(all.index_permille(5), 1000 - 1625 / 4);
        let none = Fragmentation::of_runs([].into_iter());
        assert_eq!((none.unusable_permille(0), none.index_permille(0), none.runs().len()), (1000, 0, 0));
        assert!(
            all.to_string()
                .contains("    5      32                             0          1.000                0.594\n"),
            "{all}"
        );
    }

    proptest! {
        #![proptest_config(property::config(128))]

        /// Counts, by definition, aligned blocks of every order: a free block counts if it is in no
        /// larger free one.
        #[test]
        fn as_defined(free in prop::collection::vec(prop::bool::weighted(0.8), 1..300)) {
            let mut runs = Vec::new();
            let mut at = 0u32;
            for run in free.chunk_by(|a, b| a == b) {
                if run[0] {
                    runs.push((at, run.len() as u32));
                }
                at += run.len() as u32;
            }
            let all = Fragmentation::of_runs(runs.iter().copied());
            let is_free = |first: usize, pages: usize| {
                first + pages <= free.len() && free[first..first + pages].iter().all(|&free| free)
            };
            let blocks: Vec<usize> = (0..ORDERS)
                .map(|order| {
                    let pages = 1usize << order;
                    let whole = |first: &usize| {
                        is_free(*first, pages) && (order == ORDERS - 1 || !is_free(first & !(2 * pages - 1), 2 * pages))
                    };
                    (0..free.len()).step_by(pages).filter(whole).count()
                })
                .collect();
            let total_free = free.iter().filter(|&&free| free).count();
            let total_blocks: usize = blocks.iter().sum();
            for order in 0..ORDERS {
                let usable: usize = (order..ORDERS).map(|order| blocks[order] << order).sum();
                let unusable = ((total_free - usable) * 1000).checked_div(total_free).unwrap_or(1000);
                prop_assert_eq!(all.unusable_permille(order) as usize, unusable);
                let index = all.index_permille(order);
                if total_blocks == 0 {
                    prop_assert_eq!(index, 0);
                } else if usable > 0 {
                    prop_assert_eq!(index, -1000);
                } else {
                    let exact = 1.0 - (1.0 + total_free as f64 / (1u64 << order) as f64) / total_blocks as f64;
                    prop_assert!((f64::from(index) / 1000.0 - exact).abs() <= 0.002, "{} is not {}", index, exact);
                }
            }
            for class in 0..CLASSES {
                let expected = runs.iter().filter(|run| run.1.ilog2() as usize == class).count();
                prop_assert_eq!(all.runs[class] as usize, expected);
            }
        }
    }
}
