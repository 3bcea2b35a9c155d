// SPDX-License-Identifier: MIT OR Apache-2.0

//! RAM (`/memory`), and the memory reservation block (`/memreserve/`).
//!
//! Follows `early_init_dt_scan_memory` and `early_init_dt_add_memory_arch` (`drivers/of/fdt.c`):
//! children of the root whose `device_type` is `memory`, `linux,usable-memory` before `reg`, whole
//! pages only. Ranges may overlap or touch; the memory map merges them.

use alloc::vec::Vec;

use super::cells::number;
use super::index::{ROOT, Tree};
use super::{MAX_MEMORY_RANGES, MAX_MEMRESERVE};
use units::notes::Notes;
use units::{ADDRESS_LIMIT, PAGE_SIZE, PhysRange};

/// The RAM that this processor can reach, in the tree's order.
pub(super) fn ranges(tree: &Tree<'_>, notes: &mut Notes) -> Vec<PhysRange> {
    let mut ranges = Vec::new();
    let cells = tree.cells(ROOT);
    for node in tree.children(ROOT) {
        if tree.text(node, "device_type") != Some("memory") || !tree.is_available(node) {
            continue;
        }
        let Some(reg) = tree.property(node, "linux,usable-memory").or_else(|| tree.property(node, "reg")) else {
            continue;
        };
        let name = tree.name(node);
        let Some(entry_bytes) = cells.pair_bytes() else {
            notes.error(format_args!("debris: OF: fdt: {name}: unusable #address-cells or #size-cells, ignoring"));
            continue;
        };
        if reg.len() % entry_bytes != 0 {
            notes.warn(format_args!("debris: OF: fdt: {name}: reg ends within a range, ignoring its last bytes"));
        }
        for (base, size) in cells.pairs(reg) {
            // A base or size of more than 64 bits counts as the end of the address space.
            let (base, size) = (base.unwrap_or(u64::MAX), size.unwrap_or(u64::MAX));
            if size == 0 {
                continue;
            }
            let Some(range) = reachable_pages(base, size, notes) else { continue };
            if ranges.len() == MAX_MEMORY_RANGES {
                notes.error(format_args!(
                    "debris: OF: fdt: {name}: {range} ignored: raise MAX_MEMORY_RANGES ({MAX_MEMORY_RANGES})"
                ));
                return ranges;
            }
            ranges.push(range);
        }
    }
    if ranges.is_empty() {
        notes.error(format_args!(
            "debris: OF: fdt: no RAM: no node with device_type = \"memory\" has a page below {ADDRESS_LIMIT:#x}"
        ));
    }
    ranges
}

/// Returns the whole pages of a range below [`ADDRESS_LIMIT`].
fn reachable_pages(base: u64, size: u64, notes: &mut Notes) -> Option<PhysRange> {
    let range = PhysRange::sized(base, size);
    let start = base.checked_next_multiple_of(PAGE_SIZE).unwrap_or(u64::MAX);
    let end = range.end.min(ADDRESS_LIMIT) / PAGE_SIZE * PAGE_SIZE;
    if start >= end {
        notes.warn(format_args!("OF: fdt: Ignoring memory block {:#x} - {:#x}", range.start, range.end));
        return None;
    }
    if range.end > ADDRESS_LIMIT {
        notes.warn(format_args!("OF: fdt: Ignoring memory range {ADDRESS_LIMIT:#x} - {:#x}", range.end));
    }
    Some(PhysRange { start, end })
}

/// Returns the entries of the memory reservation block unchanged. Linux stops at the first empty
/// entry; here it is skipped, and later ones count.
pub(super) fn reservations(entries: &[u8], notes: &mut Notes) -> Vec<PhysRange> {
    let mut ranges = Vec::new();
    for entry in entries.chunks_exact(16) {
        let (base, size) = entry.split_at(8);
        let range = PhysRange::sized(number(base).unwrap_or(u64::MAX), number(size).unwrap_or(u64::MAX));
        if range.is_empty() {
            continue;
        }
        if ranges.len() == MAX_MEMRESERVE {
            notes.error(format_args!(
                "debris: OF: fdt: /memreserve/: {range} ignored: raise MAX_MEMRESERVE ({MAX_MEMRESERVE})"
            ));
            break;
        }
        ranges.push(range);
    }
    ranges
}
