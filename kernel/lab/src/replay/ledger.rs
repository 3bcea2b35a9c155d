// SPDX-License-Identifier: MIT OR Apache-2.0

//! The held pages of a recorded area, and a value for each range of them: in the replay, the page
//! offset of its buffer.
//!
//! A page's number identifies it in a recording, and a driver may release a part of a buffer, so a
//! range is found by any of its pages: a mask has a bit for each page at which a range begins, and
//! an array has, at the first page of a range, its length and its value. Ranges do not overlap. The
//! memory for these depends on the recorded area, not on the length of the recording.

use crate::words::{NoRoom, WordArray};
use machine::Machine;
use page_alloc::zone::Zone;

const WORD_BITS: u32 = u32::BITS;

/// A range of pages that is held in the recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Held {
    /// The first page, counted from the ledger's first page.
    pub first: u32,
    /// Number of pages, not 0.
    pub pages: u32,
    /// The value; the ledger does not use it.
    pub value: u32,
}

impl Held {
    /// Returns the page after the last one.
    pub(super) const fn end(self) -> u32 {
        self.first + self.pages
    }
}

/// The held ranges.
#[derive(Debug)]
pub(super) struct Ledger {
    pages: u32,
    /// Upper bound of the ranges' lengths.
    longest: u32,
    begins: WordArray,
    entries: WordArray,
}

impl Ledger {
    /// Makes an empty ledger of `pages` pages.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn new<M: Machine + ?Sized>(zone: &mut Zone<'_>, machine: &mut M, pages: u32) -> Result<Self, NoRoom> {
        let begins = WordArray::new(zone, machine, pages.div_ceil(WORD_BITS) as usize)?;
        match WordArray::new(zone, machine, pages as usize * 2) {
            Ok(entries) => Ok(Self { pages, longest: 0, begins, entries }),
            Err(error) => {
                begins.release(zone);
                Err(error)
            }
        }
    }

    /// Returns the bytes of a ledger of `pages` pages.
    pub(super) const fn bytes(pages: u32) -> u64 {
        pages as u64 * 8 + pages.div_ceil(WORD_BITS) as u64 * 4
    }

    /// Releases the memory.
    pub(super) fn release(self, zone: &mut Zone<'_>) {
        self.entries.release(zone);
        self.begins.release(zone);
    }

    /// Adds a range, which must be inside the ledger and overlap no other range.
    pub(super) fn insert<M: Machine + ?Sized>(&mut self, machine: &mut M, held: Held) {
        debug_assert!(held.pages > 0 && held.first < self.pages && held.pages <= self.pages - held.first);
        *self.begins.word(machine, (held.first / WORD_BITS) as usize) |= 1 << (held.first % WORD_BITS);
        *self.entries.pair(machine, held.first as usize) = [held.pages, held.value];
        self.longest = self.longest.max(held.pages);
    }

    /// Removes the range that begins at page `first`, if there is one.
    pub(super) fn remove<M: Machine + ?Sized>(&mut self, machine: &mut M, first: u32) {
        *self.begins.word(machine, (first / WORD_BITS) as usize) &= !(1 << (first % WORD_BITS));
    }

    /// Returns the first range that overlaps `pages` pages from `first` on.
    pub(super) fn first_in<M: Machine + ?Sized>(&mut self, machine: &mut M, first: u32, pages: u32) -> Option<Held> {
        if first >= self.pages || pages == 0 {
            return None;
        }
        let end = first.saturating_add(pages).min(self.pages);
        let before = self.last_begin(machine, first).map(|begin| self.at(machine, begin));
        before
            .filter(|held| held.end() > first)
            .or_else(|| self.next_begin(machine, first, end).map(|begin| self.at(machine, begin)))
    }

    fn at<M: Machine + ?Sized>(&mut self, machine: &mut M, first: u32) -> Held {
        let [pages, value] = *self.entries.pair(machine, first as usize);
        Held { first, pages, value }
    }

    /// Returns the last page at or before `page` at which a range begins that may reach `page`.
    fn last_begin<M: Machine + ?Sized>(&mut self, machine: &mut M, page: u32) -> Option<u32> {
        let lowest = page.saturating_sub(self.longest) / WORD_BITS;
        let mut word = page / WORD_BITS;
        let mut bits = *self.begins.word(machine, word as usize) & (u32::MAX >> (WORD_BITS - 1 - page % WORD_BITS));
        while bits == 0 {
            word = word.checked_sub(1).filter(|&word| word >= lowest)?;
            bits = *self.begins.word(machine, word as usize);
        }
        Some(word * WORD_BITS + bits.ilog2())
    }

    /// Returns the first page after `page` and before `end` at which a range begins.
    fn next_begin<M: Machine + ?Sized>(&mut self, machine: &mut M, page: u32, end: u32) -> Option<u32> {
        let mut at = page + 1;
        while at < end {
            let bits = *self.begins.word(machine, (at / WORD_BITS) as usize) >> (at % WORD_BITS);
            if bits != 0 {
                return Some(at + bits.trailing_zeros()).filter(|&begin| begin < end);
            }
            at = (at / WORD_BITS + 1) * WORD_BITS;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use board_mock::with_board;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    proptest! {
        #![proptest_config(property::config(64))]

        /// Compares the ledger with an array of one entry for each page.
        #[test]
        fn finds_what_a_plain_map_finds(
            pages in 1u32..5000,
            steps in proptest::collection::vec((any::<u32>(), 1u32..200, any::<bool>()), 0..80),
        ) {
            with_board(64, |system, machine| {
                let free = system.zone().nr_free_pages();
                let mut ledger = Ledger::new(system.zone_mut(), machine, pages).expect("memory is there");
                let mut plain: Vec<Option<Held>> = vec![None; pages as usize];
                for (value, (place, length, insert)) in steps.into_iter().enumerate() {
                    let first = place % pages;
                    let end = first.saturating_add(length).min(pages);
                    let expected = plain[first as usize..end as usize].iter().flatten().next().copied();
                    let found = ledger.first_in(machine, first, length);
                    assert_eq!(found, expected);
                    match found {
                        None if insert => {
                            let held = Held { first, pages: end - first, value: value as u32 };
                            ledger.insert(machine, held);
                            plain[first as usize..end as usize].fill(Some(held));
                        }
                        Some(held) if !insert => {
                            ledger.remove(machine, held.first);
                            plain[held.first as usize..held.end() as usize].fill(None);
                        }
                        _ => {}
                    }
                }
                assert_eq!(ledger.first_in(machine, pages, 1), None);
                ledger.release(system.zone_mut());
                assert_eq!(system.zone().nr_free_pages(), free);
            });
        }
    }
}
