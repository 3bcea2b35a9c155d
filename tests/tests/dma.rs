// SPDX-License-Identifier: MIT OR Apache-2.0

//! The DMA API in the image: the source of buffers, the machine's page tables and caches, and
//! deliberately broken drivers.

use std::fs;

use boot_tests::{Boot, Outcome, Tree, in_tree};

/// Returns the device's address of the buffer that a line of `dma alloc` reports, and the rest of
/// the line.
fn buffer<'o>(outcome: &'o Outcome, device: &str, bytes: u32) -> (u32, &'o str) {
    let begin = format!("{bytes} bytes for {device}: device address 0x");
    let line = outcome.console().lines().find_map(|line| line.strip_prefix(&begin));
    let line = line.unwrap_or_else(|| panic!("{begin}: {outcome}"));
    let (address, rest) = line.split_once(", ").expect("more behind the address");
    (u32::from_str_radix(address, 16).expect("a number"), rest)
}

#[test]
fn buffers_come_from_where_the_tree_says() {
    let outcome = Boot::commands(
        "dma alloc BiscuitOS_CMA 4096; dma alloc BiscuitOS_CMA 1M; dma alloc display@10020000 4096; dma alloc display@10020000 1028K; cma; dma; \
         cat /sys/kernel/debug/dma-api/dump; dma free all; cat /sys/kernel/debug/cma/BiscuitOS_cma/used; \
         alloc BiscuitOS_cma 2048; dma alloc BiscuitOS_CMA 2M; dma alloc BiscuitOS_CMA 6M; dma free all",
    )
    .with("check=on")
    .run();
    outcome.ended_with(0);
    let (own, rest) = buffer(&outcome, "BiscuitOS_CMA", 4096);
    assert_eq!(own, 0x6980_0000);
    assert!(rest.starts_with("1 page of BiscuitOS_cma, seen by the processor at 0xe"), "{outcome}");
    assert_eq!(buffer(&outcome, "BiscuitOS_CMA", 1 << 20).0, 0x6990_0000, "aligned by its order");
    assert!(
        buffer(&outcome, "display@10020000", 4096).1.contains("the page allocator"),
        "a single page spares the shared area"
    );
    assert_eq!(
        buffer(&outcome, "display@10020000", 1028 << 10),
        (0x6900_0000, buffer(&outcome, "display@10020000", 1028 << 10).1)
    );
    outcome.has_line(
        "debris BiscuitOS_CMA coherent idx 3200 P=69900000 N=69900 D=69900000 L=100000 cln=0x034c8000 \
         DMA_BIDIRECTIONAL dma map error check not applicable",
    );
    outcome.has_line("freed 4");
    outcome.has_line("0");
    // If an area is full, its device gets pages of the page allocator, in blocks of up to 4 MiB.
    assert!(buffer(&outcome, "BiscuitOS_CMA", 2 << 20).1.starts_with("512 pages of the page allocator"), "{outcome}");
    outcome.has_line(
        "no 6291456 bytes for BiscuitOS_CMA: the area is full: 0 pages free; the page allocator: no block has 2048 pages, the largest has 1024",
    );
}

#[test]
fn the_self_tests_pass_on_every_machine() {
    for (memory, tree) in [
        ("128M", Tree::Board),
        ("1024M", Tree::Board),
        ("256M", Tree::UpstreamLike),
        ("1024M", Tree::Nodes(fs::read_to_string(in_tree("dts/bench.dtsi")).expect("dts/bench.dtsi"))),
    ] {
        let outcome = Boot::commands("selftest dma; selftest live; selftest dma")
            .with("check=on")
            .memory(memory)
            .tree(tree)
            .run();
        outcome.ended_with(0);
        assert_eq!(outcome.console().lines().filter(|line| line.starts_with("ok ")).count(), 14, "{outcome}");
        outcome.has_line("ok 4 dma_misuse");
    }
}

#[test]
fn without_a_second_cache_or_a_snoop_control_unit() {
    let nodes = fs::read_to_string(in_tree("dts/areas.dtsi")).expect("dts/areas.dtsi");
    let off = "&l2 { status = \"disabled\"; };\n&{/scu@1e000000} { status = \"disabled\"; };\n";
    let outcome = Boot::commands("selftest dma").tree(Tree::Nodes(format!("{nodes}{off}"))).run();
    outcome.ended_with(0);
    for missing in ["snoop control unit (arm,cortex-a9-scu)", "level 2 cache (arm,pl310-cache)"] {
        let line = format!("no {missing} in the tree, or its registers cannot be mapped: not used");
        assert!(outcome.console().lines().any(|printed| printed.ends_with(&line)), "{outcome}");
    }
}

#[test]
fn a_device_where_the_window_should_be_is_gone_around() {
    let nodes = fs::read_to_string(in_tree("dts/areas.dtsi")).expect("dts/areas.dtsi");
    let devices = "/ {\n\tblock@e0000000 { compatible = \"x\"; reg = <0xe0000000 0x100000>; };\n\
                   \tpage@e0300000 { compatible = \"x\"; reg = <0xe0300000 0x1000>; };\n};\n";
    let outcome =
        Boot::commands("dma alloc BiscuitOS_CMA 1M; dma alloc display@10020000 8M; dma free all; selftest dma")
            .tree(Tree::Nodes(format!("{nodes}{devices}")))
            .run();
    outcome.ended_with(0);
    assert!(buffer(&outcome, "BiscuitOS_CMA", 1 << 20).1.ends_with("at 0xe0100000"), "{outcome}");
    assert!(buffer(&outcome, "display@10020000", 8 << 20).1.ends_with("at 0xe0400000"), "{outcome}");
}

#[test]
fn the_second_cache_is_set_up() {
    let outcome = Boot::commands("version").run();
    outcome.ended_with(0);
    for line in
        ["L2C-310 cache controller enabled, 8 ways, 128 kB", "L2C-310: CACHE_ID 0x410000c8, AUX_CTRL 0x72420000"]
    {
        assert!(outcome.console().lines().any(|printed| printed.ends_with(line)), "{outcome}");
    }
}

const HALF_A_GIB: &str = "big@70000000 {
    compatible = \"shared-dma-pool\";
    reusable;
    linux,cma-default;
    reg = <0x70000000 0x20000000>;
};
";

#[test]
fn large_buffers_fit_the_window_or_are_refused() {
    let outcome = Boot::commands(
        "dma alloc display@1001f000 64M; dma alloc display@10020000 40M; dma alloc display@1001f000 497M; dma free all; dma alloc display@1001f000 497M; dma free all; \
         cat /sys/kernel/debug/cma/big@70000000/used; selftest dma",
    )
    .memory("1024M")
    .tree(Tree::Nodes(HALF_A_GIB.into()))
    .run();
    outcome.ended_with(0);
    assert_eq!(buffer(&outcome, "display@1001f000", 64 << 20).0, 0x7000_0000, "{outcome}");
    assert_eq!(buffer(&outcome, "display@10020000", 40 << 20).0, 0x7400_0000, "{outcome}");
    let refused = "no 521142272 bytes for display@1001f000: ";
    let [full, unmapped] =
        outcome.console().lines().filter_map(|line| line.strip_prefix(refused)).collect::<Vec<_>>()[..]
    else {
        panic!("{outcome}")
    };
    assert!(full.starts_with("the area is full: 104448 pages free"), "{outcome}");
    assert_eq!(unmapped, "the buffer cannot be mapped: the window of coherent buffers is full");
    for line in ["freed 2", "freed 0", "0"] {
        outcome.has_line(line);
    }
}
