// SPDX-License-Identifier: MIT OR Apache-2.0

//! Self-tests of pages in use, on the machine's own page tables and TLB: pages that move, faults
//! between the phases, and omitted steps that have to be noticed.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::{Stop, Test, Verdict, ensure, existing_areas, on_areas};
use cma::{AreaId, Buffer, CmaError};
use lab::rng::Rng;
use migration::contig_range::Phase;
use migration::live::processes::ProcessId;
use migration::live::{Faults, Mm, OpenError, Sabotage};
use page_alloc::policy::{CmaUse, Lend};
use system::System;
use units::Pfn;

pub(super) const ENTRIES: &[Test] = &[
    on_areas("live_migration", migration),
    on_areas("live_faults", faults),
    on_areas("live_sabotage", sabotage),
    on_areas("live_random", random),
];

/// Pages of a process.
const PROCESS_PAGES: u32 = 40;
/// Processes of a test, which use the first pages of an area.
const PROCESSES: u32 = 5;
/// Steps of the random test, and the number of steps between two checks.
const STEPS: u32 = 240;
const CHECKED_EVERY: u32 = 12;

/// Phases at which a pin can still make an allocation fail that has begun.
const BOUNDARIES: [Phase; 4] = [Phase::Isolate, Phase::Drain, Phase::Reclaim, Phase::Migrate];

/// Runs `test` with users of memory, which take CMA pages first. Skips it if memory is too small
/// for their tables, or if there is no window for them.
pub(super) fn with_living(system: &mut System<'_>, test: impl FnOnce(&mut System<'_>) -> Verdict) -> Verdict {
    let free = system.zone().nr_free_pages();
    let opened = system.open_live(CmaUse::First, Lend::Movable).map(|_| ());
    if let Err(error @ (OpenError::NoTables(_) | OpenError::NoAddressSpace)) = &opened {
        return Err(Stop::skip(error.to_string()));
    }
    lines(opened)?;
    let result = test(system);
    system.close_live();
    let after = system.zone().nr_free_pages();
    result?;
    ensure(free == after, || format!("{free} pages were free, and {after} are"))
}

/// Returns the first area without buffers, where only pages in use are in the way. Skips the test
/// if there is none.
pub(super) fn empty_area(system: &System<'_>) -> Verdict<AreaId> {
    let empty = existing_areas(system)?.into_iter().find(|&id| system.area(id).used_pages() == 0);
    empty.ok_or_else(|| Stop::skip("every area has buffers"))
}

/// Returns the area without buffers that contains `frame`. Skips the test if there is none.
pub(super) fn empty_area_of(system: &System<'_>, frame: Pfn) -> Verdict<AreaId> {
    empty_area(system)?;
    let found = system.area_ids().find(|&id| {
        let area = system.area(id);
        area.used_pages() == 0 && frame.0.wrapping_sub(area.base().0) < area.pages()
    });
    found.ok_or_else(|| Stop::skip("the test's page is in no empty area"))
}

/// Returns the area of a process's first page. Skips the test if that area has buffers, or if its
/// pages in use have no room elsewhere without reclaim, which could not be undone.
fn home(system: &mut System<'_>, id: ProcessId) -> Verdict<AreaId> {
    empty_area(system)?;
    let mut mm = living(system)?;
    mm.drain_lists();
    let frame = mm.frame_of(id, 0).ok_or_else(|| Stop::skip("memory is too small for the processes"))?;
    let home = empty_area_of(system, frame)?;
    let (area, zone) = (system.area(home), system.zone());
    let free = (0..area.pages()).filter(|&page| zone.is_free(area.base().add(page))).count() as u32;
    let (users, elsewhere) = (area.pages() - free, zone.nr_free_pages() - free);
    let reserve = zone.watermarks().high;
    if elsewhere < users + reserve {
        return Err(Stop::skip(format!(
            "no room to move {users} pages of {} to: {elsewhere} are free elsewhere, {reserve} of them in reserve",
            area.name()
        )));
    }
    Ok(home)
}

fn lines<T>(result: Result<T, impl ToString>) -> Verdict<T> {
    result.map_err(Stop::fail)
}

/// Creates processes with all their pages, which are in the areas if these are empty.
fn processes(mm: &mut Mm<'_, '_>) -> Verdict<Vec<ProcessId>> {
    (0..PROCESSES)
        .map(|_| {
            let id = lines(mm.create(PROCESS_PAGES))?;
            lines((0..PROCESS_PAGES).try_for_each(|page| mm.populate(id, page)))?;
            Ok(id)
        })
        .collect()
}

fn living<'s, 'm>(system: &'s mut System<'m>) -> Verdict<Mm<'s, 'm>> {
    system.mm().ok_or_else(|| Stop::fail("memory has no users"))
}

/// Checks the accounting and the contents.
fn verify(system: &mut System<'_>) -> Verdict {
    lines(system.check())?;
    let bad = living(system)?.verify_contents();
    ensure(bad == 0, || format!("{bad} pages do not hold what was written last"))
}

/// Tests that all pages of an area are moved or dropped, with their contents.
fn migration(system: &mut System<'_>) -> Verdict {
    with_living(system, |system| {
        let mut mm = living(system)?;
        let ids = processes(&mut mm)?;
        let twin = lines(mm.create(4))?;
        lines((0..4).try_for_each(|page| mm.share((ids[0], page), (twin, page))))?;
        for page in 0..100 {
            lines(mm.cache_read(page))?;
            if page % 5 == 0 {
                lines(mm.cache_write(page))?;
            }
        }
        mm.set_policy(CmaUse::Half, Lend::Movable);
        let area = home(system, ids[0])?;
        let pages = system.area(area).pages();
        let (result, report) = system.cma_alloc_reported(area, pages, 0);
        let buffer = lines(result)?;
        verify(system)?;
        lines(system.cma_release(buffer))?;
        ensure(report.migrated > 0, || "nothing had to move".to_string())
    })
}

/// Tests that faults between the phases leave everything unchanged.
fn faults(system: &mut System<'_>) -> Verdict {
    with_living(system, |system| {
        let mut mm = living(system)?;
        let ids = processes(&mut mm)?;
        for page in 0..60 {
            lines(mm.cache_read(page))?;
        }
        mm.set_policy(CmaUse::Half, Lend::Movable);
        let area = home(system, ids[0])?;
        let pages = system.area(area).pages();
        let mut mm = living(system)?;
        // The last page that has to move, so that the others have moved by then.
        let (id, page) = (ids[0], PROCESS_PAGES - 1);
        let before = mm.fingerprint();
        for fault in 0..2 + BOUNDARIES.len() as u32 {
            let mm = living(system)?;
            match fault {
                0 | 1 => mm.live.faults.targets_left = Some(fault * 20),
                _ => {
                    let at = BOUNDARIES[fault as usize - 2];
                    mm.live.meanwhile = Some(Box::new(move |mm: &mut Mm<'_, '_>, phase| {
                        if phase == at {
                            let _ = mm.pin(id, page, "selftest");
                        }
                    }));
                }
            }
            let result = system.cma_alloc(area, pages, 0);
            let mut mm = living(system)?;
            (mm.live.faults, mm.live.meanwhile) = (Faults::default(), None);
            mm.unpin_all();
            mm.drain_lists();
            let same = mm.fingerprint() == before;
            match result {
                Err(CmaError::Busy(blocked) | CmaError::NoMemory(blocked)) if blocked.phase == Phase::Migrate => {}
                Err(error) => return Err(Stop::Fail(format!("fault {fault}: {error}"))),
                Ok(buffer) => {
                    lines(system.cma_release(buffer))?;
                    return Err(Stop::Fail(format!("fault {fault} was not met")));
                }
            }
            ensure(same, || format!("fault {fault} left a trace"))?;
            verify(system)?;
        }
        Ok(())
    })
}

/// Tests that a step which migration leaves out is noticed.
fn sabotage(system: &mut System<'_>) -> Verdict {
    for sabotage in [None].into_iter().chain(Sabotage::ALL.map(Some)) {
        with_living(system, |system| {
            let mut mm = living(system)?;
            // A TLB looks addresses up by their low bits. Without a gap, pages and their frames
            // would have these in common, and copying a frame would evict the page's translation.
            lines(mm.create(PROCESS_PAGES / 2 + 1))?;
            let ids = processes(&mut mm)?;
            mm.set_policy(CmaUse::Half, Lend::Movable);
            let area = home(system, ids[0])?;
            // The next buffer is placed where the first process is.
            let frame = living(system)?.frame_of(ids[0], 0).ok_or("the process is gone")?;
            let before = frame.0 - system.area(area).base().0;
            let filler = if before > 0 { Some(lines(system.cma_alloc(area, before, 0))?) } else { None };
            let mut mm = living(system)?;
            // A few pages, read just before, so that their translations are in the TLB.
            let residents: Vec<_> = (0..4).filter_map(|page| mm.mapped_at(frame.add(page))).collect();
            for &(id, page) in &residents {
                lines(mm.read(id, page))?;
            }
            mm.live.faults.sabotage = sabotage;
            let buffer = lines(system.cma_alloc(area, 4, 0))?;
            let mut mm = living(system)?;
            mm.buffer_words(&buffer, |words| words.fill(0xdead_beef));
            let mut bad = 0;
            for &(id, page) in &residents {
                bad += usize::from(!lines(mm.read(id, page))?);
            }
            mm.live.faults.sabotage = None;
            for buffer in [Some(buffer), filler].into_iter().flatten() {
                lines(system.cma_release(buffer))?;
            }
            let name = sabotage.map_or("none", Sabotage::name);
            ensure(!residents.is_empty(), || "the process's page was not where it was".to_string())?;
            let expected = if sabotage.is_some() { bad > 0 } else { bad == 0 };
            ensure(expected, || format!("sabotage {name}: {bad} bad pages of {}", residents.len()))
        })?;
    }
    Ok(())
}

/// Tests random steps with processes, cache, pins and buffers.
fn random(system: &mut System<'_>) -> Verdict {
    let area = empty_area(system)?;
    with_living(system, |system| {
        let mut rng = Rng::seeded(5);
        let (mut ids, mut buffers): (Vec<ProcessId>, Vec<Buffer>) = (Vec::new(), Vec::new());
        for step in 1..=STEPS {
            random_step(system, area, &mut rng, &mut ids, &mut buffers)?;
            if step % CHECKED_EVERY == 0 {
                verify(system)?;
            }
        }
        living(system)?.unpin_all();
        for buffer in buffers {
            lines(system.cma_release(buffer))?;
        }
        verify(system)
    })
}

fn random_step(
    system: &mut System<'_>,
    area: AreaId,
    rng: &mut Rng,
    ids: &mut Vec<ProcessId>,
    buffers: &mut Vec<Buffer>,
) -> Verdict {
    let mut mm = living(system)?;
    let any = |rng: &mut Rng| ids.get(rng.below(ids.len().max(1) as u32) as usize).copied();
    match rng.below(8) {
        0 | 1 if ids.len() < 16 => {
            let id = lines(mm.create(PROCESS_PAGES))?;
            lines((0..PROCESS_PAGES).try_for_each(|page| mm.populate(id, page)))?;
            ids.push(id);
        }
        2 if !ids.is_empty() => {
            let id = ids.swap_remove(rng.below(ids.len() as u32) as usize);
            lines(mm.destroy(id))?;
        }
        3 => {
            // Unmapped pages and further pins are refused; the check covers the refusals.
            if let Some(id) = any(rng) {
                let _ = mm.unmap(id, rng.below(PROCESS_PAGES));
                let _ = mm.pin(id, rng.below(PROCESS_PAGES), "selftest");
            }
        }
        4 => mm.unpin_all(),
        5 => {
            for _ in 0..20 {
                let page = rng.below(500);
                let good = lines(mm.cache_read(page))?;
                ensure(good, || format!("page {page} of the cache"))?;
                lines(mm.cache_write(rng.below(500)))?;
            }
        }
        6 if !buffers.is_empty() => {
            let buffer = buffers.swap_remove(rng.below(buffers.len() as u32) as usize);
            lines(system.cma_release(buffer))?;
        }
        _ => {
            let pages = 1 + rng.below(system.area(area).pages().min(600));
            // A full or busy area may refuse.
            if let Ok(buffer) = system.cma_alloc(area, pages, 0) {
                living(system)?.buffer_words(&buffer, |words| words.fill(0xdead_beef));
                buffers.push(buffer);
            }
        }
    }
    Ok(())
}
