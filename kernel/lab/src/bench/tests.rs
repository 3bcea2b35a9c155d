// SPDX-License-Identifier: MIT OR Apache-2.0

//! All benchmarks on the mock board, whose clock advances by 10 ns on each reading.

use std::format;
use std::string::ToString;
use std::vec::Vec;

use super::*;
use board_mock::{Mock, with_board};

/// Runs a benchmark, and checks that it restored the state.
fn run_and_compare(
    system: &mut System<'_>,
    machine: &mut Mock,
    name: &'static str,
    setting: &Setting<'_>,
) -> Result<Answer, BenchError> {
    // The tables of users of memory are unmovable: pageblocks may change their type for them, and
    // their blocks then change lists.
    let types_may_change = ["full/1", "migrate/1", "reclaim/clean", "empty-area"].contains(&name);
    let lists = |system: &System<'_>| -> Vec<u32> {
        let orders = 0..=page_alloc::MAX_PAGE_ORDER;
        let of = |order| page_alloc::Migratetype::ALL.map(|mt| system.zone().free_blocks(order, mt));
        if types_may_change {
            orders.map(|order| of(order).iter().sum()).collect()
        } else {
            orders.flat_map(of).collect()
        }
    };
    let before = lists(system);
    let answer = run(system, machine, name, setting);
    assert_eq!(lists(system), before, "{name}");
    assert!(system.areas().iter().all(|area| area.used_pages() == 0), "{name}");
    system.check().expect("the accounting balances");
    answer
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn every_name_runs_and_restores() {
    let trace = b"a 1 16 4\na 2 600 8\nr 1\na 3 131072 8\n";
    // 1 GiB: it has areas of 8 and 512 MiB, but none of the other sizes.
    with_board(256, |system, machine| {
        let setting = Setting { ns_to_ready: 77, trace: Some(trace), ..Setting::default() };
        let mut lacking = Vec::new();
        for name in names::<Mock>() {
            match run_and_compare(system, machine, name, &setting) {
                Ok(Answer::Time(measurement)) => {
                    assert_eq!(measurement.name, name);
                    assert!(measurement.op.calls > 0 && measurement.op.max_ns >= measurement.op.mean_ns);
                }
                Ok(Answer::Memory(memory)) => {
                    assert_eq!(name, "memory");
                    assert!((16_000..18_000).contains(&memory.millibytes_per_page()), "{memory}");
                }
                Err(error) => {
                    assert!(error.is_lack(), "{name}: {error}");
                    lacking.push(name);
                }
            }
        }
        let sizes = ["32", "128", "768"];
        let expected: Vec<_> =
            ["slots", "sizes", "both"].iter().flat_map(|k| sizes.map(|n| format!("{k}/{n}"))).collect();
        assert_eq!(lacking, expected);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn what_is_missing_is_said() {
    with_board(64, |system, machine| {
        let error = |system: &mut System<'_>, machine: &mut Mock, name| {
            run(system, machine, name, &Setting::default()).expect_err("it lacks something")
        };
        assert_eq!(error(system, machine, "cma"), BenchError::Unknown);
        assert_eq!(error(system, machine, "cma/131072"), BenchError::NoArea(Need::Exactly(131_072)));
        for id in system.area_ids() {
            let buffer = system.cma_alloc(id, 1, 0).expect("an empty area");
            system.keep(buffer);
        }
        assert_eq!(error(system, machine, "debris"), BenchError::NoArea(Need::AtLeast(2048)));
    });
    with_board(256, |system, machine| {
        assert_eq!(run_and_compare(system, machine, "big-area", &Setting::default()), Err(BenchError::NoTrace));
        let bad = Setting { trace: Some(b"x"), ..Setting::default() };
        assert!(matches!(run_and_compare(system, machine, "big-area", &bad), Err(BenchError::Replay(_))));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn interruption_restores() {
    with_board(256, |system, machine| {
        let setting = Setting { trace: Some(b"a 1 1 0\na 2 1 0\na 3 1 0\na 4 1 0\na 5 1 0\n"), ..Setting::default() };
        for name in names::<Mock>() {
            machine.interrupt_after.set(Some(1));
            let answer = run_and_compare(system, machine, name, &setting);
            // Two have no calls to interrupt, and some need an area of another size.
            let is_short = ["boot", "memory"].contains(&name);
            let lacks = matches!(answer, Err(BenchError::NoArea(_)));
            assert!(answer == Err(BenchError::Interrupted) || is_short || lacks, "{name}: {answer:?}");
        }
    });
}

#[test]
fn words_name_one_or_a_group() {
    assert_eq!(named::<Mock>("cma/1").collect::<Vec<_>>(), ["cma/1"]);
    let in_group: Vec<&str> = names::<Mock>().filter(|name| name.starts_with("cma/")).collect();
    assert_eq!(named::<Mock>("cma").collect::<Vec<_>>(), in_group);
    assert_eq!(named::<Mock>("buddy").count(), 3);
    for bad in ["", "cm", "cma/", "cma/1/2"] {
        assert_eq!(named::<Mock>(bad).count(), 0, "{bad}");
    }
}

#[test]
fn records() {
    let cost = |n| Cost { calls: n, mean_ns: n + 1, p999_ns: n + 2, max_ns: n + 3 };
    let measurement = Measurement {
        release: Some(cost(20)),
        failed: 3,
        area_pages: Some(2048),
        ..Measurement::new("cma/1", cost(10))
    };
    assert_eq!(
        Answer::Time(measurement).record().to_string(),
        r#"{"record":"bench","name":"cma/1","reps":10,"ns_per_op":11,"p999_ns":12,"max_ns":13,"release_ns":21,"release_p999_ns":22,"release_max_ns":23,"releases":20,"area_pages":2048,"failed":3}"#
    );
    assert_eq!(
        Answer::Time(Measurement::new("boot", cost(1))).record().to_string(),
        r#"{"record":"bench","name":"boot","reps":1,"ns_per_op":2,"p999_ns":3,"max_ns":4}"#
    );
    let memory = Memory { pages: 1000, descriptor_bytes: 16_000, pageblock_bytes: 1, bitmap_bytes: 125 };
    assert_eq!(memory.millibytes_per_page(), 16_126);
    assert!(memory.to_string().starts_with("memory: 16.126 bytes a page"), "{memory}");
}
