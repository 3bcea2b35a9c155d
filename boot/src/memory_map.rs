// SPDX-License-Identifier: MIT OR Apache-2.0

//! The mapped addresses and their access rights.
//!
//! Mapped first is what the kernel needs to run: the image's parts with their rights, the tree, the
//! devices that every report needs. Once the tree has been read, RAM without the no-map regions and
//! the devices' registers follow. Nothing else is mapped: any other access faults.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use devicetree::Facts;
use units::{PAGE_SIZE, PhysRange};

use crate::board::Devices;
use crate::cpu::mmu::{Access, AddressSpace, OutOfPageTables};
use crate::cpu::{self, image, mappings};

/// Most bytes of one device's register range that are mapped: the board's largest is a flash bank
/// of 64 MiB.
const MAX_DEVICE_BYTES: u64 = 64 << 20;

/// Builds the first tables and switches translation and caches on.
///
/// # Safety
/// Called once, by the entry code, with the MMU off and caches invalidated.
pub(crate) unsafe fn start(tree: Option<PhysRange>) {
    // SAFETY: guaranteed by the caller.
    let mut space = unsafe { AddressSpace::boot() };
    let part = |start: u32, end: u32| PhysRange { start: start.into(), end: end.into() };
    // The image's tables are taken from the pool first, so that they are always available.
    let mut result = space.map(part(image::text_start(), image::text_end()), Access::Text);
    result = result.and(space.map(part(image::rodata_start(), image::rodata_end()), Access::ReadOnly));
    result = result.and(space.map(part(image::data_start(), image::data_end()), Access::Data));
    for stack in image::stacks() {
        result = result.and(space.map(part(stack.guard + image::GUARD_BYTES, stack.top), Access::Data));
    }
    for (range, _) in Devices::known().register_pages() {
        result = result.and(space.map(range, Access::Device));
    }
    result = result.and(space.map(private_peripherals(), Access::Device));
    if let Some(tree) = tree {
        result = result.and(space.map(tree, Access::ReadOnly));
    }
    assert!(result.is_ok(), "the image does not fit its page tables: raise MAX_PAGE_TABLES");
    // SAFETY: image, stacks and devices are mapped; the entry code has invalidated caches and TLB.
    unsafe { space.enable() };
    mappings::adopt(space);
}

/// Maps the registers of the devices that the kernel drives, at the tree's addresses.
pub(crate) fn map_essential_devices(devices: &Devices) {
    mappings::with(|map| {
        for (range, name) in devices.register_pages() {
            if let Err(error) = map.map(range, Access::Device, name) {
                log::error!("{name} at {:#010x}: {error}", range.start);
            }
        }
        map.name(private_peripherals(), "the processor's private peripherals");
    });
}

/// Unmaps the tree; afterwards its memory is mapped like other RAM, or not at all.
pub(crate) fn release_tree(tree: PhysRange) {
    mappings::with(|map| map.space().unmap(tree));
}

/// Maps `ranges` of RAM while `action` runs, before all RAM is mapped.
pub(crate) fn while_mapped(ranges: [PhysRange; 2], action: impl FnOnce()) -> Result<(), OutOfPageTables> {
    mappings::with(|map| {
        let result = ranges.iter().try_for_each(|range| map.space().map(*range, Access::Data));
        if result.is_ok() {
            action();
        }
        ranges.iter().for_each(|range| map.space().unmap(*range));
        result
    })
}

/// Maps RAM, except the no-map regions and the image. Returns the ranges that could not be mapped,
/// which must not be used.
pub(crate) fn map_memory(memory: &[PhysRange], no_map: &[(PhysRange, &str)]) -> Vec<PhysRange> {
    let mut holes: Vec<PhysRange> = no_map.iter().map(|(range, _)| inner_pages(*range)).collect();
    // The image has its own mapping, and guard pages that have to stay unmapped.
    holes.push(whole_pages(image::range()));
    let mut unusable = Vec::new();
    mappings::with(|map| {
        for ((range, name), hole) in no_map.iter().zip(&holes) {
            map.name(*hole, format!("the no-map region {name}"));
            if range.overlaps(&image::range()) {
                log::warn!("the no-map region {name} {range} holds the kernel, which stays mapped");
            }
        }
        for range in memory {
            for piece in without(*range, &holes) {
                if let Err(error) = map.map(piece, Access::Data, "RAM") {
                    log::error!("{piece} is not usable: {error}");
                    unusable.push(piece);
                }
            }
        }
    });
    unusable
}

/// Maps the registers of every device in the tree, except those in RAM or in a no-map region.
pub(crate) fn map_devices(facts: &Facts, no_map: &[(PhysRange, &str)]) {
    let holes: Vec<PhysRange> = no_map.iter().map(|(range, _)| inner_pages(*range)).collect();
    mappings::with(|map| {
        for device in &facts.devices {
            for reg in &device.reg {
                let mut range = *reg;
                if facts.memory.iter().any(|memory| memory.overlaps(&range)) {
                    log::warn!("{}: registers {range} lie in RAM: not mapped", device.path);
                    continue;
                }
                if range.size() > MAX_DEVICE_BYTES {
                    log::warn!("{}: registers {range} are mapped up to MAX_DEVICE_BYTES only", device.path);
                    range.end = range.start + MAX_DEVICE_BYTES;
                }
                for piece in without(range, &holes) {
                    if let Err(error) = map.map(piece, Access::Device, device.path.clone()) {
                        log::error!("{}: registers {piece} are not mapped: {error}", device.path);
                    }
                }
            }
        }
    });
}

fn private_peripherals() -> PhysRange {
    PhysRange::sized(cpu::private_peripherals() as u64, cpu::PRIVATE_PERIPHERALS_BYTES)
}

/// Returns the pages wholly inside `range`: memory that must not be mapped may share its first and
/// last page with memory that must be.
fn inner_pages(range: PhysRange) -> PhysRange {
    let start = range.start.saturating_add(PAGE_SIZE - 1) & !(PAGE_SIZE - 1);
    PhysRange { start, end: (range.end & !(PAGE_SIZE - 1)).max(start) }
}

/// Returns the pages that `range` touches.
fn whole_pages(range: PhysRange) -> PhysRange {
    PhysRange { start: range.start & !(PAGE_SIZE - 1), end: range.end.saturating_add(PAGE_SIZE - 1) & !(PAGE_SIZE - 1) }
}

/// Returns the parts of `range` outside `holes`.
fn without(range: PhysRange, holes: &[PhysRange]) -> Vec<PhysRange> {
    let mut pieces = vec![range];
    for hole in holes.iter().filter(|hole| hole.overlaps(&range)) {
        pieces = pieces
            .into_iter()
            .flat_map(|piece| {
                let below = PhysRange { start: piece.start, end: piece.end.min(hole.start) };
                let above = PhysRange { start: piece.start.max(hole.end), end: piece.end };
                [below, above]
            })
            .filter(|piece| !piece.is_empty())
            .collect();
    }
    pieces
}
