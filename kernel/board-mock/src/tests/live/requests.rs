// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests of the page cache to a disk: which pages each is for, and who is told how it ended.

use core::ops::Range;
use std::collections::BTreeSet;

use super::disk::{holds, put, with_disk};
use super::process;
use block::{DiskFault, IoError, MAX_REQUESTS, MAX_SEGMENTS, Operation};
use migration::live::{LiveError, Mm};
use page_alloc::policy::CmaUse;

/// Most pages that can be in flight together.
pub(super) const IN_FLIGHT: u32 = (MAX_REQUESTS * MAX_SEGMENTS) as u32;

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn each_page_of_a_request_that_was_not_started_tells_its_reader() {
    with_disk(8 * 64, false, |system, medium| {
        let mut mm = system.mm().unwrap();
        put(&mut mm, 50..54, 1);
        medium.borrow_mut().stuck = true;
        assert!(mm.cache_get(0, &mut [0; 1024]).is_err(), "the device is off");
        let off =
            |operation, first, pages| LiveError::Io(DiskFault { operation, first, pages, error: IoError::SwitchedOff });
        assert_eq!((mm.read_ahead(32, 8), mm.pages_lent_to_disk()), (0, 0));
        for page in 32..40 {
            assert_eq!(mm.cache_get(page, &mut [0; 1024]), Err(off(Operation::Read, 32, 8)), "page {page}");
        }
        assert!((50..54).all(|page| holds(&mut mm, page, 1)), "of no request");
        assert_eq!((mm.sync_pages(0, 64), mm.write_some()), (Err(off(Operation::Write, 50, 4)), 0));
        put(&mut mm, 52..53, 2);
        assert_eq!((mm.dirty_pages(), holds(&mut mm, 52, 2)), (4, true));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn no_request_reaches_beyond_a_table_that_is_full() {
    // A table of 512 entries fills its page.
    with_disk(8 * 512, false, |system, _| {
        let mut mm = system.mm().unwrap();
        assert_eq!((mm.read_ahead(508, 8), mm.read_ahead(512, 8)), (4, 0));
        mm.settle_disk();
        put(&mut mm, 510..512, 1);
        assert_eq!((mm.write_some(), mm.sync_pages(511, 8)), (2, Ok(0)));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn reading_ahead_ends_where_it_would_have_to_wait() {
    with_disk(8 * 200, false, |system, medium| {
        medium.borrow_mut().slow = true;
        let mut mm = system.mm().unwrap();
        assert_eq!((mm.read_ahead(0, 200), mm.disk_stats().requests), (IN_FLIGHT, 0));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn frames_wait_for_the_disk_until_it_is_told() {
    with_disk(8 * 64, false, |system, medium| {
        medium.borrow_mut().slow = true;
        let mut mm = system.mm().unwrap();
        put(&mut mm, 40..43, 1);
        assert_eq!((mm.read_ahead(0, 20), mm.write_some()), (20, 3));
        let frames = |mm: &Mm<'_, '_>, pages: Range<u32>| pages.filter_map(|page| mm.cache_frame(page)).collect();
        let waiting = |mm: &Mm<'_, '_>, operation| mm.frames_waiting_for_disk(operation).collect::<BTreeSet<_>>();
        assert_eq!(waiting(&mm, Operation::Read), frames(&mm, 0..20));
        assert_eq!(waiting(&mm, Operation::Write), frames(&mm, 40..43));
        mm.kick_disk();
        assert!([Operation::Read, Operation::Write].iter().all(|&operation| waiting(&mm, operation).is_empty()));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn after_a_flush_that_failed_only_what_holds_content_is_dirty() {
    with_disk(8 * 64, false, |system, medium| {
        let mut mm = system.mm().unwrap();
        put(&mut mm, 0..8, 1);
        assert_eq!(mm.sync_pages(0, 8), Ok(8));
        medium.borrow_mut().bad[0] = Some(8 * 16..8 * 17);
        assert_eq!(mm.read_ahead(8, 24), 24);
        mm.settle_disk();
        medium.borrow_mut().bad_flush = true;
        assert!(mm.sync_pages(4, 60).is_err());
        // Pages 8 to 23 were one request; 24 to 31 another.
        assert_eq!((mm.cached_pages(), mm.dirty_pages()), (32, 4 + 8));
        medium.borrow_mut().bad_flush = false;
        assert_eq!(mm.sync_pages(0, 64), Ok(4 + 8));
        assert!(mm.cache_get(10, &mut [0; 1024]).is_err(), "it could not be read");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_page_that_cannot_be_written_keeps_no_other_from_it() {
    with_disk(8 * 200, false, |system, medium| {
        let mut mm = system.mm().unwrap();
        medium.borrow_mut().bad[1] = Some(0..8);
        put(&mut mm, 0..1, 1);
        assert_eq!((mm.write_some(), mm.settle_disk(), mm.write_some()), (1, (), 0));
        put(&mut mm, 100..103, 1);
        assert_eq!((mm.write_some(), mm.settle_disk(), mm.dirty_pages()), (3, (), 1));
        medium.borrow_mut().bad[1] = None;
        assert_eq!((mm.write_some(), mm.sync_pages(0, 200)), (0, Ok(1)));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_writer_whose_pages_stay_dirty_is_told_why() {
    with_disk(8 * 5000, false, |system, medium| {
        system.dma_mut().checker_mut().enable(false);
        medium.borrow_mut().gone = true;
        let mut mm = system.mm().unwrap();
        let most = 2 * (mm.zone.managed_pages() / 8);
        put(&mut mm, 0..most, 1);
        let result = mm.cache_put(most, &[0; 1024]);
        let Err(LiveError::Io(fault)) = result else { panic!("{result:?}") };
        assert_eq!((fault.operation, fault.error), (Operation::Write, IoError::Gone));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn pages_that_move_while_the_disk_has_others_are_counted() {
    with_disk(8 * 64, false, |system, medium| {
        medium.borrow_mut().slow = true;
        let area = system.default_area().unwrap();
        let pages = system.area(area).pages();
        let mut mm = system.mm().unwrap();
        process(&mut mm, 40);
        mm.zone.set_cma_use(CmaUse::Fallback);
        mm.drain_lists();
        assert_eq!(mm.read_ahead(0, 16), 16);
        let buffer = system.cma_alloc(area, pages, 0).unwrap();
        let mut mm = system.mm().unwrap();
        let moved = |stats: &migration::live::stats::Stats| (stats.migrated, stats.migrated_while_lent);
        assert_eq!((moved(&mm.live.stats), mm.pages_lent_to_disk()), ((40, 40), 16));
        mm.settle_disk();
        system.cma_release(buffer).unwrap();
        let mut mm = system.mm().unwrap();
        mm.zone.set_cma_use(CmaUse::First);
        process(&mut mm, 5);
        mm.zone.set_cma_use(CmaUse::Fallback);
        let buffer = system.cma_alloc(area, pages, 0).unwrap();
        assert_eq!(moved(&system.mm().unwrap().live.stats), (45, 40));
        system.cma_release(buffer).unwrap();
    });
}

#[test]
fn a_failed_request_is_about_its_own_pages() {
    let fault = DiskFault { operation: Operation::Read, first: 8, pages: 4, error: IoError::Failed };
    let about = |operation, pages: [u32; 4]| pages.map(|page| fault.is_about(operation, page));
    assert_eq!(about(Operation::Read, [7, 8, 11, 12]), [false, true, true, false]);
    assert_eq!(about(Operation::Write, [7, 8, 11, 12]), [false; 4]);
}
