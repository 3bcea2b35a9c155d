// SPDX-License-Identifier: MIT OR Apache-2.0

//! What users of memory ask of the machine: a window of 4 KiB mappings with real translation, and
//! the memory behind frames.
//!
//! `boot` implements [`AddressSpace`] over the page tables and the TLB, the host tests over an
//! arena with tables and a TLB of their own, so that the same kernel code runs in both, and a step
//! that migration leaves out shows in both.

#[cfg(feature = "mock")]
use alloc::vec::Vec;

use cma::Buffer;
use page_alloc::Block;
use units::Pfn;

/// Slots that one second-level table of the processor maps; a window is made of whole tables.
pub const SLOTS_PER_TABLE: u32 = 256;

/// A frame, in the hands of whom it belongs to: of the users of memory, or of a buffer's holder.
/// Nobody else can make one, and without one nobody gets at a frame's contents.
#[derive(Debug)]
pub struct OwnedFrame(Pfn);

impl OwnedFrame {
    /// A frame that somebody lives in, or is about to.
    pub(crate) const fn living(frame: Pfn) -> Self {
        Self(frame)
    }

    /// A page of a buffer.
    pub fn of_buffer(buffer: &Buffer, page: u32) -> Self {
        assert!(page < buffer.pages(), "a buffer's holder has its pages and no others");
        Self(buffer.first().add(page))
    }

    /// For tests: the frame that a device of software reaches by its address.
    #[cfg(feature = "mock")]
    pub const fn by_dma(frame: Pfn) -> Self {
        Self(frame)
    }

    /// Which frame it is.
    pub const fn frame(&self) -> Pfn {
        self.0
    }
}

/// A window of pages that frames can be put behind, and access to the contents of frames for those
/// who own them.
pub trait AddressSpace {
    /// The most slots the window can have, a multiple of [`SLOTS_PER_TABLE`].
    fn max_slots(&self) -> u32;

    /// Makes a window of `slots` slots, all of them unmapped, with its translation tables (4 bytes
    /// a slot) in a block.
    ///
    /// # Errors
    /// The block, and why there is no window.
    fn open(&mut self, slots: u32, tables: Block) -> Result<(), (Block, &'static str)>;

    /// Takes the window down; gives back the block of its tables.
    fn close(&mut self) -> Option<Block>;

    /// Writes the translation of a slot. What the TLB holds of it, it keeps.
    fn set_entry(&mut self, slot: u32, frame: Option<OwnedFrame>);

    /// Makes the TLB forget a slot.
    fn flush(&mut self, slot: u32);

    /// The page that a slot's virtual address shows, as words: whatever TLB and tables say. A slot
    /// that shows nothing faults.
    fn words(&mut self, slot: u32) -> &mut [u32];

    /// A frame's memory, as the kernel reads and writes files' pages.
    fn frame_words(&mut self, frame: OwnedFrame) -> &mut [u32];

    /// Copies a page, frame to frame.
    fn copy(&mut self, from: OwnedFrame, to: OwnedFrame);

    /// Takes the translation of a slot away, and makes the TLB forget it.
    fn unmap(&mut self, slot: u32) {
        self.set_entry(slot, None);
        self.flush(slot);
    }

    /// Moves a page that one slot shows: a call for the four steps, which then know each other.
    fn move_page(&mut self, slot: u32, from: OwnedFrame, to: OwnedFrame) {
        let shown = OwnedFrame(to.0);
        self.unmap(slot);
        self.copy(from, to);
        self.set_entry(slot, Some(shown));
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
    words: TableWords,
}

enum TableWords {
    Frames(&'static mut [u32]),
    #[cfg(feature = "mock")]
    Heap(Vec<u32>),
}

impl Table {
    /// A table in a block, whose memory `words` is, and nobody else's while the table exists.
    pub fn new(block: Block, words: &'static mut [u32]) -> Self {
        words.fill(0);
        Self { block, words: TableWords::Frames(words) }
    }

    /// For tests, a table that only pretends to lie in its block.
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

    /// The words, to be written.
    #[inline]
    pub(super) fn get_mut(&mut self) -> &mut [u32] {
        match &mut self.words {
            TableWords::Frames(words) => words,
            #[cfg(feature = "mock")]
            TableWords::Heap(words) => words,
        }
    }

    /// Ends the table; its memory is the block's holder's again.
    pub(super) fn into_block(self) -> Block {
        self.block
    }
}
