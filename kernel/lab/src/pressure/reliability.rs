// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reliability, and what CMA is for: a driver needs a large buffer every so often, in a full
//! system.
//!
//! The memory can be set aside at boot, asked of the page allocator, or lent as a CMA area under
//! each policy. What is compared: how often the driver gets its buffer and how long that takes, and
//! how much memory stands unused meanwhile. With pins, that many random pages of processes cannot
//! move; before each request other ones are drawn.

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

/// A camera's buffer: 26 MiB, or the whole area where that is smaller.
pub const CAMERA_PAGES: u32 = 6656;
/// Requests of a run.
pub const ROUNDS: u32 = 16;
/// Pages of a process.
const PROCESS_PAGES: u32 = 64;
/// Uses of memory between two requests.
const USES: u32 = 2000;
/// Processes that end, and are made anew, between two requests.
const RENEWED: u32 = 8;
/// The numbers of pins that are tried.
pub const PINS: [u32; 3] = [0, 1, 100];

/// Where the driver's buffer comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Memory set aside at boot that nobody else may use.
    Reserved,
    /// The page allocator; it has blocks of up to 4 MiB.
    Buddy,
    /// A CMA area.
    Cma,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 3] = [Self::Reserved, Self::Buddy, Self::Cma];

    /// The word of `source=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Buddy => "buddy",
            Self::Cma => "cma",
        }
    }
}

/// One arrangement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrangement {
    source: Source,
    cma_use: CmaUse,
    lend: Lend,
    pins: u32,
}

/// The arrangements that are compared: with a CMA area each policy, and each choice of whose pages
/// may enter.
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
    // What nobody else lives in, pins do not touch.
    all.flat_map(|(source, cma_use, lend)| {
        let pins = if source == Source::Cma && lend != Lend::None { &PINS[..] } else { &PINS[..1] };
        pins.iter().map(move |&pins| Arrangement { source, cma_use, lend, pins })
    })
}

/// The arrangements that the options leave; one that is in no table can be had all the same.
pub(super) fn plan(options: &Options) -> Vec<Run> {
    let asked = |arrangement: &Arrangement| {
        options.source.is_none_or(|source| source == arrangement.source)
            && options.cma_use.is_none_or(|cma_use| cma_use == arrangement.cma_use)
            && options.lend.is_none_or(|lend| lend == arrangement.lend)
            // A number of pins of one's own takes the place of all others.
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

/// One run, with the buffer set aside before where that is the arrangement.
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

/// What the driver holds.
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
        // The buffer is in use for a while, and the system goes on.
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

/// Fills memory, processes and cache in turns, until the background would have to reclaim for
/// either, and then with cache for as long as there is room for that; or until `most` pages are in
/// use. Returns how many are.
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

/// What goes on between two requests: some processes end, others are made, memory is used.
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

/// Pins `pins` random pages of processes; returns how many were pinned.
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
                // As a driver's GFP_KERNEL: what can be reclaimed is, and then it is tried once
                // more.
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
