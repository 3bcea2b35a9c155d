//! The tree's reserved regions and the CMA areas: who lies where, and what is refused.
//!
//! Facts, command line and the early memory map go in; the areas come out, and the memory map holds every region that
//! was placed. The way is Linux's (drivers/of/fdt.c, drivers/of/of_reserved_mem.c, kernel/dma/contiguous.c, mm/cma.c):
//!
//! 1. `nodes`: regions fixed by `reg` are reserved in the tree's order;
//! 2. `nodes`: dynamic regions are placed in the tree's order, and each becomes a pool or not; then the fixed ones do,
//!    in the order of their addresses. (Linux 6.1 sorts all of them with a heap sort, which moves equal ones: the
//!    tree's order of the dynamic ones is that of 6.12.)
//! 3. `declare`: `cma=` makes the area `reserved`, or without it [`DEFAULT_AREA_BYTES`] do, if no node made a default one;
//! 4. `blobs`: the device tree or the initrd makes way where a region could be placed nowhere else;
//! 5. `missing`: the areas that devices name and that were not made.
//!
//! What holds afterwards: areas lie in RAM, on whole pageblocks, and overlap neither each other nor anything else.
//! Where Linux would go on into a crash (a pool outside RAM, or over the kernel or another region), the region is
//! skipped with a line of our own, and the first in the tree wins. A default area that nobody asked for is left out where a
//! blob that had to make way, or the page descriptors, would have no place beside it.
//!
//! Before it comes [`early`], which records RAM and what lies in it in a [`memblock::Memblock`]; [`cmdline`] reads the
//! kernel's command line. What is free afterwards is for the page allocator.
//!
//! # Example
//! A board of 128 MiB and `cma=16M`:
//! ```
//! use devicetree::Facts;
//! use reserved::{DEFAULT_AREA, cmdline, early, place};
//! use units::PhysRange;
//!
//! let facts = Facts { memory: vec![PhysRange::sized(0x6000_0000, 128 << 20)], ..Facts::default() };
//! let (image, tree) = (PhysRange::sized(0x6001_0000, 1 << 20), PhysRange::sized(0x6200_0000, 0x4000));
//! let mut memblock = early::memory_map(&facts, image, tree).memblock;
//!
//! let placed = place(&facts, &cmdline::parse("cma=16M"), |frames| 16 * u64::from(frames), &mut memblock);
//! assert_eq!(placed.areas[0].name, DEFAULT_AREA);
//! assert_eq!(placed.areas[0].range, PhysRange::sized(0x6700_0000, 16 << 20), "at the end of RAM");
//! assert_eq!(memblock.reserved().last().map(|region| region.range), Some(placed.areas[0].range));
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cmdline::{CmaParameter, Cmdline};
use devicetree::Facts;
use early::PageFrames;
use memblock::{Memblock, Region, RegionKind};
use units::notes::{Note, Notes, Words};
use units::{PAGE_SIZE, PAGEBLOCK_ORDER, PhysRange};

pub mod addresses;
mod blobs;
pub mod cmdline;
mod declare;
pub mod early;
pub mod memblock;
mod missing;
mod nodes;
#[cfg(test)]
mod tests;

/// How many areas there can be, the default one included (Linux's `CONFIG_CMA_AREAS` + 1).
pub const MAX_CMA_AREAS: usize = 8;

/// The most nodes that are looked at (drivers/of/of_reserved_mem.c); fixed ones beyond stay reserved, but are no pools.
pub const MAX_RESERVED_REGIONS: usize = 64;

/// Base and size of an area are multiples of this: a pageblock of 2^10 pages, in bytes (include/linux/cma.h).
pub const CMA_MIN_ALIGNMENT: u64 = PAGE_SIZE << PAGEBLOCK_ORDER;

/// An area's name has fewer bytes than this (include/linux/cma.h).
pub const CMA_MAX_NAME: usize = 64;

/// The name of the area that `cma=` or [`DEFAULT_AREA_BYTES`] makes.
pub const DEFAULT_AREA: &str = "reserved";

/// Size of the default area where neither a node nor `cma=` asks for one: CONFIG_CMA_SIZE_MBYTES=16, in bytes.
pub const DEFAULT_AREA_BYTES: u32 = 16 << 20;

/// What stands in for `cma=` where it is absent.
const CMA_BY_CONFIG: CmaParameter = CmaParameter { size: DEFAULT_AREA_BYTES, base: 0, limit: 0 };

const MIB: u64 = 1 << 20;

/// The name that an area gets from its node's: as long as Linux's `struct cma` has room for.
pub fn area_name(node: &str) -> &str {
    &node[..node.floor_char_boundary(CMA_MAX_NAME - 1)]
}

/// An area to be activated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AreaPlan {
    /// The node's name, or [`DEFAULT_AREA`]; cut to [`CMA_MAX_NAME`].
    pub name: String,
    /// In RAM, not empty, [`CMA_MIN_ALIGNMENT`] at both ends.
    pub range: PhysRange,
    /// The area for devices that name none: at most one.
    pub default: bool,
}

/// A blob to be copied away, page-aligned at its destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    /// [`RegionKind::DeviceTree`] or [`RegionKind::Initrd`].
    pub what: RegionKind,
    /// Where it lies.
    pub from: PhysRange,
    /// Where it goes; as long as `from`, which it may overlap.
    pub to: PhysRange,
}

/// What [`place`] decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placed {
    /// The areas, in Linux's order of creation; at most [`MAX_CMA_AREAS`].
    pub areas: Vec<AreaPlan>,
    /// The default area, the last one, is there because nobody asked for one.
    pub default_unasked: bool,
    /// To be made in this order, with memmove, before anything is written to an area. None destroys what another still
    /// has to move, nor anything that is not free.
    pub moves: Vec<Move>,
    /// Lines for the log.
    pub notes: Vec<Note>,
}

/// Places the tree's regions and the default area. `memblock` holds RAM and what is taken so far ([`early`]);
/// afterwards it also holds every region that was placed, and the blobs where they will be after the moves.
/// `descriptor_bytes` says how much memory the page descriptors of a number of frames take.
pub fn place(facts: &Facts, cmdline: &Cmdline, descriptor_bytes: fn(u32) -> u64, memblock: &mut Memblock) -> Placed {
    // A blob that would have to make way, but has nowhere to go, is pinned, and all is decided again without moving it.
    let mut pinned = Vec::new();
    // An area that nobody asked for takes no memory that a blob, a region or the page descriptors need.
    let mut unasked = true;
    loop {
        let mut attempt = Attempt::new(cmdline, memblock.clone(), &pinned);
        attempt.nodes(&facts.reserved);
        let mut made_unasked = false;
        match &cmdline.cma {
            Some(cma) => {
                attempt.declare(cma);
            }
            None if attempt.default_area().is_some() => {}
            None if unasked => made_unasked = attempt.declare(&CMA_BY_CONFIG),
            None => attempt.say_crowded(),
        }
        let housed = attempt.house_blobs();
        if made_unasked && (housed.is_err() || !attempt.holds_page_frames(descriptor_bytes)) {
            unasked = false;
            continue;
        }
        match housed {
            Ok(moves) => {
                attempt.say_missing(facts);
                *memblock = attempt.memblock;
                return Placed {
                    areas: attempt.areas,
                    default_unasked: made_unasked,
                    moves,
                    notes: attempt.notes.into_vec(),
                };
            }
            Err(homeless) => {
                pinned.push(homeless);
                unasked = true;
            }
        }
    }
}

/// One run through all regions, with a memory map of its own.
struct Attempt<'a> {
    memblock: Memblock,
    areas: Vec<AreaPlan>,
    notes: Notes,
    /// Blobs that cannot be moved.
    pinned: &'a [Region],
    /// `cma=` is given, even if it makes no area: default nodes are bypassed.
    cma_given: bool,
    /// Areas that found no slot.
    beyond_slots: usize,
}

/// What keeps an area from being made, where Linux's `cma_init_reserved_mem` would refuse it.
enum NoArea {
    /// All of [`MAX_CMA_AREAS`] are taken.
    NoSlot,
    /// Its size is 0.
    Empty,
}

impl<'a> Attempt<'a> {
    fn new(cmdline: &Cmdline, memblock: Memblock, pinned: &'a [Region]) -> Self {
        let mut notes = Notes::default();
        for blob in pinned {
            notes.warn(format_args!("Reserved memory: no room to move the {} at {} away", blob.name, blob.range));
        }
        Self { memblock, areas: Vec::new(), notes, pinned, cma_given: cmdline.cma.is_some(), beyond_slots: 0 }
    }

    fn default_area(&self) -> Option<&AreaPlan> {
        self.areas.iter().find(|area| area.default)
    }

    /// True where there is room for the page descriptors beside what was placed.
    fn holds_page_frames(&self, descriptor_bytes: fn(u32) -> u64) -> bool {
        self.memblock.find(PageFrames::of(&self.memblock, descriptor_bytes).search()).is_some()
    }

    /// True for a region that makes way when it must.
    fn movable(&self, region: &Region) -> bool {
        matches!(region.kind, RegionKind::DeviceTree | RegionKind::Initrd) && !self.pinned.contains(region)
    }

    /// Reserves a region that was placed; false, with a line, where the map is full.
    fn reserve(&mut self, range: PhysRange, kind: RegionKind, name: &str) -> bool {
        match self.memblock.reserve_named(range, kind, name) {
            Ok(()) => true,
            Err(full) => {
                self.notes.error(format_args!("Reserved memory: {}: {full}", Words(name)));
                false
            }
        }
    }

    /// The name of the first region over `range` that stands in its way.
    fn in_the_way(&self, range: &PhysRange, counts: impl Fn(&Region) -> bool) -> Option<String> {
        let found = self
            .memblock
            .reserved()
            .iter()
            .find(|region| region.range.overlaps(range) && !self.movable(region) && counts(region));
        found.map(|region| region.name.clone())
    }

    /// Makes an area of memory that is reserved for it already.
    fn create_area(&mut self, range: PhysRange, name: &str, default: bool) -> Result<(), NoArea> {
        if self.areas.len() == MAX_CMA_AREAS {
            self.notes.error(format_args!("cma: Not enough slots for CMA reserved regions!"));
            self.beyond_slots += 1;
            return Err(NoArea::NoSlot);
        }
        if range.is_empty() {
            return Err(NoArea::Empty);
        }
        let name = area_name(name);
        if default {
            self.areas.iter_mut().for_each(|area| area.default = false);
        }
        self.areas.push(AreaPlan { name: name.to_string(), range, default });
        Ok(())
    }

    /// Our line for an area beyond the slots, behind all of Linux's.
    fn say_no_slot(&mut self) {
        let number = MAX_CMA_AREAS + self.beyond_slots;
        let ending = match (number % 10, number % 100) {
            (_, 11..=13) => "th",
            (1, _) => "st",
            (2, _) => "nd",
            (3, _) => "rd",
            _ => "th",
        };
        self.notes.error(format_args!("{number}{ending} CMA area ignored: raise MAX_CMA_AREAS"));
    }

    /// Our line for a second area of the same name (Linux keeps both, but refuses the second's directories).
    fn say_twin(&mut self) {
        let Some((area, earlier)) = self.areas.split_last() else { return };
        if earlier.iter().any(|other| other.name == area.name) {
            let name = Words(&area.name);
            self.notes.warn(format_args!("Reserved memory: {name}: a second area of this name, found only by number"));
        }
    }
}
