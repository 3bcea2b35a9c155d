//! The clock: nanoseconds since the kernel's first instruction, from the global timer (DDI 0407, 4.4).
//!
//! The entry code zeroes and starts the timer among its first dozen instructions. It counts PERIPHCLK, 100 MHz on this
//! board, in 64 bits: it never wraps.

use core::sync::atomic::{AtomicUsize, Ordering};

use tock_registers::interfaces::Readable;
use tock_registers::register_structs;
use tock_registers::registers::ReadWrite;

use super::private_peripherals;

/// Nanoseconds per count.
const NS_PER_TICK: u64 = 10;
/// Where the global timer lies in the private peripherals' region.
pub const GLOBAL_TIMER_OFFSET: usize = 0x200;

register_structs! {
    GlobalTimer {
        (0x00 => count_low: ReadWrite<u32>),
        (0x04 => count_high: ReadWrite<u32>),
        (0x08 => control: ReadWrite<u32>),
        (0x0c => @END),
    }
}

/// The timer's address, kept because reading CBAR for every timestamp costs more than a load.
static TIMER: AtomicUsize = AtomicUsize::new(0);

/// Finds the timer; before this, [`now_ns`] is 0.
pub fn init() {
    TIMER.store(private_peripherals() + GLOBAL_TIMER_OFFSET, Ordering::Relaxed);
}

/// Nanoseconds since the kernel's first instruction; monotonic, in steps of 10.
#[inline]
pub fn now_ns() -> u64 {
    let address = TIMER.load(Ordering::Relaxed);
    if address == 0 {
        return 0;
    }
    // SAFETY:
    // - the address is the global timer's, which the entry mapping keeps mapped as device memory;
    // - its registers may be read at any time.
    let timer = unsafe { &*core::ptr::with_exposed_provenance::<GlobalTimer>(address) };
    // Two halves, read until the upper one did not change in between (DDI 0407, 4.4.1).
    let mut high = timer.count_high.get();
    loop {
        let low = timer.count_low.get();
        let high_after = timer.count_high.get();
        if high == high_after {
            return ((u64::from(high) << 32) | u64::from(low)) * NS_PER_TICK;
        }
        high = high_after;
    }
}
