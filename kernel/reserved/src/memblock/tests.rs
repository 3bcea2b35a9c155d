// SPDX-License-Identifier: MIT OR Apache-2.0
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn range(start: u64, end: u64) -> PhysRange {
    PhysRange { start, end }
}

/// Makes a map with 1 GiB of RAM at 0x60000000.
fn board() -> Memblock {
    let mut memblock = Memblock::new();
    memblock.add_ram(range(0x6000_0000, 0xa000_0000)).unwrap();
    memblock
}

#[test]
fn ram_is_merged_and_sorted() {
    let mut memblock = Memblock::new();
    for (start, end) in [(8, 9), (1, 2), (4, 5), (2, 3), (3, 4), (6, 6), (7, 10)] {
        memblock.add_ram(range(start, end)).unwrap();
    }
    assert_eq!(memblock.ram(), [range(1, 5), range(7, 10)]);
    memblock.add_ram(range(0, 100)).unwrap();
    assert_eq!(memblock.ram(), [range(0, 100)]);
    assert_eq!(memblock.end_of_ram(), 100);
}

#[test]
fn lists_are_bounded_and_name_their_constant() {
    let mut memblock = Memblock::new();
    for index in 0..MAX_RAM_RANGES as u64 {
        memblock.add_ram(range(index * 4, index * 4 + 2)).unwrap();
    }
    assert_eq!(memblock.add_ram(range(5000, 5001)), Err(Full("MAX_RAM_RANGES")));
    memblock.add_ram(range(0, 3)).unwrap();
    for _ in 1..MAX_RESERVATIONS {
        memblock.reserve(range(0, 1), RegionKind::Reserved).unwrap();
    }
    let full = memblock.reserve(range(0, 1), RegionKind::Reserved).unwrap_err();
    assert_eq!(full.to_string(), "memory map full: raise MAX_RESERVATIONS");
    memblock.reserve(range(1, 2), RegionKind::PageFrames).expect("a slot is kept for the page frames");
}

#[test]
fn the_search_goes_from_the_top_down() {
    let mut memblock = board();
    let search = Search { size: 0x80_0000, align: 0x40_0000, within: range(0, u64::MAX) };
    assert_eq!(memblock.find(search), Some(0x9f80_0000));
    memblock.reserve(range(0x9fff_0000, 0x9fff_0001), RegionKind::Reserved).unwrap();
    assert_eq!(memblock.find(search), Some(0x9f40_0000));
    assert_eq!(memblock.find(Search { within: range(0x6900_0000, 0x6980_0000), ..search }), Some(0x6900_0000));
    assert_eq!(memblock.find(Search { within: range(0x6900_0000, 0x6970_0000), ..search }), None);
    assert_eq!(memblock.find(Search { within: range(0x6900_0000, 0), ..search }), None);
    assert_eq!(memblock.find(Search { size: u64::MAX, ..search }), None);
    assert_eq!(memblock.find(Search { align: 1 << 63, ..search }), None);
}

#[test]
fn the_search_from_below_takes_the_lowest_place_that_is_aligned() {
    let mut memblock = board();
    memblock.reserve(range(0x6000_0000, 0x6010_0001), RegionKind::Image).unwrap();
    memblock.reserve(range(0x6080_0000, 0x6090_0000), RegionKind::Reserved).unwrap();
    let search = Search { size: 0x40_0000, align: 0x40_0000, within: range(0, u64::MAX) };
    assert_eq!(memblock.find_lowest(search), Some(0x6040_0000), "it fits exactly");
    assert_eq!(memblock.find_lowest(Search { size: 0x40_0001, ..search }), Some(0x60c0_0000));
    assert_eq!(memblock.find_lowest(Search { align: 0, ..search }), Some(0x6010_0001));
    assert_eq!(memblock.find_lowest(Search { align: 0x8_0000, ..search }), Some(0x6018_0000));
    assert_eq!(memblock.find_lowest(Search { within: range(0x6100_0000, 0x6140_0000), ..search }), Some(0x6100_0000));
    assert_eq!(memblock.find_lowest(Search { within: range(0x6100_0001, 0x6140_0000), ..search }), None);
    assert_eq!(memblock.find_lowest(Search { size: 1 << 31, ..search }), None);
    // Even of nothing there is no place at the end of free RAM.
    let nothing = Search { size: 0, align: 0x80_0000, within: range(0x6020_0000, u64::MAX) };
    assert_eq!(memblock.find_lowest(nothing), Some(0x6100_0000));
}

#[test]
fn ram_is_cut_where_a_section_is_mapped_in_part() {
    let cut = |ram: PhysRange, no_map: &[(u64, u64)], used: Option<u64>| {
        let mut memblock = Memblock::new();
        memblock.add_ram(ram).unwrap();
        for &(start, end) in no_map {
            memblock.reserve(range(start, end), RegionKind::NoMap).unwrap();
        }
        if let Some(end) = used {
            memblock.reserve(range(end - 1, end), RegionKind::Image).unwrap();
        }
        let gone = memblock.cut_to_sections();
        (memblock.end_of_ram(), gone.size())
    };
    let ram = board().ram()[0];
    let last = (0x9f00_0000, ram.end);
    assert_eq!(cut(ram, &[], None), (ram.end, 0));
    assert_eq!(cut(ram, &[(0x7010_0000, 0x7020_0000)], None), (ram.end, 0), "mapped up to its end");
    assert_eq!(cut(ram, &[last], None), (0x9f00_0000, 0));
    assert_eq!(cut(ram, &[(0x7000_0000, 0x7020_0000), last], None), (0x9f00_0000, 0), "on whole sections");
    assert_eq!(cut(ram, &[(0x9f10_0000, ram.end)], None), (0x9f00_0000, 0x10_0000));
    assert_eq!(cut(ram, &[(0x7010_0000, 0x7020_0000), last], None), (0x7000_0000, 0x2f00_0000));
    assert_eq!(cut(ram, &[(0x7000_0000, 0x7010_0000), last], None), (0x7000_0000, 0x2f00_0000));
    assert_eq!(cut(ram, &[(0x9f10_0000, ram.end)], Some(0x9f08_0001)), (0x9f08_1000, 0x7_f000), "in use");
    let off = range(0x6010_0000, ram.end);
    assert_eq!(cut(off, &[last], None), (0x9f00_0000, 0), "the start of RAM limits nothing");
}

#[test]
fn a_region_that_ends_with_another_is_inside_it() {
    let mut memblock = board();
    for (start, name) in [(0x7000_0000, "outer"), (0x7000_1000, "inner"), (0x7000_2000, "innermost")] {
        memblock.reserve_named(range(start, 0x7000_3000), RegionKind::Reserved, name).unwrap();
    }
    let expected = "\
60000000-9fffffff : System RAM
  70000000-70002fff : outer
    70001000-70002fff : inner
      70002000-70002fff : innermost
";
    assert_eq!(memblock.iomem().to_string(), expected);
}

#[test]
fn allocating_reserves() {
    let mut memblock = board();
    let frames = memblock.allocate(Search::pages(0x40_0000), RegionKind::PageFrames).unwrap().unwrap();
    assert_eq!(frames, range(0x9fc0_0000, 0xa000_0000));
    assert_eq!(memblock.find_kind(RegionKind::PageFrames).unwrap().range, frames);
    assert!(memblock.release(frames, RegionKind::PageFrames));
    assert!(!memblock.release(frames, RegionKind::PageFrames));
    assert_eq!(memblock, board());
}

#[test]
fn whole_pages_only_are_free_pages() {
    let mut memblock = board();
    memblock.reserve(range(0x6800_0000, 0x6800_1001), RegionKind::DeviceTree).unwrap();
    memblock.reserve(range(0x6800_3fff, 0x6800_4000), RegionKind::Reserved).unwrap();
    let free: Vec<_> = memblock.free_pages().collect();
    assert_eq!(
        free,
        [range(0x6000_0000, 0x6800_0000), range(0x6800_2000, 0x6800_3000), range(0x6800_4000, 0xa000_0000)]
    );
}

#[test]
fn the_listing_nests_clips_and_shows_what_is_outside() {
    let mut memblock = board();
    memblock.reserve_named(range(0x4c00_0000, 0x4c80_0000), RegionKind::NoMap, "vram@4c000000").unwrap();
    memblock.reserve(range(0x6001_0000, 0x6005_0000), RegionKind::Image).unwrap();
    memblock.reserve_named(range(0x6900_0000, 0x6980_0000), RegionKind::Cma, "linux,cma").unwrap();
    memblock.reserve(range(0x6900_1000, 0x6900_2000), RegionKind::Memreserve).unwrap();
    memblock.reserve_named(range(0x7000_0000, 0x7000_2000), RegionKind::Reserved, "a").unwrap();
    memblock.reserve_named(range(0x7000_1000, 0x7000_3000), RegionKind::Reserved, "b").unwrap();
    memblock.reserve_named(range(0x7000_8000, 0x7001_0000), RegionKind::NoMap, "firmware").unwrap();
    memblock.reserve_named(range(0x9fff_f000, 0xc000_0000), RegionKind::Reserved, "odd\n").unwrap();
    memblock.reserve_named(range(0xd000_0000, 0xd000_0001), RegionKind::NoMap, "far").unwrap();
    let expected = "\
4c000000-4c7fffff : vram@4c000000
60000000-70007fff : System RAM
  60010000-6004ffff : Kernel image
  69000000-697fffff : linux,cma
    69001000-69001fff : /memreserve/
  70000000-70001fff : a
  70001000-70002fff : b
70008000-7000ffff : firmware
70010000-9fffffff : System RAM
  9ffff000-9fffffff : odd?
a0000000-bfffffff : odd?
d0000000-d0000000 : far
";
    assert_eq!(memblock.iomem().to_string(), expected);
}

/// The model: one flag for each byte of a tiny memory.
const MODEL_BYTES: usize = 96;
/// Start of the tiny memory; above the first page, which a search never returns.
const MODEL_BASE: u64 = PAGE_SIZE;

fn small_range() -> impl Strategy<Value = PhysRange> {
    (0..MODEL_BYTES as u64, 0u64..24)
        .prop_map(|(start, size)| range(MODEL_BASE + start, MODEL_BASE + (start + size).min(MODEL_BYTES as u64)))
}

fn model(ram: &[PhysRange], reserved: &[PhysRange]) -> Vec<bool> {
    let mut free = vec![false; MODEL_BYTES];
    for (list, value) in [(ram, true), (reserved, false)] {
        for range in list {
            free[(range.start - MODEL_BASE) as usize..(range.end - MODEL_BASE) as usize].fill(value);
        }
    }
    free
}

/// Checks that every line is within the line it is indented below, and starts no earlier than the
/// line before it at its depth.
fn check_listing(text: &str) {
    let mut open: Vec<PhysRange> = Vec::new();
    for line in text.lines() {
        let words = line.trim_start();
        let depth = (line.len() - words.len()) / 2;
        let (first, rest) = words.split_once('-').unwrap();
        let (last, _name) = rest.split_once(" : ").unwrap();
        let number = |digits| u64::from_str_radix(digits, 16).unwrap();
        let range = range(number(first), number(last) + 1);
        assert!(!range.is_empty(), "{text}");
        assert!(open.get(depth).is_none_or(|before| before.start <= range.start), "{text}");
        open.truncate(depth);
        assert_eq!(open.len(), depth, "{text}");
        assert!(open.last().is_none_or(|parent| parent.contains(&range)), "{text}");
        open.push(range);
    }
}

proptest! {
    #![proptest_config(property::config(3000))]

    #[test]
    fn free_memory_is_what_the_model_says(
        ram in prop::collection::vec(small_range(), 0..8),
        reserved in prop::collection::vec(small_range(), 0..12),
        size in 1u64..16,
        order in 0u32..4,
        low in 0..MODEL_BYTES as u64,
        span in 0..MODEL_BYTES as u64,
    ) {
        let mut memblock = Memblock::new();
        for range in &ram {
            memblock.add_ram(*range).unwrap();
        }
        for range in &reserved {
            memblock.reserve(*range, RegionKind::Reserved).unwrap();
        }
        prop_assert!(memblock.ram().windows(2).all(|pair| pair[0].end < pair[1].start));
        let expected = model(&ram, &reserved);
        let free: Vec<_> = memblock.free().collect();
        prop_assert!(free.iter().all(|range| !range.is_empty()));
        prop_assert!(free.windows(2).all(|pair| pair[0].end <= pair[1].start));
        prop_assert_eq!(&model(&free, &[]), &expected);

        let within = range(MODEL_BASE + low, MODEL_BASE + (low + span).min(MODEL_BYTES as u64));
        let fits = |start: u64| {
            start.is_multiple_of(1 << order)
                && start + size <= within.end
                && (start..start + size).all(|byte| expected[(byte - MODEL_BASE) as usize])
        };
        let best = (within.start..within.end).rev().find(|start| fits(*start));
        prop_assert_eq!(memblock.find(Search { size, align: 1 << order, within }), best);

        // The listing is valid for any overlap.
        check_listing(&memblock.iomem().to_string());
        let mut memblock = Memblock::new();
        for range in &ram {
            memblock.add_ram(*range).unwrap();
        }
        for (number, range) in reserved.iter().enumerate() {
            memblock.reserve(*range, if number % 2 == 0 { RegionKind::NoMap } else { RegionKind::Reserved }).unwrap();
        }
        let listing = memblock.iomem().to_string();
        check_listing(&listing);
        let mapped = listing.lines().filter_map(|line| line.strip_suffix(" : System RAM")?.split_once('-'));
        let number = |digits| u64::from_str_radix(digits, 16).unwrap();
        let mapped: Vec<_> = mapped.map(|(first, last)| range(number(first), number(last) + 1)).collect();
        let unmapped: Vec<_> = reserved.iter().step_by(2).copied().collect();
        prop_assert_eq!(model(&mapped, &[]), model(&ram, &unmapped));
    }

    #[test]
    fn releasing_undoes_reserving(
        ram in prop::collection::vec(small_range(), 0..8),
        reserved in prop::collection::vec(small_range(), 0..12),
    ) {
        let mut memblock = Memblock::new();
        for range in &ram {
            memblock.add_ram(*range).unwrap();
        }
        let before = memblock.clone();
        for range in &reserved {
            memblock.reserve(*range, RegionKind::Cma).unwrap();
        }
        for range in &reserved {
            prop_assert_eq!(memblock.release(*range, RegionKind::Cma), !range.is_empty());
        }
        prop_assert_eq!(memblock, before);
    }
}
