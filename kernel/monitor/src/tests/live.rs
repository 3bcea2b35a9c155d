// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the console shows of pages in use: traces, counters, refusals.

use std::format;
use std::vec::Vec;

use super::super::*;
use super::{context, on_board, on_board_like, printed};
use board_mock::with_board;
use migration::trace::Event;
use units::linux::LinuxVersion;

/// The events of the same allocations in the words of each version: one that is served, one that is larger than the
/// area, one that has no room.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn allocations_are_traced_in_ftraces_words() {
    let name = "name=BiscuitOS_cma";
    let page = "pfn=0x69800 page=00698000 count=64 align=6";
    let none = "page=00000000 count=";
    let like_6_1 = [
        format!("cma_alloc_start: {name} count=64 align=6"),
        format!("cma_alloc_finish: {name} {page}"),
        format!("cma_alloc_start: {name} count=4000 align=8"),
        format!("cma_alloc_start: {name} count=2048 align=8"),
        format!("cma_alloc_finish: {name} pfn=0xffffffff {none}2048 align=8"),
    ];
    let cases: [(LinuxVersion, &[String]); 4] = [
        (LinuxVersion::V5_15, &like_6_1),
        (LinuxVersion::V6_1, &like_6_1),
        (
            LinuxVersion::V6_12,
            &[
                format!("cma_alloc_start: {name} count=64 align=6"),
                format!("cma_alloc_finish: {name} {page} errorno=0"),
                format!("cma_alloc_start: {name} count=4000 align=8"),
                format!("cma_alloc_start: {name} count=2048 align=8"),
                format!("cma_alloc_finish: {name} pfn=0xffffffff {none}2048 align=8 errorno=-12"),
            ],
        ),
        (
            LinuxVersion::V7_2,
            &[
                format!("cma_alloc_start: {name} request_count=64 available_count=2048 total_count=2048 align=6"),
                format!("cma_alloc_finish: {name} {page} errorno=0"),
                format!("cma_alloc_start: {name} request_count=4000 available_count=1984 total_count=2048 align=8"),
                format!("cma_alloc_finish: {name} pfn=0x0 {none}4000 align=8 errorno=-16"),
                format!("cma_alloc_start: {name} request_count=2048 available_count=1984 total_count=2048 align=8"),
                format!("cma_alloc_finish: {name} pfn=0x0 {none}2048 align=8 errorno=-16"),
            ],
        ),
    ];
    for (linux, alone) in cases {
        let lines = [
            "echo 1 > /sys/kernel/tracing/events/cma/enable",
            "cat /sys/kernel/tracing/events/cma/enable",
            "alloc BiscuitOS_cma 64",
            "alloc BiscuitOS_cma 4000",
            "alloc BiscuitOS_cma 2048",
            "release 1",
            "echo 0 > /sys/kernel/tracing/events/cma/enable",
            "alloc BiscuitOS_cma 1",
            "cat /sys/kernel/tracing/trace",
        ];
        let (outcome, text) = on_board_like(linux, &lines);
        assert_eq!(outcome, Outcome::Ok, "{text}");
        let trace: Vec<&str> = text.lines().skip_while(|line| *line != "# tracer: nop").collect();
        let count = alone.len() + 1;
        assert_eq!(trace[2], format!("# entries-in-buffer/entries-written: {count}/{count}   #P:1"));
        let events = trace.iter().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(": "));
        let events: Vec<&str> = events.map(|event| event.1).collect();
        assert_eq!(events[..count - 1], *alone, "{linux}");
        assert_eq!(events[count - 1], format!("cma_release: {name} pfn=0x69800 page=00698000 count=64"));
        assert!(trace.iter().any(|line| line.starts_with("         monitor-1       [000] .....     0.0")), "{text}");
    }
}

/// A request larger than the area counts as a failure but on 6.12, and the counters' files are the version's.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn counters_and_their_files_are_the_versions() {
    let files = [
        "alloc_pages_fail\nalloc_pages_success\n",
        "alloc_pages_fail\nalloc_pages_success\n",
        "alloc_pages_fail\nalloc_pages_success\nrelease_pages_success\n",
        "alloc_pages_fail\nalloc_pages_success\navailable_pages\nrelease_pages_success\ntotal_pages\n",
    ];
    for ((linux, files), failures) in LinuxVersion::ALL.into_iter().zip(files).zip([1, 1, 0, 1]) {
        let (_, text) = on_board_like(linux, &["alloc BiscuitOS_cma 4000", "grep cma_alloc_fail /proc/vmstat"]);
        assert!(text.ends_with(&format!("cma_alloc_fail {failures}\n")), "{linux}: {text}");
        let (_, text) = on_board_like(linux, &["ls /sys/kernel/mm/cma/BiscuitOS_cma"]);
        assert_eq!(text, files, "{linux}");
    }
}

/// A failure's frame is that of the candidate that was tried last, where the version prints one.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_failure_names_its_last_candidate() {
    for (linux, pfn) in [(LinuxVersion::V6_1, "pfn=0x69c00 "), (LinuxVersion::V7_2, "pfn=0x0 ")] {
        with_board(64, |system, machine| {
            system.answer_like(linux);
            system.trace_mut().enable(true);
            let event = Event::BusyRetry { area: 1, first: units::Pfn(0x69c00), count: 8, align: 3 };
            system.trace_event(event);
            system.trace_event(Event::AllocFinish { area: 1, first: None, count: 8, align: 3, errno: -16 });
            let mut monitor = Monitor::new(system, machine, context(None));
            monitor.execute("cat /sys/kernel/tracing/trace");
            let text = machine.take();
            let line = text.lines().find(|line| line.contains("cma_alloc_finish")).expect("the event");
            assert!(line.contains(pfn), "{line}");
        });
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_the_living_did_is_counted() {
    let (outcome, text) = on_board_like(
        LinuxVersion::V6_12,
        &[
            "pressure latency pages=64 with=mixed rounds=1; cat /proc/vmstat; cat /sys/kernel/tracing/trace | grep migrate_range",
        ],
    );
    assert_eq!(outcome, Outcome::Ok, "{text}");
    assert!(text.contains("pgmigrate_success 32\n") && text.contains("oom_kill 0\n"), "{text}");
    assert!(
        text.contains("mm_alloc_contig_migrate_range_info: start=0x69800 end=0x69840 migratetype=4 nr_migrated=32 nr_reclaimed=32 nr_mapped=32"),
        "{text}"
    );
    assert!(text.contains("\n{\"record\":\"pressure\",\"experiment\":\"latency\""));
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn an_area_in_use_is_not_experimented_on() {
    let (outcome, text) = on_board(&["alloc BiscuitOS_cma 4", "pressure latency"]);
    assert_eq!(outcome, Outcome::Failed(STATUS_BAD_COMMAND));
    assert!(text.ends_with(
        "4 pages of the area are in use, and an experiment begins on an empty one: `release all BiscuitOS_cma` first\n"
    ));
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn callers_are_told_busy_only_without_a_lock() {
    let text = printed("pressure callers=8 pages=148 seed=1 lock=all");
    let records: Vec<&str> = text.lines().filter(|line| line.starts_with("{\"record\":\"callers\"")).collect();
    assert_eq!(records.len(), 3, "{text}");
    let busy = |record: &str| !record.contains("\"busy\":0,");
    assert_eq!(records.iter().map(|record| busy(record)).collect::<Vec<_>>(), [true, false, false], "{text}");
    assert_eq!(text, printed("pressure callers=8 pages=148 seed=1 lock=all"), "the same seed gives the same bytes");
    let story = printed("pressure callers=2 lock=global requests=1");
    assert!(story.contains("caller 1: 1 served, 0 -EBUSY") && story.contains("takes the mutex"), "{story}");
    let orders = printed("pressure callers=2 requests=1 pages=8 schedules=2 lock=all");
    let rows: Vec<Vec<&str>> =
        orders.lines().skip(1).map(|line| line.split_ascii_whitespace().take(5).collect()).collect();
    assert_eq!(rows.len(), 3, "{orders}");
    assert!(rows[0][4] != "0" && rows[1][4] == "0" && rows[2][4] == "0", "{orders}");
}

/// Unless told, the lock is that of the version, and there is a row for each number of callers.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_lock_is_the_versions_unless_told() {
    for (linux, lock) in LinuxVersion::ALL.into_iter().zip(["none", "global", "global", "area"]) {
        let (_, text) = on_board_like(linux, &["pressure callers=2,3 pages=8 requests=1"]);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_ascii_whitespace().take(2).collect()).collect();
        assert_eq!(
            (rows.len(), &rows[1][..], &rows[3][..]),
            (5, &[lock, "2"][..], &[lock, "3"][..]),
            "{linux}: {text}"
        );
    }
}
