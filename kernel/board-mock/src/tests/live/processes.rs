// SPDX-License-Identifier: MIT OR Apache-2.0

//! Number of processes that fit into the window, and the run of slots that each gets.

use std::collections::BTreeSet;

use super::with_system;
use migration::live::processes::MAX_PROCESSES;
use migration::live::space::OwnedFrame;
use migration::live::stats::Stats;
use migration::live::{LiveError, Mm};
use page_alloc::policy::{CmaUse, Lend};
use units::Pfn;

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn every_number_of_a_process_fits_its_slots() {
    with_system(64, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        let ids: Vec<_> = (0..MAX_PROCESSES).map(|_| mm.create(1).unwrap()).collect();
        assert_eq!(mm.create(1), Err(LiveError::TooManyProcesses));
        for &id in [&ids[0], &ids[1], &ids[MAX_PROCESSES - 1]] {
            mm.populate(id, 0).unwrap();
            assert_eq!(mm.mapped_at(mm.frame_of(id, 0).unwrap()), Some((id, 0)));
        }
        mm.check().unwrap();
        mm.destroy(ids[7]).unwrap();
        assert_eq!(mm.create(1), Ok(ids[7]), "the lowest number that is free");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_process_gets_the_lowest_run_of_slots_that_is_long_enough() {
    with_system(2, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        for pages in [0, 1 << 20, u32::MAX] {
            assert_eq!(mm.create(pages), Err(LiveError::NoSlots), "{pages} pages");
        }
        // Slots are allocated sixteen at a time: 1, 3, 1 and 2 sixteens.
        let ids = [16, 33, 1, 32].map(|pages| mm.create(pages).unwrap());
        mm.destroy(ids[1]).unwrap();
        // The reverse mapping of a page is the first slot that maps it.
        let first_slot = |mm: &mut Mm<'_, '_>, id| {
            mm.populate(id, 0).unwrap();
            mm.zone.owner(mm.zone.frame(mm.frame_of(id, 0).unwrap()))
        };
        let [first, third] = [ids[0], ids[2]].map(|id| first_slot(&mut mm, id));
        assert_eq!(third - first, 4 * 16);
        let long = mm.create(49).unwrap();
        assert!(first_slot(&mut mm, long) > third, "too long for the gap");
        let short = mm.create(48).unwrap();
        assert_eq!(first_slot(&mut mm, short) - first, 16, "as long as the gap");
        // The last slots belong to the window, too; the check reads no slots after them.
        let last = core::iter::from_fn(|| mm.create(16).ok()).last().unwrap();
        (0..16).for_each(|page| mm.populate(last, page).unwrap());
        assert_eq!(mm.create(1), Err(LiveError::NoSlots));
        mm.check().unwrap();
        // One process can have all of them.
        mm.evict_everybody();
        let sixteens = core::iter::from_fn(|| mm.create(16).ok()).count() as u32;
        mm.evict_everybody();
        assert_eq!(mm.create(16 * sixteens + 1), Err(LiveError::NoSlots));
        assert!(mm.create(16 * sixteens).is_ok());
    });
}

/// What was counted before users of memory are closed is added to what is counted later.
#[test]
fn counters_are_added() {
    let counted = |times: u64, cma_free_at_first_kill| Stats {
        migrated: times,
        migrated_while_lent: 2 * times,
        migrate_failed: 3 * times,
        dropped: 4 * times,
        stolen_background: 5 * times,
        stolen_direct: 6 * times,
        written_back: 7 * times,
        filled: 8 * times,
        oom_kills: 9 * times,
        cma_free_at_first_kill,
    };
    let mut sum = counted(10, Some(1));
    sum.add(&counted(3, None));
    assert_eq!(sum, counted(13, Some(1)));
    sum.add(&counted(4, Some(2)));
    assert_eq!(sum, counted(17, Some(2)));
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_window_has_a_sixteenth_more_slots_than_pages() {
    with_system(16, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        let ids: Vec<_> = core::iter::from_fn(|| mm.create(256).ok()).collect();
        assert_eq!(ids.len() as u32 * 256, 17 * 1024);
        let (first, last) = (ids[0], ids[ids.len() - 1]);
        mm.populate(first, 0).unwrap();
        (0..3).for_each(|page| mm.share((first, 0), (last, 253 + page)).unwrap());
        // Each page of the cache and each entry of the journal has its place, too.
        assert_eq!(mm.cache_capacity(), mm.zone.managed_pages());
        assert_eq!(mm.cache_frame(mm.cache_capacity()), None);
        assert_eq!([0, mm.cache_capacity() - 1].map(|page| mm.cache_read(page)), [Ok(true); 2]);
        mm.check().unwrap();
        let before = mm.live.now_ns();
        assert!(before > 0 && mm.live.now_ns() > before, "time goes by");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn each_line_of_each_page_can_be_told_from_any_other() {
    with_system(2, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        let id = mm.create(4).unwrap();
        (0..4).for_each(|page| mm.populate(id, page).unwrap());
        (0..4).for_each(|page| assert_eq!(mm.cache_read(page), Ok(true)));
        mm.cache_write(3).unwrap();
        let frames: Vec<_> = (0..4).flat_map(|page| [mm.frame_of(id, page), mm.cache_frame(page)]).collect();
        let mut lines = BTreeSet::new();
        for frame in frames {
            let words = mm.live.space().frame_words(OwnedFrame::by_dma(frame.unwrap()));
            lines.extend(words.iter().step_by(8).copied());
        }
        assert_eq!(lines.len(), 8 * 1024 / 8);
    });
}

/// The first word of a page's frame.
fn first_word(mm: &mut Mm<'_, '_>, frame: Option<Pfn>) -> u32 {
    mm.live.space().frame_words(OwnedFrame::by_dma(frame.unwrap()))[0]
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_page_written_many_times_is_still_no_other_page() {
    with_system(2, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        assert_eq!([0, 1].map(|page| mm.cache_read(page)), [Ok(true); 2]);
        let (frame, id) = (mm.cache_frame(1), mm.create(1).unwrap());
        let other = first_word(&mut mm, frame);
        for _ in 0..4096 {
            mm.cache_write(0).unwrap();
            let frame = mm.cache_frame(0);
            assert_ne!(first_word(&mut mm, frame), other, "a cache page and a cache page");
        }
        mm.live.last_stamp = 4090;
        for _ in 0..10 {
            mm.write(id, 0).unwrap();
            let frame = mm.frame_of(id, 0);
            assert_ne!(first_word(&mut mm, frame), other, "a mapped page and a cache page");
        }
        mm.live.last_stamp = u32::MAX >> 1;
        mm.write(id, 0).unwrap();
        assert_eq!(mm.live.last_stamp, 1, "neither 0, nor a cache page's");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_is_counted_adds_up() {
    with_system(2, 0, |system, _| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        let id = mm.create(1).unwrap();
        (0..3).for_each(|_| mm.add_kernel_page(id).unwrap());
        let process = mm.process(id).unwrap();
        assert_eq!((process.kernel_pages(), process.resident(), process.pages()), (3, 0, 1));
        let stats = Stats { dropped: 5, stolen_direct: 3, stolen_background: 4, ..Stats::default() };
        assert_eq!(stats.reclaimed(), 12);
    });
}
