//! Latency: what one allocation costs when its range is free, full of movable pages, full of clean cache pages, or half and
//! half; and in which phase.

use alloc::vec::Vec;

use super::population::{Population, begin, timed_alloc};
use super::{Options, PressureError, Row, Run};
use crate::machine::Machine;
use crate::mm::live::Mm;
use crate::mm::{CmaUse, Lend};
use crate::system::System;

/// The sizes that are asked for, in pages, as far as they fit the area.
pub const SIZES: [u32; 8] = [1, 16, 64, 256, 1024, 4096, 16_384, 32_000];
/// Allocations of a size.
pub const ROUNDS: u32 = 4;
/// Pages of the objects that fill an area; in the mixture as many cache pages follow each.
const OBJECT_PAGES: u32 = 64;

/// What fills the areas.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Filling {
    /// Nothing: the system is idle.
    Idle,
    /// Movable pages.
    Movable,
    /// Clean pages of the cache.
    Clean,
    /// Half and half.
    Mixed,
}

impl Filling {
    /// Every filling.
    pub const ALL: [Self; 4] = [Self::Idle, Self::Movable, Self::Clean, Self::Mixed];

    /// The word of `with=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Movable => "movable",
            Self::Clean => "clean",
            Self::Mixed => "mixed",
        }
    }
}

/// Every filling with every size that fits the area, or the ones asked for.
pub(super) fn plan(options: &Options, area: u32) -> Vec<Run> {
    let fillings = Filling::ALL.into_iter().filter(|&filling| options.with.is_none_or(|with| with == filling));
    let own = options.pages;
    fillings
        .flat_map(|filling| {
            let sizes = SIZES.into_iter().filter(move |&size| own.is_none() && size <= area).chain(own);
            sizes.map(move |pages| Run::Latency(filling, pages))
        })
        .collect()
}

/// One run.
pub(super) fn run<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    options: &Options,
    filling: Filling,
    pages: u32,
) -> Result<Row, PressureError> {
    let (cost, name) = begin(system, machine, options.area);
    let mut row = Row::new("latency", name, cost);
    let policy = options.cma_use.unwrap_or_default();
    (row.cma_use, row.lend, row.with, row.pages) = (policy.name(), Lend::Movable.name(), filling.name(), pages);
    system.open_live(policy, Lend::Movable)?;
    let begin_ns = machine.now_ns();
    let mut population = Population::default();
    for _ in 0..options.rounds.unwrap_or(ROUNDS) {
        if machine.interrupted() {
            row.interrupted = true;
            break;
        }
        if let Some(mut mm) = system.mm() {
            row.fill_pages = fill(&mut mm, &mut population, filling, options.fill)?;
            mm.set_policy(policy, Lend::Movable);
        }
        let buffer = timed_alloc(system, machine, options.area, pages, 0, &mut row.totals);
        if let Some(buffer) = buffer {
            system.cma_release(buffer)?;
        }
    }
    row.load_ns = machine.now_ns().saturating_sub(begin_ns);
    if let Some(live) = system.live() {
        (row.migrated, row.reclaimed, row.oom_kills) =
            (live.stats.migrated, live.stats.reclaimed(), live.stats.oom_kills);
    }
    Ok(row)
}

/// Fills the areas until nothing of them is free, or so many pages are lived in; returns how many are.
///
/// Objects that an allocation has moved out are ended first, so that memory elsewhere does not fill up with them.
fn fill(
    mm: &mut Mm<'_, '_>,
    population: &mut Population,
    filling: Filling,
    most: Option<u32>,
) -> Result<u32, PressureError> {
    let cma = mm.zone.cma_pages();
    let wanted = most.unwrap_or(u32::MAX);
    if filling == Filling::Idle {
        return Ok(0);
    }
    mm.set_policy(CmaUse::First, Lend::Movable);
    let ids = core::mem::take(&mut population.objects);
    for id in ids {
        let outside = (0..OBJECT_PAGES).any(|page| mm.frame_of(id, page).is_none_or(|frame| !mm.zone.is_cma(frame)));
        if outside {
            mm.destroy(id)?;
        } else {
            population.objects.push(id);
        }
    }
    // Cache pages that were dropped are read in again: they come back before new ones.
    if filling != Filling::Movable {
        for page in 0..population.cache_pages {
            mm.cache_read(page)?;
        }
    }
    let mut turn = 0;
    loop {
        // Free pages may hide on the per-CPU lists.
        mm.drain_lists();
        let free = mm.zone.nr_free_cma();
        if free == 0 || cma - free >= wanted || !population.has_room() {
            return Ok(cma - free);
        }
        if filling == Filling::Movable || filling == Filling::Mixed && turn % 2 == 0 {
            population.add_object(mm, OBJECT_PAGES, false)?;
        } else if population.cache_pages == mm.cache_capacity() {
            return Ok(cma - free);
        } else {
            for _ in 0..OBJECT_PAGES {
                population.add_cache_page(mm)?;
            }
        }
        turn += 1;
    }
}
