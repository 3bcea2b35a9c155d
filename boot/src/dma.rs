// SPDX-License-Identifier: MIT OR Apache-2.0

//! The machine under the DMA API: its two caches, and the window of coherent buffers.
//!
//! The window lies above that of movable pages. It is given out by the MiB: a slot shows one MiB of
//! memory, in part or as a whole, to all buffers that lie in that MiB, so that small buffers share
//! a page table and large ones are sections.

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

/// Where the window begins: behind that of movable pages.
pub(crate) const WINDOW: u32 = 0xe000_0000;
/// How many MiB it has.
const SLOTS: usize = 496;
const MIB: u32 = 1 << 20;

/// What a MiB of the window shows.
#[derive(Clone, Copy, Default)]
struct Slot {
    /// Which MiB of memory, while somebody uses it.
    memory: u16,
    /// Buffers that lie in it, at least in part.
    users: u16,
}

/// The caches and the window.
pub(crate) struct Board {
    l2: Option<L2c310>,
    slots: [Slot; SLOTS],
}

impl Board {
    /// Finds the level 2 cache and the snoop control unit in the tree and sets them up. What is
    /// missing is done without, and said so.
    pub(crate) fn find(facts: &Facts) -> Box<Self> {
        let of = |compatible, name| {
            let base = Devices::base_of(facts, compatible).filter(|&base| is_mapped(base));
            if base.is_none() {
                log::warn!(
                    "no {name} ({compatible}) in the tree, or none that can be reached: the kernel does without"
                );
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
                    // A tree may have a device there: it stays, and no memory ever matches the
                    // slot.
                    *slot = Slot { memory: u16::MAX, users: 1 };
                }
            }
        });
        Box::new(Self { l2, slots })
    }

    /// The first run of slots that are free or show the right MiB already.
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

/// Whether a page of registers is mapped.
fn is_mapped(base: u32) -> bool {
    let last = base.wrapping_add(PAGE_SIZE as u32 - 4);
    mappings::with(|map| [base, last].into_iter().all(|at| map.space().rights(at) == Some(Access::Device)))
}

/// The MiB that pages lie in: the first, and how many.
fn mib_of(first: Pfn, pages: u32) -> (u16, usize) {
    let start = first.addr().0;
    let end = start + u64::from(pages) * PAGE_SIZE;
    let first = start / u64::from(MIB);
    (first as u16, (end.div_ceil(u64::from(MIB)) - first) as usize)
}

impl Caches for Board {
    fn inner(&mut self, op: CacheOp, start: CpuAddress, bytes: u32) {
        // SAFETY: the DMA API invalidates lines only where a device has written or will write all
        // of them, and cleans those that are partly somebody else's.
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
        // What the processor has written must be in memory before its pages become cacheable.
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
        // - the DMA API clears what it has just mapped, whole pages;
        // - no device knows of them yet, and nobody else has the address.
        unsafe { core::ptr::write_bytes(start, 0, bytes as usize / size_of::<u32>()) };
    }

    fn load(&mut self, at: CpuAddress, bytes: &mut [u8]) {
        for (address, byte) in (at.get() as usize..).zip(bytes) {
            let from = core::ptr::with_exposed_provenance::<u8>(address);
            // SAFETY:
            // - the address lies in a mapping or buffer of the DMA API, which has checked the
            //   bounds;
            // - read at once, as a device may write there.
            *byte = unsafe { from.read_volatile() };
        }
    }

    fn store(&mut self, at: CpuAddress, bytes: &[u8]) {
        for (address, &byte) in (at.get() as usize..).zip(bytes) {
            let to = core::ptr::with_exposed_provenance_mut::<u8>(address);
            // SAFETY: as for `load`; the driver that owns the buffer or mapping is the one who
            // writes.
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
