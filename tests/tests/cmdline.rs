// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel command line: each parameter with valid and invalid values; an invalid one is
//! reported by name and changes nothing else.

use boot_tests::{Boot, Outcome};

/// Boots with `words` and the areas listed; the two areas must exist whatever the words are.
fn boot_with(words: &str) -> Outcome {
    let outcome = Boot::commands("cma").with(words).run();
    outcome.ended_with(0);
    assert_eq!(outcome.record("boot")["areas"], 2, "{words}: {outcome}");
    outcome
}

#[test]
fn bad_values_are_reported_by_name() {
    for (words, name) in [
        ("loglevel=9", "loglevel"),
        ("loglevel=loud", "loglevel"),
        ("loglevel=", "loglevel"),
        ("check=maybe", "check"),
        ("check=", "check"),
        ("colour=red", "colour"),
        ("quiet", "quiet"),
    ] {
        let outcome = boot_with(words);
        // The command line itself is printed at boot too: that line does not count.
        let reported = |line: &str| line.contains(name) && !line.contains("run=");
        assert!(outcome.lines().any(reported), "{words}: {outcome}");
    }
}

#[test]
fn good_values_are_not_reported() {
    for (words, name) in [("loglevel=7", "loglevel"), ("check=on", "check="), ("check=off", "check=")] {
        let outcome = boot_with(words);
        let reported = |line: &str| line.contains(name) && !line.contains("run=");
        assert!(!outcome.lines().any(reported), "{words}: {outcome}");
    }
}

#[test]
fn loglevel_hides_the_log_and_nothing_else() {
    let outcome = Boot::commands("debris").with("loglevel=0").run();
    outcome.ended_with(0).does_not_say("Reserved memory: created CMA memory pool");
    assert_eq!(outcome.record("debris")["allocs"], 16687, "{outcome}");
}

#[test]
fn without_run_the_experiment_and_then_the_prompt() {
    let mut session = Boot::new("").start();
    let before = session.expect("debris> ");
    assert!(before.contains("\"record\":\"debris\"") && before.contains("16687"), "{before}");
    session.send("poweroff\r");
    session.finish().ended_with(0);
}

#[test]
fn run_without_poweroff_ends_at_the_prompt() {
    let mut session = Boot::new("run=\"version; nonsense\"").start();
    session.expect("debris> ");
    session.send("poweroff\r");
    // The largest status of the commands of run=.
    session.finish().ended_with(2);
}

#[test]
fn hostile_command_lines_do_no_harm() {
    let long = "x".repeat(1500);
    for words in
        ["=", "\"", "= = =", "cma", long.as_str(), "loglevel=99999999999999999999", "cma=99999999999999999999G"]
    {
        // An unclosed quote includes the rest of the line: the commands are typed at the prompt
        // then.
        let mut session = Boot::new(&format!("run=version {words}")).start();
        session.expect("debris> ");
        session.send("poweroff 9\r");
        let outcome = session.finish();
        assert_eq!(outcome.status(), Some(9), "{words}: {outcome}");
    }
}
