// SPDX-License-Identifier: MIT OR Apache-2.0

//! Migration: a page's contents are copied to another frame, and the mappings or the cache entry of
//! the page are updated (`mm/migrate.c`).
//!
//! The steps are Linux's: get a target page → remove the old translations and flush the TLB
//! (`try_to_migrate`) → copy (`migrate_folio`) → set the new translations (`remove_migration_ptes`)
//! → free the old frame. A moved page is on no list until the contiguous allocation that moved it
//! has succeeded; if it fails, every page goes back to the frame where it was (`undo`), which Linux
//! does not do.

use super::live::journal::Fate;
use super::live::space::OwnedFrame;
use super::live::{Mm, Sabotage, Targets};
use super::reclaim::Batch;
use page_alloc::lru::{DIRTY, FILE, NO_OWNER, PINNED, Place};
use page_alloc::{Frame, FreedRun};

/// Why a page did not move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stuck {
    /// It is pinned.
    Pinned,
    /// There is no page to move it to; other pages of the batch are not tried either.
    NoTarget,
}

/// Result of moving a batch.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Migrated {
    /// Pages that moved.
    pub(super) pages: u32,
    /// Mappings that were changed.
    pub(super) mappings: u32,
    /// The first page that did not move, and why.
    pub(super) stuck: Option<(Frame, Stuck)>,
}

impl Mm<'_, '_> {
    /// Moves the pages of a batch; those that did not move stay in it (`migrate_pages`).
    pub(super) fn migrate_pages(&mut self, batch: &mut Batch) -> Migrated {
        let (mut result, mut run) = (Migrated::default(), FreedRun::default());
        let mut targets = self.get_targets(batch.len());
        batch.retain(|index, entry| {
            let moved = match result.stuck {
                Some((_, Stuck::NoTarget)) => return true,
                _ => self.unmap_and_move(index, entry, &mut targets),
            };
            if let Ok(mappings) = moved {
                run.add(self.zone, index);
                result.pages += 1;
                result.mappings += mappings;
            } else if let Err(stuck) = moved {
                // The lack of a target ends the allocation, so it replaces an earlier reason.
                if result.stuck.is_none() || stuck == Stuck::NoTarget {
                    result.stuck = Some((index, stuck));
                }
                self.live.stats.migrate_failed += 1;
            }
            moved.is_err()
        });
        run.end(self.zone);
        self.give_back(&targets);
        self.live.stats.migrated += u64::from(result.pages);
        if self.pages_lent_to_disk() > 0 {
            self.live.stats.migrated_while_lent += u64::from(result.pages);
        }
        result
    }

    /// Moves one page that is off the LRU lists; returns the number of mappings changed. The caller
    /// has to free its old frame.
    #[inline]
    fn unmap_and_move(&mut self, index: Frame, entry: u32, targets: &mut Targets) -> Result<u32, Stuck> {
        let page = self.zone.descriptor(index);
        let tag = page.tag();
        if tag.has(PINNED) && !self.live.faults.ignore_pins {
            return Err(Stuck::Pinned);
        }
        let target = targets.next().or_else(|| self.get_target(tag.has(FILE) && !tag.has(DIRTY)));
        let target = target.ok_or(Stuck::NoTarget)?;
        self.live.journal.became(entry, Fate::Moved(target));
        Ok(self.move_page(page.owner(), tag.marks(), index, target, Place::Moved))
    }

    /// Moves contents, owner, marks (without a pin) and mappings from `from` to the allocated page
    /// `to`. Returns the number of mappings changed.
    #[inline]
    pub(super) fn move_page(&mut self, owner: u32, marks: u8, from: Frame, to: Frame, place: Place) -> u32 {
        let (old, new) = (self.zone.pfn(from), self.zone.pfn(to));
        self.cpu_access(old, false);
        // A pin that is ignored on purpose stays with the old frame.
        self.zone.bring_to_life(to, marks & !PINNED, owner, place);
        if marks & FILE != 0 {
            self.copy(from, to);
            self.move_cache_page(owner, new);
            return 0;
        }
        debug_assert_ne!(owner, NO_OWNER);
        if self.live.faults.sabotage.is_none() && self.move_sole_mapping(owner, old, new) {
            return 1;
        }
        self.try_to_migrate(owner);
        self.copy(from, to);
        self.remove_migration_entries(owner, new)
    }

    fn copy(&mut self, from: Frame, to: Frame) {
        if self.live.faults.sabotage != Some(Sabotage::Copy) {
            let (from, to) = (OwnedFrame::living(self.zone.pfn(from)), OwnedFrame::living(self.zone.pfn(to)));
            self.live.space.copy(from, to);
        }
    }
}
