// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks against a real Linux 6.1 with the same trees: areas, bases, lines and their order.

use super::*;

#[test]
fn the_default_tree() {
    let case = Case::new(default_areas(), "");
    assert_eq!(case.areas(), [("linux,cma", 0x6900_0000, 8, true), ("BiscuitOS_cma", 0x6980_0000, 8, false)]);
    assert_eq!(
        case.lines(),
        [
            "Reserved memory: created CMA memory pool at 0x69000000, size 8 MiB",
            "OF: reserved mem: initialized node linux,cma, compatible id shared-dma-pool",
            "Reserved memory: created CMA memory pool at 0x69800000, size 8 MiB",
            "OF: reserved mem: initialized node BiscuitOS_cma, compatible id shared-dma-pool",
            VRAM_LINES[0],
            VRAM_LINES[1],
        ]
    );
    assert_eq!(
        case.memblock.iomem().to_string(),
        "\
4c000000-4c7fffff : vram@4c000000
60000000-9fffffff : System RAM
  60010000-6004ffff : Kernel image
  68000000-68003fff : Device tree
  69000000-697fffff : linux,cma
  69800000-69ffffff : BiscuitOS_cma
"
    );
    assert!(case.placed.moves.is_empty());
    assert!(case.placed.notes.iter().all(|note| note.level == log::Level::Info));
}

#[test]
fn a_dynamic_pool_goes_to_the_top() {
    Case::new(vec![cma(dynamic("pool_a", 32 * M, &[]))], "").assert(
        &[("pool_a", 0x9e00_0000, 32, false)],
        &[
            "Reserved memory: created CMA memory pool at 0x9e000000, size 32 MiB",
            "OF: reserved mem: initialized node pool_a, compatible id shared-dma-pool",
        ],
    );
}

#[test]
fn a_misaligned_fixed_pool_is_refused_and_its_memory_is_free() {
    let case = Case::new(vec![cma(fixed("camera@70100000", 0x7010_0000, 0x180_0000))], "");
    case.assert(
        &[],
        &[
            "Reserved memory: incorrect alignment of CMA region",
            "OF: reserved mem: node camera@70100000 compatible matching fail",
        ],
    );
    assert_eq!(case.memblock.find_kind(RegionKind::Reserved), None);
}

#[test]
fn alloc_ranges_are_tried_in_their_order() {
    let ranges = [(0x6100_0000, 0x100_0000), (0x7800_0000, 0x400_0000)];
    Case::new(vec![cma(dynamic("pool_a", 32 * M, &ranges))], "").assert(
        &[("pool_a", 0x7a00_0000, 32, false)],
        &[
            "Reserved memory: created CMA memory pool at 0x7a000000, size 32 MiB",
            "OF: reserved mem: initialized node pool_a, compatible id shared-dma-pool",
        ],
    );
}

#[test]
fn a_pool_that_is_neither_reusable_nor_no_map_is_refused() {
    let pool = ReservedNode { reusable: false, ..cma(dynamic("pool_a", 8 * M, &[(0x6900_0000, 8 * M)])) };
    let case = Case::new(vec![pool], "");
    case.assert(
        &[],
        &[
            "Reserved memory: regions without no-map are not yet supported",
            "OF: reserved mem: node pool_a compatible matching fail",
        ],
    );
    assert_eq!(case.memblock.find_kind(RegionKind::Reserved), None);
}

#[test]
fn a_pool_that_has_no_room_is_refused() {
    Case::new(vec![cma(dynamic("pool_a", 8 * M, &[(0x6900_0000, 4 * M)]))], "")
        .assert(&[], &["OF: reserved mem: failed to allocate memory for node 'pool_a': size 8 MiB"]);
}

#[test]
fn a_dynamic_pool_of_an_odd_size_is_refused() {
    let case = Case::new(vec![cma(dynamic("pool_a", 9 * M, &[])), cma(dynamic("pool_b", 8 * M, &[]))], "");
    // Its place was reserved until it was initialised, and freed before the next one was placed.
    case.assert(
        &[("pool_b", 0x9f80_0000, 8, false)],
        &[
            "Reserved memory: incorrect alignment of CMA region",
            "OF: reserved mem: node pool_a compatible matching fail",
            "Reserved memory: created CMA memory pool at 0x9f800000, size 8 MiB",
            "OF: reserved mem: initialized node pool_b, compatible id shared-dma-pool",
        ],
    );
}

#[test]
fn ten_pools_and_eight_slots() {
    let names: Vec<String> = ('a'..='j').map(|letter| format!("pool_{letter}")).collect();
    let case = Case::new(names.iter().map(|name| cma(dynamic(name, 4 * M, &[]))).collect(), "");
    let expected: Vec<_> = names
        .iter()
        .take(8)
        .zip(1..)
        .map(|(name, index): (_, u64)| (name.as_str(), 0xa000_0000 - index * 0x40_0000, 4, false))
        .collect();
    assert_eq!(case.areas(), expected);
    assert_eq!(case.areas()[0].1, 0x9fc0_0000);
    assert_eq!(
        case.other_lines()[16..],
        [
            "cma: Not enough slots for CMA reserved regions!",
            "Reserved memory: unable to setup CMA region",
            "OF: reserved mem: node pool_i compatible matching fail",
            "debris: 9th CMA area ignored: raise MAX_CMA_AREAS",
            "cma: Not enough slots for CMA reserved regions!",
            "Reserved memory: unable to setup CMA region",
            "OF: reserved mem: node pool_j compatible matching fail",
            "debris: 10th CMA area ignored: raise MAX_CMA_AREAS",
            "cma: Not enough slots for CMA reserved regions!",
            "debris: 11th CMA area ignored: raise MAX_CMA_AREAS",
        ]
    );
}

#[test]
fn cma_on_the_command_line() {
    let cases: [(&str, &[Area], &[&str]); 7] = [
        ("cma=32M", &[("reserved", 0x9e00_0000, 32, true)], &["cma: Reserved 32 MiB at 0x9e000000"]),
        ("cma=16M@0x80000000", &[("reserved", 0x8000_0000, 16, true)], &["cma: Reserved 16 MiB at 0x80000000"]),
        (
            "cma=24M@0x70000000-0x78000000",
            &[("reserved", 0x7680_0000, 24, true)],
            &["cma: Reserved 24 MiB at 0x76800000"],
        ),
        ("cma=5M", &[("reserved", 0x9f80_0000, 8, true)], &["cma: Reserved 8 MiB at 0x9f800000"]),
        (
            "cma=16M@0x80100000",
            &[],
            &["cma: Region at 0x80100000 must be aligned to 0x00400000 bytes", "cma: Failed to reserve 16 MiB"],
        ),
        ("cma=2G", &[], &["cma: Failed to reserve 2048 MiB"]),
        ("cma=0", &[], &[]),
    ];
    for (bootargs, areas, lines) in cases {
        Case::new(vec![], bootargs).assert(areas, lines);
        // With a default node: it is bypassed, and the others stay.
        let case = Case::new(default_areas(), bootargs);
        let mut all = vec![("BiscuitOS_cma", 0x6980_0000, 8, false)];
        all.extend(areas);
        let mut all_lines = vec![
            "Reserved memory: bypass linux,cma node, using cmdline CMA params instead",
            "OF: reserved mem: node linux,cma compatible matching fail",
            "Reserved memory: created CMA memory pool at 0x69800000, size 8 MiB",
            "OF: reserved mem: initialized node BiscuitOS_cma, compatible id shared-dma-pool",
        ];
        all_lines.extend(lines);
        case.assert(&all, &all_lines);
        assert!(case.memblock.free().any(|free| free.contains(&PhysRange::sized(0x6900_0000, 8 * M))));
    }
}

#[test]
fn cma_outside_ram_is_said_and_the_rest_goes_on() {
    Case::new(default_areas()[1..].to_vec(), "cma=16M@0x10000000").assert(
        &[("BiscuitOS_cma", 0x6980_0000, 8, false)],
        &[
            "Reserved memory: created CMA memory pool at 0x69800000, size 8 MiB",
            "OF: reserved mem: initialized node BiscuitOS_cma, compatible id shared-dma-pool",
            "debris: Reserved memory: cma=: outside RAM",
            "cma: Failed to reserve 16 MiB",
        ],
    );
}

#[test]
fn areas_beyond_the_slots_have_ordinals() {
    let nodes = (0..40).map(|number| cma(dynamic(&format!("pool_{number}"), 4 * M, &[])));
    let case = Case::new(nodes.collect(), "linux=6.12");
    let lines = case.lines().into_iter().filter_map(|line| line.strip_suffix(" CMA area ignored: raise MAX_CMA_AREAS"));
    let ordinals: Vec<_> = lines.filter_map(|line| line.strip_prefix("debris: ")).collect();
    for (number, ordinal) in [(9, "9th"), (11, "11th"), (12, "12th"), (13, "13th"), (20, "20th"), (21, "21st")]
        .into_iter()
        .chain([(22, "22nd"), (23, "23rd"), (24, "24th"), (31, "31st")])
    {
        assert_eq!(ordinals.get(number - 9), Some(&ordinal));
    }
}
