// SPDX-License-Identifier: MIT OR Apache-2.0

//! The code specific to the Cortex-A9: entry, page tables, caches, exceptions, the clock.
//!
//! It contains no address of the board; the processor's own peripherals are found through CBAR.

mod entry;
mod memory_functions;

pub(crate) mod backtrace;
pub(crate) mod cache;
pub(crate) mod clock;
pub(crate) mod exceptions;
pub(crate) mod fault;
pub(crate) mod image;
pub(crate) mod irq;
pub(crate) mod mappings;
pub(crate) mod mmu;
mod private;
pub(crate) mod selftest;

pub(crate) use private::{PRIVATE_PERIPHERALS_BYTES, private_peripherals};
