// SPDX-License-Identifier: MIT OR Apache-2.0

//! Searches that find nothing, in the worst state for them: half of a large area is free, as pairs
//! of pages, each across an even boundary. No run is longer than two, no run begins on an aligned
//! page, and no part of the area can be skipped as full.
//!
//! `search/fail` is the cost of such a search when it is repeated, in an area where buffers are
//! allocated and released in between. `search/worst` is the cost of the first search, when the
//! bounds of the area are still those of the empty area: it visits every node and every group once
//! (see `cma::search`).

use super::{BenchError, Benchmark, Cost, LARGE_PAGES, Measurement, Need, Run, Setting, heed};
use crate::stopwatch::{ClockCost, Dither, Timing};
use cma::{AreaId, CMA_ALIGNMENT, CmaError};
use machine::Machine;
use system::System;
use units::Pfn;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Benchmark<M>] {
    const {
        &[
            Benchmark {
                name: "search/fail",
                run: Run::Calls(|system, machine, setting, name| fail(system, machine, setting, name)),
            },
            Benchmark {
                name: "search/worst",
                run: Run::Calls(|system, machine, setting, name| worst(system, machine, setting, name)),
            },
        ]
    }
}

/// Rounds of `search/fail`; each makes one request for every alignment.
const ROUNDS: u32 = 100;
/// Rounds of `search/worst`; each prepares the area anew.
const WORST_ROUNDS: u32 = 2;

/// Pages between two checks for Ctrl-C.
const PAGES_BETWEEN_LOOKS: u32 = 4096;

/// Returns the requests that fail, as pages and alignment order: the smallest without room of every
/// alignment order.
fn requests() -> impl Iterator<Item = (u32, u32)> {
    // Without an alignment a pair has room for two pages.
    core::iter::once((3, 0)).chain((1..=CMA_ALIGNMENT).map(|order| (1 << order, order)))
}

fn fail<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    setting: &Setting<'_>,
    name: &'static str,
) -> Result<Measurement, BenchError> {
    let area = Need::Exactly(LARGE_PAGES).find(system, setting)?;
    let result = straddle(system, machine, area).and_then(|()| repeat(system, machine, area));
    system.release_all(area);
    finish(name, system, area, result?, machine)
}

fn worst<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    setting: &Setting<'_>,
    name: &'static str,
) -> Result<Measurement, BenchError> {
    let area = Need::Exactly(LARGE_PAGES).find(system, setting)?;
    let mut timing = Timing::default();
    for _ in 0..WORST_ROUNDS {
        let result = straddle(system, machine, area).and_then(|()| {
            // An alignment of two and a length of three: every run of each node has to be checked.
            let requests = core::iter::once((3, 1)).chain(requests().filter(|&(_, order)| order > 1));
            for (pages, align_order) in requests {
                refused(system, machine, &mut timing, area, pages, align_order)?;
            }
            Ok(())
        });
        system.release_all(area);
        result?;
    }
    finish(name, system, area, timing, machine)
}

fn finish<M: Machine + ?Sized>(
    name: &'static str,
    system: &System<'_>,
    area: AreaId,
    timing: Timing,
    machine: &M,
) -> Result<Measurement, BenchError> {
    let op = Cost::of(timing, ClockCost::measure(machine));
    let area_pages = Some(system.area(area).pages());
    Ok(Measurement { failed: op.calls, area_pages, ..Measurement::new(name, op) })
}

/// Puts the area into the state that the module describes. Its buffers are kept.
fn straddle<M: Machine + ?Sized>(system: &mut System<'_>, machine: &M, area: AreaId) -> Result<(), BenchError> {
    let (base, pages) = (system.area(area).base(), system.area(area).pages());
    // One page, pairs from the second page on, and one page at the end: first-fit makes them
    // adjacent.
    let mut page = 0;
    while page < pages {
        if page % PAGES_BETWEEN_LOOKS == 1 {
            heed(machine)?;
        }
        let length = if page == 0 || page == pages - 1 { 1 } else { 2 };
        let buffer = system.cma_alloc(area, length, 0)?;
        system.keep(buffer);
        page += length;
    }
    for pair in (1..pages).step_by(4) {
        release_at(system, area, base.add(pair))?;
    }
    Ok(())
}

fn release_at(system: &mut System<'_>, area: AreaId, first: Pfn) -> Result<(), BenchError> {
    match system.take_back_at(area, first) {
        Some(buffer) => Ok(system.cma_release(buffer)?),
        None => Err(BenchError::Served),
    }
}

/// Times all requests repeatedly; before each, a pair is allocated and released.
fn repeat<M: Machine + ?Sized>(system: &mut System<'_>, machine: &M, area: AreaId) -> Result<Timing, BenchError> {
    let mut timing = Timing::default();
    for (pages, align_order) in requests() {
        // The first search of each kind belongs to the other benchmark.
        if let Ok(buffer) = system.cma_alloc(area, pages, align_order) {
            system.cma_release(buffer)?;
            return Err(BenchError::Served);
        }
    }
    let mut dither = Dither::default();
    for _ in 0..ROUNDS {
        heed(machine)?;
        for (pages, align_order) in requests() {
            let buffer = system.cma_alloc(area, 2, 0)?;
            system.cma_release(buffer)?;
            dither.wait(machine);
            refused(system, machine, &mut timing, area, pages, align_order)?;
        }
    }
    Ok(timing)
}

/// Times a request that has to fail.
fn refused<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    timing: &mut Timing,
    area: AreaId,
    pages: u32,
    align_order: u32,
) -> Result<(), BenchError> {
    match timing.time(machine, || system.cma_alloc(area, pages, align_order)) {
        Err(CmaError::Fragmented { .. }) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(buffer) => {
            system.cma_release(buffer)?;
            Err(BenchError::Served)
        }
    }
}
