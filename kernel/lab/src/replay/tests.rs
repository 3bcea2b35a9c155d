// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;
use crate::fingerprint::Fingerprint;
use crate::sizes::{SLOT_PAGES, SLOTS};
use crate::trace::{Field, Reason};
use board_mock::{Mock, with_board};
use cma::align_order_of;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

const RESULTS: &str = include_str!("../../../../tests/data/linux-6.1/results.csv");
const TRACES: [(&str, &[u8]); 5] = [
    ("article.trace", include_bytes!("../../../../tests/data/linux-6.1/article.trace")),
    ("debris-seed1.trace", include_bytes!("../../../../tests/data/linux-6.1/debris-seed1.trace")),
    ("churn-full.trace", include_bytes!("../../../../tests/data/linux-6.1/churn-full.trace")),
    ("camera.trace", include_bytes!("../../../../tests/data/linux-6.1/camera.trace")),
    ("big-area.trace", include_bytes!("../../../../tests/data/linux-6.1/big-area.trace")),
];

fn replay(system: &mut System<'_>, machine: &mut Mock, trace: &[u8]) -> Result<ReplayReport, ReplayError> {
    let area = system.find_area("BiscuitOS_cma").expect("the board has it");
    run(system, machine, Options::new(area), trace)
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn every_trace_ends_as_on_linux() {
    with_board(256, |system, machine| {
        let mut lines = 0;
        for line in RESULTS.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let [name, bits, ops, allocs, failed, placements, used, maxchunk, bitmap, ..] = fields[..] else {
                panic!("{line}");
            };
            let trace = TRACES.iter().find(|trace| trace.0 == name).expect("a trace for every result").1;
            let area = system.find_area(if bits == "2048" { "BiscuitOS_cma" } else { "big" }).expect("an area");
            let report = run(system, machine, Options::new(area), trace).expect("a good trace");
            let found = [
                report.ops.to_string(),
                report.allocs.to_string(),
                report.failed.to_string(),
                report.placements.to_string(),
                report.metrics.used.to_string(),
                report.metrics.longest.to_string(),
                report.bitmap.to_string(),
            ];
            assert_eq!(found, [ops, allocs, failed, placements, used, maxchunk, bitmap], "{name}");
            assert!(report.record().to_string().contains(&format!("\"placement_fnv1a\":\"{placements}\"")));
            system.check().expect("the accounting balances");
            system.release_all(area);
            assert_eq!(system.area(area).used_pages(), 0);
            lines += 1;
        }
        assert_eq!(lines, TRACES.len());
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_bad_trace_changes_nothing() {
    let bad = [
        ("", 0, Reason::Empty),
        ("# nothing\n\n", 0, Reason::Empty),
        ("a 1 1 0\nr 2\n", 2, Reason::NeverAllocated(2)),
        ("r 1\na 1 1 0\n", 1, Reason::NeverAllocated(1)),
        ("a 1 1 0\na 2 2 1\na 1 1\n", 3, Reason::Missing(Field::AlignOrder)),
        // Found only in the second pass, whose requests are undone.
        ("a 1 1 0\na 2 2 1\na 1 1 0\n", 3, Reason::Held(1)),
    ];
    with_board(64, |system, machine| {
        for (text, line, reason) in bad {
            let error = replay(system, machine, text.as_bytes()).expect_err("not a good trace");
            assert_eq!(error, ReplayError::Trace(TraceError { line, reason }), "{text}");
            let area = system.find_area("BiscuitOS_cma").expect("the board has it");
            assert_eq!(system.area(area).used_pages(), 0, "{text}");
        }
        assert_eq!(system.areas()[1].stats().alloc_success, 2, "only the last trace reached the area");
        system.check().expect("the accounting balances");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn failures_are_answers() {
    with_board(64, |system, machine| {
        // Too large requests; an ID whose allocation failed may be released, or allocated later;
        // releases may repeat.
        let text = b"a 1 2049 0\nr 1\na 1 4294967295 20\na 1 2048 0\na 2 1 0\nr 1\nr 1\nr 2\na 1 1 3";
        let report = replay(system, machine, text).expect("a good trace");
        assert_eq!((report.ops, report.allocs, report.failed, report.metrics.used), (9, 5, 3, 1));
        assert_eq!(report.unmatched, 1, "the second release of one buffer");
        let mut expected = Fingerprint::new();
        for value in [u32::MAX, u32::MAX, 0, u32::MAX, 0] {
            expected.push(value);
        }
        assert_eq!(report.placements, expected);
        let error = replay(system, machine, b"a 1 1 0").expect_err("the area is not empty");
        let area = system.find_area("BiscuitOS_cma").expect("the board has it");
        assert_eq!(error, ReplayError::NotEmpty { area, used: 1 });
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn alignments_can_be_overruled() {
    with_board(64, |system, machine| {
        let area = system.find_area("BiscuitOS_cma").expect("the board has it");
        for (align, offset) in [(None, 8), (Some(Align::Page), 3), (Some(Align::Order), 4)] {
            run(system, machine, Options { align, ..Options::new(area) }, b"a 1 3 0\na 2 3 3\n").expect("a good trace");
            let starts: Vec<u32> = system.kept(area).map(|kept| kept.first.0 - 0x69800).collect();
            assert_eq!(starts, [0, offset], "{align:?}");
            system.release_all(area);
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn ctrl_c_reports_what_was_done() {
    with_board(64, |system, machine| {
        let text: String = (0..2000).map(|id| format!("a {id} 1 0\n")).collect();
        machine.interrupt_after.set(Some(0));
        assert_eq!(replay(system, machine, text.as_bytes()).err(), Some(ReplayError::Interrupted));
        machine.interrupt_after.set(Some(101));
        let report = replay(system, machine, text.as_bytes()).expect("a good trace");
        assert_eq!((report.ops, report.interrupted, report.metrics.used), (100, true, 100));
        assert!(report.to_string().starts_with("Stopped by Ctrl-C after 100 operations."));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn more_ids_than_the_heap_would_hold() {
    with_board(64, |system, machine| {
        let free = system.zone().nr_free_pages();
        let mut text = String::new();
        for id in 0..50_000u32 {
            let id = id.wrapping_mul(0x9e37_79b9);
            text += &format!("a {id} 7 3\nr {id}\n");
        }
        let report = replay(system, machine, text.as_bytes()).expect("a good trace");
        assert_eq!((report.ops, report.failed, report.metrics.used), (100_000, 0, 0));
        assert_eq!(system.zone().nr_free_pages(), free);
        system.check().expect("the accounting balances");
    });
}

/// A load that does not fit: if buffers move, fewer requests fail, and all buffers remain.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn buffers_make_room_for_a_recorded_load() {
    with_board(64, |system, machine| {
        let (mut rng, mut slots, mut trace) = (fastrand::Rng::with_seed(1), [0; 420], String::new());
        for id in 1..10_000 {
            let slot = rng.usize(0..slots.len());
            let pages = SLOT_PAGES[slot % SLOTS];
            let held = core::mem::take(&mut slots[slot]);
            if held == 0 {
                slots[slot] = id;
                trace += &format!("a {id} {pages} {}\n", align_order_of(pages.into()));
            } else {
                trace += &format!("r {held}\n");
            }
        }
        let area = system.find_area("BiscuitOS_cma").expect("the board has it");
        let mut failed = std::vec![];
        for (placement, relocatable) in [("first-fit", 1000), ("relocate", 0), ("relocate", 500), ("relocate", 1000)] {
            system.area_mut(area).set_placement(placements::parse(placement).expect("a listed name"));
            let report = run(system, machine, Options { relocatable, ..Options::new(area) }, trace.as_bytes())
                .expect("a good trace");
            system.check().expect("the accounting balances");
            let held: u32 = system.kept(area).map(|kept| kept.pages).sum();
            assert_eq!(held, report.metrics.used, "all that is held is registered");
            system.release_all(area);
            let record = report.record().to_string();
            assert_eq!(record.contains("\"bad_pages\":0}"), placement == "relocate", "{record}");
            assert_eq!(
                report.moves.is_some_and(|moves| moves.relocations.served > 0),
                relocatable > 0 && report.moves.is_some()
            );
            failed.push(report.failed);
        }
        assert!(failed[0] == failed[1] && failed[1] > failed[2] && failed[2] > failed[3], "{failed:?}");
    });
}

#[test]
fn the_first_placement_that_differs_from_the_recording_is_named() {
    let recording = |second: u32| {
        [(0x69800, 5, 3), (second, 3, 2), (0x69820, 20, 5)]
            .map(|(pfn, count, align)| {
                format!(
                    "a-1 [000] ..... 1.0: cma_alloc_finish: name=BiscuitOS_cma pfn={pfn:#x} page=0 count={count} align={align} errorno=0\n"
                )
            })
            .concat()
    };
    with_board(256, |system, machine| {
        for (second, first_elsewhere, said) in [
            (0x69805, Some(2), "2 of 3 placements as recorded (the first that is not: line 2);"),
            (0x69808, None, "3 of 3 placements as recorded;"),
        ] {
            let report = replay(system, machine, recording(second).as_bytes()).expect("a good recording");
            assert_eq!(report.first_elsewhere, first_elsewhere);
            assert!(report.to_string().contains(said), "{report}");
            system.release_all(system.find_area("BiscuitOS_cma").expect("the board has it"));
        }
    });
}
