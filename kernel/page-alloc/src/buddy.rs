// SPDX-License-Identifier: MIT OR Apache-2.0

//! Allocating and freeing blocks: the smallest block that serves a request is split, and a freed
//! block merges with its buddy.
//!
//! The rules are Linux's (`mm/page_alloc.c`: `__rmqueue`, `expand`, `__free_one_page`). Buddies
//! always share a pageblock, so merging never mixes types.

use core::fmt;

use super::frame::Frame;
use super::free_list::Pageblock;
use super::page::{FreeOf, Tag};
use super::poison::FreeRun;
use super::policy::CmaPages;
use super::zone::Zone;
use super::{MAX_PAGE_ORDER, Migratetype};
use units::Pfn;

/// An allocated block of 2^order pages: neither `Clone` nor `Copy`, freed with
/// [`Zone::free_pages`].
#[must_use = "a block that is dropped is leaked"]
#[derive(PartialEq, Eq, Debug)]
pub struct Block {
    first: Pfn,
    order: u32,
}

impl Block {
    /// Makes a block for a test.
    #[cfg(test)]
    pub(super) const fn new(first: Pfn, order: u32) -> Self {
        Self { first, order }
    }

    /// The first page.
    pub fn first(&self) -> Pfn {
        self.first
    }

    /// log2 of the number of pages.
    pub fn order(&self) -> u32 {
        self.order
    }
}

/// The reason why no block was allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AllocError {
    /// The order is above [`MAX_PAGE_ORDER`].
    OrderTooLarge {
        /// The requested order.
        order: u32,
    },
    /// This type cannot be requested: CMA pages go to movable requests, isolated pages to none.
    NotRequestable {
        /// The requested type.
        migratetype: Migratetype,
    },
    /// The lists that the request may use have no large enough block.
    NoBlock {
        /// The requested order.
        order: u32,
        /// Free pages of every type at that moment.
        free: u32,
        /// Number of them in CMA pageblocks.
        free_cma: u32,
    },
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OrderTooLarge { order } => {
                write!(f, "no block has {} pages, the largest has {}", 1_u64 << order, 1_u32 << MAX_PAGE_ORDER)
            }
            Self::NotRequestable { migratetype } => write!(f, "{} pages cannot be asked for", migratetype.name()),
            Self::NoBlock { order, free, free_cma } => {
                write!(f, "no block of order {order}: {free} pages free, {free_cma} of them CMA")
            }
        }
    }
}

impl Zone<'_> {
    /// Allocates a block of 2^`order` pages.
    ///
    /// With the default policy, a movable request takes from CMA pageblocks first if more than half
    /// of the free memory is there, and last otherwise (`__rmqueue` since 2020). Other requests
    /// never take CMA pages.
    ///
    /// # Errors
    /// See [`AllocError`]; the zone is unchanged then.
    #[inline(always)]
    pub fn alloc_pages(&mut self, order: u32, migratetype: Migratetype) -> Result<Block, AllocError> {
        match self.take_block(order, migratetype) {
            Some(first) => Ok(Block { first, order }),
            None => Err(self.why_no_block(order, migratetype)),
        }
    }

    /// Takes a block, mostly from the list that is looked at first. Inlined, because the type is a
    /// constant at nearly every call.
    #[inline(always)]
    fn take_block(&mut self, order: u32, migratetype: Migratetype) -> Option<Pfn> {
        if order > MAX_PAGE_ORDER || !migratetype.is_requestable() {
            return None;
        }
        let list = self.cma_access.first_list(self.free, migratetype, true);
        let taken = self.lists.of_type(list).pop_smallest(order, Tag::allocated(order, migratetype));
        let index = if let Some(index) = taken {
            self.count_taken(1 << order, list);
            index
        } else {
            self.take_elsewhere(order, migratetype)?
        };
        let first = self.pfn(index);
        self.verify_poison(first, 1 << order);
        Some(first)
    }

    /// Takes a block from the lists that are looked at next, or steals one.
    #[inline(never)]
    fn take_elsewhere(&mut self, order: u32, migratetype: Migratetype) -> Option<Frame> {
        let index = match migratetype {
            Migratetype::Movable => self.take_movable(order, true),
            _ => self.take_own_or_steal(order, migratetype),
        }?;
        self.lists.set_tag(index, Tag::allocated(order, migratetype));
        self.count_taken(1 << order, self.pageblock(index));
        Some(index)
    }

    #[cold]
    #[inline(never)]
    fn why_no_block(&self, order: u32, migratetype: Migratetype) -> AllocError {
        if order > MAX_PAGE_ORDER {
            AllocError::OrderTooLarge { order }
        } else if !migratetype.is_requestable() {
            AllocError::NotRequestable { migratetype }
        } else {
            AllocError::NoBlock { order, free: self.nr_free_pages(), free_cma: self.nr_free_cma() }
        }
    }

    /// Frees a block; it merges with every free buddy it meets.
    pub fn free_pages(&mut self, block: Block) {
        let index = self.frame(block.first);
        let pages = 1 << block.order;
        debug_assert_eq!(self.lists.tag(index).order(), block.order);
        let migratetype = self.pageblock(index);
        self.count_free(pages, migratetype);
        self.fill_poison(block.first, pages);
        self.free_head(index, block.order, migratetype);
    }

    /// Takes a block for a movable request, from CMA pageblocks first, last or never, as the zone's
    /// policy and bar say.
    #[inline]
    pub(super) fn take_movable(&mut self, order: u32, lent: bool) -> Option<Frame> {
        use Migratetype::{Cma, Movable};
        if self.cma_access.pages_for(Movable, lent) != CmaPages::All {
            return self.take_own_or_steal(order, Movable);
        }
        if self.cma_access.first_list(self.free, Movable, lent) == Cma {
            return self.take_smallest(order, Cma).or_else(|| self.take_own_or_steal(order, Movable));
        }
        self.take_smallest(order, Movable)
            .or_else(|| self.take_smallest(order, Cma))
            .or_else(|| self.steal(order, Movable))
    }

    pub(super) fn take_own_or_steal(&mut self, order: u32, migratetype: Migratetype) -> Option<Frame> {
        self.take_smallest(order, migratetype).or_else(|| self.steal(order, migratetype))
    }

    /// Takes the smallest block that is large enough from a type's own lists, and frees the rest of
    /// it (`__rmqueue_smallest`).
    #[inline(never)]
    pub(super) fn take_smallest(&mut self, order: u32, migratetype: Migratetype) -> Option<Frame> {
        self.lists.of_type(migratetype).pop_smallest(order, Tag::BODY)
    }

    /// Frees the upper halves of a block of order `found`, of which `order` is needed (`expand`).
    pub(super) fn expand(&mut self, index: Frame, order: u32, found: u32, migratetype: Migratetype) {
        self.lists.of_type(migratetype).push_ascending(index + (1 << order), index + (1 << found));
    }

    /// Frees a block whose first descriptor still has the tag of its allocation.
    #[inline(always)]
    pub(super) fn free_head(&mut self, index: Frame, order: u32, migratetype: Migratetype) {
        let pageblock = self.lists.pageblock_of(index);
        let (pages, alike) = (1 << order, FreeOf::order(order));
        // If the buddy is not free, the tag is overwritten when the block is put on a list;
        // otherwise it has to become a body first.
        if self.lists.unlink_if(pageblock, index.buddy(pages), alike) {
            self.lists.in_pageblock(pageblock, index).tag = Tag::BODY;
            self.free_one::<false>(pageblock, index.merged(pages), pages << 1, alike.next(), migratetype);
        } else {
            self.push_free::<false>(pageblock, index, pages, alike, migratetype);
        }
    }

    /// Puts a block of `pages` pages on a list after merging it with its free buddies
    /// (`__free_one_page`).
    ///
    /// A block of the largest order merges with nothing: `in_pageblock` wraps the place of its
    /// buddy to its own, which is not free.
    #[inline(always)]
    pub(super) fn free_one<const TO_TAIL: bool>(
        &mut self,
        pageblock: Pageblock,
        mut index: Frame,
        mut pages: u32,
        mut alike: FreeOf,
        migratetype: Migratetype,
    ) {
        // The distance to a buddy is the length of the block.
        while self.lists.unlink_if(pageblock, index.buddy(pages), alike) {
            index = index.merged(pages);
            pages <<= 1;
            alike = alike.next();
        }
        self.push_free::<TO_TAIL>(pageblock, index, pages, alike, migratetype);
    }

    /// Puts a block whose buddy is not free on a list.
    ///
    /// With `TO_TAIL` it goes to the tail. So does a block that is likely to merge soon (the buddy
    /// of the next larger block is free already), so that it is handed out last.
    #[inline(always)]
    pub(super) fn push_free<const TO_TAIL: bool>(
        &mut self,
        pageblock: Pageblock,
        index: Frame,
        pages: u32,
        alike: FreeOf,
        migratetype: Migratetype,
    ) {
        // The block one order up would find its own buddy free (`buddy_merge_likely`). A buddy
        // beyond the pageblock wraps to its first page, which is the head of no block that large.
        let uncle = index.buddy(pages << 1).merged(pages);
        if TO_TAIL || self.lists.in_pageblock(pageblock, uncle).tag.is(alike.next()) {
            self.lists.push::<true>(pageblock, index, alike.into_order(), migratetype);
        } else {
            self.lists.push::<false>(pageblock, index, alike.into_order(), migratetype);
        }
    }

    #[inline(always)]
    pub(super) fn fill_poison(&mut self, first: Pfn, pages: u32) {
        if self.poison.is_some() {
            self.write_poison(first, pages);
        }
    }

    #[inline(always)]
    pub(super) fn verify_poison(&mut self, first: Pfn, pages: u32) {
        if self.poison.is_some() {
            self.read_poison(first, pages);
        }
    }

    #[cold]
    #[inline(never)]
    fn write_poison(&mut self, first: Pfn, pages: u32) {
        if let Some(poison) = &mut self.poison {
            poison.fill(FreeRun::new(first, pages));
        }
    }

    #[cold]
    #[inline(never)]
    fn read_poison(&mut self, first: Pfn, pages: u32) {
        if let Some(poison) = &mut self.poison {
            let found = poison.find_damage(FreeRun::new(first, pages));
            self.damaged_runs += u32::from(found.is_some());
            self.damage = self.damage.or(found);
        }
    }
}
