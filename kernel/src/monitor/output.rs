//! Where a command's output goes: to the console, through the `grep` filters behind it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::machine::Machine;

/// Bytes of a line that a filter keeps; what is longer is matched and printed up to here.
pub const MAX_FILTERED_LINE: usize = 64 * 1024;

/// The console with filters in front of it.
pub struct Output<'o, M: ?Sized> {
    /// The machine, for the command that prints.
    pub machine: &'o mut M,
    filters: Vec<String>,
    line: String,
}

impl<'o, M: Machine + ?Sized> Output<'o, M> {
    /// An output that prints only lines which hold every one of these words.
    pub fn new(machine: &'o mut M, filters: Vec<String>) -> Self {
        Self { machine, filters, line: String::new() }
    }

    /// Prints a last line that has no newline.
    pub fn finish(mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        if self.filters.iter().all(|word| self.line.contains(word.as_str())) {
            self.line.push('\n');
            self.machine.write_str(&self.line);
        }
        self.line.clear();
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
    use crate::mock::Mock;
    use std::fmt::Write;
    use std::vec;

    #[test]
    fn lines_are_filtered_whole() {
        let mut machine = Mock::default();
        let mut output = Output::new(&mut machine, vec!["a".into(), "b".into()]);
        for piece in ["x a", " b\n", "a\nb\n", "ba"] {
            output.write_str(piece).expect("never fails");
        }
        output.finish();
        assert_eq!(machine.take(), "x a b\nba\n");
    }

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn a_line_without_end_is_bounded() {
        let mut machine = Mock::default();
        let mut output = Output::new(&mut machine, vec!["a".into()]);
        for _ in 0..MAX_FILTERED_LINE {
            output.write_str("aaaa").expect("never fails");
        }
        output.finish();
        assert_eq!(machine.take().len(), MAX_FILTERED_LINE + 1);
    }
}
