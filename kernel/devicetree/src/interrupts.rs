// SPDX-License-Identifier: MIT OR Apache-2.0

//! Translates a device's `interrupts` to identifiers of the GIC.
//!
//! Does what `of_irq_parse_one` and `of_irq_parse_raw` in Linux's `drivers/of/irq.c` do:
//! `interrupts-extended` before `interrupts`; the interrupt parent is inherited; a parent with an
//! `interrupt-map` is a nexus, which maps an address and a specifier (under `interrupt-map-mask`)
//! to the next controller and the specifier there. Linux would loop endlessly on a circle; this
//! gives up after [`MAX_HOPS`].

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::MAX_INTERRUPTS;
use super::index::{NodeId, ROOT, Tree};
use super::validate::word;
use units::notes::Notes;

/// Maximum number of nodes from a device to its controller.
const MAX_HOPS: usize = 32;
/// Maximum number of cells of an interrupt specifier, Linux's `MAX_PHANDLE_ARGS`.
const MAX_SPECIFIER_CELLS: u32 = 16;

/// Devices with the same problem: their number, and the first one's path.
#[derive(Default)]
struct Devices {
    count: usize,
    first: String,
}

impl Devices {
    fn add(&mut self, path: &str) {
        if self.count == 0 {
            self.first = path.to_string();
        }
        self.count += 1;
    }
}

/// Interrupts that are left out. With another board's tree, those are most of them.
#[derive(Default)]
pub(super) struct Lost {
    /// Interrupts that do not lead to the GIC.
    interrupts: usize,
    astray: Devices,
    ill_formed: Devices,
    too_many: Devices,
}

impl Lost {
    /// Writes one line for each problem.
    pub(crate) fn say(&self, notes: &mut Notes) {
        let Self { interrupts, astray, ill_formed, too_many } = self;
        let Devices { count, first } = astray;
        if *count > 0 {
            notes.warn(format_args!(
                "debris: OF: {interrupts} interrupts of {count} devices do not lead to the GIC, first those of {first}"
            ));
        }
        let Devices { count, first } = ill_formed;
        if *count > 0 {
            notes
                .warn(format_args!("debris: OF: interrupts of {count} devices are ill-formed, first those of {first}"));
        }
        let Devices { count, first } = too_many;
        if *count > 0 {
            notes.warn(format_args!(
                "debris: OF: only {MAX_INTERRUPTS} interrupts of each of {count} devices count (raise MAX_INTERRUPTS), \
                 first those of {first}"
            ));
        }
    }
}

/// Returns the device's interrupts that reach a GIC; counts the others in `lost_here`.
pub(super) fn of_device(tree: &Tree<'_>, device: NodeId, path: &str, lost_here: &mut Lost) -> Vec<u32> {
    let address = tree.property(device, "reg").unwrap_or(&[]);
    let (mut found, mut seen, mut lost) = (Vec::new(), 0, 0);
    let mut take = |controller: NodeId, specifier: &[u8]| {
        seen += 1;
        if seen <= MAX_INTERRUPTS {
            match resolve(tree, address, controller, specifier) {
                Some(id) => found.push(id),
                None => lost += 1,
            }
        }
    };
    // The rest of a list from the first entry on that cannot be read.
    let mut rest: &[u8] = &[];
    if let Some(value) = tree.property(device, "interrupts-extended") {
        rest = value;
        while let Some((controller, specifier, after)) = first_extended(tree, rest) {
            take(controller, specifier);
            rest = after;
        }
    } else if let Some(value) = tree.property(device, "interrupts") {
        rest = value;
        if let Some((parent, bytes)) = parent_of(tree, device).and_then(|id| Some((id, specifier_bytes(tree, id)?))) {
            let specifiers = value.chunks_exact(bytes);
            rest = specifiers.remainder();
            specifiers.for_each(|specifier| take(parent, specifier));
        }
    }
    if !rest.is_empty() {
        lost_here.ill_formed.add(path);
    }
    if lost > 0 {
        lost_here.astray.add(path);
        lost_here.interrupts += lost;
    }
    if seen > MAX_INTERRUPTS {
        lost_here.too_many.add(path);
    }
    found
}

/// Splits an `interrupts-extended` list: first controller, its specifier, and the rest.
fn first_extended<'a>(tree: &Tree<'_>, list: &'a [u8]) -> Option<(NodeId, &'a [u8], &'a [u8])> {
    let controller = tree.by_phandle(word(list)?)?;
    let (specifier, after) = list[4..].split_at_checked(specifier_bytes(tree, controller)?)?;
    Some((controller, specifier, after))
}

/// Length in bytes of a specifier for this controller or nexus.
fn specifier_bytes(tree: &Tree<'_>, controller: NodeId) -> Option<usize> {
    let cells = tree.wiring(controller).interrupt_cells?;
    (1..=MAX_SPECIFIER_CELLS).contains(&cells).then_some(cells as usize * 4)
}

/// Returns the interrupt parent of `node`: by `interrupt-parent`, its own or inherited, or the
/// nearest node above that has `#interrupt-cells`.
fn parent_of(tree: &Tree<'_>, node: NodeId) -> Option<NodeId> {
    let mut node = node;
    for _ in 0..MAX_HOPS {
        node = match tree.wiring(node).interrupt_parent {
            Some(phandle) => tree.by_phandle(phandle)?,
            None if node == ROOT => return None,
            None => tree.parent(node),
        };
        if tree.wiring(node).interrupt_cells.is_some() {
            return Some(node);
        }
    }
    None
}

/// Follows a specifier through every nexus to the GIC. The first nexus compares the device's own
/// address, untranslated.
fn resolve(tree: &Tree<'_>, address: &[u8], controller: NodeId, specifier: &[u8]) -> Option<u32> {
    let (mut address, mut controller, mut specifier) = (address, controller, specifier);
    for _ in 0..MAX_HOPS {
        match tree.wiring(controller).interrupt_map {
            Some(map) => {
                let next = through(tree, controller, map, address, specifier)?;
                if next.controller == controller {
                    return None;
                }
                (controller, address, specifier) = (next.controller, next.address, next.specifier);
            }
            None if tree.wiring(controller).interrupt_controller => return gic_id(specifier),
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

/// A controller that a map names, and the length of an address and of a specifier there.
#[derive(Clone, Copy)]
struct Controller {
    node: NodeId,
    address_bytes: usize,
    specifier_bytes: usize,
    available: bool,
}

fn controller(tree: &Tree<'_>, phandle: u32) -> Option<Controller> {
    let node = tree.by_phandle(phandle)?;
    // A controller without #address-cells has addresses of no cells: it inherits none here.
    let address_cells = tree.wiring(node).address_cells.filter(|&cells| cells <= MAX_SPECIFIER_CELLS).unwrap_or(0);
    let specifier_bytes = specifier_bytes(tree, node)?;
    Some(Controller {
        node,
        address_bytes: address_cells as usize * 4,
        specifier_bytes,
        available: tree.is_available(node),
    })
}

/// Returns the first matching entry of a nexus's map. An entry is: address and specifier here,
/// controller, address and specifier there, with that controller's lengths for the last two.
fn through<'a>(tree: &Tree<'a>, nexus: NodeId, map: &'a [u8], address: &[u8], specifier: &[u8]) -> Option<Next<'a>> {
    let address_cells = tree.cells(nexus).address;
    if address_cells > MAX_SPECIFIER_CELLS || specifier_bytes(tree, nexus)? != specifier.len() {
        return None;
    }
    let address_bytes = address_cells as usize * 4;
    let mask = tree.wiring(nexus).interrupt_map_mask;
    // True if the map's cell at byte `at` of the entry matches. A device's address can be shorter
    // than the nexus's: missing cells are zero. A missing mask compares all bits.
    let fits = |at: usize, cell: u32| {
        let wanted = match at.checked_sub(address_bytes) {
            Some(at) => specifier.get(at..).and_then(word),
            None => address.get(at..).and_then(word),
        };
        (cell ^ wanted.unwrap_or(0)) & mask.get(at..).and_then(word).unwrap_or(u32::MAX) == 0
    };
    let mut rest = map;
    // Most maps name the same controller in every entry.
    let mut last = None;
    while !rest.is_empty() && tree.step() {
        let (child, after) = rest.split_at_checked(address_bytes + specifier.len())?;
        let phandle = word(after)?;
        let next = match last {
            Some((known, controller)) if known == phandle => controller,
            _ => controller(tree, phandle)?,
        };
        last = Some((phandle, next));
        let (parent_address, after) = after[4..].split_at_checked(next.address_bytes)?;
        let (parent_specifier, after) = after.split_at_checked(next.specifier_bytes)?;
        let mut cells = child.chunks_exact(4).enumerate();
        if next.available && cells.all(|(index, cell)| word(cell).is_some_and(|cell| fits(index * 4, cell))) {
            return Some(Next { controller: next.node, address: parent_address, specifier: parent_specifier });
        }
        rest = after;
    }
    None
}

/// Returns the identifier for a GIC's three cells (type, number, flags): SPI n is 32 + n, PPI n is
/// 16 + n.
fn gic_id(specifier: &[u8]) -> Option<u32> {
    let [kind, number] = [word(specifier)?, word(specifier.get(4..)?)?];
    match (specifier.len(), kind) {
        (12, 0) if number < 988 => Some(32 + number),
        (12, 1) if number < 16 => Some(16 + number),
        _ => None,
    }
}
