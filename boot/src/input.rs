// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is typed at the console.
//!
//! Input comes by interrupt into a ring, so that Ctrl-C is noticed while a command runs. When the
//! ring is full the receive interrupt is masked until a reader has made room: the UART's FIFO
//! fills, the sender waits, and a pasted file is not lost.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::board::pl011::Pl011;
use crate::console::uart;
use crate::cpu::irq::{self, IrqMask, IrqMutex};

/// Bytes typed ahead before the sender is held back: what is pasted while a load runs fits, so that
/// a Ctrl-C behind it arrives.
const RING_BYTES: usize = 16 * 1024;
/// What a terminal sends for Ctrl-C.
const CTRL_C: u8 = 0x03;

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

    /// Takes the first Ctrl-C out, and what was typed of its line before it, as a terminal does;
    /// leaves the rest in order. Says whether there are more.
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

/// Takes input by interrupt from now on; the interrupt controller has to know the UART's.
pub(crate) fn enable() {
    if let Some(uart) = uart() {
        uart.interrupt_on_receive(true);
    }
    // SAFETY: no lock is held here, and the handlers' data are in place.
    unsafe { cortex_a::interrupt::enable() };
    irq::unmask_fatal();
}

/// The receive interrupt's handler.
pub(crate) fn receive() {
    if let Some(uart) = uart() {
        INPUT.lock().fill(uart);
    }
}

/// The next byte typed; sleeps until there is one.
pub(crate) fn read_byte() -> u8 {
    loop {
        // Masked while it looks, so that no byte can come between looking and sleeping; a pending
        // interrupt still wakes.
        let mask = IrqMask::new();
        if let Some(byte) = poll_byte() {
            return byte;
        }
        cortex_a::asm::wfi();
        drop(mask);
    }
}

/// The next byte typed, if there is one.
pub(crate) fn poll_byte() -> Option<u8> {
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
pub(crate) fn interrupted() -> bool {
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
pub(crate) fn wants_out() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
