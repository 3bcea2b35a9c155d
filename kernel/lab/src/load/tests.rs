// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;
use crate::scale::Scale;
use board_mock::{but_load_time, with_board};
use std::string::ToString;

fn options(system: &System<'_>) -> Options {
    Options {
        area: system.find_area("BiscuitOS_cma").expect("the board has it"),
        seed: PUBLISHED_SEED,
        rng: "glibc",
        align: Align::Order,
        stop_at_failure: true,
        ops: DEFAULT_OPS,
        load: Arc::new(Debris(Scale::None)),
        relocatable: 1000,
        timed: 1,
        rate: 0,
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_published_run() {
    with_board(64, |system, machine| {
        let options = options(system);
        let report = run_round(system, machine, &options, 1).expect("the accounting balances");
        let record = report.record().to_string();
        let expected = "{\"record\":\"debris\",\"area\":\"BiscuitOS_cma\",\"pages\":2048,\"placement\":\"first-fit\",\
            \"align\":\"order\",\"rng\":\"glibc\",\"seed\":1577527915,\"round\":1,\"allocs\":16687,\"releases\":16550,\
            \"live\":137,\"failed_pages\":51,\"cause\":\"fragmented\",\"used\":1384,\"free\":664,\"maxchunk\":44,";
        assert!(record.starts_with(expected), "{record}");
        assert!(report.to_string().contains(
            "16687 allocations, 16550 releases, then a request for 51 pages failed (fragmented): 664 pages free, \
             the longest free run is 44 pages."
        ));
        // The clock advances by 10 ns on each reading and calls take no time, so only the clock's
        // own cost is measured.
        assert_eq!(report.means_ns(), (0, 0));
        assert_eq!(system.kept(options.area).count(), 137);
        system.check().expect("the accounting balances");
        assert_eq!(system.release_all(options.area), 137);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn rounds_leak_until_none_succeeds() {
    with_board(64, |system, machine| {
        let options = options(system);
        let mut allocs = std::vec::Vec::new();
        let mut used = 0;
        while allocs.last() != Some(&0) {
            let round = allocs.len() as u64 + 1;
            let report = run_round(system, machine, &options, round).expect("the accounting balances");
            assert_eq!(report.seed, PUBLISHED_SEED + allocs.len() as u32);
            assert!(report.metrics.used >= used);
            used = report.metrics.used;
            allocs.push(report.allocs);
        }
        assert_eq!(allocs[0], 16687);
        assert!(allocs.len() > 2, "{allocs:?}");
        system.check().expect("the accounting balances");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn steps_and_interruptions_end_a_round() {
    with_board(64, |system, machine| {
        let mut options = options(system);
        options.ops = 1000;
        let report = run_round(system, machine, &options, 1).expect("the accounting balances");
        assert_eq!((report.end, report.allocs + report.releases, report.failure), (End::Ops, 1000, None));
        system.release_all(options.area);
        machine.interrupt_after.set(Some(500));
        let report = run_round(system, machine, &options, 1).expect("the accounting balances");
        assert_eq!((report.end, report.allocs + report.releases), (End::Interrupted, 500));
        assert!(report.to_string().contains("Ctrl-C"));
        system.release_all(options.area);
        options.stop_at_failure = false;
        options.ops = 50_000;
        let report = run_round(system, machine, &options, 1).expect("the accounting balances");
        assert_eq!((report.end, report.allocs + report.releases + report.failed), (End::Ops, 50_000));
        assert!(report.failed > 0 && report.failure.is_some_and(|failure| failure.pages == 51));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn which_calls_are_timed_changes_nothing_else() {
    with_board(64, |system, machine| {
        let options = options(system);
        let all = run_round(system, machine, &options, 1).expect("the accounting balances");
        system.release_all(options.area);
        let few =
            run_round(system, machine, &Options { timed: 16, ..options.clone() }, 1).expect("the accounting balances");
        assert_eq!((all.allocs, all.releases, all.metrics), (few.allocs, few.releases, few.metrics));
        let timed = |report: &RoundReport| (report.timings().alloc.calls(), report.timings().release.calls());
        assert_eq!((timed(&all), timed(&few)), ((16_688, 16_550), (1043, 1034)));
        assert!(few.to_string().contains(" ns a release (timed=16).\n"), "{few}");
        // The clock advances by 10 ns on each reading: two for each timed call, and the last of the
        // round.
        assert_eq!((all.load_ns, few.load_ns), ((2 * 33_238 + 1) * 10, (2 * 2077 + 1) * 10));
        assert!(all.to_string().contains("  33238 steps in 664770 ns, 49999247 a second.\n"), "{all}");
        assert!(few.record().to_string().ends_with(",\"timed\":16,\"load_ns\":41550}"), "{}", few.record());
        system.release_all(options.area);
        let none =
            run_round(system, machine, &Options { timed: u32::MAX, ..options }, 1).expect("the accounting balances");
        assert!(none.to_string().contains("; none of its calls was timed (timed=4294967295).\n"), "{none}");
    });
}

mod kinds;

#[test]
fn a_rate_spaces_the_steps() {
    const RATE: u32 = 100_000;
    with_board(64, |system, machine| {
        let options = Options { rate: RATE, ops: 40, ..options(system) };
        let report = run_round(system, machine, &options, 1).expect("the accounting balances");
        assert_eq!((report.end, report.steps()), (End::Ops, 40));
        assert!((39 * 10_000..41 * 10_000).contains(&report.load_ns), "{}", report.load_ns);

        system.release_all(options.area);
        machine.interrupt_after.set(Some(100));
        let report = run_round(system, machine, &options, 1).expect("the accounting balances");
        assert_eq!(report.end, End::Interrupted, "while it waits, too");
        assert!(report.steps() < 3, "{}", report.steps());
    });
}

#[test]
fn in_the_background_a_rate_waits_for_nobody() {
    with_board(64, |system, machine| {
        let options = Options { rate: 100_000, ops: 5, ..options(system) };
        let mut round = Round::begin(system, machine, &options, 1);
        round.in_background();
        let mut idle = 0;
        while round.run(system, machine, 1000).expect("the accounting balances") {
            let before = round.steps();
            assert!(round.run(system, machine, 1000).expect("the accounting balances"));
            idle += u32::from(round.steps() == before);
            // Between its turns others use the processor.
            (0..50).for_each(|_| assert!(machine.now_ns() > 0));
        }
        assert_eq!(round.steps(), 5);
        assert!(idle > 5, "most looks find no step due: {idle}");
        let report = round.finish(system);
        assert!((40_000..60_000).contains(&report.load_ns), "what is others' counts, too: {}", report.load_ns);
    });
}
