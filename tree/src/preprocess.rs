// SPDX-License-Identifier: MIT OR Apache-2.0

//! Makes device tree source without includes and macros out of a file's text.

use std::path::Path;

use crate::source::{Directive, Item, parse};
use crate::tools;

/// Returns why a patch is refused; `None` if the text is not a patch.
pub(crate) fn is_patch(text: &str) -> Option<&'static str> {
    let mut lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let is_marked = |line: &str| line.starts_with("@@ -") || line.starts_with("<<<<<<< ") || line.starts_with("+++ ");
    let is_added = text.starts_with('+') && lines.clone().all(|line| line.starts_with('+'));
    let found = lines.any(is_marked) || is_added;
    found.then_some("a patch: apply it and pass the file that it changes, or give the nodes without + and -")
}

/// Returns the name of the directive in a line that only a preprocessor understands.
fn is_directive(line: &str) -> Option<&str> {
    let word = line.trim_start().strip_prefix('#')?.trim_start();
    let end = word.find(|byte: char| !byte.is_ascii_lowercase()).unwrap_or(word.len());
    let ends = word[end..].is_empty() || word[end..].starts_with([' ', '\t', '"', '<', '\r']);
    let known =
        ["include", "define", "undef", "if", "ifdef", "ifndef", "else", "elif", "endif", "error", "pragma", "warning"];
    (ends && known.contains(&&word[..end])).then_some(&word[..end])
}

/// True if there are names in cells.
fn has_names(items: &[Item]) -> bool {
    items.iter().any(|item| match item {
        Item::Property(property) => !property.names.is_empty(),
        Item::Node(node) => has_names(&node.items),
        Item::Directive(_) => false,
    })
}

/// Removes dtc's own includes of files that do not exist: in a board's file they are the SoC's.
fn without_missing_includes(text: String, include: [&Path; 2], say: &mut impl FnMut(String)) -> String {
    let mut missing = Vec::new();
    for item in parse(&text) {
        if let Item::Directive(Directive { name, argument, span }) = item
            && name == "/include/"
            && !include.iter().any(|directory| directory.join(&argument).is_file())
        {
            say(format!("left out, because it is not there: /include/ {argument}"));
            missing.push(span);
        }
    }
    let mut text = text;
    for span in missing.into_iter().rev() {
        text.replace_range(span, "");
    }
    text
}

/// Runs the preprocessor over a text that needs it. Includes of missing files are left out, with a
/// line for each.
pub(crate) fn preprocess(
    text: String,
    [dts, directory]: [&Path; 2],
    say: &mut impl FnMut(String),
) -> Result<String, String> {
    let text = without_missing_includes(text, [dts, directory], say);
    if !text.lines().any(|line| is_directive(line).is_some()) && !has_names(&parse(&text)) {
        return Ok(text);
    }
    let mut kept = String::new();
    for line in text.lines() {
        let wanted =
            (is_directive(line) == Some("include")).then(|| line.split(['"', '<', '>']).nth(1).unwrap_or_default());
        let is_there = |file: &str| {
            directory.join(file).is_file()
                || directory.ancestors().any(|above| above.join("include").join(file).is_file())
        };
        match wanted {
            Some(file) if !is_there(file) => say(format!("left out, because it is not there: #include {file}")),
            _ => kept.push_str(line),
        }
        kept.push('\n');
    }
    match tools::cpp(directory, kept.as_bytes())? {
        Some(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
        None if kept.lines().any(|line| is_directive(line).is_some()) => {
            Err("the file needs the C preprocessor: install cpp".to_owned())
        }
        None => Ok(kept),
    }
}
