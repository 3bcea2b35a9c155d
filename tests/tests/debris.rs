// SPDX-License-Identifier: MIT OR Apache-2.0

//! The published experiment, bit by bit.

use boot_tests::data::{bitmap_fnv1a, parse_bitmap, trace_result};
use boot_tests::{Boot, Outcome, Tree};
use serde_json::Value;

fn debris(commands: &str) -> Outcome {
    let outcome = Boot::commands(commands).memory("1024M").run();
    outcome.ended_with(0);
    outcome
}

#[track_caller]
fn has_fields(record: &Value, fields: &[(&str, Value)]) {
    for (name, value) in fields {
        assert_eq!(&record[name], value, "{name} in {record}");
    }
}

/// Asserts the article's figures, and Linux's for the same stream.
fn is_the_articles(record: &Value) {
    has_fields(
        record,
        &[
            ("area", "BiscuitOS_cma".into()),
            ("pages", 2048.into()),
            ("placement", "first-fit".into()),
            ("align", "order".into()),
            ("rng", "glibc".into()),
            ("seed", 1_577_527_915.into()),
            ("round", 1.into()),
            ("allocs", 16_687.into()),
            ("releases", 16_550.into()),
            ("live", 137.into()),
            ("failed_pages", 51.into()),
            ("cause", "fragmented".into()),
            ("used", 1_384.into()),
            ("free", 664.into()),
            ("maxchunk", 44.into()),
            // floor(1000 * (1 - 44/664))
            ("frag_permille", 933.into()),
        ],
    );
}

#[test]
fn the_articles_figures_and_bitmap() {
    let outcome = debris("debris; bitmap");
    is_the_articles(&outcome.record("debris"));
    let bits = parse_bitmap(outcome.console());
    assert_eq!(bits.len(), 2048, "{outcome}");
    assert_eq!(bitmap_fnv1a(&bits), trace_result("article.trace").bitmap_fnv1a, "{outcome}");
    outcome
        .has_line("CMA area: BiscuitOS_cma")
        .has_line("CMA total size: 0x800000")
        .has_line("CMA: X - used . - free (1bit = 4KB)");
}

#[test]
fn checking_changes_nothing() {
    let outcome = Boot::commands("debris").with("check=on").run();
    is_the_articles(&outcome.ended_with(0).record("debris"));
}

#[test]
fn device_file_shows_the_bitmap() {
    let outcome = debris("debris; cat /sys/bus/platform/devices/BiscuitOS_CMA/bitmap");
    assert_eq!(bitmap_fnv1a(&parse_bitmap(outcome.console())), trace_result("article.trace").bitmap_fnv1a, "{outcome}");
}

#[test]
fn another_seed_ends_as_on_linux() {
    let linux = trace_result("debris-seed1.trace");
    let outcome = debris("debris seed=1 until=ops ops=20000; bitmap");
    let allocs = linux.allocs;
    has_fields(
        &outcome.record("debris"),
        &[
            ("allocs", allocs.into()),
            ("releases", (linux.ops - allocs).into()),
            ("failed_pages", 0.into()),
            ("cause", "none".into()),
            ("used", linux.used.into()),
            ("maxchunk", linux.maxchunk.into()),
        ],
    );
    assert_eq!(bitmap_fnv1a(&parse_bitmap(outcome.console())), linux.bitmap_fnv1a, "{outcome}");
}

#[test]
fn leak_adds_up_until_a_round_makes_no_allocation() {
    let outcome = debris("debris rounds=0; bitmap");
    let rounds = outcome.records_of("debris");
    assert!(rounds.len() >= 2, "{outcome}");
    is_the_articles(&rounds[0]);
    for (index, record) in rounds.iter().enumerate() {
        assert_eq!(record["round"], index + 1, "{record}");
        assert_eq!(record["seed"], 1_577_527_915 + index, "{record}");
        assert_eq!(record["allocs"] == 0, index + 1 == rounds.len(), "only the last round makes none: {record}");
    }
    let used = |record: &Value| record["used"].as_u64().expect("a number");
    assert!(rounds.windows(2).all(|pair| used(&pair[0]) <= used(&pair[1])), "{outcome}");
}

/// The article's second run, with the leaked buffers still held, made 10 allocations. Its seed is
/// the second at which it began.
#[test]
fn the_second_run_depends_on_its_own_second() {
    let outcome = debris("debris; debris seed=1577527934; release all; debris; debris seed=1577527916");
    let records = outcome.records_of("debris");
    is_the_articles(&records[0]);
    is_the_articles(&records[2]);
    for (record, (seed, allocs)) in [(&records[1], (1_577_527_934, 10)), (&records[3], (1_577_527_916, 13))] {
        has_fields(record, &[("seed", seed.into()), ("allocs", allocs.into())]);
    }
}

#[test]
fn releasing_the_leak_empties_the_area() {
    let outcome = debris("debris; release all; debris");
    let records = outcome.records_of("debris");
    assert_eq!(records.len(), 2, "{outcome}");
    is_the_articles(&records[0]);
    assert_eq!(records[1]["allocs"], 16_687, "{outcome}");
}

#[test]
fn page_alignment_outlives_order_alignment() {
    let outcome = debris("debris align=page until=ops ops=200000");
    let record = outcome.record("debris");
    assert_eq!(record["cause"], "none", "{record}");
}

#[test]
fn area_of_ones_own() {
    let nodes = "camera@70000000 { compatible = \"shared-dma-pool\"; reusable; reg = <0x70000000 0x00800000>; };";
    let outcome = Boot::commands("debris; bitmap").memory("1024M").tree(Tree::Nodes(nodes.into())).run();
    let record = outcome.ended_with(0).record("debris");
    has_fields(&record, &[("area", "camera@70000000".into()), ("allocs", 16_687.into()), ("maxchunk", 44.into())]);
    outcome.has_line("CMA area: camera@70000000");
}

#[test]
fn costs_stay_within_the_budget() {
    // In instructions; Linux needs 83,500 and 1,770.
    let record = Boot::commands("debris").memory("1024M").counted().run().ended_with(0).record("debris");
    let cost = |name: &str| record[name].as_u64().expect("a number");
    assert!(cost("alloc_ns") <= 800, "{record}");
    assert!(cost("release_ns") <= 400, "{record}");
}

#[test]
fn same_run_prints_the_same_bytes() {
    let run = || Boot::commands("debris; bitmap; cma; cat /proc/meminfo; cat /proc/buddyinfo").counted().run();
    let (first, second) = (run(), run());
    is_the_articles(&first.record("debris"));
    assert_eq!(first.ended_with(0).console(), second.ended_with(0).console());
}
