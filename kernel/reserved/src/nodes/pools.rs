// SPDX-License-Identifier: MIT OR Apache-2.0

//! Initialising a placed node: makes a CMA area or a device's pool of it, or frees its place
//! (`rmem_cma_setup`, `rmem_dma_setup`).

use alloc::format;
use alloc::string::ToString;

use super::Saved;
use crate::memblock::RegionKind;
use crate::{Attempt, CMA_MIN_ALIGNMENT, MIB, NoArea};
use devicetree::ReservedNode;
use units::PhysRange;
use units::notes::{Refused, Words};

impl Attempt<'_> {
    /// Makes a pool of a placed node, or frees its place: `__reserved_mem_init_node`. Returns false
    /// if it was freed.
    pub(super) fn initialise(&mut self, entry: &Saved<'_>, range: PhysRange) -> bool {
        let node = entry.node;
        if !node.shared_dma_pool || self.is_plain(node) {
            if let Some(compatible) =
                node.compatible.as_deref().filter(|compatible| compatible.starts_with("shared-dma"))
                && !node.shared_dma_pool
            {
                let (name, compatible) = (Words(&node.name), Words(compatible));
                self.notes.warn(format_args!(
                    "debris: Reserved memory: {name}: no pool, because compatible is {compatible}; did you mean shared-dma-pool?"
                ));
            }
            return true;
        }
        let name = Words(&node.name);
        let (areas, beyond_slots, said) = (self.areas.len(), self.beyond_slots, self.notes.count());
        if self.set_up_cma(node, range) || self.set_up_dma(node, range) {
            self.notes.info(format_args!("OF: reserved mem: initialized node {name}, compatible id shared-dma-pool"));
            if self.areas.len() > areas {
                self.say_twin();
            }
            return true;
        }
        self.notes.info(format_args!("OF: reserved mem: node {name} compatible matching fail"));
        if !self.is_bypassed(node) {
            self.refuse_pool(node, range, said);
        }
        self.memblock.release(range, entry.kind);
        if entry.range.is_empty() && node.no_map {
            // Linux makes it mappable again, but never frees it.
            self.reserve(range, RegionKind::Reserved, &node.name);
        }
        if self.beyond_slots > beyond_slots {
            self.say_no_slot();
        }
        false
    }

    /// True if a node is a default area that `cma=` replaces.
    pub(super) fn is_bypassed(&self, node: &ReservedNode) -> bool {
        self.cma_given && node.cma_default
    }

    /// Records that no pool was made of a node. The reason is the first line from number `said` on,
    /// with the range appended if its alignment is the reason.
    fn refuse_pool(&mut self, node: &ReservedNode, range: PhysRange, said: usize) {
        let mut why = self.notes.line(said).unwrap_or_default().to_string();
        if !(range.start | range.end).is_multiple_of(CMA_MIN_ALIGNMENT) && node.reusable && !node.no_map {
            why.push_str(&format!(" ({range} is not on whole multiples of 4 MiB)"));
        }
        self.notes.refuse_because(Refused::Node, &node.name, why);
    }

    /// `rmem_cma_setup`: makes a CMA area of the node; returns true if it did.
    fn set_up_cma(&mut self, node: &ReservedNode, range: PhysRange) -> bool {
        let name = Words(&node.name);
        if self.is_bypassed(node) {
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
                self.notes.error(format_args!("debris: Reserved memory: {name}: size is 0"));
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
            self.notes.warn(format_args!("debris: Reserved memory: {name} replaces {before} as the default area"));
        }
        true
    }

    /// `rmem_dma_setup`: makes a device's pool of the node; returns true if it did.
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
