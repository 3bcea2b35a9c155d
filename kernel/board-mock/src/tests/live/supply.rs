// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where a page comes from if none above the watermark is free: what a request reclaims, drains,
//! waits for and kills, and which targets a migration may take.

use super::disk::with_disk;
use super::{open, process, verify, with_system};
use cma::CmaError;
use migration::contig_range::{AreaFrames, ContigReport, Phase, Refused, Why};
use migration::live::{LiveError, Mm};
use page_alloc::policy::{CmaUse, Lend};
use page_alloc::{Block, Migratetype, PAGEBLOCK_PAGES};

/// Allocates the free pages outside the areas, past all reclaim, until `lack` of them are missing
/// below the min watermark.
pub(super) fn exhaust(mm: &mut Mm<'_, '_>, lack: u32) -> Vec<Block> {
    mm.drain_lists();
    let mark = mm.zone.kept_watermarks().min - lack;
    let mut blocks = Vec::new();
    while mm.zone.watermark_ok(mark, false) {
        blocks.push(mm.zone.alloc_pages(0, Migratetype::Unmovable).unwrap());
    }
    blocks
}

pub(super) fn give_back(mm: &mut Mm<'_, '_>, blocks: Vec<Block>) {
    blocks.into_iter().for_each(|block| mm.zone.free_pages(block));
}

/// A page of a kind is the only one in its pageblock, and memory outside the area is full: returns
/// if the page can move within the area, where only clean pages may be.
fn moves_within_the_area(put: fn(&mut Mm<'_, '_>) -> units::Pfn) -> bool {
    with_system(2, 2, |system, area| {
        let area = AreaFrames { first: system.area(area).base(), pages: system.area(area).pages() };
        let mut mm = open(system);
        let frame = put(&mut mm);
        assert!(frame >= area.first);
        let blocks = exhaust(&mut mm, 0);
        mm.set_policy(CmaUse::First, Lend::Clean);
        mm.live.faults.keep_clean_pages = true;
        mm.live.faults.refuse_write_back = true;
        let first = area.first.add((frame.0 - area.first.0) / PAGEBLOCK_PAGES * PAGEBLOCK_PAGES);
        mm.zone.set_cma_use(CmaUse::Half);
        let result = mm.alloc_contig_range(area, first, PAGEBLOCK_PAGES, &mut ContigReport::default());
        match result {
            Ok(()) => mm.zone.give_range(first, PAGEBLOCK_PAGES),
            Err(Refused::NoMemory(blocked)) => assert_eq!((blocked.frame, blocked.why), (frame, Why::NoTarget)),
            Err(refused) => panic!("{refused:?}"),
        }
        mm.live.faults = migration::live::Faults::default();
        give_back(&mut mm, blocks);
        verify(system);
        result.is_ok()
    })
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn only_a_clean_page_moves_within_an_area_where_only_they_may_be() {
    assert!(moves_within_the_area(|mm| {
        mm.cache_read(0).unwrap();
        mm.cache_frame(0).unwrap()
    }));
    assert!(!moves_within_the_area(|mm| {
        mm.cache_write(0).unwrap();
        mm.cache_frame(0).unwrap()
    }));
    assert!(!moves_within_the_area(|mm| {
        let id = process(mm, 1);
        mm.frame_of(id, 0).unwrap()
    }));
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn outside_the_areas_pages_stay_dirty_where_only_clean_ones_may_be_inside() {
    with_system(2, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Clean).unwrap();
        assert_eq!((mm.cache_write(0), mm.dirty_pages()), (Ok(()), 1));
    });
}

/// Lets a process have 20 pages in a row in an area, pins the `pinned` once its allocation has
/// begun, and returns its error and the frames of the pages.
fn error_with_late_pins(pinned: &'static [u32], targets_left: Option<u32>) -> (CmaError, Vec<units::Pfn>) {
    with_system(4, 1, |system, area| {
        let mut mm = open(system);
        let id = process(&mut mm, 20);
        mm.zone.set_cma_use(CmaUse::Half);
        mm.drain_lists();
        let frames = (0..20).map(|page| mm.frame_of(id, page).unwrap()).collect();
        mm.live.faults.targets_left = targets_left;
        mm.live.meanwhile = Some(Box::new(move |mm: &mut Mm<'_, '_>, phase| {
            if phase == Phase::Drain {
                pinned.iter().for_each(|&page| _ = mm.pin(id, page, "late").unwrap());
            }
        }));
        let error = system.cma_alloc(area, 1024, 0).unwrap_err();
        system.mm().unwrap().live.meanwhile = None;
        (error, frames)
    })
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_first_pinned_page_is_named_and_the_lack_of_a_target_before_it() {
    let (error, frames) = error_with_late_pins(&[3, 7, 11], None);
    assert!(matches!(error, CmaError::Busy(blocked) if blocked.frame == frames[3] && blocked.why == Why::Pinned));
    // Three pages move, the pinned one stays, and the next has no target.
    let (error, frames) = error_with_late_pins(&[0], Some(3));
    assert!(matches!(error, CmaError::NoMemory(blocked) if blocked.frame == frames[4] && blocked.why == Why::NoTarget));
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn who_needs_targets_waits_for_the_disk_whose_pages_can_be_dropped_then() {
    with_disk(8 * 64, false, |system, medium| {
        medium.borrow_mut().slow = true;
        let area = system.default_area().unwrap();
        let pages = system.area(area).pages();
        let mut mm = system.mm().unwrap();
        process(&mut mm, 8);
        mm.zone.set_cma_use(CmaUse::Fallback);
        mm.drain_lists();
        assert_eq!(mm.read_ahead(0, 32), 32);
        let blocks = exhaust(&mut mm, 0);
        let buffer = system.cma_alloc(area, pages, 0).unwrap();
        let mut mm = system.mm().unwrap();
        assert_eq!((mm.live.stats.migrated, mm.live.stats.oom_kills), (8, 0));
        give_back(&mut mm, blocks);
        system.cma_release(buffer).unwrap();
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn no_process_is_killed_while_the_disk_has_pages_that_can_be_dropped_then() {
    // So few pages that all of them are on a per-CPU list when they are dropped.
    with_disk(8 * 64, false, |system, medium| {
        medium.borrow_mut().slow = true;
        let mut mm = system.mm().unwrap();
        mm.set_policy(CmaUse::Half, Lend::None);
        let [victim, id] = [process(&mut mm, 4), mm.create(1).unwrap()];
        assert_eq!(mm.read_ahead(0, 8), 8);
        let blocks = exhaust(&mut mm, 0);
        assert_eq!((mm.populate(id, 0), mm.live.stats.oom_kills, mm.cached_pages()), (Ok(()), 0, 0));
        assert!(mm.process(victim).is_some());
        give_back(&mut mm, blocks);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_request_reclaims_as_often_as_it_frees_something() {
    with_system(16, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        let victim = process(&mut mm, 20);
        (0..200).for_each(|page| assert_eq!(mm.cache_read(page), Ok(true)));
        let blocks = exhaust(&mut mm, 120);
        let id = process(&mut mm, 1);
        // 121 pages would be enough, but some of them stay on the per-CPU list.
        assert_eq!((mm.live.stats.stolen_direct, mm.live.stats.oom_kills), (5 * 32, 0));
        assert!(mm.process(victim).is_some() && mm.process(id).is_some());
        give_back(&mut mm, blocks);
        verify(system);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn pages_on_the_per_cpu_lists_are_taken_before_a_process_is_killed() {
    with_system(16, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        let [victim, gone, id] = [process(&mut mm, 20), process(&mut mm, 3), mm.create(1).unwrap()];
        let blocks = exhaust(&mut mm, 0);
        mm.destroy(gone).unwrap();
        assert_eq!((mm.zone.pcp_pages(), mm.zone.watermark_ok(mm.zone.kept_watermarks().min, false)), (3, false));
        mm.populate(id, 0).unwrap();
        assert!(mm.live.stats.oom_kills == 0 && mm.process(victim).is_some());
        give_back(&mut mm, blocks);
        verify(system);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_pages_of_a_killed_process_are_drained_before_another_is_killed() {
    with_system(16, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        let [small, victim, id] = [process(&mut mm, 2), process(&mut mm, 3), mm.create(1).unwrap()];
        let blocks = exhaust(&mut mm, 0);
        mm.populate(id, 0).unwrap();
        assert_eq!(mm.live.stats.oom_kills, 1);
        assert!(mm.process(victim).is_none() && mm.process(small).is_some());
        give_back(&mut mm, blocks);
        verify(system);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_per_cpu_list_may_have_pages_of_pageblocks_of_another_type() {
    with_system(16, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        let mut blocks = exhaust(&mut mm, 0);
        let rest = blocks.split_off(blocks.len() - 60);
        give_back(&mut mm, rest);
        mm.drain_lists();
        let id = process(&mut mm, 1);
        let frame = mm.frame_of(id, 0).unwrap();
        assert_eq!(mm.zone.pageblock(mm.zone.frame(frame)), Migratetype::Unmovable);
        assert!(mm.zone.pcp_pages() > 0);
        verify(system);
        let mut mm = system.mm().unwrap();
        give_back(&mut mm, blocks);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn without_memory_and_processes_a_request_fails() {
    with_system(2, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        let id = mm.create(1).unwrap();
        let blocks = exhaust(&mut mm, 0);
        assert_eq!((mm.populate(id, 0), mm.cache_read(0)), (Err(LiveError::NoMemory), Err(LiveError::NoMemory)));
        give_back(&mut mm, blocks);
        assert_eq!((mm.populate(id, 0), mm.cache_read(0)), (Ok(()), Ok(true)));
    });
    with_disk(8 * 64, false, |system, _| {
        let mut mm = system.mm().unwrap();
        mm.set_policy(CmaUse::Half, Lend::None);
        let blocks = exhaust(&mut mm, 0);
        assert_eq!((mm.cache_get(5, &mut [0; 1024]), mm.read_ahead(0, 8)), (Err(LiveError::NoMemory), 0));
        give_back(&mut mm, blocks);
    });
}
