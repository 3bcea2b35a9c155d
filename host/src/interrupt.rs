// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ctrl-C while a command runs.
//!
//! Invariants: a command that takes long ends at its next step, after whole lines of output, and
//! prints a line with what is done; the status is [`STATUS_STOPPED`]. A second Ctrl-C ends the
//! process at once, and so does the first one in all other commands.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use host::machine::STOPPED;
use signal_hook::consts::SIGINT;
use signal_hook::flag;

use crate::Failure;
use crate::cli::Command;

/// Status of a command that Ctrl-C ended, as in shells.
const STATUS_STOPPED: u8 = 130;

/// Returns the failure of a command that Ctrl-C ended; `done` says what is done.
pub(crate) fn stopped(done: &str) -> Failure {
    Failure { line: format!("stopped by Ctrl-C{done}"), status: STATUS_STOPPED }
}

/// True if Ctrl-C was typed.
pub(crate) fn is_stopped() -> bool {
    STOPPED.load(Ordering::Relaxed)
}

/// Runs a command. One that checks for Ctrl-C gets a handler for it.
pub(crate) fn heeded_by(command: Command, run: impl FnOnce(Command) -> Result<(), Failure>) -> Result<(), Failure> {
    use Command::{Compare, Lab, Replay, Size, Sweep};
    if matches!(command, Size(_) | Replay(_) | Compare(_) | Sweep(_) | Lab(_)) {
        let second = flag::register_conditional_shutdown(SIGINT, STATUS_STOPPED.into(), Arc::clone(&STOPPED));
        let both = second.and_then(|_| flag::register(SIGINT, Arc::clone(&STOPPED)));
        both.map_err(|error| Failure::bad(format!("Ctrl-C cannot be heard: {error}")))?;
    }
    let result = run(command);
    match result {
        Err(failure) if failure.status == STATUS_STOPPED => Err(failure),
        _ if is_stopped() => Err(stopped("")),
        result => result,
    }
}
