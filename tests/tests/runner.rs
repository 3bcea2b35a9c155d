// SPDX-License-Identifier: MIT OR Apache-2.0

//! The runner between a user and QEMU: resources shared by parallel runs, and the handling of
//! input, output and status.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use boot_tests::{FakeQemu, in_tree};

/// Script that prints a line when it runs, waits for a line, and then reads its files.
const LOOKS_LATE: &str = r#"
echo started
read -r line
while [ $# -gt 0 ]; do
    case $1 in
    -dtb) dtc -q -I dtb -O dts "$2" ;;
    -kernel) cmp "$2" "$line" && echo 'the right image' ;;
    esac
    shift
done"#;

/// A run that waits for a line.
struct Waiting {
    child: Child,
    keyboard: ChildStdin,
}

/// Starts a run, and waits until its QEMU runs.
fn start(mut command: Command) -> Waiting {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let keyboard = child.stdin.take().unwrap();
    assert_eq!(first_line(&mut child), "started");
    Waiting { child, keyboard }
}

/// Reads the first line that a run prints, and nothing after it.
fn first_line(child: &mut Child) -> String {
    let console = child.stdout.as_mut().unwrap();
    let mut line = Vec::new();
    let mut byte = [0];
    while byte != [b'\n'] {
        console.read_exact(&mut byte).unwrap();
        line.extend(byte);
    }
    line.pop();
    String::from_utf8(line).unwrap()
}

impl Waiting {
    /// Types a line, and returns the rest of the output.
    fn end_with(mut self, line: &Path) -> String {
        writeln!(self.keyboard, "{}", line.display()).unwrap();
        drop(self.keyboard);
        String::from_utf8(self.child.wait_with_output().unwrap().stdout).unwrap()
    }
}

fn nodes(qemu: &FakeQemu, name: &str) -> PathBuf {
    let file = qemu.path(&format!("{name}.dtsi"));
    let node =
        format!("{name}@70000000 {{ compatible = \"shared-dma-pool\"; reusable; reg = <0x70000000 0x800000>; }};");
    fs::write(&file, node).unwrap();
    file
}

#[test]
fn each_run_boots_its_own_tree() {
    let qemu = FakeQemu::new(LOOKS_LATE);
    let image = qemu.path("image.bin");
    let run = |name: &str| start(qemu.command(&image, &[("NODES", nodes(&qemu, name).to_str().unwrap())]));
    // All are started before the first reads its tree.
    let names = ["first", "second", "third"];
    let runs: Vec<_> = names.iter().map(|name| run(name)).collect();
    for (name, run) in names.iter().zip(runs) {
        let tree = run.end_with(&image);
        let own: Vec<_> = names.iter().filter(|name| tree.contains(&format!("{name}@70000000 {{"))).collect();
        assert_eq!(own, [name], "{tree}");
    }
}

#[test]
fn each_run_boots_the_image_of_its_own_elf() {
    let qemu = FakeQemu::new(LOOKS_LATE);
    let elf = qemu.path("image.elf");
    fs::copy(in_tree("build/debris.elf"), &elf).unwrap();
    let before = fs::read_dir(qemu.path("")).unwrap().count();
    let run = start(qemu.command(&elf, &[]));
    // Another build writes, and runs, an image of that name.
    fs::write(&elf, "\x7fELF of something else").unwrap();
    let _ = qemu.command(&elf, &[]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let said = run.end_with(&in_tree("build/debris.bin"));
    assert_eq!(said, "the right image\n");
    assert_eq!(fs::read_dir(qemu.path("")).unwrap().count(), before, "a run leaves nothing beside the ELF");
}

#[test]
fn runs_side_by_side_in_a_real_machine() {
    let qemu = FakeQemu::new("exit 1");
    let run = |name: &str| {
        let mut command =
            qemu.command(&in_tree("build/debris.elf"), &[("NODES", nodes(&qemu, name).to_str().unwrap())]);
        command.env_remove("QEMU").env("MEM", "512M").env("APPEND", "run=\"cma; poweroff\"").env("TIMEOUT", "60");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
    };
    for names in [["a0", "b0"], ["a1", "b1"], ["a2", "b2"]] {
        let runs = names.map(|name| (name, run(name)));
        for (name, run) in runs {
            let output = run.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(0));
            let areas: Vec<_> = BufReader::new(&*output.stdout)
                .lines()
                .map(Result::unwrap)
                .filter(|line| line.contains("0x70000000     2048"))
                .collect();
            assert!(areas.len() == 1 && areas[0].starts_with(name), "{name}: {areas:?}");
        }
    }
}

/// Runs a real machine, with `input` piped in.
fn machine(append: &str, input: &[u8]) -> Output {
    let qemu = FakeQemu::new("exit 1");
    let mut command =
        qemu.command(&in_tree("build/debris.bin"), &[("APPEND", append), ("MEM", "256M"), ("TIMEOUT", "60")]);
    command.env_remove("QEMU").env_remove("DTB").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    let input = input.to_vec();
    // The machine may end before it has read all input.
    let typing = thread::spawn(move || keyboard.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = typing.join().unwrap();
    output
}

#[test]
fn a_run_whose_input_has_ended_ends_with_the_status_so_far() {
    for (run, input, status) in [
        ("version", "", 0),
        ("nonsense", "", 2),
        ("poweroff 300", "", 2),
        ("version", "version\n", 0),
        ("nonsense", "version", 2),
        ("version", "poweroff 7", 7),
        ("version", "version\nworse\n\x1b[", 0),
        // A reboot loses the input that was typed before.
        ("version", "reboot\nversion\n", 0),
    ] {
        let output = machine(&format!("run=\"{run}\""), input.as_bytes());
        let console = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(status), "{run}, {input:?}: {console}");
        assert!(!console.contains('\r') && console.ends_with('\n'), "{console:?}");
    }
}

#[test]
fn what_is_piped_in_arrives_whole() {
    let lines: Vec<String> = (0..8000).map(|number| format!("line-{number:06}")).collect();
    let input: String = lines.iter().map(|line| format!("echo {line}\n")).collect();
    assert!(input.len() > 128 << 10);
    let output = machine("run=version", input.as_bytes());
    assert_eq!(output.status.code(), Some(0));
    let console = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<&str> = console.lines().filter(|line| line.starts_with("line-")).collect();
    assert!(printed == lines, "{} of {} lines", printed.len(), lines.len());
}

#[test]
fn lines_of_runs_side_by_side_stay_whole() {
    let qemu = FakeQemu::new("printf 'half '; touch \"$0.half\"; read -r line; printf 'whole\\r\\nrest'");
    let other = FakeQemu::new("printf 'other\\r\\n'");
    let (mut console, pipe) = io::pipe().unwrap();
    // The commands are dropped at once, which closes their ends of the pipe.
    let image = qemu.path("image.bin");
    let shared = pipe.try_clone().unwrap();
    let mut first = qemu.command(&image, &[]).stdin(Stdio::piped()).stdout(shared).spawn().unwrap();
    assert!(comes_true(|| qemu.path("qemu.half").exists()));
    let status = other.command(&other.path("image.bin"), &[]).stdin(Stdio::null()).stdout(pipe).status().unwrap();
    assert!(status.success());
    first.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(first.wait().unwrap().success());
    let mut text = String::new();
    console.read_to_string(&mut text).unwrap();
    assert_eq!(text, "other\nhalf whole\nrest\n", "and a last line without an end gets one");
}

#[test]
fn what_ends_a_run_is_its_status() {
    let status = |script: &str, variables: &[(&str, &str)]| FakeQemu::new(script).run(variables).status.code();
    assert_eq!(status("exit 0", &[]), Some(0));
    assert_eq!(status("exit 101", &[]), Some(101));
    assert_eq!(status("kill -SEGV $$", &[]), Some(128 + 11));
    let late = FakeQemu::new("exec sleep 60").run(&[("TIMEOUT", "0.1")]);
    assert_eq!(late.status.code(), Some(124));
    assert!(String::from_utf8_lossy(&late.stderr).contains("TIMEOUT is over: QEMU was ended after 100ms"));
    assert_eq!(status("exit 3", &[("TIMEOUT", "0")]), Some(3), "0 is no limit");
    assert_eq!(status("exit 3", &[("TIMEOUT", "soon")]), Some(1));
}

fn comes_true(condition: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Waits until the process is gone, or a zombie.
fn ends(process: &str) -> bool {
    comes_true(|| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    })
}

#[test]
fn a_run_that_is_ended_takes_qemu_along() {
    let qemu = FakeQemu::new("echo $$\nexec sleep 600");
    for signal in ["TERM", "KILL", "HUP", "INT"] {
        for variables in [&[][..], &[("TIMEOUT", "500")]] {
            let mut command = qemu.command(&qemu.path("image.bin"), variables);
            let mut run = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
            let process = first_line(&mut run);
            let kill = Command::new("kill").args([&format!("-{signal}"), &run.id().to_string()]).status();
            assert!(kill.unwrap().success());
            run.wait().unwrap();
            assert!(ends(&process), "after SIG{signal}");
        }
    }
}

#[test]
fn a_run_whose_output_nobody_reads_ends() {
    let qemu = FakeQemu::new("echo $$\nexec yes");
    let mut run =
        qemu.command(&qemu.path("image.bin"), &[]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let process = first_line(&mut run);
    drop(run.stdout.take());
    assert_eq!(run.wait().unwrap().code(), Some(128 + 13));
    assert!(ends(&process));
}
