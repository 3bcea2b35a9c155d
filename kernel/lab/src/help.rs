// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a command, or a load, says of itself.

/// Help for a command: everything that is typed behind its name stands in `usage`, and only what
/// stands there is taken.
///
/// In the texts a word in braces stands for what a table has: `{loads}`, `{placements}` and others,
/// which the monitor puts in.
#[derive(Clone, Copy, Debug)]
pub struct Help {
    /// What is typed.
    pub name: &'static str,
    /// The words and keys behind the name, those in brackets if one likes. What stands in capitals
    /// stands for something else (`AREA`, `PAGES`), dots for more of the same.
    pub usage: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// More, if there is more to say.
    pub details: &'static str,
    /// A line that can be typed.
    pub example: &'static str,
}

impl Help {
    /// The keys in its usage.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> + use<> {
        specs(self.usage).filter_map(|spec| spec.split_once('=')).map(|(key, _)| key)
    }
}

/// What stands in a usage, without brackets.
pub fn specs(usage: &str) -> impl Iterator<Item = &str> {
    usage.split_ascii_whitespace().map(|word| word.trim_start_matches('[').trim_end_matches(']'))
}
