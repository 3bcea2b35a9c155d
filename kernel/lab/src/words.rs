// SPDX-License-Identifier: MIT OR Apache-2.0

//! An array of words that may be larger than the kernel's heap, for the tables of large traces.
//!
//! A small one is on the heap; a larger one is in blocks of the page allocator, allocated as
//! unmovable pages (never from a CMA area) and released by [`WordArray::release`].

use alloc::vec::Vec;

use machine::Machine;
use page_alloc::zone::Zone;
use page_alloc::{Block, MAX_PAGE_ORDER, Migratetype};
use units::PAGE_SIZE;

/// Words of an array that is on the heap (8 KiB).
pub(crate) const HEAP_WORDS: usize = 1 << 11;
const PAGE_WORDS: usize = PAGE_SIZE as usize / size_of::<u32>();

/// There is no memory for the words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NoRoom;

/// The words, initially 0.
#[derive(Debug)]
pub(crate) struct WordArray {
    storage: Storage,
}

#[derive(Debug)]
enum Storage {
    Heap(Vec<u32>),
    /// Blocks of 2^order pages each.
    Blocks(Vec<Block>, u32),
}

impl WordArray {
    /// Makes an array of `words` words, all 0.
    ///
    /// # Errors
    /// There is no memory for them; nothing stays allocated.
    pub(crate) fn new<M: Machine + ?Sized>(zone: &mut Zone<'_>, machine: &mut M, words: usize) -> Result<Self, NoRoom> {
        if words <= HEAP_WORDS {
            let mut heap = Vec::new();
            heap.try_reserve_exact(words).map_err(|_| NoRoom)?;
            heap.resize(words, 0);
            return Ok(Self { storage: Storage::Heap(heap) });
        }
        let pages = words.div_ceil(PAGE_WORDS);
        let order = pages.next_power_of_two().ilog2().min(MAX_PAGE_ORDER);
        let count = pages.div_ceil(1 << order);
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(count).map_err(|_| NoRoom)?;
        for _ in 0..count {
            match zone.alloc_pages(order, Migratetype::Unmovable) {
                Ok(mut block) => {
                    machine.page_memory(&mut block).fill(0);
                    blocks.push(block);
                }
                Err(_) => {
                    free_blocks(zone, blocks);
                    return Err(NoRoom);
                }
            }
        }
        Ok(Self { storage: Storage::Blocks(blocks, order) })
    }

    /// Returns the two words of a pair.
    pub(crate) fn pair<'a, M: Machine + ?Sized>(&'a mut self, machine: &'a mut M, pair: usize) -> &'a mut [u32; 2] {
        let (words, pair) = self.part(machine, pair, PAGE_WORDS / 2);
        &mut words.as_chunks_mut().0[pair]
    }

    /// Returns one word.
    pub(crate) fn word<'a, M: Machine + ?Sized>(&'a mut self, machine: &'a mut M, word: usize) -> &'a mut u32 {
        let (words, word) = self.part(machine, word, PAGE_WORDS);
        &mut words[word]
    }

    /// Returns the part of the array that holds `item`, and its index there; a page holds
    /// `per_page` items.
    fn part<'a, M: Machine + ?Sized>(
        &'a mut self,
        machine: &'a mut M,
        item: usize,
        per_page: usize,
    ) -> (&'a mut [u32], usize) {
        match &mut self.storage {
            Storage::Heap(heap) => (heap.as_mut_slice(), item),
            Storage::Blocks(blocks, order) => {
                let per_block = per_page << *order;
                (machine.page_memory(&mut blocks[item / per_block]), item % per_block)
            }
        }
    }

    /// Releases the pages.
    pub(crate) fn release(self, zone: &mut Zone<'_>) {
        if let Storage::Blocks(blocks, _) = self.storage {
            free_blocks(zone, blocks);
        }
    }
}

fn free_blocks(zone: &mut Zone<'_>, blocks: Vec<Block>) {
    // Freed in reverse order, so that the free lists keep their order.
    for block in blocks.into_iter().rev() {
        zone.free_pages(block);
    }
}
