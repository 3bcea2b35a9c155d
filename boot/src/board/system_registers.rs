// SPDX-License-Identifier: MIT OR Apache-2.0

//! The motherboard's system registers (ARM DUI 0447, 4.3): the configuration controller's power-off
//! and reboot.

use core::sync::atomic::{AtomicU32, Ordering};

use tock_registers::fields::FieldValue;
use tock_registers::interfaces::Writeable;
use tock_registers::registers::ReadWrite;
use tock_registers::{register_bitfields, register_structs};

register_bitfields! [
    u32,
    /// SYS_CFGCTRL.
    ConfigurationControl [
        START OFFSET(31) NUMBITS(1) [],
        WRITE OFFSET(30) NUMBITS(1) [],
        FUNCTION OFFSET(20) NUMBITS(6) [
            Shutdown = 8,
            Reboot = 9
        ]
    ]
];

register_structs! {
    SystemRegisters {
        (0x00 => _reserved0),
        (0xa4 => configuration_control: ReadWrite<u32, ConfigurationControl::Register>),
        (0xa8 => @END),
    }
}

static BASE: AtomicU32 = AtomicU32::new(super::devices::SYSTEM_REGISTERS);

/// Sets the address of the registers.
pub(crate) fn set_base(base: u32) {
    BASE.store(base, Ordering::Relaxed);
}

/// Powers the board off.
pub(crate) fn power_off() -> ! {
    command(ConfigurationControl::FUNCTION::Shutdown)
}

/// Resets the board.
pub(crate) fn reboot() -> ! {
    command(ConfigurationControl::FUNCTION::Reboot)
}

fn command(function: FieldValue<u32, ConfigurationControl::Register>) -> ! {
    // SAFETY:
    // - the base is the system registers', mapped as device memory since the first page table;
    // - only the command is written, and it ends the machine.
    let registers =
        unsafe { &*core::ptr::with_exposed_provenance::<SystemRegisters>(BASE.load(Ordering::Relaxed) as usize) };
    registers
        .configuration_control
        .write(ConfigurationControl::START::SET + ConfigurationControl::WRITE::SET + function);
    loop {
        cortex_a::asm::wfi();
    }
}
