// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tables of the figures beside Linux's, with their limits and lower bounds.

use std::fs;

use super::{Figures, PREFIX_OF_HARD, grouped};
use crate::in_tree;

/// Highest ratio of a call's cost on the largest area to that on the smallest.
pub const GROWTH_LIMIT: f64 = 2.0;
/// Loads that run on areas of several sizes.
pub const SCALED: [&str; 3] = ["slots", "sizes", "both"];
/// Sizes of the areas they run on, in MiB.
pub const SIZES_MIB: [u32; 5] = [8, 32, 128, 512, 768];

/// The columns of `bench/limits.csv`.
const COLUMNS: &str = "benchmark,figure,linux 6.1,linux 6.12,linux 7.2,target,floor";

/// A row of `bench/limits.csv`.
struct Limit {
    benchmark: String,
    what: String,
    /// Figures of Linux 6.1, 6.12 and 7.2.
    linux: [Option<f64>; 3],
    target: Option<f64>,
    floor: Option<f64>,
}

/// A table: its headings and its rows.
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// Reads the limits of the loads that are hard for a search if `hard`, or else all others.
fn limits(hard: bool) -> Result<Vec<Limit>, String> {
    let path = in_tree("bench/limits.csv");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    if lines.next() != Some(COLUMNS) {
        return Err(format!("bench/limits.csv has other columns than {COLUMNS}"));
    }
    let row = |line: &str| {
        let bad = || format!("bench/limits.csv: {line}");
        let [benchmark, what, linux_6_1, linux_6_12, linux_7_2, target, floor] =
            line.split(',').collect::<Vec<_>>().try_into().map_err(|_| bad())?;
        let number = |text: &str| if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(|_| bad()) };
        Ok(Limit {
            benchmark: benchmark.to_owned(),
            what: what.to_owned(),
            linux: [number(linux_6_1)?, number(linux_6_12)?, number(linux_7_2)?],
            target: number(target)?,
            floor: number(floor)?,
        })
    };
    let all: Vec<Limit> = lines.map(row).collect::<Result<_, String>>()?;
    Ok(all.into_iter().filter(|limit| limit.benchmark.starts_with(PREFIX_OF_HARD) == hard).collect())
}

/// Suffixes of the names of a figure's tail: 99.9 % of the calls, and the longest.
const TAILS: [&str; 2] = ["_p999", "_max"];

/// Returns a figure, its bound for 999 of 1,000 calls, and its longest single call; `both` is the
/// sum of allocation and release.
fn measured(figures: &Figures, limit: &Limit) -> Option<(f64, [Option<u64>; 2])> {
    let get = |what: &str| figures.get(&limit.benchmark, what);
    let of = |what: &str| TAILS.map(|tail| get(&format!("{what}{tail}")));
    Some(match limit.what.as_str() {
        "both" => {
            let [op, release] = ["op", "release"].map(of);
            let sum = |tail: usize| op[tail].zip(release[tail]).map(|(a, b)| a + b);
            ((get("op")? + get("release")?) as f64, [sum(0), sum(1)])
        }
        "bytes_per_page" => (get("millibytes_per_page")? as f64 / 1000.0, [None; 2]),
        what => (get(what)? as f64, of(what)),
    })
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 { grouped(value as u64) } else { format!("{value:.3}") }
}

fn ratio(value: f64) -> String {
    if value >= 9.995 { format!("{}x", grouped(value.round() as u64)) } else { format!("{value:.2}x") }
}

fn verdict(value: f64, target: Option<f64>) -> String {
    match target {
        None => String::new(),
        Some(target) if value <= target => "met".into(),
        Some(target) => format!("{:.0} % over", (value / target - 1.0) * 100.0),
    }
}

impl Table {
    /// Creates the table of every figure that `bench/limits.csv` names, except the hard loads'.
    ///
    /// # Errors
    /// The error in `bench/limits.csv`, or that a figure it names was not measured.
    pub fn of_limits(figures: &Figures) -> Result<Self, String> {
        let headings = "benchmark,call,mean,99.9 %,worst,Linux 6.1,6.12,7.2,least/here,at most,,floor,here/floor"
            .split(',')
            .collect();
        let mut rows = Vec::new();
        for limit in limits(false)? {
            let (value, tails) = measured(figures, &limit)
                .ok_or_else(|| format!("{} {} was not measured", limit.benchmark, limit.what))?;
            let call = match (limit.benchmark.as_str(), limit.what.as_str()) {
                ("boot", _) => "reset to first command",
                ("memory", _) => "bytes a page",
                (name, _) if name.starts_with("search") => "failing search",
                (_, "op") => "allocate",
                (_, "both") => "both",
                _ => "release",
            };
            let of = |value: Option<f64>| value.map(number).unwrap_or_default();
            rows.push(vec![
                limit.benchmark.clone(),
                call.into(),
                number(value),
                tails[0].map(grouped).unwrap_or_default(),
                tails[1].map(grouped).unwrap_or_default(),
                of(limit.linux[0]),
                of(limit.linux[1]),
                of(limit.linux[2]),
                limit
                    .linux
                    .into_iter()
                    .flatten()
                    .reduce(f64::min)
                    .map(|linux| ratio(linux / value))
                    .unwrap_or_default(),
                of(limit.target),
                verdict(value, limit.target),
                of(limit.floor),
                limit.floor.map(|floor| ratio(value / floor)).unwrap_or_default(),
            ]);
        }
        Ok(Self { headings, rows })
    }

    /// Creates the table of the loads that are hard for a search: means, the worst allocation, and
    /// the limit of each.
    ///
    /// # Errors
    /// The error in `bench/limits.csv`, or that a figure it names was not measured.
    pub fn of_hard(figures: &Figures) -> Result<Self, String> {
        const CALLS: [&str; 3] = ["op", "release", "op_max"];
        let limits = limits(true)?;
        let mut names: Vec<&str> = limits.iter().map(|limit| limit.benchmark.as_str()).collect();
        names.dedup();
        let mut rows = Vec::new();
        for name in names {
            let mut row = vec![name.to_owned()];
            for call in CALLS {
                let value = figures.get(name, call).ok_or_else(|| format!("{name} {call} was not measured"))? as f64;
                let limit = limits.iter().find(|limit| limit.benchmark == name && limit.what == call);
                let target = limit.and_then(|limit| limit.target);
                if call == "op_max" {
                    row.push(figures.get(name, "op_p999").map(grouped).unwrap_or_default());
                }
                row.extend([number(value), target.map(number).unwrap_or_default(), verdict(value, target)]);
            }
            rows.push(row);
        }
        let headings = "load,allocate,at most,,release,at most,,allocate 99.9 %,worst,at most,".split(',').collect();
        Ok(Self { headings, rows })
    }

    /// Creates the table of the scaled loads, a row for each area: each call, and the mean of the
    /// two, which a load makes equally often.
    pub fn of_growth(figures: &Figures) -> Self {
        let mut rows = Vec::new();
        for load in SCALED {
            let at = |mib: u32, what: &str| figures.get(&format!("{load}/{mib}"), what);
            let mean = |mib: u32, what: &str| match what {
                "both" => Some((at(mib, "op")? + at(mib, "release")?) as f64 / 2.0),
                _ => at(mib, what).map(|value| value as f64),
            };
            for mib in SIZES_MIB {
                let mut row = vec![load.to_owned(), mib.to_string()];
                for what in ["op", "release", "both"] {
                    let value = mean(mib, what);
                    let growth = value.zip(mean(SIZES_MIB[0], what)).map(|(now, first)| now / first.max(1.0));
                    row.push(value.map(|value| grouped(value.round() as u64)).unwrap_or_default());
                    if what != "both" {
                        let tail = |tail: &str| at(mib, &format!("{what}{tail}")).map(grouped).unwrap_or_default();
                        row.extend(TAILS.map(tail));
                    }
                    row.push(growth.map(|growth| format!("{growth:.2}x")).unwrap_or_default());
                    let last = mib == SIZES_MIB[SIZES_MIB.len() - 1];
                    row.push(growth.filter(|_| last).map(|it| verdict(it, Some(GROWTH_LIMIT))).unwrap_or_default());
                }
                rows.push(row);
            }
        }
        let of = "of 8 MiB's";
        let calls = ["allocate", "99.9 %", "worst", of, "", "release", "99.9 %", "worst", of, "", "a call", of, ""];
        Self { headings: ["load", "MiB"].into_iter().chain(calls).collect(), rows }
    }

    /// Formats the table for a terminal.
    pub fn plain(&self) -> String {
        let lines =
            core::iter::once(self.headings.iter().map(|&word| word.to_owned()).collect()).chain(self.rows.clone());
        let lines: Vec<Vec<String>> = lines.collect();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            for (column, (word, width)) in line.iter().zip(&widths).enumerate() {
                // Names are aligned to the left, numbers to the right.
                let cell = if column < 2 { format!("{word:<width$}") } else { format!("{word:>width$}") };
                text.push_str(if column == 0 { "" } else { "  " });
                text.push_str(&cell);
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        text
    }

    /// Formats the table for a Markdown page.
    pub fn markdown(&self) -> String {
        let line = |words: Vec<&str>| format!("| {} |\n", words.join(" | "));
        let mut text = line(self.headings.clone());
        let rules = (0..self.headings.len()).map(|column| if column < 2 { "---" } else { "--:" }).collect();
        text.push_str(&line(rules));
        for row in &self.rows {
            text.push_str(&line(row.iter().map(String::as_str).collect()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use kernel::lab::bench::names;
    use kernel::machine::Machine;

    use super::*;

    fn some() -> Figures {
        let limits = limits(false).unwrap();
        let record =
            |name: &str| format!(r#"{{"record":"bench","name":"{name}","ns_per_op":9,"max_ns":9,"release_ns":1}}"#);
        let mut lines: Vec<String> = limits.iter().map(|limit| record(&limit.benchmark)).collect();
        lines.push(r#"{"record":"memory","millibytes_per_page":16007}"#.into());
        let scaled = SCALED.iter().flat_map(|load| SIZES_MIB.map(|mib| record(&format!("{load}/{mib}"))));
        lines.extend(scaled);
        Figures::from_records(lines.iter().map(String::as_str)).unwrap()
    }

    #[test]
    fn every_limit_has_a_row_and_a_benchmark() {
        let figures = some();
        let table = Table::of_limits(&figures).unwrap();
        assert_eq!(table.rows.len(), limits(false).unwrap().len());
        let known = |benchmark: &str| names::<dyn Machine>().any(|name| name == benchmark);
        assert!(limits(false).unwrap().iter().all(|limit| known(&limit.benchmark)));
        assert!(table.plain().lines().nth(1).unwrap().contains("met"));
        assert!(table.markdown().lines().all(|line| line.matches('|').count() == 14));
        assert!(Table::of_limits(&Figures::default()).is_err_and(|error| error.contains("boot op")));
        let growth = Table::of_growth(&figures);
        assert_eq!(growth.rows.len(), 15);
        assert!(growth.rows.iter().all(|row| row.len() == growth.headings.len() && row[12] == "5"), "of 9 and 1");
    }

    #[test]
    fn every_hard_load_has_limits() {
        let figure = |limit: &Limit, what: &str| crate::bench::Figure {
            benchmark: limit.benchmark.clone(),
            what: what.into(),
            value: 9,
        };
        let limits = limits(true).unwrap();
        let figures = limits.iter().flat_map(|limit| ["op", "release", "op_max"].map(|what| figure(limit, what)));
        let table = Table::of_hard(&Figures(figures.collect())).unwrap();
        let names: Vec<&str> = table.rows.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(names, crate::bench::hard::names().collect::<Vec<_>>());
        assert!(table.markdown().lines().all(|line| line.matches('|').count() == 12));
    }

    #[test]
    fn misses_are_said() {
        assert_eq!(verdict(100.0, Some(100.0)), "met");
        assert_eq!(verdict(150.0, Some(100.0)), "50 % over");
        assert_eq!((ratio(0.5), ratio(9.99), ratio(9.999)), ("0.50x".into(), "9.99x".into(), "10x".into()));
        assert_eq!((ratio(42.6), ratio(1234.4)), ("43x".into(), "1,234x".into()));
    }
}
