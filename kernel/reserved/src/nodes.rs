// SPDX-License-Identifier: MIT OR Apache-2.0

//! The children of `/reserved-memory`: fixed ones reserved, dynamic ones placed, pools recognised.
//!
//! Linux 6.1 saves all of them, sorts them, and gives each its place and its pool in that order.
//! Later versions place dynamic ones in the tree's order as part of the scan, and make pools of
//! fixed ones when the default area is there.

mod pools;

use alloc::format;
use alloc::vec::Vec;

use super::{Attempt, CMA_MIN_ALIGNMENT, MIB, heap_order};
use crate::memblock::{RegionKind, Search};
use devicetree::{Facts, Property, ReservedNode};
use units::linux::{Bypass, RegEntries};
use units::notes::{Refused, Words};
use units::{ADDRESS_LIMIT, PhysRange};

/// Alignment of a dynamic region that asks for none: a cache line (SMP_CACHE_BYTES).
const DEFAULT_ALIGNMENT: u64 = 64;

/// What Linux 6.12 takes an empty `reg` for: the words behind it in the tree, the token of a
/// property and the length of its one cell.
const BEYOND_EMPTY_REG: PhysRange = PhysRange { start: 3, end: 7 };

/// What a node becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    /// A CMA area.
    Cma,
    /// A pool of its own for a device (`no-map`).
    Dma,
    /// A region that is only kept free.
    Plain,
    /// A pool that Linux refuses: it holds its place until its turn comes, and is freed then.
    Refused,
    /// A pool that Linux passes over before it has a place.
    Skipped,
}

/// A node that is still to become what it will be.
pub(super) struct Saved<'n> {
    node: &'n ReservedNode,
    class: Class,
    /// The place of a fixed node, its first `reg` entry; empty: to be placed.
    range: PhysRange,
    /// What the place is reserved as.
    kind: RegionKind,
    /// False for a place that this kernel takes no memory for.
    reserved: bool,
}

/// The kind that a node's memory is reserved under.
fn kind(node: &ReservedNode, class: Class) -> RegionKind {
    match class {
        Class::Cma => RegionKind::Cma,
        _ if node.no_map => RegionKind::NoMap,
        _ => RegionKind::Reserved,
    }
}

impl<'a> Attempt<'a> {
    /// Reserves fixed regions and places dynamic ones. Which of them become pools here, and in
    /// which order, is the version's; what is left waits for [`Self::late_pools`].
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
        // Only now, because a pool that is refused must not win over one that is not.
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

    /// The pools that later versions make of fixed regions when the default area is there, and
    /// their lines.
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

    /// The first look at a node: reserves what is fixed. `None` where nothing is left to do.
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

    /// What a node becomes when it lies at `start`: the conditions of `rmem_cma_setup` and
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

    /// True for a pool that says two things which exclude each other, where the version takes it
    /// for a plain region.
    fn is_plain(&self, node: &ReservedNode) -> bool {
        node.reusable && node.no_map && self.linux.reusable_no_map_is_plain
    }

    /// Reserves the ranges of a fixed node; the first of them is what may become a pool. `None`
    /// where it was skipped.
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
                // 6.1 sorts it with the others, and looks for a place for it then, as if it had no
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

    /// Reserves one range of a fixed node, and returns as what. `None`, with a line, where it is in
    /// the way of something that cannot give way.
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
        // RAM that is taken cannot be made no-map: Linux says so, leaves it mapped, and makes the
        // pool all the same.
        if node.no_map && self.is_taken(&range) {
            self.say_not_reserved(node, &range);
            kind = RegionKind::Reserved;
        }
        // Regions that are only kept free may lie over each other, and one that stays mapped even
        // over the kernel; memory that was reserved by the tree's header may be reserved again by a
        // node.
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

    /// True where Linux's list of reserved memory has a part of `range` by now (the tree's header
    /// comes later), and there is RAM under it.
    fn is_taken(&self, range: &PhysRange) -> bool {
        self.memblock.ram().iter().any(|ram| ram.overlaps(range))
            && self.memblock.reserved().iter().any(|region| {
                !matches!(region.kind, RegionKind::NoMap | RegionKind::Memreserve) && region.range.overlaps(range)
            })
    }

    /// A fixed node that nobody will look at again: its place stays reserved, as what it says it
    /// is.
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

    /// Linux's line for regions over each other that both stay; `sorted` by their addresses.
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

    /// Gives a dynamic node its place, and makes of any node what it becomes.
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
                    "debris: Reserved memory: {name}: alloc-ranges cannot be read, so it goes anywhere"
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
        // A blob makes way only for what will stay there.
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

    /// The place in an alloc-range: the highest, but the lowest where the range begins and does not
    /// end at a region that is there, in versions that look at that.
    fn find_in_alloc_range(&self, search: Search) -> Option<u64> {
        let touches = |address: u64| self.regions.iter().any(|(_, region)| touches(region, address));
        let PhysRange { start, end } = search.within;
        if self.linux.grows_from_neighbours && end < ADDRESS_LIMIT && touches(start) && !touches(end) {
            self.memblock.find_lowest(search)
        } else {
            self.memblock.find(search)
        }
    }

    fn has_slot(&self, class: Class) -> bool {
        class != Class::Cma || self.areas.len() < super::MAX_CMA_AREAS
    }

    /// An alloc-range in Linux's arithmetic of 32 bits: an end of 0 is no limit, and one that wraps
    /// leaves no room.
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

/// True where an address lies in a region or at its end (`__reserved_mem_alloc_in_range`).
fn touches(region: &PhysRange, address: u64) -> bool {
    !region.is_empty() && (region.start..=region.end).contains(&address)
}
