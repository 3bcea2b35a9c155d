// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which pages of a recorded area are held, and what stands for them in the area that is replayed
//! on.
//!
//! Identity in a recording is the page's number, and a driver may give back a part of what it got,
//! so ranges are found by any of their pages: one bit a page says where a range begins, and an
//! entry a page holds, at the first page of a range, how long it is and what it stands for. Ranges
//! do not overlap. What that takes depends on the recorded area, not on the length of the
//! recording.

use crate::words::{NoRoom, WordArray};
use machine::Machine;
use page_alloc::zone::Zone;

const WORD_BITS: u32 = u32::BITS;

/// Pages that the recording holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Held {
    /// The first one, counted from the ledger's first page.
    pub first: u32,
    /// How many, not 0.
    pub pages: u32,
    /// What they stand for; the ledger does not care.
    pub value: u32,
}

impl Held {
    /// Behind the last page.
    pub(super) const fn end(self) -> u32 {
        self.first + self.pages
    }
}

/// The held ranges.
#[derive(Debug)]
pub(super) struct Ledger {
    pages: u32,
    /// No range is longer.
    longest: u32,
    begins: WordArray,
    entries: WordArray,
}

impl Ledger {
    /// An empty ledger of `pages` pages.
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

    /// Bytes that a ledger of `pages` pages takes.
    pub(super) const fn bytes(pages: u32) -> u64 {
        pages as u64 * 8 + pages.div_ceil(WORD_BITS) as u64 * 4
    }

    /// Gives the memory back.
    pub(super) fn release(self, zone: &mut Zone<'_>) {
        self.entries.release(zone);
        self.begins.release(zone);
    }

    /// Notes a range, which overlaps none that is held and lies in the ledger.
    pub(super) fn insert<M: Machine + ?Sized>(&mut self, machine: &mut M, held: Held) {
        debug_assert!(held.pages > 0 && held.first < self.pages && held.pages <= self.pages - held.first);
        *self.begins.word(machine, (held.first / WORD_BITS) as usize) |= 1 << (held.first % WORD_BITS);
        *self.entries.pair(machine, held.first as usize) = [held.pages, held.value];
        self.longest = self.longest.max(held.pages);
    }

    /// Forgets the range that begins at a page, if there is one.
    pub(super) fn remove<M: Machine + ?Sized>(&mut self, machine: &mut M, first: u32) {
        *self.begins.word(machine, (first / WORD_BITS) as usize) &= !(1 << (first % WORD_BITS));
    }

    /// The first range that has a page in common with these.
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

    /// The last page at or before this one at which a range begins that may reach it.
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

    /// The first page behind this one and before `end` at which a range begins.
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

        /// Against one entry a page.
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
