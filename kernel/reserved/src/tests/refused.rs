// SPDX-License-Identifier: MIT OR Apache-2.0

//! Nodes of real trees, and wrong ones: placed, skipped or only reserved, with a line for each.

use super::*;
use units::linux::LinuxVersion;

#[track_caller]
fn refused(nodes: Vec<ReservedNode>, lines: &[&str]) -> Case {
    let case = Case::new(nodes, "");
    case.assert(&[], lines);
    let named = case.placed.notes.iter().any(|note| note.refusal.is_some());
    // Overlapping regions that both stay are reported, but not refused.
    let overlap = lines.first().is_some_and(|line| line.ends_with("OVERLAP DETECTED!"));
    assert_eq!(named, !lines.is_empty() && !overlap, "{:?}", case.placed.notes);
    case
}

#[test]
fn a_fixed_pool() {
    Case::new(vec![cma(fixed("camera@70000000", 0x7000_0000, 24 * M))], "").assert(
        &[("camera@70000000", 0x7000_0000, 24, false)],
        &[
            "Reserved memory: created CMA memory pool at 0x70000000, size 24 MiB",
            "OF: reserved mem: initialized node camera@70000000, compatible id shared-dma-pool",
        ],
    );
}

#[test]
fn outside_ram_wholly_or_in_part() {
    for (start, size) in [
        (0x1000_0000, 8 * M),
        (0x5fc0_0000, 8 * M),
        (0x9fc0_0000, 8 * M),
        (0xffc0_0000, 8 * M),
        (0xffff_ffff_ff80_0000, 4 * M),
        (0x1_6000_0000, 8 * M),
        (0x6040_0000, 1 << 40),
    ] {
        let node = fixed("far", start, size);
        let case = refused(vec![cma(node.clone())], &["debris: Reserved memory: far: outside RAM"]);
        assert_eq!(case.placed.notes[0].level, log::Level::Error);
        assert!(case.memblock.reserved().iter().all(|region| region.name != "far"));
        // A plain region is harmless there.
        if size <= 8 * M {
            refused(vec![node], &[]);
        }
    }
    // A device's pool may be there.
    for start in [0x1000_0000, 0x9fc0_0000, 0x1_6000_0000] {
        let case = Case::new(vec![dma(fixed("far", start, 8 * M)), no_map(fixed("far", start + 8 * M, 8 * M))], "");
        let created = format!("Reserved memory: created DMA memory pool at {start:#010x}, size 8 MiB");
        let initialised = "OF: reserved mem: initialized node far, compatible id shared-dma-pool";
        case.assert(&[], &[&created, initialised]);
    }
}

#[test]
fn over_the_kernel() {
    let over = |node: ReservedNode| ReservedNode { name: "over".to_string(), ..node };
    let low = fixed("over", 0x6000_0000, 4 * M);
    refused(vec![over(cma(low.clone()))], &["debris: Reserved memory: over: overlaps Kernel image"]);
    for node in [dma(low.clone()), no_map(low.clone())] {
        refused(
            vec![over(node)],
            &[
                "OF: fdt: Reserved memory: failed to reserve memory for node 'over': base 0x60000000, size 4 MiB",
                "debris: Reserved memory: over: overlaps Kernel image",
            ],
        );
    }
    // A mapped one is only reserved, as in Linux.
    let case = refused(vec![over(low)], &[]);
    assert!(case.memblock.reserved().iter().any(|region| region.kind == RegionKind::Reserved));
}

#[test]
fn over_each_other_the_first_in_the_tree_wins() {
    let first = cma(fixed("first@70400000", 0x7040_0000, 8 * M));
    let second = cma(fixed("second@70000000", 0x7000_0000, 8 * M));
    let lines = [
        "debris: Reserved memory: second@70000000: overlaps first@70400000",
        "Reserved memory: created CMA memory pool at 0x70400000, size 8 MiB",
        "OF: reserved mem: initialized node first@70400000, compatible id shared-dma-pool",
    ];
    let areas = [("first@70400000", 0x7040_0000, 8, false)];
    Case::new(vec![first.clone(), second.clone()], "").assert(&areas, &lines);
    let not_reserved =
        "OF: fdt: Reserved memory: failed to reserve memory for node 'second@70000000': base 0x70000000, size 8 MiB";
    Case::new(vec![first.clone(), dma(second.clone())], "").assert(&areas, &[&[not_reserved][..], &lines].concat());
    let plain = fixed("second@70000000", 0x7000_0000, 8 * M);
    Case::new(vec![first.clone(), plain.clone()], "").assert(&areas, &lines);
    // In the other order, the plain region wins.
    refused(vec![plain, first.clone()], &["debris: Reserved memory: first@70400000: overlaps second@70000000"]);
    // A pool that is refused anyway does not win over another.
    let misaligned = cma(fixed("odd@70100000", 0x7010_0000, 8 * M));
    let case = Case::new(vec![misaligned, first], "");
    assert_eq!(case.areas(), areas);
    assert_eq!(
        case.other_lines(),
        [
            "OF: reserved mem: OVERLAP DETECTED!",
            "odd@70100000 (0x70100000--0x70900000) overlaps with first@70400000 (0x70400000--0x70c00000)",
            "Reserved memory: incorrect alignment of CMA region",
            "OF: reserved mem: node odd@70100000 compatible matching fail",
            lines[1],
            lines[2],
        ]
    );
}

#[test]
fn regions_that_are_only_kept_free_may_overlap() {
    let case = refused(
        vec![fixed("b@70100000", 0x7010_0000, M), no_map(fixed("ramoops@70000000", 0x7000_0000, 2 * M))],
        &[
            "OF: fdt: Reserved memory: failed to reserve memory for node 'ramoops@70000000': base 0x70000000, size 2 MiB",
            "OF: reserved mem: OVERLAP DETECTED!",
            "ramoops@70000000 (0x70000000--0x70200000) overlaps with b@70100000 (0x70100000--0x70200000)",
        ],
    );
    // Both are reserved, and the second stays mapped like the first.
    assert_eq!(case.memblock.reserved().iter().filter(|region| region.kind == RegionKind::Reserved).count(), 2);
    let nodes = vec![no_map(fixed("a@70000000", 0x7000_0000, 2 * M)), no_map(fixed("b@70100000", 0x7010_0000, M))];
    let case = refused(
        nodes,
        &[
            "OF: reserved mem: OVERLAP DETECTED!",
            "a@70000000 (0x70000000--0x70200000) overlaps with b@70100000 (0x70100000--0x70200000)",
        ],
    );
    assert_eq!(case.memblock.reserved().iter().filter(|region| region.kind == RegionKind::NoMap).count(), 3);
}

#[test]
fn over_memreserve() {
    let facts = Facts {
        memory: vec![RAM],
        memreserve: vec![PhysRange::sized(0x7000_0000, 0x1000)],
        reserved: vec![
            cma(fixed("pool", 0x7000_0000, 8 * M)),
            no_map(fixed("firmware", 0x7000_0000, M)),
            cma(dynamic("dyn", 4 * M, &[(0x7000_0000, 8 * M)])),
        ],
        ..Facts::default()
    };
    let case = Case::of(facts, TREE, "");
    assert_eq!(case.lines()[0], "debris: Reserved memory: pool: overlaps /memreserve/");
    assert_eq!(case.areas(), [("dyn", 0x7040_0000, 4, false)]);
    assert_eq!(case.memblock.find_kind(RegionKind::NoMap).unwrap().name, "firmware");
}

#[test]
fn sizes_of_zero() {
    refused(
        vec![cma(dynamic("pool_a", 0, &[]))],
        &[
            "Reserved memory: unable to setup CMA region",
            "debris: Reserved memory: pool_a: size is 0",
            "OF: reserved mem: node pool_a compatible matching fail",
        ],
    );
    refused(
        vec![cma(fixed("pool@70000000", 0x7000_0000, 0))],
        &["OF: fdt: Reserved memory: failed to reserve memory for node 'pool@70000000': base 0x70000000, size 0 MiB"],
    );
    let empty = cma(node("empty", Placement::Fixed(vec![])));
    refused(vec![empty], &["debris: Reserved memory: empty: reg is empty, skipped"]);
}

/// Linux 5.15 prints only the node.
#[test]
fn a_region_without_room_in_5_15() {
    let case = Case::new(vec![cma(dynamic("huge", 1 << 30, &[]))], "linux=5.15");
    case.assert(&[], &["OF: reserved mem: failed to allocate memory for node 'huge'"]);
}

#[test]
fn sizes_that_nothing_holds() {
    for size in [1 << 30, 0xffc0_0000, 1 << 32, u64::MAX, u64::MAX << 22] {
        let line = format!("OF: reserved mem: failed to allocate memory for node 'huge': size {} MiB", size >> 20);
        refused(vec![cma(dynamic("huge", size, &[]))], &[&line]);
        refused(vec![no_map(dynamic("huge", size, &[]))], &[&line]);
    }
}

#[test]
fn alignments() {
    let at = |align| Case::new(vec![aligned(cma(dynamic("pool", 4 * M, &[])), align)], "").areas().first().map(|a| a.1);
    assert_eq!(at(0x2000), Some(0x9fc0_0000));
    assert_eq!(at(16 * M), Some(0x9f00_0000));
    assert_eq!(at(0x8000_0000), Some(0x8000_0000));
    assert_eq!(at(1 << 40), None);
    // A value that is not a power of two is used as a mask, as in Linux: 0x9fc00000 & !0x5fffff.
    let case = Case::new(vec![aligned(cma(dynamic("pool", 4 * M, &[])), 6 * M)], "");
    assert_eq!(case.other_lines()[0], "debris: Reserved memory: pool: alignment 0x600000 is not a power of two");
    assert_eq!(case.areas(), [("pool", 0x9f80_0000, 4, false)]);
    let case = Case::new(vec![aligned(cma(dynamic("pool", 4 * M, &[])), u64::MAX)], "");
    assert_eq!(case.areas(), []);
}

#[test]
fn alloc_ranges() {
    let pool = |ranges: &[(u64, u64)]| {
        let case = Case::new(vec![cma(dynamic("pool", 8 * M, ranges))], "");
        (case.areas().first().map(|area| area.1), case.other_lines()[0].to_string())
    };
    let failed = "OF: reserved mem: failed to allocate memory for node 'pool': size 8 MiB";
    assert_eq!(pool(&[(0x1000_0000, 64 * M)]), (None, failed.to_string()));
    assert_eq!(pool(&[(0x9fc0_0000, 64 * M)]), (None, failed.to_string()));
    assert_eq!(pool(&[(0x9f00_0000, 64 * M)]).0, Some(0x9f80_0000));
    assert_eq!(pool(&[(0x6980_1000, 16 * M)]).0, Some(0x6a00_0000));
    // An end of 0 in 32 bits is no limit.
    assert_eq!(pool(&[(0x6000_0000, 0xa000_0000)]).0, Some(0x9f80_0000));
    assert_eq!(pool(&[(0, 0)]).0, Some(0x9f80_0000));
    assert_eq!(pool(&[(0x7000_0000, 0)]), (None, failed.to_string()));
    let wraps = "debris: Reserved memory: pool: alloc-range [mem 0x90000000-0x10fffffff] reaches above 4 GiB, ignored";
    assert_eq!(pool(&[(0x9000_0000, 0x8000_0000)]), (None, wraps.to_string()));
    assert_eq!(pool(&[(u64::MAX, u64::MAX), (0x7000_0000, 8 * M)]).0, Some(0x7000_0000));
}

/// A pool without reusable and no-map, and pools with an odd base, an odd size, or both alike.
#[test]
fn what_gets_no_area_takes_no_place_from_one() {
    let area = cma(fixed("area@70400000", 0x7040_0000, 8 * M));
    let mapped = ReservedNode { no_map: false, ..dma(fixed("pool", 0x7000_0000, 8 * M)) };
    let odd = |start, size| cma(fixed("pool", start, size));
    for node in [mapped, odd(0x7010_0000, 8 * M), odd(0x7000_0000, 5 * M), odd(0x7010_0000, 5 * M)] {
        for linux in LinuxVersion::ALL {
            let case = Case::new(vec![node.clone(), area.clone()], &format!("linux={linux}"));
            assert_eq!(case.areas(), [("area@70400000", 0x7040_0000, 8, false)], "linux={linux}: {node:?}");
        }
    }
}

#[test]
fn reusable_and_no_map_exclude_each_other() {
    let both = |node| no_map(cma(node));
    let fail = "OF: reserved mem: node both compatible matching fail";
    let case = refused(vec![both(fixed("both", 0x7000_0000, 8 * M))], &[fail]);
    assert_eq!(case.memblock.reserved().len(), 4);
    // Linux keeps a dynamic one reserved.
    let case = refused(vec![both(dynamic("both", 8 * M, &[]))], &[fail]);
    assert_eq!(case.memblock.find_kind(RegionKind::Reserved).unwrap().range, PhysRange::sized(0x9f80_0000, 8 * M));
}

#[test]
fn regions_that_are_no_pools_are_only_kept_free() {
    let case = refused(
        vec![
            fixed("ramoops@70000000", 0x7000_0000, 0x10_0000),
            no_map(dynamic("firmware", 0x1234, &[])),
            ReservedNode { reusable: true, ..dynamic("neither", 64, &[]) },
        ],
        &[],
    );
    let find = |name| case.memblock.reserved().iter().find(|region| region.name == name).unwrap();
    assert_eq!(find("ramoops@70000000").kind, RegionKind::Reserved);
    assert_eq!((find("firmware").kind, find("firmware").range.start), (RegionKind::NoMap, 0x9fff_ed80));
    assert_eq!(find("neither").range.start, 0x9fff_ffc0);
    assert_eq!(case.memblock.free_pages().last().unwrap().end, 0x9fff_e000);
}

#[test]
fn only_the_first_entry_of_reg_is_a_pool() {
    let ranges = vec![
        PhysRange::sized(0x7000_0000, 8 * M),
        PhysRange::sized(0x7100_0000, 0x1000),
        PhysRange::sized(0, 0),
        PhysRange::sized(0x7000_0000, 0x1000),
    ];
    let case = Case::new(vec![cma(node("pool", Placement::Fixed(ranges)))], "");
    case.assert(
        &[("pool", 0x7000_0000, 8, false)],
        &[
            "OF: fdt: Reserved memory: failed to reserve memory for node 'pool': base 0x00000000, size 0 MiB",
            "debris: Reserved memory: pool: overlaps pool",
            "Reserved memory: created CMA memory pool at 0x70000000, size 8 MiB",
            "OF: reserved mem: initialized node pool, compatible id shared-dma-pool",
        ],
    );
    assert_eq!(case.memblock.find_kind(RegionKind::Reserved).unwrap().range.start, 0x7100_0000);
}

#[test]
fn fixed_pools_come_after_dynamic_ones_by_their_addresses() {
    let nodes = vec![
        cma(fixed("high", 0x9000_0000, 4 * M)),
        cma(fixed("low", 0x7000_0000, 4 * M)),
        cma(dynamic("second", 4 * M, &[])),
        cma(dynamic("third", 4 * M, &[])),
    ];
    let case = Case::new(nodes, "");
    let names: Vec<_> = case.areas().iter().map(|area| area.0).collect();
    assert_eq!(names, ["second", "third", "low", "high"]);
}

#[test]
fn several_defaults_the_last_one_counts() {
    let case = Case::new(vec![default(cma(dynamic("a", 4 * M, &[]))), default(cma(dynamic("b", 4 * M, &[])))], "");
    assert_eq!(case.areas(), [("a", 0x9fc0_0000, 4, false), ("b", 0x9f80_0000, 4, true)]);
    assert!(case.other_lines().contains(&"debris: Reserved memory: b replaces a as the default area"));
}

#[test]
fn two_areas_of_one_name() {
    let twins = vec![cma(dynamic("twin", 4 * M, &[])), cma(dynamic("twin", 4 * M, &[]))];
    let case = Case::new(twins, "");
    assert_eq!(case.areas().len(), 2);
    assert_eq!(
        case.other_lines().last(),
        Some(&"debris: Reserved memory: twin: a second area of this name, found only by number")
    );
    let case = Case::new(vec![cma(dynamic("reserved", 4 * M, &[]))], "cma=4M");
    assert_eq!(case.areas().len(), 2);
    assert_eq!(
        case.other_lines().last(),
        Some(&"debris: Reserved memory: reserved: a second area of this name, found only by number")
    );
}

#[test]
fn names_are_bounded() {
    let long = "\u{e9}".repeat(500);
    let case = Case::new(vec![cma(dynamic(&long, 4 * M, &[])), cma(dynamic("a\n\u{1b}b", 4 * M, &[]))], "");
    assert_eq!(case.areas()[0].0, "\u{e9}".repeat(31));
    assert_eq!(case.areas()[1].0, "a\n\u{1b}b");
    assert!(case.other_lines()[3].contains("a??b"));
}

#[test]
fn more_nodes_than_linux_looks_at() {
    let mut nodes: Vec<_> = (0..80).map(|index| dynamic(&format!("n{index}"), 0x1000, &[])).collect();
    nodes.push(fixed("kept@70000000", 0x7000_0000, M));
    nodes.push(cma(fixed("odd@71100000", 0x7110_0000, M)));
    let mut lines = vec!["OF: reserved mem: not enough space for all defined regions."; 19];
    lines.push(
        "debris: Reserved memory: 19 nodes are no pools: Linux 6.1 has room for 64; linux=6.12 has no such limit",
    );
    let case = refused(nodes, &lines);
    let kept = case.memblock.reserved().iter().filter(|region| region.range.start >> 24 == 0x70).count();
    // Image and tree, the 64 nodes that are scanned, the two fixed ones, and the default area.
    assert_eq!((kept, case.memblock.reserved().len()), (1, 2 + 64 + 2 + 1));
}

#[test]
fn a_fixed_pool_beyond_the_limit_holds_its_place_and_is_no_area() {
    let mut nodes: Vec<_> = (0..63).map(|index| dynamic(&format!("n{index}"), 0x1000, &[])).collect();
    nodes.push(cma(fixed("late", 0x7000_0000, 4 * M)));
    let case = Case::new(nodes, "");
    assert_eq!(case.areas(), []);
    assert!(case.memblock.free().all(|free| !free.overlaps(&PhysRange::sized(0x7000_0000, 4 * M))));
}

#[test]
fn more_reservations_than_the_map_holds() {
    let ranges = (0..400).map(|index| PhysRange::sized(0x7000_0000 + index * 0x2000, 0x1000)).collect();
    let case = Case::new(vec![node("many", Placement::Fixed(ranges)), cma(dynamic("pool", 4 * M, &[]))], "");
    assert_eq!(case.areas(), []);
    assert!(case.other_lines()[0].contains("many: memory map full: raise MAX_RESERVATIONS"));
}

#[test]
fn a_compatible_that_is_nearly_a_pool_is_asked_about() {
    let said = |compatible: &str| {
        let node = cma(fixed("pool@70000000", 0x7000_0000, 8 * M));
        let case = Case::new(
            vec![ReservedNode { shared_dma_pool: false, compatible: Some(compatible.to_string()), ..node }],
            "",
        );
        assert_eq!(case.areas(), []);
        case.other_lines().iter().filter(|line| line.contains("did you mean shared-dma-pool?")).count()
    };
    for nearly in ["shared-dma-pol", "shared-dma-pools", "shared-dma"] {
        assert_eq!(said(nearly), 1, "{nearly}");
    }
    for other in ["", "ramoops", "restricted-dma-pool", "pool"] {
        assert_eq!(said(other), 0, "{other}");
    }
}
