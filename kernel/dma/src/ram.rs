// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine without caches, with memory in a map, for programs on a host.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use super::CpuAddress;
use super::hardware::{CacheOp, Caches, Hardware};
use units::{PAGE_SIZE, Pfn, PhysAddr};

const PAGE: u32 = PAGE_SIZE as u32;

/// Memory whose pages are allocated at the first write.
#[derive(Default)]
pub struct CoherentRam {
    pages: BTreeMap<u32, Box<[u8; PAGE as usize]>>,
}

impl Caches for CoherentRam {
    fn inner(&mut self, _op: CacheOp, _start: CpuAddress, _bytes: u32) {}
    fn outer(&mut self, _op: CacheOp, _start: PhysAddr, _bytes: u32) {}
    fn outer_sync(&mut self) {}
}

impl Hardware for CoherentRam {
    fn cached(&self, at: PhysAddr) -> CpuAddress {
        CpuAddress(at.0 as u32)
    }

    fn is_cacheable(&self, _at: PhysAddr) -> bool {
        false
    }

    fn map_coherent(&mut self, first: Pfn, _pages: u32) -> Result<CpuAddress, &'static str> {
        Ok(self.cached(first.addr()))
    }

    fn unmap_coherent(&mut self, _at: CpuAddress, _first: Pfn, _pages: u32) {}

    fn zero(&mut self, at: CpuAddress, bytes: u32) {
        let (first, last) = (at.0 / PAGE, (at.0 + (bytes - 1)) / PAGE);
        self.pages.retain(|page, _| !(first..=last).contains(page));
    }

    fn load(&mut self, at: CpuAddress, bytes: &mut [u8]) {
        for (at, byte) in (at.0..).zip(bytes) {
            *byte = self.pages.get(&(at / PAGE)).map_or(0, |page| page[(at % PAGE) as usize]);
        }
    }

    fn store(&mut self, at: CpuAddress, bytes: &[u8]) {
        for (at, &byte) in (at.0..).zip(bytes) {
            self.pages.entry(at / PAGE).or_insert_with(|| Box::new([0; PAGE as usize]))[(at % PAGE) as usize] = byte;
        }
    }

    fn load_word(&mut self, at: CpuAddress) -> u32 {
        let mut bytes = [0; 4];
        self.load(at, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn store_word(&mut self, at: CpuAddress, word: u32) {
        self.store(at, &word.to_le_bytes());
    }

    fn barrier(&mut self) {}
}
