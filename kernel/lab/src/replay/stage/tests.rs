// SPDX-License-Identifier: MIT OR Apache-2.0

//! Recordings of two areas, replayed together.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use crate::replay::{Options, ReplayError, ReplayReport, Told, WhenServed, run_surveyed, run_together, survey};
use board_mock::{Mock, with_board};
use page_alloc::policy::{CmaUse, Lend};
use system::System;

const AREAS: [(&str, u32); 2] = [("linux,cma", 0x69000), ("BiscuitOS_cma", 0x69800)];

fn alloc(area: usize, offset: u32, pages: u32) -> String {
    let (name, base) = AREAS[area];
    let pfn = base + offset;
    format!(" v-1 [000] ..... 1.0: cma_alloc_finish: name={name} pfn={pfn:#x} page=1 count={pages} align=0 errorno=0\n")
}

fn release(area: usize, offset: u32, pages: u32) -> String {
    let (name, base) = AREAS[area];
    format!(" v-1 [000] ..... 1.0: cma_release: name={name} pfn={:#x} page=1 count={pages}\n", base + offset)
}

fn options(system: &System<'_>) -> [Options<'static>; 2] {
    AREAS.map(|(name, _)| {
        let area = system.find_area(name).expect("the board has it");
        Options { from: Some(name), ..Options::new(area) }
    })
}

/// Replays both areas, together or one after the other.
fn replayed(
    system: &mut System<'_>,
    machine: &mut Mock,
    text: &str,
    together: bool,
) -> Result<Vec<ReplayReport>, ReplayError> {
    let options = options(system);
    let survey = survey(machine, text.as_bytes())?;
    if together {
        return run_together(system, machine, &options, &survey, text.as_bytes(), None);
    }
    options.map(|options| run_surveyed(system, machine, options, &survey, text.as_bytes(), None)).into_iter().collect()
}

/// The areas share memory: pages in use move from the first area to the second, and from there to
/// the rest of memory, unless the first one is free for them by then.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_areas_share_sees_the_order_of_the_recording() {
    let text = alloc(0, 0, 2048) + &alloc(1, 0, 2048) + &release(0, 0, 2048) + &release(1, 0, 2048);
    let [together, apart] = [true, false].map(|together| {
        with_board(64, |system, machine| {
            let mut mm = system.open_live(CmaUse::First, Lend::Movable).expect("there is an address space");
            let id = mm.create(1500).expect("room");
            (0..1500).for_each(|page| mm.populate(id, page).expect("room"));
            let reports = replayed(system, machine, &text, together).expect("a good recording");
            assert!(reports.iter().all(|report| (report.ops, report.failed, report.metrics.used) == (2, 0, 0)));
            assert!(reports.iter().all(|report| (report.as_recorded, report.peak) == (1, 2048)));
            let mm = system.mm().expect("it is open");
            let frames: Vec<u32> = (0..1500).filter_map(|page| mm.frame_of(id, page)).map(|frame| frame.0).collect();
            AREAS.map(|(_, base)| frames.iter().filter(|frame| (base..base + 2048).contains(*frame)).count())
        })
    });
    assert_eq!((together, apart), ([0, 0], [1500, 0]));
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn steps_are_told_in_the_order_of_the_recording() {
    with_board(64, |system, machine| {
        let mut text = String::new();
        for step in 0..40 {
            text += &alloc(step % 2, 16 * step as u32, 16);
            text += &if step > 5 { release((step - 5) % 2, 16 * (step as u32 - 5), 16) } else { "\n".into() };
        }
        let options = options(system);
        let survey = survey(machine, text.as_bytes()).expect("a good recording");
        let mut told: Vec<(u64, String)> = Vec::new();
        let mut tell = |_: &mut Mock, step: Told<'_, '_>| match step {
            Told::Placed { line, area, .. } | Told::Released { line, area, .. } => {
                told.push((line, area.name().into()))
            }
            Told::Failed { .. } => panic!("there is room"),
        };
        let reports = run_together(system, machine, &options, &survey, text.as_bytes(), Some(&mut tell));
        let lines: Vec<u64> = told.iter().map(|step| step.0).collect();
        assert_eq!(lines, (1..=80).filter(|line| line % 2 == 1 || *line > 12).collect::<Vec<_>>());
        assert!(told.windows(2).any(|pair| pair[0].1 != pair[1].1));
        // Each area has the results that it has alone.
        for (options, report) in options.iter().zip(reports.expect("a good recording")) {
            let used = report.metrics.used;
            options.release_own(system);
            let alone = run_surveyed(system, machine, *options, &survey, text.as_bytes(), None).expect("as before");
            let fingerprints = |report: &ReplayReport| (report.placements, report.bitmap, report.ops, report.peak);
            assert_eq!(fingerprints(&alone), fingerprints(&report));
            assert!(used > 0 && alone.metrics.used == used);
        }
        system.check().expect("the accounting balances");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_first_failure_of_any_area_ends_all() {
    with_board(64, |system, machine| {
        let text = alloc(0, 0, 5) + &alloc(1, 0, 2000) + &alloc(1, 0x1000, 49) + &alloc(0, 5, 7);
        let survey = survey(machine, text.as_bytes()).expect("a good recording");
        let options = options(system).map(|options| Options { stop_at_failure: true, ..options });
        let reports =
            run_together(system, machine, &options, &survey, text.as_bytes(), None).expect("a good recording");
        let used: Vec<u32> = reports.iter().map(|report| report.metrics.used).collect();
        assert_eq!(used, [5, 2000], "what is behind the failure was not asked for");
        let [first, second] = &reports[..] else { panic!("two areas") };
        assert!(first.to_string().starts_with("Stopped at line 3, where the first request of another area failed.\n"));
        assert!(second.to_string().starts_with("Stopped at line 3, the first request that failed.\n"));
        assert_eq!((first.first_failure, second.first_failure), (None, Some(3)));
    });
}

/// A replay that does not begin, or fails, leaves no buffer in any area.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn an_error_of_one_area_undoes_all() {
    with_board(64, |system, machine| {
        let free = system.zone().nr_free_pages();
        let text = alloc(0, 0, 5) + &alloc(1, 0, 9) + &alloc(1, 0, 9);
        let survey = survey(machine, text.as_bytes()).expect("a good recording");
        let options = options(system).map(|options| Options { held: Some(super::super::WhenHeld::Refuse), ..options });
        let error = run_together(system, machine, &options, &survey, text.as_bytes(), None).expect_err("held twice");
        assert!(error.to_string().starts_with("line 3: allocates pages at pfn 0x69800"), "{error}");
        let buffer = system.cma_alloc(options[1].area, 3, 0).expect("it is empty");
        let error = run_together(system, machine, &options, &survey, text.as_bytes(), None).expect_err("in use");
        assert_eq!(error, ReplayError::NotEmpty { area: options[1].area, used: 3 });
        system.cma_release(buffer).expect("it was held");
        // Ctrl-C leaves the buffers of both.
        machine.interrupt_after.set(Some(1));
        let reports = run_together(system, machine, &options, &survey, text.as_bytes(), None).expect("stopped");
        assert!(reports.iter().all(|report| report.interrupted));
        assert_eq!(reports.iter().map(|report| report.ops).sum::<u64>(), 1);
        system.release_all(options[0].area);
        let plain = run_together(system, machine, &options, &survey, b"a 1 1 0\n", None).expect_err("of one area");
        assert_eq!(plain, ReplayError::NoAreas);
        assert_eq!(system.zone().nr_free_pages(), free);
    });
}

/// Each area keeps buffers whose requests failed on the board for the lifetimes of its own tasks.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn each_area_keeps_by_its_own_lives() {
    with_board(64, |system, machine| {
        let failed = |area: usize| {
            format!(
                " v-1 [000] ..... 1.0: cma_alloc_finish: name={} pfn=0xffffffffffffffff page=0 count=3 align=0 errorno=-12\n",
                AREAS[area].0
            )
        };
        // Lifetimes are 0 in one area, and unknown in the other.
        let text = alloc(0, 0, 5) + &release(0, 0, 5) + &failed(0) + &failed(1) + &alloc(1, 3, 1) + &alloc(0, 0, 1);
        let survey = survey(machine, text.as_bytes()).expect("a good recording");
        let options = options(system).map(|options| Options { served: WhenServed::Keep, ..options });
        let reports =
            run_together(system, machine, &options, &survey, text.as_bytes(), None).expect("a good recording");
        let used: Vec<u32> = reports.iter().map(|report| report.metrics.used).collect();
        assert_eq!(used, [1, 4]);
        let kept: Vec<_> = reports.iter().filter_map(|report| report.kept).map(|kept| (kept.task, kept.none)).collect();
        assert_eq!(kept, [(1, 0), (0, 1)]);
    });
}
