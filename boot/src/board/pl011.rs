// SPDX-License-Identifier: MIT OR Apache-2.0

//! The PL011 UART (ARM DDI 0183).

use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite};
use tock_registers::{register_bitfields, register_structs};

register_bitfields! [
    u32,
    Data [
        DATA OFFSET(0) NUMBITS(8) []
    ],
    Flag [
        TXFF OFFSET(5) NUMBITS(1) [],
        RXFE OFFSET(4) NUMBITS(1) [],
        BUSY OFFSET(3) NUMBITS(1) []
    ],
    LineControl [
        WLEN OFFSET(5) NUMBITS(2) [
            Eight = 3
        ],
        FEN OFFSET(4) NUMBITS(1) []
    ],
    Control [
        RXE OFFSET(9) NUMBITS(1) [],
        TXE OFFSET(8) NUMBITS(1) [],
        UARTEN OFFSET(0) NUMBITS(1) []
    ],
    /// UARTIFLS: FIFO fill levels that raise an interrupt.
    FifoLevel [
        RXIFLSEL OFFSET(3) NUMBITS(3) [
            Eighth = 0
        ]
    ],
    InterruptMask [
        RTIM OFFSET(6) NUMBITS(1) [],
        RXIM OFFSET(4) NUMBITS(1) []
    ]
];

register_structs! {
    Registers {
        (0x00 => data: ReadWrite<u32, Data::Register>),
        (0x04 => _reserved0),
        (0x18 => flag: ReadOnly<u32, Flag::Register>),
        (0x1c => _reserved1),
        (0x24 => integer_divisor: ReadWrite<u32>),
        (0x28 => fractional_divisor: ReadWrite<u32>),
        (0x2c => line_control: ReadWrite<u32, LineControl::Register>),
        (0x30 => control: ReadWrite<u32, Control::Register>),
        (0x34 => fifo_level: ReadWrite<u32, FifoLevel::Register>),
        (0x38 => interrupt_mask: ReadWrite<u32, InterruptMask::Register>),
        (0x3c => _reserved2),
        (0xfe0 => identification: [ReadOnly<u32>; 8]),
        (0x1000 => @END),
    }
}

/// UARTCLK 24 MHz / (16 · 115200 baud) = 13 + 1/64.
const INTEGER_DIVISOR: u32 = 13;
const FRACTIONAL_DIVISOR: u32 = 1;

/// A PL011 at an address. Every register access is one load or store, so several copies may be used
/// at a time, as a fault's report does with the console's.
#[derive(Clone, Copy)]
pub(crate) struct Pl011 {
    base: u32,
}

impl Pl011 {
    /// Creates the driver for a UART at `base`.
    ///
    /// # Safety
    /// `base` is accessible as device memory whenever the value is used; and a PL011's, if more
    /// than [`Pl011::is_present`] is called.
    pub(crate) const unsafe fn new(base: u32) -> Self {
        Self { base }
    }

    fn registers(&self) -> &Registers {
        // SAFETY: guaranteed by `new`'s caller.
        unsafe { &*core::ptr::with_exposed_provenance(self.base as usize) }
    }

    /// True if the identification registers are a PL011's (part number 0x011, PrimeCell's
    /// signature), of any revision.
    pub(crate) fn is_present(&self) -> bool {
        let byte = |index: usize| self.registers().identification[index].get() & 0xff;
        let part_number = byte(0) | (byte(1) & 0xf) << 8;
        part_number == 0x011 && [4, 5, 6, 7].map(byte) == [0x0d, 0xf0, 0x05, 0xb1]
    }

    /// Sets 115200 8N1 with FIFOs, and masks all interrupts.
    pub(crate) fn init(&self) {
        let registers = self.registers();
        registers.control.write(Control::UARTEN::CLEAR);
        registers.interrupt_mask.set(0);
        registers.integer_divisor.set(INTEGER_DIVISOR);
        registers.fractional_divisor.set(FRACTIONAL_DIVISOR);
        // Writing the line control register applies the divisors.
        registers.line_control.write(LineControl::WLEN::Eight + LineControl::FEN::SET);
        registers.fifo_level.write(FifoLevel::RXIFLSEL::Eighth);
        registers.control.write(Control::UARTEN::SET + Control::TXE::SET + Control::RXE::SET);
    }

    /// Sends a byte, waiting for room.
    pub(crate) fn send(&self, byte: u8) {
        let registers = self.registers();
        while registers.flag.is_set(Flag::TXFF) {}
        registers.data.set(byte.into());
    }

    /// Waits until everything was sent.
    pub(crate) fn flush(&self) {
        while self.registers().flag.is_set(Flag::BUSY) {}
    }

    /// Returns the next byte received, if there is one. Error bits are ignored: they are of no use
    /// to a terminal.
    pub(crate) fn receive(&self) -> Option<u8> {
        let registers = self.registers();
        if registers.flag.is_set(Flag::RXFE) { None } else { Some(registers.data.read(Data::DATA) as u8) }
    }

    /// Unmasks (`on`) or masks the receive interrupt.
    pub(crate) fn interrupt_on_receive(&self, on: bool) {
        let mask = &self.registers().interrupt_mask;
        if on {
            mask.modify(InterruptMask::RXIM::SET + InterruptMask::RTIM::SET);
        } else {
            mask.modify(InterruptMask::RXIM::CLEAR + InterruptMask::RTIM::CLEAR);
        }
    }
}
