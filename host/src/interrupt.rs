// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ctrl-C while a command runs.
//!
//! What holds true: of the commands that take long, what runs ends at its next step, what is
//! written is whole lines, and a line says what is done; the status is [`STATUS_STOPPED`]. A second
//! Ctrl-C ends the process at once, and so does any in the other commands.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use host::machine::STOPPED;
use signal_hook::consts::SIGINT;
use signal_hook::flag;

use crate::Failure;
use crate::cli::Command;

/// Ctrl-C ended it, as shells say that of a process.
const STATUS_STOPPED: u8 = 130;

/// What a command says that Ctrl-C ended.
pub(crate) fn stopped(done: &str) -> Failure {
    Failure { line: format!("stopped by Ctrl-C{done}"), status: STATUS_STOPPED }
}

/// Whether Ctrl-C was typed.
pub(crate) fn is_stopped() -> bool {
    STOPPED.load(Ordering::Relaxed)
}

/// Runs a command; one that looks for Ctrl-C hears it.
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
