// SPDX-License-Identifier: MIT OR Apache-2.0

//! The line that is being typed: `editline` has its text, its cursor and the history; this module
//! has the actions of the keys, and what is sent to the terminal to show them.
//!
//! A character at the line's end sends only itself, so that a pipe can type, too. Editing a line of
//! several rows needs the length of a row, which a serial line does not provide. So the first key
//! that moves the cursor in a longer line asks the terminal, and keys are held until it has
//! answered or the line ends. A terminal that does not answer keeps its assumed width (80 at first)
//! and is not asked again.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use editline::{History, LineBuffer};

use super::keys::{Decoder, Key};

/// The text in front of each line.
pub(super) const PROMPT: &str = "debris> ";
/// Maximum of characters of a line.
pub(crate) const MAX_LINE: usize = 1024;
/// Capacity of the history. When it is full, its older half is removed.
const HISTORY_LINES: usize = 100;
/// Assumed characters of a terminal's row, until it answers.
const USUAL_COLUMNS: usize = 80;
/// Minimum of a row's characters; a smaller answer is ignored.
const LEAST_COLUMNS: usize = 40;
/// Held keys at which the editor stops waiting for an answer.
const MOST_HELD: usize = 64;
/// Saves the cursor, moves to the end of the row, asks for the position, and restores the cursor.
const ASK_FOR_COLUMNS: &str = "\x1b7\x1b[999C\x1b[6n\x1b8";

/// The result of a byte.
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

/// The line, and the state of the terminal that shows it.
pub(super) struct Editor {
    line: LineBuffer,
    history: History,
    /// Lines added to the history; it holds at most this number.
    remembered: usize,
    keys: Decoder,
    /// Output that is not yet sent to the terminal.
    out: String,
    /// Position of the terminal's cursor, in characters from the prompt's first.
    at: usize,
    /// The last character sent may have filled its row; the cursor then moves to the next row only
    /// with more text.
    hangs: bool,
    columns: usize,
    /// The terminal was asked for its columns since the line began.
    asked: bool,
    /// An answer may still arrive.
    due: bool,
    /// The last question was not answered in time.
    deaf: bool,
    /// The keys that wait for the answer.
    held: Vec<Key>,
    /// Characters typed into a full line.
    dropped: usize,
}

impl Editor {
    /// Creates an editor with a prompt and an empty line.
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

    /// Takes the output for the terminal; `\n` ends a line.
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

    /// True if nothing is typed, and no key is held.
    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty() && self.held.is_empty()
    }

    /// Returns the line in front of the cursor.
    pub(super) fn before_cursor(&self) -> &str {
        self.text().get(..self.line.cursor_pos()).unwrap_or_default()
    }

    /// Handles a byte from the terminal.
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

    /// Inserts printable ASCII at the cursor, if there is room.
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

    /// Prints whole lines above the prompt, then the prompt and the line again.
    pub(super) fn print_above(&mut self, lines: &str) {
        self.move_to(self.end());
        self.out.push('\n');
        self.out.push_str(lines);
        self.show_anew();
    }

    /// Rings the terminal's bell.
    pub(super) fn ring(&mut self) {
        self.out.push('\x07');
    }

    /// Handles the held keys. Only the last of them can end a line.
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

    /// Adds a line to the history. A full `History` compares it with an old line instead of the
    /// last, and leaves it out if those two are equal; so before it is full, the older half is
    /// removed.
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
        // The line holds only ASCII.
        self.line.as_str().unwrap_or_default()
    }

    /// Returns the position of the line's end, in characters from the prompt's first.
    fn end(&self) -> usize {
        PROMPT.len() + self.line.len()
    }

    fn cursor(&self) -> usize {
        PROMPT.len() + self.line.cursor_pos()
    }

    /// Prints the prompt and the line at the terminal's cursor.
    fn show_anew(&mut self) {
        self.at = 0;
        self.send(PROMPT);
        self.show_from(0);
    }

    /// Prints the line from character `from` on.
    fn show_from(&mut self, from: usize) {
        self.move_to(PROMPT.len() + from);
        let rest = self.text().get(from..).unwrap_or_default().to_string();
        self.send(&rest);
        self.move_to(self.cursor());
    }

    /// Prints the line from `from` on, and clears the rest of one that ended at `old_end`.
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

    /// True if `key` moves the terminal's cursor otherwise than by writing at the end, and does not
    /// end the line.
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

    /// After a full row, moves to the next one: until then, terminals differ in their position.
    fn settle(&mut self) {
        if self.hangs && self.at.is_multiple_of(self.columns) {
            self.out.push_str(" \r");
        }
        self.hangs = false;
    }

    /// Moves the terminal's cursor to position `to`.
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

/// True for keys that are handled at once, even if the terminal has not answered.
fn ends_waiting(key: Key) -> bool {
    matches!(key, Key::Enter | Key::Tab | Key::Cancel | Key::EndOfInput)
}

#[cfg(test)]
mod tests;
