// SPDX-License-Identifier: MIT OR Apache-2.0

//! Exceptions: interrupts return, everything else is reported and ends the machine with status 101.
//!
//! A fatal exception runs on its own mode's stack, from that stack's top, because the code that
//! used the stack is never returned to: so it works when the supervisor stack has overflowed into
//! its guard page, and when the report itself faults. SVC uses the undefined-instruction stack for
//! the same reason. The report takes no lock and allocates nothing. A fault inside a report is
//! reported in one line; a fault inside that line ends the machine silently.

use core::arch::global_asm;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, Ordering};

use cortex_a::register::{Dfar, Dfsr, Ifar, Ifsr};

use super::{backtrace, image, mappings};
use crate::board::{exit, system_registers};
use crate::console;

/// QEMU's status after a panic or a fatal fault.
pub(crate) const FATAL_STATUS: u32 = 101;

global_asm!(
    r#"
    .section .text.vectors, "ax"
    .arm
    .balign 32
    .global exception_vectors
exception_vectors:
    b       unused_vector               @ reset never comes through VBAR
    b       undefined_vector
    b       svc_vector
    b       prefetch_abort_vector
    b       data_abort_vector
    b       unused_vector
    b       irq_vector
    b       fiq_vector

unused_vector:
    b       unused_vector

    @ Saves a `Frame` and reports it. lr is \adjust past the instruction that the report is about.
    .macro  fatal kind, adjust
    sub     sp, sp, #72
    stm     sp, {{r0-r12}}
    mov     r0, #\kind
    str     r0, [sp, #68]
    sub     r0, lr, #\adjust
    str     r0, [sp, #60]
    mrs     r1, spsr
    str     r1, [sp, #64]
    b       interrupted_mode
    .endm

    @ Fetches sp and lr of the interrupted mode, with interrupts masked. r1 = its PSR.
interrupted_mode:
    and     r1, r1, #0x1f
    orr     r1, r1, #0xc0
    mrs     r2, cpsr
    msr     cpsr_c, r1
    mov     r3, sp
    mov     r4, lr
    msr     cpsr_c, r2
    str     r3, [sp, #52]
    str     r4, [sp, #56]
    mov     r0, sp
    bl      fatal_exception

undefined_vector:
    ldr     sp, =__und_stack_top
    fatal   0, 4

svc_vector:
    srsdb   sp!, #0x1b                  @ lr and spsr on the other stack: this mode's may be what went wrong
    cps     #0x1b
    sub     sp, sp, #72
    stm     sp, {{r0-r12}}
    mov     r0, #1
    str     r0, [sp, #68]
    ldr     r0, [sp, #72]
    sub     r0, r0, #4
    str     r0, [sp, #60]
    ldr     r1, [sp, #76]
    str     r1, [sp, #64]
    b       interrupted_mode

prefetch_abort_vector:
    ldr     sp, =__abt_stack_top
    fatal   2, 4

data_abort_vector:
    ldr     sp, =__abt_stack_top
    fatal   3, 8

irq_vector:
    sub     lr, lr, #4
    push    {{r0-r3, r12, lr}}
    bl      handle_irq
    clrex                               @ an exclusive pair that was interrupted has to start again
    cmp     r0, #0
    ldmne   sp!, {{r0-r3, r12, pc}}^
    pop     {{r0-r3, r12, lr}}          @ nobody's interrupt
    fatal   4, 0

fiq_vector:
    ldr     sp, =__fiq_stack_top
    fatal   5, 4
    .ltorg
    "#
);

/// The processor at the moment of a fatal exception, as the vectors save it.
#[repr(C)]
struct Frame {
    registers: [u32; 13],
    sp: u32,
    lr: u32,
    pc: u32,
    psr: u32,
    /// Vector: 0 undefined, 1 SVC, 2 prefetch abort, 3 data abort, 4 IRQ, 5 FIQ.
    kind: u32,
}

const _: () = assert!(size_of::<Frame>() == 72);

/// Number of reports begun.
static REPORTS: AtomicU32 = AtomicU32::new(0);

/// Begins a report of a fatal fault. Inside another report, ends the machine instead.
pub(crate) fn begin_report() {
    match REPORTS.fetch_add(1, Ordering::Relaxed) {
        0 => {}
        1 => {
            console::Raw.write_str("\nAnother fault while reporting: giving up.\n").ok();
            exit::exit(FATAL_STATUS)
        }
        2 => exit::exit(FATAL_STATUS),
        // Even the exit faults: stop here, and leave it to the user to end QEMU.
        _ => loop {
            cortex_a::asm::wfi();
        },
    }
}

/// Reports a fatal exception and ends the machine; called by all vectors, and by that of IRQs for
/// an interrupt without a handler.
// SAFETY: only the vectors call it, and nothing else has the name.
#[unsafe(no_mangle)]
extern "C" fn fatal_exception(frame: &Frame) -> ! {
    if frame.kind == 1 && is_exit_call(frame) {
        system_registers::power_off();
    }
    begin_report();
    // Writing to the console never fails.
    report(&mut console::Raw, frame).ok();
    exit::exit(FATAL_STATUS)
}

/// True for a semihosting exit that QEMU did not handle (0x18 SYS_EXIT, 0x20 SYS_EXIT_EXTENDED).
fn is_exit_call(frame: &Frame) -> bool {
    let is_semihosting = image::instruction(frame.pc).is_some_and(|word| word & 0x0fff_ffff == 0x0f12_3456);
    is_semihosting && matches!(frame.registers[0], 0x18 | 0x20)
}

fn report(out: &mut impl Write, frame: &Frame) -> fmt::Result {
    out.write_str("\nFATAL: ")?;
    match frame.kind {
        0 => {
            out.write_str("undefined instruction")?;
            match image::instruction(frame.pc) {
                Some(word) => writeln!(out, " {word:#010x} at {:#010x}", frame.pc)?,
                None => writeln!(out, " at {:#010x}", frame.pc)?,
            }
        }
        1 => {
            let number = image::instruction(frame.pc).map_or(0, |word| word & 0x00ff_ffff);
            writeln!(out, "unexpected supervisor call {number:#x} at {:#010x}", frame.pc)?;
        }
        2 => {
            let status = Ifsr::read().raw_value();
            let address = Ifar::read().0;
            writeln!(out, "prefetch abort: {} on an instruction fetch from {address:#010x}", status_words(status))?;
            hit(out, address)?;
        }
        3 => {
            let status = Dfsr::read().raw_value();
            let address = Dfar::read().0;
            let direction = if status & (1 << 11) == 0 { "a read from" } else { "a write to" };
            writeln!(out, "data abort: {} on {direction} {address:#010x}", status_words(status))?;
            hit(out, address)?;
        }
        4 => writeln!(out, "unexpected interrupt {} at {:#010x}", crate::board::gic::last_interrupt(), frame.pc)?,
        _ => writeln!(out, "unexpected fast interrupt at {:#010x}", frame.pc)?,
    }
    write!(out, "  pc {:#010x} lies in ", frame.pc)?;
    mappings::describe(out, frame.pc)?;
    write!(out, "\n  sp {:#010x} lies in ", frame.sp)?;
    mappings::describe(out, frame.sp)?;
    writeln!(
        out,
        "\n  pc  {:08x}  lr  {:08x}  sp  {:08x}  psr {:08x} ({} mode)",
        frame.pc,
        frame.lr,
        frame.sp,
        frame.psr,
        mode_words(frame.psr)
    )?;
    for (index, value) in frame.registers.iter().enumerate() {
        let end = if index % 4 == 3 || index == 12 { "\n" } else { "" };
        write!(out, "  r{index:<2} {value:08x}{end}")?;
    }
    backtrace::print(out, Some((frame.pc, frame.lr)), frame.registers[11])
}

/// Prints the line that describes the memory at `address`.
fn hit(out: &mut impl Write, address: u32) -> fmt::Result {
    write!(out, "  address {address:#010x} hit ")?;
    mappings::describe(out, address)?;
    out.write_str("\n")
}

/// Returns the fault status of the short descriptor format in words (DDI 0406C, table B3-23).
/// aarch32-cpu's field includes domain bits and lacks bit 10, so the raw register is decoded.
fn status_words(status: u32) -> &'static str {
    match (status & 0xf) | ((status >> 6) & 0x10) {
        0b00001 => "alignment fault",
        0b00010 => "debug event",
        0b00011 => "access flag fault (section)",
        0b00100 => "fault on instruction cache maintenance",
        0b00101 => "translation fault (section)",
        0b00110 => "access flag fault (page)",
        0b00111 => "translation fault (page)",
        0b01000 => "synchronous external abort",
        0b01001 => "domain fault (section)",
        0b01011 => "domain fault (page)",
        0b01100 => "synchronous external abort on a first-level table walk",
        0b01101 => "permission fault (section)",
        0b01110 => "synchronous external abort on a second-level table walk",
        0b01111 => "permission fault (page)",
        0b10000 => "TLB conflict abort",
        0b10110 => "asynchronous external abort",
        0b11000 => "asynchronous parity error",
        0b11001 => "synchronous parity error",
        0b11100 => "synchronous parity error on a first-level table walk",
        0b11110 => "synchronous parity error on a second-level table walk",
        _ => "unknown fault status",
    }
}

fn mode_words(psr: u32) -> &'static str {
    match psr & 0x1f {
        0x10 => "user",
        0x11 => "FIQ",
        0x12 => "IRQ",
        0x13 => "supervisor",
        0x16 => "monitor",
        0x17 => "abort",
        0x1b => "undefined",
        0x1f => "system",
        _ => "invalid",
    }
}
