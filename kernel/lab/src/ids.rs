// SPDX-License-Identifier: MIT OR Apache-2.0

//! A table from a trace's IDs to values: a hash table that can grow to millions of entries without
//! the kernel's heap.
//!
//! IDs are arbitrary 32-bit numbers. Open addressing with linear probing, at most three quarters
//! full, in words that may be outside the heap.

use core::fmt;

use super::words::{HEAP_WORDS, WordArray};
use machine::Machine;
use page_alloc::zone::Zone;

/// Entries of a table that is on the heap.
const HEAP_ENTRIES: usize = HEAP_WORDS / ENTRY_WORDS;
/// Entries of the largest table (128 MiB): more IDs than a trace of 64 MiB can name.
pub const MAX_ID_ENTRIES: usize = 1 << 24;
/// Words of an entry: the ID and its value; the value 0 marks a free entry.
const ENTRY_WORDS: usize = 2;

/// There is no memory for another ID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory {
    /// Number of IDs in the table.
    pub ids: usize,
    /// Bytes that a larger table needs.
    pub wanted_bytes: usize,
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ids, wanted_bytes } = self;
        if *wanted_bytes > MAX_ID_ENTRIES * ENTRY_WORDS * size_of::<u32>() {
            write!(f, "more than {ids} different IDs; raise MAX_ID_ENTRIES")
        } else {
            write!(
                f,
                "{ids} different IDs, and no {} KiB free for a larger table; boot with more memory",
                wanted_bytes / 1024
            )
        }
    }
}

/// Maps IDs to values that are not 0.
#[derive(Debug)]
pub struct IdTable {
    words: WordArray,
    entries: usize,
    used: usize,
}

impl IdTable {
    /// Makes an empty table.
    ///
    /// # Errors
    /// The heap is full.
    pub fn new<M: Machine + ?Sized>(zone: &mut Zone<'_>, machine: &mut M) -> Result<Self, OutOfMemory> {
        Self::with_entries(zone, machine, HEAP_ENTRIES, 0)
    }

    fn with_entries<M: Machine + ?Sized>(
        zone: &mut Zone<'_>,
        machine: &mut M,
        entries: usize,
        used: usize,
    ) -> Result<Self, OutOfMemory> {
        let words = entries * ENTRY_WORDS;
        let error = OutOfMemory { ids: used, wanted_bytes: words * size_of::<u32>() };
        let words = WordArray::new(zone, machine, words).map_err(|_| error)?;
        Ok(Self { words, entries, used })
    }

    /// Returns the number of IDs in the table.
    pub fn ids(&self) -> usize {
        self.used
    }

    /// Returns the value of `id`.
    pub fn get<M: Machine + ?Sized>(&mut self, machine: &mut M, id: u32) -> Option<u32> {
        match self.probe(machine, id)[1] {
            0 => None,
            value => Some(value),
        }
    }

    /// Sets the value of `id`, which must not be 0.
    ///
    /// # Errors
    /// The ID is new and there is no memory for it; the table is unchanged.
    pub fn set<M: Machine + ?Sized>(
        &mut self,
        zone: &mut Zone<'_>,
        machine: &mut M,
        id: u32,
        value: u32,
    ) -> Result<(), OutOfMemory> {
        debug_assert_ne!(value, 0);
        let entry = self.probe(machine, id);
        if entry[1] != 0 {
            entry[1] = value;
            return Ok(());
        }
        if (self.used + 1) * 4 > self.entries * 3 {
            self.grow(zone, machine)?;
        }
        *self.probe(machine, id) = [id, value];
        self.used += 1;
        Ok(())
    }

    /// Changes the value of an ID in the table; `value` must not be 0.
    pub fn replace<M: Machine + ?Sized>(&mut self, machine: &mut M, id: u32, value: u32) {
        debug_assert_ne!(value, 0);
        let entry = self.probe(machine, id);
        if entry[1] != 0 {
            entry[1] = value;
        }
    }

    /// Releases the table's pages.
    pub fn release(self, zone: &mut Zone<'_>) {
        self.words.release(zone);
    }

    /// Returns the entry of `id`, or the free entry for it.
    fn probe<'a, M: Machine + ?Sized>(&'a mut self, machine: &'a mut M, id: u32) -> &'a mut [u32; ENTRY_WORDS] {
        let mask = self.entries - 1;
        let mut index = scatter(id) as usize & mask;
        loop {
            let [held, value] = *self.entry(machine, index);
            if value == 0 || held == id {
                return self.entry(machine, index);
            }
            index = (index + 1) & mask;
        }
    }

    fn entry<'a, M: Machine + ?Sized>(&'a mut self, machine: &'a mut M, index: usize) -> &'a mut [u32; ENTRY_WORDS] {
        self.words.pair(machine, index)
    }

    /// Moves all entries into a table of twice the size.
    fn grow<M: Machine + ?Sized>(&mut self, zone: &mut Zone<'_>, machine: &mut M) -> Result<(), OutOfMemory> {
        let entries = self.entries * 2;
        if entries > MAX_ID_ENTRIES {
            let wanted_bytes = entries * ENTRY_WORDS * size_of::<u32>();
            return Err(OutOfMemory { ids: self.used, wanted_bytes });
        }
        let mut larger = Self::with_entries(zone, machine, entries, self.used)?;
        for index in 0..self.entries {
            let [id, value] = *self.entry(machine, index);
            if value != 0 {
                *larger.probe(machine, id) = [id, value];
            }
        }
        core::mem::replace(self, larger).release(zone);
        Ok(())
    }
}

/// Spreads IDs, which are often small or multiples of a number, over 32 bits (the finaliser of
/// MurmurHash3).
const fn scatter(id: u32) -> u32 {
    let mut hash = id;
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use board_mock::with_board;
    use std::collections::HashMap;
    use std::string::ToString;

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn agrees_with_a_map_while_it_grows_and_leaves_the_zone_as_it_was() {
        with_board(64, |system, machine| {
            let before = system.zone().nr_free_pages();
            let mut table = IdTable::new(system.zone_mut(), machine).expect("the heap has room");
            let mut plain = HashMap::new();
            for step in 0..20_000u32 {
                // A third of the IDs repeat; the others are scattered, with 0 and the largest.
                let id = if step % 3 == 0 { step % 97 } else { step.wrapping_mul(0x9e37_79b9) };
                table.set(system.zone_mut(), machine, id, step + 1).expect("memory is there");
                plain.insert(id, step + 1);
            }
            assert_eq!(table.ids(), plain.len());
            assert!(system.zone().nr_free_pages() < before, "a table this large does not live on the heap");
            for (&id, &value) in &plain {
                assert_eq!(table.get(machine, id), Some(value));
            }
            assert_eq!(table.get(machine, 0xdead_beef), plain.get(&0xdead_beef).copied());
            table.release(system.zone_mut());
            assert_eq!(system.zone().nr_free_pages(), before);
            system.check().expect("the accounting balances");
        });
    }

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn running_out_of_memory_is_an_answer() {
        with_board(20, |system, machine| {
            let before = system.zone().nr_free_pages();
            let mut table = IdTable::new(system.zone_mut(), machine).expect("the heap has room");
            let error = (0..u32::MAX).find_map(|id| table.set(system.zone_mut(), machine, id, 1).err()).expect("full");
            assert_eq!(error.ids, table.ids());
            assert!(error.to_string().contains("KiB free"), "{error}");
            assert_eq!(table.get(machine, 0), Some(1));
            assert_eq!(table.get(machine, table.ids() as u32 - 1), Some(1));
            table.release(system.zone_mut());
            assert_eq!(system.zone().nr_free_pages(), before);
        });
    }
}
