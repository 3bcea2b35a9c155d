// SPDX-License-Identifier: MIT OR Apache-2.0

//! The line that is being typed: `editline` keeps its text, its cursor and the lines before it;
//! this module says what each key does, and what the terminal is sent so that a person sees it.
//!
//! A character at the line's end sends itself and nothing else, so that a pipe can type as well as
//! a person. A line that goes over several rows can only be edited by who knows how long a row is,
//! and a serial line does not say. So the first key that moves the cursor in a longer line asks the
//! terminal, and keys are kept until it has answered or the line ends. What does not answer is no
//! terminal, is taken to have rows of 80, and is not asked again.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use editline::{History, LineBuffer};

use super::keys::{Decoder, Key};

/// What asks for a command.
pub(super) const PROMPT: &str = "debris> ";
/// Characters of the longest line.
pub(crate) const MAX_LINE: usize = 1024;
/// Lines that the arrow keys bring back, at most; at least half of them.
const HISTORY_LINES: usize = 100;
/// Characters of a terminal's row, until it says otherwise.
const USUAL_COLUMNS: usize = 80;
/// No terminal has fewer; where one says so, it is not believed.
const LEAST_COLUMNS: usize = 40;
/// Keys that wait for an answer; with one more, none is expected any more.
const MOST_HELD: usize = 64;
/// Keep the cursor, go to the end of the row, ask where that is, and come back.
const ASK_FOR_COLUMNS: &str = "\x1b7\x1b[999C\x1b[6n\x1b8";

/// What came of a byte.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Typed {
    /// A line to execute.
    Line(String),
    /// The length of a line of more than [`MAX_LINE`] characters.
    TooLong(usize),
    /// The line up to the cursor is to be completed.
    Tab,
    /// Ctrl-D in an empty line.
    EndOfInput,
}

/// The line, and what the terminal shows of it.
pub(super) struct Editor {
    line: LineBuffer,
    history: History,
    /// Lines given to the history; it holds no more.
    remembered: usize,
    keys: Decoder,
    /// What the terminal is to be sent.
    out: String,
    /// The terminal's cursor, in characters from the prompt's first.
    at: usize,
    /// The last character sent may have filled its row: the terminal goes to the next one when
    /// there is more.
    hangs: bool,
    columns: usize,
    /// The terminal was asked for its columns since the line began.
    asked: bool,
    /// An answer may still come.
    due: bool,
    /// No answer came when one was waited for.
    deaf: bool,
    /// The keys that wait for the answer.
    held: Vec<Key>,
    /// Characters typed into a full line.
    dropped: usize,
}

impl Editor {
    /// An editor with a prompt and an empty line.
    pub(super) fn new() -> Self {
        let mut editor = Self {
            line: LineBuffer::new(MAX_LINE),
            history: History::new(HISTORY_LINES),
            remembered: 0,
            keys: Decoder::default(),
            out: String::new(),
            at: 0,
            hangs: false,
            columns: USUAL_COLUMNS,
            asked: false,
            due: false,
            deaf: false,
            held: Vec::new(),
            dropped: 0,
        };
        editor.begin_line();
        editor
    }

    /// Takes what the terminal is to be sent; `\n` ends a line.
    pub(super) fn take_output(&mut self) -> String {
        core::mem::take(&mut self.out)
    }

    /// Prints the prompt for an empty line.
    pub(super) fn begin_line(&mut self) {
        self.line.clear();
        self.history.reset_view();
        self.asked = false;
        self.dropped = 0;
        self.at = 0;
        self.send(PROMPT);
    }

    /// True where nothing is typed, and no key is held back.
    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty() && self.held.is_empty()
    }

    /// The line in front of the cursor.
    pub(super) fn before_cursor(&self) -> &str {
        self.text().get(..self.line.cursor_pos()).unwrap_or_default()
    }

    /// Takes a byte from the terminal.
    pub(super) fn feed(&mut self, byte: u8) -> Option<Typed> {
        let key = self.keys.feed(byte)?;
        if let Key::Column(columns) = key {
            if self.due && columns >= LEAST_COLUMNS {
                self.columns = columns;
                self.deaf = false;
            }
            self.due = false;
            return self.press_held();
        }
        if !self.held.is_empty() {
            self.held.push(key);
            if !ends_waiting(key) && self.held.len() < MOST_HELD {
                return None;
            }
            self.deaf = true;
            return self.press_held();
        }
        if !self.asked && !self.deaf && self.end() >= LEAST_COLUMNS && self.moves_back(key) {
            (self.asked, self.due) = (true, true);
            self.held.push(key);
            self.out.push_str(ASK_FOR_COLUMNS);
            return None;
        }
        self.press(key)
    }

    /// Puts printable ASCII in at the cursor, as far as there is room.
    pub(super) fn insert(&mut self, text: &str) {
        let room = MAX_LINE - self.line.len();
        self.dropped += text.len().saturating_sub(room);
        let from = self.line.cursor_pos();
        text.chars().take(room).for_each(|character| self.line.insert_char(character));
        if self.line.cursor_pos() > from {
            self.history.reset_view();
            self.show_from(from);
        }
    }

    /// Prints whole lines above the prompt, and the prompt and the line again below them.
    pub(super) fn print_above(&mut self, lines: &str) {
        self.move_to(self.end());
        self.out.push('\n');
        self.out.push_str(lines);
        self.show_anew();
    }

    /// Rings.
    pub(super) fn ring(&mut self) {
        self.out.push('\x07');
    }

    /// Presses the keys that were kept. Only the last of them can end a line.
    fn press_held(&mut self) -> Option<Typed> {
        core::mem::take(&mut self.held).into_iter().fold(None, |typed, key| self.press(key).or(typed))
    }

    fn press(&mut self, key: Key) -> Option<Typed> {
        let length = self.line.len();
        match key {
            Key::Char(character) => {
                let mut buffer = [0; 4];
                self.insert(character.encode_utf8(&mut buffer));
            }
            Key::Enter => return Some(self.end_line()),
            Key::Tab => return Some(Typed::Tab),
            Key::EndOfInput if length == 0 => return Some(Typed::EndOfInput),
            Key::Cancel => {
                self.move_to(self.end());
                self.out.push_str("^C\n");
                self.begin_line();
                return None;
            }
            Key::ClearScreen => {
                self.out.push_str("\x1b[H\x1b[2J");
                self.show_anew();
                return None;
            }
            Key::Older | Key::Newer => {
                self.recall(key == Key::Older);
                return None;
            }
            Key::Left => _ = self.line.move_cursor_left(),
            Key::Right => _ = self.line.move_cursor_right(),
            Key::WordLeft => _ = self.line.move_cursor_word_left(),
            Key::WordRight => _ = self.line.move_cursor_word_right(),
            Key::Home => _ = self.line.move_cursor_to_start(),
            Key::End => _ = self.line.move_cursor_to_end(),
            Key::Backspace => _ = self.line.delete_before_cursor(),
            Key::Delete | Key::EndOfInput => _ = self.line.delete_at_cursor(),
            Key::DeleteWordLeft => _ = self.line.delete_word_left(),
            Key::DeleteWordRight => _ = self.line.delete_word_right(),
            Key::DeleteToBlank => {
                while self.before_cursor().ends_with(' ') && self.line.delete_before_cursor() {}
                while !self.before_cursor().ends_with(' ') && self.line.delete_before_cursor() {}
            }
            Key::DeleteToStart => while self.line.delete_before_cursor() {},
            Key::DeleteToEnd => while self.line.delete_at_cursor() {},
            Key::Column(_) => {}
        }
        if self.line.len() < length {
            if self.line.is_empty() {
                self.dropped = 0;
            }
            self.history.reset_view();
            self.show_shorter(PROMPT.len() + length, self.line.cursor_pos());
        } else {
            self.move_to(self.cursor());
        }
        None
    }

    fn end_line(&mut self) -> Typed {
        self.move_to(self.end());
        self.out.push('\n');
        let line = self.text().to_string();
        self.remember(&line);
        if self.dropped > 0 { Typed::TooLong(line.len() + self.dropped) } else { Typed::Line(line) }
    }

    /// Puts a line into the history. A full one would compare it with a line of long ago instead of
    /// the last, and leave it out where those two are equal; so before it is full, the older half
    /// is forgotten.
    pub(super) fn remember(&mut self, line: &str) {
        if self.remembered + 1 == HISTORY_LINES {
            let mut newest = Vec::new();
            self.history.reset_view();
            while newest.len() < HISTORY_LINES / 2
                && let Some(line) = self.history.previous("")
            {
                newest.push(line.to_string());
            }
            self.history = History::new(HISTORY_LINES);
            newest.iter().rev().for_each(|line| self.history.add(line));
            self.remembered = newest.len();
        }
        self.history.add(line);
        self.remembered += 1;
    }

    fn recall(&mut self, older: bool) {
        let (typed, old_end) = (self.text().to_string(), self.end());
        let recalled = if older { self.history.previous(&typed) } else { self.history.next_entry() };
        let Some(recalled) = recalled else { return };
        self.line.load(recalled);
        self.dropped = 0;
        self.show_shorter(old_end, 0);
    }

    fn text(&self) -> &str {
        // ASCII is all that is put in.
        self.line.as_str().unwrap_or_default()
    }

    /// Where the line ends, and where its cursor is, in characters from the prompt's first.
    fn end(&self) -> usize {
        PROMPT.len() + self.line.len()
    }

    fn cursor(&self) -> usize {
        PROMPT.len() + self.line.cursor_pos()
    }

    /// Shows the prompt and the line where the terminal's cursor is.
    fn show_anew(&mut self) {
        self.at = 0;
        self.send(PROMPT);
        self.show_from(0);
    }

    /// Shows the line from a character on.
    fn show_from(&mut self, from: usize) {
        self.move_to(PROMPT.len() + from);
        let rest = self.text().get(from..).unwrap_or_default().to_string();
        self.send(&rest);
        self.move_to(self.cursor());
    }

    /// Shows the line from a character on, and nothing of what ended at `old_end` behind it.
    fn show_shorter(&mut self, old_end: usize, from: usize) {
        self.move_to(PROMPT.len() + from);
        let rest = self.text().get(from..).unwrap_or_default().to_string();
        self.send(&rest);
        if old_end > self.end() {
            self.settle();
            self.out.push_str(if old_end / self.columns > self.end() / self.columns { "\x1b[J" } else { "\x1b[K" });
        }
        self.move_to(self.cursor());
    }

    /// True where a key that ends no line moves the terminal's cursor in another way than by
    /// writing on at the end.
    fn moves_back(&self, key: Key) -> bool {
        match key {
            Key::Enter | Key::Tab | Key::Cancel | Key::ClearScreen | Key::Column(_) => false,
            Key::Char(_) | Key::EndOfInput => self.cursor() < self.end(),
            _ => true,
        }
    }

    /// Sends text at the terminal's cursor.
    fn send(&mut self, text: &str) {
        self.out.push_str(text);
        self.at += text.len();
        self.hangs = !text.is_empty() || self.hangs;
    }

    /// Behind a full row, goes to the next one: until then terminals differ in where they are.
    fn settle(&mut self) {
        if self.hangs && self.at.is_multiple_of(self.columns) {
            self.out.push_str(" \r");
        }
        self.hangs = false;
    }

    /// Moves the terminal's cursor.
    fn move_to(&mut self, to: usize) {
        if to == self.at {
            return;
        }
        self.settle();
        let steps = |from: usize, to: usize, forward, backward| match to.abs_diff(from) {
            0 => String::new(),
            1 => format!("\x1b[{}", if to > from { forward } else { backward }),
            steps => format!("\x1b[{steps}{}", if to > from { forward } else { backward }),
        };
        self.out += &steps(self.at / self.columns, to / self.columns, 'B', 'A');
        self.out += &steps(self.at % self.columns, to % self.columns, 'C', 'D');
        self.at = to;
    }
}

/// True for keys that somebody waits for, whatever the terminal is.
fn ends_waiting(key: Key) -> bool {
    matches!(key, Key::Enter | Key::Tab | Key::Cancel | Key::EndOfInput)
}

#[cfg(test)]
mod tests;
