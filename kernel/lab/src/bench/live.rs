// SPDX-License-Identifier: MIT OR Apache-2.0

//! Areas with pages in use: the cost of a page that has to be moved or dropped, and of a whole
//! area. Each measurement opens the users of memory, and closes them after it.

use alloc::vec::Vec;

use super::area::again_and_again;
use super::{BenchError, Benchmark, Cost, Measurement, Need, Run, Setting, heed};
use crate::stopwatch::{ClockCost, Timing, Timings};
use cma::{AreaId, Buffer};
use machine::Machine;
use migration::live::{LiveError, Mm};
use page_alloc::policy::{CmaUse, Lend};
use system::System;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Benchmark<M>] {
    const {
        &[
            Benchmark {
                name: "full/1",
                run: Run::Calls(|system, machine, setting, name| single_in_full_system(system, machine, setting, name)),
            },
            Benchmark {
                name: "migrate/1",
                run: Run::Calls(|system, machine, setting, name| {
                    empty_area(system, machine, setting, name, Case::PerMovedPage)
                }),
            },
            Benchmark {
                name: "reclaim/clean",
                run: Run::Calls(|system, machine, setting, name| {
                    empty_area(system, machine, setting, name, Case::PerDroppedPage)
                }),
            },
            Benchmark {
                name: "empty-area",
                run: Run::Calls(|system, machine, setting, name| {
                    empty_area(system, machine, setting, name, Case::WholeArea)
                }),
            },
        ]
    }
}

/// Pages of the area that is emptied: 8 MiB.
const AREA_PAGES: u32 = 2048;
/// Number of times that it is filled and emptied.
const ROUNDS: u32 = 4;
/// Allocations of a page when nothing has to move.
const SINGLES: u32 = 1000;
/// Pages of the processes that fill memory.
const PROCESS_PAGES: u32 = 256;

/// Content of the area, and the divisor of the cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Case {
    /// Movable pages mapped once; the number of pages moved.
    PerMovedPage,
    /// Clean pages of the cache; the number of pages dropped.
    PerDroppedPage,
    /// Movable pages; no divisor.
    WholeArea,
}

/// Times allocations of a whole area of 8 MiB that is full.
fn empty_area<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    setting: &Setting<'_>,
    name: &'static str,
    case: Case,
) -> Result<Measurement, BenchError> {
    let area = Need::Exactly(AREA_PAGES).find(system, setting)?;
    let cost = ClockCost::measure(machine);
    let (mut alloc, mut release) = (Timing::default(), Timing::default());
    let aside = put_aside(system, area);
    let mut result: Result<u64, BenchError> = Ok(0);
    for _ in 0..ROUNDS {
        let heeded = heed(machine);
        let round = heeded.and_then(|()| round(system, machine, area, case, (&mut alloc, &mut release)));
        system.close_live();
        result = result.and_then(|pages| Ok(pages + round?));
        if result.is_err() {
            break;
        }
    }
    for buffer in aside {
        system.cma_release(buffer)?;
    }
    let pages = result?.max(1);
    let whole = Measurement::on_area(name, system, area, Timings { alloc, release, cost });
    if case == Case::WholeArea {
        return Ok(whole);
    }
    let Cost { calls, mean_ns, p999_ns, max_ns } = whole.op;
    let of_a_page = |ns: u64| ns * calls / pages;
    let op = Cost { calls: pages, mean_ns: of_a_page(mean_ns), p999_ns: of_a_page(p999_ns), max_ns: of_a_page(max_ns) };
    Ok(Measurement { op, release: None, ..whole })
}

/// Allocates the other areas if they are empty, so that no pages are put into them.
fn put_aside(system: &mut System<'_>, area: AreaId) -> Vec<Buffer> {
    let others = system.area_ids().filter(|&other| other != area);
    others.filter_map(|other| system.cma_alloc(other, system.area(other).pages(), 0).ok()).collect()
}

/// Fills and empties the area once; returns the number of pages moved or dropped.
fn round<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    area: AreaId,
    case: Case,
    (alloc, release): (&mut Timing, &mut Timing),
) -> Result<u64, BenchError> {
    let mut mm = system.open_live(CmaUse::First, Lend::Movable)?;
    fill_areas(&mut mm, case)?;
    let before = mm.live.stats;
    let buffer = alloc.time(machine, || system.cma_alloc(area, AREA_PAGES, 0))?;
    release.time(machine, || system.cma_release(buffer))?;
    let stats = system.live().map_or(before, |live| live.stats);
    Ok(stats.migrated - before.migrated + stats.dropped - before.dropped)
}

/// Fills the areas until no page of them is free.
fn fill_areas(mm: &mut Mm<'_, '_>, case: Case) -> Result<(), LiveError> {
    let mut page = 0;
    while mm.zone.nr_free_cma() > 0 && page < mm.cache_capacity() {
        if case == Case::PerDroppedPage {
            mm.cache_read(page)?;
        } else {
            let id = mm.create(PROCESS_PAGES)?;
            (0..PROCESS_PAGES).try_for_each(|page| mm.populate(id, page))?;
        }
        page += 1;
    }
    mm.set_policy(CmaUse::Half, Lend::Movable);
    Ok(())
}

/// Times a page of a free area while all other memory is full: nothing has to move.
fn single_in_full_system<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    setting: &Setting<'_>,
    name: &'static str,
) -> Result<Measurement, BenchError> {
    let area = Need::AtLeast(AREA_PAGES).find(system, setting)?;
    let result = single(system, machine, name, area);
    system.close_live();
    result
}

/// Fills half of free memory with processes and the rest with the cache, until background reclaim
/// would start.
fn fill_the_rest(system: &mut System<'_>) -> Result<(), BenchError> {
    let mut mm = system.open_live(CmaUse::Half, Lend::Movable)?;
    for _ in 0..mm.zone.nr_free_pages() / 2 / PROCESS_PAGES {
        let id = mm.create(PROCESS_PAGES)?;
        (0..PROCESS_PAGES).try_for_each(|page| mm.populate(id, page))?;
    }
    for page in 0..mm.cache_capacity() {
        if !mm.has_room_for_cache() {
            break;
        }
        mm.cache_read(page)?;
    }
    Ok(())
}

fn single<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    name: &'static str,
    area: AreaId,
) -> Result<Measurement, BenchError> {
    // A buffer takes the whole area while all other memory, including the other areas, is filled,
    // so that the area is free afterwards.
    let whole = system.cma_alloc(area, system.area(area).pages(), 0)?;
    let filled = fill_the_rest(system);
    system.cma_release(whole)?;
    filled?;
    let timings = again_and_again(system, machine, area, 1, SINGLES)?;
    Ok(Measurement::on_area(name, system, area, timings))
}
