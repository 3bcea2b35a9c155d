// SPDX-License-Identifier: MIT OR Apache-2.0

//! The prompt in a terminal: editing, completion, history, long lines, pastes, noise, and changes
//! of the window's size.

use std::time::Duration;

use boot_tests::{Boot, Terminal};

const PROMPT: &str = "debris> ";
const UP: &str = "\x1b[A";
const DOWN: &str = "\x1b[B";
const RIGHT: &str = "\x1b[C";
const LEFT: &str = "\x1b[D";
const HOME: &str = "\x1b[H";
/// Ctrl-A is QEMU's own key: pressed twice, one is passed on.
const CTRL_A: &str = "\x01\x01";

fn at_the_prompt() -> Terminal {
    let mut terminal = Boot::new("run=version").at_a_terminal(24, 80);
    terminal.wait_for_row(PROMPT);
    terminal.fresh();
    terminal
}

fn leave(mut terminal: Terminal) {
    terminal.press("\x03poweroff 5\r");
    assert_eq!(terminal.finish(), Some(5));
}

fn with_prompt(line: &str) -> String {
    format!("{PROMPT}{line}")
}

#[test]
fn the_banner_says_where_you_are_and_how_to_leave() {
    let mut terminal = at_the_prompt();
    let screen = terminal.screen();
    let banner = concat!("debris ", env!("CARGO_PKG_VERSION"), ": a laboratory for Linux's CMA, on vexpress-a9");
    assert!(screen.contains(banner), "{screen}");
    terminal.press("\x0cversion");
    let screen = terminal.wait_for_row("debris> version");
    assert_eq!(screen, "debris> version", "Ctrl-L leaves the line alone");
    leave(terminal);
}

#[test]
fn ctrl_d_ends_the_machine_from_an_empty_line_only() {
    let mut terminal = Boot::new("run=nonsense").at_a_terminal(24, 80);
    terminal.wait_for_row(PROMPT);
    terminal.press("vers\x04ion");
    terminal.wait_for_row("debris> version");
    terminal.press("\x15\x04");
    assert_eq!(terminal.finish(), Some(2), "the status so far");
}

#[test]
fn a_line_is_edited_in_place() {
    let mut terminal = at_the_prompt();
    terminal.press("cat /proc/memfo");
    terminal.wait_for_row("debris> cat /proc/memfo");
    terminal.press([LEFT, LEFT, "in"].concat());
    terminal.wait_for_line("debris> cat /proc/memin", "fo");
    terminal.press([CTRL_A, RIGHT, "\x1b[3~"].concat());
    terminal.wait_for_line("debris> c", "t /proc/meminfo");
    terminal.press("a\x05xx\x7f\x08 | grep Cma");
    terminal.wait_for_row("debris> cat /proc/meminfo | grep Cma");
    terminal.press("\r");
    terminal.wait_for_row(PROMPT);
    terminal.wait_for("CmaTotal:          16384 kB");
    terminal.press(["one two three\x17\x1bb\x0bfour", HOME, "\x1b[1;5C!\x15"].concat());
    terminal.wait_for_line(PROMPT, "four");
    terminal.press("\x03");
    terminal.wait_for("debris> four^C");
    terminal.wait_for_row(PROMPT);
    leave(terminal);
}

#[test]
fn a_key_sends_no_more_than_it_changes() {
    let mut terminal = at_the_prompt();
    for key in "bitmap BiscuitOS_cma, and a line that goes on over the end of the terminal's row of 80".chars() {
        let mut bytes = [0; 4];
        terminal.press(key.encode_utf8(&mut bytes).as_bytes());
    }
    let typed = terminal.fresh();
    let typed = String::from_utf8_lossy(&typed);
    assert_eq!(typed, "bitmap BiscuitOS_cma, and a line that goes on over the end of the terminal's row of 80");
    terminal.press("\x03bitmap\r");
    terminal.wait_for_row(PROMPT);
    terminal.press("cma");
    terminal.fresh();
    for (key, sent) in
        [("\x7f", "\x1b[D\x1b[K"), (LEFT, "\x1b[D"), (RIGHT, "\x1b[C"), ("\x08", "\x1b[D\x1b[K"), ("x", "x")]
    {
        terminal.press(key);
        assert_eq!(String::from_utf8_lossy(&terminal.fresh()), sent, "{key:?}");
    }
    leave(terminal);
}

#[test]
fn tab_completes_or_lists() {
    let mut terminal = at_the_prompt();
    terminal.press("bitm\tB\t");
    terminal.wait_for_row("debris> bitmap BiscuitOS_cma ");
    terminal.press("\x15re\t");
    terminal.wait_for_row("debris> re");
    terminal.wait_for("reboot    release   relocate  replay");
    terminal.press("le\ta\tB\t\r");
    terminal.wait_for("0 buffers, 0 pages given back to BiscuitOS_cma");
    terminal.wait_for_row(PROMPT);
    terminal.press("cat /s\tb\t\t\t\t\t");
    terminal.wait_for_row("debris> cat /sys/bus/platform/devices/BiscuitOS_CMA/bitmap ");
    terminal.press("\x15debris area=B\tplacement=z\tal\torder\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x0bp\t");
    terminal.wait_for_row("debris> debris area=BiscuitOS_cma placement=zoned align=page ");
    terminal.press("\x15echo 5 > /sys/kernel/d\tc\tB\tal\t\r");
    terminal.wait_for_row(PROMPT);
    terminal.press("cat /sys/kernel/debug/cma/BiscuitOS_cma/u\t\r");
    terminal.wait_for("5");
    terminal.press("nonsense \t");
    terminal.wait_for_row("debris> nonsense ");
    leave(terminal);
}

#[test]
fn arrows_bring_former_lines_back() {
    let mut terminal = at_the_prompt();
    terminal.press("version\r");
    terminal.wait_for_row(PROMPT);
    terminal.press("cat /proc/cmdline\r");
    terminal.wait_for_row(PROMPT);
    terminal.press(["unfinished", UP].concat());
    terminal.wait_for_row("debris> cat /proc/cmdline");
    terminal.press(UP);
    terminal.wait_for_line("debris> version", "");
    terminal.press([DOWN, DOWN].concat());
    terminal.wait_for_line("debris> unfinished", "");
    leave(terminal);
}

#[test]
fn a_line_over_several_rows_is_edited_where_the_rows_are() {
    // Not 80 columns, and no line that ends at the end of a row.
    for columns in [72, 120] {
        let mut terminal = Boot::new("run=version").at_a_terminal(24, columns);
        terminal.wait_for_row(PROMPT);
        let line = "0123456789".repeat(20);
        terminal.press(format!("{line}{HOME}echo \x05\x7f\x7f!"));
        let wanted = with_prompt(&format!("echo {}!", &line[..198]));
        let joined = move |screen: &vt100::Screen| screen.contents().contains(&wanted);
        terminal.wait_until("the edited line", joined);
        terminal.press("\r");
        let answer = format!("{}!", &line[..198]);
        let answered = move |screen: &vt100::Screen| screen.contents().lines().any(|row| row == answer);
        terminal.wait_until("the answer", answered);
        terminal.wait_for_row(PROMPT);
        // The window has another size at the next line.
        terminal.resize(24, 90);
        terminal.press([UP, HOME, "\x0b"].concat());
        terminal.wait_for_line(PROMPT, "");
        leave(terminal);
    }
}

#[test]
fn ten_thousand_characters_get_one_line_and_the_next_command_runs() {
    let mut terminal = at_the_prompt();
    terminal.press("v".repeat(10_000) + "\rversion | grep -c debris\r");
    terminal.wait_for("the line of 10000 characters was not run: 1024 are the most (MAX_LINE)");
    terminal.wait_for("1");
    let bytes = terminal.fresh();
    assert_eq!(String::from_utf8_lossy(&bytes).matches("unknown command").count(), 0);
    leave(terminal);
}

#[test]
fn bytes_that_are_no_text_are_dropped_and_nothing_else_is() {
    let mut terminal = at_the_prompt();
    terminal.press(b"e\xffc\xc3(\x80\x00\xf0\x9f\x98\x80h\x08\x7fho \xc3\xa9don\xfe\xffe\r");
    terminal.wait_for("done");
    // Bytes with a meaning to the prompt or to QEMU are left out.
    let all: Vec<u8> = (0x80..=0xff).chain(0..0x20).filter(|byte| !b"\x01\x04\t\n\x0c\r".contains(byte)).collect();
    terminal.press(&all);
    terminal.press("\x03echo still here\r");
    terminal.wait_for("still here");
    leave(terminal);
}

#[test]
fn five_hundred_pasted_lines_are_all_answered() {
    let mut terminal = at_the_prompt();
    // Twice the capacity of the machine's ring, so that the sender has to wait in between.
    let padding = "x".repeat(50);
    let paste: String = (0..500).map(|number| format!("echo answer {number} {padding}\r")).collect();
    terminal.press(paste + "echo the end\r");
    terminal.wait_for("the end");
    let bytes = terminal.bytes();
    let text = String::from_utf8_lossy(&bytes);
    let answers: Vec<&str> = text.lines().map(str::trim_end).filter(|line| line.starts_with("answer ")).collect();
    let wanted: Vec<String> = (0..500).map(|number| format!("answer {number} {padding}")).collect();
    assert!(answers == wanted, "{} answers: {answers:?}", answers.len());
    leave(terminal);
}

#[test]
fn what_is_typed_while_a_command_runs_waits_for_its_end() {
    let mut terminal = Boot::new("run=version").time_limit(Duration::from_secs(60)).at_a_terminal(24, 80);
    terminal.wait_for_row(PROMPT);
    terminal.press("debris align=page until=ops ops=4000000000\r");
    std::thread::sleep(Duration::from_millis(500));
    // Lines that the machine keeps in its ring while the load runs.
    terminal.press(format!("echo {}\r", "w".repeat(900)).repeat(4) + "echo after all\r");
    std::thread::sleep(Duration::from_millis(200));
    let running = terminal.screen();
    assert!(!running.contains("after all"), "{running}");
    leave_after_ctrl_c(terminal);
}

/// Stops the load with a Ctrl-C after those lines; the lines are executed then.
fn leave_after_ctrl_c(mut terminal: Terminal) {
    terminal.press("\x03");
    terminal.wait_for("after all");
    terminal.wait_for_row(PROMPT);
    let bytes = terminal.bytes();
    let text = String::from_utf8_lossy(&bytes);
    assert_eq!(text.lines().filter(|line| line.starts_with("www")).count(), 4, "{text}");
    leave(terminal);
}

#[test]
fn a_window_that_changes_its_size_says_nothing() {
    let mut terminal = at_the_prompt();
    terminal.press("bitmap");
    terminal.wait_for_row("debris> bitmap");
    terminal.fresh();
    for (rows, columns) in [(50, 132), (10, 40), (24, 80)] {
        terminal.resize(rows, columns);
    }
    assert_eq!(terminal.fresh(), b"");
    terminal.press(" li\t\r");
    terminal.wait_for("CMA total size: 0x800000");
    terminal.wait_for_row(PROMPT);
    leave(terminal);
}
