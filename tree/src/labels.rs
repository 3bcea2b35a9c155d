// SPDX-License-Identifier: MIT OR Apache-2.0

//! Labels that the board and a file both have.

use std::collections::HashSet;

use crate::board::Board;
use crate::source::{Item, parse};

/// Renames labels of the text that the board has, too, because dtc takes a label once. References
/// in the text then mean its own nodes.
pub(crate) fn own_labels(text: &str, board: &Board) -> String {
    let mut defined = HashSet::new();
    for node in parse(text).iter().filter_map(Item::node) {
        node.walk(&mut |node| defined.extend(node.labels.iter().filter(|label| board.has_label(label)).cloned()));
    }
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
