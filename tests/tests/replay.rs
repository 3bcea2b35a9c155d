// SPDX-License-Identifier: MIT OR Apache-2.0

//! Plain traces: every placement and the last bitmap equal Linux's.

use boot_tests::data::{bitmap_fnv1a, parse_bitmap, trace_result};
use boot_tests::{Boot, Outcome, Tree, in_tree};

fn replays_as_on_linux(trace: &str) {
    let linux = trace_result(trace);
    let mut boot = Boot::commands("replay; bitmap").memory("1024M").initrd(in_tree("tests/data/linux-6.1").join(trace));
    if linux.area_bits != 2048 {
        let nodes = format!(
            "big@70000000 {{ compatible = \"shared-dma-pool\"; reusable; reg = <0x70000000 {:#x}>; }};",
            linux.area_bits << 12
        );
        boot = boot.tree(Tree::Nodes(nodes));
    }
    let outcome = boot.run();
    let record = outcome.ended_with(0).record("replay");
    for (name, value) in [
        ("ops", linux.ops),
        ("allocs", linux.allocs),
        ("failed", linux.failed),
        ("used", linux.used),
        ("maxchunk", linux.maxchunk),
    ] {
        assert_eq!(record[name], value, "{name} in {record}");
    }
    assert_eq!(record["placement_fnv1a"], linux.placement_fnv1a, "{record}");
    assert_eq!(record["bitmap_fnv1a"], linux.bitmap_fnv1a, "{record}");
    // The buffers stay allocated: the printed bitmap is that of the fingerprint.
    let bits = parse_bitmap(outcome.console());
    assert_eq!(bits.len() as u64, linux.area_bits);
    assert_eq!(bitmap_fnv1a(&bits), linux.bitmap_fnv1a);
}

#[test]
fn article() {
    replays_as_on_linux("article.trace");
}

#[test]
fn debris_seed1() {
    replays_as_on_linux("debris-seed1.trace");
}

#[test]
fn churn_full() {
    replays_as_on_linux("churn-full.trace");
}

#[test]
fn camera() {
    replays_as_on_linux("camera.trace");
}

#[test]
fn big_area() {
    replays_as_on_linux("big-area.trace");
}

/// Replays `text` and asserts `status`.
fn replay_text(text: &[u8], status: i32) -> Outcome {
    let outcome = Boot::commands("replay; cma").run_on(text);
    outcome.ended_with(status);
    outcome
}

#[test]
fn small_traces() {
    let outcome = replay_text(b"# a comment\n\na 1 16 4\na 2 3000 0\nr 2\nr 1\nr 1\na 1 1 0\n", 0);
    let record = outcome.record("replay");
    // A request larger than the area counts as failed; releases of pages that are not held do
    // nothing.
    assert_eq!((&record["allocs"], &record["failed"], &record["used"]), (&3.into(), &1.into(), &1.into()), "{record}");
    assert_eq!((&record["maxchunk"], &record["unmatched"]), (&2047.into(), &1.into()), "{record}");
}

#[test]
fn bad_traces_are_refused_with_their_line() {
    let cases: [(&[u8], &str); 9] = [
        (b"a 1 16 4\nx 1\n", "2"),
        (b"a 1 16 4\nr 2\n", "2"),
        (b"a 1 16 4\na 1 16 4\n", "2"),
        (b"a 1\n", "1"),
        (b"a 1 0 0\n", "1"),
        (b"a 1 16 4 5\n", "1"),
        (b"\n\na one 16 4\n", "3"),
        (b"a 99999999999999999999 1 0\n", "1"),
        (b"\xff\xfe\x00\x00", "1"),
    ];
    for (text, line) in cases {
        let outcome = replay_text(text, 2);
        let names_line = |found: &str| found.contains(&format!("line {line}"));
        assert!(outcome.lines().any(names_line), "{:?}: {outcome}", String::from_utf8_lossy(text));
    }
}

#[test]
fn what_is_no_trace_is_refused() {
    let long = vec![b'7'; 10 << 20];
    let binary: &[u8] = b"a 1 16 4\nr 1\0\n";
    for (text, words) in [
        (binary, "line 2: byte 0x00 is not text"),
        (b"a 4294967295 1 0\nr 4294967295\na 4294967296 1 0\n", "line 3: not a good ID"),
        (b"a 1 16 21\n", "line 1: not a good ALIGN_ORDER (0 to 20)"),
        (b"a 1 16 4\na 2 16", "line 2: ALIGN_ORDER"),
        (b"# a comment\n\n", "the trace is empty"),
        (&long, "line 1: neither `a ID PAGES ALIGN_ORDER` nor"),
    ] {
        replay_text(text, 2).says(words).says("BiscuitOS_cma  0x69800000     2048        0     2048");
    }
}

#[test]
fn an_id_that_is_held_only_here_does_not_end_a_replay() {
    let trace = in_tree("tests/data/linux-6.1/churn-full.trace");
    let commands =
        "replay placement=best-fit; release all; replay placement=best-fit held=refuse; cma; replay held=release";
    let outcome = Boot::commands(commands).initrd(trace).run();
    let records = outcome.ended_with(2).records_of("replay");
    assert_eq!(records.len(), 2, "{outcome}");
    assert!(records[0]["held_released"].as_u64().is_some_and(|times| times > 0), "{outcome}");
    outcome.says("which holds a buffer already; held=release gives that back first");
    outcome.says("BiscuitOS_cma  0x69800000     2048        0     2048");
    // With Linux's settings every answer is the recorded one.
    let linux = trace_result("churn-full.trace");
    assert_eq!((&records[1]["held_released"], &records[1]["failed"]), (&0.into(), &linux.failed.into()), "{outcome}");
    assert_eq!(records[1]["placement_fnv1a"], linux.placement_fnv1a, "{outcome}");
}

/// An area of 768 MiB with thousands of buffers, and hundreds of failures, each with a record.
#[test]
fn failures_of_a_large_area_do_not_exhaust_the_heap() {
    let mut text = String::new();
    let buffers = 12_000u32;
    (0..buffers).for_each(|id| text += &format!("a {id} 16 0\n"));
    (0..buffers).step_by(2).for_each(|id| text += &format!("r {id}\n"));
    (0..200).for_each(|id| text += &format!("a {} {} {}\n", buffers + id, 5000 + id, id % 9));
    let node = "big@68000000 { compatible = \"shared-dma-pool\"; reusable; linux,cma-default; reg = <0x68000000 0x30000000>; };";
    let outcome = Boot::commands("replay failures=all").memory("1024M").tree(Tree::Nodes(node.into())).run_on(&text);
    let failures = outcome.ended_with(0).records_of("failure");
    assert_eq!(failures.len(), 200);
    // The tail of the area is free: the cheapest window is at its end, after the last buffer that
    // stays.
    assert_eq!(failures[199]["window_cost"], failures[199]["window_buffers"].as_u64().unwrap() * 16);
    assert_eq!(outcome.record("replay")["failed_fragmented"], 200);
}
