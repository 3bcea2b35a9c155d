// SPDX-License-Identifier: MIT OR Apache-2.0

//! A priority queue in words that may be outside the kernel's heap (`words`): for events by due
//! time, or to sort more values than the heap holds.

use super::words::{HEAP_WORDS, NoRoom, WordArray};
use machine::Machine;
use page_alloc::zone::Zone;

/// Words of an entry: the key's class, its number's high and low half, and the value.
const ENTRY_WORDS: usize = 4;

/// Key of an entry, ordered by class, then by number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Key {
    /// Entries of a lower class come first.
    pub class: u32,
    /// Within a class, entries of a lower number come first.
    pub number: u64,
}

/// The queue: the entry with the lowest key comes first.
#[derive(Debug)]
pub(crate) struct WordHeap {
    words: WordArray,
    room: usize,
    entries: usize,
}

impl WordHeap {
    /// Makes an empty queue.
    ///
    /// # Errors
    /// The heap is full.
    pub(crate) fn new<M: Machine + ?Sized>(zone: &mut Zone<'_>, machine: &mut M) -> Result<Self, NoRoom> {
        Ok(Self { words: WordArray::new(zone, machine, HEAP_WORDS)?, room: HEAP_WORDS / ENTRY_WORDS, entries: 0 })
    }

    /// Releases the memory.
    pub(crate) fn release(self, zone: &mut Zone<'_>) {
        self.words.release(zone);
    }

    /// Returns the number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries
    }

    /// Returns the bytes of a queue with room for one more entry.
    pub(crate) fn wanted_bytes(&self) -> u64 {
        let room = if self.entries == self.room { 2 * self.room } else { self.room };
        (room * ENTRY_WORDS * size_of::<u32>()) as u64
    }

    /// Returns the lowest key.
    pub(crate) fn first<M: Machine + ?Sized>(&mut self, machine: &mut M) -> Option<Key> {
        (self.entries > 0).then(|| self.entry(machine, 0).0)
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// There is no memory for it; the queue is unchanged.
    pub(crate) fn push<M: Machine + ?Sized>(
        &mut self,
        zone: &mut Zone<'_>,
        machine: &mut M,
        key: Key,
        value: u32,
    ) -> Result<(), NoRoom> {
        if self.entries == self.room {
            self.grow(zone, machine)?;
        }
        let mut at = self.entries;
        self.entries += 1;
        // Moves up until the parent is not higher.
        while at > 0 {
            let parent = (at - 1) / 2;
            let above = self.entry(machine, parent);
            if above.0 <= key {
                break;
            }
            self.set(machine, at, above);
            at = parent;
        }
        self.set(machine, at, (key, value));
        Ok(())
    }

    /// Takes the entry with the lowest key.
    pub(crate) fn pop<M: Machine + ?Sized>(&mut self, machine: &mut M) -> Option<(Key, u32)> {
        if self.entries == 0 {
            return None;
        }
        let first = self.entry(machine, 0);
        self.entries -= 1;
        let last = self.entry(machine, self.entries);
        let mut at = 0;
        // Moves down until no child is lower.
        loop {
            let children = 2 * at + 1..(2 * at + 3).min(self.entries);
            let lowest = children.map(|child| (self.entry(machine, child), child)).min_by_key(|(entry, _)| entry.0);
            match lowest {
                Some((below, child)) if below.0 < last.0 => {
                    self.set(machine, at, below);
                    at = child;
                }
                _ => break,
            }
        }
        self.set(machine, at, last);
        Some(first)
    }

    fn entry<M: Machine + ?Sized>(&mut self, machine: &mut M, at: usize) -> (Key, u32) {
        let [class, high] = *self.words.pair(machine, 2 * at);
        let [low, value] = *self.words.pair(machine, 2 * at + 1);
        (Key { class, number: u64::from(high) << 32 | u64::from(low) }, value)
    }

    fn set<M: Machine + ?Sized>(&mut self, machine: &mut M, at: usize, (key, value): (Key, u32)) {
        *self.words.pair(machine, 2 * at) = [key.class, (key.number >> 32) as u32];
        *self.words.pair(machine, 2 * at + 1) = [key.number as u32, value];
    }

    fn grow<M: Machine + ?Sized>(&mut self, zone: &mut Zone<'_>, machine: &mut M) -> Result<(), NoRoom> {
        let room = self.room * 2;
        let mut larger =
            Self { words: WordArray::new(zone, machine, room * ENTRY_WORDS)?, room, entries: self.entries };
        for at in 0..self.entries {
            let entry = self.entry(machine, at);
            larger.set(machine, at, entry);
        }
        core::mem::replace(self, larger).release(zone);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use board_mock::with_board;
    use std::vec::Vec;

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn entries_come_in_the_order_of_their_keys_while_it_grows() {
        with_board(64, |system, machine| {
            let before = system.zone().nr_free_pages();
            let mut queue = WordHeap::new(system.zone_mut(), machine).expect("the heap has room");
            let mut plain = Vec::new();
            for step in 0..20_000u32 {
                let key = Key { class: step % 5, number: u64::from(step.wrapping_mul(0x85eb_ca6b)) << (step % 32) };
                queue.push(system.zone_mut(), machine, key, step).expect("memory is there");
                plain.push((key, step));
                // A few are taken in between.
                if step % 1000 == 999 {
                    let lowest = plain.iter().min().map(|entry| entry.0);
                    assert_eq!(queue.first(machine), lowest);
                    let popped = queue.pop(machine).expect("there are some");
                    plain.retain(|entry| *entry != popped);
                }
            }
            assert!(system.zone().nr_free_pages() < before, "a queue this long does not live on the heap");
            assert_eq!(queue.len(), plain.len());
            plain.sort_unstable();
            let mut popped: Vec<(Key, u32)> = core::iter::from_fn(|| queue.pop(machine)).collect();
            assert!(popped.is_sorted_by_key(|entry| entry.0));
            popped.sort_unstable();
            assert_eq!(popped, plain);
            assert_eq!((queue.first(machine), queue.pop(machine)), (None, None));
            queue.release(system.zone_mut());
            assert_eq!(system.zone().nr_free_pages(), before);
        });
    }
}
