// SPDX-License-Identifier: MIT OR Apache-2.0

//! Taking and freeing ranges: a contiguous allocation names the frames that it wants, and takes
//! them out of the blocks that contain them.
//!
//! Linux isolates the pageblocks, drains, migrates, finds the block that covers the start, tests,
//! takes the pages off the lists and frees the rest of the end blocks (`alloc_contig_range`,
//! `mm/page_alloc.c`). If every page of the range is free, the outcome depends on the last steps
//! only. This module does just those, at a cost for each block, not for each page.

use super::frame::Frame;
use super::free_list::Pageblock;
use super::page::FreeOf;
use super::zone::Zone;
use super::{Migratetype, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES};
use units::Pfn;

/// The range holds a page that is not free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Busy {
    /// The first such page.
    pub frame: Pfn,
}

/// The frames at which the block that contains a frame may begin, nearest first. A block is aligned
/// to its length, so each of them is the one before without its lowest bit.
fn heads(index: Frame) -> impl Iterator<Item = Frame> {
    core::iter::successors(Some(index), |&head| (head.0 % PAGEBLOCK_PAGES != 0).then(|| Frame(head.0 & (head.0 - 1))))
}

impl Zone<'_> {
    /// Takes `pages` pages from `first` out of the allocator; all of them have to be free.
    ///
    /// # Errors
    /// [`Busy`] names the first page in use; nothing has changed then.
    #[inline(never)]
    pub fn take_range(&mut self, first: Pfn, pages: u32) -> Result<(), Busy> {
        let start = self.frame(first);
        let end = start + pages;
        let head = self.covering_free_block(start).ok_or(Busy { frame: first })?;
        let after = head + (1 << self.lists.tag(head).order());
        if end <= after {
            let migratetype = self.pageblock(start);
            self.lists.unlink(head);
            self.cut_out(head, start, end, after, migratetype);
            self.count_taken(pages, migratetype);
        } else {
            self.take_blocks(head, start, end, after)?;
        }
        self.verify_poison(first, pages);
        Ok(())
    }

    /// Takes a range that continues past `after`, the end of the block that covers its start.
    #[inline(never)]
    fn take_blocks(&mut self, head: Frame, start: Frame, end: Frame, mut after: Frame) -> Result<(), Busy> {
        while after < end {
            let tag = self.lists.tag(after);
            if !tag.is_free() {
                return Err(Busy { frame: self.pfn(after) });
            }
            after += 1 << tag.order();
        }
        let mut block = head;
        while block < end {
            block += 1 << self.lists.unlink(block);
        }
        if head < start {
            self.cut_out(head, start, start, start, self.pageblock(head));
        }
        self.insert_tail(end, after);
        self.count_taken(end - start, self.pageblock(start));
        Ok(())
    }

    /// Frees `pages` pages from `first`: they merge as if freed one by one, at the cost of one
    /// operation for each aligned block (`free_contig_range`).
    #[inline(always)]
    pub fn give_range(&mut self, first: Pfn, pages: u32) {
        self.fill_poison(first, pages);
        self.free_blocks_of::<false>(first, pages);
    }

    /// Frees `pages` pages from `first`, at least one, as the largest aligned blocks that they
    /// form, pageblock by pageblock. The common case, a single block, is inlined.
    #[inline(always)]
    pub(super) fn free_blocks_of<const TO_TAIL: bool>(&mut self, first: Pfn, pages: u32) {
        debug_assert!(pages > 0);
        let index = self.frame(first);
        // One comparison tests that `pages` is a power of two and `index` a multiple of it.
        if (index.0 | pages) & (pages - 1) == 0 && pages <= PAGEBLOCK_PAGES {
            let migratetype = self.pageblock(index);
            self.count_free(pages, migratetype);
            let alike = FreeOf::order(u32::BITS - 1 - pages.leading_zeros());
            self.free_one::<TO_TAIL>(self.lists.pageblock_of(index), index, pages, alike, migratetype);
        } else if (index.0 ^ (index.0 + pages - 1)) < PAGEBLOCK_PAGES {
            self.free_in_pageblock::<TO_TAIL>(index, pages);
        } else {
            self.free_in_pageblocks::<TO_TAIL>(index, index + pages);
        }
    }

    #[inline(never)]
    fn free_in_pageblocks<const TO_TAIL: bool>(&mut self, mut index: Frame, end: Frame) {
        while index < end {
            let stop = Frame((index.0 | (PAGEBLOCK_PAGES - 1)) + 1);
            if stop - index == PAGEBLOCK_PAGES && stop <= end {
                // A whole pageblock is a block of the largest order, which merges with nothing.
                let migratetype = self.pageblock(index);
                self.count_free(PAGEBLOCK_PAGES, migratetype);
                self.lists.push::<TO_TAIL>(self.lists.pageblock_of(index), index, PAGEBLOCK_ORDER, migratetype);
            } else {
                self.free_in_pageblock::<TO_TAIL>(index, stop.min(end) - index);
            }
            index = stop;
        }
    }

    /// Frees `length` frames of one pageblock, at least one, from `start` on.
    ///
    /// Mostly `start` is aligned to `length` or more, and the frames after the range, up to the end
    /// of the block that it becomes, are free.
    #[inline(never)]
    fn free_in_pageblock<const TO_TAIL: bool>(&mut self, start: Frame, mut length: u32) {
        let migratetype = self.pageblock(start);
        self.count_free(length, migratetype);
        let pageblock = self.lists.pageblock_of(start);
        if length <= 1 << start.order() {
            loop {
                let order = length.trailing_zeros();
                let pages = 1 << order;
                if pages == length {
                    return self.free_one::<TO_TAIL>(pageblock, start, pages, FreeOf::order(order), migratetype);
                }
                if !self.lists.unlink_if(pageblock, start + length, FreeOf::order(order)) {
                    break;
                }
                length += pages;
            }
        }
        self.free_both_ends::<TO_TAIL>(pageblock, start, length, migratetype);
    }

    /// Frees any frames of a pageblock, which are already counted as free.
    ///
    /// The resulting blocks and their places on the lists are those of freeing the largest aligned
    /// blocks of the range one by one, lowest address first. The middle of the range merges only
    /// with itself and needs no list. From small orders to large ones, each end either absorbs the
    /// free buddy beyond it, or leaves its block to the lists and shrinks. Blocks of the front end
    /// enter the lists at once, those of the rear end after all before them.
    #[inline(never)]
    fn free_both_ends<const TO_TAIL: bool>(
        &mut self,
        pageblock: Pageblock,
        mut start: Frame,
        mut length: u32,
        migratetype: Migratetype,
    ) {
        // The front end, while a block that begins here is shorter than the range.
        loop {
            let order = start.order();
            let pages = 1 << order;
            if pages >= length {
                break;
            }
            let alike = FreeOf::order(order);
            if self.lists.unlink_if(pageblock, Frame(start.0 - pages), alike) {
                start = Frame(start.0 - pages);
                length += pages;
            } else {
                self.push_free::<TO_TAIL>(pageblock, start, pages, alike, migratetype);
                start += pages;
                length -= pages;
            }
        }
        // The rear end, where the bits of the length divide the range into blocks. Mask of the
        // blocks that are left to the lists:
        let mut behind = 0;
        loop {
            let order = length.trailing_zeros();
            let pages = 1 << order;
            if pages == length {
                self.free_one::<TO_TAIL>(pageblock, start, pages, FreeOf::order(order), migratetype);
                break;
            }
            if self.lists.unlink_if(pageblock, start + length, FreeOf::order(order)) {
                length += pages;
            } else {
                length -= pages;
                behind |= pages;
            }
        }
        start += length;
        while behind != 0 {
            let order = behind.ilog2();
            let pages = 1 << order;
            self.push_free::<TO_TAIL>(pageblock, start, pages, FreeOf::order(order), migratetype);
            start += pages;
            behind -= pages;
        }
    }

    /// The head of the free block that contains a frame.
    pub fn covering_free_block(&self, index: Frame) -> Option<Frame> {
        heads(index).find(|&head| {
            let tag = self.lists.tag(head);
            tag.is_free() && index - head < 1 << tag.order()
        })
    }

    /// Puts the rest of the block `head..after`, from which `start..end` was cut out, back on the
    /// lists.
    ///
    /// The buddies of these parts are in the range or not free, so nothing merges.
    #[inline(always)]
    fn cut_out(&mut self, head: Frame, start: Frame, end: Frame, after: Frame, migratetype: Migratetype) {
        let mut lists = self.lists.of_type(migratetype);
        lists.push_descending(head, start);
        lists.push_ascending(end, after);
    }

    /// Puts the frames from `end` to `after`, the end of their free block, back on the lists.
    #[inline(always)]
    pub(super) fn insert_tail(&mut self, end: Frame, after: Frame) {
        if end < after {
            self.cut_out(end, end, end, after, self.pageblock(end));
        }
    }

    /// The head of the block that contains a frame, if `alloc_pages` handed that block out.
    pub(super) fn covering_allocated_block(&self, index: Frame) -> Option<Frame> {
        heads(index).find(|&head| {
            let tag = self.lists.tag(head);
            tag.is_allocated() && index - head < 1 << tag.order()
        })
    }
}
