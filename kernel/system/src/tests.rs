// SPDX-License-Identifier: MIT OR Apache-2.0
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::System;
use cma::{AreaId, Buffer, CmaError, ReleaseError};
use page_alloc::zone::{Zone, descriptors};
use page_alloc::{MAX_PAGE_ORDER, Migratetype, PAGEBLOCK_PAGES, Page};
use units::Pfn;

const START: Pfn = Pfn(0x60000);

/// Makes a system of two pageblocks of RAM, then areas of two pageblocks and of one.
fn system(pages: &mut [Page]) -> (System<'_>, AreaId, AreaId) {
    let mut zone = Zone::new(START, pages);
    zone.free_range(START, 2 * PAGEBLOCK_PAGES);
    let mut system = System::new(zone, Vec::new());
    let first = system.activate_area("first".to_string(), START.add(2048), 2048, true);
    let second = system.activate_area("second".to_string(), START.add(4096), 1024, false);
    (system, first, second)
}

fn pages() -> Vec<Page> {
    vec![Page::default(); descriptors(5 * PAGEBLOCK_PAGES)]
}

fn place(system: &System, buffer: &Buffer) -> u32 {
    buffer.first().0 - system.area(buffer.area()).base().0
}

#[test]
fn errors_say_full_or_fragmented_or_busy_or_which_argument() {
    let mut pages = pages();
    let (mut system, first, second) = system(&mut pages);
    assert_eq!(system.cma_alloc(second, 1025, 0), Err(CmaError::Full { free: 1024 }));
    assert_eq!(system.cma_alloc(second, 0, 0), Err(CmaError::Invalid { argument: "number of pages" }));
    assert_eq!(system.cma_alloc(second, 1, 21), Err(CmaError::Invalid { argument: "alignment order" }));
    assert_eq!(system.cma_alloc(second, 0, 0).map_err(|error| error.cause()), Err("invalid"));
    assert_eq!(system.cma_alloc(second, u32::MAX, 20), Err(CmaError::Full { free: 1024 }));
    let buffers: Vec<Buffer> = (0..4).map(|_| system.cma_alloc(second, 256, 8).unwrap()).collect();
    for (n, buffer) in buffers.into_iter().enumerate() {
        if n % 2 == 0 {
            system.cma_release(buffer).unwrap();
        }
    }
    let fragmented = CmaError::Fragmented { free: 512 };
    assert_eq!(system.cma_alloc(second, 257, 0), Err(fragmented));
    let area = system.area(second);
    assert_eq!(area.explain(fragmented).to_string(), "fragmented: 512 pages free, longest free run 256");
    let full = CmaError::Full { free: 512 };
    assert_eq!(area.explain(full).to_string(), full.to_string());

    let taken: Vec<_> =
        (0..2).map(|_| system.zone_mut().alloc_pages(MAX_PAGE_ORDER, Migratetype::Unmovable).unwrap()).collect();
    assert_eq!(taken.len(), 2);
    let lent: Vec<_> =
        (0..2).map(|_| system.zone_mut().alloc_pages(MAX_PAGE_ORDER, Migratetype::Movable).unwrap()).collect();
    assert!(lent.iter().all(|block| block.first() >= START.add(2048) && block.first() < START.add(4096)));
    let busy = system.cma_alloc(first, 1, 0);
    let frame = START.add(2048);
    assert!(matches!(busy, Err(CmaError::Busy(blocked)) if blocked.frame == frame), "{busy:?}");
    system.check().unwrap();
    assert_eq!((system.area(first).stats().alloc_fail, system.area(second).stats().alloc_fail), (1, 3));
}

#[test]
fn the_search_goes_on_behind_a_busy_candidate() {
    let mut pages = pages();
    let (mut system, first, _) = system(&mut pages);
    let taken: Vec<_> =
        (0..2).map(|_| system.zone_mut().alloc_pages(MAX_PAGE_ORDER, Migratetype::Unmovable).unwrap()).collect();
    assert_eq!(taken.len(), 2);
    let lent: Vec<_> = (0..64).map(|_| system.zone_mut().alloc_pages(0, Migratetype::Movable).unwrap()).collect();
    let top = lent.iter().map(|block| block.first()).filter(|&frame| frame < START.add(4096)).max();
    let buffer = system.cma_alloc(first, 100, 7).unwrap();
    assert!(top.is_none_or(|top| buffer.first() > top || buffer.first().0 + 100 <= START.0 + 4096));
    assert_eq!(place(&system, &buffer) % 128, 0);
    system.check().unwrap();
    lent.into_iter().for_each(|block| system.zone_mut().free_pages(block));
    system.cma_release(buffer).unwrap();
    system.check().unwrap();
    assert_eq!(system.zone().free_blocks(10, Migratetype::Cma), 3);
}

#[test]
fn a_buffer_is_taken_back_once() {
    let mut pages = pages();
    let (mut system, first, second) = system(&mut pages);
    let buffer = system.cma_alloc(first, 5, 3).unwrap();
    let forged = Buffer::new(first, buffer.first(), 6);
    assert_eq!(system.cma_release(forged), Err(ReleaseError::NotAllocated { frame: buffer.first().add(5) }));
    let foreign = Buffer::new(second, buffer.first(), 5);
    assert_eq!(system.cma_release(foreign), Err(ReleaseError::OutsideArea { frame: buffer.first() }));
    let copy = Buffer::new(first, buffer.first(), 5);
    system.cma_release(buffer).unwrap();
    assert!(matches!(system.cma_release(copy), Err(ReleaseError::NotAllocated { .. })));
    system.check().unwrap();
    assert_eq!(system.area(first).used_pages(), 0);
}

#[test]
fn kept_buffers_come_back_by_identifier_or_all_at_once() {
    let mut pages = pages();
    let (mut system, first, second) = system(&mut pages);
    let mut keep = |area, n| {
        let buffer = system.cma_alloc(area, n, 0).unwrap();
        system.keep(buffer)
    };
    assert_eq!([keep(first, 3), keep(second, 1), keep(first, 700)], [1, 2, 3]);
    let loose = system.cma_alloc(first, 9, 0).unwrap();
    assert_eq!(system.kept(first).map(|kept| (kept.id, kept.pages)).collect::<Vec<_>>(), [(1, 3), (3, 700)]);
    let back = system.take_back(2).unwrap();
    assert_eq!((back.area(), back.pages()), (second, 1));
    system.cma_release(back).unwrap();
    assert_eq!((system.take_back(2), system.take_back(0), system.take_back(99)), (None, None, None));
    assert_eq!(system.release_all(first), 2);
    assert_eq!(system.area(first).used_pages(), 9, "what was never kept is not touched");
    system.cma_release(loose).unwrap();
    system.check().unwrap();
    assert_eq!(system.zone().nr_free_cma(), 3072);
}

#[test]
fn the_books_notice_what_does_not_balance() {
    let mut pages = pages();
    let (mut system, first, _) = system(&mut pages);
    system.check().unwrap();
    system.area_mut(first).reserve(5, 3);
    assert!(system.check().is_err(), "bits are set, and the pages are free");
    let base = system.area(first).base();
    system.area_mut(first).release(base.add(5), 3).unwrap();
    system.check().unwrap();
    let buffer = system.cma_alloc(first, 16, 4).unwrap();
    system.zone_mut().give_range(buffer.first(), 4);
    assert!(system.check().is_err(), "pages are free whose bits are set");
    system.zone_mut().take_range(buffer.first(), 4).unwrap();
    system.check().unwrap();
    system.area_mut(first).release(buffer.first(), 16).unwrap();
    assert!(system.check().is_err(), "pages are in no place");
}

/// Finds by a plain search the lowest aligned place that is free.
fn plain_place(free: &[bool], pages: u32, order: u32) -> Option<u32> {
    (0..free.len() as u32)
        .step_by(1 << order)
        .find(|&at| at + pages <= 2048 && free[at as usize..(at + pages) as usize].iter().all(|&page| page))
}

proptest! {
    #![proptest_config(property::config(48))]

    #[test]
    #[cfg_attr(miri, ignore = "checks every page after every step")]
    fn any_load_is_placed_as_the_plain_model_places_it(
        steps in prop::collection::vec((any::<bool>(), any::<u32>(), prop_oneof![1..60u32, 1..600u32], 0..12u32),
                                       1..200)
    ) {
        let mut pages = pages();
        let (mut system, area, _) = system(&mut pages);
        let mut free = vec![true; 2048];
        let mut buffers = Vec::new();
        for (release, which, pages, order) in steps {
            if release && !buffers.is_empty() {
                let buffer: Buffer = buffers.swap_remove(which as usize % buffers.len());
                let at = place(&system, &buffer) as usize;
                free[at..at + buffer.pages() as usize].fill(true);
                prop_assert_eq!(system.cma_release(buffer), Ok(()));
            } else {
                let expected = plain_place(&free, pages, order);
                let buffer = system.cma_alloc(area, pages, order);
                prop_assert_eq!(buffer.as_ref().ok().map(|buffer| place(&system, buffer)), expected);
                if let Ok(buffer) = buffer {
                    let at = place(&system, &buffer) as usize;
                    free[at..at + pages as usize].fill(false);
                    buffers.push(buffer);
                }
            }
            prop_assert_eq!(system.check(), Ok(()));
        }
        for buffer in buffers {
            prop_assert_eq!(system.cma_release(buffer), Ok(()));
        }
        prop_assert_eq!(system.check(), Ok(()));
        prop_assert_eq!(system.zone().free_blocks(10, Migratetype::Cma), 3);
    }
}
