// SPDX-License-Identifier: MIT OR Apache-2.0

//! A running machine at a terminal: what a person types, and what a person sees.

use std::io::{Read, Write};
use std::num::NonZero;
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::{self, Pty};

use crate::session::{Place, lock};
use crate::tree::TreeFile;

/// What asks a terminal where its cursor is.
const WHERE_IS_THE_CURSOR: &[u8] = b"\x1b[6n";
/// A console that says nothing for so long has nothing more to say.
const QUIET: Duration = Duration::from_millis(300);

/// What the terminal has got, and what it shows of it.
struct Seen {
    screen: vt100::Parser,
    bytes: Vec<u8>,
    ended: bool,
}

/// A machine whose console is a terminal of its own. Dropped, it ends its QEMU.
pub struct Terminal {
    child: Child,
    pty: Arc<Pty>,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    thread: Option<JoinHandle<()>>,
    /// How many of the bytes [`Terminal::fresh`] has returned.
    passed: usize,
    deadline: Instant,
    _tree: Option<TreeFile>,
    _place: Place,
}

fn size(number: u16) -> NonZero<u16> {
    NonZero::new(number).expect("a terminal has a size")
}

impl Terminal {
    /// Starts the command on a terminal of this size.
    pub(crate) fn start(command: &Command, tree: Option<TreeFile>, limit: Duration, rows: u16, columns: u16) -> Self {
        let place = Place::take();
        let (pty, terminal) = blocking::open().expect("there is a pseudo-terminal");
        pty.resize(Size::new(rows, columns)).expect("it has a size");
        let mut start = blocking::Command::new(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            start = match value {
                Some(value) => start.env(name, value),
                None => start.env_remove(name),
            };
        }
        let child = start.spawn(terminal).expect("scripts/qemu can be started");
        let screen = vt100::Parser::new(size(rows), size(columns), 0);
        let seen = Arc::new((Mutex::new(Seen { screen, bytes: Vec::new(), ended: false }), Condvar::new()));
        let pty = Arc::new(pty);
        let thread = thread::spawn({
            let (pty, seen) = (Arc::clone(&pty), Arc::clone(&seen));
            move || watch(&pty, &seen)
        });
        let deadline = Instant::now() + limit;
        Self { child, pty, seen, thread: Some(thread), passed: 0, deadline, _tree: tree, _place: place }
    }

    /// Types `keys` as they are; a return is `\r`.
    ///
    /// # Panics
    /// Where the machine has ended.
    pub fn press(&mut self, keys: impl AsRef<[u8]>) {
        let typed = (&*self.pty).write_all(keys.as_ref());
        if let Err(error) = typed {
            panic!("typing: {error}; the screen:\n{}", self.screen());
        }
    }

    /// Waits until the screen is as wanted, and returns its text.
    ///
    /// # Panics
    /// Where it does not become so in time.
    pub fn wait_until(&mut self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) -> String {
        let shared = Arc::clone(&self.seen);
        let mut seen = lock(&shared.0);
        loop {
            if wanted(seen.screen.screen()) {
                return text(seen.screen.screen());
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if seen.ended || left.is_zero() {
                let screen = text(seen.screen.screen());
                drop(seen);
                panic!("{what:?} did not come; the screen:\n{screen}");
            }
            seen = shared.1.wait_timeout(seen, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    /// Waits until the cursor's row reads so up to the cursor, blanks included, and returns the
    /// screen's text.
    pub fn wait_for_row(&mut self, row: &str) -> String {
        self.wait_until(row, |screen| before_cursor(screen) == row)
    }

    /// Waits until the cursor's row, on both sides of the cursor, reads so.
    pub fn wait_for_line(&mut self, before: &str, behind: &str) -> String {
        let whole = format!("{before}{behind}");
        self.wait_until(&whole, |screen| before_cursor(screen) == before && row(screen).trim_end() == whole.trim_end())
    }

    /// Waits until some row reads so.
    pub fn wait_for(&mut self, wanted: &str) -> String {
        self.wait_until(wanted, |screen| text(screen).lines().any(|row| row.trim_end() == wanted))
    }

    /// Waits until nothing comes any more, and returns the bytes that came since this was asked
    /// last.
    pub fn fresh(&mut self) -> Vec<u8> {
        let shared = Arc::clone(&self.seen);
        let mut seen = lock(&shared.0);
        loop {
            let before = seen.bytes.len();
            seen = shared.1.wait_timeout(seen, QUIET).unwrap_or_else(std::sync::PoisonError::into_inner).0;
            if seen.bytes.len() == before || seen.ended {
                break;
            }
        }
        let fresh = seen.bytes[self.passed..].to_vec();
        self.passed = seen.bytes.len();
        fresh
    }

    /// Every byte that came.
    pub fn bytes(&self) -> Vec<u8> {
        lock(&self.seen.0).bytes.clone()
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        text(lock(&self.seen.0).screen.screen())
    }

    /// Makes the terminal another size, as somebody does who pulls at its window.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        lock(&self.seen.0).screen.screen_mut().set_size(size(rows), size(columns));
        self.pty.resize(Size::new(rows, columns)).expect("the terminal takes another size");
    }

    /// Waits for the machine's own end, and returns QEMU's status.
    ///
    /// # Panics
    /// Where it does not end in time.
    pub fn finish(mut self) -> Option<i32> {
        while Instant::now() < self.deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("the machine did not end; the screen:\n{}", self.screen());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Both fail only where the child is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Shows what comes until nobody writes to the terminal any more, and answers for it.
fn watch(pty: &Pty, shared: &(Mutex<Seen>, Condvar)) {
    let mut buffer = [0; 4096];
    // What came and is not on the screen yet: it may be the beginning of the question.
    let mut waiting = Vec::new();
    loop {
        let length = (&*pty).read(&mut buffer).unwrap_or(0);
        let mut seen = lock(&shared.0);
        seen.bytes.extend_from_slice(&buffer[..length]);
        waiting.extend_from_slice(&buffer[..length]);
        while let Some(at) = find(&waiting, WHERE_IS_THE_CURSOR) {
            seen.screen.process(&waiting[..at]);
            let (row, column) = seen.screen.screen().cursor_position();
            // Fails only where the machine is gone.
            let _ = (&*pty).write_all(format!("\x1b[{};{}R", row + 1, column + 1).as_bytes());
            waiting.drain(..at + WHERE_IS_THE_CURSOR.len());
        }
        let begun =
            (1..WHERE_IS_THE_CURSOR.len()).rev().find(|&begun| waiting.ends_with(&WHERE_IS_THE_CURSOR[..begun]));
        let shown = waiting.len() - begun.unwrap_or(0);
        seen.screen.process(&waiting[..shown]);
        waiting.drain(..shown);
        seen.ended = length == 0;
        shared.1.notify_all();
        if length == 0 {
            return;
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The screen's rows, each as long as what stands in it.
fn text(screen: &vt100::Screen) -> String {
    let columns = screen.size().1.get();
    let rows: Vec<String> = screen.rows(0, columns).map(|row| row.trim_end().to_string()).collect();
    rows.join("\n").trim_end().to_string()
}

/// The row that the cursor is in.
fn row(screen: &vt100::Screen) -> String {
    let (row, _) = screen.cursor_position();
    screen.rows(0, screen.size().1.get()).nth(row.into()).unwrap_or_default()
}

/// That row up to the cursor, blanks included.
fn before_cursor(screen: &vt100::Screen) -> String {
    let (_, column) = screen.cursor_position();
    let row: String = row(screen).chars().take(column.into()).collect();
    format!("{row:<width$}", width = usize::from(column))
}
