// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tags and their marks, the LRU lists, and frames that are freed together.

use super::super::free_list::Ring;
use super::super::isolate::FreedRun;
use super::super::lru::{ACTIVE, DIRTY, FILE, LruPages, PINNED, Place, REFERENCED};
use super::super::page::{RelocatableBuffer, State, Tag};
use super::*;

/// Every place that an allocated page can be in.
const PLACES: [Place; 6] = [Place::None, Place::Batch, Place::Inactive, Place::Active, Place::Isolated, Place::Moved];

#[test]
fn a_tag_keeps_order_type_and_marks_apart() {
    for migratetype in Migratetype::ALL {
        for order in 0..=MAX_PAGE_ORDER {
            let tag = Tag::allocated(order, migratetype);
            assert_eq!((tag.marks(), tag.place()), (0, Place::None));
            for marks in [0, 1, FILE, ACTIVE | PINNED, 0x80, 0xff] {
                let marked = tag.with_marks(0x5a).with_marks(marks);
                assert_eq!((marked.marks(), marked.with_marks(0)), (marks, tag));
                assert_eq!((marked.order(), marked.migratetype()), (order, migratetype));
            }
            let free = Tag::free(order, migratetype);
            assert_eq!((free.state(), free.order(), free.migratetype()), (State::Free, order, migratetype));
        }
    }
}

#[test]
fn a_buffer_that_may_be_moved_keeps_its_alignment_and_has_no_order() {
    let mut pages = pages(1);
    let mut zone = zone(&mut pages, 0, 1);
    for align_order in 0..=MAX_PAGE_ORDER {
        zone.take_range(START, 4).unwrap();
        let buffer = RelocatableBuffer { tag: 7, pages: 4, align_order, owner: 9 };
        zone.set_relocatable(START, buffer);
        assert_eq!((zone.relocatable(START), zone.held(START)), (Some(buffer), None));
        let tag = zone.tag(Frame(0));
        assert_eq!((tag.state(), tag.order(), tag.marks()), (State::Relocatable, 0, 0));
        zone.check().unwrap();
        zone.unhold(START);
        assert_eq!((zone.relocatable(START), zone.tag(Frame(0))), (None, Tag::BODY));
        zone.give_range(START, 4);
    }
}

#[test]
fn a_place_changes_and_the_other_marks_stay() {
    let mut pages = pages(1);
    let mut zone = zone(&mut pages, 1, 0);
    let page = living(&mut zone, FILE | ACTIVE | REFERENCED | PINNED | DIRTY);
    for from in PLACES {
        for to in PLACES {
            zone.set_place(page, from);
            zone.set_place(page, to);
            let tag = zone.tag(page);
            assert_eq!((tag.place(), tag.marks() >> 3, tag.state()), (to, 0x1f, State::Allocated));
            assert_eq!(zone.is_at(page, to), to != Place::None, "what is nowhere does not live");
            assert_eq!(tag.is_on_lru(), [Place::Inactive, Place::Active].contains(&to));
        }
    }
}

/// Allocates a page in use with `marks`, which is on no LRU list yet.
fn living(zone: &mut Zone<'_>, marks: u8) -> Frame {
    let page = zone.alloc_page(Movable, true).unwrap();
    zone.bring_to_life(page, marks, 5, Place::Batch);
    page
}

/// Returns the pages of a list from its head, as indices in `pages`.
fn places(zone: &Zone<'_>, pages: &[Frame], ring: Ring) -> Vec<usize> {
    let place = |page| pages.iter().position(|&other| other == page).unwrap();
    let found: Vec<usize> = zone.ring_pages(ring).map(place).collect();
    assert_eq!(found.len() as u32, zone.ring_count(ring));
    found
}

/// Makes three pages of each kind, on the four LRU lists in turn.
fn four_lists(zone: &mut Zone<'_>) -> Vec<Frame> {
    let kinds = [0, ACTIVE, FILE, FILE | ACTIVE];
    let pages: Vec<Frame> = (0..12).map(|number| living(zone, kinds[number % 4])).collect();
    pages.iter().for_each(|&page| zone.lru_add(page));
    pages
}

const RINGS: [Ring; 4] = [Ring::InactiveAnon, Ring::ActiveAnon, Ring::InactiveFile, Ring::ActiveFile];

#[test]
fn a_page_enters_the_head_of_the_list_of_its_kind() {
    let mut pages = pages(1);
    let mut zone = zone(&mut pages, 1, 0);
    let pages = four_lists(&mut zone);
    for (kind, ring) in RINGS.into_iter().enumerate() {
        assert_eq!(places(&zone, &pages, ring), [kind + 8, kind + 4, kind]);
        let (file, active) = (kind >= 2, kind % 2 == 1);
        assert_eq!((zone.lru_pages(file, active), zone.lru_last(file, active)), (3, Some(pages[kind])));
        assert!(zone.is_at(pages[kind], if active { Place::Active } else { Place::Inactive }));
    }
    zone.lru_set_active(pages[4], true);
    zone.lru_set_active(pages[3], false);
    zone.lru_remove(pages[10]);
    assert_eq!(zone.lru(), LruPages { inactive_anon: 2, active_anon: 4, inactive_file: 3, active_file: 2 });
    assert_eq!(places(&zone, &pages, Ring::ActiveAnon), [4, 9, 5, 1]);
    assert_eq!(places(&zone, &pages, Ring::InactiveFile), [3, 6, 2]);
    assert_eq!((zone.tag(pages[10]).place(), zone.living(pages[10])), (Place::None, None));
}

#[test]
fn what_was_isolated_goes_back_to_where_it_was() {
    let mut pages = pages(1);
    let mut zone = zone(&mut pages, 1, 0);
    let pages = four_lists(&mut zone);
    for (kind, ring) in RINGS.into_iter().enumerate() {
        for page in [kind, kind + 4, kind + 8].map(|number| pages[number]) {
            let before = zone.tag(page);
            let spot = zone.lru_isolate(page).unwrap();
            assert_eq!((zone.ring_count(ring), zone.is_at(page, Place::Isolated)), (2, true));
            assert_eq!((zone.lru_isolate(page), spot.marks), (None, before.marks()));
            zone.lru_put_back(page, spot);
            assert_eq!(zone.tag(page), before);
            assert_eq!(places(&zone, &pages, ring), [kind + 8, kind + 4, kind]);
        }
    }
}

#[test]
fn without_its_neighbour_it_goes_back_to_the_head() {
    for kind in 0..4 {
        // The neighbour is freed, of the other age or kind, isolated, or in use and on no list.
        let fates: [fn(&mut Zone<'_>, Frame); 5] = [
            |zone, page| {
                zone.lru_remove(page);
                zone.free_page(page);
            },
            |zone, page| zone.lru_set_active(page, !zone.tag(page).has(ACTIVE)),
            |zone, page| {
                zone.lru_isolate(page).unwrap();
                zone.mark(page, FILE, !zone.tag(page).has(FILE));
                zone.lru_add(page);
            },
            |zone, page| assert!(zone.lru_isolate(page).is_some()),
            |zone, page| zone.lru_remove(page),
        ];
        for (number, fate) in fates.into_iter().enumerate() {
            let mut pages = pages(1);
            let mut zone = zone(&mut pages, 1, 0);
            let pages = four_lists(&mut zone);
            let spot = zone.lru_isolate(pages[kind]).unwrap();
            assert_eq!(spot.neighbour, pages[kind + 4].0);
            fate(&mut zone, pages[kind + 4]);
            zone.lru_put_back(pages[kind], spot);
            assert_eq!(places(&zone, &pages, RINGS[kind]), [kind, kind + 8], "list {kind}, fate {number}");
        }
    }
}

#[test]
fn put_back_it_is_as_active_as_it_was_and_referenced_if_ever() {
    for bits in 0..8_u8 {
        let [was_active, was_referenced, is_referenced] = [0, 1, 2].map(|bit| bits >> bit & 1 != 0);
        let mut pages = pages(1);
        let mut zone = zone(&mut pages, 1, 0);
        let page = living(&mut zone, DIRTY);
        zone.mark(page, ACTIVE, was_active);
        zone.mark(page, REFERENCED, was_referenced);
        zone.lru_add(page);
        let spot = zone.lru_isolate(page).unwrap();
        zone.mark(page, ACTIVE, !was_active);
        zone.mark(page, REFERENCED, is_referenced);
        zone.mark(page, PINNED, true);
        zone.mark(page, DIRTY, false);
        zone.lru_put_back(page, spot);
        let tag = zone.tag(page);
        let marks = [ACTIVE, REFERENCED, PINNED, DIRTY, FILE].map(|mark| tag.has(mark));
        assert_eq!(marks, [was_active, was_referenced || is_referenced, true, false, false], "{bits:03b}");
        assert_eq!(zone.lru_pages(false, was_active), 1);
    }
}

#[test]
fn a_moved_page_enters_its_list_once() {
    let mut pages = pages(1);
    let mut zone = zone(&mut pages, 1, 0);
    let (waits, active) = (living(&mut zone, FILE), living(&mut zone, ACTIVE));
    zone.lru_add_moved(waits);
    assert_eq!(zone.lru(), LruPages { inactive_anon: 0, active_anon: 0, inactive_file: 0, active_file: 0 });
    for page in [waits, active] {
        zone.set_place(page, Place::Moved);
        zone.lru_add_moved(page);
        zone.lru_add_moved(page);
    }
    assert_eq!(zone.lru(), LruPages { inactive_anon: 0, active_anon: 1, inactive_file: 1, active_file: 0 });
    assert_eq!([waits, active].map(|page| zone.tag(page).place()), [Place::Inactive, Place::Active]);
}

#[test]
fn frames_freed_together_are_those_freed_one_by_one_in_any_order() {
    let orders: [&[u32]; 6] = [
        &[0, 1, 2, 3, 4, 5, 6, 7],
        &[7, 6, 5, 4, 3, 2, 1, 0],
        &[5, 4],
        &[2, 3, 9, 10, 11, 1],
        &[1, 3, 5, 7, 9],
        &[8, 4, 5, 6, 3, 2, 9],
    ];
    for order in orders {
        let freed = |together: bool| {
            let mut pages = pages(1);
            let mut zone = zone(&mut pages, 0, 1);
            zone.take_range(START, 16).unwrap();
            zone.start_isolate_page_range(START, 16);
            let mut run = FreedRun::default();
            for &frame in order {
                run.add(&mut zone, Frame(frame));
                if !together {
                    run.end(&mut zone);
                }
            }
            run.end(&mut zone);
            run.end(&mut zone);
            zone.check().unwrap();
            let free: Vec<u32> = (0..16).filter(|&frame| zone.is_free(START.add(frame))).collect();
            let mut expected = order.to_vec();
            expected.sort_unstable();
            assert_eq!(free, expected, "{order:?}");
            let blocks = |order| zone.lists.iter(order, Migratetype::Isolate).collect::<Vec<_>>();
            (0..=MAX_PAGE_ORDER).map(blocks).collect::<Vec<_>>()
        };
        assert_eq!(freed(true), freed(false), "{order:?}");
    }
}
