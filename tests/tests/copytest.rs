// SPDX-License-Identifier: MIT OR Apache-2.0

//! The copy that must be correct, and the proof that the test can fail.

use boot_tests::{Boot, disk};
use serde_json::Value;

/// QEMU's options for the modern transport.
const MODERN: [&str; 2] = ["-global", "virtio-mmio.force-legacy=false"];

fn number(record: &Value, field: &str) -> u64 {
    record[field].as_u64().unwrap_or_else(|| panic!("{field} in {record}"))
}

#[test]
fn a_file_larger_than_memory_is_copied_right_while_pages_migrate() {
    let image = tempfile::NamedTempFile::new().expect("a temporary file");
    let made = disk::create(image.path(), 64 << 20, &[("testdata".into(), 24 << 20)]).expect("the file fits");
    // 24 MiB of memory, part of it the kernel's: the file does not fit.
    let outcome = Boot::commands("copytest files=1").memory("24M").with("cma=8M").disk(image.path()).run();
    outcome.ended_with(0).has_line("copy.1: 6 of 6 checksums right; the original: 6 of 6 checksums right");
    let record = outcome.record("copytest");
    assert_eq!((number(&record, "checksums"), number(&record, "differences"), number(&record, "damaged")), (12, 0, 0));
    for field in ["allocs", "migrated", "migrated_while_lent", "refused_pinned", "dropped", "reclaimed"] {
        assert!(number(&record, field) > 0, "{field} in {record}");
    }
    assert!(number(&record, "most_in_flight") > 1 && number(&record, "io_errors") == 0, "{record}");
    assert!(number(&record, "pages_read") > 12 * 6144, "each checksum was read from the disk: {record}");
    let found = disk::read(image.path()).expect("still an image");
    let sums: Vec<&str> = found.iter().map(|file| file.sha256.as_str()).collect();
    assert_eq!(sums, [made[0].sha256.as_str(); 2], "SHA-256 on the disk");
}

#[test]
fn several_copies_with_two_areas() {
    let image = tempfile::NamedTempFile::new().expect("a temporary file");
    let made = disk::create(image.path(), 16 << 20, &[("testdata".into(), 2_000_001)]).expect("the file fits");
    let outcome = Boot::commands("copytest files=5 seed=7; cma; release all")
        .memory("256M")
        .with("check=on")
        .disk(image.path())
        .options(&MODERN)
        .run();
    outcome.ended_with(0).does_not_say("DMA-API").does_not_say("WRONG");
    let record = outcome.record("copytest");
    assert_eq!((number(&record, "files"), number(&record, "checksums"), number(&record, "differences")), (5, 60, 0));
    assert!(number(&record, "migrated_while_lent") > 0, "{record}");
    let found = disk::read(image.path()).expect("still an image");
    assert!(found.len() == 6 && found.iter().all(|file| file.sha256 == made[0].sha256), "{found:?}");
}

#[test]
fn a_job_that_moves_its_buffers_has_an_area_that_a_file_is_copied_through() {
    let image = tempfile::NamedTempFile::new().expect("a temporary file");
    disk::create(image.path(), 16 << 20, &[("testdata".into(), 1 << 20)]).expect("the file fits");
    let outcome = Boot::commands("debris placement=relocate &; copytest files=1; jobs; disk check; stop")
        .memory("256M")
        .with("check=on")
        .disk(image.path())
        .run();
    outcome.ended_with(0).does_not_say("check=on: ").says("debris placement=relocate &: on BiscuitOS_cma, round 1, ");
    assert_eq!(number(&outcome.record("copytest"), "differences"), 0);
    assert_eq!(number(&outcome.record("debris"), "bad_pages"), 0);
}

#[test]
fn without_pinning_the_test_fails_each_time_and_with_it_never() {
    let image = tempfile::NamedTempFile::new().expect("a temporary file");
    for (transport, counted) in [(&[][..], false), (&MODERN, false), (&[], true), (&MODERN, true)] {
        disk::create(image.path(), 8 << 20, &[("testdata".into(), 1 << 20)]).expect("the file fits");
        let run = |pinning: &str| {
            let commands = format!("copytest files=2 pinning={pinning}");
            let boot = Boot::commands(&commands).memory("32M").with("cma=8M check=on");
            let boot = boot.disk(image.path()).options(transport);
            let outcome = if counted { boot.counted() } else { boot }.run();
            let record = outcome.record("copytest");
            let none = ["differences", "damaged", "filled_astray", "taken_astray", "misuses", "robbed"];
            (outcome, none.map(|field| number(&record, field)), record)
        };
        let (outcome, wrong, record) = run("on");
        outcome.ended_with(0);
        assert_eq!((wrong, record["verdict"].as_str()), ([0; 6], Some("right")), "{record}");
        let [filled, taken, refused] =
            ["wanted_filled", "wanted_taken", "wanted_refused"].map(|field| number(&record, field));
        assert!(filled > 0 && taken > 0 && refused == filled + taken, "{record}");

        let (outcome, wrong, record) = run("off");
        outcome.ended_with(3).says("checksums WRONG").says("checksums are wrong");
        assert!(wrong.iter().all(|&count| count > 0) && record["verdict"] == "wrong", "{record}");
        assert_eq!(number(&record, "wanted_refused"), 0, "{record}");
    }
}
