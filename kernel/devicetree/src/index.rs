// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tree as two flat tables, nodes and properties, in the tree's order.
//!
//! Second on the way, after [`validate`](super::validate): the one walk over the structure block,
//! by the `fdt` crate in its no-panic mode. Its own look-ups start a new walk for every question,
//! and its typed helpers do not say what this kernel needs to know (see [the module's
//! text](super)), so it is asked for nodes and properties alone, and the questions are put to the
//! tables.

use core::cell::Cell;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use fdt::Fdt;
use fdt::nodes::{AsNode, NodeName, NodeProperty};
use fdt::parsing::{NoPanic, unaligned::UnalignedParser};

use super::cells::Cells;
use super::validate::{Checked, word};
use super::{MAX_DEPTH, MAX_LOOKUP_STEPS, MAX_PATH_BYTES, TreeError};

type Parser<'a> = (UnalignedParser<'a>, NoPanic);

/// A node's place in the table of nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NodeId(usize);

/// The root's.
pub(super) const ROOT: NodeId = NodeId(0);

struct Node<'a> {
    name: NodeName<'a>,
    parent: NodeId,
    properties: core::ops::Range<usize>,
    /// Neither the node nor one above it is disabled.
    enabled: bool,
    wiring: Wiring<'a>,
}

/// What look-ups ask of one node after another, so often that it is kept at hand: how a node's
/// children are connected to the rest of the machine.
#[derive(Clone, Copy)]
pub(super) struct Wiring<'a> {
    /// Cell counts for the node's children, inherited where the node has none.
    pub cells: Cells,
    /// `status` is okay, ok or absent: the node's own.
    pub available: bool,
    /// `ranges`.
    pub ranges: Option<&'a [u8]>,
    /// The node's own `#address-cells`.
    pub address_cells: Option<u32>,
    /// The phandle in the node's own `interrupt-parent`.
    pub interrupt_parent: Option<u32>,
    /// `#interrupt-cells`.
    pub interrupt_cells: Option<u32>,
    /// `interrupt-controller` is present.
    pub interrupt_controller: bool,
    /// `interrupt-map`.
    pub interrupt_map: Option<&'a [u8]>,
    /// `interrupt-map-mask`; empty where absent.
    pub interrupt_map_mask: &'a [u8],
}

impl Wiring<'_> {
    /// A node without properties below one with these cell counts.
    fn below(cells: Cells) -> Self {
        Self {
            cells,
            available: true,
            ranges: None,
            address_cells: None,
            interrupt_parent: None,
            interrupt_cells: None,
            interrupt_controller: false,
            interrupt_map: None,
            interrupt_map_mask: &[],
        }
    }
}

/// The index of a tree. Every [`NodeId`] that it hands out is one of its own.
pub(super) struct Tree<'a> {
    nodes: Vec<Node<'a>>,
    properties: Vec<NodeProperty<'a>>,
    /// (phandle, node), ascending.
    phandles: Vec<(u32, NodeId)>,
    /// How many more entries of `ranges` and `interrupt-map` may be looked at.
    steps: Cell<u32>,
}

impl<'a> Tree<'a> {
    /// Walks a checked tree.
    pub(crate) fn new(checked: &Checked<'a>) -> Result<Self, TreeError> {
        let mut tree = Self {
            nodes: Vec::with_capacity(checked.nodes),
            properties: Vec::with_capacity(checked.properties),
            phandles: Vec::new(),
            steps: Cell::new(MAX_LOOKUP_STEPS),
        };
        tree.walk(checked.tree).map_err(|error| TreeError::Reader(error.to_string()))?;
        tree.phandles.sort_unstable_by_key(|&(phandle, NodeId(node))| (phandle, node));
        Ok(tree)
    }

    fn walk(&mut self, bytes: &'a [u8]) -> Result<(), fdt::FdtError> {
        let root = Fdt::<Parser<'a>>::new_unaligned_fallible(bytes)?.root()?;
        self.add(root.as_node(), None)?;
        // The last node met on each level. The walk says how deep a node lies; its parent is the
        // last one a level up.
        let mut last = [ROOT; MAX_DEPTH + 1];
        for node in root.all_nodes()? {
            let (depth, node) = node?;
            let parent = depth.checked_sub(1).and_then(|level| last.get(level).copied()).unwrap_or(ROOT);
            let id = self.add(node, Some(parent))?;
            if let Some(last) = last.get_mut(depth) {
                *last = id;
            }
        }
        Ok(())
    }

    fn add(&mut self, node: fdt::nodes::Node<'a, Parser<'a>>, parent: Option<NodeId>) -> Result<NodeId, fdt::FdtError> {
        let id = NodeId(self.nodes.len());
        let first = self.properties.len();
        let (cells, above_enabled) = match parent {
            Some(parent) => (self.cells(parent), self.is_enabled(parent)),
            None => (Cells::ROOT_DEFAULT, true),
        };
        let mut wiring = Wiring::below(cells);
        for property in node.properties()?.iter() {
            let property = property?;
            let value = property.value;
            match property.name {
                "#address-cells" => wiring.address_cells = word(value),
                "#size-cells" => wiring.cells.size = word(value).unwrap_or(cells.size),
                "phandle" | "linux,phandle" => self.phandles.extend(word(value).map(|phandle| (phandle, id))),
                "status" => wiring.available = matches!(strings(value).next(), Some("okay" | "ok")),
                "ranges" => wiring.ranges = Some(value),
                "interrupt-parent" => wiring.interrupt_parent = word(value),
                "#interrupt-cells" => wiring.interrupt_cells = word(value),
                "interrupt-controller" => wiring.interrupt_controller = true,
                "interrupt-map" => wiring.interrupt_map = Some(value),
                "interrupt-map-mask" => wiring.interrupt_map_mask = value,
                _ => {}
            }
            self.properties.push(property);
        }
        wiring.cells.address = wiring.address_cells.unwrap_or(cells.address);
        let (name, parent, properties) = (node.name()?, parent.unwrap_or(ROOT), first..self.properties.len());
        self.nodes.push(Node { name, parent, properties, enabled: above_enabled && wiring.available, wiring });
        Ok(id)
    }

    fn node(&self, NodeId(id): NodeId) -> &Node<'a> {
        &self.nodes[id]
    }

    /// Every node but the root, in the tree's order.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..self.nodes.len()).map(NodeId)
    }

    /// The children of `parent`, in the tree's order.
    pub(crate) fn children(&self, parent: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes().filter(move |&id| self.node(id).parent == parent)
    }

    /// The node above; the root's is the root.
    pub(crate) fn parent(&self, id: NodeId) -> NodeId {
        self.node(id).parent
    }

    /// Full node name, unit address included.
    pub(crate) fn name(&self, id: NodeId) -> &NodeName<'a> {
        &self.node(id).name
    }

    /// Path from the root, if it is not longer than [`MAX_PATH_BYTES`].
    pub(crate) fn path(&self, id: NodeId) -> Option<String> {
        let mut names = [ROOT; MAX_DEPTH + 1];
        let (mut levels, mut len, mut node) = (0, 0, id);
        while node != ROOT {
            let NodeName { name, unit_address } = self.name(node);
            len += 1 + name.len() + unit_address.map_or(0, |unit| 1 + unit.len());
            *names.get_mut(levels)? = node;
            levels += 1;
            node = self.parent(node);
        }
        if len > MAX_PATH_BYTES {
            return None;
        }
        let mut path = String::with_capacity(len);
        for &node in names[..levels].iter().rev() {
            let NodeName { name, unit_address } = self.name(node);
            path.push('/');
            path.push_str(name);
            if let Some(unit) = unit_address {
                path.push('@');
                path.push_str(unit);
            }
        }
        Some(path)
    }

    /// The value of a property.
    pub(crate) fn property(&self, id: NodeId, name: &str) -> Option<&'a [u8]> {
        let properties = &self.properties[self.node(id).properties.clone()];
        // Names of one length are common, names that begin alike as well are not: a call to memcmp
        // less for most.
        let is_it = |property: &&NodeProperty<'a>| {
            property.name.len() == name.len()
                && property.name.as_bytes().first() == name.as_bytes().first()
                && property.name == name
        };
        properties.iter().find(is_it).map(|property| property.value)
    }

    /// True where the node has the property, whatever its value.
    pub(crate) fn has(&self, id: NodeId, name: &str) -> bool {
        self.property(id, name).is_some()
    }

    /// The first cell of a property.
    pub(crate) fn word(&self, id: NodeId, name: &str) -> Option<u32> {
        self.property(id, name).and_then(word)
    }

    /// The first string of a property, if it is one.
    pub(crate) fn text(&self, id: NodeId, name: &str) -> Option<&'a str> {
        self.property(id, name).and_then(|value| strings(value).next())
    }

    /// True where one of the node's `compatible` strings is `id`; upper and lower case are the
    /// same, as on Linux.
    pub(crate) fn is_compatible(&self, node: NodeId, id: &str) -> bool {
        self.property(node, "compatible").is_some_and(|value| strings(value).any(|text| text.eq_ignore_ascii_case(id)))
    }

    /// How the node's children are connected.
    pub(crate) fn wiring(&self, id: NodeId) -> &Wiring<'a> {
        &self.node(id).wiring
    }

    /// Cell counts for the node's children.
    pub(crate) fn cells(&self, id: NodeId) -> Cells {
        self.wiring(id).cells
    }

    /// `status` is okay, ok or absent: the node's own.
    pub(crate) fn is_available(&self, id: NodeId) -> bool {
        self.wiring(id).available
    }

    /// `status` is okay, ok or absent for the node and for every node above it.
    pub(crate) fn is_enabled(&self, id: NodeId) -> bool {
        self.node(id).enabled
    }

    /// The first node with this phandle.
    pub(crate) fn by_phandle(&self, phandle: u32) -> Option<NodeId> {
        let at = self.phandles.partition_point(|&(other, _)| other < phandle);
        self.phandles.get(at).filter(|&&(other, _)| other == phandle).map(|&(_, id)| id)
    }

    /// The child of that name: the full name, or, where no child has it, the name without a unit
    /// address (libfdt's rule, `fdt_subnode_offset`).
    pub(crate) fn child(&self, parent: NodeId, name: &str) -> Option<NodeId> {
        let (base, unit) = match name.split_once('@') {
            Some((base, unit)) => (base, Some(unit)),
            None => (name, None),
        };
        let full = |&id: &NodeId| self.name(id).name == base && self.name(id).unit_address == unit;
        self.children(parent)
            .find(full)
            .or_else(|| self.children(parent).find(|&id| unit.is_none() && self.name(id).name == base))
    }

    /// The node at a path from the root.
    pub(crate) fn by_path(&self, path: &str) -> Option<NodeId> {
        self.by_path_below(ROOT, path.strip_prefix('/')?)
    }

    /// The node at a path from `node`; an empty path is the node itself.
    pub(crate) fn by_path_below(&self, node: NodeId, path: &str) -> Option<NodeId> {
        let mut names = path.split('/').filter(|name| !name.is_empty());
        names.try_fold(node, |node, name| self.child(node, name))
    }

    /// Takes one of [`MAX_LOOKUP_STEPS`]; false when none is left.
    pub(crate) fn step(&self) -> bool {
        let left = self.steps.get();
        self.steps.set(left.saturating_sub(1));
        left > 0
    }

    /// True when a look-up was given up for want of steps.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.steps.get() == 0
    }
}

/// The strings of a property's value, up to the first that does not end or that is not printable
/// ASCII.
pub(super) fn strings(value: &[u8]) -> impl Iterator<Item = &str> {
    let mut rest = value;
    core::iter::from_fn(move || {
        // One look at each byte: where the string ends, or that it is none.
        let len = rest.iter().position(|&byte| !(byte == b' ' || byte.is_ascii_graphic()))?;
        let (text, after) = rest.split_at(len);
        let (0, after) = after.split_first().map(|(&end, after)| (end, after))? else { return None };
        rest = after;
        core::str::from_utf8(text).ok()
    })
}
