// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reliability, the purpose of CMA: a driver needs a large buffer from time to time, in a full
//! system.
//!
//! The memory is either reserved in advance, requested from the page allocator, or a CMA area that
//! lends its pages under one of the policies. Compared are the share of requests that succeed,
//! their latency, and the memory that stands unused meanwhile. With pins, `pins` random pages of
//! processes cannot move; before each request other pages are chosen.

use alloc::vec::Vec;

use super::super::rng::Rng;
use super::super::stopwatch::span_ns_of;
use super::population::{Population, timed_alloc};
use super::{Options, PressureError, Refusal, Row, Run, Totals};
use cma::{AreaId, Buffer, align_order_of};
use machine::Machine;
use migration::Undo;
use migration::contig_range::ContigReport;
use migration::live::Mm;
use page_alloc::policy::{CmaUse, Lend};
use page_alloc::{Block, Migratetype};
use system::System;

/// Pages of a camera's buffer: 26 MiB, or the whole area if that is smaller.
pub const CAMERA_PAGES: u32 = 6656;
/// Requests of a run.
pub const ROUNDS: u32 = 16;
/// Pages of a process.
const PROCESS_PAGES: u32 = 64;
/// Uses of memory between two requests.
const USES: u32 = 2000;
/// Processes that end, and are replaced, between two requests.
const RENEWED: u32 = 8;
/// Numbers of pins that are compared.
pub const PINS: [u32; 3] = [0, 1, 100];

/// Source of the driver's buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Memory reserved before the run, which only the driver may use.
    Reserved,
    /// The page allocator, which has blocks of up to 4 MiB.
    Buddy,
    /// A CMA area.
    Cma,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 3] = [Self::Reserved, Self::Buddy, Self::Cma];

    /// Returns the value of `source=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Buddy => "buddy",
            Self::Cma => "cma",
        }
    }
}

/// One combination of source, policy, lending and pins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrangement {
    source: Source,
    cma_use: CmaUse,
    lend: Lend,
    pins: u32,
}

/// Returns the arrangements that are compared. For a CMA area these are combinations of a policy
/// and the kinds of pages that may enter.
fn arrangements() -> impl Iterator<Item = Arrangement> {
    let lent = [
        (CmaUse::Fallback, Lend::Movable),
        (CmaUse::Half, Lend::Movable),
        (CmaUse::First, Lend::Movable),
        (CmaUse::Half, Lend::Clean),
        (CmaUse::First, Lend::Clean),
        (CmaUse::Half, Lend::None),
    ];
    let others = [Source::Reserved, Source::Buddy].map(|source| (source, CmaUse::Half, Lend::Movable));
    let all = others.into_iter().chain(lent.into_iter().map(|(cma_use, lend)| (Source::Cma, cma_use, lend)));
    // Pins have no effect on memory that no process uses.
    all.flat_map(|(source, cma_use, lend)| {
        let pins = if source == Source::Cma && lend != Lend::None { &PINS[..] } else { &PINS[..1] };
        pins.iter().map(move |&pins| Arrangement { source, cma_use, lend, pins })
    })
}

/// Returns the arrangements that the options select; if the table has none, a new one.
pub(super) fn plan(options: &Options) -> Vec<Run> {
    let asked = |arrangement: &Arrangement| {
        options.source.is_none_or(|source| source == arrangement.source)
            && options.cma_use.is_none_or(|cma_use| cma_use == arrangement.cma_use)
            && options.lend.is_none_or(|lend| lend == arrangement.lend)
            // A number of pins in the options replaces those of the table.
            && (options.pins.is_none() || arrangement.pins == PINS[0])
    };
    let own_pins =
        |arrangement: Arrangement| Arrangement { pins: options.pins.unwrap_or(arrangement.pins), ..arrangement };
    let runs: Vec<Run> = arrangements().filter(asked).map(own_pins).map(Run::Reliability).collect();
    if !runs.is_empty() {
        return runs;
    }
    let alone = Arrangement {
        source: options.source.unwrap_or(Source::Cma),
        cma_use: options.cma_use.unwrap_or_default(),
        lend: options.lend.unwrap_or_default(),
        pins: options.pins.unwrap_or(0),
    };
    alloc::vec![Run::Reliability(alone)]
}

/// Runs one arrangement; with [`Source::Reserved`], reserves the buffer first.
pub(super) fn run<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    options: &Options,
    arrangement: Arrangement,
) -> Result<Row, PressureError> {
    let area = system.area(options.area).pages();
    let pages = options.pages.unwrap_or(CAMERA_PAGES.min(area));
    let aside = match arrangement.source {
        Source::Reserved => Some(system.cma_alloc(options.area, pages, 0).map_err(PressureError::Cma)?),
        Source::Buddy | Source::Cma => None,
    };
    let result = super::closed(system, |system| one(system, machine, options, pages, arrangement));
    if let Some(buffer) = aside {
        system.cma_release(buffer)?;
    }
    result
}

/// Memory that the driver holds.
enum Held {
    Area(Buffer),
    Block(Block),
    Aside,
}

fn one<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    options: &Options,
    pages: u32,
    arrangement: Arrangement,
) -> Result<Row, PressureError> {
    let Arrangement { source, cma_use, lend, pins } = arrangement;
    let mut row = Row::begin("reliability", system, machine, options.area);
    (row.cma_use, row.lend, row.source, row.with) = (cma_use.name(), lend.name(), source.name(), "mixed");
    (row.pages, row.pins) = (pages, pins);
    let mut rng = Rng::seeded(options.seed);
    let mut population = Population::default();
    let mut mm = system.open_live(cma_use, lend)?;
    row.fill_pages = fill(&mut mm, &mut population, options.fill)?;
    let begin_ns = machine.now_ns();
    let rounds = options.rounds.unwrap_or(ROUNDS);
    let (mut unused, mut samples) = (0, 0);
    for _ in 0..rounds {
        if machine.interrupted() {
            row.interrupted = true;
            break;
        }
        let Some(mut mm) = system.mm() else { break };
        churn(&mut mm, &mut population, &mut rng)?;
        if options.fill.is_none() {
            population.read_on(&mut mm)?;
        }
        let pinned = pin(&mut mm, &population, &mut rng, pins);
        row.pins = row.pins.min(pinned);
        unused += u64::from(mm.zone.nr_free_cma()) + if source == Source::Reserved { u64::from(pages) } else { 0 };
        samples += 1;
        let held = request(system, machine, (options.area, source), pages, &mut row.totals);
        // The system continues while the buffer is in use.
        if let Some(mut mm) = system.mm() {
            mm.unpin_all();
            population.use_memory(&mut mm, &mut rng, USES)?;
        }
        match held {
            Some(Held::Area(buffer)) => system.cma_release(buffer)?,
            Some(Held::Block(block)) => system.zone_mut().free_pages(block),
            Some(Held::Aside) | None => {}
        }
    }
    row.load_ns = machine.now_ns().saturating_sub(begin_ns);
    row.unused_pages = unused.checked_div(samples).unwrap_or(0) as u32;
    if let Some(mut mm) = system.mm() {
        row.take_in(mm.live);
        row.cma_free_at_kill = mm.live.stats.cma_free_at_first_kill.unwrap_or(0);
        row.bad_pages = population.bad_reads + mm.verify_contents();
    }
    Ok(row)
}

/// Fills memory alternately with processes and cache until pages are reclaimed or no process can be
/// created, then with cache as long as there is room for it. Stops earlier if `most` pages are in
/// use. Returns the number of pages in use.
fn fill(mm: &mut Mm<'_, '_>, population: &mut Population, most: Option<u32>) -> Result<u32, PressureError> {
    let free = mm.zone.nr_free_pages();
    let wanted = most.unwrap_or(u32::MAX);
    let mut turn = 0_u32;
    loop {
        let filled = free - mm.zone.nr_free_pages();
        if filled >= wanted {
            return Ok(filled);
        }
        if mm.live.stats.reclaimed() > 0 || !population.has_room() {
            break;
        }
        if turn.is_multiple_of(2) {
            population.add_process(mm, PROCESS_PAGES, false)?;
        } else {
            (0..PROCESS_PAGES).try_for_each(|_| population.add_cache_page(mm))?;
        }
        turn += 1;
    }
    while free - mm.zone.nr_free_pages() < wanted
        && mm.has_room_for_cache()
        && population.cache_pages < mm.cache_capacity()
    {
        population.add_cache_page(mm)?;
    }
    Ok(free - mm.zone.nr_free_pages())
}

/// Does what happens between two requests: some processes end and are replaced, memory is used.
fn churn(mm: &mut Mm<'_, '_>, population: &mut Population, rng: &mut Rng) -> Result<(), PressureError> {
    population.bury(mm);
    for _ in 0..RENEWED {
        if let Some(id) = population.any(rng) {
            mm.destroy(id)?;
            population.bury(mm);
            population.add_process(mm, PROCESS_PAGES, false)?;
        }
    }
    population.use_memory(mm, rng, USES)
}

/// Pins `pins` random pages of processes; returns the number of pinned pages.
fn pin(mm: &mut Mm<'_, '_>, population: &Population, rng: &mut Rng, pins: u32) -> u32 {
    let mut pinned: Vec<_> = Vec::new();
    for _ in 0..pins {
        let Some(id) = population.any(rng) else { break };
        pinned.extend(mm.pin(id, rng.below(PROCESS_PAGES), "dma0"));
    }
    pinned.len() as u32
}

fn request<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    (area, source): (AreaId, Source),
    pages: u32,
    totals: &mut Totals,
) -> Option<Held> {
    match source {
        Source::Cma => {
            let align = align_order_of(pages);
            timed_alloc(system, machine, area, pages, align, totals).map(Held::Area)
        }
        Source::Reserved => {
            totals.add(0, &ContigReport::default(), None);
            Some(Held::Aside)
        }
        Source::Buddy => {
            let order = pages.next_power_of_two().ilog2();
            let (answer, span_ns) = span_ns_of(machine, || {
                let mut answer = system.zone_mut().alloc_pages(order, Migratetype::Unmovable);
                // Like a driver's GFP_KERNEL request: reclaims what can be reclaimed, and tries
                // once more.
                if answer.is_err()
                    && let Some(mut mm) = system.mm()
                {
                    mm.free_ahead(pages, Undo::No);
                    mm.drain_lists();
                    answer = system.zone_mut().alloc_pages(order, Migratetype::Unmovable);
                }
                answer
            });
            totals.add(span_ns, &ContigReport::default(), answer.as_ref().err().copied().map(Refusal::Buddy));
            answer.ok().map(Held::Block)
        }
    }
}
