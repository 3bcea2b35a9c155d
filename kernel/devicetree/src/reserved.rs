// SPDX-License-Identifier: MIT OR Apache-2.0

//! The children of `/reserved-memory`: reads their properties, but does not place them.
//!
//! A property is absent, malformed or a value. The caller places the nodes; it decides what each
//! form means in a version of Linux, and everything that depends on RAM, on other regions or on an
//! area's alignment.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::cells::{Cells, bytes_of, number};
use super::index::{NodeId, ROOT, Tree, strings};
use super::{MAX_NAME_BYTES, MAX_RANGES_PER_NODE, MAX_RESERVED_NODES, Property, ReservedNode};
use units::PhysRange;
use units::notes::{Notes, Refused};

/// Returns the node `/reserved-memory`, if there is one, in any form.
pub(super) fn parent(tree: &Tree<'_>) -> Option<NodeId> {
    tree.child(ROOT, "reserved-memory")
}

/// Reads the children, in the tree's order. `Err` is the reason why none can be read.
pub(super) fn nodes(tree: &Tree<'_>, notes: &mut Notes) -> Result<Vec<(NodeId, ReservedNode)>, String> {
    let mut found = Vec::new();
    let Some(parent) = parent(tree) else { return Ok(found) };
    let cells = tree.cells(ROOT);
    let same_cells = tree.word(parent, "#address-cells") == Some(cells.address)
        && tree.word(parent, "#size-cells") == Some(cells.size)
        && cells.pair_bytes().is_some();
    if !same_cells {
        return Err(format!(
            "its #address-cells and #size-cells have to be the root's, {} and {}: rewrite the nodes",
            cells.address, cells.size
        ));
    }
    if !tree.has(parent, "ranges") {
        return Err("it has no `ranges`".to_string());
    }
    for node in tree.children(parent) {
        // Only the node's own status counts: Linux ignores that of /reserved-memory.
        if !tree.is_available(node) {
            continue;
        }
        if found.len() == MAX_RESERVED_NODES {
            notes.error(format_args!(
                "debris: Reserved memory: {} and those after it ignored: raise MAX_RESERVED_NODES, {MAX_RESERVED_NODES}",
                tree.name(node)
            ));
            notes.refuse(Refused::Node, tree.name(node));
            break;
        }
        let compatible = tree
            .property(node, "compatible")
            .and_then(|value| strings(value).next())
            .filter(|id| id.len() <= MAX_NAME_BYTES);
        found.push((
            node,
            ReservedNode {
                name: tree.name(node).to_string(),
                phandle: tree.word(node, "phandle").or_else(|| tree.word(node, "linux,phandle")),
                reg: ranges(tree, node, "reg", cells, notes),
                size: whole_number(tree, node, "size", cells.size),
                // An alignment has as many cells as an address, in Linux's code and in the
                // specification's example.
                alignment: whole_number(tree, node, "alignment", cells.address),
                alloc_ranges: ranges(tree, node, "alloc-ranges", cells, notes),
                shared_dma_pool: tree.is_compatible(node, "shared-dma-pool"),
                compatible: compatible.map(ToString::to_string),
                reusable: tree.has(node, "reusable"),
                no_map: tree.has(node, "no-map"),
                cma_default: tree.has(node, "linux,cma-default"),
            },
        ));
    }
    Ok(found)
}

/// Reads a property that is one number of exactly `cells` cells.
fn whole_number(tree: &Tree<'_>, node: NodeId, property: &str, cells: u32) -> Property<u64> {
    match tree.property(node, property) {
        None => Property::Absent,
        Some(value) if bytes_of(cells) == Some(value.len()) => number(value).map_or(Property::Malformed, Property::Is),
        Some(_) => Property::Malformed,
    }
}

/// Reads a property that is a list of ranges, which may be empty.
fn ranges(tree: &Tree<'_>, node: NodeId, property: &str, cells: Cells, notes: &mut Notes) -> Property<Vec<PhysRange>> {
    let Some(value) = tree.property(node, property) else { return Property::Absent };
    let Some(bytes) = cells.pair_bytes().filter(|bytes| value.len().is_multiple_of(*bytes)) else {
        return Property::Malformed;
    };
    let count = value.len() / bytes;
    if count > MAX_RANGES_PER_NODE {
        notes.error(format_args!(
            "debris: Reserved memory: {}: {count} ranges in {property}, only the first {MAX_RANGES_PER_NODE} count (raise \
             MAX_RANGES_PER_NODE)",
            tree.name(node)
        ));
    }
    let pairs = cells.pairs(value).take(MAX_RANGES_PER_NODE);
    let ranges: Option<Vec<_>> = pairs.map(|(base, size)| Some(PhysRange::sized(base?, size?))).collect();
    ranges.map_or(Property::Malformed, Property::Is)
}
