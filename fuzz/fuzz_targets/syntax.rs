//! Any text as a line of commands, taken apart.
#![no_main]

use kernel::monitor::help;
use kernel::monitor::syntax::{Args, MAX_WORDS, nearest, number, shown, split_outside_quotes, words};

libfuzzer_sys::fuzz_target!(|line: &str| {
    let commands: Vec<&str> = split_outside_quotes(line, ';').collect();
    assert_eq!(commands.join(";"), line);
    for stage in commands.iter().flat_map(|command| split_outside_quotes(command, '|')) {
        let _ = (shown(stage), nearest(stage, help::COMMANDS.iter().map(|entry| entry.name)), number("N", stage, 0, 9));
        let Ok(words) = words(stage) else { continue };
        assert!(words.len() <= MAX_WORDS + 2);
        if let Some(entry) = words.first().and_then(|name| help::find(name))
            && let Ok(args) = Args::new(entry, words.into_iter().skip(1))
        {
            assert!((entry.least_words..=entry.most_words).contains(&args.words.len()));
        }
    }
});
