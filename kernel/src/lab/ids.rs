//! A trace's IDs and what each stands for: a hash table that may grow to millions of entries without the kernel's heap.
//!
//! IDs are arbitrary 32-bit numbers. A small table lives on the heap; a larger one in blocks of the page allocator, taken
//! as unmovable pages (which never come from a CMA area) and given back by [`IdTable::release`]. Open addressing with linear
//! probing; at most three quarters full.

use alloc::vec::Vec;
use core::fmt;

use crate::machine::Machine;
use crate::mm::zone::Zone;
use crate::mm::{Block, MAX_PAGE_ORDER, Migratetype};
use crate::units::PAGE_SIZE;

/// Entries of a table that still lives on the heap (8 KiB).
const HEAP_ENTRIES: usize = 1 << 10;
/// Entries of the largest table (128 MiB): more IDs than a trace of 64 MiB can name.
pub const MAX_ID_ENTRIES: usize = 1 << 24;
/// An entry is its ID and its value; the value 0 marks an entry that is free.
const ENTRY_WORDS: usize = 2;
const PAGE_WORDS: usize = PAGE_SIZE as usize / size_of::<u32>();

/// There is no memory for another ID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory {
    /// How many IDs the table holds.
    pub ids: usize,
    /// Bytes that a larger table would take.
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
    storage: Storage,
    entries: usize,
    used: usize,
}

#[derive(Debug)]
enum Storage {
    Heap(Vec<u32>),
    /// Blocks of one order; together a power of two of entries.
    Blocks(Vec<Block>),
}

impl IdTable {
    /// An empty table.
    ///
    /// # Errors
    /// The heap is full.
    pub fn new() -> Result<Self, OutOfMemory> {
        let words = HEAP_ENTRIES * ENTRY_WORDS;
        let mut heap = Vec::new();
        heap.try_reserve_exact(words).map_err(|_| OutOfMemory { ids: 0, wanted_bytes: words * size_of::<u32>() })?;
        heap.resize(words, 0);
        Ok(Self { storage: Storage::Heap(heap), entries: HEAP_ENTRIES, used: 0 })
    }

    /// How many IDs are in the table.
    pub fn ids(&self) -> usize {
        self.used
    }

    /// What an ID stands for.
    pub fn get<M: Machine + ?Sized>(&mut self, machine: &mut M, id: u32) -> Option<u32> {
        match self.probe(machine, id)[1] {
            0 => None,
            value => Some(value),
        }
    }

    /// Gives an ID a value, which must not be 0.
    ///
    /// # Errors
    /// The ID is new and there is no memory for it; the table is as it was.
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

    /// Gives the table's pages back.
    pub fn release(self, zone: &mut Zone<'_>) {
        if let Storage::Blocks(blocks) = self.storage {
            free_blocks(zone, blocks);
        }
    }

    /// The entry that holds an ID, or the free one where it belongs.
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
        let (words, index) = match &mut self.storage {
            Storage::Heap(heap) => (heap.as_mut_slice(), index),
            Storage::Blocks(blocks) => {
                let per_block = self.entries / blocks.len();
                (machine.page_memory(&mut blocks[index / per_block]), index % per_block)
            }
        };
        &mut words.as_chunks_mut().0[index]
    }

    /// Moves everything into a table twice as large.
    fn grow<M: Machine + ?Sized>(&mut self, zone: &mut Zone<'_>, machine: &mut M) -> Result<(), OutOfMemory> {
        let entries = self.entries * 2;
        let wanted_bytes = entries * ENTRY_WORDS * size_of::<u32>();
        let error = OutOfMemory { ids: self.used, wanted_bytes };
        if entries > MAX_ID_ENTRIES {
            return Err(error);
        }
        let pages = (entries * ENTRY_WORDS).div_ceil(PAGE_WORDS);
        let order = pages.ilog2().min(MAX_PAGE_ORDER);
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(pages >> order).map_err(|_| error)?;
        for _ in 0..pages >> order {
            match zone.alloc_pages(order, Migratetype::Unmovable) {
                Ok(mut block) => {
                    machine.page_memory(&mut block).fill(0);
                    blocks.push(block);
                }
                Err(_) => {
                    free_blocks(zone, blocks);
                    return Err(error);
                }
            }
        }
        let old_entries = self.entries;
        let mut larger = Self { storage: Storage::Blocks(blocks), entries, used: self.used };
        for index in 0..old_entries {
            let [id, value] = *self.entry(machine, index);
            if value != 0 {
                *larger.probe(machine, id) = [id, value];
            }
        }
        core::mem::replace(self, larger).release(zone);
        Ok(())
    }
}

fn free_blocks(zone: &mut Zone<'_>, blocks: Vec<Block>) {
    // Last taken, first freed: the lists end in the order they were in.
    for block in blocks.into_iter().rev() {
        zone.free_pages(block);
    }
}

/// Spreads IDs, which are often small or multiples of something, over 32 bits (the finaliser of MurmurHash3).
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
    use crate::mock::with_board;
    use std::collections::HashMap;
    use std::string::ToString;

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn agrees_with_a_map_while_it_grows_and_leaves_the_zone_as_it_was() {
        with_board(64, |system, machine| {
            let before = system.zone.nr_free_pages();
            let mut table = IdTable::new().expect("the heap has room");
            let mut plain = HashMap::new();
            for step in 0..20_000u32 {
                // A third of the IDs repeat; the rest is scattered, 0 and the largest among them.
                let id = if step % 3 == 0 { step % 97 } else { step.wrapping_mul(0x9e37_79b9) };
                table.set(&mut system.zone, machine, id, step + 1).expect("memory is there");
                plain.insert(id, step + 1);
            }
            assert_eq!(table.ids(), plain.len());
            assert!(system.zone.nr_free_pages() < before, "a table this large does not live on the heap");
            for (&id, &value) in &plain {
                assert_eq!(table.get(machine, id), Some(value));
            }
            assert_eq!(table.get(machine, 0xdead_beef), plain.get(&0xdead_beef).copied());
            table.release(&mut system.zone);
            assert_eq!(system.zone.nr_free_pages(), before);
            system.check().expect("the books balance");
        });
    }

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn running_out_of_memory_is_an_answer() {
        with_board(20, |system, machine| {
            let before = system.zone.nr_free_pages();
            let mut table = IdTable::new().expect("the heap has room");
            let error = (0..u32::MAX).find_map(|id| table.set(&mut system.zone, machine, id, 1).err()).expect("full");
            assert_eq!(error.ids, table.ids());
            assert!(error.to_string().contains("KiB free"), "{error}");
            assert_eq!(table.get(machine, 0), Some(1));
            assert_eq!(table.get(machine, table.ids() as u32 - 1), Some(1));
            table.release(&mut system.zone);
            assert_eq!(system.zone.nr_free_pages(), before);
        });
    }
}
