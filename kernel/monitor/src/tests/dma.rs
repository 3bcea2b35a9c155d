// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `dma` and the files of the DMA API.

use std::vec::Vec;

use super::super::*;
use super::{context, on_board, printed, with_board};
use system::Leaked;

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn buffers_by_hand_follow_the_devices_area() {
    let text = printed("dma alloc BiscuitOS_CMA 1M; dma alloc camera@10020000 4096; dma alloc camera@10020000 8K; dma");
    for part in [
        "1048576 bytes for BiscuitOS_CMA: device address 0x69800000, 256 pages of BiscuitOS_cma, seen by the processor at 0xe",
        "4096 bytes for camera@10020000: ",
        ", 1 page of the page allocator, ",
        "8192 bytes for camera@10020000: device address 0x69000000, 2 pages of linux,cma, ",
        "BiscuitOS_CMA    BiscuitOS_cma        1      256         0",
        "camera@10020000  (default)            2        3         0",
        "checker: off",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (outcome, text) = on_board(&[
        "dma alloc BiscuitOS_CMA 0x2000",
        "cat /sys/kernel/debug/dma-api/dump",
        "cat /sys/kernel/debug/dma-api/num_free_entries",
        "release all",
        "dma free 0x69800000",
        "cma",
        "dma",
    ]);
    assert_eq!(outcome, Outcome::Ok);
    let dump = "debris BiscuitOS_CMA coherent idx 3072 P=69800000 N=69800 D=69800000 L=2000 cln=0x034c0000 \
                DMA_BIDIRECTIONAL dma map error check not applicable";
    assert!(text.lines().any(|line| line == dump) && text.lines().any(|line| line == "1279"), "{text}");
    let device: Vec<&str> = text.lines().filter(|line| line.starts_with("BiscuitOS_CMA")).collect();
    assert_eq!(device, ["BiscuitOS_CMA  BiscuitOS_cma        -        -         -"], "{text}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_cannot_be_had_is_said() {
    let (outcome, text) = on_board(&["alloc BiscuitOS_cma 2048", "dma alloc BiscuitOS_CMA 8M"]);
    assert_eq!(outcome, Outcome::Ok, "a refusal is a result");
    let line = "no 8388608 bytes for BiscuitOS_CMA: the area is full: 0 pages free; the page allocator: no block has 2048 pages, the largest has 1024";
    assert!(text.lines().any(|printed| printed == line), "{text}");
    for (command, line) in [
        ("dma alloc cam 1", "the tree has no device \"cam\"; did you mean camera@10020000?"),
        ("dma alloc biscuitOS_CM 1", "did you mean BiscuitOS_CMA?"),
        ("dma alloc x 1", "there are BiscuitOS_CMA camera@10020000 ethernet@4e000000"),
        ("dma alloc x 0", "SIZE is 0; it has to be at least one byte"),
        ("dma alloc x y", "SIZE is \"y\""),
        ("dma alloc x 4G", "SIZE is \"4G\""),
        ("dma alloc x 1X", "SIZE is \"1X\""),
        ("dma alloc x", "usage: "),
        ("dma free 0x1000", "no buffer of `dma alloc` at 0x00001000"),
        ("dma free x", "ADDRESS"),
        ("dma list", "neither alloc nor free"),
    ] {
        let (outcome, text) = on_board(&[command]);
        assert_eq!(outcome, Outcome::Failed(STATUS_BAD_COMMAND), "{command}: {text}");
        assert!(text.starts_with("dma: ") && text.contains(line), "{command}: {text}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn an_area_in_a_devices_use_is_not_experimented_on_and_says_why() {
    let taken = ["dma alloc BiscuitOS_CMA 8K", "alloc BiscuitOS_cma 3"];
    for command in ["compare seeds=1 ops=100", "pressure latency", "replay"] {
        let (_, text) = on_board(&[taken[0], taken[1], command]);
        let words = "2 of BiscuitOS_CMA: `dma free all` gives them back; \
                     3 of others: `release all BiscuitOS_cma` gives them back";
        assert!(text.contains(words), "{command}: {text}");
    }
    with_board(44, |system, machine| {
        let (big, driver) = (system.find_area("linux,cma"), "disk@10013600");
        let device = system.dma_add_device_with_area(driver, big).expect("there is room");
        let buffer = system.dma_alloc_coherent(device, 8192).expect("there is room");
        let mut monitor = Monitor::new(system, machine, context(None));
        let outcome = monitor.execute("compare area=linux,cma seeds=1 ops=100");
        assert_eq!(outcome, Outcome::Failed(STATUS_BAD_COMMAND));
        system.dma_free_coherent(buffer).expect("it lives");
        let text = machine.take();
        let words = "2 of disk@10013600: its driver keeps them while it runs; area=BiscuitOS_cma is empty";
        assert!(text.contains(words), "{text}");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn bounds_hold_and_everything_comes_back() {
    let mut lines: Vec<_> = (0..257).map(|_| "dma alloc camera@10020000 1").collect();
    lines.extend(["dma free all", "dma alloc camera@10020000 1", "dma free all", "dma"]);
    let (outcome, text) = on_board(&lines);
    assert_eq!(outcome, Outcome::Ok);
    assert!(
        text.contains("no 1 bytes for camera@10020000: there are 256 coherent buffers (MAX_BUFFERS)\nfreed 256\n"),
        "{text}"
    );
    let (outcome, text) = on_board(&["selftest dma"]);
    assert_eq!(outcome, Outcome::Ok, "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("ok ")).count(), 5, "{text}");
}

#[test]
fn a_misuse_fails_the_command_that_it_was_seen_after_and_stays_counted() {
    with_board(44, |system, machine| {
        system.check_after_commands(true);
        system.dma_mut().checker_mut().enable(true);
        let device = system.dma_add_device("camera@10020000").expect("there is room");
        let buffer = system.dma_alloc_coherent(device, 4096).expect("there is memory");
        system.dma_keep(buffer);
        assert_eq!(system.dma_remove_device(device), Ok(Leaked { buffers: 1, mappings: 0 }), "a buffer is left behind");
        let mut monitor = Monitor::new(system, machine, context(None));
        let outcomes = ["version", "version", "selftest dma_misuse", "cat /sys/kernel/debug/dma-api/error_count"]
            .map(|line| monitor.execute(line));
        assert_eq!(outcomes, [Outcome::Failed(STATUS_CHECK_FAILED), Outcome::Ok, Outcome::Ok, Outcome::Ok]);
        let text = machine.take();
        assert!(text.ends_with("\n1\n") && text.matches("check=on: ").count() == 1, "{text}");
    });
}
