// SPDX-License-Identifier: MIT OR Apache-2.0

//! Free memory is filled with a word, and a write to it is found.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::cell::RefCell;

use super::super::poison::{Damage, FreeRun, POISON_WORD, Poison};
use super::*;

/// The memory to poison: a map with one word for each page.
struct MemoryWords<'w>(&'w RefCell<BTreeMap<u32, u32>>);

impl Poison for MemoryWords<'_> {
    fn fill(&mut self, run: FreeRun) {
        let frames = run.first().0..run.first().0 + run.pages();
        self.0.borrow_mut().extend(frames.map(|frame| (frame, POISON_WORD)));
    }

    fn find_damage(&mut self, run: FreeRun) -> Option<Damage> {
        let words = self.0.borrow();
        let damaged = (run.first().0..run.first().0 + run.pages()).find(|frame| words[frame] != POISON_WORD)?;
        Some(Damage { addr: Pfn(damaged).addr(), found: words[&damaged] })
    }
}

#[test]
fn a_write_to_free_memory_fails_the_checks_until_it_is_told() {
    let words_of = RefCell::new(BTreeMap::new());
    let mut pages = pages(2);
    let mut zone = zone(&mut pages, 1, 1);
    zone.enable_poison(Box::new(MemoryWords(&words_of)));
    assert_eq!(words_of.borrow().len(), 2048, "all that is free is poisoned");
    let block = zone.alloc_pages(3, Unmovable).unwrap();
    words_of.borrow_mut().insert(block.first().0, 0);
    zone.free_pages(block);
    zone.check().unwrap();
    zone.take_range(START.add(1024), 8).unwrap();
    words_of.borrow_mut().insert(START.0 + 1025, 0);
    zone.give_range(START.add(1024), 8);
    zone.check().unwrap();
    words_of.borrow_mut().insert(START.0 + 1027, 0xdead_beef);
    zone.take_range(START.add(1026), 4).unwrap();
    let imbalance = zone.check().unwrap_err();
    assert_eq!((imbalance.frame, imbalance.found), (Some(START.add(1027)), 0xdead_beef));
    let words = "a word of free memory: 0xaaaaaaaa expected, 0xdeadbeef found, at pfn ";
    assert!(std::format!("{imbalance}").starts_with(words), "{imbalance}");
    zone.give_range(START.add(1026), 4);
    assert!(zone.check().is_err(), "also when the memory is whole again");
    assert_eq!(zone.forget_damage(), 0);
    zone.check().unwrap();
    zone.take_range(START.add(1026), 4).unwrap();
    zone.check().expect("it was poisoned again");
    zone.give_range(START.add(1026), 4);
    for frame in [1024, 1028] {
        words_of.borrow_mut().insert(START.0 + frame, frame);
        zone.take_range(START.add(frame), 1).unwrap();
    }
    assert_eq!(zone.check().unwrap_err().frame, Some(START.add(1024)), "the first of a second damage");
    assert_eq!((zone.forget_damage(), zone.check()), (1, Ok(())));
}

/// Allocating verifies pages and freeing fills them: each way of both is tried with a word that was
/// written to a page while it was free, and while it was in use.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn every_way_out_verifies_the_poison_and_every_way_in_fills_it() {
    type Way = (&'static str, fn(&mut Zone<'_>) -> Pfn, fn(&mut Zone<'_>, Pfn));
    let ways: [Way; 7] = [
        ("a block", |zone| taken_block(zone, 0, Movable), |zone, first| zone.free_pages(Block::new(first, 0))),
        ("a stolen block", |zone| taken_block(zone, 0, Unmovable), |zone, first| zone.free_pages(Block::new(first, 0))),
        ("a range", |zone| zone.take_range(START, 1).map(|()| START).unwrap(), |zone, first| zone.give_range(first, 1)),
        (
            "a page through a per-CPU list",
            |zone| page_at(zone, |zone| zone.alloc_page(Movable, true)),
            |zone, first| {
                zone.free_page(zone.frame(first));
                zone.drain_all_pages();
            },
        ),
        (
            "a page past the per-CPU lists",
            |zone| page_at(zone, |zone| zone.alloc_page(Movable, false)),
            |zone, first| {
                let index = zone.frame(first);
                zone.free_to_buddy(index);
            },
        ),
        (
            "a page around a barred area",
            |zone| {
                zone.bar_area(START.add(PAGEBLOCK_PAGES), PAGEBLOCK_PAGES);
                let frame = page_at(zone, |zone| zone.alloc_page(Movable, true));
                zone.unbar_area();
                assert!(frame >= START.add(2 * PAGEBLOCK_PAGES), "of the other area");
                frame
            },
            |zone, first| zone.give_range(first, 1),
        ),
        (
            "pages in bulk",
            |zone| {
                let mut targets = [Frame(0)];
                assert_eq!(zone.alloc_pages_bulk(&mut targets, 0, true), 1);
                zone.pfn(targets[0])
            },
            |zone, first| zone.free_isolated(zone.frame(first), 1),
        ),
    ];
    for (way, take, give) in ways {
        let words = RefCell::new(BTreeMap::new());
        let mut pages = pages(3);
        let mut zone = zone(&mut pages, 1, 2);
        zone.enable_poison(Box::new(MemoryWords(&words)));
        let frame = take(&mut zone);
        words.borrow_mut().insert(frame.0, 0);
        give(&mut zone, frame);
        assert_eq!(words.borrow()[&frame.0], POISON_WORD, "{way}: a page that was used is filled");
        zone.check().unwrap_or_else(|imbalance| panic!("{way}: {imbalance}"));
        words.borrow_mut().values_mut().for_each(|word| *word = 7);
        let frame = take(&mut zone);
        let imbalance = zone.check().expect_err(way);
        assert_eq!((imbalance.frame, imbalance.found), (Some(frame), 7), "{way}");
    }
}
