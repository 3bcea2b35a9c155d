// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `load`, and replays that begin from a loaded state.

use super::*;
use reserved::DEFAULT_AREA;
use std::format;

const FAILED: &str = "\
cma: cma_alloc: linux,cma: alloc failed, req-size: 256 pages, ret: -12
cma: number of available pages: 4@572+7@585+7@601+8@632+38@730+166@1114+127@1921=> 357 free of 2048 total pages
";

/// Executes `lines` on a fresh board with an initrd; returns the outcome and output of each.
fn with_initrd(initrd: &str, lines: &[&str]) -> Vec<(Outcome, String)> {
    with_board(64, |system, machine| {
        let mut monitor = Monitor::new(system, machine, context(Some(initrd.as_bytes())));
        let told = lines.iter().map(|line| (monitor.execute(line), monitor.machine.take())).collect();
        system.check().expect("the accounting balances");
        told
    })
}

pub(super) fn on_board_with_state(line: &str) -> (Outcome, String) {
    with_initrd(FAILED, &[line]).remove(0)
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_list_of_free_runs_becomes_the_area() {
    let told = with_initrd(
        FAILED,
        &[
            "load",
            "metrics linux,cma | grep used",
            "load",
            "alloc linux,cma 166 0",
            "alloc linux,cma 256 8",
            "alloc linux,cma 5 0",
            "release all linux,cma",
            "load area=BiscuitOS_cma",
        ],
    );
    let (outcome, text) = &told[0];
    assert_eq!(*outcome, Outcome::Ok, "{text}");
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "linux,cma: the state of line 2, of linux,cma, of 2048 pages; its used pages are 7 buffers.",
            "A request for 256 pages failed there.",
            "1691 pages used, 357 free in 7 runs, longest free run 166 pages (664 KiB); `release all linux,cma` empties it.",
            "{\"record\":\"load\",\"area\":\"linux,cma\",\"from\":\"linux,cma\",\"form\":\"list\",\"line\":2,\"states\":1,\
             \"pages\":2048,\"filled_up\":0,\"buffers\":7,\"wanted\":256,\"used\":1691,\"free\":357,\"maxchunk\":166,\
             \"free_runs\":7,\"frag_permille\":535}",
        ]
    );
    assert!(told[1].1.contains("1691"), "{}", told[1].1);
    assert_eq!(told[2].0, Outcome::Failed(2));
    assert_eq!(
        told[2].1,
        "load: 1691 pages are in use, and a state is put into an empty area: `release all linux,cma` first\n"
    );
    assert!(told[3].1.contains("166 pages of linux,cma at pfn 0x6945a"), "{}", told[3].1);
    assert_eq!(
        told[4].1.lines().collect::<Vec<_>>(),
        [
            "no 256 pages of linux,cma: full: 191 pages free",
            "  pages 768-1023, 256 used: 346 pages of 1 buffer to empty: 346 at page 768 (id 6)",
            "  pages 1024-1279, 256 used: 512 pages of 2 buffers to empty: 346 at page 768 (id 6), 166 at page 1114 (id 8)",
            "  pages 0-255, 256 used: 572 pages of 1 buffer to empty: 572 at page 0 (id 1)",
        ]
    );
    assert!(told[5].1.contains("5 pages of linux,cma at pfn 0x69249"), "{}", told[5].1);
    assert!(told[6].1.starts_with("9 buffers, 1862 pages given back"), "{}", told[6].1);
    assert!(told[7].1.starts_with("BiscuitOS_cma: the state of line 2, of linux,cma"), "{}", told[7].1);
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn sizes_are_held_against_the_area() {
    let list = |pages: u32| format!("number of available pages: 5@1+20@9=> 25 free of {pages} total pages\n");
    let told = with_initrd(&list(6656), &["load"]);
    assert_eq!(
        told[0].1,
        "load: the state is of an area of 6656 pages (26 MiB), and BiscuitOS_cma has 2048 pages (8 MiB); boot with \
         cma=28M for an area of its size, called reserved\n"
    );
    assert!(told[0].1.ends_with(&format!("called {DEFAULT_AREA}\n")), "the area of cma=");
    assert_eq!(told[0].0, Outcome::Failed(2));
    let told = with_initrd(&list(1500), &["load"; 1]);
    assert!(told[0].1.contains("548 pages behind the state's last page are held, too.\n"), "{}", told[0].1);
    assert!(told[0].1.contains("2023 pages used, 25 free in 2 runs"), "{}", told[0].1);
    // A bitmap without a name goes to an area of its size, here the default of commands.
    let bitmap = format!("{}\n", "4294967295 ".repeat(63) + "0");
    let told = with_initrd(&bitmap, &["load", "alloc BiscuitOS_cma 32 5", "alloc BiscuitOS_cma 1"]);
    assert!(told[0].1.starts_with("BiscuitOS_cma: the state of line 1, of 2048 pages; its used pages are 1 buffer.\n"));
    assert!(told[1].1.contains("32 pages of BiscuitOS_cma at pfn 0x69fe0"), "{}", told[1].1);
    assert!(told[2].1.contains("no 1 page"), "{}", told[2].1);
    for (initrd, line, wrong) in [
        ("a 1 1 0\n", "load", "load: there is no state: no line"),
        (FAILED, "load line=1", "load: no state begins at line 1; the last one begins at 2"),
        (FAILED, "load line=0", "load: line is \"0\"; it has to be a number from 1"),
        (FAILED, "load order_per_bit=21", "load: order_per_bit is \"21\""),
        (FAILED, "load nowhere", "load: no area \"nowhere\""),
        (FAILED, "replay", "replay: no line allocates or releases anything; it has the state of an area: `load` reads"),
        ("bitmap:1 0 7\n", "compare load=replay", "compare: no line allocates or releases anything; it has the state"),
        ("# nothing\n", "replay", "replay: the trace is empty"),
        ("bitmap:1 4294967296\n", "load", "load: the state at line 1: \"4294967296\" is not a 32-bit word"),
    ] {
        let told = with_initrd(initrd, &[line]);
        assert!(told[0].0 == Outcome::Failed(2) && told[0].1.starts_with(wrong), "{line}: {}", told[0].1);
        assert_eq!(told[0].1.lines().count(), 1);
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_replay_begins_on_a_state_and_leaves_it() {
    let trace = format!("{FAILED}a 1 8 0\na 2 166 0\na 3 200 0\nr 1\n");
    let told = with_initrd(
        &trace,
        &["load linux,cma", "replay linux,cma | grep replayed", "replay linux,cma", "release all linux,cma"],
    );
    assert!(
        told[1].1.starts_with("linux,cma: 4 operations replayed, 3 allocations of which 1 failed, at most 1865 pages"),
        "{}",
        told[1].1
    );
    assert!(told[2].1.starts_with("replay: 166 pages of linux,cma are in use, and a replay begins on an empty"));
    assert!(told[3].1.starts_with("8 buffers, 1857 pages given back"), "{}", told[3].1);
    // The replays of `compare` begin from the state, too, and leave it.
    let told = with_initrd(
        &trace,
        &[
            "load linux,cma",
            "compare load=replay placements=first-fit,worst-fit linux,cma | grep -v record",
            "release all linux,cma",
        ],
    );
    assert!(
        told[1]
            .1
            .lines()
            .last()
            .is_some_and(|row| row.starts_with("worst-fit       asis          2         3             4"))
    );
    assert!(told[2].1.starts_with("7 buffers, 1691 pages given back"), "{}", told[2].1);
    // A bad trace does not change the state.
    let trace = format!("{FAILED}a 1 8 0\na 1 8 0\n");
    let told = with_initrd(&trace, &["load linux,cma", "replay linux,cma", "metrics linux,cma | grep used"]);
    assert!(told[1].1.contains("allocates ID 1, which holds a buffer already"), "{}", told[1].1);
    assert!(told[2].1.contains("1691 pages used"), "{}", told[2].1);
}
