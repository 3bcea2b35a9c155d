// SPDX-License-Identifier: MIT OR Apache-2.0

//! `debris report`: what came out of sweeps, a row for each load, area, placement and alignment.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use host::kind::Kind;
use serde_json::Value;

use crate::cli::Report;
use crate::{Failure, STATUS_ASSERT, files, read, say, unfit};

/// What runs have in common but their seed: load with its keys, area, placement, alignment.
type Row = String;

/// The runs of a row.
#[derive(Default)]
struct Runs {
    /// Allocations that succeeded, of each.
    allocs: Vec<u64>,
    /// Pages used at the end, of each.
    used: Vec<u64>,
    /// Runs in which a request failed.
    failed: u64,
}

pub(crate) fn run(arguments: &Report) -> Result<(), Failure> {
    let rows = rows_of(&arguments.runs)?;
    let baseline = arguments.baseline.as_ref().map(|file| rows_of(std::slice::from_ref(file))).transpose()?;
    let compared = |row: &str| baseline.as_ref().and_then(|rows| rows.get(row)).map(|runs| median(&runs.allocs));
    let worse = |row: &str, runs: &Runs| {
        let most = u64::from(arguments.fail_on.unwrap_or(0));
        let before = compared(row).filter(|_| arguments.fail_on.is_some())?;
        let now = median(&runs.allocs);
        (now * 100 < before * 100u64.saturating_sub(most)).then(|| format!("{row}: {now} allocations, {before} before"))
    };
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = if arguments.markdown {
        writeln!(
            text,
            "| run | runs | failed | allocations: q1 | median | q3 | before | pages used |\n|---|--:|--:|--:|--:|--:|--:|--:|"
        )
    } else {
        writeln!(
            text,
            "{:<64} {:>5} {:>6} {:>9} {:>9} {:>9} {:>9}",
            "run", "runs", "failed", "q1", "median", "q3", "before"
        )
    };
    for (row, runs) in &rows {
        let before = compared(row).map_or("-".into(), |before| before.to_string());
        let (q1, middle, q3) = (quantile(&runs.allocs, 1), median(&runs.allocs), quantile(&runs.allocs, 3));
        let (count, failed, used) = (runs.allocs.len(), runs.failed, median(&runs.used));
        let _ = if arguments.markdown {
            writeln!(text, "| `{row}` | {count} | {failed} | {q1} | {middle} | {q3} | {before} | {used} |")
        } else {
            writeln!(text, "{row:<64} {count:>5} {failed:>6} {q1:>9} {middle:>9} {q3:>9} {before:>9}")
        };
    }
    match &arguments.output {
        Some(file) => files::write(file, &text)?,
        None => say(format_args!("{text}"))?,
    }
    let worse: BTreeMap<&Row, String> = rows.iter().filter_map(|(row, runs)| Some((row, worse(row, runs)?))).collect();
    if let Some(file) = &arguments.junit {
        write_junit(file, rows.keys(), &worse)?;
    }
    match worse.values().next() {
        None => Ok(()),
        Some(first) if worse.len() == 1 => Err(Failure { line: first.clone(), status: STATUS_ASSERT }),
        Some(first) => Err(Failure { line: format!("{first}, and {} more", worse.len() - 1), status: STATUS_ASSERT }),
    }
}

/// The runs of files by row; a key counts once, and lines that are no records are passed over.
fn rows_of(files: &[PathBuf]) -> Result<BTreeMap<Row, Runs>, Failure> {
    let mut rows: BTreeMap<Row, Runs> = BTreeMap::new();
    let mut seen = HashSet::new();
    for file in files {
        let text = read(file)?;
        for line in String::from_utf8_lossy(&text).lines() {
            let Ok(record) = serde_json::from_str::<Value>(line) else { continue };
            let Some(key) = record.get("key").and_then(Value::as_str) else { continue };
            if !seen.insert(key.to_owned()) {
                continue;
            }
            let number = |field: &str| record.get(field).and_then(Value::as_u64).unwrap_or(0);
            let row = key.split_whitespace().filter(|word| !word.starts_with("seed=")).collect::<Vec<_>>().join(" ");
            let runs = rows.entry(row).or_default();
            runs.allocs.push(number("allocs"));
            runs.used.push(number("used"));
            runs.failed += u64::from(number("failed_pages") > 0);
        }
    }
    if rows.is_empty() {
        const NO_RUNS: &str = "no runs; `debris sweep` writes them";
        return Err(unfit(&files[0], &read(&files[0])?, &NO_RUNS, Kind::Records));
    }
    for runs in rows.values_mut() {
        runs.allocs.sort_unstable();
        runs.used.sort_unstable();
    }
    Ok(rows)
}

fn median(sorted: &[u64]) -> u64 {
    quantile(sorted, 2)
}

/// A quarter's value of sorted ones: the lower of two that it lies between.
fn quantile(sorted: &[u64], quarter: usize) -> u64 {
    sorted[(sorted.len() - 1) * quarter / 4]
}

fn write_junit<'r>(
    file: &Path,
    rows: impl Iterator<Item = &'r Row>,
    worse: &BTreeMap<&Row, String>,
) -> Result<(), Failure> {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"debris report\">\n");
    for row in rows {
        let _ = match worse.get(row) {
            None => writeln!(text, "  <testcase name=\"{}\"/>", escaped(row)),
            Some(why) => writeln!(
                text,
                "  <testcase name=\"{}\"><failure message=\"{}\"/></testcase>",
                escaped(row),
                escaped(why)
            ),
        };
    }
    text.push_str("</testsuite>\n");
    files::write(file, &text)
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(directory: &Path, name: &str, allocs: &[u64]) -> PathBuf {
        let file = directory.join(name);
        let line = |(seed, allocs)| {
            format!(
                "{{\"record\":\"debris\",\"allocs\":{allocs},\"used\":9,\"failed_pages\":3,\"key\":\"debris area=8M seed={seed}\"}}\n"
            )
        };
        std::fs::write(&file, allocs.iter().enumerate().map(line).collect::<String>()).unwrap();
        file
    }

    fn report(runs: Vec<PathBuf>, baseline: PathBuf, junit: PathBuf) -> Result<(), Failure> {
        let output = Some(junit.with_extension("md"));
        run(&Report { runs, baseline: Some(baseline), fail_on: Some(5), markdown: true, output, junit: Some(junit) })
    }

    #[test]
    fn a_median_that_fell_fails() {
        let directory = tempfile::TempDir::new().unwrap();
        let at = |name: &str, allocs: &[u64]| runs(directory.path(), name, allocs);
        let junit = directory.path().join("junit.xml");
        let before = at("before", &[100, 200, 300]);
        assert!(
            report(vec![at("as-before", &[300, 190, 1])], before.clone(), junit.clone()).is_ok(),
            "5 % is not more"
        );
        let failure = report(vec![at("worse", &[300, 189, 1])], before, junit.clone()).unwrap_err();
        assert_eq!((failure.status, &*failure.line), (1, "debris area=8M: 189 allocations, 200 before"));
        let table = std::fs::read_to_string(junit.with_extension("md")).unwrap();
        assert!(table.ends_with("| `debris area=8M` | 3 | 3 | 1 | 189 | 189 | 200 | 9 |\n"), "{table}");
        assert!(std::fs::read_to_string(junit).unwrap().contains("<failure message=\"debris area=8M: 189"));
    }

    #[test]
    fn a_key_counts_once() {
        let directory = tempfile::TempDir::new().unwrap();
        let file = runs(directory.path(), "runs", &[1, 2, 3]);
        let rows = rows_of(&[file.clone(), file]).ok().unwrap();
        assert_eq!(rows["debris area=8M"].allocs, [1, 2, 3]);
    }
}
