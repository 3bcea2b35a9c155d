// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks `docs/ARCHITECTURE.md` against cargo's metadata: the dependencies between the portable
//! crates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The project's crates in the order of their layers: each depends only on those before it.
const LAYERS: [&str; 16] = [
    "units",
    "devicetree",
    "reserved",
    "page-alloc",
    "placement",
    "placements",
    "cma",
    "experiment",
    "migration",
    "dma",
    "block",
    "system",
    "machine",
    "lab",
    "monitor",
    "kernel",
];

/// Crates that only tests depend on, with the highest layer that each may depend on itself: the
/// configuration of random tests, and the board of the host tests.
const FOR_TESTS: [(&str, &str); 2] = [("property", ""), ("board-mock", "machine")];

/// Dependencies of a crate, and those of its tests alone.
#[derive(Default)]
struct Asks {
    always: BTreeSet<String>,
    tests: BTreeSet<String>,
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Reads the manifests below `kernel/`.
fn crates() -> BTreeMap<String, Asks> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let ours = packages.filter(|package| package["manifest_path"].as_str().unwrap().contains("/kernel/"));
    let asks = |package: &Value| {
        let mut asks = Asks::default();
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap().to_string();
            match dependency["kind"].as_str() {
                Some("dev") => asks.tests.insert(name),
                _ => asks.always.insert(name),
            };
        }
        asks.tests.retain(|name| !asks.always.contains(name));
        asks
    };
    ours.map(|package| (package["name"].as_str().unwrap().to_string(), asks(package))).collect()
}

fn list<'n>(names: impl Iterator<Item = &'n String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_page_has_every_edge() {
    let crates = crates();
    let mut edges = String::new();
    for name in LAYERS.into_iter().chain(["board-mock"]) {
        let Asks { always, tests } = &crates[name];
        let (ours, others): (Vec<_>, Vec<_>) = always.iter().partition(|name| LAYERS.contains(&name.as_str()));
        let mut line = format!("{name:<10} <- {} | {}", list(ours.into_iter()), list(others.into_iter()));
        if !tests.is_empty() {
            line += &format!("  tests: {}", list(tests.iter()));
        }
        edges += line.trim_end();
        edges += "\n";
    }
    let page = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let (_, rest) = page.split_once("<!-- the edges").unwrap();
    let block = rest.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert_eq!(block, edges, "the block of docs/ARCHITECTURE.md has to be this:\n{edges}");
}

#[test]
fn no_crate_asks_one_above_it_not_even_for_its_tests() {
    let crates = crates();
    let for_tests = |name: &str| FOR_TESTS.iter().find(|(other, _)| *other == name);
    let known: BTreeSet<&str> = crates.keys().map(String::as_str).filter(|name| for_tests(name).is_none()).collect();
    assert_eq!(known, LAYERS.into_iter().collect(), "every crate has its layer");
    let place = |name: &str| LAYERS.iter().position(|other| *other == name);
    // The first layer that the crate may not depend on.
    let limit = |name: &str| match for_tests(name) {
        Some((_, highest)) => place(highest).map_or(0, |place| place + 1),
        None => place(name).unwrap(),
    };
    for (name, Asks { always, tests }) in &crates {
        for asked in always.iter().chain(tests) {
            let allowed = if for_tests(asked).is_some() {
                // A board that depends on the crate would be built with another instance of it than
                // that under test.
                tests.contains(asked) && limit(asked) <= limit(name)
            } else {
                place(asked).is_none_or(|place| place < limit(name))
            };
            assert!(allowed, "{name} asks {asked}, which is above it, or there for tests alone");
        }
    }
}

#[test]
fn every_crate_is_free_of_std_and_of_unsafe_and_says_what_it_is_for() {
    for name in LAYERS {
        let directory = if name == "kernel" { "kernel/src".into() } else { format!("kernel/{name}/src") };
        let text = std::fs::read_to_string(root().join(directory).join("lib.rs")).unwrap();
        for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
            assert!(text.contains(attribute), "{name} lacks {attribute}");
        }
        assert!(text.split("\n\n").nth(1).is_some_and(|text| text.starts_with("//! ")), "{name} says what it is for");
        assert!(text.contains("//! ```\n"), "{name} has an example");
    }
}
