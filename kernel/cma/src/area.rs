// SPDX-License-Identifier: MIT OR Apache-2.0

//! One area: its range, its bitmap of allocated pages, and Linux's `struct cma` counters.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use super::Relocations;
use super::{AreaId, Buffer, CmaError, MAX_ALIGN_ORDER, ReleaseError};
use page_alloc::zone::Zone;
use page_alloc::{Busy, Imbalance, balance};
use placement::bitmap::Bitmap;
use placement::{FirstFit, Placement, Request};
use units::Pfn;

/// A contiguous range of CMA pageblocks.
pub struct Area {
    name: String,
    base: Pfn,
    pages: u32,
    order_per_bit: u32,
    bitmap: Bitmap,
    placement: Box<dyn Placement>,
    /// The counters.
    pub stats: AreaStats,
}

/// An error with details: see [`Area::explain`].
pub struct Explained<'a> {
    area: &'a Area,
    error: CmaError,
}

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)?;
        match self.error {
            CmaError::Fragmented { .. } => write!(f, ", longest free run {}", self.area.longest_free_run()),
            _ => Ok(()),
        }
    }
}

/// Counters of an area since boot.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct AreaStats {
    /// Calls that allocated (`cma_alloc_success` in `/proc/vmstat`).
    pub alloc_success: u64,
    /// Calls that failed.
    pub alloc_fail: u64,
    /// Pages allocated (`alloc_pages_success` in `/sys/kernel/mm/cma`).
    pub alloc_pages_success: u64,
    /// Pages asked for by calls that failed.
    pub alloc_pages_fail: u64,
    /// Pages released.
    pub release_pages_success: u64,
    /// Relocations to make room.
    pub relocations: Relocations,
}

impl Area {
    /// Makes an empty area of `pages` pages from `base`, with one bit for 2^`order_per_bit` pages;
    /// `pages` must be a multiple of that.
    pub fn new(name: String, base: Pfn, pages: u32, order_per_bit: u32) -> Self {
        let bitmap = Bitmap::new(pages >> order_per_bit);
        Self { name, base, pages, order_per_bit, bitmap, placement: Box::new(FirstFit), stats: AreaStats::default() }
    }

    /// Its node's name, or `reserved` for the area of `cma=`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its first page.
    pub fn base(&self) -> Pfn {
        self.base
    }

    /// Its number of pages.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// log2 of the pages of one bit; 0 for every area from a device tree.
    pub fn order_per_bit(&self) -> u32 {
        self.order_per_bit
    }

    /// The bitmap.
    pub fn bitmap(&self) -> &Bitmap {
        &self.bitmap
    }

    /// Allocated pages, counted in whole bits.
    pub fn used_pages(&self) -> u32 {
        self.bitmap.used() << self.order_per_bit
    }

    /// Pages that are not allocated, counted in whole bits.
    pub fn free_pages(&self) -> u32 {
        self.bitmap.free() << self.order_per_bit
    }

    /// The longest run of pages that are not allocated.
    pub fn longest_free_run(&self) -> u32 {
        self.bitmap.longest_free_run() << self.order_per_bit
    }

    /// The counters.
    pub fn stats(&self) -> &AreaStats {
        &self.stats
    }

    /// The placement of its requests.
    pub fn placement(&self) -> &dyn Placement {
        &*self.placement
    }

    /// Changes the placement and returns the previous one; allocated buffers stay where they are.
    pub fn set_placement(&mut self, placement: Box<dyn Placement>) -> Box<dyn Placement> {
        self.bitmap.keep_runs(placement.by_length());
        core::mem::replace(&mut self.placement, placement)
    }

    /// Returns the request in bits, with Linux's mask and offset (`cma_bitmap_aligned_mask`,
    /// `cma_bitmap_aligned_offset`).
    pub fn request(&self, pages: u32, align_order: u32) -> Result<Request, CmaError> {
        if pages == 0 {
            return Err(CmaError::Invalid { argument: "number of pages" });
        }
        if align_order > MAX_ALIGN_ORDER {
            return Err(CmaError::Invalid { argument: "alignment order" });
        }
        // A value larger than any area, because rounding up could overflow.
        let bits = if pages > self.pages { u32::MAX } else { self.bits_of(pages) };
        let align_mask = (1u32 << align_order.saturating_sub(self.order_per_bit)) - 1;
        let align_offset = (self.base.0 & ((1 << align_order) - 1)) >> self.order_per_bit;
        Ok(Request { bits, align_mask, align_offset })
    }

    /// Returns the bits of `pages` pages, which is from 1 to the area's pages.
    #[inline]
    const fn bits_of(&self, pages: u32) -> u32 {
        ((pages - 1) >> self.order_per_bit) + 1
    }

    /// Returns the first candidate of a request by the placement.
    #[inline]
    pub fn place(&self, request: &Request) -> Option<u32> {
        if request.bits > self.bitmap.free() {
            return None;
        }
        self.placement.place(&self.bitmap, request, 0)
    }

    /// Returns the next candidate after the one at `busy`, which held pages in use: the next one by
    /// the placement's rule. Unless the rule goes by address, the search then starts once more from
    /// 0, first fit as in Linux (`swept` is set then), so that no candidate is left out.
    pub fn place_behind(&self, request: &Request, busy: u32, swept: &mut bool) -> Option<u32> {
        let start = busy + request.align_mask + 1;
        if *swept {
            return self.bitmap.first_fit(request, start);
        }
        self.placement.place(&self.bitmap, request, start).or_else(|| {
            *swept = !self.placement.lowest_first();
            if *swept { self.bitmap.first_fit(request, 0) } else { None }
        })
    }

    /// Reserves the bits of a request.
    #[inline]
    pub fn reserve(&mut self, bit: u32, bits: u32) {
        self.bitmap.set(bit, bits);
    }

    /// Returns the first page of a bit.
    #[inline]
    pub fn frame(&self, bit: u32) -> Pfn {
        self.base.add(bit << self.order_per_bit)
    }

    /// Allocates the candidate that the placement found at `bit`, if all its pages are free: takes
    /// the pages and sets the request's bits. If a page is in use, nothing is changed.
    #[inline(always)]
    pub fn take_free(
        &mut self,
        zone: &mut Zone<'_>,
        id: AreaId,
        request: &Request,
        pages: u32,
        bit: u32,
    ) -> Result<Buffer, Busy> {
        let first = self.frame(bit);
        zone.take_range(first, pages)?;
        self.reserve(bit, request.bits);
        Ok(self.hand_out(id, first, pages))
    }

    /// Counts an allocation whose pages are taken and whose bits are set, and returns its buffer.
    #[inline(always)]
    pub fn hand_out(&mut self, id: AreaId, first: Pfn, pages: u32) -> Buffer {
        self.stats.alloc_success += 1;
        self.stats.alloc_pages_success += u64::from(pages);
        Buffer::new(id, first, pages)
    }

    /// Counts a request that failed.
    pub fn count_failure(&mut self, pages: u32) {
        self.stats.alloc_fail += 1;
        self.stats.alloc_pages_fail += u64::from(pages);
    }

    /// Clears the bits of pages, all of which have to be set. Inlined to save the measured path a
    /// call.
    #[inline(always)]
    pub fn release(&mut self, first: Pfn, pages: u32) -> Result<(), ReleaseError> {
        let offset = first.0.wrapping_sub(self.base.0);
        if offset >= self.pages || pages > self.pages - offset {
            return Err(ReleaseError::OutsideArea { frame: first });
        }
        let bits = self.bits_of(pages);
        match self.bitmap.clear_inline(offset >> self.order_per_bit, bits) {
            Ok(()) => Ok(()),
            Err(clear) => Err(ReleaseError::NotAllocated { frame: self.frame(clear) }),
        }
    }

    /// Returns the error of a request that found no room: full or fragmented.
    pub fn shortage(&self, pages: u32) -> CmaError {
        let free = self.free_pages();
        if pages > free { CmaError::Full { free } } else { CmaError::Fragmented { free } }
    }

    /// Returns an error of this area for messages, with the longest free run if it is fragmented.
    pub fn explain(&self, error: CmaError) -> Explained<'_> {
        Explained { area: self, error }
    }
}

/// The accounting of an area against that of the zone.
impl Area {
    /// Checks the area against the zone that its pages are in.
    ///
    /// # Errors
    /// The first disagreement.
    pub fn check(&self, zone: &Zone<'_>) -> Result<(), Imbalance> {
        let end = self.base.add(self.pages);
        let (mut frame, mut used) = (self.base, 0);
        while frame < end {
            let bit = self.bit(frame);
            if self.bitmap.is_set(bit) {
                let after = self.bitmap.next_clear(bit).map_or(end, |clear| self.frame(clear).min(end));
                used += after.0 - frame.0;
                self.check_allocated(zone, frame, after)?;
                frame = after;
            } else {
                // A page that is not allocated is in a block of the page allocator, free or in use,
                // without allocated pages.
                let block_end = zone.end_of_block(frame);
                balance("a page that is not allocated is in a block", Some(frame), 1, u32::from(block_end.is_some()))?;
                let after = self.frame(self.bitmap.next_set(bit)).min(end);
                frame = block_end.unwrap_or(end).min(end);
                let overlap = frame.0.saturating_sub(after.0);
                balance(
                    "allocated pages in a block",
                    Some(after),
                    0,
                    if self.order_per_bit == 0 { overlap } else { 0 },
                )?;
            }
        }
        balance("allocated pages of an area", Some(self.base), used, self.used_pages())
    }

    /// Checks that allocated pages are in no block of the page allocator.
    fn check_allocated(&self, zone: &Zone<'_>, first: Pfn, after: Pfn) -> Result<(), Imbalance> {
        if self.order_per_bit != 0 {
            // The pages of a bit that a request does not use stay in the page allocator.
            return Ok(());
        }
        balance("an allocated page is in no block", Some(first), 0, u32::from(zone.end_of_block(first).is_some()))?;
        for frame in (first.0..after.0).map(Pfn) {
            balance("no block begins at an allocated page", Some(frame), 1, u32::from(zone.is_body(frame)))?;
        }
        Ok(())
    }

    /// The bit of a page.
    fn bit(&self, frame: Pfn) -> u32 {
        (frame.0 - self.base.0) >> self.order_per_bit
    }
}
