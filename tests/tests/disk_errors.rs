// SPDX-License-Identifier: MIT OR Apache-2.0

//! Failures of every n-th read, write or flush of a disk, by QEMU's blkdebug, on both transports.
//!
//! `DISK_ERRORS=1,2,3 cargo test --target host-tuple -p boot-tests --test disk_errors` chooses n.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use boot_tests::{Boot, disk};

/// Values of n in `make test`.
const USUAL: &str = "1,3,10";
/// Kinds of requests that fail, and the event that blkdebug counts.
const KINDS: [(&str, &str); 3] = [("read", "read_aio"), ("write", "write_aio"), ("flush", "flush_to_disk")];
/// QEMU's options for each transport.
const TRANSPORTS: [&[&str]; 2] = [&[], &["-global", "virtio-mmio.force-legacy=false"]];
/// A sector that no disk has: a rule for it causes no failure, and ends the rule before.
const NOWHERE: u64 = 1 << 40;

/// Returns a configuration of blkdebug. Its state counts the events; an error that an event enables
/// stays enabled until the next such event, hence the rule for no sector.
fn rules(kind: &str, event: &str, n: u32) -> String {
    let mut text = String::new();
    for state in (1..=n).filter(|_| n > 1) {
        let next = state % n + 1;
        let line = format!("[set-state]\nstate = \"{state}\"\nevent = \"{event}\"\nnew_state = \"{next}\"\n");
        text.push_str(&line);
    }
    let mut fail = |state: u32, more: &str| {
        writeln!(
            text,
            "[inject-error]\nevent = \"{event}\"\nstate = \"{state}\"\niotype = \"{kind}\"\nerrno = \"5\"\n{more}"
        )
        .expect("a string grows");
    };
    if n > 1 {
        fail(1, &format!("sector = \"{NOWHERE}\""));
    }
    fail(n, "");
    text
}

/// Boots with a disk on which every n-th request of a kind fails; true if one did.
fn fails_well(directory: &Path, (kind, event): (&str, &str), n: u32, transport: &[&str]) -> bool {
    let (image, config) = (directory.join("disk.img"), directory.join("rules"));
    disk::create(&image, 2 << 20, &[("data".into(), 50 * 4096)]).expect("the file fits");
    fs::write(&config, rules(kind, event, n)).expect("a file can be made");
    let drive = format!(
        "if=none,id=disk,driver=raw,file.driver=blkdebug,file.config={},file.image.driver=file,\
         file.image.filename={}",
        config.display(),
        image.display()
    );
    let options = ["-drive", &drive, "-device", "virtio-blk-device,drive=disk"];
    let options: Vec<&str> = options.iter().chain(transport).copied().collect();
    let boot = Boot::commands("disk check; copytest files=3; disk check; debris").with("check=on");
    let outcome = boot.options(&options).run();
    let what = format!("every {n}th {kind} failed, {transport:?}:\n{}", outcome.console());
    let met = outcome.console().contains("an I/O error");
    assert_eq!(outcome.status(), Some(if met { 2 } else { 0 }), "{what}");
    outcome.does_not_say("DMA-API").does_not_say("check=on:");
    assert_eq!(outcome.record("debris")["allocs"], 16687, "the rest goes on: {what}");
    let files = disk::read(&image).expect("still an image");
    let data = files.iter().find(|file| file.name == "data").expect("nobody writes to it");
    assert!(files.iter().all(|file| file.is_whole() && file.sha256 == data.sha256), "{what}\n{files:?}");
    for copy in 1..=3 {
        let (name, synced) = (format!("copy.{copy}"), format!("copy.{copy}: synced"));
        let said = outcome.lines().any(|line| line.contains(&synced));
        assert!(!said || files.iter().any(|file| file.name == name), "{name} was said to be there: {what}");
    }
    met
}

#[test]
fn every_nth_request_fails_and_what_was_synced_stays() {
    let chosen = std::env::var("DISK_ERRORS").unwrap_or(USUAL.into());
    let directory = tempfile::tempdir().expect("a temporary directory");
    for n in chosen.split(',').map(|n| n.parse().expect("DISK_ERRORS is numbers with commas, such as 1,2,5")) {
        for kind in KINDS {
            for transport in TRANSPORTS {
                let met = fails_well(directory.path(), kind, n, transport);
                assert!(met || n > 3, "no {} of {n} was the {n}th", kind.0);
                println!("every {n}th {} on {transport:?}: {}", kind.0, if met { "an error" } else { "none" });
            }
        }
    }
}
