// SPDX-License-Identifier: MIT OR Apache-2.0

//! Comparisons of placements in the image.

use boot_tests::{Boot, Outcome};
use kernel::cma::placements::PLACEMENTS;

fn compare(commands: &str) -> Outcome {
    let outcome = Boot::commands(commands).memory("1024M").counted().run();
    outcome.ended_with(0);
    outcome
}

#[test]
fn every_placement_has_a_row_and_leaves_the_area_empty() {
    let outcome = compare("compare seeds=2 ops=20000; cma; cat /sys/kernel/debug/cma/BiscuitOS_cma/used");
    let records = outcome.records_of("compare");
    let names: Vec<&str> = records.iter().map(|record| record["placement"].as_str().expect("a name")).collect();
    let expected: Vec<&str> = PLACEMENTS.iter().map(|placement| placement.name).collect();
    assert_eq!(names, expected, "{outcome}");
    for record in &records {
        assert_eq!((&record["seeds"], &record["pages"]), (&2.into(), &2048.into()), "{record}");
        let quartiles = ["allocs_min", "allocs_q1", "allocs_median", "allocs_q3", "allocs_max"];
        let values = quartiles.map(|name| record[name].as_u64().expect("a number"));
        assert!(values.is_sorted() && values[0] > 0, "{record}");
    }
    outcome.has_line("0");
}

/// Rounds survived, least and most allocations, median of the used pages and of the longest free
/// run at the failure.
const GOLDEN: [[u64; 5]; 4] = [
    [0, 13_572, 16_687, 1451, 37],
    [0, 13_571, 16_687, 1427, 37],
    [0, 158, 235, 919, 692],
    [2, 100_059, 100_067, 1088, 289],
];

#[test]
fn loads_end_as_on_the_host() {
    // Output of `build/debris lab "compare seeds=2 ops=200000"`.
    let outcome = compare("compare placements=first-fit,zoned,size-classes,spare-heads seeds=2 ops=200000");
    let found: Vec<[u64; 5]> = outcome
        .records_of("compare")
        .iter()
        .map(|record| {
            ["survived", "allocs_min", "allocs_max", "used_median", "maxchunk_median"]
                .map(|name| record[name].as_u64().expect("a number"))
        })
        .collect();
    assert_eq!(found, GOLDEN, "{outcome}");
}

#[test]
fn sparing_heads_costs_less_than_four_first_fits() {
    let outcome = compare("compare placements=first-fit,spare-heads seeds=1 ops=30000");
    let costs: Vec<u64> =
        outcome.records_of("compare").iter().map(|record| record["alloc_ns"].as_u64().expect("a number")).collect();
    assert!(costs[1] <= 4 * costs[0], "{outcome}");
}

#[test]
fn buffers_that_may_move_make_room() {
    // One and a half times the slots that the area holds on average, so that every placement fails.
    let outcome = compare(
        "compare placements=first-fit,spare-heads,relocate slots=420 seeds=3 ops=100000; \
         compare placements=first-fit,relocate align=page slots=420 seeds=3 ops=100000; \
         debris placement=relocate ops=100000; release all; debris placement=relocate relocatable=0; cma",
    );
    let records = outcome.records_of("compare");
    let number = |record: &serde_json::Value, name: &str| record[name].as_u64().expect("a number");
    let used: Vec<u64> = records.iter().map(|record| number(record, "used_median")).collect();
    assert!(used[2] > used[1] && used[1] > used[0] && used[2] > 1900, "{outcome}");
    assert!(used[4] > used[3] && used[4] > 2000, "{outcome}");
    for record in [&records[2], &records[4]] {
        assert!(number(record, "moved_pages") > 0 && number(record, "relocate_ns") > 0, "{record}");
        assert_eq!(number(record, "bad_pages"), 0, "{record}");
    }
    let debris = outcome.records_of("debris");
    assert_eq!((&debris[0]["cause"], &debris[0]["bad_pages"]), (&"none".into(), &0.into()), "{outcome}");
    assert!(number(&debris[0], "relocations") > 0, "{outcome}");
    // No buffer is relocatable: it is first-fit.
    assert_eq!((number(&debris[1], "allocs"), number(&debris[1], "moved_pages")), (16_687, 0), "{outcome}");
    assert_eq!(debris[1]["cause"], "fragmented", "{outcome}");
}
