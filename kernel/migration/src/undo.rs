// SPDX-License-Identifier: MIT OR Apache-2.0

//! The end of a contiguous allocation: what was done to pages that live is settled, or taken back.
//!
//! A failed allocation leaves everything as it was: pages are back in their frames with their
//! contents, mappings and marks, and at their place on their LRU list; what was dropped or
//! reclaimed for it is in the cache again; pageblocks have their types, and free pages are free in
//! the blocks that they were. (Linux puts back what did not move, and leaves the rest as it is.)
//! What is not as before, because nothing is lost by it and nobody can be asked to take it back:
//!
//! - Pages on per-CPU lists are in the buddy, and those in the batch on its way to the LRU lists
//!   are on them (`drain`). The order of the blocks on one free list is another, as isolation in
//!   Linux leaves it, too. A free block that was on the list of another type than its pageblock's
//!   is on its pageblock's, if the pageblock was claimed meanwhile.
//! - A dirty page that was written back to be reclaimed is clean: its source has it. What was
//!   dropped of a disk stays dropped until somebody reads it.
//! - Counters of events have counted: `/proc/vmstat`'s `pgmigrate_*`, `pgsteal_*`,
//!   `cma_alloc_fail`, an area's failures.
//! - What others did between the phases stays done: a page that they have freed, read in again or
//!   pinned where it was moved to stays as they want it.

use super::live::Mm;
use super::live::journal::{Entry, Fate};
use page_alloc::Frame;
use page_alloc::lru::{FILE, PINNED, Place};

impl Mm<'_, '_> {
    /// From here on everything can be taken back.
    pub(super) fn begin_undoable(&mut self) {
        self.live.journal.clear();
        self.zone.forget_claims();
    }

    /// The allocation went well: the pages that were moved go on their LRU lists
    /// (`putback_lru_page`), what was dropped stays dropped.
    pub(super) fn settle(&mut self, any_moved: bool) {
        let entries = if any_moved { self.live.journal.len() } else { 0 };
        for number in 0..entries {
            if let Some(to) = self.live.journal.moved_to(number) {
                self.zone.lru_add_moved(to);
            }
        }
        self.live.journal.clear();
    }

    /// The allocation failed: everything goes back, the last first.
    pub(super) fn take_back(&mut self) {
        // Frames that are needed must not hide on the per-CPU lists. They may be where others were
        // moved to: those go first.
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

    /// Puts a page that is on no list where its entry says.
    fn put_back(&mut self, entry: &Entry) {
        self.zone.lru_put_back(entry.from, entry.spot);
    }

    /// Moves a page to the frame where it was; it is on no list yet. One that somebody has pinned
    /// meanwhile stays.
    fn move_back(&mut self, index: Frame, from: Frame) {
        let tag = self.zone.tag(index);
        if tag.has(PINNED) || !self.zone.take_page(from) {
            return self.zone.lru_add(index);
        }
        self.move_page(self.zone.owner(index), tag.marks(), index, from, Place::Isolated);
        self.zone.free_to_buddy(index);
    }

    /// Reads a page of the cache that was dropped in again, where it was. One that somebody has
    /// read meanwhile stays.
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

    /// Puts a cache page that reclaim has put elsewhere where it was.
    fn rotate_back(&mut self, entry: &Entry) {
        let tag = self.zone.living(entry.from);
        if tag.is_some_and(|tag| tag.has(FILE) && tag.is_on_lru()) {
            self.zone.lru_isolate(entry.from);
            self.put_back(entry);
        }
    }
}
