//! The command `dma` and the files of the DMA API.

use std::format;
use std::vec::Vec;

use super::super::*;
use super::{on_board, printed};

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn buffers_by_hand_follow_the_devices_area() {
    let text = printed("dma alloc BiscuitOS_CMA 1M; dma alloc cam 4096; dma alloc cam 8K; dma");
    for part in [
        "1048576 bytes for BiscuitOS_CMA: device address 0x69800000, 256 pages of BiscuitOS_cma, seen by the processor at 0xe",
        "4096 bytes for cam: ",
        ", 1 pages of the page allocator, ",
        "8192 bytes for cam: device address 0x69000000, 2 pages of linux,cma, ",
        "BiscuitOS_CMA  BiscuitOS_cma        1      256         0",
        "cam            (default)            2        3         0",
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
    let line = "no 8388608 bytes for BiscuitOS_CMA: the area is full: 0 pages free; the page allocator has order 11 is above 10";
    assert!(text.lines().any(|printed| printed == line), "{text}");
    for (command, line) in [
        ("dma alloc x 0", "SIZE is \"0\""),
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
    let (outcome, text) = on_board(&[&format!("dma alloc {} 1", "x".repeat(65))]);
    assert_eq!(outcome, Outcome::Failed(STATUS_BAD_COMMAND), "{text}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn bounds_hold_and_everything_comes_back() {
    let mut lines: Vec<_> = (0..257).map(|_| "dma alloc cam 1").collect();
    lines.extend(["dma free all", "dma alloc cam 1", "dma free all", "dma"]);
    let (outcome, text) = on_board(&lines);
    assert_eq!(outcome, Outcome::Ok);
    assert!(text.contains("no 1 bytes for cam: there are 256 coherent buffers (MAX_BUFFERS)\nfreed 256\n"), "{text}");
    let names: Vec<_> = (0..70).map(|name| format!("dma alloc d{name} 1; dma free all")).collect();
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    let (_, text) = on_board(&names);
    assert!(text.contains("there have been 64 names at the prompt (MAX_DEVICE_NAMES)"), "{text}");
    let (outcome, text) = on_board(&["selftest dma"]);
    assert_eq!(outcome, Outcome::Ok, "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("ok ")).count(), 5, "{text}");
}
