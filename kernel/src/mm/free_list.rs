//! The free lists: one doubly linked ring of blocks for each order and migratetype.
//!
//! The links lie in the descriptors, and each ring is closed by a descriptor of its own behind the frames of the zone,
//! so that linking and unlinking never ask whether a block is the first or the last.

use super::page::{FreeOf, Page, Tag};
use super::rings::Ring;
use super::{MAX_PAGE_ORDER, Migratetype};

/// Heads that a migratetype has room for: one for each order, rounded up so that an order needs no check but a mask.
const HEADS_OF_TYPE: usize = 16;
/// Heads of the free lists.
pub(super) const FREE_HEADS: usize = HEADS_OF_TYPE * Migratetype::ALL.len();
/// Descriptors that a zone needs beyond one per frame: the rings' heads.
pub(super) const LIST_HEADS: usize = FREE_HEADS + Ring::ALL.len();

const _: () = assert!((MAX_PAGE_ORDER as usize) < HEADS_OF_TYPE);

/// The zone's descriptors and the rings through them. Frames are named by their index in the zone.
pub(super) struct FreeLists<'m> {
    pub(super) pages: &'m mut [Page],
    /// Frames of the zone; the heads of the rings follow them. A head's `tag` is the one that its blocks get.
    pub(super) frames: u32,
}

/// The number of the free list of an order and migratetype.
const fn ring(order: u32, migratetype: Migratetype) -> u32 {
    migratetype as u32 * HEADS_OF_TYPE as u32 + order
}

impl<'m> FreeLists<'m> {
    /// All rings empty. `pages` are zeroed descriptors, [`LIST_HEADS`] more than the zone has frames.
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
    pub(super) fn tag(&self, index: u32) -> Tag {
        self.pages[index as usize].tag
    }

    #[inline]
    pub(super) fn set_tag(&mut self, index: u32, tag: Tag) {
        self.pages[index as usize].tag = tag;
    }

    pub(super) fn page(&self, index: u32) -> &Page {
        &self.pages[index as usize]
    }

    pub(super) fn page_mut(&mut self, index: u32) -> &mut Page {
        &mut self.pages[index as usize]
    }

    /// Blocks on a list, counted when asked: nothing on a measured path asks.
    pub(super) fn count(&self, order: u32, migratetype: Migratetype) -> u32 {
        self.iter(order, migratetype).count() as u32
    }

    /// The block at the head of a list: the one Linux would hand out.
    #[inline]
    pub(super) fn first(&self, order: u32, migratetype: Migratetype) -> Option<u32> {
        let first = self.pages[self.head(order, migratetype) as usize].next;
        (first < self.frames).then_some(first)
    }

    /// The blocks of a list from its head.
    pub(super) fn iter(&self, order: u32, migratetype: Migratetype) -> impl Iterator<Item = u32> + '_ {
        let first = self.first(order, migratetype);
        core::iter::successors(first, |&block| Some(self.pages[block as usize].next).filter(|&next| next < self.frames))
    }

    /// Marks a block free and puts it at the head of its list: it is handed out next.
    #[inline]
    pub(super) fn push_front(&mut self, index: u32, order: u32, migratetype: Migratetype) {
        let head = self.head(order, migratetype);
        let page = &mut self.pages[head as usize];
        let (next, tag) = (page.next, page.tag);
        page.next = index;
        self.pages[next as usize].prev = index;
        self.pages[index as usize].enter(next, head, tag);
    }

    /// Marks a block free and puts it at the tail of its list: it is left alone for longest.
    #[inline]
    pub(super) fn push_back(&mut self, index: u32, order: u32, migratetype: Migratetype) {
        let head = self.head(order, migratetype);
        let page = &mut self.pages[head as usize];
        let (prev, tag) = (page.prev, page.tag);
        page.prev = index;
        self.pages[prev as usize].next = index;
        self.pages[index as usize].enter(head, prev, tag);
    }

    /// The lists of a migratetype, for blocks that are put on many of them.
    #[inline(always)]
    pub(super) fn of_type(&mut self, migratetype: Migratetype) -> Option<TypeLists<'_>> {
        let (frames, heads) = self.pages.split_last_chunk_mut::<LIST_HEADS>()?;
        let first_head = (frames.len() + migratetype as usize * HEADS_OF_TYPE) as u32;
        let heads = &mut heads.as_chunks_mut::<HEADS_OF_TYPE>().0[migratetype as usize];
        Some(TypeLists { frames, heads, first_head })
    }

    /// Takes the block at the head of a list; its tag is left to the caller.
    #[inline(always)]
    pub(super) fn pop_front(&mut self, order: u32, migratetype: Migratetype) -> Option<u32> {
        let head = self.head(order, migratetype);
        let first = self.pages[head as usize].next;
        if first >= self.frames {
            return None;
        }
        let next = self.pages[first as usize].next;
        self.pages[head as usize].next = next;
        self.pages[next as usize].prev = head;
        Some(first)
    }

    /// Takes a free block off whichever list it is on and makes it a body; returns its order.
    #[inline(always)]
    pub(super) fn unlink(&mut self, index: u32) -> u32 {
        let page = &mut self.pages[index as usize];
        let Page { next, prev, tag, .. } = *page;
        debug_assert!(tag.is_free());
        page.tag = Tag::BODY;
        self.pages[prev as usize].next = next;
        self.pages[next as usize].prev = prev;
        tag.order()
    }

    /// Takes a block off its list and makes it a body, if it is a free one of that order.
    #[inline(always)]
    pub(super) fn unlink_if(&mut self, index: u32, free: FreeOf) -> bool {
        let page = &mut self.pages[index as usize];
        let Page { next, prev, tag, .. } = *page;
        if !tag.is(free) {
            return false;
        }
        page.tag = Tag::BODY;
        self.pages[prev as usize].next = next;
        self.pages[next as usize].prev = prev;
        true
    }
}

/// The free lists of one migratetype beside the frames.
pub(super) struct TypeLists<'p> {
    frames: &'p mut [Page],
    heads: &'p mut [Page; HEADS_OF_TYPE],
    first_head: u32,
}

impl TypeLists<'_> {
    /// Takes the first block of the smallest order from `order` on that has one, and makes it a body; returns it and its
    /// order.
    #[inline(always)]
    pub(super) fn pop_smallest(&mut self, mut order: u32) -> Option<(u32, u32)> {
        while order <= MAX_PAGE_ORDER {
            let head = &mut self.heads[order as usize % HEADS_OF_TYPE];
            let first = head.next;
            let Some(page) = self.frames.get_mut(first as usize) else {
                // An empty ring leads from its head back to it.
                order += 1;
                continue;
            };
            let next = page.next;
            page.tag = Tag::BODY;
            head.next = next;
            self.frames.get_mut(next as usize).unwrap_or(head).prev = self.first_head + order;
            return Some((first, order));
        }
        None
    }

    /// The same as [`FreeLists::push_front`].
    #[inline(always)]
    fn push_front(&mut self, index: u32, order: u32) {
        let order = order % HEADS_OF_TYPE as u32;
        let head = &mut self.heads[order as usize];
        let (next, tag) = (head.next, head.tag);
        head.next = index;
        // The last of a ring is followed by the ring's own head.
        self.frames.get_mut(next as usize).unwrap_or(head).prev = index;
        self.frames[index as usize].enter(next, self.first_head + order, tag);
    }

    /// Marks the frames `at..end` free and puts them at the heads of their lists as aligned blocks, each of which is
    /// larger than the one before it: what is left of a block behind a range that was cut out of it.
    #[inline(always)]
    pub(super) fn push_ascending(&mut self, mut at: u32, end: u32) {
        assert!(end as usize <= self.frames.len());
        while at < end {
            let order = at.trailing_zeros() % HEADS_OF_TYPE as u32;
            self.push_front(at, order);
            at += 1 << order;
        }
    }

    /// The same with each block smaller than the one before it: what is left of a block in front of such a range.
    #[inline(always)]
    pub(super) fn push_descending(&mut self, mut at: u32, end: u32) {
        assert!(end as usize <= self.frames.len());
        while at < end {
            let order = (end - at).ilog2();
            self.push_front(at, order);
            at += 1 << order;
        }
    }
}
