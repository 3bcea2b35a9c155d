// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random uses of memory against the check, faults at every phase boundary, and sabotage that the
//! tests have to detect.

mod areas;
mod cache;
mod contig;
mod disk;
mod faults;
mod processes;
mod random;
mod requests;
mod supply;
mod writeback;

use core::cell::RefCell;

use cma::{AreaId, Buffer, CmaError};
use migration::Undo;
use migration::contig_range::{Owner, Phase, Why};
use migration::live::mock::{self, MockSpace};
use migration::live::processes::ProcessId;
use migration::live::space::OwnedFrame;
use migration::live::{LiveError, Mm, Sabotage};
use page_alloc::lru::{DIRTY, PINNED, Place};
use page_alloc::policy::{CmaUse, Lend};
use page_alloc::zone::{Zone, descriptors};
use page_alloc::{Frame, Migratetype, PAGEBLOCK_PAGES, Page};
use system::System;
use units::Pfn;

const START: Pfn = Pfn(0x60000);

/// Makes a system of `ram` pageblocks of RAM, followed by an area of `cma` pageblocks.
fn with_system<R>(ram: u32, cma: u32, test: impl FnOnce(&mut System<'_>, AreaId) -> R) -> R {
    let mut pages = vec![Page::default(); descriptors((ram + cma) * PAGEBLOCK_PAGES)];
    let mut zone = Zone::new(START, &mut pages);
    zone.free_range(START, ram * PAGEBLOCK_PAGES);
    let mut system = System::new(zone, Vec::new());
    system.set_address_space(Box::new(MockSpace::default()));
    let area = system.activate_area("area".into(), START.add(ram * PAGEBLOCK_PAGES), cma * PAGEBLOCK_PAGES, true);
    let before = blocks(&system);
    let result = test(&mut system, area);
    system.close_live();
    system.release_all(area);
    system.check().unwrap();
    assert_eq!(system.area(area).used_pages(), 0);
    assert_eq!(blocks(&system), before, "everything is given back");
    result
}

/// Free blocks by order, of all types together.
fn blocks(system: &System<'_>) -> Vec<u32> {
    (0..=10).map(|order| Migratetype::ALL.iter().map(|&mt| system.zone().free_blocks(order, mt)).sum()).collect()
}

/// Opens with CMA pages handed out first, so that the next pages in use are in the area.
fn open<'s, 'm>(system: &'s mut System<'m>) -> Mm<'s, 'm> {
    let mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
    mm.zone.set_cma_use(CmaUse::First);
    mm
}

/// Makes a process with all its pages populated.
fn process(mm: &mut Mm<'_, '_>, pages: u32) -> ProcessId {
    let id = mm.create(pages).unwrap();
    (0..pages).for_each(|page| mm.populate(id, page).unwrap());
    id
}

fn verify(system: &mut System<'_>) {
    system.check().unwrap();
    assert!(system.zone().nr_free_cma() <= system.zone().cma_pages());
    if let Some(mut mm) = system.mm() {
        assert_eq!(mm.verify_contents(), 0, "every page holds what was written last");
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn pages_move_out_of_the_way_and_keep_their_contents() {
    with_system(4, 1, |system, area| {
        let mut mm = open(system);
        let id = process(&mut mm, 300);
        let base = mm.frame_of(id, 0).unwrap();
        assert!(base.0 >= START.0 + 4096, "CMA pages come first");
        mm.zone.set_cma_use(CmaUse::Half);
        let (buffer, report) = system.cma_alloc_reported(area, 1024, 0);
        let buffer = buffer.unwrap();
        assert_eq!((report.migrated, report.dropped, report.ranges), (300, 0, 1));
        assert!(report.ns(Phase::Migrate) > 0 && report.ns(Phase::Isolate) > 0);
        verify(system);
        let mut mm = system.mm().unwrap();
        for page in 0..300 {
            assert!(mm.frame_of(id, page).unwrap().0 < START.0 + 4096);
            assert_eq!(mm.read(id, page), Ok(true));
        }
        mm.write(id, 7).unwrap();
        assert_eq!((mm.read(id, 7), mm.live.stats.migrated), (Ok(true), 300));
        system.cma_release(buffer).unwrap();
        verify(system);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn all_mappings_of_a_shared_page_follow_it() {
    with_system(4, 1, |system, area| {
        let mut mm = open(system);
        let (first, second) = (process(&mut mm, 4), mm.create(9).unwrap());
        for page in 0..3 {
            mm.share((first, 2), (second, page)).unwrap();
        }
        mm.zone.set_cma_use(CmaUse::Half);
        assert_eq!(mm.share((first, 2), (second, 1)), Err(LiveError::Occupied));
        let buffer = system.cma_alloc(area, 1024, 0).unwrap();
        verify(system);
        let mut mm = system.mm().unwrap();
        mm.write(second, 1).unwrap();
        assert_eq!(mm.read(first, 2), Ok(true), "they still share it");
        assert_eq!(mm.frame_of(first, 2), mm.frame_of(second, 0));
        mm.unmap(first, 2).unwrap();
        assert_eq!((mm.read(second, 2), mm.read(first, 2)), (Ok(true), Err(LiveError::NotThere)));
        system.cma_release(buffer).unwrap();
        verify(system);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn clean_pages_are_dropped_and_dirty_ones_moved() {
    with_system(4, 1, |system, area| {
        let mut mm = open(system);
        for page in 0..100 {
            assert_eq!(mm.cache_read(page), Ok(true));
        }
        (0..10).for_each(|page| mm.cache_write(page).unwrap());
        mm.zone.set_cma_use(CmaUse::Half);
        let (buffer, report) = system.cma_alloc_reported(area, 1024, 0);
        assert_eq!((report.migrated, report.dropped), (10, 90));
        verify(system);
        let mut mm = system.mm().unwrap();
        assert_eq!((mm.cached_pages(), mm.dirty_pages()), (10, 10));
        assert!((0..100).all(|page| mm.cache_read(page) == Ok(true)), "the source makes them again");
        assert_eq!(mm.sync(), 10);
        system.cma_release(buffer.unwrap()).unwrap();
        verify(system);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_pinned_page_is_named_and_nothing_moves() {
    with_system(4, 1, |system, area| {
        let mut mm = open(system);
        let id = process(&mut mm, 64);
        let pin = mm.pin(id, 40, "camera0").unwrap();
        let before = mm.fingerprint();
        let Err(CmaError::Busy(blocked)) = system.cma_alloc(area, 1024, 0) else { panic!("a pin is in the way") };
        assert_eq!((blocked.frame, blocked.owner, blocked.why), (pin.frame, Owner::Pin("camera0"), Why::Pinned));
        let mut mm = system.mm().unwrap();
        assert_eq!((mm.fingerprint(), mm.live.stats.migrated), (before, 0));
        // There is room after the pinned page.
        let buffer = system.cma_alloc(area, 128, 0).unwrap();
        assert!(buffer.first() > pin.frame);
        system.cma_release(buffer).unwrap();
        let mut mm = system.mm().unwrap();
        mm.destroy(id).unwrap();
        assert_eq!(mm.pins().len(), 1);
        verify(system);
        let mut mm = system.mm().unwrap();
        mm.unpin(pin).unwrap();
        assert_eq!(mm.unpin(pin), Err(LiveError::NotThere));
        let buffer = system.cma_alloc(area, 1024, 0).unwrap();
        system.cma_release(buffer).unwrap();
        verify(system);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_kernel_allocation_in_the_way_is_named() {
    with_system(2, 1, |system, area| {
        let mm = open(system);
        let block = mm.zone.alloc_pages(3, Migratetype::Movable).unwrap();
        let Err(CmaError::Busy(blocked)) = system.cma_alloc(area, 1024, 0) else { panic!("a page is in the way") };
        assert_eq!((blocked.frame, blocked.owner, blocked.why), (block.first(), Owner::Kernel, Why::Unmovable));
        system.zone_mut().free_pages(block);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn others_may_free_and_use_memory_at_every_boundary() {
    for at in Phase::ALL {
        with_system(4, 1, |system, area| {
            let mut mm = open(system);
            let victims: Vec<ProcessId> = (0..8).map(|_| process(&mut mm, 40)).collect();
            let keeper = process(&mut mm, 40);
            (0..200).for_each(|page| assert_eq!(mm.cache_read(page), Ok(true)));
            mm.zone.set_cma_use(CmaUse::Half);
            let base = START.add(4 * PAGEBLOCK_PAGES);
            let left = RefCell::new(victims);
            mm.live.meanwhile = Some(Box::new(move |mm: &mut Mm<'_, '_>, phase| {
                if phase != at {
                    return;
                }
                // A page that was moved, or will be, is freed; others are allocated, read, dropped
                // and written.
                if let Some(id) = left.borrow_mut().pop() {
                    mm.destroy(id).unwrap();
                }
                let fresh = process(mm, 3);
                let inside = |frame: Pfn| frame >= base && frame < base.add(1024);
                assert!((0..3).all(|page| !inside(mm.frame_of(fresh, page).unwrap())), "{phase:?}: isolated");
                mm.write(keeper, 5).unwrap();
                for page in 150..200 {
                    assert_eq!(mm.cache_read(page), Ok(true));
                    mm.cache_write(page).unwrap();
                }
                let _ = mock::cache_drop(mm, 199);
                assert_eq!(mm.verify_contents(), 0);
                mm.zone.check().unwrap();
            }));
            let (result, _) = system.cma_alloc_reported(area, 1024, 0);
            system.mm().unwrap().live.meanwhile = None;
            verify(system);
            system.cma_release(result.unwrap()).unwrap();
            verify(system);
        });
    }
}

/// Writes to a buffer, as its driver's device does.
fn fill(system: &mut System<'_>, buffer: &Buffer) {
    let mm = system.mm().unwrap();
    for page in 0..buffer.pages() {
        mm.live.space().frame_words(OwnedFrame::of_buffer(buffer, page)).fill(0xdead_beef);
    }
}

/// Fills an area, lets a driver take it and write to its buffer, and counts the pages whose content
/// was lost.
fn bad_pages_after(sabotage: Option<Sabotage>) -> u32 {
    with_system(4, 1, |system, area| {
        let mut mm = open(system);
        let id = process(&mut mm, 64);
        mm.zone.set_cma_use(CmaUse::Half);
        assert_eq!(mm.verify_contents(), 0);
        mm.live.faults.sabotage = sabotage;
        let buffer = system.cma_alloc(area, 1024, 0).unwrap();
        fill(system, &buffer);
        let mut mm = system.mm().unwrap();
        let bad = mm.verify_contents();
        mm.live.faults.sabotage = None;
        mm.destroy(id).unwrap();
        system.cma_release(buffer).unwrap();
        bad
    })
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_integrity_check_can_fail() {
    assert_eq!(bad_pages_after(None), 0);
    for sabotage in Sabotage::ALL {
        assert_eq!(bad_pages_after(Some(sabotage)), 64, "{sabotage:?}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn books_of_the_living_can_fail_to_balance() {
    type Spoil = fn(&mut Mm<'_, '_>, ProcessId, Frame);
    let wrong: [(&str, Spoil); 10] = [
        ("a slot shows a mapped page", |mm, id, _| mock::show(mm, id, 3, Pfn(0x60001))),
        ("the ring of slots leads to the page", |mm, _, index| mm.zone.set_owner(index, 9)),
        ("pinned pages", |mm, _, index| mm.zone.mark(index, PINNED, true)),
        ("pages taken off the lists between allocations", |mm, _, index| {
            mm.zone.lru_isolate(index);
        }),
        ("pages of the cache", |mm, _, _| mock::lose(mm, 5)),
        // The first process has slot 0, which every ring that was never written leads to.
        ("a process's pages", |mm, id, _| mock::show(mm, id, 20, mm.frame_of(id, 0).unwrap())),
        ("pages that say they are on a list", |mm, _, index| {
            mm.zone.lru_isolate(index);
            mm.zone.set_place(index, Place::Inactive);
        }),
        ("a page on a list belongs there", |mm, _, index| mm.zone.set_place(index, Place::Active)),
        ("pages on their way to the LRU", |mm, _, index| {
            mm.zone.lru_isolate(index);
            mm.zone.set_place(index, Place::Batch);
        }),
        ("dirty pages", |mm, _, _| {
            let frame = mm.cache_frame(7).unwrap();
            mm.zone.mark(mm.zone.frame(frame), DIRTY, true);
        }),
    ];
    for (what, spoil) in wrong {
        let mut pages = vec![Page::default(); descriptors(3 * PAGEBLOCK_PAGES)];
        let mut zone = Zone::new(START, &mut pages);
        zone.free_range(START, 3 * PAGEBLOCK_PAGES);
        let mut system = System::new(zone, Vec::new());
        system.set_address_space(Box::new(MockSpace::default()));
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        let id = mm.create(21).unwrap();
        (0..20).for_each(|page| mm.populate(id, page).unwrap());
        (0..20).for_each(|page| assert_eq!(mm.cache_read(page), Ok(true)));
        mm.lru_add_drain();
        mm.check().unwrap();
        let index = mm.zone.frame(mm.frame_of(id, 3).unwrap());
        spoil(&mut mm, id, index);
        assert_eq!(mm.check().unwrap_err().what, what);
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn when_memory_is_short_the_cache_goes_first_and_then_the_largest_process() {
    with_system(2, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        (0..500).for_each(|page| assert_eq!(mm.cache_read(page), Ok(true)));
        (0..50).for_each(|page| mm.cache_write(page).unwrap());
        let (small, large) = (process(&mut mm, 100), process(&mut mm, 300));
        let mut hungry = Vec::new();
        while mm.live.stats.oom_kills == 0 {
            let id = mm.create(16).unwrap();
            (0..16).for_each(|page| mm.populate(id, page).unwrap());
            hungry.push(id);
        }
        assert_eq!((mm.cached_pages(), mm.dirty_pages()), (0, 0));
        let stats = mm.live.stats;
        assert!(stats.stolen_background > 400 && stats.written_back == 50, "{stats:?}");
        assert!(mm.process(small).is_some() && mm.process(large).is_none());
        assert_eq!(stats.cma_free_at_first_kill, Some(0));
        verify(system);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn used_pages_get_a_second_chance() {
    with_system(2, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        (0..200).for_each(|page| assert_eq!(mm.cache_read(page), Ok(true)));
        mm.lru_add_drain();
        // Pages that are read again become active, and stay while the others are dropped.
        (50..60).for_each(|page| assert_eq!(mm.cache_read(page), Ok(true)));
        let lru = mm.zone.lru();
        assert_eq!((lru.inactive_file, lru.active_file), (190, 10));
        while mm.direct_reclaim(32, Undo::No) > 0 && mm.cached_pages() > 20 {}
        assert!((50..60).all(|page| mm.cache_frame(page).is_some()), "{} left", mm.cached_pages());
        verify(system);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_process_that_is_killed_for_its_own_page_says_so() {
    with_system(1, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        let id = mm.create(1000).unwrap();
        let error = (0..1000).find_map(|page| mm.populate(id, page).err());
        assert_eq!(error, Some(LiveError::Killed));
        assert!(mm.process(id).is_none());
        verify(system);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn only_clean_pages_enter_the_areas_where_only_they_may() {
    with_system(4, 2, |system, area| {
        let mut mm = system.open_live(CmaUse::First, Lend::Clean).unwrap();
        let id = process(&mut mm, 100);
        let inside = |frame: Pfn| frame >= START.add(4 * PAGEBLOCK_PAGES);
        assert!((0..100).all(|page| !inside(mm.frame_of(id, page).unwrap())));
        (0..100).for_each(|page| mm.cache_write(page).unwrap());
        assert!((0..100).all(|page| inside(mm.cache_frame(page).unwrap())));
        assert_eq!(mm.dirty_pages(), 0, "written through");
        let (buffer, report) = system.cma_alloc_reported(area, 2048, 0);
        assert_eq!((report.migrated, report.dropped), (0, 100));
        system.cma_release(buffer.unwrap()).unwrap();
        let mut mm = system.mm().unwrap();
        mm.set_policy(CmaUse::First, Lend::None);
        (200..300).for_each(|page| mm.cache_write(page).unwrap());
        assert!((200..300).all(|page| !inside(mm.cache_frame(page).unwrap())));
        verify(system);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn requests_that_may_not_use_cma_do_not_count_it() {
    with_system(1, 4, |system, _| {
        let mut mm = system.open_live(CmaUse::Fallback, Lend::Movable).unwrap();
        let id = mm.create(4000).unwrap();
        let mut kernel = 0;
        while mm.add_kernel_page(id).is_ok() {
            kernel += 1;
        }
        assert!(mm.zone.nr_free_cma() == 4096 && kernel < 1024, "{kernel}");
        verify(system);
    });
}
