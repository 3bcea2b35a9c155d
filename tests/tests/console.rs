// SPDX-License-Identifier: MIT OR Apache-2.0

//! Typing at the prompt: editing, history, mistakes, and Ctrl-C in a long load.

use std::time::Duration;

use boot_tests::{Boot, Session};

const PROMPT: &str = "debris> ";

fn at_the_prompt() -> Session {
    let mut session = Boot::new("run=version").start();
    session.expect(PROMPT);
    session
}

#[test]
fn commands_answer_and_poweroff_ends() {
    let mut session = at_the_prompt();
    let areas = session.command("cma");
    assert!(areas.contains("linux,cma") && areas.contains("BiscuitOS_cma"), "{areas}");
    let help = session.command("help");
    for command in ["debris", "replay", "bitmap", "cma", "alloc", "release", "cat", "selftest", "poweroff"] {
        assert!(help.contains(command), "{command}: {help}");
    }
    assert!(session.command("help debris").contains("seed"));
    session.send("poweroff 3\r");
    session.finish().ended_with(3);
}

#[test]
fn mistakes_get_one_line_and_do_not_count() {
    let mut session = at_the_prompt();
    for (command, word) in [
        ("nonsense", "nonsense"),
        ("debris colour=red", "colour"),
        ("debris seed=many", "seed"),
        ("alloc BiscuitOS_cma", "alloc"),
        ("alloc nowhere 1", "nowhere"),
        ("alloc BiscuitOS_cma 0", "0"),
        ("alloc BiscuitOS_cma 99999999999999999999", "99999999999999999999"),
        ("release 77", "77"),
        ("cat /proc/nowhere", "/proc/nowhere"),
        ("help nonsense", "nonsense"),
    ] {
        let answer = session.command(command);
        assert_eq!(answer.trim_end().lines().count(), 1, "{command}: {answer}");
        assert!(answer.contains(word), "{command}: {answer}");
    }
    assert_eq!(session.command("").trim(), "", "an empty line");
    session.send("poweroff\r");
    session.finish().ended_with(0);
}

#[test]
fn line_editing_and_history() {
    let mut session = at_the_prompt();
    // Backspace as either of its two bytes.
    let answer = session.command("cmaxx\x7f\x08");
    assert!(answer.contains("BiscuitOS_cma"), "{answer}");
    // Up arrow: the last line again.
    let answer = session.command("\x1b[A");
    assert!(answer.contains("BiscuitOS_cma"), "{answer}");
    // Left arrow: the letters are inserted.
    let answer = session.command("ca\x1b[Dm");
    assert!(answer.contains("BiscuitOS_cma"), "{answer}");
    session.send("poweroff\r");
    session.finish().ended_with(0);
}

#[test]
fn ctrl_c_stops_a_load_between_two_steps() {
    let mut session = Boot::new("run=version").time_limit(Duration::from_secs(30)).start();
    session.expect(PROMPT);
    session.send("debris align=page until=ops ops=4000000000\r");
    session.expect("\n");
    std::thread::sleep(Duration::from_millis(500));
    session.send("\x03");
    session.expect("{\"record\":\"debris\"");
    let record = session.expect(PROMPT);
    assert!(record.contains("\"allocs\":") && !record.contains("\"allocs\":0,"), "{record}");
    // The machine works as before.
    assert!(session.command("cma").contains("BiscuitOS_cma"));
    session.send("poweroff\r");
    session.finish().ended_with(0);
}

#[test]
fn ctrl_c_at_the_prompt_drops_the_line() {
    let mut session = at_the_prompt();
    session.send("nonsense\x03");
    session.expect(PROMPT);
    assert!(session.command("cma").contains("BiscuitOS_cma"));
    session.send("poweroff\r");
    session.finish().ended_with(0);
}

#[test]
fn ctrl_c_in_what_is_pasted_drops_its_line_and_no_other() {
    let mut session = at_the_prompt();
    session.send("debris align=page until=ops ops=4000000000\r");
    session.expect("\n");
    // All of it comes while the load runs.
    session.send("echo first\recho dropped\x03echo second\r");
    let text = session.expect("\nsecond");
    assert!(text.contains("then Ctrl-C; ") && text.contains("\nfirst") && !text.contains("dropped"), "{text}");
    session.expect(PROMPT);
    session.send("poweroff\r");
    session.finish().ended_with(0);
}

#[test]
fn allocations_by_hand() {
    let mut session = at_the_prompt();
    let answer = session.command("alloc BiscuitOS_cma 16");
    assert!(answer.to_lowercase().contains("0x69800000"), "the first buffer is at the base: {answer}");
    let answer = session.command("bitmap BiscuitOS_cma");
    assert!(answer.contains(&format!("[0000] [{}{}]", "X".repeat(16), ".".repeat(48))), "{answer}");
    session.command("release all BiscuitOS_cma");
    let answer = session.command("bitmap BiscuitOS_cma");
    assert!(answer.contains(&format!("[0000] [{}]", ".".repeat(64))), "{answer}");
    session.send("poweroff\r");
    session.finish().ended_with(0);
}

#[test]
fn noise_on_the_line_does_no_harm() {
    let mut session = at_the_prompt();
    session.send(&"y".repeat(3000));
    session.send("\r");
    session.send("\x1b[\x1b[99~\x1bO\0\x01\x02\u{e9}\u{1f600}\t\t\r");
    session.send("\x03");
    assert!(session.command("version").len() < 10_000);
    session.send("poweroff\r");
    session.finish().ended_with(0);
}
