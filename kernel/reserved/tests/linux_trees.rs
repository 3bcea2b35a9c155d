// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random trees and what Linux made of them, line by line, on each version that was booted with them.
//!
//! `tests/data/trees` has the trees, how each was booted, and the answers (its README says how they were made). Compared
//! are the lines about reserved memory in their order, the areas with what they sum up to, and RAM. Lines that begin with
//! `debris: ` are ours, and left out.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use reserved::memblock::RegionKind;
use reserved::{cmdline, early, place};
use units::PhysRange;
use units::linux::LinuxVersion;

/// Where RAM begins on this board.
const RAM_START: u64 = 0x6000_0000;
/// The initrd that all trees were booted with, in bytes.
const INITRD_BYTES: u64 = 604_160;
/// What the booted kernels' own image takes, page tables in front of it included.
const LINUX_IMAGE: PhysRange = PhysRange { start: 0x6000_4000, end: 0x6080_0000 };

/// One tree as it was booted.
struct Tree {
    path: PathBuf,
    mem_bytes: u64,
    cmdline: String,
}

fn trees() -> Vec<Tree> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/trees");
    let mut paths: Vec<PathBuf> = [root.clone(), root.join("small")]
        .iter()
        .flat_map(|folder| fs::read_dir(folder).expect("the trees are there"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "dtb"))
        .collect();
    paths.sort();
    paths.into_iter().map(tree).collect()
}

fn tree(path: PathBuf) -> Tree {
    let how = fs::read_to_string(path.with_extension("json")).expect("how it was booted");
    let how: serde_json::Value = serde_json::from_str(&how).expect("JSON");
    assert_eq!(how["initrd_bytes"], INITRD_BYTES);
    let mem_bytes = how["mem_mib"].as_u64().expect("a size") << 20;
    let cmdline = how["cmdline"].as_str().expect("a command line").to_string();
    Tree { path, mem_bytes, cmdline }
}

impl Tree {
    /// What Linux printed, `CmaFree` left out: it speaks of what was allocated until then.
    fn answer(&self, version: LinuxVersion) -> Option<String> {
        let path = self.path.with_extension(format!("linux-{version}"));
        let answer = fs::read_to_string(path).ok()?;
        Some(answer.lines().filter(|line| !line.starts_with("CmaFree")).map(|line| format!("{line}\n")).collect())
    }

    /// What we make of it, in the same form.
    fn ours(&self, version: LinuxVersion) -> String {
        let blob = fs::read(&self.path).expect("a tree");
        let mut facts = devicetree::read(&blob).expect("a usable tree");
        // What QEMU does: RAM of the given size, the initrd in the middle or at 128 MiB, the tree on the page behind it.
        let initrd = PhysRange::sized(RAM_START + (self.mem_bytes / 2).min(128 << 20), INITRD_BYTES);
        let tree = PhysRange::sized(initrd.end.next_multiple_of(4096), 2 * blob.len() as u64 + 10_000);
        facts.memory = vec![PhysRange::sized(RAM_START, self.mem_bytes)];
        facts.initrd = Some(initrd);
        let cmdline = cmdline::parse(&format!("{} linux={version}", self.cmdline));
        let mut memblock = early::memory_map(&facts, LINUX_IMAGE, tree).memblock;
        let placed = place(&facts, &cmdline, |frames| 16 * u64::from(frames), &mut memblock);

        let mut text = String::new();
        let linux = placed.notes.iter().filter(|note| !note.text.starts_with("debris: "));
        for note in linux {
            writeln!(text, "{}", note.text).expect("a string");
        }
        let bytes: u64 = placed.areas.iter().map(|area| area.range.size()).sum();
        writeln!(text, "CmaTotal: {} kB", bytes / 1024).expect("a string");
        let iomem = memblock.iomem().to_string();
        for line in iomem.lines().filter(|line| line.ends_with(" : System RAM")) {
            writeln!(text, "iomem {}", line.trim_start()).expect("a string");
        }
        assert_eq!(
            memblock.reserved().iter().filter(|region| region.kind == RegionKind::Cma).count(),
            placed.areas.len()
        );
        text
    }
}

/// Every tree of which there is this version's answer; a mismatch is shown in full.
#[track_caller]
fn compare(version: LinuxVersion, answers: usize) {
    let mut same = 0;
    let mut different = String::new();
    for tree in trees() {
        let Some(answer) = tree.answer(version) else { continue };
        let ours = tree.ours(version);
        if ours == answer {
            same += 1;
            continue;
        }
        let name = tree.path.file_stem().expect("a name").to_string_lossy();
        writeln!(different, "== {name} ({} MiB, {:?})", tree.mem_bytes >> 20, tree.cmdline).expect("a string");
        for line in diff(&answer, &ours) {
            writeln!(different, "{line}").expect("a string");
        }
    }
    assert!(different.is_empty(), "{same} trees are as on Linux {version}; others are not:\n{different}");
    assert_eq!(same, answers, "so many answers of Linux {version} are in the folder");
}

/// The lines of both from the first difference on: `-` Linux's, `+` ours.
fn diff(linux: &str, ours: &str) -> Vec<String> {
    let (linux, ours): (Vec<_>, Vec<_>) = (linux.lines().collect(), ours.lines().collect());
    let alike = linux.iter().zip(&ours).take_while(|(one, other)| one == other).count();
    let linux = linux[alike..].iter().map(|line| format!("- {line}"));
    linux.chain(ours[alike..].iter().map(|line| format!("+ {line}"))).collect()
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn trees_are_as_on_linux_6_1() {
    compare(LinuxVersion::V6_1, 73);
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn trees_are_as_on_linux_6_12() {
    compare(LinuxVersion::V6_12, 27);
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn trees_are_as_on_linux_7_2() {
    compare(LinuxVersion::V7_2, 51);
}
