// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counters of moving buffers to make room in an area.

/// Counters of relocation in an area since boot.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Relocations {
    /// Requests that were served because buffers were moved.
    pub served: u64,
    /// Requests for which no room could be made.
    pub in_vain: u64,
    /// Moves of buffers.
    pub moved_buffers: u64,
    /// Pages of these moves.
    pub moved_pages: u64,
    /// Plans that failed because an owner was busy.
    pub busy: u64,
    /// Time of plans, copies and callbacks, in ns.
    pub ns: u64,
}

impl Relocations {
    /// Returns the differences to earlier values.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            served: self.served - before.served,
            in_vain: self.in_vain - before.in_vain,
            moved_buffers: self.moved_buffers - before.moved_buffers,
            moved_pages: self.moved_pages - before.moved_pages,
            busy: self.busy - before.busy,
            ns: self.ns - before.ns,
        }
    }

    /// Adds other counters.
    pub fn include(&mut self, other: &Self) {
        self.served += other.served;
        self.in_vain += other.in_vain;
        self.moved_buffers += other.moved_buffers;
        self.moved_pages += other.moved_pages;
        self.busy += other.busy;
        self.ns += other.ns;
    }
}
