// SPDX-License-Identifier: MIT OR Apache-2.0

//! Findings of the check: each rule of the accounting, broken once.

use super::super::page::Tag;
use super::super::{AllocError, Imbalance};
use super::*;

/// Returns what the check finds in a zone of 2 pageblocks of RAM and 1 of an area after `spoil`.
fn found_after(spoil: fn(&mut Zone<'_>)) -> Imbalance {
    let mut pages = pages(3);
    let mut zone = zone(&mut pages, 2, 1);
    zone.check().unwrap();
    spoil(&mut zone);
    zone.check().unwrap_err()
}

#[test]
fn whatever_is_wrong_is_named() {
    type Spoil = fn(&mut Zone<'_>);
    let wrong: [(&str, Option<u32>, Spoil); 13] = [
        ("a block on a free list is free", Some(0), |zone| {
            zone.lists.set_tag(Frame(0), Tag::allocated(10, Movable));
        }),
        ("the order of a free block", Some(0), |zone| zone.lists.set_tag(Frame(0), Tag::free(9, Movable))),
        ("the migratetype of a free block", Some(0), |zone| zone.lists.set_tag(Frame(0), Tag::free(10, Unmovable))),
        ("the alignment of a free block", Some(513), |zone| {
            taken_block(zone, 10, Movable);
            zone.lists.push::<false>(zone.lists.pageblock_of(Frame(513)), Frame(513), 9, Movable);
        }),
        ("blocks of CMA and isolated pageblocks keep apart", Some(0), |zone| zone.pageblocks[0] = Cma),
        ("blocks of CMA and isolated pageblocks keep apart", Some(2048), |zone| zone.pageblocks[2] = Movable),
        ("free buddies that did not merge", Some(6), |zone| {
            taken_block(zone, 10, Movable);
            for page in [4, 6] {
                zone.lists.push::<false>(zone.lists.pageblock_of(Frame(page)), Frame(page), 1, Movable);
            }
        }),
        ("a block inside a block", Some(1), |zone| zone.lists.set_tag(Frame(1), Tag::PCP)),
        ("a block inside a block", Some(1023), |zone| zone.lists.set_tag(Frame(1023), Tag::HELD)),
        ("free blocks that are on no list", None, |zone| {
            zone.lists.unlink(Frame(0));
            zone.lists.set_tag(Frame(0), Tag::free(10, Movable));
        }),
        ("free pages outside areas", None, |zone| zone.count_free(1, Movable)),
        ("free CMA pages", None, |zone| zone.count_taken(1, Cma)),
        ("CMA pageblocks", None, |zone| {
            taken_block(zone, 10, Unmovable);
            let block = zone.pageblocks.iter().position(|&block| block == Unmovable).unwrap();
            zone.pageblocks[block] = Cma;
        }),
    ];
    for (what, frame, spoil) in wrong {
        let Imbalance { what: found, frame: at, .. } = found_after(spoil);
        assert_eq!((found, at), (what, frame.map(|frame| START.add(frame))));
    }
}

#[test]
fn a_list_that_does_not_end_is_found() {
    let imbalance = found_after(|zone| zone.lists.join(0, 0));
    assert_eq!((imbalance.what, imbalance.found), ("blocks on a free list that ends", 3 * PAGEBLOCK_PAGES + 1));
}

#[test]
fn an_imbalance_says_what_was_expected_and_where() {
    let imbalance = Imbalance { what: "a count", frame: Some(Pfn(0x1234)), expected: 2, found: 3 };
    assert_eq!(std::format!("{imbalance}"), "a count: 2 expected, 3 found, at pfn 0x1234");
    let nowhere = Imbalance { frame: None, ..imbalance };
    assert_eq!(std::format!("{nowhere}"), "a count: 2 expected, 3 found");
}

#[test]
fn a_request_that_cannot_be_served_says_why() {
    let mut pages = pages(2);
    let mut zone = zone(&mut pages, 1, 1);
    let mut why = |order, migratetype| zone.alloc_pages(order, migratetype).unwrap_err();
    for order in [11, 12, 31] {
        assert_eq!(why(order, Movable), AllocError::OrderTooLarge { order });
    }
    assert_eq!(std::format!("{}", why(11, Cma)), "no block has 2048 pages, the largest has 1024");
    assert_eq!(why(0, Cma), AllocError::NotRequestable { migratetype: Cma });
    assert_eq!(std::format!("{}", why(10, Migratetype::Isolate)), "Isolate pages cannot be asked for");
    taken_block(&mut zone, 10, Movable);
    taken_block(&mut zone, 3, Movable);
    let error = zone.alloc_pages(10, Reclaimable).unwrap_err();
    assert_eq!(error, AllocError::NoBlock { order: 10, free: 1016, free_cma: zone.nr_free_cma() });
}

#[test]
fn migratetypes_have_the_names_of_pagetypeinfo() {
    let names = Migratetype::ALL.map(Migratetype::name);
    assert_eq!(names, ["Unmovable", "Movable", "Reclaimable", "HighAtomic", "CMA", "Isolate"]);
    for migratetype in Migratetype::ALL {
        assert_eq!(Tag::free(0, migratetype).migratetype(), migratetype);
    }
}
