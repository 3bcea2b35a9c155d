// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;
use crate::load::Debris;
use crate::request::Align;
use crate::scale::Scale;
use alloc::sync::Arc;
use board_mock::with_board;
use placements::{PLACEMENTS, parse};
use std::format;
use std::string::ToString;
use std::vec;

fn options(system: &System<'_>, ops: u64) -> load::Options {
    load::Options {
        area: system.find_area("BiscuitOS_cma").expect("the board has it"),
        seed: load::PUBLISHED_SEED,
        rng: "glibc",
        align: Align::Order,
        stop_at_failure: true,
        ops,
        load: Arc::new(Debris(Scale::None)),
        relocatable: 1000,
        timed: 1,
        rate: 0,
    }
}

fn made(name: &'static str) -> MakePlacement {
    Box::new(move || parse(name).expect("a listed name"))
}

#[test]
fn quantiles_by_hand() {
    let all = |values: &[u64]| [0, 1, 2, 3, 4].map(|quarters| quantile(values, quarters));
    assert_eq!(all(&[]), [0; 5]);
    assert_eq!(all(&[7]), [7; 5]);
    assert_eq!(all(&[1, 2]), [1, 1, 1, 1, 2]);
    assert_eq!(all(&[10, 20, 30, 40]), [10, 17, 25, 32, 40]);
    assert_eq!(all(&[1, 2, 3, 4, 5]), [1, 2, 3, 4, 5]);
    assert_eq!(quantile(&[0, u64::MAX], 2), u64::MAX / 2);
}

/// Allocations to the first failure, for the published seed and the next four; the first is the
/// article's.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn rows_hold_what_single_runs_hold() {
    with_board(64, |system, machine| {
        let options = options(system, 200_000);
        let names = ["first-fit", "next-fit", "zoned", "two-ended"];
        let mut comparison =
            Comparison::new(system, options.clone(), 5, names.map(made).into()).expect("the area is empty");
        let mut steps = vec![];
        loop {
            match comparison.step(system, machine).expect("the accounting balances") {
                Step::Done { loads, of: 20 } => steps.push(loads),
                Step::Finished => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(steps, (1..=20).collect::<Vec<_>>());
        assert_eq!(comparison.rows().count(), names.len());
        for (row, name) in comparison.rows().zip(names) {
            let mut singles: Vec<u64> = (1..=5)
                .map(|round| {
                    system.area_mut(options.area).set_placement(parse(name).expect("a listed name"));
                    let report = load::run_round(system, machine, &options, round).expect("the accounting balances");
                    system.release_all(options.area);
                    report.allocs
                })
                .collect();
            singles.sort_unstable();
            let record = row.record().to_string();
            let expected = format!(
                "{{\"record\":\"compare\",\"placement\":\"{name}\",\"seeds\":5,\"survived\":{},\"allocs_min\":{},\
                 \"allocs_q1\":{},\"allocs_median\":{},\"allocs_q3\":{},\"allocs_max\":{},",
                row.survived(),
                singles[0],
                singles[1],
                singles[2],
                singles[3],
                singles[4]
            );
            assert!(record.starts_with(&expected), "{record} is not {expected}");
            assert!(row.to_string().starts_with(name));
        }
        let first_fit = comparison.rows().next().expect("four rows");
        assert!(first_fit.loads[0].allocs == 16_687 && first_fit.loads[0].used == 1384);
        assert_eq!(first_fit.loads[0].longest, 44);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_area_is_restored_and_must_be_empty() {
    with_board(64, |system, machine| {
        let options = options(system, 2000);
        let before = system.zone().nr_free_pages();
        let mut comparison =
            Comparison::new(system, options.clone(), 1, PLACEMENTS.iter().map(|entry| made(entry.name)).collect())
                .expect("the area is empty");
        while comparison.step(system, machine).expect("the accounting balances") != Step::Finished {
            assert_eq!(system.area(options.area).used_pages(), 0);
            assert_eq!(system.area(options.area).placement().name(), "first-fit");
            assert_eq!(system.zone().nr_free_pages(), before);
            system.check().expect("the accounting balances");
        }
        let buffer = system.cma_alloc(options.area, 3, 0).expect("an empty area");
        system.keep(buffer);
        let refused = Comparison::new(system, options, 1, vec![made("first-fit")]).err();
        assert_eq!(refused, Some(CompareError::NotEmpty { used: 3 }));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn ctrl_c_leaves_what_is_done() {
    with_board(64, |system, machine| {
        let options = options(system, 1000);
        let mut comparison = Comparison::new(system, options.clone(), 3, vec![made("best-fit"), made("first-fit")])
            .expect("the area is empty");
        machine.interrupt_after.set(Some(1500));
        assert_eq!(comparison.step(system, machine), Ok(Step::Done { loads: 1, of: 6 }));
        assert_eq!(comparison.step(system, machine), Ok(Step::Interrupted));
        assert_eq!(system.area(options.area).used_pages(), 0);
        let rows: Vec<&Row> = comparison.rows().collect();
        assert_eq!((rows.len(), rows[0].loads.len(), rows[0].survived()), (1, 1, 1));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn long_loads_run_in_parts() {
    with_board(64, |system, machine| {
        let options = options(system, 2 * SLICE + 1);
        let mut comparison =
            Comparison::new(system, options.clone(), 1, vec![made("spare-heads")]).expect("the area is empty");
        for part in 1..=2 {
            let Ok(Step::Running { loads: 0, of: 1, allocs }) = comparison.step(system, machine) else {
                panic!("there is more to do")
            };
            assert!(allocs >= part * SLICE / 2, "{allocs}");
            assert_eq!(system.area(options.area).placement().name(), "first-fit");
            assert!(system.area(options.area).used_pages() > 0);
        }
        assert_eq!(comparison.step(system, machine), Ok(Step::Done { loads: 1, of: 1 }));
        assert_eq!(comparison.step(system, machine), Ok(Step::Finished));
        let whole = comparison.rows().next().expect("one row").loads[0].allocs;
        system.area_mut(options.area).set_placement(parse("spare-heads").expect("a listed name"));
        let report = load::run_round(system, machine, &options, 1).expect("the accounting balances");
        assert_eq!(whole, report.allocs);
        // A Ctrl-C between two parts releases everything, too.
        system.release_all(options.area);
        let mut comparison =
            Comparison::new(system, options.clone(), 1, vec![made("relocate")]).expect("the area is empty");
        assert!(matches!(comparison.step(system, machine), Ok(Step::Running { .. })));
        machine.interrupt_after.set(Some(0));
        assert_eq!(comparison.step(system, machine), Ok(Step::Interrupted));
        assert_eq!((system.area(options.area).used_pages(), comparison.rows().count()), (0, 0));
        system.check().expect("the accounting balances");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn pairs_are_compared_seed_by_seed() {
    with_board(64, |system, machine| {
        let options = options(system, 3_000);
        let placements = vec![made("first-fit"), made("worst-fit"), made("best-fit")];
        let mut comparison = Comparison::new(system, options, 6, placements).expect("an empty area");
        while comparison.step(system, machine) != Ok(Step::Finished) {}
        let rows: Vec<Row> = comparison.rows().cloned().collect();
        let pairs: Vec<Pair> = comparison.pairs().collect();
        assert_eq!(pairs.len(), 3);
        for (pair, (one, other)) in pairs.iter().zip([(0, 1), (0, 2), (1, 2)]) {
            let (one, other) = (&rows[one], &rows[other]);
            assert_eq!((&pair.placement, &pair.other), (&one.placement, &other.placement));
            let lasted = |load: &Load| if load.failed { load.allocs } else { u64::MAX };
            let count = |wanted| {
                let both = one.loads.iter().zip(&other.loads);
                both.filter(|(one, other)| lasted(one).cmp(&lasted(other)) == wanted).count() as u32
            };
            assert_eq!(
                (pair.better, pair.worse, pair.equal),
                (count(Ordering::Greater), count(Ordering::Less), count(Ordering::Equal))
            );
            assert!(pair.to_string().len() <= 80 && pair.record().to_string().contains("\"p_permille\":"));
        }
        assert!(pairs.iter().any(|pair| pair.better + pair.worse > 0), "{pairs:?}");
        let seeds: Vec<_> = rows[1].seed_records().map(|record| record.to_string()).collect();
        assert_eq!(seeds.len(), 6);
        let (first, allocs) = (load::PUBLISHED_SEED, rows[1].loads[5].allocs);
        assert!(seeds[5].contains(&format!("\"seed\":{},\"allocs\":{allocs},", first + 5)), "{seeds:?}");
        system.check().expect("the accounting balances");
    });
}
