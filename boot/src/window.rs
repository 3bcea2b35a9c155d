// SPDX-License-Identifier: MIT OR Apache-2.0

//! The window of 4 KiB mappings for the pages of processes: real translation tables, a real TLB.
//!
//! It is above RAM, where nothing else is mapped, and open while memory has users. Its second-level
//! tables are contiguous in a block of the page allocator, so that a slot's number is the index of
//! its entry; the first level refers to them only while the window is open.

use kernel::machine::Machine;
use kernel::mm::Block;
use kernel::mm::live::space::{AddressSpace, OwnedFrame, Table};
use kernel::units::{PAGE_SIZE, PhysRange};

use crate::cpu::{mappings, mmu};
use crate::machine::Board;
use crate::{dma, frames};

/// Start of the window: after the most RAM that this board can have.
const WINDOW: u32 = 0xa000_0000;
/// Most slots: up to the window of coherent buffers, which makes 1 GiB, the most that processes can
/// use.
const WINDOW_SLOTS: u32 = (dma::WINDOW - WINDOW) / PAGE_SIZE as u32;

/// The window, open while it has tables.
#[derive(Default)]
pub(crate) struct Window {
    tables: Option<Block>,
    slots: u32,
    /// The window's name is registered for fault reports.
    named: bool,
}

impl Window {
    fn range(slots: u32) -> PhysRange {
        PhysRange::sized(WINDOW.into(), u64::from(slots) * PAGE_SIZE)
    }

    /// Returns the address of `slot` in the open window.
    fn slot_address(&self, slot: u32) -> u32 {
        assert!(slot < self.slots, "slot {slot} is not in the window");
        WINDOW + slot * PAGE_SIZE as u32
    }
}

impl AddressSpace for Window {
    fn max_slots(&self) -> u32 {
        WINDOW_SLOTS
    }

    fn open(&mut self, slots: u32, mut tables: Block) -> Result<(), (Block, &'static str)> {
        frames::block_words(&mut tables).fill(0);
        let window = Self::range(slots);
        if !core::mem::replace(&mut self.named, true) {
            mappings::with(|map| map.name(Self::range(WINDOW_SLOTS), "the window of movable pages"));
        }
        let first_table = tables.first().addr().0 as u32;
        // SAFETY: the block is zeroed, and stays the window's, as it is, until `close` has detached
        // it.
        if !mappings::with(|map| unsafe { map.space().attach_tables(window, first_table) }) {
            return Err((tables, "something is mapped where the window should be"));
        }
        (self.tables, self.slots) = (Some(tables), slots);
        Ok(())
    }

    fn close(&mut self) -> Option<Block> {
        let tables = self.tables.take()?;
        mappings::with(|map| map.space().detach_tables(Self::range(self.slots)));
        self.slots = 0;
        Some(tables)
    }

    fn set_entry(&mut self, slot: u32, frame: Option<OwnedFrame>) {
        let Some(tables) = &mut self.tables else { return };
        let entry = frame.map_or(0, |frame| mmu::data_page(frame.frame().addr().0 as u32));
        frames::block_words(tables)[slot as usize] = entry;
        mmu::entry_written();
    }

    fn flush(&mut self, slot: u32) {
        mmu::flush_page(self.slot_address(slot));
    }

    fn words(&mut self, slot: u32) -> &mut [u32] {
        let start = core::ptr::with_exposed_provenance_mut(self.slot_address(slot) as usize);
        // SAFETY:
        // - an address of the window shows a frame that is in use, or faults;
        // - the caller has exclusive access to the window, and with it all access to those frames.
        unsafe { core::slice::from_raw_parts_mut(start, frames::PAGE_WORDS) }
    }

    fn frame_words(&mut self, frame: OwnedFrame) -> &mut [u32] {
        // SAFETY: only a frame's owner has an `OwnedFrame`: it is mapped RAM, accessed only through
        // the window, which is borrowed for as long as the slice lives.
        unsafe { frames::words(frame.frame(), 1) }
    }

    fn copy(&mut self, from: OwnedFrame, to: OwnedFrame) {
        let (from, to) = (from.frame(), to.frame());
        assert_ne!(from, to, "a page is not copied onto itself");
        // SAFETY: as in `frame_words`; the two are different frames.
        let target = unsafe { frames::words(to, 1) };
        // SAFETY: as above.
        let source = unsafe { frames::words(from, 1) };
        target.copy_from_slice(source);
    }

    fn table(&mut self, block: Block) -> Table {
        // SAFETY: the frames are the block's, and the table keeps the block for as long as it has
        // the words.
        let words = unsafe { frames::words(block.first(), 1 << block.order()) };
        Table::new(block, words)
    }

    fn address(&self, slot: u32) -> u64 {
        u64::from(self.slot_address(slot))
    }

    fn now_ns(&self) -> u64 {
        Board.now_ns()
    }
}
