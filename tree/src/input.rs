// SPDX-License-Identifier: MIT OR Apache-2.0

//! The nodes of a file, and what they are to the board's tree: reserved memory, regions in it,
//! devices that name a region.

use std::collections::HashSet;

use crate::board::Board;
use crate::cells::Cells;
use crate::source::{Item, Node};

/// The node that contains the regions.
pub(crate) const RESERVED_MEMORY: &str = "reserved-memory";
/// Children of the root that describe the board of a file.
const OF_THE_BOARD: [&str; 4] = ["aliases", "cpus", "memory", "chosen"];

/// The items of a file, with the names that decide where its nodes belong.
pub(crate) struct Input<'a> {
    pub items: &'a [Item],
    pub board: &'a Board,
    /// The labels of the file's own nodes.
    defined: HashSet<&'a str>,
    /// References by label to the file's own `/reserved-memory`.
    reserved: HashSet<String>,
    /// The file is the whole tree of a board.
    pub is_whole: bool,
    /// `/reserved-memory` or a fragment of it is among the tops: other nodes are no regions.
    pub has_parent: bool,
}

impl<'a> Input<'a> {
    pub(crate) fn new(items: &'a [Item], board: &'a Board) -> Self {
        let mut input = Self {
            items,
            board,
            defined: HashSet::new(),
            reserved: HashSet::new(),
            is_whole: false,
            has_parent: false,
        };
        for top in input.tops() {
            top.walk(&mut |node| {
                input.defined.extend(node.labels.iter().map(String::as_str));
                if node.name == RESERVED_MEMORY {
                    input.reserved.extend(node.labels.iter().map(|label| format!("&{label}")));
                }
            });
        }
        input.is_whole = input.has_directive("/dts-v1/")
            && input.tops().any(|top| top.name == "/" && top.children().any(|child| child.name == "cpus"));
        input.has_parent = input.tops().any(|top| input.is_reserved(top));
        input
    }

    /// Returns the nodes that are in no other node of the file.
    pub(crate) fn tops(&self) -> impl Iterator<Item = &'a Node> + use<'a> {
        self.items.iter().filter_map(Item::node)
    }

    /// True if the file has a directive `name` outside of nodes.
    fn has_directive(&self, name: &str) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Directive(found) if found.name == name))
    }

    /// True for a fragment of `/reserved-memory` whose label is defined in another file, that of
    /// the SoC.
    pub(crate) fn is_foreign_reserved(&self, node: &Node) -> bool {
        let label = node.name.strip_prefix('&').filter(|label| !label.starts_with('{'));
        label.is_some_and(|label| !self.board.has_label(label) && !self.defined.contains(label))
            && (is_reserved_label(&node.name) || node.children().any(is_region))
    }

    /// True for `/reserved-memory` and for its fragments.
    pub(crate) fn is_reserved(&self, node: &Node) -> bool {
        node.name == RESERVED_MEMORY
            || node.name == "&{/reserved-memory}"
            || self.reserved.contains(&node.name)
            || self.is_foreign_reserved(node)
    }

    /// True if reserved memory is among the file's nodes, alone or in a root.
    fn has_reserved(&self) -> bool {
        self.has_parent || self.tops().any(|top| top.children().any(|child| self.is_reserved(child)))
    }

    /// True if the board's own region is deleted, by its name or its label.
    pub(crate) fn deletes_vram(&self) -> bool {
        deletes_vram(self.items)
    }

    /// Returns why nothing of the file can be used, if that is so.
    pub(crate) fn refusal(&self, text: &str) -> Option<String> {
        let has_node = self.tops().next().is_some();
        if !has_node && !self.has_directive("/memreserve/") && !self.has_directive("/include/") {
            return Some(self.without_node());
        }
        if self.is_whole && text.contains("\"arm,vexpress") {
            return Some(
                "a whole tree: compile it with dtc -I dts -O dtb -o my.dtb FILE, and pass DTB=my.dtb instead"
                    .to_owned(),
            );
        }
        let is_empty = has_node && self.tops().all(|top| top.name == "/" && top.children().next().is_none());
        if (is_empty || self.is_whole && !self.has_reserved()) && !text.contains("/memreserve/") {
            return Some(
                "a tree without reserved memory: there is nothing to take; a tree to boot with goes with DTB=my.dtb"
                    .to_owned(),
            );
        }
        self.tops().find_map(|top| self.unusable_cells(top))
    }

    /// Returns why a file without a node is refused.
    fn without_node(&self) -> String {
        let example = "linux,cma { compatible = \"shared-dma-pool\"; reusable; size = <0x4000000>; };";
        if self.items.iter().any(|item| matches!(item, Item::Property(_))) {
            format!("properties without a node: put them into one, such as {example}")
        } else {
            format!("the file holds no node; a node is {example}")
        }
    }

    /// Returns the line for reserved memory, or a root above it, whose cells cannot hold a number.
    fn unusable_cells(&self, top: &Node) -> Option<String> {
        let below = top.children().filter(|child| top.name == "/" && self.is_reserved(child));
        let nodes = (top.name == "/" || self.is_reserved(top)).then_some(top).into_iter().chain(below);
        let mut said = nodes.flat_map(|node| node.properties().map(move |property| (&node.name, property)));
        let (node, property) = said.find(|(_, property)| {
            matches!(property.name.as_str(), "#address-cells" | "#size-cells")
                && matches!(property.numbers[..], [count] if !(1..=4).contains(&count))
        })?;
        Some(format!("{node}: {} = <{}>: an address or a size has 1 to 4 cells", property.name, property.numbers[0]))
    }

    /// Returns the labels that can be referred to: the board's, and those of nodes that are kept.
    pub(crate) fn kept_labels(&self) -> HashSet<&'a str> {
        let mut labels: HashSet<&str> = self.board.labels().collect();
        // A node whose name is the label of a kept one is kept, too.
        loop {
            let before = labels.len();
            for top in self.tops() {
                let label = top.name.strip_prefix('&').filter(|label| !label.starts_with('{'));
                let is_out = |label: &str| !labels.contains(label) && !names_area(top) && !self.is_reserved(top);
                if label.is_some_and(is_out) {
                    continue;
                }
                labels.extend(top.labels.iter().map(String::as_str));
                let in_root = |child: &&Node| !is_of_the_board(child) && (!self.is_whole || self.is_reserved(child));
                for child in top.children().filter(|child| top.name != "/" || in_root(child)) {
                    child.walk(&mut |node| labels.extend(node.labels.iter().map(String::as_str)));
                }
            }
            if labels.len() == before {
                return labels;
            }
        }
    }
}

/// True for a label that board files use for `/reserved-memory`, whose node is in a file of the
/// SoC.
fn is_reserved_label(label: &str) -> bool {
    let label = label.to_ascii_lowercase();
    ["&reserved_mem", "&resmem", "&rmem", "&res_mem", "&reserved"].iter().any(|start| label.starts_with(start))
}

/// True if the properties of a node show that it is a region.
pub(crate) fn is_region(node: &Node) -> bool {
    ["no-map", "reusable", "alloc-ranges"].iter().any(|name| node.has(name))
}

/// True for a device that names an area, and for one above such a device.
pub(crate) fn names_area(node: &Node) -> bool {
    let mut found = false;
    node.walk(&mut |node| found |= node.has("memory-region") || node.has("CMA-name"));
    found
}

/// True for a child of the root that describes the board, and is left out.
pub(crate) fn is_of_the_board(child: &Node) -> bool {
    OF_THE_BOARD.contains(&child.kind())
}

/// Returns the cells that a node states, if any.
pub(crate) fn cells_said(node: &Node) -> Option<Cells> {
    let said = |name: &str| match node.properties().find(|property| property.name == name)?.numbers[..] {
        [count @ 1..=4] => Some(count as usize),
        _ => None,
    };
    match (said("#address-cells"), said("#size-cells")) {
        (None, None) => None,
        (address, size) => Some(Cells { address: address.unwrap_or(1), size: size.unwrap_or(1) }),
    }
}

fn deletes_vram(items: &[Item]) -> bool {
    items.iter().any(|item| match item {
        Item::Directive(directive) => directive.name == "/delete-node/" && directive.argument.contains("vram"),
        Item::Node(node) => deletes_vram(&node.items),
        Item::Property(_) => false,
    })
}
