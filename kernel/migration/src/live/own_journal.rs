// SPDX-License-Identifier: MIT OR Apache-2.0

//! A journal for each of several contiguous allocations that are under way at once.
//!
//! One allocation alone writes the journal of [`Live`](super::Live). Where several interleave, each
//! has one of its own, which takes the place of that one for the length of a step, and so do the
//! pageblocks that were claimed meanwhile. What another allocation has done to the LRU lists in
//! between stays done: a page whose neighbour has left goes to the head of its list.

use super::Mm;
use super::journal::{ENTRY_BYTES, Journal};
use super::space::Table;
use page_alloc::{Claims, Migratetype};

/// Entries for what is reclaimed to make room for pages that move.
const RECLAIMED: u32 = 1024;
/// Bytes of a page.
const PAGE_BYTES: u32 = 4096;

/// The journal of one allocation of several.
pub struct OwnJournal {
    journal: Journal,
    claims: Claims,
}

impl Mm<'_, '_> {
    /// A journal for allocations of up to `pages` pages; `None` where there is no memory for it.
    pub fn open_journal(&mut self, pages: u32) -> Option<OwnJournal> {
        let bytes = (pages + RECLAIMED) * ENTRY_BYTES;
        let order = bytes.div_ceil(PAGE_BYTES).next_power_of_two().ilog2();
        let block = self.zone.alloc_pages(order, Migratetype::Unmovable).ok()?;
        let journal = Journal::new(self.live.space.table(block), (PAGE_BYTES << order) / ENTRY_BYTES);
        Some(OwnJournal { journal, claims: self.zone.no_claims() })
    }

    /// Gives the memory of a journal back.
    pub fn close_journal(&mut self, own: OwnJournal) {
        self.zone.free_pages(Table::into_block(own.journal.into_table()));
    }

    /// One allocation's journal takes the place of another's.
    pub(crate) fn swap_journal(&mut self, own: &mut OwnJournal) {
        core::mem::swap(&mut self.live.journal, &mut own.journal);
        self.zone.swap_claims(&mut own.claims);
    }
}
