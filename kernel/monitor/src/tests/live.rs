// SPDX-License-Identifier: MIT OR Apache-2.0

//! The console's output for pages in use: traces, counters, refusals.

use std::format;
use std::vec::Vec;

use super::super::*;
use super::{context, on_board, on_board_like, printed};
use board_mock::with_board;
use migration::trace::Event;
use units::linux::LinuxVersion;

/// The events of the same allocations in the format of each version: one that is served, one that
/// is larger than the area, one that has no room.
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

/// A request larger than the area counts as a failure except on 6.12; the files of counters are
/// those of the version.
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

/// The event of a failure has the frame of the last candidate, if the version prints it.
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
    let records: Vec<&str> = orders.lines().filter(|line| line.starts_with("{\"record\":\"schedules\"")).collect();
    assert_eq!(records.len(), 3, "{orders}");
    let lost = |record: &str| !record.contains("\"isolated\":0,") && !record.contains("\"schedule\":\"\"");
    assert_eq!(records.iter().map(|record| lost(record)).collect::<Vec<_>>(), [true, false, false], "{orders}");
}

/// The default of `lock=` is the lock of the version; each number of callers has a row.
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

/// A driver's mutex that a work item takes, too: an order that deadlocks is printed, and can be
/// repeated.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_deadlock_is_printed_so_that_it_can_be_run_again() {
    let orders = printed("pressure callers=2 pages=1024 requests=1 work=1 lock=global schedules=1");
    let row = orders.lines().nth(1).expect("a row");
    let schedule = row.split_ascii_whitespace().last().expect("a schedule");
    let deadlocks: u32 = row.split_ascii_whitespace().nth(5).and_then(|count| count.parse().ok()).expect("a number");
    assert!(deadlocks > 0 && schedule.starts_with("schedule="), "{orders}");
    let (_, order) = schedule.split_once('=').expect("STEP:CALLER");
    assert!(orders.contains(&format!("\"deadlocks\":{deadlocks},\"schedule\":\"{order}\"}}")), "{orders}");
    let command = format!("pressure callers=2 pages=1024 requests=1 work=1 lock=global {schedule}");
    let story = printed(&command);
    assert!(story.contains("deadlock: caller 0 waits for the work item to end, which is the worker's"), "{story}");
    assert!(story.contains("deadlock: the worker waits for the driver's mutex, which is caller 0's"), "{story}");
    assert!(story.contains("\"deadlock\":1}") || story.contains("\"deadlock\":1,"), "{story}");
    assert_eq!(story, printed(&command));
}

/// Areas full of pages in use, and callers that the events name.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn callers_move_pages_in_use_and_are_named_in_the_trace() {
    let lines = [
        "echo 1 > /sys/kernel/tracing/events/cma/enable",
        "pressure callers=3 pages=148 requests=1 lock=none with=movable",
        "cat /sys/kernel/tracing/trace",
    ];
    let (_, text) = on_board_like(LinuxVersion::V6_1, &lines);
    assert!(text.contains("\"with\":\"movable\"") && !text.contains("\"migrated\":0,"), "{text}");
    for caller in ["caller0-2", "caller1-3", "caller2-4"] {
        let event = |line: &str, name: &str| line.contains(&format!("{caller} ")) && line.contains(name);
        assert!(text.lines().any(|line| event(line, "cma_alloc_start: name=")), "{caller}: {text}");
        assert!(text.lines().any(|line| event(line, "cma_alloc_finish: name=")), "{caller}: {text}");
    }
    assert!(text.contains("cma_alloc_busy_retry: name="), "{text}");
    assert!(text.lines().any(|line| line.starts_with("         caller0-2       [000] .....")), "{text}");
}

/// Three tasks of a recording as callers: without a mutex a range is lost; with one no caller gets
/// -EBUSY; a buffer that another task releases is released.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_tasks_of_a_recording_are_callers() {
    let mut recording = String::new();
    for (number, task) in ["cam", "gpu", "vpu"].into_iter().cycle().take(12).enumerate() {
        let (pid, pfn) = (7 + number % 3, 0x69800 + 160 * number);
        let head = std::format!(" {task}-{pid} [000] ..... {number}.0:");
        let name = "name=BiscuitOS_cma";
        let line = std::format!("{head} cma_alloc_finish: {name} pfn={pfn:#x} page=1 count=148 align=0 errorno=0\n");
        recording.push_str(&line);
        if number >= 3 {
            let before = pfn - 480;
            recording.push_str(&std::format!(
                " cam-7 [000] ..... {number}.5: cma_release: {name} pfn={before:#x} page=1 count=148\n"
            ));
        }
    }
    let run = |line: &str| {
        with_board(64, |system, machine| {
            let mut monitor = Monitor::new(system, machine, context(Some(recording.as_bytes())));
            let outcome = monitor.execute(line);
            (outcome, machine.take())
        })
    };
    let (_, text) = run("replay callers=tasks lock=all");
    assert!(text.starts_with("3 tasks as callers; 0 requests left out, 0 releases"), "{text}");
    let rows = |text: &str| -> Vec<Vec<String>> {
        let is_row = |line: &&str| ["none ", "global ", "area "].iter().any(|lock| line.starts_with(lock));
        text.lines().filter(is_row).map(|line| line.split_ascii_whitespace().map(String::from).collect()).collect()
    };
    let all = rows(&text);
    assert_eq!(all.len(), 3, "{text}");
    assert!(all[0][5] != "0" && all[1][5] == "0", "{text}");
    assert_eq!([&all[1][2..5], &all[2][2..5]], [["12", "0", "0"]; 2], "{text}");
    let (_, text) = run("replay callers=tasks");
    assert!(text.contains("cam-7: 4 served, 0 -EBUSY") && text.contains("waits for the mutex around"), "{text}");
    let (_, text) = run("compare load=replay callers=tasks placements=first-fit,best-fit lock=none");
    let labels: Vec<String> = rows(&text).into_iter().map(|mut row| row.pop().unwrap()).collect();
    assert_eq!(labels, ["first-fit", "best-fit"], "{text}");
    for (line, why) in [
        ("replay callers=3", "of a recording they are tasks"),
        ("replay callers=tasks until=failure", "until= is not a key of callers=tasks"),
        ("compare callers=tasks", "callers=tasks goes with load=replay"),
    ] {
        assert!(run(line).1.contains(why), "{line}: {}", run(line).1);
    }
}
