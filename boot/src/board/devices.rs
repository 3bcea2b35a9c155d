// SPDX-License-Identifier: MIT OR Apache-2.0

//! Addresses of the devices that the kernel drives.
//!
//! They are found in the device tree by their `compatible`. For a device that the tree does not
//! list (upstream's has no global timer, a reduced one may lack any), the board's own address is
//! used, so that there is always a console for messages and a way to end the machine.

use devicetree::{Device, Facts};
use units::PhysRange;

use crate::cpu::{self, image};

/// Start of RAM: QEMU puts the device tree there when it enters an ELF image.
pub(crate) const RAM_BASE: u32 = 0x6000_0000;

/// System registers, if the tree lists none.
pub(crate) const SYSTEM_REGISTERS: u32 = 0x1000_0000;
/// UART 0, if the tree's `stdout-path` names no PL011.
const UART0: u32 = 0x1000_9000;
/// UART 0's interrupt, SPI 5.
const UART0_INTERRUPT: u32 = 32 + 5;
/// Offsets of the distributor and the processor interface in the private peripherals' region.
const GIC_DISTRIBUTOR_OFFSET: u32 = 0x1000;
const GIC_INTERFACE_OFFSET: u32 = 0x100;

/// The devices the kernel drives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Devices {
    /// PL011 of the console.
    pub uart: u32,
    /// GIC interrupt of that UART.
    pub uart_interrupt: u32,
    /// GIC distributor.
    pub distributor: u32,
    /// GIC processor interface.
    pub interface: u32,
    /// System registers: power, reboot.
    pub system_registers: u32,
}

impl Devices {
    /// Returns the board's own addresses.
    pub(crate) fn known() -> Self {
        let private = cpu::private_peripherals() as u32;
        Self {
            uart: UART0,
            uart_interrupt: UART0_INTERRUPT,
            distributor: private + GIC_DISTRIBUTOR_OFFSET,
            interface: private + GIC_INTERFACE_OFFSET,
            system_registers: SYSTEM_REGISTERS,
        }
    }

    /// Returns the tree's addresses, and the board's own where the tree has none, or one inside RAM
    /// or the kernel.
    pub(crate) fn find(facts: &Facts) -> Self {
        let mut devices = Self::known();
        let base = |reg: Option<&PhysRange>| base_of(facts, reg);
        let first = |compatible| facts.devices.iter().find(|device| is(device, compatible));

        if let Some(gic) = first("arm,cortex-a9-gic")
            && let (Some(distributor), Some(interface)) = (base(gic.reg.first()), base(gic.reg.get(1)))
        {
            devices.distributor = distributor;
            devices.interface = interface;
        }
        if let Some(system_registers) = first("arm,vexpress-sysreg").and_then(|device| base(device.reg.first())) {
            devices.system_registers = system_registers;
        }
        let stdout = facts.stdout.and_then(|index| facts.devices.get(index)).filter(|device| is(device, "arm,pl011"));
        let uart0 =
            || facts.devices.iter().find(|device| device.reg.first().is_some_and(|reg| reg.start == UART0.into()));
        if let Some(uart) = stdout.or_else(uart0)
            && let Some(base) = base(uart.reg.first())
        {
            devices.uart = base;
            devices.uart_interrupt = uart.interrupts.first().copied().unwrap_or(UART0_INTERRUPT);
        }
        devices
    }

    /// Returns the address of the registers of the first device compatible with `compatible`;
    /// `None` if the tree has none, or none at a usable address.
    pub(crate) fn base_of(facts: &Facts, compatible: &str) -> Option<u32> {
        let device = facts.devices.iter().find(|device| is(device, compatible))?;
        base_of(facts, device.reg.first())
    }

    /// Returns their register pages, which have to be mapped whatever the tree lists.
    pub(crate) fn register_pages(&self) -> [(PhysRange, &'static str); 4] {
        let page = |base: u32| PhysRange::sized(base.into(), 0x1000);
        [
            (page(self.system_registers), "the system registers"),
            (page(self.uart), "the console UART"),
            (page(self.distributor), "the interrupt distributor"),
            (page(self.interface), "the processor's interrupt interface"),
        ]
    }
}

/// Returns the start of `reg`, unless it overlaps memory or is in page 0, which is never mapped.
fn base_of(facts: &Facts, reg: Option<&PhysRange>) -> Option<u32> {
    let reg = reg?;
    let in_memory = reg.overlaps(&image::range()) || facts.memory.iter().any(|memory| memory.overlaps(reg));
    u32::try_from(reg.start).ok().filter(|base| *base >= 0x1000 && base.is_multiple_of(4) && !in_memory)
}

/// True if `device` is compatible with `compatible`.
pub(super) fn is(device: &Device, compatible: &str) -> bool {
    device.compatible.iter().any(|name| name == compatible)
}
