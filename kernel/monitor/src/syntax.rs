// SPDX-License-Identifier: MIT OR Apache-2.0

//! The parser of typed lines: a line into commands at `;`, a command into stages at `|`, a stage
//! into words at blanks. Between quotes (`"` or `'`) these are usual characters; a `>` outside of
//! quotes is a word by itself. Words like `key=value` become keys.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::help::{MAX_WORDS, Usage};
use lab::keys::{Keys, did_you_mean, nearest, shown};

/// Returns the parts of `text` between the separators that are outside quotes.
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

/// Returns the words of a stage, without their quotes.
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
                // A write never truncates, so `>>` is the same.
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

/// The words and keys of a command.
#[derive(Debug, Default)]
pub struct Args {
    /// Words that are not keys, in order.
    pub words: Vec<String>,
    keys: Vec<(String, String)>,
}

impl Args {
    /// Splits `words` into keys and others, and checks them against `usage`.
    ///
    /// # Errors
    /// An unknown or repeated key, or too many or too few words: what is wrong and what would be
    /// right.
    pub fn new(usage: &Usage, words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut args = Self::default();
        for word in words {
            let pair = word.split_once('=').filter(|(key, _)| {
                !usage.takes_any_word()
                    && !key.is_empty()
                    && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            });
            let Some((key, value)) = pair else {
                args.words.push(word);
                continue;
            };
            if !usage.keys().any(|known| known == key) && (key != "area" || usage.area_place().is_none()) {
                return Err(unknown_key(usage, key));
            }
            if args.key(key).is_some() {
                return Err(format!("{key}= is given twice"));
            }
            args.keys.push((key.to_string(), value.to_string()));
        }
        if !usage.takes_any_word() && args.words.iter().any(|word| word == ">") {
            return Err("only numbers are written to files: echo N > PATH".into());
        }
        let (least, most) = usage.word_counts();
        args.settle_area(usage)?;
        if args.words.len() > most {
            let extra = &args.words[most];
            if extra == "&&" {
                return Err("there is no &&; a ; separates commands".into());
            }
            return Err(format!("one word too many, {}; usage: {}", shown(extra), usage.text()));
        }
        if args.words.len() < least {
            return Err(format!("a word is missing; usage: {}", usage.text()));
        }
        Ok(args)
    }

    /// Moves the area to its place: `area=NAME` becomes a word if the command takes the area as a
    /// word; one word too many becomes `area=` if it takes the area as a key.
    fn settle_area(&mut self, usage: &Usage) -> Result<(), String> {
        let key = self.keys.iter().position(|(key, _)| key == "area");
        match (usage.area_place(), key) {
            (Some(place), Some(key)) if place <= self.words.len() => {
                let (_, name) = self.keys.swap_remove(key);
                self.words.insert(place, name);
            }
            (Some(_), Some(_)) => return Err(format!("a word is missing; usage: {}", usage.text())),
            (None, None) if usage.keys().any(|key| key == "area") && self.words.len() == usage.word_counts().1 + 1 => {
                let area = self.words.pop();
                self.keys.extend(area.map(|name| ("area".into(), name)));
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns the names of the keys that were given.
    pub fn given(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|(key, _)| key.as_str())
    }

    /// Returns the word at `place`.
    pub fn word(&self, place: usize) -> Option<&str> {
        self.words.get(place).map(String::as_str)
    }
}

impl Keys for Args {
    fn key(&self, name: &str) -> Option<&str> {
        self.keys.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

fn unknown_key(usage: &Usage, key: &str) -> String {
    let key_shown = shown(key);
    let keys: Vec<&str> = usage.keys().collect();
    if keys.is_empty() {
        return format!("takes no keys, but there is {key_shown}; usage: {}", usage.text());
    }
    let near = nearest(key, keys.iter().copied()).map(|near| did_you_mean(&format!("{near}=")));
    let near = near.unwrap_or_else(|| format!("there are {}=", keys.join("= ")));
    format!("unknown key {key_shown}; {near}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::keys::number;
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

    proptest! {
        #![proptest_config(property::config(256))]

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
