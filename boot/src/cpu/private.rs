// SPDX-License-Identifier: MIT OR Apache-2.0

//! Address of the processor's own peripherals, from CBAR.

use cortex_a::register::{SysReg, SysRegRead};

/// CBAR of the Cortex-A9 (DDI 0388, 4.3.24); that of aarch32-cpu is the Cortex-R52's, a different
/// register.
struct Cbar;

impl SysReg for Cbar {
    const CP: u32 = 15;
    const CRN: u32 = 15;
    const OP1: u32 = 4;
    const CRM: u32 = 0;
    const OP2: u32 = 0;
}

impl SysRegRead for Cbar {}

/// Bytes of the private peripherals' region.
pub(crate) const PRIVATE_PERIPHERALS_BYTES: u64 = 0x2000;

/// Returns the base of the processor's private peripherals (DDI 0407, 1.5): SCU, interrupt
/// controller, global and private timers.
#[inline(always)]
pub(crate) fn private_peripherals() -> usize {
    Cbar::read_raw() as usize
}
