// SPDX-License-Identifier: MIT OR Apache-2.0

//! The window's slots: for each, the frame that it shows, its process, the other slots that show
//! the same page, and the expected content.

use super::space::Table;
use units::Pfn;

/// Words of an entry.
const ENTRY: usize = 3;
/// Bytes of an entry.
pub(super) const ENTRY_BYTES: u32 = 4 * ENTRY as u32;
/// Frame number in the upper bits, process number + 1 in the lower ones.
const FRAME_AND_PROCESS: usize = 0;
/// The next slot in the ring of slots that show the same page; itself if it is the only one.
const NEXT: usize = 1;
/// Stamp of the page's expected content.
const STAMP: usize = 2;

/// Bits of a process number.
pub(super) const PROCESS_BITS: u32 = 12;
const PROCESS_MASK: u32 = (1 << PROCESS_BITS) - 1;

/// The table of slots. A frame number fits 20 bits; 0 is for no frame: page 0 is never RAM here.
pub(super) struct Slots {
    table: Table,
    count: u32,
}

impl Slots {
    /// Makes a table of empty slots over a zeroed `table`.
    pub(super) fn new(table: Table, count: u32) -> Self {
        Self { table, count }
    }

    pub(super) fn into_table(self) -> Table {
        self.table
    }

    /// Number of slots.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    #[inline]
    fn get(&self, slot: u32, word: usize) -> u32 {
        self.table.get()[slot as usize * ENTRY + word]
    }

    #[inline]
    fn set(&mut self, slot: u32, word: usize, value: u32) {
        self.table.get_mut()[slot as usize * ENTRY + word] = value;
    }

    /// The frame that a slot shows.
    #[inline]
    pub(super) fn frame(&self, slot: u32) -> Option<Pfn> {
        let frame = self.get(slot, FRAME_AND_PROCESS) >> PROCESS_BITS;
        (frame != 0).then_some(Pfn(frame))
    }

    #[inline]
    pub(super) fn set_frame(&mut self, slot: u32, frame: Option<Pfn>) {
        let process = self.get(slot, FRAME_AND_PROCESS) & PROCESS_MASK;
        self.set(slot, FRAME_AND_PROCESS, frame.map_or(0, |frame| frame.0) << PROCESS_BITS | process);
    }

    /// Makes a slot show another frame; false if other slots show its page, too.
    #[inline]
    pub(super) fn move_sole(&mut self, slot: u32, frame: Pfn) -> bool {
        let entry = &mut self.table.get_mut().as_chunks_mut::<ENTRY>().0[slot as usize];
        let sole = entry[NEXT] == slot;
        if sole {
            entry[FRAME_AND_PROCESS] = entry[FRAME_AND_PROCESS] & PROCESS_MASK | frame.0 << PROCESS_BITS;
        }
        sole
    }

    /// The number of a slot's process.
    pub(super) fn process(&self, slot: u32) -> Option<u32> {
        (self.get(slot, FRAME_AND_PROCESS) & PROCESS_MASK).checked_sub(1)
    }

    pub(super) fn set_process(&mut self, slot: u32, process: Option<u32>) {
        let word = self.get(slot, FRAME_AND_PROCESS) & !PROCESS_MASK | process.map_or(0, |process| process + 1);
        self.set(slot, FRAME_AND_PROCESS, word);
    }

    #[inline]
    pub(super) fn next(&self, slot: u32) -> u32 {
        self.get(slot, NEXT)
    }

    pub(super) fn set_next(&mut self, slot: u32, next: u32) {
        self.set(slot, NEXT, next);
    }

    /// The previous slot in a slot's ring.
    pub(super) fn previous(&self, slot: u32) -> u32 {
        let mut at = slot;
        while self.next(at) != slot {
            at = self.next(at);
        }
        at
    }

    #[inline]
    pub(super) fn stamp(&self, slot: u32) -> u32 {
        self.get(slot, STAMP)
    }

    #[inline]
    pub(super) fn set_stamp(&mut self, slot: u32, stamp: u32) {
        self.set(slot, STAMP, stamp);
    }
}
