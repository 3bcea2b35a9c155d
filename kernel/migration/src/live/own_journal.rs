// SPDX-License-Identifier: MIT OR Apache-2.0

//! Journals of several contiguous allocations that are under way at once.
//!
//! A single allocation uses the journal of [`Live`](super::Live). If several interleave, each has
//! its own journal and its own list of claimed pageblocks, which replace those of `Live` and the
//! zone during each of its steps. What another allocation has done to the LRU lists in between is
//! kept: a page whose neighbour has left goes to the head of its list.

use super::Mm;
use super::journal::{ENTRY_BYTES, Journal};
use super::space::Table;
use page_alloc::{Claims, Migratetype};

/// Entries for pages that are reclaimed to get target pages.
const RECLAIMED: u32 = 1024;
/// Bytes of a page.
const PAGE_BYTES: u32 = 4096;

/// The journal of one of several allocations.
pub struct OwnJournal {
    journal: Journal,
    claims: Claims,
}

impl Mm<'_, '_> {
    /// Opens a journal for allocations of up to `pages` pages; `None` if there is no memory for it.
    pub fn open_journal(&mut self, pages: u32) -> Option<OwnJournal> {
        let bytes = (pages + RECLAIMED) * ENTRY_BYTES;
        let order = bytes.div_ceil(PAGE_BYTES).next_power_of_two().ilog2();
        let block = self.zone.alloc_pages(order, Migratetype::Unmovable).ok()?;
        let journal = Journal::new(self.live.space.table(block), (PAGE_BYTES << order) / ENTRY_BYTES);
        Some(OwnJournal { journal, claims: self.zone.no_claims() })
    }

    /// Frees the memory of a journal.
    pub fn close_journal(&mut self, own: OwnJournal) {
        self.zone.free_pages(Table::into_block(own.journal.into_table()));
    }

    /// Swaps the journal and the claims in use with those of `own`.
    pub(crate) fn swap_journal(&mut self, own: &mut OwnJournal) {
        core::mem::swap(&mut self.live.journal, &mut own.journal);
        self.zone.swap_claims(&mut own.claims);
    }
}
