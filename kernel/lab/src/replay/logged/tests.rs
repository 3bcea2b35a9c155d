// SPDX-License-Identifier: MIT OR Apache-2.0
use crate::replay::{Options, ReplayError, ReplayReport, Told, WhenHeld, run, run_together, survey};
use board_mock::with_board;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// A board's log: 15 requests of an area whose first recorded page is bit 124 modulo 256.
const LOG: &str = include_str!("../../../../../tests/data/cases/cma-debug.log");
const LOGGED_ALLOCS: u64 = 15;

fn replayed(log: &str) -> (ReplayReport, Vec<(u32, u32)>) {
    with_board(256, |system, machine| {
        let area = system.find_area("big").expect("the board has it");
        let free = system.zone().nr_free_pages();
        let report = run(system, machine, Options::new(area), log.as_bytes()).expect("a good log");
        system.check().expect("the accounting balances");
        let base = system.area(area).base();
        let kept: Vec<(u32, u32)> = system.kept(area).map(|kept| (kept.first.0 - base.0, kept.pages)).collect();
        assert_eq!(kept.iter().map(|kept| kept.1).sum::<u32>(), report.metrics.used);
        system.release_all(area);
        assert_eq!(system.zone().nr_free_pages(), free);
        (report, kept)
    })
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_boards_log_is_replayed() {
    let (report, kept) = replayed(LOG);
    assert_eq!((report.allocs, report.failed, report.lost, report.busy), (LOGGED_ALLOCS, 0, 0, 2));
    assert_eq!(kept.len() as u64, LOGGED_ALLOCS);
    let text = report.to_string();
    assert!(
        text.contains("32 bytes apart; all alignments hold where the first page is bit 124 modulo 256.\n"),
        "{text}"
    );
    let why = "0 of 15 placements as recorded (what was in use in front of them there is not recorded); ";
    assert!(text.contains(why), "{text}");
    assert!(report.record().to_string().contains("\"format\":\"dmesg\",\"from\":\"cma 814923f8\""));
}

/// Returns a log of requests in an empty area that begins at pointer `base`, with pages `bytes`
/// apart.
fn log(base: u64, bytes: u64, hash: impl Fn(u64) -> String) -> String {
    let mut text = String::from("Booting Linux on physical CPU 0x0\n");
    let mut alloc = |offset: u64, pages: u32, order: u32| {
        text += &format!("<7>[    1.0] cma: cma_alloc(cma 814923f8, count {pages}, align {order})\nusb 1-1: new\n");
        text += &format!("<7>[    1.0] cma: cma_alloc(): returned {}\n", hash(base + offset * bytes));
    };
    for (offset, pages, order) in [(0, 3, 2), (256, 765, 8), (4, 20, 2), (1024, 100, 8)] {
        alloc(offset, pages, order);
    }
    text += &format!("cma: cma_release(page {})\n", hash(base + 256 * bytes));
    text += &format!("cma: cma_release(page {}, count 20)\n", hash(base + 4 * bytes));
    text += "cma: cma_alloc(cma 814923f8, count 700, align 8)\n";
    text + &format!("cma: cma_alloc(): returned {}\n", hash(base + 256 * bytes))
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn distances_give_placements_where_the_size_of_a_page_can_be_told() {
    let ends = [(0, 3), (256, 700), (1024, 100)];
    for (base, bytes) in
        [(0xb7eb_0000, 32), (0xb7eb_0000, 36), (0xffff_ea00_0000_0000, 64), (0xffff_fffe_0000_0000, 56)]
    {
        let (report, kept) = replayed(&log(base, bytes, |pointer| format!("{pointer:08x}")));
        assert_eq!((kept.as_slice(), report.as_recorded, report.unmatched), (&ends[..], 5, 0), "{bytes}");
        let text = report.to_string();
        assert!(
            text.contains(&format!(
                "{bytes} bytes apart; all alignments hold where the first page is bit 0 modulo 256"
            ))
        );
    }
    // Hashed: releases still match, and placements are not compared.
    let scramble = |pointer: u64| (pointer as u32).wrapping_mul(0x9e37_79b9) ^ 0x55;
    let wide: fn(u32) -> String = |hash| format!("{hash:016x}");
    let narrow: fn(u32) -> String = |hash| format!("{hash:08x}");
    for (shown, why) in [(wide, "pointers are hashed"), (narrow, "fit no size of struct page")] {
        let (report, kept) = replayed(&log(0xb7eb_0000, 32, |pointer| shown(scramble(pointer))));
        assert_eq!((kept.as_slice(), report.as_recorded, report.unmatched), (&ends[..], 0, 0));
        let text = report.to_string();
        assert!(text.contains("Placements cannot be compared") && text.contains(why), "{text}");
        assert!(!text.contains("placements as recorded"), "{text}");
    }
    // One page is moved by half its alignment.
    let off = log(0xb7eb_0000, 32, |pointer| {
        format!("{:08x}", if pointer == 0xb7eb_8000 { pointer + 128 * 32 } else { pointer })
    });
    let text = replayed(&off).0.to_string();
    assert!(text.contains("Placements cannot be compared: pages are pointers, 32 bytes apart, and no place"), "{text}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn hidden_pointers_are_not_too_few() {
    let (report, _) = replayed(&log(0xd2c0_0a51, 4, |_| "(____ptrval____)".into()));
    let text = report.to_string();
    assert!(text.contains("pointers are hidden (ptrval)") && text.contains("no_hash_pointers"), "{text}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_is_held_may_be_refused() {
    let twice = "\ncma_alloc(cma 814923f8, count 1, align 0)\ncma_alloc(): returned 00000000000000a7\n".repeat(2);
    let (report, _) = replayed(&twice);
    assert_eq!((report.held_released, report.metrics.used), (1, 1));
    with_board(64, |system, machine| {
        let area = system.find_area("BiscuitOS_cma").expect("the board has it");
        let options = Options { held: Some(WhenHeld::Refuse), ..Options::new(area) };
        let error = run(system, machine, options, twice.as_bytes()).expect_err("it is held");
        assert!(matches!(error, ReplayError::Trace(_)) && error.to_string().contains("line 6: "), "{error}");
        assert_eq!(system.area(area).used_pages(), 0);
    });
}

/// Separate passes over the log pair hashed pointers, and check for Ctrl-C as the others do.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn ctrl_c_is_heeded_while_pointers_are_paired() {
    let foreign = "usb 1-1: new high-speed USB device\n".repeat(3 * 4096);
    let text = foreign.clone() + &log(0xd2c0_0a51, 4, |pointer| format!("{pointer:016x}")) + &foreign;
    let answer = |looks: Option<u64>| {
        with_board(256, |system, machine| {
            let area = system.find_area("big").expect("the board has it");
            machine.interrupt_after.set(looks);
            let answer = run(system, machine, Options::new(area), text.as_bytes());
            system.check().expect("the accounting balances");
            if answer.is_err() {
                assert_eq!(system.area(area).used_pages(), 0, "nothing was done");
            }
            (answer, machine.interrupt_after.get())
        })
    };
    // Checks of the first pass; pairing checks at least as often.
    let first = (text.lines().count() / 4096) as u64;
    let (mut checked, mut done) = (0, 0);
    for looks in 0.. {
        match answer(Some(looks)) {
            (Err(error), left) => {
                assert_eq!((error, left), (ReplayError::Interrupted, None), "after {looks} looks");
                assert_eq!(done, 0, "a replay that began is not one that was not");
                checked += 1;
            }
            (Ok(report), None) => {
                assert!(report.interrupted, "after {looks} looks");
                done += 1;
            }
            (Ok(report), Some(_)) => {
                assert!(!report.interrupted);
                break;
            }
        }
    }
    assert!(checked >= 2 * first && done > 0, "{checked} while it was checked, {done} while it ran");
}

/// A log of two areas is replayed in its order on both, whether pointers give page numbers or not.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_log_of_two_areas_goes_to_both_at_once() {
    let hash = |pointer: u32| pointer.wrapping_mul(0x9e37_79b9) ^ 0x55;
    for shown in [|pointer: u32| pointer, hash] {
        let pointer = |pfn: u32| format!("{:08x}", shown(0xb000_0000 + (pfn - 0x69000) * 32));
        let alloc = |name: &str, pfn: u32, pages: u32| {
            format!(
                "cma: cma_alloc(cma 814923f8, name: {name}, count {pages}, align 0)\ncma: cma_alloc(): returned {}\n",
                pointer(pfn)
            )
        };
        let release = |pfn: u32, pages: u32| format!("cma: cma_release(page {}, count {pages})\n", pointer(pfn));
        let text = alloc("linux,cma", 0x69000, 5)
            + &alloc("BiscuitOS_cma", 0x69800, 7)
            + &release(0x69000, 5)
            + &alloc("BiscuitOS_cma", 0x69807, 9)
            + &alloc("linux,cma", 0x69000, 3)
            + &release(0x69800, 7);
        with_board(64, |system, machine| {
            let survey = survey(machine, text.as_bytes()).expect("a good log");
            let options = ["linux,cma", "BiscuitOS_cma"].map(|name| {
                let area = system.find_area(name).expect("the board has it");
                Options { from: Some(name), ..Options::new(area) }
            });
            let mut lines = Vec::new();
            let mut tell = |_: &mut _, told: Told<'_, '_>| match told {
                Told::Placed { line, .. } | Told::Released { line, .. } => lines.push(line),
                Told::Failed { .. } => panic!("there is room"),
            };
            let reports = run_together(system, machine, &options, &survey, text.as_bytes(), Some(&mut tell));
            let counts = |report: &ReplayReport| (report.ops, report.metrics.used, report.peak, report.unmatched);
            let counts: Vec<_> = reports.expect("a good log").iter().map(counts).collect();
            assert_eq!(counts, [(3, 3, 5, 0), (3, 9, 16, 0)]);
            assert_eq!(lines, [2, 4, 5, 7, 9, 10]);
        });
    }
}
