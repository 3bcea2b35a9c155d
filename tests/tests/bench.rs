// SPDX-License-Identifier: MIT OR Apache-2.0

//! The benchmarks as a user runs them: a machine's figures are compared with a baseline, and a
//! worse figure is named.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use boot_tests::bench::{Figures, baseline, profile};
use boot_tests::{Boot, in_tree};
use tempfile::TempDir;

/// A file with the records of a machine that ran some benchmarks, and a baseline of their figures.
struct Measured {
    directory: TempDir,
    figures: Figures,
}

impl Measured {
    fn new(benchmarks: &str) -> Self {
        let outcome = Boot::commands(&format!("bench {benchmarks}")).memory("1024M").counted().run();
        let records = outcome.ended_with(0).console().lines().filter(|line| line.starts_with("{\"record\":\"bench\""));
        let lines: Vec<&str> = records.collect();
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("records"), lines.join("\n")).unwrap();
        Self { directory, figures: Figures::from_records(lines).unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs `bench check` with `accepted` as the baseline.
    fn check(&self, accepted: &Figures) -> Output {
        fs::write(self.path("baseline.csv"), baseline::write(accepted)).unwrap();
        bench(&["check"], &self.path("records"), &self.path("baseline.csv"))
    }
}

fn bench(words: &[&str], records: &Path, accepted: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(words).arg("--records").arg(records).arg("--baseline").arg(accepted);
    command.env_remove("UPDATE_BASELINE").output().unwrap()
}

#[test]
fn worse_figure_is_named_and_fails_the_check() {
    let measured = Measured::new("buddy/split cma/1");
    let same = measured.check(&measured.figures);
    assert!(same.status.success(), "{same:?}");
    for (index, figure) in measured.figures.0.iter().enumerate() {
        let mut accepted = measured.figures.clone();
        // The measured value is a tenth more than this, and more than a step of the clock.
        accepted.0[index].value = figure.value * 9 / 10 - 10;
        let worse = measured.check(&accepted);
        assert_eq!(worse.status.code(), Some(1), "{worse:?}");
        let complaint = String::from_utf8_lossy(&worse.stderr).into_owned();
        assert!(complaint.contains(&format!("worse: {} {}", figure.benchmark, figure.what)), "{complaint}");
        assert!(complaint.contains("UPDATE_BASELINE=1"), "{complaint}");
    }
}

#[test]
fn better_figure_passes_and_is_said() {
    let measured = Measured::new("cma/64");
    let mut accepted = measured.figures.clone();
    accepted.0[0].value *= 2;
    let better = measured.check(&accepted);
    assert!(better.status.success(), "{better:?}");
    assert!(String::from_utf8_lossy(&better.stdout).contains("better: cma/64 op"), "{better:?}");
}

#[test]
fn figures_repeat_exactly() {
    let run = || Measured::new("boot cma/1 debris buddy").figures;
    assert_eq!(run(), run());
}

#[test]
fn the_committed_baseline_names_what_make_bench_measures() {
    let accepted = baseline::read(&fs::read_to_string(in_tree("bench/baseline.csv")).unwrap()).unwrap();
    for name in kernel::lab::bench::names::<dyn kernel::machine::Machine>() {
        assert!(accepted.0.iter().any(|figure| figure.benchmark == name), "{name} is not in the baseline");
    }
}

#[test]
fn unknown_benchmarks_are_status_2_and_lists_are_not() {
    Boot::commands("bench nothing").run().ended_with(2).says("there are boot cma/1");
    Boot::commands("bench cma/131072").run().ended_with(2).says("needs an empty area of 131072 pages");
}

#[test]
fn all_benchmarks_on_too_little_memory_are_those_that_can_run() {
    let outcome = Boot::commands("bench").memory("8M").run();
    outcome.ended_with(0).says("Not run for lack of an area, a trace or memory: cma/1 ");
    assert!(outcome.records_of("bench").iter().any(|record| record["name"] == "buddy/0"));
}

#[test]
fn profile_finds_the_calls_and_their_functions() {
    let text = profile::run("buddy/9").unwrap();
    for function in ["pop_front", "free_head", "kernel/page-alloc/src/buddy.rs"] {
        assert!(text.contains(function), "{function}\n{text}");
    }
    let unknown = profile::run("nothing").unwrap_err();
    assert!(unknown.contains("there are boot cma/1") && unknown.contains(" hard/wquad"), "{unknown}");
}

#[test]
fn profile_replays_loads_that_are_hard() {
    let text = profile::run("hard/wquad").unwrap();
    for function in ["first_fit", "kernel/placement/src/search.rs"] {
        assert!(text.contains(function), "{function}\n{text}");
    }
}

#[test]
fn figures_are_the_instructions_between_the_readings() {
    let figures = Measured::new("buddy cma/1 cma/64").figures;
    for benchmark in ["buddy/0", "buddy/9", "cma/1", "cma/64"] {
        let text = profile::run(benchmark).unwrap();
        // "buddy/9: 2000 calls of 83.5 instructions, …"
        let words: Vec<&str> = text.lines().next().unwrap().split(' ').collect();
        assert_eq!(words[..3], [&format!("{benchmark}:"), "2000", "calls"], "{text}");
        let counted: f64 = words[4].parse().unwrap();
        let measured =
            ["op", "release"].map(|what| figures.get(benchmark, what).unwrap() as f64).iter().sum::<f64>() / 2.0;
        assert!((counted - measured).abs() <= 1.0, "{benchmark}: {counted} counted, {measured} measured");
    }
}
