// SPDX-License-Identifier: MIT OR Apache-2.0

//! The output of a command: through its `grep` filters to the console.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use lab::record;
use machine::Machine;

/// Bytes of a line that a filter keeps; a longer line is matched and printed up to here.
pub(crate) const MAX_FILTERED_LINE: usize = 64 * 1024;

/// A `grep`: selects lines.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Filter {
    /// Parts that follow each other in a matching line: the word, cut at `.*`. [`ANY`] is any byte.
    parts: Vec<Vec<u8>>,
    /// The first part begins the line: the word began with `^`.
    at_start: bool,
    /// The last part ends the line: the word ended with `$`.
    at_end: bool,
    /// `-i`
    ignore_case: bool,
    /// `-v`
    invert: bool,
    /// `-c`: prints the number of selected lines at the end instead of the lines.
    count: bool,
    counted: u64,
    /// Prefix of all printed lines: the file's name and a colon if there are several files, else
    /// empty.
    name: String,
}

/// A `.` of a pattern. No line contains this byte.
const ANY: u8 = 0;

/// True if `text` begins with `part`, a part of a pattern.
fn begins(text: &[u8], part: &[u8]) -> bool {
    part.len() <= text.len() && part.iter().zip(text).all(|(&wanted, &byte)| wanted == ANY || wanted == byte)
}

/// Returns the bytes of a part: `.` is any byte, `\.` a dot.
fn bytes_of(part: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut escaped = false;
    for byte in part.bytes() {
        match byte {
            b'\\' if !escaped => escaped = true,
            _ => {
                bytes.push(if byte == b'.' && !escaped { ANY } else { byte });
                escaped = false;
            }
        }
    }
    bytes
}

impl Filter {
    /// Creates a filter that removes records.
    fn but_records() -> Self {
        Self { parts: alloc::vec![record::BEGINNING.into()], at_start: true, invert: true, ..Self::default() }
    }

    /// Returns this filter with the name of a file as the prefix.
    #[must_use]
    pub(crate) fn named(&self, file: &str) -> Self {
        Self { name: format!("{file}:"), ..self.clone() }
    }

    /// Takes options and the word from the front of `words`, and leaves the rest.
    ///
    /// # Errors
    /// A line that says what is wrong with them.
    pub(crate) fn take(words: &mut Vec<String>) -> Result<Self, String> {
        let mut filter = Self::default();
        let mut word = None;
        while word.is_none() {
            if words.is_empty() {
                return Err("takes one word; usage: COMMAND | grep [-i] [-v] [-c] WORD".into());
            }
            let next = words.remove(0);
            match next.strip_prefix('-') {
                Some("-") if !words.is_empty() => word = Some(words.remove(0)),
                Some(options) if !options.is_empty() => {
                    for option in options.chars() {
                        match option {
                            'i' => filter.ignore_case = true,
                            'v' => filter.invert = true,
                            'c' => filter.count = true,
                            _ => return Err(format!("invalid option -- {option:?}; there are -i, -v and -c")),
                        }
                    }
                }
                _ => word = Some(next),
            }
        }
        let word = word.unwrap_or_default();
        let (word, at_start) = word.strip_prefix('^').map_or((word.as_str(), false), |word| (word, true));
        let (word, at_end) = word.strip_suffix('$').map_or((word, false), |word| (word, true));
        (filter.at_start, filter.at_end) = (at_start, at_end);
        filter.parts = word
            .split(".*")
            .map(|part| bytes_of(&if filter.ignore_case { part.to_ascii_lowercase() } else { part.into() }))
            .collect();
        Ok(filter)
    }

    /// True if the line is selected: to be printed, or counted.
    fn matches(&self, line: &str) -> bool {
        let lower;
        let line = if self.ignore_case {
            lower = line.to_ascii_lowercase();
            &lower
        } else {
            line
        };
        self.finds(line) != self.invert
    }

    /// True if the parts follow each other in the line. The first match of each part leaves the
    /// most text for the others.
    fn finds(&self, line: &str) -> bool {
        let mut rest = line.as_bytes();
        for (place, part) in self.parts.iter().enumerate() {
            let (first, last) = (place == 0, place + 1 == self.parts.len());
            if last && self.at_end {
                let place = rest.len().checked_sub(part.len()).filter(|&place| place == 0 || !(first && self.at_start));
                return place.is_some_and(|place| begins(&rest[place..], part));
            }
            let most = if first && self.at_start { 0 } else { rest.len() };
            match (0..=most).find(|&place| begins(&rest[place..], part)) {
                Some(place) => rest = &rest[place + part.len()..],
                None => return false,
            }
        }
        true
    }
}

/// The console with filters in front of it.
pub(crate) struct Output<'o, M: ?Sized> {
    /// The machine, for the command that prints.
    pub machine: &'o mut M,
    filters: Vec<Filter>,
    line: String,
}

impl<'o, M: Machine + ?Sized> Output<'o, M> {
    /// Creates an output that prints only lines which all `filters` select, and no records if
    /// `quiet`.
    pub(crate) fn new(machine: &'o mut M, quiet: bool, mut filters: Vec<Filter>) -> Self {
        if quiet {
            filters.insert(0, Filter::but_records());
        }
        Self { machine, filters, line: String::new() }
    }

    /// Returns the machine, to run on, and the filters, to print through meanwhile.
    pub(crate) fn split(&mut self) -> (&mut M, Filters<'_>) {
        (self.machine, Filters { filters: &mut self.filters, line: &mut self.line })
    }

    /// Adds a filter in front of the others.
    pub(crate) fn filter_first(&mut self, filter: Filter) {
        self.filters.insert(0, filter);
    }

    /// Removes the first filter; a last line without a newline ends there.
    pub(crate) fn unfilter_first(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.print_count(0);
        self.filters.remove(0);
    }

    /// Prints a last line that has no newline, and the filters' counts.
    pub(crate) fn finish(mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
        (0..self.filters.len()).for_each(|place| self.print_count(place));
    }

    fn print_count(&mut self, place: usize) {
        let Some(filter) = self.filters.get(place).filter(|filter| filter.count) else { return };
        self.line = format!("{}{}", filter.name, filter.counted);
        self.print_line(place + 1);
        self.line.clear();
    }

    fn end_line(&mut self) {
        self.print_line(0);
        self.line.clear();
    }

    /// Prints the line if the filters from number `from` on select it.
    fn print_line(&mut self, from: usize) {
        for filter in &mut self.filters[from..] {
            if !filter.matches(&self.line) {
                return;
            }
            if filter.count {
                filter.counted += 1;
                return;
            }
            self.line.insert_str(0, &filter.name);
        }
        self.line.push('\n');
        self.machine.write_str(&self.line);
    }
}

/// The filters of an output, while its machine is borrowed.
pub(crate) struct Filters<'f> {
    filters: &'f mut Vec<Filter>,
    line: &'f mut String,
}

impl Filters<'_> {
    /// Prints `text` through the filters to `machine`.
    pub(crate) fn print<M: Machine + ?Sized>(&mut self, machine: &mut M, text: fmt::Arguments<'_>) -> fmt::Result {
        let (filters, line) = (core::mem::take(self.filters), core::mem::take(self.line));
        let mut output = Output { machine, filters, line };
        let result = fmt::Write::write_fmt(&mut output, text);
        (*self.filters, *self.line) = (output.filters, output.line);
        result
    }
}

impl<M: Machine + ?Sized> fmt::Write for Output<'_, M> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.filters.is_empty() {
            self.machine.write_str(text);
            return Ok(());
        }
        for piece in text.split_inclusive('\n') {
            let (piece, ends) = piece.strip_suffix('\n').map_or((piece, false), |piece| (piece, true));
            if self.line.len() + piece.len() <= MAX_FILTERED_LINE {
                self.line.push_str(piece);
            }
            if ends {
                self.end_line();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use board_mock::Mock;
    use std::fmt::Write;
    use std::string::ToString;
    use std::vec;

    fn filter(words: &str) -> Filter {
        Filter::take(&mut words.split(' ').map(ToString::to_string).collect()).expect("a filter")
    }

    #[test]
    fn lines_are_filtered_whole() {
        let mut machine = Mock::default();
        let mut output = Output::new(&mut machine, false, vec![filter("a"), filter("b")]);
        for piece in ["x a", " b\n", "a\nb\n", "ba"] {
            output.write_str(piece).expect("never fails");
        }
        output.finish();
        assert_eq!(machine.take(), "x a b\nba\n");
    }

    #[test]
    fn patterns() {
        for (pattern, line, found) in [
            (".", "x", true),
            (".", "", false),
            ("a.c", "xabcx", true),
            ("a.c", "ac", false),
            (r"a\.c", "abc", false),
            (r"a\.c", "a.c", true),
            ("^.b", "abb", true),
            ("^.b", "aab", false),
            ("b.$", "aba", true),
            ("^a.*b$", "ab", true),
            ("^a.*b$", "aba", false),
            ("^ab$", "ab", true),
            ("^ab$", "abab", false),
            ("^$", "", true),
            ("^$", "a", false),
            ("b$", "ab", true),
            ("a.*a.*a", "aa", false),
            ("", "", true),
            ("é", "né", true),
        ] {
            assert_eq!(filter(pattern).matches(line), found, "{pattern} in {line}");
        }
    }

    #[test]
    fn a_quiet_output_has_no_records() {
        let mut machine = Mock::default();
        let mut output = Output::new(&mut machine, true, Vec::new());
        output.write_str("a\n{\"record\":\"x\"}\n {\"record\":\"y\"}\n{b").expect("never fails");
        output.finish();
        assert_eq!(machine.take(), "a\n {\"record\":\"y\"}\n{b\n");
    }

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn a_line_without_end_is_bounded() {
        let mut machine = Mock::default();
        let mut output = Output::new(&mut machine, false, vec![filter("a")]);
        for _ in 0..MAX_FILTERED_LINE {
            output.write_str("aaaa").expect("never fails");
        }
        output.finish();
        assert_eq!(machine.take().len(), MAX_FILTERED_LINE + 1);
    }

    #[test]
    fn options_and_counts() {
        let through = |filters: &[&str]| {
            let mut machine = Mock::default();
            let mut output = Output::new(&mut machine, false, filters.iter().map(|words| filter(words)).collect());
            output.write_str("CmaTotal: 1\nthe Cma\nfree: 11").expect("never fails");
            output.finish();
            machine.take()
        };
        assert_eq!(through(&["-i cma"]), "CmaTotal: 1\nthe Cma\n");
        assert_eq!(through(&["-v Cma"]), "free: 11\n");
        assert_eq!(through(&["^Cma"]), "CmaTotal: 1\n");
        assert_eq!(through(&["-iv -c CMA"]), "1\n");
        assert_eq!(through(&["Cma", "-c 1"]), "1\n");
        assert_eq!(through(&["-c Cma", "2"]), "2\n");
        assert_eq!(through(&["-c nothing"]), "0\n");
        assert!(Filter::take(&mut vec!["-x".into(), "a".into()]).is_err_and(|line| line.contains("'x'")));
        assert!(Filter::take(&mut vec!["-i".into()]).is_err());
        assert_eq!(through(&["-"]), "");
        assert_eq!(through(&["-- -"]), "");
        for (word, lines) in [
            ("C.*1", "CmaTotal: 1\n"),
            (".*", "CmaTotal: 1\nthe Cma\nfree: 11\n"),
            ("a$", "the Cma\n"),
            ("^the.*a$", "the Cma\n"),
            ("^Cma$", ""),
            ("^free:.*11$", "free: 11\n"),
            ("1.*1$", "free: 11\n"),
            ("11.*1$", ""),
            ("T.*C", ""),
            ("$", "CmaTotal: 1\nthe Cma\nfree: 11\n"),
        ] {
            assert_eq!(through(&[word]), lines, "{word}");
        }
    }
}
