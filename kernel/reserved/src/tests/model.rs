// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random trees like those of `tests/data/trees` against a plain model, where a rule is clear: the
//! places of dynamic regions among fixed ones, the fixed ones that become pools, and the order of
//! the log's lines.

use proptest::prelude::*;

use super::*;
use crate::heap_order;

/// A node, and its class.
#[derive(Clone, Debug)]
struct Made {
    node: ReservedNode,
    /// A CMA area.
    is_cma: bool,
    /// A pool for one device.
    is_dma: bool,
}

/// Sets the kind of a region: area, device's pool, no-map or plain.
fn of_kind(kind: usize, node: ReservedNode) -> Made {
    let node = match kind {
        0 | 1 => cma(node),
        2 => dma(node),
        3 => no_map(node),
        _ => node,
    };
    Made { node, is_cma: kind < 2, is_dma: kind == 2 }
}

/// Nodes that are all of valid form: fixed ones that do not overlap, and dynamic ones with
/// alignments and up to two alloc-ranges.
fn any_nodes() -> impl Strategy<Value = Vec<Made>> {
    let one = (0usize..5, 1u64..9, prop::option::weighted(0.5, 0u64..4), 20u32..27, ranges(), any::<bool>());
    (prop::collection::vec(one, 1..9), prop::collection::vec(any::<bool>(), 9), 0usize..12).prop_map(
        |(parts, is_fixed, with_default)| {
            let mut nodes: Vec<Made> = Vec::new();
            for (index, (kind, blocks, place, align, ranges, aligns)) in parts.into_iter().enumerate() {
                let name = format!("r{index}");
                let node = match place.filter(|_| is_fixed[index]) {
                    // 64 MiB apart, clear of the image and the blobs.
                    Some(offset) => fixed(&name, 0x7000_0000 + index as u64 * 64 * M + offset * 8 * M, blocks * 4 * M),
                    None if aligns => aligned(dynamic(&name, blocks * 4 * M, &ranges), 1 << align),
                    None => dynamic(&name, blocks * 4 * M, &ranges),
                };
                nodes.push(of_kind(kind, node));
            }
            // Of two default nodes, the last in Linux's order becomes the default area.
            for index in [with_default, with_default / 2] {
                if let Some(made) = nodes.get_mut(index).filter(|made| made.is_cma) {
                    made.node.cma_default = true;
                }
            }
            nodes
        },
    )
}

/// alloc-ranges as (start, size): none, one or two, some without RAM, some too small.
fn ranges() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let one = (0x580u64..0xa80, 1u64..512).prop_map(|(mib, size)| (mib * M, size * M));
    prop::collection::vec(one, 0..3)
}

/// Finds the highest place of `size` bytes in `within` that is free RAM, by trying every one.
fn highest(free: impl Fn(&PhysRange) -> bool, size: u64, align: u64, within: &PhysRange) -> Option<u64> {
    let end = within.end.min(RAM.end);
    let lowest = within.start.max(RAM.start);
    let mut start = end.checked_sub(size)? / align * align;
    while start >= lowest {
        if free(&PhysRange::sized(start, size)) {
            return Some(start);
        }
        start = start.checked_sub(align)?;
    }
    None
}

/// The places of the dynamic nodes, in the order of placement; ends with `None` for one without a
/// place beside the blobs, after which the model predicts nothing.
fn places(case: &Case, nodes: &[Made], version: LinuxVersion) -> Vec<(String, Option<u64>)> {
    let mut taken: Vec<PhysRange> = case.before.reserved().iter().map(|region| region.range).collect();
    let fixed = nodes.iter().filter_map(|made| made.node.reg.value()?.first().copied());
    taken.extend(fixed);
    let mut order: Vec<&ReservedNode> = case.facts.reserved.iter().collect();
    let key = |node: &&ReservedNode| {
        node.reg.value().and_then(|reg| reg.first()).map_or((0, 0), |range| (range.start, range.size()))
    };
    if version.differences().sorts_regions {
        heap_order::sort_by_key(&mut order, key);
    }
    let mut places = Vec::new();
    for node in order.into_iter().filter(|node| !node.reg.is_present()) {
        let size = node.size.value().copied().unwrap_or(0);
        let asked = node.alignment.value().copied().unwrap_or(0);
        let is_area = node.reusable && node.shared_dma_pool;
        let align = asked.max(if is_area { CMA_MIN_ALIGNMENT } else { 64 });
        let anywhere = vec![PhysRange { start: 0, end: u64::MAX }];
        let ranges = node.alloc_ranges.value().cloned().filter(|ranges| !ranges.is_empty()).unwrap_or(anywhere);
        let free = |range: &PhysRange| taken.iter().all(|other| !other.overlaps(range));
        // Reservations begin at multiples of 64 KiB, and so do the regions placed below them.
        let step = align.max(0x1_0000);
        let place = ranges.iter().find_map(|range| highest(free, size, step, range));
        places.push((node.name.clone(), place));
        let Some(start) = place else { return places };
        taken.push(PhysRange::sized(start, size));
    }
    places
}

proptest! {
    #![proptest_config(property::config(1500))]

    #[test]
    fn dynamic_regions_go_where_the_model_says(
        nodes in any_nodes(),
        version in prop::sample::select(LinuxVersion::ALL.to_vec()),
    ) {
        let mut nodes = nodes;
        nodes.iter_mut().for_each(|made| made.node.cma_default = false);
        if !version.differences().sorts_regions {
            // Later versions fill a range upwards if it begins at a region.
            nodes.iter_mut().for_each(|made| made.node.alloc_ranges = Property::Absent);
        }
        let reserved = nodes.iter().map(|made| made.node.clone()).collect();
        let case = Case::new(reserved, &format!("cma=0 linux={version}"));
        for (name, place) in places(&case, &nodes, version) {
            let found = case.memblock.reserved().iter().find(|region| region.name == name);
            match place {
                Some(start) => {
                    let Some(made) = nodes.iter().find(|made| made.node.name == name) else { continue };
                    let size = made.node.size.value().copied().unwrap_or(0);
                    // The ninth area's place is freed.
                    let full = made.is_cma && case.placed.areas.len() == MAX_CMA_AREAS;
                    prop_assert!(found.is_some() || full, "{}: {:?}", name, case.placed);
                    if let Some(found) = found {
                        prop_assert_eq!(found.range, PhysRange::sized(start, size), "{}: {:?}", name, case.placed);
                    }
                }
                // A blob was moved, or there is a line.
                None => {
                    let line = format!("failed to allocate memory for node '{name}'");
                    let moved = found.is_some() && !case.placed.moves.is_empty();
                    prop_assert!(moved || case.lines().iter().any(|text| text.contains(&line)), "{}: {:?}", name, case.placed);
                }
            }
        }
    }

    /// Fixed pools that nothing overlaps are placed at their `reg`; each pool has its line.
    #[test]
    fn the_log_tells_of_each_pool_once_and_in_order(
        nodes in any_nodes(),
        version in prop::sample::select(LinuxVersion::ALL.to_vec()),
    ) {
        let reserved = nodes.iter().map(|made| made.node.clone()).collect();
        let case = Case::new(reserved, &format!("linux={version}"));
        let mut lines = case.other_lines();
        lines.retain(|line| !line.starts_with("debris: "));
        let mut told: Vec<&str> = Vec::new();
        let mut fixed_told = Vec::new();
        for pair in lines.windows(2) {
            let Some(made) = pair[0].strip_prefix("Reserved memory: created ") else { continue };
            let (kind, place) = made.split_once(" memory pool at ").expect("Linux's words");
            let name = pair[1].strip_prefix("OF: reserved mem: initialized node ");
            let name = name.and_then(|rest| rest.split(',').next());
            prop_assert!(name.is_some(), "the next line is of another pool: {lines:#?}");
            let name = name.unwrap_or_default();
            prop_assert!(!told.contains(&name), "{name} twice in {lines:#?}");
            told.push(name);
            let of = nodes.iter().find(|made| made.node.name == name).expect("a node of the tree");
            prop_assert_eq!((kind == "CMA", kind == "DMA"), (of.is_cma, of.is_dma), "{}: {:#?}", name, lines);
            let start = place.split(',').next().and_then(|start| u64::from_str_radix(start.trim_start_matches("0x"), 16).ok());
            let start = start.expect("an address");
            if let Some(reg) = of.node.reg.value() {
                prop_assert_eq!(start, reg[0].start);
                fixed_told.push(start);
            }
            let area = case.placed.areas.iter().find(|area| area.name == name);
            prop_assert_eq!(area.map(|area| area.range.start), of.is_cma.then_some(start));
        }
        let areas = told.iter().filter(|name| nodes.iter().any(|made| made.node.name == **name && made.is_cma)).count();
        // Later versions make a default area that was not requested before fixed pools, one of
        // which may replace it.
        let own = case.placed.areas.iter().filter(|area| area.name != DEFAULT_AREA);
        prop_assert_eq!(areas, own.clone().count());
        // Names ascend with addresses, in every order that occurs.
        prop_assert!(fixed_told.is_sorted(), "{lines:#?}");
        for made in nodes.iter().filter(|made| made.node.reg.is_present() && (made.is_cma || made.is_dma)) {
            let full = made.is_cma && case.placed.areas.len() == MAX_CMA_AREAS;
            prop_assert!(full || told.contains(&made.node.name.as_str()), "{:?}: {lines:#?}", made.node);
        }
        // The last default node in the log's order is the default area.
        let is_default = |name: &&str| nodes.iter().any(|made| made.node.name == **name && made.node.cma_default);
        let last = told.iter().rfind(|name| is_default(name));
        let default = own.clone().find(|area| area.default).map(|area| area.name.as_str());
        prop_assert_eq!(default, last.copied(), "{:#?}", lines);
    }
}
