// SPDX-License-Identifier: MIT OR Apache-2.0

//! The names in the board's tree that a file can refer to: labels and paths.

use std::collections::HashSet;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node as _, Property as _};

/// The labels and paths of the board's tree.
pub(crate) struct Board {
    labels: HashSet<String>,
    paths: HashSet<String>,
}

impl Board {
    /// Reads the labels and paths of a tree with symbols.
    pub(crate) fn new(tree: Fdt<'_>) -> Self {
        let symbols = tree.root().child("__symbols__");
        let labels = symbols.iter().flat_map(|symbols| symbols.properties()).map(|label| label.name().to_owned());
        let mut paths = HashSet::new();
        collect(tree.root(), "", &mut paths);
        Self { labels: labels.collect(), paths }
    }

    /// True if a node has this label.
    pub(crate) fn has_label(&self, label: &str) -> bool {
        self.labels.contains(label)
    }

    /// True if there is a node with this absolute path.
    pub(crate) fn has_path(&self, path: &str) -> bool {
        path == "/" || self.paths.contains(path)
    }

    /// Returns the labels.
    pub(crate) fn labels(&self) -> impl Iterator<Item = &str> {
        self.labels.iter().map(String::as_str)
    }

    /// Returns the labels and paths that an overlay changes and the board does not have.
    pub(crate) fn missing_targets(&self, overlay: Fdt<'_>) -> Vec<String> {
        let root = overlay.root();
        let fixups = root.child("__fixups__");
        let labels = fixups.iter().flat_map(|fixups| fixups.properties()).map(|label| label.name().to_owned());
        let mut missing: Vec<String> =
            labels.filter(|label| !self.has_label(label)).map(|label| format!("&{label}")).collect();
        for fragment in root.children() {
            let Some(path) = fragment.property("target-path") else { continue };
            let path = String::from_utf8_lossy(path.value()).trim_end_matches('\0').to_owned();
            if !self.has_path(&path) {
                missing.push(path);
            }
        }
        missing
    }
}

fn collect(node: FdtNode<'_>, path: &str, paths: &mut HashSet<String>) {
    for child in node.children() {
        let path = format!("{path}/{}", child.name());
        collect(child, &path, paths);
        paths.insert(path);
    }
}
