// SPDX-License-Identifier: MIT OR Apache-2.0

//! Consistency checks: verify that every page is in exactly one place and that every counter equals
//! what it counts.
//!
//! Slow and thorough: for self-tests, for host tests after every step, and for `check=on`.

use core::fmt;

use super::frame::{Frame, frames};
use super::page::{FreeOf, State};
use super::poison::POISON_WORD;
use super::zone::Zone;
use super::{MAX_PAGE_ORDER, Migratetype, PAGEBLOCK_ORDER};
use units::Pfn;

/// A disagreement between two figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Imbalance {
    /// Name of the figure.
    pub what: &'static str,
    /// The frame, if one can be named.
    pub frame: Option<Pfn>,
    /// The right value.
    pub expected: u32,
    /// The value found.
    pub found: u32,
}

impl fmt::Display for Imbalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, expected, found, .. } = self;
        if *what == FREE_WORD {
            write!(f, "{what}: {expected:#010x} expected, {found:#010x} found")?;
        } else {
            write!(f, "{what}: {expected} expected, {found} found")?;
        }
        match self.frame {
            Some(frame) => write!(f, ", at pfn {:#x}", frame.0),
            None => Ok(()),
        }
    }
}

/// The one disagreement that is about a word, not a count.
const FREE_WORD: &str = "a word of free memory";

/// Returns an error unless two values agree.
pub fn balance(what: &'static str, frame: Option<Pfn>, expected: u32, found: u32) -> Result<(), Imbalance> {
    if expected == found { Ok(()) } else { Err(Imbalance { what, frame, expected, found }) }
}

impl Zone<'_> {
    /// Checks lists, descriptors, pageblocks and counters against each other.
    ///
    /// # Errors
    /// Returns the first disagreement.
    pub fn check(&self) -> Result<(), Imbalance> {
        if let Some(damage) = self.damage {
            balance(FREE_WORD, Some(damage.addr.pfn()), POISON_WORD, damage.found)?;
        }
        let (mut free, mut listed) = ([0; 3], 0_u32);
        for order in 0..=MAX_PAGE_ORDER {
            for migratetype in Migratetype::ALL {
                listed += self.check_list(order, migratetype)?;
            }
        }
        let mut index = Frame(0);
        while self.spans(index) {
            let tag = self.lists.tag(index);
            let pages = tag.pages();
            self.check_block_body(index, pages)?;
            if tag.is_free() {
                listed = listed.wrapping_sub(1);
                free[self.pageblock(index).kind()] += pages;
            }
            index += pages;
        }
        balance("free blocks that are on no list", None, 0, listed)?;
        for (what, kind) in [("free pages outside areas", 0), ("free CMA pages", 1), ("free isolated pages", 2)] {
            balance(what, None, free[kind], self.free[kind])?;
        }
        // Only pageblocks of areas are ever isolated.
        let cma_blocks = self.pageblocks_of(Migratetype::Cma) + self.pageblocks_of(Migratetype::Isolate);
        balance("CMA pageblocks", None, self.cma_pages() >> PAGEBLOCK_ORDER, cma_blocks)
    }

    /// Walks one list; every block on it must have its tag, be aligned, and have no free buddy.
    fn check_list(&self, order: u32, migratetype: Migratetype) -> Result<u32, Imbalance> {
        let mut blocks = 0;
        for index in self.lists.iter(order, migratetype) {
            let at = Some(self.pfn(index));
            let tag = self.lists.tag(index);
            balance("a block on a free list is free", at, 1, u32::from(tag.is_free()))?;
            balance("the order of a free block", at, order, tag.order())?;
            balance("the migratetype of a free block", at, migratetype as u32, tag.migratetype() as u32)?;
            balance("the alignment of a free block", at, 0, index - index.align_down(1 << order))?;
            for kept_apart in [Migratetype::Cma, Migratetype::Isolate] {
                let belongs = u32::from(self.pageblock(index) == kept_apart);
                balance(
                    "blocks of CMA and isolated pageblocks keep apart",
                    at,
                    belongs,
                    u32::from(migratetype == kept_apart),
                )?;
            }
            if order < MAX_PAGE_ORDER {
                let buddy = self.lists.tag(index.buddy(1 << order));
                balance("free buddies that did not merge", at, 0, u32::from(buddy.is(FreeOf::order(order))))?;
            }
            blocks += 1;
            if blocks > self.spanned_pages() {
                return balance("blocks on a free list that ends", at, 0, blocks).map(|()| blocks);
            }
        }
        Ok(blocks)
    }

    /// Verifies that no other block begins inside a block.
    fn check_block_body(&self, head: Frame, pages: u32) -> Result<(), Imbalance> {
        for index in frames(head + 1..head + pages) {
            let inside = self.lists.tag(index).state();
            balance("a block inside a block", Some(self.pfn(index)), 0, u32::from(inside != State::Body))?;
        }
        Ok(())
    }

    /// The frame after the block, free or handed out by `alloc_pages`, that contains `frame`;
    /// `None` if there is none. A page on a per-CPU list is a block of its own.
    pub fn end_of_block(&self, frame: Pfn) -> Option<Pfn> {
        let index = self.frame(frame);
        if self.is_on_pcp(index) {
            return Some(frame.add(1));
        }
        let head = self.covering_free_block(index).or_else(|| self.covering_allocated_block(index))?;
        Some(self.pfn(head + (1 << self.lists.tag(head).order())))
    }

    /// True if no block begins at a frame.
    pub fn is_body(&self, frame: Pfn) -> bool {
        matches!(self.lists.tag(self.frame(frame)).state(), State::Body | State::Held | State::Relocatable)
    }
}
