// SPDX-License-Identifier: MIT OR Apache-2.0

//! Virtio over memory-mapped registers (Virtio 1.2, 4.2, and its legacy interface, 4.2.4): finds
//! the disk among the tree's devices, and handles its interrupt.
//!
//! The `virtio-drivers` crate drives the transport and the queue; [`disk`] builds a block device on
//! them, and [`memory`] supplies the crate with memory. QEMU puts four `virtio,mmio` nodes into the
//! tree, most of them without a device. One disk is used, the first.

pub(crate) mod disk;
mod memory;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};

use kernel::dt::Facts;
use kernel::system::System;
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, WriteOnly};
use virtio_drivers::transport::mmio::{MmioError, MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceType, DeviceTypeError, Transport};

use super::gic;
use crate::cpu::mappings;
use crate::cpu::mmu::Access;
use disk::VirtioDisk;

/// Least size of a device's registers: the common ones and a disk's configuration.
const LEAST_BYTES: u64 = 0x120;

register_structs! {
    /// The registers that the interrupt handler needs.
    Registers {
        (0x00 => _reserved0),
        (0x60 => interrupt_status: ReadOnly<u32>),
        (0x64 => interrupt_acknowledge: WriteOnly<u32>),
        (0x68 => @END),
    }
}

/// Address of the disk's registers; 0 before there is a disk.
static BASE: AtomicU32 = AtomicU32::new(0);
/// Interrupts that the disk has sent.
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);

/// A node of the tree that may have a virtio device.
pub(crate) struct Place {
    /// Name of the node and of the device. Leaked: the tree is read once, and the devices stay.
    name: &'static str,
    base: u32,
    bytes: u32,
    interrupt: Option<u32>,
}

impl Place {
    fn overlaps(&self, other: &Self) -> bool {
        self.base < other.base.saturating_add(other.bytes) && other.base < self.base.saturating_add(self.bytes)
    }

    /// True if its registers are mapped: a tree can give an address where nothing, or something
    /// else, is mapped.
    fn is_mapped(&self) -> bool {
        let ends = [self.base, self.base.saturating_add(self.bytes - 1)];
        mappings::with(|map| ends.into_iter().all(|end| map.space().rights(end) == Some(Access::Device)))
    }
}

/// Returns the tree's nodes for virtio devices.
pub(crate) fn places(facts: &Facts) -> Vec<Place> {
    let nodes = facts.devices.iter().filter(|device| super::devices::is(device, "virtio,mmio"));
    nodes
        .filter_map(|device| {
            let reg = device.reg.first().filter(|reg| reg.size() >= LEAST_BYTES)?;
            let base = u32::try_from(reg.start).ok().filter(|base| base.is_multiple_of(4))?;
            Some(Place {
                name: String::from(device.name()).leak(),
                base,
                bytes: reg.size().min(0x1000) as u32,
                interrupt: device.interrupts.first().copied(),
            })
        })
        .collect()
}

/// Starts the first disk among `places` and hands it to `system`; logs what it finds.
pub(crate) fn start(places: &[Place], system: &mut System<'_>) {
    let mut found = false;
    for (number, place) in places.iter().enumerate() {
        if places[..number].iter().any(|other| other.overlaps(place)) {
            // A second probe would reset the device found there.
            log::warn!("{}: its registers overlap another node's: left alone", place.name);
            continue;
        }
        if !place.is_mapped() {
            log::warn!("{}: its registers are not mapped: left alone", place.name);
            continue;
        }
        let Some(header) = NonNull::new(core::ptr::with_exposed_provenance_mut::<VirtIOHeader>(place.base as usize))
        else {
            continue;
        };
        // SAFETY: mapped as device memory, which stays so, and aligned; `new` checks that the
        // registers are virtio's.
        let transport = match unsafe { MmioTransport::new(header, place.bytes as usize) } {
            Ok(transport) => transport,
            // No device at these registers.
            Err(MmioError::InvalidDeviceID(DeviceTypeError::InvalidDeviceType(0))) => continue,
            Err(error) => {
                log::warn!("{}: no virtio device: {error}", place.name);
                continue;
            }
        };
        if transport.device_type() != DeviceType::Block {
            log::info!("{}: a virtio device, but not a disk: ignored", place.name);
        } else if found {
            log::info!("{}: one disk is used, the first; this one is ignored", place.name);
        } else {
            found = start_disk(place, transport, system);
        }
    }
}

/// Starts the disk at `place`. Returns false if another disk may be tried.
fn start_disk(place: &Place, transport: MmioTransport<'static>, system: &mut System<'_>) -> bool {
    let Some(interrupt) = place.interrupt else {
        log::warn!("{}: a disk without an interrupt cannot be used", place.name);
        return false;
    };
    // The handler can be called as soon as the device may interrupt.
    BASE.store(place.base, Ordering::Relaxed);
    if !gic::handle(interrupt, interrupted) {
        log::warn!("{}: no slot for the disk's interrupt handler: not used (raise MAX_HANDLERS)", place.name);
        return false;
    }
    match VirtioDisk::start(place.name, transport, system) {
        Ok(disk) => {
            gic::enable(interrupt);
            system.set_disk(Box::new(disk));
        }
        Err(why) => {
            log::warn!("{}: the disk cannot be used: {why}", place.name);
            gic::forget(interrupt);
        }
    }
    true
}

/// Acknowledges the disk's interrupt and counts it; the interrupt itself ends the waiter's WFI.
fn interrupted() {
    let base = BASE.load(Ordering::Relaxed);
    if base == 0 {
        return;
    }
    // SAFETY: `start_disk` stored the address of a virtio device's registers, which stay mapped.
    let registers = unsafe { &*core::ptr::with_exposed_provenance::<Registers>(base as usize) };
    registers.interrupt_acknowledge.set(registers.interrupt_status.get());
    INTERRUPTS.fetch_add(1, Ordering::Relaxed);
}

/// Interrupts that the disk has sent.
fn interrupts() -> u64 {
    INTERRUPTS.load(Ordering::Relaxed).into()
}
