// SPDX-License-Identifier: MIT OR Apache-2.0

//! A running machine: its keyboard, its console, and its end.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::outcome::Outcome;
use crate::tree::TreeFile;

/// Most machines that run at a time in one test program: their limits are wall-clock time.
const MACHINES: usize = 2;
/// Time that QEMU has to exit after its console closed.
const EXIT_LIMIT: Duration = Duration::from_secs(5);

static RUNNING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// Permission to run one machine, returned when dropped.
#[derive(Debug)]
pub(crate) struct Place;

impl Place {
    pub(crate) fn take() -> Self {
        let mut running = lock(&RUNNING.0);
        while *running >= MACHINES {
            running = RUNNING.1.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        *running += 1;
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *lock(&RUNNING.0) -= 1;
        RUNNING.1.notify_one();
    }
}

/// Bytes that a thread has read from a pipe so far, and whether the pipe has ended.
#[derive(Default)]
struct Heard {
    text: Mutex<(Vec<u8>, bool)>,
    changed: Condvar,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that failed with the lock held has failed already; the others continue.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(mut pipe: impl Read + Send + 'static) -> (Arc<Heard>, JoinHandle<()>) {
    let heard = Arc::new(Heard::default());
    let writer = Arc::clone(&heard);
    let thread = thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            let length = pipe.read(&mut buffer).unwrap_or(0);
            let mut text = lock(&writer.text);
            text.0.extend_from_slice(&buffer[..length]);
            text.1 = length == 0;
            writer.changed.notify_all();
            if length == 0 {
                return;
            }
        }
    });
    (heard, thread)
}

/// A running machine. Dropping it ends its QEMU.
pub struct Session {
    child: Child,
    keyboard: Option<ChildStdin>,
    console: Arc<Heard>,
    complaints: Arc<Heard>,
    threads: Vec<JoinHandle<()>>,
    /// Bytes of the console that [`Session::expect`] has passed.
    passed: usize,
    deadline: Instant,
    _tree: Option<TreeFile>,
    _place: Place,
}

impl Session {
    pub(crate) fn start(mut command: Command, tree: Option<TreeFile>, limit: Duration) -> Self {
        let place = Place::take();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("scripts/qemu can be started");
        let keyboard = child.stdin.take();
        let (console, console_thread) = listen(child.stdout.take().expect("standard output is piped"));
        let (complaints, complaints_thread) = listen(child.stderr.take().expect("standard error is piped"));
        Self {
            child,
            keyboard,
            console,
            complaints,
            threads: vec![console_thread, complaints_thread],
            passed: 0,
            deadline: Instant::now() + limit,
            _tree: tree,
            _place: place,
        }
    }

    /// Types `keys` as they are; a return is `\r`.
    ///
    /// # Panics
    /// If the machine has ended.
    pub fn send(&mut self, keys: &str) {
        let keyboard = self.keyboard.as_mut().expect("the keyboard is there until the end");
        let typed = keyboard.write_all(keys.as_bytes()).and_then(|()| keyboard.flush());
        if let Err(error) = typed {
            panic!("typing {keys:?}: {error}; the console:\n{}", self.text());
        }
    }

    /// Types one command at the prompt and waits for the next prompt; returns the text in between,
    /// without the echo's line.
    ///
    /// # Panics
    /// If no prompt follows in time.
    pub fn command(&mut self, command: &str) -> String {
        self.send(command);
        self.send("\r");
        // The editor may draw the prompt again while the line is typed; the echo of the return ends
        // that.
        self.expect("\n");
        self.expect("debris> ")
    }

    /// Waits until `text` is on the console after what was expected before; returns the text before
    /// it.
    ///
    /// # Panics
    /// If it does not come in time.
    pub fn expect(&mut self, text: &str) -> String {
        let console = Arc::clone(&self.console);
        let mut heard = lock(&console.text);
        loop {
            let fresh = &heard.0[self.passed..];
            if let Some(at) = fresh.windows(text.len()).position(|window| window == text.as_bytes()) {
                let before = plain(&fresh[..at]);
                self.passed += at + text.len();
                return before;
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            let ended = heard.1;
            if ended || left.is_zero() {
                let why = if ended { "the machine ended" } else { "it took too long" };
                let console = plain(&heard.0);
                drop(heard);
                panic!("{text:?} did not come: {why}; the console:\n{console}");
            }
            heard = console.changed.wait_timeout(heard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Returns the text of the console so far.
    pub fn text(&self) -> String {
        plain(&lock(&self.console.text).0)
    }

    /// Waits until the machine ends by itself; ends it if its time is over.
    pub fn finish(mut self) -> Outcome {
        let console = Arc::clone(&self.console);
        let mut heard = lock(&console.text);
        while !heard.1 {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            heard = console.changed.wait_timeout(heard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let ended = heard.1;
        drop(heard);
        let status = if ended { self.exit_status() } else { None };
        self.end();
        Outcome::new(self.text(), plain(&lock(&self.complaints.text).0), status)
    }

    /// Ends the machine at once, whatever it does; returns the text of the console.
    pub fn cut_power(mut self) -> String {
        self.end();
        self.text()
    }

    fn exit_status(&mut self) -> Option<i32> {
        let deadline = Instant::now() + EXIT_LIMIT;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(2));
        }
        None
    }

    /// Ends this session's own QEMU, if it still runs, and its readers.
    fn end(&mut self) {
        drop(self.keyboard.take());
        // Both fail only if the child is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

/// Converts console bytes to text with the host's line ends.
fn plain(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\r', "")
}
