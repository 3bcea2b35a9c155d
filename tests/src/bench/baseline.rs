// SPDX-License-Identifier: MIT OR Apache-2.0

//! The file of accepted figures, and the changes since.

use std::fmt;

use super::{Figure, Figures, grouped};

/// Largest change of a figure that is accepted, in percent.
const TOLERANCE_PERCENT: u64 = 5;
/// Resolution of the clock by which a single call is timed, in ns; means are finer.
const CLOCK_STEP_NS: u64 = 10;

const HEADER: &str = "benchmark,figure,value";

/// Change of a figure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// More than the tolerance above the accepted value.
    Worse(Figure, u64),
    /// More than the tolerance below the accepted value.
    Better(Figure, u64),
    /// In the baseline, but not measured.
    Gone(Figure),
    /// Measured, but not in the baseline.
    New(Figure),
}

impl Change {
    /// True if the change has to be accepted by hand.
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Better(..))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |new: u64, old: u64| (new as f64 / old.max(1) as f64 - 1.0) * 100.0;
        match self {
            Self::Worse(now, before) | Self::Better(now, before) => {
                let word = if now.value > *before { "worse" } else { "better" };
                let change = percent(now.value, *before);
                let (before, value) = (grouped(*before), grouped(now.value));
                write!(f, "{word}: {} {}: {before} -> {value} ({change:+.1} %)", now.benchmark, now.what)
            }
            Self::Gone(figure) => write!(f, "no longer measured: {} {}", figure.benchmark, figure.what),
            Self::New(figure) => {
                write!(f, "not in the baseline: {} {}: {}", figure.benchmark, figure.what, grouped(figure.value))
            }
        }
    }
}

/// Writes figures as a baseline.
pub fn write(figures: &Figures) -> String {
    let row = |figure: &Figure| format!("{},{},{}\n", figure.benchmark, figure.what, figure.value);
    format!("{HEADER}\n{}", figures.0.iter().map(row).collect::<String>())
}

/// Reads a baseline.
///
/// # Errors
/// The line that is not a row of a baseline.
pub fn read(text: &str) -> Result<Figures, String> {
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return Err(format!("the baseline does not begin with {HEADER}"));
    }
    let row = |line: &str| {
        let bad = || format!("no row of the baseline: {line}");
        let [benchmark, what, value] = line.split(',').collect::<Vec<_>>().try_into().map_err(|_| bad())?;
        let value = value.parse().map_err(|_| bad())?;
        Ok(Figure { benchmark: benchmark.to_owned(), what: what.to_owned(), value })
    };
    lines.map(row).collect::<Result<_, String>>().map(Figures)
}

/// Returns the changes by more than the tolerance.
pub fn compare(baseline: &Figures, now: &Figures) -> Vec<Change> {
    let mut changes = Vec::new();
    for figure in &now.0 {
        let Some(before) = baseline.get(&figure.benchmark, &figure.what) else {
            changes.push(Change::New(figure.clone()));
            continue;
        };
        let slack = before * TOLERANCE_PERCENT / 100 + if figure.what.ends_with("_max") { CLOCK_STEP_NS } else { 0 };
        if figure.value > before + slack {
            changes.push(Change::Worse(figure.clone(), before));
        } else if figure.value + slack < before {
            changes.push(Change::Better(figure.clone(), before));
        }
    }
    let gone = baseline.0.iter().filter(|before| now.get(&before.benchmark, &before.what).is_none());
    changes.extend(gone.cloned().map(Change::Gone));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(rows: &[(&str, &str, u64)]) -> Figures {
        let figure = |&(benchmark, what, value): &(&str, &str, u64)| Figure {
            benchmark: benchmark.into(),
            what: what.into(),
            value,
        };
        Figures(rows.iter().map(figure).collect())
    }

    fn changes(before: u64, now: u64, what: &str) -> Vec<String> {
        let changes = compare(&figures(&[("x", what, before)]), &figures(&[("x", what, now)]));
        changes.iter().map(Change::to_string).collect()
    }

    #[test]
    fn five_percent_more_is_worse() {
        assert_eq!(changes(1000, 1050, "op"), [""; 0]);
        assert_eq!(changes(1000, 1051, "op"), ["worse: x op: 1,000 -> 1,051 (+5.1 %)"]);
        assert_eq!(changes(1000, 949, "op"), ["better: x op: 1,000 -> 949 (-5.1 %)"]);
        assert_eq!(changes(100, 115, "op_max"), [""; 0], "a step of the clock is no change");
        assert_eq!(changes(100, 116, "op_max").len(), 1);
        assert_eq!(changes(0, 1, "op").len(), 1);
    }

    #[test]
    fn figures_that_come_and_go_are_named() {
        let changes = compare(&figures(&[("a", "op", 1)]), &figures(&[("b", "op", 2)]));
        let words: Vec<_> = changes.iter().map(Change::to_string).collect();
        assert_eq!(words, ["not in the baseline: b op: 2", "no longer measured: a op"]);
        assert!(changes.iter().all(Change::is_failure));
    }

    #[test]
    fn a_baseline_is_read_as_it_was_written() {
        let some = figures(&[("cma/1", "op", 500), ("memory", "millibytes_per_page", 16_007)]);
        assert_eq!(read(&write(&some)), Ok(some));
        for bad in ["", "benchmark,figure\n", "benchmark,figure,value\na,b\n", "benchmark,figure,value\na,b,c\n"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
