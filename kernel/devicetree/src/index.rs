// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tree as two flat tables, nodes and properties, in the tree's order.
//!
//! The second step, after [`validate`](super::validate): a single walk over the structure block, by
//! the `fdt` crate in its no-panic mode. The crate's own look-ups start a new walk for every
//! question, and its typed helpers lack what this kernel needs (see [the module's text](super)), so
//! only nodes and properties are read with it, and questions are answered from the tables.

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

/// The index of a node in the table of nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NodeId(usize);

/// The root.
pub(super) const ROOT: NodeId = NodeId(0);

struct Node<'a> {
    name: NodeName<'a>,
    parent: NodeId,
    properties: core::ops::Range<usize>,
    /// The node and all nodes above it have the status okay, ok or none.
    enabled: bool,
    wiring: Wiring<'a>,
}

/// The properties of a node that look-ups need so often that they are parsed once: its status, and
/// how it and its children are connected to the rest of the machine.
#[derive(Clone, Copy)]
pub(super) struct Wiring<'a> {
    /// Cell counts for the node's children, inherited if the node has none.
    pub cells: Cells,
    /// The node's own `status` is okay, ok or absent.
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
    /// `interrupt-map-mask`; empty if absent.
    pub interrupt_map_mask: &'a [u8],
}

impl Wiring<'_> {
    /// The wiring of a node without properties, below a node with these cell counts.
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

/// The index of a tree. Every [`NodeId`] that it returns is valid in it.
pub(super) struct Tree<'a> {
    nodes: Vec<Node<'a>>,
    properties: Vec<NodeProperty<'a>>,
    /// (phandle, node), ascending.
    phandles: Vec<(u32, NodeId)>,
    /// Entries of `ranges` and `interrupt-map` that may be visited, plus 1; 0 if one was refused.
    steps: Cell<u32>,
}

impl<'a> Tree<'a> {
    /// Walks a checked tree and builds its index.
    pub(crate) fn new(checked: &Checked<'a>) -> Result<Self, TreeError> {
        let mut tree = Self {
            nodes: Vec::with_capacity(checked.nodes),
            properties: Vec::with_capacity(checked.properties),
            phandles: Vec::new(),
            steps: Cell::new(MAX_LOOKUP_STEPS + 1),
        };
        tree.walk(checked.tree).map_err(|error| TreeError::Reader(error.to_string()))?;
        tree.phandles.sort_unstable_by_key(|&(phandle, NodeId(node))| (phandle, node));
        Ok(tree)
    }

    fn walk(&mut self, bytes: &'a [u8]) -> Result<(), fdt::FdtError> {
        let root = Fdt::<Parser<'a>>::new_unaligned_fallible(bytes)?.root()?;
        self.add(root.as_node(), None)?;
        // The last node visited on each level. The walk returns the depth of a node; the parent is
        // the last node one level up.
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

    /// All nodes except the root, in the tree's order.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..self.nodes.len()).map(NodeId)
    }

    /// The children of `parent`, in the tree's order.
    pub(crate) fn children(&self, parent: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes().filter(move |&id| self.node(id).parent == parent)
    }

    /// The parent of a node; for the root, the root.
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
        // Many names have the same length, but few of those also begin alike: comparing the first
        // byte avoids most calls of memcmp.
        let is_it = |property: &&NodeProperty<'a>| {
            property.name.len() == name.len()
                && property.name.as_bytes().first() == name.as_bytes().first()
                && property.name == name
        };
        properties.iter().find(is_it).map(|property| property.value)
    }

    /// True if the node has the property, with any value.
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

    /// True if one of the node's `compatible` strings is `id`; case is ignored, as on Linux.
    pub(crate) fn is_compatible(&self, node: NodeId, id: &str) -> bool {
        self.property(node, "compatible").is_some_and(|value| strings(value).any(|text| text.eq_ignore_ascii_case(id)))
    }

    /// The node's [`Wiring`].
    pub(crate) fn wiring(&self, id: NodeId) -> &Wiring<'a> {
        &self.node(id).wiring
    }

    /// Cell counts for the node's children.
    pub(crate) fn cells(&self, id: NodeId) -> Cells {
        self.wiring(id).cells
    }

    /// True if the node's own `status` is okay, ok or absent.
    pub(crate) fn is_available(&self, id: NodeId) -> bool {
        self.wiring(id).available
    }

    /// True if the `status` of the node and of every node above it is okay, ok or absent.
    pub(crate) fn is_enabled(&self, id: NodeId) -> bool {
        self.node(id).enabled
    }

    /// The first node with this phandle.
    pub(crate) fn by_phandle(&self, phandle: u32) -> Option<NodeId> {
        let at = self.phandles.partition_point(|&(other, _)| other < phandle);
        self.phandles.get(at).filter(|&&(other, _)| other == phandle).map(|&(_, id)| id)
    }

    /// Finds a child by its full name, or, if none has it, by its name without a unit address
    /// (libfdt's rule, `fdt_subnode_offset`).
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

    /// Finds the node at a path from `node`; an empty path is the node itself.
    pub(crate) fn by_path_below(&self, node: NodeId, path: &str) -> Option<NodeId> {
        let mut names = path.split('/').filter(|name| !name.is_empty());
        names.try_fold(node, |node, name| self.child(node, name))
    }

    /// Takes one of [`MAX_LOOKUP_STEPS`]; returns false if none is left.
    pub(crate) fn step(&self) -> bool {
        let left = self.steps.get().saturating_sub(1);
        self.steps.set(left);
        left > 0
    }

    /// True if a step was refused, so that a look-up was given up.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.steps.get() == 0
    }
}

/// The strings of a property's value, up to the first that is not terminated or not printable
/// ASCII.
pub(super) fn strings(value: &[u8]) -> impl Iterator<Item = &str> {
    let mut rest = value;
    core::iter::from_fn(move || {
        // A single pass over the bytes finds the end of the string, or that it is not one.
        let len = rest.iter().position(|&byte| !(byte == b' ' || byte.is_ascii_graphic()))?;
        let (text, after) = rest.split_at(len);
        let (0, after) = after.split_first().map(|(&end, after)| (end, after))? else { return None };
        rest = after;
        core::str::from_utf8(text).ok()
    })
}
