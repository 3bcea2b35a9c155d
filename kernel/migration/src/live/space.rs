// SPDX-License-Identifier: MIT OR Apache-2.0

//! The interface of the users of memory to the machine: a window of 4 KiB mappings with real
//! translation, and access to frames.
//!
//! `boot` implements [`AddressSpace`] over the page tables and the TLB, host tests over simulated
//! memory, tables and TLB. So the same kernel code runs in both, and a step that migration leaves
//! out is noticed in both.

#[cfg(feature = "mock")]
use alloc::vec::Vec;

use cma::Buffer;
use page_alloc::Block;
use units::Pfn;

/// Slots that one second-level table of the processor maps; a window is made of whole tables.
pub const SLOTS_PER_TABLE: u32 = 256;

/// A frame for its owner, a user of memory or the holder of a buffer. Frames' contents can be
/// accessed only by one, and it can be made only for a page in use or a page of a buffer.
#[derive(Debug)]
pub struct OwnedFrame(Pfn);

impl OwnedFrame {
    /// Makes one for a frame in use, or about to be.
    pub(crate) const fn living(frame: Pfn) -> Self {
        Self(frame)
    }

    /// Makes one for a page of a buffer.
    pub fn of_buffer(buffer: &Buffer, page: u32) -> Self {
        assert!(page < buffer.pages(), "a buffer's holder has its pages and no others");
        Self(buffer.first().add(page))
    }

    /// For tests: makes one for a frame that a simulated device accesses by its address.
    #[cfg(feature = "mock")]
    pub const fn by_dma(frame: Pfn) -> Self {
        Self(frame)
    }

    /// Its frame number.
    pub const fn frame(&self) -> Pfn {
        self.0
    }
}

/// A window of virtual pages that frames can be mapped at, and access to frames for their owners.
pub trait AddressSpace {
    /// Returns the most slots the window can have, a multiple of [`SLOTS_PER_TABLE`].
    fn max_slots(&self) -> u32;

    /// Makes a window of `slots` unmapped slots, with its translation tables (4 bytes a slot) in
    /// `tables`.
    ///
    /// # Errors
    /// The block, and why there is no window.
    fn open(&mut self, slots: u32, tables: Block) -> Result<(), (Block, &'static str)>;

    /// Removes the window; returns the block of its tables.
    fn close(&mut self) -> Option<Block>;

    /// Writes the translation of a slot; does not flush the TLB.
    fn set_entry(&mut self, slot: u32, frame: Option<OwnedFrame>);

    /// Flushes a slot from the TLB.
    fn flush(&mut self, slot: u32);

    /// Returns the words of the page at a slot's virtual address, as TLB and tables translate it. A
    /// slot without a translation faults.
    fn words(&mut self, slot: u32) -> &mut [u32];

    /// Returns the words of a frame, by which the kernel reads and writes files' pages.
    fn frame_words(&mut self, frame: OwnedFrame) -> &mut [u32];

    /// Copies a page, frame to frame.
    fn copy(&mut self, from: OwnedFrame, to: OwnedFrame);

    /// Removes the translation of a slot, also from the TLB.
    fn unmap(&mut self, slot: u32) {
        self.set_entry(slot, None);
        self.flush(slot);
    }

    /// Moves a page that one slot shows: one dynamic call for its four steps.
    fn move_page(&mut self, slot: u32, from: OwnedFrame, to: OwnedFrame) {
        let shown = OwnedFrame(to.0);
        self.unmap(slot);
        self.copy(from, to);
        self.set_entry(slot, Some(shown));
    }

    /// Makes a table in the memory of a block.
    fn table(&mut self, block: Block) -> Table;

    /// Returns the virtual address of a slot, for reports.
    fn address(&self, slot: u32) -> u64;

    /// Returns nanoseconds since the start of the machine.
    fn now_ns(&self) -> u64;
}

/// A block of pages that is used as a table of words until it is given back.
pub struct Table {
    block: Block,
    words: TableWords,
}

enum TableWords {
    Frames(&'static mut [u32]),
    #[cfg(feature = "mock")]
    Heap(Vec<u32>),
}

impl Table {
    /// Makes a zeroed table in a block; `words` is the block's memory.
    pub fn new(block: Block, words: &'static mut [u32]) -> Self {
        words.fill(0);
        Self { block, words: TableWords::Frames(words) }
    }

    /// For tests: makes a table on the heap, in place of its block.
    #[cfg(feature = "mock")]
    pub(crate) fn on_the_heap(block: Block) -> Self {
        let words = alloc::vec![0; 1024 << block.order()];
        Self { block, words: TableWords::Heap(words) }
    }

    /// The words.
    #[inline]
    pub(super) fn get(&self) -> &[u32] {
        match &self.words {
            TableWords::Frames(words) => words,
            #[cfg(feature = "mock")]
            TableWords::Heap(words) => words,
        }
    }

    /// The words, mutable.
    #[inline]
    pub(super) fn get_mut(&mut self) -> &mut [u32] {
        match &mut self.words {
            TableWords::Frames(words) => words,
            #[cfg(feature = "mock")]
            TableWords::Heap(words) => words,
        }
    }

    /// Ends the table and returns its block.
    pub(super) fn into_block(self) -> Block {
        self.block
    }
}
