//! What the portable half asks of the machine under it: a clock, a console, the memory behind a block, and faults to order.
//!
//! `boot` implements this over the board; host tests implement it over ordinary memory.

use crate::mm::Block;

/// A fault taken on purpose, to see that the machine names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Recursion into the guard page under the stack.
    Stack,
    /// A read of address 0.
    Null,
    /// A write to the kernel's own text.
    Text,
    /// A jump into data.
    Exec,
    /// A word read from an odd address.
    Unaligned,
    /// An instruction that no processor has.
    Undefined,
    /// A Rust panic.
    Panic,
}

/// The machine under the kernel. Powering off and rebooting are not here: the monitor hands them up to its caller.
pub trait Machine {
    /// Nanoseconds since the kernel's first instruction; never goes back, and costs a few instructions.
    fn now_ns(&self) -> u64;

    /// True once after a Ctrl-C was typed.
    fn interrupted(&self) -> bool;

    /// Prints on the console. Lines end in `\n`; what the terminal wants instead is the machine's business.
    fn write_str(&mut self, text: &str);

    /// The next byte typed; waits for one.
    fn read_byte(&mut self) -> u8;

    /// Takes a fault on purpose.
    fn fault(&mut self, fault: Fault) -> !;

    /// The memory of a block of pages, as words. Its contents are whatever was there before.
    fn page_memory<'a>(&'a mut self, block: &'a mut Block) -> &'a mut [u32];
}
