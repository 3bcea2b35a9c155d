//! Recorded request streams: every placement and the last bitmap as Linux answered them.

use std::fs;

use boot_tests::data::{bitmap_fnv1a, parse_bitmap, trace_result};
use boot_tests::{Boot, Tree, in_tree};
use tempfile::TempDir;

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
    // The buffers are left in place: the printed bitmap is the fingerprint's.
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

/// Replays `text` and expects `status`.
fn replay_text(text: &[u8], status: i32) -> boot_tests::Outcome {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("trace");
    fs::write(&path, text).unwrap();
    let outcome = Boot::commands("replay; cma").initrd(&path).run();
    outcome.ended_with(status);
    outcome
}

#[test]
fn small_traces() {
    let outcome = replay_text(b"# a comment\n\na 1 16 4\na 2 3000 0\nr 2\nr 1\nr 1\na 1 1 0\n", 0);
    let record = outcome.record("replay");
    // Too large for the area counts as failed; releases of what is not held do nothing.
    assert_eq!((&record["allocs"], &record["failed"], &record["used"]), (&3.into(), &1.into(), &1.into()), "{record}");
    assert_eq!(record["maxchunk"], 2047, "{record}");
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
