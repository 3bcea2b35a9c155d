// SPDX-License-Identifier: MIT OR Apache-2.0

//! Trees such as users have, in `tests/data/cases`, and Linux's result for each.

use boot_tests::{FakeQemu, in_tree};
use std::process::Command;

/// Boots with a file as NODES= or, compiled, as DTB=; returns the output.
fn boot(file: &str, variables: &[(&str, &str)]) -> String {
    let path = in_tree("tests/data/cases").join(file);
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let mut command = Command::new(in_tree("scripts/qemu"));
    command.env_remove("DTB").env_remove("NODES").env("TIMEOUT", "120").env("APPEND", "run=\"cma; poweroff\"");
    let is_tree = std::fs::read_to_string(&path).expect(file).contains("device_type");
    if is_tree {
        let blob = directory.path().join("my.dtb");
        let done = Command::new("dtc").args(["-q", "-I", "dts", "-O", "dtb", "-o"]).args([&blob, &path]).status();
        assert!(done.expect("dtc").success());
        command.env("DTB", blob);
    } else {
        command.env("NODES", path);
    }
    let output = command.envs(variables.iter().copied()).stdin(std::process::Stdio::null()).output().expect("it runs");
    assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A file of `tests/data/cases`, variables of the runner, and lines that the boot prints.
type Case<'c> = (&'c str, &'c [(&'c str, &'c str)], &'c [&'c str]);

#[test]
fn each_is_what_linux_makes_of_it() {
    let pool = |base: &str, mib: u32| format!("created CMA memory pool at {base}, size {mib} MiB");
    let cases: [Case<'_>; 16] = [
        ("two-cells.dtsi", &[], &[&pool("0x78000000", 640)]),
        ("two-cells-children.dtsi", &[], &[&pool("0x70000000", 64), "DMA memory pool at 0x9c800000, size 1 MiB"]),
        ("vendor-fragment.dtsi", &[], &[&pool("0x94000000", 16)]),
        ("other-ram-base.dtsi", &[], &["no RAM at", "0x60000000", "RAM_BASE=0x10000000"]),
        (
            "other-ram-base.dtsi",
            &[("RAM_BASE", "0x10000000")],
            &[&pool("0x7c000000", 64), "[mem 0x10000000-0x2fffffff] of the tree is [mem 0x60000000-0x7fffffff] here"],
        ),
        ("overlay.dts", &[], &[&pool("0x80000000", 256)]),
        ("macro.dtsi", &[], &[&pool("0x70000000", 256)]),
        ("memreserve.dtsi", &[], &[&pool("0x9dc00000", 32)]),
        ("refused-region.dtsi", &[], &["incorrect alignment", "size 1 MiB is not a multiple of 4 MiB"]),
        (
            "refused-region.dtsi",
            &[("APPEND", "run=\"dma alloc capture@0 64K; poweroff 0\"")],
            &["capture@0: no area pool@70000000; its driver gets -22 (-EINVAL)", "dma: -22 (-EINVAL): the region"],
        ),
        ("pool-inside-nomap.dts", &[], &["OVERLAP DETECTED!", "created DMA memory pool at 0x94300000, size 1 MiB"]),
        (
            "reg-above-4g.dts",
            &[],
            &["failed to allocate memory for node 'linux,cma': size 32 MiB", "Linux keeps 0x80000000"],
        ),
        ("range-above-4g.dts", &[], &[&pool("0x9e000000", 32)]),
        ("range-48-bit.dts", &[], &[&pool("0x9e000000", 32)]),
        ("usable-memory-range.dts", &[], &[&pool("0x7e000000", 32), "restricted-dma-pool"]),
        ("macro.dtsi", &[("APPEND", "mem=256M run=\"cma; poweroff\"")], &["debris: mem=: RAM ends at 0x70000000"]),
    ];
    for (file, variables, says) in cases {
        let printed = boot(file, variables);
        for words in says {
            assert!(printed.contains(words), "{file} {variables:?}: no {words:?} in\n{printed}");
        }
    }
}

/// A file, its areas (name, first address, MiB, the device that names it), and lines of
/// `/proc/iomem`.
type Figures<'c> = (&'c str, &'c [(&'c str, u64, u64, &'c str)], &'c [&'c str]);

/// The default area without a node or parameter, with 1 GiB of RAM and no other user.
const UNASKED: (&str, u64, u64, &str) = ("reserved", 0x9f00_0000, 16, "");
const ALL_RAM: &str = "60000000-9fffffff : System RAM";

#[test]
fn each_has_the_areas_and_the_memory_that_linux_has() {
    let cases: [Figures<'_>; 13] = [
        ("two-cells.dtsi", &[("linux,cma", 0x7800_0000, 640, "")], &[ALL_RAM, "  78000000-9fffffff : linux,cma"]),
        (
            "two-cells-children.dtsi",
            &[("buffer@70000000", 0x7000_0000, 64, ""), UNASKED],
            &[
                "60000000-9c7fffff : System RAM",
                "9c800000-9c8fffff : memory@9c800000",
                "9c900000-9fffffff : System RAM",
            ],
        ),
        ("vendor-fragment.dtsi", &[("vpu@94000000", 0x9400_0000, 16, "vpu_g1"), UNASKED], &[ALL_RAM]),
        ("other-ram-base.dtsi", &[UNASKED], &[ALL_RAM]),
        (
            "overlay.dts",
            &[("linux,cma", 0x8000_0000, 256, ""), ("BiscuitOS_cma", 0x6980_0000, 8, "BiscuitOS_CMA")],
            &[ALL_RAM],
        ),
        ("macro.dtsi", &[("cma", 0x7000_0000, 256, "")], &[ALL_RAM]),
        ("memreserve.dtsi", &[("linux,cma", 0x9dc0_0000, 32, "")], &[ALL_RAM, "  9fc00000-9fffffff : /memreserve/"]),
        ("refused-region.dtsi", &[UNASKED], &[ALL_RAM]),
        (
            "pool-inside-nomap.dts",
            &[UNASKED],
            &[
                "60000000-923fffff : System RAM",
                "92400000-943fffff : dsp@92400000",
                "  942f0000-942f7fff : vring@942f0000",
                "  94300000-943fffff : pool@94300000",
                "94400000-9fffffff : System RAM",
            ],
        ),
        (
            "reg-above-4g.dts",
            &[UNASKED],
            &[
                "60000000-7fffffff : System RAM",
                "80000000-8fffffff : memory@880000000",
                "90000000-9fffffff : System RAM",
            ],
        ),
        (
            "range-above-4g.dts",
            &[("linux,cma", 0x9e00_0000, 32, ""), ("reserved", 0x9d00_0000, 16, "")],
            &[ALL_RAM, "  9e000000-9fffffff : linux,cma"],
        ),
        ("range-48-bit.dts", &[("linux,cma", 0x9e00_0000, 32, ""), ("reserved", 0x9d00_0000, 16, "")], &[ALL_RAM]),
        (
            "usable-memory-range.dts",
            &[("linux,cma", 0x7e00_0000, 32, "")],
            &["60000000-7fffffff : System RAM", "  78000000-7bffffff : wifi@78000000"],
        ),
    ];
    for (file, areas, iomem) in cases {
        let look = "run=\"cat /proc/iomem; grep CmaTotal /proc/meminfo; poweroff\"";
        let printed = boot(file, &[("APPEND", look)]);
        let records = printed.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let found: Vec<_> = records.filter(|record| record["record"] == "area").collect();
        assert_eq!(found.len(), areas.len(), "{file}: {printed}");
        for (record, (name, base, mib, device)) in found.iter().zip(areas) {
            assert_eq!((&record["area"], &record["device"]), (&(*name).into(), &(*device).into()), "{file}: {printed}");
            assert_eq!((&record["base"], &record["pages"]), (&(*base).into(), &(mib << 8).into()), "{file}: {printed}");
        }
        let total = areas.iter().map(|area| area.2).sum::<u64>() << 10;
        let total = format!("CmaTotal: {total:>14} kB");
        for line in iomem.iter().copied().chain([total.as_str()]) {
            assert!(printed.lines().any(|printed| printed == line), "{file}: no {line:?} in\n{printed}");
        }
        // RAM is exactly what is listed.
        let ram = |line: &&str| line.ends_with(" : System RAM") && !line.starts_with('[');
        let in_order = |lines: &mut dyn Iterator<Item = &str>| lines.map(String::from).collect::<Vec<_>>();
        let (wanted, has) =
            (in_order(&mut iomem.iter().copied().filter(ram)), in_order(&mut printed.lines().filter(ram)));
        assert_eq!(has, wanted, "{file}");
    }
}

#[test]
fn as_many_dynamic_regions_as_fixed_ones_leave_room_for_the_page_frames() {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let file = directory.path().join("many.dtsi");
    let nodes = (0..180).map(|number| format!("r{number} {{ size = <0x1000>; alignment = <0x1000>; }};\n"));
    std::fs::write(&file, nodes.collect::<String>()).expect("it can be written");
    for linux in ["6.1", "6.12", "7.2"] {
        let output = Command::new(in_tree("scripts/qemu"))
            .env_remove("DTB")
            .env("NODES", &file)
            .env("TIMEOUT", "120")
            .env("APPEND", format!("linux={linux} run=\"alloc reserved 64; poweroff\""))
            .stdin(std::process::Stdio::null())
            .output()
            .expect("it runs");
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && printed.contains("id 1: 64 pages of reserved"), "{linux}: {printed}");
    }
}

#[test]
fn a_dtbs_own_base_is_passed_on() {
    let qemu = FakeQemu::new(FakeQemu::PRINTS_ITS_ARGUMENTS);
    let source = qemu.path("my.dts");
    let blob = qemu.path("my.dtb");
    let tree = "/dts-v1/; / { #address-cells = <2>; #size-cells = <1>; memory@80000000 { device_type = \"memory\"; \
                reg = <0 0x80000000 0x10000000>; }; };";
    std::fs::write(&source, tree).unwrap();
    assert!(Command::new("dtc").args(["-q", "-O", "dtb", "-o"]).args([&blob, &source]).status().unwrap().success());
    let blob = blob.to_str().unwrap();
    assert_eq!(qemu.command_line(&[("DTB", blob)]).as_deref(), Some("ram_base=0x80000000"));
    let line = qemu.command_line(&[("DTB", blob), ("RAM_BASE", "0xc0000000"), ("APPEND", "cma=8M")]);
    assert_eq!(line.as_deref(), Some("ram_base=0xc0000000 cma=8M"));
    let refused = qemu.run(&[("RAM_BASE", "0x10100000")]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("multiple of 4 MiB"));
}
