// SPDX-License-Identifier: MIT OR Apache-2.0

//! All entries and exits of the kernel: memory sizes, trees, image formats, processors, exit
//! statuses.

use boot_tests::{Boot, Entry, Outcome, Tree, compile_fragments};

/// Boots `boot`, asserts status 0, and returns the outcome.
fn areas_of(boot: Boot) -> Outcome {
    let outcome = boot.run();
    outcome.ended_with(0);
    assert_eq!(outcome.records_of("boot").len(), 1, "{outcome}");
    outcome
}

#[test]
fn both_areas_with_256_mib_and_more() {
    for memory in ["256M", "512M", "1024M"] {
        let outcome = areas_of(Boot::commands("cma").memory(memory));
        outcome
            .has_line("Reserved memory: created CMA memory pool at 0x69000000, size 8 MiB")
            .has_line("OF: reserved mem: initialized node linux,cma, compatible id shared-dma-pool")
            .has_line("Reserved memory: created CMA memory pool at 0x69800000, size 8 MiB")
            .has_line("OF: reserved mem: initialized node BiscuitOS_cma, compatible id shared-dma-pool");
        assert_eq!(outcome.record("boot")["areas"], 2, "{outcome}");
    }
}

#[test]
fn the_default_area_with_128_mib() {
    // Both alloc-ranges are beyond the end of RAM, which has QEMU's default size.
    let outcome = areas_of(Boot::commands("cma; debris ops=20000").memory("128M"));
    outcome
        .has_line("OF: reserved mem: failed to allocate memory for node 'linux,cma': size 8 MiB")
        .has_line("OF: reserved mem: failed to allocate memory for node 'BiscuitOS_cma': size 8 MiB")
        .has_line("cma: Reserved 16 MiB at 0x67000000")
        .has_line(
            "debris: Reserved memory: BiscuitOS_CMA: no area BiscuitOS_cma, which needs 160 MiB of RAM or more; \
             the default area, reserved, stands in",
        );
    assert_eq!(outcome.record("boot")["areas"], 1, "{outcome}");
    let record = outcome.record("debris");
    assert_eq!((&record["area"], &record["pages"]), (&"reserved".into(), &4096.into()), "{outcome}");
    // The size of RAM that the line gives.
    let outcome = areas_of(Boot::commands("debris").memory("160M"));
    assert_eq!(outcome.record("debris")["allocs"], 16687, "{outcome}");
}

#[test]
fn plain_qemu_runs_the_experiment() {
    let mut session = Boot::new("").memory("128M").without_semihosting().start();
    session.expect("cma: Reserved 16 MiB at 0x67000000");
    session.expect("debris on reserved (4096 pages)");
    session.send("\u{3}");
    session.expect("debris> ");
    session.send("poweroff\r");
    session.finish().ended_with(0);
}

#[test]
fn cma_zero_makes_no_default_area() {
    let outcome = Boot::commands("debris").with("cma=0").memory("128M").run();
    outcome.ended_with(2).says("there is no CMA area").does_not_say("cma: Reserved");
    assert_eq!(outcome.record("boot")["areas"], 0, "{outcome}");
}

#[test]
fn small_memories_boot_with_the_default_area_or_without() {
    for (memory, line, areas) in [
        ("8M", "cma: Failed to reserve 16 MiB", 0),
        ("16M", "cma: Failed to reserve 16 MiB", 0),
        ("20M", "cma: Reserved 16 MiB at 0x60400000", 1),
        ("24M", "cma: Reserved 16 MiB at 0x60800000", 1),
        ("33M", "cma: Reserved 16 MiB at 0x61000000", 1),
    ] {
        let outcome = areas_of(Boot::commands("version").memory(memory));
        outcome.has_line(line);
        assert_eq!(outcome.record("boot")["areas"], areas, "{memory}: {outcome}");
    }
}

#[test]
fn upstream_tree() {
    let outcome = areas_of(Boot::commands("version").tree(Tree::UpstreamLike).memory("1024M"));
    outcome.has_line("cma: Reserved 16 MiB at 0x9f000000");
    assert_eq!(outcome.record("boot")["areas"], 1, "{outcome}");
    let outcome = areas_of(Boot::commands("debris").with("cma=8M").tree(Tree::UpstreamLike).memory("1024M"));
    outcome.has_line("cma: Reserved 8 MiB at 0x9f800000");
    assert_eq!(outcome.record("debris")["area"], "reserved", "{outcome}");
}

#[test]
fn no_tree_at_all() {
    for entry in [Entry::Raw, Entry::Elf] {
        let outcome = Boot::commands("version").tree(Tree::None).entry(entry).run();
        outcome.ended_with(2);
        assert!(outcome.console().to_lowercase().contains("device tree"), "{outcome}");
    }
}

/// Compiles the board's tree with dtc, with `run` and a power-off as its command line.
fn board_blob(run: &str) -> Vec<u8> {
    compile_fragments(&format!("/ {{ chosen {{ bootargs = \"run=\\\"{run}; poweroff\\\"\"; }}; memory@60000000 {{ reg = <0x60000000 0x10000000>; }}; }};"))
        .bytes()
}

#[test]
fn a_tree_that_qemu_did_not_touch() {
    let outcome = Boot::new("").tree(Tree::Untouched(board_blob("version"))).run();
    outcome.ended_with(0);
    assert_eq!(outcome.records_of("boot").len(), 1, "{outcome}");
}

#[test]
fn broken_trees_end_with_a_line_and_status_2() {
    let whole = board_blob("version");
    let changed = |at: usize, value: u32| {
        let mut bytes = whole.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        bytes
    };
    // The header's fields in order: magic, total size, offsets of structure and strings, version 17
    // is at 20.
    let broken = [
        ("magic", changed(0, 0xd00d_feee)),
        ("total size 0", changed(4, 0)),
        ("total size huge", changed(4, 0xffff_fff0)),
        ("structure outside", changed(8, 0x00ff_0000)),
        ("strings outside", changed(12, 0xffff_fff0)),
        ("version 1", changed(20, 1)),
        ("only a header", {
            let mut bytes = whole[..40].to_vec();
            bytes.resize(whole.len(), 0);
            bytes
        }),
    ];
    for (what, bytes) in broken {
        let outcome = Boot::new("").tree(Tree::Untouched(bytes)).run();
        assert_eq!(outcome.status(), Some(2), "{what}: {outcome}");
        assert!(outcome.console().to_lowercase().contains("device tree"), "{what}: {outcome}");
    }
}

#[test]
fn too_little_memory_is_a_line() {
    // RAM ends in the image; the tree is in the image, and then begins before its end; there is
    // room for both.
    for (memory, words) in [
        ("2M", Some("too little memory: the kernel ends at 0x60")),
        ("3M", Some("too little memory: the kernel ends at 0x60")),
        ("4M", Some("in the kernel's own memory; too little memory: the kernel ends at 0x60")),
        ("6M", Some("in the kernel's own memory; too little memory: the kernel ends at 0x60")),
        ("7M", Some("in the kernel's own memory; too little memory: the kernel ends at 0x60")),
        ("8M", None),
    ] {
        let outcome = Boot::commands("version").memory(memory).run();
        match words {
            Some(words) => outcome.ended_with(2).says(words).says("start QEMU with -m 8M or more (MEM=8M)"),
            None => outcome.ended_with(0).says(concat!("debris ", env!("CARGO_PKG_VERSION"))),
        };
    }
}

#[test]
fn elf_and_raw_boot_alike() {
    let raw = Boot::commands("debris; bitmap").run();
    let elf = Boot::commands("debris; bitmap").entry(Entry::Elf).run();
    raw.ended_with(0);
    elf.ended_with(0);
    let rows = |outcome: &Outcome| boot_tests::data::parse_bitmap(outcome.console());
    assert_eq!(rows(&raw).len(), 2048, "{raw}");
    assert_eq!(rows(&raw), rows(&elf), "{raw}\n{elf}");
}

#[test]
fn four_processors() {
    for entry in [Entry::Raw, Entry::Elf] {
        let outcome = Boot::commands("debris").processors(4).entry(entry).run();
        outcome.ended_with(0);
        assert_eq!(outcome.record("debris")["allocs"], 16687, "{outcome}");
    }
}

#[test]
fn large_initrd_and_areas_fit_together() {
    let initrd = vec![0; 64 << 20];
    // QEMU loads it at 0x68000000, over the areas.
    for memory in ["512M", "1024M"] {
        let outcome = Boot::commands("debris").memory(memory).run_on(&initrd);
        outcome.ended_with(0).has_line("Reserved memory: created CMA memory pool at 0x69800000, size 8 MiB");
        assert_eq!(outcome.record("boot")["areas"], 2, "{outcome}");
        assert_eq!(outcome.record("debris")["allocs"], 16687, "{outcome}");
    }
}

#[test]
fn exit_statuses() {
    let cases = [
        ("poweroff", 0),
        ("poweroff 7", 7),
        ("poweroff 255", 255),
        ("nonsense; poweroff", 2),
        ("nonsense; poweroff 5", 5),
        ("debris colour=red; poweroff", 2),
        ("debris seed=many; poweroff", 2),
        ("debris area=nowhere; poweroff", 2),
        ("nonsense; version; poweroff", 2),
        ("replay; poweroff", 2),
    ];
    for (run, status) in cases {
        let outcome = Boot::new(&format!("run=\"{run}\"")).run();
        assert_eq!(outcome.status(), Some(status), "{run}: {outcome}");
    }
}

#[test]
fn without_semihosting_the_machine_still_ends() {
    let outcome = areas_of(Boot::commands("version").without_semihosting());
    assert_eq!(outcome.record("boot")["areas"], 2, "{outcome}");
    let outcome = Boot::commands("fault undefined").without_semihosting().run();
    outcome.ended_with(0).says("FATAL: undefined instruction");
    Boot::commands("version").without_semihosting().entry(Entry::Elf).run().ended_with(0);
}

#[test]
fn ready_within_three_million_instructions() {
    let outcome = Boot::commands("version").memory("1024M").counted().run();
    let ns_to_ready = outcome.ended_with(0).record("boot")["ns_to_ready"].as_u64().expect("a number");
    assert!(ns_to_ready <= 3_000_000, "{ns_to_ready} instructions from reset to the first command");
}

#[test]
fn self_tests_pass() {
    let outcome = Boot::commands("selftest").with("check=on").run();
    outcome.ended_with(0).says("KTAP version 1");
    assert!(outcome.lines().any(|line| line.trim_start().starts_with("ok ")), "{outcome}");
    outcome.does_not_say("not ok");
}

/// Tests that need an area.
const ON_AREAS: [&str; 8] = [
    "cma_random",
    "cma_release_twice",
    "cma_registry",
    "live_migration",
    "live_faults",
    "live_sabotage",
    "live_random",
    "dma_pins",
];

/// Returns the names of the tests that were skipped for a reason that begins with `why`; there is
/// no other reason.
fn skipped<'o>(outcome: &'o Outcome, why: &str) -> Vec<&'o str> {
    let lines = outcome.lines().filter_map(|line| line.split_once(" # SKIP "));
    lines
        .map(|(test, reason)| {
            assert!(reason.starts_with(why), "{test}: {reason}; {outcome}");
            test.rsplit(' ').next().unwrap_or_default()
        })
        .collect()
}

#[test]
fn self_tests_run_or_say_why_not_on_small_memories_and_areas() {
    let no_room = &["live_migration", "live_faults", "live_sabotage"][..];
    for (memory, area, tests, why) in [
        ("8M", "cma=0", &ON_AREAS[..], "there is no CMA area"),
        ("16M", "cma=0", &ON_AREAS, "there is no CMA area"),
        ("8M", "cma=4M", no_room, "no room to move "),
        ("12544K", "cma=8M", no_room, "no room to move "),
        ("16M", "cma=4M", &[], "-"),
        ("16M", "cma=8M", &[], "-"),
        ("64M", "cma=4M", &[], "-"),
        ("256M", "cma=4M", &[], "-"),
    ] {
        // Data that a run leaves in memory must not make the next one pass.
        let outcome = Boot::commands("selftest; selftest").memory(memory).with(area).run();
        outcome.ended_with(0).does_not_say("not ok");
        assert_eq!(outcome.lines().filter(|line| line.contains("KTAP version 1")).count(), 2, "{outcome}");
        assert_eq!(skipped(&outcome, why), [tests, tests].concat(), "{memory} {area}: {outcome}");
    }
}

#[test]
fn self_tests_leave_buffers_alone() {
    let outcome = Boot::commands("alloc reserved 1024; selftest").memory("32M").with("cma=4M").run();
    outcome.ended_with(0);
    let names: Vec<_> = ON_AREAS.into_iter().filter(|&name| name != "cma_random").collect();
    let lines = outcome.lines().filter(|line| line.contains(" # SKIP ")).collect::<Vec<_>>();
    let why = ["no area has three", "no area has two"].into_iter().chain(["every area has buffers"; 5]);
    for ((line, name), why) in lines.iter().zip(&names).zip(why) {
        assert!(line.contains(&format!(" {name} # SKIP {why}")), "{line}; {outcome}");
    }
    assert_eq!(lines.len(), names.len(), "{outcome}");
}
