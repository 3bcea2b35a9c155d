// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the portable half asks of the machine it runs on: a clock, a console, Ctrl-C, the memory
//! behind a block, and faults on purpose.
//!
//! `boot` implements it for the board, tests for a mock. Power-off and reboot are not here: the
//! monitor returns its outcome, and `boot`'s `main` ends the machine.
//!
//! What holds true: the clock never goes back, and a page's memory is reached by whoever holds its
//! block alone.
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

/// A fault taken on purpose, to see its report.
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
    /// Call a supervisor, of which there is none.
    Svc,
    /// Receive an interrupt that nobody asked for.
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

    /// The word that names it on the command line.
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

    /// The fault that `name` names.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }
}

/// The machine under the laboratory. It borrows nothing, so that tables of what runs on it can be
/// constants.
pub trait Machine: 'static {
    /// Nanoseconds since the kernel's first instruction: monotonic, and cheap enough for measured
    /// paths (a few instructions and two device reads).
    fn now_ns(&self) -> u64;

    /// What the clock counts, modulo 2^32, in steps of [`Machine::tick_ns`]: a few instructions and
    /// one device read, so that a short call can be timed.
    fn ticks(&self) -> u32 {
        (self.now_ns() / u64::from(self.tick_ns())) as u32
    }

    /// Nanoseconds that a step of [`Machine::ticks`] takes, at least 1.
    fn tick_ns(&self) -> u32;

    /// Lets `instructions` instructions pass, beside the fixed number that the call itself takes.
    /// Where time is not counted in instructions, none need to.
    fn pass(&self, _instructions: u32) {}

    /// True once after each Ctrl-C, also while a command runs. Takes that Ctrl-C out of what
    /// [`Machine::read_byte`] returns, with what was typed of a line before it.
    fn interrupted(&self) -> bool;

    /// Called between two steps of a load or a replay, before [`Machine::interrupted`]: a machine
    /// that draws the areas has them in words from `areas`, which takes its time.
    fn show_areas(&self, _areas: &dyn Fn() -> Vec<u32>) {}

    /// Writes to the console. `\n` ends a line.
    fn write_str(&mut self, text: &str);

    /// The next byte typed; sleeps until there is one. A Ctrl-C that nobody asked
    /// [`Machine::interrupted`] for comes as 0x03, and is then no longer pending there.
    fn read_byte(&mut self) -> u8;

    /// The next byte typed, if there is one; as [`Machine::read_byte`], but never sleeps.
    fn poll_byte(&mut self) -> Option<u8>;

    /// The memory of a block of pages, as words: 2^order pages of them. It holds whatever was there
    /// before.
    ///
    /// Whoever holds the block owns its pages, so the two borrows stand for exclusive access to
    /// that memory.
    fn page_memory<'a>(&'a mut self, block: &'a mut Block) -> &'a mut [u32];

    /// Takes a fault on purpose.
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
