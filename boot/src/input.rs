// SPDX-License-Identifier: MIT OR Apache-2.0

//! Console input.
//!
//! The receive interrupt moves input into a ring, so that Ctrl-C is noticed while a command runs.
//! When the ring is full, the receive interrupt is masked until a reader has made room: the UART's
//! FIFO fills, the sender waits, and no byte of a pasted file is lost.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::board::pl011::Pl011;
use crate::console::uart;
use crate::cpu::irq::{self, IrqMask, IrqMutex};

/// Capacity of the ring. It holds what is pasted while a load runs, so that a Ctrl-C after it still
/// arrives.
const RING_BYTES: usize = 16 * 1024;
/// Byte that a terminal sends for Ctrl-C.
const CTRL_C: u8 = 0x03;

static INPUT: IrqMutex<Input> = IrqMutex::new(Input { ring: [0; RING_BYTES], first: 0, count: 0, held: false });
/// True while the ring holds a Ctrl-C.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

struct Input {
    ring: [u8; RING_BYTES],
    first: usize,
    count: usize,
    /// The receive interrupt is masked, because the ring was full.
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

    /// Moves received bytes from the UART to the ring while there is room.
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

    /// Removes the first Ctrl-C and the bytes of its line before it, as a terminal does; keeps the
    /// rest in order. Returns true if the ring holds another Ctrl-C.
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

/// Enables input by interrupt; the UART's interrupt must be enabled at the interrupt controller.
pub(crate) fn enable() {
    if let Some(uart) = uart() {
        uart.interrupt_on_receive(true);
    }
    // SAFETY: no lock is held here, and the handlers' data are in place.
    unsafe { cortex_a::interrupt::enable() };
    irq::unmask_fatal();
}

/// Handles the receive interrupt.
pub(crate) fn receive() {
    if let Some(uart) = uart() {
        INPUT.lock().fill(uart);
    }
}

/// Returns the next byte typed; sleeps until there is one.
pub(crate) fn read_byte() -> u8 {
    loop {
        // Interrupts are masked from the check to the sleep, so that no byte can arrive in between;
        // a pending interrupt still ends WFI.
        let mask = IrqMask::new();
        if let Some(byte) = poll_byte() {
            return byte;
        }
        cortex_a::asm::wfi();
        drop(mask);
    }
}

/// Returns the next byte typed, if there is one.
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

/// True once for each Ctrl-C; removes it, and the line that it ended, from the input.
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

/// True while the input holds a Ctrl-C; leaves it there.
pub(crate) fn wants_out() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
