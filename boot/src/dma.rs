// SPDX-License-Identifier: MIT OR Apache-2.0

//! The hardware that the DMA API uses: two levels of cache, and the window of coherent buffers.
//!
//! The window is above that of movable pages. It is allocated by the MiB: a slot maps one MiB of
//! memory, in part or as a whole, for all buffers in that MiB, so that small buffers share a page
//! table and large ones are mapped as sections.

use alloc::boxed::Box;

use cortex_a::asm::dsb;
use kernel::dma::CpuAddress;
use kernel::dma::hardware::{CacheOp, Caches, Hardware};
use kernel::dt::Facts;
use kernel::units::{PAGE_SIZE, Pfn, PhysAddr, PhysRange};

use crate::board::l2c310::L2c310;
use crate::board::{Devices, scu};
use crate::cpu::mmu::Access;
use crate::cpu::{cache, mappings};

/// Start of the window: the end of that of movable pages.
pub(crate) const WINDOW: u32 = 0xe000_0000;
/// Slots of the window, a MiB each.
const SLOTS: usize = 496;
const MIB: u32 = 1 << 20;

/// The memory that a MiB of the window maps.
#[derive(Clone, Copy, Default)]
struct Slot {
    /// Number of the MiB of memory, valid while the slot has users.
    memory: u16,
    /// Buffers that are in that MiB, at least in part.
    users: u16,
}

/// The caches and the window.
pub(crate) struct Board {
    l2: Option<L2c310>,
    slots: [Slot; SLOTS],
}

impl Board {
    /// Finds the level 2 cache and the snoop control unit in the tree and sets them up. Without one
    /// of them, logs a warning and continues.
    pub(crate) fn find(facts: &Facts) -> Box<Self> {
        let of = |compatible, name| {
            let base = Devices::base_of(facts, compatible).filter(|&base| is_mapped(base));
            if base.is_none() {
                log::warn!("no {name} ({compatible}) in the tree, or its registers cannot be mapped: not used");
            }
            base
        };
        if let Some(base) = of("arm,cortex-a9-scu", "snoop control unit") {
            // SAFETY: the tree's address for it, and all devices of the tree are mapped by now.
            if let Err(why) = unsafe { scu::init(base) } {
                log::warn!("the snoop control unit at {base:#010x}: {why}");
            }
        }
        let l2 = of("arm,pl310-cache", "level 2 cache").and_then(|base| {
            // SAFETY: as above.
            let found = unsafe { L2c310::init(base) };
            found.inspect_err(|why| log::warn!("the level 2 cache at {base:#010x} stays off: {why}")).ok()
        });
        let window = PhysRange::sized(WINDOW.into(), SLOTS as u64 * u64::from(MIB));
        mappings::with(|map| map.name(window, "the window of coherent buffers"));
        let mut slots = [Slot::default(); SLOTS];
        mappings::with(|map| {
            for (slot, at) in slots.iter_mut().zip((WINDOW..).step_by(MIB as usize)) {
                if !map.space().is_vacant(at) {
                    // A device of the tree is mapped there: it stays, and the slot never matches
                    // any memory.
                    *slot = Slot { memory: u16::MAX, users: 1 };
                }
            }
        });
        Box::new(Self { l2, slots })
    }

    /// Returns the first run of `count` slots that are free or map the right MiB already.
    fn find_slots(&self, first: u16, count: usize) -> Option<usize> {
        let mut start = 0;
        while start + count <= SLOTS {
            let run = self.slots[start..start + count].iter().zip(first..);
            match run.enumerate().find(|(_, (slot, memory))| slot.users > 0 && slot.memory != *memory) {
                None => return Some(start),
                Some((place, _)) => start += place + 1,
            }
        }
        None
    }
}

/// True if the page of registers at `base` is mapped.
fn is_mapped(base: u32) -> bool {
    let last = base.wrapping_add(PAGE_SIZE as u32 - 4);
    mappings::with(|map| [base, last].into_iter().all(|at| map.space().rights(at) == Some(Access::Device)))
}

/// Returns the MiB that the pages are in: the first, and their number.
fn mib_of(first: Pfn, pages: u32) -> (u16, usize) {
    let start = first.addr().0;
    let end = start + u64::from(pages) * PAGE_SIZE;
    let first = start / u64::from(MIB);
    (first as u16, (end.div_ceil(u64::from(MIB)) - first) as usize)
}

impl Caches for Board {
    fn inner(&mut self, op: CacheOp, start: CpuAddress, bytes: u32) {
        // SAFETY: the DMA API invalidates only lines that a device has written or will write
        // completely, and cleans those that are partly other data's.
        unsafe { cache::maintain(op, start.get(), bytes) };
    }

    fn outer(&mut self, op: CacheOp, start: PhysAddr, bytes: u32) {
        if let Some(l2) = &self.l2 {
            // SAFETY: as above.
            unsafe { l2.maintain(op, start.0 as u32, bytes) };
        }
    }

    fn outer_sync(&mut self) {
        if let Some(l2) = &self.l2 {
            l2.sync();
        }
    }
}

impl Hardware for Board {
    fn cached(&self, at: PhysAddr) -> CpuAddress {
        CpuAddress::new(at.0 as u32)
    }

    fn is_cacheable(&self, at: PhysAddr) -> bool {
        mappings::with(|map| map.space().rights(at.0 as u32)) == Some(Access::Data)
    }

    fn map_coherent(&mut self, first: Pfn, pages: u32) -> Result<CpuAddress, &'static str> {
        let (memory, count) = mib_of(first, pages);
        let slot = self.find_slots(memory, count).ok_or("the window of coherent buffers is full")?;
        let start = first.addr().0 as u32;
        let at = WINDOW + slot as u32 * MIB + start % MIB;
        mappings::with(|map| map.space().move_to_window(start, pages, at)).map_err(|_| "no page tables are left")?;
        for (slot, memory) in self.slots[slot..slot + count].iter_mut().zip(memory..) {
            *slot = Slot { memory, users: slot.users + 1 };
        }
        Ok(CpuAddress::new(at))
    }

    fn unmap_coherent(&mut self, at: CpuAddress, first: Pfn, pages: u32) {
        // The processor's writes must be in memory before its pages become cacheable.
        self.barrier();
        let slot = ((at.get() - WINDOW) / MIB) as usize;
        let (_, count) = mib_of(first, pages);
        let slots = &mut self.slots[slot..slot + count];
        slots.iter_mut().for_each(|slot| slot.users -= 1);
        let idle = |place: usize| slots[place].users == 0;
        mappings::with(|map| map.space().move_back(first.addr().0 as u32, pages, at.get(), idle));
    }

    fn zero(&mut self, at: CpuAddress, bytes: u32) {
        let start = core::ptr::with_exposed_provenance_mut::<u32>(at.get() as usize);
        // SAFETY:
        // - the DMA API clears memory that it has just mapped, in whole pages;
        // - no device has their address yet, and no other code has.
        unsafe { core::ptr::write_bytes(start, 0, bytes as usize / size_of::<u32>()) };
    }

    fn load(&mut self, at: CpuAddress, bytes: &mut [u8]) {
        for (address, byte) in (at.get() as usize..).zip(bytes) {
            let from = core::ptr::with_exposed_provenance::<u8>(address);
            // SAFETY:
            // - the address is in a mapping or buffer of the DMA API, which has checked the bounds;
            // - the read is volatile, as a device may write there.
            *byte = unsafe { from.read_volatile() };
        }
    }

    fn store(&mut self, at: CpuAddress, bytes: &[u8]) {
        for (address, &byte) in (at.get() as usize..).zip(bytes) {
            let to = core::ptr::with_exposed_provenance_mut::<u8>(address);
            // SAFETY: as for `load`; only the driver that owns the buffer or mapping writes.
            unsafe { to.write_volatile(byte) };
        }
    }

    fn load_word(&mut self, at: CpuAddress) -> u32 {
        let from = core::ptr::with_exposed_provenance::<u32>(at.get() as usize);
        // SAFETY: as for `load`, and the DMA API has checked the alignment.
        unsafe { from.read_volatile() }
    }

    fn store_word(&mut self, at: CpuAddress, word: u32) {
        let to = core::ptr::with_exposed_provenance_mut::<u32>(at.get() as usize);
        // SAFETY: as for `store`, and the DMA API has checked the alignment.
        unsafe { to.write_volatile(word) };
    }

    fn barrier(&mut self) {
        dsb();
        self.outer_sync();
    }
}

const _: () = assert!(WINDOW.is_multiple_of(MIB));
const _: () = assert!(WINDOW as u64 + SLOTS as u64 * MIB as u64 <= 0xff00_0000);
