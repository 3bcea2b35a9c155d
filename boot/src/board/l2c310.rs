// SPDX-License-Identifier: MIT OR Apache-2.0

//! The level 2 cache and its controller, a PL310 or L2C-310 (ARM DDI 0246).
//!
//! It is physical, unified and outside of the processor: the processor's own cache operations do
//! not reach it. It is set up once, while it is off: shareable non-cacheable memory is kept out of
//! it (without the override bit such accesses are looked up in it nevertheless, 2.3.2), lockdown is
//! lifted, every way is invalidated, and only then is it switched on.

use cortex_a::asm::dsb;
use kernel::dma::hardware::CacheOp;
use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite};
use tock_registers::{register_bitfields, register_structs};

use crate::cpu::cache::each_line;

register_bitfields! [
    u32,
    /// reg0_cache_id.
    CacheId [
        IMPLEMENTER OFFSET(24) NUMBITS(8) [
            Arm = 0x41
        ],
        PART OFFSET(6) NUMBITS(4) [
            L2c310 = 3
        ]
    ],
    /// reg1_control.
    Control [
        ENABLE OFFSET(0) NUMBITS(1) []
    ],
    /// reg1_aux_control; the other bits stay as reset or firmware set them.
    Auxiliary [
        EARLY_BRESP OFFSET(30) NUMBITS(1) [],
        INSTRUCTION_PREFETCH OFFSET(29) NUMBITS(1) [],
        DATA_PREFETCH OFFSET(28) NUMBITS(1) [],
        SHARED_OVERRIDE OFFSET(22) NUMBITS(1) [],
        WAY_SIZE OFFSET(17) NUMBITS(3) [],
        SIXTEEN_WAYS OFFSET(16) NUMBITS(1) []
    ],
    Sync [
        BUSY OFFSET(0) NUMBITS(1) []
    ]
];

register_structs! {
    Registers {
        (0x000 => cache_id: ReadOnly<u32, CacheId::Register>),
        (0x004 => _reserved0),
        (0x100 => control: ReadWrite<u32, Control::Register>),
        (0x104 => auxiliary: ReadWrite<u32, Auxiliary::Register>),
        (0x108 => _reserved1),
        (0x214 => interrupt_mask: ReadWrite<u32>),
        (0x218 => _reserved2),
        (0x220 => interrupt_clear: ReadWrite<u32>),
        (0x224 => _reserved3),
        (0x730 => sync: ReadWrite<u32, Sync::Register>),
        (0x734 => _reserved4),
        (0x770 => invalidate_line: ReadWrite<u32>),
        (0x774 => _reserved5),
        (0x77c => invalidate_ways: ReadWrite<u32>),
        (0x780 => _reserved6),
        (0x7b0 => clean_line: ReadWrite<u32>),
        (0x7b4 => _reserved7),
        (0x7f0 => clean_invalidate_line: ReadWrite<u32>),
        (0x7f4 => _reserved8),
        // Eight masters' data and instruction lockdown by way.
        (0x900 => lockdown: [ReadWrite<u32>; 16]),
        (0x940 => @END),
    }
}

/// Most reads of a register while a background operation runs; if it is not done then, the hardware
/// is faulty.
const MAX_POLLS: u32 = 10_000_000;

/// The controller, switched on.
pub(crate) struct L2c310 {
    registers: &'static Registers,
}

impl L2c310 {
    /// Sets the cache up and switches it on. One that is on already keeps its settings.
    ///
    /// # Errors
    /// The reason that it stays off.
    ///
    /// # Safety
    /// `base` is the tree's address of such a controller, mapped permanently as device memory.
    pub(crate) unsafe fn init(base: u32) -> Result<Self, &'static str> {
        // SAFETY: guaranteed by the caller; all registers may be read, and are written here as the
        // manual requires.
        let registers = unsafe { &*core::ptr::with_exposed_provenance::<Registers>(base as usize) };
        let id = registers.cache_id.extract();
        if !id.matches_all(CacheId::IMPLEMENTER::Arm + CacheId::PART::L2c310) {
            return Err("its ID register is not an L2C-310's");
        }
        if registers.control.is_set(Control::ENABLE) {
            log::warn!("L2C-310: on before the kernel began; its settings stay");
        } else {
            registers.auxiliary.modify(
                Auxiliary::EARLY_BRESP::SET
                    + Auxiliary::INSTRUCTION_PREFETCH::SET
                    + Auxiliary::DATA_PREFETCH::SET
                    + Auxiliary::SHARED_OVERRIDE::SET,
            );
            registers.lockdown.iter().for_each(|way| way.set(0));
            let ways = Self::ways(registers);
            registers.invalidate_ways.set((1 << ways) - 1);
            if !(0..MAX_POLLS).any(|_| registers.invalidate_ways.get() == 0) {
                return Err("it does not finish invalidating its ways");
            }
            let cache = Self { registers };
            cache.sync();
            registers.interrupt_mask.set(0);
            registers.interrupt_clear.set(0x1ff);
            registers.control.write(Control::ENABLE::SET);
            dsb();
        }
        let auxiliary = registers.auxiliary.extract();
        let way_kib = 8 << auxiliary.read(Auxiliary::WAY_SIZE);
        let ways = Self::ways(registers);
        log::info!("L2C-310 cache controller enabled, {ways} ways, {} kB", ways * way_kib);
        log::info!("L2C-310: CACHE_ID {:#010x}, AUX_CTRL {:#010x}", id.get(), auxiliary.get());
        Ok(Self { registers })
    }

    fn ways(registers: &Registers) -> u32 {
        if registers.auxiliary.is_set(Auxiliary::SIXTEEN_WAYS) { 16 } else { 8 }
    }

    /// Applies `op` to each line of a physical range, which consists of whole lines.
    ///
    /// # Safety
    /// For [`CacheOp::Invalidate`], data written to those lines and not cleaned yet is not needed.
    pub(crate) unsafe fn maintain(&self, op: CacheOp, start: u32, bytes: u32) {
        let register = match op {
            CacheOp::Clean => &self.registers.clean_line,
            CacheOp::Invalidate => &self.registers.invalidate_line,
            CacheOp::CleanInvalidate => &self.registers.clean_invalidate_line,
        };
        // Each operation is complete when the next is accepted (2.2.1: atomic operations).
        each_line(start, bytes, |line| register.set(line));
    }

    /// Drains the controller's buffers.
    pub(crate) fn sync(&self) {
        self.registers.sync.set(0);
        while self.registers.sync.is_set(Sync::BUSY) {}
        dsb();
    }
}
