// SPDX-License-Identifier: MIT OR Apache-2.0

//! Moves mappings of memory from its own address, cacheable, to the window of coherent buffers, and
//! back.
//!
//! A frame has one mapping at a time. Addresses of the window and of memory agree in their last 20
//! bits, so that whole MiB are moved as sections, with one entry each; at the edges a section is
//! split into pages. A split section stays split until all of it is moved at once.

use super::{
    Access, AddressSpace, OutOfPageTables, PAGES_PER_SECTION, PageTable, SECTION_SHIFT, SECTION_SIZE, dsb, flush_all,
    flush_page, is_section, is_table, isb, page_attributes, page_in_section,
};
use core::ops::Range;
use units::{PAGE_SHIFT, PAGE_SIZE};

/// Most pages that are flushed from the TLB one by one; for more, the whole TLB is flushed.
const MAX_SINGLE_FLUSHES: u32 = 16;

/// The part of a range that is in one section.
#[derive(Clone)]
struct Piece {
    /// The first-level entry of memory's own address, and that of the window's.
    own: usize,
    window: usize,
    /// Pages of the section.
    pages: Range<usize>,
}

impl Piece {
    fn is_whole(&self) -> bool {
        self.pages.len() == PAGES_PER_SECTION
    }
}

/// Returns the pieces of `pages` pages from `start` on, which the window maps from `window` on.
fn pieces(start: u32, pages: u32, window: u32) -> impl Iterator<Item = Piece> + Clone {
    debug_assert_eq!(start % SECTION_SIZE as u32, window % SECTION_SIZE as u32);
    let end = u64::from(start) + u64::from(pages) * PAGE_SIZE;
    let (first, window) = ((start >> SECTION_SHIFT) as usize, (window >> SECTION_SHIFT) as usize);
    let last = ((end - 1) >> SECTION_SHIFT) as usize;
    (first..=last).map(move |own| Piece {
        own,
        window: window + (own - first),
        pages: if own == first { page_in_section(start.into()) } else { 0 }..if own == last {
            page_in_section(end - 1) + 1
        } else {
            PAGES_PER_SECTION
        },
    })
}

impl AddressSpace {
    /// True if nothing is mapped in the MiB of `address`.
    pub(crate) fn is_vacant(&self, address: u32) -> bool {
        self.first[(address >> SECTION_SHIFT) as usize] == 0
    }

    /// Unmaps `pages` pages from `start` on and maps them, not cacheable, from `window` on, where
    /// nothing is mapped. Their own addresses must not be used from here on.
    ///
    /// # Errors
    /// Too few page tables are free; nothing is changed then.
    pub(crate) fn move_to_window(&mut self, start: u32, pages: u32, window: u32) -> Result<(), OutOfPageTables> {
        let needed: usize = pieces(start, pages, window)
            .filter(|piece| !piece.is_whole())
            .map(|piece| usize::from(is_section(self.first[piece.own])) + usize::from(self.first[piece.window] == 0))
            .sum();
        if needed > super::MAX_PAGE_TABLES - self.tables_used + self.tables_free {
            return Err(OutOfPageTables);
        }
        for Piece { own, window: _, pages } in pieces(start, pages, window) {
            if pages.len() < PAGES_PER_SECTION {
                self.split(own)?.0[pages].fill(0);
            } else if is_table(self.first[own]) {
                self.table(own)?.0.fill(0);
                self.drop_table(own);
            } else {
                self.first[own] = 0;
            }
        }
        flush(start, pages);
        for Piece { own, window, pages } in pieces(start, pages, window) {
            self.write(window, own, pages, Access::Coherent)?;
        }
        dsb();
        isb();
        Ok(())
    }

    /// Unmaps pages that [`AddressSpace::move_to_window`] moved to the window and maps them at
    /// their own addresses again. `idle` is called with the index of a MiB among those that the
    /// pages are in, and returns true if the window maps nothing else there.
    pub(crate) fn move_back(&mut self, start: u32, pages: u32, window: u32, idle: impl Fn(usize) -> bool) {
        for (place, Piece { own: _, window, pages }) in pieces(start, pages, window).enumerate() {
            if is_section(self.first[window]) {
                self.first[window] = 0;
            } else if is_table(self.first[window])
                && let Ok(table) = self.table(window)
            {
                table.0[pages].fill(0);
                if idle(place) {
                    self.drop_table(window);
                }
            }
        }
        flush(window, pages);
        for Piece { own, window: _, pages } in pieces(start, pages, window) {
            // No table is allocated: that of an edge still exists, and a whole section needs none.
            let _ = self.write(own, own, pages, Access::Data);
        }
        dsb();
        isb();
    }

    /// Maps pages of the section at `own` in the empty part of the entry `index`: as a section if
    /// they are all of it.
    fn write(&mut self, index: usize, own: usize, pages: Range<usize>, access: Access) -> Result<(), OutOfPageTables> {
        let base = (own as u32) << SECTION_SHIFT;
        if pages.len() == PAGES_PER_SECTION && self.first[index] == 0 {
            self.first[index] = access.descriptors()[0] | base;
            return Ok(());
        }
        let mut descriptor = access.descriptors()[1] | base | (pages.start as u32) << PAGE_SHIFT;
        for entry in &mut self.table(index)?.0[pages] {
            *entry = descriptor;
            descriptor += PAGE_SIZE as u32;
        }
        Ok(())
    }

    /// Returns the page table of an entry; splits a section into pages first.
    fn split(&mut self, index: usize) -> Result<&mut PageTable, OutOfPageTables> {
        let section = self.first[index];
        if is_section(section) {
            let slot = self.take_table()?;
            let mut descriptor = page_attributes(section) | (index as u32) << SECTION_SHIFT;
            for entry in &mut self.tables[slot].0 {
                *entry = descriptor;
                descriptor = descriptor.wrapping_add(PAGE_SIZE as u32);
            }
            // Break before make: two translations of different sizes are never live together. The
            // section is not accessed meanwhile: interrupts are masked while the tables are locked,
            // and stacks and tables are in the image.
            self.first[index] = 0;
            flush_page((index as u32) << SECTION_SHIFT);
            self.first[index] = super::descriptor_of(&self.tables[slot]);
            dsb();
            isb();
        }
        self.table(index)
    }
}

/// Invalidates the TLB entries of pages whose entries were emptied.
fn flush(start: u32, pages: u32) {
    if pages <= MAX_SINGLE_FLUSHES {
        (0..pages).for_each(|page| flush_page(start + page * PAGE_SIZE as u32));
    } else {
        flush_all();
    }
}
