// SPDX-License-Identifier: MIT OR Apache-2.0

//! Devices with registers, and devices that name an area.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::index::{NodeId, ROOT, Tree, strings};
use super::validate::{is_name_byte, word};
use super::{AreaUser, Device, ReservedNode, bus, interrupts};
use super::{MAX_AREA_USERS, MAX_COMPATIBLE, MAX_DEVICES, MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_RANGES_PER_NODE};
use units::notes::{Notes, Refused};
use units::{ADDRESS_LIMIT, PhysRange};

/// Finds every enabled node with registers that the processor can reach, except memory and the
/// children of `reserved`.
pub(super) fn devices(tree: &Tree<'_>, reserved: Option<NodeId>, notes: &mut Notes) -> Vec<(NodeId, Device)> {
    let mut found = Vec::new();
    let mut lost = interrupts::Lost::default();
    for node in tree.nodes() {
        let Some(reg) = tree.property(node, "reg") else { continue };
        let parent = tree.parent(node);
        if !tree.is_enabled(node)
            || Some(parent) == reserved
            || (parent == ROOT && tree.text(node, "device_type") == Some("memory"))
        {
            continue;
        }
        let reg = registers(tree, node, reg, notes);
        if reg.is_empty() {
            continue;
        }
        let Some(path) = tree.path(node) else {
            let name = tree.name(node);
            notes.warn(format_args!(
                "debris: OF: {name}: path too long, device ignored (raise MAX_PATH_BYTES, {MAX_PATH_BYTES})"
            ));
            continue;
        };
        if found.len() == MAX_DEVICES {
            notes.warn(format_args!(
                "debris: OF: {path} and devices after it ignored: raise MAX_DEVICES ({MAX_DEVICES})"
            ));
            break;
        }
        let interrupts = interrupts::of_device(tree, node, &path, &mut lost);
        let compatible = tree.property(node, "compatible").into_iter().flat_map(strings);
        let compatible = compatible.filter(|text| text.len() <= MAX_NAME_BYTES).take(MAX_COMPATIBLE);
        found.push((node, Device { path, compatible: compatible.map(ToString::to_string).collect(), reg, interrupts }));
    }
    lost.say(notes);
    found
}

/// Returns the node's register ranges as processor addresses, without unreachable ones.
fn registers(tree: &Tree<'_>, node: NodeId, reg: &[u8], notes: &mut Notes) -> Vec<PhysRange> {
    let bus = tree.parent(node);
    let mut found = Vec::new();
    for (address, size) in tree.cells(bus).pairs(reg).take(MAX_RANGES_PER_NODE) {
        let (Some(address), Some(size)) = (address, size) else { continue };
        let Some(start) = bus::translate(tree, bus, address) else { continue };
        let range = PhysRange::sized(start, size);
        if range.end > ADDRESS_LIMIT {
            notes.warn(format_args!("debris: OF: {}: registers at {range} ignored: above 4 GiB", tree.name(node)));
        } else if !range.is_empty() {
            found.push(range);
        }
    }
    found
}

/// Finds every enabled device that names an area: by `CMA-name`, or by the phandle of a reusable
/// pool in `memory-region`. The area may still not be made. Regions of other kinds, such as video
/// memory, are not areas.
pub(super) fn area_users(tree: &Tree<'_>, reserved: &[(NodeId, ReservedNode)], notes: &mut Notes) -> Vec<AreaUser> {
    let mut found = Vec::new();
    let mut full = false;
    for node in tree.nodes().filter(|&node| tree.is_enabled(node)) {
        let name = tree.name(node);
        let mut take = |area: &str, by_region: bool, notes: &mut Notes| {
            if found.len() < MAX_AREA_USERS {
                found.push(AreaUser { device: name.to_string(), area: area.to_string(), by_region });
            } else if !full {
                full = true;
                notes.warn(format_args!(
                    "debris: OF: {name}: its area and those after it ignored: raise MAX_AREA_USERS ({MAX_AREA_USERS})"
                ));
            }
        };
        if tree.has(node, "CMA-name") {
            match tree.text(node, "CMA-name").filter(|area| is_area_name(area)) {
                Some(area) => take(area, false, notes),
                None => {
                    notes.error(format_args!("debris: OF: {name}: CMA-name is not the name of a node: ignored"));
                    notes.refuse(Refused::Node, name);
                }
            }
        }
        let regions = tree.property(node, "memory-region").unwrap_or(&[]);
        if regions.len() / 4 > MAX_AREA_USERS {
            notes.warn(format_args!(
                "debris: OF: {name}: only {MAX_AREA_USERS} memory-regions count (raise MAX_AREA_USERS)"
            ));
        }
        for phandle in regions.chunks(4).take(MAX_AREA_USERS) {
            let target = word(phandle).and_then(|phandle| tree.by_phandle(phandle));
            let known = reserved.iter().find(|(id, node)| Some(*id) == target && node.wants_memory());
            match (target, known) {
                (_, Some((_, area))) if area.shared_dma_pool && area.reusable => take(&area.name, true, notes),
                (_, Some(_)) => {}
                (Some(target), None) => {
                    notes.warn(format_args!(
                        "debris: OF: {name}: memory-region {} is not reserved memory: ignored",
                        tree.name(target)
                    ));
                }
                (None, None) => {
                    notes.error(format_args!("debris: OF: {name}: memory-region names no node: ignored"));
                    notes.refuse(Refused::Node, name);
                }
            }
        }
    }
    found
}

fn is_area_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_name_byte)
}
