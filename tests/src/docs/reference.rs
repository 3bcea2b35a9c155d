// SPDX-License-Identifier: MIT OR Apache-2.0

//! The parts of the reference pages that are generated from the monitor's tables: usages, help,
//! keys, values, placements.
//!
//! A part is between `<!-- generated: WORDS -->` and `<!-- end -->`; the text around it is written
//! by hand. WORDS are
//!
//! | words | the part is |
//! |---|---|
//! | `command NAME` | usage, help, example, words and keys of a command |
//! | `keys NAME` | keys of a command |
//! | `keys of all loads` | keys that every load takes |
//! | `placements` | the placements, with their parameters |
//! | `words of NAME` | the words that can follow the command |
//! | `capitals` | meanings of the words in capitals |

use std::fmt::Write;

use kernel::lab::help::{Help, specs};
use kernel::lab::load;
use kernel::machine::Machine;
use kernel::monitor::help::{KEYS_OF_ALL_LOADS, expanded};
use kernel::monitor::help_of_all;
use kernel::monitor::values::{VALUES, explain, key_of_command};

/// Begins a part only at the beginning of a line, so that a page can mention it.
const BEGIN: &str = "\n<!-- generated: ";
const END: &str = "<!-- end -->";

/// Returns the page's text with its parts generated anew.
///
/// # Errors
/// The words of a part that are not valid, or a part without an end.
pub fn generated(text: &str) -> Result<String, String> {
    let mut pieces = text.split(BEGIN);
    let mut made = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (words, rest) =
            piece.split_once(" -->\n").ok_or_else(|| "a part whose first line does not end in `-->`".to_owned())?;
        let (_, rest) = rest.split_once(END).ok_or_else(|| format!("no {END} behind generated: {words}"))?;
        let part = part(words).ok_or_else(|| format!("generated: {words} means nothing"))?;
        let _ = write!(made, "{BEGIN}{words} -->\n{}\n{END}{rest}", part.trim_end());
    }
    Ok(made)
}

/// Returns the commands that the page has a part for, in their order.
pub fn commands_of(text: &str) -> Vec<&str> {
    let words = text.split(BEGIN).skip(1).filter_map(|piece| piece.split_once(" -->")).map(|(words, _)| words);
    words.filter_map(|words| words.strip_prefix("command ")).collect()
}

fn part(words: &str) -> Option<String> {
    let find = |name: &str| help_of_all::<dyn Machine>().find(|help| help.name == name);
    match words.split_once(' ') {
        Some(("command", name)) => find(name).map(|help| command(&help)),
        Some(("keys", "of all loads")) => Some(keys_table("", specs(KEYS_OF_ALL_LOADS))),
        Some(("keys", name)) => find(name).map(|help| keys_table(name, specs(&expanded(help.usage)))),
        None if words == "placements" => Some(placements()),
        Some(("words", rest)) => {
            rest.strip_prefix("of ").and_then(find).map(|help| words_table(help.name, &expanded(help.usage)))
        }
        None if words == "capitals" => Some(capitals()),
        _ => None,
    }
}

/// Describes a command: its usage, summary, an example, its words and keys.
fn command(help: &Help) -> String {
    let is_load = load::find(help.name).is_some();
    let usage = expanded(help.usage);
    let mut text = format!("**`{}`** {}.", typed(help.name, &usage, is_load), help.summary);
    if !help.details.is_empty() {
        let _ = write!(text, " {}", prose(&expanded(help.details)));
    }
    let _ = writeln!(text, " Example: `{}`", help.example);
    let words = words_table(help.name, &usage);
    if !words.is_empty() {
        let _ = write!(text, "\n{words}");
    }
    let keys = || specs(&usage).filter(|spec| spec.contains('='));
    let (shared, own): (Vec<&str>, Vec<&str>) = keys().partition(|spec| !is_load && is_of_loads(help.name, spec));
    if !own.is_empty() {
        text.push('\n');
        text.push_str(&keys_table(help.name, own.into_iter()));
    }
    if !shared.is_empty() {
        let keys: Vec<String> = shared.into_iter().map(|spec| format!("`{}=`", key_of(spec))).collect();
        let _ = writeln!(text, "\nAs for [loads](#loads): {}.", keys.join(", "));
    }
    text
}

/// Returns the usage, without its keys if there are many: they have a table.
fn typed(name: &str, usage: &str, is_load: bool) -> String {
    let is_key = |word: &&str| word.contains('=');
    let many = is_load || usage.split(' ').filter(is_key).count() > 2;
    let words = usage.split(' ').filter(|word| !many || !is_key(word));
    let keys = [("[KEY=VALUE...]", many), ("[&]", is_load)].into_iter().filter(|(_, there)| *there);
    let words = std::iter::once(name).chain(words).chain(keys.map(|(word, _)| word)).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// True if a load takes the key, with the same values, and the command has no meaning of its own
/// for it.
fn is_of_loads(command: &str, spec: &str) -> bool {
    let of_one = || load::LOADS.iter().flat_map(|load| specs(load.help.usage));
    let is_taken = specs(KEYS_OF_ALL_LOADS).chain(of_one()).any(|taken| taken == spec);
    is_taken && key_of_command(command, key_of(spec)).is_some_and(|row| row.of.is_empty())
}

fn key_of(spec: &str) -> &str {
    spec.split('=').next().unwrap_or_default()
}

/// Returns a row for each word that can follow the command; empty if there is none.
fn words_table(command: &str, usage: &str) -> String {
    let mut text = String::new();
    let words = specs(usage).filter(|spec| !spec.contains('=')).flat_map(|spec| spec.split('|')).collect::<Vec<_>>();
    for value in VALUES.iter().filter(|value| value.of == command && words.contains(&value.name)) {
        if text.is_empty() {
            text.push_str("| word | means |\n|---|---|\n");
        }
        let _ = writeln!(text, "| `{}` | {} |", value.name, in_cell(value.meaning));
    }
    text
}

/// Returns a row for each key, and one for each word that it can be set to.
fn keys_table<'s>(command: &str, specs: impl Iterator<Item = &'s str>) -> String {
    let mut text = String::from("| key | sets |\n|---|---|\n");
    for (key, choices) in specs.filter_map(|spec| spec.split_once('=')) {
        let meaning = key_of_command(command, key).map_or("", |row| row.meaning);
        let _ = writeln!(text, "| `{key}={}` | {} |", choices.replace('|', "\\|"), in_cell(meaning));
        for choice in choices.split('|') {
            let Some(value) = VALUES.iter().find(|value| value.of == key && value.name == choice) else { continue };
            let _ = writeln!(text, "| &emsp;`{}` | {} |", value.name, in_cell(value.meaning));
        }
    }
    text
}

fn placements() -> String {
    let mut text = String::from("| name | where a buffer goes |\n|---|---|\n");
    for entry in explain::<dyn Machine>("placement").iter().filter(|entry| !entry.name.is_empty()) {
        let parameters = if entry.parameters.is_empty() { String::new() } else { format!("[{}]", entry.parameters) };
        let _ = writeln!(text, "| `{}{parameters}` | {} |", entry.name, in_cell(entry.meaning));
    }
    text
}

fn capitals() -> String {
    let mut text = String::from("| word | stands for |\n|---|---|\n");
    for value in VALUES.iter().filter(|value| value.of.is_empty()) {
        let _ = writeln!(text, "| {} | {} |", value.name, in_cell(value.meaning));
    }
    text
}

/// Escapes `|`, which ends a cell.
fn in_cell(text: &str) -> String {
    prose(text).replace('|', "\\|")
}

/// Escapes `*` and `<`, which are Markdown syntax outside of code.
fn prose(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let parts = parts
        .map(|(place, part)| if place % 2 == 1 { part.into() } else { part.replace('*', "\\*").replace('<', "&lt;") });
    parts.collect::<Vec<String>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::{commands_of, generated};

    const PAGE: &str = "# T\n<!-- generated: command wait -->\nold\n<!-- end -->\nby hand\n";

    #[test]
    fn a_part_is_made_of_the_tables_and_the_rest_stays() {
        let made = generated(PAGE).expect("a page");
        assert!(made.starts_with("# T\n<!-- generated: command wait -->\n**`wait [N|all] [steps=N]`**"), "{made}");
        assert!(made.contains("| `steps=N` | most steps to wait"), "{made}");
        assert!(made.ends_with("\n<!-- end -->\nby hand\n") && !made.contains("old"), "{made}");
        assert_eq!(generated(&made).as_ref(), Ok(&made));
        assert_eq!(commands_of(&made), ["wait"]);
    }

    #[test]
    fn words_that_mean_nothing_are_named() {
        for part in ["command nothing -->\n<!-- end -->", "capitals -->\n", ""] {
            assert!(generated(&format!("# T\n<!-- generated: {part}")).is_err(), "{part}");
        }
        for page in ["nothing", "Here `<!-- generated: ` is only spoken of\n"] {
            assert_eq!(generated(page).as_deref(), Ok(page));
        }
    }
}
