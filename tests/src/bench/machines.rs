//! The machines that the benchmarks run on: always the board with 1 GiB, counting instructions, with the areas they need.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::data::trace_result;
use crate::{Boot, Tree, in_tree};

/// Each takes a few seconds; on a busy machine more.
const TIME_LIMIT: Duration = Duration::from_secs(240);
/// The trace behind the benchmark `big-area`.
const TRACE: &str = "big-area.trace";

/// A machine and the benchmarks that it is for.
struct Machine {
    /// Reserved-memory nodes; without any the board's own tree.
    nodes: Option<&'static str>,
    benchmarks: &'static [&'static str],
}

const MACHINES: [Machine; 3] = [
    Machine {
        nodes: None,
        benchmarks: &[
            "boot",
            "cma/1",
            "cma/64",
            "cma/2048",
            "debris",
            "buddy/0",
            "buddy/9",
            "buddy/split",
            "full/1",
            "migrate/1",
            "reclaim/clean",
            "empty-area",
            "dma/coherent/1",
            "dma/coherent/16",
            "dma/coherent/1024",
            "dma/map/1",
        ],
    },
    Machine {
        nodes: Some("dts/bench.dtsi"),
        benchmarks: &[
            "cma/131072",
            "big-area",
            "search/fail",
            "search/worst",
            "slots/8",
            "slots/32",
            "slots/128",
            "slots/512",
            "sizes/8",
            "sizes/32",
            "sizes/128",
            "sizes/512",
        ],
    },
    // Three quarters of RAM under bitmaps: as much metadata as there can be.
    Machine { nodes: Some("dts/bench-768.dtsi"), benchmarks: &["slots/768", "sizes/768", "memory"] },
];

impl Machine {
    fn boot(&self, benchmarks: &str) -> Result<Boot, String> {
        let boot = Boot::commands(&format!("bench {benchmarks}")).memory("1024M").counted().time_limit(TIME_LIMIT);
        let Some(nodes) = self.nodes else { return Ok(boot) };
        let text = fs::read_to_string(in_tree(nodes)).map_err(|error| format!("{nodes}: {error}"))?;
        Ok(boot.tree(Tree::Nodes(text)).initrd(in_tree("tests/data/linux-6.1").join(TRACE)))
    }
}

/// The machine that one benchmark runs on, set up to run nothing else; `None` where there is no such benchmark.
pub fn machine_for(benchmark: &str) -> Option<Result<Boot, String>> {
    MACHINES.iter().find(|machine| machine.benchmarks.contains(&benchmark)).map(|machine| machine.boot(benchmark))
}

/// The name of every benchmark.
pub fn names() -> impl Iterator<Item = &'static str> {
    MACHINES.iter().flat_map(|machine| machine.benchmarks.iter().copied())
}

/// Boots every machine and collects the records of all benchmarks, a line each.
///
/// # Errors
/// The console of a machine that did not do what it was told, or what is wrong with a record.
pub fn measure() -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    for machine in &MACHINES {
        let outcome = machine.boot(&machine.benchmarks.join(" "))?.run();
        if outcome.status() != Some(0) {
            return Err(outcome.to_string());
        }
        let kinds = ["{\"record\":\"bench\",", "{\"record\":\"memory\","];
        let records = outcome.console().lines().filter(|line| kinds.iter().any(|kind| line.starts_with(kind)));
        let before = lines.len();
        lines.extend(records.map(str::to_owned));
        if lines.len() - before != machine.benchmarks.len() {
            return Err(format!("a benchmark gave no record; {outcome}"));
        }
    }
    lines.iter().try_for_each(|line| placements_are_linuxs(line))?;
    Ok(lines)
}

/// A trace counts only where every request was placed as Linux placed it.
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
    fn every_benchmark_has_one_machine() {
        let mut all: Vec<_> = names().collect();
        assert!(all.contains(&"debris"));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
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
