// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program on the inputs of the kernel's fuzzers, and on the tree's recordings and states with
//! changed bytes: each time a status and a line, no panic, no hang.
//!
//! `fuzz/corpus` has the findings of `make fuzz`; `HOST_INPUTS=100000 cargo test --release -p host
//! --test inputs` sets the number of inputs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../");
/// Inputs that are changed, and inputs of the fuzzers, in `make test`.
const INPUTS: usize = 24;
/// Maximum of bytes of an input, as in the fuzzers.
const MOST: usize = 4096;
/// Time after which a command hangs.
const HANGS: Duration = Duration::from_secs(60);

/// A linear congruential generator: a seed gives the same inputs everywhere.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

/// Returns the files of a directory and of those in it, by name.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn beginning(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).expect("a file of the tree");
    bytes.truncate(MOST);
    bytes
}

/// Changes bytes, and cuts, doubles and swaps lines.
fn changed(mut bytes: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    const WORDS: [&[u8]; 8] = [b"\n", b"\0", b"=", b"0x", b"4294967296", b"-1", b"+7@", b"\xff\xfe"];
    for _ in 0..=rng.below(6) {
        let (from, to) = (rng.below(bytes.len()), rng.below(bytes.len()));
        match rng.below(4) {
            0 if !bytes.is_empty() => bytes[from] = rng.below(256) as u8,
            1 => bytes.truncate(from),
            2 => {
                let piece = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(to..to, piece);
            }
            _ => {
                let word = WORDS[rng.below(WORDS.len())].iter().copied();
                bytes.splice(from..(from + 3).min(bytes.len()), word);
            }
        }
    }
    bytes.truncate(MOST);
    bytes
}

/// Starts every command that reads a file.
fn commands(directory: &Path) -> Vec<Child> {
    let commands: [&[&str]; 8] = [
        &["size", "input", "--placement", "first-fit", "--align", "asis"],
        &["explain", "input"],
        &["view", "input", "--pages", "9"],
        &["check", "input"],
        &["check", "input", "--anonymous"],
        &["anonymous", "input", "-o", "anonymous"],
        &["replay", "input"],
        &["lab", "load; replay failures=all; release all; bitmap", "--area", "8M", "--initrd", "input"],
    ];
    let start = |words: &&[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_debris"));
        command.args(*words).current_dir(directory).env("RAYON_NUM_THREADS", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    commands.iter().map(start).collect()
}

/// Runs every command on an input.
fn survives(directory: &Path, what: &str, input: &[u8]) {
    fs::write(directory.join("input"), input).expect("a file can be made");
    let began = Instant::now();
    for mut child in commands(directory) {
        while child.try_wait().expect("it is ours").is_none() {
            if began.elapsed() > HANGS {
                child.kill().expect("it is ours");
                panic!("{what}: a command hangs");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let output = child.wait_with_output().expect("it ended");
        let said = String::from_utf8_lossy(&output.stderr);
        let well = matches!(output.status.code(), Some(0..=3)) && !said.contains("panicked");
        assert!(well, "{what}: {:?}: {said}", output.status);
    }
}

#[test]
fn no_input_makes_it_panic_or_hang() {
    let inputs = std::env::var("HOST_INPUTS").map_or(INPUTS, |inputs| inputs.parse().expect("HOST_INPUTS is a number"));
    let directory = tempfile::TempDir::new().unwrap();
    let at = |path: &str| files(&Path::new(TREE).join(path));
    let seeds: Vec<PathBuf> = ["tests/data/linux-6.1", "tests/data/cases", "tests/data/perf"]
        .iter()
        .flat_map(|path| at(path))
        .filter(|path| path.extension().is_some_and(|end| end == "trace" || end == "log"))
        .collect();
    assert!(seeds.len() >= 8, "{seeds:?}");
    let mut rng = Rng(24);
    for number in 0..inputs {
        let path = &seeds[number % seeds.len()];
        let input = changed(beginning(path), &mut rng);
        survives(directory.path(), &format!("input {number}, from {}", path.display()), &input);
    }
    let found: Vec<PathBuf> =
        ["trace", "device_tree", "monitor"].iter().flat_map(|target| at(&format!("fuzz/corpus/{target}"))).collect();
    for path in found.iter().step_by(found.len().div_ceil(inputs).max(1)) {
        survives(directory.path(), &path.display().to_string(), &beginning(path));
    }
}
