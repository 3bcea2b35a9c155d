// SPDX-License-Identifier: MIT OR Apache-2.0

//! `runner QEMU ARGUMENT...`: runs QEMU for `scripts/qemu`, and passes redirected streams on.
//!
//! Invariants:
//! 1. The status is QEMU's own; 124 if TIMEOUT ended it, 141 if the reader of its output has gone.
//! 2. QEMU does not outlive the runner, however the runner ends (on Linux, by a parent-death
//!    signal).
//! 3. Input that is not a terminal arrives whole, and then EOT, at which the kernel ends the
//!    machine: a serial line has no end that a kernel could see. See [`input`].
//! 4. Output that is not a terminal is whole lines, without CR, each written at once: [`console`].
//! 5. Only QEMU uses a terminal.

mod console;
mod input;
mod limit;
mod stream;

use std::env;
use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use console::Console;
use rustix::process::Signal;
use shared_child::SharedChild;
use shared_child::unix::SharedChildExt;
use stream::Stream;

/// Time between SIGTERM and SIGKILL, and time to wait after QEMU's end for the reader of its
/// output.
const GRACE: Duration = Duration::from_secs(5);
/// Status of a run that took longer than TIMEOUT, as in `timeout`.
const TIMED_OUT: u8 = 124;
/// Added to the number of the signal that ended QEMU, as in shells.
const BY_SIGNAL: i32 = 128;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: runner QEMU ARGUMENT...");
        return ExitCode::FAILURE;
    };
    match run(&program, arguments) {
        Ok(status) => ExitCode::from(status),
        Err(why) => {
            eprintln!("scripts/qemu: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs QEMU and returns the status to end with. A thread that still reads the input ends with the
/// process.
fn run(program: &OsString, arguments: impl Iterator<Item = OsString>) -> Result<u8, String> {
    let limit = limit::from_environment()?;
    let keyboard = io::stdin().is_terminal();
    let screen = io::stdout().is_terminal();
    let mut command = Command::new(program);
    command.args(arguments);
    if !keyboard {
        command.stdin(Stdio::piped());
    }
    if !keyboard || !screen {
        command.stdout(Stdio::piped());
    }
    // SIGTERM if there is a terminal, whose settings QEMU then restores.
    end_with_us(&mut command, if keyboard { Signal::TERM } else { Signal::KILL });
    let qemu = SharedChild::spawn(&mut command).map_err(|error| format!("{}: {error}", program.display()))?;
    let qemu = Arc::new(qemu);

    let printed = qemu.take_stdout().map(|pipe| {
        let out = Stream::of(io::stdout())?;
        let console = Arc::new(Mutex::new(Console::new(out, screen)));
        let (prompted, prompts) = mpsc::sync_channel(1);
        if let Some(pipe) = qemu.take_stdin() {
            let stdin = Stream::of(io::stdin())?;
            let console = Arc::clone(&console);
            thread::spawn(move || input::feed(stdin, pipe, &console, &prompts));
        }
        let qemu = Arc::clone(&qemu);
        let (done, printed) = mpsc::channel();
        thread::spawn(move || {
            let result = print(pipe, &console, &prompted);
            if result.is_err() {
                // Fails only where QEMU has ended.
                let _ = qemu.send_signal(Signal::TERM.as_raw());
            }
            // The receiver waits, or has given up.
            let _ = done.send(result);
        });
        Ok::<_, String>(printed)
    });
    let printed = printed.transpose()?;

    let waiting = |error: io::Error| format!("waiting for QEMU: {error}");
    let Some(limit) = limit else {
        let status = qemu.wait().map_err(waiting)?;
        return status_with(status, printed.and_then(|printed| printed.recv().ok()));
    };
    if let Some(status) = qemu.wait_timeout(limit).map_err(waiting)? {
        return status_with(status, printed.and_then(|printed| printed.recv().ok()));
    }
    // Both fail only where QEMU has ended.
    let _ = qemu.send_signal(Signal::TERM.as_raw());
    if qemu.wait_timeout(GRACE).map_err(waiting)?.is_none() {
        let _ = qemu.kill();
        qemu.wait().map_err(waiting)?;
    }
    drain(printed);
    // QEMU's own line speaks of a signal.
    let _ = writeln!(io::stderr(), "TIMEOUT is over: QEMU was ended after {limit:?}");
    Ok(TIMED_OUT)
}

/// Waits for the rest of the output, at most [`GRACE`]: its reader may have stopped reading.
fn drain(printed: Option<Receiver<io::Result<()>>>) {
    if let Some(printed) = printed {
        // In either case, the run has ended.
        let _ = printed.recv_timeout(GRACE);
    }
}

/// Returns QEMU's status, unless its output could not be written.
fn status_with(status: ExitStatus, printed: Option<io::Result<()>>) -> Result<u8, String> {
    match printed {
        Some(Err(error)) if error.kind() == ErrorKind::BrokenPipe => {
            return Ok((BY_SIGNAL + Signal::PIPE.as_raw()) as u8);
        }
        Some(Err(error)) => return Err(format!("standard output: {error}")),
        Some(Ok(())) | None => {}
    }
    let code = status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal));
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Passes on QEMU's output; notifies `prompted` at its beginning, and when a prompt waits.
fn print(mut pipe: impl Read, console: &Mutex<Console<Stream>>, prompted: &SyncSender<()>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let mut began = false;
    loop {
        let length = match pipe.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let mut console = console::lock(console);
        if length == 0 {
            return console.finish();
        }
        let prompt = console.print(&buffer[..length])?;
        if prompt || !began {
            began = true;
            // There is no receiver if the input is a terminal; and one message that waits is
            // enough.
            let _ = prompted.try_send(());
        }
    }
}

/// Makes the command's process end by `signal` when the thread that starts it ends.
#[cfg(target_os = "linux")]
fn end_with_us(command: &mut Command, signal: Signal) {
    use std::os::unix::process::CommandExt;

    use rustix::process::{getpid, getppid, set_parent_process_death_signal};

    let us = getpid();
    let ask = move || {
        set_parent_process_death_signal(Some(signal))?;
        // The parent ended before the child asked.
        if getppid() == Some(us) { Ok(()) } else { Err(rustix::io::Errno::SRCH.into()) }
    };
    // SAFETY: between fork and exec `ask` makes two system calls, and allocates and locks nothing.
    unsafe { command.pre_exec(ask) };
}

/// There is no parent-death signal here.
#[cfg(not(target_os = "linux"))]
fn end_with_us(_: &mut Command, _: Signal) {}
