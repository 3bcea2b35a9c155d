// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reports of a contiguous allocation, step by step, and what reclaim does for it.

use core::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::{START, open, process, verify, with_system};
use cma::{AreaId, CmaError};
use migration::Undo;
use migration::contig_range::{AreaFrames, Blocked, ContigRange, ContigReport, Owner, Phase, Refused, Why};
use migration::live::mock;
use migration::live::processes::ProcessId;
use migration::live::{Mm, Sabotage};
use migration::trace::Event;
use page_alloc::lru::REFERENCED;
use page_alloc::policy::{CmaUse, Lend};
use page_alloc::{Migratetype, PAGEBLOCK_PAGES};
use system::System;
use units::Pfn;
use units::linux::LinuxVersion;

/// The only area of a system with four pageblocks of RAM.
const AREA: AreaFrames = AreaFrames { first: START.add(4 * PAGEBLOCK_PAGES), pages: PAGEBLOCK_PAGES };

/// A process of 64 pages in the area, all on their LRU lists, and nothing on a per-CPU list.
fn settled(mm: &mut Mm<'_, '_>) -> ProcessId {
    let id = process(mm, 64);
    mm.zone.set_cma_use(CmaUse::Half);
    mm.drain_lists();
    id
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_time_of_an_allocation_is_that_of_its_phases() {
    with_system(4, 1, |system, area| {
        settled(&mut open(system));
        let (buffer, report) = system.cma_alloc_reported(area, 1024, 0);
        let phases: u64 = Phase::ALL.iter().map(|&phase| report.ns(phase)).sum();
        assert!(phases > 0 && report.total_ns() == phases, "{report:?}");
        system.cma_release(buffer.unwrap()).unwrap();
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn given_up_at_any_step_everything_is_as_it_was() {
    let phases = [Phase::Isolate, Phase::Drain, Phase::Migrate, Phase::Test, Phase::Grab, Phase::Undo];
    let mut seen = Vec::new();
    for steps in 0.. {
        let ended = with_system(4, 1, |system, _| {
            let mut mm = open(system);
            settled(&mut mm);
            let mut own = mm.open_journal(AREA.pages).unwrap();
            mm.drain_lists();
            let before = mm.fingerprint();
            let mut report = ContigReport::default();
            let mut range = ContigRange::new(AREA, AREA.first, 64);
            let result = (0..steps).find_map(|_| range.step(&mut mm, &mut own, &mut report));
            if result.is_none() {
                let phase = range.phase();
                seen.push(phase);
                let result = range.give_up(&mut mm, &mut own, &mut report);
                let (frame, owner, why) = (AREA.first, Owner::Nobody, Why::StillInUse);
                let blocked = Blocked { frame, owner, why, phase };
                if phase == Phase::Undo {
                    assert_eq!(result, Ok(()), "it was taken already");
                    mm.zone.give_range(AREA.first, 64);
                } else {
                    assert_eq!(result, Err(Refused::Busy(blocked)));
                    assert_eq!(mm.fingerprint(), before, "{phase:?}");
                }
            } else {
                assert_eq!(result, Some(Ok(())));
                mm.zone.give_range(AREA.first, 64);
            }
            mm.close_journal(own);
            mm.check().unwrap();
            result.is_some()
        });
        if ended {
            break;
        }
    }
    seen.dedup();
    assert_eq!(seen, phases);
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_journal_of_its_own_has_room_for_every_page_of_the_range() {
    with_system(4, 1, |system, _| {
        let mut mm = open(system);
        process(&mut mm, 1000);
        mm.zone.set_cma_use(CmaUse::Half);
        let mut own = mm.open_journal(AREA.pages).unwrap();
        let mut report = ContigReport::default();
        let mut range = ContigRange::new(AREA, AREA.first, AREA.pages);
        let result = loop {
            if let Some(result) = range.step(&mut mm, &mut own, &mut report) {
                break result;
            }
        };
        assert_eq!((result, report.migrated), (Ok(()), 1000));
        mm.zone.give_range(AREA.first, AREA.pages);
        mm.close_journal(own);
        mm.check().unwrap();
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_no_journal_had_room_for_is_still_in_use() {
    with_system(6, 3, |system, _| {
        let mut mm = open(system);
        mm.create(1).unwrap();
        let id = process(&mut mm, 2500);
        mm.zone.set_cma_use(CmaUse::Half);
        let mut own = mm.open_journal(1).unwrap();
        mm.drain_lists();
        let before = mm.fingerprint();
        let first = START.add(6 * PAGEBLOCK_PAGES);
        let area = AreaFrames { first, pages: 3 * PAGEBLOCK_PAGES };
        let mut range = ContigRange::new(area, first, area.pages);
        let mut report = ContigReport::default();
        let result = core::iter::repeat_with(|| range.step(&mut mm, &mut own, &mut report)).find_map(|result| result);
        let Some(Err(Refused::Busy(blocked))) = result else { panic!("{result:?}") };
        assert_eq!((blocked.owner, blocked.why), (Owner::Process(id.0), Why::StillInUse));
        assert_eq!((blocked.phase, report.migrated), (Phase::Test, 2048));
        assert_eq!(mm.fingerprint(), before);
        mm.close_journal(own);
        mm.check().unwrap();
    });
}

/// Allocates a whole area with a page that is pinned after `Drain` and unpinned before the
/// `let_go`th try of a batch.
fn alloc_while_pinned(system: &mut System<'_>, area: AreaId, let_go: u32) -> (bool, ContigReport) {
    let id = settled(&mut open(system));
    let tried = Rc::new(Cell::new(0));
    system.mm().unwrap().live.meanwhile = Some(Box::new(move |mm: &mut Mm<'_, '_>, phase| match phase {
        Phase::Drain => drop(mm.pin(id, 40, "late").unwrap()),
        Phase::Reclaim => {
            tried.set(tried.get() + 1);
            if mm.pins().len() == 1 && tried.get() == let_go {
                mm.unpin_all();
            }
        }
        _ => {}
    }));
    let (result, report) = system.cma_alloc_reported(area, 1024, 0);
    let mut mm = system.mm().unwrap();
    mm.live.meanwhile = None;
    mm.unpin_all();
    let taken = match result {
        Ok(buffer) => {
            system.cma_release(buffer).unwrap();
            true
        }
        Err(CmaError::Busy(blocked)) => {
            assert_eq!((blocked.owner, blocked.why), (Owner::Pin("late"), Why::Pinned));
            false
        }
        Err(error) => panic!("{error}"),
    };
    verify(system);
    (taken, report)
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_pinned_page_is_tried_five_times() {
    // The second batch has the pinned page; the first is moved without it.
    for (let_go, taken) in [(6, true), (7, false)] {
        with_system(4, 1, |system, area| {
            let (was_taken, report) = alloc_while_pinned(system, area, let_go);
            assert_eq!(was_taken, taken, "let go before try {}: {report:?}", let_go - 1);
            assert_eq!((report.retried_batches, report.refused_pinned), (4, u32::from(!taken)));
            assert_eq!(report.migrated, 63 + u32::from(taken));
        });
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn only_a_pin_counts_as_one() {
    with_system(4, 1, |system, area| {
        let mut mm = open(system);
        let id = settled(&mut mm);
        let pin = mm.pin(id, 40, "camera0").unwrap();
        let (result, report) = system.cma_alloc_reported(area, 1024, 0);
        assert!(result.is_err());
        assert_eq!((report.refused_pinned, report.ranges), (1, 1));
        let mut mm = system.mm().unwrap();
        mm.unpin(pin).unwrap();
        mm.zone.set_cma_use(CmaUse::First);
        let block = mm.zone.alloc_pages(0, Migratetype::Movable).unwrap();
        let (result, report) = system.cma_alloc_reported(area, 1024, 0);
        assert!(result.is_err());
        assert_eq!((report.refused_pinned, report.ranges), (0, 1));
        system.zone_mut().free_pages(block);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn each_range_is_traced_with_what_was_done_in_it() {
    with_system(4, 1, |system, area| {
        let mut mm = open(system);
        let id = process(&mut mm, 12);
        (0..12).for_each(|page| assert_eq!(mm.cache_read(page), Ok(true)));
        mm.zone.set_cma_use(CmaUse::Half);
        mm.drain_lists();
        system.answer_like(LinuxVersion::V6_12);
        system.trace_mut().enable(true);
        system.mm().unwrap().live.meanwhile = Some(Box::new(move |mm: &mut Mm<'_, '_>, phase| {
            if phase == Phase::Drain && mm.pins().is_empty() {
                mm.pin(id, 5, "late").unwrap();
            }
        }));
        let (result, report) = system.cma_alloc_reported(area, 16, 3);
        system.mm().unwrap().live.meanwhile = None;
        let done: Vec<_> = system
            .trace()
            .events()
            .filter_map(|&(_, event)| match event {
                Event::MigrateRange { start, end, migrated, reclaimed, mapped } => {
                    Some((start.0 - AREA.first.0, end.0 - start.0, migrated, reclaimed, mapped))
                }
                _ => None,
            })
            .collect();
        // Twelve pages of a process, one of them pinned, and twelve of the cache. What was done in
        // the first range is undone.
        assert_eq!(done, [(0, 16, 11, 4, 11), (8, 16, 4, 12, 4)]);
        assert_eq!((report.migrated, report.dropped, report.ranges), (15, 16, 2));
        assert_eq!(system.mm().unwrap().live.stats.dropped, 16);
        system.mm().unwrap().unpin_all();
        system.cma_release(result.unwrap()).unwrap();
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn pages_to_move_to_are_taken_past_the_per_cpu_lists() {
    // RAM so large that a per-CPU list is refilled with more than one page at a time.
    with_system(16, 1, |system, area| {
        settled(&mut open(system));
        let buffer = system.cma_alloc(area, 1024, 0).unwrap();
        assert_eq!((system.zone().pcp_pages(), system.mm().unwrap().live.stats.migrated), (0, 64));
        system.cma_release(buffer).unwrap();
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn where_every_page_was_used_each_loses_its_second_chance() {
    with_system(2, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        (0..200).for_each(|page| assert_eq!(mm.cache_read(page), Ok(true)));
        assert_eq!((mm.direct_reclaim(32, Undo::No), mm.cached_pages()), (32, 168));
        assert_eq!(mm.live.stats.stolen_direct, 32);
        verify(system);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn active_pages_are_looked_at_until_the_lists_are_as_long() {
    with_system(2, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        for _ in 0..2 {
            (0..100).for_each(|page| assert_eq!(mm.cache_read(page), Ok(true)));
            mm.lru_add_drain();
        }
        assert_eq!(mm.zone.lru_pages(true, true), 100);
        assert_eq!(mm.direct_reclaim(1, Undo::No), 1);
        assert_eq!((mm.zone.lru_pages(true, false), mm.zone.lru_pages(true, true)), (49, 50));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn memory_is_freed_ahead_until_there_is_somewhere_to_move_to() {
    with_system(2, 1, |system, _| {
        let mut mm = system.open_live(CmaUse::Fallback, Lend::Movable).unwrap();
        let mut cached = 0;
        while mm.zone.watermark_ok(mm.zone.kept_watermarks().high, false) {
            assert_eq!(mm.cache_read(cached), Ok(true));
            cached += 1;
        }
        let outside = |mm: &Mm<'_, '_>| mm.zone.nr_free_pages() - mm.zone.nr_free_cma();
        let high = mm.zone.kept_watermarks().high;
        mm.drain_lists();
        let before = outside(&mm);
        let freed = mm.free_ahead(200, Undo::No);
        assert!(outside(&mm) > high + 200 && outside(&mm) <= high + 200 + 64, "{} free", outside(&mm));
        assert_eq!((freed, mm.live.stats.stolen_direct), (cached - mm.cached_pages(), u64::from(freed)));
        assert_eq!(freed, outside(&mm) - before + mm.zone.pcp_pages());
        assert_eq!(mm.free_ahead(200, Undo::No), 0, "there is room already");
        assert_eq!(mm.free_ahead(PAGEBLOCK_PAGES * 4, Undo::No), cached - freed, "as much as there is");
        verify(system);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn memory_is_lived_in_by_processes_and_by_the_cache() {
    with_system(2, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        assert!(mm.live.is_empty());
        let id = mm.create(1).unwrap();
        assert!(!mm.live.is_empty(), "a process without a page is one");
        mm.destroy(id).unwrap();
        assert!(mm.live.is_empty());
        (0..4).for_each(|page| assert_eq!(mm.cache_read(page), Ok(true)));
        assert!(!mm.live.is_empty());
        mock::cache_drop(&mut mm, 2).unwrap();
        assert_eq!((mm.cached_pages(), mm.live.is_empty()), (3, false));
        (0..4).for_each(|page| _ = mock::cache_drop(&mut mm, page));
        assert_eq!((mm.cached_pages(), mm.live.is_empty()), (0, true));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_page_that_is_written_again_holds_something_else() {
    with_system(2, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        // From the second write on the page has the same marks and the same place.
        let mut states: Vec<u64> = Vec::new();
        for _ in 0..5 {
            mm.cache_write(7).unwrap();
            states.push(mm.fingerprint());
        }
        let states: BTreeSet<u64> = states[1..].iter().copied().collect();
        assert_eq!((states.len(), mm.verify_contents()), (4, 0));
        assert_eq!((mm.sync(), mm.dirty_pages()), (1, 0));
        assert_eq!(mm.live.stats.written_back, 1);
        mock::cache_drop(&mut mm, 7).unwrap();
        assert_eq!(mm.cache_read(7), Ok(true), "the source has what was written last");
        let id = process(&mut mm, 1);
        let states: BTreeSet<u64> = (0..5).map(|_| mm.write(id, 0).map(|()| mm.fingerprint()).unwrap()).collect();
        assert_eq!(states.len(), 5);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_first_page_without_a_target_ends_it() {
    with_system(4, 1, |system, area| {
        let mut mm = open(system);
        settled(&mut mm);
        mm.live.faults.targets_left = Some(3);
        let Err(CmaError::NoMemory(blocked)) = system.cma_alloc(area, 1024, 0) else { panic!("no target is left") };
        assert_eq!((blocked.frame, blocked.why), (AREA.first.add(3), Why::NoTarget));
        let stats = system.mm().unwrap().live.stats;
        assert_eq!((stats.migrated, stats.migrate_failed, stats.migrated_while_lent), (3, 1, 0));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn each_mapping_of_a_shared_page_is_counted() {
    with_system(4, 1, |system, area| {
        let mut mm = open(system);
        let (id, other) = (process(&mut mm, 8), mm.create(8).unwrap());
        (0..3).for_each(|page| mm.share((id, 4), (other, page)).unwrap());
        mm.zone.set_cma_use(CmaUse::Half);
        system.answer_like(LinuxVersion::V6_12);
        system.trace_mut().enable(true);
        let buffer = system.cma_alloc(area, 1024, 0).unwrap();
        let mapped = system.trace().events().find_map(|&(_, event)| match event {
            Event::MigrateRange { migrated, mapped, .. } => Some((migrated, mapped)),
            _ => None,
        });
        assert_eq!(mapped, Some((8, 7 + 4)));
        system.cma_release(buffer).unwrap();
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn fifteen_new_pages_wait_for_the_sixteenth() {
    with_system(2, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        let listed: Vec<u32> = (0..32)
            .map(|page| {
                assert_eq!(mm.cache_read(page), Ok(true));
                mm.zone.lru().inactive_file
            })
            .collect();
        assert!(listed.iter().zip(0..).all(|(&listed, page)| listed == page / 15 * 15), "{listed:?}");
        assert_eq!(mm.lru_add_drain(), 2);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn cache_pages_that_were_not_copied_are_found() {
    with_system(4, 1, |system, area| {
        let mut mm = open(system);
        (0..10).for_each(|page| mm.cache_write(page).unwrap());
        mm.zone.set_cma_use(CmaUse::Half);
        mm.live.faults.sabotage = Some(Sabotage::Copy);
        let buffer = system.cma_alloc(area, 1024, 0).unwrap();
        assert_eq!(system.mm().unwrap().verify_contents(), 10);
        system.cma_release(buffer).unwrap();
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn one_mark_of_one_page_is_another_fingerprint() {
    with_system(2, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        let id = process(&mut mm, 60);
        let mut states = BTreeSet::from([mm.fingerprint()]);
        for page in 0..60 {
            let index = mm.zone.frame(mm.frame_of(id, page).unwrap());
            mm.zone.mark(index, REFERENCED, true);
            states.insert(mm.fingerprint());
            mm.zone.mark(index, REFERENCED, false);
        }
        assert_eq!(states.len(), 61);
    });
}

#[test]
fn sabotage_has_the_words_of_its_parameter() {
    assert_eq!(Sabotage::ALL.map(Sabotage::name), ["copy", "tlb", "mapping"]);
}

#[test]
fn the_ring_of_events_keeps_the_latest() {
    use migration::trace::{TRACE_EVENTS, Trace};
    let mut trace = Trace::default();
    let event = |number: u32| Event::Release { area: 0, first: Pfn(number), count: 1 };
    trace.add(0, event(0));
    assert_eq!((trace.written(), trace.events().count()), (0, 0), "nobody wants them");
    trace.enable(true);
    for number in 0..2 * TRACE_EVENTS as u32 + 10 {
        trace.set_task((number % 7) as u8);
        trace.add(number.into(), event(number));
        let written = number as usize + 1;
        assert_eq!(trace.written(), written as u64);
        if number % 100 == 9 || written.abs_diff(TRACE_EVENTS) < 3 {
            let first = written.saturating_sub(TRACE_EVENTS) as u32;
            let kept: Vec<_> = trace.events().copied().collect();
            let expected: Vec<_> = (first..written as u32).map(|number| (number.into(), event(number))).collect();
            assert_eq!(kept, expected);
            assert!(trace.tasks().eq((first..written as u32).map(|number| (number % 7) as u8)));
        }
    }
    trace.clear();
    assert_eq!((trace.written(), trace.events().count(), trace.tasks().count()), (0, 0, 0));
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_driver_gets_the_words_of_each_page_of_its_buffer() {
    with_system(4, 1, |system, area| {
        open(system);
        let buffer = system.cma_alloc(area, 3, 0).unwrap();
        let mut mm = system.mm().unwrap();
        let mut page = 0;
        mm.buffer_words(&buffer, |words| {
            page += 1;
            words.fill(page);
        });
        let mut found = Vec::new();
        mm.buffer_words(&buffer, |words| found.push((words.len(), words[0], words[1023])));
        assert_eq!(found, [(1024, 1, 1), (1024, 2, 2), (1024, 3, 3)]);
        system.cma_release(buffer).unwrap();
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_cannot_be_opened_says_why() {
    with_system(4, 1, |system, _| {
        open(system);
        let open = system.open_live(CmaUse::Half, Lend::Movable).err().unwrap();
        assert_eq!(open.to_string(), "users of memory are open already");
    });
}
