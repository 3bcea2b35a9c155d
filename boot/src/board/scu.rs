// SPDX-License-Identifier: MIT OR Apache-2.0

//! The snoop control unit (DDI 0407, chapter 2), which keeps the processors' level 1 caches
//! coherent with each other.
//!
//! The entry code has switched it on through CBAR, before caches: without it a Cortex-A9 whose
//! ACTLR.SMP is set caches nothing coherently. Done here is what needs the tree: the check that the
//! tree's address is CBAR's, and the workaround for the erratum of the unit's directory.

use tock_registers::interfaces::{ReadWriteable, Readable};
use tock_registers::registers::ReadWrite;
use tock_registers::{register_bitfields, register_structs};

register_bitfields! [
    u32,
    Control [
        ENABLE OFFSET(0) NUMBITS(1) []
    ],
    /// Undocumented except for erratum 764369.
    Diagnostic [
        MIGRATORY_OFF OFFSET(0) NUMBITS(1) []
    ]
];

register_structs! {
    Registers {
        (0x00 => control: ReadWrite<u32, Control::Register>),
        (0x04 => _reserved0),
        (0x30 => diagnostic: ReadWrite<u32, Diagnostic::Register>),
        (0x34 => @END),
    }
}

/// Checks the unit and finishes its set-up.
///
/// # Errors
/// The unit is not at the address that the processor reports, or is off.
///
/// # Safety
/// `base` is the tree's address of the unit, mapped as device memory.
pub(crate) unsafe fn init(base: u32) -> Result<(), &'static str> {
    // SAFETY: guaranteed by the caller; reading has no effect.
    let registers = unsafe { &*core::ptr::with_exposed_provenance::<Registers>(base as usize) };
    if base as usize != crate::cpu::private_peripherals() {
        return Err("it is not where the processor has it (CBAR)");
    }
    if !registers.control.is_set(Control::ENABLE) {
        return Err("it is off");
    }
    // Cache maintenance by address may miss a line that is moving between two processors (erratum
    // 764369).
    registers.diagnostic.modify(Diagnostic::MIGRATORY_OFF::SET);
    Ok(())
}
