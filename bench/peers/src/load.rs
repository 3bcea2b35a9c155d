// SPDX-License-Identifier: MIT OR Apache-2.0

//! The published load on any allocator: 255 slots for each 8 MiB; each step draws one and allocates
//! or releases its buffer.

use std::hint::black_box;
use std::time::Instant;

use experiment::rng::Rng;
use experiment::sizes::Slots;

use crate::allocators::Allocator;

/// Steps per slot before calls are measured.
const FILLING: u32 = 4;
/// Steps that are measured.
pub const STEPS: u32 = 20_000;
/// The published seed.
const SEED: u32 = 1_577_527_915;
/// Allocations after which a load without a failure is ended.
pub const MOST: u64 = 2_000_000;

/// The load.
struct Load<'a> {
    allocator: &'a mut dyn Allocator,
    rng: Rng,
    scaled: Slots,
    held: Vec<Option<u32>>,
}

/// Makes a measured allocation: a profiler counts between its beginning and its end.
#[inline(never)]
pub fn measured_allocate(allocator: &mut dyn Allocator, pages: u32) -> Option<u32> {
    allocator.allocate(black_box(pages))
}

/// Makes a measured release.
#[inline(never)]
pub fn measured_release(allocator: &mut dyn Allocator, first: u32, pages: u32) {
    allocator.release(black_box(first), black_box(pages));
}

impl<'a> Load<'a> {
    fn new(allocator: &'a mut dyn Allocator, pages: u32) -> Self {
        let published = Slots::PUBLISHED; // of an area of 8 MiB
        let scaled = Slots { count: published.count * (pages / 2_048), ..published };
        let rng = Rng::named("glibc", SEED).expect("a known generator");
        Self { allocator, rng, scaled, held: vec![None; scaled.count as usize] }
    }

    /// Makes a step; false if an allocation failed.
    fn step(&mut self, measured: bool) -> bool {
        let slot = self.rng.below(self.scaled.count) as usize;
        let pages = self.scaled.pages(slot);
        if let Some(first) = self.held[slot].take() {
            if measured {
                measured_release(self.allocator, first, pages);
            } else {
                self.allocator.release(first, pages);
            }
            return true;
        }
        self.held[slot] =
            if measured { measured_allocate(self.allocator, pages) } else { self.allocator.allocate(pages) };
        self.held[slot].is_some()
    }
}

/// Fills the area and makes the measured calls; returns their mean in ns.
pub fn calls(allocator: &mut dyn Allocator, pages: u32) -> f64 {
    let mut load = Load::new(allocator, pages);
    for _ in 0..load.scaled.count * FILLING {
        load.step(false);
    }
    let start = Instant::now();
    for _ in 0..STEPS {
        load.step(true);
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(STEPS)
}

/// Returns the allocations before the first that fails; `None` if [`MOST`] succeeded.
pub fn until_failure(allocator: &mut dyn Allocator, pages: u32) -> Option<u64> {
    let mut load = Load::new(allocator, pages);
    let mut allocations = 0;
    while allocations < MOST {
        let used = load.held.iter().flatten().count();
        if !load.step(false) {
            return Some(allocations);
        }
        allocations += u64::from(load.held.iter().flatten().count() > used);
    }
    None
}
