// SPDX-License-Identifier: MIT OR Apache-2.0

//! This repository's own trees, compiled by `dtc`, which `scripts/setup` installs.

use alloc::vec;
use alloc::vec::Vec;
use std::path::Path;
use std::process::Command;

use super::super::{AreaUser, Device, Facts, Placement};
use super::{facts, notes, range};

/// Compiles a file in `dts/` and returns its facts.
fn compiled(file: &str) -> Facts {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dts").join(file);
    let output = Command::new("dtc").args(["-q", "-I", "dts", "-O", "dtb"]).arg(&source).output();
    let output = output.unwrap_or_else(|error| panic!("dtc: {error} (scripts/setup installs it)"));
    assert!(
        output.status.success(),
        "dtc {}: {}",
        source.display(),
        std::string::String::from_utf8_lossy(&output.stderr)
    );
    facts(&output.stdout)
}

/// The addresses and interrupts of the devices with the string `kind` in `compatible`, in order.
fn of_kind(facts: &Facts, kind: &str) -> Vec<(u64, Vec<u32>)> {
    let is_kind = |device: &&Device| device.compatible.iter().any(|text| text == kind);
    facts.devices.iter().filter(is_kind).map(|device| (device.reg[0].start, device.interrupts.clone())).collect()
}

fn check_board(facts: &Facts) {
    assert_eq!(notes(facts), [""; 0]);
    assert_eq!(facts.model.as_deref(), Some("V2P-CA9"));
    assert_eq!(facts.memory, vec![range(0x6000_0000, 0x4000_0000)]);
    let uarts: Vec<_> = (0..4).map(|n| (0x1000_9000 + u64::from(n) * 0x1000, vec![32 + 5 + n])).collect();
    assert_eq!(of_kind(facts, "arm,pl011"), uarts);
    assert_eq!(of_kind(facts, "arm,sp804"), [(0x1001_1000, vec![34]), (0x1001_2000, vec![35])]);
    assert_eq!(of_kind(facts, "arm,pl031"), [(0x1001_7000, vec![36])]);
    let mut displays = of_kind(facts, "arm,pl111");
    displays.sort();
    assert_eq!(displays, [(0x1001_f000, vec![46]), (0x1002_0000, vec![76])]);
    assert_eq!(of_kind(facts, "arm,vexpress-sysreg"), [(0x1000_0000, vec![])]);
    assert_eq!(of_kind(facts, "arm,cortex-a9-scu"), [(0x1e00_0000, vec![])]);
    assert_eq!(of_kind(facts, "arm,cortex-a9-twd-timer"), [(0x1e00_0600, vec![29])]);
    assert_eq!(of_kind(facts, "arm,pl310-cache"), [(0x1e00_a000, vec![75])]);
    let gic = facts.devices.iter().find(|device| device.compatible == ["arm,cortex-a9-gic"]).expect("a GIC");
    assert_eq!(gic.reg, [range(0x1e00_1000, 0x1000), range(0x1e00_0100, 0x100)]);
    let vram = &facts.reserved[0];
    assert_eq!((vram.name.as_str(), vram.no_map, vram.reusable), ("vram@4c000000", true, false));
    assert_eq!(vram.placement().expect("well-formed"), Placement::Fixed(vec![range(0x4c00_0000, 0x80_0000)]));
}

#[test]
fn the_board_with_its_areas() {
    let facts = compiled("vexpress-v2p-ca9.dts");
    check_board(&facts);
    let names: Vec<&str> = facts.reserved.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["vram@4c000000", "linux,cma", "BiscuitOS_cma"]);
    for (node, base) in facts.reserved[1..].iter().zip([0x6900_0000, 0x6980_0000]) {
        assert!(node.shared_dma_pool && node.reusable && !node.no_map);
        assert_eq!(node.cma_default, node.name == "linux,cma");
        let alloc_ranges = vec![range(base, 0x80_0000)];
        assert_eq!(
            node.placement().expect("well-formed"),
            Placement::Dynamic { size: 0x80_0000, alignment: 0, alloc_ranges }
        );
    }
    assert_eq!(
        facts.area_users,
        [AreaUser { device: "BiscuitOS_CMA".into(), area: "BiscuitOS_cma".into(), by_region: false }]
    );
    let console = facts.stdout.map(|index| facts.devices[index].path.as_str());
    assert_eq!(console, Some("/serial@10009000"));
    assert_eq!(of_kind(&facts, "arm,cortex-a9-global-timer"), [(0x1e00_0200, vec![27])]);
}

#[test]
fn the_tree_in_upstreams_structure() {
    let facts = compiled("upstream-like.dts");
    check_board(&facts);
    assert_eq!(facts.reserved.len(), 1);
    assert_eq!((facts.bootargs, facts.initrd, facts.stdout, facts.area_users), (None, None, None, vec![]));
    let uart = &facts.devices.iter().find(|device| device.path.ends_with("/serial@9000")).expect("a UART").path;
    assert_eq!(uart, "/bus@40000000/motherboard-bus@40000000/iofpga@7,00000000/serial@9000");
    // Devices below i2c are unreachable; the tile's SP804 is disabled.
    assert!(facts.devices.iter().all(|device| !device.path.contains("dvi") && !device.path.contains("100e4000")));
}
