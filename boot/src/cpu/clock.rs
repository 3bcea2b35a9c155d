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
/// The last 40 us before the lower half wraps, which it does every 43 s.
const ABOUT_TO_WRAP: u32 = u32::MAX - 4095;
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

#[inline]
fn timer() -> Option<&'static GlobalTimer> {
    let address = TIMER.load(Ordering::Relaxed);
    if address == 0 {
        return None;
    }
    // SAFETY:
    // - the address is the global timer's, which the entry mapping keeps mapped as device memory;
    // - its registers may be read at any time.
    Some(unsafe { &*core::ptr::with_exposed_provenance::<GlobalTimer>(address) })
}

/// Nanoseconds since the kernel's first instruction; monotonic, in steps of 10.
#[inline]
pub fn now_ns() -> u64 {
    let Some(timer) = timer() else { return 0 };
    let mut low = timer.count_low.get();
    let mut high = timer.count_high.get();
    // The upper half is read after the lower one, which it does not go with if that has wrapped in between
    // (DDI 0407, 4.4.1). Only a lower half that is about to wrap can have.
    while low >= ABOUT_TO_WRAP {
        low = timer.count_low.get();
        high = timer.count_high.get();
    }
    ((u64::from(high) << 32) | u64::from(low)) * NS_PER_TICK
}

/// The same modulo 2^32, at the cost of one device read.
#[inline]
pub fn short_ns() -> u32 {
    timer().map_or(0, |timer| timer.count_low.get().wrapping_mul(NS_PER_TICK as u32))
}
