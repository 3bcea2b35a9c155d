// SPDX-License-Identifier: MIT OR Apache-2.0

//! `bench table|check|profile NAME`: measures, and says what the figures are, what became of them, or where they go.
//!
//! - `table` prints our figures beside Linux's and writes the records to `build/bench.jsonl`.
//! - `check` compares them with `bench/baseline.csv` and fails where one got worse. With UPDATE_BASELINE=1 it accepts them
//!   instead, and writes them into `docs/research/figures.md` and `docs/research/growth.svg` as well.
//! - `profile NAME` says which functions the instructions of one benchmark's calls go to.
//!
//! `table` and `check` take `--records FILE` to read records instead of booting; `check` takes `--baseline FILE`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use boot_tests::bench::baseline::{self, Change};
use boot_tests::bench::table::Table;
use boot_tests::bench::{Figures, growth, machines, profile};
use boot_tests::in_tree;

const USAGE: &str = "usage: bench table|check|profile NAME [--records FILE] [--baseline FILE]";
/// What stands around the figures in `docs/research/figures.md`.
const MARKS: [&str; 2] = ["<!-- figures -->\n", "<!-- end of figures -->\n"];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bench: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut words = Vec::new();
    let (mut records, mut accepted) = (None, in_tree("bench/baseline.csv"));
    let mut arguments = env::args().skip(1);
    while let Some(word) = arguments.next() {
        match word.as_str() {
            "--records" => records = Some(PathBuf::from(arguments.next().ok_or(USAGE)?)),
            "--baseline" => accepted = PathBuf::from(arguments.next().ok_or(USAGE)?),
            _ => words.push(word),
        }
    }
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["table"] => {
            print!("{}", tables(&figures(records.as_deref())?)?.map(|table| table.plain()).join("\n"));
            Ok(())
        }
        ["check"] if env::var_os("UPDATE_BASELINE").is_some_and(|value| value != "0" && !value.is_empty()) => {
            accept(&figures(records.as_deref())?, &accepted)
        }
        ["check"] => check(&figures(records.as_deref())?, &accepted),
        ["profile", name] => {
            print!("{}", profile::run(name)?);
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The figures of a file of records, or of machines booted for them.
fn figures(records: Option<&Path>) -> Result<Figures, String> {
    if let Some(path) = records {
        return Figures::from_records(read(path)?.lines());
    }
    let lines = machines::measure()?;
    write(&in_tree("build/bench.jsonl"), &format!("{}\n", lines.join("\n")))?;
    Figures::from_records(lines.iter().map(String::as_str))
}

fn tables(figures: &Figures) -> Result<[Table; 2], String> {
    Ok([Table::of_limits(figures)?, Table::of_growth(figures)])
}

fn check(now: &Figures, accepted: &Path) -> Result<(), String> {
    let changes = baseline::compare(&baseline::read(&read(accepted)?)?, now);
    for change in &changes {
        println!("{change}");
    }
    let failures = changes.iter().filter(|change| change.is_failure()).count();
    let shown = accepted.canonicalize().unwrap_or_else(|_| accepted.to_owned());
    println!("{} figures compared with {}, {failures} to be looked at", now.0.len(), shown.display());
    if failures == 0 {
        return Ok(());
    }
    let first = changes.iter().find(|change| change.is_failure()).map(Change::to_string).unwrap_or_default();
    Err(format!("{first}; UPDATE_BASELINE=1 make bench-check accepts what is measured now"))
}

fn accept(now: &Figures, accepted: &Path) -> Result<(), String> {
    let page = in_tree("docs/research/figures.md");
    let text = read(&page)?;
    let figures = tables(now)?.map(|table| table.markdown()).join("\n");
    let replaced = (|| {
        let (before, rest) = text.split_once(MARKS[0])?;
        let (_, after) = rest.split_once(MARKS[1])?;
        Some(format!("{before}{}\n{figures}\n{}{after}", MARKS[0], MARKS[1]))
    })();
    let replaced = replaced.ok_or_else(|| format!("{}: the lines around the figures are gone", page.display()))?;
    write(&page, &replaced)?;
    write(&in_tree("docs/research/growth.svg"), &growth::picture(now)?)?;
    write(accepted, &baseline::write(now))?;
    println!(
        "{} figures accepted: bench/baseline.csv, docs/research/figures.md, docs/research/growth.svg",
        now.0.len()
    );
    Ok(())
}
