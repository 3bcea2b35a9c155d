// SPDX-License-Identifier: MIT OR Apache-2.0

//! The board's tree with the nodes of each case, 1 GiB of RAM, image and blobs where QEMU puts
//! them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::cmdline;
use crate::early;
use devicetree::{Placement, Property, ReservedNode};

mod blobs;
mod cmdline_area;
mod default_area;
mod linux_table;
mod model;
mod odd;
mod properties;
mod refused;

const M: u64 = 1 << 20;
const IMAGE: PhysRange = PhysRange { start: 0x6001_0000, end: 0x6005_0000 };
const TREE: PhysRange = PhysRange { start: 0x6800_0000, end: 0x6800_4000 };
const RAM: PhysRange = PhysRange { start: 0x6000_0000, end: 0xa000_0000 };

/// Linux's `struct page` has twice as many; the page allocator's descriptors have 16 bytes.
fn descriptor_bytes(frames: u32) -> u64 {
    16 * u64::from(frames)
}

/// The lines that every case logs for `vram`.
const VRAM_LINES: [&str; 2] = [
    "Reserved memory: created DMA memory pool at 0x4c000000, size 8 MiB",
    "OF: reserved mem: initialized node vram@4c000000, compatible id shared-dma-pool",
];

fn node(name: &str, placement: Placement) -> ReservedNode {
    ReservedNode::new(name, placement)
}

fn fixed(name: &str, start: u64, size: u64) -> ReservedNode {
    node(name, Placement::Fixed(vec![PhysRange::sized(start, size)]))
}

/// A dynamic node; `alloc_ranges` as (start, size).
fn dynamic(name: &str, size: u64, alloc_ranges: &[(u64, u64)]) -> ReservedNode {
    let alloc_ranges = alloc_ranges.iter().map(|(start, size)| PhysRange::sized(*start, *size)).collect();
    node(name, Placement::Dynamic { size, alignment: 0, alloc_ranges })
}

/// `compatible = "shared-dma-pool"; reusable;`
fn cma(node: ReservedNode) -> ReservedNode {
    ReservedNode { shared_dma_pool: true, compatible: Some("shared-dma-pool".to_string()), reusable: true, ..node }
}

/// `compatible = "shared-dma-pool"; no-map;`
fn dma(node: ReservedNode) -> ReservedNode {
    ReservedNode { reusable: false, no_map: true, ..cma(node) }
}

fn no_map(node: ReservedNode) -> ReservedNode {
    ReservedNode { no_map: true, ..node }
}

fn default(node: ReservedNode) -> ReservedNode {
    ReservedNode { cma_default: true, ..node }
}

fn aligned(node: ReservedNode, to: u64) -> ReservedNode {
    ReservedNode { alignment: Property::Is(to), ..node }
}

/// `linux,cma` and `BiscuitOS_cma` of the default tree.
fn default_areas() -> Vec<ReservedNode> {
    vec![
        default(cma(dynamic("linux,cma", 8 * M, &[(0x6900_0000, 8 * M)]))),
        cma(dynamic("BiscuitOS_cma", 8 * M, &[(0x6980_0000, 8 * M)])),
    ]
}

/// An area in a case: name, base, size in MiB, and if it is the default.
type Area<'a> = (&'a str, u64, u64, bool);

/// A placement under test: the memory before, the result, and the memory after.
struct Case {
    facts: Facts,
    cmdline: Cmdline,
    before: Memblock,
    placed: Placed,
    memblock: Memblock,
}

impl Case {
    /// Places `vram` and `nodes` with 1 GiB, without an initrd.
    fn new(nodes: Vec<ReservedNode>, bootargs: &str) -> Self {
        Self::with(RAM, TREE, None, nodes, bootargs)
    }

    fn with(
        ram: PhysRange,
        tree: PhysRange,
        initrd: Option<PhysRange>,
        mut nodes: Vec<ReservedNode>,
        bootargs: &str,
    ) -> Self {
        nodes.insert(0, dma(fixed("vram@4c000000", 0x4c00_0000, 8 * M)));
        Self::of(Facts { memory: vec![ram], initrd, reserved: nodes, ..Facts::default() }, tree, bootargs)
    }

    fn of(facts: Facts, tree: PhysRange, bootargs: &str) -> Self {
        let before = early::memory_map(&facts, IMAGE, tree).memblock;
        let mut memblock = before.clone();
        let cmdline = cmdline::parse(bootargs);
        let placed = place(&facts, &cmdline, descriptor_bytes, &mut memblock);
        let case = Self { facts, cmdline, before, placed, memblock };
        case.check();
        case.check_unasked();
        case
    }

    /// Checks the invariants of every placement.
    fn check(&self) {
        let Self { facts, before, placed, memblock, .. } = self;
        assert!(placed.areas.len() <= MAX_CMA_AREAS);
        assert!(placed.areas.iter().filter(|area| area.default).count() <= 1);
        // RAM is unchanged, or shorter at its end beside a no-map region.
        let end = memblock.end_of_ram();
        let kept = before.ram().iter().filter(|ram| ram.start < end);
        let kept: Vec<_> = kept.map(|ram| PhysRange { start: ram.start, end: ram.end.min(end) }).collect();
        assert_eq!(memblock.ram(), kept);
        let no_map = |address: u64| {
            memblock.reserved().iter().any(|region| {
                region.kind == RegionKind::NoMap && (region.range.start..region.range.end).contains(&address)
            })
        };
        let last = before.end_of_ram().saturating_sub(1);
        assert!(end == before.end_of_ram() || no_map(last), "RAM is cut without a reason");
        for (index, area) in placed.areas.iter().enumerate() {
            assert!(!area.range.is_empty() && memblock.is_ram(&area.range), "{area:?}");
            assert_eq!((area.range.start | area.range.end) % CMA_MIN_ALIGNMENT, 0, "{area:?}");
            assert!(area.name.len() < CMA_MAX_NAME);
            assert!(placed.areas[..index].iter().all(|other| !other.range.overlaps(&area.range)), "{placed:?}");
            let over: Vec<_> = memblock.reserved().iter().filter(|region| region.range.overlaps(&area.range)).collect();
            assert_eq!(over.len(), 1, "{area:?} overlaps {over:?}");
            assert_eq!((over[0].kind, over[0].range), (RegionKind::Cma, area.range));
        }
        let areas = memblock.reserved().iter().filter(|region| region.kind == RegionKind::Cma).count();
        assert_eq!(areas, placed.areas.len(), "every reserved area is planned");
        // Memory that was reserved before is still reserved, unless its blob was moved.
        for region in before.reserved() {
            let moved = placed.moves.iter().any(|step| step.from == region.range && step.what == region.kind);
            assert!(moved || memblock.reserved().contains(region), "{region:?} vanished");
        }
        self.check_moves();
        assert!(placed.notes.iter().all(|note| note.text.len() < 1000 && !note.text.contains('\n')));
        // The page allocator gets only RAM that is not reserved.
        for free in memblock.free_pages() {
            assert!(memblock.is_ram(&free) && free.start % PAGE_SIZE == 0 && free.end % PAGE_SIZE == 0);
            assert!(memblock.reserved().iter().all(|region| !region.range.overlaps(&free)));
        }
        assert!(facts.reserved.len() < 1000);
    }

    /// Simulates the moves: none overwrites memory reserved before, a placed region, or another
    /// blob.
    fn check_moves(&self) {
        let is_blob = |region: &&Region| matches!(region.kind, RegionKind::DeviceTree | RegionKind::Initrd);
        let mut blobs: Vec<_> =
            self.before.reserved().iter().filter(is_blob).map(|region| (region.kind, region.range)).collect();
        for step in &self.placed.moves {
            assert_eq!(step.from.size(), step.to.size());
            assert_eq!(step.to.start % PAGE_SIZE, 0);
            assert!(self.memblock.is_ram(&step.to));
            let index = blobs.iter().position(|blob| *blob == (step.what, step.from)).expect("the blob is there");
            blobs.remove(index);
            assert!(blobs.iter().all(|(_, range)| !range.overlaps(&step.to)), "{step:?} destroys another");
            blobs.push((step.what, step.to));
            let taken = self.memblock.reserved().iter().filter(|region| !is_blob(region));
            assert!(taken.clone().all(|region| !region.range.overlaps(&step.to)), "{step:?} hits a region");
        }
    }

    /// The default area that was not requested, if one was made.
    fn unasked(&self) -> Option<&AreaPlan> {
        let last = self.placed.areas.iter().find(|area| area.default).filter(|_| self.placed.default_unasked)?;
        assert!(last.name == "reserved" && self.cmdline.cma.is_none(), "{:?}", self.placed);
        assert!(self.lines().contains(&self.unasked_line().as_str()), "{:?}", self.placed);
        Some(last)
    }

    /// The line that the log contains for a default area that was not requested.
    fn unasked_line(&self) -> String {
        let start = self.placed.areas.iter().find(|area| area.default).map_or(0, |area| area.range.start);
        format!("cma: Reserved 16 MiB at {start:#010x}{}", self.cmdline.linux.differences().node_suffix)
    }

    /// Checks that, if no default area was requested, there is one of 16 MiB in the highest free
    /// place, or a line.
    fn check_unasked(&self) {
        let made = self.unasked();
        let nodes = self.placed.areas.len() - usize::from(made.is_some());
        if self.cmdline.cma.is_some() || made.is_none() && self.placed.areas.iter().any(|area| area.default) {
            assert_eq!(made, None);
            return;
        }
        // Later versions refuse fixed pools only afterwards, so that those were still reserved.
        let fixed = self.facts.reserved.iter().any(|node| node.reg.is_present());
        if fixed && self.cmdline.linux.differences().fixed_pools_late {
            return;
        }
        // The reservations when it was placed: all but itself, with the blobs where they were then.
        let taken = |region: &&Region| made.is_none_or(|area| region.range != area.range);
        let blobs = self.placed.moves.iter().map(|step| step.from);
        let taken: Vec<_> =
            self.memblock.reserved().iter().filter(taken).map(|region| region.range).chain(blobs).collect();
        let moved = |range: &PhysRange| self.placed.moves.iter().any(|step| step.to == *range);
        let free = |range: &PhysRange| {
            self.memblock.is_ram(range) && taken.iter().all(|other| !other.overlaps(range) || moved(other))
        };
        // Linux's limit, the last address rounded down to a pageblock, excludes the last pageblock
        // of 32 bits.
        let mut starts = (1..1020).rev().map(|block| PhysRange::sized(block * CMA_MIN_ALIGNMENT, 16 * M));
        match (starts.find(free), made) {
            (Some(range), Some(area)) => assert_eq!(area.range, range),
            (Some(_), None) => assert!(nodes == MAX_CMA_AREAS || self.has_failed_line(), "{:?}", self.placed),
            // Only if a blob was moved for it.
            (None, Some(area)) => assert!(self.placed.moves.iter().any(|step| step.from.overlaps(&area.range))),
            (None, None) => assert!(nodes == MAX_CMA_AREAS || self.has_failed_line(), "{:?}", self.placed),
        }
    }

    fn has_failed_line(&self) -> bool {
        self.lines().iter().any(|line| line.starts_with("cma: Failed to reserve 16 MiB"))
    }

    fn lines(&self) -> Vec<&str> {
        self.placed.notes.iter().map(|note| note.text.as_str()).collect()
    }

    /// The lines without those of every case: those of `vram`, and of the default area that was not
    /// requested.
    fn other_lines(&self) -> Vec<&str> {
        let mut lines = self.lines();
        if self.unasked().is_some() {
            let line = self.unasked_line();
            lines.retain(|other| *other != line);
        }
        for line in VRAM_LINES {
            assert_eq!(lines.iter().filter(|other| **other == line).count(), 1, "{lines:?}");
        }
        lines.into_iter().filter(|line| !VRAM_LINES.contains(line)).collect()
    }

    /// The areas, without the default area that was not requested.
    fn areas(&self) -> Vec<Area<'_>> {
        let areas = self.placed.areas.iter().filter(|area| self.unasked() != Some(*area));
        areas.map(|area| (area.name.as_str(), area.range.start, area.range.size() / M, area.default)).collect()
    }

    #[track_caller]
    fn assert(&self, areas: &[Area], lines: &[&str]) {
        assert_eq!(self.areas(), areas);
        assert_eq!(self.other_lines(), lines);
    }
}
