// SPDX-License-Identifier: MIT OR Apache-2.0

//! The memory map of the boot: RAM, and the reservations in it.
//!
//! Ranges of RAM are sorted, disjoint and not adjacent. Reservations are sorted by their start and
//! may overlap, as they do in real trees; free memory is RAM minus all of them. The search is
//! Linux's top-down one (mm/memblock.c, `__memblock_find_range_top_down`), so that the same tree
//! results in the same addresses.
//!
//! Lists are short and bounded ([`MAX_RAM_RANGES`], [`MAX_RESERVATIONS`]); every operation walks
//! them once.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;

use units::{PAGE_SIZE, PhysRange};

mod iomem;
#[cfg(test)]
mod tests;

pub use iomem::Iomem;

/// The maximum number of separate ranges of RAM.
pub const MAX_RAM_RANGES: usize = 64;

/// The unit in which ARM Linux maps RAM: a pair of sections, in bytes (PMD_SIZE).
const SECTION_PAIR: u64 = 2 << 20;

/// The maximum number of reservations.
pub const MAX_RESERVATIONS: usize = 256;

/// The reason for a reservation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RegionKind {
    /// The kernel's text, data and stacks.
    Image,
    /// The array of page descriptors.
    PageFrames,
    /// The device tree blob.
    DeviceTree,
    /// The initial RAM disk.
    Initrd,
    /// An entry of the tree's memory reservation block.
    Memreserve,
    /// A region that must not be mapped.
    NoMap,
    /// A region that belongs to a device or to firmware.
    Reserved,
    /// A CMA area: its pages join the page allocator when the area is activated.
    Cma,
}

impl RegionKind {
    /// The name of a region of this kind that has no name of its own.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Image => "Kernel image",
            Self::PageFrames => "Page frames",
            Self::DeviceTree => "Device tree",
            Self::Initrd => "Initrd",
            Self::Memreserve => "/memreserve/",
            Self::NoMap => "no-map",
            Self::Reserved => "reserved",
            Self::Cma => "cma",
        }
    }
}

/// A reservation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Region {
    /// The bytes taken; not empty.
    pub range: PhysRange,
    /// The reason for the reservation.
    pub kind: RegionKind,
    /// The node's name, or the kind's label.
    pub name: String,
}

/// The error that a list is full; names the constant to raise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full(pub &'static str);

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory map full: raise {}", self.0)
    }
}

/// The parameters of [`Memblock::find`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Search {
    /// Size in bytes.
    pub size: u64,
    /// Alignment in bytes; 0 means 1. Rounds by masking lower bits, as Linux does, also if it is
    /// not a power of two.
    pub align: u64,
    /// The result ends at or below `within.end`, and starts at or above `within.start` (and never
    /// in the first page of memory).
    pub within: PhysRange,
}

impl Search {
    /// Searches `size` bytes, page-aligned, anywhere.
    pub const fn pages(size: u64) -> Self {
        Self { size, align: PAGE_SIZE, within: PhysRange { start: 0, end: u64::MAX } }
    }
}

/// RAM and reservations.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Memblock {
    ram: Vec<PhysRange>,
    reserved: Vec<Region>,
}

impl Memblock {
    /// Makes an empty map.
    pub const fn new() -> Self {
        Self { ram: Vec::new(), reserved: Vec::new() }
    }

    /// Adds RAM and merges it with ranges that it overlaps or touches; ignores an empty range.
    ///
    /// # Errors
    /// [`Full`] if it touches no other range and the list is full; the range is left out then.
    pub fn add_ram(&mut self, range: PhysRange) -> Result<(), Full> {
        if range.is_empty() {
            return Ok(());
        }
        let first = self.ram.partition_point(|ram| ram.end < range.start);
        let after = self.ram.partition_point(|ram| ram.start <= range.end);
        if first == after {
            if self.ram.len() == MAX_RAM_RANGES {
                return Err(Full("MAX_RAM_RANGES"));
            }
            self.ram.insert(first, range);
            return Ok(());
        }
        let start = range.start.min(self.ram[first].start);
        let end = range.end.max(self.ram[after - 1].end);
        self.ram[first] = PhysRange { start, end };
        self.ram.drain(first + 1..after);
        Ok(())
    }

    /// Reserves a range under the label of its kind; see [`Self::reserve_named`].
    ///
    /// # Errors
    /// [`Full`] if there are too many reservations.
    pub fn reserve(&mut self, range: PhysRange, kind: RegionKind) -> Result<(), Full> {
        self.reserve_named(range, kind, kind.label())
    }

    /// Reserves a range, which may be outside RAM or already reserved; ignores an empty range.
    ///
    /// # Errors
    /// [`Full`] if there are too many reservations; this one is left out then.
    pub fn reserve_named(&mut self, range: PhysRange, kind: RegionKind, name: &str) -> Result<(), Full> {
        if range.is_empty() {
            return Ok(());
        }
        // The page frames are reserved last and are indispensable.
        if self.reserved.len() >= MAX_RESERVATIONS - usize::from(kind != RegionKind::PageFrames) {
            return Err(Full("MAX_RESERVATIONS"));
        }
        // Of two with the same start, the larger comes first, so that the smaller is listed inside
        // it.
        let key = |range: &PhysRange| (range.start, Reverse(range.end));
        let index = self.reserved.partition_point(|region| key(&region.range) <= key(&range));
        self.reserved.insert(index, Region { range, kind, name: name.to_string() });
        Ok(())
    }

    /// Removes the reservation with exactly this range and kind. Returns false if there is none.
    pub fn release(&mut self, range: PhysRange, kind: RegionKind) -> bool {
        let found = self.reserved.iter().position(|region| region.range == range && region.kind == kind);
        found.map(|index| self.reserved.remove(index)).is_some()
    }

    /// Finds free memory and reserves it.
    ///
    /// # Errors
    /// [`Full`] if there are too many reservations. `Ok(None)`: nothing fits.
    pub fn allocate(&mut self, search: Search, kind: RegionKind) -> Result<Option<PhysRange>, Full> {
        let Some(start) = self.find(search) else { return Ok(None) };
        let range = PhysRange::sized(start, search.size);
        self.reserve(range, kind)?;
        Ok(Some(range))
    }

    /// The ranges of RAM, in address order.
    pub fn ram(&self) -> &[PhysRange] {
        &self.ram
    }

    /// The reservations, in the order of their starts.
    pub fn reserved(&self) -> &[Region] {
        &self.reserved
    }

    /// The first reservation of a kind.
    pub fn find_kind(&self, kind: RegionKind) -> Option<&Region> {
        self.reserved.iter().find(|region| region.kind == kind)
    }

    /// The end of the last range of RAM; 0 without RAM.
    pub fn end_of_ram(&self) -> u64 {
        self.ram.last().map_or(0, |ram| ram.end)
    }

    /// True if all of `range` is RAM.
    pub fn is_ram(&self, range: &PhysRange) -> bool {
        self.ram.iter().any(|ram| ram.contains(range))
    }

    /// The highest address where [`Search`] fits into free RAM.
    pub fn find(&self, search: Search) -> Option<u64> {
        self.find_where(search, |_| true)
    }

    /// Does what [`Self::find`] does, but ignores reservations for which `counts` is false.
    ///
    /// Returns the highest aligned address in the highest free range that fits.
    pub fn find_where(&self, search: Search, counts: impl Fn(&Region) -> bool) -> Option<u64> {
        let start = search.within.start.max(PAGE_SIZE);
        let end = search.within.end.max(start);
        let mask = !search.align.saturating_sub(1);
        let mut found = None;
        for free in self.free_where(counts) {
            let free = PhysRange { start: free.start.clamp(start, end), end: free.end.clamp(start, end) };
            if let Some(last) = free.end.checked_sub(search.size)
                && last & mask >= free.start
            {
                found = Some(last & mask);
            }
        }
        found
    }

    /// The lowest address where [`Search`] fits into free RAM: Linux's bottom-up search.
    pub fn find_lowest(&self, search: Search) -> Option<u64> {
        let start = search.within.start.max(PAGE_SIZE);
        let end = search.within.end.max(start);
        let below = search.align.saturating_sub(1);
        self.free().find_map(|free| {
            let (free_start, free_end) = (free.start.clamp(start, end), free.end.clamp(start, end));
            let candidate = free_start.checked_add(below)? & !below;
            (candidate < free_end && free_end - candidate >= search.size).then_some(candidate)
        })
    }

    /// Cuts the end of RAM, if a no-map region is there, as ARM Linux does
    /// (`adjust_lowmem_bounds`): at the section boundary below the first start or end of mapped RAM
    /// that is not on one, but above memory in use, which Linux does not consider. Returns the
    /// mapped RAM that was cut off.
    pub fn cut_to_sections(&mut self) -> PhysRange {
        let mapped = self.free_where(|region| region.kind == RegionKind::NoMap);
        let mut limit = None;
        let mut mapped_end = 0;
        for (index, piece) in mapped.enumerate() {
            mapped_end = piece.end;
            // The start of the first piece sets no limit: if off a section, it is not mapped.
            if limit.is_none() && index > 0 && piece.start % SECTION_PAIR != 0 {
                limit = Some(piece.start);
            } else if limit.is_none() && piece.end % SECTION_PAIR != 0 {
                limit = Some(piece.end);
            }
        }
        let end = self.end_of_ram();
        if end <= mapped_end {
            return PhysRange { start: end, end };
        }
        let in_use = |region: &&Region| {
            !matches!(region.kind, RegionKind::NoMap | RegionKind::Reserved | RegionKind::Memreserve)
        };
        let used = self.reserved.iter().filter(in_use).map(|region| region.range.end).filter(|used| *used <= end);
        let used = used.max().unwrap_or(0).next_multiple_of(PAGE_SIZE);
        let start = (limit.unwrap_or(mapped_end) / SECTION_PAIR * SECTION_PAIR).max(used);
        for ram in &mut self.ram {
            ram.end = ram.end.min(start);
        }
        self.ram.retain(|ram| !ram.is_empty());
        PhysRange { start, end: mapped_end.max(start) }
    }

    /// The RAM without a reservation, to the byte.
    pub fn free(&self) -> impl Iterator<Item = PhysRange> {
        self.free_where(|_| true)
    }

    /// The whole pages of RAM without a reservation: the page allocator's initial memory. CMA areas
    /// are not included; their pages join when the areas are activated.
    pub fn free_pages(&self) -> impl Iterator<Item = PhysRange> {
        self.free().filter_map(|free| {
            let start = free.start.checked_next_multiple_of(PAGE_SIZE)?;
            let end = free.end & !(PAGE_SIZE - 1);
            (start < end).then_some(PhysRange { start, end })
        })
    }

    /// The map in the form of `/proc/iomem`.
    pub fn iomem(&self) -> Iomem<'_> {
        Iomem(self)
    }

    fn free_where(&self, counts: impl Fn(&Region) -> bool) -> impl Iterator<Item = PhysRange> {
        let mut ram = self.ram.iter().copied();
        let mut taken = self.reserved.iter().filter(move |region| counts(region)).peekable();
        let mut rest: Option<PhysRange> = None;
        let mut taken_to = 0;
        core::iter::from_fn(move || {
            loop {
                let current = match rest.take() {
                    Some(current) => current,
                    None => ram.next()?,
                };
                let start = current.start.max(taken_to);
                if start >= current.end {
                    continue;
                }
                let current = PhysRange { start, end: current.end };
                let Some(region) = taken.next_if(|region| region.range.start < current.end) else {
                    return Some(current);
                };
                taken_to = taken_to.max(region.range.end);
                rest = Some(current);
                if region.range.start > start {
                    return Some(PhysRange { start, end: region.range.start });
                }
            }
        })
    }
}
