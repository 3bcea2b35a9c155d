// SPDX-License-Identifier: MIT OR Apache-2.0

//! Deliberate faults, for `fault` and the boot tests: each does once what a broken kernel would do.

use core::arch::asm;
use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};

use kernel::machine::Fault;

use super::image;
use crate::board::gic;

/// The instruction `bx lr`, in memory that must not be executable.
static CODE_IN_DATA: AtomicU32 = AtomicU32::new(0xe12f_ff1e);

/// Causes `fault`; its report ends the machine.
pub(crate) fn take(fault: Fault) -> ! {
    match fault {
        Fault::Stack => {
            black_box(overflow(&[0; 64]));
        }
        Fault::Null => load(0),
        Fault::Text => store(image::text_start()),
        Fault::Exec => call(CODE_IN_DATA.as_ptr().addr() as u32),
        Fault::Unaligned => load(CODE_IN_DATA.as_ptr().addr() as u32 + 1),
        Fault::Undefined => undefined(),
        Fault::Svc => supervisor_call(),
        Fault::Irq => gic::interrupt_oneself(),
        Fault::Panic => panic!("asked for by the command fault"),
    }
    // An interrupt needs a moment to arrive.
    (0..1000).for_each(|_| core::hint::spin_loop());
    // Reached only if the protection that this command shows has a hole.
    CODE_IN_DATA.store(0, Ordering::Relaxed);
    panic!("fault {} was not noticed by the processor", fault.name())
}

/// Recurses until the stack overflows. Each call needs its caller's frame afterwards, so the
/// recursion cannot become a loop.
#[inline(never)]
fn overflow(caller: &[u32; 64]) -> u32 {
    let frame = black_box(*caller);
    if frame[0] == u32::MAX {
        return 0;
    }
    black_box(overflow(&frame)) + black_box(frame)[1]
}

/// Loads a word, in assembly: in Rust an unaligned or null load is undefined behaviour.
fn load(address: u32) {
    // SAFETY: the load faults; where it does not, it only reads into a register.
    unsafe { asm!("ldr {0}, [{0}]", inout(reg) address => _, options(nostack, readonly)) };
}

/// Stores a word.
fn store(address: u32) {
    // SAFETY: the caller passes an address of read-only text, so the store faults.
    unsafe { asm!("str {0}, [{0}]", in(reg) address, options(nostack)) };
}

/// Calls code at an address.
fn call(address: u32) {
    // SAFETY: the caller passes execute-never memory, so the fetch faults; it holds a return in
    // case it does not.
    unsafe { asm!("blx {}", in(reg) address, out("lr") _, options(nostack)) };
}

/// Executes an instruction that is permanently undefined in the architecture.
fn undefined() {
    // SAFETY: the exception does not return.
    unsafe { asm!("udf #0", options(nostack, nomem)) };
}

/// Makes a supervisor call that has no handler.
fn supervisor_call() {
    // SAFETY: the exception does not return; QEMU's semihosting takes another number.
    unsafe { asm!("svc #1", out("lr") _, options(nostack, nomem)) };
}
