// SPDX-License-Identifier: MIT OR Apache-2.0

//! The console's output and the kernel's log. Output is polled.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, Ordering};

use log::{LevelFilter, Log, Metadata, Record};
use spin::mutex::SpinMutex;

use crate::board::pl011::Pl011;
use crate::cpu::clock;

/// The console UART's address; 0 before there is one.
static UART: AtomicU32 = AtomicU32::new(0);
/// Held while text is printed, so that lines stay whole. Interrupt handlers never print.
static OUTPUT: SpinMutex<()> = SpinMutex::new(());
/// Returns the console's UART, if there is one.
pub(crate) fn uart() -> Option<Pl011> {
    let base = UART.load(Ordering::Relaxed);
    // SAFETY: `init` stored the address, which its caller guarantees.
    (base != 0).then(|| unsafe { Pl011::new(base) })
}

/// Makes the PL011 at `base` the console; returns false if there is none.
///
/// # Safety
/// `base` is accessible as device memory, and stays so.
pub(crate) unsafe fn init(base: u32) -> bool {
    // SAFETY: accessible, as the caller guarantees; it is checked to be a PL011 before it is used.
    let new = unsafe { Pl011::new(base) };
    if !new.is_present() {
        return false;
    }
    if let Some(before) = uart() {
        before.flush();
    }
    new.init();
    UART.store(base, Ordering::Relaxed);
    true
}

/// Prints `text`; waits for the lock of the output.
pub(crate) fn print(text: &str) {
    let _whole = OUTPUT.lock();
    // `Raw` never fails.
    Raw.write_str(text).ok();
}

/// The console without its lock: for reports of what may have happened while the lock was held.
pub(crate) struct Raw;

impl Write for Raw {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let Some(uart) = uart() else { return Ok(()) };
        for byte in text.bytes() {
            if byte == b'\n' {
                uart.send(b'\r');
            }
            uart.send(byte);
        }
        Ok(())
    }
}

/// Prints a line on the UART at `base` without this module's statics, which may be outside RAM.
///
/// # Safety
/// As for [`init`].
pub(crate) unsafe fn print_without_statics(base: u32, line: fmt::Arguments<'_>) {
    struct Line(Pl011);

    impl Write for Line {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            text.bytes().for_each(|byte| self.0.send(byte));
            Ok(())
        }
    }

    // SAFETY: accessible, as the caller guarantees; it is checked to be a PL011 before it is used.
    let uart = unsafe { Pl011::new(base) };
    if uart.is_present() {
        uart.init();
        // `Line` never fails.
        write!(Line(uart), "[    0.000000] {line}\r\n").ok();
        uart.flush();
    }
}

/// Waits until the console has sent everything.
pub(crate) fn flush() {
    if let Some(uart) = uart() {
        uart.flush();
    }
}

/// Prints a line with the log's timestamp at any log level: for errors that end the machine.
pub(crate) fn emergency(line: fmt::Arguments<'_>) {
    let microseconds = clock::now_ns() / 1000;
    let (seconds, fraction) = (microseconds / 1_000_000, microseconds % 1_000_000);
    let _whole = OUTPUT.lock();
    // `Raw` never fails.
    writeln!(Raw, "[{seconds:5}.{fraction:06}] {line}").ok();
}

/// The `log` crate's backend: lines like Linux's, `[    0.000123] text`.
struct KernelLog;

impl Log for KernelLog {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            emergency(*record.args());
        }
    }

    fn flush(&self) {}
}

/// Starts the log.
pub(crate) fn init_log() {
    // The only call, so no logger can be set before it.
    log::set_logger(&KernelLog).ok();
    set_loglevel(reserved::cmdline::DEFAULT_LOGLEVEL);
}

/// Sets the log level as Linux's `loglevel=` does: messages below it are printed; errors are 3,
/// warnings 4, information 6.
pub(crate) fn set_loglevel(loglevel: u8) {
    log::set_max_level(match loglevel {
        0..=3 => LevelFilter::Off,
        4 => LevelFilter::Error,
        5 | 6 => LevelFilter::Warn,
        _ => LevelFilter::Info,
    });
}
