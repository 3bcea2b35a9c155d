//! Migration: a page's contents go to another frame, and everybody who shows or holds the page is told (`mm/migrate.c`).
//!
//! The steps are Linux's: a target page → the old translations go and the TLB forgets them (`try_to_migrate`) → the copy
//! (`migrate_folio`) → the new translations (`remove_migration_ptes`) → the old frame is free. A page that was moved waits
//! on a list of its own until the contiguous allocation that moved it is known to succeed; if it fails, every page goes
//! back to the frame where it was ([`Mm::put_back_moved`]), which Linux does not do.

use super::Migratetype;
use super::isolate::FreedRun;
use super::live::{Mm, Sabotage};
use super::lru::{DIRTY, FILE, NO_OWNER, PINNED, Place};
use super::page::Tag;
use super::reclaim::Batch;
use crate::units::PAGE_SIZE;

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
        batch.retain(|index| {
            if let Some((_, Stuck::NoTarget)) = result.stuck {
                return true;
            }
            match self.unmap_and_move(index) {
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
        if self.pages_lent_to_disk() > 0 {
            self.live.stats.migrated_while_lent += u64::from(result.pages);
        }
        result
    }

    /// Moves one page that is off the LRU lists; returns how many mappings led to it. Its old frame is in nobody's use
    /// afterwards, and to be freed.
    #[inline]
    fn unmap_and_move(&mut self, index: u32) -> Result<u32, Stuck> {
        let tag = self.zone.lists.tag(index);
        if tag.has(PINNED) && !self.live.faults.ignore_pins {
            return Err(Stuck::Pinned);
        }
        let target = self.get_target(tag.has(FILE) && !tag.has(DIRTY)).ok_or(Stuck::NoTarget)?;
        let mappings = self.move_page(index, target, Place::Moved);
        self.zone.moved_link(target);
        Ok(mappings)
    }

    /// Makes the allocated page `to` what `from` was: contents, owner, marks, mappings. Returns how many mappings changed.
    #[inline]
    fn move_page(&mut self, from: u32, to: u32, place: Place) -> u32 {
        let (old, new) = (self.zone.start().add(from), self.zone.start().add(to));
        let (owner, marks) = (self.zone.owner(from), self.zone.lists.tag(from).marks());
        // Where a pin is ignored on purpose, it stays behind with the frame.
        self.zone.bring_to_life(to, marks & !PINNED, owner, place);
        if marks & FILE != 0 {
            self.copy(from, to);
            self.move_cache_page(owner, old, new);
            return 0;
        }
        debug_assert_ne!(owner, NO_OWNER);
        self.try_to_migrate(owner);
        self.copy(from, to);
        self.remove_migration_entries(owner, old, new)
    }

    fn copy(&mut self, from: u32, to: u32) {
        if self.live.faults.sabotage != Some(Sabotage::Copy) {
            let start = self.zone.start();
            self.dma.cpu_access(start.add(from).addr(), PAGE_SIZE as u32, false);
            self.live.space.copy(start.add(from), start.add(to));
        }
    }

    /// Puts every page that was moved back to where it was; returns how many. A page that somebody pinned or whose old
    /// frame is not free any more stays where it is.
    pub(super) fn put_back_moved(&mut self) -> u32 {
        let mut back = 0;
        while let Some(index) = self.zone.moved_pop() {
            let tag = self.zone.lists.tag(index);
            let owner = self.zone.owner(index);
            let origin = if tag.has(FILE) { self.cache_origin(owner) } else { self.origin_of(owner) };
            let origin = self.zone.index(origin);
            if tag.has(PINNED) || !self.zone.take_isolated_page(origin) {
                self.zone.lru_add(index);
                continue;
            }
            self.zone.lists.set_tag(origin, Tag::allocated(0, Migratetype::Movable));
            self.move_page(index, origin, Place::Isolated);
            self.zone.free_page(index);
            self.zone.lru_add(origin);
            back += 1;
        }
        back
    }

    /// The contiguous allocation went well: the pages that were moved go back on their LRU lists (`putback_lru_page`).
    pub(super) fn settle_moved(&mut self) {
        self.zone.lru_add_moved();
    }
}
