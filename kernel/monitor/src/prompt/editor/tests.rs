// SPDX-License-Identifier: MIT OR Apache-2.0

//! The visible line: the editor's output goes to a model of a terminal, whose screen is checked.

use core::num::NonZero;
use proptest::prelude::*;
use std::vec;

use super::*;

/// The editor, and a terminal that shows its output and answers its questions.
struct Seen {
    editor: Editor,
    screen: vt100::Parser,
    answers: bool,
    /// Everything sent.
    sent: String,
    typed: Vec<Typed>,
}

impl Seen {
    fn new(rows: u16, columns: u16) -> Self {
        let size = |number| NonZero::new(number).expect("a screen has a size");
        let screen = vt100::Parser::new(size(rows), size(columns), 0);
        let mut seen = Self { editor: Editor::new(), screen, answers: true, sent: String::new(), typed: Vec::new() };
        seen.show();
        seen
    }

    fn show(&mut self) {
        let out = self.editor.take_output();
        self.sent.push_str(&out);
        let out = out.replace('\n', "\r\n");
        let mut rest = out.as_str();
        while let Some((before, after)) = rest.split_once("\x1b[6n") {
            self.screen.process(before.as_bytes());
            let (row, column) = self.screen.screen().cursor_position();
            self.screen.process(after.as_bytes());
            rest = "";
            if self.answers {
                self.keys(format!("\x1b[{};{}R", row + 1, column + 1).as_bytes());
            }
        }
        self.screen.process(rest.as_bytes());
    }

    fn keys(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let typed = self.editor.feed(byte);
            if let Some(Typed::Line(_) | Typed::TooLong(_)) = typed {
                self.editor.begin_line();
            }
            self.typed.extend(typed);
            self.show();
        }
    }

    /// Takes the output since the last call.
    fn sent(&mut self) -> String {
        core::mem::take(&mut self.sent)
    }

    /// Returns the screen's text after the prompt.
    fn line(&self) -> String {
        let contents = self.screen.screen().contents();
        contents.strip_prefix(PROMPT).unwrap_or_else(|| panic!("{contents:?}")).to_string()
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_character_at_the_end_sends_itself() {
    let mut seen = Seen::new(24, 80);
    assert_eq!(seen.sent(), PROMPT);
    seen.keys("bitmap".repeat(100).as_bytes());
    assert_eq!(seen.sent(), "bitmap".repeat(100));
    seen.keys(b"\r");
    assert_eq!(seen.sent(), format!("\n{PROMPT}"));
    assert_eq!(seen.typed, [Typed::Line("bitmap".repeat(100))]);
}

#[test]
fn editing_in_the_middle() {
    for (keys, line, column) in [
        (&b"ca\x1b[Dm"[..], "cma", 2),
        (b"cmaxx\x7f\x08", "cma", 3),
        (b"xcma\x01\x1b[3~", "cma", 0),
        (b"xcma\x1b[H\x04\x05", "cma", 3),
        (b"cat area\x17x", "cat x", 5),
        (b"a=b c  \x17x", "a=b x", 5),
        (b"area=zoned\x1b\x7f", "area=", 5),
        (b"one two\x1bb\x0b", "one ", 4),
        (b"one two\x1bb\x1b[1;5D\x1bd", "two", 0),
        (b"one two\x1bb\x15", "two", 0),
        (b"one\x15two\x0c", "two", 3),
        (b"ersion\x01v\x05!", "version!", 8),
        (b"a\xc3\xa9\xff\x00\x1b[200~b", "ab", 2),
    ] {
        let mut seen = Seen::new(24, 80);
        seen.keys(keys);
        assert_eq!(seen.line(), line, "{keys:?}");
        assert_eq!(seen.editor.text(), line, "{keys:?}");
        assert_eq!(seen.screen.screen().cursor_position(), (0, (PROMPT.len() + column) as u16), "{keys:?}");
    }
}

#[test]
fn a_short_line_asks_nothing_and_a_backspace_is_short() {
    let mut seen = Seen::new(24, 80);
    seen.keys(b"bitmap");
    seen.sent();
    seen.keys(b"\x7f");
    assert_eq!(seen.sent(), "\x1b[D\x1b[K");
    seen.keys(b"\x1b[D\x1b[C\x01\x05\x1b[A");
    assert_eq!(seen.sent(), "\x1b[D\x1b[C\x1b[5D\x1b[5C");
}

#[test]
fn ctrl_c_ctrl_d_and_tab() {
    let mut seen = Seen::new(24, 80);
    seen.keys(b"nonsense\x1b[D\x03");
    assert_eq!(seen.screen.screen().contents(), "debris> nonsense^C\ndebris> ");
    seen.keys(b"\x04a\x04\t");
    assert_eq!(seen.typed, [Typed::EndOfInput, Typed::Tab]);
    seen.editor.print_above("one\ntwo\n");
    seen.show();
    assert_eq!(seen.screen.screen().contents(), "debris> nonsense^C\ndebris> a\none\ntwo\ndebris> a");
}

#[test]
fn history_goes_both_ways_and_keeps_the_line() {
    let mut seen = Seen::new(24, 80);
    seen.keys(b"first\rsecond\rsecond\r\r   \runfinished");
    let mut go = |keys: &[u8]| {
        seen.keys(keys);
        seen.editor.text().to_string()
    };
    assert_eq!(go(b"\x1b[A"), "second");
    assert_eq!(go(b"\x10"), "first");
    assert_eq!(go(b"\x1b[A"), "first");
    assert_eq!(go(b"\x0e"), "second");
    assert_eq!(go(b"\x1b[B"), "unfinished");
    assert_eq!(go(b"\x1b[B"), "unfinished");
    // Down returns to a recalled line that was changed.
    assert_eq!(go(b"\x1b[A!\x1b[A\x1b[B"), "second!");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_history_forgets_the_oldest_only() {
    let mut seen = Seen::new(24, 80);
    for round in 0..3 * HISTORY_LINES {
        // Every other line is the same.
        seen.keys(if round % 2 == 0 { "cma\r".into() } else { format!("line {round}\r") }.as_bytes());
        seen.keys(b"\x1b[A\x1b[A");
        let before = if round % 2 == 0 { format!("line {}", round.saturating_sub(1)) } else { "cma".into() };
        assert_eq!(seen.editor.text(), if round == 0 { "cma" } else { &before });
        seen.keys(b"\x03");
    }
    seen.keys(&b"\x1b[A".repeat(HISTORY_LINES / 2 - 1));
    assert!(seen.editor.text().starts_with("cma") || seen.editor.text().starts_with("line 2"));
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_full_line_counts_what_it_cannot_hold() {
    let mut seen = Seen::new(24, 80);
    seen.keys(&b"v".repeat(10_000));
    seen.keys(b"\x7f\x7f\r");
    assert_eq!(seen.typed, [Typed::TooLong(10_000 - 2)]);
    seen.keys(&b"v".repeat(10_000));
    seen.keys(b"\x15cma\r");
    assert_eq!(seen.typed[1], Typed::Line("cma".into()));
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn long_lines_wrap_and_are_edited_over_their_rows() {
    for columns in [40, 79, 80, 81, 200] {
        let mut seen = Seen::new(60, columns);
        let line = "0123456789".repeat(20);
        seen.keys(line.as_bytes());
        // The end is after a full row if 200 + 8 is a multiple of its length.
        seen.keys(b"\x01");
        assert_eq!(seen.screen.screen().cursor_position(), (0, PROMPT.len() as u16), "{columns}");
        seen.keys(b"xyz\x05\x7f\x7f");
        assert_eq!(seen.line(), format!("xyz{}", &line[..198]), "{columns}");
        seen.keys(b"\x15\x03");
        assert_eq!(seen.screen.screen().contents(), "debris> ^C\ndebris> ", "{columns}");
    }
}

#[test]
fn what_does_not_answer_has_rows_of_80_and_is_asked_once() {
    let mut seen = Seen::new(24, 80);
    seen.answers = false;
    seen.keys("y".repeat(150).as_bytes());
    seen.keys(b"\x1b[Dx");
    assert_eq!(seen.screen.screen().cursor_position(), (1, 78), "it waits");
    seen.keys(b"\r");
    assert_eq!(seen.typed, [Typed::Line(format!("{}xy", "y".repeat(149)))]);
    seen.sent();
    seen.keys(b"\x1b[A\x1b[Dz");
    assert_eq!(seen.sent().matches(ASK_FOR_COLUMNS).count(), 0);
    assert_eq!(seen.editor.text(), format!("{}xzy", "y".repeat(149)));
    // A late answer is used; an answer without a question is not.
    seen.keys(b"\x1b[1;132R");
    assert_eq!(seen.editor.columns, 132);
    seen.keys(b"\x1b[1;90R\x03");
    assert_eq!(seen.editor.columns, 132);
    // Many keys without an answer end the wait, and the screen shows their effect.
    let mut seen = Seen::new(24, 80);
    seen.answers = false;
    seen.keys("y".repeat(50).as_bytes());
    seen.keys(&b"\x1b[D".repeat(MOST_HELD));
    assert_eq!(seen.screen.screen().cursor_position(), (0, PROMPT.len() as u16));
}

/// A key, or some characters.
fn some_keys() -> impl Strategy<Value = Vec<u8>> {
    let keys: &[&[u8]] = &[
        b"\x1b[A",
        b"\x1b[B",
        b"\x1b[C",
        b"\x1b[D",
        b"\x1b[H",
        b"\x1b[F",
        b"\x1b[3~",
        b"\x1bb",
        b"\x1bf",
        b"\x1bd",
        b"\x1b\x7f",
        b"\x7f",
        b"\x0b",
        b"\x15",
        b"\x17",
        b"\x0c",
        b"\x04",
        b"x",
        b" ",
        b"ab cd=ef",
    ];
    prop_oneof![
        8 => proptest::sample::select(keys).prop_map(<[u8]>::to_vec),
        1 => (1..120_usize).prop_map(|length| vec![b'w'; length]),
    ]
}

proptest! {
    #![proptest_config(property::config(256))]

    /// After any keys, the screen shows the line, and the cursor at its position.
    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn the_screen_shows_the_line(
        columns in 40..140_u16,
        keys in proptest::collection::vec(some_keys(), 1..60),
    ) {
        let mut seen = Seen::new(120, columns);
        seen.keys(b"an older line that is longer than the others, and goes over a row or two at least\r\x0c");
        for key in keys {
            seen.keys(&key);
            let line = seen.line();
            prop_assert_eq!(line.trim_end(), seen.editor.text().trim_end(), "{:?}", key);
            let cursor = PROMPT.len() + seen.editor.line.cursor_pos();
            let (row, column) = seen.screen.screen().cursor_position();
            prop_assert_eq!(usize::from(row) * usize::from(columns) + usize::from(column), cursor, "{:?}", key);
        }
    }
}
