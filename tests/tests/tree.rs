// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reserved-memory nodes and `cma=`: each case of `tests/data/linux-6.1/reserved-memory.toml` is a
//! test.

use std::process::ExitCode;

use boot_tests::data::{TreeCase, tree_cases};
use boot_tests::{Boot, Outcome, Tree};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let trials = tree_cases()
        .into_iter()
        .map(|case| {
            let name = case.name.clone();
            Trial::test(name, move || try_case(&case))
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn try_case(case: &TreeCase) -> Result<(), Failed> {
    // As passed to Linux: malformed nodes stay malformed.
    let nodes = match case.fragment {
        true => case.nodes.clone(),
        false => format!("/ {{ reserved-memory {{ {} }}; }};", case.nodes),
    };
    let outcome = Boot::commands("cma").with(&case.append).memory("1024M").tree(Tree::Fragments(nodes)).run();
    match differences(case, &outcome) {
        differences if differences.is_empty() => Ok(()),
        differences => Err(format!("{}; {outcome}", differences.join("; ")).into()),
    }
}

/// Returns the differences from the case.
fn differences(case: &TreeCase, outcome: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    if outcome.status() != Some(0) {
        found.push("a refused node or parameter changes nothing else, and the status is not 0".to_owned());
        return found;
    }
    let mut lines = outcome.lines();
    for said in &case.says {
        if !lines.any(|line| line == said) {
            found.push(format!("no line {said:?} in its turn"));
        }
    }
    for words in &case.mentions {
        // The command line itself is printed at boot too: that line does not count.
        if !outcome.lines().any(|line| line.contains(words) && !line.contains("run=")) {
            found.push(format!("no line with {words:?}"));
        }
    }
    let count = outcome.record("boot")["areas"].as_u64();
    if count != Some(case.areas.len() as u64) {
        found.push(format!("{count:?} areas instead of {}", case.areas.len()));
    }
    for area in &case.areas {
        let [name, base, mib]: [&str; 3] =
            area.split(' ').collect::<Vec<_>>().try_into().expect("name, base and MiB in the table of cases");
        let pages = (mib.parse::<u64>().expect("MiB") << 8).to_string();
        let listed = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.first() == Some(&name)
                && (base == "*" || words.iter().any(|word| word.eq_ignore_ascii_case(base)))
                && words.contains(&pages.as_str())
        };
        if !outcome.lines().any(listed) {
            found.push(format!("`cma` lists no {name} at {base} with {pages} pages"));
        }
    }
    found
}
