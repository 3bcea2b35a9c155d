// SPDX-License-Identifier: MIT OR Apache-2.0

//! Loads on one area: repeated requests of one size, the debris load, a recorded trace.

use alloc::sync::Arc;

use super::{BenchError, Benchmark, LARGE_PAGES, Measurement, Need, Run, Setting, heed};
use crate::load::{self, Debris};
use crate::replay;
use crate::request::Align;
use crate::scale::Scale;
use crate::stopwatch::{ClockCost, Dither, Timing, Timings};
use cma::{AreaId, align_order_of};
use machine::Machine;
use system::System;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Benchmark<M>] {
    const {
        &[
            Benchmark {
                name: "cma/1",
                run: Run::Calls(|system, machine, setting, name| cma(system, machine, setting, name, 1)),
            },
            Benchmark {
                name: "cma/64",
                run: Run::Calls(|system, machine, setting, name| cma(system, machine, setting, name, 64)),
            },
            Benchmark {
                name: "cma/2048",
                run: Run::Calls(|system, machine, setting, name| cma(system, machine, setting, name, SMALL_PAGES)),
            },
            Benchmark {
                name: "cma/131072",
                run: Run::Calls(|system, machine, setting, name| cma(system, machine, setting, name, LARGE_PAGES)),
            },
            Benchmark {
                name: "debris",
                run: Run::Calls(|system, machine, setting, name| debris_load(system, machine, setting, name)),
            },
            Benchmark {
                name: "big-area",
                run: Run::Calls(|system, machine, setting, name| trace(system, machine, setting, name)),
            },
        ]
    }
}

/// Pages of the small area, that of the published experiment.
pub(super) const SMALL_PAGES: u32 = 2048;
/// Steps of the published run.
const PUBLISHED_OPS: u64 = 33_238;

const REPS: u32 = 1000;
/// Repetitions of a request for a whole large area.
const LARGE_REPS: u32 = 100;

/// Times requests of `pages` pages on an empty area, and their releases.
pub(super) fn cma<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    setting: &Setting<'_>,
    name: &'static str,
    pages: u32,
) -> Result<Measurement, BenchError> {
    let (need, reps) = if pages == LARGE_PAGES {
        (Need::Exactly(LARGE_PAGES), LARGE_REPS)
    } else {
        (Need::AtLeast(SMALL_PAGES), REPS)
    };
    let area = need.find(system, setting)?;
    let timings = again_and_again(system, machine, area, pages, reps)?;
    Ok(Measurement::on_area(name, system, area, timings))
}

/// Allocates and releases a buffer `reps` times. One function for an idle system and for a full
/// one, so that only the system makes the difference.
#[inline(never)]
pub(super) fn again_and_again<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    area: AreaId,
    pages: u32,
    reps: u32,
) -> Result<Timings, BenchError> {
    let align_order = align_order_of(pages);
    let cost = ClockCost::measure(machine);
    let (mut alloc, mut release) = (Timing::default(), Timing::default());
    let mut dither = Dither::default();
    for _ in 0..reps {
        heed(machine)?;
        dither.wait(machine);
        let buffer = alloc.time(machine, || system.cma_alloc(area, pages, align_order))?;
        dither.wait(machine);
        release.time(machine, || system.cma_release(buffer))?;
    }
    Ok(Timings { alloc, release, cost })
}

/// Times the published run of the debris load.
fn debris_load<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &mut M,
    setting: &Setting<'_>,
    name: &'static str,
) -> Result<Measurement, BenchError> {
    let area = Need::AtLeast(SMALL_PAGES).find(system, setting)?;
    let options = load::Options {
        area,
        seed: load::PUBLISHED_SEED,
        rng: "glibc",
        align: Align::Order,
        stop_at_failure: true,
        ops: PUBLISHED_OPS,
        load: Arc::new(Debris(Scale::None)),
        relocatable: 1000,
        timed: 1,
        rate: 0,
    };
    let report = load::run_round(system, machine, &options, 1);
    system.release_all(area);
    let report = report?;
    match report.end {
        load::End::Interrupted | load::End::Stopped => return Err(BenchError::Interrupted),
        load::End::NoMemory => return Err(BenchError::NoHeap),
        load::End::Failure | load::End::Ops => {}
    }
    let failed = report.failed;
    Ok(Measurement { failed, ..Measurement::on_area(name, system, area, report.timings()) })
}

/// Replays the trace in the initrd with default options. Its table of IDs may make a pageblock
/// unmovable, as in any replay.
fn trace<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &mut M,
    setting: &Setting<'_>,
    name: &'static str,
) -> Result<Measurement, BenchError> {
    let area = Need::Exactly(LARGE_PAGES).find(system, setting)?;
    let trace = setting.trace.ok_or(BenchError::NoTrace)?;
    let options = replay::Options::new(area);
    let report = replay::run(system, machine, options, trace).map_err(BenchError::Replay)?;
    system.release_all(area);
    if report.interrupted {
        return Err(BenchError::Interrupted);
    }
    let on_area = Measurement::on_area(name, system, area, report.timings());
    Ok(Measurement { failed: report.failed, placements: Some(report.placements), ..on_area })
}
