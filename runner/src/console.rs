// SPDX-License-Identifier: MIT OR Apache-2.0

//! The machine's output.
//!
//! If it is not written to a terminal, lines are written whole, each with one call, so that runs
//! that write to one pipe lose no records; CR, which a serial line needs, is removed. Only the
//! prompt's line is written before it ends, while the input is open and idle, for a program that
//! waits for it.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The prompt of the kernel's monitor.
const PROMPT: &[u8] = b"debris> ";
/// Maximum of bytes of a line; a longer one is written in pieces.
const LONGEST_LINE: usize = 64 * 1024;

/// The state of the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Input {
    /// Open, with bytes to read.
    Busy,
    /// Open, without bytes to read.
    Idle,
    /// At its end.
    Ended,
}

/// The output, and its unfinished line.
#[derive(Debug)]
pub(crate) struct Console<W> {
    out: W,
    /// The output is a terminal: every byte is written at once.
    screen: bool,
    line: Vec<u8>,
    /// Bytes of the line that are written.
    shown: usize,
    input: Input,
}

/// Locks the console. A thread that panicked has ended the process.
pub(crate) fn lock<W>(console: &Mutex<Console<W>>) -> MutexGuard<'_, Console<W>> {
    console.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<W: Write> Console<W> {
    /// Creates a console that writes to `out`; `screen` is true for a terminal.
    pub(crate) fn new(out: W, screen: bool) -> Self {
        Self { out, screen, line: Vec::new(), shown: 0, input: Input::Busy }
    }

    /// Prints the machine's output; true if the last line is only a prompt.
    pub(crate) fn print(&mut self, bytes: &[u8]) -> io::Result<bool> {
        if self.screen {
            self.out.write_all(bytes)?;
        }
        for &byte in bytes.iter().filter(|&&byte| byte != b'\r') {
            self.line.push(byte);
            if byte == b'\n' || self.line.len() == LONGEST_LINE {
                self.show()?;
                self.line.clear();
                self.shown = 0;
            }
        }
        self.show_prompt()?;
        Ok(self.line == PROMPT)
    }

    /// Ends an unfinished line after the machine's end.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if !self.screen && !self.line.is_empty() {
            self.line.push(b'\n');
            self.show()?;
        }
        Ok(())
    }

    /// Sets the state of the input.
    pub(crate) fn set_input(&mut self, input: Input) -> io::Result<()> {
        self.input = input;
        self.show_prompt()
    }

    fn show_prompt(&mut self) -> io::Result<()> {
        if self.input == Input::Idle && self.line.starts_with(PROMPT) { self.show() } else { Ok(()) }
    }

    fn show(&mut self) -> io::Result<()> {
        if !self.screen && self.shown < self.line.len() {
            self.out.write_all(&self.line[self.shown..])?;
            self.shown = self.line.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records what each call wrote.
    #[derive(Default)]
    struct Calls(Vec<String>);

    impl Write for Calls {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns what is written for `pieces`, which are printed in the state `input`.
    fn written(screen: bool, input: Input, pieces: &[&str]) -> Vec<String> {
        let mut console = Console::new(Calls::default(), screen);
        console.set_input(input).unwrap();
        for piece in pieces {
            console.print(piece.as_bytes()).unwrap();
        }
        console.finish().unwrap();
        console.out.0
    }

    #[test]
    fn lines_are_written_whole_and_without_cr() {
        for input in [Input::Busy, Input::Idle, Input::Ended] {
            let lines = written(false, input, &["{\"rec", "ord\":1}\r", "\none\r\n\r\ntwo", "\r\nun", "ended"]);
            assert_eq!(lines, ["{\"record\":1}\n", "one\n", "\n", "two\n", "unended\n"]);
        }
        let long = "x".repeat(LONGEST_LINE);
        assert_eq!(written(false, Input::Ended, &[&long, "y\n"]), [long.as_str(), "y\n"]);
        assert_eq!(written(true, Input::Idle, &["a\r", "\nb"]), ["a\r", "\nb"], "a terminal gets all as it is");
    }

    #[test]
    fn a_prompt_is_shown_to_whoever_waits_for_it() {
        let said = ["text\r\ndebr", "is> ", "cm", "a\r\n"];
        assert_eq!(written(false, Input::Idle, &said), ["text\n", "debris> ", "cm", "a\n"]);
        for input in [Input::Busy, Input::Ended] {
            assert_eq!(written(false, input, &said), ["text\n", "debris> cma\n"]);
        }
        let mut console = Console::new(Calls::default(), false);
        assert!(console.print(b"debris> ").unwrap() && !console.print(b"c").unwrap());
        assert!(console.out.0.is_empty());
        console.set_input(Input::Idle).unwrap();
        assert_eq!(console.out.0, ["debris> c"], "also where it came before the typing ended");
    }
}
