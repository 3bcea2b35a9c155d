// SPDX-License-Identifier: MIT OR Apache-2.0

//! The prompt: bytes → `keys` → the `editor`'s line → completed or executed.
//!
//! `editline` holds the line and the history, `complete` has the candidates. Nothing blocks until
//! the terminal answers, so that a pipe or a script can type, too. Keys are ASCII; other bytes that
//! are not part of a known key are dropped. A line that is longer than `MAX_LINE` is not run; a
//! message says so. EOT (Ctrl-D) in an empty line ends the machine like `poweroff`: a serial line
//! has no other end of input.

mod editor;
mod keys;

use alloc::format;
use alloc::string::String;

use super::complete::complete;
use super::{End, Monitor, Outcome, TERMINAL_COLUMNS};
pub(crate) use editor::MAX_LINE;
use editor::{Editor, Typed};
use machine::Machine;

/// The command that Ctrl-D in an empty line executes.
const LEAVE: &str = "poweroff";

/// A prompt that gets bytes. It never waits for one, so that a caller without a terminal can pass
/// them as they arrive.
pub struct Prompt {
    editor: Editor,
}

impl Default for Prompt {
    fn default() -> Self {
        Self::new()
    }
}

impl Prompt {
    /// Creates a prompt with an empty line.
    pub fn new() -> Self {
        Self { editor: Editor::new() }
    }

    /// Adds a line to the history.
    pub fn remember(&mut self, line: &str) {
        self.editor.remember(line);
    }

    /// Prints the editor's output, and news of background jobs if the line is empty.
    pub fn show<M: Machine + ?Sized>(&mut self, monitor: &mut Monitor<'_, '_, M>) {
        let Self { editor } = self;
        monitor.machine.write_str(&editor.take_output());
        while monitor.have_news() && editor.is_empty() {
            monitor.machine.write_str("\n");
            if let Err(failure) = monitor.say_of_jobs() {
                monitor.report(&failure);
            }
            editor.begin_line();
            monitor.machine.write_str(&editor.take_output());
        }
    }

    /// Lets background jobs do some steps; returns false if none can.
    pub fn idle<M: Machine + ?Sized>(&mut self, monitor: &mut Monitor<'_, '_, M>) -> bool {
        monitor.step_jobs()
    }

    /// Handles a byte, and executes the line that it ends. Returns the end of the machine if that
    /// line requests one.
    pub fn type_byte<M: Machine + ?Sized>(&mut self, monitor: &mut Monitor<'_, '_, M>, byte: u8) -> Option<End> {
        let Self { editor } = self;
        let outcome = match editor.feed(byte)? {
            Typed::Tab => {
                complete_line(monitor, editor);
                return None;
            }
            Typed::EndOfInput => {
                monitor.machine.write_str(&format!("{}{LEAVE}\n", editor.take_output()));
                monitor.execute(LEAVE)
            }
            Typed::Line(line) => {
                monitor.machine.write_str(&editor.take_output());
                monitor.execute(&line)
            }
            Typed::TooLong(length) => {
                let text = format!("the line of {length} characters was not run: {MAX_LINE} are the most (MAX_LINE)\n");
                monitor.machine.write_str(&editor.take_output());
                monitor.machine.write_str(&text);
                Outcome::Ok
            }
        };
        match outcome {
            Outcome::PowerOff(status) => Some(End::PowerOff(status)),
            Outcome::Reboot => Some(End::Reboot),
            Outcome::Ok | Outcome::Failed(_) => {
                editor.begin_line();
                None
            }
        }
    }
}

/// Reads lines and executes them until one ends the machine.
pub(super) fn run<M: Machine + ?Sized>(monitor: &mut Monitor<'_, '_, M>) -> End {
    let mut prompt = Prompt::new();
    loop {
        prompt.show(monitor);
        let byte = match monitor.machine.poll_byte() {
            Some(byte) => byte,
            None if prompt.idle(monitor) => continue,
            None => monitor.machine.read_byte(),
        };
        if let Some(end) = prompt.type_byte(monitor, byte) {
            return end;
        }
    }
}

/// Inserts the common text of all candidates; if that is empty, lists them.
fn complete_line<M: Machine + ?Sized>(monitor: &Monitor<'_, '_, M>, editor: &mut Editor) {
    let completion = complete::<M>(monitor.system, &monitor.context, editor.before_cursor());
    if !completion.insert.is_empty() {
        editor.insert(&completion.insert);
    } else if completion.candidates.is_empty() {
        editor.ring();
    } else {
        editor.print_above(&in_columns(&completion.candidates));
    }
}

/// Formats words like `ls`, sorted down the columns.
fn in_columns(words: &[String]) -> String {
    let width = words.iter().map(|word| word.chars().count()).max().unwrap_or_default() + 2;
    let columns = (TERMINAL_COLUMNS / width).max(1);
    let rows = words.len().div_ceil(columns);
    let mut lines = String::new();
    for row in 0..rows {
        let mut words = words.iter().skip(row).step_by(rows).peekable();
        while let Some(word) = words.next() {
            lines.push_str(word);
            if words.peek().is_some() {
                lines.extend(core::iter::repeat_n(' ', width - word.chars().count()));
            }
        }
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn candidates_stand_in_columns() {
        let words: Vec<String> = (0..10).map(|number| format!("word-{number:015}")).collect();
        let lines = in_columns(&words);
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0], "word-000000000000000  word-000000000000004  word-000000000000008");
        assert_eq!(lines[3], "word-000000000000003  word-000000000000007");
        assert_eq!(in_columns(&["x".repeat(100)]), "x".repeat(100) + "\n");
        assert_eq!(in_columns(&[]), "");
    }
}
