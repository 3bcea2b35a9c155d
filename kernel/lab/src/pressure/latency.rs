// SPDX-License-Identifier: MIT OR Apache-2.0

//! Latency: cost of one allocation, by phase, when its range is free, full of movable pages, full
//! of clean cache pages, or half and half.

use alloc::vec::Vec;

use super::population::{Population, timed_alloc};
use super::{Options, PressureError, Row, Run};
use machine::Machine;
use migration::live::Mm;
use page_alloc::policy::{CmaUse, Lend};
use system::System;

/// Sizes of the requests in pages; only those that fit the area are used.
pub const SIZES: [u32; 8] = [1, 16, 64, 256, 1024, 4096, 16_384, 32_000];
/// Allocations of a size.
pub const ROUNDS: u32 = 4;
/// Pages of the processes that fill an area.
const PROCESS_PAGES: u32 = 64;

/// Kind of pages that fill the areas.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Filling {
    /// Nothing: the system is idle.
    Idle,
    /// Movable pages.
    Movable,
    /// Clean pages of the cache.
    Clean,
    /// Movable and clean pages in turn.
    Mixed,
}

impl Filling {
    /// Every filling.
    pub const ALL: [Self; 4] = [Self::Idle, Self::Movable, Self::Clean, Self::Mixed];

    /// Returns the value of `with=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Movable => "movable",
            Self::Clean => "clean",
            Self::Mixed => "mixed",
        }
    }
}

/// Returns all combinations of fillings and sizes that fit the area, or those of the options.
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

/// Runs one filling with one size.
pub(super) fn run<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    options: &Options,
    filling: Filling,
    pages: u32,
) -> Result<Row, PressureError> {
    let mut row = Row::begin("latency", system, machine, options.area);
    let policy = options.cma_use.unwrap_or_default();
    (row.cma_use, row.lend, row.with, row.pages) = (policy.name(), Lend::Movable.name(), filling.name(), pages);
    system.open_live(policy, Lend::Movable)?;
    let begin_ns = machine.now_ns();
    let mut population = Population::default();
    for round in 0..options.rounds.unwrap_or(ROUNDS) {
        if machine.interrupted() {
            row.interrupted = true;
            break;
        }
        if let Some(mut mm) = system.mm() {
            row.fill_pages = fill(&mut mm, &mut population, filling, options.fill, round)?;
            mm.set_policy(policy, Lend::Movable);
        }
        let buffer = timed_alloc(system, machine, options.area, pages, 0, &mut row.totals);
        if let Some(buffer) = buffer {
            system.cma_release(buffer)?;
        }
    }
    row.load_ns = machine.now_ns().saturating_sub(begin_ns);
    if let Some(live) = system.live() {
        row.take_in(live);
    }
    Ok(row)
}

/// Fills the areas until they have no free page, or `most` pages are in use; returns the number of
/// pages in use. Pages that an allocation has moved out or dropped come back first.
///
/// For `mixed`, movable and clean pages take turns, so that a range of any length has equal numbers
/// of both; each round begins with the other kind.
fn fill(
    mm: &mut Mm<'_, '_>,
    population: &mut Population,
    filling: Filling,
    most: Option<u32>,
    round: u32,
) -> Result<u32, PressureError> {
    let cma = mm.zone.cma_pages();
    let wanted = most.unwrap_or(u32::MAX);
    if filling == Filling::Idle {
        return Ok(0);
    }
    mm.set_policy(CmaUse::First, Lend::Movable);
    population.bury(mm);
    for &id in &population.processes {
        for page in 0..PROCESS_PAGES {
            if mm.frame_of(id, page).is_some_and(|frame| !mm.zone.is_cma(frame)) {
                mm.unmap(id, page)?;
            }
        }
    }
    // Frames outside the areas that became free must not be used before those of the areas.
    mm.drain_lists();
    let (mut movable, mut clean) = (Missing::default(), 0);
    let mut turn = round;
    loop {
        let is_full = |mm: &Mm<'_, '_>| mm.zone.nr_free_cma() == 0 || cma - mm.zone.nr_free_cma() >= wanted;
        if is_full(mm) {
            // The per-CPU lists may hold free pages.
            mm.drain_lists();
            if is_full(mm) {
                break;
            }
        }
        let comes = if filling == Filling::Movable || filling == Filling::Mixed && turn.is_multiple_of(2) {
            movable.comes_in(mm, population)?
        } else {
            clean = (clean..mm.cache_capacity()).find(|&page| mm.cache_frame(page).is_none()).unwrap_or(u32::MAX);
            clean < mm.cache_capacity() && mm.cache_read(clean).map(|_| true)?
        };
        if !comes {
            break;
        }
        turn = turn.wrapping_add(1);
    }
    Ok(cma - mm.zone.nr_free_cma())
}

/// Fills the areas once; returns the number of their pages in use.
pub(crate) fn fill_areas(mm: &mut Mm<'_, '_>, filling: Filling) -> Result<u32, PressureError> {
    fill(mm, &mut Population::default(), filling, None, 0)
}

/// Search for the pages of processes that are not mapped.
#[derive(Default)]
struct Missing {
    process: usize,
    page: u32,
}

impl Missing {
    /// Maps the next page, of a new process if all pages are mapped. Returns false if there is no
    /// room for one.
    fn comes_in(&mut self, mm: &mut Mm<'_, '_>, population: &mut Population) -> Result<bool, PressureError> {
        loop {
            if self.process == population.processes.len() {
                if !population.has_room() {
                    return Ok(false);
                }
                population.processes.push(mm.create(PROCESS_PAGES)?);
            }
            let id = population.processes[self.process];
            let missing = (self.page..PROCESS_PAGES).find(|&page| mm.frame_of(id, page).is_none());
            if let Some(page) = missing {
                self.page = page + 1;
                mm.populate(id, page)?;
                return Ok(true);
            }
            (self.process, self.page) = (self.process + 1, 0);
        }
    }
}
