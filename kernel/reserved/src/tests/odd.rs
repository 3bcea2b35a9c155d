// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lines about odd values in a tree or on the command line, and ranges at their limits.

use super::*;
use crate::addresses::{Shift, adapt};
use crate::cmdline::MAX_RUN_BYTES;

/// Returns the facts and the lines about a tree's addresses, with RAM from 0x60000000 on.
fn said(nodes: Vec<ReservedNode>, bootargs: &str) -> (Facts, Vec<String>) {
    let mut facts = Facts { memory: vec![RAM], reserved: nodes, ..Facts::default() };
    let notes = adapt(&mut facts, &mut cmdline::parse(bootargs));
    (facts, notes.into_iter().map(|note| note.text).collect())
}

#[test]
fn an_empty_range_at_the_start_of_ram_moves_as_a_whole() {
    let shift = Shift { from: 0x1000_0000, to: 0x6000_0000 };
    let moved = shift.range(PhysRange { start: 0x1000_0000, end: 0x1000_0000 });
    assert_eq!(moved, PhysRange { start: 0x6000_0000, end: 0x6000_0000 });
}

#[test]
fn ram_ends_on_a_page() {
    let (facts, lines) = said(vec![], "mem=65535K");
    assert_eq!(facts.memory, [PhysRange { start: RAM.start, end: RAM.start + 64 * M - 4096 }]);
    assert_eq!(lines, ["debris: mem=: RAM ends at 0x63fff000"]);
    let usable = PhysRange { start: RAM.start + 1, end: RAM.start + 8 * M + 4095 };
    let mut facts = Facts { memory: vec![RAM], usable_memory: vec![usable], ..Facts::default() };
    adapt(&mut facts, &mut cmdline::parse(""));
    assert_eq!(facts.memory, [PhysRange { start: RAM.start + 4096, end: RAM.start + 8 * M }]);
}

#[test]
fn only_of_an_area_is_a_size_odd() {
    let odd = || fixed("odd", 0x7010_0000, 5 * M);
    let half = cma(fixed("half", 0x7000_0000, 4 * M + (512 << 10)));
    assert_eq!(said(vec![half], "").1, ["debris: Reserved memory: half: size 4608 KiB is not a multiple of 4 MiB"]);
    assert_eq!(said(vec![cma(odd())], "").1.len(), 2, "base and size");
    let reusable = ReservedNode { reusable: true, ..odd() };
    let both = no_map(cma(odd()));
    for other in [odd(), dma(odd()), reusable, both, no_map(odd())] {
        assert_eq!(said(vec![other], "").1, [""; 0]);
    }
}

#[test]
fn where_there_is_no_ram_only_pools_want_some() {
    let outside = |name: &str| fixed(name, 0x1000_0000, 4 * M);
    let reusable = ReservedNode { reusable: true, ..outside("a") };
    for plain in [outside("a"), dma(outside("a")), reusable] {
        assert_eq!(said(vec![plain], "").1, [""; 0]);
    }
    let others = |pools: usize| {
        let nodes = (0..pools).map(|index| cma(outside(&format!("p{index}")))).collect();
        let (_, lines) = said(nodes, "");
        assert_eq!(lines.len(), 1);
        lines[0].split(": no RAM at").next().unwrap().to_string()
    };
    assert_eq!(
        [1, 2, 3].map(others),
        ["p0", "p0 and 1 more", "p0 and 2 more"].map(|names| format!("debris: Reserved memory: {names}"))
    );
}

#[test]
fn a_base_that_is_refused_is_refused_before_the_size_is_rounded() {
    let case = Case::new(vec![], "cma=5M@0x70100000");
    assert_eq!(
        case.other_lines(),
        ["cma: Region at 0x70100000 must be aligned to 0x00400000 bytes", "cma: Failed to reserve 5 MiB"]
    );
    // It is refused later: the size is already rounded.
    let case = Case::new(vec![], "cma=5M@0x4c000000");
    assert_eq!(case.other_lines().last(), Some(&"cma: Failed to reserve 8 MiB"));
}

#[test]
fn a_second_area_of_a_name_is_said_once() {
    let twins = || vec![cma(dynamic("twin", 4 * M, &[])), cma(dynamic("twin", 4 * M, &[]))];
    let mut nodes = twins();
    nodes.push(dma(dynamic("pool", 4 * M, &[])));
    let case = Case::new(nodes, "");
    assert_eq!(case.other_lines().iter().filter(|line| line.contains("a second area of this name")).count(), 1);
}

/// Returns the place of a dynamic pool of 4 MiB in an alloc-range, with a pool before the range
/// and, if `behind`, one there.
fn placed(bootargs: &str, range: (u64, u64), behind: Option<u64>) -> u64 {
    // These versions place fixed regions later: such regions are not neighbours yet.
    let exactly = |name: &str, start| cma(dynamic(name, 8 * M, &[(start, 8 * M)]));
    let mut nodes = vec![exactly("front", 0x7000_0000)];
    nodes.extend(behind.map(|start| exactly("behind", start)));
    nodes.push(cma(dynamic("pool", 4 * M, &[range])));
    let case = Case::new(nodes, bootargs);
    case.areas().iter().find(|area| area.0 == "pool").unwrap().1
}

#[test]
fn a_pool_grows_from_its_neighbour_where_linux_has_it_so() {
    let range = (0x7080_0000, 64 * M);
    assert_eq!(placed("", range, None), 0x7440_0000, "from the top");
    assert_eq!(placed("linux=6.12", range, None), 0x7080_0000, "the range begins at the end of another");
    assert_eq!(placed("linux=6.12", (0x7090_0000, 64 * M), None), 0x7440_0000, "it does not");
    assert_eq!(placed("linux=6.12", range, Some(0x7480_0000)), 0x7440_0000, "it ends at another, too");
    assert_eq!(placed("linux=6.12", range, Some(0x7900_0000)), 0x7080_0000);
    // In 32 bits an end of 4 GiB is 0, where there is no region.
    assert_eq!(placed("linux=6.12", (0x7080_0000, (1 << 32) - 0x7080_0000), None), 0x7080_0000);
    let anywhere = Case::new(vec![cma(dynamic("pool", 4 * M, &[]))], "linux=6.12");
    assert_eq!(anywhere.areas()[0].1, 0x9fc0_0000, "without a range from the top");
}

#[test]
fn why_a_pool_is_refused_names_its_place_where_that_is_why() {
    let why = |node: ReservedNode| {
        let case = Case::new(vec![node], "");
        let refusal = case.placed.notes.iter().find_map(|note| note.refusal.clone()).unwrap();
        refusal.why
    };
    let odd = why(cma(fixed("odd", 0x7010_0000, 4 * M)));
    assert!(odd.starts_with("Reserved memory: incorrect alignment of CMA region ("), "{odd}");
    assert!(odd.ends_with(" is not on whole multiples of 4 MiB)"), "{odd}");
    let long = why(cma(fixed("long", 0x7000_0000, 5 * M)));
    assert!(long.ends_with(" is not on whole multiples of 4 MiB)"), "{long}");
    for other in [
        ReservedNode { no_map: false, ..dma(fixed("mapped", 0x7010_0000, 4 * M)) },
        no_map(cma(fixed("both", 0x7010_0000, 4 * M))),
        cma(dynamic("empty", 0, &[])),
    ] {
        let why = why(other);
        assert!(!why.contains("multiples"), "{why}");
    }
}

#[test]
fn a_command_of_the_most_bytes_is_run() {
    let run = |bytes: usize| cmdline::parse(&format!("run={}", "x".repeat(bytes))).run.map(|run| run.len());
    assert_eq!([64 << 10, (64 << 10) + 1].map(run), [Some(MAX_RUN_BYTES), None]);
}
