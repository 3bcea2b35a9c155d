// SPDX-License-Identifier: MIT OR Apache-2.0

//! Answers about recordings and states, and messages about what is missing.

use super::*;

/// A recording implies `load=replay`, at any position.
#[test]
fn compare_takes_a_recording() {
    let directory = tempfile::TempDir::new().unwrap();
    std::fs::write(directory.path().join("my.trace"), TWO_TASKS).unwrap();
    let compare = |arguments: &[&str]| debris_in(directory.path(), &[&["compare"], arguments].concat());
    for arguments in [&["my.trace"][..], &["--initrd", "my.trace"], &["load=replay", "--initrd", "my.trace"]] {
        let output = compare(&[arguments, &["placements=first-fit"]].concat());
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.starts_with("compare replay on ") && output.status.success(), "{arguments:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("which holds every recorded page"), "{output:?}");
    }
    for (arguments, words) in [
        (&["no.trace"][..], "no.trace is not a file; it takes a recording, and KEY=VALUE"),
        (&["load=debris", "my.trace"], "my.trace is a recording, which load=debris does not read"),
    ] {
        let output = compare(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(words) && output.status.code() == Some(2), "{arguments:?}: {said}");
    }
    let output = compare(&["my.trace", "--area", "54M", "placements=first-fit"]);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("an area of 56M, because areas are multiples of 4M, not 54M")
    );
}

/// If only the beginnings of requests were recorded, the message names what is missing.
#[test]
fn a_recording_of_beginnings_only_names_the_events_to_record() {
    let directory = tempfile::TempDir::new().unwrap();
    for fields in ["name=x count=17 align=5", "name=x request_count=17 available_count=9 total_count=99 align=5"] {
        let line = format!("  vpu-7     [000] .....    71.201344: cma_alloc_start: {fields}\n");
        std::fs::write(directory.path().join("start.trace"), line.repeat(2)).unwrap();
        for command in ["check", "size", "replay"] {
            let output = debris_in(directory.path(), &[command, "start.trace"]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                said.contains("2 lines cma_alloc_start") && said.contains("cma_alloc_finish and cma_release"),
                "{said}"
            );
            assert_eq!(output.status.code(), Some(2), "{command}");
        }
    }
}

#[test]
fn view_has_its_verdict_as_a_record() {
    let view = |pages: &str| records(&printed(&["view", "cases/free-list.log", "--json", "--pages", pages]));
    for pages in ["256", "1M"] {
        let records = view(pages);
        let last = records.last().unwrap();
        assert_eq!((&last["record"], &last["fits"], &last["cause"]), (&"view".into(), &0.into(), &"fragmented".into()));
        assert_eq!((&last["windows"][0]["page"], &last["windows"][0]["used"]), (&768.into(), &256.into()));
    }
    let records = view("100");
    let last = records.last().unwrap();
    assert_eq!((&last["fits"], &last["cause"], &last["page"]), (&1.into(), &"none".into(), &1152.into()));
}

#[test]
fn size_gives_both_answers_where_requests_failed() {
    let directory = tempfile::TempDir::new().unwrap();
    let failed =
        "  cam-7  [000] .....     1.500000: cma_alloc_finish: name=x pfn=0x0 page=0 count=4000 align=0 errorno=-12\n";
    let lines: Vec<&str> = TWO_TASKS.lines().skip(1).collect();
    std::fs::write(directory.path().join("failed.trace"), failed.to_owned() + &lines.join("\n") + "\n").unwrap();
    let said = |arguments: &[&str]| {
        let output = debris_in(directory.path(), &[&arguments[..1], &["failed.trace"], &arguments[1..]].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    let text = said(&["size", "--placement", "first-fit", "--step", "1"]);
    assert!(text.contains("go back at once: 16000K; where they live"), "{text}");
    assert!(text.contains("of their task's: 22000K. The larger is taken; --failed release or keep"), "{text}");
    let text = said(&["replay", "--area", "64M"]);
    assert!(text.contains("1 succeeded here and went back at once; failed=keep"), "{text}");
    let text = said(&["replay", "--area", "64M", "failed=keep"]);
    assert!(text.contains("1 succeeded here; failed=release gives them back at once.\nThose were kept: "), "{text}");
    for (key, words) in
        [("failed=release", "go back at once; failed=keep"), ("failed=keep", "are kept as long as others; ")]
    {
        let text = said(&["compare", "placements=first-fit", key]);
        assert!(
            text.contains(&format!("\n1 request failed when this was recorded; those that succeed here {words}")),
            "{text}"
        );
    }
    let headroom = records(&said(&["size", "--placement", "first-fit", "--step", "1", "--headroom", "10%", "--json"]));
    assert_eq!(headroom[0]["verdict_pages"], 6050);
}

/// Two recorded areas; the page is about the second, which is small.
#[test]
fn of_several_areas_the_page_is_about_the_one_that_fails() {
    let program = Path::new(env!("CARGO_BIN_EXE_debris"));
    let directory = tempfile::TempDir::new().unwrap();
    // A template with only its places, beside the program.
    let alone = directory.path().join("debris");
    std::fs::copy(program, &alone).unwrap();
    std::fs::write(
        directory.path().join("debris-page.html"),
        "<!--debris:title--><!--debris:body--><!--debris:data-->",
    )
    .unwrap();
    let failed = |line: u32| {
        format!(
            "  cam-7  [000] .....    {line}.0: cma_alloc_finish: name=small pfn=0x0 page=0 count=9000 align=0 errorno=-12\n"
        )
    };
    let other = TWO_TASKS.replace("name=x", "name=small").replace(".000000", ".500000");
    let lines: Vec<&str> = TWO_TASKS.lines().zip(other.lines()).flat_map(|pair| [pair.0, pair.1]).collect();
    let text = lines.join("\n") + "\n" + &failed(8) + &failed(9);
    std::fs::write(directory.path().join("two.trace"), text).unwrap();
    let page = |more: &[&str]| {
        let mut debris = Command::new(&alone);
        debris.args(["replay", "two.trace", "--html", "page.html"]).args(more).current_dir(directory.path());
        let said = String::from_utf8(debris.output().unwrap().stderr).unwrap();
        (said, std::fs::read_to_string(directory.path().join("page.html")).unwrap())
    };
    let (said, html) = page(&[]);
    let line = "debris: --html: the page shows small, where most requests fail: 2; --from chooses another area\n";
    assert!(said.contains(line), "{said}");
    assert!(html.contains("\"from\":\"small\"") && html.contains("2 of 5 requests fail"), "{html}");
    let (said, html) = page(&["--from", "x"]);
    assert!(!said.contains("--html") && html.contains("\"from\":\"x\"") && html.contains("no request fails"), "{said}");
}

/// A log that begins late: one request fails, and the list of free runs has the area's size.
#[test]
fn a_list_of_free_runs_gives_the_area_s_size_and_what_is_held() {
    let directory = tempfile::TempDir::new().unwrap();
    let log = "\
[  100.000000] cma: cma_alloc(cma 814923f8, count 2025, align 8)
[  100.000001] cma: cma_alloc: linux,cma: alloc failed, req-size: 2025 pages, ret: -12
[  100.000002] cma: number of available pages: 1407@100+2000@14000=> 3407 free of 16384 total pages
[  100.000003] cma: cma_alloc(): returned 00000000
";
    std::fs::write(directory.path().join("late.log"), log).unwrap();
    let debris =
        |arguments: &[&str]| debris_in(directory.path(), &[&arguments[..1], &["late.log"], &arguments[1..]].concat());
    for anonymous in [&[][..], &["--anonymous"]] {
        let said = String::from_utf8(debris(&[&["size"], anonymous].concat()).stdout).unwrap();
        assert!(
            said.starts_with("late.log: at least 68M (17408 pages), by what the board did. Replayed in 8M "),
            "{said}"
        );
        assert!(said.contains("\n12977 pages held when the recording began"), "{said}");
        assert!(said.contains("requests failed in 64M (16384 pages), and no range was busy"), "{said}");
        assert!(!said.contains("Nothing else helps") && said.contains("fewer pinned pages where requests"), "{said}");
    }
    let output = debris(&["size", "--assert", "<=8M"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let sizes = records(&String::from_utf8(debris(&["size", "--json"]).stdout).unwrap());
    assert_eq!((&sizes[0]["least_pages"], &sizes[0]["verdict_pages"]), (&16385.into(), &17408.into()));
    let output = debris(&["replay"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("an area of 64 MiB, as recorded"), "{output:?}");
}

#[test]
fn view_shows_the_board_that_the_state_is_of() {
    let text = printed(&["view", "cases/free-list.log"]);
    assert!(
        text.contains("longest free run 166 pages (664 KiB).\nlinux,cma: 2048 pages, one character for 2 pages"),
        "{text}"
    );
    assert!(!text.contains("0x") && !text.contains("release all"), "{text}");
}

#[test]
fn a_run_that_is_long_enough_at_a_bad_place_names_the_multiple() {
    let text = printed(&["view", "cases/free-list.log", "--pages", "166"]);
    assert!(text.contains(", and none of that length begins at a multiple of 256 pages\n"), "{text}");
    let text = printed(&["view", "cases/free-list.log", "--pages", "166", "--align", "3"]);
    assert!(text.contains(", and none of that length begins at a multiple of 8 pages\n"), "{text}");
}

/// Hidden pointers give no pages, and the area has room for all that is held at once.
#[test]
fn where_pointers_are_hidden_the_area_holds_the_peak() {
    let directory = tempfile::TempDir::new().unwrap();
    let log = std::fs::read_to_string(format!("{DATA}cases/cma-debug.log")).unwrap();
    let hidden = log.lines().map(|line| match line.split_once("returned ") {
        Some((front, _)) => format!("{front}returned (____ptrval____)\n"),
        None => format!("{line}\n"),
    });
    std::fs::write(directory.path().join("hidden.log"), hidden.collect::<String>()).unwrap();
    for command in ["replay", "compare"] {
        let output = debris_in(directory.path(), &[command, "hidden.log"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("an area of 52 MiB, because the recording names no pages: as much as is held at once; "),
            "{said}"
        );
    }
}

#[test]
fn an_unknown_option_may_be_a_key() {
    for (arguments, words) in [
        (&["replay", "x.trace", "--until=failure"][..], "stands behind the file, without dashes: until=..."),
        (&["size", "x.trace", "--pages", "9"], "unexpected argument '--pages'"),
    ] {
        let output = debris_in(Path::new(DATA), arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(words) && !said.contains("as a value"), "{arguments:?}: {said}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
