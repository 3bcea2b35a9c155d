// SPDX-License-Identifier: MIT OR Apache-2.0

//! Loads in the background.

use super::*;
use board_mock::disk::give_disk;

fn lines(text: &str, start: &str) -> Vec<String> {
    text.lines().filter(|line| line.starts_with(start)).map(ToString::to_string).collect()
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_job_does_what_the_load_does_in_the_foreground() {
    let (outcome, text) = on_board(&["debris rounds=2 sample=4000 &", "wait"]);
    assert_eq!(outcome, Outcome::Ok);
    let foreground = printed("debris rounds=2 sample=4000");
    // A job has shorter turns, so that it reads the clock more often.
    assert_eq!(lines(&but_load_time(&text), "{"), lines(&but_load_time(&foreground), "{"));
    assert!(text.starts_with("[1] debris runs on BiscuitOS_cma: `jobs` shows it, `stop 1` ends it\n"), "{text}");
    assert_eq!(lines(&text, "[1] debris rounds=2 sample=4000 &:").len(), 2, "{text}");
    assert!(text.ends_with("[1] done: debris rounds=2 sample=4000 &\n"), "{text}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn an_area_is_watched_while_a_job_fills_it() {
    with_board(64, |system, machine| {
        let mut monitor = Monitor::new(system, machine, context(None));
        // Between two commands a job does its steps, and no more.
        for line in ["debris until=ops ops=100000 &", "jobs", "jobs", "wait steps=5000", "jobs"] {
            assert_eq!(monitor.execute(line), Outcome::Ok);
        }
        let text = monitor.machine.take();
        let jobs = lines(&text, "[1] debris until=ops ops=100000 &: on BiscuitOS_cma, round 1, ");
        let steps: Vec<&str> = jobs.iter().filter_map(|line| line.split(", ").nth(2)).collect();
        assert_eq!(steps, ["1000 steps", "2000 steps", "9000 steps"], "{text}");
        monitor.execute("cat /proc/meminfo | grep CmaFree");
        monitor.execute("cat /proc/meminfo | grep CmaFree");
        let text = monitor.machine.take();
        let free: Vec<&str> = text.lines().collect();
        assert!(free.len() == 2 && free[0] != free[1], "{text}");
        // Ctrl-C ends the wait, not the job.
        monitor.machine.interrupt_after.set(Some(3));
        assert_eq!(monitor.execute("wait"), Outcome::Ok);
        let text = monitor.machine.take();
        assert!(text.contains("Ctrl-C ended the wait; the jobs continue.\n"), "{text}");
        assert_eq!(monitor.execute("stop"), Outcome::Ok);
        let text = monitor.machine.take();
        assert!(text.starts_with("[1] stopped: debris until=ops ops=100000 &\n"), "{text}");
        assert!(text.contains("then it was stopped;") && text.contains("\n{\"record\":\"debris\","), "{text}");
        monitor.execute("jobs; release all");
        let text = monitor.machine.take();
        assert!(text.starts_with("no jobs;"), "{text}");
        assert_eq!(monitor.system.areas()[1].used_pages(), 0);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn other_experiments_keep_out_of_its_way() {
    with_board(64, |system, machine| {
        system.check_after_commands(true);
        let mut monitor = Monitor::new(system, machine, context(Some(TRACE)));
        monitor.execute("camera placement=best-fit until=ops ops=1000000 &");
        monitor.machine.take();
        for (line, command) in [
            ("debris ops=5", "debris"),
            ("random &", "random"),
            ("replay", "replay"),
            ("compare seeds=1 ops=5", "compare"),
            ("release all", "release"),
        ] {
            assert_eq!(monitor.execute(line), Outcome::Failed(STATUS_BAD_COMMAND), "{line}");
            let text = monitor.machine.take();
            let expected = format!(
                "{command}: job 1 (camera placement=best-fit until=ops ops=1000000 &) runs on BiscuitOS_cma: `wait 1` or \
                 `stop 1` first\n"
            );
            assert_eq!(text, expected, "{line}");
        }
        let job = "job 1 (camera placement=best-fit until=ops ops=1000000 &)";
        for (line, expected) in [
            ("pressure latency", format!("pressure: {job} runs on BiscuitOS_cma: `wait 1` or `stop 1` first\n")),
            (
                "pressure underuse area=linux,cma",
                format!("pressure: it fills all memory, and {job} runs on BiscuitOS_cma: `wait` or `stop all` first\n"),
            ),
            (
                "selftest",
                format!(
                    "selftest: cma_random allocates from every area, and {job} runs on BiscuitOS_cma: `wait` or `stop \
                     all` first\n"
                ),
            ),
        ] {
            assert_eq!(monitor.execute(line), Outcome::Failed(STATUS_BAD_COMMAND), "{line}");
            assert_eq!(monitor.machine.take(), expected, "{line}");
        }
        // Commands by hand or on other areas work, and so does one more job.
        for line in [
            "alloc BiscuitOS_cma 3",
            "release 1",
            "debris area=linux,cma ops=50",
            "release all linux,cma",
            "selftest glibc_rand",
            "selftest buddy_random",
            "bench cma/64 buddy/0",
            "pressure latency area=linux,cma with=movable pages=16 rounds=1",
            "pressure integrity area=linux,cma cma_use=half rounds=2",
        ] {
            assert_eq!(monitor.execute(line), Outcome::Ok, "{line}: {}", monitor.machine.take());
        }
        assert_eq!(monitor.execute("decoder area=linux,cma &"), Outcome::Ok);
        monitor.machine.take();
        assert_eq!(monitor.execute("bench cma/64"), Outcome::Failed(STATUS_BAD_COMMAND));
        let text = monitor.machine.take();
        let users = format!("; linux,cma: job 2 (decoder area=linux,cma &); BiscuitOS_cma: {job}\n");
        assert!(text.ends_with(&users), "{text}");
        assert_eq!(monitor.system.areas()[1].placement().label(), "best-fit");
        monitor.machine.take();
        assert_eq!(monitor.execute("stop"), Outcome::Failed(STATUS_BAD_COMMAND));
        assert_eq!(monitor.execute("stop 3"), Outcome::Failed(STATUS_BAD_COMMAND));
        let text = monitor.machine.take();
        assert!(text.contains("there are several jobs;") && text.contains("there is no job 3;"), "{text}");
        assert_eq!(monitor.execute("stop all"), Outcome::Ok);
        assert_eq!(monitor.system.areas()[1].placement().label(), "first-fit");
        assert_eq!(monitor.execute("stop"), Outcome::Failed(STATUS_BAD_COMMAND));
        system.check().expect("the accounting balances");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_ends_the_machine_ends_the_jobs_first() {
    let (outcome, text) =
        on_board(&["random until=ops ops=1000000 &", "debris area=linux,cma rounds=0 &", "poweroff 4"]);
    assert_eq!(outcome, Outcome::PowerOff(4));
    assert_eq!(lines(&text, "[").len(), 4, "{text}");
    assert!(text.contains("[1] stopped: random until=ops ops=1000000 &\nrandom sizes=orders "), "{text}");
    assert_eq!(lines(&text, "{").len(), 2, "{text}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn only_loads_become_jobs() {
    let loads = ::lab::load::names().collect::<Vec<_>>().join(", ");
    let no_load = |name: &str| std::format!("{name}: does not run in the background; these do: {loads}");
    for (line, reason) in [
        ("cma &", no_load("cma").as_str()),
        ("replay&", no_load("replay").as_str()),
        ("debris & | grep x", "& ends a command, and what runs in the background has no filter"),
        ("debris gap=3 &", "debris: unknown key \"gap\""),
        ("camera frames=0 &", "camera: frames is \"0\""),
        (
            "compare load=camera life=3",
            "compare: life= is not a key of camera; it takes frames= frame= small= most= gap=",
        ),
        ("random sizes=powers least=5 most=7", "random: sizes=powers, and no power of two from 5 to 7"),
        ("random least=9 most=8", "random: most is \"8\""),
        ("decoder frame=2049", "decoder: frame is \"2049\""),
    ] {
        let (outcome, text) = on_board(&[line]);
        assert_eq!(outcome, Outcome::Failed(STATUS_BAD_COMMAND), "{line}: {text}");
        assert!(text.starts_with(reason) && text.lines().count() == 1, "{line}: {text}");
    }
    assert_eq!(on_board(&["&", "  & "]).1, "");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn nothing_is_printed_into_a_line_that_is_typed() {
    with_board(64, |system, machine| {
        machine.typed.extend(b"debris until=ops ops=3000 &\rver");
        // The job ends while nothing is typed; the unfinished line stays whole, and the result
        // follows it.
        machine.typed_later.extend(b"sion\r\rpoweroff\r");
        let end = Monitor::new(system, machine, context(None)).run_to_end(Some("version"));
        assert_eq!(end, End::PowerOff(0));
        let text = machine.take();
        let (before, behind) = text.split_once("debris> version\n").expect("the line is whole");
        assert!(!before.contains("\"record\":\"debris\""), "{text}");
        assert!(
            behind.starts_with("debris 1.2.3\n[1] debris until=ops ops=3000 &:\ndebris on BiscuitOS_cma"),
            "{text}"
        );
        assert!(behind.contains("[1] done: debris until=ops ops=3000 &\ndebris> "), "{text}");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn an_empty_line_is_no_reason_to_wait() {
    with_board(64, |system, machine| {
        machine.typed.extend(b"debris bitmap=on until=ops ops=3000 &\r");
        machine.typed_later.extend(b"poweroff\r");
        let end = Monitor::new(system, machine, context(None)).run_to_end(Some("version"));
        assert_eq!(end, End::PowerOff(0));
        let text = machine.take();
        let done = text.find("[1] done: debris").expect("it is done");
        let typed = text.find("poweroff").expect("typed at the end");
        assert!(done < typed, "{text}");
        assert_eq!(text.matches("CMA area: BiscuitOS_cma").count(), 2, "{text}");
        assert!(text.contains("\ndebris> \n[1] debris bitmap=on"), "what is said begins a line of its own: {text}");
    });
}

/// A job that moves its buffers and a page cache that uses free pages avoid each other's pages.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_job_that_moves_its_buffers_and_a_page_cache_share_an_area() {
    with_board(44, |system, machine| {
        give_disk(system, 300_000, 400);
        system.check_after_commands(true);
        let mut monitor = Monitor::new(system, machine, context(None));
        for line in [
            "debris placement=relocate until=ops ops=100000 &",
            "wait steps=20000",
            "copytest files=2 size=200K",
            "disk check",
            "pressure latency area=linux,cma with=mixed pages=100 rounds=2",
            "wait steps=3000",
            "copytest files=1",
            "stop",
        ] {
            assert_eq!(monitor.execute(line), Outcome::Ok, "{line}: {}", monitor.machine.take());
        }
        let text = monitor.machine.take();
        assert_eq!(text.matches("\"differences\":0,").count(), 2, "{text}");
        assert!(text.contains("\"bad_pages\":0,"), "{text}");
    });
}
