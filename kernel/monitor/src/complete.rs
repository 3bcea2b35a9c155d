// SPDX-License-Identifier: MIT OR Apache-2.0

//! Completion: candidates for the word at the cursor. A pure function of the line in front of the
//! cursor, the commands' usages, and the areas and files.
//!
//! The candidates come from a command's usage: `alloc AREA PAGES`, `[rng=glibc|wyrand]`, `ID|all`.
//! Words in capitals stand for others, some of which can be listed; all others are typed as they
//! are. So every command that has a usage can be completed.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::help::Usage;
use super::syntax::split_outside_quotes;
use super::{Context, commands, files, selftest};
use lab::bench;
use machine::Machine;
use placements::PLACEMENTS;
use system::System;

/// The result of a completion.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Completion {
    /// Common text of all candidates after what was typed; for a single candidate also the
    /// character that ends the word.
    pub(super) insert: String,
    /// The candidates, as a list shows them.
    pub(super) candidates: Vec<String>,
}

/// Candidates, all of which begin with `typed`.
struct Matches<'l> {
    typed: &'l str,
    words: Vec<String>,
    /// Text that ends a single candidate, unless that ends in `/` or `=`.
    ending: &'static str,
}

/// Completes the line in front of the cursor.
pub(super) fn complete<M: Machine + ?Sized>(system: &System<'_>, context: &Context<'_>, before: &str) -> Completion {
    let command = split_outside_quotes(before, ';').last().unwrap_or_default();
    let mut stages = split_outside_quotes(command, '|');
    let first = stages.next().unwrap_or_default();
    let (stage, filters) = stages.last().map_or((first, false), |stage| (stage, true));
    let mut words: Vec<&str> = split_outside_quotes(stage, ' ').collect();
    let typed = words.pop().unwrap_or_default();
    words.retain(|word| !word.is_empty());
    let (typed, quote) = unquoted(typed);
    let mut found = Complete { system, context }.words::<M>(&words, typed, filters);
    if !quote.is_empty() && found.ending == " " {
        found.ending = if quote == "\"" { "\" " } else { "' " };
    }
    found.finish()
}

/// Returns a word without its opening quote, and that quote, if it is still open at the end.
fn unquoted(word: &str) -> (&str, &str) {
    for quote in ["\"", "'"] {
        if let Some(rest) = word.strip_prefix(quote)
            && !rest.contains(quote)
        {
            return (rest, quote);
        }
    }
    (word, "")
}

impl Matches<'_> {
    fn finish(mut self) -> Completion {
        self.words.retain(|word| word.starts_with(self.typed));
        self.words.sort_unstable();
        self.words.dedup();
        let Some(first) = self.words.first() else { return Completion::default() };
        let common = self.words.iter().fold(first.as_str(), |common, word| {
            let same = common.char_indices().zip(word.chars()).take_while(|((_, a), b)| a == b);
            let end = same.last().map_or(0, |((at, character), _)| at + character.len_utf8());
            common.get(..end).unwrap_or_default()
        });
        let mut insert = common.get(self.typed.len()..).unwrap_or_default().to_owned();
        if let [only] = &self.words[..]
            && !only.ends_with(['/', '='])
        {
            insert.push_str(self.ending);
        }
        // A list of files shows their names inside the directory.
        let directory = self.typed.rfind('/').map_or(0, |slash| slash + 1);
        let candidates = self.words.iter().filter_map(|word| word.get(directory..)).map(ToString::to_string).collect();
        // The editor takes printable ASCII only; an area's name can have other characters.
        let insert = if insert.bytes().all(|byte| (b' '..=b'~').contains(&byte)) { insert } else { String::new() };
        Completion { insert, candidates }
    }
}

struct Complete<'c, 'm> {
    system: &'c System<'m>,
    context: &'c Context<'c>,
}

impl Complete<'_, '_> {
    fn words<'l, M: Machine + ?Sized>(&self, before: &[&str], typed: &'l str, filters: bool) -> Matches<'l> {
        let plain = |words| Matches { typed, words, ending: " " };
        if filters {
            return plain(if before.is_empty() { Vec::from(["grep".to_string()]) } else { Vec::new() });
        }
        let Some((name, before)) = before.split_first() else { return plain(command_names::<M>()) };
        // echo N > PATH, also without blanks.
        if let Some((_, path)) = typed.rsplit_once('>') {
            return Matches { typed: path, words: self.paths(path), ending: " " };
        }
        if before.last().is_some_and(|word| word.ends_with('>')) {
            return plain(self.paths(typed));
        }
        let Some(command) = commands::find::<M>(name) else { return plain(Vec::new()) };
        let usage = command.usage();
        if let Some((key, value)) = typed.split_once('=') {
            // In a list, the part after the last comma is completed.
            let last = value.rsplit_once(',').map_or(value, |(_, last)| last);
            let values = usage.specs().find_map(|spec| spec.strip_prefix(key)?.strip_prefix('='));
            let values = values.map(|values| if key == "area" { "AREA" } else { values });
            let list = values.is_some_and(|values| values.contains(','));
            let words = values.map_or_else(Vec::new, |values| self.meanings::<M>(name, values, last));
            return Matches { typed: last, words, ending: if list { "" } else { " " } };
        }
        let is_option = |word: &str| word.starts_with('-') && word.len() > 1;
        let place = before.iter().filter(|word| !word.contains('=') && !is_option(word)).count();
        let mut words: Vec<String> = Vec::new();
        if let Some(spec) = word_spec(&usage, place) {
            words = self.meanings::<M>(name, spec, typed);
        }
        let given = |key: &str| before.iter().any(|word| word.split_once('=').is_some_and(|(before, _)| before == key));
        words.extend(usage.keys().filter(|&key| !given(key)).map(|key| format!("{key}=")));
        plain(words)
    }

    /// Returns the words that the alternatives of a usage stand for.
    fn meanings<M: Machine + ?Sized>(&self, command: &str, spec: &str, typed: &str) -> Vec<String> {
        let mut words = Vec::new();
        for alternative in spec.split([',', '|']) {
            match alternative {
                "AREA" => words.extend(self.areas()),
                "DEVICE" => words.extend(self.system.dma().known().map(String::from)),
                "COMMAND" => words.extend(command_names::<M>()),
                "PATH" => words.extend(self.paths(typed)),
                "NAME" if command == "bench" => words.extend(bench::names::<M>().map(String::from)),
                "NAME" if command == "selftest" => words.extend(selftest::names(self.context).map(String::from)),
                "PLACEMENT" => words.extend(PLACEMENTS.iter().map(|placement| placement.name.to_string())),
                // Capitals that cannot be listed, and digits, which are default values.
                _ if !alternative.starts_with(|first: char| first.is_ascii_lowercase()) => {}
                _ => words.push(alternative.to_string()),
            }
        }
        words
    }

    fn areas(&self) -> impl Iterator<Item = String> {
        self.system.areas().iter().map(|area| area.name().to_string())
    }

    /// Returns files and directories of the directory in `typed`.
    fn paths(&self, typed: &str) -> Vec<String> {
        let directory = typed.rsplit_once('/').map_or("", |(directory, _)| directory);
        let above = if typed.contains('/') { format!("{directory}/") } else { String::new() };
        let names = files::list(self.system, &format!("{directory}/"));
        names.iter().map(|name| format!("{above}{name}")).collect()
    }
}

fn command_names<M: Machine + ?Sized>() -> Vec<String> {
    commands::all::<M>().map(|command| command.help.name.to_string()).collect()
}

/// Returns the spec of the word at `place`; dots repeat the last spec.
fn word_spec(usage: &Usage, place: usize) -> Option<&str> {
    let mut last = None;
    for (at, (spec, _)) in usage.words().enumerate() {
        if at == place {
            return Some(spec.trim_end_matches('.'));
        }
        last = Some(spec);
    }
    last.and_then(|spec| spec.strip_suffix("..."))
}

#[cfg(test)]
mod tests;
