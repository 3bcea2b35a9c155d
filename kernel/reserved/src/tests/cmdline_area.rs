// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cma=` beyond the cases that were measured on Linux.

use super::*;

#[track_caller]
fn failed(bootargs: &str, lines: &[&str]) {
    Case::new(vec![], bootargs).assert(&[], lines);
}

#[test]
fn bounds() {
    failed(
        "cma=16M@0xb0000000",
        &["cma: Size (0x01000000) of region at 0xb0000000 exceeds limit (0xa0000000)", "cma: Failed to reserve 16 MiB"],
    );
    failed(
        "cma=16M@0x9f800000",
        &[
            "cma: Region at 0x9f800000 defined on low/high memory boundary (0xa0000000)",
            "cma: Failed to reserve 16 MiB",
        ],
    );
    failed(
        "cma=16M@0x70000000-0x60000000",
        &["cma: Size (0x01000000) of region at 0x70000000 exceeds limit (0x60000000)", "cma: Failed to reserve 16 MiB"],
    );
    failed("cma=16M@0", &["cma: Failed to reserve 16 MiB"]);
    failed("cma=16M@0x10000000-0x20000000", &["cma: Failed to reserve 16 MiB"]);
    // The end wraps at the top of 32 bits and passes every check of Linux.
    failed("cma=2G@0x90000000", &["debris: Reserved memory: cma=: outside RAM", "cma: Failed to reserve 2048 MiB"]);
}

#[test]
fn a_range_that_is_not_aligned_is_narrowed() {
    let case = Case::new(vec![], "cma=16M@0x70100000-0x72f00000");
    case.assert(&[("reserved", 0x71c0_0000, 16, true)], &["cma: Reserved 16 MiB at 0x71c00000"]);
    let case = Case::new(vec![], "cma=16M@0x90000000-");
    case.assert(&[("reserved", 0x9f00_0000, 16, true)], &["cma: Reserved 16 MiB at 0x9f000000"]);
}

#[test]
fn over_what_is_taken() {
    failed(
        "cma=16M@0x60000000",
        &["debris: Reserved memory: cma=: overlaps Kernel image", "cma: Failed to reserve 16 MiB"],
    );
    let case = Case::new(default_areas()[1..].to_vec(), "cma=16M@0x69000000");
    assert_eq!(
        case.other_lines()[2..],
        ["debris: Reserved memory: cma=: overlaps BiscuitOS_cma", "cma: Failed to reserve 16 MiB"]
    );
    assert_eq!(case.areas().len(), 1);
}

#[test]
fn sizes_at_the_top_of_32_bits() {
    failed("cma=0xfffffffe", &["cma: Failed to reserve 0 MiB"]);
    failed("cma=4G", &[]);
    failed(
        "cma=0xffc00000",
        &[
            "cma: Size (0xffc00000) of region at 0x00000000 exceeds limit (0xa0000000)",
            "cma: Failed to reserve 4092 MiB",
        ],
    );
    failed("cma=512M@0xf0000000", &["debris: Reserved memory: cma=: outside RAM", "cma: Failed to reserve 512 MiB"]);
    // A size of -1 counts as absent: the default node stays.
    assert_eq!(Case::new(default_areas(), "cma=0xffffffff").areas().len(), 2);
}

#[test]
fn garbage_makes_no_area_and_bypasses_the_default_node() {
    for bootargs in ["cma=", "cma=lots", "cma=@0x70000000"] {
        let case = Case::new(default_areas(), bootargs);
        assert_eq!(case.areas(), [("BiscuitOS_cma", 0x6980_0000, 8, false)]);
    }
    assert_eq!(Case::new(default_areas(), "cma").areas().len(), 2);
}

#[test]
fn the_ninth_area() {
    let nodes: Vec<_> = (0..8).map(|index| cma(dynamic(&format!("p{index}"), 4 * M, &[]))).collect();
    let case = Case::new(nodes, "cma=16M");
    assert_eq!(case.areas().len(), 8);
    assert_eq!(
        case.other_lines()[16..],
        ["cma: Not enough slots for CMA reserved regions!", "debris: 9th CMA area ignored: raise MAX_CMA_AREAS"]
    );
    let refusal = case.placed.notes.last().unwrap().refusal.as_ref().unwrap();
    assert_eq!(refusal.to_string(), "parameter cma: debris: 9th CMA area ignored: raise MAX_CMA_AREAS");
}

#[test]
fn a_default_node_without_reusable_is_bypassed_too() {
    let node = ReservedNode { reusable: false, ..default(cma(dynamic("d", 4 * M, &[]))) };
    let case = Case::new(vec![node], "cma=4M");
    assert_eq!(
        case.other_lines(),
        [
            "Reserved memory: bypass d node, using cmdline CMA params instead",
            "Reserved memory: regions without no-map are not yet supported",
            "OF: reserved mem: node d compatible matching fail",
            "cma: Reserved 4 MiB at 0x9fc00000",
        ]
    );
}
