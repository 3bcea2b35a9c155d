// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random trees and Linux's answers to them, line by line, for each version that was booted with
//! them.
//!
//! `tests/data/trees` contains the trees, the boot parameters of each, and the answers (its README
//! describes how they were made). Compared are the lines about reserved memory in their order, the
//! sum of the areas' sizes, and RAM. Lines that begin with `debris: ` are ours, and left out.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use devicetree::Facts;
use reserved::addresses::adapt;
use reserved::memblock::RegionKind;
use reserved::{cmdline, early, place};
use units::PhysRange;
use units::linux::LinuxVersion;

/// Start of RAM on this board.
const RAM_START: u64 = 0x6000_0000;
/// The initrd that all trees were booted with, in bytes.
const INITRD_BYTES: u64 = 604_160;
/// The image of the booted kernels, the page tables before it included.
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
    /// Linux's output without `CmaFree`, which depends on later allocations.
    fn answer(&self, version: LinuxVersion) -> Option<String> {
        let path = self.path.with_extension(format!("linux-{version}"));
        let answer = fs::read_to_string(path).ok()?;
        Some(answer.lines().filter(|line| !line.starts_with("CmaFree")).map(|line| format!("{line}\n")).collect())
    }

    /// Returns our answer in the same form: to the tree as it is, or to its copy for a board whose
    /// RAM begins at `ram_base`. Returns `None` if there is no such copy, because a region spans
    /// the start of RAM.
    fn ours(&self, version: LinuxVersion, ram_base: Option<u64>) -> Option<String> {
        let blob = fs::read(&self.path).expect("a tree");
        let mut facts = devicetree::read(&blob).expect("a usable tree");
        // QEMU's places: RAM of the given size, the initrd in the middle or at 128 MiB, the tree on
        // the page after it.
        let initrd = PhysRange::sized(RAM_START + (self.mem_bytes / 2).min(128 << 20), INITRD_BYTES);
        let tree = PhysRange::sized(initrd.end.next_multiple_of(4096), 2 * blob.len() as u64 + 10_000);
        facts.memory = vec![PhysRange::sized(RAM_START, self.mem_bytes)];
        facts.initrd = Some(initrd);
        let mut bootargs = format!("{} linux={version}", self.cmdline);
        if let Some(ram_base) = ram_base {
            if self.cmdline.contains('@') || !move_ram(&mut facts, ram_base) {
                return None;
            }
            write!(bootargs, " ram_base={ram_base:#x}").expect("a string");
        }
        let mut cmdline = cmdline::parse(&bootargs);
        adapt(&mut facts, &mut cmdline);
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
        Some(text)
    }
}

/// Moves the tree's addresses in RAM from where RAM begins here to `ram_base`; returns false if a
/// range spans its start.
fn move_ram(facts: &mut Facts, ram_base: u64) -> bool {
    let regions = facts
        .reserved
        .iter_mut()
        .flat_map(|node| node.reg.value_mut().into_iter().chain(node.alloc_ranges.value_mut()).flatten());
    let mut moved = true;
    for range in facts.memreserve.iter_mut().chain(&mut facts.usable_memory).chain(regions) {
        let PhysRange { start, end } = *range;
        if start >= RAM_START {
            *range = PhysRange { start: start - RAM_START + ram_base, end: end - RAM_START + ram_base };
        } else {
            // A range that ends above the board's own base would move, too.
            moved &= end <= RAM_START.min(ram_base);
        }
    }
    moved
}

/// Compares every tree that has an answer of this version; shows a mismatch in full.
#[track_caller]
fn compare(version: LinuxVersion, ram_base: Option<u64>, answers: usize) {
    let mut same = 0;
    let mut different = String::new();
    for tree in trees() {
        let Some(answer) = tree.answer(version) else { continue };
        let Some(ours) = tree.ours(version, ram_base) else { continue };
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
    assert_eq!(same, answers, "the number of answers of Linux {version} in the folder");
}

/// Returns the lines of both from the first difference on: `-` Linux's, `+` ours.
fn diff(linux: &str, ours: &str) -> Vec<String> {
    let (linux, ours): (Vec<_>, Vec<_>) = (linux.lines().collect(), ours.lines().collect());
    let alike = linux.iter().zip(&ours).take_while(|(one, other)| one == other).count();
    let linux = linux[alike..].iter().map(|line| format!("- {line}"));
    linux.chain(ours[alike..].iter().map(|line| format!("+ {line}"))).collect()
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn trees_are_as_on_linux_6_1() {
    compare(LinuxVersion::V6_1, None, 73);
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn trees_are_as_on_linux_6_12() {
    compare(LinuxVersion::V6_12, None, 27);
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn trees_are_as_on_linux_7_2() {
    compare(LinuxVersion::V7_2, None, 51);
}

/// A tree of a board whose RAM is elsewhere has the same answer as the tree of this board.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn trees_of_boards_with_ram_elsewhere_are_moved() {
    for ram_base in [0x8000_0000, 0x1_0000_0000, 0x8_8000_0000] {
        compare(LinuxVersion::V6_1, Some(ram_base), 64);
        compare(LinuxVersion::V7_2, Some(ram_base), 44);
    }
}
