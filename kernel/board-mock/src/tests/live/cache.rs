// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pages of the cache: when there is room for them, how their use is counted, and how they go.

use super::supply::{exhaust, give_back};
use super::{open, verify, with_system};
use migration::live::Mm;
use page_alloc::lru::{Place, REFERENCED};
use page_alloc::policy::{CmaUse, Lend};

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn there_is_room_for_the_cache_until_reclaim_would_wake() {
    for (lend, rest) in [(Lend::Movable, 0), (Lend::Clean, 0), (Lend::None, 1024)] {
        with_system(2, 1, |system, _| {
            let mut mm = system.open_live(CmaUse::Half, lend).unwrap();
            let low = mm.zone.kept_watermarks().low;
            let taken = exhaust(&mut mm, 0);
            assert_eq!(mm.has_room_for_cache(), lend != Lend::None, "{lend:?}: only areas are free");
            give_back(&mut mm, taken);
            let mut page = 0;
            while mm.has_room_for_cache() {
                assert_eq!(mm.cache_read(page), Ok(true));
                page += 1;
                assert_eq!(mm.live.stats.stolen_background, 0, "after {page} pages");
            }
            assert!(mm.zone.nr_free_cma() >= rest && mm.zone.nr_free_pages() <= low + rest, "{lend:?}");
            assert_eq!(mm.cache_read(page), Ok(true));
            assert!(mm.live.stats.stolen_background > 0);
        });
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn clean_pages_that_are_to_be_kept_move() {
    for (keep, counts) in [(false, (0, 64)), (true, (64, 0))] {
        with_system(4, 1, |system, area| {
            let mut mm = open(system);
            (0..64).for_each(|page| assert_eq!(mm.cache_read(page), Ok(true)));
            mm.zone.set_cma_use(CmaUse::Half);
            mm.live.faults.keep_clean_pages = keep;
            let (buffer, report) = system.cma_alloc_reported(area, 1024, 0);
            assert_eq!((report.migrated, report.dropped), counts, "keep={keep}");
            system.cma_release(buffer.unwrap()).unwrap();
            verify(system);
        });
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_second_use_of_an_inactive_page_makes_it_active() {
    with_system(4, 1, |system, _| {
        let mut mm = open(system);
        let used = |mm: &mut Mm<'_, '_>, page| {
            assert_eq!(mm.cache_read(page), Ok(true));
            let tag = mm.zone.tag(mm.zone.frame(mm.cache_frame(page).unwrap()));
            (tag.has(REFERENCED), tag.place())
        };
        assert_eq!(used(&mut mm, 0), (true, Place::Batch));
        mm.drain_lists();
        assert_eq!([0; 3].map(|page| used(&mut mm, page)), [false, true, true].map(|used| (used, Place::Active)));
        assert_eq!(used(&mut mm, 1), (true, Place::Batch));
        mm.drain_lists();
        mm.zone.mark(mm.zone.frame(mm.cache_frame(1).unwrap()), REFERENCED, false);
        assert_eq!([1; 2].map(|page| used(&mut mm, page)), [(true, Place::Inactive), (false, Place::Active)]);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn no_dirty_page_is_left_of_an_evicted_cache() {
    with_system(4, 1, |system, _| {
        let mut mm = open(system);
        (0..20).for_each(|page| mm.cache_write(page).unwrap());
        assert_eq!((mm.cached_pages(), mm.dirty_pages()), (20, 20));
        mm.evict_everybody();
        assert_eq!((mm.cached_pages(), mm.dirty_pages()), (0, 0));
    });
}
