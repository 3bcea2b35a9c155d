// SPDX-License-Identifier: MIT OR Apache-2.0

//! The clock: nanoseconds since the kernel's first instruction, from the global timer (DDI 0407,
//! 4.4).
//!
//! The entry code zeroes and starts the timer among its first dozen instructions. It counts
//! PERIPHCLK, 100 MHz on this board, in 64 bits, which never wrap in practice.

use tock_registers::interfaces::Readable;
use tock_registers::register_structs;
use tock_registers::registers::ReadWrite;

use super::private_peripherals;

/// Nanoseconds per count.
pub(crate) const NS_PER_TICK: u32 = 10;
/// Start of the last 40 us before the lower half wraps, which it does every 43 s.
const ABOUT_TO_WRAP: u32 = u32::MAX - 4095;
/// Offset of the global timer in the private peripherals' region.
pub(crate) const GLOBAL_TIMER_OFFSET: usize = 0x200;

register_structs! {
    GlobalTimer {
        (0x00 => count_low: ReadWrite<u32>),
        (0x04 => count_high: ReadWrite<u32>),
        (0x08 => control: ReadWrite<u32>),
        (0x0c => @END),
    }
}

/// Returns the timer, found through CBAR each time: an address kept in memory takes twice as many
/// instructions to load.
#[inline(always)]
fn timer() -> &'static GlobalTimer {
    let address = private_peripherals() + GLOBAL_TIMER_OFFSET;
    // SAFETY:
    // - the address is the global timer's: CBAR's while the MMU is off, and mapped to itself as
    //   device memory from then on;
    // - its registers may be read at any time.
    unsafe { &*core::ptr::with_exposed_provenance::<GlobalTimer>(address) }
}

/// Returns the nanoseconds since the kernel's first instruction; monotonic, in steps of 10.
#[inline]
pub(crate) fn now_ns() -> u64 {
    let timer = timer();
    let mut low = timer.count_low.get();
    let mut high = timer.count_high.get();
    // The upper half is read after the lower one; if the lower one wraps in between, they do not
    // match (DDI 0407, 4.4.1). Only a lower half that is about to wrap can do so.
    while low >= ABOUT_TO_WRAP {
        low = timer.count_low.get();
        high = timer.count_high.get();
    }
    ((u64::from(high) << 32) | u64::from(low)) * u64::from(NS_PER_TICK)
}

/// Returns the lower half of the count: two instructions, one of which reads a device.
#[inline(always)]
pub(crate) fn ticks() -> u32 {
    timer().count_low.get()
}

/// Executes `instructions` instructions, besides the fixed number that the call itself takes.
#[inline]
pub(crate) fn pass(instructions: u32) {
    // SAFETY: counts a register down; touches neither memory nor stack.
    unsafe {
        core::arch::asm!(
            "lsrs {pairs}, {pairs}, #1", // the carry is the odd one
            "bcc 2f",
            "nop",
            "2: subs {pairs}, {pairs}, #1",
            "bhs 2b",
            pairs = inout(reg) instructions => _,
            options(nomem, nostack),
        );
    }
}
