// SPDX-License-Identifier: MIT OR Apache-2.0

//! The interface of the portable half to the machine: a clock, a console, Ctrl-C, the memory of a
//! block, and deliberate faults.
//!
//! `boot` implements it for the board, tests for a mock. Power-off and reboot are not part of it:
//! the monitor returns its outcome, and `boot`'s `main` stops or restarts the machine.
//!
//! Invariants: the clock never goes back, and only the holder of a block can access the memory of
//! its pages.
//!
//! # Example
//! ```
//! use machine::Fault;
//!
//! assert_eq!(Fault::from_name("null"), Some(Fault::Null));
//! assert_eq!(Fault::from_name("none"), None);
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;
use core::fmt;

use page_alloc::Block;

/// A deliberate fault, to see its report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Overflow the stack into its guard page.
    Stack,
    /// Read through a null pointer.
    Null,
    /// Write to the kernel's code.
    Text,
    /// Execute data.
    Exec,
    /// Load a word from an odd address.
    Unaligned,
    /// Execute an undefined instruction.
    Undefined,
    /// Call a supervisor; there is none.
    Svc,
    /// Receive an interrupt that no driver requested.
    Irq,
    /// Panic.
    Panic,
}

impl Fault {
    /// Every fault, in the order `help` lists them.
    pub const ALL: [Self; 9] = [
        Self::Stack,
        Self::Null,
        Self::Text,
        Self::Exec,
        Self::Unaligned,
        Self::Undefined,
        Self::Svc,
        Self::Irq,
        Self::Panic,
    ];

    /// Returns the name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stack => "stack",
            Self::Null => "null",
            Self::Text => "text",
            Self::Exec => "exec",
            Self::Unaligned => "unaligned",
            Self::Undefined => "undefined",
            Self::Svc => "svc",
            Self::Irq => "irq",
            Self::Panic => "panic",
        }
    }

    /// Returns the fault with a name. Returns `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }
}

/// The machine that runs the laboratory. It borrows nothing, so that tables of code that runs on it
/// can be constants.
pub trait Machine: 'static {
    /// Returns the nanoseconds since the kernel's first instruction: monotonic, and cheap enough
    /// for measured paths (a few instructions and two device reads).
    fn now_ns(&self) -> u64;

    /// Returns the clock's counter modulo 2^32, in steps of [`Machine::tick_ns`]: a few
    /// instructions and one device read, so that a short call can be timed.
    fn ticks(&self) -> u32 {
        (self.now_ns() / u64::from(self.tick_ns())) as u32
    }

    /// Returns the nanoseconds of a step of [`Machine::ticks`], at least 1.
    fn tick_ns(&self) -> u32;

    /// Takes `instructions` instructions, in addition to the fixed number of the call itself. May
    /// do nothing if time is not counted in instructions.
    fn pass(&self, _instructions: u32) {}

    /// True once after each Ctrl-C, also while a command runs. Removes that Ctrl-C, and the part of
    /// a line typed before it, from the input of [`Machine::read_byte`].
    fn interrupted(&self) -> bool;

    /// Called between two steps of a load or a replay, before [`Machine::interrupted`]. A machine
    /// that draws the areas gets their words from `areas`, a call that takes time.
    fn show_areas(&self, _areas: &dyn Fn() -> Vec<u32>) {}

    /// Writes to the console; `\n` ends a line.
    fn write_str(&mut self, text: &str);

    /// Returns the next byte typed; sleeps until there is one. Returns a Ctrl-C as 0x03 if
    /// [`Machine::interrupted`] has not reported it; it is not reported later.
    fn read_byte(&mut self) -> u8;

    /// Returns the next byte typed, if there is one, like [`Machine::read_byte`], but never sleeps.
    fn poll_byte(&mut self) -> Option<u8>;

    /// Returns the memory of a block's 2^order pages as words. Their old content remains.
    ///
    /// The holder of the block owns its pages, so the two borrows give exclusive access to that
    /// memory.
    fn page_memory<'a>(&'a mut self, block: &'a mut Block) -> &'a mut [u32];

    /// Causes a fault.
    fn fault(&mut self, fault: Fault) -> !;
}

impl fmt::Write for dyn Machine + '_ {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        Machine::write_str(self, text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Fault;

    #[test]
    fn every_fault_is_found_by_its_name() {
        for fault in Fault::ALL {
            assert_eq!(Fault::from_name(fault.name()), Some(fault));
        }
        assert_eq!(Fault::from_name("none"), None);
    }
}
