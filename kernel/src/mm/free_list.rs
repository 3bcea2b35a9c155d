//! The free lists: one doubly linked ring of blocks for each order and migratetype.
//!
//! The links lie in the descriptors, and each ring is closed by a descriptor of its own behind the frames of the zone,
//! so that linking and unlinking never ask whether a block is the first or the last.

use super::page::{Page, Tag};
use super::rings::Ring;
use super::{MAX_PAGE_ORDER, Migratetype, ORDERS};

/// Descriptors that a zone needs beyond one per frame: the rings' heads.
pub(super) const LIST_HEADS: usize = ORDERS * Migratetype::ALL.len() + Ring::ALL.len();

/// The zone's descriptors and the rings through them. Frames are named by their index in the zone.
pub(super) struct FreeLists<'m> {
    pub(super) pages: &'m mut [Page],
    /// Frames of the zone; the heads of the rings follow them. A head's `tag` is the one that its blocks get.
    pub(super) frames: u32,
}

/// The number of the free list of an order and migratetype.
const fn ring(order: u32, migratetype: Migratetype) -> u32 {
    order * Migratetype::ALL.len() as u32 + migratetype as u32
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
        self.pages[index as usize] = Page { next, prev: head, tag, owner: 0 };
    }

    /// Marks a block free and puts it at the tail of its list: it is left alone for longest.
    #[inline]
    pub(super) fn push_back(&mut self, index: u32, order: u32, migratetype: Migratetype) {
        let head = self.head(order, migratetype);
        let page = &mut self.pages[head as usize];
        let (prev, tag) = (page.prev, page.tag);
        page.prev = index;
        self.pages[prev as usize].next = index;
        self.pages[index as usize] = Page { next: head, prev, tag, owner: 0 };
    }

    /// Takes a free block off whichever list it is on and makes it a body; returns its order.
    #[inline]
    pub(super) fn unlink(&mut self, index: u32) -> u32 {
        let page = &mut self.pages[index as usize];
        let Page { next, prev, tag, .. } = *page;
        debug_assert!(tag.is_free());
        page.tag = Tag::BODY;
        self.pages[prev as usize].next = next;
        self.pages[next as usize].prev = prev;
        tag.order()
    }
}
