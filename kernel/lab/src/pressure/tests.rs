// SPDX-License-Identifier: MIT OR Apache-2.0

//! The experiments on small boards: their results, and the removal of all users of memory.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use std::string::ToString;

use super::*;
use board_mock::Mock;
use migration::live::mock::MockSpace;
use page_alloc::zone::{Zone, descriptors};
use page_alloc::{Migratetype, PAGEBLOCK_PAGES, Page};
use units::Pfn;

const START: Pfn = Pfn(0x60000);

fn options(area: AreaId) -> Options {
    Options {
        area,
        pages: None,
        fill: None,
        rounds: Some(2),
        seed: 1,
        cma_use: None,
        lend: None,
        with: None,
        source: None,
        pins: None,
        sabotage: None,
    }
}

/// Calls `test` with a system of `ram` pageblocks of RAM and an area of two after them.
fn with_system<R>(ram: u32, test: impl FnOnce(&mut System<'_>, AreaId) -> R) -> R {
    let mut pages = vec![Page::default(); descriptors((ram + 2) * PAGEBLOCK_PAGES)];
    let mut zone = Zone::new(START, &mut pages);
    zone.free_range(START, ram * PAGEBLOCK_PAGES);
    let mut system = System::new(zone, Vec::new());
    system.set_address_space(Box::new(MockSpace::default()));
    let area = system.activate_area("area".into(), START.add(ram * PAGEBLOCK_PAGES), 2 * PAGEBLOCK_PAGES, true);
    test(&mut system, area)
}

/// Runs an experiment; checks that no user of memory remains.
fn rows(experiment: Experiment, change: impl FnOnce(&mut Options)) -> Vec<Row> {
    rows_of(6, experiment, change)
}

fn rows_of(ram: u32, experiment: Experiment, change: impl FnOnce(&mut Options)) -> Vec<Row> {
    with_system(ram, |system, area| {
        let mut options = options(area);
        change(&mut options);
        let before = blocks(system);
        let runs = experiment.plan(system, &options).unwrap();
        let rows = runs.into_iter().map(|run| run.execute(system, &Mock::default(), &options).unwrap()).collect();
        system.check().unwrap();
        assert!(system.live().is_none() && system.area(area).used_pages() == 0);
        assert_eq!(blocks(system), before);
        rows
    })
}

fn blocks(system: &System<'_>) -> Vec<u32> {
    (0..=10).map(|order| Migratetype::ALL.iter().map(|&mt| system.zone().free_blocks(order, mt)).sum()).collect()
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn latency_moves_what_is_in_the_way_and_nothing_else() {
    let rows = rows(Experiment::Latency, |_| {});
    assert_eq!(rows.len(), 4 * 5, "four fillings, and the sizes that fit");
    for row in &rows {
        let all = u64::from(2 * row.pages);
        match row.with {
            "idle" => assert_eq!((row.migrated, row.reclaimed, row.fill_pages), (0, 0, 0)),
            "movable" => assert_eq!((row.migrated, row.reclaimed), (all, 0)),
            "clean" => assert_eq!((row.migrated, row.reclaimed), (0, all)),
            _ => assert_eq!((row.migrated, row.reclaimed), (all / 2, all / 2), "half and half: {row:?}"),
        }
        assert_eq!((row.totals.calls, row.totals.failed, row.oom_kills), (2, 0, 0), "{row:?}");
        assert_eq!(row.totals.phase_sum_ns(migration::contig_range::Phase::Migrate) > 0, row.with != "idle");
        let [min, mean, max] = row.latency_ns();
        assert!(min <= mean && mean <= max);
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn cma_stands_free_at_the_first_kill_where_it_is_the_last_resort() {
    let rows = rows_of(32, Experiment::Underuse, |options| options.rounds = Some(8));
    let free = |policy| rows.iter().find(|row| row.cma_use == policy).unwrap().cma_free_at_kill;
    assert!(rows.iter().all(|row| row.oom_kills > 0 && row.bad_pages == 0 && row.reclaimed > 0));
    assert!(free("fallback") >= free("half") && free("fallback") > free("first"), "{rows:?}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_camera_gets_its_buffer_from_an_area_and_not_from_the_buddy() {
    let rows = rows(Experiment::Reliability, |_| {});
    assert_eq!(rows.len(), 2 + 5 * 3 + 1);
    for row in &rows {
        assert_eq!((row.bad_pages, row.totals.calls), (0, 2));
        match (row.source, row.pins) {
            ("buddy", _) => assert_eq!(row.success_permille(), 0, "{row:?}"),
            ("reserved", _) => assert_eq!((row.success_permille(), row.unused_pages >= row.pages), (1000, true)),
            (_, 0) => assert_eq!(row.success_permille(), 1000, "{row:?}"),
            _ => {}
        }
        if row.lend == "none" {
            assert_eq!((row.unused_pages, row.migrated), (2048, 0));
        }
        if row.lend == "clean" {
            assert_eq!((row.migrated, row.success_permille()), (0, 1000), "pins cannot be in the way: {row:?}");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn everything_survives_unless_migration_is_sabotaged() {
    for row in rows(Experiment::Integrity, |_| {}) {
        assert_eq!((row.bad_pages, row.totals.failed), (0, 0), "{row:?}");
        assert!(row.migrated > 0 && row.reclaimed > 0);
    }
    // If only clean pages may enter, none has to move, even if they are written while their
    // pageblock is isolated.
    for row in rows(Experiment::Integrity, |options| options.lend = Some(Lend::Clean)) {
        assert_eq!((row.bad_pages, row.totals.failed, row.migrated), (0, 0, 0), "{row:?}");
        assert!(row.reclaimed > 0);
    }
    for sabotage in Sabotage::ALL {
        let rows = rows(Experiment::Integrity, |options| {
            options.sabotage = Some(sabotage);
            options.cma_use = Some(CmaUse::Half);
        });
        assert!(rows[0].bad_pages > 0, "{sabotage:?}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_makes_no_sense_is_refused_before_anything_happens() {
    with_system(2, |system, area| {
        let refused = |system: &System<'_>, change: fn(&mut Options), experiment: Experiment| {
            let mut options = options(area);
            change(&mut options);
            experiment.plan(system, &options).unwrap_err().to_string()
        };
        let line = refused(system, |options| options.pages = Some(2049), Experiment::Reliability);
        assert!(line.contains("2049 pages does not fit") && line.contains("2048"), "{line}");
        let line = refused(system, |options| options.fill = Some(4097), Experiment::Underuse);
        assert_eq!(line, "4097 pages cannot be filled: 4096 are free");
        let line = refused(system, |options| options.fill = Some(2049), Experiment::Latency);
        assert_eq!(line, "2049 pages cannot be filled: 2048 are free");
        let buffer = system.cma_alloc(area, 3, 0).unwrap();
        let line = refused(system, |_| {}, Experiment::Integrity);
        assert!(line.contains("3 pages of the area are in use"), "{line}");
        system.cma_release(buffer).unwrap();
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn records_have_every_field() {
    let row = Row::new("latency", "a\"b".into(), crate::stopwatch::ClockCost::measure(&Mock::default()));
    let record = row.record().to_string();
    let names = [
        "experiment",
        "cma_use",
        "lend",
        "pages",
        "fill_pages",
        "allocs",
        "failed",
        "migrated",
        "reclaimed",
        "oom_kills",
        "bad_pages",
        "search_ns",
        "isolate_ns",
        "drain_ns",
        "migrate_ns",
        "reclaim_ns",
        "test_ns",
        "grab_ns",
        "undo_ns",
        "migrate_permille",
    ];
    assert!(record.starts_with("{\"record\":\"pressure\",\"experiment\":\"latency\","));
    for name in names {
        assert!(record.contains(&alloc::format!(",\"{name}\":")), "{name}");
    }
    assert!(record.contains(r#""area":"a\"b""#));
}
