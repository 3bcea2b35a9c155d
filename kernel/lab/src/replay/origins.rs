// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which line of the recording each buffer is from, by the page at which it begins. Who made it and
//! when stands in that line, and is read where somebody asks.
//!
//! What that takes goes with the pages of the area. Relocatable buffers are found by their tags.

use alloc::collections::BTreeMap;

use crate::trace::Line;
use crate::words::{NoRoom, WordArray};
use machine::Machine;
use page_alloc::zone::Zone;

/// Where a buffer is from.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Origin {
    /// The line of its request; 0: it was there when the replay began.
    pub line: u32,
    /// Where in the trace that line begins.
    start: u32,
}

impl Origin {
    /// From a line.
    pub(super) fn of(line: &Line<'_>) -> Self {
        let short = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self { line: short(line.number), start: short(line.start as u64) }
    }

    /// The line's number, and where it begins.
    pub(super) const fn parts(self) -> (u32, u32) {
        (self.line, self.start)
    }

    /// From what [`Origin::parts`] says.
    pub(super) const fn from_parts(line: u32, start: u32) -> Self {
        Self { line, start }
    }

    /// The line, where there is one.
    pub(super) fn line<'t>(&self, trace: &'t [u8]) -> Option<Line<'t>> {
        let Self { line: number @ 1.., start } = *self else { return None };
        Line::at(trace, number.into(), start as usize)
    }
}

/// Where all buffers of an area are from.
#[derive(Debug)]
pub(super) struct Origins {
    pages: WordArray,
    relocatable: BTreeMap<u32, Origin>,
}

impl Origins {
    /// Nothing is known of any buffer.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn new<M: Machine + ?Sized>(zone: &mut Zone<'_>, machine: &mut M, pages: u32) -> Result<Self, NoRoom> {
        Ok(Self { pages: WordArray::new(zone, machine, 2 * pages as usize)?, relocatable: BTreeMap::new() })
    }

    /// Bytes that it takes for an area of a size.
    pub(super) const fn bytes(pages: u32) -> u64 {
        8 * pages as u64
    }

    /// Gives the memory back.
    pub(super) fn release(self, zone: &mut Zone<'_>) {
        self.pages.release(zone);
    }

    /// Notes where the buffer is from that begins at a page.
    pub(super) fn set<M: Machine + ?Sized>(&mut self, machine: &mut M, page: u32, origin: Origin) {
        *self.pages.pair(machine, page as usize) = [origin.line, origin.start];
    }

    /// Where the buffer is from that begins at a page.
    pub(super) fn get<M: Machine + ?Sized>(&mut self, machine: &mut M, page: u32) -> Origin {
        let [line, start] = *self.pages.pair(machine, page as usize);
        Origin { line, start }
    }

    /// Notes where a relocatable buffer is from.
    pub(super) fn set_relocatable(&mut self, tag: u32, origin: Origin) {
        self.relocatable.insert(tag, origin);
    }

    /// Where a relocatable buffer is from.
    pub(super) fn get_relocatable(&self, tag: u32) -> Origin {
        self.relocatable.get(&tag).copied().unwrap_or_default()
    }

    /// As [`Origins::get_relocatable`], of one that is not relocatable any more.
    pub(super) fn take_relocatable(&mut self, tag: u32) -> Option<Origin> {
        self.relocatable.remove(&tag)
    }
}
