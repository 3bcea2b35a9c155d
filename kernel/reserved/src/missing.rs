// SPDX-License-Identifier: MIT OR Apache-2.0

//! Areas that devices name and that were not made: the area that a device gets instead, and the
//! amount of RAM that would hold the missing one.
//!
//! Linux reports only that a node was not placed. A driver whose `memory-region` was refused gets
//! -EINVAL (`of_reserved_mem_device_init`); a device that requests an area by `CMA-name` gets the
//! default one.

use alloc::format;
use alloc::vec::Vec;

use super::{Attempt, CMA_MIN_ALIGNMENT, MIB, area_name};
use devicetree::{Facts, Placement, ReservedNode};
use units::PhysRange;
use units::notes::Words;

impl Attempt<'_> {
    /// Writes a line for every area that a device names and that is missing.
    pub(super) fn say_missing(&mut self, facts: &Facts) {
        let default = self.default_area().map(|area| format!("; the default area, {}, stands in", Words(&area.name)));
        let default = default.unwrap_or_default();
        let mut said: Vec<&str> = Vec::new();
        for user in &facts.area_users {
            let name = area_name(&user.area);
            if said.contains(&name) || self.areas.iter().any(|area| area.name == name) {
                continue;
            }
            said.push(name);
            let node = facts.reserved.iter().find(|node| area_name(&node.name) == name);
            let room =
                node.and_then(|node| self.ram_for(node)).map(|mib| format!(", which needs {mib} MiB of RAM or more"));
            let room = room.unwrap_or_default();
            let instead = if user.by_region { "; its driver gets -22 (-EINVAL)" } else { &default };
            let device = Words(&user.device);
            self.notes.warn(format_args!("debris: Reserved memory: {device}: no area {}{room}{instead}", Words(name)));
        }
    }

    /// The least RAM, in MiB, in which a pool would have a place; `None` if RAM is large enough or
    /// the size cannot be determined.
    fn ram_for(&self, node: &ReservedNode) -> Option<u64> {
        let [ram] = self.memblock.ram() else { return None };
        let end = match node.placement()? {
            Placement::Fixed(ranges) => ranges.first().filter(|range| range.start >= ram.start)?.end,
            Placement::Dynamic { size, alignment, alloc_ranges } => {
                let align = CMA_MIN_ALIGNMENT.max(alignment);
                let end_in = |range: &PhysRange| {
                    let start = range.start.max(ram.start).checked_next_multiple_of(align)?;
                    start.checked_add(size).filter(|&end| end <= range.end)
                };
                alloc_ranges.iter().filter_map(end_in).min()?
            }
        };
        (end > ram.end).then(|| (end - ram.start).div_ceil(MIB))
    }
}
