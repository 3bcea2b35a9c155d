// SPDX-License-Identifier: MIT OR Apache-2.0

//! The page cache over a disk that delays, reorders, fails and disappears.

use core::cell::RefCell;
use std::rc::Rc;
use std::string::ToString;

use super::with_system;
use crate::disk::{Medium, MockDisk};
use crate::dma::MockHardware;
use block::{DiskFault, IoError, Operation};
use cma::CmaError;
use fastrand::Rng;
use migration::contig_range::Owner;
use migration::live::disk::DiskStats;
use migration::live::readwrite::PageWords;
use migration::live::{LiveError, Mm};
use page_alloc::policy::{CmaUse, Lend};
use system::System;

/// Makes a system of ten pageblocks and an area of two whose memory is in use, over a disk of
/// `sectors` sectors.
pub(super) fn with_disk(sectors: u64, read_only: bool, test: impl FnOnce(&mut System<'_>, &Rc<RefCell<Medium>>)) {
    with_disk_and_memory(10, sectors, read_only, test);
}

/// Makes a system like that of `with_disk`, with `pageblocks` pageblocks of RAM.
pub(super) fn with_disk_and_memory(
    pageblocks: u32,
    sectors: u64,
    read_only: bool,
    test: impl FnOnce(&mut System<'_>, &Rc<RefCell<Medium>>),
) {
    with_system(pageblocks, 2, |system, _| {
        system.dma_mut().attach(Box::new(MockHardware::default()));
        system.dma_mut().checker_mut().enable(true);
        let device = system.dma_add_device_with_area("disk", None).unwrap();
        let (disk, medium) = MockDisk::new(device, sectors, read_only);
        system.set_disk(Box::new(disk));
        system.open_live_on_disk(CmaUse::First, Lend::Movable).unwrap();
        test(system, &medium);
        if let Some(mm) = system.mm() {
            mm.check().unwrap();
        }
        system.close_live();
        system.check().unwrap();
        assert!(system.disk().is_some(), "the disk is the system's again");
        assert_eq!(system.dma().mappings().count(), 0);
        assert!(system.dma().checker().reports().is_empty(), "{:?}", system.dma().checker().reports());
    });
}

/// The content of a page in a round of writing.
pub(super) fn words(page: u32, round: u32) -> PageWords {
    core::array::from_fn(|index| page << 16 ^ round << 12 ^ index as u32)
}

pub(super) fn put(mm: &mut Mm<'_, '_>, pages: core::ops::Range<u32>, round: u32) {
    pages.into_iter().for_each(|page| mm.cache_put(page, &words(page, round)).unwrap());
}

pub(super) fn holds(mm: &mut Mm<'_, '_>, page: u32, round: u32) -> bool {
    let mut read = [0; 1024];
    mm.cache_get(page, &mut read).unwrap();
    read == words(page, round)
}

pub(super) fn stored(bytes: &[u8], page: u32) -> Vec<u32> {
    let page = &bytes[page as usize * 4096..][..4096];
    page.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_was_written_is_read_again_from_the_disk() {
    for slow in [false, true] {
        with_disk(8 * 200, false, |system, medium| {
            medium.borrow_mut().slow = slow;
            let mut mm = system.mm().unwrap();
            assert_eq!(mm.cache_capacity(), 200);
            put(&mut mm, 0..200, 1);
            assert_eq!((mm.dirty_pages(), mm.sync_pages(0, 200)), (200, Ok(200)));
            assert_eq!(mm.live.stats.written_back, 200);
            assert_eq!((mm.dirty_pages(), mm.drop_pages(0, 200), mm.cached_pages()), (0, 200, 0));
            assert!((0..200).rev().all(|page| holds(&mut mm, page, 1)));
            assert_eq!(mm.sync_pages(0, 200), Ok(0), "nothing was written since");
            let DiskStats { pages_written, flushes, failed, .. } = mm.disk_stats();
            assert_eq!((pages_written, flushes, failed), (200, 2, 0));
            assert!(medium.borrow().most_in_flight > 1, "several at a time");
        });
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_power_cut_leaves_what_was_synced() {
    with_disk(8 * 64, false, |system, medium| {
        let mut mm = system.mm().unwrap();
        put(&mut mm, 0..64, 1);
        mm.sync_pages(0, 32).unwrap();
        put(&mut mm, 0..8, 2);
        let durable = medium.borrow().durable.clone();
        assert!((0..32).all(|page| stored(&durable, page) == words(page, 1)));
        assert!((32..64).all(|page| stored(&durable, page) == [0; 1024]), "never synced");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_last_page_may_be_a_part_of_one() {
    with_disk(8 * 3 + 5, false, |system, medium| {
        let mut mm = system.mm().unwrap();
        assert_eq!(mm.cache_capacity(), 4);
        put(&mut mm, 0..4, 1);
        mm.sync_pages(0, 4).unwrap();
        mm.drop_pages(0, 4);
        let mut read = [7; 1024];
        mm.cache_get(3, &mut read).unwrap();
        assert_eq!(read[..5 * 128], words(3, 1)[..5 * 128]);
        assert!(read[5 * 128..].iter().all(|&word| word == 0), "behind the disk's end");
        assert_eq!(mm.cache_get(4, &mut read), Err(LiveError::NotThere));
        assert_eq!(medium.borrow().data.len(), (8 * 3 + 5) * 512);
    });
    with_disk(0, false, |system, _| {
        assert_eq!(system.mm().unwrap().cache_get(0, &mut [0; 1024]), Err(LiveError::NotThere));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn who_owns_a_page_is_told_what_went_wrong() {
    with_disk(8 * 100, false, |system, medium| {
        let mut mm = system.mm().unwrap();
        put(&mut mm, 0..100, 1);
        mm.sync_pages(0, 100).unwrap();
        put(&mut mm, 40..60, 2);
        medium.borrow_mut().bad[1] = Some(8 * 50..8 * 51);
        let result = mm.sync_pages(0, 100);
        // Only the request with the bad page fails, not the others in flight.
        let why = result.unwrap_err().to_string();
        assert_eq!(why, "writing pages 40 to 55 of the disk: an I/O error");
        assert!((40..60).all(|page| holds(&mut mm, page, 2)), "it is still in the cache");
        assert!((0..40).all(|page| stored(&medium.borrow().durable, page) == words(page, 1)), "what was synced stays");
        medium.borrow_mut().bad[1] = None;
        assert!(mm.sync_pages(0, 100).is_ok(), "the next sync tries again");
        mm.drop_pages(0, 100);
        medium.borrow_mut().bad[0] = Some(8 * 20..8 * 21);
        let mut read = [0; 1024];
        let why = mm.cache_get(20, &mut read).unwrap_err().to_string();
        assert_eq!(why, "reading pages 20 to 35 of the disk: an I/O error");
        medium.borrow_mut().bad[0] = Some(8 * 99..8 * 100);
        assert_eq!(mm.cache_get(99, &mut read).unwrap_err().to_string(), "reading page 99 of the disk: an I/O error");
        medium.borrow_mut().bad[0] = None;
        assert!(holds(&mut mm, 20, 1), "it is read again when somebody asks again");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_device_that_disappears_takes_nothing_synced_with_it() {
    with_disk(8 * 64, false, |system, medium| {
        let mut mm = system.mm().unwrap();
        put(&mut mm, 0..32, 1);
        mm.sync_pages(0, 32).unwrap();
        put(&mut mm, 32..64, 1);
        medium.borrow_mut().gone = true;
        let gone = |operation, first, pages| LiveError::Io(DiskFault { operation, first, pages, error: IoError::Gone });
        assert_eq!(mm.sync_pages(0, 64), Err(gone(Operation::Write, 32, 16)));
        assert!((0..64).all(|page| holds(&mut mm, page, 1)), "the cache has all of it");
        mm.drop_pages(0, 64);
        assert_eq!((mm.cached_pages(), mm.cache_get(3, &mut [0; 1024])), (32, Err(gone(Operation::Read, 3, 16))));
        assert!((0..32).all(|page| stored(&medium.borrow().durable, page) == words(page, 1)));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_disk_larger_than_memory_is_read_and_written_through() {
    with_disk_and_memory(1, 8 * 5000, false, |system, medium| {
        medium.borrow_mut().slow = true;
        system.dma_mut().checker_mut().enable(false);
        let mut mm = system.mm().unwrap();
        put(&mut mm, 0..5000, 3);
        assert!(mm.dirty_pages() < 1000, "{} dirty pages", mm.dirty_pages());
        mm.sync_pages(0, 5000).unwrap();
        for page in 0..5000 {
            if page % 32 == 0 {
                mm.read_ahead(page, 64);
            }
            assert!(holds(&mut mm, page, 3), "page {page}");
        }
        assert!(mm.live.stats.reclaimed() > 3000 && mm.live.stats.oom_kills == 0);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_read_only_disk_is_not_written() {
    with_disk(8 * 16, true, |system, _| {
        let mut mm = system.mm().unwrap();
        let why = mm.cache_put(5, &words(5, 1)).unwrap_err().to_string();
        assert_eq!(why, "writing page 5 of the disk: the disk is read-only");
        assert_eq!((mm.dirty_pages(), mm.cache_get(5, &mut [1; 1024])), (0, Ok(())));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn who_moves_out_waits_for_what_the_disk_still_writes() {
    with_disk(8 * 100, false, |system, medium| {
        medium.borrow_mut().slow = true;
        medium.borrow_mut().bad[0] = Some(0..8);
        let mut mm = system.mm().unwrap();
        mm.read_ahead(16, 84);
        // A caller that is interrupted gives up, with the other requests in flight.
        assert!(mm.cache_get(0, &mut [0; 1024]).is_err());
        assert!(mm.pages_lent_to_disk() > 0);
        system.close_live();
        assert_eq!(system.dma().checker().errors(), 0, "nobody's mistake");
    });
}

/// Migrates the pages of the default area while the device owns some of them; returns if all were
/// right afterwards, and if the allocation was refused because of a pin.
fn migrate_in_flight(ignore_pins: bool) -> (bool, bool) {
    let mut result = (true, false);
    with_disk(8 * 4000, false, |system, medium| {
        for page in 0..4000 {
            let bytes: Vec<u8> = words(page, 9).iter().flat_map(|word| word.to_le_bytes()).collect();
            medium.borrow_mut().data[page as usize * 4096..][..4096].copy_from_slice(&bytes);
        }
        let area = system.default_area().unwrap();
        system.dma_mut().checker_mut().set_quiet(ignore_pins);
        let mut mm = system.mm().unwrap();
        mm.live.faults.ignore_pins = ignore_pins;
        // The first pages fill the areas.
        (0..1000).for_each(|page| assert!(holds(&mut mm, page, 9)));
        let started = mm.read_ahead(1000, 100);
        assert!(started > 60 && mm.pages_lent_to_disk() == started);
        let pinned: Vec<_> = (1000..1000 + started).filter_map(|page| mm.cache_frame(page)).collect();
        let area_pages = system.area(area).pages();
        let base = system.area(area).base();
        let buffer = system.cma_alloc(area, area_pages, 8);
        match &buffer {
            Err(CmaError::Busy(blocked)) => {
                assert_eq!(blocked.owner, Owner::Pin("disk"));
                assert!(pinned.contains(&blocked.frame) && blocked.frame >= base);
                result.1 = true;
            }
            Ok(_) => assert!(ignore_pins),
            Err(error) => panic!("{error:?}"),
        }
        let mut mm = system.mm().unwrap();
        result.0 = (1000..1000 + started).all(|page| holds(&mut mm, page, 9));
        mm.settle_disk();
        if let Ok(buffer) = buffer {
            system.cma_release(buffer).unwrap();
        }
        let mut mm = system.mm().unwrap();
        mm.live.faults.ignore_pins = false;
        mm.settle_disk();
        let checker = system.dma_mut().checker_mut();
        assert_eq!(checker.take_reports().is_empty(), !ignore_pins, "the checker sees a page move that a device owns");
        checker.tell();
    });
    result
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_page_in_flight_does_not_move() {
    assert_eq!(migrate_in_flight(false), (true, true));
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn without_pins_what_the_device_reads_is_lost() {
    assert_eq!(migrate_in_flight(true), (false, false));
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn after_a_flush_that_failed_everything_is_written_again() {
    with_disk(8 * 16, false, |system, medium| {
        let mut mm = system.mm().unwrap();
        put(&mut mm, 0..8, 1);
        medium.borrow_mut().bad_flush = true;
        assert_eq!(mm.sync_pages(2, 6).unwrap_err().to_string(), "flushing the disk: an I/O error");
        assert_eq!(stored(&medium.borrow().durable, 3), [0; 1024]);
        // The data that the device had accepted is lost, as a failed flush allows.
        medium.borrow_mut().data.fill(0);
        medium.borrow_mut().bad_flush = false;
        assert_eq!((mm.dirty_pages(), mm.sync_pages(0, 8)), (8, Ok(8)));
        assert!((0..8).all(|page| stored(&medium.borrow().durable, page) == words(page, 1)));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_device_that_never_answers_is_given_up_when_somebody_wants_out() {
    with_disk(8 * 32, false, |system, medium| {
        let mut mm = system.mm().unwrap();
        put(&mut mm, 0..2, 1);
        mm.sync_pages(0, 2).unwrap();
        mm.drop_pages(0, 2);
        mm.read_ahead(0, 32);
        medium.borrow_mut().stuck = true;
        let why = mm.cache_get(1, &mut [0; 1024]).unwrap_err().to_string();
        let first = "reading pages 0 to 15 of the disk: it did not answer, and is off since Ctrl-C";
        assert_eq!(why, first);
        assert_eq!(mm.pages_lent_to_disk(), 0, "it owns nothing any more");
        medium.borrow_mut().stuck = false;
        let again = mm.cache_get(1, &mut [0; 1024]).unwrap_err().to_string();
        assert!(again.starts_with("reading page 1 of the disk: it did not answer, and is off"), "{again}");
        assert_eq!(stored(&medium.borrow().durable, 1), words(1, 1));
    });
}

/// Random uses against the expected content: a read returns the last write, and a power cut keeps
/// what was synced and not written since, with any failures and moves meanwhile.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn whatever_happens_nothing_synced_is_lost() {
    const PAGES: u32 = 96;
    for seed in 0..6 {
        with_disk_and_memory(1, u64::from(PAGES) * 8, false, |system, medium| {
            let mut rng = Rng::with_seed(seed);
            let area = system.default_area().unwrap();
            let (mut last, mut synced) = ([None; PAGES as usize], [None; PAGES as usize]);
            let mut buffers = Vec::new();
            for round in 1..400 {
                let (page, pages) = (rng.u32(..PAGES), 1 + rng.u32(..24));
                let range = page..(page + pages).min(PAGES);
                let mut mm = system.mm().unwrap();
                match rng.u32(..10) {
                    0..=2 => {
                        put(&mut mm, range.clone(), round);
                        range.for_each(|page| last[page as usize] = Some(round));
                    }
                    3 => match mm.sync_pages(page, pages) {
                        Ok(_) => range.for_each(|page| synced[page as usize] = last[page as usize]),
                        Err(error) => assert!(medium.borrow().bad[1].is_some(), "{error:?}"),
                    },
                    4 => {
                        mm.drop_pages(page, pages);
                    }
                    5 => {
                        mm.read_ahead(page, pages);
                    }
                    6 => medium.borrow_mut().slow = round % 2 == 0,
                    7 => {
                        let bad = (rng.u32(..3) == 0).then(|| u64::from(page * 8)..u64::from(page * 8 + 1));
                        medium.borrow_mut().bad[(round % 2) as usize] = bad;
                    }
                    8 => buffers.extend(system.cma_alloc(area, 1 + rng.u32(..800), 0)),
                    _ => {
                        if let Some(buffer) = buffers.pop() {
                            system.cma_release(buffer).unwrap();
                        }
                    }
                }
                let mut mm = system.mm().unwrap();
                let page = rng.u32(..PAGES);
                let mut read = [0; 1024];
                match (mm.cache_get(page, &mut read), last[page as usize]) {
                    (Ok(()), Some(round)) => assert_eq!(read, words(page, round), "page {page}, seed {seed}"),
                    (Ok(()), None) => assert_eq!(read, [0; 1024]),
                    (Err(error), _) => assert!(medium.borrow().bad[0].is_some(), "{error:?}"),
                }
                for page in 0..PAGES {
                    let round = synced[page as usize].filter(|&round| last[page as usize] == Some(round));
                    if let Some(round) = round {
                        assert_eq!(
                            stored(&medium.borrow().durable, page),
                            words(page, round),
                            "page {page}, seed {seed}"
                        );
                    }
                }
            }
            medium.borrow_mut().bad = [None, None];
            let mut mm = system.mm().unwrap();
            mm.sync_pages(0, PAGES).unwrap();
            for (page, round) in (0..).zip(last) {
                let round = round.map_or([0; 1024], |round| words(page, round));
                assert_eq!(stored(&medium.borrow().durable, page), round);
            }
            for buffer in buffers {
                system.cma_release(buffer).unwrap();
            }
        });
    }
}
