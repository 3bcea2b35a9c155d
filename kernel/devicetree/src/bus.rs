// SPDX-License-Identifier: MIT OR Apache-2.0

//! Translates an address on a device's bus to the processor's, through every `ranges` above it.
//!
//! Does what `of_translate_address` in Linux's `drivers/of/address.c` does: no `ranges`, no
//! translation; empty `ranges`, the same address; else the first entry that contains the address,
//! with each bus's own cell counts. An address of two cells, such as a chip select and an offset,
//! is one number of 64 bits.

use super::cells::{bytes_of, number};
use super::index::{NodeId, ROOT, Tree};

/// Returns the processor's address for `address` on the bus whose controller is `bus`.
pub(super) fn translate(tree: &Tree<'_>, bus: NodeId, address: u64) -> Option<u64> {
    let (mut bus, mut address) = (bus, address);
    while bus != ROOT {
        let outer = tree.parent(bus);
        let ranges = tree.wiring(bus).ranges?;
        if !ranges.is_empty() {
            address = through(tree, bus, outer, ranges, address)?;
        }
        bus = outer;
    }
    Some(address)
}

fn through(tree: &Tree<'_>, bus: NodeId, outer: NodeId, ranges: &[u8], address: u64) -> Option<u64> {
    let child_bytes = bytes_of(tree.cells(bus).address)?;
    let parent_bytes = bytes_of(tree.cells(outer).address)?;
    let size_bytes = bytes_of(tree.cells(bus).size)?;
    for entry in ranges.chunks_exact(child_bytes + parent_bytes + size_bytes) {
        if !tree.step() {
            return None;
        }
        let (child, rest) = entry.split_at(child_bytes);
        let (parent, size) = rest.split_at(parent_bytes);
        let (Some(child), Some(parent), Some(size)) = (number(child), number(parent), number(size)) else { continue };
        if let Some(offset) = address.checked_sub(child).filter(|&offset| offset < size) {
            return parent.checked_add(offset);
        }
    }
    None
}
