//! The children of `/reserved-memory`: their form, not their placement.
//!
//! As `fdt_scan_reserved_mem` in `drivers/of/fdt.c` and the first half of `__reserved_mem_alloc_size` in
//! `drivers/of/of_reserved_mem.c`, with their words. What depends on RAM, on other regions or on an area's alignment
//! is for `mm::reserved`, and passed on unjudged.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::cells::{Cells, bytes_of, number};
use super::index::{NodeId, ROOT, Tree, strings};
use super::{MAX_NAME_BYTES, MAX_RANGES_PER_NODE, MAX_RESERVED_NODES, Placement, ReservedNode};
use units::PhysRange;
use units::notes::Notes;

/// The node, if there is one, whatever its form.
pub(super) fn parent(tree: &Tree<'_>) -> Option<NodeId> {
    tree.child(ROOT, "reserved-memory")
}

/// The well-formed children, in the tree's order, each with its node.
pub(super) fn nodes(tree: &Tree<'_>, notes: &mut Notes) -> Vec<(NodeId, ReservedNode)> {
    let mut found = Vec::new();
    let Some(parent) = parent(tree) else { return found };
    let cells = tree.cells(ROOT);
    let same_cells = tree.word(parent, "#address-cells") == Some(cells.address)
        && tree.word(parent, "#size-cells") == Some(cells.size)
        && cells.pair_bytes().is_some();
    if !same_cells || !tree.has(parent, "ranges") {
        notes.error("OF: fdt: Reserved memory: unsupported node format, ignoring");
        if !same_cells {
            notes.error(format_args!(
                "Reserved memory: its #address-cells and #size-cells have to be the root's, {} and {}: rewrite the nodes",
                cells.address, cells.size
            ));
        } else {
            notes.error("Reserved memory: it has no `ranges`");
        }
        return found;
    }
    for node in tree.children(parent) {
        // Only the node's own status counts: Linux does not look at that of /reserved-memory.
        if !tree.is_available(node) {
            continue;
        }
        let placement = match tree.property(node, "reg") {
            Some(reg) => fixed(tree, node, reg, cells, notes),
            None => dynamic(tree, node, cells, notes),
        };
        let Some(placement) = placement else { continue };
        if found.len() == MAX_RESERVED_NODES {
            notes.error(format_args!(
                "OF: reserved mem: not enough space for all defined regions. ({} and those after it: raise \
                 MAX_RESERVED_NODES, {MAX_RESERVED_NODES})",
                tree.name(node)
            ));
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
                placement,
                shared_dma_pool: tree.is_compatible(node, "shared-dma-pool"),
                compatible: compatible.map(ToString::to_string),
                reusable: tree.has(node, "reusable"),
                no_map: tree.has(node, "no-map"),
                cma_default: tree.has(node, "linux,cma-default"),
            },
        ));
    }
    found
}

fn fixed(tree: &Tree<'_>, node: NodeId, reg: &[u8], cells: Cells, notes: &mut Notes) -> Option<Placement> {
    let ranges = (!reg.is_empty()).then(|| ranges_in(tree, node, reg, cells, notes)).flatten();
    if ranges.is_none() {
        let name = tree.name(node);
        notes.error(format_args!("OF: fdt: Reserved memory: invalid reg property in '{name}', skipping node."));
    }
    ranges.map(Placement::Fixed)
}

fn dynamic(tree: &Tree<'_>, node: NodeId, cells: Cells, notes: &mut Notes) -> Option<Placement> {
    let name = tree.name(node);
    let Some(size) = tree.property(node, "size") else {
        notes.warn(format_args!("OF: fdt: Reserved memory: neither reg nor size in '{name}', skipping node."));
        return None;
    };
    let Some(size) = whole_number(size, cells.size) else {
        notes.error(format_args!("OF: reserved mem: invalid size property in '{name}' node."));
        return None;
    };
    let alignment = match tree.property(node, "alignment") {
        // An alignment is as many cells as an address, in Linux's code as in the specification's example.
        Some(value) => match whole_number(value, cells.address) {
            Some(alignment) => alignment,
            None => {
                notes.error(format_args!("OF: reserved mem: invalid alignment property in '{name}' node."));
                return None;
            }
        },
        None => 0,
    };
    let alloc_ranges = match tree.property(node, "alloc-ranges") {
        Some([]) => {
            // Present and empty: there is nowhere to look.
            notes.error(format_args!(
                "OF: reserved mem: failed to allocate memory for node '{name}': size {} MiB",
                size >> 20
            ));
            return None;
        }
        Some(value) => match ranges_in(tree, node, value, cells, notes) {
            Some(ranges) => ranges,
            None => {
                notes
                    .error(format_args!("OF: reserved mem: invalid alloc-ranges property in '{name}', skipping node."));
                return None;
            }
        },
        None => Vec::new(),
    };
    Some(Placement::Dynamic { size, alignment, alloc_ranges })
}

/// All of `value` as one number of exactly `cells` cells.
fn whole_number(value: &[u8], cells: u32) -> Option<u64> {
    (bytes_of(cells) == Some(value.len())).then(|| number(value)).flatten()
}

/// All of `value` as ranges; `None` where its length or a number is wrong.
fn ranges_in(tree: &Tree<'_>, node: NodeId, value: &[u8], cells: Cells, notes: &mut Notes) -> Option<Vec<PhysRange>> {
    let count = value.len() / cells.pair_bytes().filter(|bytes| value.len().is_multiple_of(*bytes))?;
    if count > MAX_RANGES_PER_NODE {
        let name = tree.name(node);
        notes.error(format_args!(
            "OF: fdt: Reserved memory: {count} ranges in '{name}', only the first {MAX_RANGES_PER_NODE} count (raise \
             MAX_RANGES_PER_NODE)"
        ));
    }
    let pairs = cells.pairs(value).take(MAX_RANGES_PER_NODE);
    pairs.map(|(base, size)| Some(PhysRange::sized(base?, size?))).collect()
}
