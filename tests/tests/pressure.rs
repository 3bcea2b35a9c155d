// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory in use, on the machine's own page tables: the experiments, the benchmarks'
//! targets, bad input.

use boot_tests::{Boot, Outcome};
use serde_json::Value;

fn pressure(commands: &str) -> Outcome {
    let outcome = Boot::commands(commands).memory("128M").with("cma=16M").run();
    outcome.ended_with(0);
    outcome
}

fn number(record: &Value, field: &str) -> u64 {
    record[field].as_u64().unwrap_or_else(|| panic!("{field} in {record}"))
}

/// Asserts the fields of every record of `pressure`.
fn is_whole(record: &Value) {
    for field in ["pages", "fill_pages", "allocs", "failed", "migrated", "reclaimed", "oom_kills", "bad_pages"] {
        number(record, field);
    }
    for phase in ["search", "isolate", "drain", "migrate", "reclaim", "test", "grab", "undo"] {
        number(record, &format!("{phase}_ns"));
    }
    for field in ["experiment", "cma_use", "lend"] {
        assert!(record[field].is_string(), "{field} in {record}");
    }
    assert!(number(record, "migrate_permille") <= 1000, "{record}");
}

#[test]
fn latency_by_what_fills_the_area() {
    let records = pressure("pressure latency area=reserved pages=256 rounds=2").records_of("pressure");
    assert_eq!(records.len(), 4);
    records.iter().for_each(is_whole);
    let of = |with: &str| records.iter().find(|record| record["with"] == with).expect("each filling has a record");
    assert_eq!((number(of("idle"), "migrated"), number(of("idle"), "isolate_ns")), (0, 0));
    assert_eq!((number(of("movable"), "migrated"), number(of("clean"), "reclaimed")), (512, 512));
    assert_eq!((number(of("movable"), "failed"), number(of("mixed"), "failed")), (0, 0));
    assert_eq!((number(of("mixed"), "migrated"), number(of("mixed"), "reclaimed")), (256, 256), "half and half");
}

#[test]
fn everything_survives_migration() {
    let outcome = pressure("pressure integrity area=reserved; cat /proc/vmstat; selftest");
    let records = outcome.records_of("pressure");
    assert_eq!(records.len(), 3);
    for record in &records {
        is_whole(record);
        assert!(record["bad_pages"] == 0 && number(record, "migrated") > 0, "{record}");
    }
    let migrated: u64 = records.iter().map(|record| number(record, "migrated")).sum();
    outcome.has_line(&format!("pgmigrate_success {migrated}"));
    outcome.does_not_say("not ok");
}

#[test]
fn sabotage_does_not_go_unnoticed() {
    for what in ["copy", "tlb", "mapping"] {
        let command = format!("pressure integrity area=reserved cma_use=half sabotage={what}");
        let outcome = Boot::commands(&command).memory("128M").with("cma=16M").run();
        outcome.ended_with(3).says("did not survive");
        assert!(number(&outcome.record("pressure"), "bad_pages") > 0);
    }
}

#[test]
fn policies_differ_in_what_stands_free_when_the_system_kills() {
    let outcome = Boot::commands("pressure underuse").memory("256M").run();
    let records = outcome.ended_with(0).records_of("pressure");
    let free = |policy: &str| {
        let record = records.iter().find(|record| record["cma_use"] == policy).expect("each policy has a record");
        is_whole(record);
        assert!(number(record, "oom_kills") > 0 && record["bad_pages"] == 0, "{record}");
        number(record, "cma_free_at_kill")
    };
    // All pages of both areas: none was lent, although the policy `half` ran before.
    assert_eq!(free("fallback"), 4096, "{records:?}");
    assert!(free("half") < 1024 && free("half") > free("first"), "{records:?}");
}

#[test]
fn a_large_buffer_in_a_full_system() {
    let records = pressure("pressure reliability area=reserved pages=2048 rounds=4").records_of("pressure");
    assert!(records.len() >= 18);
    for record in &records {
        is_whole(record);
        assert_eq!(record["bad_pages"], 0, "{record}");
        let success = number(record, "success_permille");
        match (record["source"].as_str(), number(record, "pins")) {
            (Some("buddy"), _) => assert_eq!(success, 0, "{record}"),
            (Some("reserved"), _) | (_, 0) => assert_eq!(success, 1000, "{record}"),
            _ => {}
        }
    }
}

#[test]
fn a_camera_and_what_only_the_cache_may_enter() {
    let command = "pressure reliability cma_use=half lend=clean pins=100 rounds=4 area=reserved; \
                   pressure integrity lend=clean area=reserved rounds=4; pressure reliability rounds=1 source=buddy";
    let outcome = Boot::commands(command).memory("256M").with("cma=32M").run();
    outcome.ended_with(0).says("The buffer is 2048 pages, all of the area: 26 MiB would take cma=32M");
    let records = outcome.records_of("pressure");
    let camera = &records[0];
    assert_eq!((number(camera, "pages"), number(camera, "success_permille")), (6656, 1000), "{camera}");
    assert!(number(camera, "unused_pages") * 20 < number(camera, "fill_pages"), "a full system is full: {camera}");
    for record in &records[..records.len() - 1] {
        is_whole(record);
        assert_eq!((number(record, "migrated"), number(record, "bad_pages")), (0, 0), "{record}");
    }
}

#[test]
fn everything_checked_after_each_command() {
    let outcome =
        Boot::commands("pressure integrity rounds=2; pressure latency pages=64 rounds=1; debris; release all")
            .memory("256M")
            .with("check=on")
            .run();
    outcome.ended_with(0).does_not_say("free memory was written to");
}

#[test]
fn emptying_an_area_costs_what_it_may() {
    let outcome = Boot::commands("bench").memory("1024M").counted().run();
    outcome.ended_with(0);
    let records = outcome.records_of("bench");
    let cost = |name: &str| {
        let record = records.iter().find(|record| record["name"] == name).expect("the benchmark ran");
        number(record, "ns_per_op")
    };
    assert!(cost("migrate/1") <= 750, "{} instructions a migrated page", cost("migrate/1"));
    assert!(cost("reclaim/clean") <= 250, "{} instructions a dropped page", cost("reclaim/clean"));
    assert!(cost("empty-area") <= 2_000_000, "{} instructions for 8 MiB", cost("empty-area"));
    let (full, idle) = (cost("full/1"), cost("cma/1"));
    assert!(full.abs_diff(idle) * 50 <= idle, "{full} instructions in a full system, {idle} in an idle one");
}

#[test]
fn bad_input_gets_a_line_each_and_nothing_is_lost() {
    let lines = [
        ("pressure", "no experiment: there are latency"),
        ("pressure speed", "there are latency underuse reliability integrity"),
        ("pressure latency pages=99999999", "does not fit the area"),
        ("pressure underuse fill=99999999", "cannot be filled"),
        ("pressure latency area=nowhere", "no area"),
        ("pressure reliability pins=-1", "it has to be a number"),
        ("pressure latency colour=red", "colour"),
        ("pressure latency with=sand", "it can be idle movable clean mixed"),
        ("pressure underuse cma_use=never", "it can be half fallback first"),
        ("pressure reliability lend=dirty", "it can be movable clean none"),
        ("pressure latency pins=3", "pins= is not a key of latency"),
        ("pressure latency fill=99999999", "cannot be filled"),
        ("release 7", "no buffer has the ID 7"),
        ("release all nowhere", "no area"),
    ];
    let commands: Vec<&str> = lines.iter().map(|line| line.0).collect();
    let commands = format!("{}; cat /proc/meminfo; pressure latency pages=1 with=movable", commands.join("; "));
    let outcome = Boot::commands(&commands).run();
    outcome.ended_with(2);
    for (_, words) in lines {
        outcome.says(words);
    }
    assert_eq!(number(&outcome.record("pressure"), "failed"), 0);
    outcome.has_line("Cached:                0 kB");
}
