//! The prompt: `embedded-cli` edits the line and keeps the history; this module feeds it bytes and reads the line back.
//!
//! The editor needs no answers from the terminal, so a pipe or a script can type as well as a person. It is given printable
//! ASCII and the keys it knows; everything else is turned into those, or dropped. A line that is longer than the editor holds
//! is not run, and says so.

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::cell::RefCell;
use core::convert::Infallible;

use embedded_cli::autocomplete::{Autocompletion, Request};
use embedded_cli::cli::{Cli, CliBuilder, CliHandle};
use embedded_cli::command::RawCommand;
use embedded_cli::service::{Autocomplete, CommandProcessor, Help, ProcessError};
use embedded_io::{ErrorType, Write};

use super::{End, Monitor, Outcome, help};
use crate::machine::Machine;

/// What asks for a command.
const PROMPT: &str = "debris> ";
/// Characters of the longest line.
pub const MAX_LINE: usize = 1024;
/// Bytes of history.
const HISTORY: usize = 4096;

const CTRL_A: u8 = 0x01;
const CTRL_C: u8 = 0x03;
const CTRL_E: u8 = 0x05;
const CTRL_U: u8 = 0x15;
const TAB: u8 = b'\t';
const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7f;
const ESCAPE: u8 = 0x1b;

/// Reads lines and executes them until one ends the machine.
pub(super) fn run<M: Machine + ?Sized>(monitor: &mut Monitor<'_, '_, M>) -> End {
    let mut editor = Editor::new();
    let start = editor.echo.take();
    monitor.machine.write_str(&start);
    loop {
        let byte = monitor.machine.read_byte();
        let typed = editor.feed(byte);
        monitor.machine.write_str(&editor.echo.take());
        let Some(line) = typed else { continue };
        let outcome = match line {
            Ok(line) => monitor.execute(&line),
            Err(dropped) => {
                let length = MAX_LINE + dropped;
                let text = format!("the line of {length} characters was not run: {MAX_LINE} are the most (MAX_LINE)\n");
                monitor.machine.write_str(&text);
                Outcome::Ok
            }
        };
        match outcome {
            Outcome::PowerOff(status) => return End::PowerOff(status),
            Outcome::Reboot => return End::Reboot,
            Outcome::Ok | Outcome::Failed(_) => monitor.machine.write_str(PROMPT),
        }
    }
}

/// What the editor wants on the terminal.
#[derive(Clone, Default)]
struct Echo(Rc<RefCell<String>>);

impl Echo {
    /// Takes it, with the line ends that [`Machine::write_str`] wants.
    fn take(&self) -> String {
        core::mem::take(&mut *self.0.borrow_mut()).replace("\r\n", "\n")
    }

    fn len(&self) -> usize {
        self.0.borrow().len()
    }
}

impl ErrorType for Echo {
    type Error = Infallible;
}

impl Write for Echo {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        // The editor is given ASCII only, and writes whole strings.
        self.0.borrow_mut().push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Where an escape sequence stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    Started,
    /// After ESC `[`; ends with a byte from 0x40 to 0x7e.
    Csi,
    /// After ESC `O`: one more byte.
    Single,
}

struct Editor {
    cli: Cli<Echo, Infallible, Box<Line>, Box<History>>,
    echo: Echo,
    escape: Escape,
    last: u8,
    /// Characters typed into a full line.
    dropped: usize,
}

struct Line([u8; MAX_LINE]);
struct History([u8; HISTORY]);

impl embedded_cli::buffer::Buffer for Box<Line> {
    fn as_slice(&self) -> &[u8] {
        &self.0
    }

    fn as_slice_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl embedded_cli::buffer::Buffer for Box<History> {
    fn as_slice(&self) -> &[u8] {
        &self.0
    }

    fn as_slice_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Editor {
    fn new() -> Self {
        let echo = Echo::default();
        let Ok(cli) = CliBuilder::default()
            .writer(echo.clone())
            .command_buffer(Box::new(Line([0; MAX_LINE])))
            .history_buffer(Box::new(History([0; HISTORY])))
            .prompt(PROMPT)
            .build();
        Self { cli, echo, escape: Escape::None, last: 0, dropped: 0 }
    }

    /// Takes a byte from the terminal. The end of a line gives the line, or the number of characters that it is too long.
    fn feed(&mut self, byte: u8) -> Option<Result<String, usize>> {
        let last = core::mem::replace(&mut self.last, byte);
        match (self.escape, byte) {
            (_, ESCAPE) => self.escape = Escape::Started,
            (Escape::Started, b'[') => self.escape = Escape::Csi,
            (Escape::Started, b'O') => self.escape = Escape::Single,
            (Escape::Started, _) => self.escape = Escape::None,
            (Escape::Csi, 0x40..=0x7e) | (Escape::Single, _) => {
                self.escape = Escape::None;
                self.cursor_key(byte);
            }
            (Escape::Csi, b' '..=b'?') => {}
            // The second half of CR LF, or of LF CR.
            (_, b'\n') if last == b'\r' => {}
            (_, b'\r') if last == b'\n' => {}
            (_, b'\r' | b'\n') => {
                self.escape = Escape::None;
                return Some(self.end_line());
            }
            (_, CTRL_C) => self.abandon_line(),
            (_, BACKSPACE | DELETE) => self.give(BACKSPACE),
            (_, TAB) => self.give(TAB),
            (_, CTRL_A) => self.cursor_key(b'H'),
            (_, CTRL_E) => self.cursor_key(b'F'),
            (_, CTRL_U) => self.give_while_it_shows(&[BACKSPACE]),
            (_, b' '..=b'~') => {
                let before = self.echo.len();
                self.give(byte);
                self.dropped += usize::from(self.echo.len() == before);
            }
            _ => {}
        }
        None
    }

    fn give(&mut self, byte: u8) {
        let Ok(()) = self.cli.process_byte::<Names, _>(byte, &mut Ignore);
    }

    /// A cursor key by the last byte of its sequence.
    fn cursor_key(&mut self, key: u8) {
        match key {
            b'A'..=b'D' => [ESCAPE, b'[', key].iter().for_each(|&byte| self.give(byte)),
            b'H' => self.give_while_it_shows(&[ESCAPE, b'[', b'D']),
            b'F' => self.give_while_it_shows(&[ESCAPE, b'[', b'C']),
            _ => {}
        }
    }

    /// Repeats a key until it changes nothing any more.
    fn give_while_it_shows(&mut self, key: &[u8]) {
        for _ in 0..MAX_LINE {
            let before = self.echo.len();
            key.iter().for_each(|&byte| self.give(byte));
            if self.echo.len() == before {
                break;
            }
        }
    }

    /// Reads the line back, puts it into the history and empties the editor. The prompt is left to the caller, who prints
    /// what the command prints before it.
    fn end_line(&mut self) -> Result<String, usize> {
        let before = self.echo.take();
        let Ok(()) = self.cli.write(|_| Ok(()));
        let redrawn = self.echo.take();
        let line = redrawn.split_once(PROMPT).map_or("", |(_, line)| line).to_string();
        self.give(b'\r');
        self.echo.take();
        let mut echo = before;
        echo.push('\n');
        *self.echo.0.borrow_mut() = echo;
        match core::mem::take(&mut self.dropped) {
            0 => Ok(line),
            dropped => Err(dropped),
        }
    }

    fn abandon_line(&mut self) {
        self.escape = Escape::None;
        self.dropped = 0;
        let before = self.echo.take();
        self.cursor_key(b'F');
        self.give_while_it_shows(&[BACKSPACE]);
        self.echo.take();
        *self.echo.0.borrow_mut() = before + "^C\n" + PROMPT;
    }
}

/// The editor's own idea of commands is not used: the monitor takes lines.
struct Ignore;

impl CommandProcessor<Echo, Infallible> for Ignore {
    fn process<'a>(
        &mut self,
        _: &mut CliHandle<'_, Echo, Infallible>,
        _: RawCommand<'a>,
    ) -> Result<(), ProcessError<'a, Infallible>> {
        Ok(())
    }
}

/// Completion: the names of the commands.
struct Names;

impl Autocomplete for Names {
    fn autocomplete(request: Request<'_>, completion: &mut Autocompletion<'_>) {
        if let Request::CommandName(typed) = request {
            // The editor knows `help` by itself.
            for name in help::COMMANDS.iter().map(|entry| entry.name).filter(|&name| name != "help") {
                if let Some(rest) = name.strip_prefix(typed) {
                    completion.merge_autocompletion(rest);
                }
            }
        }
    }
}

impl Help for Names {}
