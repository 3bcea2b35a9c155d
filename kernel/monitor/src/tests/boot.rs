// SPDX-License-Identifier: MIT OR Apache-2.0

//! Before the first command: records, and a run that `strict=on` refuses.

use super::*;
use std::format;
use std::vec;

fn refusals() -> Vec<Refusal> {
    let refusal = |what, name: &str| Refusal { what, name: name.into(), why: format!("why {name}") };
    vec![refusal(Refused::Node, "n@1"), refusal(Refused::Parameter, "cma")]
}

/// Boots into a run that powers off; returns how the machine ended and everything printed.
fn booted(context: Context<'_>) -> (End, String) {
    with_board(64, |system, machine| {
        let mut monitor = Monitor::new(system, machine, context);
        monitor.print_boot_records();
        let end = monitor.run_to_end(Some("metrics BiscuitOS_cma; poweroff"));
        (end, machine.take())
    })
}

#[test]
fn records_stand_in_front() {
    let refused = refusals();
    let context = Context { release: "1.2.3", git: "abc", refused: &refused, ns_to_ready: 7, ..Context::default() };
    let (end, text) = booted(context);
    assert_eq!(end, End::PowerOff(0), "nothing but strict=on minds");
    let records: Vec<&str> = text.lines().filter(|line| line.starts_with('{')).collect();
    assert_eq!(records[0], r#"{"record":"meta","v":1,"version":"1.2.3","git":"abc","linux":"6.1"}"#);
    let areas: Vec<_> = records.iter().filter(|line| line.contains(r#""record":"area""#)).collect();
    assert!(areas.iter().any(|area| area.contains(r#""area":"BiscuitOS_cma","base":"#)), "{text}");
    assert!(records.contains(&r#"{"record":"node","node":"n@1","why":"why n@1"}"#), "{text}");
    assert!(!text.contains(r#""node":"cma""#), "a parameter is no node");
    assert!(records[records.len() - 2].starts_with(r#"{"record":"boot","#), "the last before the first command");
}

#[test]
fn strict_runs_nothing() {
    let refused = refusals();
    let (end, text) = booted(Context { refused: &refused, strict: true, ..Context::default() });
    assert_eq!(end, End::PowerOff(STATUS_BAD_COMMAND));
    assert!(
        text.ends_with(
            "strict=on: refused: node n@1: why n@1\nstrict=on: refused: parameter cma: why cma\nstrict=on: 2 refusals, \
             so nothing is run\n"
        ),
        "{text}"
    );
    assert_eq!(booted(Context { strict: true, ..Context::default() }).0, End::PowerOff(0));
}

#[test]
fn quiet_prints_no_records() {
    let (end, text) = booted(Context { quiet: true, ..Context::default() });
    assert_eq!(end, End::PowerOff(0));
    assert!(!text.contains("{\"") && text.contains("free"), "{text}");
}
