// SPDX-License-Identifier: MIT OR Apache-2.0

//! The lists of single pages as rings through the descriptors: the per-CPU lists and the LRU lists.
//!
//! Like the free lists, each is closed by a head descriptor after the frames of the zone, which
//! also counts the pages. Linking and unlinking leave the pages' tags unchanged: the caller sets
//! those.

use super::frame::Frame;
use super::free_list::{FreeLists, Ring};
use super::page::Page;
use super::zone::Zone;

impl FreeLists<'_> {
    /// Pages on a ring.
    pub(super) fn ring_count(&self, ring: Ring) -> u32 {
        self.pages[ring.head(self.frames) as usize].owner
    }

    /// The first page of a ring.
    pub(super) fn ring_first(&self, ring: Ring) -> Option<Frame> {
        self.behind(ring.head(self.frames))
    }

    /// The last page of a ring.
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

    /// Puts a page on a ring after `neighbour`: the descriptor of another page of it, or its head.
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
    /// The count of a list's pages that its head keeps.
    pub fn ring_count(&self, ring: Ring) -> u32 {
        self.lists.ring_count(ring)
    }

    /// The pages of a list, first to last, by walking it.
    pub fn ring_pages(&self, ring: Ring) -> impl Iterator<Item = Frame> + '_ {
        self.lists.walk(ring.head(self.spanned_pages()))
    }
}
