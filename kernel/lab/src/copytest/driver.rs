// SPDX-License-Identifier: MIT OR Apache-2.0

//! The driver of the copy test: it allocates buffers of varied sizes from every area, writes to
//! them as a device would, and releases them.

use alloc::vec::Vec;

use crate::rng::Rng;
use cma::{AreaId, Buffer, CmaError, ReleaseError, align_order_of};
use migration::contig_range::Why;
use system::System;

/// Maximum number of buffers that the driver holds.
const MAX_BUFFERS: usize = 8;
/// Divisor of an area's pages that gives the maximum of a buffer.
const SHARE: u32 = 4;
/// Words from one that the driver writes to the next: any write of the disk covers several.
const STRIDE: usize = 16;
/// Maximum number of retries of an allocation that a pin prevented, each after the disk has ended a
/// request.
const MAX_RETRIES: u32 = 8;

/// Counts of the driver's allocations.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct DriverCounts {
    /// Allocations that succeeded.
    pub allocs: u64,
    /// Allocations that failed, after the retries.
    pub failed: u64,
    /// Pages that were moved for them.
    pub migrated: u64,
    /// Pages of the cache that were dropped for them.
    pub dropped: u64,
    /// Ranges given up because a page of them was pinned.
    pub refused_pinned: u64,
    /// Retries after that.
    pub retries: u64,
    /// Batches of pages that were retried.
    pub retried_batches: u64,
    /// Pages of buffers that on release did not hold what the driver had written.
    pub damaged: u64,
}

/// The driver and its buffers.
pub struct Driver {
    areas: Vec<AreaId>,
    buffers: Vec<(Buffer, u32)>,
    rng: Rng,
    last_word: u32,
}

impl Driver {
    /// Makes a driver that uses every area.
    pub fn new(system: &System<'_>, seed: u32) -> Self {
        let areas = system.area_ids().collect();
        Self { areas, buffers: Vec::with_capacity(MAX_BUFFERS), rng: Rng::seeded(seed), last_word: 0 }
    }

    /// Does one allocation, or one release.
    pub(super) fn step(&mut self, system: &mut System<'_>, counts: &mut DriverCounts) -> Result<(), ReleaseError> {
        if self.is_full() || !self.buffers.is_empty() && self.rng.below(2) == 0 {
            return self.give_one_back(system, counts);
        }
        if self.areas.is_empty() {
            return Ok(());
        }
        let area = self.areas[self.rng.below(self.areas.len() as u32) as usize];
        // The size is up to the maximum, or up to a power of two of a random order.
        let most = (system.area(area).pages() / SHARE).max(1);
        let size_class = if self.rng.below(2) == 0 { most } else { 1 << self.rng.below(most.ilog2() + 1) };
        let pages = 1 + self.rng.below(size_class);
        if let Some(mm) = system.mm() {
            // Half of the time clean pages are moved instead of dropped: that is the harder case.
            mm.live.faults.keep_clean_pages = self.rng.below(2) == 0;
        }
        if let Some(buffer) = allocate(system, area, pages, counts) {
            self.take(system, buffer);
        }
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.buffers.len() == MAX_BUFFERS
    }

    pub(super) fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Writes to all pages of a new buffer, and keeps it.
    pub(super) fn take(&mut self, system: &mut System<'_>, buffer: Buffer) {
        self.last_word = self.last_word.wrapping_add(0x0101_0001);
        if let Some(mut mm) = system.mm() {
            mm.buffer_words(&buffer, |words| words.iter_mut().step_by(STRIDE).for_each(|at| *at = self.last_word));
        }
        self.buffers.push((buffer, self.last_word));
    }

    /// Releases a random one of the buffers; there has to be one.
    pub(super) fn give_one_back(
        &mut self,
        system: &mut System<'_>,
        counts: &mut DriverCounts,
    ) -> Result<(), ReleaseError> {
        let place = self.rng.below(self.buffers.len() as u32) as usize;
        let (buffer, word) = self.buffers.swap_remove(place);
        give_back(system, buffer, word, counts)
    }

    /// Releases all buffers.
    pub(super) fn finish(self, system: &mut System<'_>, counts: &mut DriverCounts) -> Result<(), ReleaseError> {
        self.buffers.into_iter().try_for_each(|(buffer, word)| give_back(system, buffer, word, counts))
    }
}

fn give_back(
    system: &mut System<'_>,
    buffer: Buffer,
    word: u32,
    counts: &mut DriverCounts,
) -> Result<(), ReleaseError> {
    if let Some(mut mm) = system.mm() {
        mm.buffer_words(&buffer, |words| {
            counts.damaged += u64::from(words.iter().step_by(STRIDE).any(|&found| found != word));
        });
    }
    system.cma_release(buffer)
}

/// Allocates a buffer; if a pin prevents it, retries after the disk has ended a request.
pub(super) fn allocate(system: &mut System<'_>, area: AreaId, pages: u32, counts: &mut DriverCounts) -> Option<Buffer> {
    for retry in 0..=MAX_RETRIES {
        match allocate_once(system, area, pages, counts) {
            Ok(buffer) => return Some(buffer),
            Err(CmaError::Busy(blocked)) if blocked.why == Why::Pinned && retry < MAX_RETRIES => {
                let ended = system.mm().is_some_and(|mut mm| mm.wait_for_disk());
                counts.retries += u64::from(ended);
                if !ended {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    counts.failed += 1;
    None
}

pub(super) fn allocate_once(
    system: &mut System<'_>,
    area: AreaId,
    pages: u32,
    counts: &mut DriverCounts,
) -> Result<Buffer, CmaError> {
    let (result, report) = system.cma_alloc_reported(area, pages, align_order_of(pages));
    counts.migrated += u64::from(report.migrated);
    counts.dropped += u64::from(report.dropped);
    counts.refused_pinned += u64::from(report.refused_pinned);
    counts.retried_batches += u64::from(report.retried_batches);
    counts.allocs += u64::from(result.is_ok());
    result
}
