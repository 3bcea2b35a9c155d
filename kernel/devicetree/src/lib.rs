// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device tree reader: bytes in, typed facts out.
//!
//! [`read`] validates header, structure and strings once, so that no later use of the facts can
//! fail on the tree. A part of the tree that is wrong is reported as a [`Note`] and left out, and
//! the rest is read; only bytes that are not a tree at all are a [`TreeError`].
//!
//! Steps: `validate` checks the bytes → `index` walks them once, with the `fdt` crate, into two
//! flat tables → `memory`, `chosen`, `reserved` and `devices` (with `bus` and `interrupts`) read
//! the tables into [`Facts`]. This crate does not place regions; its callers do.
//!
//! Some trees that Linux reads are refused: nodes deeper than [`MAX_DEPTH`], names with characters
//! that dtc does not accept, anything after the end token. In return, every name can be printed,
//! compared and written to a record unchanged.
//!
//! Invariants for any bytes: no panic, no recursion, time in proportion to the tree's size (entries
//! that look-ups visit are limited, [`MAX_LOOKUP_STEPS`]), and heap bounded by the constants below;
//! a line names the constant that was too small.
//!
//! Of the `fdt` crate only the walk is used, in its no-panic mode: nodes with their depth, and raw
//! properties. Its look-ups (`find_node`, `parent`, phandles) walk the whole tree for each
//! question; its `reusable()` and `cma_default()` test for `no-map`; its cell arithmetic divides by
//! zero if both counts are zero; `interrupt-map` needs cell counts known at compile time. Those
//! questions are answered from the tables by code of our own.
//!
//! # Example
//! ```
//! use devicetree::{MAGIC, TreeError, read};
//!
//! # fn words(words: &[u32]) -> Vec<u8> { words.iter().flat_map(|word| word.to_be_bytes()).collect() }
//! // The smallest tree: header, no memory reservation, a root without a name, no strings.
//! let header = [MAGIC, 72, 56, 72, 40, 17, 16, 0, 0, 16];
//! let reservations = [0; 4];
//! let (begin_node, end_node, end) = (1, 2, 9);
//! let tree = words(&[&header[..], &reservations, &[begin_node, 0, end_node, end]].concat());
//! let facts = read(&tree)?;
//! assert!(facts.memory.is_empty() && facts.devices.is_empty());
//! assert!(facts.notes[0].text.starts_with("debris: OF: fdt: no RAM"));
//!
//! assert!(matches!(read(&tree[..60]), Err(TreeError::Truncated { .. })));
//! # Ok::<(), TreeError>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod bus;
mod cells;
mod chosen;
mod devices;
mod error;
mod index;
mod interrupts;
mod memory;
mod reserved;
mod validate;

#[cfg(test)]
mod tests;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use units::PhysRange;
use units::notes::Note;

pub use error::TreeError;
pub use validate::total_size;

/// The header's first word.
pub const MAGIC: u32 = 0xd00d_feed;
/// The largest tree, in bytes; QEMU passes on a tree of twice the size that it was given.
pub const MAX_TREE_BYTES: usize = 2 << 20;
/// Maximum number of nodes.
pub const MAX_NODES: usize = 2048;
/// Maximum number of properties in all nodes.
pub const MAX_PROPERTIES: usize = 8192;
/// Maximum number of levels of nodes below the root: as many as the `fdt` crate's walk supports.
pub const MAX_DEPTH: usize = 15;
/// The longest name of a node, of an area and of a device's kind, in bytes.
pub const MAX_NAME_BYTES: usize = 127;
/// The longest path of a device, in bytes.
pub const MAX_PATH_BYTES: usize = 255;
/// The longest kernel command line, in bytes.
pub const MAX_BOOTARGS_BYTES: usize = 16 << 10;
/// Maximum number of ranges of RAM.
pub const MAX_MEMORY_RANGES: usize = 64;
/// Maximum number of `/memreserve/` entries.
pub const MAX_MEMRESERVE: usize = 64;
/// Maximum number of nodes of `/reserved-memory` that are passed on; the caller decides how many of
/// them become regions.
pub const MAX_RESERVED_NODES: usize = 256;
/// Maximum number of ranges in one node's `reg` or `alloc-ranges`.
pub const MAX_RANGES_PER_NODE: usize = 32;
/// Maximum number of devices, equal to that of nodes.
pub const MAX_DEVICES: usize = MAX_NODES;
/// Maximum number of strings of a device's `compatible`; later ones are less specific, and left out
/// without a line.
pub const MAX_COMPATIBLE: usize = 8;
/// Maximum number of interrupts of a device.
pub const MAX_INTERRUPTS: usize = 32;
/// Maximum number of devices that name an area.
pub const MAX_AREA_USERS: usize = 32;
/// Maximum number of entries of `ranges` and `interrupt-map` that reading one tree may visit.
pub const MAX_LOOKUP_STEPS: u32 = 1 << 16;

/// Reads a tree. `bytes` starts with the tree's header and may be longer than the tree, whose
/// length [`total_size`] returns.
pub fn read(bytes: &[u8]) -> Result<Facts, TreeError> {
    let checked = validate::check(bytes)?;
    let tree = index::Tree::new(&checked)?;
    let mut notes = units::notes::Notes::default();

    let chosen = chosen::node(&tree);
    let bootargs = chosen.and_then(|chosen| chosen::bootargs(&tree, chosen, &mut notes));
    let initrd = chosen.and_then(|chosen| chosen::initrd(&tree, chosen, &mut notes));
    let memory = memory::ranges(&tree, &mut notes);
    let memreserve = memory::reservations(checked.reservations, &mut notes);
    let (reserved, reserved_unsupported) = match reserved::nodes(&tree, &mut notes) {
        Ok(nodes) => (nodes, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let devices = devices::devices(&tree, reserved::parent(&tree), &mut notes);
    let area_users = devices::area_users(&tree, &reserved, &mut notes);
    let stdout_node = chosen.and_then(|chosen| chosen::stdout(&tree, chosen, &mut notes));
    let stdout = stdout_node.and_then(|node| devices.iter().position(|&(id, _)| id == node));
    if let (Some(node), None) = (stdout_node, stdout) {
        notes.error(format_args!("debris: OF: stdout-path names {}, which is not an enabled device", tree.name(node)));
    }
    if tree.is_exhausted() {
        notes.error(format_args!(
            "debris: OF: tree too tangled, devices may be missing (raise MAX_LOOKUP_STEPS, {MAX_LOOKUP_STEPS})"
        ));
    }
    Ok(Facts {
        model: tree.text(index::ROOT, "model").filter(|model| model.len() <= MAX_NAME_BYTES).map(ToString::to_string),
        memory,
        usable_memory: chosen.map(|chosen| chosen::usable_memory(&tree, chosen)).unwrap_or_default(),
        memreserve,
        reserved: reserved.into_iter().map(|(_, node)| node).collect(),
        reserved_unsupported,
        bootargs,
        initrd,
        stdout,
        devices: devices.into_iter().map(|(_, device)| device).collect(),
        area_users,
        notes: notes.into_vec(),
    })
}

/// The checked contents of a tree.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// `/model`.
    pub model: Option<String>,
    /// RAM in the tree's order, clipped at 4 GiB, page-aligned inwards, without empty ranges. If
    /// there is none, a note says so, and the notes before it give the reasons.
    pub memory: Vec<PhysRange>,
    /// `/chosen/linux,usable-memory-range`: only RAM in these ranges is used. Empty: no limit.
    pub usable_memory: Vec<PhysRange>,
    /// The `/memreserve/` entries that are not empty.
    pub memreserve: Vec<PhysRange>,
    /// The children of `/reserved-memory` that are enabled, in the tree's order.
    pub reserved: Vec<ReservedNode>,
    /// The reason why `/reserved-memory` is present but cannot be read as a whole.
    pub reserved_unsupported: Option<String>,
    /// `/chosen/bootargs`.
    pub bootargs: Option<String>,
    /// `/chosen/linux,initrd-start` and `-end`.
    pub initrd: Option<PhysRange>,
    /// Index in [`Facts::devices`] of the device `/chosen/stdout-path` names, aliases followed.
    pub stdout: Option<usize>,
    /// Enabled devices with a translated `reg`, in the tree's order.
    pub devices: Vec<Device>,
    /// Devices that name a reserved area, in the tree's order.
    pub area_users: Vec<AreaUser>,
    /// The problems, in the order in which they were found.
    pub notes: Vec<Note>,
}

/// A property of a node of `/reserved-memory`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Property<T> {
    /// The node does not have it.
    Absent,
    /// Its length is wrong, or a number in it takes more than 64 bits.
    Malformed,
    /// The value.
    Is(T),
}

impl<T> Property<T> {
    /// The value, if there is one.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Absent | Self::Malformed => None,
        }
    }

    /// The value, to be changed, if there is one.
    pub const fn value_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Absent | Self::Malformed => None,
        }
    }

    /// True if the node has the property, well-formed or not.
    pub const fn is_present(&self) -> bool {
        !matches!(self, Self::Absent)
    }
}

/// A child of `/reserved-memory`; the caller decides if it can be placed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReservedNode {
    /// Full node name, unit address included (`camera@70000000`).
    pub name: String,
    /// `phandle`, if it has one.
    pub phandle: Option<u32>,
    /// `reg`: one range for each entry. A range can be empty or above 4 GiB, and the list can be
    /// empty.
    pub reg: Property<Vec<PhysRange>>,
    /// `size` in bytes; can be 0.
    pub size: Property<u64>,
    /// `alignment` in bytes.
    pub alignment: Property<u64>,
    /// `alloc-ranges` in their order.
    pub alloc_ranges: Property<Vec<PhysRange>>,
    /// `compatible` contains `shared-dma-pool`.
    pub shared_dma_pool: bool,
    /// `compatible`'s first string, for Linux's "compatible id" line.
    pub compatible: Option<String>,
    /// `reusable` is present.
    pub reusable: bool,
    /// `no-map` is present.
    pub no_map: bool,
    /// `linux,cma-default` is present.
    pub cma_default: bool,
}

impl ReservedNode {
    /// Makes a node that has a placement and no other property.
    pub fn new(name: &str, placement: Placement) -> Self {
        let mut node = Self {
            name: name.to_string(),
            phandle: None,
            reg: Property::Absent,
            size: Property::Absent,
            alignment: Property::Absent,
            alloc_ranges: Property::Absent,
            shared_dma_pool: false,
            compatible: None,
            reusable: false,
            no_map: false,
            cma_default: false,
        };
        match placement {
            Placement::Fixed(ranges) => node.reg = Property::Is(ranges),
            Placement::Dynamic { size, alignment, alloc_ranges } => {
                node.size = Property::Is(size);
                if alignment != 0 {
                    node.alignment = Property::Is(alignment);
                }
                if !alloc_ranges.is_empty() {
                    node.alloc_ranges = Property::Is(alloc_ranges);
                }
            }
        }
        node
    }

    /// True for a node with `reg` or `size`; others are not regions.
    pub const fn wants_memory(&self) -> bool {
        self.reg.is_present() || self.size.is_present()
    }

    /// The placement that a node with well-formed properties requests; `None` for others.
    pub fn placement(&self) -> Option<Placement> {
        match (&self.reg, &self.size, &self.alignment, &self.alloc_ranges) {
            (Property::Is(ranges), ..) if !ranges.is_empty() => Some(Placement::Fixed(ranges.clone())),
            (_, _, Property::Malformed, _) | (_, _, _, Property::Malformed) => None,
            (_, _, _, Property::Is(ranges)) if ranges.is_empty() => None,
            (Property::Absent, Property::Is(size), ..) => Some(Placement::Dynamic {
                size: *size,
                alignment: self.alignment.value().copied().unwrap_or(0),
                alloc_ranges: self.alloc_ranges.value().cloned().unwrap_or_default(),
            }),
            _ => None,
        }
    }
}

/// The place that a node requests: fixed by `reg`, or dynamic by `size`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Placement {
    /// One range for each `reg` entry; Linux makes a region of the first, and at most reserves the
    /// others.
    Fixed(Vec<PhysRange>),
    /// To be placed.
    Dynamic {
        /// `size` in bytes; can be 0.
        size: u64,
        /// `alignment` in bytes; 0 if absent.
        alignment: u64,
        /// `alloc-ranges` in their order; empty: anywhere.
        alloc_ranges: Vec<PhysRange>,
    },
}

/// A device node that is enabled and has at least one translated register range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// Full path from the root.
    pub path: String,
    /// `compatible`, most specific first.
    pub compatible: Vec<String>,
    /// `reg`, translated to CPU physical addresses through every `ranges` above.
    pub reg: Vec<PhysRange>,
    /// GIC interrupt identifiers (SPI n is 32 + n, PPI n is 16 + n), `interrupt-map` followed.
    pub interrupts: Vec<u32>,
}

impl Device {
    /// The node's name, unit address included: the end of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// A device that names an area, by `memory-region` (a reusable pool's) or by `CMA-name`; an area of
/// that name need not exist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AreaUser {
    /// The device's full node name (`BiscuitOS_CMA`).
    pub device: String,
    /// The area's name.
    pub area: String,
    /// The area is named by `memory-region`: Linux returns -EINVAL to the driver if that region was
    /// refused. After a `CMA-name`, the driver gets the default area then.
    pub by_region: bool,
}
