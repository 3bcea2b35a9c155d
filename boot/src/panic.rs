// SPDX-License-Identifier: MIT OR Apache-2.0

//! Panics: message, location, backtrace, and status 101.

use core::fmt::{self, Write};
use core::panic::PanicInfo;

use crate::board::exit;
use crate::console;
use crate::cpu::{backtrace, exceptions};
use crate::heap;

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    cortex_a::interrupt::disable();
    exceptions::begin_report();
    // Writing to the console never fails.
    report(&mut console::Raw, info, backtrace::frame_pointer()).ok();
    exit::exit(exceptions::FATAL_STATUS)
}

fn report(out: &mut impl Write, info: &PanicInfo, frame_pointer: u32) -> fmt::Result {
    writeln!(out, "\nPANIC: {}", info.message())?;
    if let Some(location) = info.location() {
        writeln!(out, "  at {location}")?;
    }
    match heap::used_bytes() {
        Some(used) => writeln!(out, "  heap: {used} of {} bytes in use (HEAP_BYTES)", heap::HEAP_BYTES)?,
        None => writeln!(out, "  heap: being changed")?,
    }
    backtrace::print(out, None, frame_pointer)
}
