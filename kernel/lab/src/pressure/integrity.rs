// SPDX-License-Identifier: MIT OR Apache-2.0

//! Integrity: checks that pages of processes, which carry their identity and a content that
//! changes, keep both.
//!
//! Areas are filled with processes, some of whose pages are shared, and with clean and dirty cache
//! pages. A driver allocates buffers of random sizes and writes to them, as a device would. Between
//! the phases of each allocation readers and writers continue. After it everything is verified:
//! pages through their virtual addresses, and buffers word by word. `sabotage=` makes migration
//! leave out a step; the resulting bad pages show that the check can fail.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use super::super::rng::Rng;
use super::population::{Population, timed_alloc};
use super::{Options, PressureError, Row, Totals};
use cma::Buffer;
use machine::Machine;
use migration::live::{Faults, Mm};
use page_alloc::policy::CmaUse;
use system::System;

/// Allocations of a run.
pub const ROUNDS: u32 = 16;
/// Pages of a process.
const PROCESS_PAGES: u32 = 32;
/// Uses of memory at each boundary between phases.
const USES: u32 = 20;
/// Pages of the small buffer whose range has pages that were read just before: the TLB still has
/// their translations.
const HOT_PAGES: u32 = 8;
/// Word that the driver writes.
const BUFFER_WORD: u32 = 0xb0ff_e12d;

/// Runs the experiment under a policy.
pub(super) fn run<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    options: &Options,
    policy: CmaUse,
) -> Result<Row, PressureError> {
    let (mut row, lend) = Row::begin_mixed("integrity", system, machine, options, policy);
    let most = options.pages.unwrap_or(system.area(options.area).pages());
    row.pages = most;
    let begin_ns = machine.now_ns();
    let rng = Rc::new(RefCell::new(Rng::seeded(options.seed)));
    let population = Rc::new(RefCell::new(Population::default()));
    let failed = Rc::new(Cell::new(None));
    system.open_live(CmaUse::First, lend)?;
    for _ in 0..options.rounds.unwrap_or(ROUNDS) {
        if machine.interrupted() {
            row.interrupted = true;
            break;
        }
        if let Some(mut mm) = system.mm() {
            mm.set_policy(CmaUse::First, lend);
            let filled = fill(&mut mm, &mut population.borrow_mut(), &mut rng.borrow_mut(), options.fill)?;
            row.fill_pages = row.fill_pages.max(filled);
            mm.set_policy(policy, lend);
            mm.live.faults.sabotage = options.sabotage;
            let (rng, population, failed) = (Rc::clone(&rng), Rc::clone(&population), Rc::clone(&failed));
            mm.live.meanwhile = Some(Box::new(move |mm: &mut Mm<'_, '_>, _| {
                if let Err(error) = population.borrow_mut().use_memory(mm, &mut rng.borrow_mut(), USES) {
                    failed.set(Some(error));
                }
            }));
        }
        row.bad_pages += hot(system, options, &mut row.totals, machine)?;
        let pages = 1 + rng.borrow_mut().below(most);
        let buffer = timed_alloc(system, machine, options.area, pages, 0, &mut row.totals);
        if let Some(mut mm) = system.mm() {
            mm.live.meanwhile = None;
            if let Some(buffer) = &buffer {
                mm.buffer_words(buffer, |words| words.fill(BUFFER_WORD));
            }
            row.bad_pages += mm.verify_contents();
            population.borrow_mut().use_memory(&mut mm, &mut rng.borrow_mut(), USES)?;
            if let Some(buffer) = &buffer {
                row.bad_pages += damaged(&mut mm, buffer);
            }
        }
        if let Some(buffer) = buffer {
            system.cma_release(buffer)?;
        }
        failed.take().map_or(Ok(()), Err)?;
    }
    if let Some(mm) = system.mm() {
        mm.live.faults = Faults::default();
        row.take_in(mm.live);
    }
    row.bad_pages += population.borrow().bad_reads;
    row.load_ns = machine.now_ns().saturating_sub(begin_ns);
    Ok(row)
}

/// Allocates a small buffer at pages that were read just before; returns the number of bad pages
/// among these and the buffer's.
fn hot<M: Machine + ?Sized>(
    system: &mut System<'_>,
    options: &Options,
    totals: &mut Totals,
    machine: &M,
) -> Result<u32, PressureError> {
    let base = system.area(options.area).base();
    let pages = HOT_PAGES.min(options.pages.unwrap_or(HOT_PAGES));
    let Some(mut mm) = system.mm() else { return Ok(0) };
    let meanwhile = mm.live.meanwhile.take();
    let residents: Vec<_> = (0..pages).filter_map(|page| mm.mapped_at(base.add(page))).collect();
    let mut bad = 0;
    for &(id, page) in &residents {
        bad += u32::from(!mm.read(id, page)?);
    }
    let buffer = timed_alloc(system, machine, options.area, pages, 0, totals);
    if let (Some(mut mm), Some(buffer)) = (system.mm(), &buffer) {
        mm.buffer_words(buffer, |words| words.fill(BUFFER_WORD));
        for &(id, page) in &residents {
            // A page is missing only if its process was killed to free a page for migration.
            bad += u32::from(mm.read(id, page) == Ok(false));
            let _ = mm.write(id, page);
        }
        bad += damaged(&mut mm, buffer);
    }
    if let Some(mm) = system.mm() {
        mm.live.meanwhile = meanwhile;
    }
    if let Some(buffer) = buffer {
        system.cma_release(buffer)?;
    }
    Ok(bad)
}

/// Returns the number of pages of a buffer that do not hold what the driver wrote.
fn damaged(mm: &mut Mm<'_, '_>, buffer: &Buffer) -> u32 {
    let mut damaged = 0;
    mm.buffer_words(buffer, |words| damaged += u32::from(words.iter().any(|&word| word != BUFFER_WORD)));
    damaged
}

/// Fills the areas with processes, of which some share pages, and with cache pages, of which some
/// are written. Half of the older processes end first.
fn fill(
    mm: &mut Mm<'_, '_>,
    population: &mut Population,
    rng: &mut Rng,
    most: Option<u32>,
) -> Result<u32, PressureError> {
    let cma = mm.zone.cma_pages();
    population.bury(mm);
    for _ in 0..population.processes.len() / 2 {
        if let Some(id) = population.any(rng) {
            mm.destroy(id)?;
            population.bury(mm);
        }
    }
    mm.drain_lists();
    let wanted = most.unwrap_or(u32::MAX);
    let start = mm.zone.nr_free_cma();
    let room = |mm: &Mm<'_, '_>| mm.zone.nr_free_cma() > 0 && cma - mm.zone.nr_free_cma() < wanted;
    while room(mm) && population.has_room() {
        let free = mm.zone.nr_free_cma();
        population.add_process(mm, PROCESS_PAGES, false)?;
        if let (Some(&of), true) = (population.processes.last(), population.has_room()) {
            let with = mm.create(PROCESS_PAGES)?;
            population.processes.push(with);
            for page in (0..PROCESS_PAGES).step_by(4) {
                // Fails if the process was killed to free pages for the other.
                let _ = mm.share((of, page), (with, page));
            }
        }
        for page in 0..PROCESS_PAGES {
            population.add_cache_page(mm)?;
            if page % 4 == 0 && population.cache_pages > 0 {
                mm.cache_write(population.cache_pages - 1)?;
            }
        }
        // If no page, or only cache, may enter the areas, the loop does not end by itself.
        if mm.zone.nr_free_cma() == free && free == start || population.cache_pages == mm.cache_capacity() {
            break;
        }
    }
    Ok(cma - mm.zone.nr_free_cma())
}
