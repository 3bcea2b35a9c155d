// SPDX-License-Identifier: MIT OR Apache-2.0

//! A running machine at a terminal: typed keys, and the screen.

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

/// Request for the cursor's position.
const WHERE_IS_THE_CURSOR: &[u8] = b"\x1b[6n";
/// A console without output for this time is taken to be idle.
const QUIET: Duration = Duration::from_millis(300);

/// Bytes that the terminal received, and its screen.
struct Seen {
    screen: vt100::Parser,
    bytes: Vec<u8>,
    ended: bool,
}

/// A machine whose console is a terminal of its own. Dropping it ends its QEMU.
pub struct Terminal {
    child: Child,
    pty: Arc<Pty>,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    thread: Option<JoinHandle<()>>,
    /// Number of bytes that [`Terminal::fresh`] has returned.
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
    /// If the machine has ended.
    pub fn press(&mut self, keys: impl AsRef<[u8]>) {
        let typed = (&*self.pty).write_all(keys.as_ref());
        if let Err(error) = typed {
            panic!("typing: {error}; the screen:\n{}", self.screen());
        }
    }

    /// Waits until `wanted` is true of the screen, and returns its text.
    ///
    /// # Panics
    /// If it does not become true in time.
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

    /// Waits until the cursor's row is `row` up to the cursor, blanks included, and returns the
    /// screen's text.
    pub fn wait_for_row(&mut self, row: &str) -> String {
        self.wait_until(row, |screen| before_cursor(screen) == row)
    }

    /// Waits until the cursor's row is `before` up to the cursor and `behind` after it.
    pub fn wait_for_line(&mut self, before: &str, behind: &str) -> String {
        let whole = format!("{before}{behind}");
        self.wait_until(&whole, |screen| before_cursor(screen) == before && row(screen).trim_end() == whole.trim_end())
    }

    /// Waits until a row is `wanted`.
    pub fn wait_for(&mut self, wanted: &str) -> String {
        self.wait_until(wanted, |screen| text(screen).lines().any(|row| row.trim_end() == wanted))
    }

    /// Waits until no bytes come, and returns those that came since the last call.
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

    /// Returns every byte that came.
    pub fn bytes(&self) -> Vec<u8> {
        lock(&self.seen.0).bytes.clone()
    }

    /// Returns the text of the screen.
    pub fn screen(&self) -> String {
        text(lock(&self.seen.0).screen.screen())
    }

    /// Resizes the terminal, as a user does with a window.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        lock(&self.seen.0).screen.screen_mut().set_size(size(rows), size(columns));
        self.pty.resize(Size::new(rows, columns)).expect("the terminal takes another size");
    }

    /// Waits until the machine ends by itself, and returns QEMU's status.
    ///
    /// # Panics
    /// If it does not end in time.
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
        // Both fail only if the child is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Updates the screen until the terminal's other side is closed, and answers requests for the
/// cursor.
fn watch(pty: &Pty, shared: &(Mutex<Seen>, Condvar)) {
    let mut buffer = [0; 4096];
    // Bytes that are not on the screen yet: they may be the beginning of a request.
    let mut waiting = Vec::new();
    loop {
        let length = (&*pty).read(&mut buffer).unwrap_or(0);
        let mut seen = lock(&shared.0);
        seen.bytes.extend_from_slice(&buffer[..length]);
        waiting.extend_from_slice(&buffer[..length]);
        while let Some(at) = find(&waiting, WHERE_IS_THE_CURSOR) {
            seen.screen.process(&waiting[..at]);
            let (row, column) = seen.screen.screen().cursor_position();
            // Fails only if the machine is gone.
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

/// Returns the screen's rows, without blanks at their ends.
fn text(screen: &vt100::Screen) -> String {
    let columns = screen.size().1.get();
    let rows: Vec<String> = screen.rows(0, columns).map(|row| row.trim_end().to_string()).collect();
    rows.join("\n").trim_end().to_string()
}

/// Returns the row that the cursor is in.
fn row(screen: &vt100::Screen) -> String {
    let (row, _) = screen.cursor_position();
    screen.rows(0, screen.size().1.get()).nth(row.into()).unwrap_or_default()
}

/// Returns the cursor's row up to the cursor, blanks included.
fn before_cursor(screen: &vt100::Screen) -> String {
    let (_, column) = screen.cursor_position();
    let row: String = row(screen).chars().take(column.into()).collect();
    format!("{row:<width$}", width = usize::from(column))
}
