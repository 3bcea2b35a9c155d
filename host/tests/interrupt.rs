// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ctrl-C while a command runs: no file is torn, and a line says what is done. The interrupted
//! commands never end by themselves.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Status of an interrupted command.
const STATUS: Option<i32> = Some(130);
/// A run of a load that ends at a failure, which does not occur in a large area.
const LOAD: &str = "debris ops=4000000000000";

fn started(directory: &Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_debris"))
        .args(arguments)
        .current_dir(directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until `is_true` of a running process.
fn wait_for(child: &mut Child, mut is_true: impl FnMut(u32) -> bool) {
    while !is_true(child.id()) {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// True if a process catches SIGINT: bit 1 of its caught signals.
fn catches_ctrl_c(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & 2 != 0
}

/// Sends Ctrl-C to a process, and waits for its end; returns its output and its last line.
fn interrupted(mut child: Child) -> (Output, String) {
    wait_for(&mut child, catches_ctrl_c);
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), STATUS, "{said}");
    let last = said.lines().last().unwrap_or_default().to_owned();
    (output, last)
}

#[test]
fn a_sweep_has_whole_lines_and_goes_on() {
    let directory = tempfile::TempDir::new().unwrap();
    let sweep = |area: &str, seeds: &str, more: &[&str]| {
        let sweep = ["sweep", "--load", LOAD, "--area", area, "--seeds", seeds, "-j", "2", "-o", "runs.jsonl"];
        started(directory.path(), &[&sweep, more].concat())
    };
    let text = || std::fs::read_to_string(directory.path().join("runs.jsonl")).unwrap_or_default();
    // Those in 8 MiB end at a failure, and those in 64 MiB never do.
    let mut child = sweep("8M,64M", "1..3", &[]);
    wait_for(&mut child, |_| text().lines().count() >= 3);
    let (_, last) = interrupted(child);
    assert_eq!(last, "debris: stopped by Ctrl-C: 3 of 6 runs are in runs.jsonl, and --resume goes on");
    let done = text();
    assert!(done.ends_with('\n') && done.lines().count() == 3, "{done}");
    for line in done.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(record["key"].as_str().is_some_and(|key| key.contains("area=8M")), "{line}");
        assert_ne!(record["failed_pages"], 0, "a run that was ended is none: {line}");
    }
    // It continues, and is stopped before another run is done.
    let (output, last) = interrupted(sweep("8M,64M", "1..3", &["--resume"]));
    assert!(
        String::from_utf8_lossy(&output.stderr).starts_with("debris: 6 runs, 6 of them in part 1/1, 3 of those done")
    );
    assert!(last.contains(": 3 of 6 runs are in "), "{last}");
    assert_eq!(text(), done);
    let output = sweep("8M", "1..5", &["--resume"]).wait_with_output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stderr).contains(", 3 of those done"));
    assert!(text().starts_with(&done) && text().lines().count() == 5);
}

#[test]
fn a_size_and_a_comparison_print_nothing_by_halves() {
    let directory = tempfile::TempDir::new().unwrap();
    let event = |task: &str, ms: u32, pfn: u32| {
        format!(
            "  {task}-7  [000] .....     {ms}.000000: cma_alloc_finish: name=x pfn=0x{pfn:x} page=0 count=9 align=0 errorno=0\n"
        )
    };
    let text: String = (0..999).map(|ms| event(["cam", "vpu"][ms as usize % 2], ms, 0x10000 + 9 * ms)).collect();
    std::fs::write(directory.path().join("two.trace"), text).unwrap();
    let never = ["size", "two.trace", "--jitter", "4000000000", "--json", "--html", "page.html"];
    for (arguments, said) in [
        (&never[..], "debris: stopped by Ctrl-C"),
        (
            &["compare", "--area", "64M", "seeds=2", "ops=4000000000000", "placements=first-fit,zoned"],
            "debris: stopped by Ctrl-C: 0 of 4 loads were done, and nothing is printed",
        ),
    ] {
        let (output, last) = interrupted(started(directory.path(), arguments));
        assert_eq!((&*last, &*String::from_utf8_lossy(&output.stdout)), (said, ""));
    }
    assert!(!directory.path().join("page.html").exists());
}

#[test]
fn the_laboratory_reports_what_it_has() {
    let directory = tempfile::TempDir::new().unwrap();
    let (output, last) = interrupted(started(directory.path(), &["lab", "--area", "64M", &format!("{LOAD}; cma")]));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(", then Ctrl-C; 0 requests failed."), "{said}");
    assert_eq!(last, "debris: stopped by Ctrl-C");
}
