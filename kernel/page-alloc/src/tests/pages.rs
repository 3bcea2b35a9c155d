// SPDX-License-Identifier: MIT OR Apache-2.0

//! Watermarks, single pages through the per-CPU lists, pages that block a range, and the ends of
//! ranges.

use super::super::HeldBuffer;
use super::super::free_list::Ring;
use super::super::lru::{PINNED, Place};
use super::super::page::Tag;
use super::super::policy::{CmaUse, Lend};
use super::super::watermark::{Reserve, Watermarks};
use super::super::zone::descriptor_bytes;
use super::*;

#[test]
fn watermarks_and_batches_are_those_of_linux() {
    let of = |managed| {
        let Reserve { marks: Watermarks { min, low, high }, batch, high_on_list } = Reserve::of(managed);
        (min, low, high, batch, high_on_list)
    };
    assert_eq!(of(100), (25, 31, 37, 1, 31), "a quarter of a zone that small");
    assert_eq!(of(1024), (64, 80, 96, 1, 80));
    assert_eq!(of(16_384), (256, 320, 384, 3, 320), "64 MiB");
    assert_eq!(of(49_152), (443, 553, 663, 15, 553), "192 MiB");
    assert_eq!(of(65_536), (512, 640, 768, 15, 640), "256 MiB");
    assert_eq!(of(262_144), (1024, 1286, 1548, 63, 1286), "1 GiB: a step is a thousandth");
}

#[test]
fn a_zone_knows_the_memory_of_its_tables() {
    let mut pages = pages(3);
    let descriptors = pages.len() as u64;
    let zone = zone(&mut pages, 1, 1);
    assert_eq!(zone.descriptor_bytes() as u64, 16 * descriptors);
    assert_eq!(descriptor_bytes(3 * PAGEBLOCK_PAGES), (16 * descriptors).next_multiple_of(4096));
    assert_eq!(zone.pageblock_bytes(), 1024, "a byte for each 4 MiB of a 32-bit address space");
    assert_eq!([0, 1023, 1024, 2047, 2048].map(|page| zone.has_ram(START.add(page))), [true, true, true, true, false]);
    assert_eq!([0, 3071, 3072].map(|page| zone.spans(Frame(page))), [true, true, false]);
    assert_eq!(CmaUse::ALL.map(CmaUse::name), ["half", "fallback", "first"]);
    assert_eq!([Lend::Movable, Lend::Clean, Lend::None].map(Lend::name), ["movable", "clean", "none"]);
}

#[test]
fn a_range_ends_where_it_ends() {
    let mut pages = pages(3);
    let mut zone = zone(&mut pages, 0, 3);
    let before = lists(&zone);
    // The range ends with a pageblock, and the next one is free.
    zone.take_range(START, 2 * PAGEBLOCK_PAGES).unwrap();
    zone.check().unwrap();
    assert_eq!(zone.nr_free_pages(), PAGEBLOCK_PAGES);
    zone.give_range(START, 2 * PAGEBLOCK_PAGES);
    assert_eq!(lists(&zone), before);
    // The first and the last page are at the same index in their pageblocks.
    zone.take_range(START.add(3), PAGEBLOCK_PAGES + 1).unwrap();
    zone.check().unwrap();
    zone.give_range(START.add(3), PAGEBLOCK_PAGES + 1);
    zone.check().unwrap();
    assert_eq!(lists(&zone), before);
}

#[test]
fn a_buffer_that_is_held_is_found_by_its_first_page() {
    let mut pages = pages(1);
    let mut zone = zone(&mut pages, 0, 1);
    zone.take_range(START, 4).unwrap();
    assert_eq!(zone.held(START), None);
    zone.hold(START, HeldBuffer { id: 7, pages: 4 });
    assert_eq!((zone.held(START), zone.held(START.add(1))), (Some(HeldBuffer { id: 7, pages: 4 }), None));
    zone.unhold(START);
    assert_eq!(zone.held(START), None);
    assert!(!zone.take_page(Frame(3)) && zone.take_page(Frame(4)), "a page that is free");
    assert_eq!((zone.tag(Frame(4)), zone.nr_free_pages()), (Tag::allocated(0, Movable), 1024 - 5));
    zone.check().unwrap();
}

#[test]
fn without_memory_nobody_gets_a_page() {
    let mut pages = pages(2);
    let mut zone = zone(&mut pages, 1, 1);
    zone.set_up_watermarks();
    let taken = core::iter::from_fn(|| zone.alloc_page(Unmovable, false)).count();
    assert_eq!((taken, zone.nr_free_cma()), (1024, 1024));
    assert_eq!([Unmovable, Reclaimable].map(|migratetype| zone.alloc_page(migratetype, false)), [None; 2]);
    assert_eq!(zone.alloc_pages_bulk(&mut [Frame(0); 4], 0, false), 0, "the area's are not lent");
    assert_eq!(zone.alloc_page(Movable, false), None);
    let lent = core::iter::from_fn(|| zone.alloc_page(Movable, true)).count();
    assert_eq!((lent, zone.nr_free_pages(), zone.pcp_pages()), (1024, 0, 0));
}

#[test]
fn each_type_has_its_per_cpu_list() {
    let mut pages = pages(16);
    let mut zone = zone(&mut pages, 15, 1);
    zone.set_up_watermarks();
    let batch = 3;
    for (migratetype, ring) in
        [(Unmovable, Ring::PcpUnmovable), (Movable, Ring::PcpMovable), (Reclaimable, Ring::PcpReclaimable)]
    {
        let page = zone.alloc_page(migratetype, false).unwrap();
        // A request that bypasses the list leaves it as it is.
        let left = if migratetype == Movable { 0 } else { batch - 1 };
        assert_eq!(zone.ring_count(ring), left, "{migratetype:?}");
        assert_eq!(zone.pageblock(page), migratetype);
        zone.free_page(page);
        assert_eq!((zone.ring_count(ring), zone.ring_pages(ring).next()), (left + 1, Some(page)));
        assert!(zone.is_on_pcp(page) && zone.is_free(zone.pfn(page)));
        zone.drain_all_pages();
        assert!(!zone.is_on_pcp(page));
    }
    zone.check().unwrap();
}

#[test]
fn a_list_that_is_stolen_for_gets_a_batch_and_no_more() {
    let mut pages = pages(16);
    let mut zone = zone(&mut pages, 16, 0);
    zone.set_up_watermarks();
    // Only unmovable pages are left, in blocks too small to claim a pageblock for.
    let all: Vec<Block> = core::iter::from_fn(|| zone.alloc_pages(10, Unmovable).ok()).collect();
    zone.give_range(all[0].first(), 8);
    zone.give_range(all[0].first().add(16), 8);
    assert!(zone.alloc_page(Movable, true).is_some());
    assert_eq!((zone.pcp_pages(), zone.nr_free_pages()), (2, 13));
}

#[test]
fn a_request_that_may_not_have_cma_pages_goes_past_the_list() {
    let mut pages = pages(4);
    let mut zone = zone(&mut pages, 1, 3);
    zone.set_up_watermarks();
    let page = zone.alloc_page(Movable, true).unwrap();
    zone.free_page(page);
    assert_eq!((zone.pageblock(page), zone.ring_pages(Ring::PcpMovable).next()), (Cma, Some(page)));
    let other = zone.alloc_page(Movable, false).unwrap();
    assert_eq!(zone.pageblock(other), Movable);
}

#[test]
fn a_list_keeps_pages_up_to_a_mark_and_gives_a_batch_back() {
    let mut pages = pages(16);
    let mut zone = zone(&mut pages, 16, 0);
    zone.set_up_watermarks();
    let (batch, high) = (3, 320);
    let taken: Vec<Frame> = (0..330).map(|_| zone.alloc_page(Movable, true).unwrap()).collect();
    zone.drain_all_pages();
    for (number, &page) in taken.iter().enumerate() {
        zone.free_page(page);
        let freed = number as u32 + 1;
        let drained = if freed > high { (freed - high).div_ceil(batch) * batch } else { 0 };
        assert_eq!(zone.pcp_pages(), freed - drained, "after {freed} pages");
    }
    zone.trim_lists();
    assert_eq!(zone.pcp_pages(), 4 * batch);
    assert_eq!((zone.drain_all_pages(), zone.free_blocks(10, Movable)), (4 * batch, 16));
}

#[test]
fn pages_in_bulk_leave_the_mark_and_come_from_many_blocks() {
    let mut pages = pages(2);
    let mut zone = zone(&mut pages, 1, 1);
    let blocks: Vec<Block> = (0..1024).map(|_| zone.alloc_pages(0, Unmovable).unwrap()).collect();
    let (odd, even): (Vec<Block>, Vec<Block>) = blocks.into_iter().partition(|block| block.first().0 % 2 == 1);
    even.into_iter().for_each(|block| zone.free_pages(block));
    // Single pages, each a block of its own.
    let mut targets = [Frame(0); 8];
    zone.bar_cma(false);
    zone.set_cma_use(CmaUse::Fallback);
    assert_eq!(zone.alloc_pages_bulk(&mut targets, 0, false), 0, "those are unmovable pages");
    zone.forget_claims();
    zone.move_free_blocks(Frame(0), Movable);
    assert_eq!(zone.alloc_pages_bulk(&mut targets, 0, false), 8);
    assert!(targets.iter().all(|page| page.0 % 2 == 0 && page.0 < 1024));
    let mut many = [Frame(0); 2000];
    assert_eq!(zone.alloc_pages_bulk(&mut many, 500, false), 4, "504 pages are free that it may have");
    assert_eq!(zone.alloc_pages_bulk(&mut many, 1000, true), 500, "those that are looked at first");
    zone.set_cma_use(CmaUse::Half);
    assert_eq!(zone.alloc_pages_bulk(&mut many, 1000, true), 24);
    assert_eq!(zone.nr_free_pages(), 1000);
    odd.into_iter().for_each(|block| zone.free_pages(block));
}

#[test]
fn pages_in_bulk_are_as_many_as_were_asked_for() {
    let mut pages = pages(1);
    let mut zone = zone(&mut pages, 1, 0);
    taken_block(&mut zone, 0, Movable);
    // Blocks of 1, 2 and 4 pages follow, of the last of which one page is wanted.
    let mut targets = [Frame(0); 4];
    assert_eq!(zone.alloc_pages_bulk(&mut targets, 0, true), 4);
    assert_eq!((targets, zone.nr_free_pages()), ([1, 2, 3, 4].map(Frame), 1019));
    zone.check().unwrap();
}

#[test]
fn who_may_enter_the_areas_is_as_lend_says() {
    let admitted = |lend: Lend| [false, true].map(|clean| lend.admits(Movable, clean));
    assert_eq!([Lend::Movable, Lend::Clean, Lend::None].map(admitted), [[true; 2], [false, true], [false; 2]]);
    for migratetype in [Unmovable, Reclaimable] {
        assert!(!Lend::Movable.admits(migratetype, true) && !Lend::Clean.admits(migratetype, true));
    }
}

#[test]
fn only_what_lies_in_a_range_is_in_its_way() {
    let mut pages = pages(1);
    let mut zone = zone(&mut pages, 0, 1);
    let blocks: Vec<Block> = (0..3).map(|_| zone.alloc_pages(2, Movable).unwrap()).collect();
    let mut firsts: Vec<u32> = blocks.iter().map(|block| block.first().0 - START.0).collect();
    firsts.sort_unstable();
    assert_eq!(firsts, [0, 4, 8]);
    let block = blocks.into_iter().find(|block| block.first() == START.add(4)).unwrap();
    zone.free_pages(block);
    let in_the_way = |zone: &Zone<'_>, first, pages| zone.has_unmovable_pages(START.add(first), pages, false);
    assert_eq!(in_the_way(&zone, 4, 4), None, "between two blocks in use");
    assert_eq!(in_the_way(&zone, 4, 5), Some(Frame(8)));
    assert_eq!(in_the_way(&zone, 3, 4), Some(Frame(3)));
    assert_eq!(in_the_way(&zone, 12, 1012), None, "the last page of the zone");
    // A page in use blocks the range only if it is pinned, and pins can be ignored.
    assert!(zone.take_page(Frame(5)));
    zone.bring_to_life(Frame(5), 0, 1, Place::Isolated);
    assert_eq!(in_the_way(&zone, 4, 4), None);
    zone.mark(Frame(5), PINNED, true);
    assert_eq!(in_the_way(&zone, 4, 4), Some(Frame(5)));
    assert_eq!(zone.has_unmovable_pages(START.add(4), 4, true), None);
    zone.set_owner(Frame(5), 77);
    assert_eq!((zone.owner(Frame(5)), zone.descriptor(Frame(5)).owner()), (77, 77));
}

#[test]
fn an_isolated_range_is_tested_and_taken_as_far_as_it_goes() {
    let mut pages = pages(2);
    let mut zone = zone(&mut pages, 0, 2);
    // Pages 4 to 7 are free, between pages in use.
    zone.take_range(START, 4).unwrap();
    zone.take_range(START.add(8), 8).unwrap();
    zone.start_isolate_page_range(START.add(4), 4);
    assert_eq!(zone.isolated_in(START, PAGEBLOCK_PAGES), Some(START));
    assert_eq!((zone.nr_free_pages(), zone.pageblocks_of(Migratetype::Isolate)), (1024, 1));
    assert_eq!(zone.test_pages_isolated(Frame(4), Frame(8)), Ok(Frame(8)));
    assert_eq!(zone.test_pages_isolated(Frame(4), Frame(9)), Err(Frame(8)));
    assert_eq!(zone.take_isolated_range(START.add(8), 1), Err(Frame(8)));
    zone.take_isolated_range(START.add(5), 2).unwrap();
    let free: Vec<u32> = (0..16).filter(|&page| zone.is_free(START.add(page))).collect();
    assert_eq!(free, [4, 7]);
    zone.check().unwrap();
    zone.undo_isolate_page_range(START.add(4), 4, false);
    assert_eq!((zone.isolated_in(START, 2048), zone.pageblocks_of(Cma)), (None, 2));
    assert_eq!(zone.nr_free_pages(), 2048 - 14);
    zone.check().unwrap();
    // A range in two pageblocks isolates both.
    zone.start_isolate_page_range(START.add(1020), 8);
    assert_eq!((zone.pageblocks_of(Migratetype::Isolate), zone.nr_free_pages()), (2, 0));
    zone.undo_isolate_page_range(START.add(1020), 8, false);
    zone.check().unwrap();
    // A range that is a block by itself leaves nothing in front and behind.
    zone.start_isolate_page_range(START.add(1024), 1024);
    zone.take_isolated_range(START.add(1024), 1024).unwrap();
    zone.undo_isolate_page_range(START.add(1024), 1024, true);
    assert_eq!(zone.nr_free_pages(), 1024 - 14);
    zone.give_range(START.add(1024), 1024);
    zone.check().unwrap();
}

#[test]
fn each_of_several_callers_has_its_claims() {
    let mut pages = pages(2);
    let mut zone = zone(&mut pages, 2, 0);
    let mut other = zone.no_claims();
    zone.forget_claims();
    taken_block(&mut zone, 0, Unmovable);
    zone.swap_claims(&mut other);
    zone.take_back_claims();
    assert_eq!(zone.pageblocks_of(Unmovable), 1, "it is not this one's");
    zone.swap_claims(&mut other);
    zone.take_back_claims();
    assert_eq!(zone.pageblocks_of(Unmovable), 0);
    zone.check().unwrap();
}
