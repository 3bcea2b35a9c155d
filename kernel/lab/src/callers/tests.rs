// SPDX-License-Identifier: MIT OR Apache-2.0

//! Callers on small systems, in every order and in many random ones; and the published case.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::pressure::latency::{Filling, fill_areas};
use cma::Buffer;
use migration::live::mock::MockSpace;
use page_alloc::policy::{CmaUse, Lend};
use page_alloc::zone::{Zone, descriptors};
use page_alloc::{PAGEBLOCK_PAGES, Page};
use placements::PLACEMENTS;

const START: Pfn = Pfn(0x60000);

/// Calls `test` with two pageblocks of RAM, followed by areas of `blocks` pageblocks each.
pub(super) fn with_areas<R>(areas: u32, blocks: u32, test: impl FnOnce(&mut System<'_>, Vec<AreaId>) -> R) -> R {
    with_ram(2, areas, blocks, |system, areas| {
        system.open_live(CmaUse::Half, Lend::None).unwrap();
        test(system, areas)
    })
}

/// Makes a system like `with_areas`, with `ram` pageblocks of RAM, and no users of memory.
fn with_ram<R>(ram: u32, areas: u32, blocks: u32, test: impl FnOnce(&mut System<'_>, Vec<AreaId>) -> R) -> R {
    let mut pages = vec![Page::default(); descriptors((ram + areas * blocks) * PAGEBLOCK_PAGES)];
    let mut zone = Zone::new(START, &mut pages);
    zone.free_range(START, ram * PAGEBLOCK_PAGES);
    let mut system = System::new(zone, Vec::new());
    system.set_address_space(Box::new(MockSpace::default()));
    let base = |area| START.add((ram + area * blocks) * PAGEBLOCK_PAGES);
    let ids = (0..areas)
        .map(|area| system.activate_area("area".to_string(), base(area), blocks * PAGEBLOCK_PAGES, area == 0))
        .collect();
    test(&mut system, ids)
}

/// Leaves only the first `free` pages of an area free.
pub(super) fn leave(system: &mut System<'_>, area: AreaId, free: u32) -> Buffer {
    let pages = system.area(area).pages();
    let all = system.cma_alloc(area, pages, 0).unwrap();
    let first = all.first();
    system.cma_release(all).unwrap();
    let head = system.cma_alloc(area, free, 0).unwrap();
    let rest = system.cma_alloc(area, pages - free, 0).unwrap();
    assert_eq!((head.first(), rest.first()), (first, first.add(free)));
    system.cma_release(head).unwrap();
    rest
}

fn setup(areas: &[AreaId], callers: usize, pages: u32, lock: Lock) -> Setup {
    asking(areas, callers, lock, (pages, 0), (1, 1))
}

/// Makes a setup: each caller makes `requests` requests of `pages` pages, and keeps `kept` buffers.
pub(super) fn asking(
    areas: &[AreaId],
    callers: usize,
    lock: Lock,
    (pages, align_order): (u32, u32),
    (requests, kept): (u32, usize),
) -> Setup {
    Setup { areas: areas.to_vec(), callers, plan: Plan::Same { pages, align_order, requests, kept }, lock, work: 0 }
}

fn served(report: &Report) -> u32 {
    report.tallies.iter().map(|tally| tally.served).sum()
}

fn busy(report: &Report) -> u32 {
    report.tallies.iter().map(|tally| tally.busy).sum()
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn every_order_of_small_systems_keeps_the_books() {
    let mut schedules = 0;
    for placement in PLACEMENTS.iter() {
        for (callers, free, switches) in [(2, 16, 2), (2, 64, 2), (3, 16, 1), (3, 64, 1)] {
            for lock in Lock::ALL {
                // One switch more for the most important case.
                let switches = switches
                    + usize::from(placement.name == "first-fit" && callers == 2 && free == 16 && lock == Lock::None);
                with_areas(1, 1, |system, areas| {
                    let rest = leave(system, areas[0], free);
                    system.area_mut(areas[0]).set_placement((placement.make)(None).unwrap());
                    let area = system.area(areas[0]);
                    // A placement may not use the free pages for requests of this size.
                    let fits = area.place(&area.request(8, 0).unwrap()).is_some();
                    let setup = setup(&areas, callers, 8, lock);
                    schedules += every_schedule(switches, |switches| {
                        let report = run(system, &setup, &mut Forced(switches), true)?;
                        let room = (free / 8).min(callers as u32);
                        if lock == Lock::None {
                            assert_eq!(served(&report) >= 1, fits, "{} {switches:?} {report:?}", placement.name);
                        } else {
                            let lost = placement.name == "first-fit" && served(&report) != room;
                            assert!(!lost && busy(&report) == 0, "{} {lock:?} {report:?}", placement.name);
                        }
                        assert_eq!(system.area(areas[0]).free_pages(), free);
                        Ok(report)
                    })
                    .unwrap();
                    system.cma_release(rest).unwrap();
                });
            }
        }
    }
    assert!(schedules > 5_000, "{schedules}");
    std::println!("{schedules} schedules");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn random_orders_of_a_large_system_keep_the_books() {
    with_areas(2, 2, |system, areas| {
        for seed in 0..100 {
            for lock in Lock::ALL {
                let setup = asking(&areas, 8, lock, (1 + seed % 200, 0), (4, 2));
                let report = run(system, &setup, &mut Seeded::new(seed), false).unwrap();
                let all: u32 = report.tallies.iter().map(|tally| tally.served + tally.busy + tally.failed).sum();
                assert_eq!(all, 32);
                assert_eq!(report, run(system, &setup, &mut Seeded::new(seed), false).unwrap());
            }
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn eight_decoders_are_told_busy_only_without_a_lock() {
    with_areas(1, 80, |system, areas| {
        // Pieces of 128 pages are free; only the last two pageblocks have room for 148.
        let area = areas[0];
        let pieces: Vec<_> = (0..78 * 8).map(|_| system.cma_alloc(area, 128, 0).unwrap()).collect();
        let mut give = |number: usize, pages| {
            system.cma_release(Buffer::new(area, pieces[number].first(), pages)).unwrap();
        };
        (0..243).for_each(|number| give(2 * number, 128));
        give(490, 9);
        assert_eq!((system.area(area).pages(), system.area(area).free_pages()), (81_920, 33_161));
        let orders = |lock, system: &mut System<'_>| {
            let setup = asking(&areas, 8, lock, (148, 8), (3, 0));
            run(system, &setup, &mut Seeded::new(1), false).unwrap()
        };
        let without = orders(Lock::None, system);
        assert!(busy(&without) > 0, "{without:?}");
        let blamed: u32 = without.tallies.iter().flat_map(|tally| &tally.isolated_by).sum();
        assert!(blamed >= busy(&without));
        for lock in [Lock::Global, Lock::Area] {
            let with = orders(lock, system);
            assert_eq!((served(&with), busy(&with)), (24, 0), "{lock:?}");
            assert!(with.tallies.iter().any(|tally| tally.waits_for(WaitFor::Contig).longest_steps > 0));
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn callers_of_two_areas_wait_for_each_other_only_under_the_global_lock() {
    with_areas(2, 1, |system, areas| {
        let waits = |lock, system: &mut System<'_>| {
            let report = run(system, &setup(&areas, 2, 8, lock), &mut RoundRobin, false).unwrap();
            report.tallies.iter().map(|tally| tally.waits_for(WaitFor::Contig).steps).sum::<u32>()
        };
        assert!(waits(Lock::Global, system) > 0);
        assert_eq!((waits(Lock::Area, system), waits(Lock::None, system)), (0, 0));
    });
}

/// Areas are full of pages in use, which the callers take turns to move or drop.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn callers_of_full_areas_move_what_is_in_the_way_in_turns() {
    with_ram(6, 2, 1, |system, areas| {
        for (seed, filling) in (0..).zip([Filling::Movable, Filling::Clean, Filling::Mixed].repeat(4)) {
            for lock in Lock::ALL {
                let setup = asking(&areas, 4, lock, (100, 0), (2, 1));
                let report = run_filled(system, &setup, filling, &mut Seeded::new(seed), false).unwrap();
                let moved: u32 = report.tallies.iter().map(|tally| tally.migrated).sum();
                let dropped: u32 = report.tallies.iter().map(|tally| tally.dropped).sum();
                assert_eq!((moved > 0, dropped > 0), (filling != Filling::Clean, filling != Filling::Movable));
                if lock == Lock::Global {
                    assert_eq!((served(&report), busy(&report)), (8, 0), "{filling:?} {report:?}");
                }
            }
        }
    });
}

/// Allocations that fail for lack of a target page put back the pages that they have moved, in
/// every interleaving of their batches.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn interleaved_failures_are_undone() {
    with_ram(6, 2, 1, |system, areas| {
        let mut undone = 0;
        for seed in 0..40 {
            let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
            fill_areas(&mut mm, Filling::Movable).unwrap();
            mm.set_policy(CmaUse::Half, Lend::Movable);
            mm.drain_lists();
            let ids: Vec<_> = mm.process_ids();
            let frames = |mm: &migration::live::Mm<'_, '_>| {
                let pages = |&id| (0..mm.process(id).unwrap().pages()).map(move |page| (id, page));
                ids.iter().flat_map(pages).map(|(id, page)| mm.frame_of(id, page)).collect::<Vec<_>>()
            };
            let before = frames(&mm);
            mm.live.faults.targets_left = Some(seed);
            let setup = asking(&areas, 4, Lock::None, (100, 0), (1, 0));
            let report = run(system, &setup, &mut Seeded::new(seed), false).unwrap();
            undone += report.tallies.iter().map(|tally| tally.failed + tally.busy).sum::<u32>();
            assert_eq!(served(&report), 0);
            let mut mm = system.mm().unwrap();
            mm.live.faults.targets_left = None;
            assert_eq!((frames(&mm) == before, mm.verify_contents()), (true, 0), "seed {seed}");
            system.check().unwrap();
            system.close_live();
        }
        assert_eq!(undone, 160);
    });
}

/// The first caller's driver holds a mutex that a work item takes, too: under every lock some order
/// deadlocks, and its schedule repeats it.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_lock_order_that_deadlocks_is_found_and_repeats() {
    with_areas(1, 1, |system, areas| {
        for lock in Lock::ALL {
            let setup = Setup { work: 1, ..asking(&areas, 2, lock, (512, 9), (1, 1)) };
            let mut found = None;
            every_schedule(2, |schedule| {
                let report = run(system, &setup, &mut Forced(schedule), true)?;
                if !report.deadlock.is_empty() {
                    found.get_or_insert_with(|| (schedule.to_vec(), report.clone()));
                }
                Ok(report)
            })
            .unwrap();
            let (schedule, report) = found.expect("an order that deadlocks");
            assert!(report.deadlock.iter().any(|stuck| stuck.caller == 2 && stuck.holder == Some(0)), "{report:?}");
            assert_eq!(run(system, &setup, &mut Forced(&schedule), true).unwrap(), report);
            // Without such a mutex the driver is not stuck.
            let report = run(system, &Setup { work: 0, ..setup }, &mut Forced(&schedule), false).unwrap();
            assert!(report.deadlock.is_empty() && served(&report) + busy(&report) == 2, "{report:?}");
        }
    });
}

/// A wait for a mutex counts once each time that the caller takes it, regardless of how often
/// others take it first.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_wait_lasts_until_the_caller_has_the_mutex() {
    with_areas(1, 1, |system, areas| {
        let mut longest = 0;
        for seed in 0..50 {
            let setup = setup(&areas, 6, 8, Lock::Global);
            let report = run(system, &setup, &mut Seeded::new(seed), true).unwrap();
            for (number, tally) in report.tallies.iter().enumerate() {
                let waits = tally.waits_for(WaitFor::Contig);
                assert!(waits.times <= tally.served + tally.busy + tally.failed + tally.retries, "{tally:?}");
                // One request: no wait is longer than from the search to the caller's next step.
                let mut own = report.story.iter().enumerate().filter(|(_, record)| record.caller == number);
                let (reserves, takes) = (own.next().unwrap().0, own.next().unwrap().0);
                assert!(waits.longest_steps as usize <= takes - reserves, "{seed} {number}: {waits:?}");
                longest = longest.max(waits.longest_steps);
            }
        }
        assert!(longest > 10, "{longest}");
    });
}

/// An accounting error ends the run, and the callers' buffers and journals are released.
#[test]
fn a_run_that_breaks_gives_its_journals_back() {
    with_areas(1, 1, |system, areas| {
        // A page in use inside a free block.
        let last = system.area(areas[0]).base().add(system.area(areas[0]).pages() - 1);
        let frame = system.zone().frame(last);
        system.zone_mut().bring_to_life(frame, 0, 0, page_alloc::lru::Place::None);
        let free = system.zone().nr_free_pages();
        let setup = setup(&areas, 3, 8, Lock::None);
        let broken = run(system, &setup, &mut RoundRobin, false).unwrap_err();
        assert!(matches!(broken, Broken::Books(_)), "{broken}");
        assert_eq!(system.zone().nr_free_pages(), free);
    });
}
