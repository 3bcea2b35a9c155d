// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lines for the boot log that are found before there is a console, collected within a bound.
//!
//! A tree or a command line can complain without end; [`Notes`] keeps the first [`MAX_NOTES`] lines and says how many
//! it left out. [`Words`] shows text that a user supplied: bounded, and without anything that would upset a terminal.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use log::Level;

/// The most lines that one reader of a user's input may leave for the log.
pub const MAX_NOTES: usize = 256;

/// The most characters of a user's text that are repeated in a line.
pub const MAX_WORDS: usize = 80;

/// A line for the boot log, found before there is a console to print it on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// The level it is logged at.
    pub level: Level,
    /// The whole line, in Linux's words where Linux has them.
    pub text: String,
}

/// Lines collected for the log, at most [`MAX_NOTES`].
#[derive(Clone, Debug, Default)]
pub struct Notes {
    lines: Vec<Note>,
    left_out: usize,
}

impl Notes {
    /// Adds a line, or counts it when there are too many.
    pub fn push(&mut self, level: Level, text: impl fmt::Display) {
        if self.lines.len() < MAX_NOTES {
            self.lines.push(Note { level, text: text.to_string() });
        } else {
            self.left_out += 1;
        }
    }

    /// A line at the level of Linux's `pr_err`.
    pub fn error(&mut self, text: impl fmt::Display) {
        self.push(Level::Error, text);
    }

    /// A line at the level of Linux's `pr_warn`.
    pub fn warn(&mut self, text: impl fmt::Display) {
        self.push(Level::Warn, text);
    }

    /// A line at the level of Linux's `pr_info`.
    pub fn info(&mut self, text: impl fmt::Display) {
        self.push(Level::Info, text);
    }

    /// The lines, with one more at the end if some were left out.
    pub fn into_vec(self) -> Vec<Note> {
        let mut lines = self.lines;
        if self.left_out > 0 {
            let text = format!("{} more lines left out: raise MAX_NOTES", self.left_out);
            lines.push(Note { level: Level::Warn, text });
        }
        lines
    }
}

/// A user's text as a line of the log may show it: control characters become `?`, and what is longer than
/// [`MAX_WORDS`] characters ends in `...`.
pub struct Words<'a>(pub &'a str);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for (index, character) in self.0.chars().enumerate() {
            if index == MAX_WORDS {
                return f.write_str("...");
            }
            f.write_char(if character.is_control() { '?' } else { character })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_the_rest_is_counted() {
        let mut notes = Notes::default();
        for index in 0..MAX_NOTES + 7 {
            notes.info(format_args!("line {index}"));
        }
        let lines = notes.into_vec();
        assert_eq!(lines.len(), MAX_NOTES + 1);
        assert_eq!(lines[MAX_NOTES].text, "7 more lines left out: raise MAX_NOTES");
    }

    #[test]
    fn words_are_bounded_and_harmless() {
        assert_eq!(Words("a\u{1b}[2Jb\n").to_string(), "a?[2Jb?");
        let long = "x".repeat(MAX_WORDS + 1);
        assert_eq!(Words(&long).to_string(), format!("{}...", "x".repeat(MAX_WORDS)));
        assert_eq!(Words(&long[1..]).to_string(), long[1..]);
    }
}
