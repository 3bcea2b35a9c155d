// SPDX-License-Identifier: MIT OR Apache-2.0

//! The number of cells of an address and of a size in reserved memory.
//!
//! A tree that states them is believed. For nodes that were pasted without their parent, they are
//! inferred: from a unit address that is the first address of `reg`, and from zeros above addresses
//! of 32 bits. If two different readings are plausible, or none is, that is an error.
//!
//! The board has one cell each. A tree whose reserved memory has others gets two of each, for the
//! root, too: numbers above 32 bits reach the kernel, which handles them like a 32-bit Linux.

use std::fmt::Write;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};

/// Cells of an address and of a size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cells {
    /// `#address-cells`.
    pub address: usize,
    /// `#size-cells`.
    pub size: usize,
}

/// The board's cells.
pub(crate) const ONE: Cells = Cells { address: 1, size: 1 };
const TWO: Cells = Cells { address: 2, size: 2 };
/// Readings that are tried, the likely ones first.
const READINGS: [Cells; 6] = [
    ONE,
    TWO,
    Cells { address: 2, size: 1 },
    Cells { address: 1, size: 2 },
    Cells { address: 3, size: 2 },
    Cells { address: 3, size: 1 },
];

/// A property of reserved memory that is not the board's own: node, property, cells.
struct Given<'a> {
    node: FdtNode<'a>,
    property: &'a str,
    cells: Vec<u32>,
}

/// Returns the cells in a property; `None` if its length is not a multiple of a cell.
fn cells_of(value: &[u8]) -> Option<Vec<u32>> {
    let (cells, rest) = value.as_chunks::<4>();
    rest.is_empty().then(|| cells.iter().map(|cell| u32::from_be_bytes(*cell)).collect())
}

/// Returns the value of a node's property of one cell.
pub(crate) fn word(node: FdtNode<'_>, name: &str) -> Option<u32> {
    match cells_of(node.property(name)?.value())?[..] {
        [word] => Some(word),
        _ => None,
    }
}

/// Returns the number in `cells`, cut to 64 bits.
pub(crate) fn number(cells: &[u32]) -> u64 {
    cells.iter().fold(0, |number, cell| number << 32 | u64::from(*cell))
}

/// Returns the address and size properties of reserved memory that `board` does not have with the
/// same value.
fn given<'a>(tree: Fdt<'a>, board: Fdt<'_>) -> Vec<Given<'a>> {
    let reserved = tree.find_node("/reserved-memory");
    let mut given = Vec::new();
    for node in reserved.iter().flat_map(|reserved| reserved.children()) {
        let own = board.find_node(&format!("/reserved-memory/{}", node.name()));
        for property in node.properties() {
            let is_own =
                |own: &FdtNode<'_>| own.property(property.name()).is_some_and(|own| own.value() == property.value());
            if matches!(property.name(), "reg" | "size" | "alignment" | "alloc-ranges")
                && !own.as_ref().is_some_and(is_own)
                && let Some(cells) = cells_of(property.value())
            {
                // A static name, because the blob's does not live long enough.
                let name =
                    ["reg", "size", "alignment", "alloc-ranges"].into_iter().find(|name| *name == property.name());
                given.push(Given { node, property: name.unwrap_or_default(), cells });
            }
        }
    }
    given
}

impl Cells {
    /// Returns the number of cells of an entry of `property`.
    fn entry(self, property: &str) -> usize {
        match property {
            "size" => self.size,
            "alignment" => self.address,
            _ => self.address + self.size,
        }
    }

    /// True if the value has a length that this reading allows.
    fn fits(self, given: &Given<'_>) -> bool {
        let entry = self.entry(given.property);
        match given.property {
            "size" | "alignment" => given.cells.len() == entry,
            _ => given.cells.len().is_multiple_of(entry),
        }
    }

    /// Returns the numbers of the value: alternately addresses and sizes, or one.
    fn read(self, given: &Given<'_>) -> Vec<u64> {
        given
            .cells
            .chunks_exact(self.entry(given.property))
            .flat_map(|entry| match given.property {
                "size" | "alignment" => vec![number(entry)],
                _ => vec![number(&entry[..self.address]), number(&entry[self.address..])],
            })
            .collect()
    }

    /// True if nothing contradicts this reading: a unit address is the first address of `reg`, or
    /// the upper cells are zeros. `strict`: sizes have 32 bits.
    fn is_plausible(self, given: &Given<'_>, strict: bool) -> bool {
        let read = self.read(given);
        if matches!(given.property, "size" | "alignment") {
            return true;
        }
        let sizes = read.iter().skip(1).step_by(2);
        if strict && sizes.clone().any(|size| size >> 32 != 0) {
            return false;
        }
        let unit = given.node.name().split_once('@').and_then(|(_, unit)| u64::from_str_radix(unit, 16).ok());
        if let ("reg", Some(unit), Some(first)) = (given.property, unit, read.first())
            && unit == *first
        {
            return true;
        }
        let every_other_is_zero = given.cells.len() >= 4 && given.cells.iter().step_by(2).all(|cell| *cell == 0);
        match self {
            ONE => (given.property != "reg" || unit.is_none()) && !every_other_is_zero,
            _ => read.iter().all(|number| number >> 32 == 0) && sizes.clone().all(|size| *size != 0),
        }
    }
}

/// Infers the cells of nodes whose parent does not state them.
///
/// # Errors
/// A line with two readings, if not exactly one is plausible.
pub(crate) fn infer(tree: Fdt<'_>, board: Fdt<'_>) -> Result<Cells, String> {
    let given = given(tree, board);
    let possible: Vec<Cells> =
        READINGS.into_iter().filter(|cells| given.iter().all(|given| cells.fits(given))).collect();
    let [first, ..] = possible[..] else { return Ok(ONE) };
    // A single reading is taken; dtc and the kernel report what is odd about it.
    if possible.len() == 1 {
        return Ok(first);
    }
    let plausible = |strict| {
        let mut readings = possible.clone();
        readings.retain(|cells| given.iter().all(|given| cells.is_plausible(given, strict)));
        readings
    };
    let plausible = Some(plausible(true)).filter(|readings| !readings.is_empty()).unwrap_or_else(|| plausible(false));
    let readings = |cells: Cells| given.iter().map(|given| cells.read(given)).collect::<Vec<_>>();
    match plausible[..] {
        [first] => return Ok(first),
        [first, ref others @ ..] if others.iter().all(|other| readings(*other) == readings(first)) => return Ok(first),
        _ => {}
    }
    let show: Vec<Cells> = if plausible.len() > 1 { plausible } else { possible };
    let differs = given.iter().find(|given| show[0].read(given) != show[1].read(given));
    let Some(given) = differs.or(given.first()) else { return Ok(first) };
    let reading = |cells: Cells| {
        let numbers: Vec<String> = cells.read(given).iter().map(|number| format!("{number:#x}")).collect();
        format!("{} and {} cells: {}", cells.address, cells.size, numbers.join(" "))
    };
    Err(format!(
        "{}: {} can be read with {}, or with {}; say which: put the nodes into reserved-memory {{ #address-cells = <…>; \
         #size-cells = <…>; ranges; … }};",
        given.node.name(),
        given.property,
        reading(show[0]),
        reading(show[1])
    ))
}

/// Returns source that, appended to the tree's, gives it two cells where it has `cells`. `say` gets
/// a line for each number that is cut to 64 bits, and for each incomplete entry.
pub(crate) fn widen(tree: Fdt<'_>, board: Fdt<'_>, cells: Cells, mut say: impl FnMut(String)) -> String {
    let mut source = String::new();
    let mut set = |path: &str, property: &str, cells: &[u32]| {
        let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:#x}")).collect();
        // Writing into a String cannot fail.
        let _ = writeln!(source, "&{{{path}}} {{ {property} = <{}>; }};", cells.join(" "));
    };
    for path in ["/", "/reserved-memory"] {
        set(path, "#address-cells", &[2]);
        set(path, "#size-cells", &[2]);
    }
    let is_own = |path: &str, property: &str, value: &[u8]| {
        board.find_node(path).and_then(|node| node.property(property)).is_some_and(|own| own.value() == value)
    };
    for node in tree.root().children() {
        let path = format!("/{}", node.name());
        let Some(value) = node.property("reg") else { continue };
        let Some(reg) = cells_of(value.value()) else { continue };
        if is_own(&path, "reg", value.value()) || !reg.len().is_multiple_of(4) {
            set(&path, "reg", &reg.iter().flat_map(|cell| [0, *cell]).collect::<Vec<_>>());
        }
    }
    let Some(reserved) = tree.find_node("/reserved-memory") else { return source };
    for node in reserved.children() {
        let path = format!("/reserved-memory/{}", node.name());
        for property in node.properties() {
            let name = property.name();
            let Some(value) = cells_of(property.value()) else { continue };
            let widths: &[usize] = match (name, is_own(&path, name, property.value())) {
                ("reg" | "alloc-ranges", true) => &[1, 1],
                ("reg" | "alloc-ranges", false) => &[cells.address, cells.size],
                ("size", true) | ("alignment", true) => &[1],
                ("size", false) => &[cells.size],
                ("alignment", false) => &[cells.address],
                _ => continue,
            };
            if value.is_empty() || !value.len().is_multiple_of(widths.iter().sum()) {
                // Stays invalid, as one cell: a length that is not a whole number of entries.
                if widths != [2, 2] && !value.is_empty() {
                    say(format!("{}: {name} is not a whole number of entries", node.name()));
                    set(&path, name, &value[..1]);
                }
                continue;
            }
            let mut wide = Vec::new();
            let mut rest = &value[..];
            for width in widths.iter().cycle() {
                let Some((entry, after)) = rest.split_at_checked(*width).filter(|_| !rest.is_empty()) else { break };
                rest = after;
                let low = number(entry);
                if entry.len() > 2 && entry[..entry.len() - 2].iter().any(|cell| *cell != 0) {
                    say(format!("{}: {name}: only the lower 64 bits of a number count, {low:#x}", node.name()));
                }
                wide.extend([(low >> 32) as u32, low as u32]);
            }
            set(&path, name, &wide);
        }
    }
    source
}
