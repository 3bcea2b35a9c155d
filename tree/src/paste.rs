// SPDX-License-Identifier: MIT OR Apache-2.0

//! The places of a file's nodes in the board's tree, and what is left out of them.

use std::collections::HashSet;
use std::ops::Range;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node as _, Property as _};

use crate::cells::Cells;
use crate::source::{Item, Node, Property, parse};

/// The node that contains the regions.
const RESERVED_MEMORY: &str = "reserved-memory";
/// Children of the root that describe the board of a file.
const OF_THE_BOARD: [&str; 4] = ["aliases", "cpus", "memory", "chosen"];

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
}

fn collect(node: FdtNode<'_>, path: &str, paths: &mut HashSet<String>) {
    for child in node.children() {
        let path = format!("{path}/{}", child.name());
        collect(child, &path, paths);
        paths.insert(path);
    }
}

/// The result for a file.
pub(crate) struct Pasted {
    /// `/memreserve/` entries, which come first.
    pub reservations: String,
    /// Fragments that follow the board's tree.
    pub nodes: String,
    /// The cells of reserved memory, if the file states them.
    pub cells: Option<Cells>,
    /// The file deletes the board's own region.
    pub deletes_vram: bool,
}

/// True for a label that board files use for `/reserved-memory`, whose node is in a file of the
/// SoC.
fn is_reserved_label(label: &str) -> bool {
    let label = label.to_ascii_lowercase();
    ["&reserved_mem", "&resmem", "&rmem", "&res_mem", "&reserved"].iter().any(|start| label.starts_with(start))
}

/// True if the properties of a node show that it is a region.
fn is_region(node: &Node) -> bool {
    ["no-map", "reusable", "alloc-ranges"].iter().any(|name| node.has(name))
}

/// Renames labels of the text that the board has, too, because dtc takes a label once. References
/// in the text then mean its own nodes.
pub(crate) fn own_labels(text: &str, board: &Board) -> String {
    let mut defined = HashSet::new();
    each(&parse(text), &mut |node| {
        defined.extend(node.labels.iter().filter(|label| board.labels.contains(*label)).cloned())
    });
    if defined.is_empty() {
        return text.to_owned();
    }
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut own = String::with_capacity(text.len());
    let (mut rest, mut in_string, mut before) = (text, false, ' ');
    while let Some(letter) = rest.chars().next() {
        let word = &rest[..rest.find(|letter| !is_word(letter)).unwrap_or(rest.len())];
        if word.is_empty() || in_string {
            in_string ^= letter == '"' && before != '\\';
            own.push(letter);
            rest = &rest[letter.len_utf8()..];
            before = letter;
            continue;
        }
        rest = &rest[word.len()..];
        own.push_str(word);
        let is_label = before == '&' || (!"-,.+#@/".contains(before) && rest.trim_start().starts_with(':'));
        if is_label && defined.contains(word) {
            own.push_str("_here");
        }
        before = 'a';
    }
    own
}

/// True for the source of an overlay.
pub(crate) fn is_overlay(text: &str) -> bool {
    parse(text).iter().any(|item| matches!(item, Item::Directive(directive) if directive.name == "/plugin/"))
}

/// Returns the labels and paths that an overlay changes and the board does not have.
pub(crate) fn missing_targets(overlay: Fdt<'_>, board: &Board) -> Vec<String> {
    let root = overlay.root();
    let fixups = root.child("__fixups__");
    let labels = fixups.iter().flat_map(|fixups| fixups.properties()).map(|label| label.name().to_owned());
    let mut missing: Vec<String> =
        labels.filter(|label| !board.labels.contains(label)).map(|label| format!("&{label}")).collect();
    for fragment in root.children() {
        let Some(path) = fragment.property("target-path") else { continue };
        let path = String::from_utf8_lossy(path.value()).trim_end_matches('\0').to_owned();
        if path != "/" && !board.paths.contains(&path) {
            missing.push(path);
        }
    }
    missing
}

/// The place of a node of the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place<'a> {
    /// Unchanged.
    Here,
    /// Into the root.
    Root,
    /// Into `/reserved-memory`.
    Reserved,
    /// The node's children, into `/reserved-memory`.
    Regions,
    /// Into the root, under a name of its own, because the board does not have it.
    StandIn(&'a str),
    /// Left out.
    Out,
}

/// Makes fragments for the board's tree out of a file's text.
///
/// # Errors
/// A line with the reason.
pub(crate) fn paste(text: &str, board: &Board, say: &mut impl FnMut(String)) -> Result<Pasted, String> {
    let items = parse(text);
    let mut defined = HashSet::new();
    let mut reserved_labels = HashSet::new();
    each(&items, &mut |node| {
        defined.extend(node.labels.iter().map(String::as_str));
        if node.name == RESERVED_MEMORY {
            reserved_labels.extend(node.labels.iter().map(|label| format!("&{label}")));
        }
    });
    let directive = |name: &str| items.iter().any(|item| matches!(item, Item::Directive(found) if found.name == name));
    if !items.iter().any(|item| matches!(item, Item::Node(_))) && !directive("/memreserve/") && !directive("/include/")
    {
        return Err(no_node(&items));
    }
    // A board's file names nodes of the SoC's file by their labels.
    let is_elsewhere = |name: &str| {
        let label = name.strip_prefix('&').filter(|label| !label.starts_with('{'));
        label.is_some_and(|label| !board.labels.contains(label) && !defined.contains(label))
    };
    let is_fragment =
        |node: &Node| is_elsewhere(&node.name) && (is_reserved_label(&node.name) || node.children().any(is_region));
    let is_reserved = |node: &Node| {
        node.name == RESERVED_MEMORY
            || node.name == "&{/reserved-memory}"
            || reserved_labels.contains(&node.name)
            || is_fragment(node)
    };
    let tops = || items.iter().filter_map(|item| if let Item::Node(node) = item { Some(node) } else { None });
    let is_whole =
        directive("/dts-v1/") && tops().any(|top| top.name == "/" && top.children().any(|child| child.name == "cpus"));
    if is_whole && text.contains("\"arm,vexpress") {
        return Err(
            "a whole tree: compile it with dtc -I dts -O dtb -o my.dtb FILE, and pass DTB=my.dtb instead".to_owned()
        );
    }
    let has_reserved = tops().any(|top| is_reserved(top) || top.children().any(&is_reserved));
    let is_empty = tops().next().is_some() && tops().all(|top| top.name == "/" && top.children().next().is_none());
    if (is_empty || is_whole && !has_reserved) && !text.contains("/memreserve/") {
        return Err(
            "a tree without reserved memory: there is nothing to take; a tree to boot with goes with DTB=my.dtb"
                .to_owned(),
        );
    }
    if let Some(why) = tops().find_map(|top| unusable_cells(top, &is_reserved)) {
        return Err(why);
    }
    let labels = kept_labels(&items, board, is_whole, &is_reserved);
    let mut editor =
        Editor { text: text.as_bytes().to_vec(), board, labels, is_whole, unknown: Vec::new(), left_out: Vec::new() };
    if is_whole {
        let devices = editor.whole(tops().filter(|top| top.name == "/"), &is_reserved);
        let names = if devices.is_empty() { String::new() } else { format!(", nor {}", devices.join(", ")) };
        say(format!("a whole tree of another board: only its reserved memory is taken, no devices{names}"));
    }
    // Children alone, or whole nodes that belong into the root?
    let has_parent = tops().any(is_reserved);
    let mut pieces = Vec::new();
    let mut reservations = String::new();
    let mut cells = None;
    let mut stood_in = Vec::new();
    for item in &items {
        let node = match item {
            Item::Node(node) => node,
            Item::Property(property) => {
                // Not a node: dtc reports its place.
                pieces.push((Place::Here, property.span.clone()));
                continue;
            }
            Item::Directive(directive) => {
                match directive.name.as_str() {
                    "/memreserve/" => reservations.push_str(&piece(text, &directive.span)),
                    "/dts-v1/" => {}
                    _ if editor.is_known(&directive.argument) || !directive.argument.starts_with('&') => {
                        pieces.push((Place::Here, directive.span.clone()));
                    }
                    _ => editor.left_out.push(format!("{} {}", directive.name, directive.argument)),
                }
                continue;
            }
        };
        let place = match node.name.as_str() {
            "/" => Place::Here,
            name if is_fragment(node) => {
                say(format!("{name} is taken for /reserved-memory"));
                Place::Regions
            }
            name if name.starts_with('&') && editor.is_known(name) => Place::Here,
            name if name.starts_with('&') && names_area(node) && !is_whole => {
                Place::StandIn(name.trim_matches(['&', '{', '}']).rsplit('/').next().unwrap_or_default())
            }
            name if name.starts_with('&') => Place::Out,
            RESERVED_MEMORY => Place::Root,
            _ if has_parent || names_area(node) => Place::Root,
            _ => Place::Reserved,
        };
        match (node.name.as_str(), place) {
            (_, Place::Out) => {
                let is_part = is_region(node) || node.has("size") || node.has("alignment");
                let advice = if is_part { " (a region of another file: give the whole node)" } else { "" };
                editor.left_out.push(format!("{}{advice}", node.name));
                continue;
            }
            ("/", _) => {
                cells = cells_said(node).or(cells);
                editor.root(node, &is_reserved, &mut cells);
            }
            (_, Place::Reserved) => editor.regions(std::iter::once(node)),
            _ if is_reserved(node) => {
                cells = cells_said(node).or(cells);
                editor.regions(node.children());
            }
            (name, Place::StandIn(_)) => {
                stood_in.push(name);
                editor.device(node);
            }
            _ => editor.device(node),
        }
        let span = match place {
            Place::StandIn(_) | Place::Regions => node.body.clone(),
            _ => node.span.clone(),
        };
        pieces.push((place, span));
    }
    let Editor { text, unknown, left_out, .. } = editor;
    if !unknown.is_empty() {
        return Err(format!(
            "{}: no number, and no constant that is known here; write the numbers, or #include what defines them",
            unknown.join(", ")
        ));
    }
    if !stood_in.is_empty() {
        say(format!("not on this board, stood in for by a node without registers: {}", stood_in.join(", ")));
    }
    if !left_out.is_empty() {
        say(format!("left out: {}", left_out.join(", ")));
    }
    let text = String::from_utf8_lossy(&text);
    let mut nodes = String::new();
    for (place, span) in pieces {
        let piece = piece(&text, &span);
        let (before, after) = match place {
            Place::Here => (String::new(), ""),
            Place::Root => ("/ {".to_owned(), "};\n"),
            Place::Reserved | Place::Regions => (format!("/ {{ {RESERVED_MEMORY} {{"), "}; };\n"),
            Place::StandIn(name) => (format!("/ {{ {}: {name} {{", label_of(name)), "}; };\n"),
            Place::Out => continue,
        };
        nodes.push_str(&format!("{before}{piece}{after}"));
    }
    Ok(Pasted { reservations, nodes, cells, deletes_vram: deletes_vram(&items) })
}

/// Returns why a file without a node is refused.
fn no_node(items: &[Item]) -> String {
    let example = "linux,cma { compatible = \"shared-dma-pool\"; reusable; size = <0x4000000>; };";
    if items.iter().any(|item| matches!(item, Item::Property(_))) {
        format!("properties without a node: put them into one, such as {example}")
    } else {
        format!("the file holds no node; a node is {example}")
    }
}

/// True if the board's own region is deleted, by its name or its label.
fn deletes_vram(items: &[Item]) -> bool {
    items.iter().any(|item| match item {
        Item::Directive(directive) => directive.name == "/delete-node/" && directive.argument.contains("vram"),
        Item::Node(node) => deletes_vram(&node.items),
        Item::Property(_) => false,
    })
}

/// True for a child of the root that describes the board, and is left out.
fn is_of_the_board(child: &Node) -> bool {
    OF_THE_BOARD.contains(&child.name.split('@').next().unwrap_or_default())
}

/// Returns the labels that can be referred to: the board's, and those of nodes that are kept.
fn kept_labels<'a>(
    items: &'a [Item],
    board: &'a Board,
    is_whole: bool,
    is_reserved: &impl Fn(&Node) -> bool,
) -> HashSet<&'a str> {
    let mut labels: HashSet<&str> = board.labels.iter().map(String::as_str).collect();
    // A node whose name is the label of a kept one is kept, too.
    loop {
        let before = labels.len();
        for item in items {
            let Item::Node(top) = item else { continue };
            let label = top.name.strip_prefix('&').filter(|label| !label.starts_with('{'));
            let is_out = |label: &str| !labels.contains(label) && !names_area(top) && !is_reserved(top);
            if label.is_some_and(is_out) {
                continue;
            }
            labels.extend(top.labels.iter().map(String::as_str));
            let in_root = |child: &&Node| !is_of_the_board(child) && (!is_whole || is_reserved(child));
            for child in top.children().filter(|child| top.name != "/" || in_root(child)) {
                child.walk(&mut |node| labels.extend(node.labels.iter().map(String::as_str)));
            }
        }
        if labels.len() == before {
            return labels;
        }
    }
}

/// Makes a label out of a node's name.
fn label_of(name: &str) -> String {
    name.chars().map(|byte| if byte.is_ascii_alphanumeric() { byte } else { '_' }).collect()
}

fn each<'a>(items: &'a [Item], visit: &mut impl FnMut(&'a Node)) {
    for item in items {
        if let Item::Node(node) = item {
            node.walk(visit);
        }
    }
}

/// True for a device that names an area, and for one above such a device.
fn names_area(node: &Node) -> bool {
    let mut found = false;
    node.walk(&mut |node| found |= node.has("memory-region") || node.has("CMA-name"));
    found
}

/// Returns the line for reserved memory, or a root above it, whose cells cannot hold a number.
fn unusable_cells(top: &Node, is_reserved: &impl Fn(&Node) -> bool) -> Option<String> {
    let below = top.children().filter(|child| top.name == "/" && is_reserved(child));
    let nodes = (top.name == "/" || is_reserved(top)).then_some(top).into_iter().chain(below);
    let mut said = nodes.flat_map(|node| node.properties().map(move |property| (&node.name, property)));
    let (node, property) = said.find(|(_, property)| {
        matches!(property.name.as_str(), "#address-cells" | "#size-cells")
            && matches!(property.numbers[..], [count] if !(1..=4).contains(&count))
    })?;
    Some(format!("{node}: {} = <{}>: an address or a size has 1 to 4 cells", property.name, property.numbers[0]))
}

/// Returns the cells that a node states, if any.
fn cells_said(node: &Node) -> Option<Cells> {
    let said = |name: &str| match node.properties().find(|property| property.name == name)?.numbers[..] {
        [count @ 1..=4] => Some(count as usize),
        _ => None,
    };
    match (said("#address-cells"), said("#size-cells")) {
        (None, None) => None,
        (address, size) => Some(Cells { address: address.unwrap_or(1), size: size.unwrap_or(1) }),
    }
}

/// Returns a piece of the text, after a marker with its place for dtc.
fn piece(text: &str, span: &Range<usize>) -> String {
    let mut line = 1_u64;
    let mut file = String::new();
    for before in text[..span.start].split_inclusive('\n') {
        let marker = before.strip_prefix("# ").and_then(|marker| marker.trim_end().split_once(' '));
        match marker.and_then(|(number, name)| Some((number.parse().ok()?, name))) {
            Some((number, name)) => {
                line = number;
                file = name.split_inclusive('"').take(2).collect();
            }
            None if before.ends_with('\n') => line += 1,
            None => {}
        }
    }
    format!("\n# {line} {file}\n{}\n", &text[span.clone()])
}

/// Removes parts of a text that the board's tree cannot use.
struct Editor<'a> {
    text: Vec<u8>,
    board: &'a Board,
    labels: HashSet<&'a str>,
    /// The text is a whole tree, of which only reserved memory is taken.
    is_whole: bool,
    /// Names in the cells of regions that are not defined.
    unknown: Vec<String>,
    /// The parts that were left out.
    left_out: Vec<String>,
}

impl Editor<'_> {
    fn is_known(&self, reference: &str) -> bool {
        match reference.strip_prefix("&{") {
            Some(path) => self.board.paths.contains(path.trim_end_matches('}')) || path == "/}",
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

    fn device(&mut self, node: &Node) {
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

    fn regions<'n>(&mut self, nodes: impl Iterator<Item = &'n Node>) {
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
    fn whole<'n>(
        &mut self,
        roots: impl Iterator<Item = &'n Node>,
        is_reserved: &impl Fn(&Node) -> bool,
    ) -> Vec<String> {
        let mut devices = Vec::new();
        for root in roots {
            root.properties().for_each(|property| self.blank(&property.span));
            for child in root.children().filter(|child| !is_reserved(child) && child.name != "chosen") {
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
    fn root(&mut self, node: &Node, is_reserved: &impl Fn(&Node) -> bool, cells: &mut Option<Cells>) {
        for property in node.properties() {
            if property.name.ends_with("-cells") || self.is_whole {
                self.blank(&property.span);
            } else {
                self.leave_out(&property.span, format!("/ {}", property.name));
            }
        }
        for child in node.children() {
            let kind = child.name.split('@').next().unwrap_or_default();
            if is_reserved(child) {
                *cells = cells_said(child).or(*cells);
                self.regions(child.children());
            } else if kind == "chosen" {
                let of_linux = |property: &&Property| property.name == "linux,usable-memory-range";
                for property in child.properties().filter(|property| !of_linux(property)) {
                    self.leave_out(&property.span, format!("/chosen {}", property.name));
                }
                for below in child.children() {
                    self.leave_out(&below.span, format!("/chosen/{}", below.name));
                }
            } else if self.is_whole {
                // `whole` has left it out.
            } else if is_of_the_board(child) {
                self.leave_out(&child.span, format!("/{}", child.name));
            } else {
                self.device(child);
            }
        }
    }
}
