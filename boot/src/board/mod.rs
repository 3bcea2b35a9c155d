// SPDX-License-Identifier: MIT OR Apache-2.0

//! All that knows the board, a Versatile Express with the Cortex-A9 tile: UART, interrupt controller, system registers.

pub mod devices;
pub mod exit;
pub mod gic;
pub mod l2c310;
pub mod pl011;
pub mod scu;
pub mod system_registers;
pub mod virtio;

pub use devices::{Devices, RAM_BASE};
