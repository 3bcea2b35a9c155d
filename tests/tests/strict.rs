// SPDX-License-Identifier: MIT OR Apache-2.0

//! The interface for scripts: the records of a boot, and runs that refuse to start.

use boot_tests::{Boot, Tree};

/// Nodes of which Linux refuses the second: 1 MiB is not a multiple of 4 MiB.
const NODES: &str = include_str!("../data/cases/refused-region.dtsi");

#[test]
fn the_first_record_says_what_runs() {
    let outcome = Boot::commands("version").with("linux=6.12").run();
    outcome.ended_with(0);
    let records = outcome.records();
    assert_eq!(records[0]["record"], "meta");
    assert_eq!(records[0]["linux"], "6.12");
    assert_eq!(records[0]["v"], 1);
    let areas = outcome.records_of("area");
    let names: Vec<_> = areas.iter().map(|area| area["area"].as_str().unwrap_or_default()).collect();
    assert_eq!(names, ["linux,cma", "BiscuitOS_cma"]);
    assert_eq!(areas[1]["base"], 0x6980_0000);
    assert_eq!((&areas[0]["default"], &areas[1]["default"]), (&1.into(), &0.into()));
    assert!(outcome.records_of("node").is_empty());
    assert_eq!(records.last().map(|record| &record["record"]), Some(&"boot".into()));
}

#[test]
fn strict_names_all_that_is_refused_and_runs_nothing() {
    let words = "strict=on linux=5.0 cmaa=8M cma=8M@0x10000000";
    let boot = || Boot::commands("debris").memory("1024M").tree(Tree::Nodes(NODES.to_owned()));
    let outcome = boot().with(words).run();
    outcome.ended_with(2).does_not_say("allocations");
    let node = outcome.record("node");
    let name = node["node"].as_str().expect("a name").to_owned();
    assert!(node["why"].as_str().is_some_and(|why| why.contains("is not on whole multiples of 4 MiB")), "{node}");
    for refused in [&format!("node {name}: "), "parameter linux: ", "parameter cmaa: ", "parameter cma: "] {
        outcome.says(&format!("strict=on: refused: {refused}"));
    }
    outcome.says("refusals, so nothing is run");
    // Without `strict=on` they are only logged, and the run continues.
    boot().run().ended_with(0).says("allocations").does_not_say("strict=on");
    // If nothing is refused, it changes nothing.
    Boot::commands("debris").with("strict=on").run().ended_with(0).says("allocations");
}

#[test]
fn records_can_be_left_out() {
    let outcome =
        Boot::commands("debris ops=100 until=ops; debris ops=100 until=ops & ; wait").with("records=off").run();
    outcome.ended_with(0).says("100 steps");
    assert!(!outcome.console().contains("{\"record\""), "{outcome}");
}

#[test]
fn a_person_at_a_terminal_gets_none() {
    let mut terminal = Boot::new("run=\"debris ops=100 until=ops\"").at_a_terminal(40, 100);
    terminal.wait_for_row("debris> ");
    let screen = terminal.screen();
    assert!(screen.contains("100 steps") && !screen.contains("{\"record"), "{screen}");
    let mut terminal = Boot::new("records=on run=\"debris ops=100 until=ops\"").at_a_terminal(40, 100);
    let screen = terminal.wait_for_row("debris> ");
    assert!(screen.contains("{\"record\":\"debris\""), "{screen}");
}
