// SPDX-License-Identifier: MIT OR Apache-2.0

//! Chooses the places of a file's nodes in the board's tree, and makes the text for dtc.

use std::ops::Range;

use crate::board::Board;
use crate::cells::Cells;
use crate::editor::Editor;
use crate::input::{Input, RESERVED_MEMORY, cells_said, is_region, names_area};
use crate::source::{Directive, Item, Node, parse};

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

/// True for the source of an overlay.
pub(crate) fn is_overlay(text: &str) -> bool {
    parse(text).iter().any(|item| matches!(item, Item::Directive(directive) if directive.name == "/plugin/"))
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

impl Place<'_> {
    /// Returns a piece of the file's text with the nodes around it.
    fn wrap(self, piece: &str) -> String {
        match self {
            Self::Here => piece.to_owned(),
            Self::Root => format!("/ {{{piece}}};\n"),
            Self::Reserved | Self::Regions => format!("/ {{ {RESERVED_MEMORY} {{{piece}}}; }};\n"),
            Self::StandIn(name) => format!("/ {{ {}: {name} {{{piece}}}; }};\n", label_of(name)),
            Self::Out => String::new(),
        }
    }
}

/// Makes fragments for the board's tree out of a file's text.
///
/// # Errors
/// A line with the reason.
pub(crate) fn paste(text: &str, board: &Board, say: &mut impl FnMut(String)) -> Result<Pasted, String> {
    let items = parse(text);
    let input = Input::new(&items, board);
    if let Some(why) = input.refusal(text) {
        return Err(why);
    }
    let mut editor = Editor::new(text, &input);
    if input.is_whole {
        let devices = editor.whole();
        let names = if devices.is_empty() { String::new() } else { format!(", nor {}", devices.join(", ")) };
        say(format!("a whole tree of another board: only its reserved memory is taken, no devices{names}"));
    }
    let mut pieces = Vec::new();
    let mut reservations = String::new();
    let mut cells = None;
    let mut stood_in = Vec::new();
    for item in &items {
        let node = match item {
            Item::Node(node) => node,
            // Not a node: dtc reports its place.
            Item::Property(property) => {
                pieces.push((Place::Here, property.span.clone()));
                continue;
            }
            Item::Directive(found) if found.name == "/memreserve/" => {
                reservations.push_str(&piece(text, &found.span));
                continue;
            }
            Item::Directive(found) => {
                pieces.extend(directive(found, &mut editor).map(|place| (place, found.span.clone())));
                continue;
            }
        };
        let place = place_of(node, &input, &editor);
        match place {
            Place::Out => {
                let is_part = is_region(node) || node.has("size") || node.has("alignment");
                let advice = if is_part { " (a region of another file: give the whole node)" } else { "" };
                editor.omit(format!("{}{advice}", node.name));
                continue;
            }
            Place::Reserved => editor.regions(std::iter::once(node)),
            _ if node.name == "/" => {
                cells = cells_said(node).or(cells);
                editor.root(node, &mut cells);
            }
            _ if input.is_reserved(node) => {
                cells = cells_said(node).or(cells);
                editor.regions(node.children());
            }
            _ => editor.device(node),
        }
        match place {
            Place::Regions => say(format!("{} is taken for /reserved-memory", node.name)),
            Place::StandIn(_) => stood_in.push(&*node.name),
            _ => {}
        }
        let is_renamed = matches!(place, Place::StandIn(_) | Place::Regions);
        pieces.push((place, if is_renamed { &node.body } else { &node.span }.clone()));
    }
    let (text, left_out) = editor.finish()?;
    if !stood_in.is_empty() {
        say(format!("not on this board, stood in for by a node without registers: {}", stood_in.join(", ")));
    }
    if !left_out.is_empty() {
        say(format!("left out: {}", left_out.join(", ")));
    }
    let nodes = pieces.into_iter().map(|(place, span)| place.wrap(&piece(&text, &span))).collect();
    Ok(Pasted { reservations, nodes, cells, deletes_vram: input.deletes_vram() })
}

/// Returns the place of a directive outside of nodes, or leaves it out.
fn directive<'a>(directive: &Directive, editor: &mut Editor<'_>) -> Option<Place<'a>> {
    if directive.name == "/dts-v1/" {
        return None;
    }
    if editor.is_known(&directive.argument) || !directive.argument.starts_with('&') {
        return Some(Place::Here);
    }
    editor.omit(format!("{} {}", directive.name, directive.argument));
    None
}

/// Chooses the place of a node that is in no other node.
fn place_of<'a>(node: &'a Node, input: &Input<'_>, editor: &Editor<'_>) -> Place<'a> {
    match node.name.as_str() {
        "/" => Place::Here,
        _ if input.is_foreign_reserved(node) => Place::Regions,
        name if name.starts_with('&') && editor.is_known(name) => Place::Here,
        name if name.starts_with('&') && names_area(node) && !input.is_whole => {
            Place::StandIn(name.trim_matches(['&', '{', '}']).rsplit('/').next().unwrap_or_default())
        }
        name if name.starts_with('&') => Place::Out,
        RESERVED_MEMORY => Place::Root,
        // Children of `/reserved-memory` alone, or whole nodes that belong into the root.
        _ if input.has_parent || names_area(node) => Place::Root,
        _ => Place::Reserved,
    }
}

/// Makes a label out of a node's name.
fn label_of(name: &str) -> String {
    name.chars().map(|byte| if byte.is_ascii_alphanumeric() { byte } else { '_' }).collect()
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
