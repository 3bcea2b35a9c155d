// SPDX-License-Identifier: MIT OR Apache-2.0

//! Further rings through the descriptors: the per-CPU lists and the LRU lists.
//!
//! They are closed like the free lists, by descriptors of their own behind the frames of the zone,
//! which count their pages. What a page on a ring is, its tag says; linking and unlinking leaves
//! the tag alone.

use super::frame::Frame;
use super::free_list::{FreeLists, Ring};
use super::page::Page;
use super::zone::Zone;

impl FreeLists<'_> {
    /// Pages on a ring.
    pub(super) fn ring_count(&self, ring: Ring) -> u32 {
        self.pages[ring.head(self.frames) as usize].owner
    }

    /// The page at the head of a ring: the one added last.
    pub(super) fn ring_first(&self, ring: Ring) -> Option<Frame> {
        self.behind(ring.head(self.frames))
    }

    /// The page at the tail of a ring: the one that has been there for longest.
    pub(super) fn ring_last(&self, ring: Ring) -> Option<Frame> {
        let last = self.pages[ring.head(self.frames) as usize].prev;
        (last < self.frames).then_some(Frame(last))
    }

    /// Puts a page at the head of a ring.
    #[inline]
    pub(super) fn ring_push(&mut self, frame: Frame, ring: Ring) {
        self.ring_insert_behind(frame, ring.head(self.frames), ring);
    }

    /// Puts a page at the tail of a ring.
    #[inline]
    pub(super) fn ring_push_back(&mut self, frame: Frame, ring: Ring) {
        let last = self.pages[ring.head(self.frames) as usize].prev;
        self.ring_insert_behind(frame, last, ring);
    }

    /// Puts a page on a ring behind the descriptor of another page of it, or of its head.
    #[inline]
    pub(super) fn ring_insert_behind(&mut self, frame: Frame, neighbour: u32, ring: Ring) {
        self.pages[ring.head(self.frames) as usize].owner += 1;
        let next = self.pages[neighbour as usize].next;
        self.join(neighbour, frame.0);
        self.join(frame.0, next);
    }

    /// Takes a page off the ring that it is on.
    #[inline]
    pub(super) fn ring_remove(&mut self, frame: Frame, ring: Ring) {
        let Page { next, prev, .. } = *self.page(frame);
        self.join(prev, next);
        self.pages[ring.head(self.frames) as usize].owner -= 1;
    }
}

impl Zone<'_> {
    /// Pages on a list, as it counts them.
    pub fn ring_count(&self, ring: Ring) -> u32 {
        self.lists.ring_count(ring)
    }

    /// The pages of a list from its head, by walking it.
    pub fn ring_pages(&self, ring: Ring) -> impl Iterator<Item = Frame> + '_ {
        self.lists.walk(ring.head(self.spanned_pages()))
    }
}
