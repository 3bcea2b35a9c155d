// SPDX-License-Identifier: MIT OR Apache-2.0

//! The result of a machine: console, records, status.

use serde_json::Value;

use crate::records;

/// The result of a machine that has ended.
#[derive(Debug)]
pub struct Outcome {
    console: String,
    complaints: String,
    status: Option<i32>,
}

impl Outcome {
    /// Creates an outcome. `status` is `None` if the machine had to be ended.
    ///
    /// # Panics
    /// If a record does not match its page. A machine that had to be ended is not checked: its
    /// console may end in the middle of a record.
    pub(crate) fn new(console: String, complaints: String, status: Option<i32>) -> Self {
        if status.is_some() {
            let wrong = records::check(console.lines());
            assert!(
                wrong.is_empty(),
                "records that {} does not allow:\n{wrong}\nthe console:\n{console}",
                records::PAGE
            );
        }
        Self { console, complaints, status }
    }

    /// Returns the whole text of the console.
    pub fn console(&self) -> &str {
        &self.console
    }

    /// Returns QEMU's exit status; `None` if it had to be ended.
    pub fn status(&self) -> Option<i32> {
        self.status
    }

    /// Returns the console's lines, without the boot log's timestamps.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.console.lines().map(without_timestamp)
    }

    /// Returns the records: every line that starts with `{`.
    ///
    /// # Panics
    /// If such a line is not JSON, or does not begin with its record's name.
    pub fn records(&self) -> Vec<Value> {
        let lines = self.console.lines().filter(|line| line.starts_with('{'));
        lines
            .map(|line| {
                assert!(line.starts_with("{\"record\":\""), "`record` does not come first: {line}");
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in the record {line}"))
            })
            .collect()
    }

    /// Returns the only record named `name`.
    ///
    /// # Panics
    /// If there is none, or more than one.
    pub fn record(&self, name: &str) -> Value {
        let mut found = self.records_of(name);
        assert_eq!(found.len(), 1, "{name} records: {self}");
        found.remove(0)
    }

    /// Returns the records named `name`.
    pub fn records_of(&self, name: &str) -> Vec<Value> {
        self.records().into_iter().filter(|record| record["record"] == name).collect()
    }

    /// Asserts that the machine ended by itself with `status`.
    ///
    /// # Panics
    /// If it did not; so do the other assertions, each showing the console.
    #[track_caller]
    pub fn ended_with(&self, status: i32) -> &Self {
        assert_eq!(self.status, Some(status), "the status; {self}");
        self
    }

    /// Asserts that a line of the console contains `words`.
    #[track_caller]
    pub fn says(&self, words: &str) -> &Self {
        assert!(self.lines().any(|line| line.contains(words)), "no line with {words:?}; {self}");
        self
    }

    /// Asserts that a line of the console is `line`, timestamp aside.
    #[track_caller]
    pub fn has_line(&self, line: &str) -> &Self {
        assert!(self.lines().any(|found| found == line), "no line {line:?}; {self}");
        self
    }

    /// Asserts that no line of the console contains `words`.
    #[track_caller]
    pub fn does_not_say(&self, words: &str) -> &Self {
        assert!(!self.lines().any(|line| line.contains(words)), "a line with {words:?}; {self}");
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.status {
            Some(status) => write!(f, "QEMU's status {status}")?,
            None => write!(f, "QEMU had to be ended")?,
        }
        write!(f, "; its own words: {:?}; the console:\n{}", self.complaints, self.console)
    }
}

/// Returns `line` without the `[    0.123456] ` of the boot log.
pub(crate) fn without_timestamp(line: &str) -> &str {
    let Some((stamp, rest)) = line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) else { return line };
    let digits = stamp.trim_start();
    let is_stamp = digits.contains('.') && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    if is_stamp { rest } else { line }
}
