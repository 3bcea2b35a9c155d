// SPDX-License-Identifier: MIT OR Apache-2.0

//! The Cortex-A9's interrupt controller, a GICv1 (ARM IHI 0048A; DDI 0407, chapter 3).
//!
//! A device's driver registers its interrupt and a handler ([`handle`]); this module is independent
//! of devices. All interrupts are in group 0 and are signalled as IRQ.

use core::sync::atomic::{AtomicU32, Ordering};

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use tock_registers::{register_bitfields, register_structs};

use crate::cpu::irq::IrqMutex;

register_bitfields! [
    u32,
    Control [
        ENABLE OFFSET(0) NUMBITS(1) []
    ],
    /// ICDSGIR.
    SoftwareGenerated [
        TARGET OFFSET(24) NUMBITS(2) [
            Sender = 2
        ],
        INTERRUPT OFFSET(0) NUMBITS(4) []
    ],
    /// ICCIAR and ICCEOIR.
    Acknowledge [
        INTERRUPT OFFSET(0) NUMBITS(10) [
            Spurious = 1023
        ]
    ]
];

register_structs! {
    Distributor {
        (0x000 => control: ReadWrite<u32, Control::Register>),
        (0x004 => _reserved0),
        (0x100 => set_enable: [ReadWrite<u32>; 32]),
        (0x180 => clear_enable: [ReadWrite<u32>; 32]),
        (0x200 => _reserved1),
        (0x400 => priority: [ReadWrite<u8>; 1024]),
        (0x800 => target: [ReadWrite<u8>; 1024]),
        (0xc00 => _reserved2),
        (0xf00 => software_generated: WriteOnly<u32, SoftwareGenerated::Register>),
        (0xf04 => @END),
    }
}

register_structs! {
    Interface {
        (0x00 => control: ReadWrite<u32, Control::Register>),
        (0x04 => priority_mask: ReadWrite<u32>),
        (0x08 => _reserved0),
        (0x0c => acknowledge: ReadOnly<u32, Acknowledge::Register>),
        (0x10 => end_of_interrupt: WriteOnly<u32, Acknowledge::Register>),
        (0x14 => @END),
    }
}

/// Priority of enabled interrupts: between the highest, 0, and the mask that lets all pass, 0xff.
const PRIORITY: u8 = 0x80;
/// Largest interrupt number a GIC can have.
const MAX_INTERRUPT: u32 = 1019;

static DISTRIBUTOR: AtomicU32 = AtomicU32::new(0);
static INTERFACE: AtomicU32 = AtomicU32::new(0);
static LAST: AtomicU32 = AtomicU32::new(u32::MAX);

/// Handler of an interrupt, called with interrupts masked.
pub(crate) type Handler = fn();

/// Most interrupts with a handler.
const MAX_HANDLERS: usize = 4;

/// Interrupts with a handler.
static HANDLERS: IrqMutex<[Option<(u32, Handler)>; MAX_HANDLERS]> = IrqMutex::new([None; MAX_HANDLERS]);

/// Enables the controller, with every device's interrupt disabled until [`enable`].
///
/// # Safety
/// Both addresses are a GIC's and are mapped as device memory.
pub(crate) unsafe fn init(distributor: u32, interface: u32) {
    // SAFETY: guaranteed by the caller.
    let registers = unsafe { &*core::ptr::with_exposed_provenance::<Distributor>(distributor as usize) };
    registers.control.write(Control::ENABLE::CLEAR);
    for enabled in &registers.clear_enable {
        enabled.set(u32::MAX);
    }
    DISTRIBUTOR.store(distributor, Ordering::Relaxed);
    registers.control.write(Control::ENABLE::SET);
    INTERFACE.store(interface, Ordering::Relaxed);

    // SAFETY: guaranteed by the caller.
    let registers = unsafe { &*core::ptr::with_exposed_provenance::<Interface>(interface as usize) };
    registers.priority_mask.set(0xff);
    registers.control.write(Control::ENABLE::SET);
}

/// Registers `handler` for `interrupt`; false if the table is full.
pub(crate) fn handle(interrupt: u32, handler: Handler) -> bool {
    let mut handlers = HANDLERS.lock();
    let free = handlers.iter_mut().find(|entry| entry.is_none());
    free.map(|entry| *entry = Some((interrupt, handler))).is_some()
}

/// Removes the handler of `interrupt`, whose device is not used.
pub(crate) fn forget(interrupt: u32) {
    let mut handlers = HANDLERS.lock();
    handlers
        .iter_mut()
        .filter(|entry| entry.is_some_and(|(number, _)| number == interrupt))
        .for_each(|entry| *entry = None);
}

/// Enables a device's interrupt on this processor; ignores a number that no GIC has.
pub(crate) fn enable(interrupt: u32) {
    let distributor = DISTRIBUTOR.load(Ordering::Relaxed);
    if distributor == 0 || interrupt > MAX_INTERRUPT {
        return;
    }
    // SAFETY: `init` stored the address, which its caller guarantees.
    let registers = unsafe { &*core::ptr::with_exposed_provenance::<Distributor>(distributor as usize) };
    let number = interrupt as usize;
    registers.priority[number].set(PRIORITY);
    registers.target[number].set(1);
    registers.set_enable[number / 32].set(1 << (number % 32));
}

/// Sends this processor an interrupt that has no handler.
pub(crate) fn interrupt_oneself() {
    let distributor = DISTRIBUTOR.load(Ordering::Relaxed);
    if distributor != 0 {
        // SAFETY: `init` stored the address, which its caller guarantees.
        let registers = unsafe { &*core::ptr::with_exposed_provenance::<Distributor>(distributor as usize) };
        registers.software_generated.write(SoftwareGenerated::TARGET::Sender + SoftwareGenerated::INTERRUPT.val(0));
    }
}

/// Returns the interrupt that [`handle_irq`] acknowledged last.
pub(crate) fn last_interrupt() -> u32 {
    LAST.load(Ordering::Relaxed)
}

/// Handles an IRQ, called by the vector. Returns 0 for an interrupt without a handler.
// SAFETY: only the vector calls it, and nothing else has the name.
#[unsafe(no_mangle)]
extern "C" fn handle_irq() -> u32 {
    let interface = INTERFACE.load(Ordering::Relaxed);
    if interface == 0 {
        return 0;
    }
    // SAFETY: `init` stored the address, which its caller guarantees.
    let registers = unsafe { &*core::ptr::with_exposed_provenance::<Interface>(interface as usize) };
    let acknowledged = registers.acknowledge.extract();
    let number = acknowledged.read(Acknowledge::INTERRUPT);
    if number == Acknowledge::INTERRUPT::Spurious.value {
        // Withdrawn between the signal and the acknowledgement: nothing to end.
        return 1;
    }
    LAST.store(number, Ordering::Relaxed);
    let handler = HANDLERS.lock().iter().flatten().find(|(handled, _)| *handled == number).map(|&(_, handler)| handler);
    if let Some(handler) = handler {
        handler();
    }
    registers.end_of_interrupt.set(acknowledged.get());
    handler.is_some().into()
}
