// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bytes that are used to manage memory: everything whose size grows with the number of pages.

use core::fmt;

use super::{Benchmark, Run};
use crate::record::Record;
use machine::Machine;
use system::System;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Benchmark<M>] {
    const { &[Benchmark { name: "memory", run: Run::Memory(Memory::of) }] }
}

/// Numbers of bytes, by purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    /// Pages that the zone spans.
    pub pages: u32,
    /// Page descriptors, including the free lists' heads.
    pub descriptor_bytes: usize,
    /// Types of the pageblocks.
    pub pageblock_bytes: usize,
    /// Bitmaps of all areas and the summaries over them.
    pub bitmap_bytes: usize,
}

impl Memory {
    /// Counts the bytes of a system.
    pub fn of(system: &System<'_>) -> Self {
        let bitmap_bytes = system.areas().iter().map(|area| area.bitmap().size_bytes()).sum();
        let zone = system.zone();
        Self {
            pages: zone.spanned_pages(),
            descriptor_bytes: zone.descriptor_bytes(),
            pageblock_bytes: zone.pageblock_bytes(),
            bitmap_bytes,
        }
    }

    /// Returns the sum.
    pub const fn total_bytes(&self) -> usize {
        self.descriptor_bytes + self.pageblock_bytes + self.bitmap_bytes
    }

    /// Returns thousandths of a byte for each page, rounded up.
    pub const fn millibytes_per_page(&self) -> u64 {
        (self.total_bytes() as u64 * 1000).div_ceil(self.pages as u64)
    }

    /// Returns the record.
    pub fn record(&self) -> Record {
        Record::new("memory")
            .number("pages", self.pages)
            .number("descriptor_bytes", self.descriptor_bytes as u64)
            .number("pageblock_bytes", self.pageblock_bytes as u64)
            .number("bitmap_bytes", self.bitmap_bytes as u64)
            .number("total_bytes", self.total_bytes() as u64)
            .number("millibytes_per_page", self.millibytes_per_page())
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pages, descriptor_bytes, pageblock_bytes, bitmap_bytes } = self;
        let milli = self.millibytes_per_page();
        write!(
            f,
            "memory: {}.{:03} bytes a page ({pages} pages; descriptors {descriptor_bytes} bytes, pageblock types \
             {pageblock_bytes}, bitmaps with summaries {bitmap_bytes})",
            milli / 1000,
            milli % 1000
        )
    }
}
