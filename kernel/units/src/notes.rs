// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lines for the boot log that are written before there is a console, collected up to a bound.
//!
//! A device tree or a command line can cause any number of lines; [`Notes`] keeps the first
//! [`MAX_NOTES`] and counts the others. A line that refuses something names it in
//! [`Note::refusal`], so that code need not parse the text. [`Words`] shows a user's text: bounded,
//! and without control characters.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use log::Level;

/// Most lines that one reader of a user's input may leave for the log.
pub const MAX_NOTES: usize = 256;

/// Most characters of a user's text that a line repeats.
pub const MAX_WORDS: usize = 80;

/// A line for the boot log, written before there is a console.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// The level at which it is logged.
    pub level: Level,
    /// The whole line, in Linux's words where Linux has them.
    pub text: String,
    /// The thing that the line refuses, if it refuses one.
    pub refusal: Option<Refusal>,
}

/// Kind of a refused thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// A node of the tree: a region or an area that it describes, or the area that a device names.
    Node,
    /// A parameter of the command line, or the area that it asks for.
    Parameter,
}

/// A request of the tree or the command line that is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Its kind.
    pub what: Refused,
    /// Its name.
    pub name: String,
    /// The line that says why.
    pub why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            Refused::Node => "node",
            Refused::Parameter => "parameter",
        };
        write!(f, "{what} {}: {}", Words(&self.name), self.why)
    }
}

/// The refusals, in order; a name that is refused twice is there once, with the first reason.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Vec<Refusal>);

impl Refusals {
    /// Adds the refusals of lines.
    pub fn add(&mut self, notes: &[Note]) {
        for refusal in notes.iter().filter_map(|note| note.refusal.as_ref()) {
            if !self.0.iter().any(|other| (other.what, &other.name) == (refusal.what, &refusal.name)) {
                self.0.push(refusal.clone());
            }
        }
    }

    /// Returns all refusals.
    pub fn all(&self) -> &[Refusal] {
        &self.0
    }
}

/// Lines collected for the log, at most [`MAX_NOTES`].
#[derive(Clone, Debug, Default)]
pub struct Notes {
    lines: Vec<Note>,
    left_out: usize,
    /// The first refusal among the lines that were left out.
    refused_out: Option<Refusal>,
}

impl Notes {
    /// Adds a line, or only counts it if there are [`MAX_NOTES`] already.
    pub fn push(&mut self, level: Level, text: impl fmt::Display) {
        if self.lines.len() < MAX_NOTES {
            self.lines.push(Note { level, text: text.to_string(), refusal: None });
        } else {
            self.left_out += 1;
        }
    }

    /// Adds a line at the level of Linux's `pr_err`.
    pub fn error(&mut self, text: impl fmt::Display) {
        self.push(Level::Error, text);
    }

    /// Adds a line at the level of Linux's `pr_warn`.
    pub fn warn(&mut self, text: impl fmt::Display) {
        self.push(Level::Warn, text);
    }

    /// Adds a line at the level of Linux's `pr_info`.
    pub fn info(&mut self, text: impl fmt::Display) {
        self.push(Level::Info, text);
    }

    /// Marks the latest line as the reason of a refusal.
    pub fn refuse(&mut self, what: Refused, name: impl fmt::Display) {
        let why = self.lines.last().map_or("", |line| &line.text).to_string();
        self.refuse_because(what, name, why);
    }

    /// Marks the latest line as a refusal whose reason is `why`.
    pub fn refuse_because(&mut self, what: Refused, name: impl fmt::Display, why: String) {
        let refusal = Refusal { what, name: name.to_string(), why };
        match self.lines.last_mut() {
            // One line refuses one thing: the first refusal stays.
            Some(line) if self.left_out == 0 => line.refusal = line.refusal.take().or(Some(refusal)),
            _ => self.refused_out = self.refused_out.take().or(Some(refusal)),
        }
    }

    /// Returns the number of lines.
    pub fn count(&self) -> usize {
        self.lines.len()
    }

    /// Returns the line with a number, from 0.
    pub fn line(&self, number: usize) -> Option<&str> {
        self.lines.get(number).map(|line| line.text.as_str())
    }

    /// Returns the lines, with one more at the end if some were left out.
    pub fn into_vec(self) -> Vec<Note> {
        let mut lines = self.lines;
        if self.left_out > 0 {
            let text = format!("{} more lines left out: raise MAX_NOTES", self.left_out);
            let refusal = self.refused_out.map(|refusal| Refusal { why: text.clone(), ..refusal });
            lines.push(Note { level: Level::Warn, text, refusal });
        }
        lines
    }
}

/// A user's text for a line of the log: control characters become `?`, and a text of more than
/// [`MAX_WORDS`] characters is cut and ends in `...`.
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
    fn a_line_says_what_it_refuses() {
        let mut notes = Notes::default();
        notes.info("a");
        notes.error("b");
        notes.refuse(Refused::Node, "n");
        notes.warn("c");
        notes.refuse_because(Refused::Parameter, "p", "d".to_string());
        let refused: Vec<String> =
            notes.clone().into_vec().iter().filter_map(|note| note.refusal.as_ref()).map(Refusal::to_string).collect();
        assert_eq!(refused, ["node n: b", "parameter p: d"]);

        (0..MAX_NOTES).for_each(|_| notes.info("more"));
        notes.refuse(Refused::Node, "m");
        let lines = notes.into_vec();
        let last = lines[MAX_NOTES].refusal.as_ref().expect("a refusal among lines that were left out is one");
        assert_eq!(last.to_string(), "node m: 3 more lines left out: raise MAX_NOTES");
    }

    #[test]
    fn words_are_bounded_and_harmless() {
        assert_eq!(Words("a\u{1b}[2Jb\n").to_string(), "a?[2Jb?");
        let long = "x".repeat(MAX_WORDS + 1);
        assert_eq!(Words(&long).to_string(), format!("{}...", "x".repeat(MAX_WORDS)));
        assert_eq!(Words(&long[1..]).to_string(), long[1..]);
    }
}
