//! Blocks in and out: the smallest block that serves a request is split, a block that comes back merges with its buddy.
//!
//! The rules are Linux's (`mm/page_alloc.c`: `__rmqueue`, `expand`, `__free_one_page`). A buddy lies in the same
//! pageblock always, so merging never mixes types.

use core::fmt;

use super::frames::FreeRun;
use super::page::{FreeOf, Tag};
use super::zone::Zone;
use super::{MAX_PAGE_ORDER, Migratetype};
use crate::units::Pfn;

/// Pages of the largest block.
const MAX_ORDER_PAGES: u32 = 1 << MAX_PAGE_ORDER;

/// A block of 2^order pages that its holder owns: neither `Clone` nor `Copy`, given back by [`Zone::free_pages`].
#[must_use = "a block that is dropped is leaked"]
#[derive(PartialEq, Eq, Debug)]
pub struct Block {
    first: Pfn,
    order: u32,
}

impl Block {
    /// The first page.
    pub fn first(&self) -> Pfn {
        self.first
    }

    /// log2 of the pages.
    pub fn order(&self) -> u32 {
        self.order
    }
}

/// Why no block could be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AllocError {
    /// The order is above [`MAX_PAGE_ORDER`].
    OrderTooLarge {
        /// What was asked for.
        order: u32,
    },
    /// This type of pageblock cannot be asked for: CMA pages go to movable requests, isolated pages to nobody.
    NotRequestable {
        /// What was asked for.
        migratetype: Migratetype,
    },
    /// No free block is large enough among those the request may use.
    NoBlock {
        /// What was asked for.
        order: u32,
        /// Free pages of every type at that moment.
        free: u32,
        /// How many of them lie in CMA pageblocks.
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
    /// Takes a block of 2^`order` pages for a use.
    ///
    /// A movable request takes from CMA pageblocks first when more than half of the free memory is there, and last
    /// otherwise (`__rmqueue` since 2020), unless the zone's policy is another; no other request ever does.
    ///
    /// # Errors
    /// See [`AllocError`]; the zone is then as it was.
    pub fn alloc_pages(&mut self, order: u32, migratetype: Migratetype) -> Result<Block, AllocError> {
        use Migratetype::{Cma, Movable, Reclaimable, Unmovable};
        if order > MAX_PAGE_ORDER {
            return Err(AllocError::OrderTooLarge { order });
        }
        if !matches!(migratetype, Movable | Unmovable | Reclaimable) {
            return Err(AllocError::NotRequestable { migratetype });
        }
        // Nearly every request is served by the type that it looks at first, and most without a split.
        let first_list =
            if migratetype == Movable && !self.cma_barred && self.prefers_cma() { Cma } else { migratetype };
        let index = match self.lists.pop_front(order, first_list) {
            Some(index) => Some(index),
            None => self.take_smallest(order, first_list).or_else(|| self.take_elsewhere(order, migratetype)),
        };
        let Some(index) = index else {
            return Err(AllocError::NoBlock { order, free: self.nr_free, free_cma: self.nr_free_cma });
        };
        self.lists.set_tag(index, Tag::allocated(order, migratetype));
        self.count_taken(1 << order, self.pageblock(index));
        let first = self.start.add(index);
        self.verify_poison(first, 1 << order);
        Ok(Block { first, order })
    }

    /// Takes a block from lists that are looked at later, or steals one.
    #[inline(never)]
    fn take_elsewhere(&mut self, order: u32, migratetype: Migratetype) -> Option<u32> {
        if migratetype == Migratetype::Movable {
            self.take_movable(order, true)
        } else {
            self.take_own_or_steal(order, migratetype)
        }
    }

    /// Gives a block back; it merges with every free buddy it meets.
    pub fn free_pages(&mut self, block: Block) {
        let index = self.index(block.first);
        let pages = 1 << block.order;
        debug_assert_eq!(self.lists.tag(index).order(), block.order);
        let migratetype = self.pageblock(index);
        self.fill_poison(block.first, pages);
        self.lists.set_tag(index, Tag::BODY);
        self.free_one::<false>(index, block.order, migratetype);
        self.count_free(pages, migratetype);
    }

    /// Takes a block for a movable request, from CMA pageblocks first or last as the zone's policy says, if at all.
    #[inline]
    pub(super) fn take_movable(&mut self, order: u32, may_use_cma: bool) -> Option<u32> {
        use Migratetype::{Cma, Movable};
        if !may_use_cma || self.cma_barred {
            return self.take_own_or_steal(order, Movable);
        }
        if self.prefers_cma() {
            return self.take_smallest(order, Cma).or_else(|| self.take_own_or_steal(order, Movable));
        }
        self.take_smallest(order, Movable)
            .or_else(|| self.take_smallest(order, Cma))
            .or_else(|| self.steal(order, Movable))
    }

    pub(super) fn take_own_or_steal(&mut self, order: u32, migratetype: Migratetype) -> Option<u32> {
        self.take_smallest(order, migratetype).or_else(|| self.steal(order, migratetype))
    }

    /// Takes a block from a type's own lists, the smallest that is large enough, and frees what is left over
    /// (`__rmqueue_smallest`).
    #[inline(never)]
    pub(super) fn take_smallest(&mut self, order: u32, migratetype: Migratetype) -> Option<u32> {
        let mut lists = self.lists.of_type(migratetype)?;
        let (index, found) = lists.pop_smallest(order)?;
        lists.push_ascending(index + (1 << order), index + (1 << found));
        Some(index)
    }

    /// Frees the upper halves of a block that is larger than asked for (`expand`).
    pub(super) fn expand(&mut self, index: u32, order: u32, found: u32, migratetype: Migratetype) {
        if let Some(mut lists) = self.lists.of_type(migratetype) {
            lists.push_ascending(index + (1 << order), index + (1 << found));
        }
    }

    /// Puts a block on a list after merging it with its free buddies (`__free_one_page`).
    ///
    /// A block whose next merge looks near (the buddy of the block that it would become is free already) goes to the
    /// tail, so that it is handed out last; so does everything that boot frees.
    #[inline(always)]
    pub(super) fn free_one<const TO_TAIL: bool>(&mut self, mut index: u32, order: u32, migratetype: Migratetype) {
        // A buddy is as far away as the block is long.
        let (mut pages, mut alike) = (1 << order, FreeOf::order(order));
        while pages < MAX_ORDER_PAGES && self.lists.unlink_if(index ^ pages, alike) {
            index &= !pages;
            pages <<= 1;
            alike = alike.next();
        }
        // The block one order up would find its own buddy free (`buddy_merge_likely`).
        let uncle = (index & !pages) ^ (pages << 1);
        let merge_is_likely = pages < MAX_ORDER_PAGES / 2 && self.lists.tag(uncle).is(alike.next());
        if TO_TAIL || merge_is_likely {
            self.lists.push_back(index, alike.into_order(), migratetype);
        } else {
            self.lists.push_front(index, alike.into_order(), migratetype);
        }
    }

    pub(super) fn fill_poison(&mut self, first: Pfn, pages: u32) {
        if let Some(poison) = &mut self.poison {
            poison.fill(FreeRun::new(first, pages));
        }
    }

    pub(super) fn verify_poison(&mut self, first: Pfn, pages: u32) {
        if let Some(poison) = &mut self.poison {
            let found = poison.find_damage(FreeRun::new(first, pages));
            self.damage = self.damage.or(found);
        }
    }
}
