// SPDX-License-Identifier: MIT OR Apache-2.0
use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use super::super::{MAX_RANGES_PER_NODE, MAX_RESERVED_NODES, Placement, Property};
use super::build::{Builder, board, board_with_reserved, tree};
use super::{facts, notes, range};

fn pool(node: &mut Builder) -> &mut Builder {
    node.text("compatible", "shared-dma-pool").flag("reusable")
}

#[test]
fn the_two_areas_of_the_article() {
    let bytes = board_with_reserved(|reserved| {
        reserved.node("linux,cma", |node| {
            pool(node).cells("size", &[0x80_0000]).cells("alloc-ranges", &[0x6900_0000, 0x80_0000]);
            node.flag("linux,cma-default").cells("phandle", &[7]);
        });
        reserved.node("vram@4c000000", |node| {
            node.text("compatible", "shared-dma-pool").cells("reg", &[0x4c00_0000, 0x80_0000]).flag("no-map");
        });
    });
    let facts = facts(&bytes);
    let [cma, vram] = &facts.reserved[..] else { panic!("{:?}", facts.reserved) };
    assert_eq!(
        (cma.name.as_str(), cma.phandle, cma.compatible.as_deref()),
        ("linux,cma", Some(7), Some("shared-dma-pool"))
    );
    assert_eq!(
        cma.placement().expect("well-formed"),
        Placement::Dynamic { size: 0x80_0000, alignment: 0, alloc_ranges: vec![range(0x6900_0000, 0x80_0000)] }
    );
    assert!(cma.shared_dma_pool && cma.reusable && cma.cma_default && !cma.no_map);
    assert_eq!(vram.name, "vram@4c000000");
    assert_eq!(vram.placement().expect("well-formed"), Placement::Fixed(vec![range(0x4c00_0000, 0x80_0000)]));
    assert!(vram.shared_dma_pool && !vram.reusable && !vram.cma_default && vram.no_map && vram.phandle.is_none());
    assert_eq!(notes(&facts), [""; 0]);
}

#[test]
fn several_ranges_and_an_alignment() {
    let bytes = board_with_reserved(|reserved| {
        reserved.node("a", |node| {
            let ranges = [0x6100_0000, 0x100_0000, 0x7800_0000, 0x400_0000];
            pool(node).cells("size", &[0x200_0000]).cells("alignment", &[0x80_0000]).cells("alloc-ranges", &ranges);
        });
        reserved.node("b@70000000", |node| {
            node.cells("reg", &[0x7000_0000, 0x1000, 0x7100_0000, 0x2000]);
        });
        reserved.node("c", |node| {
            pool(node).cells("size", &[0]);
        });
    });
    let facts = facts(&bytes);
    let alloc_ranges = vec![range(0x6100_0000, 0x100_0000), range(0x7800_0000, 0x400_0000)];
    assert_eq!(
        facts.reserved[0].placement().expect("well-formed"),
        Placement::Dynamic { size: 0x200_0000, alignment: 0x80_0000, alloc_ranges }
    );
    assert_eq!(
        facts.reserved[1].placement().expect("well-formed"),
        Placement::Fixed(vec![range(0x7000_0000, 0x1000), range(0x7100_0000, 0x2000)])
    );
    assert_eq!(facts.reserved[1].compatible, None);
    assert_eq!(
        facts.reserved[2].placement().expect("well-formed"),
        Placement::Dynamic { size: 0, alignment: 0, alloc_ranges: vec![] }
    );
    assert_eq!(notes(&facts), [""; 0]);
}

#[test]
fn two_cells_each() {
    let bytes = tree(|root| {
        root.cells("#address-cells", &[2]).cells("#size-cells", &[2]);
        root.node("memory", |node| {
            node.text("device_type", "memory").cells("reg", &[0, 0x6000_0000, 0, 0x4000_0000]);
        });
        root.node("reserved-memory", |reserved| {
            reserved.cells("#address-cells", &[2]).cells("#size-cells", &[2]).flag("ranges");
            reserved.node("a", |node| {
                pool(node).cells("size", &[1, 0x80_0000]).cells("alignment", &[0, 0x40_0000]);
            });
            reserved.node("b@170000000", |node| {
                pool(node).cells("reg", &[1, 0x7000_0000, 0, 0x80_0000]);
            });
        });
    });
    let facts = facts(&bytes);
    assert_eq!(
        facts.reserved[0].placement().expect("well-formed"),
        Placement::Dynamic { size: 0x1_0080_0000, alignment: 0x40_0000, alloc_ranges: vec![] }
    );
    assert_eq!(
        facts.reserved[1].placement().expect("well-formed"),
        Placement::Fixed(vec![range(0x1_7000_0000, 0x80_0000)])
    );
}

/// Linux reads `size` by the root's size cells and `alignment` by its address cells: the test uses
/// different counts of the two.
#[test]
fn an_alignment_has_as_many_cells_as_an_address() {
    let cases: [(u32, u32, &[u32], &[u32]); 2] =
        [(2, 1, &[0x80_0000], &[0, 0x40_0000]), (1, 2, &[0, 0x80_0000], &[0x40_0000])];
    for (address, size, right_size, right_alignment) in cases {
        let reserved_with = |alignment: &[u32]| {
            tree(|root| {
                root.cells("#address-cells", &[address]).cells("#size-cells", &[size]);
                let memory =
                    [&[0, 0x6000_0000][2 - address as usize..], &[0, 0x4000_0000][2 - size as usize..]].concat();
                root.node("memory", |node| {
                    node.text("device_type", "memory").cells("reg", &memory);
                });
                root.node("reserved-memory", |reserved| {
                    reserved.cells("#address-cells", &[address]).cells("#size-cells", &[size]).flag("ranges");
                    reserved.node("a", |node| {
                        pool(node).cells("size", right_size).cells("alignment", alignment);
                    });
                });
            })
        };
        let right = facts(&reserved_with(right_alignment));
        let placement = Placement::Dynamic { size: 0x80_0000, alignment: 0x40_0000, alloc_ranges: vec![] };
        assert_eq!((right.reserved[0].placement(), notes(&right)), (Some(placement), vec![]));
        let wrong = facts(&reserved_with(right_size));
        assert_eq!(wrong.reserved[0].alignment, Property::Malformed);
    }
}

/// Trees from before 2008 have `linux,phandle`; if there are both, `phandle` counts.
#[test]
fn an_old_phandle_is_a_phandle() {
    let bytes = board(|root| {
        root.node("reserved-memory", |reserved| {
            reserved.cells("#address-cells", &[1]).cells("#size-cells", &[1]).flag("ranges");
            reserved.node("old", |node| {
                pool(node).cells("size", &[0x80_0000]).cells("linux,phandle", &[7]);
            });
            reserved.node("both", |node| {
                pool(node).cells("size", &[0x80_0000]).cells("linux,phandle", &[8]).cells("phandle", &[9]);
            });
        });
        root.node("camera", |node| {
            node.cells("memory-region", &[7]);
        });
    });
    let facts = facts(&bytes);
    assert_eq!([0, 1].map(|node| facts.reserved[node].phandle), [Some(7), Some(9)]);
    let users = facts.area_users.iter().map(|user| (user.device.as_str(), user.area.as_str()));
    assert_eq!(users.collect::<vec::Vec<_>>(), [("camera", "old")], "a device finds it by that");
}

/// A malformed property differs from an absent one, and hides no other property or node.
#[test]
fn ill_formed_properties_are_marked() {
    type Fill = fn(&mut Builder) -> &mut Builder;
    type Ranges = Property<vec::Vec<units::PhysRange>>;
    let size = || Property::Is(0x80_0000);
    type Case = (Fill, Property<u64>, Property<u64>, [Ranges; 2]);
    let cases: [Case; 9] = [
        (
            |node| node.cells("size", &[0, 0x80_0000]),
            Property::Malformed,
            Property::Absent,
            [Property::Absent, Property::Absent],
        ),
        (|node| node.flag("size"), Property::Malformed, Property::Absent, [Property::Absent, Property::Absent]),
        (
            |node| node.cells("size", &[0x80_0000]).cells("alignment", &[0, 1]),
            size(),
            Property::Malformed,
            [Property::Absent, Property::Absent],
        ),
        (
            |node| node.cells("size", &[0x80_0000]).cells("alloc-ranges", &[0x6900_0000]),
            size(),
            Property::Absent,
            [Property::Absent, Property::Malformed],
        ),
        (
            |node| node.cells("size", &[0x80_0000]).flag("alloc-ranges"),
            size(),
            Property::Absent,
            [Property::Absent, Property::Is(vec![])],
        ),
        (
            |node| node.cells("reg", &[0x6900_0000]),
            Property::Absent,
            Property::Absent,
            [Property::Malformed, Property::Absent],
        ),
        (
            |node| node.bytes("reg", &[0x69, 0, 0, 0, 0, 0x80, 0]),
            Property::Absent,
            Property::Absent,
            [Property::Malformed, Property::Absent],
        ),
        (
            |node| node.flag("reg").cells("size", &[0x80_0000]),
            size(),
            Property::Absent,
            [Property::Is(vec![]), Property::Absent],
        ),
        (|node| node, Property::Absent, Property::Absent, [Property::Absent, Property::Absent]),
    ];
    for (fill, size, alignment, [reg, alloc_ranges]) in cases {
        let bytes = board_with_reserved(|reserved| {
            reserved.node("pool_a", |node| {
                fill(pool(node));
            });
            reserved.node("pool_b", |node| {
                pool(node).cells("size", &[0x80_0000]);
            });
        });
        let facts = facts(&bytes);
        assert_eq!(notes(&facts), [""; 0]);
        let [a, b] = &facts.reserved[..] else { panic!("{facts:?}") };
        assert_eq!((&a.size, &a.alignment, &a.reg, &a.alloc_ranges), (&size, &alignment, &reg, &alloc_ranges));
        assert_eq!(a.placement(), None);
        assert!(b.placement().is_some());
    }
}

#[test]
fn the_parent_must_have_ranges_and_the_roots_cells() {
    type Fill = fn(&mut Builder) -> &mut Builder;
    let cases: [Fill; 4] = [
        |parent| parent.cells("#address-cells", &[1]).cells("#size-cells", &[1]),
        |parent| parent.cells("#address-cells", &[2]).cells("#size-cells", &[1]).flag("ranges"),
        |parent| parent.cells("#address-cells", &[1]).cells("#size-cells", &[2]).flag("ranges"),
        // The root's cells are not inherited here: Linux requires the properties.
        |parent| parent.flag("ranges"),
    ];
    for fill in cases {
        let bytes = board(|root| {
            root.node("reserved-memory", |parent| {
                fill(parent).node("pool", |node| {
                    pool(node).cells("size", &[0x80_0000]);
                });
            });
        });
        let facts = facts(&bytes);
        assert_eq!(facts.reserved, vec![]);
        assert!(facts.reserved_unsupported.is_some());
    }
}

#[test]
fn a_disabled_node_is_no_region() {
    for (status, count) in [("okay", 1), ("ok", 1), ("disabled", 0), ("OKAY", 0), ("", 0)] {
        let bytes = board_with_reserved(|reserved| {
            reserved.node("pool", |node| {
                pool(node).text("status", status).cells("size", &[0x80_0000]);
            });
        });
        let facts = facts(&bytes);
        assert_eq!(facts.reserved.len(), count, "{status}");
        assert_eq!(notes(&facts), [""; 0]);
    }
}

#[test]
fn limits_name_their_constants() {
    let bytes = board_with_reserved(|reserved| {
        (0..260).for_each(|n| {
            reserved.node(&format!("pool_{n}"), |node| {
                pool(node).cells("size", &[0x1000]);
            });
        });
    });
    let many = facts(&bytes);
    assert_eq!(many.reserved.len(), MAX_RESERVED_NODES);
    assert_eq!(
        notes(&many),
        ["debris: Reserved memory: pool_256 and those after it ignored: raise MAX_RESERVED_NODES, 256".to_string()]
    );
    let reg: vec::Vec<u32> = (0..100).flat_map(|n| [0x6000_0000 + n * 0x1_0000, 0x1000]).collect();
    let long = facts(&board_with_reserved(|reserved| {
        reserved.node("long", |node| {
            node.cells("reg", &reg);
        });
    }));
    let Placement::Fixed(ranges) = long.reserved[0].placement().expect("well-formed") else { panic!("not fixed") };
    assert_eq!(ranges.len(), MAX_RANGES_PER_NODE);
    assert!(notes(&long)[0].contains("raise MAX_RANGES_PER_NODE"));
}
