// SPDX-License-Identifier: MIT OR Apache-2.0

//! The minimal kernel: it boots without any of the project's scripts, runs the published
//! experiment, and stays small.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use boot_tests::data::{bitmap_fnv1a, parse_bitmap, trace_result};
use boot_tests::in_tree;
use serde_json::Value;

/// Most lines of the crates that it links, without tests.
const MOST_CRATE_LINES: usize = 12_000;
/// Most lines of code in all, including the modules of `boot` that it consists of, without blank
/// lines, comments and tests.
const MOST_CODE_LINES: usize = 12_000;
const MOST_IMAGE_BYTES: u64 = 400_000;

/// Boots it with plain QEMU; returns the output and the status.
fn boot(append: &str) -> (String, Option<i32>) {
    let output = Command::new("timeout")
        .args(["60", "qemu-system-arm", "-M", "vexpress-a9", "-m", "128", "-nographic", "-semihosting"])
        .arg("-kernel")
        .arg(in_tree("build/core.bin"))
        .arg("-dtb")
        .arg(in_tree("build/vexpress-v2p-ca9.dtb"))
        .args(["-append", append])
        .stdin(Stdio::null())
        .output()
        .expect("timeout and QEMU are there");
    (String::from_utf8_lossy(&output.stdout).replace('\r', ""), output.status.code())
}

#[test]
fn it_prints_the_published_figures() {
    let (console, status) = boot("cma=8M");
    assert_eq!(status, Some(0), "{console}");
    let record = console.lines().find(|line| line.starts_with('{')).expect("a record");
    let record: Value = serde_json::from_str(record).expect("JSON");
    for (name, value) in [
        ("pages", 2048),
        ("allocs", 16_687),
        ("releases", 16_550),
        ("failed_pages", 51),
        ("free", 664),
        ("maxchunk", 44),
    ] {
        assert_eq!(record[name], value, "{name} in {record}");
    }
    assert_eq!((&record["record"], &record["cause"]), (&"debris".into(), &"fragmented".into()));
    let bits = parse_bitmap(&console);
    assert_eq!(bitmap_fnv1a(&bits), trace_result("article.trace").bitmap_fnv1a, "{console}");
    for line in ["CMA total size: 0x800000", "order   pages  free runs of at least these  unusable free"] {
        assert!(console.contains(line), "{line}: {console}");
    }
}

#[test]
fn it_ends_with_a_status_where_there_is_nothing_to_do() {
    let (console, status) = boot("cma=0");
    assert_eq!(status, Some(2), "{console}");
    assert!(console.contains("no CMA area"), "{console}");
}

/// Returns the lines of a source file without tests.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("sources are text");
    let mut lines = text.lines().peekable();
    let mut kept = Vec::new();
    while let Some(line) = lines.next() {
        let Some(next) = lines.peek().filter(|_| line.trim() == "#[cfg(test)]") else {
            kept.push(line.to_owned());
            continue;
        };
        if next.contains("mod ") && next.ends_with('{') {
            let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
            lines.by_ref().find(|line| *line == end).expect("a module ends");
        } else {
            lines.next();
        }
    }
    kept
}

/// Returns the lines of all files of a directory without tests.
fn lines_below(directory: &Path) -> Vec<String> {
    let mut kept = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("readable").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() {
            kept.extend(if name == "tests" { Vec::new() } else { lines_below(&path) });
        } else if !["tests", "example", "mock"].contains(&name.as_str()) {
            kept.extend(lines(&path));
        }
    }
    kept
}

/// Returns the modules of `boot` that the root declares, as files.
fn modules() -> Vec<String> {
    let root = fs::read_to_string(in_tree("boot/src/core.rs")).expect("the root");
    let (mut inside, mut files) = (String::new(), vec!["core".to_owned()]);
    for line in root.lines() {
        let declared = line.trim().trim_start_matches("pub(crate) ").strip_prefix("mod ");
        match declared.map(|name| name.trim_end_matches([';', '{', ' '])) {
            Some(name) if line.ends_with(';') => files.push(format!("{inside}{name}")),
            Some(name) if !line.starts_with(' ') => inside = format!("{name}/"),
            _ if line == "}" => inside.clear(),
            _ => {}
        }
    }
    files
}

#[test]
fn it_can_be_read_in_an_afternoon() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", "boot-core", "--edges", "normal", "--prefix", "none"])
        .args(["--target", "armv7a-none-eabi"])
        .current_dir(in_tree("."))
        .output()
        .expect("cargo");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).expect("text");
    let mut crates: Vec<&str> = tree.lines().filter(|line| line.contains("/kernel/")).collect();
    crates.iter_mut().for_each(|line| *line = line.split(' ').next().unwrap_or_default());
    crates.sort_unstable();
    crates.dedup();
    assert_eq!(crates, ["cma", "devicetree", "experiment", "page-alloc", "placement", "reserved", "units"]);

    let linked: Vec<String> =
        crates.iter().flat_map(|name| lines_below(&in_tree(&format!("kernel/{name}/src")))).collect();
    assert!(linked.len() <= MOST_CRATE_LINES, "{} lines in {crates:?}", linked.len());
    assert!(linked.len() > MOST_CRATE_LINES / 2, "{} lines: are they counted?", linked.len());

    let modules = modules();
    let mut own: Vec<String> =
        modules.iter().flat_map(|name| lines(&in_tree(&format!("boot/src/{name}.rs")))).collect();
    // Submodules.
    let inner = modules.iter().map(|name| in_tree(&format!("boot/src/{name}"))).filter(|path| path.is_dir());
    own.extend(inner.flat_map(|path| lines_below(&path)));
    assert!(own.len() > 2000, "{} lines in {modules:?}", own.len());
    let is_code = |line: &&String| !line.trim().is_empty() && !line.trim().starts_with("//");
    let code = linked.iter().chain(&own).filter(is_code).count();
    assert!(code <= MOST_CODE_LINES, "{code} lines of code");
    println!(
        "{} lines in {} crates, {} in {} modules; {code} are code",
        linked.len(),
        crates.len(),
        own.len(),
        modules.len()
    );

    let image = fs::metadata(in_tree("build/core.bin")).expect("make core").len();
    assert!(image <= MOST_IMAGE_BYTES, "{image} bytes");
}
