// SPDX-License-Identifier: MIT OR Apache-2.0

//! Loads other than the published one, and loads in the background.

use boot_tests::{Boot, in_tree};

const PROMPT: &str = "debris> ";

#[test]
fn every_load_ends_with_its_record() {
    let outcome = Boot::commands(
        "camera; release all; decoder until=ops ops=2000; release all; random lifetime=fixed sizes=powers life=40; \
         release all; compare load=camera placements=first-fit,two-ended seeds=3 ops=3000",
    )
    .run();
    outcome.ended_with(0);
    let camera = outcome.record("camera");
    assert_eq!((&camera["load"], &camera["frame"], &camera["failed"]), (&"camera".into(), &256.into(), &1.into()));
    assert_eq!(camera["cause"], "fragmented", "{camera}");
    let decoder = outcome.record("decoder");
    assert_eq!((&decoder["failed"], &decoder["slots"]), (&0.into(), &16.into()), "{decoder}");
    let random = outcome.record("random");
    assert_eq!((&random["life"], &random["lifetime"]), (&40.into(), &"fixed".into()), "{random}");
    let rows = outcome.records_of("compare");
    assert!(rows.len() == 2 && rows.iter().all(|row| row["load"] == "camera"), "{outcome}");
}

#[test]
fn loads_scale_to_large_areas() {
    let nodes = "big@70000000 { compatible = \"shared-dma-pool\"; reusable; reg = <0x70000000 0x20000000>; };";
    let outcome = Boot::commands(
        "camera until=ops ops=3000; release all; decoder until=ops ops=3000; release all; random until=ops ops=3000",
    )
    .memory("1024M")
    .tree(boot_tests::Tree::Nodes(nodes.into()))
    .run();
    outcome.ended_with(0);
    assert_eq!(outcome.record("camera")["frame"], 16_384);
    assert_eq!(outcome.record("decoder")["frame"], 6_144);
    assert_eq!(outcome.record("random")["most"], 2_048);
    for load in ["camera", "decoder", "random"] {
        let record = outcome.record(load);
        assert!(record["used"].as_u64().is_some_and(|used| used > 10_000), "{record}");
    }
}

#[test]
fn an_area_is_watched_while_a_job_fills_it() {
    let meminfo = "cat /proc/meminfo | grep CmaFree";
    let outcome = Boot::commands(&format!("debris &; {meminfo}; {meminfo}; jobs; wait; {meminfo}; bitmap | grep XXXX"))
        .with("check=on")
        .run();
    outcome.ended_with(0);
    let free: Vec<&str> = outcome.lines().filter(|line| line.starts_with("CmaFree:")).collect();
    assert!(free.len() == 3 && free[0] != free[1] && free[1] != free[2], "{outcome}");
    outcome.says("[1] debris &: on BiscuitOS_cma, round 1, 3000 steps, ").has_line("[1] done: debris &");
    // The published experiment's figures, whatever ran in between.
    let record = outcome.record("debris");
    assert_eq!(
        (&record["allocs"], &record["releases"], &record["maxchunk"]),
        (&16_687.into(), &16_550.into(), &44.into())
    );
}

#[test]
fn poweroff_says_what_a_job_has_done() {
    let trace = in_tree("tests/data/linux-6.1/article.trace");
    let outcome = Boot::commands("random until=ops ops=100000000 &; replay; release all; debris").initrd(trace).run();
    // Commands that would disturb the job were refused, which sets the status.
    outcome.ended_with(2);
    assert_eq!(
        outcome.lines().filter(|line| line.contains("job 1 (random until=ops ops=100000000 &) runs on")).count(),
        3
    );
    outcome.has_line("[1] stopped: random until=ops ops=100000000 &").says("then it was stopped; 0 requests failed.");
    let record = outcome.record("random");
    // 1000 steps after each of the four commands.
    assert_eq!(record["allocs"].as_u64().unwrap() + record["releases"].as_u64().unwrap(), 4_000, "{record}");
}

#[test]
fn a_job_works_while_the_prompt_waits() {
    let mut session = Boot::new("run=version").start();
    session.expect(PROMPT);
    session.command("debris until=ops ops=100000000 bitmap=off &");
    let steps = |text: &str| -> u64 {
        let found = text.split(", ").find_map(|part| part.strip_suffix(" steps")).unwrap_or_else(|| panic!("{text}"));
        found.parse().unwrap()
    };
    let first = steps(&session.command("jobs"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    let second = steps(&session.command("jobs"));
    assert!(second > first + 10_000, "{first}, then {second}: it goes on by itself");
    // Ctrl-C at the prompt cancels the line, not the job.
    session.send("half a line\x03");
    session.expect("^C");
    session.expect(PROMPT);
    assert!(steps(&session.command("jobs")) > second);
    let stopped = session.command("stop");
    assert!(stopped.contains("[1] stopped: debris") && stopped.contains("{\"record\":\"debris\","), "{stopped}");
    assert!(session.command("jobs").starts_with("no jobs"));
    session.send("poweroff\r");
    session.finish().ended_with(0);
}

#[test]
fn a_job_that_ends_leaves_the_line_alone() {
    let mut session = Boot::new("run=version").start();
    session.expect(PROMPT);
    session.command("debris until=ops ops=300000 &");
    session.send("ver");
    std::thread::sleep(std::time::Duration::from_secs(2));
    let answer = session.command("sion");
    // The line stays whole; its answer follows, then the job's.
    assert!(answer.starts_with(concat!("debris ", env!("CARGO_PKG_VERSION"))), "{answer}");
    let answer = if answer.contains("[1] done") { answer } else { session.command("wait") };
    assert!(
        answer.contains("{\"record\":\"debris\",") && answer.contains("[1] done: debris until=ops ops=300000 &"),
        "{answer}"
    );
    // Without any typing the job's message is printed at once.
    session.command("camera area=linux,cma &");
    session.expect("[1] done");
    session.expect(PROMPT);
    session.send("poweroff\r");
    session.finish().ended_with(0);
}
