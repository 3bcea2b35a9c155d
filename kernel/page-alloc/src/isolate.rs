// SPDX-License-Identifier: MIT OR Apache-2.0

//! Isolation: no request gets pages from the pageblocks of a range, so that pages that become free
//! there stay free (`mm/page_isolation.c`).
//!
//! A MIGRATE_ISOLATE pageblock serves no requests: its free pages are on lists of their own and are
//! not counted as free. Pages freed in it bypass the per-CPU lists.

use core::ops::Range;

use super::frame::{Frame, frames};
use super::page::State;
use super::zone::Zone;
use super::{Migratetype, PAGEBLOCK_PAGES};
use units::Pfn;

/// An empty range.
const NOTHING: Range<Frame> = Frame(0)..Frame(0);

impl Zone<'_> {
    /// The first frame of each pageblock that overlaps a range.
    fn pageblocks_around(&self, first: Pfn, pages: u32) -> impl Iterator<Item = Frame> + use<> {
        let start = self.frame(first);
        frames(start.align_down(PAGEBLOCK_PAGES)..start + pages).step_by(PAGEBLOCK_PAGES as usize)
    }

    /// Isolates the pageblocks that overlap a range, all of which are MIGRATE_CMA
    /// (`start_isolate_page_range`).
    pub fn start_isolate_page_range(&mut self, first: Pfn, pages: u32) {
        self.retype(first, pages, Migratetype::Cma, Migratetype::Isolate, NOTHING);
    }

    /// Changes the pageblocks back to MIGRATE_CMA (`undo_isolate_page_range`). `taken`: the range
    /// itself was taken, so that it has no free blocks to move.
    pub fn undo_isolate_page_range(&mut self, first: Pfn, pages: u32, taken: bool) {
        let start = self.frame(first);
        let skipped = if taken { start..start + pages } else { NOTHING };
        self.retype(first, pages, Migratetype::Isolate, Migratetype::Cma, skipped);
    }

    /// The first page of the first isolated pageblock that overlaps a range, if any: another
    /// allocation has isolated it.
    pub fn isolated_in(&self, first: Pfn, pages: u32) -> Option<Pfn> {
        let mut blocks = self.pageblocks_around(first, pages);
        blocks.find(|&block| self.pageblock(block) == Migratetype::Isolate).map(|block| self.pfn(block))
    }

    fn retype(&mut self, first: Pfn, pages: u32, from: Migratetype, to: Migratetype, skipped: Range<Frame>) {
        for block in self.pageblocks_around(first, pages) {
            debug_assert_eq!(self.pageblock(block), from);
            let after = block + PAGEBLOCK_PAGES;
            let free = self.move_freepages(block, after.min(skipped.start.max(block)), to)
                + self.move_freepages(block.max(skipped.end.min(after)), after, to);
            self.count_taken(free, from);
            self.pageblocks[block.pageblock()] = to;
            self.count_free(free, to);
        }
    }

    /// Moves the free blocks of the frames `first..end` to the lists of type `to`; returns the
    /// number of pages.
    fn move_freepages(&mut self, first: Frame, end: Frame, to: Migratetype) -> u32 {
        let (mut free, mut index) = (0, first);
        while index < end {
            let tag = self.lists.tag(index);
            if tag.is_free() {
                self.lists.unlink(index);
                self.lists.push::<true>(self.lists.pageblock_of(index), index, tag.order(), to);
                free += 1 << tag.order();
            }
            index += 1 << tag.order();
        }
        free
    }

    /// The first page of a range that cannot be emptied, as far as can be seen before any page
    /// moves (`has_unmovable_pages`, which in Linux accepts everything in a MIGRATE_CMA pageblock
    /// and ignores pins).
    pub fn has_unmovable_pages(&self, first: Pfn, pages: u32, ignore_pins: bool) -> Option<Frame> {
        let start = self.frame(first);
        let mut index = start;
        while index < start + pages {
            let tag = self.lists.tag(index);
            if tag.is_allocated() && tag.is_movable_now() {
                index += 1;
                continue;
            }
            match tag.state() {
                State::Free => index += 1 << tag.order(),
                State::Pcp => index += 1,
                State::Allocated if ignore_pins && self.living(index).is_some() => index += 1,
                // A body at the start may be in a free block that begins before the range.
                State::Body => {
                    let Some(head) = self.covering_free_block(index) else { return Some(index) };
                    index = head + (1 << self.lists.tag(head).order());
                }
                _ => return Some(index),
            }
        }
        None
    }

    /// Returns `Err` with the first page of the range that is not free and isolated, and otherwise
    /// the end of the last block (`test_pages_isolated`).
    pub fn test_pages_isolated(&self, head: Frame, end: Frame) -> Result<Frame, Frame> {
        let mut index = head;
        while index < end {
            let tag = self.lists.tag(index);
            if !tag.is_free() || self.pageblock(index) != Migratetype::Isolate {
                return Err(index);
            }
            index += 1 << tag.order();
        }
        Ok(index)
    }

    /// Unlinks the blocks of a range that was tested to be isolated and free, and frees what the
    /// first and the last one have outside it (`isolate_freepages_range`, `free_contig_range`).
    ///
    /// After the test, others may have freed pages around the range, but cannot have allocated any:
    /// it is isolated.
    ///
    /// # Errors
    /// The frame of `first`, if it is in no free block; nothing has changed then.
    pub fn take_isolated_range(&mut self, first: Pfn, pages: u32) -> Result<(), Frame> {
        let start = self.frame(first);
        let end = start + pages;
        let head = self.covering_free_block(start).ok_or(start)?;
        let mut after = head;
        while after < end {
            after += 1 << self.lists.unlink(after);
        }
        self.count_taken(after - head, Migratetype::Isolate);
        for (first, after) in [(head, start), (end, after)] {
            if first < after {
                self.free_blocks_of::<false>(self.pfn(first), after - first);
            }
        }
        self.verify_poison(first, pages);
        Ok(())
    }
}

/// Frames to be freed together: neighbours are collected and freed as the blocks that they form.
///
/// A batch moves or drops pages in ascending order, mostly neighbours; freed one by one, each would
/// merge with the one before.
#[derive(Default)]
pub struct FreedRun {
    first: Frame,
    pages: u32,
}

impl FreedRun {
    /// Adds a frame without a user, in an isolated pageblock.
    #[inline]
    pub fn add(&mut self, zone: &mut Zone<'_>, index: Frame) {
        if index != self.first + self.pages {
            self.end(zone);
            self.first = index;
        }
        self.pages += 1;
    }

    /// Frees the collected frames.
    pub fn end(&mut self, zone: &mut Zone<'_>) {
        if self.pages > 0 {
            zone.free_isolated(self.first, self.pages);
        }
        *self = Self::default();
    }
}
