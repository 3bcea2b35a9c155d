// SPDX-License-Identifier: MIT OR Apache-2.0

//! All that knows the Cortex-A9: entry, page tables, caches, exceptions, the clock.
//!
//! Nothing here knows an address of the board; the processor's own peripherals are found through CBAR.

mod entry;
mod memory_functions;

pub mod backtrace;
pub mod cache;
pub mod clock;
pub mod exceptions;
pub mod fault;
pub mod image;
pub mod irq;
pub mod mappings;
pub mod mmu;
mod private;
pub mod selftest;

pub use private::{PRIVATE_PERIPHERALS_BYTES, private_peripherals};
