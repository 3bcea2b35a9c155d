// SPDX-License-Identifier: MIT OR Apache-2.0

//! Help texts of commands and loads.

/// Help for a command: `usage` lists everything that may follow its name, and nothing else is
/// accepted.
///
/// A word in braces in the texts stands for the entries of a table (`{loads}`, `{placements}` and
/// others), which the monitor fills in.
#[derive(Clone, Copy, Debug)]
pub struct Help {
    /// The name.
    pub name: &'static str,
    /// The words and keys after the name, optional ones in brackets. A word in capitals stands for
    /// a value (`AREA`, `PAGES`), dots for repetition.
    pub usage: &'static str,
    /// A summary of one line.
    pub summary: &'static str,
    /// Details, if there are any.
    pub details: &'static str,
    /// An example of a command line.
    pub example: &'static str,
}

impl Help {
    /// Returns the keys in its usage.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> + use<> {
        specs(self.usage).filter_map(|spec| spec.split_once('=')).map(|(key, _)| key)
    }
}

/// Returns the words of a usage, without brackets.
pub fn specs(usage: &str) -> impl Iterator<Item = &str> {
    usage.split_ascii_whitespace().map(|word| word.trim_start_matches('[').trim_end_matches(']'))
}
