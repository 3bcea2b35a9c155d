// SPDX-License-Identifier: MIT OR Apache-2.0

//! `scripts/cma-record`, on a directory with the files that a board's kernel has: the recorder
//! needs no machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use boot_tests::{Boot, in_tree};
use tempfile::TempDir;

const TRACE: &str = "           x-1       [000] .....     1.000000: cma_alloc_finish: name=linux,cma pfn=0x69000 \
                     page=00000000d2c00a51 count=64 align=6 errorno=0\n";

/// A board: its root directory, and the recorder's output.
struct Board {
    directory: TempDir,
}

impl Board {
    fn new(lost: u32) -> Self {
        let board = Self { directory: TempDir::new().expect("a temporary directory") };
        for (name, text) in [
            ("sys/kernel/tracing/events/cma/enable", "0\n"),
            ("sys/kernel/tracing/tracing_on", "0\n"),
            ("sys/kernel/tracing/buffer_size_kb", "7 (expanded: 1408)\n"),
            ("sys/kernel/tracing/per_cpu/cpu0/stats", &format!("entries: 1\noverrun: {lost}\ndropped events: 0\n")),
            ("sys/kernel/debug/cma/linux,cma/bitmap", "0 0\n"),
            ("sys/kernel/debug/cma/linux,cma/used", "0\n"),
            ("sys/kernel/mm/cma/linux,cma/alloc_pages_success", "0\n"),
            ("proc/meminfo", "CmaTotal: 8192 kB\n"),
            ("proc/cmdline", "console=ttyAMA0\n"),
        ] {
            let path = board.root().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
            fs::write(path, text).expect("it can be written");
        }
        let pipe = board.root().join("sys/kernel/tracing/trace_pipe");
        assert!(Command::new("mkfifo").arg(pipe).status().expect("mkfifo").success());
        board
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    fn out(&self) -> PathBuf {
        self.directory.path().join("out")
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.root().join(name)).expect(name)
    }

    /// Records while `driver` runs, a shell command in the root directory.
    fn record(&self, shell: &str, driver: &str) -> Output {
        let script = in_tree("scripts/cma-record");
        Command::new(shell)
            .arg(script)
            .arg("-o")
            .arg(self.out())
            .args(["-b", "512", "sh", "-c", driver])
            .env("CMA_RECORD_ROOT", self.root())
            .current_dir(self.root())
            .output()
            .expect("a shell")
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn what_a_driver_asks_for_is_recorded_and_replayed() {
    let board = Board::new(0);
    fs::write(board.root().join("lines"), TRACE).unwrap();
    let driver = "cat sys/kernel/tracing/events/cma/enable; echo 64 > sys/kernel/debug/cma/linux,cma/used; \
                  cat lines > sys/kernel/tracing/trace_pipe; exit 7";
    let output = board.record("sh", driver);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(7), "the driver's status; {said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with("1\n"), "the events are on while it runs: {said}");
    assert!(said.contains("1 lines in ") && said.contains("make run INITRD=") && !said.contains("lost"), "{said}");
    assert_eq!(board.file("sys/kernel/tracing/events/cma/enable"), "0\n", "and off afterwards");
    assert_eq!(board.file("sys/kernel/tracing/buffer_size_kb"), "512\n");
    let out = board.out();
    assert_eq!(text(&out.join("trace")), TRACE);
    assert_eq!(text(&out.join("before/linux,cma.used")), "0\n");
    assert_eq!(text(&out.join("after/linux,cma.used")), "64\n");
    assert_eq!(text(&out.join("after/linux,cma.bitmap")), "0 0\n");
    assert_eq!(text(&out.join("before/linux,cma.alloc_pages_success")), "0\n");
    assert!(text(&out.join("before/meminfo")).contains("CmaTotal") && text(&out.join("about")).contains("ttyAMA0"));

    let again = board.record("sh", "true");
    assert!(!again.status.success(), "what was recorded is not written over");

    let outcome = Boot::commands("replay").initrd(out.join("trace")).run();
    outcome.ended_with(0).says("1 of 1 placements as recorded");
}

#[test]
fn lost_events_are_named() {
    let board = Board::new(3);
    let output = board.record("dash", ": > sys/kernel/tracing/trace_pipe");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("record again with -b 2048"), "{said}");
    assert!(text(&board.out().join("lost")).contains("cpu0 overrun 3"));
}

#[test]
fn what_the_kernel_recorded_by_itself_stays() {
    let board = Board::new(0);
    fs::write(board.root().join("sys/kernel/tracing/events/cma/enable"), "1\n").unwrap();
    assert!(board.record("sh", ": > sys/kernel/tracing/trace_pipe").status.success());
    assert_eq!(board.file("sys/kernel/tracing/events/cma/enable"), "1\n");
    assert!(board.file("sys/kernel/tracing/buffer_size_kb").starts_with("7 "), "another size would empty the buffer");
}

#[test]
fn help_is_given_and_a_bad_option_is_not() {
    let run = |shell: &str, option: &str| {
        Command::new(shell).arg(in_tree("scripts/cma-record")).arg(option).output().expect("a shell")
    };
    for (shell, option) in [("sh", "-h"), ("dash", "--help")] {
        let output = run(shell, option);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert!(said.starts_with("usage: cma-record [-o DIRECTORY] [-b KIB]") && said.contains("4096"), "{said}");
    }
    assert_eq!(run("sh", "-x").status.code(), Some(1));
}

#[test]
fn a_kernel_without_the_events_is_told() {
    let board = Board::new(0);
    fs::remove_dir_all(board.root().join("sys/kernel/tracing/events/cma")).unwrap();
    let output = board.record("sh", "true");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("has no CMA events"), "{output:?}");
    assert!(!board.out().exists());
}
