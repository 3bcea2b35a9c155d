// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tree's reserved regions and the CMA areas: where each is placed, and which are refused.
//!
//! The input is the tree's facts, the command line and the early memory map. The output is the
//! areas; the memory map then contains every region that was placed. The steps are Linux's
//! (drivers/of/fdt.c, drivers/of/of_reserved_mem.c, kernel/dma/contiguous.c, mm/cma.c):
//!
//! 1. `nodes`: reserves regions fixed by `reg` in the tree's order, and places dynamic regions in
//!    the order of the Linux version that is emulated ([`units::linux`]); each may become a pool;
//! 2. `declare`: makes the area `reserved` from `cma=`, or, without it and if no node made a
//!    default area, from [`DEFAULT_AREA_BYTES`];
//! 3. `nodes`: in later versions, fixed regions become pools only after that;
//! 4. `blobs`: moves the device tree or the initrd if a region had no other place;
//! 5. `missing`: reports the areas that devices name and that were not made.
//!
//! Log lines that Linux does not print begin with `debris: `; all others are Linux's, in its order.
//!
//! Invariants of the result: areas are in RAM, consist of whole pageblocks, and overlap neither
//! each other nor anything else. Where Linux would continue and crash (a pool outside RAM, or over
//! the kernel or another region), the region is skipped with a `debris: ` line, and the first in
//! the tree wins. A default area that was not requested is left out if a blob that had to move, or
//! the page descriptors, would otherwise have no place.
//!
//! Before this, [`early`] records RAM and its contents in a [`memblock::Memblock`], and [`cmdline`]
//! reads the kernel's command line. The page allocator gets the memory that is free after it.
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
use nodes::Saved;
use units::linux::{Differences, LinuxVersion};
use units::notes::{Note, Notes, Refused, Words};
use units::{PAGE_SIZE, PAGEBLOCK_ORDER, PhysRange};

pub mod addresses;
mod blobs;
pub mod cmdline;
mod declare;
pub mod early;
mod heap_order;
pub mod memblock;
mod missing;
mod nodes;
#[cfg(test)]
mod tests;

pub use units::MAX_CMA_AREAS;

/// Base and size of an area are multiples of this: a pageblock of 2^10 pages, in bytes
/// (include/linux/cma.h).
pub const CMA_MIN_ALIGNMENT: u64 = PAGE_SIZE << PAGEBLOCK_ORDER;

/// An area's name has fewer bytes than this (include/linux/cma.h).
pub const CMA_MAX_NAME: usize = 64;

/// The name of the area that `cma=` or [`DEFAULT_AREA_BYTES`] makes.
pub const DEFAULT_AREA: &str = "reserved";

/// Size of the default area if neither a node nor `cma=` requests one: CONFIG_CMA_SIZE_MBYTES=16,
/// in bytes.
pub const DEFAULT_AREA_BYTES: u32 = 16 << 20;

/// The parameter that replaces an absent `cma=`.
const CMA_BY_CONFIG: CmaParameter = CmaParameter { size: DEFAULT_AREA_BYTES, base: 0, limit: 0 };

const MIB: u64 = 1 << 20;

/// Returns a node's name cut to the length that Linux's `struct cma` has room for.
pub fn area_name(node: &str) -> &str {
    &node[..node.floor_char_boundary(CMA_MAX_NAME - 1)]
}

/// An area to be activated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AreaPlan {
    /// The node's name, or [`DEFAULT_AREA`]; cut to [`CMA_MAX_NAME`].
    pub name: String,
    /// In RAM, not empty, both ends multiples of [`CMA_MIN_ALIGNMENT`].
    pub range: PhysRange,
    /// The area for devices that name none: at most one.
    pub default: bool,
}

/// A blob to be copied away, page-aligned at its destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    /// [`RegionKind::DeviceTree`] or [`RegionKind::Initrd`].
    pub what: RegionKind,
    /// The source.
    pub from: PhysRange,
    /// The destination; as long as `from`, which it may overlap.
    pub to: PhysRange,
}

/// The result of [`place`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placed {
    /// The areas, in Linux's order of creation; at most [`MAX_CMA_AREAS`].
    pub areas: Vec<AreaPlan>,
    /// The default area was not requested by a node or by `cma=`.
    pub default_unasked: bool,
    /// To be executed in this order, with memmove, before anything is written to an area. No move
    /// overwrites the source of a later one, or memory that is not free.
    pub moves: Vec<Move>,
    /// Lines for the log.
    pub notes: Vec<Note>,
}

/// Places the tree's regions and the default area. `memblock` contains RAM and its reservations so
/// far ([`early`]); this adds every region that is placed, and sets the blobs to their places after
/// the moves. `descriptor_bytes` returns the size of the page descriptors of a number of frames.
pub fn place(facts: &Facts, cmdline: &Cmdline, descriptor_bytes: fn(u32) -> u64, memblock: &mut Memblock) -> Placed {
    // A blob that would have to move, but has no destination, is pinned, and everything is placed
    // again without moving it.
    let mut pinned = Vec::new();
    // An area that was not requested takes no memory that a blob, a region or the page descriptors
    // need.
    let mut unasked = true;
    loop {
        let blobs = pinned.clone();
        let mut attempt = Attempt::new(cmdline, memblock.clone(), &blobs);
        attempt.scan(facts);
        let mut made_unasked = false;
        match &cmdline.cma {
            Some(cma) => {
                attempt.declare(cma);
            }
            None if attempt.default_area().is_some() => {}
            None if unasked => made_unasked = attempt.declare(&CMA_BY_CONFIG),
            None => attempt.say_crowded(),
        }
        let declared = attempt.areas.len();
        attempt.late_pools(facts);
        let housed = attempt.house_blobs();
        if made_unasked && (housed.is_err() || !attempt.holds_page_frames(descriptor_bytes)) {
            unasked = false;
            continue;
        }
        match housed {
            Ok(moves) => {
                attempt.say_missing(facts);
                attempt.cut_ram(descriptor_bytes);
                *memblock = attempt.memblock;
                return Placed {
                    default_unasked: made_unasked && attempt.areas[declared - 1].default,
                    areas: attempt.areas,
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

/// One pass over all regions, on a memory map of its own.
struct Attempt<'a> {
    memblock: Memblock,
    areas: Vec<AreaPlan>,
    notes: Notes,
    /// Blobs that cannot be moved.
    pinned: &'a [Region],
    /// `cma=` is given, even if it makes no area: default nodes are bypassed.
    cma_given: bool,
    /// Number of areas for which there was no slot.
    beyond_slots: usize,
    /// The Linux version that is emulated.
    version: LinuxVersion,
    /// The behaviour in which that version differs.
    linux: &'static Differences,
    /// Fixed regions that become pools after the default area is made.
    late: Vec<Saved<'a>>,
    /// The regions that are on Linux's list so far, in its order.
    regions: Vec<(&'a str, PhysRange)>,
}

/// The reason why no area is made, where Linux's `cma_init_reserved_mem` refuses one.
enum NoArea {
    /// All of [`MAX_CMA_AREAS`] are taken.
    NoSlot,
    /// The size is 0.
    Empty,
}

impl<'a> Attempt<'a> {
    fn new(cmdline: &Cmdline, memblock: Memblock, pinned: &'a [Region]) -> Self {
        let mut notes = Notes::default();
        for blob in pinned {
            notes.warn(format_args!(
                "debris: Reserved memory: no room to move the {} at {} away",
                blob.name, blob.range
            ));
        }
        Self {
            memblock,
            areas: Vec::new(),
            notes,
            pinned,
            cma_given: cmdline.cma.is_some(),
            beyond_slots: 0,
            version: cmdline.linux,
            linux: cmdline.linux.differences(),
            late: Vec::new(),
            regions: Vec::new(),
        }
    }

    fn default_area(&self) -> Option<&AreaPlan> {
        self.areas.iter().find(|area| area.default)
    }

    /// True if the page descriptors fit into the memory that is left.
    fn holds_page_frames(&self, descriptor_bytes: fn(u32) -> u64) -> bool {
        self.memblock.find(PageFrames::of(&self.memblock, descriptor_bytes).search()).is_some()
    }

    /// True for a region that may be moved away.
    fn movable(&self, region: &Region) -> bool {
        matches!(region.kind, RegionKind::DeviceTree | RegionKind::Initrd) && !self.pinned.contains(region)
    }

    /// Cuts the end of RAM if a no-map region is there: ARM Linux maps RAM in sections and does not
    /// use the rest of one. Cuts nothing if the page descriptors would not fit then.
    fn cut_ram(&mut self, descriptor_bytes: fn(u32) -> u64) {
        let whole = self.memblock.clone();
        let cut = self.memblock.cut_to_sections();
        if !self.holds_page_frames(descriptor_bytes) {
            self.memblock = whole;
        } else if !cut.is_empty() {
            self.notes.info(format_args!("debris: {cut} is no RAM any more, beside a no-map region at its end"));
        }
    }

    /// Reserves a region that was placed; returns false, with a log line, if the map is full.
    fn reserve(&mut self, range: PhysRange, kind: RegionKind, name: &str) -> bool {
        match self.memblock.reserve_named(range, kind, name) {
            Ok(()) => true,
            Err(full) => {
                self.notes.error(format_args!("debris: Reserved memory: {}: {full}", Words(name)));
                self.notes.refuse(Refused::Node, name);
                false
            }
        }
    }

    /// The name of the first region that overlaps `range`, cannot move, and satisfies `counts`.
    fn in_the_way(&self, range: &PhysRange, counts: impl Fn(&Region) -> bool) -> Option<String> {
        let found = self
            .memblock
            .reserved()
            .iter()
            .find(|region| region.range.overlaps(range) && !self.movable(region) && counts(region));
        found.map(|region| region.name.clone())
    }

    /// Makes an area of memory that is already reserved for it.
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

    /// Writes the `debris: ` line for an area beyond the slots, after all of Linux's.
    fn say_no_slot(&mut self) {
        let number = MAX_CMA_AREAS + self.beyond_slots;
        let ending = match (number % 10, number % 100) {
            (_, 11..=13) => "th",
            (1, _) => "st",
            (2, _) => "nd",
            (3, _) => "rd",
            _ => "th",
        };
        self.notes.error(format_args!("debris: {number}{ending} CMA area ignored: raise MAX_CMA_AREAS"));
    }

    /// Writes the `debris: ` line for a second area of the same name (Linux keeps both, but refuses
    /// the second's directories).
    fn say_twin(&mut self) {
        let Some((area, earlier)) = self.areas.split_last() else { return };
        if earlier.iter().any(|other| other.name == area.name) {
            let name = Words(&area.name);
            self.notes.warn(format_args!(
                "debris: Reserved memory: {name}: a second area of this name, found only by number"
            ));
        }
    }
}
