// SPDX-License-Identifier: MIT OR Apache-2.0

//! `bench table|check|hard|check-hard|profile NAME`: measures, and prints the figures, their
//! changes, or a profile.
//!
//! - `table` prints the figures beside Linux's and writes the records to `build/bench.jsonl`.
//! - `check` compares them with `bench/baseline.csv` and fails if one got worse. With
//!   UPDATE_BASELINE=1 it accepts them instead, and also writes them into
//!   `docs/research/figures.md` and `docs/research/growth.svg`.
//! - `hard` and `check-hard` do the same for loads that are hard for a search, which are replayed.
//! - `profile NAME` lists the functions that execute the instructions of the calls of a benchmark,
//!   or of a load that is hard for a search.
//!
//! `table` and `check` take `--records FILE` to read records instead of booting; the checks take
//! `--baseline FILE`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use boot_tests::bench::baseline::{self, Change};
use boot_tests::bench::table::Table;
use boot_tests::bench::{Figures, growth, hard, machines, profile};
use boot_tests::in_tree;

const USAGE: &str = "usage: bench table|check|hard|check-hard|profile NAME [--records FILE] [--baseline FILE]";
/// Marks around the figures in `docs/research/figures.md`, and around those of the loads that are
/// hard for a search.
const MARKS: [&str; 2] = ["<!-- figures -->\n", "<!-- end of figures -->\n"];
const MARKS_OF_HARD: [&str; 2] = ["<!-- figures of hard loads -->\n", "<!-- end of figures of hard loads -->\n"];

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
        ["check"] => {
            let figures = figures(records.as_deref())?;
            if !accepts() {
                return check(figures, &accepted, false);
            }
            write_tables(MARKS, &tables(&figures)?)?;
            write(&in_tree("docs/research/growth.svg"), &growth::picture(&figures)?)?;
            accept(figures, &accepted, false)
        }
        ["hard"] => {
            print!("{}", Table::of_hard(&hard::measure()?)?.plain());
            Ok(())
        }
        ["check-hard"] => {
            let figures = hard::measure()?;
            if !accepts() {
                return check(figures, &accepted, true);
            }
            write_tables(MARKS_OF_HARD, &[Table::of_hard(&figures)?])?;
            accept(figures, &accepted, true)
        }
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

/// Returns the figures of a file of records, or of machines booted for them.
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

/// True if the measured figures are to become the baseline.
fn accepts() -> bool {
    env::var_os("UPDATE_BASELINE").is_some_and(|value| value != "0" && !value.is_empty())
}

fn check(now: Figures, accepted: &Path, hard: bool) -> Result<(), String> {
    let changes = baseline::compare(&baseline::read(&read(accepted)?)?.only(hard), &now);
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
    let target = if hard { "bench-hard-check" } else { "bench-check" };
    Err(format!("{first}; UPDATE_BASELINE=1 make {target} accepts what is measured now"))
}

/// Writes the figures into the baseline, and keeps those of the other kind.
fn accept(now: Figures, accepted: &Path, hard: bool) -> Result<(), String> {
    let count = now.0.len();
    let others = baseline::read(&read(accepted)?)?.only(!hard);
    let (first, last) = if hard { (others, now) } else { (now, others) };
    write(accepted, &baseline::write(&Figures(first.0.into_iter().chain(last.0).collect())))?;
    println!("{count} figures accepted: bench/baseline.csv, docs/research/figures.md");
    Ok(())
}

/// Writes tables into the page of figures, between the marks.
fn write_tables(marks: [&str; 2], tables: &[Table]) -> Result<(), String> {
    let page = in_tree("docs/research/figures.md");
    let text = read(&page)?;
    let tables = tables.iter().map(Table::markdown).collect::<Vec<_>>().join("\n");
    let replaced = (|| {
        let (before, rest) = text.split_once(marks[0])?;
        let (_, after) = rest.split_once(marks[1])?;
        Some(format!("{before}{}\n{tables}\n{}{after}", marks[0], marks[1]))
    })();
    let replaced = replaced.ok_or_else(|| format!("{}: the lines around the figures are gone", page.display()))?;
    write(&page, &replaced)
}
