// SPDX-License-Identifier: MIT OR Apache-2.0

//! The machines that the benchmarks run on: always the board with 1 GiB, counting instructions,
//! with the areas they need.

use std::fs;
use std::time::Duration;

use kernel::lab::bench::names;
use kernel::machine::Machine as AnyMachine;
use serde_json::Value;

use crate::data::trace_result;
use crate::{Boot, Tree, in_tree};

/// Time limit of a machine: each takes a few seconds, and more on a busy host.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(240);
/// Trace of the benchmark `big-area`.
const TRACE: &str = "big-area.trace";

/// A machine that benchmarks run on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Machine {
    /// The board's own tree: two areas of 8 MiB.
    Board,
    /// `dts/bench.dtsi`: areas from 8 to 512 MiB.
    Areas,
    /// `dts/bench-768.dtsi`: an area of three quarters of RAM, the most metadata possible.
    LargestArea,
}

impl Machine {
    const ALL: [Self; 3] = [Self::Board, Self::Areas, Self::LargestArea];

    /// Returns the machine with the areas that a benchmark needs.
    fn of(benchmark: &str) -> Self {
        match benchmark.split_once('/').unwrap_or((benchmark, "")) {
            ("memory", _) | ("slots" | "sizes" | "both", "768") => Self::LargestArea,
            ("big-area" | "search" | "slots" | "sizes" | "both", _) | ("cma", "131072") => Self::Areas,
            _ => Self::Board,
        }
    }

    fn benchmarks(self) -> Vec<&'static str> {
        names::<dyn AnyMachine>().filter(|name| Self::of(name) == self).collect()
    }

    /// Returns the reserved-memory nodes in place of the board's own.
    const fn nodes(self) -> Option<&'static str> {
        match self {
            Self::Board => None,
            Self::Areas => Some("dts/bench.dtsi"),
            Self::LargestArea => Some("dts/bench-768.dtsi"),
        }
    }

    fn boot(self, benchmarks: &str) -> Result<Boot, String> {
        let boot = Boot::commands(&format!("bench {benchmarks}")).memory("1024M").counted().time_limit(TIME_LIMIT);
        let Some(nodes) = self.nodes() else { return Ok(boot) };
        let text = fs::read_to_string(in_tree(nodes)).map_err(|error| format!("{nodes}: {error}"))?;
        // Only the areas of those nodes.
        Ok(boot.with("cma=0").tree(Tree::Nodes(text)).initrd(in_tree("tests/data/linux-6.1").join(TRACE)))
    }
}

/// Returns the machine that one benchmark runs on, set up to run nothing else; `None` if there is
/// no such benchmark.
pub fn machine_for(benchmark: &str) -> Option<Result<Boot, String>> {
    names::<dyn AnyMachine>().any(|name| name == benchmark).then(|| Machine::of(benchmark).boot(benchmark))
}

/// Boots every machine and collects the records of all benchmarks, a line each.
///
/// # Errors
/// The console of a machine that failed, or the error in a record.
pub fn measure() -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    for machine in Machine::ALL {
        let benchmarks = machine.benchmarks();
        let outcome = machine.boot(&benchmarks.join(" "))?.run();
        if outcome.status() != Some(0) {
            return Err(outcome.to_string());
        }
        let kinds = ["{\"record\":\"bench\",", "{\"record\":\"memory\","];
        let records = outcome.console().lines().filter(|line| kinds.iter().any(|kind| line.starts_with(kind)));
        let before = lines.len();
        lines.extend(records.map(str::to_owned));
        if lines.len() - before != benchmarks.len() {
            return Err(format!("a benchmark gave no record; {outcome}"));
        }
    }
    lines.iter().try_for_each(|line| placements_are_linuxs(line))?;
    Ok(lines)
}

/// Checks that every request of a trace was placed as Linux placed it.
fn placements_are_linuxs(line: &str) -> Result<(), String> {
    let record: Value = serde_json::from_str(line).map_err(|error| format!("{error} in the record {line}"))?;
    if record["name"] != "big-area" {
        return Ok(());
    }
    let expected = trace_result(TRACE).placement_fnv1a;
    if record["placement_fnv1a"] == *expected {
        Ok(())
    } else {
        Err(format!("Linux's placements are {expected}: {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_has_benchmarks() {
        assert!(Machine::ALL.iter().all(|machine| !machine.benchmarks().is_empty()));
        assert!(machine_for("debris").is_some() && machine_for("nothing").is_none());
    }

    #[test]
    fn foreign_placements_are_refused() {
        let record = |fnv: &str| format!(r#"{{"record":"bench","name":"big-area","placement_fnv1a":"{fnv}"}}"#);
        assert!(placements_are_linuxs(&record(&trace_result(TRACE).placement_fnv1a)).is_ok());
        assert!(placements_are_linuxs(&record("0000000000000000")).is_err());
        assert!(placements_are_linuxs(r#"{"record":"bench","name":"debris"}"#).is_ok());
    }
}
