// SPDX-License-Identifier: MIT OR Apache-2.0

//! Stealing between migratetypes when a type's own lists are empty (`__rmqueue_fallback`,
//! `steal_suitable_fallback`).
//!
//! The largest block of another type is taken, so that types mix in as few pageblocks as possible,
//! and the whole pageblock changes its type if enough of it is free or of the same use. CMA
//! pageblocks are on no fallback list and never change type: `policy` decides which requests get
//! their pages.

use alloc::vec;
use alloc::vec::Vec;

use super::frame::Frame;
use super::zone::Zone;
use super::{MAX_PAGE_ORDER, Migratetype, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES};

/// The pageblocks that were claimed for another type during one contiguous allocation, and their
/// earlier types.
#[derive(Debug)]
pub struct Claims(Vec<Option<Migratetype>>);

/// The types that a type steals from, in order (`fallbacks`, `mm/page_alloc.c`).
const fn fallbacks(migratetype: Migratetype) -> [Migratetype; 2] {
    use Migratetype::{Movable, Reclaimable, Unmovable};
    match migratetype {
        Movable => [Reclaimable, Unmovable],
        Reclaimable => [Unmovable, Movable],
        _ => [Reclaimable, Movable],
    }
}

/// True if stealing a block of this order should claim its pageblock (`can_steal_fallback`).
fn may_claim(order: u32, migratetype: Migratetype) -> bool {
    order >= PAGEBLOCK_ORDER / 2 || migratetype != Migratetype::Movable
}

/// Counts of a pageblock's pages.
struct Census {
    /// On the free lists.
    free: u32,
    /// Allocated for movable requests.
    movable: u32,
}

impl Zone<'_> {
    /// Takes a block of 2^`order` pages from another type for `migratetype`.
    pub(super) fn steal(&mut self, order: u32, migratetype: Migratetype) -> Option<Frame> {
        let (mut found, mut victim) = (order..=MAX_PAGE_ORDER)
            .rev()
            .find_map(|o| self.fallback_list(o, migratetype).map(|victim| (o, victim)))?;
        let claim = may_claim(found, migratetype);
        if !claim && found > order {
            // A movable request that cannot claim the pageblock takes the smallest block instead,
            // so that it splits as little memory of other types as possible.
            (found, victim) =
                (order..=found).find_map(|o| self.fallback_list(o, migratetype).map(|victim| (o, victim)))?;
        }
        let index = self.lists.first(found, victim)?;
        if claim {
            self.claim_pageblock(index, found, migratetype);
            return self.take_smallest(order, migratetype);
        }
        self.lists.unlink(index);
        self.expand(index, order, found, migratetype);
        Some(index)
    }

    /// The first fallback type that has a block of this order.
    fn fallback_list(&self, order: u32, migratetype: Migratetype) -> Option<Migratetype> {
        fallbacks(migratetype).into_iter().find(|&other| self.lists.first(order, other).is_some())
    }

    /// Moves the free blocks of a block's pageblock to the lists of `migratetype`, and gives the
    /// pageblock that type if at least half of its pages are free or in similar use.
    fn claim_pageblock(&mut self, index: Frame, order: u32, migratetype: Migratetype) {
        let pageblock = index.pageblock();
        let first = index.align_down(PAGEBLOCK_PAGES);
        let old = self.pageblocks[pageblock];
        self.claimed[pageblock].get_or_insert(old);
        debug_assert!(!matches!(old, Migratetype::Cma | Migratetype::Isolate));
        let alike_or_free = if order == PAGEBLOCK_ORDER {
            PAGEBLOCK_PAGES
        } else {
            let Census { free, movable } = self.census(first);
            match (migratetype, old) {
                (Migratetype::Movable, _) => free + movable,
                // Neither free nor movable: unmovable or reclaimable, which count as similar use,
                // as in Linux.
                (_, Migratetype::Movable) => PAGEBLOCK_PAGES - movable,
                _ => free,
            }
        };
        self.move_free_blocks(first, migratetype);
        if alike_or_free >= PAGEBLOCK_PAGES / 2 {
            self.pageblocks[pageblock] = migratetype;
        }
    }

    /// Counts a pageblock's free and movable pages.
    fn census(&self, first: Frame) -> Census {
        let mut census = Census { free: 0, movable: 0 };
        let mut index = first;
        while index < first + PAGEBLOCK_PAGES {
            let tag = self.lists.tag(index);
            if tag.is_free() {
                census.free += tag.pages();
            } else if tag.is_allocated() && tag.migratetype() == Migratetype::Movable {
                census.movable += tag.pages();
            }
            index += tag.pages();
        }
        census
    }

    /// Moves every free block of a pageblock to another type's lists (`move_freepages`).
    pub(super) fn move_free_blocks(&mut self, first: Frame, migratetype: Migratetype) {
        let mut index = first;
        while index < first + PAGEBLOCK_PAGES {
            let tag = self.lists.tag(index);
            if tag.is_free() && tag.migratetype() != migratetype {
                self.lists.unlink(index);
                self.lists.push::<true>(self.lists.pageblock_of(index), index, tag.order(), migratetype);
            }
            index += 1 << tag.order();
        }
    }

    /// Gives every pageblock that is entirely free the type that it has after boot.
    ///
    /// Linux never does this: a pageblock keeps the type of its last claim. An experiment whose
    /// result must not depend on earlier ones needs it, because movable requests enter areas before
    /// they claim pageblocks of other types.
    pub fn forget_types(&mut self) {
        for first in self.frames().step_by(PAGEBLOCK_PAGES as usize) {
            let tag = self.lists.tag(first);
            let kept_apart = matches!(self.pageblock(first), Migratetype::Cma | Migratetype::Isolate);
            if !kept_apart && tag.is_free() && tag.order() == PAGEBLOCK_ORDER {
                self.move_free_blocks(first, Migratetype::Movable);
                self.pageblocks[first.pageblock()] = Migratetype::Movable;
            }
        }
    }

    /// Makes the claims of a caller that has claimed nothing.
    pub fn no_claims(&self) -> Claims {
        Claims(vec![None; self.claimed.len()])
    }

    /// Exchanges the recorded claims when one caller's turn ends and another's begins.
    pub fn swap_claims(&mut self, claims: &mut Claims) {
        core::mem::swap(&mut self.claimed, &mut claims.0);
    }

    /// Clears the recorded claims; later ones are recorded.
    pub fn forget_claims(&mut self) {
        self.claimed.fill(None);
    }

    /// Gives claimed pageblocks, and their free blocks, the types that they had before.
    pub fn take_back_claims(&mut self) {
        for block in 0..self.claimed.len() {
            if let Some(before) = self.claimed[block].take() {
                self.move_free_blocks(Frame(block as u32 * PAGEBLOCK_PAGES), before);
                self.pageblocks[block] = before;
            }
        }
    }
}
