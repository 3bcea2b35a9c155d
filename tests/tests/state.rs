// SPDX-License-Identifier: MIT OR Apache-2.0

//! The state of a board's area, read from the initrd.

use std::fs;

use boot_tests::{Boot, Outcome, Tree, in_tree};

/// Runs `commands` with `text` as the initrd, with an area `linux,cma` of `pages` pages, or with
/// the board's own areas.
fn with_initrd(text: &str, pages: Option<u32>, commands: &str, status: i32) -> Outcome {
    let mut boot = Boot::commands(commands);
    if let Some(pages) = pages {
        let size = u64::from(pages) << 12;
        boot = boot.tree(Tree::Nodes(format!(
            "linux,cma {{ compatible = \"shared-dma-pool\"; reusable; linux,cma-default; \
             reg = <0x68000000 {size:#x}>; }};"
        )));
    }
    let outcome = boot.run_on(text);
    outcome.ended_with(status);
    outcome
}

fn free_list() -> String {
    fs::read_to_string(in_tree("tests/data/cases/free-list.log")).unwrap()
}

#[test]
fn what_a_failure_prints_is_the_area_and_answers() {
    let outcome = with_initrd(
        &free_list(),
        None,
        "load; relocate linux,cma 256 8; alloc linux,cma 256 8; alloc linux,cma 166 0; picture linux,cma; metrics linux,cma",
        0,
    );
    let load = outcome.record("load");
    for (field, value) in [("pages", 2048), ("free", 357), ("free_runs", 7), ("maxchunk", 166), ("wanted", 256)] {
        assert_eq!(load[field], value, "{field} in {load}");
    }
    outcome.says("no 256 pages of linux,cma: fragmented");
    outcome.says("  pages 768-1023, 256 used: 346 pages of 1 buffer to empty: 346 at page 768 (id 6)");
    assert_eq!(outcome.record("relocate")["pages"], 256);
    outcome.says("id 8: 166 pages of linux,cma at pfn 0x6945a");
    assert_eq!(outcome.record("metrics")["free"], 357 - 166);
    // The kernel's own lines about a failure are a state, too.
    let printed = outcome.lines().filter(|line| line.contains("cma: ")).collect::<Vec<_>>().join("\n");
    let again = with_initrd(&printed, None, "load; alloc linux,cma 166 0", 0);
    assert_eq!(again.record("load")["free"], 357);
}

#[test]
fn a_bitmap_of_debugfs_is_the_area() {
    // 26 MiB: 208 words, of which one has two free pages, and an area of 28 MiB.
    let mut words = vec![u32::MAX; 208];
    words[100] = !(3 << 7);
    let text = words.iter().map(|word| format!("{word} ")).collect::<String>() + "\n";
    let outcome = with_initrd(&text, Some(7168), "load; alloc linux,cma 2 0; alloc linux,cma 1 0", 0);
    let load = outcome.record("load");
    assert_eq!((&load["pages"], &load["filled_up"], &load["free"]), (&6656.into(), &512.into(), &2.into()), "{load}");
    outcome.says("512 pages behind the state's last page are held, too.");
    outcome.says(&format!("2 pages of linux,cma at pfn {:#x}", 0x68000 + 100 * 32 + 7));
    outcome.says("no 1 page of linux,cma");
    let refused = with_initrd(&text, None, "load", 2);
    refused.says("6656 pages (26 MiB)");
    refused.says("boot with cma=28M");
}

#[test]
fn what_is_no_state_is_refused_in_a_line() {
    for (text, says) in [
        ("a 1 1 0\n", "load: there is no state: no line"),
        ("cma: number of available pages: 4@5", "load: the state at line 1: the list has no end"),
        (
            "number of available pages: 4@5=> 5 free of 2048 total pages\n",
            "4 pages are listed as free, and the line says 5",
        ),
        ("\u{0}\u{1}", "load: there is no state: no line"),
    ] {
        with_initrd(text, None, "load", 2).says(says);
    }
}
