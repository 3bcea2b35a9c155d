// SPDX-License-Identifier: MIT OR Apache-2.0

//! A real disk in QEMU: both transports, every size, errors, power cuts. `copytest.rs` has the
//! copies.

use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use boot_tests::{Boot, Tree, disk};
use kernel::lab::metrics::Counted;
use tempfile::TempDir;

/// QEMU's options for the modern transport.
const MODERN: [&str; 2] = ["-global", "virtio-mmio.force-legacy=false"];
/// Message of a machine without a disk.
const NO_DISK: &str = "there is no disk: start with DISK=disk.img, which scripts/disk-image makes";

/// Creates an image with `files`; returns its directory and its path.
fn image(bytes: u64, files: &[(&str, u64)]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("disk,1.img");
    let files: Vec<_> = files.iter().map(|&(name, bytes)| (name.to_string(), bytes)).collect();
    disk::create(&path, bytes, &files).expect("the files fit");
    (directory, path)
}

/// Returns options for a disk whose requests of a kind (`read`, `write`, `flush`) fail: all, or
/// those that include `sector`.
fn failing(image: &Path, kind: &str, sector: Option<u64>) -> [String; 4] {
    let sector = sector.map_or_else(String::new, |sector| format!(",file.inject-error.0.sector={sector}"));
    let file = image.display().to_string().replace(',', ",,");
    let drive = format!(
        "if=none,id=disk,driver=raw,file.driver=blkdebug,file.image.driver=file,file.image.filename={file},\
         file.inject-error.0.event=none,file.inject-error.0.iotype={kind},file.inject-error.0.errno=5{sector}"
    );
    ["-drive".into(), drive, "-device".into(), "virtio-blk-device,drive=disk".into()]
}

#[test]
fn without_a_disk_there_is_one_line() {
    let outcome = Boot::commands("disk; disk check; copytest; debris").run();
    outcome.ended_with(2).does_not_say("virtio");
    for command in ["disk", "copytest"] {
        outcome.has_line(&format!("{command}: {NO_DISK}"));
    }
    assert_eq!(outcome.record("debris")["allocs"], 16687, "the rest goes on");
}

#[test]
fn both_transports_at_every_size_of_memory() {
    for (memory, options, words) in [("128M", &[][..], "(legacy virtio)"), ("1024M", &MODERN, "(modern virtio)")] {
        let (_directory, path) = image(6 << 20, &[("data", 700_000), ("empty", 0)]);
        let before = disk::read(&path).expect("an image");
        let commands = "disk; disk check; copytest source=empty files=1; copytest files=2 size=600000; disk check";
        let outcome =
            Boot::commands(commands).memory(memory).with("cma=8M check=on").disk(&path).options(options).run();
        outcome.ended_with(0).says(words).does_not_say("DIFFERS").does_not_say("DMA-API");
        let verdicts: Vec<_> = outcome
            .says("Nothing was put to the test")
            .records_of("copytest")
            .iter()
            .map(|r| r["verdict"].clone())
            .collect();
        assert_eq!(verdicts, ["untested", "right"]);
        let after = disk::read(&path).expect("still an image");
        assert_eq!(&after[..2], before, "what was there is as it was");
        assert_eq!(after.len(), 4);
        assert!(after.iter().all(disk::Found::is_whole) && after[2].sha256 == after[3].sha256, "{after:?}");
    }
}

#[test]
fn disks_of_any_size() {
    for bytes in [0, 512, 1000, 4096, 3 * 4096, 5 * 4096 + 1536] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("disk.img");
        let file = std::fs::File::create(&path).expect("an image");
        file.set_len(bytes).expect("the file system has holes");
        let outcome = Boot::commands("disk; copytest; disk bench pages=4; debris").disk(&path).run();
        outcome.ended_with(2).says(&Counted(bytes.div_ceil(512), "sector").to_string());
        assert_eq!(outcome.record("debris")["allocs"], 16687, "the rest goes on");
    }
    // The last file ends in the last whole page, which a part of a page follows.
    let (_directory, path) = image(64 * 4096 + 1536, &[("data", 31 * 4096), ("last", 31 * 4096)]);
    let outcome = Boot::commands("disk check; disk bench").disk(&path).run();
    outcome.ended_with(0).says("last").says("left out: no room for 65 pages").does_not_say("DIFFERS");
    assert!(disk::read(&path).expect("an image").iter().all(disk::Found::is_whole));
}

#[test]
fn nodes_of_the_tree_that_are_no_disk_are_left_alone() {
    let (_directory, path) = image(1 << 20, &[("data", 100_000)]);
    // In the kernel, in RAM, at address 0, in a no-map region, at other registers, unaligned, too
    // short, and the disk's own address, which is first.
    let nodes = "/ { v@60010000 { compatible = \"virtio,mmio\"; reg = <0x60010000 0x200>; interrupts = <0 40 1>; };
        v@62000000 { compatible = \"virtio,mmio\"; reg = <0x62000000 0x200>; interrupts = <0 40 1>; };
        v@0 { compatible = \"virtio,mmio\"; reg = <0x0 0x200>; interrupts = <0 40 1>; };
        v@4c000000 { compatible = \"virtio,mmio\"; reg = <0x4c000000 0x200>; interrupts = <0 40 1>; };
        v@1e001000 { compatible = \"virtio,mmio\"; reg = <0x1e001000 0x200>; interrupts = <0 40 1>; };
        v@10018002 { compatible = \"virtio,mmio\"; reg = <0x10018002 0x200>; interrupts = <0 43 1>; };
        v@10018100 { compatible = \"virtio,mmio\"; reg = <0x10018100 0x20>; interrupts = <0 42 1>; };
        a@10013600 { compatible = \"virtio,mmio\"; reg = <0x10013600 0x200>; }; };";
    let outcome = Boot::commands("disk check").tree(Tree::Nodes(nodes.into())).disk(&path).run();
    outcome.ended_with(0).says("data").says(" ok");
    for words in [
        "v@60010000: its registers are not mapped",
        "v@1e001000: no virtio device",
        "a@10013600: its registers overlap another node's",
    ] {
        outcome.says(words);
    }
}

#[test]
fn a_legacy_queue_is_in_the_default_area_and_experiments_say_so() {
    let (_directory, path) = image(1 << 20, &[("data", 100_000)]);
    let commands = "compare area=linux,cma seeds=1 ops=10; pressure latency area=linux,cma pages=64; \
                    cat /sys/kernel/debug/cma/linux,cma/used";
    let outcome = Boot::commands(commands).disk(&path).run();
    outcome.ended_with(2).has_line("2").says(
        "2 of virtio_mmio@10013600: its driver keeps them while it runs; area=BiscuitOS_cma is empty; \
         a disk with the modern transport takes none of it",
    );
    let outcome = Boot::commands(commands).disk(&path).options(&MODERN).run();
    outcome.ended_with(0).has_line("0");
}

#[test]
fn rubbish_on_the_disk_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("disk.img");
    std::fs::write(&path, vec![0xa5; 1 << 20]).expect("an image");
    let outcome = Boot::commands("disk; copytest").disk(&path).run();
    outcome.ended_with(2).has_line("disk: the disk holds no files: scripts/disk-image makes an image that does");
    assert_eq!(std::fs::read(&path).expect("still there"), vec![0xa5; 1 << 20]);
}

#[test]
fn a_read_only_disk_is_read() {
    let (_directory, path) = image(2 << 20, &[("data", 300_000)]);
    let before = std::fs::read(&path).expect("an image");
    let outcome = Boot::commands("disk; disk check; disk bench pages=50; copytest").read_only_disk(&path).run();
    outcome.ended_with(2).says("read-only").says(" ok").has_line("copytest: the disk is read-only: it takes no copies");
    outcome.has_line("disk/write   left out: the disk is read-only");
    assert_eq!(std::fs::read(&path).expect("still there"), before);
}

#[test]
fn errors_of_the_disk_are_reported_and_what_was_synced_stays() {
    // The file is in pages 2 to 51, its copies in 52 to 101 and 102 to 151.
    let (_directory, path) = image(2 << 20, &[("data", 50 * 4096)]);
    let options = failing(&path, "write", Some(120 * 8));
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let outcome = Boot::commands("copytest files=3; disk check; debris").options(&options).run();
    outcome.ended_with(2).has_line("copy.1: synced").does_not_say("copy.2: synced").says("an I/O error");
    assert_eq!(outcome.record("debris")["allocs"], 16687, "the rest goes on");
    let after = disk::read(&path).expect("still an image");
    assert!(after.len() == 2 && after.iter().all(disk::Found::is_whole), "{after:?}");

    let options = failing(&path, "read", Some(20 * 8));
    let options: Vec<&str> = options.iter().map(String::as_str).chain(MODERN).collect();
    let outcome = Boot::commands("disk check; copytest; disk").with("check=on").options(&options).run();
    outcome.ended_with(2).says("disk: reading pages ").does_not_say("synced").says("copy.1").does_not_say("DMA-API");

    let options = failing(&path, "flush", None);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let outcome = Boot::commands("disk check; copytest; disk").options(&options).run();
    outcome.ended_with(2).has_line("copytest: flushing the disk: an I/O error").does_not_say("synced");
}

#[test]
fn a_disk_that_is_taken_away_is_missed_and_the_rest_goes_on() {
    let (directory, path) = image(2 << 20, &[("data", 300_000)]);
    let socket = directory.path().join("qmp");
    let qmp = format!("unix:{},server=on,wait=off", socket.display().to_string().replace(',', ",,"));
    let mut machine = Boot::new("run=\"copytest files=1\"").disk(&path).options(&["-qmp", &qmp]).start();
    machine.expect("\"record\":\"copytest\"");
    machine.expect("debris> ");
    let mut monitor = UnixStream::connect(&socket).expect("QEMU listens");
    let mut answers = BufReader::new(monitor.try_clone().expect("a second handle"));
    let mut ask = |command: &str| {
        monitor.write_all(command.as_bytes()).expect("QEMU reads");
        let mut answer = String::new();
        while !answer.contains("\"return\"") {
            answer.clear();
            assert!(answers.read_line(&mut answer).expect("QEMU answers") > 0);
        }
    };
    ask("{\"execute\":\"qmp_capabilities\"}");
    ask("{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"drive_del disk\"}}");
    assert!(machine.command("disk check").contains("an I/O error"));
    assert!(machine.command("copytest").contains("an I/O error"));
    assert!(machine.command("debris").contains("\"allocs\":16687"));
    machine.send("poweroff\r");
    machine.finish().ended_with(0);
    assert!(disk::read(&path).expect("still an image").iter().all(disk::Found::is_whole));
}

#[test]
fn a_disk_that_does_not_answer_is_given_up_at_ctrl_c() {
    let (_directory, path) = image(1 << 20, &[("data", 300_000)]);
    let drive = format!(
        "if=none,id=disk,format=raw,throttling.bps-total=1,file={}",
        path.display().to_string().replace(',', ",,")
    );
    let mut machine =
        Boot::new("run=version").options(&["-drive", &drive, "-device", "virtio-blk-device,drive=disk"]).start();
    machine.expect("debris> ");
    machine.send("disk check\r");
    machine.expect("\n");
    // The first requests pass; the others would take days.
    std::thread::sleep(Duration::from_millis(300));
    machine.send("\x03");
    assert!(machine.expect("debris> ").contains("is off since Ctrl-C"));
    assert!(machine.command("disk").contains("of 512 bytes, gone (it did not answer"), "it was stopped for good");
    machine.send("poweroff\r");
    machine.finish().ended_with(0);
}

/// 20 power cuts, or CUTS: on both transports in turn, after zero to three copies that were synced.
#[test]
fn a_power_cut_leaves_everything_that_was_synced() {
    let cuts = std::env::var("CUTS").map_or(20, |cuts| cuts.parse().expect("CUTS is a number of power cuts"));
    for cut in 0..cuts {
        let copies = cut % 4;
        // At any time in the next copy, which takes about 200 ms.
        let delay_ms = RandomState::new().hash_one(cut) % 200;
        let (_directory, path) = image(16 << 20, &[("data", 2 << 20)]);
        let before = disk::read(&path).expect("an image");
        let transport = if cut / 4 % 2 == 0 { &[][..] } else { &MODERN };
        let boot = Boot::new("run=\"copytest files=5\"").memory("128M").with("cma=8M").options(transport);
        let mut machine = boot.disk(&path).start();
        for copy in 1..=copies {
            machine.expect(&format!("copy.{copy}: synced"));
        }
        let cut = Instant::now() + Duration::from_millis(delay_ms);
        std::thread::sleep(cut.saturating_duration_since(Instant::now()));
        let synced = machine.cut_power().matches(": synced").count();
        assert!((copies..=5).contains(&synced), "{synced} copies were synced");
        let after = disk::read(&path).expect("still an image");
        assert!(after.len() > synced, "{synced} synced, cut {delay_ms} ms after the {copies}th: {after:?}");
        let whole = after.iter().all(|file| file.is_whole() && file.sha256 == before[0].sha256);
        assert!(whole, "cut {delay_ms} ms after the {copies}th: {after:?}");
    }
}
