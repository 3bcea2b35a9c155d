// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the living ask of the machine: a window of 4 KiB mappings with real translation, and the memory behind frames.
//!
//! `boot` implements [`AddressSpace`] over the page tables and the TLB, the host tests over an arena with tables and a TLB
//! of their own, so that the same kernel code runs in both, and a step that migration leaves out shows in both.

#[cfg(feature = "mock")]
use alloc::vec::Vec;

use page_alloc::Block;
use units::Pfn;

/// Slots that one second-level table of the processor maps; a window is made of whole tables.
pub const SLOTS_PER_TABLE: u32 = 256;

/// A window of pages that frames can be put behind, and access to frames by number.
///
/// Only [`super::Mm`] calls it, and only for frames that belong to something that lives.
pub trait AddressSpace {
    /// The most slots the window can have, a multiple of [`SLOTS_PER_TABLE`].
    fn max_slots(&self) -> u32;

    /// Makes a window of so many slots, all of them unmapped, with its translation tables (4 bytes a slot) in a block.
    ///
    /// # Errors
    /// The block, and why there is no window.
    fn open(&mut self, slots: u32, tables: Block) -> Result<(), (Block, &'static str)>;

    /// Takes the window down; gives back the block of its tables.
    fn close(&mut self) -> Option<Block>;

    /// Writes the translation of a slot. What the TLB holds of it, it keeps.
    fn set_entry(&mut self, slot: u32, frame: Option<Pfn>);

    /// Makes the TLB forget a slot.
    fn flush(&mut self, slot: u32);

    /// The page that a slot's virtual address shows, as words: whatever TLB and tables say. A slot that shows nothing faults.
    fn words(&mut self, slot: u32) -> &mut [u32];

    /// A frame's memory by its number, as the kernel reads and writes files' pages.
    fn frame_words(&mut self, frame: Pfn) -> &mut [u32];

    /// Copies a page, frame to frame.
    fn copy(&mut self, from: Pfn, to: Pfn);

    /// Takes the translation of a slot away, and makes the TLB forget it.
    fn unmap(&mut self, slot: u32) {
        self.set_entry(slot, None);
        self.flush(slot);
    }

    /// Moves a page that one slot shows: a call for the four steps, which then know each other.
    fn move_page(&mut self, slot: u32, from: Pfn, to: Pfn) {
        self.unmap(slot);
        self.copy(from, to);
        self.set_entry(slot, Some(to));
    }

    /// The memory of a block, for a table.
    fn table(&mut self, block: Block) -> Table;

    /// The virtual address of a slot, for reports.
    fn address(&self, slot: u32) -> u64;

    /// Nanoseconds, from the start of the machine.
    fn now_ns(&self) -> u64;
}

/// A block of pages that is used as a table of words until it is given back.
pub struct Table {
    block: Block,
    words: Words,
}

enum Words {
    Frames(&'static mut [u32]),
    #[cfg(feature = "mock")]
    Heap(Vec<u32>),
}

impl Table {
    /// A table in a block, whose memory `words` is, and nobody else's while the table exists.
    pub fn new(block: Block, words: &'static mut [u32]) -> Self {
        words.fill(0);
        Self { block, words: Words::Frames(words) }
    }

    /// For tests, a table that only pretends to lie in its block.
    #[cfg(feature = "mock")]
    pub(crate) fn on_the_heap(block: Block) -> Self {
        let words = alloc::vec![0; 1024 << block.order()];
        Self { block, words: Words::Heap(words) }
    }

    /// The words.
    #[inline]
    pub(super) fn get(&self) -> &[u32] {
        match &self.words {
            Words::Frames(words) => words,
            #[cfg(feature = "mock")]
            Words::Heap(words) => words,
        }
    }

    /// The words, to be written.
    #[inline]
    pub(super) fn get_mut(&mut self) -> &mut [u32] {
        match &mut self.words {
            Words::Frames(words) => words,
            #[cfg(feature = "mock")]
            Words::Heap(words) => words,
        }
    }

    /// Ends the table; its memory is the block's holder's again.
    pub(super) fn into_block(self) -> Block {
        self.block
    }
}
