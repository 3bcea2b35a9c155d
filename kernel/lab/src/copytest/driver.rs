// SPDX-License-Identifier: MIT OR Apache-2.0

//! The driver of the copy test: it allocates buffers of varied sizes from every area, writes to
//! them as a device would, and gives them back.

use alloc::vec::Vec;

use crate::rng::Rng;
use cma::{AreaId, Buffer, CmaError, ReleaseError, align_order_of};
use migration::contig_range::Why;
use system::System;

/// Most buffers that the driver has at a time.
const MAX_BUFFERS: usize = 8;
/// A buffer is at most this part of its area.
const SHARE: u32 = 4;
/// Words between two that the driver writes: whatever a disk writes covers many.
const STRIDE: usize = 16;
/// An allocation that a pin refuses is tried so often again, each time after the disk has ended a
/// request.
const MAX_RETRIES: u32 = 8;

/// What became of the driver's allocations.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct DriverCounts {
    /// Allocations that succeeded.
    pub allocs: u64,
    /// Allocations that failed, after the retries.
    pub failed: u64,
    /// Pages that moved for them.
    pub migrated: u64,
    /// Pages of the cache that were dropped for them.
    pub dropped: u64,
    /// Ranges that were given up because a page of them was pinned.
    pub refused_pinned: u64,
    /// Allocations that were tried again after that.
    pub retries: u64,
    /// Batches of pages that were tried again.
    pub retried_batches: u64,
    /// Pages of buffers that did not hold what the driver had written when it gave them back.
    pub damaged: u64,
}

/// The driver and what it holds.
pub struct Driver {
    areas: Vec<AreaId>,
    buffers: Vec<(Buffer, u32)>,
    rng: Rng,
    last_word: u32,
}

impl Driver {
    /// A driver that uses every area.
    pub fn new(system: &System<'_>, seed: u32) -> Self {
        let areas = system.area_ids().collect();
        Self { areas, buffers: Vec::with_capacity(MAX_BUFFERS), rng: Rng::seeded(seed), last_word: 0 }
    }

    /// One allocation, or one release.
    pub(super) fn step(&mut self, system: &mut System<'_>, counts: &mut DriverCounts) -> Result<(), ReleaseError> {
        if self.is_full() || !self.buffers.is_empty() && self.rng.below(2) == 0 {
            return self.give_one_back(system, counts);
        }
        if self.areas.is_empty() {
            return Ok(());
        }
        let area = self.areas[self.rng.below(self.areas.len() as u32) as usize];
        // A large one, or one of any order of size.
        let most = (system.area(area).pages() / SHARE).max(1);
        let size_class = if self.rng.below(2) == 0 { most } else { 1 << self.rng.below(most.ilog2() + 1) };
        let pages = 1 + self.rng.below(size_class);
        if let Some(mm) = system.mm() {
            // Every other time clean pages move, too, instead of being dropped: more can go wrong.
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

    /// Writes to all of a new buffer, and keeps it for a while.
    pub(super) fn take(&mut self, system: &mut System<'_>, buffer: Buffer) {
        self.last_word = self.last_word.wrapping_add(0x0101_0001);
        if let Some(mut mm) = system.mm() {
            mm.buffer_words(&buffer, |words| words.iter_mut().step_by(STRIDE).for_each(|at| *at = self.last_word));
        }
        self.buffers.push((buffer, self.last_word));
    }

    /// Gives any of the buffers back; there is one.
    pub(super) fn give_one_back(
        &mut self,
        system: &mut System<'_>,
        counts: &mut DriverCounts,
    ) -> Result<(), ReleaseError> {
        let place = self.rng.below(self.buffers.len() as u32) as usize;
        let (buffer, word) = self.buffers.swap_remove(place);
        give_back(system, buffer, word, counts)
    }

    /// Gives everything back.
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

/// Allocates; after a refusal for a pin again, once the disk has ended a request.
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
