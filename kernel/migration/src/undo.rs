// SPDX-License-Identifier: MIT OR Apache-2.0

//! The end of a contiguous allocation: what was done to pages in use is made final, or taken back.
//!
//! After a failed allocation, pages are back in their frames with their contents, mappings and
//! marks, and at their place on their LRU list; what was dropped or reclaimed for it is in the
//! cache again; pageblocks have their types, and free pages form the same free blocks. (Linux puts
//! back what did not move, and leaves the rest as it is.) These differences remain, because they
//! lose no content or cannot be taken back:
//!
//! - Pages of the per-CPU lists are in the buddy allocator, and those of the LRU batch are on the
//!   LRU lists (`drain`). The order of the blocks on one free list differs, as after isolation in
//!   Linux. A free block that was on the list of another type than its pageblock's is on its
//!   pageblock's list, if the pageblock was claimed meanwhile.
//! - A dirty page that was written back to be reclaimed is clean: its source has the content. A
//!   dropped page of a disk stays dropped until it is read.
//! - Event counters keep their counts: `/proc/vmstat`'s `pgmigrate_*`, `pgsteal_*`,
//!   `cma_alloc_fail`, an area's failures.
//! - What others did between the phases is kept: a page that they have freed, read in again, or
//!   pinned in the frame that it was moved to stays like that.

use super::live::Mm;
use super::live::journal::{Entry, Fate};
use page_alloc::Frame;
use page_alloc::lru::{FILE, PINNED, Place};

impl Mm<'_, '_> {
    /// Starts to record what `take_back` will take back.
    pub(super) fn begin_undoable(&mut self) {
        self.live.journal.clear();
        self.zone.forget_claims();
    }

    /// Ends a successful allocation: puts the moved pages on their LRU lists (`putback_lru_page`);
    /// what was dropped stays dropped.
    pub(super) fn settle(&mut self, any_moved: bool) {
        let entries = if any_moved { self.live.journal.len() } else { 0 };
        for number in 0..entries {
            if let Some(to) = self.live.journal.moved_to(number) {
                self.zone.lru_add_moved(to);
            }
        }
        self.live.journal.clear();
    }

    /// Takes back what a failed allocation did, the last entry first.
    pub(super) fn take_back(&mut self) {
        // The original frames have to be in the buddy allocator, not on the per-CPU lists. Some of
        // them may hold pages that were moved there: moved pages go back first.
        self.zone.drain_all_pages();
        for number in (0..self.live.journal.len()).rev() {
            if let Entry { from, fate: Fate::Moved(to), .. } = self.live.journal.entry(number)
                && self.zone.is_at(to, Place::Moved)
            {
                self.move_back(to, from);
                self.live.journal.became(number, Fate::Isolated);
            }
        }
        while let Some(entry) = self.live.journal.pop() {
            match entry.fate {
                Fate::Isolated if self.zone.is_at(entry.from, Place::Isolated) => self.put_back(&entry),
                Fate::Dropped(page) => self.bring_back(page, &entry),
                Fate::Rotated => self.rotate_back(&entry),
                Fate::Isolated | Fate::Moved(_) => {}
            }
        }
        self.zone.take_back_claims();
    }

    /// Puts a page that is on no list back at the place on the LRU list that its entry records.
    fn put_back(&mut self, entry: &Entry) {
        self.zone.lru_put_back(entry.from, entry.spot);
    }

    /// Moves a page back to its frame `from`, on no list yet. A page that was pinned meanwhile
    /// stays.
    fn move_back(&mut self, index: Frame, from: Frame) {
        let tag = self.zone.tag(index);
        if tag.has(PINNED) || !self.zone.take_page(from) {
            return self.zone.lru_add(index);
        }
        self.move_page(self.zone.owner(index), tag.marks(), index, from, Place::Isolated);
        self.zone.free_to_buddy(index);
    }

    /// Brings a dropped cache page back into the frame where it was. One that was read in meanwhile
    /// stays where it is.
    fn bring_back(&mut self, page: u32, entry: &Entry) {
        if self.cache_frame(page).is_some() || !self.zone.take_page(entry.from) {
            return;
        }
        if self.refill(page, entry.from) {
            self.put_back(entry);
        } else {
            self.zone.free_to_buddy(entry.from);
        }
    }

    /// Puts a cache page that reclaim has rotated back at its place on the LRU list.
    fn rotate_back(&mut self, entry: &Entry) {
        let tag = self.zone.living(entry.from);
        if tag.is_some_and(|tag| tag.has(FILE) && tag.is_on_lru()) {
            self.zone.lru_isolate(entry.from);
            self.put_back(entry);
        }
    }
}
