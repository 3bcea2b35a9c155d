// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random trees and command lines: nothing panics, and the invariants of every placement hold.

use proptest::prelude::*;

use super::*;

/// Addresses, often at edges: RAM's ends, the blobs, pageblocks, the ends of 32 and of 64 bits.
fn address() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0x600u64..0xa08).prop_map(|mib| mib << 20),
        4 => (0x180u64..0x288).prop_map(|block| block << 22),
        2 => prop::sample::select(vec![0, 0x6000_0000, 0x6800_0000, 0x6900_0000, 0x9fc0_0000, 0xffc0_0000, 1 << 32]),
        2 => 0x6000_0000u64..0x7000_0000,
        1 => any::<u64>(),
        1 => (0u64..4096).prop_map(|below| u64::MAX - below),
    ]
}

fn size() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0u64..40).prop_map(|blocks| blocks << 22),
        3 => 0u64..0x2000,
        2 => (0u64..600).prop_map(|mib| mib << 20),
        1 => any::<u64>(),
    ]
}

fn some_range() -> impl Strategy<Value = PhysRange> {
    prop_oneof![
        20 => (address(), size()).prop_map(|(start, size)| PhysRange::sized(start, size)),
        // End before start: no code should make such a range, but all code has to accept one.
        1 => (address(), address()).prop_map(|(start, end)| PhysRange { start, end }),
    ]
}

fn placement() -> impl Strategy<Value = Placement> {
    let alignment = prop_oneof![3 => Just(0u64), 2 => (0u32..64).prop_map(|order| 1 << order), 1 => any::<u64>()];
    prop_oneof![
        1 => prop::collection::vec(some_range(), 0..3).prop_map(Placement::Fixed),
        1 => (size(), alignment, prop::collection::vec(some_range(), 0..3)).prop_map(
            |(size, alignment, alloc_ranges)| Placement::Dynamic { size, alignment, alloc_ranges }
        ),
    ]
}

fn any_node() -> impl Strategy<Value = ReservedNode> {
    let flags = (prop::bool::weighted(0.8), prop::bool::weighted(0.7), prop::bool::weighted(0.2), any::<bool>());
    ("[a-c]{1,2}|.{0,100}", placement(), flags).prop_map(|(name, placement, flags)| ReservedNode {
        shared_dma_pool: flags.0,
        reusable: flags.1,
        no_map: flags.2,
        cma_default: flags.3,
        ..node(&name, placement)
    })
}

fn any_bootargs() -> impl Strategy<Value = String> {
    let version = prop::sample::select(LinuxVersion::ALL.to_vec());
    (any_cma(), version).prop_map(|(cma, version)| format!("{cma} linux={version}"))
}

fn any_cma() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(String::new()),
        2 => (0u32..600).prop_map(|mib| format!("cma={mib}M")),
        2 => (size(), address(), address()).prop_map(|(size, base, end)| format!("cma={size}@{base}-{end}")),
        2 => (size(), address()).prop_map(|(size, base)| format!("cma={size:#x}@{base:#x}")),
    ]
}

/// Ranges of RAM as the tree's reader returns them: whole pages below 4 GiB, not empty.
fn any_ram() -> impl Strategy<Value = Vec<PhysRange>> {
    let one = (0u64..0x10_0000, 1u64..0x4_0000)
        .prop_map(|(page, pages)| PhysRange { start: page << 12, end: (page + pages).min(0x10_0000) << 12 });
    prop_oneof![
        4 => Just(vec![RAM]),
        2 => Just(vec![PhysRange::sized(0x6000_0000, 256 * M)]),
        1 => prop::collection::vec(one, 0..5),
    ]
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let reserved = prop::collection::vec(any_node(), 0..14);
    let memreserve = prop::collection::vec(some_range(), 0..3);
    let initrd = prop::option::of(
        (0u64..0x100, 0u64..80 * M).prop_map(|(offset, size)| PhysRange::sized(0x6800_0000 + offset, size)),
    );
    (any_ram(), memreserve, reserved, initrd).prop_map(|(memory, memreserve, reserved, initrd)| Facts {
        memory,
        memreserve,
        reserved,
        initrd,
        ..Facts::default()
    })
}

proptest! {
    #![proptest_config(property::config(4000))]

    #[test]
    fn every_placement_holds(facts in any_facts(), bootargs in any_bootargs(), tree_mib in 0u64..160) {
        let tree = PhysRange::sized(0x6100_0000 + tree_mib * M, 0x4321);
        Case::of(facts, tree, &bootargs);
    }

    /// Dynamic pools without alloc-ranges are placed one below the other, from the end of RAM.
    #[test]
    fn dynamic_pools_avoid_each_other_and_fill_from_the_top(sizes in prop::collection::vec(1u64..9, 1..8)) {
        let nodes = sizes.iter().enumerate().map(|(index, blocks)| cma(dynamic(&format!("p{index}"), blocks * 4 * M, &[])));
        let case = Case::new(nodes.collect(), "cma=0");
        let mut top = RAM.end;
        for (area, blocks) in case.placed.areas.iter().zip(&sizes) {
            top -= blocks * 4 * M;
            prop_assert_eq!(area.range, PhysRange::sized(top, blocks * 4 * M));
        }
        prop_assert_eq!(case.placed.areas.len(), sizes.len());
    }
}
