// SPDX-License-Identifier: MIT OR Apache-2.0

//! An ambush: requests are queued for the disk, and before the disk is notified, the driver
//! allocates exactly their frames.
//!
//! By chance, an allocation would meet a request in flight only on a slow disk. Here the order of
//! events is fixed: the requests are in the disk's queue, and their pages belong to the disk and
//! are pinned; the driver allocates, and writes to the buffer; then the disk is notified, and does
//! the requests. With pins the allocation fails, and succeeds once the disk has finished. Without
//! pins the driver gets frames that the disk is about to fill: their pages then lack the data, and
//! the disk overwrites the buffer. It also gets frames that the disk is about to write to a file:
//! the file then gets the driver's data.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::driver::{self, Driver, DriverCounts};
use crate::files::CHUNK;
use block::Operation;
use block::volume::File;
use cma::{AreaId, CmaError, ReleaseError};
use migration::contig_range::Why;
use placement::bitmap::Bitmap;
use placement::{Placement, Request};
use system::System;
use units::Pfn;

/// Order of the longest range that the driver requests.
const MAX_ORDER: u32 = 4;

/// Counts of the ambushes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Ambushes {
    /// Ranges that the driver requested while a page of them waited for the disk to fill it.
    pub wanted_filled: u64,
    /// Ranges that it requested while a page of them waited for the disk to write it.
    pub wanted_taken: u64,
    /// Ranges that it did not get because of a pin.
    pub refused: u64,
    /// Ranges that it got before the disk had finished.
    pub robbed: u64,
}

impl Ambushes {
    /// Returns the number of ranges that the driver requested.
    pub const fn wanted(&self) -> u64 {
        self.wanted_filled + self.wanted_taken
    }
}

/// A placement with a single candidate.
struct At(u32);

impl Placement for At {
    fn name(&self) -> &'static str {
        "at"
    }

    fn place(&self, map: &Bitmap, request: &Request, start: u32) -> Option<u32> {
        (start <= self.0 && is_clear(map, self.0, request.bits)).then_some(self.0)
    }

    fn lowest_first(&self) -> bool {
        true
    }
}

fn is_clear(map: &Bitmap, first: u32, bits: u32) -> bool {
    first + bits <= map.bits() && map.next_set(first) >= first + bits
}

/// A range of an area.
#[derive(Clone, Copy)]
struct Wanted {
    area: AreaId,
    bit: u32,
    pages: u32,
}

/// Does an ambush, with the pages of a file from page `next` on.
pub(super) fn lay(
    system: &mut System<'_>,
    driver: &mut Driver,
    (file, next): (&File, u32),
    ambushes: &mut Ambushes,
    counts: &mut DriverCounts,
) -> Result<(), ReleaseError> {
    let mut waiting = [Vec::new(), Vec::new()];
    if let Some(mut mm) = system.mm() {
        mm.settle_disk();
        // A wait for a free frame in between notifies the disk of the requests queued so far.
        let (first, pages) = (file.first + next, CHUNK.min(file.pages() - next));
        mm.drop_pages(first, pages);
        mm.read_ahead(first, pages);
        mm.write_some();
        waiting = [Operation::Read, Operation::Write].map(|kind| mm.frames_waiting_for_disk(kind).collect());
        // Clean pages are moved instead of dropped: that is the harder case.
        mm.live.faults.keep_clean_pages = true;
    }
    let mut refused = Vec::new();
    for (frames, is_write) in waiting.iter().zip([false, true]) {
        while driver.is_full() {
            driver.give_one_back(system, counts)?;
        }
        let Some(wanted) = choose(system, driver, frames) else { continue };
        ambushes.wanted_filled += u64::from(!is_write);
        ambushes.wanted_taken += u64::from(is_write);
        match wanted.allocate(system, |system| driver::allocate_once(system, wanted.area, wanted.pages, counts)) {
            Ok(buffer) => {
                ambushes.robbed += 1;
                driver.take(system, buffer);
            }
            Err(CmaError::Busy(blocked)) if blocked.why == Why::Pinned => {
                ambushes.refused += 1;
                refused.push(wanted);
            }
            Err(_) => counts.failed += 1,
        }
    }
    if let Some(mut mm) = system.mm() {
        mm.settle_disk();
    }
    for wanted in refused {
        counts.retries += 1;
        while driver.is_full() {
            driver.give_one_back(system, counts)?;
        }
        let buffer = wanted.allocate(system, |system| driver::allocate(system, wanted.area, wanted.pages, counts));
        if let Some(buffer) = buffer {
            driver.take(system, buffer);
        }
    }
    Ok(())
}

/// Returns a range around a random one of the frames that are in areas, of a random order up to
/// [`MAX_ORDER`], lowered until no page of the range is allocated.
fn choose(system: &System<'_>, driver: &mut Driver, frames: &[Pfn]) -> Option<Wanted> {
    let areas = || system.area_ids().map(|id| (id, system.area(id)));
    let in_areas: Vec<(AreaId, u32)> = frames
        .iter()
        .filter_map(|frame| {
            let (id, area) = areas().find(|(_, area)| frame.0.wrapping_sub(area.base().0) < area.pages())?;
            Some((id, (frame.0 - area.base().0) >> area.order_per_bit()))
        })
        .collect();
    let any = driver.rng().below((in_areas.len() as u32).max(1)) as usize;
    let &(id, bit) = in_areas.get(any)?;
    let area = system.area(id);
    let ranges = (0..=driver.rng().below(MAX_ORDER + 1)).rev().map(|order| (bit & !((1 << order) - 1), 1 << order));
    let (bit, bits) = ranges.into_iter().find(|&(bit, bits)| is_clear(area.bitmap(), bit, bits))?;
    Some(Wanted { area: id, bit, pages: bits << area.order_per_bit() })
}

impl Wanted {
    /// Calls `act` while the area's placement is the one for this range.
    fn allocate<T>(&self, system: &mut System<'_>, act: impl FnOnce(&mut System<'_>) -> T) -> T {
        let usual = system.area_mut(self.area).set_placement(Box::new(At(self.bit)));
        let result = act(system);
        system.area_mut(self.area).set_placement(usual);
        result
    }
}
