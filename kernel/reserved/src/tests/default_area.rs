// SPDX-License-Identifier: MIT OR Apache-2.0

//! The default area that neither a node nor `cma=` requests, and the area that replaces missing
//! ones.

use super::*;
use devicetree::AreaUser;

/// All areas, the one that was not requested included.
fn all_areas(case: &Case) -> Vec<Area<'_>> {
    let areas = case.placed.areas.iter();
    areas.map(|area| (area.name.as_str(), area.range.start, area.range.size() / M, area.default)).collect()
}

/// A machine with `ram_mib` MiB of RAM, an initrd of `initrd_bytes` in the middle of RAM, and the
/// tree after it.
fn small(ram_mib: u64, initrd_bytes: u64, nodes: Vec<ReservedNode>, bootargs: &str) -> Case {
    let initrd = PhysRange::sized(0x6000_0000 + ram_mib / 2 * M, initrd_bytes);
    let tree = PhysRange::sized(initrd.end.next_multiple_of(0x1000), 0x4000);
    let initrd = Some(initrd).filter(|range| !range.is_empty());
    Case::with(PhysRange::sized(0x6000_0000, ram_mib * M), tree, initrd, nodes, bootargs)
}

fn holds_page_frames(case: &Case) -> bool {
    case.memblock.find(PageFrames::of(&case.memblock, descriptor_bytes).search()).is_some()
}

#[test]
fn a_tree_without_a_default_gets_16_mib_at_the_top() {
    let case = Case::new(vec![], "");
    assert_eq!(all_areas(&case), [("reserved", 0x9f00_0000, 16, true)]);
    assert_eq!(case.lines(), [VRAM_LINES[0], VRAM_LINES[1], "cma: Reserved 16 MiB at 0x9f000000"]);
    assert!(case.placed.notes.iter().all(|note| note.level == log::Level::Info));
    assert!(case.memblock.iomem().to_string().ends_with("  9f000000-9fffffff : reserved\n"));
}

#[test]
fn it_comes_after_all_nodes_and_below_what_they_took() {
    let nodes = vec![cma(dynamic("pool", 12 * M, &[])), cma(fixed("low@70000000", 0x7000_0000, 8 * M))];
    let case = Case::new(nodes, "");
    assert_eq!(
        all_areas(&case),
        [
            ("pool", 0x9f40_0000, 12, false),
            ("low@70000000", 0x7000_0000, 8, false),
            ("reserved", 0x9e40_0000, 16, true),
        ]
    );
    assert_eq!(case.lines().last(), Some(&"cma: Reserved 16 MiB at 0x9e400000"));
}

#[test]
fn a_default_node_that_is_made_or_cma_zero_leaves_none() {
    assert_eq!(all_areas(&Case::new(default_areas(), "")).len(), 2);
    assert_eq!(all_areas(&Case::new(vec![], "cma=0")), []);
    assert_eq!(all_areas(&Case::new(default_areas(), "cma=0")).len(), 1);
    // A size of -1 counts as absent.
    assert_eq!(all_areas(&Case::new(vec![], "cma=0xffffffff")), [("reserved", 0x9f00_0000, 16, true)]);
}

#[test]
fn a_default_node_that_is_refused_leaves_the_default_to_linux() {
    for node in [cma(dynamic("odd", 9 * M, &[])), cma(dynamic("far", 8 * M, &[(0xb000_0000, 8 * M)]))] {
        let case = Case::new(vec![default(node)], "");
        assert_eq!(all_areas(&case), [("reserved", 0x9f00_0000, 16, true)]);
    }
}

#[test]
fn no_slot_no_default() {
    let nodes: Vec<_> = (0..8).map(|index| cma(dynamic(&format!("p{index}"), 4 * M, &[]))).collect();
    let case = Case::new(nodes, "");
    assert_eq!((all_areas(&case).len(), case.placed.areas.iter().any(|area| area.default)), (8, false));
    let lines = case.lines();
    let last = ["cma: Not enough slots for CMA reserved regions!", "debris: 9th CMA area ignored: raise MAX_CMA_AREAS"];
    assert_eq!(lines[lines.len() - 2..], last);
}

#[test]
fn small_memories_have_one_if_it_fits_and_room_for_the_page_frames_always() {
    for ram_mib in 7..=64 {
        let case = small(ram_mib, 0, vec![], "");
        assert!(holds_page_frames(&case), "{ram_mib} MiB");
        let made = !all_areas(&case).is_empty();
        assert_eq!(made, ram_mib >= 20, "{ram_mib} MiB: {:?}", case.placed);
        let failed = case.lines().contains(&"cma: Failed to reserve 16 MiB");
        assert_eq!(failed, !made, "{ram_mib} MiB");
    }
}

#[test]
fn it_takes_no_room_that_the_initrd_or_the_page_frames_need() {
    // 20 MiB: the area would leave 3,776 KiB below it. The page frames take 84 of them, the tree
    // 16.
    for (initrd_kib, made) in [(3600, true), (3720, false), (3770, false)] {
        let case = small(20, initrd_kib << 10, vec![], "");
        assert!(holds_page_frames(&case), "{initrd_kib} KiB");
        assert_eq!(!all_areas(&case).is_empty(), made, "{initrd_kib} KiB");
        if !made {
            assert!(case.placed.moves.is_empty());
            assert_eq!(
                case.other_lines(),
                [
                    "cma: Failed to reserve 16 MiB",
                    "debris: Reserved memory: reserved: no room beside the device tree, the initrd and the page frames",
                ]
            );
        }
    }
    // It does not take the place of a node for which the initrd moves, either.
    let nodes = || vec![fixed("low", 0x6040_0000, 16 * M), cma(fixed("pool", 0x6140_0000, 4 * M))];
    let case = small(40, 3770 << 10, nodes(), "");
    assert_eq!(all_areas(&case), [("pool", 0x6140_0000, 4, false)]);
    assert_eq!(case.placed.moves.len(), 2);
    assert!(case.lines().iter().all(|line| !line.contains("no room to move")));
    assert_eq!(all_areas(&small(40, 1 << 20, nodes(), "")).len(), 2);
}

/// A case with `ram_mib` MiB of RAM and devices that name the areas `named`.
fn with_users(ram_mib: u64, reserved: Vec<ReservedNode>, named: &[&str], bootargs: &str) -> Case {
    let area_users =
        named.iter().map(|&area| AreaUser { device: "camera".into(), area: area.into(), by_region: false }).collect();
    let memory = vec![PhysRange::sized(0x6000_0000, ram_mib * M)];
    let tree = PhysRange::sized(0x6400_0000, 0x4000);
    Case::of(Facts { memory, reserved, area_users, ..Facts::default() }, tree, bootargs)
}

#[test]
fn an_area_that_a_device_names_and_that_does_not_fit_is_said() {
    let case = with_users(128, default_areas(), &["BiscuitOS_cma", "linux,cma", "BiscuitOS_cma"], "");
    assert_eq!(all_areas(&case), [("reserved", 0x6700_0000, 16, true)]);
    assert_eq!(
        case.lines(),
        [
            "OF: reserved mem: failed to allocate memory for node 'BiscuitOS_cma': size 8 MiB",
            "OF: reserved mem: failed to allocate memory for node 'linux,cma': size 8 MiB",
            "cma: Reserved 16 MiB at 0x67000000",
            "debris: Reserved memory: camera: no area BiscuitOS_cma, which needs 160 MiB of RAM or more; \
             the default area, reserved, stands in",
            "debris: Reserved memory: camera: no area linux,cma, which needs 152 MiB of RAM or more; \
             the default area, reserved, stands in",
        ]
    );
    // The amount of RAM in the line is enough, and 1 MiB less is not.
    for (ram_mib, there) in [(159, false), (160, true)] {
        let case = with_users(ram_mib, default_areas(), &["BiscuitOS_cma"], "");
        assert_eq!(case.areas().iter().any(|area| area.0 == "BiscuitOS_cma"), there);
        assert_eq!(case.lines().iter().any(|line| line.contains("camera")), !there);
    }
    let last = |case: &Case| case.lines().last().unwrap().to_string();
    let case = with_users(128, default_areas(), &["BiscuitOS_cma"], "cma=0");
    assert_eq!(
        last(&case),
        "debris: Reserved memory: camera: no area BiscuitOS_cma, which needs 160 MiB of RAM or more"
    );
    // If more RAM would not help, or the amount is unknown, the line leaves it out.
    for nodes in [vec![], vec![cma(dynamic("pool", 9 * M, &[]))], vec![cma(fixed("pool", 0x6040_0000, 9 * M))]] {
        let case = with_users(128, nodes, &["pool"], "");
        assert_eq!(last(&case), "debris: Reserved memory: camera: no area pool; the default area, reserved, stands in");
    }
    let case = with_users(128, vec![cma(fixed("pool", 0x6780_0000, 16 * M))], &["pool"], "cma=0");
    assert_eq!(last(&case), "debris: Reserved memory: camera: no area pool, which needs 136 MiB of RAM or more");
}
