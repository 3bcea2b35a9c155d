// SPDX-License-Identifier: MIT OR Apache-2.0

//! The scripts around QEMU, without a machine: QEMU's arguments, and the tree with a user's nodes.

use std::fs;
use std::process::Command;

use boot_tests::{FakeQemu, compile_nodes, disk};
use tempfile::TempDir;

#[test]
fn status_is_returned_unchanged() {
    let qemu = FakeQemu::new(FakeQemu::PRINTS_ITS_ARGUMENTS);
    assert_eq!(qemu.run(&[]).status.code(), Some(42));
    assert_eq!(qemu.run(&[("TIMEOUT", "30")]).status.code(), Some(42));
}

#[test]
fn command_line_arrives_as_it_was_given() {
    let qemu = FakeQemu::new(FakeQemu::PRINTS_ITS_ARGUMENTS);
    let words = r#"cma=16M  run="debris seed=7; echo 'a b' > /x | grep $HOME `id` \ *; poweroff""#;
    assert_eq!(qemu.command_line(&[("APPEND", words), ("RUN", "version")]).as_deref(), Some(words));
    assert_eq!(qemu.command_line(&[]), None);
}

#[test]
fn run_is_added_only_where_there_is_none() {
    let qemu = FakeQemu::new(FakeQemu::PRINTS_ITS_ARGUMENTS);
    let line = |append| qemu.command_line(&[("APPEND", append), ("RUN", "debris; poweroff")]).unwrap();
    assert_eq!(line(""), r#"run="debris; poweroff""#);
    assert_eq!(line("cma=16M"), r#"cma=16M run="debris; poweroff""#);
    assert_eq!(line("run=version"), "run=version");
    assert_eq!(line(r#"loglevel=3 "run=cma; poweroff""#), r#"loglevel=3 "run=cma; poweroff""#);
    // No parameter named `run`.
    assert_eq!(line("rerun=1"), r#"rerun=1 run="debris; poweroff""#);
    assert_eq!(line(r#"note="a run=x""#), r#"note="a run=x" run="debris; poweroff""#);
}

#[test]
fn machine_is_as_asked() {
    let qemu = FakeQemu::new(FakeQemu::PRINTS_ITS_ARGUMENTS);
    let words = qemu.arguments(&[("MEM", "512M"), ("SMP", "2"), ("ICOUNT", "1")]).join(" ");
    for part in ["-M vexpress-a9", "-m 512M", "-smp 2", "-icount shift=0,sleep=off", "enable=on,target=native"] {
        assert!(words.contains(part), "{part} in {words}");
    }
    let words = qemu.arguments(&[("SEMIHOSTING", "off")]).join(" ");
    assert!(words.contains("-m 1024M") && !words.contains("semihosting"), "{words}");
}

#[test]
fn missing_files_are_named() {
    let qemu = FakeQemu::new(FakeQemu::PRINTS_ITS_ARGUMENTS);
    for (variable, name) in [("DTB", "no.dtb"), ("INITRD", "no.trace")] {
        let output = qemu.run(&[(variable, name)]);
        assert_eq!(output.status.code(), Some(1));
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(complaint.contains(variable) && complaint.contains(name), "{complaint}");
    }
}

#[test]
fn of_a_directory_the_recording_is_named() {
    let qemu = FakeQemu::new(FakeQemu::PRINTS_ITS_ARGUMENTS);
    let directory = TempDir::new().unwrap();
    let initrd = directory.path().to_str().unwrap();
    let said = || String::from_utf8(qemu.run(&[("INITRD", initrd)]).stderr).unwrap();
    assert!(said().ends_with("is a directory, not a file\n"), "{}", said());
    fs::write(directory.path().join("trace"), "").unwrap();
    assert!(said().ends_with(&format!("is a directory: the recording is {initrd}/trace\n")), "{}", said());
}

#[test]
fn the_source_of_a_tree_is_no_dtb() {
    let qemu = FakeQemu::new(FakeQemu::PRINTS_ITS_ARGUMENTS);
    let directory = TempDir::new().unwrap();
    let source = directory.path().join("my.dtsi");
    fs::write(&source, "/ { };\n").unwrap();
    let output = qemu.run(&[("DTB", source.to_str().unwrap())]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("NODES= takes source, or dtc compiles it"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// Returns the board's tree with `nodes`, decompiled.
fn source_with(nodes: &str) -> String {
    let (output, file) = compile_nodes(nodes);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let source = Command::new("dtc").args(["-q", "-I", "dtb", "-O", "dts"]).arg(file.path()).output().unwrap();
    String::from_utf8(source.stdout).unwrap()
}

#[test]
fn nodes_of_ones_own_take_the_place_of_the_boards() {
    let camera = "cam: camera@70000000 { compatible = \"shared-dma-pool\"; reusable; reg = <0x70000000 0x800000>; };";
    let forms = [
        camera.to_owned(),
        format!("/* a {{ comment */\n// and / another\n{camera}"),
        format!("reserved-memory {{ {camera} }};"),
        format!("resmem: reserved-memory {{ #address-cells = <1>; #size-cells = <1>; ranges; {camera} }};"),
        format!("/ {{ reserved-memory {{ {camera} }}; }};"),
        format!("/{{\n\treserved-memory {{ {camera} }}; video {{ memory-region = <&cam>; }};\n}};"),
    ];
    for form in forms {
        let source = source_with(&form);
        let reserved = source.split_once("reserved-memory {").expect("the node").1;
        assert!(reserved.contains("camera@70000000 {"), "{form}\n{source}");
        assert!(!source.contains("linux,cma {") && !source.contains("BiscuitOS_cma {"), "{form}\n{source}");
        assert!(source.contains("ranges;"), "{form}\n{source}");
        assert_eq!(source.matches("reserved-memory {").count(), 1, "{form}\n{source}");
    }
}

#[test]
fn mistakes_in_ones_own_nodes_are_shown_where_they_are() {
    for nodes in [
        "camera@70000000 {\n\treusable;\n\treg = <0x70000000 0x800000>\n};\n",
        "/ {\n\treserved-memory { pool { reusable; };\n\toops oops\n\t}; };\n",
    ] {
        let (output, _) = compile_nodes(nodes);
        assert!(!output.status.success());
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = complaint.lines().find(|line| line.contains("my.dtsi:")).expect(&complaint);
        let number = line.split_once("my.dtsi:").unwrap().1.split(['.', '-', ' ']).next().unwrap();
        assert!(["3", "4"].contains(&number), "{complaint}");
    }
}

#[test]
fn files_that_are_no_nodes_are_refused_in_a_line() {
    for (nodes, why) in [("", "no node"), ("// nothing\n", "no node"), ("/dts-v1/; / { };", "DTB=")] {
        let (output, _) = compile_nodes(nodes);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && complaint.contains(why), "{nodes}: {complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
}

#[test]
fn a_disk_is_protected_where_that_is_wanted_and_nowhere_else() {
    let qemu = FakeQemu::new(FakeQemu::PRINTS_ITS_ARGUMENTS);
    let image = qemu.path("image.bin");
    let disk = ("DISK", image.to_str().unwrap());
    for (value, protected) in [("", false), ("0", false), ("n", false), ("1", true), ("y", true)] {
        let output = qemu.run(&[disk, ("DISK_READONLY", value)]);
        let words = String::from_utf8(output.stdout).unwrap();
        assert_eq!(words.contains(",readonly=on"), protected, "{value}: {words}");
    }
    let output = qemu.run(&[disk, ("DISK_READONLY", "maybe")]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("DISK_READONLY is 'maybe'"));
}

#[test]
fn verify_lists_every_file_of_an_image() {
    let directory = TempDir::new().unwrap();
    let image = directory.path().join("disk.img");
    let files = ["a", "b", "c"].map(|name| (name.to_string(), 5000));
    disk::create(&image, 1 << 20, &files).unwrap();
    let run = |word| Command::new(env!("CARGO_BIN_EXE_disk-image")).arg(word).arg(&image).output().unwrap();
    assert!(run("verify").status.success());
    let mut bytes = fs::read(&image).unwrap();
    bytes[2 * 4096] ^= 1;
    fs::write(&image, bytes).unwrap();
    let output = run("verify");
    let (lines, why) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let states: Vec<_> = lines.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert_eq!((states, output.status.success()), (vec!["DIFFERS", "ok", "ok"], false), "{lines}");
    assert!(why.ends_with("1 of 3 files differ from what the table says\n"), "{why}");
    assert!(run("list").status.success());
}
