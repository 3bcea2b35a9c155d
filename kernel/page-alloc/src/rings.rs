// SPDX-License-Identifier: MIT OR Apache-2.0

//! Further rings through the descriptors: the per-CPU lists and the LRU lists.
//!
//! They are closed like the free lists, by descriptors of their own behind the frames of the zone, which count their
//! pages. What a page on a ring is, its tag says; linking and unlinking leaves the tag alone.

use super::free_list::FreeLists;
use super::zone::Zone;

/// A list of single pages.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ring {
    /// Free pages for unmovable requests, next to the processor.
    PcpUnmovable,
    /// The same for movable requests; CMA pages among them.
    PcpMovable,
    /// The same for reclaimable requests.
    PcpReclaimable,
    /// Mapped pages that were not used lately.
    InactiveAnon,
    /// Mapped pages in use.
    ActiveAnon,
    /// Cache pages that were not used lately: the first to go.
    InactiveFile,
    /// Cache pages in use.
    ActiveFile,
}

impl Ring {
    /// Every list, by the number that it has as an integer.
    pub const ALL: [Self; 7] = [
        Self::PcpUnmovable,
        Self::PcpMovable,
        Self::PcpReclaimable,
        Self::InactiveAnon,
        Self::ActiveAnon,
        Self::InactiveFile,
        Self::ActiveFile,
    ];

    /// The per-CPU lists (`MIGRATE_PCPTYPES`).
    pub(super) const PCP: [Self; 3] = [Self::PcpUnmovable, Self::PcpMovable, Self::PcpReclaimable];

    /// Its head in a zone of so many frames: before the heads of the free lists.
    pub(super) const fn head(self, frames: u32) -> u32 {
        frames + self as u32
    }
}

impl FreeLists<'_> {
    /// Pages on a ring.
    pub(super) fn ring_count(&self, ring: Ring) -> u32 {
        self.pages[ring.head(self.frames) as usize].owner
    }

    /// The page at the head of a ring: the one added last.
    pub(super) fn ring_first(&self, ring: Ring) -> Option<u32> {
        let first = self.pages[ring.head(self.frames) as usize].next;
        (first < self.frames).then_some(first)
    }

    /// The page at the tail of a ring: the one that has been there for longest.
    pub(super) fn ring_last(&self, ring: Ring) -> Option<u32> {
        let last = self.pages[ring.head(self.frames) as usize].prev;
        (last < self.frames).then_some(last)
    }

    /// The pages of a ring from its head.
    pub(super) fn ring_iter(&self, ring: Ring) -> impl Iterator<Item = u32> + '_ {
        let first = self.ring_first(ring);
        core::iter::successors(first, |&page| Some(self.pages[page as usize].next).filter(|&next| next < self.frames))
    }

    /// Puts a page at the head of a ring.
    #[inline]
    pub(super) fn ring_push(&mut self, index: u32, ring: Ring) {
        self.ring_insert_behind(index, ring.head(self.frames), ring);
    }

    /// Puts a page on a ring behind another one of it, or behind its head.
    #[inline]
    pub(super) fn ring_insert_behind(&mut self, index: u32, neighbour: u32, ring: Ring) {
        self.pages[ring.head(self.frames) as usize].owner += 1;
        let before = &mut self.pages[neighbour as usize];
        let next = before.next;
        before.next = index;
        self.pages[next as usize].prev = index;
        let page = &mut self.pages[index as usize];
        (page.next, page.prev) = (next, neighbour);
    }

    /// Puts a page at the tail of a ring.
    #[inline]
    pub(super) fn ring_push_back(&mut self, index: u32, ring: Ring) {
        let head = ring.head(self.frames);
        let after = &mut self.pages[head as usize];
        after.owner += 1;
        let prev = after.prev;
        after.prev = index;
        self.pages[prev as usize].next = index;
        let page = &mut self.pages[index as usize];
        (page.next, page.prev) = (head, prev);
    }

    /// Takes a page off the ring that it is on.
    #[inline]
    pub(super) fn ring_remove(&mut self, index: u32, ring: Ring) {
        let page = &self.pages[index as usize];
        let (next, prev) = (page.next, page.prev);
        self.pages[prev as usize].next = next;
        self.pages[next as usize].prev = prev;
        self.pages[ring.head(self.frames) as usize].owner -= 1;
    }
}

impl Zone<'_> {
    /// Pages on a list, as it counts them.
    pub fn ring_count(&self, ring: Ring) -> u32 {
        self.lists.ring_count(ring)
    }

    /// The pages of a list from its head, by walking it.
    pub fn ring_pages(&self, ring: Ring) -> impl Iterator<Item = u32> + '_ {
        self.lists.ring_iter(ring)
    }
}
