// SPDX-License-Identifier: MIT OR Apache-2.0
use alloc::vec;

use super::super::{MAX_MEMORY_RANGES, MAX_MEMRESERVE};
use super::build::{board, tree};
use super::{facts, notes, range};

#[test]
fn several_nodes_and_ranges() {
    let bytes = tree(|root| {
        root.cells("#address-cells", &[1]).cells("#size-cells", &[1]);
        root.node("memory@60000000", |node| {
            node.text("device_type", "memory").cells("reg", &[0x6000_0000, 0x0100_0000, 0x7000_0000, 0x1000]);
        });
        root.node("other", |node| {
            node.text("device_type", "memory").cells("reg", &[0x8000_0000, 0x0200_0000]);
        });
        root.node("memory@90000000", |node| {
            node.text("device_type", "cpu").cells("reg", &[0x9000_0000, 0x1000]);
        });
        root.node("memory@a0000000", |node| {
            node.text("device_type", "memory").text("status", "disabled").cells("reg", &[0xa000_0000, 0x1000]);
        });
    });
    let facts = facts(&bytes);
    assert_eq!(
        facts.memory,
        vec![range(0x6000_0000, 0x0100_0000), range(0x7000_0000, 0x1000), range(0x8000_0000, 0x0200_0000)]
    );
    assert!(facts.notes.is_empty(), "{:?}", facts.notes);
}

#[test]
fn no_cells_at_the_root_are_one_and_one() {
    let bytes = tree(|root| {
        root.node("memory", |node| {
            node.text("device_type", "memory").cells("reg", &[0x6000_0000, 0x0100_0000]);
        });
    });
    assert_eq!(facts(&bytes).memory, vec![range(0x6000_0000, 0x0100_0000)]);
}

#[test]
fn ranges_beyond_4_gib_are_clipped_and_reported() {
    let bytes = tree(|root| {
        root.cells("#address-cells", &[2]).cells("#size-cells", &[2]);
        root.node("memory", |node| {
            let reg = [0, 0xf000_0000, 0, 0x2000_0000, 1, 0, 0, 0x1000, 0, 0x6000_0000, 1, 0];
            node.text("device_type", "memory").cells("reg", &reg);
        });
    });
    let facts = facts(&bytes);
    assert_eq!(facts.memory, vec![range(0xf000_0000, 0x1000_0000), range(0x6000_0000, 0xa000_0000)]);
    assert_eq!(
        notes(&facts),
        [
            "OF: fdt: Ignoring memory range 0x100000000 - 0x110000000",
            "OF: fdt: Ignoring memory block 0x100000000 - 0x100001000",
            "OF: fdt: Ignoring memory range 0x100000000 - 0x160000000",
        ]
    );
}

#[test]
fn three_cells_count_where_the_first_is_zero() {
    let bytes = tree(|root| {
        root.cells("#address-cells", &[3]).cells("#size-cells", &[2]);
        root.node("memory", |node| {
            let reg = [0, 0, 0x6000_0000, 0, 0x1000_0000, 1, 0, 0x7000_0000, 0, 0x1000];
            node.text("device_type", "memory").cells("reg", &reg);
        });
    });
    let facts = facts(&bytes);
    assert_eq!(facts.memory, vec![range(0x6000_0000, 0x1000_0000)]);
    assert_eq!(facts.notes.len(), 1);
}

#[test]
fn cell_counts_without_meaning_are_reported() {
    for (address, size) in [(0, 0), (0, 1), (1, 0), (5, 1), (u32::MAX, u32::MAX)] {
        let bytes = tree(|root| {
            root.cells("#address-cells", &[address]).cells("#size-cells", &[size]);
            root.node("memory", |node| {
                node.text("device_type", "memory").cells("reg", &[0x6000_0000, 0x1000_0000]);
            });
        });
        let facts = facts(&bytes);
        assert_eq!(facts.memory, vec![]);
        assert_eq!(notes(&facts)[0], "debris: OF: fdt: memory: unusable #address-cells or #size-cells, ignoring");
    }
}

#[test]
fn only_whole_pages_count() {
    let bytes = tree(|root| {
        root.node("memory", |node| {
            let reg = [0x6000_0800, 0x1_0000, 0x7000_0800, 0xfff, 0x8000_0000, 0, 0xffff_f000, 0x1000];
            node.text("device_type", "memory").cells("reg", &reg);
        });
    });
    let facts = facts(&bytes);
    assert_eq!(facts.memory, vec![range(0x6000_1000, 0xf000), range(0xffff_f000, 0x1000)]);
    assert_eq!(notes(&facts), ["OF: fdt: Ignoring memory block 0x70000800 - 0x700017ff"]);
}

#[test]
fn a_cut_range_is_left_out() {
    let bytes = tree(|root| {
        root.node("memory", |node| {
            node.text("device_type", "memory").cells("reg", &[0x6000_0000, 0x1000, 0x7000_0000]);
        });
    });
    let facts = facts(&bytes);
    assert_eq!(facts.memory, vec![range(0x6000_0000, 0x1000)]);
    assert_eq!(notes(&facts), ["debris: OF: fdt: memory: reg ends within a range, ignoring its last bytes"]);
}

#[test]
fn no_memory_is_said() {
    let facts = facts(&tree(|_| {}));
    assert_eq!(facts.memory, vec![]);
    assert!(notes(&facts)[0].starts_with("debris: OF: fdt: no RAM"));
}

#[test]
fn too_many_ranges_name_the_constant() {
    let reg: vec::Vec<u32> = (0..100).flat_map(|n| [0x6000_0000 + n * 0x1_0000, 0x1000]).collect();
    let bytes = tree(|root| {
        root.node("memory", |node| {
            node.text("device_type", "memory").cells("reg", &reg);
        });
    });
    let facts = facts(&bytes);
    assert_eq!(facts.memory.len(), MAX_MEMORY_RANGES);
    assert!(notes(&facts)[0].contains("raise MAX_MEMORY_RANGES"));
}

#[test]
fn reservations() {
    let bytes = board(|root| {
        root.reserve(0x6100_0000, 0x1000).reserve(0x6200_0000, 0).reserve(0x1_0000_0000, 0x2000).reserve(0, 0x1000);
    });
    assert_eq!(
        facts(&bytes).memreserve,
        vec![range(0x6100_0000, 0x1000), range(0x1_0000_0000, 0x2000), range(0, 0x1000)]
    );
    let bytes = board(|root| {
        (0..100).for_each(|n| {
            root.reserve(0x6100_0000 + n * 0x1000, 0x1000);
        });
    });
    let facts = facts(&bytes);
    assert_eq!(facts.memreserve.len(), MAX_MEMRESERVE);
    assert!(notes(&facts)[0].contains("raise MAX_MEMRESERVE"));
}
