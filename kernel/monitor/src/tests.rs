// SPDX-License-Identifier: MIT OR Apache-2.0
mod dma;
mod live;

mod disk;

use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec::Vec;
use units::linux::LinuxVersion;

use super::*;
use board_mock::{Mock, but_load_time, with_board};

mod areas;
mod boot;
mod jobs;
mod lab;
mod linux;
mod prompt;
mod random;
mod state;

const TRACE: &[u8] = b"a 1 3 2\na 2 51 6\nr 1\n";

fn failing() -> Result<(), String> {
    Err("first line\nsecond line".into())
}

fn context(initrd: Option<&[u8]>) -> Context<'_> {
    Context {
        cmdline: "loglevel=3 run=\"cma\"",
        iomem: "60000000-9fffffff : System RAM\n",
        initrd,
        ns_to_ready: 1_234_567,
        version: "debris 1.2.3",
        tests: &[("always_fails", failing)],
        ..Context::default()
    }
}

/// Executes lines on a fresh board; returns the outcome of the last and everything printed.
fn on_board(lines: &[&str]) -> (Outcome, String) {
    on_board_like(LinuxVersion::default(), lines)
}

/// Executes `lines` like [`on_board`], with the answers of a version of Linux.
fn on_board_like(linux: LinuxVersion, lines: &[&str]) -> (Outcome, String) {
    with_board(64, |system, machine| {
        system.answer_like(linux);
        let mut outcome = Outcome::Ok;
        let mut monitor = Monitor::new(system, machine, context(Some(TRACE)));
        for line in lines {
            outcome = monitor.execute(line);
        }
        if !cfg!(miri) {
            system.check().expect("the accounting balances");
        }
        (outcome, machine.take())
    })
}

fn printed(line: &str) -> String {
    let (outcome, text) = on_board(&[line]);
    assert_eq!(outcome, Outcome::Ok, "{line}: {text}");
    text
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_published_run_end_to_end() {
    let text = printed("debris; bitmap");
    assert!(text.contains("\n{\"record\":\"debris\",\"area\":\"BiscuitOS_cma\",\"pages\":2048,"));
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(rows.len(), 32);
    assert!(rows[0].starts_with("[0000] [") && rows[31].starts_with("[0062] ["));
    assert_eq!(rows.concat().matches('X').count(), 1384);
    for line in ["CMA area: BiscuitOS_cma", "CMA total size: 0x800000", "CMA: X - used . - free (1bit = 4KB)"] {
        assert!(text.lines().any(|printed| printed == line), "{line}");
    }
    assert!(text.ends_with("longest free run 44 pages (176 KiB)\n"), "{text}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn every_example_works() {
    for command in commands::all::<Mock>() {
        let entry = command.help;
        let (outcome, text) = match entry.name {
            // Ends the mock.
            "fault" => continue,
            "release" => on_board(&["debris until=ops ops=50", entry.example]),
            "load" => state::on_board_with_state(entry.example),
            "disk" | "copytest" => disk::on_board_with_disk(&[entry.example]),
            _ => on_board(&[entry.example]),
        };
        match entry.name {
            "poweroff" => assert_eq!(outcome, Outcome::PowerOff(0)),
            "reboot" => assert_eq!(outcome, Outcome::Reboot),
            "selftest" => assert_eq!(outcome, Outcome::Failed(STATUS_CHECK_FAILED)),
            _ => assert_eq!(outcome, Outcome::Ok, "{}: {text}", entry.example),
        }
        let help = printed(&format!("help {}", entry.name));
        assert!(help.lines().all(|line| line.len() <= 80), "{help}");
        let help = help.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.starts_with(command.usage().text()) && help.contains(entry.example));
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn bad_lines_get_one_line_and_status_2() {
    let bad = [
        ("debri", "did you mean debris?"),
        ("frobnicate", "`help` lists them all"),
        ("debris sed=1", "did you mean seed=?"),
        ("debris colour=red", "there are scale= slots= area= seed="),
        ("debris seed=1 seed=2", "seed= is given twice"),
        ("debris seed=", "seed is \"\"; it has to be a number from 0 to 4294967295"),
        ("debris seed=4294967296", "it has to be a number"),
        ("debris seed=-1", "it has to be a number"),
        ("debris area=nowhere", "there are linux,cma BiscuitOS_cma"),
        ("debris rng=dice", "glibc wyrand"),
        ("debris rng=glib", "did you mean glibc?"),
        ("debris align=21", "order, page, or an order from 0 to 20"),
        ("debris placement=worst", "there are first-fit"),
        ("debris placement=zoned:1:5", "the parameters of zoned look like zoned:1:5:9"),
        ("debris placement=best-fit:1", "best-fit takes no parameters"),
        ("compare placements=", "no placement \"\""),
        ("compare placements=first-fit,zone", "no placement \"zone\"; there are first-fit"),
        ("compare placements=first-fit,two-ended:x", "the parameters of two-ended look like two-ended:24"),
        ("compare placements=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", "MAX_PLACEMENTS"),
        ("compare seeds=0", "seeds is \"0\"; it has to be a number from 1 to 1000"),
        ("compare seeds=1001", "from 1 to 1000"),
        ("compare until=ops", "needs ops="),
        ("compare area=nowhere", "no area"),
        ("compare placement=zoned", "did you mean placements=?"),
        ("debris sample=0", "sample is \"0\"; it has to be a number from 1"),
        ("picture nowhere", "no area \"nowhere\""),
        ("picture width=71", "it has to be a number from 1 to 70"),
        ("picture pages=0", "it has to be a number from 1 to 2048"),
        ("picture pages=2049", "it has to be a number from 1 to 2048"),
        ("metrics nowhere", "no area \"nowhere\""),
        ("debris until=ops", "needs ops="),
        ("debris until=never", "it can be failure ops"),
        ("debris ops=0", "from 1 to"),
        ("debris rounds=x", "it has to be a number"),
        ("debris nowhere", "no area \"nowhere\""),
        ("debris linux,cma BiscuitOS_cma", "one word too many"),
        ("debris linux,cma area=BiscuitOS_cma", "one word too many"),
        ("bitmap linux,cma area=BiscuitOS_cma", "one word too many"),
        ("release area=BiscuitOS_cma", "a word is missing"),
        ("replay align=8", "it can be asis order page"),
        ("pressure", "there are latency underuse reliability integrity"),
        ("pressure latancy", "did you mean latency?"),
        ("pressure all", "there are latency underuse reliability integrity"),
        ("pressure latency page=1", "did you mean pages=?"),
        ("pressure latency pages=0", "it has to be a number from 1"),
        ("pressure latency pages=2049", "does not fit the area"),
        ("pressure latency pages=x", "it has to be a number"),
        ("pressure latency fill=4294967296", "it has to be a number"),
        ("pressure underuse fill=4294967295", "cannot be filled"),
        ("pressure reliability pins=1025", "it has to be a number from 0 to 1024"),
        ("pressure reliability source=budy", "did you mean buddy?"),
        ("pressure underuse cma_use=last", "it can be half fallback first"),
        ("pressure integrity lend=all", "it can be movable clean none"),
        ("pressure integrity sabotage=all", "it can be copy tlb mapping"),
        ("pressure callers=2 lock=mutexes", "it can be none global area all"),
        ("pressure callers=0", "callers"),
        ("pressure integrity callers=2", "leave integrity or callers= out"),
        ("pressure latency lock=none", "leave latency or lock= out"),
        ("pressure callers=3,2 schedule=6:2", "schedule is 6:2, and callers have the numbers 0 to 1"),
        ("pressure callers=2 work=1 schedule=6:3", "0 to 2, the last of them the worker"),
        ("replay lock=none", "goes with callers=tasks"),
        ("compare lock=none", "goes with callers=tasks"),
        ("pressure callers=2 pins=1", "pins= is not a key of callers="),
        ("pressure latency area=nowhere", "no area \"nowhere\""),
        ("pressure latency seed=1", "seed= is not a key of latency"),
        ("pressure integrity rounds=0", "it has to be a number"),
        ("echo 2 > /sys/kernel/tracing/events/cma/enable", "it has to be a number from 0 to 1"),
        ("echo 1 > /sys/kernel/tracing/trace", "it has to be a number from 0 to 0"),
        ("alloc", "usage: alloc AREA PAGES [ALIGN_ORDER]"),
        ("alloc BiscuitOS_cma", "a word is missing"),
        ("alloc nowhere 1", "no area \"nowhere\""),
        ("alloc BiscuitOS_cma 0", "PAGES is \"0\""),
        ("alloc BiscuitOS_cma 4294967296", "PAGES"),
        ("alloc BiscuitOS_cma 1 21", "ALIGN_ORDER"),
        ("alloc BiscuitOS_cma 1 0 0", "one word too many"),
        ("release", "a word is missing"),
        ("release x", "or `all`"),
        ("release 1", "no buffer has the ID 1"),
        ("release all nowhere", "no area"),
        ("bitmap nowhere", "no area"),
        ("bitmap area=x", "no area \"x\""),
        ("bitmap areas=x", "takes no keys"),
        ("cat", "usage: cat PATH..."),
        ("cat /proc", "cat: /proc: Is a directory"),
        ("cat /", "cat: /: Is a directory"),
        ("cat /proc/meminfo/", "cat: /proc/meminfo/: Not a directory"),
        ("cat /proc/meminfo/x", "cat: /proc/meminfo/x: Not a directory"),
        ("cat -n /proc/meminfo", "invalid option \"-n\""),
        ("cat /proc/nothing", "cat: /proc/nothing: No such file or directory"),
        ("cat /proc/memifo", "No such file or directory; did you mean /proc/meminfo?"),
        ("cat /sys/kernel/debug/cma/BiscuitOS_cma/alloc", "Permission denied: it can only be written"),
        ("ls /nowhere", "ls: cannot access /nowhere: No such file or directory"),
        ("ls -l", "invalid option"),
        ("echo 1 > /proc/meminfo", "echo: /proc/meminfo: Permission denied: it can only be read"),
        ("echo 1 > /proc", "echo: /proc: Is a directory"),
        ("echo 1 >", "one PATH has to follow"),
        ("echo 1 > /proc/meminfo x", "one PATH has to follow"),
        ("echo > /sys/kernel/debug/cma/BiscuitOS_cma/alloc", "Invalid argument: N is \"\""),
        ("cma > /proc/meminfo", "only numbers are written to files"),
        ("cat /proc/meminfo > x", "only numbers are written to files"),
        ("cma && cma", "a ; separates commands"),
        ("cma || cma", "nothing after the |"),
        ("cat ''", "cat: '': No such file or directory"),
        ("exit", "did you mean poweroff?"),
        ("echo x > /sys/kernel/debug/cma/BiscuitOS_cma/alloc", "write error: Invalid argument: N is \"x\""),
        (
            "echo 4097 > /sys/kernel/debug/cma/BiscuitOS_cma/alloc",
            "write error: Cannot allocate memory: 4097 pages of BiscuitOS_cma: full: 2048 pages free",
        ),
        ("bench nothing", "there are boot cma/1"),
        ("selftest nothing", "there are books_balance"),
        ("fault", "a word is missing"),
        ("fault gently", "there are stack null text exec unaligned undefined svc irq panic"),
        ("help debri", "did you mean debris?"),
        ("poweroff 256", "from 0 to 255"),
        ("poweroff -1", "from 0 to 255"),
        ("version 1", "one word too many"),
        ("version | grep", "takes one word"),
        ("version | less", "the one filter is grep"),
        ("version |", "the one filter is grep"),
        ("| grep x", "no command before the |"),
        ("grep x", "a word is missing"),
        ("grep -i x", "a PATH is missing"),
        ("grep -z x /proc/meminfo", "invalid option -- 'z'"),
        ("grep x /proc", "grep: /proc: Is a directory"),
        ("version | grep a b", "grep: takes one word, and there is \"b\""),
        ("grep", "usage: grep [-i] [-v] [-c] WORD PATH..."),
        ("version \"x; cma", "the quote \" is never closed; nothing was run of what follows it: \"x; cma\""),
    ];
    for (line, answer) in bad {
        let (outcome, text) = on_board(&[line]);
        assert_eq!(outcome, Outcome::Failed(STATUS_BAD_COMMAND), "{line}: {text}");
        let last = text.lines().last().unwrap_or_default();
        assert!(last.contains(answer), "{line}: {text}");
        assert!(text.lines().count() == 1 || line.starts_with("bench"), "{line}: {text}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn nothing_and_comments_do_nothing() {
    for line in ["", ";", " ; ;; ", "# debris; # cma", "\t"] {
        assert_eq!(on_board(&[line]), (Outcome::Ok, String::new()), "{line}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn statuses_of_run_are_remembered_and_those_of_the_prompt_are_not() {
    with_board(64, |system, machine| {
        let mut monitor = Monitor::new(system, machine, context(None));
        assert_eq!(monitor.execute("nonsense; version"), Outcome::Failed(2));
        assert_eq!(monitor.execute("poweroff"), Outcome::PowerOff(0));
        assert_eq!(monitor.run("version"), Outcome::Ok);
        assert_eq!(monitor.run("nonsense; selftest always_fails; version"), Outcome::Failed(3));
        assert_eq!(monitor.run("version; poweroff; nonsense"), Outcome::PowerOff(3));
        assert_eq!(monitor.execute("poweroff 7"), Outcome::PowerOff(7));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn hand_made_buffers() {
    let (outcome, text) = on_board(&[
        "alloc BiscuitOS_cma 3; alloc linux,cma 1 0; alloc BiscuitOS_cma 5",
        "release 1; cma; release 2 BiscuitOS_cma",
        "release all BiscuitOS_cma; release 2; cma",
    ]);
    assert_eq!(outcome, Outcome::Ok);
    for line in [
        "id 1: 3 pages of BiscuitOS_cma at pfn 0x69800, address 0x69800000",
        "id 2: 1 page of linux,cma at pfn 0x69000, address 0x69000000",
        "id 3: 5 pages of BiscuitOS_cma at pfn 0x69808, address 0x69808000",
        "id 1: 3 pages given back to BiscuitOS_cma",
        "release: no buffer has the ID 2",
        "1 buffer, 5 pages given back to BiscuitOS_cma",
        "BiscuitOS_cma  0x69800000     2048        5     2035  first-fit",
        "BiscuitOS_cma  0x69800000     2048        0     2048  first-fit",
    ] {
        assert!(text.lines().any(|printed| printed == line), "{line}\n{text}");
    }
    let (outcome, text) = on_board(&["alloc BiscuitOS_cma 4294967295"]);
    assert_eq!(outcome, Outcome::Ok, "an area that is full is an answer");
    assert!(text.contains("full: 2048 pages free"), "{text}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_first_area_stands_in_and_none_is_a_line() {
    with_board(8, |system, machine| {
        let mut monitor = Monitor::new(system, machine, context(Some(TRACE)));
        for line in ["debris", "replay", "bitmap", "release all", "alloc x 1"] {
            assert_eq!(monitor.run(line), Outcome::Failed(2), "{line}");
        }
        for line in ["cma", "ls", "selftest cma_random", "cat /proc/meminfo"] {
            assert_eq!(monitor.run(line), Outcome::Ok, "{line}");
        }
        let text = machine.take();
        assert!(text.contains("ok 1 cma_random # SKIP there is no CMA area\n"), "{text}");
        assert_eq!(text.matches("there is no CMA area").count(), 6, "{text}");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn rounds_end_in_ruins() {
    let text = printed("debris rounds=0");
    let records = text.lines().filter(|line| line.starts_with("{\"record\":\"debris\"")).count();
    assert!(records > 2 && text.contains(&format!("\nRound {records} made no allocation")), "{text}");
    assert!(text.contains("\"round\":2,") && text.contains("\"seed\":1577527916,"));
    // After ten rounds without an allocation, no further one is run.
    let all = printed("debris rounds=99999999999");
    let records: Vec<&str> = all.lines().filter(|line| line.starts_with("{\"record\":\"debris\"")).collect();
    let (some, none) = records.split_at(records.len() - 10);
    assert!(some.last().is_some_and(|record| !record.contains("\"allocs\":0,")), "{all}");
    assert!(none.iter().all(|record| record.contains("\"allocs\":0,")), "{all}");
    let left = 99_999_999_999 - records.len();
    let last = format!("10 rounds in a row made no allocation: the area is in ruins; {left} more were not run.\n");
    assert!(all.ends_with(&last), "{all}");
    with_board(64, |system, machine| {
        machine.interrupt_after.set(Some(40_000));
        let mut monitor = Monitor::new(system, machine, context(None));
        assert_eq!(monitor.execute("debris until=ops ops=30000 rounds=99999999999"), Outcome::Ok);
        let text = machine.take();
        assert!(text.contains("round 2:") && text.contains("then Ctrl-C;") && !text.contains("round 3:"), "{text}");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn replay_wants_a_trace_and_an_empty_area() {
    let (outcome, text) = on_board(&["replay", "replay", "release all; replay align=page"]);
    assert_eq!(outcome, Outcome::Ok);
    assert!(text.contains("replay: 51 pages of BiscuitOS_cma are in use"), "{text}");
    assert!(text.contains("`release all BiscuitOS_cma` first"), "{text}");
    assert_eq!(
        text.matches("{\"record\":\"replay\",\"area\":\"BiscuitOS_cma\",\"placement\":\"first-fit\",\"ops\":3,")
            .count(),
        2
    );
    with_board(64, |system, machine| {
        assert_eq!(Monitor::new(system, machine, context(None)).execute("replay"), Outcome::Failed(2));
        assert!(machine.take().contains("there is no trace"));
        let mut monitor = Monitor::new(system, machine, context(Some(b"a 1 1 0\r\na 2 1 0\0\n")));
        assert_eq!(monitor.execute("replay"), Outcome::Failed(2));
        assert_eq!(machine.take(), "replay: line 2: byte 0x00 is not text; is this a trace?\n");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn every_listed_file_can_be_read_or_written() {
    let mut directories = Vec::from(["/".to_string()]);
    let mut files = 0;
    while let Some(directory) = directories.pop() {
        for name in printed(&format!("ls {directory}")).lines() {
            let path = format!("{directory}{name}");
            if name.ends_with('/') {
                assert_eq!(printed(&format!("ls {path}")), printed(&format!("ls {}", path.trim_end_matches('/'))));
                directories.push(path);
            } else {
                files += 1;
                assert_eq!(printed(&format!("ls {path}")).trim_end(), path);
                let (outcome, text) = on_board(&[&format!("cat {path}")]);
                assert!(outcome == Outcome::Ok || text.contains("can only be written"), "{path}: {text}");
            }
        }
    }
    assert!(files > 6 + 2 + 2 * 10 + 6, "{files}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn debug_files_allocate_and_free_last_in_first_out() {
    let dir = "/sys/kernel/debug/cma/BiscuitOS_cma";
    let used = format!("cat {dir}/used");
    let steps = [
        format!("echo 10 > {dir}/alloc; echo 6 > {dir}/alloc; {used}"),
        format!("echo 8 > {dir}/free; {used}"),
        // Two pages of the first buffer went with the second; its front part is free.
        format!("cat {dir}/maxchunk; alloc BiscuitOS_cma 2 0; echo 100 > {dir}/free; {used}"),
        "cat /sys/kernel/mm/cma/BiscuitOS_cma/release_pages_success; cat /proc/vmstat | grep cma_alloc".to_string(),
    ];
    let (outcome, text) = on_board_like(LinuxVersion::V6_12, &steps.each_ref().map(String::as_str));
    assert_eq!(outcome, Outcome::Ok, "{text}");
    let expected = "16\n8\n2038\nid 4: 2 pages of BiscuitOS_cma at pfn 0x69800, address 0x69800000\n0\n18\n\
        cma_alloc_success 3\ncma_alloc_fail 0\n";
    assert_eq!(text, expected);
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn output_can_be_filtered() {
    assert_eq!(printed("cat /proc/meminfo | grep Cma | grep Total"), "CmaTotal:          16384 kB\n");
    assert_eq!(printed("version | grep nothing; version"), "debris 1.2.3\n");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn self_tests_speak_ktap_and_leave_everything_as_it_was() {
    let (outcome, text) = on_board(&["debris; cat /proc/buddyinfo; selftest; cat /proc/buddyinfo; bitmap"]);
    assert_eq!(outcome, Outcome::Failed(STATUS_CHECK_FAILED));
    let count = selftest::names(&context(None)).count();
    let start = text.find(&format!("KTAP version 1\n1..{count}\n")).expect("KTAP");
    assert_eq!(text[start..].lines().filter(|line| line.starts_with("ok ")).count(), count - 1, "{text}");
    let last =
        format!("# first line\n# second line\nnot ok {count} always_fails\nselftest: 1 of {count} tests failed\n");
    assert!(text.contains(&last), "{text}");
    let infos: Vec<&str> = text.lines().filter(|line| line.starts_with("Node 0")).collect();
    assert_eq!(infos[0], infos[1]);
    assert!(text.ends_with("longest free run 44 pages (176 KiB)\n"));
    assert_eq!(printed("selftest cma_random"), "KTAP version 1\n1..1\nok 1 cma_random\n");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_boot_record() {
    with_board(64, |system, machine| {
        Monitor::new(system, machine, context(None)).print_boot_records();
        let expected = "{\"record\":\"boot\",\"mem_pages\":63488,\"areas\":2,\"ns_to_ready\":1234567}\n";
        assert!(machine.take().ends_with(expected));
    });
}

proptest! {
    #![proptest_config(property::config(64))]

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn no_line_panics(words in proptest::collection::vec(
        prop_oneof![
            proptest::sample::select(&["debris", "replay", "alloc", "release", "cat", "ls", "echo", "bitmap", "selftest", "bench",
                "poweroff", "help", "BiscuitOS_cma", "linux,cma", "all", "ops=100", "until=ops", "seed=4294967295", "rounds=3",
                "align=20", "align=page", "|", "grep", ";", ">", "/proc", "/sys/kernel/debug/cma/linux,cma/alloc",
                "/sys/kernel/debug/cma/linux,cma/free", "4294967295", "\"", "'"][..]).prop_map(String::from),
            (0..5000u32).prop_map(|number| number.to_string()),
            any::<String>(),
        ], 0..12)) {
        on_board(&[&words.join(" ")]);
    }
}
