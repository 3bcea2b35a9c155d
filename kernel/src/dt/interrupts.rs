//! From a device's `interrupts` to identifiers of the GIC.
//!
//! As `of_irq_parse_one` and `of_irq_parse_raw` in Linux's `drivers/of/irq.c`: `interrupts-extended` before
//! `interrupts`; the interrupt parent is inherited; a parent with an `interrupt-map` is a nexus, which says for an
//! address and a specifier (under `interrupt-map-mask`) who is next and with what specifier. Where Linux would go
//! round in circles for ever, this gives up after [`MAX_HOPS`].

use alloc::vec::Vec;

use super::MAX_INTERRUPTS;
use super::index::{NodeId, ROOT, Tree};
use super::validate::word;

/// The longest way from a device to its controller, in nodes.
const MAX_HOPS: usize = 32;
/// The most cells an interrupt specifier may have, Linux's `MAX_PHANDLE_ARGS`.
const MAX_SPECIFIER_CELLS: u32 = 16;

/// The interrupts that reach a GIC, and how many do not.
pub(super) fn of_device(tree: &Tree<'_>, device: NodeId) -> (Vec<u32>, usize) {
    let (mut found, mut lost) = (Vec::new(), 0);
    let mut take = |controller: Option<NodeId>, specifier: &[u8]| match controller
        .and_then(|controller| resolve(tree, device, controller, specifier))
    {
        Some(id) if found.len() < MAX_INTERRUPTS => found.push(id),
        _ => lost += 1,
    };
    if let Some(mut rest) = tree.property(device, "interrupts-extended") {
        while let Some(controller) = word(rest).and_then(|phandle| tree.by_phandle(phandle)) {
            let Some(bytes) = specifier_bytes(tree, controller) else { break };
            let Some((specifier, after)) = rest[4..].split_at_checked(bytes) else { break };
            take(Some(controller), specifier);
            rest = after;
        }
        if !rest.is_empty() {
            take(None, &[]);
        }
    } else if let Some(value) = tree.property(device, "interrupts").filter(|value| !value.is_empty()) {
        match parent_of(tree, device).and_then(|parent| Some((parent, specifier_bytes(tree, parent)?))) {
            Some((parent, bytes)) => {
                let specifiers = value.chunks_exact(bytes);
                if !specifiers.remainder().is_empty() {
                    take(None, &[]);
                }
                specifiers.for_each(|specifier| take(Some(parent), specifier));
            }
            None => take(None, &[]),
        }
    }
    (found, lost)
}

/// Bytes of a specifier for this controller or nexus.
fn specifier_bytes(tree: &Tree<'_>, controller: NodeId) -> Option<usize> {
    let cells = tree.word(controller, "#interrupt-cells")?;
    (1..=MAX_SPECIFIER_CELLS).contains(&cells).then_some(cells as usize * 4)
}

/// Who takes the interrupts of `node`: by `interrupt-parent`, its own or inherited, or the nearest node above that has
/// `#interrupt-cells`.
fn parent_of(tree: &Tree<'_>, node: NodeId) -> Option<NodeId> {
    let mut node = node;
    for _ in 0..MAX_HOPS {
        node = match tree.word(node, "interrupt-parent") {
            Some(phandle) => tree.by_phandle(phandle)?,
            None if node == ROOT => return None,
            None => tree.parent(node),
        };
        if tree.has(node, "#interrupt-cells") {
            return Some(node);
        }
    }
    None
}

/// Follows a specifier through every nexus to the GIC.
fn resolve(tree: &Tree<'_>, device: NodeId, controller: NodeId, specifier: &[u8]) -> Option<u32> {
    // What a nexus compares: at first the device's own address, untranslated.
    let mut address = tree.property(device, "reg").unwrap_or(&[]);
    let (mut controller, mut specifier) = (controller, specifier);
    for _ in 0..MAX_HOPS {
        match tree.property(controller, "interrupt-map") {
            Some(map) => {
                let next = through(tree, controller, map, address, specifier)?;
                if next.controller == controller {
                    return None;
                }
                (controller, address, specifier) = (next.controller, next.address, next.specifier);
            }
            None if tree.has(controller, "interrupt-controller") => return gic_id(specifier),
            None => controller = parent_of(tree, controller)?,
        }
    }
    None
}

struct Next<'a> {
    controller: NodeId,
    address: &'a [u8],
    specifier: &'a [u8],
}

/// The first entry of a nexus's map that fits. An entry is: address and specifier below, controller, address and
/// specifier there, the last two as long as that controller says.
fn through<'a>(tree: &Tree<'a>, nexus: NodeId, map: &'a [u8], address: &[u8], specifier: &[u8]) -> Option<Next<'a>> {
    let address_cells = tree.cells(nexus).address;
    if address_cells > MAX_SPECIFIER_CELLS || specifier_bytes(tree, nexus)? != specifier.len() {
        return None;
    }
    let address_bytes = address_cells as usize * 4;
    let mask = tree.property(nexus, "interrupt-map-mask").unwrap_or(&[]);
    // A device's address can be shorter than the nexus's: what is missing is zero.
    let wanted = |at: usize| match at.checked_sub(address_bytes) {
        Some(at) => specifier.get(at).copied().unwrap_or(0),
        None => address.get(at).copied().unwrap_or(0),
    };
    let mut rest = map;
    while !rest.is_empty() && tree.step() {
        let (child, after) = rest.split_at_checked(address_bytes + specifier.len())?;
        let controller = tree.by_phandle(word(after)?)?;
        let there = tree.word(controller, "#address-cells").unwrap_or(0);
        let there = (there <= MAX_SPECIFIER_CELLS).then_some(there as usize * 4)?;
        let (parent_address, after) = after[4..].split_at_checked(there)?;
        let (parent_specifier, after) = after.split_at_checked(specifier_bytes(tree, controller)?)?;
        let fits = |(at, byte): (usize, &u8)| (byte ^ wanted(at)) & mask.get(at).copied().unwrap_or(0xff) == 0;
        if tree.is_available(controller) && child.iter().enumerate().all(fits) {
            return Some(Next { controller, address: parent_address, specifier: parent_specifier });
        }
        rest = after;
    }
    None
}

/// The identifier that a GIC's three cells (type, number, flags) name: SPI n is 32 + n, PPI n is 16 + n.
fn gic_id(specifier: &[u8]) -> Option<u32> {
    let [kind, number] = [word(specifier)?, word(specifier.get(4..)?)?];
    match (specifier.len(), kind) {
        (12, 0) if number < 988 => Some(32 + number),
        (12, 1) if number < 16 => Some(16 + number),
        _ => None,
    }
}
