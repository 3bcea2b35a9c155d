// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device tree and the initrd in the middle of RAM, and regions that need their places.

use super::*;

/// Places blobs as QEMU does: an initrd of `initrd_bytes` in the middle of RAM, or 128 MiB into it,
/// and the tree after it.
fn qemu(ram_mib: u64, initrd_bytes: u64, nodes: Vec<ReservedNode>, bootargs: &str) -> Case {
    let ram = PhysRange::sized(0x6000_0000, ram_mib * M);
    let middle = 0x6000_0000 + (ram_mib / 2 * M).min(128 * M);
    let initrd = PhysRange::sized(middle, initrd_bytes);
    let tree = PhysRange::sized(initrd.end.next_multiple_of(0x1000), 0x4000);
    Case::with(ram, tree, Some(initrd).filter(|range| !range.is_empty()), nodes, bootargs)
}

#[test]
fn an_initrd_of_64_mib_and_the_default_areas_fit_together() {
    for ram_mib in [256, 512, 1024] {
        let case = qemu(ram_mib, 64 * M, default_areas(), "");
        let same = Case::new(default_areas(), "");
        assert_eq!(case.areas(), same.areas());
        assert_eq!(case.placed.moves.len(), 1, "only what is in the way is moved");
        let step = case.placed.moves[0];
        assert_eq!((step.what, step.from), (RegionKind::Initrd, PhysRange::sized(0x6800_0000, 64 * M)));
        assert_eq!(case.memblock.find_kind(RegionKind::Initrd).unwrap().range, step.to);
        let line = format!(
            "debris: Reserved memory: moving the Initrd (65536 KiB) from 0x68000000 to {:#010x}, out of the way of linux,cma",
            step.to.start
        );
        assert_eq!(case.lines().last(), Some(&line.as_str()));
    }
}

#[test]
fn what_has_another_choice_goes_where_linux_puts_it() {
    // The second alloc-range is free, so the blob over the first does not move.
    let nodes = vec![cma(dynamic("pool", 8 * M, &[(0x6900_0000, 8 * M), (0x7000_0000, 64 * M)]))];
    let case = qemu(1024, 64 * M, nodes, "");
    assert_eq!(case.areas(), [("pool", 0x7380_0000, 8, false)]);
    assert!(case.placed.moves.is_empty());
    // That holds even if another region moves the blob.
    let mut nodes = default_areas();
    nodes.push(cma(dynamic("pool", 8 * M, &[(0x6400_0000, 128 * M)])));
    let case = qemu(1024, 64 * M, nodes, "");
    assert_eq!(case.areas()[2].1, 0x6780_0000);
}

#[test]
fn the_device_tree_moves_too() {
    for node in [
        cma(fixed("pool", 0x6800_0000, 8 * M)),
        dma(fixed("pool", 0x6800_0000, 8 * M)),
        no_map(fixed("pool", 0x6800_0000, 8 * M)),
        fixed("pool", 0x6800_0000, 8 * M),
        cma(dynamic("pool", 8 * M, &[(0x6800_0000, 8 * M)])),
    ] {
        let case = Case::new(vec![node], "cma=0");
        assert_eq!(case.placed.moves.len(), 1);
        let step = case.placed.moves[0];
        assert_eq!((step.what, step.from), (RegionKind::DeviceTree, TREE));
        assert_eq!(step.to.start, 0x9fff_c000);
        assert!(case.other_lines().iter().all(|line| !line.contains("overlaps")));
    }
    let case = Case::new(vec![], "cma=16M@0x68000000");
    assert_eq!(case.areas(), [("reserved", 0x6800_0000, 16, true)]);
    assert_eq!(case.placed.moves.len(), 1);
}

#[test]
fn nothing_moves_for_a_region_that_will_not_stay() {
    for node in [
        cma(fixed("odd", 0x6800_0000, 9 * M)),
        ReservedNode { reusable: false, ..cma(dynamic("odd", 8 * M, &[(0x6800_0000, 8 * M)])) },
        default(cma(dynamic("bypassed", 8 * M, &[(0x6800_0000, 8 * M)]))),
        cma(dynamic("huge", 1 << 40, &[])),
    ] {
        let case = Case::new(vec![node], "cma=0");
        assert_eq!((case.areas().len(), case.placed.moves.len()), (0, 0));
        assert_eq!(case.memblock.find_kind(RegionKind::DeviceTree).unwrap().range, TREE);
    }
    let mut nodes: Vec<_> = (0..8).map(|index| cma(dynamic(&format!("p{index}"), 4 * M, &[]))).collect();
    nodes.push(cma(dynamic("ninth", 4 * M, &[(0x6800_0000, 4 * M)])));
    nodes.push(cma(fixed("tenth", 0x6800_0000, 4 * M)));
    let case = Case::new(nodes, "cma=0");
    assert!(case.placed.moves.is_empty());
    assert_eq!(
        case.other_lines()[16..],
        [
            "OF: reserved mem: failed to allocate memory for node 'ninth': size 4 MiB",
            "cma: Not enough slots for CMA reserved regions!",
            "Reserved memory: unable to setup CMA region",
            "OF: reserved mem: node tenth compatible matching fail",
            "debris: 9th CMA area ignored: raise MAX_CMA_AREAS",
        ]
    );
}

#[test]
fn a_pool_of_size_0_gets_no_place_over_a_blob() {
    // The only multiple of 4 MiB in the alloc-range is in the middle of the tree.
    let tree = PhysRange { start: 0x67ff_e000, end: 0x6800_2000 };
    let case = Case::with(RAM, tree, None, vec![cma(dynamic("pool", 0, &[(0x67ff_f000, 0x2000)]))], "cma=0");
    case.assert(&[], &["OF: reserved mem: failed to allocate memory for node 'pool': size 0 MiB"]);
}

#[test]
fn both_move_and_neither_destroys_the_other() {
    let nodes = vec![cma(dynamic("pool", 160 * M, &[]))];
    let case = qemu(256, 32 * M, nodes, "");
    assert_eq!(case.areas(), [("pool", 0x6600_0000, 160, false)]);
    assert_eq!(case.placed.moves.len(), 2);
}

#[test]
fn a_blob_that_has_nowhere_to_go_stays_and_the_region_is_refused() {
    let nodes = vec![cma(dynamic("pool", 100 * M, &[]))];
    let case = qemu(256, 64 * M, nodes, "");
    assert!(case.areas().len() == 1);
    let nodes = vec![cma(dynamic("pool", 200 * M, &[])), cma(dynamic("small", 4 * M, &[]))];
    let case = qemu(256, 64 * M, nodes, "");
    assert_eq!(case.areas(), [("small", 0x6fc0_0000, 4, false)]);
    assert!(case.placed.moves.is_empty());
    assert_eq!(
        case.other_lines()[..2],
        [
            "debris: Reserved memory: no room to move the Initrd at [mem 0x68000000-0x6bffffff] away",
            "OF: reserved mem: failed to allocate memory for node 'pool': size 200 MiB",
        ]
    );
    let case = qemu(256, 64 * M, vec![cma(fixed("wide", 0x6040_0000, 252 * M))], "");
    assert!(case.other_lines().contains(&"debris: Reserved memory: wide: overlaps Initrd"));
}

#[test]
fn a_blob_may_move_over_its_own_place() {
    // The pool takes the initrd's last pageblock, and the only room for the initrd ends where the
    // pool begins.
    let nodes = vec![fixed("low", 0x6040_0000, 56 * M), cma(fixed("pool", 0x6640_0000, 4 * M))];
    let case = qemu(128, 40 * M, nodes, "");
    assert_eq!(case.areas(), [("pool", 0x6640_0000, 4, false)]);
    let step = case.placed.moves[0];
    assert_eq!((step.from.start, step.to.start), (0x6400_0000, 0x63c0_0000));
}

#[test]
fn little_ram() {
    // The default areas are above 128 MiB.
    let case = qemu(128, 0, default_areas(), "");
    case.assert(
        &[],
        &[
            "OF: reserved mem: failed to allocate memory for node 'linux,cma': size 8 MiB",
            "OF: reserved mem: failed to allocate memory for node 'BiscuitOS_cma': size 8 MiB",
        ],
    );
}
