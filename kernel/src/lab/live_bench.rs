//! Benchmarks of areas that somebody lives in: what a page costs that has to move, or to be dropped, and what a whole area
//! does. Everybody moves in for each measurement, and out again after it.

use super::bench::{AREA_PAGES, BenchError, Measurement};
use super::stopwatch::{ClockCost, Timing};
use crate::cma::AreaId;
use crate::machine::Machine;
use crate::mm::live::{LiveError, Mm};
use crate::mm::{CmaUse, Lend};
use crate::system::System;

/// How often an area is filled and emptied.
const ROUNDS: u32 = 4;
/// Allocations of a page where nothing has to move.
const SINGLES: u32 = 1000;
/// Pages of the objects that fill memory.
const OBJECT_PAGES: u32 = 256;

/// What fills memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Filling {
    /// Pages that can be moved.
    Movable,
    /// Clean pages of the cache.
    Clean,
}

/// Fills the areas until no page of them is free.
fn fill_areas(mm: &mut Mm<'_, '_>, filling: Filling) -> Result<(), LiveError> {
    mm.set_policy(CmaUse::First, Lend::Movable);
    let mut page = 0;
    while mm.zone.nr_free_cma() > 0 {
        match filling {
            Filling::Movable => {
                let id = mm.create(OBJECT_PAGES)?;
                (0..OBJECT_PAGES).try_for_each(|page| mm.populate(id, page))?;
            }
            Filling::Clean => {
                mm.cache_read(page)?;
                page += 1;
            }
        }
    }
    mm.set_policy(CmaUse::Half, Lend::Movable);
    Ok(())
}

/// Empties [`AREA_PAGES`] of a full area. `per_page` divides by the pages that were in the way.
pub(super) fn empty_area<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    name: &'static str,
    area: AreaId,
    filling: Filling,
    per_page: bool,
) -> Result<Measurement, BenchError> {
    let cost = ClockCost::measure(machine);
    let (mut alloc, mut release, mut pages) = (Timing::default(), Timing::default(), 0);
    for _ in 0..ROUNDS {
        let result = round(system, machine, area, filling, &mut alloc, &mut release);
        system.close_live();
        pages += result?;
    }
    let (total_ns, max_ns) = (alloc.mean_ns(cost) * alloc.calls(), alloc.max_ns(cost));
    let (reps, ns_per_op, max_ns) = if per_page {
        (pages, total_ns / pages.max(1), max_ns * alloc.calls() / pages.max(1))
    } else {
        (alloc.calls(), alloc.mean_ns(cost), max_ns)
    };
    Ok(Measurement { name, reps, ns_per_op, max_ns, release_ns: (!per_page).then(|| release.mean_ns(cost)) })
}

/// One filling and emptying; returns how many pages were in the way.
fn round<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    area: AreaId,
    filling: Filling,
    alloc: &mut Timing,
    release: &mut Timing,
) -> Result<u64, BenchError> {
    let mut mm = system.open_live(CmaUse::First, Lend::Movable).map_err(BenchError::Open)?;
    fill_areas(&mut mm, filling).map_err(BenchError::Live)?;
    let before = mm.live.stats;
    let start_ns = machine.now_ns();
    let answer = system.cma_alloc(area, AREA_PAGES, 0);
    alloc.add(start_ns, machine.now_ns());
    let buffer = answer.map_err(BenchError::Cma)?;
    let start_ns = machine.now_ns();
    let answer = system.cma_release(buffer);
    release.add(start_ns, machine.now_ns());
    answer.map_err(BenchError::Release)?;
    let stats = system.live().map_or(before, |live| live.stats);
    Ok(stats.migrated - before.migrated + stats.dropped - before.dropped)
}

/// A page of a free area while everything else is full: nothing has to move.
pub(super) fn single_in_full_system<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    name: &'static str,
    area: AreaId,
) -> Result<Measurement, BenchError> {
    let result = single(system, machine, name, area);
    system.close_live();
    result
}

fn single<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    name: &'static str,
    area: AreaId,
) -> Result<Measurement, BenchError> {
    let mut mm = system.open_live(CmaUse::Half, Lend::None).map_err(BenchError::Open)?;
    // Half of what is free for objects, the rest for the cache, until the background has to reclaim.
    let objects = (mm.zone.nr_free_pages() - mm.zone.nr_free_cma()) / 2 / OBJECT_PAGES;
    for _ in 0..objects {
        let id = mm.create(OBJECT_PAGES).map_err(BenchError::Live)?;
        (0..OBJECT_PAGES).try_for_each(|page| mm.populate(id, page)).map_err(BenchError::Live)?;
    }
    for page in 0..mm.cache_capacity() {
        mm.cache_read(page).map_err(BenchError::Live)?;
        if mm.live.stats.reclaimed() > 0 {
            break;
        }
    }
    let cost = ClockCost::measure(machine);
    let (mut alloc, mut release) = (Timing::default(), Timing::default());
    for _ in 0..SINGLES {
        let start_ns = machine.now_ns();
        let answer = system.cma_alloc(area, 1, 0);
        alloc.add(start_ns, machine.now_ns());
        let buffer = answer.map_err(BenchError::Cma)?;
        let start_ns = machine.now_ns();
        let answer = system.cma_release(buffer);
        release.add(start_ns, machine.now_ns());
        answer.map_err(BenchError::Release)?;
    }
    Ok(Measurement {
        name,
        reps: alloc.calls(),
        ns_per_op: alloc.mean_ns(cost),
        max_ns: alloc.max_ns(cost),
        release_ns: Some(release.mean_ns(cost)),
    })
}
