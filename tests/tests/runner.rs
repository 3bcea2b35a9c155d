//! The runner between a user and QEMU: what runs side by side share, and what becomes of input, output and status.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use boot_tests::{FakeQemu, in_tree};

/// Says that it runs, waits for a line, and then looks at its files.
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

/// A run that waits.
struct Waiting {
    child: Child,
    keyboard: ChildStdin,
}

/// Starts a run, and waits until its QEMU runs.
fn start(mut command: Command) -> Waiting {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = Vec::new();
    let mut console = child.stdout.take().unwrap();
    // A byte at a time, so that nothing behind the line is taken.
    while !line.ends_with(b"\n") {
        let mut byte = [0];
        std::io::Read::read_exact(&mut console, &mut byte).unwrap();
        line.push(byte[0]);
    }
    assert_eq!(line, b"started\n");
    child.stdout = Some(console);
    let keyboard = child.stdin.take().unwrap();
    Waiting { child, keyboard }
}

impl Waiting {
    /// Types a line, and returns the rest of what is printed.
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
    // All are started before the first looks at its tree.
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
