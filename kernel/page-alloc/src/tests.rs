// SPDX-License-Identifier: MIT OR Apache-2.0

//! The buddy allocator against a plain model, with a consistency check after every step.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::frame::Frame;
use super::page::FreeOf;
use super::zone::{Zone, descriptors};
use super::{Block, MAX_PAGE_ORDER, Migratetype, PAGEBLOCK_PAGES, Page};
use Migratetype::{Cma, Movable, Reclaimable, Unmovable};
use units::Pfn;

mod barred;
mod check;
mod lru;
mod pages;
mod poison;

const START: Pfn = Pfn(0x60000);

/// Makes the descriptors of a test's own zone.
fn pages(pageblocks: u32) -> Vec<Page> {
    vec![Page::default(); descriptors(pageblocks * PAGEBLOCK_PAGES)]
}

/// Makes a zone whose first pageblocks are free RAM and whose last ones are a CMA area.
fn zone(pages: &mut [Page], ram: u32, cma: u32) -> Zone<'_> {
    let mut zone = Zone::new(START, pages);
    zone.free_range(START, ram * PAGEBLOCK_PAGES);
    zone.free_cma_range(START.add(ram * PAGEBLOCK_PAGES), cma * PAGEBLOCK_PAGES);
    zone
}

/// Free blocks by order and type.
fn lists(zone: &Zone) -> Vec<u32> {
    (0..=MAX_PAGE_ORDER).flat_map(|order| Migratetype::ALL.map(|mt| zone.free_blocks(order, mt))).collect()
}

/// Free blocks by order alone.
fn orders(zone: &Zone) -> Vec<u32> {
    (0..=MAX_PAGE_ORDER).map(|order| Migratetype::ALL.iter().map(|&mt| zone.free_blocks(order, mt)).sum()).collect()
}

#[test]
fn a_zone_begins_with_whole_pageblocks() {
    let mut pages = pages(6);
    let zone = zone(&mut pages, 4, 2);
    assert_eq!((zone.nr_free_pages(), zone.nr_free_cma(), zone.managed_pages()), (6144, 2048, 6144));
    assert_eq!((zone.free_blocks(10, Movable), zone.free_blocks(10, Cma)), (4, 2));
    assert_eq!((zone.pageblocks_of(Movable), zone.pageblocks_of(Cma)), (4, 2));
    zone.check().unwrap();
}

#[test]
fn a_ragged_range_is_freed_as_its_largest_aligned_blocks() {
    let mut pages = pages(2);
    let mut zone = Zone::new(START, &mut pages);
    zone.free_range(START.add(3), 1024);
    // 3, 4-7, 8-15, … 512-1023, then 1024-1025 and 1026.
    assert_eq!(orders(&zone), [2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
    zone.check().unwrap();
}

#[test]
fn only_movable_requests_take_cma_pages() {
    let mut pages = pages(2);
    let mut zone = zone(&mut pages, 1, 1);
    let mut held = Vec::new();
    while let Ok(block) = zone.alloc_pages(0, Unmovable) {
        assert!(block.first() < START.add(PAGEBLOCK_PAGES));
        held.push(block);
    }
    assert_eq!((held.len(), zone.nr_free_pages(), zone.nr_free_cma()), (1024, 1024, 1024));
    assert!(zone.alloc_pages(0, Reclaimable).is_err());
    let error = zone.alloc_pages(3, Unmovable).unwrap_err();
    assert_eq!(std::format!("{error}"), "no block of order 3: 1024 pages free, 1024 of them CMA");
    assert!(zone.alloc_pages(0, Movable).is_ok_and(|block| block.first() >= START.add(PAGEBLOCK_PAGES)));
    assert_eq!(zone.pageblocks_of(Cma), 1);
    zone.check().unwrap();
}

#[test]
fn a_movable_request_takes_cma_first_when_most_free_memory_is_there() {
    let mut pages = pages(4);
    let mut zone = zone(&mut pages, 1, 3);
    let block = zone.alloc_pages(0, Movable).unwrap();
    assert_eq!(zone.nr_free_cma(), 3 * 1024 - 1);
    zone.free_pages(block);
    let cma: Vec<Block> = (0..2).map(|_| zone.alloc_pages(10, Movable).unwrap()).collect();
    assert_eq!((zone.nr_free_cma(), zone.nr_free_pages()), (1024, 2048));
    let block = zone.alloc_pages(0, Movable).unwrap();
    assert_eq!(zone.nr_free_cma(), 1024, "exactly half is not more than half");
    zone.free_pages(block);
    cma.into_iter().for_each(|block| zone.free_pages(block));
    assert_eq!((zone.free_blocks(10, Movable), zone.free_blocks(10, Cma)), (1, 3));
}

#[test]
fn pageblocks_that_are_free_forget_who_claimed_them() {
    let mut pages = pages(4);
    let mut zone = zone(&mut pages, 3, 1);
    let before = lists(&zone);
    let blocks = [Unmovable, Reclaimable].map(|migratetype| zone.alloc_pages(0, migratetype).unwrap());
    assert_eq!((zone.pageblocks_of(Unmovable), zone.pageblocks_of(Reclaimable)), (1, 1));
    let [unmovable, reclaimable] = blocks;
    zone.free_pages(reclaimable);
    zone.forget_types();
    assert_eq!((zone.pageblocks_of(Unmovable), zone.pageblocks_of(Movable)), (1, 2), "one of them is in use");
    zone.check().unwrap();
    zone.free_pages(unmovable);
    zone.forget_types();
    assert_eq!((zone.pageblocks_of(Movable), zone.pageblocks_of(Cma)), (3, 1));
    assert_eq!(lists(&zone), before);
    zone.check().unwrap();
}

#[test]
fn an_unmovable_request_claims_a_pageblock_that_is_mostly_free() {
    let mut pages = pages(2);
    let mut zone = zone(&mut pages, 2, 0);
    let block = zone.alloc_pages(0, Unmovable).unwrap();
    assert_eq!((zone.pageblocks_of(Unmovable), zone.pageblocks_of(Movable)), (1, 1));
    assert_eq!((0..10).map(|order| zone.free_blocks(order, Unmovable)).sum::<u32>(), 10);
    zone.free_pages(block);
    assert_eq!(zone.free_blocks(10, Unmovable), 1, "the type stays, as on Linux");
    zone.check().unwrap();
}

#[test]
fn a_pageblock_in_movable_use_keeps_its_type() {
    let mut pages = pages(1);
    let mut zone = zone(&mut pages, 1, 0);
    let movable: Vec<Block> = (0..5).map(|_| zone.alloc_pages(7, Movable).unwrap()).collect();
    let block = zone.alloc_pages(0, Unmovable).unwrap();
    assert_eq!(zone.pageblocks_of(Unmovable), 0, "384 pages free and none alike are less than half");
    zone.check().unwrap();
    zone.free_pages(block);
    movable.into_iter().for_each(|block| zone.free_pages(block));
    assert_eq!(orders(&zone)[10], 1);
}

#[test]
fn a_small_movable_request_takes_the_smallest_foreign_block() {
    let mut pages = pages(1);
    let mut zone = Zone::new(START, &mut pages);
    zone.free_range(START, 4 + 16);
    // After this, all memory is unmovable, in blocks of 4 and 16 pages.
    let first = zone.alloc_pages(4, Unmovable).unwrap();
    zone.free_pages(first);
    let before = orders(&zone);
    let page = zone.alloc_pages(1, Movable).unwrap();
    assert_eq!(zone.free_blocks(4, Movable) + zone.free_blocks(4, Unmovable), 1, "the block of 16 is left whole");
    zone.free_pages(page);
    zone.check().unwrap();
    assert_eq!(orders(&zone), before);
}

/// Lets a movable request take a page of the first of two unmovable blocks of 2^`order` pages.
/// Returns how many blocks of that order are still unmovable, and how many are movable.
fn two_blocks_after_a_movable_request(order: u32) -> (u32, u32) {
    let mut pages = pages(1);
    let mut zone = Zone::new(START, &mut pages);
    zone.free_range(START, 1 << order);
    zone.free_range(START.add(2 << order), 1 << order);
    let block = zone.alloc_pages(order, Unmovable).unwrap();
    zone.free_pages(block);
    assert_eq!((zone.free_blocks(order, Unmovable), zone.pageblocks_of(Unmovable)), (2, 1));
    taken_block(&mut zone, 0, Movable);
    zone.check().unwrap();
    (zone.free_blocks(order, Unmovable), zone.free_blocks(order, Movable))
}

#[test]
fn a_movable_request_claims_a_pageblock_from_half_its_order_on() {
    assert_eq!(two_blocks_after_a_movable_request(4), (1, 0), "the other block stays unmovable");
    assert_eq!(two_blocks_after_a_movable_request(5), (0, 1), "the other block is movable, too");
}

#[test]
fn half_a_pageblock_is_enough_to_claim_it() {
    for (single_pages, claimed) in [(0, 1), (1, 0)] {
        let mut pages = pages(1);
        let mut zone = zone(&mut pages, 1, 0);
        taken_block(&mut zone, 9, Movable);
        (0..single_pages).for_each(|_| _ = taken_block(&mut zone, 0, Movable));
        taken_block(&mut zone, 0, Unmovable);
        assert_eq!(zone.pageblocks_of(Unmovable), claimed, "{} pages movable", 512 + single_pages);
        zone.check().unwrap();
    }
}

#[test]
fn for_a_movable_request_pages_in_movable_use_are_alike() {
    for (movable, claimed) in [(8, 1), (7, 0)] {
        let mut pages = pages(1);
        let mut zone = zone(&mut pages, 1, 0);
        taken_block(&mut zone, movable, Movable);
        taken_block(&mut zone, 9, Unmovable);
        if movable == 7 {
            taken_block(&mut zone, 7, Unmovable);
        }
        assert_eq!((zone.pageblocks_of(Unmovable), zone.free_blocks(8, Unmovable)), (1, 1));
        taken_block(&mut zone, 0, Movable);
        assert_eq!(zone.pageblocks_of(Movable), claimed, "256 pages free, {} in movable use", 1 << movable);
        zone.check().unwrap();
    }
}

#[test]
fn a_claim_can_be_taken_back_to_the_type_before_the_first() {
    let mut pages = pages(2);
    let mut zone = zone(&mut pages, 2, 0);
    let before = lists(&zone);
    zone.forget_claims();
    for migratetype in [Unmovable, Reclaimable] {
        let blocks = [10, 0].map(|order| zone.alloc_pages(order, migratetype).unwrap());
        assert_eq!(zone.pageblocks_of(migratetype), 2);
        blocks.into_iter().for_each(|block| zone.free_pages(block));
    }
    zone.take_back_claims();
    assert_eq!((zone.pageblocks_of(Movable), lists(&zone)), (2, before));
    zone.check().unwrap();
    let block = zone.alloc_pages(0, Unmovable).unwrap();
    zone.free_pages(block);
    zone.forget_claims();
    zone.take_back_claims();
    assert_eq!(zone.pageblocks_of(Unmovable), 1, "what was claimed before is not taken back");
}

#[test]
fn a_block_that_will_merge_soon_is_handed_out_last() {
    let mut pages = pages(1);
    let mut zone = Zone::new(START, &mut pages);
    zone.free_range(START, 8);
    let blocks: Vec<Block> = (0..8).map(|_| zone.alloc_pages(0, Movable).unwrap()).collect();
    let mut blocks: Vec<Option<Block>> = blocks.into_iter().map(Some).collect();
    // Page 0 cannot merge, but the pair 2-3 next to it is free; page 5 has no such neighbour.
    for page in [2, 3, 5, 0] {
        zone.free_pages(blocks[page].take().unwrap());
    }
    assert_eq!([1, 0].map(|order| zone.free_blocks(order, Movable)), [1, 2]);
    let next = [(); 2].map(|()| zone.alloc_pages(0, Movable).unwrap().first());
    assert_eq!(next, [5, 0].map(|page| START.add(page)));
}

#[test]
fn the_block_around_a_page_ends_where_it_ends() {
    let mut pages = pages(1);
    let mut zone = zone(&mut pages, 0, 1);
    let block = zone.alloc_pages(1, Movable).unwrap();
    assert_eq!(block.first(), START);
    zone.take_range(START.add(2), 1).unwrap();
    let ends = [0, 1, 2, 3, 4, 7].map(|page| zone.end_of_block(START.add(page)).map(|end| end.0 - START.0));
    assert_eq!(ends, [Some(2), Some(2), None, Some(4), Some(8), Some(8)], "2 is in no block");
    zone.give_range(START.add(2), 1);
    zone.free_pages(block);
    zone.check().unwrap();
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let mut pages = pages(1);
    let mut zone = zone(&mut pages, 1, 0);
    for (order, migratetype) in [(11, Movable), (u32::MAX, Movable), (0, Cma), (0, Migratetype::Isolate)] {
        assert!(zone.alloc_pages(order, migratetype).is_err());
    }
    zone.check().unwrap();
}

#[test]
fn a_range_in_use_is_busy_and_nothing_changes() {
    let mut pages = pages(2);
    let mut zone = zone(&mut pages, 0, 2);
    let blocks: Vec<Block> = (0..3).map(|_| zone.alloc_pages(0, Movable).unwrap()).collect();
    let last = blocks.iter().map(Block::first).max().unwrap();
    let before = lists(&zone);
    let busy = zone.take_range(last, 8).unwrap_err();
    assert_eq!(busy.frame, last);
    let busy = zone.take_range(START, 2048).unwrap_err();
    assert!(blocks.iter().any(|block| block.first() == busy.frame));
    assert_eq!(lists(&zone), before);
    zone.check().unwrap();
}

/// Takes a block and returns its first page.
fn taken_block(zone: &mut Zone<'_>, order: u32, migratetype: Migratetype) -> Pfn {
    zone.alloc_pages(order, migratetype).unwrap().first()
}

/// Takes a page with `take` and returns its page frame number.
fn page_at(zone: &mut Zone<'_>, take: impl FnOnce(&mut Zone<'_>) -> Option<Frame>) -> Pfn {
    let index = take(zone).unwrap();
    zone.pfn(index)
}

/// The state of each page, free or not, and the allocator's rules in their plainest form.
struct Model {
    free: Vec<bool>,
}

impl Model {
    /// The free blocks after merging: aligned runs of 2^order free pages whose buddies are not
    /// entirely free.
    fn blocks(&self) -> BTreeSet<(u32, u32)> {
        let all_free = |first: usize, order: u32| self.free[first..first + (1 << order)].iter().all(|&free| free);
        let mut blocks = BTreeSet::new();
        for order in 0..=MAX_PAGE_ORDER {
            for first in (0..self.free.len()).step_by(1 << order) {
                let whole = order < MAX_PAGE_ORDER && all_free(first & !(1 << order), order + 1);
                if all_free(first, order) && !whole {
                    blocks.insert((order, first as u32));
                }
            }
        }
        blocks
    }

    fn orders(&self) -> Vec<u32> {
        let mut orders = vec![0; MAX_PAGE_ORDER as usize + 1];
        self.blocks().iter().for_each(|&(order, _)| orders[order as usize] += 1);
        orders
    }

    fn set(&mut self, first: u32, pages: u32, free: bool) {
        for page in &mut self.free[first as usize..(first + pages) as usize] {
            assert_ne!(*page, free, "a page is in exactly one place");
            *page = free;
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Alloc(u32, Migratetype),
    Free(usize),
    Take(u32, u32),
    Give(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let migratetype = prop_oneof![Just(Unmovable), Just(Movable), Just(Reclaimable)];
    let order = prop_oneof![4 => 0..4u32, 1 => 0..11u32];
    let step = prop_oneof![
        5 => (order, migratetype).prop_map(|(order, mt)| Step::Alloc(order, mt)),
        3 => any::<usize>().prop_map(Step::Free),
        3 => (0..2048u32, prop_oneof![1..60u32, 1..1500u32]).prop_map(|(offset, pages)| Step::Take(offset, pages)),
        2 => any::<usize>().prop_map(Step::Give),
    ];
    prop::collection::vec(step, 1..150)
}

const RAM: u32 = 3;
const AREA: u32 = RAM * PAGEBLOCK_PAGES;

proptest! {
    #![proptest_config(property::config(96))]

    #[test]
    #[cfg_attr(miri, ignore = "checks every page after every step")]
    fn any_sequence_agrees_with_the_model_and_gives_everything_back(steps in steps()) {
        let mut pages = pages(RAM + 2);
        let mut zone = zone(&mut pages, RAM, 2);
        let mut model = Model { free: vec![true; zone.spanned_pages() as usize] };
        let after_boot = orders(&zone);
        let (mut blocks, mut ranges) = (Vec::<Block>::new(), Vec::<(u32, u32)>::new());
        for step in steps {
            match step {
                Step::Alloc(order, migratetype) => {
                    let usable = |&(o, first): &(u32, u32)| o >= order && (migratetype == Movable || first < AREA);
                    let possible = model.blocks().iter().any(usable);
                    let block = zone.alloc_pages(order, migratetype);
                    prop_assert_eq!(block.is_ok(), possible);
                    if let Ok(block) = block {
                        let first = block.first().0 - START.0;
                        prop_assert_eq!(first % (1 << order), 0);
                        prop_assert!(migratetype == Movable || first < AREA);
                        model.set(first, 1 << order, false);
                        blocks.push(block);
                    }
                }
                Step::Free(which) if !blocks.is_empty() => {
                    let block = blocks.swap_remove(which % blocks.len());
                    model.set(block.first().0 - START.0, 1 << block.order(), true);
                    zone.free_pages(block);
                }
                Step::Take(offset, pages) => {
                    let first = AREA + offset;
                    let pages = pages.min(2048 - offset);
                    let blocked = (first..first + pages).find(|&page| !model.free[page as usize]);
                    match zone.take_range(START.add(first), pages) {
                        Ok(()) => {
                            prop_assert_eq!(blocked, None);
                            model.set(first, pages, false);
                            ranges.push((first, pages));
                        }
                        Err(busy) => prop_assert_eq!(Some(busy.frame.0 - START.0), blocked),
                    }
                }
                Step::Give(which) if !ranges.is_empty() => {
                    let (first, pages) = ranges.swap_remove(which % ranges.len());
                    model.set(first, pages, true);
                    zone.give_range(START.add(first), pages);
                }
                Step::Free(_) | Step::Give(_) => {}
            }
            prop_assert_eq!(zone.check(), Ok(()));
            prop_assert_eq!(orders(&zone), model.orders());
            prop_assert!(zone.nr_free_cma() <= zone.cma_pages());
        }
        blocks.into_iter().for_each(|block| zone.free_pages(block));
        ranges.into_iter().for_each(|(first, pages)| zone.give_range(START.add(first), pages));
        prop_assert_eq!(zone.check(), Ok(()));
        prop_assert_eq!(orders(&zone), after_boot);
        prop_assert_eq!(zone.free_blocks(10, Cma), 2);
    }

    /// Freeing a range in one call leaves the lists as freeing its largest aligned blocks one by
    /// one does.
    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn a_range_goes_back_as_its_blocks_would_one_by_one(
        takes in prop::collection::vec((0..2048u32, prop_oneof![3 => 1..60u32, 1 => 1..1500u32], any::<bool>()), 1..80),
    ) {
        let (mut pages, mut same_pages) = (pages(2), pages(2));
        let (mut at_once, mut one_by_one) = (zone(&mut pages, 0, 2), zone(&mut same_pages, 0, 2));
        let mut ranges = Vec::new();
        for (first, pages, give) in takes {
            let pages = pages.min(2048 - first);
            let taken = at_once.take_range(START.add(first), pages);
            prop_assert_eq!(taken, one_by_one.take_range(START.add(first), pages));
            if taken.is_ok() {
                ranges.push((first, pages));
            }
            if give && !ranges.is_empty() {
                let (first, pages) = ranges.swap_remove(first as usize % ranges.len());
                at_once.give_range(START.add(first), pages);
                let (mut index, end) = (Frame(first), Frame(first + pages));
                while index < end {
                    let order = index.0.trailing_zeros().min((end - index).ilog2()).min(MAX_PAGE_ORDER);
                    let (pageblock, block) = (one_by_one.lists.pageblock_of(index), 1 << order);
                    one_by_one.count_free(block, Cma);
                    one_by_one.free_one::<false>(pageblock, index, block, FreeOf::order(order), Cma);
                    index += block;
                }
                for order in 0..=MAX_PAGE_ORDER {
                    let blocks = at_once.lists.iter(order, Cma);
                    prop_assert!(blocks.eq(one_by_one.lists.iter(order, Cma)), "order {}", order);
                }
                prop_assert_eq!(at_once.check(), Ok(()));
            }
        }
    }
}
