// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the DMA API asks of the machine: cache maintenance, the window of non-cacheable mappings,
//! and the memory itself.
//!
//! `boot` implements it with CP15 operations, the L2C-310's registers and the page tables; the host
//! tests with a model of two write-back caches over memory, and with a recorder. The order of
//! operations is decided by this crate, so that it is what the tests see.

use super::CpuAddress;
use units::{Pfn, PhysAddr};

/// What is done to the lines of a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CacheOp {
    /// Dirty lines are written on; they stay.
    Clean,
    /// Lines are dropped, dirty or not.
    Invalidate,
    /// Dirty lines are written on, and all are dropped.
    CleanInvalidate,
}

/// The caches. Ranges are whole lines and not empty.
pub trait Caches {
    /// Maintains the level 1 data cache, line by line, by the processor's address (to the point of
    /// coherency, which on a Cortex-A9 is the level 2 cache's port). All of it has happened when
    /// the call returns.
    fn inner(&mut self, op: CacheOp, start: CpuAddress, bytes: u32);

    /// Maintains the level 2 cache, line by line, by physical address. Complete only with
    /// [`Caches::outer_sync`]. Does nothing where there is none.
    fn outer(&mut self, op: CacheOp, start: PhysAddr, bytes: u32);

    /// Waits until the level 2 cache has done what it was told and its buffers are empty.
    fn outer_sync(&mut self);
}

/// The machine.
pub trait Hardware: Caches {
    /// Where the processor finds RAM, cached.
    fn cached(&self, at: PhysAddr) -> CpuAddress;

    /// Whether memory has its cacheable mapping, for self-tests.
    fn is_cacheable(&self, at: PhysAddr) -> bool;

    /// Takes the cacheable mapping of frames away, so that no speculation can fill a line any more,
    /// and maps them non-cacheable at the address that is returned. What the caches hold of them,
    /// they keep.
    ///
    /// # Errors
    /// Why they cannot be mapped; nothing was changed then.
    fn map_coherent(&mut self, first: Pfn, pages: u32) -> Result<CpuAddress, &'static str>;

    /// Takes the mapping at an address that [`Hardware::map_coherent`] returned away and gives the
    /// frames their cacheable one back.
    fn unmap_coherent(&mut self, at: CpuAddress, first: Pfn, pages: u32);

    /// Writes zeroes to mapped memory, `bytes` of them, a multiple of 4.
    fn zero(&mut self, at: CpuAddress, bytes: u32);

    /// Reads mapped memory.
    fn load(&mut self, at: CpuAddress, bytes: &mut [u8]);

    /// Writes mapped memory.
    fn store(&mut self, at: CpuAddress, bytes: &[u8]);

    /// Reads an aligned word in one access, as a device that shares the memory needs it.
    fn load_word(&mut self, at: CpuAddress) -> u32;

    /// Writes an aligned word in one access.
    fn store_word(&mut self, at: CpuAddress, word: u32);

    /// What was stored before is seen by the device before anything that is stored later
    /// (`dma_wmb`, `dma_rmb`).
    fn barrier(&mut self);
}
