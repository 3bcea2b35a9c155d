// SPDX-License-Identifier: MIT OR Apache-2.0

//! The board as the portable crates use it.

use kernel::machine::{Fault, Machine};
use kernel::mm::Block;

use crate::cpu::{clock, fault};
use crate::{console, frames, input};

/// The machine, whose state is all in the hardware.
pub(crate) struct Board;

impl Machine for Board {
    fn now_ns(&self) -> u64 {
        clock::now_ns()
    }

    fn ticks(&self) -> u32 {
        clock::ticks()
    }

    fn tick_ns(&self) -> u32 {
        clock::NS_PER_TICK
    }

    fn pass(&self, instructions: u32) {
        clock::pass(instructions);
    }

    fn interrupted(&self) -> bool {
        input::interrupted()
    }

    fn write_str(&mut self, text: &str) {
        console::print(text);
    }

    fn read_byte(&mut self) -> u8 {
        input::read_byte()
    }

    fn poll_byte(&mut self) -> Option<u8> {
        input::poll_byte()
    }

    fn page_memory<'a>(&'a mut self, block: &'a mut Block) -> &'a mut [u32] {
        frames::block_words(block)
    }

    fn fault(&mut self, fault: Fault) -> ! {
        fault::take(fault)
    }
}
