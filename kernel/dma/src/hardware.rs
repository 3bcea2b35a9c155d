// SPDX-License-Identifier: MIT OR Apache-2.0

//! The interface of the DMA API to the machine: cache maintenance, the window of non-cacheable
//! mappings, and access to memory.
//!
//! `boot` implements it with CP15 operations, the L2C-310's registers and the page tables; the host
//! tests with a model of two write-back caches over memory, and with a recorder. This crate decides
//! the order of operations, so that the tests cover it.

use super::CpuAddress;
use units::{Pfn, PhysAddr};

/// Operation on the lines of a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CacheOp {
    /// Dirty lines are written to the next level, and stay.
    Clean,
    /// All lines are dropped, without a write.
    Invalidate,
    /// Dirty lines are written to the next level, and all lines are dropped.
    CleanInvalidate,
}

/// The caches. Ranges are whole lines, and not empty.
pub trait Caches {
    /// Maintains the level 1 data cache, line by line, by the processor's address (to the point of
    /// coherency, which on a Cortex-A9 is the level 2 cache's port). The operation is complete when
    /// the call returns.
    fn inner(&mut self, op: CacheOp, start: CpuAddress, bytes: u32);

    /// Maintains the level 2 cache, line by line, by physical address. It is complete only after
    /// [`Caches::outer_sync`]. Does nothing if there is no level 2 cache.
    fn outer(&mut self, op: CacheOp, start: PhysAddr, bytes: u32);

    /// Waits until the level 2 cache has completed its operations and its buffers are empty.
    fn outer_sync(&mut self);
}

/// The machine.
pub trait Hardware: Caches {
    /// Returns the processor's cacheable address of RAM.
    fn cached(&self, at: PhysAddr) -> CpuAddress;

    /// True if memory has its cacheable mapping, for self-tests.
    fn is_cacheable(&self, at: PhysAddr) -> bool;

    /// Removes the cacheable mapping of frames, so that speculation cannot fill a line of them, and
    /// maps them non-cacheable at the returned address. Lines that the caches hold stay there.
    ///
    /// # Errors
    /// The reason why they cannot be mapped; nothing is changed.
    fn map_coherent(&mut self, first: Pfn, pages: u32) -> Result<CpuAddress, &'static str>;

    /// Removes a mapping of [`Hardware::map_coherent`] and restores the cacheable mapping of the
    /// frames.
    fn unmap_coherent(&mut self, at: CpuAddress, first: Pfn, pages: u32);

    /// Writes `bytes` zero bytes, a multiple of 4, to mapped memory.
    fn zero(&mut self, at: CpuAddress, bytes: u32);

    /// Reads mapped memory.
    fn load(&mut self, at: CpuAddress, bytes: &mut [u8]);

    /// Writes mapped memory.
    fn store(&mut self, at: CpuAddress, bytes: &[u8]);

    /// Reads an aligned word in one access, for memory that a device uses at the same time.
    fn load_word(&mut self, at: CpuAddress) -> u32;

    /// Writes an aligned word in one access.
    fn store_word(&mut self, at: CpuAddress, word: u32);

    /// Orders earlier accesses before later ones, as the device sees them (`dma_wmb`, `dma_rmb`).
    fn barrier(&mut self);
}
