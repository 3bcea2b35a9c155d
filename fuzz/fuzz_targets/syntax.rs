// SPDX-License-Identifier: MIT OR Apache-2.0

//! Any text as a line of commands, parsed.
#![no_main]

use board_mock::Mock;
use kernel::lab::keys::{nearest, number, shown};
use kernel::monitor::help::{MAX_WORDS, Usage};
use kernel::monitor::help_of_all;
use kernel::monitor::syntax::{Args, split_outside_quotes, words};

libfuzzer_sys::fuzz_target!(|line: &str| {
    let commands: Vec<&str> = split_outside_quotes(line, ';').collect();
    assert_eq!(commands.join(";"), line);
    for stage in commands.iter().flat_map(|command| split_outside_quotes(command, '|')) {
        let _ = (shown(stage), nearest(stage, help_of_all::<Mock>().map(|help| help.name)), number("N", stage, 0, 9));
        let Ok(words) = words(stage) else { continue };
        assert!(words.len() <= MAX_WORDS + 2);
        let Some(name) = words.first() else { continue };
        let Some(help) = help_of_all::<Mock>().find(|help| help.name == name) else { continue };
        let usage = Usage::of(&help);
        if let Ok(args) = Args::new(&usage, words.into_iter().skip(1)) {
            let (least, most) = usage.word_counts();
            assert!((least..=most).contains(&args.words.len()));
        }
    }
});
