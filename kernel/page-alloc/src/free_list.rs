// SPDX-License-Identifier: MIT OR Apache-2.0

//! The free lists: one doubly linked ring of blocks for each order and migratetype.
//!
//! The links are in the descriptors. A descriptor after those of the frames closes each ring, so
//! that linking and unlinking need no case for a first or last block. The heads of the lists of
//! single pages ([`Ring`], `rings`) come before those of the free lists.

use super::frame::Frame;
use super::page::{FreeOf, Page, Tag};
use super::{MAX_PAGE_ORDER, Migratetype, PAGEBLOCK_PAGES};

/// Heads reserved for a migratetype: one for each order, rounded up to a power of two, so that a
/// mask replaces the bounds check of an order.
const HEADS_OF_TYPE: usize = 16;
/// Descriptors that a zone needs beyond one for each frame: the heads of the lists of single pages,
/// then those of each migratetype.
pub(super) const LIST_HEADS: usize = HEADS_OF_TYPE * (1 + Migratetype::ALL.len());

const _: () = assert!((MAX_PAGE_ORDER as usize) < HEADS_OF_TYPE && Ring::ALL.len() <= HEADS_OF_TYPE);

/// A list of single pages.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ring {
    /// Free pages for unmovable requests, on a per-CPU list.
    PcpUnmovable,
    /// Free pages for movable requests, CMA pages included.
    PcpMovable,
    /// Free pages for reclaimable requests.
    PcpReclaimable,
    /// Mapped pages that were not used recently.
    InactiveAnon,
    /// Mapped pages that were used recently.
    ActiveAnon,
    /// Cache pages that were not used recently: the first to be reclaimed.
    InactiveFile,
    /// Cache pages that were used recently.
    ActiveFile,
}

impl Ring {
    /// Every list, in the order of its number.
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
    pub const PCP: [Self; 3] = [Self::PcpUnmovable, Self::PcpMovable, Self::PcpReclaimable];

    /// Returns the descriptor of the list's head in a zone of `frames` frames.
    pub(super) const fn head(self, frames: u32) -> u32 {
        frames + self as u32
    }
}

/// The zone's descriptors and the rings through them. Frames are named by their index in the zone.
pub(super) struct FreeLists<'m> {
    pub(super) pages: &'m mut [Page],
    /// Frames of the zone; the rings' heads follow them. The `tag` of a free list's head is the tag
    /// of its blocks; the `tag` of a [`Ring`]'s head is unused.
    pub(super) frames: u32,
}

/// The offset after the frames of the head of the free list of an order and migratetype.
const fn ring(order: u32, migratetype: Migratetype) -> u32 {
    (1 + migratetype as u32) * HEADS_OF_TYPE as u32 + order
}

/// The number of a pageblock that exists. A block and its buddy share one, and its descriptors are
/// an array of known size, so that its frames need no bounds check.
#[derive(Clone, Copy)]
pub(super) struct Pageblock(usize);

impl<'m> FreeLists<'m> {
    /// Makes all rings empty. `pages` are zeroed descriptors: one for each frame of whole
    /// pageblocks, and [`LIST_HEADS`] more.
    pub(super) fn new(pages: &'m mut [Page]) -> Self {
        let frames = pages.len().saturating_sub(LIST_HEADS);
        for order in 0..=MAX_PAGE_ORDER {
            for migratetype in Migratetype::ALL {
                let head = frames as u32 + ring(order, migratetype);
                pages[head as usize] = Page { next: head, prev: head, tag: Tag::free(order, migratetype), owner: 0 };
            }
        }
        for ring in Ring::ALL {
            let head = ring.head(frames as u32);
            pages[head as usize] = Page { next: head, prev: head, tag: Tag::BODY, owner: 0 };
        }
        Self { pages, frames: frames as u32 }
    }

    pub(super) const fn frames(&self) -> u32 {
        self.frames
    }

    #[inline]
    const fn head(&self, order: u32, migratetype: Migratetype) -> u32 {
        self.frames + ring(order, migratetype)
    }

    #[inline]
    pub(super) fn tag(&self, index: Frame) -> Tag {
        self.pages[index.0 as usize].tag
    }

    #[inline]
    pub(super) fn set_tag(&mut self, index: Frame, tag: Tag) {
        self.pages[index.0 as usize].tag = tag;
    }

    pub(super) fn page(&self, index: Frame) -> &Page {
        &self.pages[index.0 as usize]
    }

    pub(super) fn page_mut(&mut self, index: Frame) -> &mut Page {
        &mut self.pages[index.0 as usize]
    }

    /// The pageblock of a frame.
    #[inline(always)]
    pub(super) fn pageblock_of(&self, index: Frame) -> Pageblock {
        let pageblock = index.pageblock();
        assert!(pageblock < self.pages.as_chunks::<{ PAGEBLOCK_PAGES as usize }>().0.len());
        Pageblock(pageblock)
    }

    /// The descriptor of frame `index`, which is in that pageblock.
    #[inline(always)]
    pub(super) fn in_pageblock(&mut self, Pageblock(pageblock): Pageblock, index: Frame) -> &mut Page {
        let pageblocks = self.pages.as_chunks_mut::<{ PAGEBLOCK_PAGES as usize }>().0;
        &mut pageblocks[pageblock][(index.0 % PAGEBLOCK_PAGES) as usize]
    }

    /// Counts the blocks of a list by walking it, which no measured path does.
    pub(super) fn count(&self, order: u32, migratetype: Migratetype) -> u32 {
        self.iter(order, migratetype).count() as u32
    }

    /// The first block of a list: the one that Linux would hand out.
    #[inline]
    pub(super) fn first(&self, order: u32, migratetype: Migratetype) -> Option<Frame> {
        self.behind(self.head(order, migratetype))
    }

    /// The blocks of a list, first to last.
    pub(super) fn iter(&self, order: u32, migratetype: Migratetype) -> impl Iterator<Item = Frame> + '_ {
        self.walk(self.head(order, migratetype))
    }

    /// The frame after a descriptor on its ring; `None` at the ring's end.
    #[inline]
    pub(super) fn behind(&self, descriptor: u32) -> Option<Frame> {
        let next = self.pages[descriptor as usize].next;
        (next < self.frames).then_some(Frame(next))
    }

    /// The frames of the ring with head `head`, first to last.
    pub(super) fn walk(&self, head: u32) -> impl Iterator<Item = Frame> + '_ {
        core::iter::successors(self.behind(head), |&Frame(frame)| self.behind(frame))
    }

    /// Marks a block free and puts it at the head of its list, to be handed out next, or with
    /// `TO_TAIL` at the tail, to be handed out last.
    #[inline(always)]
    pub(super) fn push<const TO_TAIL: bool>(
        &mut self,
        pageblock: Pageblock,
        index: Frame,
        order: u32,
        migratetype: Migratetype,
    ) {
        let head_index = self.head(order, migratetype);
        let head = &mut self.pages[head_index as usize];
        let tag = head.tag;
        let (next, prev) = if TO_TAIL {
            let prev = core::mem::replace(&mut head.prev, index.0);
            self.pages[prev as usize].next = index.0;
            (head_index, prev)
        } else {
            let next = core::mem::replace(&mut head.next, index.0);
            self.pages[next as usize].prev = index.0;
            (next, head_index)
        };
        self.in_pageblock(pageblock, index).enter(next, prev, tag);
    }

    /// Borrows all free lists of a migratetype, and the frames beside them.
    #[inline(always)]
    pub(super) fn of_type(&mut self, migratetype: Migratetype) -> TypeLists<'_> {
        let Some((frames, heads)) = self.pages.split_last_chunk_mut::<LIST_HEADS>() else {
            unreachable!("the rings' heads lie behind the frames")
        };
        let first_head = frames.len() as u32 + ring(0, migratetype);
        let heads = &mut heads.as_chunks_mut::<HEADS_OF_TYPE>().0[1 + migratetype as usize];
        TypeLists { frames, heads, first_head }
    }

    /// Makes two descriptors neighbours on a ring.
    #[inline(always)]
    pub(super) fn join(&mut self, prev: u32, next: u32) {
        let descriptors = self.pages.len() as u32;
        assert!(prev < descriptors && next < descriptors);
        self.pages[prev as usize].next = next;
        self.pages[next as usize].prev = prev;
    }

    /// Takes a free block off its list and makes it a body; returns its order.
    #[inline(always)]
    pub(super) fn unlink(&mut self, index: Frame) -> u32 {
        let page = &mut self.pages[index.0 as usize];
        let Page { next, prev, tag, .. } = *page;
        debug_assert!(tag.is_free());
        page.tag = Tag::BODY;
        self.join(prev, next);
        tag.order()
    }

    /// Takes a block off its list and makes it a body if `free` is its state and order; returns
    /// false if it is not.
    #[inline(always)]
    pub(super) fn unlink_if(&mut self, pageblock: Pageblock, index: Frame, free: FreeOf) -> bool {
        let page = self.in_pageblock(pageblock, index);
        let Page { next, prev, tag, .. } = *page;
        if !tag.is(free) {
            return false;
        }
        page.tag = Tag::BODY;
        self.join(prev, next);
        true
    }
}

/// The free lists of one migratetype, and the frames.
pub(super) struct TypeLists<'p> {
    frames: &'p mut [Page],
    heads: &'p mut [Page; HEADS_OF_TYPE],
    first_head: u32,
}

impl TypeLists<'_> {
    /// Takes the first block of a list and sets its tag; `None` if the list is empty.
    #[inline(always)]
    pub(super) fn pop_front(&mut self, order: u32, tag: Tag) -> Option<Frame> {
        let head = &mut self.heads[order as usize % HEADS_OF_TYPE];
        let first = head.next;
        // The head of an empty ring points to itself, which is beyond the frames.
        let page = self.frames.get_mut(first as usize)?;
        page.tag = tag;
        let next = page.next;
        head.next = next;
        // After the last block of a ring comes the ring's head.
        self.frames.get_mut(next as usize).unwrap_or(head).prev = self.first_head + order;
        Some(Frame(first))
    }

    /// Takes the first block of the smallest order from `order` on that has a free one, and sets
    /// its tag.
    #[inline(always)]
    pub(super) fn pop_smallest(&mut self, order: u32, tag: Tag) -> Option<Frame> {
        // Most requests need no split.
        self.pop_front(order, tag).or_else(|| self.split_smallest(order, tag))
    }

    /// Takes the lowest part of a larger block, if the list of `order` is empty, and puts the rest
    /// on the lists below, which were found empty.
    #[inline(always)]
    fn split_smallest(&mut self, mut order: u32, tag: Tag) -> Option<Frame> {
        let mut found = order;
        let first = loop {
            if found >= MAX_PAGE_ORDER {
                return None;
            }
            found += 1;
            if let Some(first) = self.pop_front(found, tag) {
                break first;
            }
        };
        let (mut rest, end) = (first + (1 << order), first + (1 << found));
        assert!(end.0 as usize <= self.frames.len());
        while rest < end {
            let head_index = self.first_head + order;
            let head = &mut self.heads[order as usize % HEADS_OF_TYPE];
            (head.next, head.prev) = (rest.0, rest.0);
            self.frames[rest.0 as usize].enter(head_index, head_index, head.tag);
            order += 1;
            rest = first + (1 << order);
        }
        Some(first)
    }

    /// Marks a block free and puts it at the head of its list.
    #[inline(always)]
    fn push_front(&mut self, index: Frame, order: u32) {
        let order = order % HEADS_OF_TYPE as u32;
        let head = &mut self.heads[order as usize];
        let (next, tag) = (head.next, head.tag);
        head.next = index.0;
        self.frames.get_mut(next as usize).unwrap_or(head).prev = index.0;
        self.frames[index.0 as usize].enter(next, self.first_head + order, tag);
    }

    /// Marks the frames `at..end` free and puts them at the heads of their lists as aligned blocks
    /// of ascending size: the rest of a block after a range that was cut out of it.
    #[inline(always)]
    pub(super) fn push_ascending(&mut self, mut at: Frame, end: Frame) {
        assert!(end.0 as usize <= self.frames.len());
        while at < end {
            let order = at.0.trailing_zeros() % HEADS_OF_TYPE as u32;
            self.push_front(at, order);
            at += 1 << order;
        }
    }

    /// Does what `push_ascending` does, with blocks of descending size: the rest of a block before
    /// such a range.
    #[inline(always)]
    pub(super) fn push_descending(&mut self, mut at: Frame, end: Frame) {
        assert!(end.0 as usize <= self.frames.len());
        while at < end {
            let order = (end - at).ilog2();
            self.push_front(at, order);
            at += 1 << order;
        }
    }
}
