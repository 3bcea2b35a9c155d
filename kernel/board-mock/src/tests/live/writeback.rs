// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writeback of dirty pages to a disk: its times, its order, and which caller waits for it.

use super::disk::{holds, put, with_disk};
use super::requests::IN_FLIGHT;

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn writing_goes_on_where_the_last_run_ended() {
    with_disk(8 * 200, false, |system, _| {
        let mut mm = system.mm().unwrap();
        put(&mut mm, 0..20, 1);
        put(&mut mm, 60..64, 1);
        assert_eq!(mm.write_some(), 16, "a request has that many segments");
        mm.settle_disk();
        put(&mut mm, 2..3, 2);
        let mut runs = Vec::new();
        while mm.dirty_pages() > 0 {
            runs.push(mm.write_some());
            mm.settle_disk();
        }
        assert_eq!((runs, mm.write_some()), (vec![4, 4, 1], 0));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_is_being_written_is_not_written_once_more() {
    with_disk(8 * 200, false, |system, medium| {
        medium.borrow_mut().slow = true;
        let mut mm = system.mm().unwrap();
        put(&mut mm, 0..20, 1);
        assert_eq!([(); 3].map(|()| mm.write_some()), [16, 4, 0]);
        assert_eq!((mm.dirty_pages(), mm.pages_lent_to_disk()), (20, 20));
        mm.settle_disk();
        assert_eq!((mm.dirty_pages(), mm.disk_stats().pages_written), (0, 20));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn who_writes_a_page_waits_until_the_disk_has_done_with_it() {
    with_disk(8 * 200, false, |system, medium| {
        medium.borrow_mut().slow = true;
        let mut mm = system.mm().unwrap();
        put(&mut mm, 0..1, 1);
        assert_eq!((mm.write_some(), mm.pages_lent_to_disk()), (1, 1));
        put(&mut mm, 0..1, 2);
        assert_eq!((mm.pages_lent_to_disk(), mm.dirty_pages(), holds(&mut mm, 0, 2)), (0, 1, true));
        assert_eq!(mm.sync_pages(0, 1), Ok(1));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn too_many_dirty_pages_are_written_and_twice_as_many_waited_for() {
    with_disk(8 * 5000, false, |system, medium| {
        medium.borrow_mut().slow = true;
        system.dma_mut().checker_mut().enable(false);
        let mut mm = system.mm().unwrap();
        let limit = mm.zone.managed_pages() / 8;
        let (mut first_started, mut most) = (None, 0);
        for page in 0..3 * limit {
            put(&mut mm, page..page + 1, 1);
            most = most.max(mm.dirty_pages());
            if mm.pages_lent_to_disk() > 0 {
                first_started.get_or_insert((mm.dirty_pages(), mm.pages_lent_to_disk()));
            }
        }
        assert_eq!((first_started, most), (Some((limit + 1, IN_FLIGHT)), 2 * limit), "as many as there are requests");
        assert!(mm.disk_stats().pages_written >= limit.into());
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn no_more_is_read_ahead_than_asked_for() {
    with_disk(8 * 200, false, |system, _| {
        let mut mm = system.mm().unwrap();
        assert_eq!((mm.read_ahead(10, 4), mm.cached_pages()), (4, 4));
        assert_eq!((mm.read_ahead(8, 8), mm.cached_pages()), (4, 8), "those that are not there");
        assert_eq!((mm.read_ahead(198, 50), mm.read_ahead(200, 1)), (2, 0), "up to the disk's end");
    });
}
