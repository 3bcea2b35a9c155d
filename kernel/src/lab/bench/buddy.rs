//! The page allocator by itself: a block out and in again, with nothing, one, or all ten levels to split and to merge.
//!
//! What is on the free lists decides which of these a request meets, so blocks in its way are put aside first.

use alloc::vec::Vec;

use super::{BenchError, Cost, Measurement};
use crate::lab::stopwatch::{ClockCost, Dither, Timing};
use crate::machine::Machine;
use crate::mm::{Block, MAX_PAGE_ORDER, Migratetype};
use crate::system::System;

const REPS: u32 = 1000;
/// The order of half of the largest block.
const HALF: u32 = MAX_PAGE_ORDER - 1;
/// The most blocks that are put aside.
const MAX_ASIDE: usize = 8192;

/// What a request meets.
#[derive(Clone, Copy)]
pub(super) enum Case {
    /// A page, and there is one whose buddy stays in use.
    WithoutSplit,
    /// Half of the largest block, and there are only whole ones.
    OneSplit,
    /// A page, and there are only blocks of the largest order.
    AllSplits,
}

/// Allocates and frees a block again and again.
pub(super) fn run<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    name: &'static str,
    case: Case,
) -> Result<Measurement, BenchError> {
    let mut aside = Vec::new();
    let result = put_aside(system, case, &mut aside).and_then(|()| match case {
        Case::WithoutSplit | Case::AllSplits => measure::<M, 0>(system, machine, name),
        Case::OneSplit => measure::<M, HALF>(system, machine, name),
    });
    while let Some(block) = aside.pop() {
        system.zone.free_pages(block);
    }
    result
}

/// The list that a movable request looks at first. Movable requests change the type of no pageblock that has room.
fn list(system: &System<'_>) -> Migratetype {
    let zone = &system.zone;
    if zone.nr_free_cma() > zone.nr_free_pages() / 2 { Migratetype::Cma } else { Migratetype::Movable }
}

/// Takes what is in the way of a case.
fn put_aside(system: &mut System<'_>, case: Case, aside: &mut Vec<Block>) -> Result<(), BenchError> {
    let orders = match case {
        Case::WithoutSplit => 0..=0,
        Case::OneSplit => HALF..=HALF,
        Case::AllSplits => 0..=HALF,
    };
    for order in orders {
        while system.zone.free_blocks(order, list(system)) > 0 {
            if aside.len() == MAX_ASIDE {
                return Err(BenchError::Scattered { order });
            }
            aside.push(system.zone.alloc_pages(order, Migratetype::Movable)?);
        }
    }
    if matches!(case, Case::WithoutSplit) {
        // Splits, and leaves its buddy on the list, which cannot merge as long as this page is in use.
        aside.push(system.zone.alloc_pages(0, Migratetype::Movable)?);
    }
    Ok(())
}

/// The order is a constant, as it is to nearly everyone who asks for a block.
fn measure<M: Machine + ?Sized, const ORDER: u32>(
    system: &mut System<'_>,
    machine: &M,
    name: &'static str,
) -> Result<Measurement, BenchError> {
    let cost = ClockCost::measure(machine);
    let (mut alloc, mut free) = (Timing::default(), Timing::default());
    let mut dither = Dither::default();
    for _ in 0..REPS {
        dither.wait(machine);
        let block = alloc.time(machine, || system.zone.alloc_pages(ORDER, Migratetype::Movable))?;
        dither.wait(machine);
        free.time(machine, || system.zone.free_pages(block));
    }
    Ok(Measurement { release: Some(Cost::of(free, cost)), ..Measurement::new(name, Cost::of(alloc, cost)) })
}
