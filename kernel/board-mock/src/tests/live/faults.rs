// SPDX-License-Identifier: MIT OR Apache-2.0

//! Faults at every boundary between phases: after a failed allocation the state is, field by field,
//! the one before it, or the one that the other actors' operations alone would have led to.

use core::cell::Cell;
use std::rc::Rc;

use super::{open, process, verify, with_system};
use cma::{AreaId, Buffer, CmaError};
use migration::contig_range::{ContigReport, Phase, Why};
use migration::live::mock;
use migration::live::processes::ProcessId;
use migration::live::{Faults, Mm};
use page_alloc::lru::Place;
use page_alloc::policy::{CmaUse, Lend};
use system::System;

/// The fault to inject.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// From this boundary on, there are only this many pages to move to.
    NoTarget(u32),
    /// The last page that has to move is pinned.
    Pin,
    /// Clean pages are not dropped, dirty ones are not written back, and targets run out.
    ReclaimGivesUp,
    /// A process whose pages may have moved already ends, and a pin then blocks the allocation.
    TargetFreed,
}

const FAULTS: [Fault; 5] =
    [Fault::NoTarget(0), Fault::NoTarget(7), Fault::Pin, Fault::ReclaimGivesUp, Fault::TargetFreed];

/// Boundaries before phases at which the range contains pages in use, and those after.
const BEFORE_THE_TEST: [Phase; 4] = [Phase::Isolate, Phase::Drain, Phase::Reclaim, Phase::Migrate];
const FROM_THE_TEST_ON: [Phase; 3] = [Phase::Test, Phase::Grab, Phase::Undo];

/// The processes with pages in the area.
#[derive(Clone, Copy)]
struct Scene {
    /// Has pages at its start.
    early: ProcessId,
    /// Has pages at its end.
    late: ProcessId,
}

const LATE_PAGES: u32 = 200;

/// Makes mapped, shared, clean, dirty, active and referenced pages, all on their lists.
fn move_in(mm: &mut Mm<'_, '_>) -> Scene {
    let early = process(mm, 40);
    for page in 0..150 {
        assert_eq!(mm.cache_read(page), Ok(true));
    }
    let late = process(mm, LATE_PAGES);
    let other = mm.create(3).unwrap();
    (0..3).for_each(|page| mm.share((late, 100), (other, page)).unwrap());
    (0..20).for_each(|page| mm.cache_write(page).unwrap());
    mm.drain_lists();
    for page in 140..150 {
        assert_eq!(mm.cache_read(page), Ok(true));
    }
    (0..LATE_PAGES).step_by(3).for_each(|page| assert_eq!(mm.read(late, page), Ok(true)));
    mm.zone.set_cma_use(CmaUse::Half);
    mm.drain_lists();
    Scene { early, late }
}

impl Fault {
    fn strike(self, mm: &mut Mm<'_, '_>, scene: Scene) {
        match self {
            Self::NoTarget(left) => mm.live.faults.targets_left = Some(left),
            Self::ReclaimGivesUp => {
                mm.live.faults = Faults {
                    targets_left: Some(12),
                    keep_clean_pages: true,
                    refuse_write_back: true,
                    ..Faults::default()
                };
            }
            Self::Pin => drop(mm.pin(scene.late, LATE_PAGES - 1, "late")),
            Self::TargetFreed => {
                mm.destroy(scene.early).unwrap();
                Self::Pin.strike(mm, scene);
            }
        }
    }
}

/// Allocates a whole area with faults injected at the n-th pass of a boundary, and then removes all
/// faults and pins.
fn alloc_with(
    system: &mut System<'_>,
    area: AreaId,
    scene: Scene,
    faults: &[(Fault, Phase, u32)],
) -> (Result<Buffer, CmaError>, ContigReport) {
    let faults = faults.to_vec();
    let passed = Rc::new(Cell::new([0_u32; Phase::ALL.len()]));
    system.mm().unwrap().live.meanwhile = Some(Box::new(move |mm: &mut Mm<'_, '_>, phase| {
        let mut counts = passed.get();
        counts[phase as usize] += 1;
        passed.set(counts);
        for &(fault, at, nth) in &faults {
            if at == phase && nth == counts[phase as usize] {
                fault.strike(mm, scene);
            }
        }
    }));
    let pages = system.area(area).pages();
    let result = system.cma_alloc_reported(area, pages, 0);
    let mut mm = system.mm().unwrap();
    mm.live.meanwhile = None;
    mm.live.faults = Faults::default();
    mm.unpin_all();
    result
}

/// The state if there is no allocation, and the other actors do the same.
fn expected(fault: Fault) -> u64 {
    with_system(4, 1, |system, _| {
        let mut mm = open(system);
        let scene = move_in(&mut mm);
        if fault == Fault::TargetFreed {
            mm.destroy(scene.early).unwrap();
            mm.drain_lists();
        }
        mm.fingerprint()
    })
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_failed_allocation_leaves_everything_as_it_was() {
    for fault in FAULTS {
        let expected = expected(fault);
        for (at, nth) in BEFORE_THE_TEST.into_iter().flat_map(|at| [(at, 1), (at, 3)]) {
            if nth > 1 && matches!(at, Phase::Isolate | Phase::Drain) {
                continue;
            }
            with_system(4, 1, |system, area| {
                let scene = move_in(&mut open(system));
                let (result, report) = alloc_with(system, area, scene, &[(fault, at, nth)]);
                let what = format!("{fault:?} at {at:?}, the {nth}. time");
                let (blocked, why) = match result {
                    Err(CmaError::NoMemory(blocked)) => (blocked, Why::NoTarget),
                    Err(CmaError::Busy(blocked)) => (blocked, Why::Pinned),
                    other => panic!("{what}: {other:?}"),
                };
                assert_eq!((blocked.phase, blocked.why), (Phase::Migrate, why), "{what}");
                assert_eq!(why == Why::Pinned, matches!(fault, Fault::Pin | Fault::TargetFreed), "{what}");
                if nth > 1 {
                    assert!(report.migrated + report.dropped > 40, "{what}: {report:?}");
                }
                let mut mm = system.mm().unwrap();
                if fault == Fault::TargetFreed {
                    mm.drain_lists();
                }
                assert_eq!(mm.fingerprint(), expected, "{what}");
                verify(system);
                let buffer = system.cma_alloc(area, 1024, 0).expect("and without the fault it goes");
                system.cma_release(buffer).unwrap();
                verify(system);
            });
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_fault_that_comes_too_late_is_none() {
    for (fault, at) in FAULTS.into_iter().flat_map(|fault| FROM_THE_TEST_ON.map(|at| (fault, at))) {
        with_system(4, 1, |system, area| {
            let scene = move_in(&mut open(system));
            let (result, _) = alloc_with(system, area, scene, &[(fault, at, 1)]);
            let buffer = result.unwrap_or_else(|error| panic!("{fault:?} at {at:?}: {error}"));
            verify(system);
            system.cma_release(buffer).unwrap();
            verify(system);
        });
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_happens_after_a_failure_happens_to_what_was_there_before() {
    let expected = expected(Fault::TargetFreed);
    with_system(4, 1, |system, area| {
        let scene = move_in(&mut open(system));
        let faults = [(Fault::Pin, Phase::Reclaim, 2), (Fault::TargetFreed, Phase::Undo, 1)];
        let (result, _) = alloc_with(system, area, scene, &faults);
        assert!(matches!(result, Err(CmaError::Busy(_))));
        let mut mm = system.mm().unwrap();
        mm.drain_lists();
        assert_eq!(mm.fingerprint(), expected);
        verify(system);
    });
}

/// Fills memory around the area, so that only the cache can free a page to move to.
fn fill_up(mm: &mut Mm<'_, '_>, dirty: bool) -> Scene {
    let scene = move_in(mm);
    mm.zone.set_cma_use(CmaUse::Fallback);
    process(mm, 1500);
    let mut page = 200;
    while mm.zone.watermark_ok(mm.zone.watermarks().high + 16, true) {
        if dirty {
            mm.cache_write(page).unwrap();
        } else {
            assert_eq!(mm.cache_read(page), Ok(true));
        }
        page += 1;
    }
    // Some pages have a second chance, some are in use.
    mm.drain_lists();
    (200..300).for_each(|page| assert_eq!(mm.cache_read(page), Ok(true)));
    for used in (400..page).step_by(7) {
        assert_eq!(mm.cache_read(used), Ok(true));
    }
    mm.drain_lists();
    scene
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_was_reclaimed_for_a_failed_allocation_comes_back() {
    for policy in [CmaUse::Fallback, CmaUse::First] {
        for fault in [Fault::Pin, Fault::NoTarget(220)] {
            with_system(4, 1, |system, area| {
                let mut mm = open(system);
                let scene = fill_up(&mut mm, false);
                mm.sync();
                mm.zone.set_cma_use(policy);
                let (before, cached) = (mm.fingerprint(), mm.cached_pages());
                let (result, report) = alloc_with(system, area, scene, &[(fault, Phase::Isolate, 1)]);
                assert!(result.is_err(), "{policy:?} {fault:?}");
                let mut mm = system.mm().unwrap();
                let reclaimed = mm.live.stats.stolen_direct;
                assert!(reclaimed >= 64 && report.migrated > 100, "{policy:?} {fault:?}: {reclaimed}, {report:?}");
                assert_eq!(report.freed_ahead > 0, policy == CmaUse::First);
                assert_eq!((mm.cached_pages(), mm.fingerprint()), (cached, before), "{policy:?} {fault:?}");
                verify(system);
            });
        }
    }
}

/// Pages that reclaim has scanned are dropped and read in again in the same frames: they wait to
/// enter their list, and undo does not put them back where they were.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_others_have_read_in_again_is_not_put_back() {
    with_system(4, 1, |system, area| {
        let mut mm = open(system);
        let scene = fill_up(&mut mm, false);
        mm.zone.set_cma_use(CmaUse::First);
        let again = Rc::new(Cell::new(0));
        let counter = Rc::clone(&again);
        mm.live.meanwhile = Some(Box::new(move |mm: &mut Mm<'_, '_>, phase| match phase {
            Phase::Drain => Fault::Pin.strike(mm, scene),
            // Few enough to stay in the batch.
            Phase::Test => {
                let pages = (400..mm.cache_capacity()).filter(|&page| {
                    let index = mm.cache_frame(page).map(|frame| mm.zone.frame(frame));
                    index.is_some_and(|index| mm.zone.is_at(index, Place::Inactive))
                });
                for page in pages.take(8).collect::<Vec<_>>() {
                    let frame = mm.cache_frame(page);
                    mock::cache_drop(mm, page).unwrap();
                    mm.zone.drain_all_pages();
                    assert_eq!(mm.cache_read(page), Ok(true));
                    counter.set(counter.get() + u32::from(mm.cache_frame(page) == frame));
                }
            }
            _ => {}
        }));
        let (result, report) = system.cma_alloc_reported(area, 1024, 0);
        assert!(result.is_err() && report.freed_ahead > 0);
        assert!(again.get() > 4, "{} in the frame that they had", again.get());
        let mut mm = system.mm().unwrap();
        mm.live.meanwhile = None;
        mm.unpin_all();
        verify(system);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn dirty_pages_that_were_reclaimed_come_back_clean() {
    with_system(4, 1, |system, area| {
        let mut mm = open(system);
        let scene = fill_up(&mut mm, true);
        let (before, dirty, synced) = (mm.cached_pages(), mm.dirty_pages(), mm.live.stats.written_back);
        let (result, _) = alloc_with(system, area, scene, &[(Fault::Pin, Phase::Isolate, 1)]);
        assert!(matches!(result, Err(CmaError::Busy(_))));
        let mm = system.mm().unwrap();
        assert_eq!(u64::from(dirty - mm.dirty_pages()), mm.live.stats.written_back - synced, "the source has them");
        assert!(mm.cached_pages() == before && mm.dirty_pages() < dirty);
        verify(system);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_pin_that_is_there_from_the_start_costs_nothing_but_a_look() {
    for policy in CmaUse::ALL {
        with_system(4, 1, |system, area| {
            let mut mm = open(system);
            let scene = fill_up(&mut mm, false);
            mm.set_policy(policy, Lend::Movable);
            mm.pin(scene.late, 0, "camera0").unwrap();
            // Pages are on the per-CPU lists and in the batch, and stay there.
            assert_eq!(mm.cache_read(4900), Ok(true));
            let before = mm.fingerprint();
            assert!(matches!(system.cma_alloc(area, 1024, 0), Err(CmaError::Busy(_))));
            let mut mm = system.mm().unwrap();
            assert_eq!((mm.fingerprint(), mm.live.stats.migrated), (before, 0), "{policy:?}");
            mm.unpin_all();
            verify(system);
        });
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_failure_takes_back_nothing_of_the_allocation_before() {
    with_system(4, 1, |system, area| {
        let mut mm = open(system);
        let early = process(&mut mm, 64);
        (0..64).for_each(|page| assert_eq!(mm.cache_read(page), Ok(true)));
        let frames = |mm: &Mm<'_, '_>, id| (0..64).map(|page| mm.frame_of(id, page).unwrap()).collect::<Vec<_>>();
        for _ in 0..2 {
            let buffer = system.cma_alloc(area, 1024, 0).unwrap();
            system.cma_release(buffer).unwrap();
            verify(system);
        }
        let mut mm = system.mm().unwrap();
        let moved = frames(&mm, early);
        mm.zone.set_cma_use(CmaUse::First);
        let late = process(&mut mm, 64);
        let there = frames(&mm, late);
        mm.live.meanwhile = Some(Box::new(move |mm: &mut Mm<'_, '_>, phase| {
            if phase == Phase::Drain {
                mm.pin(late, 7, "camera0").unwrap();
            }
        }));
        assert!(system.cma_alloc(area, 1024, 0).is_err());
        let mm = system.mm().unwrap();
        assert_eq!((frames(&mm, early), frames(&mm, late), mm.cached_pages()), (moved, there, 0));
        verify(system);
    });
}
