// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a user typed, read: the values of keys, numbers in a range, one of several words; and what
//! is said of a word that is none of these, with what it may have meant.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Characters of a user's word that a message repeats.
const SHOWN: usize = 40;

/// Words like `key=value`, as a command was given them.
pub trait Keys {
    /// The value of a key, if it was given.
    fn key(&self, name: &str) -> Option<&str>;

    /// A key's number, or the usual one.
    ///
    /// # Errors
    /// As [`number`].
    fn whole(&self, key: &str, usual: u64, least: u64, most: u64) -> Result<u64, String> {
        self.key(key).map_or(Ok(usual), |value| number(key, value, least, most))
    }

    /// As [`Keys::whole`], for pages, buffers and other figures of 32 bits.
    ///
    /// # Errors
    /// As [`number`].
    fn count(&self, key: &str, usual: u32, least: u32, most: u32) -> Result<u32, String> {
        self.whole(key, usual.into(), least.into(), most.into()).map(|value| value as u32)
    }

    /// One of a key's words, the first if the key was not given.
    ///
    /// # Errors
    /// It is none of them: what it may have meant, or which there are.
    fn one_of(&self, key: &str, choices: &'static [&'static str]) -> Result<&'static str, String> {
        let Some(value) = self.key(key) else { return Ok(choices[0]) };
        let choice = choices.iter().copied().find(|&choice| choice == value);
        choice.ok_or_else(|| none_of(&format!("{key} is"), value, choices.iter().copied(), "it can be"))
    }
}

/// `WHAT "word"; did you mean NAME?`, for a word that is none of some names (see [`meant`]).
pub fn none_of<'c>(what: &str, word: &str, names: impl Iterator<Item = &'c str> + Clone, otherwise: &str) -> String {
    format!("{what} {}; {}", shown(word), meant(word, names, otherwise))
}

/// What a word that is none of some names may have meant; where none is near, all of them behind
/// `otherwise`.
pub fn meant<'c>(word: &str, names: impl Iterator<Item = &'c str> + Clone, otherwise: &str) -> String {
    match nearest(word, names.clone()) {
        Some(near) => did_you_mean(near),
        None => format!("{otherwise} {}", names.collect::<Vec<_>>().join(" ")),
    }
}

/// What is asked about a word that is near another.
pub fn did_you_mean(near: &str) -> String {
    format!("did you mean {near}?")
}

/// A user's word as a message repeats it: escaped, and cut where it is long.
pub fn shown(word: &str) -> String {
    format!("\"{}\"", shown_path(word, SHOWN))
}

/// A user's path as Linux's messages repeat it, without quotes, up to `most` characters.
pub fn shown_path(path: &str, most: usize) -> String {
    let cut = path.chars().count() > most;
    let start: String = path.chars().take(most).collect();
    format!("{}{}", start.escape_debug(), if cut { "…" } else { "" })
}

/// The candidate that a misspelt word most likely meant: at most two letters away, and less than
/// half of it.
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

/// How many letters have to be added, dropped or changed (Levenshtein); capitals are no change.
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
/// What it is called, and what would be right.
pub fn number(name: &str, text: &str, least: u64, most: u64) -> Result<u64, String> {
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    // `from_str_radix` would take a sign as well.
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
