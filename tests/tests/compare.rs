//! Placements side by side in the image.

use boot_tests::{Boot, Outcome};

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
    let expected =
        ["first-fit", "next-fit", "best-fit", "worst-fit", "zoned", "size-classes", "two-ended", "spare-heads"];
    assert_eq!(names, expected, "{outcome}");
    for record in &records {
        assert_eq!((&record["seeds"], &record["pages"]), (&2.into(), &2048.into()), "{record}");
        let quartiles = ["allocs_min", "allocs_q1", "allocs_median", "allocs_q3", "allocs_max"];
        let values = quartiles.map(|name| record[name].as_u64().expect("a number"));
        assert!(values.is_sorted() && values[0] > 0, "{record}");
    }
    outcome.has_line("0");
}

/// Survived, least and most allocations, median of the used pages and of the longest free run at the failure.
const GOLDEN: [[u64; 5]; 4] = [
    [0, 13_572, 16_687, 1451, 37],
    [0, 13_571, 16_687, 1427, 37],
    [0, 158, 235, 919, 692],
    [2, 100_059, 100_067, 1088, 384],
];

#[test]
fn loads_end_as_on_the_host() {
    // What `cargo run --release --target host-tuple -p kernel --example host -- "compare seeds=2 ops=200000"` printed.
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
