// SPDX-License-Identifier: MIT OR Apache-2.0

//! Record of what a contiguous allocation has done to pages in use, so that a failed one can take
//! it back.
//!
//! Every page that leaves its place on an LRU list gets an entry: its frame, its neighbour on the
//! list, its marks, and what became of it. The entries are taken back from the last to the first
//! (`undo`), so that each list is, entry by entry, in the state in which the entry was made, and at
//! the end as it was before.

use super::space::Table;
use page_alloc::Frame;
use page_alloc::lru::LruSpot;

/// Words of an entry.
const ENTRY: usize = 4;
/// Bytes of an entry.
pub(super) const ENTRY_BYTES: u32 = 4 * ENTRY as u32;

/// State of a page that left its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// It is on no list.
    Isolated,
    /// It was moved to this frame.
    Moved(Frame),
    /// It was dropped; it was this page of the cache.
    Dropped(u32),
    /// Reclaim has kept it, and put it on another list or at the other end.
    Rotated,
}

/// One page's entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// Its frame.
    pub(crate) from: Frame,
    /// Its place on its list.
    pub(crate) spot: LruSpot,
    /// What became of it.
    pub(crate) fate: Fate,
}

/// The entries, in the order in which they were made. When `capacity` is reached, no further page
/// is isolated for an allocation.
pub(crate) struct Journal {
    table: Table,
    capacity: u32,
    len: u32,
}

impl Journal {
    /// An empty journal with room for `capacity` entries.
    pub(super) fn new(table: Table, capacity: u32) -> Self {
        Self { table, capacity, len: 0 }
    }

    pub(super) fn into_table(self) -> Table {
        self.table
    }

    /// Number of entries.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// True if there is no room for another entry.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.len == self.capacity
    }

    /// Forgets all entries.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds an entry for a page that is off its list; returns its number. There must be room.
    #[inline]
    pub(crate) fn isolated(&mut self, from: Frame, spot: LruSpot) -> u32 {
        let number = self.len;
        *self.words(number) = [from.0, spot.neighbour, u32::from(spot.marks), 0];
        self.len += 1;
        number
    }

    /// Records what became of the page of an entry.
    #[inline]
    pub(crate) fn became(&mut self, number: u32, fate: Fate) {
        let (kind, of) = match fate {
            Fate::Isolated => (0, 0),
            Fate::Moved(Frame(to)) => (1, to),
            Fate::Dropped(page) => (2, page),
            Fate::Rotated => (3, 0),
        };
        self.words(number)[3] = of << 2 | kind;
    }

    /// The frame that the page of an entry was moved to, if it was.
    #[inline]
    pub(crate) fn moved_to(&self, number: u32) -> Option<Frame> {
        let fate = self.table.get().as_chunks::<ENTRY>().0[number as usize][3];
        (fate & 3 == 1).then_some(Frame(fate >> 2))
    }

    /// Returns an entry.
    #[inline]
    pub(crate) fn entry(&self, number: u32) -> Entry {
        let [from, neighbour, marks, fate] = self.table.get().as_chunks::<ENTRY>().0[number as usize];
        let fate = match (fate & 3, fate >> 2) {
            (0, _) => Fate::Isolated,
            (1, to) => Fate::Moved(Frame(to)),
            (2, page) => Fate::Dropped(page),
            _ => Fate::Rotated,
        };
        Entry { from: Frame(from), spot: LruSpot { neighbour, marks: marks as u8 }, fate }
    }

    /// Removes and returns the last entry.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        self.len = self.len.checked_sub(1)?;
        Some(self.entry(self.len))
    }

    #[inline]
    fn words(&mut self, number: u32) -> &mut [u32; ENTRY] {
        &mut self.table.get_mut().as_chunks_mut::<ENTRY>().0[number as usize]
    }
}
