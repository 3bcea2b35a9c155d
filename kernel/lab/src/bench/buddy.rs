// SPDX-License-Identifier: MIT OR Apache-2.0

//! The page allocator alone: allocates and frees a block that needs no split and merge, one, or all
//! ten.
//!
//! The free lists decide which of these a request needs, so blocks that are in the way are set
//! aside first.

use alloc::vec::Vec;

use super::{BenchError, Benchmark, Cost, Measurement, Run, heed};
use crate::stopwatch::{ClockCost, Dither, Timing};
use machine::Machine;
use page_alloc::{Block, MAX_PAGE_ORDER, Migratetype};
use system::System;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Benchmark<M>] {
    const {
        &[
            Benchmark {
                name: "buddy/0",
                run: Run::Calls(|system, machine, _, name| run(system, machine, name, Case::WithoutSplit)),
            },
            Benchmark {
                name: "buddy/9",
                run: Run::Calls(|system, machine, _, name| run(system, machine, name, Case::OneSplit)),
            },
            Benchmark {
                name: "buddy/split",
                run: Run::Calls(|system, machine, _, name| run(system, machine, name, Case::AllSplits)),
            },
        ]
    }
}

const REPS: u32 = 1000;
/// Maximum number of blocks that are set aside.
const MAX_ASIDE: usize = 8192;

/// State of the free lists for a request.
#[derive(Clone, Copy)]
enum Case {
    /// A page, of which one is free whose buddy stays in use.
    WithoutSplit,
    /// Half of the largest block, with only whole ones free.
    OneSplit,
    /// A page, with only blocks of the largest order free.
    AllSplits,
}

/// Allocates and frees a block repeatedly.
fn run<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    name: &'static str,
    case: Case,
) -> Result<Measurement, BenchError> {
    let mut aside = Vec::new();
    let result = put_aside(system, case, &mut aside).and_then(|order| measure(system, machine, name, order));
    while let Some(block) = aside.pop() {
        system.zone_mut().free_pages(block);
    }
    result
}

/// Returns the free list that a movable request tries first. Movable requests do not change the
/// type of a pageblock that has room.
fn list(system: &System<'_>) -> Migratetype {
    let zone = system.zone();
    if zone.nr_free_cma() > zone.nr_free_pages() / 2 { Migratetype::Cma } else { Migratetype::Movable }
}

/// Allocates the blocks that are in the way of a case; returns the order to request.
fn put_aside(system: &mut System<'_>, case: Case, aside: &mut Vec<Block>) -> Result<u32, BenchError> {
    let half = MAX_PAGE_ORDER - 1;
    let (orders, order) = match case {
        Case::WithoutSplit => (0..=0, 0),
        Case::OneSplit => (half..=half, half),
        Case::AllSplits => (0..=half, 0),
    };
    for order in orders {
        while system.zone().free_blocks(order, list(system)) > 0 {
            if aside.len() == MAX_ASIDE {
                return Err(BenchError::Scattered { order });
            }
            aside.push(system.zone_mut().alloc_pages(order, Migratetype::Movable)?);
        }
    }
    if matches!(case, Case::WithoutSplit) {
        // Splits a block and leaves the buddy on the list: it cannot merge while this page is in
        // use.
        aside.push(system.zone_mut().alloc_pages(0, Migratetype::Movable)?);
    }
    Ok(order)
}

fn measure<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    name: &'static str,
    order: u32,
) -> Result<Measurement, BenchError> {
    let cost = ClockCost::measure(machine);
    let (mut alloc, mut free) = (Timing::default(), Timing::default());
    let mut dither = Dither::default();
    for _ in 0..REPS {
        heed(machine)?;
        dither.wait(machine);
        let block = alloc.time(machine, || system.zone_mut().alloc_pages(order, Migratetype::Movable))?;
        dither.wait(machine);
        free.time(machine, || system.zone_mut().free_pages(block));
    }
    Ok(Measurement { release: Some(Cost::of(free, cost)), ..Measurement::new(name, Cost::of(alloc, cost)) })
}
