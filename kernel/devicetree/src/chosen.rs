// SPDX-License-Identifier: MIT OR Apache-2.0

//! `/chosen` and `/aliases`: the boot loader's settings.
//!
//! Follows `early_init_dt_scan_chosen` and `of_alias_scan` (`drivers/of/fdt.c` and `base.c`).

use alloc::string::String;
use alloc::vec::Vec;

use super::MAX_BOOTARGS_BYTES;
use super::cells::number;
use super::index::{NodeId, ROOT, Tree};
use units::notes::Notes;
use units::{ADDRESS_LIMIT, PhysRange};

/// Linux's limit of the same name.
const MAX_USABLE_RANGES: usize = 2;

/// Finds `/chosen`, also with a unit address.
pub(super) fn node(tree: &Tree<'_>) -> Option<NodeId> {
    tree.child(ROOT, "chosen")
}

/// `bootargs` up to its end or its first NUL; `None` if it is absent or empty.
pub(super) fn bootargs(tree: &Tree<'_>, chosen: NodeId, notes: &mut Notes) -> Option<String> {
    let value = tree.property(chosen, "bootargs")?;
    let end = value.iter().position(|&byte| byte == 0).unwrap_or(value.len());
    if end > MAX_BOOTARGS_BYTES {
        notes.error(format_args!(
            "debris: OF: fdt: bootargs: only the first {MAX_BOOTARGS_BYTES} of {end} bytes count (raise MAX_BOOTARGS_BYTES)"
        ));
    }
    let bytes = &value[..end.min(MAX_BOOTARGS_BYTES)];
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned())
}

/// `linux,initrd-start` and `-end`, each of one cell or two.
pub(super) fn initrd(tree: &Tree<'_>, chosen: NodeId, notes: &mut Notes) -> Option<PhysRange> {
    let start = tree.property(chosen, "linux,initrd-start")?;
    let end = tree.property(chosen, "linux,initrd-end")?;
    let address = |value: &[u8]| if matches!(value.len(), 4 | 8) { number(value) } else { None };
    let (Some(start), Some(end)) = (address(start), address(end)) else {
        notes.error("debris: OF: fdt: linux,initrd-start or -end is neither one cell nor two: initrd ignored");
        return None;
    };
    if start >= end || end > ADDRESS_LIMIT {
        notes.error(format_args!("debris: OF: fdt: no initrd can lie from {start:#x} to {end:#x}: ignored"));
        return None;
    }
    Some(PhysRange { start, end })
}

/// `linux,usable-memory-range`, in the root's cells; Linux reads at most two ranges.
pub(super) fn usable_memory(tree: &Tree<'_>, chosen: NodeId) -> Vec<PhysRange> {
    let value = tree.property(chosen, "linux,usable-memory-range").unwrap_or(&[]);
    let pairs = tree.cells(ROOT).pairs(value).take(MAX_USABLE_RANGES);
    pairs.filter_map(|(base, size)| Some(PhysRange::sized(base?, size?))).collect()
}

/// Finds the node that `stdout-path` names: a path, or an alias that a path may follow; options
/// after a colon are ignored.
pub(super) fn stdout(tree: &Tree<'_>, chosen: NodeId, notes: &mut Notes) -> Option<NodeId> {
    let property = ["stdout-path", "linux,stdout-path"].into_iter().find(|name| tree.has(chosen, name))?;
    let Some(path) = tree.text(chosen, property) else {
        notes.error(format_args!("debris: OF: {property} is not a string: ignored"));
        return None;
    };
    let path = path.split_once(':').map_or(path, |(path, _options)| path);
    let node = if path.starts_with('/') {
        tree.by_path(path)
    } else {
        let (alias, below) = path.split_once('/').unwrap_or((path, ""));
        let aliases = tree.child(ROOT, "aliases");
        let target = aliases.and_then(|aliases| tree.text(aliases, alias)).and_then(|path| tree.by_path(path));
        target.and_then(|target| tree.by_path_below(target, below))
    };
    if node.is_none() {
        notes.error(format_args!("debris: OF: {property} names no node: '{}'", shortened(path)));
    }
    node
}

/// Cuts a tree's string for a line of the log.
fn shortened(text: &str) -> &str {
    text.get(..super::MAX_NAME_BYTES).unwrap_or(text)
}
