// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reclaim: cache pages that were not used lately are dropped, dirty ones after writeback
//! (`mm/vmscan.c`).
//!
//! Mapped pages are not reclaimed, as on a system without swap. A page that was used since its last
//! scan gets a second chance; one that was used twice is active. Active pages return to the
//! inactive list only while that list is the shorter one.

use super::live::Mm;
use super::live::journal::Fate;
use page_alloc::lru::{ACTIVE, DIRTY, FILE, LruPages, PINNED, REFERENCED};
use page_alloc::{Frame, FreedRun};

/// Most pages that a contiguous allocation moves or drops at a time (`COMPACT_CLUSTER_MAX`).
pub(super) const COMPACT_CLUSTER_MAX: usize = 32;

/// A page that was taken off its LRU list.
#[derive(Clone, Copy)]
struct Isolated {
    frame: Frame,
    /// The number of its entry in the journal.
    entry: u32,
}

/// Pages that were taken off the LRU lists to be dropped or moved together.
pub(super) struct Batch {
    pages: [Isolated; COMPACT_CLUSTER_MAX],
    len: usize,
    /// Some of the pages may be cache pages.
    has_files: bool,
}

/// Use of the journal by reclaim: a contiguous allocation that fails takes its reclaim back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Undo {
    /// Reclaim for a contiguous allocation: recorded in the journal.
    Possible,
    /// Reclaim for any other request: not recorded.
    No,
}

impl Batch {
    pub(super) const fn new() -> Self {
        Self { pages: [Isolated { frame: Frame(0), entry: 0 }; COMPACT_CLUSTER_MAX], len: 0, has_files: false }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.len == COMPACT_CLUSTER_MAX
    }

    #[inline]
    pub(super) fn push(&mut self, index: Frame, entry: u32, marks: u8) {
        // The batch is not full: the remainder only saves a bounds check.
        self.pages[self.len % COMPACT_CLUSTER_MAX] = Isolated { frame: index, entry };
        self.len += 1;
        self.has_files |= marks & FILE != 0;
    }

    /// Keeps the pages for which `stays(frame, entry)` is true.
    #[inline]
    pub(super) fn retain(&mut self, mut stays: impl FnMut(Frame, u32) -> bool) {
        let mut kept = 0;
        for place in 0..self.len {
            let page = self.pages[place];
            if stays(page.frame, page.entry) {
                self.pages[kept] = page;
                kept += 1;
            }
        }
        self.len = kept;
    }
}

impl Mm<'_, '_> {
    /// Reclaims for a request that found too few free pages; returns the number of pages freed
    /// (`try_to_free_pages`).
    pub fn direct_reclaim(&mut self, wanted: u32, undo: Undo) -> u32 {
        self.lru_add_drain();
        let freed = self.shrink_lruvec(wanted, undo);
        self.live.stats.stolen_direct += u64::from(freed);
        freed
    }

    /// Does kswapd's work if it was woken: reclaims until the high watermark is reached, CMA pages
    /// not counted, or nothing is left to reclaim (`balance_pgdat`). There is no other thread here,
    /// so the function that woke it calls this at its end.
    pub(crate) fn background_reclaim(&mut self) {
        if !self.kswapd_was_woken() {
            return;
        }
        self.lru_add_drain();
        let high = self.zone.kept_watermarks().high;
        while !self.zone.watermark_ok(high, false) {
            let freed = self.shrink_lruvec(super::live::SWAP_CLUSTER_MAX, Undo::No);
            self.live.stats.stolen_background += u64::from(freed);
            if freed == 0 {
                return;
            }
        }
    }

    /// Frees up to `wanted` pages of the inactive list, after refilling it from the active one.
    fn shrink_lruvec(&mut self, wanted: u32, undo: Undo) -> u32 {
        let LruPages { inactive_file: mut inactive, active_file: mut active, .. } = self.zone.lru();
        while inactive < active {
            let Some(index) = self.zone.lru_last(true, true) else { break };
            let Some(entry) = self.isolate_for_reclaim(index, undo) else { break };
            self.zone.mark(index, REFERENCED | ACTIVE, false);
            self.rotate(index, entry);
            (inactive, active) = (inactive + 1, active - 1);
        }
        // Two passes, because a page that got a second chance can be dropped in the second one.
        let mut freed = 0;
        for _ in 0..2 * inactive {
            let Some(index) = self.zone.lru_last(true, false).filter(|_| freed < wanted) else { break };
            let Some(entry) = self.isolate_for_reclaim(index, undo) else { break };
            freed += u32::from(self.shrink_page(index, entry));
        }
        self.zone.trim_lists();
        freed
    }

    /// Takes a page off its LRU list and, with [`Undo::Possible`], records it in the journal.
    /// Returns `None` if the journal is full.
    fn isolate_for_reclaim(&mut self, index: Frame, undo: Undo) -> Option<Option<u32>> {
        if undo == Undo::No {
            return self.zone.lru_isolate(index).map(|_| None);
        }
        if self.live.journal.is_full() {
            return None;
        }
        let spot = self.zone.lru_isolate(index)?;
        Some(Some(self.live.journal.isolated(index, spot)))
    }

    /// Puts a page that is off its LRU list at the head of the list.
    fn rotate(&mut self, index: Frame, entry: Option<u32>) {
        if let Some(entry) = entry {
            self.live.journal.became(entry, Fate::Rotated);
        }
        self.zone.lru_add(index);
    }

    /// Drops a page that was taken off the end of the inactive list, or puts it back at the list's
    /// head; true if it was dropped (`shrink_page_list`).
    fn shrink_page(&mut self, index: Frame, entry: Option<u32>) -> bool {
        let tag = self.zone.tag(index);
        if tag.has(REFERENCED) || tag.has(PINNED) || tag.has(DIRTY) && !self.write_back(index) {
            self.zone.mark(index, REFERENCED, false);
            self.rotate(index, entry);
            return false;
        }
        if let Some(entry) = entry {
            self.live.journal.became(entry, Fate::Dropped(self.zone.owner(index)));
        }
        self.drop_clean(index);
        true
    }

    /// Drops the clean cache pages of a contiguous allocation's batch; the others stay in it, to be
    /// moved (`reclaim_clean_pages_from_list`). Returns the number of pages dropped.
    #[inline]
    pub(super) fn reclaim_clean_pages_from_list(&mut self, batch: &mut Batch) -> u32 {
        if !batch.has_files || self.live.faults.keep_clean_pages {
            return 0;
        }
        let (mut dropped, mut run) = (0, FreedRun::default());
        batch.retain(|index, entry| {
            let tag = self.zone.tag(index);
            let stays = !tag.has(FILE) || tag.has(DIRTY) || tag.has(PINNED);
            if !stays {
                self.drop_for_contig(index, entry);
                run.add(self.zone, index);
                dropped += 1;
            }
            stays
        });
        run.end(self.zone);
        dropped
    }

    /// Frees memory before a large contiguous allocation starts, so that there are pages to move to
    /// (the first cure of `cma_use=first`): until `pages` pages outside the areas are free above
    /// the high watermark, or nothing is left to reclaim.
    pub fn free_ahead(&mut self, pages: u32, undo: Undo) -> u32 {
        let mark = self.zone.kept_watermarks().high + pages;
        self.lru_add_drain();
        let mut freed = 0;
        while !self.zone.watermark_ok(mark, false) {
            let now = self.shrink_lruvec(super::live::SWAP_CLUSTER_MAX, undo);
            if now == 0 {
                break;
            }
            freed += now;
        }
        self.live.stats.stolen_direct += u64::from(freed);
        freed
    }
}
