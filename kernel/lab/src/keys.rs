// SPDX-License-Identifier: MIT OR Apache-2.0

//! Parsing of user input: the values of keys, numbers in a range, one of several words; and the
//! messages for wrong words, with a suggestion.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Characters of a user's word that a message shows.
const SHOWN: usize = 40;

/// The `key=value` words of a command.
pub trait Keys {
    /// Returns the value of a key if it was given.
    fn key(&self, name: &str) -> Option<&str>;

    /// Returns the number of a key, or the default `usual`.
    ///
    /// # Errors
    /// See [`number`].
    fn whole(&self, key: &str, usual: u64, least: u64, most: u64) -> Result<u64, String> {
        self.key(key).map_or(Ok(usual), |value| number(key, value, least, most))
    }

    /// Returns the number of a key as 32 bits (pages, buffers and so on), or the default `usual`.
    ///
    /// # Errors
    /// See [`number`].
    fn count(&self, key: &str, usual: u32, least: u32, most: u32) -> Result<u32, String> {
        self.whole(key, usual.into(), least.into(), most.into()).map(|value| value as u32)
    }

    /// Returns the key's word out of `choices`; the default is the first.
    ///
    /// # Errors
    /// The word is not one of `choices`: a message with the nearest one, or with all.
    fn one_of(&self, key: &str, choices: &'static [&'static str]) -> Result<&'static str, String> {
        let Some(value) = self.key(key) else { return Ok(choices[0]) };
        let choice = choices.iter().copied().find(|&choice| choice == value);
        choice.ok_or_else(|| none_of(&format!("{key} is"), value, choices.iter().copied(), "it can be"))
    }
}

/// Returns `WHAT "word"; did you mean NAME?` for a word that is not in `names` (see [`meant`]).
pub fn none_of<'c>(what: &str, word: &str, names: impl Iterator<Item = &'c str> + Clone, otherwise: &str) -> String {
    format!("{what} {}; {}", shown(word), meant(word, names, otherwise))
}

/// Suggests the nearest of `names` for a wrong word; if none is near, lists all of them after
/// `otherwise`.
pub fn meant<'c>(word: &str, names: impl Iterator<Item = &'c str> + Clone, otherwise: &str) -> String {
    match nearest(word, names.clone()) {
        Some(near) => did_you_mean(near),
        None => format!("{otherwise} {}", names.collect::<Vec<_>>().join(" ")),
    }
}

/// Returns the question that suggests a near word.
pub fn did_you_mean(near: &str) -> String {
    format!("did you mean {near}?")
}

/// Returns a user's word for a message: quoted, escaped, and cut if it is long.
pub fn shown(word: &str) -> String {
    format!("\"{}\"", shown_path(word, SHOWN))
}

/// Returns a user's path for a message: escaped, without quotes, cut after `most` characters.
pub fn shown_path(path: &str, most: usize) -> String {
    let cut = path.chars().count() > most;
    let start: String = path.chars().take(most).collect();
    format!("{}{}", start.escape_debug(), if cut { "…" } else { "" })
}

/// Returns the most likely candidate for a misspelt word: at most two letters differ, and at most
/// half of the word.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if word.len() > SHOWN {
        return None;
    }
    let limit = 2.min(word.chars().count() / 2);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|&(distance, _)| distance <= limit)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Returns the number of letters to add, drop or change (Levenshtein), ignoring case.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in to.chars().enumerate() {
            let changed = diagonal + usize::from(!a.eq_ignore_ascii_case(&b));
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[row.len() - 1]
}

/// Reads a number in a range, decimal or `0x` hexadecimal.
///
/// # Errors
/// A message that names the number and its range.
pub fn number(name: &str, text: &str, least: u64, most: u64) -> Result<u64, String> {
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    // `from_str_radix` would accept a sign as well.
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = if plain { u64::from_str_radix(digits, radix).ok() } else { None };
    value
        .filter(|value| (least..=most).contains(value))
        .ok_or_else(|| format!("{name} is {}; it has to be a number from {least} to {most}", shown(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings() {
        assert_eq!(nearest("debri", ["debris", "cma"]), Some("debris"));
        assert_eq!(nearest("bitmpa", ["bitmap", "cat"]), Some("bitmap"));
        assert_eq!(nearest("HELP", ["cma", "help"]), Some("help"));
        assert_eq!(nearest("x", ["ls", "cma"]), None);
        assert_eq!(nearest(&"x".repeat(10_000), ["ls"]), None);
        assert_eq!((distance("", "abc"), distance("abc", "abc"), distance("kitten", "sitting")), (3, 0, 3));
    }

    #[test]
    fn long_and_odd_words_are_shown_safely() {
        assert_eq!(shown("a\n\u{1b}"), "\"a\\n\\u{1b}\"");
        assert!(shown(&"é".repeat(10_000)).chars().count() <= SHOWN + 3);
    }
}
