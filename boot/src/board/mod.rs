// SPDX-License-Identifier: MIT OR Apache-2.0

//! The drivers of the board, a Versatile Express with the Cortex-A9 tile: UART, interrupt
//! controller, level 2 cache, disk, system registers.

pub(crate) mod devices;
pub(crate) mod exit;
pub(crate) mod gic;
pub(crate) mod l2c310;
pub(crate) mod pl011;
pub(crate) mod scu;
pub(crate) mod system_registers;
pub(crate) mod virtio;

pub(crate) use devices::{Devices, RAM_BASE};
