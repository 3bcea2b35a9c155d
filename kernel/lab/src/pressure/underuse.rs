// SPDX-License-Identifier: MIT OR Apache-2.0

//! Underuse: creates and ends processes, more of them than fit, until the system has to kill one,
//! and counts the CMA pages that were free then.
//!
//! Each process has movable pages and, for every sixteen of them, one kernel page that cannot move
//! and cannot be in an area; a page cache is read and written, too. If movable pages go to ordinary
//! memory first, the kernel's requests fail while CMA pages are free.
//!
//! Under `fallback` the result depends on whether movable blocks run out before the kernel's
//! watermark is reached. After boot, and with 256 MiB or more, they do not, and no page enters an
//! area. If there are pageblocks that the kernel has claimed and released, movable requests use the
//! areas before they claim those (`__rmqueue`), and most of the areas is used. Hence every run
//! begins with the types of pageblocks as after boot.

use super::super::rng::Rng;
use super::population::Population;
use super::{Options, PressureError, Row};
use machine::Machine;
use migration::live::LiveError;
use page_alloc::policy::CmaUse;
use system::System;

/// Steps after the system is full. A step creates a process, may end one, and uses memory.
pub const ROUNDS: u32 = 64;
/// Pages of a process, at least and at most.
const PROCESS_PAGES: (u32, u32) = (16, 256);
/// Pages of a process for each page of the cache.
const CACHE_SHARE: u32 = 8;

/// Runs the experiment under a policy.
pub(super) fn run<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    options: &Options,
    policy: CmaUse,
) -> Result<Row, PressureError> {
    let (mut row, lend) = Row::begin_mixed("underuse", system, machine, options, policy);
    row.source = "none";
    let mut rng = Rng::seeded(options.seed);
    let begin_ns = machine.now_ns();
    let mut mm = system.open_live(policy, lend)?;
    let wanted = options.fill.unwrap_or(u32::MAX);
    let free = mm.zone.nr_free_pages();
    let mut population = Population::default();
    let mut left = options.rounds.unwrap_or(ROUNDS);
    while left > 0 && population.has_room() {
        if machine.interrupted() {
            row.interrupted = true;
            break;
        }
        let filled = free.saturating_sub(mm.zone.nr_free_pages());
        row.fill_pages = row.fill_pages.max(filled);
        if filled >= wanted || mm.live.stats.oom_kills > 0 {
            left -= 1;
            if let Some(id) = population.any(&mut rng).filter(|_| filled >= wanted) {
                mm.destroy(id)?;
            }
        }
        population.bury(&mm);
        let pages = PROCESS_PAGES.0 + rng.below(PROCESS_PAGES.1 - PROCESS_PAGES.0);
        match population.add_process(&mut mm, pages, true) {
            // No range of virtual addresses is long enough: one process ends, and the next may fit.
            Err(PressureError::Live(LiveError::NoSlots)) => {
                left -= 1;
                if let Some(id) = population.any(&mut rng) {
                    mm.destroy(id)?;
                }
                continue;
            }
            added => added?,
        }
        for _ in 0..pages / CACHE_SHARE {
            population.add_cache_page(&mut mm)?;
        }
        population.use_memory(&mut mm, &mut rng, pages / CACHE_SHARE)?;
    }
    row.take_in(mm.live);
    row.cma_free_at_kill = mm.live.stats.cma_free_at_first_kill.unwrap_or(0);
    row.unused_pages = mm.zone.nr_free_cma();
    row.bad_pages = population.bad_reads + mm.verify_contents();
    row.load_ns = machine.now_ns().saturating_sub(begin_ns);
    Ok(row)
}
