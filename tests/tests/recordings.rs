// SPDX-License-Identifier: MIT OR Apache-2.0

//! Recordings of boards: kernel logs and ftrace, as they come.

use boot_tests::{Boot, Outcome, Tree, in_tree};

/// Replays `text` in the areas of the board, and asserts `status`.
fn replayed(text: impl AsRef<[u8]>, status: i32) -> Outcome {
    let outcome = Boot::commands("replay; cma").run_on(text);
    outcome.ended_with(status);
    outcome
}

/// A board's log of `CONFIG_CMA_DEBUG`, in an area as large as its requests need.
#[test]
fn a_boards_log() {
    let boot = Boot::commands("replay").memory("1024M").initrd(in_tree("tests/data/cases/cma-debug.log"));
    let node = "big@70000000 { compatible = \"shared-dma-pool\"; reusable; linux,cma-default; reg = <0x70000000 0x4000000>; };";
    let outcome = boot.tree(Tree::Nodes(node.into())).run();
    let record = outcome.ended_with(0).record("replay");
    // 3, five of 1280, eight of 765 and 20 pages.
    assert_eq!((&record["format"], &record["allocs"]), (&"dmesg".into(), &15.into()), "{record}");
    assert_eq!((&record["failed"], &record["used"]), (&0.into(), &12_543.into()), "{record}");
    outcome.says("Pages are pointers, 32 bytes apart; all alignments hold where the first page is bit 124 modulo 256.");
    outcome.says("2 ranges busy there and passed over");
}

/// Returns ftrace's text, at most `bytes` bytes long, of traffic in an area of 8 MiB, and its
/// events: `(true, page, pages)` is an allocation, `false` a release.
fn recording(bytes: usize) -> (String, Vec<(bool, u32, u32)>) {
    let mut text = String::with_capacity(bytes + 512);
    text += "# tracer: nop\n#\n# entries-in-buffer/entries-written: 99/99   #P:4\n#\n";
    let mut events = Vec::new();
    let mut held = [0u32; 128];
    let mut random = 1u32;
    for event in 0u32.. {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let slot = (random >> 25) as usize;
        let (page, pages) = (slot as u32 * 16, 1 + (random >> 16) % 16);
        let stamp = format!("    v4l2 capture-{:<6} [{:03}] .....  {event:5}.000001: ", 400 + event % 7, event % 4);
        let name = "name=linux,cma";
        let mut lines = String::new();
        if held[slot] == 0 {
            held[slot] = pages;
            lines += &format!(
                "{stamp}cma_alloc_start: {name} request_count={pages} available_count=9 total_count=2048 align=4\n"
            );
            lines += &format!(
                "{stamp}cma_alloc_finish: {name} pfn={:#x} page=0000abcd count={pages} align=4 errorno=0\n",
                0x7c000 + page
            );
            events.push((true, page, pages));
        } else {
            let pages = std::mem::take(&mut held[slot]);
            lines += &format!("{stamp}cma_release: {name} pfn={:#x} page=0000abcd count={pages}\n", 0x7c000 + page);
            events.push((false, page, pages));
        }
        if text.len() + lines.len() > bytes {
            events.pop();
            break;
        }
        text += &lines;
    }
    (text, events)
}

#[test]
fn sixty_four_megabytes_of_ftrace_in_a_small_machine() {
    let (text, events) = recording(64 << 20);
    let outcome = Boot::commands("replay").memory("256M").counted().run_on(&text);
    let record = outcome.ended_with(0).record("replay");
    let allocs = events.iter().filter(|event| event.0).count();
    assert!(text.lines().count() > 450_000);
    for (name, value) in [("lines", text.lines().count()), ("ops", events.len()), ("allocs", allocs)] {
        assert_eq!(record[name], value, "{name} in {record}");
    }
    assert_eq!(
        (&record["failed"], &record["unmatched"], &record["lost"]),
        (&0.into(), &0.into(), &0.into()),
        "{record}"
    );
    let held: i64 =
        events.iter().map(|&(alloc, _, pages)| if alloc { i64::from(pages) } else { -i64::from(pages) }).sum();
    assert_eq!(record["used"], held, "{record}");
    // In instructions: reading and checking a line of 130 characters costs little more than looking
    // at each.
    assert!(record["line_ns"].as_u64().expect("a number") <= 3_500, "{record}");
}

#[test]
fn our_own_trace_is_read_back() {
    let commands = "echo 1 > /sys/kernel/tracing/events/cma/enable; alloc linux,cma 3; debris until=ops ops=330; \
                    echo 0 > /sys/kernel/tracing/events/cma/enable; cat /sys/kernel/tracing/trace; replay";
    let recorded = Boot::commands(commands).run();
    // There is no trace to replay.
    recorded.ended_with(2);
    let load = recorded.record("debris");
    let lines: Vec<&str> = recorded.lines().skip_while(|line| !line.starts_with("# tracer:")).collect();
    let end = lines.iter().position(|line| line.starts_with("replay:")).expect("the last command's answer");
    assert!(lines[..end].iter().filter(|line| line.contains("cma_alloc_finish: name=BiscuitOS_cma ")).count() > 150);
    let outcome = replayed(lines[..end].join("\n") + "\n", 0);
    // Both areas are in the recording, and in this machine.
    let records = outcome.records_of("replay");
    assert_eq!((records.len(), &records[0]["area"], &records[0]["used"]), (2, &"linux,cma".into(), &3.into()));
    let record = &records[1];
    for field in ["allocs", "used", "maxchunk"] {
        assert_eq!(record[field], load[field], "{field} in {record}");
    }
    assert_eq!((&record["as_recorded"], &record["unmatched"]), (&load["allocs"], &0.into()), "{record}");
    assert_eq!((&record["format"], &record["from"]), (&"ftrace".into(), &"BiscuitOS_cma".into()), "{record}");
}

#[test]
fn a_ring_that_ran_over_is_read_back() {
    let commands =
        "echo 1 > /sys/kernel/tracing/events/cma/enable; debris until=ops ops=3000; cat /sys/kernel/tracing/trace";
    let recorded = Boot::commands(commands).run();
    recorded.ended_with(0);
    let text: Vec<&str> = recorded.lines().skip_while(|line| !line.starts_with("# tracer:")).collect();
    let record = replayed(text.join("\n"), 0).record("replay");
    // An allocation and its release are three events; the ring keeps 1024.
    assert!(record["lost"].as_u64().is_some_and(|lost| (3000..3800).contains(&lost)), "{record}");
    assert!(record["unmatched"].as_u64().is_some_and(|unmatched| unmatched > 0), "{record}");
    assert_eq!(record["held_released"], 0, "{record}");
}

#[test]
fn several_recorded_areas_are_a_choice() {
    let line = |name: &str| {
        format!(" x-1 [000] ..... 1.0: cma_alloc_finish: name={name} pfn=0x100 page=00c0 count=5 align=0\n")
    };
    let text = line("reserved") + &line("dsp") + &line("dsp");
    let outcome = replayed(&text, 2);
    outcome.says("choose with from=NAME; the recording has reserved (1 allocation, 0 releases), dsp (2 allocations");
    let outcome = Boot::commands("replay from=dsp").run_on(text);
    let record = outcome.ended_with(0).record("replay");
    // At the second allocation the pages were still held, so their release was lost.
    assert_eq!(
        (&record["ops"], &record["held_released"], &record["used"]),
        (&2.into(), &1.into(), &5.into()),
        "{record}"
    );
}

#[test]
fn several_recorded_areas_are_replayed_in_the_order_of_the_recording() {
    let line = |name: &str, pfn: u32, pages: u32| {
        format!(
            " v-1 [000] ..... 1.0: cma_alloc_finish: name={name} pfn={pfn:#x} page=1 count={pages} align=0 errorno=0\n"
        )
    };
    let text = line("linux,cma", 0x69000, 500)
        + &line("BiscuitOS_cma", 0x69800, 700)
        + &line("camera", 0x100, 9)
        + &line("BiscuitOS_cma", 0x69abc, 1400)
        + &line("linux,cma", 0x691f4, 2000);
    let outcome = Boot::commands("replay; release all; replay until=failure").run_on(text);
    outcome.ended_with(0);
    let failures: Vec<(u64, &str)> = outcome
        .records_of("failure")
        .iter()
        .filter_map(|record| {
            Some((record["line"].as_u64()?, if record["area"] == "linux,cma" { "first" } else { "second" }))
        })
        .collect();
    assert_eq!(failures, [(4, "second"), (5, "first"), (4, "second")], "{outcome}");
    let used: Vec<u64> = outcome.records_of("replay").iter().filter_map(|record| record["used"].as_u64()).collect();
    assert_eq!(used, [500, 700, 500, 700]);
    outcome
        .says("BiscuitOS_cma: line 4, 1.000000 s, v: no 1400 pages")
        .says("Stopped at line 4, the first request that failed.")
        .says("Stopped at line 4, where the first request of another area failed.")
        .says("Not replayed, because there are no such areas here: camera (1 allocation, 0 releases).");
}

#[test]
fn bad_recordings_are_refused_with_their_line() {
    let good = " x-1 [000] ..... 1.0: cma_alloc_finish: name=a pfn=0x100 page=00c0 count=5 align=0 errorno=0\n";
    for (bad, words) in [
        (
            " x-1 [000] ..... 1.0: cma_alloc_finish: name=a pfn=0x100 page=00c0 cou\n",
            "count= (1 to 4294967295 pages) is missing",
        ),
        (" x-1 [000] ..... 1.0: cma_rel\n", "name= (an area) is missing"),
        (" x-1 [000] .....\n", "neither an event of ftrace"),
        (" x-1 [000] ..... 1.0: cma_release: name=a pfn=0x100 page=00c0 count=0\n", "not a good count="),
        (" x-1 [000] ..... 1.0: cma_release: name=a pfn=-1 page=00c0 count=1\n", "not a good pfn="),
        (" x-1 [000] ..... 1.0: cma_alloc_finish: name=a pfn=0x100 page=00c0 count=5 align=21\n", "not a good align="),
        ("\u{0}\u{1}\u{2}\n", "byte 0x00 is not text"),
        ("a 1 16 4\n", "neither an event of ftrace"),
    ] {
        let outcome = replayed(format!("{good}{good}{bad}"), 2);
        outcome.says("replay: line 3: ").says(words);
        // No request was made.
        assert!(
            outcome.lines().any(|line| line.starts_with("BiscuitOS_cma") && line.contains("        0     2048  ")),
            "{outcome}"
        );
    }
}

#[test]
fn a_recording_from_a_serial_line_that_was_cut_off_is_replayed() {
    let whole = " x-1 [000] ..... 1.0: cma_alloc_finish: name=a pfn=0x100 page=00c0 count=5 align=0 errorno=0\r\n";
    let text = format!("{}{whole}{}", &whole[40..], &whole[..60]);
    let outcome = replayed(text, 0);
    let record = outcome.record("replay");
    assert_eq!((&record["allocs"], &record["lost"], &record["used"]), (&1.into(), &2.into(), &5.into()), "{record}");
    let record = replayed("a 1 16 4\r\nr 1\r\n", 0).record("replay");
    assert_eq!((&record["ops"], &record["used"]), (&2.into(), &0.into()), "{record}");
}

/// Returns an event of ftrace: a task gets pages from `pfn` on at a millisecond, fails to (`None`),
/// or releases them.
fn event(task: &str, ms: u32, releases: bool, pfn: Option<u32>, pages: u32, align: u32) -> String {
    let head = format!("  {task}-7 [000] ..... {:5}.{:03}000: ", ms / 1000, ms % 1000);
    match (releases, pfn) {
        (true, pfn) => format!("{head}cma_release: name=a pfn={:#x} page=00c0 count={pages}\n", pfn.unwrap_or(0)),
        (false, Some(pfn)) => {
            format!("{head}cma_alloc_finish: name=a pfn={pfn:#x} page=00c0 count={pages} align={align} errorno=0\n")
        }
        (false, None) => {
            format!("{head}cma_alloc_finish: name=a pfn=0x0 page=(null) count={pages} align={align} errorno=-12\n")
        }
    }
}

fn replays(text: &str, commands: &str, memory: &str, tree: Option<&str>) -> Outcome {
    let mut boot = Boot::commands(commands).memory(memory);
    if let Some(nodes) = tree {
        boot = boot.tree(Tree::Nodes(nodes.into()));
    }
    let outcome = boot.run_on(text);
    outcome.ended_with(0);
    outcome
}

#[test]
fn a_failed_request_says_whose_buffers_are_in_its_way() {
    let text = [
        event("camera", 1000, false, Some(0x1000), 700, 8),
        event("codec", 1100, false, Some(0x1300), 500, 8),
        event("camera", 1200, true, Some(0x1000), 700, 0),
        event("codec", 1300, false, Some(0x1000), 100, 7),
        event("camera", 1400, false, None, 1200, 8),
        event("camera", 1500, false, Some(0x1100), 300, 8),
    ]
    .concat();
    let outcome = replays(&text, "replay until=failure; metrics; release all; replay failures=0", "256M", None);
    outcome.says("line 5, 1.400000 s, camera: no 1200 pages at a multiple of 256: fragmented");
    outcome.says("  pages 256-1455, 500 used: 500 pages of 1 buffer to empty: 500 of codec since line 2 (1.100000 s)");
    outcome.says("Stopped at line 5, the first request that failed.");
    // The state at that time, not at the end.
    assert_eq!(outcome.record("metrics")["used"], 600);
    let failures = outcome.records_of("failure");
    assert_eq!(failures.len(), 2, "{outcome}");
    for failure in &failures {
        for (field, value) in [("line", 5u64), ("time_ns", 1_400_000_000), ("pages", 1200), ("free", 1448)] {
            assert_eq!(failure[field], value, "{field} in {failure}");
        }
        assert_eq!((&failure["task"], &failure["cause"]), (&"camera".into(), &"fragmented".into()), "{failure}");
        let blocker = &failure["blockers"][0];
        let told = (&blocker["line"], &blocker["task"], &blocker["pages"]);
        assert_eq!(told, (&2.into(), &"codec".into(), &500.into()), "{failure}");
    }
    let replays = outcome.records_of("replay");
    assert_eq!((&replays[1]["peak_pages"], &replays[1]["used"]), (&1200.into(), &900.into()), "{outcome}");
}

/// Half a million lines, with a request that failed on the board, held for the median life of its
/// task's buffers.
#[test]
fn what_only_the_board_refused_is_kept_on_a_long_recording() {
    let (mut text, events) = recording(64 << 20);
    let last = events.len();
    let head = format!("    v4l2 capture-400    [000] .....  {last:5}.000001: ");
    text += &format!("{head}cma_alloc_finish: name=linux,cma pfn=0x0 page=(null) count=3 align=0 errorno=-12\n");
    let outcome = replays(&text, "replay linux,cma failed=keep failures=0", "1024M", None);
    outcome.says("Those were kept: 1 for the median life of their task's buffers, 0 of all tasks', 0 to the end.");
    let record = outcome.record("replay");
    assert_eq!((&record["failed_recorded"], &record["failed_served"]), (&1.into(), &1.into()), "{record}");
    assert!(record["lines"].as_u64().unwrap() > 500_000, "{record}");
}

/// Events of newer kernels, which have counts of the area's pages with each request.
#[test]
fn counts_of_free_pages_tell_the_size_and_what_was_held_before() {
    let start = |ms: u32, pages: u32, free: u32| {
        format!(
            "  vpu-7 [000] ..... {:5}.{:03}000: cma_alloc_start: name=a request_count={pages} available_count={free} total_count=2048 align=0\n",
            ms / 1000,
            ms % 1000
        )
    };
    let mut text = String::new();
    for (ms, pfn, pages, free) in [(1000, 0x1000, 8, 1948), (1100, 0x1008, 16, 1940), (1200, 0x1018, 4, 1924)] {
        text += &(start(ms, pages, free) + &event("vpu", ms + 1, false, Some(pfn), pages, 0));
    }
    // 50 pages were allocated without an event, as two requests show.
    for (ms, pfn, pages, free) in [(1300, 0x1020, 2, 1870), (1400, 0x1022, 2, 1868)] {
        text += &(start(ms, pages, free) + &event("vpu", ms + 1, false, Some(pfn), pages, 0));
    }
    let outcome = replays(&text, "replay BiscuitOS_cma", "256M", None);
    let record = outcome.record("replay");
    for (field, value) in [("held_before", 100u64), ("gaps", 1), ("first_gap", 7), ("allocs", 5), ("used", 32)] {
        assert_eq!(record[field], value, "{field} in {record}");
    }
    outcome.says("The recording is of a, an area of 2048 pages");
    outcome.says("100 pages held there when the recording began");
    outcome.says("In 1 place, first at line 7, pages came or went without an event: events were lost there.");
    // Starts of allocations alone are refused, with the event that is missing.
    let starts = start(1000, 8, 1948) + &start(1100, 16, 1940);
    replayed(starts, 2).says("cma_alloc_finish");
}

#[test]
fn a_recording_is_split_by_task_and_by_size() {
    let text = [
        event("vpu-dec", 1000, false, Some(0x1000), 100, 0),
        event("isp", 1001, false, Some(0x1064), 4, 0),
        event("vpu-enc", 1002, false, Some(0x1068), 63, 0),
        event("isp", 1003, true, Some(0x1000), 100, 0),
        event("vpu-dec", 1004, false, Some(0x1000), 64, 0),
        event("isp", 1005, true, Some(0x1064), 4, 0),
    ]
    .concat();
    let commands = "replay linux,cma task=vpu*; release all; replay linux,cma task=isp; release all; \
                    replay area=linux,cma pages=64-; replay area=BiscuitOS_cma pages=-63; cma";
    let outcome = replays(&text, commands, "256M", None);
    let told: Vec<_> = outcome.records_of("replay");
    let figures =
        |record: &serde_json::Value| ["allocs", "used", "left_out"].map(|field| record[field].as_u64().unwrap());
    let found: Vec<_> = told.iter().map(figures).collect();
    assert_eq!(found, [[3, 127, 1], [1, 0, 3], [2, 64, 2], [2, 63, 2]], "{outcome}");
}

/// One file with the state and the recording of a board: its area's files and its trace.
#[test]
fn a_recording_that_goes_on_from_a_state_releases_what_that_holds() {
    let mut words = vec!["0"; 64];
    (words[0], words[2]) = ("4294967295", "15");
    let text = format!("/d/a/base_pfn:4096\n/d/a/bitmap:{}\n/d/a/count:2048\n", words.join(" "))
        + &event("v", 1000, false, Some(0x1020), 8, 0)
        + &event("v", 1001, true, Some(0x1008), 16, 0)
        + &event("v", 1002, true, Some(0x1040), 4, 0)
        + &event("v", 1003, true, Some(0x1100), 1, 0);
    let outcome = replays(&text, "load linux,cma; replay linux,cma; bitmap linux,cma", "256M", None);
    let record = outcome.record("replay");
    assert_eq!((&record["unmatched"], &record["used"]), (&1.into(), &(16 + 8).into()), "{record}");
    assert_eq!((&record["compared"], &record["as_recorded"]), (&1.into(), &1.into()), "{record}");
}
