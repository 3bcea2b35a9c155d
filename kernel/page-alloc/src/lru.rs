// SPDX-License-Identifier: MIT OR Apache-2.0

//! The LRU lists: pages in use (mapped or cached), by kind and by how recently they were used
//! (`mm/swap.c`).
//!
//! Each allocated page's tag has a byte of marks: where the page is ([`Place`]) and its state. A
//! new page first waits in a small batch, like those of Linux's per-CPU folio batches, until
//! [`Zone::lru_add`] puts it on a list. To move or drop a page, code first takes it off its list
//! ([`Zone::lru_isolate`]), so that nothing else handles it at the same time.

use super::Migratetype;
use super::frame::Frame;
use super::free_list::Ring;
use super::page::{State, Tag};
use super::zone::Zone;

/// The place of an allocated page, as far as the LRU is concerned.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// A kernel allocation, which the LRU ignores.
    None = 0,
    /// In the batch on its way to a list.
    Batch = 1,
    /// On the inactive list of its kind.
    Inactive = 2,
    /// On the active list of its kind.
    Active = 3,
    /// Taken off its list to be moved or dropped.
    Isolated = 4,
    /// Moved by a contiguous allocation that has not ended, and on no list.
    Moved = 5,
}

const PLACE: u8 = 0b111;
/// A page of the cache; without it, a page mapped in the window.
pub const FILE: u8 = 1 << 3;
/// It was on the active list or will be; kept while it is on no list.
pub const ACTIVE: u8 = 1 << 4;
/// Used since it was last looked at.
pub const REFERENCED: u8 = 1 << 5;
/// Pinned: it must not move.
pub const PINNED: u8 = 1 << 6;
/// A cache page whose content is not on the disk yet.
pub const DIRTY: u8 = 1 << 7;

/// The owner of a pinned page that is mapped nowhere.
pub const NO_OWNER: u32 = u32::MAX;

impl Tag {
    /// The place of an allocated page.
    pub const fn place(self) -> Place {
        match self.marks() & PLACE {
            1 => Place::Batch,
            2 => Place::Inactive,
            3 => Place::Active,
            4 => Place::Isolated,
            5 => Place::Moved,
            _ => Place::None,
        }
    }

    /// True for a page on an LRU list.
    #[inline]
    pub fn is_on_lru(self) -> bool {
        self.is_allocated() && self.marks() & PLACE & !1 == Place::Inactive as u8
    }

    /// True for a page in use that is not pinned; the caller has checked that it is allocated.
    #[inline]
    pub(super) fn is_movable_now(self) -> bool {
        self.marks() & PLACE != 0 && !self.has(PINNED)
    }

    /// True if it has a mark.
    pub const fn has(self, mark: u8) -> bool {
        self.marks() & mark != 0
    }

    fn at(self, place: Place) -> Self {
        self.with_marks(self.marks() & !PLACE | place as u8)
    }
}

/// Returns the list of a kind.
const fn ring(file: bool, active: bool) -> Ring {
    match (file, active) {
        (false, false) => Ring::InactiveAnon,
        (false, true) => Ring::ActiveAnon,
        (true, false) => Ring::InactiveFile,
        (true, true) => Ring::ActiveFile,
    }
}

/// Returns the list of a page's kind: its two marks are an index into `LISTS`.
#[inline]
fn ring_of(tag: Tag) -> Ring {
    LISTS[usize::from(tag.marks() >> FILE.trailing_zeros() & 3)]
}

/// The lists, indexed by the marks [`FILE`] (bit 0) and [`ACTIVE`] (bit 1).
const LISTS: [Ring; 4] = [ring(false, false), ring(true, false), ring(false, true), ring(true, true)];
const _: () = assert!(ACTIVE == FILE << 1);

/// Pages on the LRU lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LruPages {
    /// Mapped, not used recently.
    pub inactive_anon: u32,
    /// Mapped, used recently.
    pub active_anon: u32,
    /// Of the cache, not used recently.
    pub inactive_file: u32,
    /// Of the cache, used recently.
    pub active_file: u32,
}

/// Where on an LRU list a page was, and its marks there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LruSpot {
    /// The previous descriptor on the list: a page's, or that of the list's head.
    pub neighbour: u32,
    /// The byte of marks.
    pub marks: u8,
}

impl Zone<'_> {
    /// Number of pages on each LRU list.
    pub fn lru(&self) -> LruPages {
        LruPages {
            inactive_anon: self.lru_pages(false, false),
            active_anon: self.lru_pages(false, true),
            inactive_file: self.lru_pages(true, false),
            active_file: self.lru_pages(true, true),
        }
    }

    /// Returns the tag of a page in use: allocated, and in a [`Place`] other than `None`.
    #[inline]
    pub fn living(&self, index: Frame) -> Option<Tag> {
        let tag = self.lists.tag(index);
        (tag.state() == State::Allocated && tag.marks() & PLACE != 0).then_some(tag)
    }

    /// Sets or clears a mark.
    #[inline]
    pub fn mark(&mut self, index: Frame, mark: u8, set: bool) {
        let tag = self.lists.tag(index);
        let marks = if set { tag.marks() | mark } else { tag.marks() & !mark };
        self.lists.set_tag(index, tag.with_marks(marks));
    }

    /// Brings a fresh page, which is movable, into use: sets its marks (its kind), owner and place.
    /// The caller puts it on a list.
    #[inline]
    pub fn bring_to_life(&mut self, index: Frame, marks: u8, owner: u32, place: Place) {
        let page = self.lists.page_mut(index);
        page.tag = Tag::allocated(0, Migratetype::Movable).with_marks(marks & !PLACE | place as u8);
        page.owner = owner;
    }

    /// The reverse mapping of a page in use.
    #[inline]
    pub fn owner(&self, index: Frame) -> u32 {
        self.lists.page(index).owner
    }

    /// Sets the reverse mapping of a page in use.
    pub fn set_owner(&mut self, index: Frame, owner: u32) {
        self.lists.page_mut(index).owner = owner;
    }

    /// Records the place of a page in use; the caller changes the lists.
    pub fn set_place(&mut self, index: Frame, place: Place) {
        let tag = self.lists.tag(index).at(place);
        self.lists.set_tag(index, tag);
    }

    /// Puts a page that is on no list at the head of the list of its kind (`lru_add_fn`,
    /// `putback_lru_page`).
    #[inline]
    pub fn lru_add(&mut self, index: Frame) {
        let page = self.lists.page_mut(index);
        let tag = page.tag;
        page.tag = tag.at(if tag.has(ACTIVE) { Place::Active } else { Place::Inactive });
        self.lists.ring_push(index, ring_of(tag));
    }

    /// Does what `lru_add` does for a moved page, if it was not freed or put on a list since.
    #[inline]
    pub fn lru_add_moved(&mut self, index: Frame) {
        let page = self.lists.page_mut(index);
        let tag = page.tag;
        if tag.is_allocated() && tag.place() == Place::Moved {
            page.tag = tag.at(if tag.has(ACTIVE) { Place::Active } else { Place::Inactive });
            self.lists.ring_push(index, ring_of(tag));
        }
    }

    /// Takes a page off its LRU list, to be moved or dropped, and returns where it was; `None` if
    /// it is on no list.
    #[inline]
    pub fn lru_isolate(&mut self, index: Frame) -> Option<LruSpot> {
        let page = self.lists.page_mut(index);
        let (tag, neighbour) = (page.tag, page.prev);
        if !tag.is_on_lru() {
            return None;
        }
        page.tag = tag.at(Place::Isolated);
        self.lists.ring_remove(index, ring_of(tag));
        Some(LruSpot { neighbour, marks: tag.marks() })
    }

    /// Puts a page that is on no list where [`Self::lru_isolate`] took it from: after its former
    /// neighbour, or at the head if that has left the list. The page is active if it was, and
    /// referenced if it was then or is now.
    pub fn lru_put_back(&mut self, index: Frame, LruSpot { neighbour, marks }: LruSpot) {
        let now = self.lists.tag(index);
        let active = marks & ACTIVE != 0;
        let place = if active { Place::Active } else { Place::Inactive };
        let marks = now.marks() & !ACTIVE | marks & (ACTIVE | REFERENCED);
        self.lists.set_tag(index, now.with_marks(marks).at(place));
        let ring = ring(now.has(FILE), active);
        let is_there = self.spans(Frame(neighbour)) && {
            let tag = self.lists.tag(Frame(neighbour));
            tag.is_on_lru() && (tag.has(FILE), tag.has(ACTIVE)) == (now.has(FILE), active)
        };
        let neighbour = if is_there { neighbour } else { ring.head(self.spanned_pages()) };
        self.lists.ring_insert_behind(index, neighbour, ring);
    }

    /// True if a page is in use and in place `place`.
    #[inline]
    pub fn is_at(&self, index: Frame, place: Place) -> bool {
        self.living(index).is_some_and(|tag| tag.place() == place)
    }

    /// Takes a page that is about to be freed off the LRU list that it is on, if any.
    pub fn lru_remove(&mut self, index: Frame) {
        let tag = self.lists.tag(index);
        match tag.place() {
            Place::Inactive | Place::Active => self.lists.ring_remove(index, ring_of(tag)),
            Place::None | Place::Batch | Place::Isolated | Place::Moved => {}
        }
        self.set_place(index, Place::None);
    }

    /// Pages on the LRU list of a kind.
    pub fn lru_pages(&self, file: bool, active: bool) -> u32 {
        self.lists.ring_count(ring(file, active))
    }

    /// The page of a list that was used least recently.
    pub fn lru_last(&self, file: bool, active: bool) -> Option<Frame> {
        self.lists.ring_last(ring(file, active))
    }

    /// Moves a page between the active and the inactive list of its kind, to the head
    /// (`folio_activate`, `shrink_active_list`).
    pub fn lru_set_active(&mut self, index: Frame, active: bool) {
        if self.lru_isolate(index).is_some() {
            self.mark(index, ACTIVE, active);
            self.lru_add(index);
        }
    }
}
