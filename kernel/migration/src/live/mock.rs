// SPDX-License-Identifier: MIT OR Apache-2.0

//! For host tests: ways to spoil the accounting, and an address space: frames in a map, translation
//! tables, and a TLB that keeps its entries until they are flushed.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use std::collections::HashMap;

use super::processes::ProcessId;
use super::space::{AddressSpace, OwnedFrame, Table};
use super::{LiveError, Mm};
use page_alloc::Block;
use page_alloc::lru::{DIRTY, PINNED};
use units::Pfn;

/// Replacement for page tables and memory.
#[derive(Default)]
pub struct MockSpace {
    tables: Option<Block>,
    entries: Vec<Option<Pfn>>,
    tlb: Vec<Option<Pfn>>,
    memory: HashMap<u32, Box<[u32; 1024]>>,
    now_ns: Cell<u64>,
}

impl MockSpace {
    fn frame(&mut self, frame: Pfn) -> &mut [u32; 1024] {
        self.memory.entry(frame.0).or_insert_with(|| Box::new([0x5a5a_5a5a; 1024]))
    }
}

impl AddressSpace for MockSpace {
    fn max_slots(&self) -> u32 {
        1 << 18
    }

    fn open(&mut self, slots: u32, tables: Block) -> Result<(), (Block, &'static str)> {
        assert!(1024 << tables.order() >= slots, "a word for each slot");
        self.entries = vec![None; slots as usize];
        self.tlb = vec![None; slots as usize];
        self.tables = Some(tables);
        Ok(())
    }

    fn close(&mut self) -> Option<Block> {
        assert!(self.entries.iter().all(Option::is_none), "everything was unmapped before the window goes");
        self.tables.take()
    }

    fn set_entry(&mut self, slot: u32, frame: Option<OwnedFrame>) {
        self.entries[slot as usize] = frame.map(|frame| frame.frame());
    }

    fn flush(&mut self, slot: u32) {
        self.tlb[slot as usize] = None;
    }

    fn words(&mut self, slot: u32) -> &mut [u32] {
        let slot = slot as usize;
        if self.tlb[slot].is_none() {
            self.tlb[slot] = self.entries[slot];
        }
        let frame = self.tlb[slot].expect("the slot shows a frame");
        self.frame(frame)
    }

    fn frame_words(&mut self, frame: OwnedFrame) -> &mut [u32] {
        self.frame(frame.frame())
    }

    fn copy(&mut self, from: OwnedFrame, to: OwnedFrame) {
        let words = *self.frame(from.frame());
        *self.frame(to.frame()) = words;
    }

    fn table(&mut self, block: Block) -> Table {
        Table::on_the_heap(block)
    }

    fn address(&self, slot: u32) -> u64 {
        0xa000_0000 + (u64::from(slot) << 12)
    }

    fn now_ns(&self) -> u64 {
        self.now_ns.set(self.now_ns.get() + 10);
        self.now_ns.get()
    }
}

/// Makes the slot of a process's page show another frame, and updates nothing else.
pub fn show(mm: &mut Mm<'_, '_>, id: ProcessId, page: u32, frame: Pfn) {
    if let Ok(slot) = mm.slot(id, page) {
        mm.live.slots.set_frame(slot, Some(frame));
    }
}

/// Clears the frame of a cache page, and updates nothing else.
pub fn lose(mm: &mut Mm<'_, '_>, page: u32) {
    mm.live.cache.set_frame(page, None);
}

/// Drops a page from the cache; writes it back first if it is dirty.
///
/// # Errors
/// It is not cached, is pinned, or is dirty and the source refuses it or is still writing it.
pub fn cache_drop(mm: &mut Mm<'_, '_>, page: u32) -> Result<(), LiveError> {
    let frame = mm.cache_frame(page).ok_or(LiveError::NotThere)?;
    let index = mm.zone.frame(frame);
    let tag = mm.zone.living(index).ok_or(LiveError::NotThere)?;
    if tag.has(PINNED) || tag.has(DIRTY) && !mm.write_back(index) {
        return Err(LiveError::Occupied);
    }
    mm.forget_page(page);
    Ok(())
}
