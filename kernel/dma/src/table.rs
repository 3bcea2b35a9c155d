// SPDX-License-Identifier: MIT OR Apache-2.0

//! The table of streaming mappings, found by device address.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;
use core::panic::Location;

use super::{DeviceAddress, DeviceId, Direction};

/// Most mappings at a time; a scatter list counts as many as it has segments.
pub const MAX_MAPPINGS: usize = 1024;

/// Chains of the hash.
const CHAINS: usize = 256;
/// No entry.
const NONE: u16 = u16::MAX;

const _: () = assert!(MAX_MAPPINGS < NONE as usize);

/// Kind of the call that made a mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MappingKind {
    /// One range.
    Single,
    /// A segment of a scatter list.
    Scatter,
}

impl MappingKind {
    /// Linux's name in `/sys/kernel/debug/dma-api/dump`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Scatter => "scatter-gather",
        }
    }
}

/// Sums over bytes that a device must not change, taken when it became the owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Watch {
    /// Before and after the mapping.
    pub(super) around: [Option<Sum>; 2],
    /// The mapping itself, if the device only reads.
    pub(super) own: Option<Sum>,
}

/// The sum of a range of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sum {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) fnv1a: u32,
}

/// A range of memory that is mapped for a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapped {
    /// Its device.
    pub device: DeviceId,
    /// The kind of call that mapped it.
    pub kind: MappingKind,
    /// The direction of its data.
    pub direction: Direction,
    /// Its address for the device.
    pub start: DeviceAddress,
    /// Its size in bytes.
    pub bytes: u32,
    /// The call that mapped it.
    pub made_at: &'static Location<'static>,
    /// The part that the processor owns at present, in bytes from the start; empty if the device
    /// owns all of it.
    pub cpu: CpuPart,
    /// It has pages in use, and they are pinned.
    pub(super) pinned: bool,
    pub(super) watch: Option<Watch>,
    pub(super) place: u16,
    pub(super) generation: u32,
}

/// A part of a mapping.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct CpuPart {
    /// First byte.
    pub start: u32,
    /// One past the last.
    pub end: u32,
}

impl CpuPart {
    /// True if it has no byte.
    pub const fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

impl Mapped {
    /// Returns its device addresses, as 64-bit numbers that do not wrap.
    pub(super) fn range(&self) -> Range<u64> {
        let start = u64::from(self.start.bits());
        start..start + u64::from(self.bytes)
    }
}

struct Slot {
    entry: Option<Mapped>,
    /// The next slot of its chain, or the next free slot.
    next: u16,
}

/// The table: slots in memory reserved once, a chain of free slots, and hash chains by address.
pub(super) struct Table {
    slots: Vec<Slot>,
    heads: Option<Box<[u16; CHAINS]>>,
    free: u16,
    live: u16,
    most: u16,
    last_generation: u32,
}

impl Default for Table {
    fn default() -> Self {
        Self { slots: Vec::new(), heads: None, free: NONE, live: 0, most: 0, last_generation: 0 }
    }
}

/// Returns the chain of an address; most addresses are multiples of a line or a page.
const fn chain(start: DeviceAddress) -> usize {
    let bits = start.bits();
    ((bits >> 5) ^ (bits >> 12)) as usize % CHAINS
}

impl Table {
    /// Reserves memory for all entries.
    pub(super) fn reserve(&mut self) {
        if self.heads.is_none() {
            self.heads = Some(Box::new([NONE; CHAINS]));
            self.slots.reserve_exact(MAX_MAPPINGS);
        }
    }

    /// Adds an entry, and returns it as it is in the table; `None` if the table is full.
    pub(super) fn add(&mut self, entry: Mapped) -> Option<&Mapped> {
        let heads = self.heads.as_mut()?;
        let place = match self.free {
            NONE if self.slots.len() == MAX_MAPPINGS => return None,
            NONE => {
                self.slots.push(Slot { entry: None, next: NONE });
                self.slots.len() as u16 - 1
            }
            place => {
                self.free = self.slots[usize::from(place)].next;
                place
            }
        };
        self.last_generation = self.last_generation.wrapping_add(1);
        let head = &mut heads[chain(entry.start)];
        let slot = &mut self.slots[usize::from(place)];
        slot.next = core::mem::replace(head, place);
        self.live += 1;
        self.most = self.most.max(self.live);
        Some(slot.entry.insert(Mapped { place, generation: self.last_generation, ..entry }))
    }

    /// Removes an entry.
    pub(super) fn remove(&mut self, place: u16) -> Option<Mapped> {
        let entry = self.slots.get_mut(usize::from(place))?.entry.take()?;
        let after = core::mem::replace(&mut self.slots[usize::from(place)].next, self.free);
        self.free = place;
        self.live -= 1;
        let head = &mut self.heads.as_mut()?[chain(entry.start)];
        if *head == place {
            *head = after;
            return Some(entry);
        }
        let mut at = *head;
        while at != NONE {
            let slot = &mut self.slots[usize::from(at)];
            if slot.next == place {
                slot.next = after;
                break;
            }
            at = slot.next;
        }
        Some(entry)
    }

    /// Returns the entry at a place, if it has that generation.
    pub(super) fn get(&mut self, place: u16, generation: u32) -> Option<&mut Mapped> {
        self.slots.get_mut(usize::from(place))?.entry.as_mut().filter(|entry| entry.generation == generation)
    }

    /// Returns the latest mapping that begins at an address; one of `device` is preferred.
    pub(super) fn find(&self, device: DeviceId, start: DeviceAddress) -> Option<&Mapped> {
        let mut at = self.heads.as_ref()?[chain(start)];
        let mut found = None;
        while at != NONE {
            let slot = &self.slots[usize::from(at)];
            if let Some(entry) = slot.entry.as_ref().filter(|entry| entry.start == start) {
                if entry.device == device {
                    return Some(entry);
                }
                found.get_or_insert(entry);
            }
            at = slot.next;
        }
        found
    }

    /// All entries.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Mapped> {
        self.slots.iter().filter_map(|slot| slot.entry.as_ref())
    }

    /// All entries, mutable; their addresses must not be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Mapped> {
        self.slots.iter_mut().filter_map(|slot| slot.entry.as_mut())
    }

    /// Returns a mapping of a device.
    pub(super) fn of_device(&self, device: DeviceId) -> Option<Mapped> {
        self.iter().find(|entry| entry.device == device).copied()
    }

    /// Returns a mapping of pages in use.
    pub(super) fn pinned(&self) -> Option<Mapped> {
        self.iter().find(|entry| entry.pinned).copied()
    }

    /// Numbers of entries: at present, and the most so far.
    pub(super) fn counts(&self) -> (u16, u16) {
        (self.live, self.most)
    }
}
