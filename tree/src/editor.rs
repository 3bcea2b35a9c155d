// SPDX-License-Identifier: MIT OR Apache-2.0

//! Removes from a file's text what the board's tree cannot use, and lists it.

use std::collections::HashSet;
use std::ops::Range;

use crate::cells::Cells;
use crate::input::{Input, RESERVED_MEMORY, cells_said, is_of_the_board};
use crate::source::{Node, Property};

/// Removes parts of a text that the board's tree cannot use.
pub(crate) struct Editor<'a> {
    text: Vec<u8>,
    input: &'a Input<'a>,
    /// Labels that a reference can name.
    labels: HashSet<&'a str>,
    /// Names in the cells of regions that are not defined.
    unknown: Vec<String>,
    /// The parts that were left out.
    left_out: Vec<String>,
}

impl<'a> Editor<'a> {
    /// Begins with a text and its nodes.
    pub(crate) fn new(text: &str, input: &'a Input<'a>) -> Self {
        let labels = input.kept_labels();
        Self { text: text.into(), input, labels, unknown: Vec::new(), left_out: Vec::new() }
    }

    /// Returns the text with blanks for the parts that were removed, and the list of these parts.
    ///
    /// # Errors
    /// A line, if cells of a region hold names that are not numbers.
    pub(crate) fn finish(self) -> Result<(String, Vec<String>), String> {
        if !self.unknown.is_empty() {
            return Err(format!(
                "{}: no number, and no constant that is known here; write the numbers, or #include what defines them",
                self.unknown.join(", ")
            ));
        }
        Ok((String::from_utf8_lossy(&self.text).into_owned(), self.left_out))
    }

    /// True if a reference names a node of the board or a node of the file that is kept.
    pub(crate) fn is_known(&self, reference: &str) -> bool {
        match reference.strip_prefix("&{") {
            Some(path) => self.input.board.has_path(path.trim_end_matches('}')),
            None => self.labels.contains(reference.trim_start_matches('&')),
        }
    }

    fn blank(&mut self, span: &Range<usize>) {
        for byte in &mut self.text[span.clone()] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }

    fn leave_out(&mut self, span: &Range<usize>, what: String) {
        self.blank(span);
        self.omit(what);
    }

    /// Lists a part that the caller leaves out.
    pub(crate) fn omit(&mut self, what: String) {
        self.left_out.push(what);
    }

    /// Leaves out a property that refers to a node which does not exist, or that has names in it.
    fn device_property(&mut self, node: &str, property: &Property) {
        let unknown = property.references.iter().find(|reference| !self.is_known(reference)).or(property.names.first());
        if let Some(unknown) = unknown {
            let what = format!("{node} {} ({unknown})", property.name);
            self.leave_out(&property.span, what);
        }
    }

    /// Leaves out what a device's properties cannot refer to, below it, too.
    pub(crate) fn device(&mut self, node: &Node) {
        for property in node.properties() {
            self.device_property(&node.name, property);
        }
        for child in node.children() {
            if child.name == RESERVED_MEMORY {
                let what = format!("{}/{RESERVED_MEMORY} (Linux reads /{RESERVED_MEMORY} alone)", node.name);
                self.leave_out(&child.span, what);
            } else {
                self.device(child);
            }
        }
    }

    /// Checks the numbers of regions, and leaves out properties that refer to nothing.
    pub(crate) fn regions<'n>(&mut self, nodes: impl Iterator<Item = &'n Node>) {
        for node in nodes {
            for property in node.properties() {
                if matches!(property.name.as_str(), "reg" | "size" | "alignment" | "alloc-ranges") {
                    for name in &property.names {
                        if !self.unknown.contains(name) {
                            self.unknown.push(name.clone());
                        }
                    }
                } else {
                    self.device_property(&node.name, property);
                }
            }
        }
    }

    /// Leaves all but reserved memory and `chosen` out of a whole tree's roots; returns its devices
    /// that have `memory-region`.
    pub(crate) fn whole(&mut self) -> Vec<String> {
        let mut devices = Vec::new();
        for root in self.input.tops().filter(|top| top.name == "/") {
            root.properties().for_each(|property| self.blank(&property.span));
            for child in root.children().filter(|child| !self.input.is_reserved(child) && child.name != "chosen") {
                child.walk(&mut |node| {
                    if node.has("memory-region") {
                        devices.push(node.name.clone());
                    }
                });
                self.blank(&child.span);
            }
        }
        devices
    }

    /// Edits a fragment of the root: properties of the board it was written for do not apply here.
    /// Changes `cells` to those that reserved memory in it states.
    pub(crate) fn root(&mut self, node: &Node, cells: &mut Option<Cells>) {
        for property in node.properties() {
            if property.name.ends_with("-cells") || self.input.is_whole {
                self.blank(&property.span);
            } else {
                self.leave_out(&property.span, format!("/ {}", property.name));
            }
        }
        for child in node.children() {
            if self.input.is_reserved(child) {
                *cells = cells_said(child).or(*cells);
                self.regions(child.children());
            } else if child.kind() == "chosen" {
                let of_linux = |property: &&Property| property.name == "linux,usable-memory-range";
                for property in child.properties().filter(|property| !of_linux(property)) {
                    self.leave_out(&property.span, format!("/chosen {}", property.name));
                }
                for below in child.children() {
                    self.leave_out(&below.span, format!("/chosen/{}", below.name));
                }
            } else if self.input.is_whole {
                // `whole` has left it out.
            } else if is_of_the_board(child) {
                self.leave_out(&child.span, format!("/{}", child.name));
            } else {
                self.device(child);
            }
        }
    }
}
