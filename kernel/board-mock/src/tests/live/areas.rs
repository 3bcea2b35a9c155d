// SPDX-License-Identifier: MIT OR Apache-2.0

//! Access to an area while a contiguous allocation runs in it, and the trace of such an allocation.

use core::cell::Cell;
use std::rc::Rc;
use units::linux::LinuxVersion;

use super::{START, open, process, verify, with_system};
use cma::Buffer;
use migration::contig_range::Phase;
use migration::live::Mm;
use migration::live::mock::MockSpace;
use migration::trace::Event;
use page_alloc::policy::{CmaUse, Lend};
use page_alloc::zone::{Zone, descriptors};
use page_alloc::{PAGEBLOCK_PAGES, Page, RelocatableBuffer};
use system::System;
use units::Pfn;

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn while_an_allocation_runs_only_its_own_area_is_closed() {
    let mut pages = vec![Page::default(); descriptors(12 * PAGEBLOCK_PAGES)];
    let mut zone = Zone::new(START, &mut pages);
    zone.free_range(START, 4 * PAGEBLOCK_PAGES);
    let mut system = System::new(zone, Vec::new());
    system.set_address_space(Box::new(MockSpace::default()));
    let base = move |number: u32| START.add(4 * PAGEBLOCK_PAGES * (number + 1));
    let areas = [0, 1].map(|number| system.activate_area("area".into(), base(number), 4 * PAGEBLOCK_PAGES, false));
    let mut mm = system.open_live(CmaUse::First, Lend::Movable).unwrap();
    // Both areas contain pages in use, and both have room.
    let ids: Vec<_> = (0..20).map(|_| process(&mut mm, 256)).collect();
    let of = move |frame: Pfn| {
        let inside = |&number: &usize| frame.0.wrapping_sub(base(number as u32).0) < 4 * PAGEBLOCK_PAGES;
        [0, 1].into_iter().find(inside)
    };
    let home = of(mm.frame_of(ids[0], 0).unwrap()).unwrap();
    // Pages that are freed in the area being barred must not be handed out from the per-CPU lists
    // either.
    let (gone, fresh) = (Rc::new(Cell::new(1)), Rc::new(Cell::new([0; 3])));
    let counts = Rc::clone(&fresh);
    mm.live.meanwhile = Some(Box::new(move |mm: &mut Mm<'_, '_>, phase| {
        if matches!(phase, Phase::Isolate | Phase::Drain | Phase::Migrate) && gone.get() < 9 {
            mm.destroy(ids[gone.replace(gone.get() + 1)]).unwrap();
            let id = process(mm, 30);
            for page in 0..30 {
                let frame = mm.frame_of(id, page).unwrap();
                let mut now = counts.get();
                now[of(frame).unwrap_or(2)] += 1;
                counts.set(now);
            }
            mm.zone.check().unwrap();
        }
    }));
    let buffer = system.cma_alloc(areas[home], 300, 0).unwrap();
    system.mm().unwrap().live.meanwhile = None;
    let fresh = fresh.get();
    assert!(fresh[home] == 0 && fresh[1 - home] > 100, "{fresh:?}, at home in {home}");
    assert!(!system.zone().is_cma_barred());
    verify(&mut system);
    system.cma_release(buffer).unwrap();
    system.close_live();
    system.check().unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_request_may_take_the_page_above_the_mark() {
    with_system(1, 1, |system, _| {
        let zone = system.zone_mut();
        let free = zone.nr_free_pages();
        assert!(zone.watermark_ok(free - 1, true) && !zone.watermark_ok(free, true));
        let own = free - zone.nr_free_cma();
        assert!(zone.watermark_ok(own - 1, false) && !zone.watermark_ok(own, false));
    });
}

/// The events of an allocation, without its start and its finish.
fn events(system: &System<'_>) -> Vec<Event> {
    let inner = |event: &Event| !matches!(event, Event::AllocStart { .. } | Event::AllocFinish { .. });
    system.trace().events().map(|&(_, event)| event).filter(inner).collect()
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn each_candidate_that_fails_is_traced_as_linux_traces_it() {
    with_system(2, 1, |system, area| {
        let mut mm = open(system);
        let id = process(&mut mm, 64);
        let pin = mm.pin(id, 2, "camera0").unwrap();
        let base = pin.frame.0 - 2;
        mm.zone.set_cma_use(CmaUse::Half);
        system.answer_like(LinuxVersion::V6_12);
        system.trace_mut().enable(true);
        let (result, report) = system.cma_alloc_reported(area, 4, 0);
        let buffer = result.unwrap();
        assert_eq!((buffer.first(), report.migrated), (Pfn(base + 3), 4));
        let (at, mut expected) = (area.0, Vec::new());
        for start in [base, base + 1, base + 2].map(Pfn) {
            let end = start.add(4);
            expected.push(Event::MigrateRange { start, end, migrated: 0, reclaimed: 0, mapped: 0 });
            expected.push(Event::TestIsolated { start, end, fin: pin.frame, success: false });
            expected.push(Event::BusyRetry { area: at, first: start, count: 4, align: 0 });
        }
        let (start, end) = (Pfn(base + 3), Pfn(base + 7));
        expected.push(Event::MigrateRange { start, end, migrated: 4, reclaimed: 0, mapped: 4 });
        expected.push(Event::TestIsolated { start, end, fin: end, success: true });
        assert_eq!(events(system), expected);
        system.cma_release(buffer).unwrap();
        // A pin that comes later is found by migration, and by the test after it.
        system.trace_mut().clear();
        let mut mm = system.mm().unwrap();
        mm.unpin_all();
        mm.live.meanwhile = Some(Box::new(move |mm: &mut Mm<'_, '_>, phase| {
            if phase == Phase::Drain && mm.pins().is_empty() {
                mm.pin(id, 9, "late").unwrap();
            }
        }));
        assert!(system.cma_alloc(area, 1024, 0).is_err());
        system.mm().unwrap().live.meanwhile = None;
        let traced = events(system);
        let [Event::MigrateRange { .. }, Event::TestIsolated { fin, success, .. }, Event::BusyRetry { .. }] =
            traced[..]
        else {
            panic!("{traced:?}")
        };
        assert!(!success && fin.0 <= base + 9, "{traced:?}");
        // If there is no page to move to, Linux does not reach the test.
        system.trace_mut().clear();
        let mut mm = system.mm().unwrap();
        mm.unpin_all();
        mm.live.faults.targets_left = Some(3);
        assert!(system.cma_alloc(area, 1024, 0).is_err());
        assert!(matches!(events(system)[..], [Event::MigrateRange { .. }]));
    });
}

/// The emptied range ends in the middle of a pageblock, where free pages follow a relocatable
/// buffer: they are isolated, and made CMA afterwards, like all others.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn free_pages_behind_a_lent_buffer_are_isolated_too() {
    for align_order in 0..=8 {
        with_system(2, 1, |system, area| {
            let base = system.area(area).base();
            let relocatable = system.cma_alloc(area, 3, 8).unwrap();
            let relocatable = RelocatableBuffer { tag: 7, pages: relocatable.pages(), align_order, owner: 0 };
            system.zone_mut().set_relocatable(base, relocatable);
            let mut mm = open(system);
            let ids = [process(&mut mm, 509), process(&mut mm, 40)];
            mm.destroy(ids[0]).unwrap();
            mm.set_policy(CmaUse::Half, Lend::Movable);
            let (buffer, report) = system.cma_alloc_reported(area, 512, 9);
            assert_eq!((report.ranges, report.migrated), (1, 40), "the second half was lived in");
            verify(system);
            assert_eq!(system.zone().relocatable(base), Some(relocatable));
            system.cma_release(buffer.unwrap()).unwrap();
            system.zone_mut().unhold(base);
            system.cma_release(Buffer::new(area, base, 3)).unwrap();
            verify(system);
        });
    }
}
