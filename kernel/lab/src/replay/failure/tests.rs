// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;
use crate::replay::{Options, ReplayReport, Told, WhenServed, run_surveyed, survey};
use board_mock::{Mock, with_board};
use std::format;
use std::string::ToString;

/// Replays a recording on an area; returns each reported failure, as text and as a record, and the
/// report.
fn told(trace: &str, options: impl Fn(&mut Options<'_>)) -> (Vec<(String, String)>, ReplayReport) {
    with_board(64, |system, machine| {
        let free = system.zone().nr_free_pages();
        let mut chosen = Options::new(system.find_area("BiscuitOS_cma").expect("the board has it"));
        options(&mut chosen);
        let mut told = Vec::new();
        let mut tell = |_: &mut Mock, step: Told<'_, '_>| {
            let Told::Failed { failure, .. } = step else { return };
            told.push((failure.to_string(), failure.record().to_string()));
        };
        let survey = survey(machine, trace.as_bytes()).expect("a good recording");
        let report = run_surveyed(system, machine, chosen, &survey, trace.as_bytes(), Some(&mut tell));
        let report = report.expect("it is replayed");
        system.check().expect("the accounting balances");
        system.release_all(chosen.area);
        assert_eq!(system.zone().nr_free_pages(), free);
        (told, report)
    })
}

/// Makes an event of a task at a millisecond: an allocation with its page, `None` if it failed, or
/// a release.
fn event(task: &str, ms: u32, what: &str, pfn: Option<u32>, pages: u32, align: u32) -> String {
    let head = format!("  {task}-7 [000] ..... {}.{:03}000: ", ms / 1000, ms % 1000);
    let page = if pfn.is_some() { "00000000d2c00a51" } else { "0000000000000000" };
    let pfn = pfn.unwrap_or(0);
    match what {
        "release" => format!("{head}cma_release: name=x pfn={pfn:#x} page={page} count={pages}\n"),
        _ => format!("{head}cma_alloc_finish: name=x pfn={pfn:#x} page={page} count={pages} align={align}\n"),
    }
}

/// Returns a recording in which one frame of a camera stays among a codec's buffers, and its next
/// one fails.
fn camera() -> String {
    [
        event("camera", 1000, "alloc", Some(0x1000), 700, 8),
        event("codec", 1100, "alloc", Some(0x1300), 500, 8),
        event("camera", 1200, "release", Some(0x1000), 700, 0),
        event("codec", 1300, "alloc", Some(0x1000), 100, 7),
        event("camera", 1400, "alloc", None, 1200, 8),
        event("camera", 1500, "alloc", None, 4096, 8),
    ]
    .concat()
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_failure_names_its_line_and_whose_buffers_are_in_the_way() {
    let (told, report) = told(&camera(), |_| {});
    let [(first, record), (second, _)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(
        first.lines().collect::<Vec<_>>(),
        [
            "line 5, 1.400000 s, camera: no 1200 pages at a multiple of 256: fragmented: 1448 pages free, longest free run \
             780; it failed on the board, too",
            "  pages 256-1455, 500 used: 500 pages of 1 buffer to empty: 500 of codec since line 2 (1.100000 s)",
            "  pages 0-1199, 532 used: 600 pages of 2 buffers to empty: 100 of codec since line 4 (1.300000 s), 500 of codec since \
             line 2 (1.100000 s)",
        ]
    );
    assert_eq!(
        *record,
        "{\"record\":\"failure\",\"line\":5,\"time_ns\":1400000000,\"task\":\"camera\",\"pages\":1200,\"align_order\":8,\
         \"cause\":\"fragmented\",\"free\":1448,\"maxchunk\":780,\"blockers\":[{\"line\":2,\"task\":\"codec\",\
         \"pages\":500,\"page\":768,\"time_ns\":1100000000}],\"area\":\"BiscuitOS_cma\",\"failed_recorded\":1,\
         \"window\":256,\"window_used\":500,\"window_buffers\":1,\"window_cost\":500}"
    );
    assert!(second.starts_with("line 6, 1.500000 s, camera: no 4096 pages at a multiple of 256: full"), "{second}");
    assert_eq!(second.lines().count(), 1, "no window is as large");
    let text = report.to_string();
    assert!(text.contains("5 allocations of which 2 failed, at most 1200 pages used; mean"), "{text}");
    assert!(text.contains("\nFailed: 1 fragmented, 1 full; 1 of 1200 pages, 1 of 4096.\n"), "{text}");
    let record = report.record().to_string();
    for field in ["\"peak_pages\":1200", "\"failed_fragmented\":1,\"failed_full\":1,\"failed_busy\":0"] {
        assert!(record.contains(field), "{record}");
    }
    assert!(record.contains("\"failed_orders\":[0,0,0,0,0,0,0,0,0,0,0,1,1]"), "{record}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn plain_traces_have_lines_and_parts_keep_theirs() {
    let (told, report) = told("a 1 100 0\na 2 1900 0\n# x\na 3 49 0\nr 1\na 4 200 0\n", |_| {});
    assert_eq!(
        told[0].0,
        "line 4: no 49 pages: full: 48 pages free\n  pages 0-48, 49 used: 100 pages of 1 buffer to empty: 100 since line 1\n  pages 100-148, 49 used: 1900 pages of 1 buffer to \
               empty: 1900 since line 2\n  pages 52-100, 49 used: 2000 pages of 2 buffers to empty: 100 since line 1, 1900 since \
               line 2\n"
    );
    assert_eq!((told.len(), report.peak), (2, 2000));
    // The release of a part of a buffer leaves two buffers of its line.
    let trace = [
        event("a", 1, "alloc", Some(0x100), 2048, 0),
        event("a", 2, "release", Some(0x110), 16, 0),
        event("a", 3, "alloc", Some(0x900), 32, 0),
    ]
    .concat();
    let (told, _) = self::told(&trace, |_| {});
    assert!(
        told[0].0.contains("pages 0-31, 16 used: 16 pages of 1 buffer to empty: 16 of a since line 1 (0.001000 s)\n"),
        "{told:?}"
    );
    assert!(
        told[0].0.contains("pages 16-47, 16 used: 2016 pages of 1 buffer to empty: 2016 of a since line 1"),
        "{told:?}"
    );
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_first_failure_can_end_it() {
    let (told, report) = told(&camera(), |options| options.stop_at_failure = true);
    assert_eq!((told.len(), report.stopped, report.failed, report.metrics.used), (1, Some(5), 1, 600));
    assert!(report.to_string().starts_with("Stopped at line 5, the first request that failed.\n"));
}

/// Returns the area's used pages at the end, and the line of the text about kept buffers.
fn kept(trace: &str) -> (u32, String) {
    let (_, report) = told(trace, |options| options.served = WhenServed::Keep);
    let text = report.to_string();
    let line = text.lines().find(|line| line.starts_with("Those were")).unwrap_or_default();
    (report.metrics.used, line.to_string())
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_failed_there_is_kept_as_long_as_such_buffers_lived() {
    // The camera's buffers lived 10, 20 and 300 ms, the codec's 1 and 2 ms; the display released
    // none.
    let lives = [
        event("camera", 100, "alloc", Some(0x1000), 10, 0),
        event("camera", 110, "release", Some(0x1000), 10, 0),
        event("camera", 200, "alloc", Some(0x1000), 10, 0),
        event("other", 220, "release", Some(0x1000), 10, 0),
        event("camera", 300, "alloc", Some(0x1000), 10, 0),
        event("camera", 600, "release", Some(0x1004), 6, 0),
        event("camera", 600, "release", Some(0x1000), 4, 0),
        event("codec", 700, "alloc", Some(0x1010), 10, 0),
        event("codec", 701, "release", Some(0x1010), 10, 0),
        event("codec", 710, "alloc", Some(0x1010), 10, 0),
        event("codec", 712, "release", Some(0x1010), 10, 0),
    ]
    .concat();
    let until = |asks: &[(&str, u32)], end: u32| {
        let asks: String = asks.iter().map(|(task, ms)| event(task, *ms, "alloc", None, 64, 0)).collect();
        kept(&(lives.clone() + &asks + &event("x", end, "release", Some(0x1000), 1, 0)))
    };
    let said = |task, all, none| {
        format!(
            "Those were kept: {task} for the median life of their task's buffers, {all} of all tasks', {none} to the end."
        )
    };
    // 20 ms, to the line.
    assert_eq!(until(&[("camera", 1000)], 1019), (64, said(1, 0, 0)));
    assert_eq!(until(&[("camera", 1000)], 1020), (0, said(1, 0, 0)));
    // Of two lifetimes, the lower.
    assert_eq!(until(&[("codec", 1000)], 1001), (0, said(1, 0, 0)));
    // Of all tasks: 1, 2, 10, 20, 300.
    assert_eq!(until(&[("display", 1000)], 1009), (64, said(0, 1, 0)));
    assert_eq!(until(&[("display", 1000), ("codec", 1000)], 1010), (0, said(1, 1, 0)));
    let (used, line) = kept(&(event("x", 1, "alloc", Some(0x1), 3, 0) + &event("camera", 2, "alloc", None, 64, 0)));
    assert_eq!((used, line), (67, said(0, 0, 1)));
    // Without `failed=keep`, the buffer is released at once.
    let (_, report) = told(&(lives + &event("camera", 1000, "alloc", None, 64, 0)), |_| {});
    assert!(
        report.metrics.used == 0 && report.to_string().contains("1 succeeded here and went back at once; failed=keep ")
    );
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn without_times_lives_are_counted_in_lines() {
    let log = |pointers: [&str; 2], tail: usize| {
        let [one, other] = pointers;
        let ask = |page: &str| format!("cma: cma_alloc(cma 1, count 8, align 0)\ncma: cma_alloc(): returned {page}\n");
        // Two buffers with lifetimes of three lines.
        [one, other].map(|page| ask(page) + &format!("\n\ncma: cma_release(page {page}, count 8)\n")).concat()
            + &ask("(null)")
            + &"\n".repeat(tail)
            + &ask("b0000300")
            + "cma: cma_release(page b0000300, count 8)\n"
    };
    // Known pages, and pointers that only distinguish buffers.
    for pointers in [["b0000100", "b0000200"], ["00000001", "b0000203"]] {
        let trace = log(pointers, 0);
        let (used, line) = kept(&trace);
        assert_eq!(used, 0, "{trace}");
        assert!(line.contains("1 of all tasks'") || line.contains("kept: 1 for"), "{line}");
        // The log ends before the three lines have passed.
        let (used, _) = kept(&(trace.lines().take(12).collect::<Vec<_>>().join("\n") + "\n"));
        assert_eq!(used, 8, "{trace}");
    }
}

#[test]
fn the_tally_lists_what_there_is() {
    let mut tally = Tally::default();
    assert_eq!(tally.to_string(), "");
    for (pages, error) in [
        (900, CmaError::Full { free: 1 }),
        (513, CmaError::Fragmented { free: 1000 }),
        (1, CmaError::Full { free: 0 }),
        (u32::MAX, CmaError::Invalid { argument: "x" }),
    ] {
        tally.add(pages, &error);
    }
    assert_eq!(
        tally.to_string(),
        "Failed: 1 fragmented, 2 full, 1 invalid; 1 of 1 pages, 2 of 513 to 900, 1 of 4294967295."
    );
}

#[test]
fn times_are_printed_as_recorded() {
    assert_eq!(Seconds(71_702_800_000).to_string(), "71.702800 s");
    assert_eq!(Seconds(5_123_456_789).to_string(), "5.123456789 s");
    assert_eq!(Seconds(0).to_string(), "0.000000 s");
}
