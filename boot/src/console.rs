// SPDX-License-Identifier: MIT OR Apache-2.0

//! The console: what is printed, what is typed, and the kernel's log.
//!
//! Output is polled. Input comes by interrupt into a ring, so that Ctrl-C is noticed while a command runs. When the ring is
//! full the receive interrupt is masked until a reader has made room: the UART's FIFO fills, the sender waits, and a pasted file
//! is not lost.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use log::{LevelFilter, Log, Metadata, Record};
use spin::mutex::SpinMutex;

use crate::board::pl011::Pl011;
use crate::cpu::clock;
use crate::cpu::irq::{IrqMask, IrqMutex};

/// Bytes typed ahead before the sender is held back: what is pasted while a load runs fits, so that a Ctrl-C behind it arrives.
const RING_BYTES: usize = 16 * 1024;
/// What a terminal sends for Ctrl-C.
const CTRL_C: u8 = 0x03;

/// The console UART's address; 0 before there is one.
static UART: AtomicU32 = AtomicU32::new(0);
/// Held while a line is printed, so that lines stay whole. Interrupt handlers never print.
static OUTPUT: SpinMutex<()> = SpinMutex::new(());
static INPUT: IrqMutex<Input> = IrqMutex::new(Input { ring: [0; RING_BYTES], first: 0, count: 0, held: false });
/// A Ctrl-C is in the ring that nobody has asked for.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

struct Input {
    ring: [u8; RING_BYTES],
    first: usize,
    count: usize,
    /// The ring was full, and the receive interrupt is masked.
    held: bool,
}

impl Input {
    fn push(&mut self, byte: u8) {
        self.ring[(self.first + self.count) % RING_BYTES] = byte;
        self.count += 1;
    }

    fn pop(&mut self) -> Option<u8> {
        if self.count == 0 {
            return None;
        }
        let byte = self.ring[self.first];
        self.first = (self.first + 1) % RING_BYTES;
        self.count -= 1;
        Some(byte)
    }

    /// Takes what the UART has, as far as there is room.
    fn fill(&mut self, uart: Pl011) {
        while self.count < RING_BYTES {
            let Some(byte) = uart.receive() else { break };
            if byte == CTRL_C {
                INTERRUPTED.store(true, Ordering::Relaxed);
            }
            self.push(byte);
        }
        let full = self.count == RING_BYTES;
        if full != self.held {
            self.held = full;
            uart.interrupt_on_receive(!full);
        }
    }

    /// Takes the first Ctrl-C out, and what was typed of its line before it, as a terminal does; leaves the rest in order.
    /// Says whether there are more.
    fn remove_ctrl_c(&mut self) -> bool {
        let at = |offset: usize| self.ring[(self.first + offset) % RING_BYTES];
        let Some(found) = (0..self.count).find(|&offset| at(offset) == CTRL_C) else { return false };
        let line = (0..found).rev().find(|&offset| matches!(at(offset), b'\r' | b'\n')).map_or(0, |end| end + 1);
        for offset in 0..self.count {
            let Some(byte) = self.pop() else { break };
            if !(line..=found).contains(&offset) {
                self.push(byte);
            }
        }
        self.holds_ctrl_c()
    }

    fn holds_ctrl_c(&self) -> bool {
        (0..self.count).any(|offset| self.ring[(self.first + offset) % RING_BYTES] == CTRL_C)
    }
}

fn uart() -> Option<Pl011> {
    let base = UART.load(Ordering::Relaxed);
    // SAFETY: `init` stored the address, of which its caller vouched.
    (base != 0).then(|| unsafe { Pl011::new(base) })
}

/// Prints on the UART at `base` from now on, if there is one.
///
/// # Safety
/// `base` is accessible as device memory, and stays so.
pub unsafe fn init(base: u32) -> bool {
    // SAFETY: accessible by the caller's word; whether it is a PL011's is asked before anything else.
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

/// Takes input by interrupt from now on; the interrupt controller has to know the UART's.
pub fn enable_input() {
    if let Some(uart) = uart() {
        uart.interrupt_on_receive(true);
    }
    // SAFETY: no lock is held here, and the handlers' data are in place.
    unsafe { cortex_a::interrupt::enable() };
    crate::cpu::irq::unmask_fatal();
}

/// The receive interrupt's handler.
pub fn receive() {
    if let Some(uart) = uart() {
        INPUT.lock().fill(uart);
    }
}

/// The next byte typed; sleeps until there is one.
pub fn read_byte() -> u8 {
    loop {
        // Masked while it looks, so that no byte can come between looking and sleeping; a pending interrupt still wakes.
        let mask = IrqMask::new();
        if let Some(byte) = poll_byte() {
            return byte;
        }
        cortex_a::asm::wfi();
        drop(mask);
    }
}

/// The next byte typed, if there is one.
pub fn poll_byte() -> Option<u8> {
    let mut input = INPUT.lock();
    let byte = input.pop()?;
    if input.held
        && let Some(uart) = uart()
    {
        input.fill(uart);
    }
    if byte == CTRL_C {
        INTERRUPTED.store(input.holds_ctrl_c(), Ordering::Relaxed);
    }
    Some(byte)
}

/// True once after each Ctrl-C; takes it out of the input, and the line that it ended.
#[inline]
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed) && take_ctrl_c()
}

#[cold]
fn take_ctrl_c() -> bool {
    let mut input = INPUT.lock();
    let more = input.remove_ctrl_c();
    INTERRUPTED.store(more, Ordering::Relaxed);
    if input.held
        && let Some(uart) = uart()
    {
        input.fill(uart);
    }
    true
}

/// True while a Ctrl-C waits for somebody to ask for it; it stays.
pub fn wants_out() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Prints, waiting for whoever prints.
pub fn print(text: &str) {
    let _whole = OUTPUT.lock();
    // `Raw` never fails.
    Raw.write_str(text).ok();
}

/// The console without its lock: for reports of what may have happened while the lock was held.
pub struct Raw;

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

/// Prints a line on the UART at `base` where there is no memory for this module's statics.
///
/// # Safety
/// As for [`init`].
pub unsafe fn print_without_statics(base: u32, line: fmt::Arguments<'_>) {
    struct Line(Pl011);

    impl Write for Line {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            text.bytes().for_each(|byte| self.0.send(byte));
            Ok(())
        }
    }

    // SAFETY: accessible by the caller's word; whether it is a PL011's is asked before anything else.
    let uart = unsafe { Pl011::new(base) };
    if uart.is_present() {
        uart.init();
        // `Line` never fails.
        write!(Line(uart), "[    0.000000] {line}\r\n").ok();
        uart.flush();
    }
}

/// Waits until the console has sent everything.
pub fn flush() {
    if let Some(uart) = uart() {
        uart.flush();
    }
}

/// Prints a line of the log, whatever the log's level: for what ends the machine.
pub fn emergency(line: fmt::Arguments<'_>) {
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
pub fn init_log() {
    // The only call, so no logger can be set before it.
    log::set_logger(&KernelLog).ok();
    set_loglevel(kernel::cmdline::DEFAULT_LOGLEVEL);
}

/// `loglevel=` as on Linux: messages below that level are printed; errors are 3, warnings 4, information 6.
pub fn set_loglevel(loglevel: u8) {
    log::set_max_level(match loglevel {
        0..=3 => LevelFilter::Off,
        4 => LevelFilter::Error,
        5 | 6 => LevelFilter::Warn,
        _ => LevelFilter::Info,
    });
}
