// SPDX-License-Identifier: MIT OR Apache-2.0

//! The experiments as commands.

use super::*;

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn compare_needs_an_empty_area_and_reports_what_ctrl_c_leaves() {
    let (outcome, text) = on_board(&["alloc BiscuitOS_cma 5", "compare seeds=1 ops=100"]);
    assert_eq!(outcome, Outcome::Failed(STATUS_BAD_COMMAND));
    let line = "compare: BiscuitOS_cma: 5 pages are in use, and a comparison begins on an empty area: \
                `release all BiscuitOS_cma` first\n";
    assert!(text.ends_with(line), "{text}");
    with_board(64, |system, machine| {
        machine.interrupt_after.set(Some(2500));
        let outcome = Monitor::new(system, machine, context(None)).execute("compare seeds=2 ops=1000");
        let text = machine.take();
        assert_eq!(outcome, Outcome::Ok);
        assert!(text.contains("Stopped by Ctrl-C; this is done:\n"), "{text}");
        // Two loads of first-fit are done; of next-fit's, one failed before the interruption or
        // none is.
        assert!(
            text.contains("\n{\"record\":\"compare\",\"placement\":\"first-fit\",\"seeds\":2,\"survived\":2,"),
            "{text}"
        );
        assert!(!text.contains("worst-fit"), "{text}");
        assert_eq!(system.areas()[1].used_pages(), 0);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn samples_are_records_on_the_way() {
    let text = printed("debris sample=400 ops=1000 until=ops");
    let samples: Vec<&str> = text.lines().filter(|line| line.starts_with("{\"record\":\"sample\",")).collect();
    assert_eq!(samples.len(), 2, "{text}");
    assert!(samples[0].contains("\"ops\":400,") && samples[1].contains("\"ops\":800,"), "{text}");
    for field in ["used", "maxchunk", "runs", "unusable_permille", "fragindex_permille"] {
        assert!(samples[0].contains(&format!("\"{field}\":")), "{field}: {text}");
    }
    // Samples do not change the result.
    let plain = printed("debris ops=1000 until=ops");
    assert_eq!(but_load_time(&text).lines().last(), but_load_time(&plain).lines().last());
    let text = printed("metrics");
    assert!(
        text.contains("\"runs\":[0,0,0,0,0,0,0,0,0,0,0,1],\"unusable_permille\":[0,0,0,0,0,0,0,0,0,0,0],"),
        "{text}"
    );
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn loads_are_scaled_and_their_buffers_moved() {
    let text = printed("debris placement=relocate slots=420 ops=20000");
    assert!(text.contains(" failed (full): ") && text.contains(" served by moving "), "{text}");
    assert!(text.contains(",\"slots\":420,\"times\":1,\"relocations\":"), "{text}");
    assert!(text.contains("\"bad_pages\":0,"), "{text}");
    let text = printed("debris scale=slots ops=1000");
    assert!(text.contains(",\"slots\":255,\"times\":1,\"timed\":1,\"load_ns\":"), "{text}");
    let text = printed("debris scale=both ops=1000");
    assert!(text.contains(",\"slots\":255,\"times\":1,\"timed\":1,"), "{text}");
    for (line, reason) in [
        ("debris scale=large", "scale is \"large\"; it can be none slots sizes both"),
        ("debris slots=0", "slots is \"0\""),
        ("debris slots=99999", "slots is \"99999\""),
        ("debris slots=3 scale=none", "slots= and scale= both say how many slots there are"),
        ("debris relocatable=1001", "relocatable is \"1001\""),
        ("debris placement=relocate:relocate", "the parameters of relocate look like relocate:first-fit"),
    ] {
        let (outcome, text) = on_board(&[line]);
        assert_eq!(outcome, Outcome::Failed(STATUS_BAD_COMMAND), "{line}");
        assert!(text.contains(reason), "{line}: {text}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn ctrl_c_ends_tests_and_benchmarks_between_two_and_names_the_rest() {
    with_board(64, |system, machine| {
        machine.interrupt_after.set(Some(1));
        let mut monitor = Monitor::new(system, machine, context(None));
        assert_eq!(monitor.execute("selftest buddy"), Outcome::Ok);
        monitor.machine.interrupt_after.set(Some(1));
        assert_eq!(monitor.execute("selftest cma"), Outcome::Ok);
        let text = monitor.machine.take();
        let begin = "ok 1 cma_random\nok 2 cma_release_twice # SKIP stopped by Ctrl-C\n";
        let (_, rest) = text.split_once(begin).expect("the second is skipped");
        assert!(
            rest.contains("ok 3 ") && rest.lines().all(|line| line.ends_with(" # SKIP stopped by Ctrl-C")),
            "{text}"
        );
        monitor.machine.interrupt_after.set(Some(0));
        assert_eq!(monitor.execute("bench cma/1 buddy/0 buddy/9"), Outcome::Ok);
        let text = monitor.machine.take();
        assert!(text.ends_with("max ns\nStopped by Ctrl-C before: cma/1 buddy/0 buddy/9.\n"), "{text}");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_recording_is_compared_under_placements_and_alignments() {
    let trace = include_bytes!("../../../../tests/data/linux-6.1/camera.trace");
    let field = |text: &str, record: &str, name: &str| -> Vec<String> {
        let records = text.lines().filter(|line| line.starts_with(&format!("{{\"record\":\"{record}\"")));
        let value = |line: &str| {
            let (_, rest) = line.split_once(&format!("\"{name}\":")).expect("the field");
            rest.split([',', '}']).next().unwrap_or_default().to_string()
        };
        records.map(value).collect()
    };
    with_board(64, |system, machine| {
        let mut monitor = Monitor::new(system, machine, context(Some(trace)));
        let outcome = monitor.execute("compare load=replay placements=first-fit,best-fit align=asis,page; cma");
        let compared = monitor.machine.take();
        assert_eq!(outcome, Outcome::Ok, "{compared}");
        assert!(compared.contains("compare replay on BiscuitOS_cma (2048 pages): the recording under each.\n"));
        assert!(compared.contains("BiscuitOS_cma  0x69800000     2048        0     2048  first-fit"), "{compared}");
        assert!(compared.lines().filter(|line| !line.starts_with('{')).all(|line| line.len() <= 100));
        let mut alone = String::new();
        for keys in ["placement=first-fit", "align=page", "placement=best-fit", "placement=best-fit align=page"] {
            let outcome = monitor.execute(&format!("replay held=release failures=0 {keys}; release all"));
            assert_eq!(outcome, Outcome::Ok);
            alone += &monitor.machine.take();
        }
        for name in ["failed", "peak_pages", "placement_fnv1a"] {
            let compared = field(&compared, "compare", name);
            assert_eq!((compared.len(), &compared), (4, &field(&alone, "replay", name)), "{name}");
        }
        assert_eq!(field(&compared, "compare", "align"), ["\"asis\"", "\"page\"", "\"asis\"", "\"page\""]);
        // Linux's own answers.
        assert_eq!(field(&compared, "compare", "failed")[0], "2074");
        for (line, wrong) in [
            ("compare load=replay seeds=3", "seeds= is not a key of replay; it takes placements="),
            ("compare load=replay align=asis,8", "align is \"8\"; it can be asis order page"),
            ("compare load=replay placements=x", "no placement \"x\""),
            ("compare failed=keep", "failed= is not a key of debris; it is of load=replay"),
            ("compare load=replays", "did you mean replay?"),
        ] {
            assert_eq!(monitor.execute(line), Outcome::Failed(2), "{line}");
            let text = monitor.machine.take();
            assert!(text.contains(wrong) && text.lines().count() == 1, "{line}: {text}");
        }
    });
}

/// True for a row of a table: blanks separate columns. A sentence has several only in front.
fn is_row(line: &str) -> bool {
    !line.starts_with('{') && line.trim_start().contains("  ")
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn tables_fit_a_hundred_columns() {
    let examples = help_of_all::<Mock>().map(|help| help.example.to_string());
    let examples =
        examples.filter(|line| !["fault", "poweroff", "reboot", "selftest"].iter().any(|w| line.starts_with(w)));
    let more = [
        "help",
        "cma",
        "compare seeds=1 ops=300",
        "compare seeds=1 ops=300 load=random placements=size-classes:100:500:900,relocate:first-fit",
        "pressure latency rounds=1",
        "pressure underuse rounds=1",
        "pressure reliability rounds=1 source=cma",
        "pressure integrity rounds=1",
        "bench",
        "picture",
        "metrics linux,cma",
        "debris ops=500 until=ops & ; jobs",
    ];
    let mut rows = 0;
    for line in examples.chain(more.map(String::from)) {
        let (_, text) = on_board(&[&line]);
        for row in text.lines().filter(|row| is_row(row)) {
            rows += 1;
            assert!(row.chars().count() <= 100, "{line}: {} columns: {row}", row.chars().count());
        }
    }
    assert!(rows > 200, "{rows}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_rate_is_for_watching() {
    let text = printed("debris rate=100000 ops=50 until=ops");
    // The clock of the mock steps by 10 ns a reading.
    let rate = text.lines().find_map(|line| line.trim().strip_prefix("50 steps in ")).expect("the load's time");
    let ns: u64 = rate.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number");
    assert!((490_000..520_000).contains(&ns), "{text}");
    let text = printed("debris rate=1000000 ops=40 sample=20 until=ops & ; wait");
    assert_eq!(text.matches("{\"record\":\"sample\"").count(), 1, "{text}");
    assert!(text.contains("[1] done: debris rate=1000000") || text.contains("\"record\":\"debris\""), "{text}");
    let (outcome, text) = on_board(&["debris rate=0"]);
    assert_eq!(outcome, Outcome::Failed(STATUS_BAD_COMMAND));
    assert!(text.contains("rate"), "{text}");
}
