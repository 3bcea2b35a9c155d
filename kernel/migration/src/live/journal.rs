// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a contiguous allocation has done so far to pages that live, so that a failed one can take
//! it back.
//!
//! Every page that leaves its place on an LRU list gets an entry: where it was, beside whom, and
//! with which marks; and what became of it. Taken back from the last entry to the first
//! (`mm::undo`), each list comes to be what it was, because the list is then, entry by entry, in
//! the state in which the entry was made.

use super::space::Table;
use page_alloc::Frame;
use page_alloc::lru::LruSpot;

/// Words of an entry.
const ENTRY: usize = 4;
/// Bytes of an entry.
pub(super) const ENTRY_BYTES: u32 = 4 * ENTRY as u32;

/// What became of a page that left its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// It is on no list.
    Isolated,
    /// It was moved to this frame.
    Moved(Frame),
    /// It was this page of the cache, and was dropped.
    Dropped(u32),
    /// Reclaim has looked at it, and put it on another list or at the other end.
    Rotated,
}

/// One page's entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// Where it was.
    pub(crate) from: Frame,
    /// Where on its list.
    pub(crate) spot: LruSpot,
    /// What became of it.
    pub(crate) fate: Fate,
}

/// The entries, in the order in which they were made. There is room for one for each page of the
/// zone; what would need more is not begun.
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

    /// How many entries there are.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// True where no entry fits any more.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.len == self.capacity
    }

    /// Forgets all entries.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// A page is off its list; returns the entry's number. The journal must not be full.
    #[inline]
    pub(crate) fn isolated(&mut self, from: Frame, spot: LruSpot) -> u32 {
        let number = self.len;
        *self.words(number) = [from.0, spot.neighbour, u32::from(spot.marks), 0];
        self.len += 1;
        number
    }

    /// What became of the page of an entry.
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

    /// Where the page of an entry was moved, if it was.
    #[inline]
    pub(crate) fn moved_to(&self, number: u32) -> Option<Frame> {
        let fate = self.table.get().as_chunks::<ENTRY>().0[number as usize][3];
        (fate & 3 == 1).then_some(Frame(fate >> 2))
    }

    /// An entry.
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

    /// Takes the last entry out.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        self.len = self.len.checked_sub(1)?;
        Some(self.entry(self.len))
    }

    #[inline]
    fn words(&mut self, number: u32) -> &mut [u32; ENTRY] {
        &mut self.table.get_mut().as_chunks_mut::<ENTRY>().0[number as usize]
    }
}
