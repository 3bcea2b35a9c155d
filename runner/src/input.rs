// SPDX-License-Identifier: MIT OR Apache-2.0

//! The input that is piped in, on its way to the machine.
//!
//! The UART loses bytes that arrive before the kernel has set it up, so input waits until the
//! machine has printed something. After the input's end, EOT is sent, and once more for every later
//! prompt: a machine that restarted has lost the first.

use std::io::{ErrorKind, Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::Receiver;

use crate::console::{self, Console, Input};
use crate::stream::Stream;

/// End of transmission: what a terminal sends for Ctrl-D.
const EOT: &[u8] = b"\x04";

/// Passes the input on until it ends, or the machine takes no more. `prompts` gets a message when
/// the machine begins to print, and whenever it waits at a prompt.
pub(crate) fn feed(
    mut stdin: Stream,
    mut machine: impl Write,
    console: &Mutex<Console<Stream>>,
    prompts: &Receiver<()>,
) {
    let mut buffer = [0; 4096];
    let mut last = b'\n';
    let mut began = false;
    loop {
        if !stdin.is_ready() {
            set(console, Input::Idle);
        }
        let length = match stdin.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // An input that cannot be read has ended.
            Err(_) => 0,
        };
        set(console, if length == 0 { Input::Ended } else { Input::Busy });
        if !began && prompts.recv().is_err() {
            return;
        }
        began = true;
        if length == 0 {
            break;
        }
        last = buffer[length - 1];
        if machine.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
    // A last line without an end gets one.
    let end: &[u8] = if matches!(last, b'\n' | b'\r') { b"" } else { b"\n" };
    let mut sent = machine.write_all(end);
    while sent.is_ok() {
        sent = machine.write_all(EOT);
        if prompts.recv().is_err() {
            return;
        }
    }
}

/// Ignores errors: the thread that prints gets them, too.
fn set(console: &Mutex<Console<Stream>>, input: Input) {
    let _ = console::lock(console).set_input(input);
}
