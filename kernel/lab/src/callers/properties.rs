// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random schedules of random systems. A run itself fails if an invariant is violated (accounting
//! at every step, no page twice, none lost, no deadlock). The tests check that every request ends,
//! and that no request fails with -EBUSY under a mutex.

use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::Mutex;

use super::tests::{asking, leave, with_areas};
use super::*;
use experiment::rng::Rng;
use placements::PLACEMENTS;

/// Sums over schedules.
#[derive(Default)]
struct Sums {
    schedules: u64,
    steps: u64,
    served: u64,
    busy: u64,
    failed: u64,
    lost: u64,
    waits: u64,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.schedules += other.schedules;
        self.steps += other.steps;
        self.served += other.served;
        self.busy += other.busy;
        self.failed += other.failed;
        self.lost += other.lost;
        self.waits += other.waits;
    }
}

/// Runs `schedules` schedules, which `seed` determines.
fn random_schedules(seed: u32, schedules: u64) -> Sums {
    let mut rng = Rng::seeded(seed);
    let mut sums = Sums::default();
    while sums.schedules < schedules {
        let areas = 1 + rng.below(2);
        with_areas(areas, 1 + rng.below(2), |system, areas| {
            let placement = PLACEMENTS.iter().nth(rng.below(PLACEMENTS.iter().count() as u32) as usize).unwrap();
            for &area in &areas {
                system.area_mut(area).set_placement((placement.make)(None).unwrap());
            }
            for _ in 0..1000.min(schedules - sums.schedules) {
                let pages = 1 + rng.below(400);
                let setup = Setup {
                    areas: areas.clone(),
                    callers: 2 + rng.below(7) as usize,
                    plan: Plan::Same {
                        pages,
                        align_order: cma::align_order_of(pages),
                        requests: 1 + rng.below(3),
                        kept: rng.below(3) as usize,
                    },
                    lock: Lock::ALL[rng.below(3) as usize],
                    work: 0,
                };
                let order = rng.below(u32::MAX);
                let report = run(system, &setup, &mut Seeded::new(order), false)
                    .unwrap_or_else(|broken| panic!("{broken}: seed {order}, {} {setup:?}", placement.name));
                let sum = |of: fn(&Tally) -> u32| report.tallies.iter().map(|tally| u64::from(of(tally))).sum::<u64>();
                let (served, busy, failed) =
                    (sum(|tally| tally.served), sum(|tally| tally.busy), sum(|tally| tally.failed));
                let Plan::Same { requests, .. } = setup.plan else { unreachable!() };
                assert_eq!(served + busy + failed, setup.callers as u64 * u64::from(requests), "{order} {setup:?}");
                assert!(setup.lock == Lock::None || busy == 0, "{order} {} {setup:?} {report:?}", placement.name);
                sums.schedules += 1;
                sums.steps += u64::from(report.steps);
                (sums.served, sums.busy, sums.failed) = (sums.served + served, sums.busy + busy, sums.failed + failed);
                sums.lost += sum(|tally| tally.isolated_by.iter().sum());
                sums.waits += sum(|tally| tally.waits_for(WaitFor::Contig).times);
            }
        });
    }
    sums
}

fn tell(sums: &Sums) {
    let Sums { schedules, steps, served, busy, failed, lost, waits } = sums;
    std::println!(
        "{schedules} schedules, {steps} steps: {served} requests served, {busy} -EBUSY, {failed} without room; {lost} \
         ranges lost to another's isolation, {waits} waits for a mutex"
    );
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn random_schedules_hold() {
    let sums = random_schedules(1, 3000);
    tell(&sums);
    assert!(sums.served > 0 && sums.busy > 0 && sums.failed > 0 && sums.lost > 0 && sums.waits > 0);
}

/// Runs every schedule of `callers` callers with one request each, for 8 of the `free` pages of an
/// area; returns the number of schedules.
fn every_schedule_of(placement: &placements::Entry, callers: usize, free: u32, lock: Lock, switches: usize) -> u64 {
    with_areas(1, 1, |system, areas| {
        let rest = leave(system, areas[0], free);
        system.area_mut(areas[0]).set_placement((placement.make)(None).unwrap());
        let setup = asking(&areas, callers, lock, (8, 3), (1, 1));
        let schedules = every_schedule(switches, |schedule| run(system, &setup, &mut Forced(schedule), true));
        let schedules = schedules.unwrap_or_else(|(schedule, broken)| panic!("{broken}: {schedule:?} {setup:?}"));
        system.cma_release(rest).unwrap();
        schedules
    })
}

/// No limit of switches.
const ALL: usize = usize::MAX;

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn every_schedule_of_two_callers_holds() {
    let first_fit = PLACEMENTS.iter().next().unwrap();
    for lock in Lock::ALL {
        let schedules = every_schedule_of(first_fit, 2, 16, lock, ALL);
        std::println!("{}: {schedules} schedules", lock.name());
        assert!(schedules > 10);
    }
}

/// `make schedules`: every schedule of two callers, those of three with up to two switches under
/// no lock and all of them under a mutex, under every placement with 16 to 64 pages free.
#[test]
#[ignore = "minutes"]
fn every_schedule_of_few_callers_holds() {
    let mut all = 0;
    for placement in PLACEMENTS.iter() {
        let mut every = 0;
        for free in [16, 32, 64] {
            for lock in Lock::ALL {
                every += every_schedule_of(placement, 2, free, lock, ALL);
                let switches = if lock == Lock::None { 2 } else { ALL };
                every += every_schedule_of(placement, 3, free, lock, switches);
            }
        }
        std::println!("{}: {every} schedules", placement.name);
        all += every;
    }
    std::println!("{all} schedules");
    assert!(all > 10_000);
}

/// `make schedules`
#[test]
#[ignore = "minutes"]
fn a_million_random_schedules_hold() {
    let next = AtomicU32::new(0);
    let all = Mutex::new(Sums::default());
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let number @ 0..100 = next.fetch_add(1, Ordering::Relaxed) {
                    let sums = random_schedules(1 + number, 10_000);
                    let mut all = all.lock().unwrap();
                    all.add(&sums);
                    tell(&all);
                }
            });
        }
    });
    assert_eq!(all.lock().unwrap().schedules, 1_000_000);
}
