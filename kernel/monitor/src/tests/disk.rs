// SPDX-License-Identifier: MIT OR Apache-2.0

//! The commands `disk` and `copytest`, with a disk in software.

use super::*;
use board_mock::disk::give_disk;

/// Executes `lines` on a fresh board with a disk that contains a file.
pub(super) fn on_board_with_disk(lines: &[&str]) -> (Outcome, String) {
    with_board(44, |system, machine| {
        give_disk(system, 300_000, 400);
        let mut outcome = Outcome::Ok;
        let mut monitor = Monitor::new(system, machine, context(None));
        for line in lines {
            outcome = monitor.execute(line);
        }
        system.check().expect("the accounting balances");
        (outcome, machine.take())
    })
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_disk_and_its_files() {
    let (outcome, text) = on_board_with_disk(&[
        "copytest files=2 size=100K",
        "disk",
        "disk check",
        "disk bench pages=64",
        "disk bench pages=1",
    ]);
    assert_eq!(outcome, Outcome::Ok, "{text}");
    for words in
        ["copy.2: synced", "\"differences\":0,", "copy.2                 102400 bytes", "3 files, 124 of 400", "ok"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    for record in text.lines().filter(|line| line.contains("\"record\":\"bench\"")) {
        let number = |field: &str| -> u64 {
            let (_, rest) = record.split_once(field).expect("a field of the record");
            rest.trim_matches(|c: char| !c.is_ascii_digit()).split(',').next().unwrap().parse().expect("a number")
        };
        assert!(number("\"max_ns\":") >= number("\"ns_per_op\":"), "{record}");
    }
    let (outcome, text) = on_board_with_disk(&["copytest files=1 size=1G", "disk bench pages=360"]);
    assert_eq!(outcome, Outcome::Ok, "{text}");
    for words in [
        "size=1073741824 is more than data has: all of its 300000 bytes are copied\n",
        "\"bytes\":300000,",
        "disk/write   left out: no room for 360 pages on the disk: its longest free run is 250 pages\n",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let lines = [
        ("disk bench pages=99999999", "a number from 1 to 400"),
        ("disk burn", "disk: no command \"burn\"; there are list"),
        ("disk bench pages=0", "a number from 1"),
        ("copytest files=17", "a number from 1 to 16"),
        ("copytest size=0", "size is 0; it has to be at least one byte"),
        ("copytest source=", "source is empty"),
        ("copytest size=", "size is \"\""),
        ("copytest size=5X", "size is"),
        ("copytest pinning=no", "it can be on or off"),
        ("copytest source=none", "no file none"),
        ("copytest files=5", "no room for 74 pages"),
    ];
    for (line, words) in lines {
        let (outcome, text) = on_board_with_disk(&[line]);
        assert!(outcome == Outcome::Failed(STATUS_BAD_COMMAND) && text.contains(words), "{line}: {text}");
    }
    for line in ["disk", "copytest"] {
        let (outcome, text) = on_board(&[line]);
        assert_eq!(outcome, Outcome::Failed(STATUS_BAD_COMMAND));
        assert!(
            text.ends_with("there is no disk: start with DISK=disk.img, which scripts/disk-image makes\n"),
            "{text}"
        );
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn ctrl_c_stops_between_two_pieces() {
    for (line, words) in [("disk bench pages=64", "left out: stopped by Ctrl-C"), ("disk check", "Stopped by Ctrl-C.")]
    {
        with_board(44, |system, machine| {
            give_disk(system, 300_000, 400);
            // A file, and a pass over the disk, consist of several pieces.
            machine.interrupt_after.set(Some(2));
            let outcome = Monitor::new(system, machine, context(None)).execute(line);
            let text = machine.take();
            assert!(outcome == Outcome::Ok && text.contains(words), "{line}: {text}");
            assert!(machine.interrupt_after.get().is_none(), "one look found it: {text}");
            system.check().expect("the accounting balances");
        });
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_disk_that_cannot_be_written_is_read() {
    for flush in [false, true] {
        with_board(44, |system, machine| {
            let medium = give_disk(system, 300_000, 400);
            medium.borrow_mut().bad_flush = flush;
            medium.borrow_mut().bad[1] = (!flush).then_some(0..3200);
            let mut monitor = Monitor::new(system, machine, context(None));
            let outcomes = ["copytest", "disk bench pages=64", "disk check", "disk"].map(|line| monitor.execute(line));
            let bad = Outcome::Failed(STATUS_BAD_COMMAND);
            assert_eq!(outcomes, [bad, bad, Outcome::Ok, Outcome::Ok]);
            let text = machine.take();
            for words in
                ["disk/read          64 pages", "disk/cached        64 pages", "disk/write   left out: ", " ok\n"]
            {
                assert!(text.contains(words), "{words}: {text}");
            }
            let what = if flush { "copytest: flushing the disk: an I/O error\n" } else { "copytest: writing page" };
            assert!(text.contains(what), "{text}");
        });
    }
}
