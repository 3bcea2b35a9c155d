// SPDX-License-Identifier: MIT OR Apache-2.0

//! The runs in files of records: those of `debris sweep`, and the seeds of `debris compare`.
//!
//! Invariants: a run that occurs twice counts once; lines that are not runs are skipped.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use host::kind::Kind;
use kernel::lab::sign_test::sign_test_permille;
use serde_json::Value;

use crate::{Failure, read, unfit};

/// The error for files without runs.
const NO_RUNS: &str = "no runs; `debris sweep` writes them, and `debris compare --json` prints them";
/// Maximum of runs of two rows in a test, whose steps are the square of this.
const MAX_PAIRED: usize = 20_000;

/// The common properties of runs that differ only in their seed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Row {
    /// The run's line without its seed, the name of the row.
    pub(crate) name: String,
    /// The line without seed and placement.
    pub(crate) group: String,
    /// The placement.
    pub(crate) placement: String,
}

impl Row {
    /// Returns the row of a run's line, and the run's seed.
    fn of(line: &str) -> (Self, String) {
        let value =
            |key: &str| line.split_ascii_whitespace().find_map(|word| word.strip_prefix(key)).unwrap_or_default();
        let without = |keys: &[&str]| {
            let words = line.split_ascii_whitespace().filter(|word| !keys.iter().any(|key| word.starts_with(key)));
            words.collect::<Vec<_>>().join(" ")
        };
        let row = Self {
            name: without(&["seed="]),
            group: without(&["seed=", "placement="]),
            placement: value("placement=").into(),
        };
        (row, value("seed=").into())
    }
}

/// The runs of a row.
#[derive(Default, Debug)]
pub(crate) struct Runs {
    /// Successful allocations of each run, sorted.
    pub(crate) allocs: Vec<u64>,
    /// Pages used at the end of each run, sorted.
    pub(crate) used: Vec<u64>,
    /// Runs in which a request failed.
    pub(crate) failed: u64,
    /// Duration of a run by seed: those without a failure are equal, and longer than all others.
    lasted: BTreeMap<String, (bool, u64)>,
}

impl Runs {
    pub(crate) fn median(&self) -> u64 {
        quantile(&self.allocs, 2, 4)
    }
}

/// Returns the value with `part` of `parts` of the sorted values below it; the lower one if it is
/// between two.
pub(crate) fn quantile(sorted: &[u64], part: usize, parts: usize) -> u64 {
    sorted[(sorted.len() - 1) * part / parts]
}

/// A comparison of two rows, seed by seed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Paired {
    /// Seeds in which the first row lasted longer.
    pub(crate) better: u32,
    /// Seeds in which the second row lasted longer.
    pub(crate) worse: u32,
    /// Seeds in which both lasted equally long.
    pub(crate) equal: u32,
}

impl Paired {
    /// Compares the seeds that both rows have.
    pub(crate) fn of(runs: &Runs, others: &Runs) -> Self {
        let mut paired = Self::default();
        let both = runs.lasted.iter().filter_map(|(seed, lasted)| Some((lasted, others.lasted.get(seed)?)));
        for (lasted, other) in both.take(MAX_PAIRED) {
            let count = match lasted.cmp(other) {
                Ordering::Greater => &mut paired.better,
                Ordering::Less => &mut paired.worse,
                Ordering::Equal => &mut paired.equal,
            };
            *count += 1;
        }
        paired
    }

    /// Returns the probability of a difference at least as large, either way, if neither is better.
    pub(crate) fn p_permille(self) -> u32 {
        sign_test_permille(self.better, self.worse)
    }
}

/// Reads the runs of files, by row.
pub(crate) fn rows_of(files: &[PathBuf]) -> Result<BTreeMap<Row, Runs>, Failure> {
    let mut rows: BTreeMap<Row, Runs> = BTreeMap::new();
    let mut other = None;
    let mut seen = HashSet::new();
    for file in files {
        let text = read(file)?;
        let before = seen.len();
        for line in String::from_utf8_lossy(&text).lines() {
            let Some((line, record)) = serde_json::from_str(line).ok().and_then(run_of) else { continue };
            if !seen.insert(line.clone()) {
                continue;
            }
            let number = |field: &str| record.get(field).and_then(Value::as_u64);
            let allocs = number("allocs").unwrap_or(0);
            let failed = number("survived").map_or(number("failed_pages").unwrap_or(0) > 0, |survived| survived == 0);
            let (row, seed) = Row::of(&line);
            let runs = rows.entry(row).or_default();
            runs.allocs.push(allocs);
            runs.used.push(number("used").unwrap_or(0));
            runs.failed += u64::from(failed);
            runs.lasted.insert(seed, if failed { (false, allocs) } else { (true, 0) });
        }
        if seen.len() == before && other.is_none() {
            other = Some(unfit(file, &text, &NO_RUNS, Kind::Records));
        }
    }
    if let Some(other) = other.filter(|_| rows.is_empty()) {
        return Err(other);
    }
    for runs in rows.values_mut() {
        runs.allocs.sort_unstable();
        runs.used.sort_unstable();
    }
    Ok(rows)
}

/// Returns the line of a record's run: the key of a sweep's record; for a seed of `compare`, a line
/// made of its fields.
fn run_of(record: Value) -> Option<(String, Value)> {
    let word = |field: &str| record.get(field).and_then(Value::as_str);
    let line = match word("key") {
        Some(key) => key.to_owned(),
        None if word("record") == Some("seed") => {
            let (load, area, placement) = (word("load")?, word("area")?, word("placement")?);
            format!("{load} area={area} placement={placement} seed={}", record.get("seed")?.as_u64()?)
        }
        None => return None,
    };
    Some((line, record))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use super::*;

    /// Writes the runs of a row, one for each number of allocations.
    pub(crate) fn written(directory: &Path, name: &str, placement: &str, allocs: &[u64]) -> PathBuf {
        let file = directory.join(name);
        let line = |(seed, allocs)| {
            format!(
                "{{\"record\":\"debris\",\"allocs\":{allocs},\"used\":9,\"failed_pages\":3,\"key\":\"debris area=8M \
                 placement={placement} seed={seed}\"}}\n"
            )
        };
        std::fs::write(&file, allocs.iter().enumerate().map(line).collect::<String>()).unwrap();
        file
    }

    #[test]
    fn a_key_counts_once() {
        let directory = tempfile::TempDir::new().unwrap();
        let file = written(directory.path(), "runs", "x", &[1, 2, 3]);
        let rows = rows_of(&[file.clone(), file]).ok().unwrap();
        let (row, runs) = rows.first_key_value().unwrap();
        assert_eq!((&*row.name, &*row.group, &*row.placement), ("debris area=8M placement=x", "debris area=8M", "x"));
        assert_eq!(runs.allocs, [1, 2, 3]);
    }

    #[test]
    fn rows_are_paired_by_seed() {
        let directory = tempfile::TempDir::new().unwrap();
        let (one, other) = (&[5, 5, 5, 5, 9][..], &[4, 4, 4, 6, 9, 100][..]);
        let files = [written(directory.path(), "one", "x", one), written(directory.path(), "other", "y", other)];
        let rows = rows_of(&files).ok().unwrap();
        let runs: Vec<&Runs> = rows.values().collect();
        let paired = Paired::of(runs[0], runs[1]);
        assert_eq!(paired, Paired { better: 3, worse: 1, equal: 1 });
        assert_eq!(paired.p_permille(), 625, "10 of 16 throws of 4 coins are at least as uneven");
    }

    #[test]
    fn seeds_of_compare_are_runs() {
        let directory = tempfile::TempDir::new().unwrap();
        let file = directory.path().join("compare");
        let text = "{\"record\":\"seed\",\"placement\":\"zoned\",\"seed\":7,\"allocs\":5,\"survived\":0,\"used\":1,\"load\":\"debris\",\"area\":\"8M\"}\n\
                    {\"record\":\"pair\",\"placement\":\"zoned\"}\nno record\n\
                    {\"record\":\"seed\",\"placement\":\"zoned\",\"seed\":8,\"allocs\":9,\"survived\":1,\"used\":1,\"load\":\"debris\",\"area\":\"8M\"}\n";
        std::fs::write(&file, text).unwrap();
        let rows = rows_of(&[file]).ok().unwrap();
        let (row, runs) = rows.first_key_value().unwrap();
        assert_eq!((&*row.name, rows.len()), ("debris area=8M placement=zoned", 1));
        assert_eq!((&runs.allocs[..], runs.failed), (&[5, 9][..], 1));
    }
}
