// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ambush: the disk is given pages, and before it is told to begin, the driver asks for exactly
//! their frames.
//!
//! Left to chance, it takes a slow disk for an allocation to meet a request in flight. Here the
//! order of events is arranged and nothing else: the requests lie in the disk's queue, their pages
//! are the disk's and pinned; the driver allocates, and writes to what it gets; then the disk is
//! told, and does what it was asked to. With pins the driver is refused, and has the range once the
//! disk has done. Without them it gets frames that the disk is about to fill, whose pages then lack
//! what was read and whose new owner is written over, and frames that the disk is about to take, so
//! that what the driver wrote goes to the disk in a file's place.

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

/// The longest range that is asked for is two to this, in pages.
const MAX_ORDER: u32 = 4;

/// What the ambushes came to.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Ambushes {
    /// Ranges that the driver asked for while a page of them waited for the disk to fill it.
    pub wanted_filled: u64,
    /// Of those, while one waited for the disk to take it.
    pub wanted_taken: u64,
    /// Ranges that the driver was refused because of the pin.
    pub refused: u64,
    /// Ranges that it got all the same, before the disk had done.
    pub robbed: u64,
}

impl Ambushes {
    /// Ranges that the driver asked for.
    pub const fn wanted(&self) -> u64 {
        self.wanted_filled + self.wanted_taken
    }
}

/// A placement that knows one place.
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

/// Lays one, in the pages of a file from `next` on.
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
        // Whoever waited for a frame meanwhile has told the disk of what was queued by then.
        let (first, pages) = (file.first + next, CHUNK.min(file.pages() - next));
        mm.drop_pages(first, pages);
        mm.read_ahead(first, pages);
        mm.write_some();
        waiting = [Operation::Read, Operation::Write].map(|kind| mm.frames_waiting_for_disk(kind).collect());
        // Clean pages are not dropped but moved: more can go wrong.
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

/// A range around any of the frames that lie in an area, of any order up to [`MAX_ORDER`], none of
/// whose pages a driver has.
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
    /// Does something while the area's placement is the one that knows this place.
    fn allocate<T>(&self, system: &mut System<'_>, act: impl FnOnce(&mut System<'_>) -> T) -> T {
        let usual = system.area_mut(self.area).set_placement(Box::new(At(self.bit)));
        let result = act(system);
        system.area_mut(self.area).set_placement(usual);
        result
    }
}
