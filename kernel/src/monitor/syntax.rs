//! What is typed, taken apart: a line into commands at `;`, a command into stages at `|`, a stage into words at blanks.
//! Between quotes (`"` or `'`) none of these means anything; a `>` outside of them is a word by itself. Words like `key=value`
//! become keys.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::help::Entry;

/// Words a command may have.
pub const MAX_WORDS: usize = 32;
/// Characters of a user's word that a message repeats.
const SHOWN: usize = 40;

/// The parts of `text` between the separators that stand outside quotes.
pub fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quote = None;
    text.split(move |character| {
        match quote {
            Some(open) if open == character => quote = None,
            Some(_) => {}
            None if character == '"' || character == '\'' => quote = Some(character),
            None => return character == separator,
        }
        false
    })
}

/// The words of a stage, without their quotes.
///
/// # Errors
/// A quote is open at the end, or there are too many words.
pub fn words(stage: &str) -> Result<Vec<String>, String> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for character in stage.chars() {
        match quote {
            Some(open) if open == character => quote = None,
            None if character == '"' || character == '\'' => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            None if character.is_ascii_whitespace() => words.extend(word.take()),
            None if character == '>' => {
                words.extend(word.take());
                // Nothing is ever truncated, so `>>` is the same.
                if words.last().is_none_or(|last| last != ">") {
                    words.push(">".into());
                }
            }
            _ => word.get_or_insert_default().push(character),
        }
        if words.len() > MAX_WORDS {
            return Err(format!("more than {MAX_WORDS} words (MAX_WORDS)"));
        }
    }
    words.extend(word);
    match quote {
        Some(open) => {
            let rest = stage.split_once(open).map_or("", |(_, rest)| rest);
            Err(format!("the quote {open} is never closed; nothing was run of what follows it: {}", shown(rest)))
        }
        None => Ok(words),
    }
}

/// A user's word as a message repeats it: escaped, and cut where it is long.
pub fn shown(word: &str) -> String {
    format!("\"{}\"", shown_path(word, SHOWN))
}

/// A user's path as Linux's messages repeat it, without quotes, up to so many characters.
pub fn shown_path(path: &str, most: usize) -> String {
    let cut = path.chars().count() > most;
    let start: String = path.chars().take(most).collect();
    format!("{}{}", start.escape_debug(), if cut { "…" } else { "" })
}

/// The candidate that a misspelt word most likely meant: at most two letters away, and less than half of it.
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

/// A command's words after its name.
#[derive(Debug, Default)]
pub struct Args {
    /// Words that are no keys, in order.
    pub words: Vec<String>,
    keys: Vec<(String, String)>,
}

impl Args {
    /// Sorts words into keys and others, and holds them against what the command takes.
    ///
    /// # Errors
    /// An unknown or repeated key, or too many or too few words: what is wrong and what would be right.
    pub fn new(entry: &Entry, words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut args = Self::default();
        for word in words {
            let pair = word.split_once('=').filter(|(key, _)| {
                !entry.takes_any_word()
                    && !key.is_empty()
                    && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            });
            let Some((key, value)) = pair else {
                args.words.push(word);
                continue;
            };
            if !entry.keys().any(|known| known == key) && (key != "area" || entry.area_place().is_none()) {
                return Err(unknown_key(entry, key));
            }
            if args.key(key).is_some() {
                return Err(format!("{key}= is given twice"));
            }
            args.keys.push((key.to_string(), value.to_string()));
        }
        if !entry.takes_any_word() && args.words.iter().any(|word| word == ">") {
            return Err("only numbers are written to files: echo N > PATH".into());
        }
        args.settle_area(entry)?;
        if args.words.len() > entry.most_words {
            let extra = &args.words[entry.most_words];
            if extra == "&&" {
                return Err("there is no &&; a ; separates commands".into());
            }
            return Err(format!("one word too many, {}; usage: {}", shown(extra), entry.usage));
        }
        if args.words.len() < entry.least_words {
            return Err(format!("a word is missing; usage: {}", entry.usage));
        }
        Ok(args)
    }

    /// Where a command takes an area as a word, `area=NAME` is that word; where it takes it as a key, one word more than it
    /// has is that key.
    fn settle_area(&mut self, entry: &Entry) -> Result<(), String> {
        let key = self.keys.iter().position(|(key, _)| key == "area");
        match (entry.area_place(), key) {
            (Some(place), Some(key)) if place <= self.words.len() => {
                let (_, name) = self.keys.swap_remove(key);
                self.words.insert(place, name);
            }
            (Some(_), Some(_)) => return Err(format!("a word is missing; usage: {}", entry.usage)),
            (None, None) if entry.keys().any(|key| key == "area") && self.words.len() == entry.most_words + 1 => {
                let area = self.words.pop();
                self.keys.extend(area.map(|name| ("area".into(), name)));
            }
            _ => {}
        }
        Ok(())
    }

    /// The value of a key.
    pub fn key(&self, name: &str) -> Option<&str> {
        self.keys.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The word at a place.
    pub fn word(&self, place: usize) -> Option<&str> {
        self.words.get(place).map(String::as_str)
    }
}

fn unknown_key(entry: &Entry, key: &str) -> String {
    let key_shown = shown(key);
    let keys: Vec<&str> = entry.keys().collect();
    if keys.is_empty() {
        return format!("takes no keys, but there is {key_shown}; usage: {}", entry.usage);
    }
    match nearest(key, keys.iter().copied()) {
        Some(near) => format!("unknown key {key_shown}; did you mean {near}=?"),
        None => format!("unknown key {key_shown}; there are {}=", keys.join("= ")),
    }
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
    use proptest::prelude::*;

    #[test]
    fn commands_stages_and_words() {
        let commands: Vec<&str> = split_outside_quotes("debris; echo \"a;b\" | grep ';' ;", ';').collect();
        assert_eq!(commands, ["debris", " echo \"a;b\" | grep ';' ", ""]);
        let stages: Vec<&str> = split_outside_quotes(commands[1], '|').collect();
        assert_eq!(stages.len(), 2);
        assert_eq!(words(stages[1]), Ok(["grep", ";"].map(String::from).to_vec()));
        assert_eq!(words(" area=\"a b\" '' x\t"), Ok(["area=a b", "", "x"].map(String::from).to_vec()));
        assert_eq!(words("echo 5>/a '>'b"), Ok(["echo", "5", ">", "/a", ">b"].map(String::from).to_vec()));
        assert_eq!(words("echo 5 >> /a"), Ok(["echo", "5", ">", "/a"].map(String::from).to_vec()));
        assert!(words("echo \"a").is_err_and(|line| line.contains("never closed") && line.ends_with(": \"a\"")));
        assert!(words(&"x ".repeat(MAX_WORDS + 1)).is_err_and(|line| line.contains("MAX_WORDS")));
    }

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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 256 }))]

        #[test]
        fn nothing_typed_panics(line in any::<String>()) {
            for command in split_outside_quotes(&line, ';') {
                for stage in split_outside_quotes(command, '|') {
                    let _ = words(stage);
                    let _ = shown(stage);
                    let _ = nearest(stage, ["debris"]);
                    let _ = number("x", stage, 0, 9);
                }
            }
        }
    }
}
