// SPDX-License-Identifier: MIT OR Apache-2.0

//! A dozen of the trees that Linux was booted with, in QEMU: the image's log about reserved memory
//! equals Linux's, line by line. `kernel/reserved/tests/linux_trees.rs` compares all of them,
//! natively.

use std::fs;
use std::path::PathBuf;

use boot_tests::{Boot, Tree, in_tree};

/// Size of the initrd that all trees were booted with: it determines its address.
const INITRD_BYTES: usize = 604_160;

/// Beginnings of the lines that Linux prints about reserved memory.
const STARTS: [&str; 5] =
    ["Reserved memory: ", "OF: reserved mem: ", "OF: fdt: Reserved memory: ", "cma: ", "Skipping dt linux,cma-default"];

/// Boots a tree as Linux `version` was booted with it, and compares the log about it.
#[track_caller]
fn compare(tree: &str, version: &str) {
    let file = |extension: &str| -> PathBuf { in_tree(&format!("tests/data/trees/{tree}.{extension}")) };
    let how = fs::read_to_string(file("json")).expect("how it was booted");
    let how: serde_json::Value = serde_json::from_str(&how).expect("JSON");
    let cmdline = how["cmdline"].as_str().expect("a command line");

    let outcome = Boot::commands("grep CmaTotal /proc/meminfo; grep 'System RAM' /proc/iomem")
        .with(&format!("{cmdline} linux={version}"))
        .memory(&format!("{}M", how["mem_mib"]))
        .tree(Tree::Blob(fs::read(file("dtb")).expect("a tree")))
        .run_on(vec![0; INITRD_BYTES]);
    outcome.ended_with(0);

    let stamped = |line: &str| line.starts_with('[');
    let text = |line: &str| line.split_once("] ").map_or(line, |(_, text)| text).trim_end().to_string();
    let log = outcome.console().lines().filter(|line| stamped(line)).map(text);
    let mut ours: Vec<String> = log.filter(|line| STARTS.iter().any(|start| line.starts_with(start))).collect();
    for line in outcome.console().lines().filter(|line| !stamped(line)) {
        if let Some(total) = line.strip_prefix("CmaTotal:") {
            ours.push(format!("CmaTotal: {}", total.trim()));
        } else if line.ends_with(" : System RAM") {
            ours.push(format!("iomem {line}"));
        }
    }
    let answer = fs::read_to_string(file(&format!("linux-{version}"))).expect("Linux's answer");
    let answer: Vec<&str> = answer.lines().filter(|line| !line.starts_with("CmaFree")).collect();
    assert_eq!(ours, answer, "{tree} on Linux {version}: {outcome}");
}

#[test]
fn as_on_linux_6_1() {
    for tree in ["t0010", "t0044", "t0094", "t0122", "t0126", "small/t0010", "small/t0016"] {
        compare(tree, "6.1");
    }
}

#[test]
fn as_on_linux_6_12() {
    for tree in ["t0026", "t0044", "small/t0014"] {
        compare(tree, "6.12");
    }
}

#[test]
fn as_on_linux_7_2() {
    for tree in ["t0012", "t0028", "t0094", "t0044", "small/t0008"] {
        compare(tree, "7.2");
    }
}
