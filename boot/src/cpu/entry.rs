// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's first instructions: from the loader's state to Rust code with stacks, zeroed
//! statics and an exception table.
//!
//! Both protocols enter here: QEMU's Linux protocol (raw image, one processor, r2 = device tree)
//! and an ELF image (every processor enters, r0 = r1 = r2 = 0). Secondary processors are parked.
//! The code sets up what a Cortex-A9 leaves undefined at reset: caches, TLB and branch predictor
//! hold garbage until they are invalidated (DDI 0388, 2.3.2 and DDI 0407, 5.3.5).
//!
//! The global timer is started among the first dozen instructions: its count is the time since
//! then.

use core::arch::global_asm;

global_asm!(
    r#"
    .section .text.entry, "ax"
    .arm
    .global _start
    .type _start, %function
_start:
    cpsid   aif, #0x13                  @ supervisor mode, everything masked
    mrc     p15, 0, r3, c0, c0, 5       @ MPIDR: which processor is this?
    tst     r3, #3
    bne     .Lpark

    mrc     p15, 4, r11, c15, c0, 0     @ CBAR: the private peripherals' base
    mov     r4, #0
    mov     r5, #1
    add     r6, r11, #0x200             @ the global timer
    str     r4, [r6, #8]                @ stop, count = 0, start at full speed
    str     r4, [r6]
    str     r4, [r6, #4]
    str     r5, [r6, #8]

    mov     r9, r1
    mov     r10, r2

    mrc     p15, 0, r3, c1, c0, 0       @ SCTLR: a known state whatever the loader did
    ldr     r4, =0x72003805             @ off: AFE, TRE, TE, EE, V, I, Z, C, M
    bic     r3, r3, r4
    orr     r3, r3, #2                  @ on: alignment faults
    mcr     p15, 0, r3, c1, c0, 0
    isb

    mov     r4, #0
    mcr     p15, 0, r4, c8, c7, 0       @ TLBIALL
    mcr     p15, 0, r4, c7, c5, 0       @ ICIALLU
    mcr     p15, 0, r4, c7, c5, 6       @ BPIALL
    mcr     p15, 2, r4, c0, c0, 0       @ CSSELR: the level 1 data cache
    isb
    mrc     p15, 1, r5, c0, c0, 0       @ CCSIDR: its last set in bits 27..13; 4 ways of 32-byte lines
    ubfx    r5, r5, #13, #15
1:  lsl     r6, r5, #5
    mcr     p15, 0, r6, c7, c6, 2       @ DCISW, way 0
    add     r6, r6, #0x40000000
    mcr     p15, 0, r6, c7, c6, 2
    add     r6, r6, #0x40000000
    mcr     p15, 0, r6, c7, c6, 2
    add     r6, r6, #0x40000000
    mcr     p15, 0, r6, c7, c6, 2
    subs    r5, r5, #1
    bpl     1b
    dsb

    mov     r4, #0xf                    @ SCU: forget this processor's tags, then switch it on
    str     r4, [r11, #0xc]
    ldr     r4, [r11]
    orr     r4, r4, #1
    str     r4, [r11]
    mrc     p15, 0, r3, c1, c0, 1       @ ACTLR: SMP and FW, or shareable memory is not cached and exclusives fail
    orr     r3, r3, #0x41
    mcr     p15, 0, r3, c1, c0, 1

    ldr     r3, =exception_vectors
    mcr     p15, 0, r3, c12, c0, 0      @ VBAR
    isb

    ldr     r3, =__image_end - 4        @ is there RAM for all of the image? Where there is none, reads give 0
    mvn     r4, r3
    str     r4, [r3]
    ldr     r5, [r3]
    cmp     r4, r5
    ldrne   sp, =__image_start          @ the first pages of RAM, which nobody needs any more
    bne     too_little_memory

    cps     #0x12
    ldr     sp, =__irq_stack_top
    cps     #0x11
    ldr     sp, =__fiq_stack_top
    cps     #0x17
    ldr     sp, =__abt_stack_top
    cps     #0x1b
    ldr     sp, =__und_stack_top
    cps     #0x13
    ldr     sp, =__svc_stack_top

    ldr     r0, =__bss_start
    mov     r1, #0
    ldr     r2, =__bss_end
    sub     r2, r2, r0
    bl      memset                      @ STM, 512 bytes a turn

    mov     r11, #0                     @ the end of every backtrace
    mov     lr, #0
    mov     r0, r9
    mov     r1, r10
    b       rust_entry

.Lpark:                                 @ nothing wakes a secondary yet: no interrupt is routed to it
    wfi
    b       .Lpark
    .ltorg
    .size _start, . - _start
    "#
);
