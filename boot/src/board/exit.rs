// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ends the machine: with QEMU's exit status by semihosting, or by the system registers.

use super::system_registers;

/// Ends QEMU with `status`. Without semihosting the call enters the kernel's own SVC vector, which
/// powers the board off.
pub(crate) fn exit(status: u32) -> ! {
    semihosting::process::exit(status as i32)
}

/// Resets the board.
pub(crate) fn reboot() -> ! {
    system_registers::reboot()
}
