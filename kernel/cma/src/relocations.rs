// SPDX-License-Identifier: MIT OR Apache-2.0

//! What moving buffers to make room has come to in an area.

/// What relocation has done in an area since boot.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Relocations {
    /// Requests that were served because others made room.
    pub served: u64,
    /// Requests that found none all the same.
    pub in_vain: u64,
    /// Buffers that were moved, each time it was.
    pub moved_buffers: u64,
    /// Their pages.
    pub moved_pages: u64,
    /// Owners that could not let go.
    pub busy: u64,
    /// What all of it took: plans, copies and callbacks, in ns.
    pub ns: u64,
}

impl Relocations {
    /// What has been done since an earlier look.
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

    /// Adds what was done elsewhere, or at another time.
    pub fn include(&mut self, other: &Self) {
        self.served += other.served;
        self.in_vain += other.in_vain;
        self.moved_buffers += other.moved_buffers;
        self.moved_pages += other.moved_pages;
        self.busy += other.busy;
        self.ns += other.ns;
    }
}
