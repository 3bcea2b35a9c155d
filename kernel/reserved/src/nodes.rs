// SPDX-License-Identifier: MIT OR Apache-2.0

//! The children of `/reserved-memory`: reserves fixed ones, places dynamic ones, makes pools.
//!
//! Linux 6.1 saves all nodes, sorts them, and places each and makes its pool in that order. Later
//! versions place dynamic nodes in the tree's order during the scan, and make pools of fixed ones
//! after the default area.

mod pools;

use alloc::format;
use alloc::vec::Vec;

use super::{Attempt, CMA_MIN_ALIGNMENT, MIB, heap_order};
use crate::memblock::{RegionKind, Search};
use devicetree::{Facts, Property, ReservedNode};
use units::linux::{Bypass, RegEntries};
use units::notes::{Refused, Words};
use units::{ADDRESS_LIMIT, PhysRange};

/// Default alignment of a dynamic region: a cache line (SMP_CACHE_BYTES).
const DEFAULT_ALIGNMENT: u64 = 64;

/// The range that Linux 6.12 reads from an empty `reg`: the words after it in the tree, which are
/// the token of a property and the length of its one cell.
const BEYOND_EMPTY_REG: PhysRange = PhysRange { start: 3, end: 7 };

/// The class of a node: what is made of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    /// A CMA area.
    Cma,
    /// A pool of its own for a device (`no-map`).
    Dma,
    /// A region that is only reserved.
    Plain,
    /// A pool that Linux refuses: its place is reserved until it is initialised, then freed.
    Refused,
    /// A pool that Linux skips before it gets a place.
    Skipped,
}

/// A node that was scanned, but not yet initialised.
pub(super) struct Saved<'n> {
    node: &'n ReservedNode,
    class: Class,
    /// The place of a fixed node, its first `reg` entry; empty if the node still has to be placed.
    range: PhysRange,
    /// The kind under which the place is reserved.
    kind: RegionKind,
    /// False for a place that this memory map never reserves.
    reserved: bool,
}

/// Returns the kind under which a node's memory is reserved.
fn kind(node: &ReservedNode, class: Class) -> RegionKind {
    match class {
        Class::Cma => RegionKind::Cma,
        _ if node.no_map => RegionKind::NoMap,
        _ => RegionKind::Reserved,
    }
}

impl<'a> Attempt<'a> {
    /// Reserves fixed regions and places dynamic ones. The version decides which of them become
    /// pools here, and in which order; the others wait for [`Self::late_pools`].
    pub(super) fn scan(&mut self, facts: &'a Facts) {
        if let Some(why) = &facts.reserved_unsupported {
            self.say_unsupported();
            self.notes.error(format_args!("debris: Reserved memory: {why}"));
            self.notes.refuse(Refused::Node, "reserved-memory");
            return;
        }
        let mut saved: Vec<Saved<'a>> = Vec::new();
        let mut beyond = 0;
        for node in &facts.reserved {
            let Some(entry) = self.scan_node(node) else { continue };
            if self.linux.max_regions.is_none_or(|most| saved.len() < most) {
                saved.push(entry);
            } else {
                self.notes.error(format_args!("OF: reserved mem: not enough space for all defined regions."));
                self.notes.refuse(Refused::Node, &node.name);
                beyond += 1;
                self.keep_free(&entry);
            }
        }
        if beyond > 0 {
            let version = self.version;
            self.notes.error(format_args!(
                "debris: Reserved memory: {beyond} nodes are no pools: Linux {version} has room for {}; linux=6.12 has \
                 no such limit",
                saved.len()
            ));
        }
        // After all accepted fixed ones, over which a refused pool must not win.
        for entry in &saved {
            if entry.class == Class::Refused && entry.reserved && !entry.range.is_empty() {
                self.reserve(entry.range, entry.kind, &entry.node.name);
            }
        }
        if self.linux.sorts_regions {
            heap_order::sort_by_key(&mut saved, |entry| (entry.range.start, entry.range.size()));
            self.say_overlaps(saved.iter().map(|entry| (entry.node.name.as_str(), entry.range)).collect());
        }
        for entry in saved {
            if self.linux.fixed_pools_late && !entry.range.is_empty() {
                self.late.push(entry);
            } else {
                self.place_and_initialise(entry);
            }
        }
    }

    /// Makes the pools of fixed regions, and writes their lines, in versions that do so after the
    /// default area.
    pub(super) fn late_pools(&mut self, facts: &Facts) {
        if !self.linux.fixed_pools_late {
            return;
        }
        if facts.reserved_unsupported.is_some() && self.linux.says_unsupported_twice {
            self.say_unsupported();
        }
        for entry in core::mem::take(&mut self.late) {
            let entries = entry.node.reg.value().map_or(0, Vec::len);
            if self.linux.reg_entries == RegEntries::AllWithLine && entries > 1 {
                self.notes.warn(format_args!(
                    "OF: reserved mem: fdt_scan_reserved_mem_reg_nodes() ignores {} regions in node '{}'",
                    entries - 1,
                    Words(&entry.node.name)
                ));
            }
            self.place_and_initialise(entry);
        }
        let mut regions = core::mem::take(&mut self.regions);
        regions.retain(|(_, range)| !range.is_empty());
        regions.sort_by_key(|(_, range)| (range.start, range.size()));
        self.say_overlaps(regions);
    }

    /// Scans a node and reserves it if it is fixed. Returns `None` if it needs no further step.
    fn scan_node(&mut self, node: &'a ReservedNode) -> Option<Saved<'a>> {
        let has_size = node.size.is_present();
        match &node.reg {
            Property::Is(ranges) if !ranges.is_empty() => return self.reserve_fixed(node, ranges),
            Property::Absent if !has_size => {
                let name = Words(&node.name);
                self.notes.warn(format_args!("debris: Reserved memory: {name}: neither reg nor size, skipped"));
                self.notes.refuse(Refused::Node, &node.name);
                return None;
            }
            Property::Absent => {}
            Property::Malformed | Property::Is(_) if self.linux.ignores_malformed => {
                if !has_size {
                    let name = Words(&node.name);
                    self.notes.warn(format_args!("debris: Reserved memory: {name}: reg cannot be read, skipped"));
                    self.notes.refuse(Refused::Node, &node.name);
                    return None;
                }
            }
            Property::Malformed => {
                self.notes.error(format_args!(
                    "{}Reserved memory: invalid reg property in '{}', skipping node.",
                    self.linux.scan_prefix,
                    Words(&node.name)
                ));
                self.notes.refuse(Refused::Node, &node.name);
                return None;
            }
            Property::Is(_) => {
                self.notes.warn(format_args!("debris: Reserved memory: {}: reg is empty, skipped", Words(&node.name)));
                self.notes.refuse(Refused::Node, &node.name);
                let range = BEYOND_EMPTY_REG;
                let class = self.classify(node, range.start, range.size());
                let entry = Saved { node, class, range, kind: kind(node, class), reserved: false };
                return self.linux.reads_beyond_empty_reg.then_some(entry);
            }
        }
        let class = self.classify(node, 0, node.size.value().copied().unwrap_or(0));
        let nowhere = PhysRange { start: 0, end: 0 };
        Some(Saved { node, class, range: nowhere, kind: kind(node, class), reserved: true })
    }

    /// Returns the class of a node placed at `start`: the conditions of `rmem_cma_setup` and
    /// `rmem_dma_setup`.
    fn classify(&self, node: &ReservedNode, start: u64, size: u64) -> Class {
        let cma = node.reusable && !node.no_map;
        let bypassed = self.cma_given && node.cma_default;
        if !node.shared_dma_pool || self.is_plain(node) {
            Class::Plain
        } else if cma && bypassed && self.linux.bypass == Bypass::Skipped {
            Class::Skipped
        } else if node.no_map && !node.reusable {
            Class::Dma
        } else if cma && !bypassed && size > 0 && (start | size).is_multiple_of(CMA_MIN_ALIGNMENT) {
            Class::Cma
        } else {
            Class::Refused
        }
    }

    /// True for a node with two properties that exclude each other, if the version takes it for a
    /// plain region.
    fn is_plain(&self, node: &ReservedNode) -> bool {
        node.reusable && node.no_map && self.linux.reusable_no_map_is_plain
    }

    /// Reserves the ranges of a fixed node, of which the first may become a pool. Returns `None` if
    /// that one is left out.
    fn reserve_fixed(&mut self, node: &'a ReservedNode, ranges: &[PhysRange]) -> Option<Saved<'a>> {
        let first = ranges.first()?;
        let class = self.classify(node, first.start, first.end.saturating_sub(first.start));
        if class == Class::Skipped {
            self.say_skipped();
            return Some(Saved { node, class, range: *first, kind: RegionKind::Reserved, reserved: false });
        }
        let mut entries = ranges;
        if self.linux.reg_entries == RegEntries::First && ranges.len() > 1 {
            self.notes.warn(format_args!(
                "OF: reserved mem: Reserved memory: node '{}' has {} <base size> entries, only the first is used",
                Words(&node.name),
                ranges.len()
            ));
            entries = &ranges[..1];
        }
        let mut saved = None;
        for (index, range) in entries.iter().enumerate() {
            if range.is_empty() {
                self.say_not_reserved(node, range);
                // 6.1 sorts it with the others and then searches a place for it, as if it had no
                // `reg`.
                if index == 0 && self.linux.sorts_regions {
                    let class = self.classify(node, 0, node.size.value().copied().unwrap_or(0));
                    let nowhere = PhysRange { start: range.start, end: range.start };
                    saved = Some(Saved { node, class, range: nowhere, kind: kind(node, class), reserved: true });
                }
                continue;
            }
            let class = if index == 0 { class } else { Class::Plain };
            if let Some(kind) = self.claim(node, class, *range)
                && index == 0
            {
                saved = Some(Saved { node, class, range: *range, kind, reserved: true });
            }
        }
        saved
    }

    /// Reserves a range of a fixed node, unless refused; returns its kind. `None`, with a line, if
    /// a CMA range is not RAM, a region that cannot move is in its way, or the map is full.
    fn claim(&mut self, node: &ReservedNode, class: Class, range: PhysRange) -> Option<RegionKind> {
        let name = Words(&node.name);
        let mut kind = kind(node, class);
        if class == Class::Refused {
            return Some(kind);
        }
        if class == Class::Cma && !self.memblock.is_ram(&range) {
            self.notes.error(format_args!("debris: Reserved memory: {name}: outside RAM"));
            self.notes.refuse(Refused::Node, &node.name);
            return None;
        }
        // Reserved RAM cannot become no-map: Linux reports that, leaves it mapped, and still makes
        // the pool.
        if node.no_map && self.is_taken(&range) {
            self.say_not_reserved(node, &range);
            kind = RegionKind::Reserved;
        }
        // Plain regions may overlap each other and the tree's header's, and a mapped one even the
        // kernel; a CMA area may overlap nothing that cannot move.
        let other = self.in_the_way(&range, |region| match class {
            Class::Cma => true,
            _ if node.no_map => {
                !matches!(region.kind, RegionKind::Memreserve | RegionKind::NoMap | RegionKind::Reserved)
            }
            _ => region.kind == RegionKind::Cma,
        });
        if let Some(other) = other {
            self.notes.error(format_args!("debris: Reserved memory: {name}: overlaps {}", Words(&other)));
            self.notes.refuse(Refused::Node, &node.name);
            return None;
        }
        self.reserve(range, kind, &node.name).then_some(kind)
    }

    /// True if `range` includes RAM, and overlaps a region that Linux has reserved so far (entries
    /// of the tree's header come later).
    fn is_taken(&self, range: &PhysRange) -> bool {
        self.memblock.ram().iter().any(|ram| ram.overlaps(range))
            && self.memblock.reserved().iter().any(|region| {
                !matches!(region.kind, RegionKind::NoMap | RegionKind::Memreserve) && region.range.overlaps(range)
            })
    }

    /// Keeps reserved, as a plain region, the place of a fixed node with no further step.
    fn keep_free(&mut self, entry: &Saved<'_>) {
        if matches!(entry.class, Class::Cma | Class::Refused) && !entry.range.is_empty() {
            self.memblock.release(entry.range, RegionKind::Cma);
            self.reserve(entry.range, kind(entry.node, Class::Plain), &entry.node.name);
        }
    }

    fn say_not_reserved(&mut self, node: &ReservedNode, range: &PhysRange) {
        let (name, mib) = (Words(&node.name), range.end.saturating_sub(range.start) / MIB);
        self.notes.error(format_args!(
            "{}Reserved memory: failed to reserve memory for node '{name}': base {:#010x}, size {mib} MiB",
            self.linux.scan_prefix, range.start
        ));
        self.notes.refuse(Refused::Node, &node.name);
    }

    fn say_unsupported(&mut self) {
        let prefix = self.linux.scan_prefix;
        self.notes.error(format_args!("{prefix}Reserved memory: unsupported node format, ignoring"));
    }

    fn say_skipped(&mut self) {
        self.notes.error(format_args!("Skipping dt linux,cma-default node in favor for \"cma=\" kernel param."));
    }

    /// Writes Linux's lines for overlapping regions that both stay; `sorted` is in address order.
    fn say_overlaps(&mut self, sorted: Vec<(&str, PhysRange)>) {
        for pair in sorted.windows(2) {
            let [(name, this), (next_name, next)] = pair else { continue };
            if this.end > next.start {
                self.notes.error(format_args!("OF: reserved mem: OVERLAP DETECTED!"));
                self.notes.error(format_args!(
                    "{} ({:#010x}--{:#010x}) overlaps with {} ({:#010x}--{:#010x})",
                    Words(name),
                    this.start,
                    this.end,
                    Words(next_name),
                    next.start,
                    next.end
                ));
            }
        }
    }

    /// Places a dynamic node, and initialises a node of either kind.
    fn place_and_initialise(&mut self, entry: Saved<'a>) {
        if entry.class == Class::Skipped {
            self.say_skipped();
            return;
        }
        let placed = if entry.range.is_empty() { self.allocate(entry.node, entry.class) } else { Some(entry.range) };
        let Some(range) = placed else { return };
        self.regions.push((&entry.node.name, range));
        if self.initialise(&entry, range) && self.linux.says_regions {
            self.say_region(entry.node, range);
        }
    }

    fn say_region(&mut self, node: &ReservedNode, range: PhysRange) {
        self.notes.info(format_args!(
            "OF: reserved mem: {:#010x}..{:#010x} ({} KiB) {} {} {}",
            range.start,
            range.end.wrapping_sub(1) & (ADDRESS_LIMIT - 1),
            range.size() / 1024,
            if node.no_map { "nomap" } else { "map" },
            if node.reusable { "reusable" } else { "non-reusable" },
            Words(&node.name)
        ));
    }

    /// Finds and reserves the place of a dynamic node: `__reserved_mem_alloc_size`.
    fn allocate(&mut self, node: &ReservedNode, class: Class) -> Option<PhysRange> {
        let name = Words(&node.name);
        let invalid =
            |property: &str| format!("OF: reserved mem: invalid {property} property in '{}' node.", Words(&node.name));
        let size = match &node.size {
            Property::Is(size) => *size,
            Property::Absent => return None,
            Property::Malformed => {
                self.notes.error(invalid("size"));
                self.notes.refuse(Refused::Node, &node.name);
                return None;
            }
        };
        let mut align = match &node.alignment {
            Property::Is(align) => *align,
            Property::Absent => 0,
            Property::Malformed => {
                self.notes.error(invalid("alignment"));
                self.notes.refuse(Refused::Node, &node.name);
                return None;
            }
        };
        let anywhere = [PhysRange { start: 0, end: 0 }];
        let given: &[PhysRange] = match &node.alloc_ranges {
            Property::Is(ranges) => ranges,
            Property::Absent => &anywhere,
            Property::Malformed if self.linux.ignores_malformed => {
                self.notes.warn(format_args!(
                    "debris: Reserved memory: {name}: alloc-ranges is malformed, so it is placed anywhere"
                ));
                &anywhere
            }
            Property::Malformed => {
                self.notes
                    .error(format_args!("OF: reserved mem: invalid alloc-ranges property in '{name}', skipping node."));
                self.notes.refuse(Refused::Node, &node.name);
                return None;
            }
        };
        if align != 0 && !align.is_power_of_two() {
            self.notes
                .warn(format_args!("debris: Reserved memory: {name}: alignment {align:#x} is not a power of two"));
        }
        if node.shared_dma_pool && node.reusable && !node.no_map {
            align = align.max(CMA_MIN_ALIGNMENT);
        } else if align == 0 {
            align = DEFAULT_ALIGNMENT;
        }
        let ranges: Vec<_> = given.iter().filter_map(|range| self.alloc_range(node, range)).collect();
        let searches = || ranges.iter().map(|within| Search { size, align, within: *within });
        let mut start = searches().find_map(|search| self.find_in_alloc_range(search));
        // A blob moves only for a region that will keep its place.
        if start.is_none() && class != Class::Refused && self.has_slot(class) {
            start = searches().find_map(|search| self.find_over_blobs(search));
        }
        let Some(start) = start else {
            let failed = format_args!("OF: reserved mem: failed to allocate memory for node '{name}'");
            if self.linux.says_size_that_failed {
                self.notes.error(format_args!("{failed}: size {} MiB", size / MIB));
            } else {
                self.notes.error(failed);
            }
            self.notes.refuse(Refused::Node, &node.name);
            return None;
        };
        let range = PhysRange::sized(start, size);
        self.reserve(range, kind(node, class), &node.name).then_some(range)
    }

    /// Finds the highest place in an alloc-range; in some versions the lowest, if a placed region
    /// touches the range's start and none its end.
    fn find_in_alloc_range(&self, search: Search) -> Option<u64> {
        let touches = |address: u64| self.regions.iter().any(|(_, region)| touches(region, address));
        let PhysRange { start, end } = search.within;
        // An end of 4 GiB is 0 in 32 bits, which without a range is the start, too.
        if self.linux.grows_from_neighbours && touches(start) && !touches(end % ADDRESS_LIMIT) {
            self.memblock.find_lowest(search)
        } else {
            self.memblock.find(search)
        }
    }

    fn has_slot(&self, class: Class) -> bool {
        class != Class::Cma || self.areas.len() < super::MAX_CMA_AREAS
    }

    /// Returns an alloc-range in Linux's 32-bit arithmetic: an end of 0 is no limit, an end below
    /// the start leaves no room. Returns `None`, with a line, if the end is above 4 GiB.
    fn alloc_range(&mut self, node: &ReservedNode, range: &PhysRange) -> Option<PhysRange> {
        let end = match range.end {
            0 => ADDRESS_LIMIT,
            end if end > ADDRESS_LIMIT => {
                let name = Words(&node.name);
                self.notes.warn(format_args!(
                    "debris: Reserved memory: {name}: alloc-range {range} reaches above 4 GiB, ignored"
                ));
                return None;
            }
            end => end,
        };
        Some(PhysRange { start: range.start, end })
    }
}

/// True if `address` is in a region or at its end (`__reserved_mem_alloc_in_range`).
fn touches(region: &PhysRange, address: u64) -> bool {
    !region.is_empty() && (region.start..=region.end).contains(&address)
}
