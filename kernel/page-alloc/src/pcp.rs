// SPDX-License-Identifier: MIT OR Apache-2.0

//! The per-CPU page lists: order-0 pages are allocated from and freed to a list in front of the
//! buddy allocator, which it is refilled from and emptied into in batches (`rmqueue_pcplist`,
//! `free_unref_page`, `mm/page_alloc.c`).
//!
//! Pages on these lists are free, but not counted as free, and in no block. There is one list for
//! each of the three types that can be requested; CMA pages are on the movable one. A contiguous
//! allocation has to drain the lists (`drain_all_pages`), and a page of an isolated pageblock never
//! gets on one.

use core::ops::Range;

use super::frame::{Frame, frames};
use super::free_list::Ring;
use super::page::{State, Tag};
use super::policy::{BarredArea, CmaPages};
use super::zone::Zone;
use super::{MAX_PAGE_ORDER, Migratetype};

/// The list that keeps free pages of pageblocks of type `migratetype`, and serves its requests.
const fn ring_of(migratetype: Migratetype) -> Ring {
    match migratetype {
        Migratetype::Unmovable => Ring::PcpUnmovable,
        Migratetype::Reclaimable => Ring::PcpReclaimable,
        _ => Ring::PcpMovable,
    }
}

impl Zone<'_> {
    /// Allocates one page. A movable request that may not have the pages of every area bypasses the
    /// list, which may hold some.
    ///
    /// The page's descriptor becomes the head of an allocated block of order 0.
    pub fn alloc_page(&mut self, migratetype: Migratetype, lent: bool) -> Option<Frame> {
        let index = match self.cma_access.pages_for(migratetype, lent) {
            CmaPages::None if migratetype == Migratetype::Movable => self.rmqueue(migratetype, false)?,
            CmaPages::Around(area) => self.rmqueue_around(area)?,
            CmaPages::None | CmaPages::All => {
                let ring = ring_of(migratetype);
                if self.lists.ring_count(ring) == 0 {
                    self.rmqueue_bulk(migratetype, lent, ring);
                }
                let index = self.lists.ring_first(ring)?;
                self.lists.ring_remove(index, ring);
                index
            }
        };
        self.lists.set_tag(index, Tag::allocated(0, migratetype));
        Some(index)
    }

    /// Refills an empty list from the buddy allocator, a run at a time, in the order in which that
    /// would allocate single pages (`rmqueue_bulk`).
    fn rmqueue_bulk(&mut self, migratetype: Migratetype, lent: bool, ring: Ring) {
        let mut wanted = self.reserve.batch.max(1);
        while wanted > 0 {
            let from = self.cma_access.first_list(self.free, migratetype, lent);
            let Some(run) = self.take_run(wanted, from) else {
                // The type's own lists are empty: take single pages of other types.
                let Some(index) = self.rmqueue(migratetype, lent) else { return };
                self.lists.set_tag(index, Tag::PCP);
                self.lists.ring_push_back(index, ring);
                wanted -= 1;
                continue;
            };
            wanted -= run.end - run.start;
            for page in frames(run) {
                self.lists.set_tag(page, Tag::PCP);
                self.lists.ring_push_back(page, ring);
            }
        }
    }

    /// Takes single pages for movable use directly from the buddy allocator, in the order in which
    /// the list would be refilled, while more than `mark` pages stay free (`alloc_pages_bulk`).
    /// Returns their number; single requests may still find more.
    ///
    /// The pages are bodies, which the caller has to bring into use or free at once.
    pub fn alloc_pages_bulk(&mut self, targets: &mut [Frame], mark: u32, lent: bool) -> usize {
        if self.is_cma_barred() {
            return 0;
        }
        let usable = if lent { self.nr_free_pages() } else { self.nr_free_pages() - self.nr_free_cma() };
        let wanted = targets.len().min(usable.saturating_sub(mark) as usize);
        let mut taken = 0;
        while taken < wanted {
            let from = self.cma_access.first_list(self.free, Migratetype::Movable, lent);
            let Some(run) = self.take_run((wanted - taken) as u32, from) else { break };
            let end = taken + (run.end - run.start) as usize;
            targets[taken..end].iter_mut().zip(frames(run)).for_each(|(target, page)| *target = page);
            taken = end;
        }
        taken
    }

    /// Takes the first `wanted` pages of the smallest free block of a type, or all of it if it is
    /// shorter; the rest stays free.
    ///
    /// Single requests would take that block's pages in ascending order until it is used up.
    #[inline(always)]
    fn take_run(&mut self, wanted: u32, from: Migratetype) -> Option<Range<Frame>> {
        let (order, index) =
            (0..=MAX_PAGE_ORDER).find_map(|order| self.lists.first(order, from).map(|index| (order, index)))?;
        self.lists.unlink(index);
        let pages = wanted.min(1 << order);
        self.insert_tail(index + pages, index + (1 << order));
        self.count_taken(pages, from);
        self.verify_poison(self.pfn(index), pages);
        Some(index..index + pages)
    }

    /// Frees `pages` pages of isolated pageblocks from `index` on, as if one by one.
    pub(super) fn free_isolated(&mut self, index: Frame, pages: u32) {
        let first = self.pfn(index);
        self.fill_poison(first, pages);
        for page in frames(index..index + pages) {
            self.lists.set_tag(page, Tag::BODY);
        }
        self.free_blocks_of::<false>(first, pages);
    }

    /// Takes one page from the buddy lists.
    fn rmqueue(&mut self, migratetype: Migratetype, lent: bool) -> Option<Frame> {
        let index = match migratetype {
            Migratetype::Movable => self.take_movable(0, lent),
            _ => self.take_own_or_steal(0, migratetype),
        }?;
        self.count_taken(1, self.pageblock(index));
        self.verify_poison(self.pfn(index), 1);
        Some(index)
    }

    /// Takes a page for a movable request while `area` is barred: from another area if possible.
    ///
    /// It bypasses the per-CPU list, which may hold pages of the barred area.
    #[cold]
    fn rmqueue_around(&mut self, area: BarredArea) -> Option<Frame> {
        let other = (0..=MAX_PAGE_ORDER).find_map(|order| {
            let mut blocks = self.lists.iter(order, Migratetype::Cma);
            blocks.find(|block| !(area.start..area.end).contains(block)).map(|block| (order, block))
        });
        let Some((order, index)) = other else { return self.rmqueue(Migratetype::Movable, false) };
        self.lists.unlink(index);
        self.expand(index, 0, order, Migratetype::Cma);
        self.count_taken(1, Migratetype::Cma);
        self.verify_poison(self.pfn(index), 1);
        Some(index)
    }

    /// Frees one page: to its list, or to the buddy allocator if its pageblock is isolated
    /// (`free_unref_page`).
    #[inline]
    pub fn free_page(&mut self, index: Frame) {
        let migratetype = self.pageblock(index);
        if migratetype == Migratetype::Isolate {
            return self.free_to_buddy(index);
        }
        let ring = ring_of(migratetype);
        self.lists.set_tag(index, Tag::PCP);
        self.lists.ring_push(index, ring);
        if self.lists.ring_count(ring) > self.reserve.high_on_list {
            self.drain_list(ring, self.reserve.batch);
        }
    }

    /// Frees one page into the buddy lists, where it merges, bypassing the per-CPU lists.
    #[inline]
    pub fn free_to_buddy(&mut self, index: Frame) {
        let migratetype = self.pageblock(index);
        self.fill_poison(self.pfn(index), 1);
        self.free_head(index, 0, migratetype);
        self.count_free(1, migratetype);
    }

    /// Gives `pages` pages of a list to the buddy allocator, those at its tail first
    /// (`free_pcppages_bulk`).
    fn drain_list(&mut self, ring: Ring, pages: u32) {
        for _ in 0..pages {
            let Some(index) = self.lists.ring_last(ring) else { return };
            self.lists.ring_remove(index, ring);
            // The pageblock may have been isolated or claimed since the page was freed.
            self.free_to_buddy(index);
        }
    }

    /// Trims each list to four batches, so that reclaimed pages are free for all requests (the
    /// effect of `nr_pcp_high` while reclaim is active).
    pub fn trim_lists(&mut self) {
        for ring in Ring::PCP {
            let pages = self.lists.ring_count(ring).saturating_sub(4 * self.reserve.batch);
            self.drain_list(ring, pages);
        }
    }

    /// Empties all lists into the buddy allocator (`drain_all_pages`); returns the number of pages.
    pub fn drain_all_pages(&mut self) -> u32 {
        let mut drained = 0;
        for ring in Ring::PCP {
            let pages = self.lists.ring_count(ring);
            self.drain_list(ring, pages);
            drained += pages;
        }
        drained
    }

    /// Pages on the per-CPU lists: free, but not counted as free.
    pub fn pcp_pages(&self) -> u32 {
        Ring::PCP.into_iter().map(|ring| self.lists.ring_count(ring)).sum()
    }

    /// True for a page on a per-CPU list.
    pub fn is_on_pcp(&self, index: Frame) -> bool {
        self.lists.tag(index).state() == State::Pcp
    }
}
