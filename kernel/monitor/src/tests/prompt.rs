// SPDX-License-Identifier: MIT OR Apache-2.0

//! The prompt: lines that are typed, edited and remembered, and how a run of the monitor ends.

use super::*;

/// Types at the prompt, after an empty `run=`, up to a `poweroff`.
fn type_in(keys: &[u8]) -> (End, String) {
    with_board(64, |system, machine: &mut Mock| {
        machine.typed.extend(keys);
        machine.typed.extend(b"\x03poweroff 9\r");
        let end = Monitor::new(system, machine, context(None)).run_to_end(Some(""));
        (end, machine.take())
    })
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_prompt_executes_lines() {
    let (end, text) = type_in(b"version\r");
    assert_eq!(end, End::PowerOff(9));
    assert_eq!(text, "debris> version\ndebris 1.2.3\ndebris> ^C\ndebris> poweroff 9\n");
    let (_, text) = type_in(b"version\r\nversion\nversion\n\r\r");
    assert_eq!(text.matches("debris 1.2.3\n").count(), 3);
    let (_, text) = type_in(b"nonsense\r");
    assert!(text.contains("\nunknown command \"nonsense\""), "{text}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn lines_are_edited_and_remembered() {
    let one_version = [
        &b"versjon\x7f\x7f\x7fion\r"[..],
        b"ersion\x01v\x05\r",
        b"ersion\x1b[Hv\x1b[F \r",
        b"xx\x15version\r",
        b"vesion\x1b[D\x1b[D\x1b[D\x1b[Dr\r",
        b"versi\t\r",
        b"garbage\x03version\r",
        b"version\x1b[3~\x1bOQ\x1b[200~\xff\xc3\x00\r",
    ];
    for keys in one_version {
        let (_, text) = type_in(keys);
        assert_eq!(text.matches("debris 1.2.3\n").count(), 1, "{keys:?}: {text:?}");
        assert!(!text.contains("unknown"), "{keys:?}: {text:?}");
    }
    let (_, text) = type_in(b"version\rcma\r\x1b[A\x1b[A\r");
    assert_eq!(text.matches("debris 1.2.3\n").count(), 2);
    // Quotes reach the command as they were typed.
    let (_, text) = type_in(b"version | grep \"debris 1\"; version | grep ';'\r");
    assert_eq!(text.matches("debris 1.2.3\n").count(), 1);
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn long_lines_pastes_and_rubbish_are_survived() {
    let (end, text) = type_in(&[&b"v".repeat(10_000)[..], b"\rversion\r"].concat());
    assert_eq!(end, End::PowerOff(9));
    assert!(text.contains("\nthe line of 10000 characters was not run: 1024 are the most (MAX_LINE)\n"));
    assert!(text.contains("debris 1.2.3\n") && !text.contains("unknown"));
    let (_, text) = type_in(&b"version\r\n".repeat(500));
    assert_eq!(text.matches("\ndebris 1.2.3\n").count(), 500);
    // EOT ends the machine; another test types it.
    let all: Vec<u8> = (0..=255).chain((0..=255).rev()).filter(|&byte| byte != 4).collect();
    assert_eq!(type_in(&all).0, End::PowerOff(9));
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn run_comes_first_and_debris_is_the_default() {
    with_board(64, |system, machine| {
        machine.typed.extend(b"poweroff\r");
        let end = Monitor::new(system, machine, context(None)).run_to_end(None);
        assert_eq!(end, End::PowerOff(0));
        assert!(machine.take().contains("\"allocs\":16687"));
        let end = Monitor::new(system, machine, context(None)).run_to_end(Some("nonsense; reboot"));
        assert_eq!(end, End::Reboot);
        machine.typed.extend(b"worse; poweroff\r");
        let end = Monitor::new(system, machine, context(None)).run_to_end(Some("nonsense"));
        assert_eq!(end, End::PowerOff(2));
    });
}

#[test]
fn the_end_of_input_ends_the_machine_with_the_status_so_far() {
    for (run, typed, status) in [
        ("version", &b"\x04"[..], 0),
        ("nonsense", b"\x04", 2),
        ("poweroff 300", b"\x04", 2),
        // Lines before it are executed; in a line with text it does nothing.
        ("version", b"vers\x04ion\rworse\r\x04poweroff 9\r", 0),
        ("version", b"begun\x03\x04", 0),
        // An unfinished sequence does not hide it.
        ("version", b"\x1b[\x04", 0),
    ] {
        with_board(8, |system, machine| {
            machine.typed.extend(typed);
            let end = Monitor::new(system, machine, context(None)).run_to_end(Some(run));
            let text = machine.take();
            assert_eq!(end, End::PowerOff(status), "{run}, {typed:?}: {text}");
            assert!(text.ends_with("\ndebris> poweroff\n"), "{text}");
            assert_eq!(text.contains("unknown command \"worse\""), typed.len() > 10, "{text}");
        });
    }
}
