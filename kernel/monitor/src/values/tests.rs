// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;
use crate::help::Usage;
use alloc::format;
use alloc::string::{String, ToString};
use board_mock::Mock;

/// Returns the choices in the usages: a key, or the command of a word, and the word. Numbers are
/// left out.
fn choices() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for command in commands::all::<Mock>().filter(|command| command.help.name != "total") {
        let name = command.help.name.to_string();
        for spec in command.usage().specs() {
            let (of, choices) =
                spec.split_once('=').map_or((name.clone(), spec), |(key, choices)| (key.into(), choices));
            for choice in choices.split(['|', ',']).map(|choice| choice.trim_end_matches("...")) {
                let is_word = |choice: &str| choice.starts_with(|first: char| first.is_ascii_alphabetic());
                if is_word(choice) {
                    found.push((of.clone(), choice.to_string()));
                }
            }
        }
    }
    found
}

fn is_capital(word: &str) -> bool {
    word.chars().all(|character| character.is_ascii_uppercase() || character == '_')
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn every_choice_is_explained_and_nothing_else() {
    let choices = choices();
    assert!(choices.contains(&("lend".into(), "clean".into())));
    let explained = |of: &str, choice: &str| VALUES.iter().any(|value| value.of == of && value.name == choice);
    for (of, choice) in &choices {
        let is_load = of == "load" && lab::load::find(choice).is_some();
        let known = explained(of, choice) || is_capital(choice) && explained("", choice) || is_load;
        assert!(known, "{of}={choice} is not explained");
    }
    for value in VALUES {
        let chosen = |(of, choice): &(String, String)| choice == value.name && (of == value.of || value.of.is_empty());
        assert!(choices.iter().any(chosen), "{}={} can be chosen nowhere", value.of, value.name);
    }
    for (place, value) in VALUES.iter().enumerate() {
        let twice = VALUES[place + 1..].iter().any(|other| (other.of, other.name) == (value.of, value.name));
        assert!(!twice && !value.meaning.ends_with('.'), "{}={}", value.of, value.name);
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn every_key_is_explained_and_nothing_else() {
    let usages: Vec<Usage> = commands::all::<Mock>().map(|command| command.usage()).collect();
    let is_example = |name: &str| ["total", "stack"].contains(&name);
    let mut used = Vec::new();
    for usage in &usages {
        let name = usage.text().split(' ').next().unwrap_or_default();
        for key in usage.keys().filter(|key| !is_example(name) && !["unit", "depth"].contains(key)) {
            used.push(key_of_command(name, key).unwrap_or_else(|| panic!("{key}= of {name} is not explained")));
        }
    }
    for key in KEYS {
        assert!(used.contains(&key), "{}= of {:?} is taken nowhere", key.name, key.of);
        assert!(!key.meaning.ends_with('.'), "{}=", key.name);
    }
}

#[test]
fn words_keys_and_placements_are_found() {
    let names = |word: &str| {
        explain::<Mock>(word).iter().map(|found| format!("{}={}", found.key, found.name)).collect::<Vec<_>>()
    };
    assert_eq!(names("half"), ["cma_use=half"]);
    assert_eq!(names("clean"), ["lend=clean", "with=clean"]);
    assert_eq!(names("lend"), ["lend=", "lend=movable", "lend=clean", "lend=none"]);
    assert_eq!(names("lend="), names("lend"));
    assert_eq!(names("zoned:1:2:3"), ["placement=zoned"]);
    assert_eq!(names("PLACEMENT").len(), 1 + PLACEMENTS.iter().count());
    assert_eq!(names("placement").len(), 1 + PLACEMENTS.iter().count());
    assert_eq!(names("seed"), ["seed="]);
    assert_eq!(names("most"), ["most="; 3]);
    assert_eq!(names("latency"), ["=latency"]);
    assert_eq!(names("PAGES"), ["=PAGES"]);
    assert!(names("nothing").is_empty() && names("").is_empty() && names("=").is_empty());
    assert!(Usage::of(&commands::find::<Mock>("help").expect("there").help).text().contains("VALUE"));
}
