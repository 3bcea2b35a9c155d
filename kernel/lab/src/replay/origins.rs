// SPDX-License-Identifier: MIT OR Apache-2.0

//! The line of the recording that allocated each buffer, by the buffer's first page. The task and
//! the time are in that line, and are parsed only when they are needed.
//!
//! The memory depends on the area's pages. Relocatable buffers are found by their tags.

use alloc::collections::BTreeMap;

use crate::trace::Line;
use crate::words::{NoRoom, WordArray};
use machine::Machine;
use page_alloc::zone::Zone;

/// The line that allocated a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Origin {
    /// The number of the line; 0 if the buffer existed before the replay.
    pub line: u32,
    /// The byte of the trace at which the line begins.
    start: u32,
}

impl Origin {
    /// Makes the origin of a line.
    pub(super) fn of(line: &Line<'_>) -> Self {
        let short = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self { line: short(line.number), start: short(line.start as u64) }
    }

    /// Returns the line's number, and the byte at which it begins.
    pub(super) const fn parts(self) -> (u32, u32) {
        (self.line, self.start)
    }

    /// Makes an origin from the values of [`Origin::parts`].
    pub(super) const fn from_parts(line: u32, start: u32) -> Self {
        Self { line, start }
    }

    /// Returns the line, if there is one.
    pub(super) fn line<'t>(&self, trace: &'t [u8]) -> Option<Line<'t>> {
        let Self { line: number @ 1.., start } = *self else { return None };
        Line::at(trace, number.into(), start as usize)
    }
}

/// The origins of all buffers of an area.
#[derive(Debug)]
pub(super) struct Origins {
    pages: WordArray,
    relocatable: BTreeMap<u32, Origin>,
}

impl Origins {
    /// Makes the table, in which no origin is known.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn new<M: Machine + ?Sized>(zone: &mut Zone<'_>, machine: &mut M, pages: u32) -> Result<Self, NoRoom> {
        Ok(Self { pages: WordArray::new(zone, machine, 2 * pages as usize)?, relocatable: BTreeMap::new() })
    }

    /// Returns the bytes of the table for an area of `pages` pages.
    pub(super) const fn bytes(pages: u32) -> u64 {
        8 * pages as u64
    }

    /// Releases the memory.
    pub(super) fn release(self, zone: &mut Zone<'_>) {
        self.pages.release(zone);
    }

    /// Sets the origin of the buffer that begins at page `page`.
    pub(super) fn set<M: Machine + ?Sized>(&mut self, machine: &mut M, page: u32, origin: Origin) {
        *self.pages.pair(machine, page as usize) = [origin.line, origin.start];
    }

    /// Returns the origin of the buffer that begins at page `page`.
    pub(super) fn get<M: Machine + ?Sized>(&mut self, machine: &mut M, page: u32) -> Origin {
        let [line, start] = *self.pages.pair(machine, page as usize);
        Origin { line, start }
    }

    /// Sets the origin of the relocatable buffer with tag `tag`.
    pub(super) fn set_relocatable(&mut self, tag: u32, origin: Origin) {
        self.relocatable.insert(tag, origin);
    }

    /// Returns the origin of the relocatable buffer with tag `tag`.
    pub(super) fn get_relocatable(&self, tag: u32) -> Origin {
        self.relocatable.get(&tag).copied().unwrap_or_default()
    }

    /// Removes the origin of a buffer that is no longer relocatable, and returns it.
    pub(super) fn take_relocatable(&mut self, tag: u32) -> Option<Origin> {
        self.relocatable.remove(&tag)
    }
}
