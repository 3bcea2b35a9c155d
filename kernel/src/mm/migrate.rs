//! Migration: a page's contents go to another frame, and everybody who shows or holds the page is told (`mm/migrate.c`).
//!
//! The steps are Linux's: a target page → the old translations go and the TLB forgets them (`try_to_migrate`) → the copy
//! (`migrate_folio`) → the new translations (`remove_migration_ptes`) → the old frame is free. A page that was moved is on
//! no list until the contiguous allocation that moved it is known to succeed; if it fails, every page goes back to the
//! frame where it was (`undo`), which Linux does not do.

use super::isolate::FreedRun;
use super::live::journal::Fate;
use super::live::{Mm, Sabotage};
use super::lru::{DIRTY, FILE, NO_OWNER, PINNED, Place};
use super::reclaim::Batch;

/// Why a page did not move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stuck {
    /// Somebody has pinned it.
    Pinned,
    /// There is no page to move it to: nothing else will move either.
    NoTarget,
}

/// What moving a batch came to.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Migrated {
    /// Pages that moved.
    pub(super) pages: u32,
    /// Mappings that were changed.
    pub(super) mappings: u32,
    /// The first page that did not move, and why.
    pub(super) stuck: Option<(u32, Stuck)>,
}

impl Mm<'_, '_> {
    /// Moves the pages of a batch; those that did not move stay in it (`migrate_pages`).
    pub(super) fn migrate_pages(&mut self, batch: &mut Batch) -> Migrated {
        let (mut result, mut run) = (Migrated::default(), FreedRun::default());
        batch.retain(|index, entry| {
            if let Some((_, Stuck::NoTarget)) = result.stuck {
                return true;
            }
            match self.unmap_and_move(index, entry) {
                Ok(mappings) => {
                    run.add(self.zone, index);
                    result.pages += 1;
                    result.mappings += mappings;
                    false
                }
                Err(stuck) => {
                    result.stuck.get_or_insert((index, stuck));
                    // Whatever came first, it is this that ends it.
                    if stuck == Stuck::NoTarget {
                        result.stuck = Some((index, stuck));
                    }
                    self.live.stats.migrate_failed += 1;
                    true
                }
            }
        });
        run.end(self.zone);
        self.live.stats.migrated += u64::from(result.pages);
        result
    }

    /// Moves one page that is off the LRU lists; returns how many mappings led to it. Its old frame is in nobody's use
    /// afterwards, and to be freed.
    #[inline]
    fn unmap_and_move(&mut self, index: u32, entry: u32) -> Result<u32, Stuck> {
        let tag = self.zone.lists.tag(index);
        if tag.has(PINNED) {
            return Err(Stuck::Pinned);
        }
        let target = self.get_target(tag.has(FILE) && !tag.has(DIRTY)).ok_or(Stuck::NoTarget)?;
        self.live.journal.became(entry, Fate::Moved(target));
        Ok(self.move_page(index, target, Place::Moved))
    }

    /// Makes the allocated page `to` what `from` was: contents, owner, marks, mappings. Returns how many mappings changed.
    #[inline]
    pub(super) fn move_page(&mut self, from: u32, to: u32, place: Place) -> u32 {
        let new = self.zone.start().add(to);
        let (owner, marks) = (self.zone.owner(from), self.zone.lists.tag(from).marks());
        self.zone.bring_to_life(to, marks, owner, place);
        if marks & FILE != 0 {
            self.copy(from, to);
            self.move_cache_page(owner, new);
            return 0;
        }
        debug_assert_ne!(owner, NO_OWNER);
        self.try_to_migrate(owner);
        self.copy(from, to);
        self.remove_migration_entries(owner, new)
    }

    fn copy(&mut self, from: u32, to: u32) {
        if self.live.faults.sabotage != Some(Sabotage::Copy) {
            let start = self.zone.start();
            self.live.space.copy(start.add(from), start.add(to));
        }
    }
}
