//! What of the living the console shows: traces, counters, refusals.

use std::vec::Vec;

use super::super::*;
use super::{on_board, printed};

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn allocations_are_traced_in_ftraces_words() {
    let (outcome, text) = on_board(&[
        "echo 1 > /sys/kernel/tracing/events/cma/enable",
        "cat /sys/kernel/tracing/events/cma/enable",
        "alloc BiscuitOS_cma 64",
        "alloc BiscuitOS_cma 4000",
        "release 1",
        "echo 0 > /sys/kernel/tracing/events/cma/enable",
        "alloc BiscuitOS_cma 1",
        "cat /sys/kernel/tracing/trace",
    ]);
    assert_eq!(outcome, Outcome::Ok, "{text}");
    let trace: Vec<&str> = text.lines().skip_while(|line| *line != "# tracer: nop").collect();
    assert_eq!(trace[2], "# entries-in-buffer/entries-written: 5/5   #P:1");
    let events: Vec<&str> = trace
        .iter()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(": "))
        .map(|e| e.1)
        .collect();
    assert_eq!(
        events,
        [
            "cma_alloc_start: name=BiscuitOS_cma request_count=64 available_count=2048 total_count=2048 align=6",
            "cma_alloc_finish: name=BiscuitOS_cma pfn=0x69800 page=00698000 count=64 align=6 errorno=0",
            "cma_alloc_start: name=BiscuitOS_cma request_count=4000 available_count=1984 total_count=2048 align=8",
            "cma_alloc_finish: name=BiscuitOS_cma pfn=0x0 page=00000000 count=4000 align=8 errorno=-12",
            "cma_release: name=BiscuitOS_cma pfn=0x69800 page=00698000 count=64",
        ]
    );
    assert!(trace.iter().any(|line| line.starts_with("         monitor-1       [000] .....     0.0")), "{text}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_the_living_did_is_counted() {
    let text = printed(
        "pressure latency pages=64 with=mixed rounds=1; cat /proc/vmstat; cat /sys/kernel/tracing/trace | grep migrate_range",
    );
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
