// SPDX-License-Identifier: MIT OR Apache-2.0

//! Console output that a change may alter only deliberately: the boot log and the bitmap.
//! `UPDATE_GOLDEN=1` rewrites it.

use std::{env, fs};

use boot_tests::{Boot, in_tree};

/// Asserts that the text is that of `tests/golden/NAME`, or writes it there on request.
fn is_golden(name: &str, text: &str) {
    let path = in_tree("tests/golden").join(name);
    if env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::write(&path, text).expect("tests/golden can be written");
        return;
    }
    let golden = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; UPDATE_GOLDEN=1 makes it", path.display()));
    let differs = golden.lines().zip(text.lines()).position(|(golden, line)| golden != line);
    let at = differs.unwrap_or_else(|| golden.lines().count().min(text.lines().count()));
    assert!(
        golden == text,
        "line {} of {name} is {:?} and was {:?}; UPDATE_GOLDEN=1 accepts it; the whole text:\n{text}",
        at + 1,
        text.lines().nth(at),
        golden.lines().nth(at)
    );
}

/// Replaces the parts of `text` that change with every edit of the source (times, addresses within
/// the image) by constants.
fn steady(text: &str) -> String {
    let mut steady = String::new();
    for line in text.lines() {
        let line = match line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((stamp, rest)) if stamp.contains('.') && !stamp.contains('X') => format!("[    T.TTTTTT]{rest}"),
            _ => line.to_owned(),
        };
        // The ends of the image and of the tree change with the compiler, with dtc and with QEMU.
        let line = ["Kernel image", "Device tree"].iter().fold(line, |line, name| {
            let Some((range, _)) = line.split_once(&format!(" : {name}")) else { return line };
            format!("{}-EEEEEEEE : {name}", range.rsplit_once('-').map_or(range, |(start, _)| start))
        });
        // The amount of free memory depends on the image's size.
        let line = match (line.split_once("Memory: "), line.split_once(" free of ")) {
            (Some((before, _)), Some((_, after))) => format!("{before}Memory: M free of {after}"),
            _ => line,
        };
        let line = without_commit(&line).replace(env!("CARGO_PKG_VERSION"), "V.V.V");
        let line = steady_means(&line);
        steady.push_str(&steady_times(&line));
        steady.push('\n');
    }
    steady
}

/// Replaces the commit of the record `meta` by `C`.
fn without_commit(line: &str) -> String {
    match line.split_once("\"git\":\"").and_then(|(before, rest)| Some((before, rest.split_once('"')?.1))) {
        Some((before, after)) => format!("{before}\"git\":\"C\"{after}"),
        None => line.to_owned(),
    }
}

/// Replaces the times in a sentence: every number before `ns` or `a second`.
fn steady_means(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let is_unit = |words: &[&str]| match words {
        [unit, ..] if unit.trim_end_matches(',') == "ns" => true,
        [each, unit, ..] => *each == "a" && *unit == "second.",
        _ => false,
    };
    let is_time = |at: usize| is_unit(&words[at + 1..]) && words[at].bytes().all(|byte| byte.is_ascii_digit());
    (0..words.len()).map(|at| if is_time(at) { "T" } else { words[at] }).collect::<Vec<_>>().join(" ")
}

/// Replaces the times in a record, every field whose name ends in `_ns` or begins with `ns_`, and
/// the number of free pages.
fn steady_times(line: &str) -> String {
    let fields = line.split(',').map(|field| {
        let Some((name, _)) = field.split_once(':') else { return field.to_owned() };
        let bare = name.trim_matches(|c| "{\"".contains(c));
        if !(bare.ends_with("_ns") || bare.starts_with("ns_") || bare == "mem_pages") {
            return field.to_owned();
        }
        format!("{name}:T{}", if field.ends_with('}') { "}" } else { "" })
    });
    if line.starts_with('{') { fields.collect::<Vec<_>>().join(",") } else { line.to_owned() }
}

#[test]
fn boot_log() {
    let outcome = Boot::commands("version").memory("1024M").counted().run();
    is_golden("boot.txt", &steady(outcome.ended_with(0).console()));
}

#[test]
fn bitmap_after_the_experiment() {
    let outcome = Boot::commands("debris; bitmap").with("loglevel=0").memory("1024M").counted().run();
    is_golden("bitmap.txt", &steady(outcome.ended_with(0).console()));
}
