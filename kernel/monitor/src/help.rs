// SPDX-License-Identifier: MIT OR Apache-2.0

//! Usages of the commands, and the texts of `help`, with placeholders for names from tables.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use lab::help::{Help, specs};
use lab::load::{self, LOADS};
use lab::pressure::Experiment;
use machine::Fault;
use placements::PLACEMENTS;

/// Maximum of words of a command.
pub const MAX_WORDS: usize = 32;

/// The keys that all loads take besides their own.
pub const KEYS_OF_ALL_LOADS: &str = "[area=NAME] [seed=1577527915] [rng=glibc|wyrand] [align=order|page|ORDER] \
    [placement=PLACEMENT] [until=failure|ops] [ops=5000000] [rounds=1] [sample=N] [bitmap=off|on] [relocatable=1000] \
    [timed=1] [rate=N] [&]";

/// The complete usage of a command: its name, and all words and keys that it takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Usage(String);

impl Usage {
    /// Returns the usage of a command or load.
    pub fn of(help: &Help) -> Self {
        let mut text = help.name.to_string();
        let shared = if load::find(help.name).is_some() { KEYS_OF_ALL_LOADS } else { "" };
        for part in [&expanded(help.usage), shared].into_iter().filter(|part| !part.is_empty()) {
            text.push(' ');
            text.push_str(part);
        }
        Self(text)
    }

    /// Returns the usage as printed.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Returns the words and keys that follow the name, without brackets.
    pub fn specs(&self) -> impl Iterator<Item = &str> {
        specs(&self.0).skip(1)
    }

    /// Returns the keys that the command takes.
    pub fn keys(&self) -> impl Iterator<Item = &str> + Clone {
        self.0
            .split_ascii_whitespace()
            .filter_map(|word| word.trim_start_matches('[').split_once('='))
            .map(|(key, _)| key)
    }

    /// Returns the words that the command takes, without options: the spec of each, and true if the
    /// word is required.
    pub fn words(&self) -> impl Iterator<Item = (&str, bool)> {
        let words = self.0.split_ascii_whitespace().skip(1).take_while(|word| !word.contains('>'));
        let words = words.filter(|word| !word.contains(['=', '&']));
        let words = words.map(|word| (word.trim_matches(['[', ']']), !word.starts_with('[')));
        words.filter(|(word, _)| !word.starts_with('-'))
    }

    /// Returns the place of the word that names an area, if there is one.
    pub fn area_place(&self) -> Option<usize> {
        self.words().position(|(word, _)| word == "AREA")
    }

    /// Returns the fewest and the most words that the command takes.
    pub fn word_counts(&self) -> (usize, usize) {
        let (mut least, mut most) = (0, 0);
        for (word, has_to_be) in self.words() {
            least += usize::from(has_to_be);
            most = if word.ends_with("...") { MAX_WORDS } else { most + 1 };
        }
        (least, most.min(MAX_WORDS))
    }

    /// True if a word with a `=` is a word like others.
    pub fn takes_any_word(&self) -> bool {
        self.0.contains("WORD")
    }
}

/// A placeholder in braces, and the function that returns its replacement.
type Placeholder = (&'static str, fn() -> String);

/// All placeholders.
const NAMES: &[Placeholder] = &[
    ("{loads}", || load::names().collect::<Vec<_>>().join("|")),
    ("{parameters of loads}", parameters_of_loads),
    ("{placements}", || {
        let usual = |parameters: &str| if parameters.is_empty() { String::new() } else { format!("[{parameters}]") };
        PLACEMENTS
            .iter()
            .map(|entry| format!("{}{}", entry.name, usual(entry.parameters)))
            .collect::<Vec<_>>()
            .join(", ")
    }),
    ("{experiments}", || Experiment::ALL.iter().map(|experiment| experiment.name()).collect::<Vec<_>>().join("|")),
    ("{faults}", || Fault::ALL.iter().map(|fault| fault.name()).collect::<Vec<_>>().join("|")),
];

/// Replaces the placeholders of `text`.
pub fn expanded(text: &str) -> String {
    NAMES.iter().fold(
        text.to_string(),
        |text, (braces, names)| {
            if text.contains(braces) { text.replace(braces, &names()) } else { text }
        },
    )
}

/// Returns the parameters of all loads, each key once.
fn parameters_of_loads() -> String {
    let mut parameters: Vec<&str> = Vec::new();
    let key = |parameter: &str| parameter.split('=').next().unwrap_or_default().to_string();
    for parameter in LOADS.iter().flat_map(|load| load.help.usage.split_ascii_whitespace()) {
        if !parameters.iter().any(|known| key(known) == key(parameter)) {
            parameters.push(parameter);
        }
    }
    parameters.join(" ")
}
