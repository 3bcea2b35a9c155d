//! The children of `/reserved-memory`: fixed ones reserved, dynamic ones placed, pools recognised.

use alloc::vec::Vec;

use super::{Attempt, CMA_MIN_ALIGNMENT, MAX_RESERVED_REGIONS, MIB, NoArea};
use crate::memblock::{RegionKind, Search};
use devicetree::{Placement, ReservedNode};
use units::notes::Words;
use units::{ADDRESS_LIMIT, PhysRange};

/// Alignment of a dynamic region that asks for none: a cache line (SMP_CACHE_BYTES).
const DEFAULT_ALIGNMENT: u64 = 64;

/// What a node will become, once placed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    /// A CMA area.
    Cma,
    /// A pool of its own for a device (`no-map`).
    Dma,
    /// A region that is only kept free.
    Plain,
    /// A pool that Linux refuses: it holds its place until the others are placed, and is freed then.
    Refused,
}

/// A node that is still to become what it will be.
struct Saved<'n> {
    node: &'n ReservedNode,
    class: Class,
    /// The place of a fixed node (its first `reg` entry); `None`: dynamic.
    fixed: Option<PhysRange>,
}

impl Saved<'_> {
    /// Linux's order, `__rmem_cmp`: dynamic ones first.
    fn key(&self) -> Option<(u64, u64)> {
        self.fixed.map(|range| (range.start, range.end))
    }
}

/// The kind that a node's memory is reserved under.
fn kind(node: &ReservedNode, class: Class) -> RegionKind {
    match class {
        Class::Cma => RegionKind::Cma,
        _ if node.no_map => RegionKind::NoMap,
        _ => RegionKind::Reserved,
    }
}

impl Attempt<'_> {
    /// Places all nodes.
    pub(super) fn nodes(&mut self, nodes: &[ReservedNode]) {
        let mut saved = Vec::new();
        let mut beyond = 0;
        for node in nodes {
            let entry = match &node.placement {
                Placement::Fixed(ranges) => self.reserve_fixed(node, ranges),
                Placement::Dynamic { size, .. } => {
                    Some(Saved { node, class: self.classify(node, 0, *size), fixed: None })
                }
            };
            match entry {
                Some(entry) if saved.len() < MAX_RESERVED_REGIONS => saved.push(entry),
                Some(entry) => {
                    beyond += 1;
                    self.keep_free(&entry);
                }
                None => {}
            }
        }
        if beyond > 0 {
            self.notes.error(format_args!("OF: reserved mem: not enough space for all defined regions."));
            self.notes.error(format_args!("{beyond} reserved-memory nodes ignored: raise MAX_RESERVED_REGIONS"));
        }
        // Only now, because a pool that is refused must not win over one that is not.
        for entry in &saved {
            if let (Class::Refused, Some(range)) = (entry.class, entry.fixed) {
                self.reserve(range, kind(entry.node, entry.class), &entry.node.name);
            }
        }
        saved.sort_by_key(Saved::key);
        self.say_overlaps(&saved);
        for entry in &saved {
            if let Some(range) = entry.fixed.or_else(|| self.allocate(entry.node, entry.class)) {
                self.initialise(entry, range);
            }
        }
    }

    /// What a node becomes when it lies at `start`: the conditions of `rmem_cma_setup` and `rmem_dma_setup`.
    fn classify(&self, node: &ReservedNode, start: u64, size: u64) -> Class {
        let bypassed = self.cma_given && node.cma_default;
        if !node.shared_dma_pool {
            Class::Plain
        } else if node.no_map && !node.reusable {
            Class::Dma
        } else if node.reusable
            && !node.no_map
            && !bypassed
            && size > 0
            && (start | size).is_multiple_of(CMA_MIN_ALIGNMENT)
        {
            Class::Cma
        } else {
            Class::Refused
        }
    }

    /// Reserves the ranges of a fixed node; the first of them is what may become a pool. `None` where it was skipped.
    fn reserve_fixed<'n>(&mut self, node: &'n ReservedNode, ranges: &[PhysRange]) -> Option<Saved<'n>> {
        let mut first = None;
        for (index, range) in ranges.iter().enumerate() {
            if range.is_empty() {
                self.say_not_reserved(node, range);
                continue;
            }
            let class = if index == 0 { self.classify(node, range.start, range.size()) } else { Class::Plain };
            if self.claim(node, class, *range) && index == 0 {
                first = Some(Saved { node, class, fixed: Some(*range) });
            }
        }
        first
    }

    /// Reserves one range of a fixed node, unless it is in the way of something; says so then.
    fn claim(&mut self, node: &ReservedNode, class: Class, range: PhysRange) -> bool {
        let name = Words(&node.name);
        if class == Class::Refused {
            return true;
        }
        if class == Class::Cma && !self.memblock.is_ram(&range) {
            self.notes.error(format_args!("Reserved memory: {name}: outside RAM"));
            return false;
        }
        // Regions that are only kept free may lie over each other, and one that stays mapped even over the kernel;
        // memory that was reserved by the tree's header may be reserved again by a node.
        let other = self.in_the_way(&range, |region| match class {
            Class::Cma => true,
            Class::Dma => region.kind != RegionKind::Memreserve,
            _ if node.no_map => !matches!(region.kind, RegionKind::Memreserve | RegionKind::NoMap),
            _ => region.kind == RegionKind::Cma,
        });
        let Some(other) = other else {
            return self.reserve(range, kind(node, class), &node.name);
        };
        if class == Class::Plain && node.no_map {
            self.say_not_reserved(node, &range);
        }
        self.notes.error(format_args!("Reserved memory: {name}: overlaps {}", Words(&other)));
        false
    }

    /// A fixed node that nobody will look at again: its place stays reserved, as what it says it is.
    fn keep_free(&mut self, entry: &Saved<'_>) {
        if let (Class::Cma | Class::Refused, Some(range)) = (entry.class, entry.fixed) {
            self.memblock.release(range, RegionKind::Cma);
            self.reserve(range, kind(entry.node, Class::Plain), &entry.node.name);
        }
    }

    fn say_not_reserved(&mut self, node: &ReservedNode, range: &PhysRange) {
        let (name, mib) = (Words(&node.name), range.end.saturating_sub(range.start) / MIB);
        self.notes.error(format_args!(
            "OF: fdt: Reserved memory: failed to reserve memory for node '{name}': base {:#010x}, size {mib} MiB",
            range.start
        ));
    }

    /// Linux's line for fixed nodes over each other that both stay.
    fn say_overlaps(&mut self, sorted: &[Saved<'_>]) {
        for pair in sorted.windows(2) {
            let (Some(this), Some(next)) = (pair[0].fixed, pair[1].fixed) else { continue };
            if this.end > next.start {
                self.notes.error(format_args!("OF: reserved mem: OVERLAP DETECTED!"));
                self.notes.error(format_args!(
                    "{} ({:#010x}--{:#010x}) overlaps with {} ({:#010x}--{:#010x})",
                    Words(&pair[0].node.name),
                    this.start,
                    this.end,
                    Words(&pair[1].node.name),
                    next.start,
                    next.end
                ));
            }
        }
    }

    /// Finds and reserves the place of a dynamic node: `__reserved_mem_alloc_size`.
    fn allocate(&mut self, node: &ReservedNode, class: Class) -> Option<PhysRange> {
        let Placement::Dynamic { size, alignment, alloc_ranges } = &node.placement else { return None };
        let name = Words(&node.name);
        let size = *size;
        let mut align = *alignment;
        if align != 0 && !align.is_power_of_two() {
            self.notes.warn(format_args!("Reserved memory: {name}: alignment {align:#x} is not a power of two"));
        }
        if node.shared_dma_pool && node.reusable && !node.no_map {
            align = align.max(CMA_MIN_ALIGNMENT);
        } else if align == 0 {
            align = DEFAULT_ALIGNMENT;
        }
        let mut ranges: Vec<_> = alloc_ranges.iter().filter_map(|range| self.alloc_range(node, range)).collect();
        if alloc_ranges.is_empty() {
            ranges.push(PhysRange { start: 0, end: ADDRESS_LIMIT });
        }
        let searches = || ranges.iter().map(|within| Search { size, align, within: *within });
        let mut start = searches().find_map(|search| self.memblock.find(search));
        // A blob makes way only for what will stay there.
        if start.is_none() && class != Class::Refused && self.has_slot(class) {
            start = searches().find_map(|search| self.find_over_blobs(search));
        }
        let Some(start) = start else {
            self.notes.error(format_args!(
                "OF: reserved mem: failed to allocate memory for node '{name}': size {} MiB",
                size / MIB
            ));
            return None;
        };
        let range = PhysRange::sized(start, size);
        self.reserve(range, kind(node, class), &node.name).then_some(range)
    }

    fn has_slot(&self, class: Class) -> bool {
        class != Class::Cma || self.areas.len() < super::MAX_CMA_AREAS
    }

    /// An alloc-range in Linux's arithmetic of 32 bits: an end of 0 is no limit, and one that wraps leaves no room.
    fn alloc_range(&mut self, node: &ReservedNode, range: &PhysRange) -> Option<PhysRange> {
        let end = match range.end {
            0 => ADDRESS_LIMIT,
            end if end > ADDRESS_LIMIT => {
                let name = Words(&node.name);
                self.notes
                    .warn(format_args!("Reserved memory: {name}: alloc-range {range} reaches above 4 GiB, ignored"));
                return None;
            }
            end => end,
        };
        Some(PhysRange { start: range.start, end })
    }

    /// Makes a pool of a node that has its place, or frees the place: `__reserved_mem_init_node`.
    fn initialise(&mut self, entry: &Saved<'_>, range: PhysRange) {
        let node = entry.node;
        if !node.shared_dma_pool {
            return;
        }
        let name = Words(&node.name);
        let (areas, beyond_slots) = (self.areas.len(), self.beyond_slots);
        if self.set_up_cma(node, range) || self.set_up_dma(node, range) {
            self.notes.info(format_args!("OF: reserved mem: initialized node {name}, compatible id shared-dma-pool"));
            if self.areas.len() > areas {
                self.say_twin();
            }
            return;
        }
        self.notes.info(format_args!("OF: reserved mem: node {name} compatible matching fail"));
        self.memblock.release(range, kind(node, entry.class));
        if entry.fixed.is_none() && node.no_map {
            // Linux makes it mappable again, but never frees it.
            self.reserve(range, RegionKind::Reserved, &node.name);
        }
        if self.beyond_slots > beyond_slots {
            self.say_no_slot();
        }
    }

    /// `rmem_cma_setup`: true where the node became a CMA area.
    fn set_up_cma(&mut self, node: &ReservedNode, range: PhysRange) -> bool {
        let name = Words(&node.name);
        if self.cma_given && node.cma_default {
            self.notes.info(format_args!("Reserved memory: bypass {name} node, using cmdline CMA params instead"));
            return false;
        }
        if !node.reusable || node.no_map {
            return false;
        }
        if !(range.start | range.end).is_multiple_of(CMA_MIN_ALIGNMENT) {
            self.notes.error(format_args!("Reserved memory: incorrect alignment of CMA region"));
            return false;
        }
        let default_before = self.areas.iter().find(|area| area.default).map(|area| area.name.clone());
        if let Err(reason) = self.create_area(range, &node.name, node.cma_default) {
            self.notes.error(format_args!("Reserved memory: unable to setup CMA region"));
            if let NoArea::Empty = reason {
                self.notes.error(format_args!("Reserved memory: {name}: size is 0"));
            }
            return false;
        }
        self.notes.info(format_args!(
            "Reserved memory: created CMA memory pool at {:#010x}, size {} MiB",
            range.start,
            range.size() / MIB
        ));
        if let (true, Some(before)) = (node.cma_default, default_before) {
            let before = Words(&before);
            self.notes.warn(format_args!("Reserved memory: {name} replaces {before} as the default area"));
        }
        true
    }

    /// `rmem_dma_setup`: true where the node became a device's pool.
    fn set_up_dma(&mut self, node: &ReservedNode, range: PhysRange) -> bool {
        if node.reusable {
            return false;
        }
        if !node.no_map {
            self.notes.error(format_args!("Reserved memory: regions without no-map are not yet supported"));
            return false;
        }
        self.notes.info(format_args!(
            "Reserved memory: created DMA memory pool at {:#010x}, size {} MiB",
            range.start,
            range.size() / MIB
        ));
        true
    }
}
