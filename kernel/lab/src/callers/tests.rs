// SPDX-License-Identifier: MIT OR Apache-2.0

//! Callers on small systems, in every order and in many random ones; and the published case.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use migration::live::mock::MockSpace;
use page_alloc::Page;
use page_alloc::policy::{CmaUse, Lend};
use page_alloc::zone::{Zone, descriptors};
use placements::PLACEMENTS;

const START: Pfn = Pfn(0x60000);

/// A system with two pageblocks of RAM and areas of `blocks` pageblocks each behind them.
fn with_areas<R>(areas: u32, blocks: u32, test: impl FnOnce(&mut System<'_>, Vec<AreaId>) -> R) -> R {
    let mut pages = vec![Page::default(); descriptors((2 + areas * blocks) * PAGEBLOCK_PAGES)];
    let mut zone = Zone::new(START, &mut pages);
    zone.free_range(START, 2 * PAGEBLOCK_PAGES);
    let mut system = System::new(zone, Vec::new());
    system.set_address_space(Box::new(MockSpace::default()));
    let base = |area| START.add((2 + area * blocks) * PAGEBLOCK_PAGES);
    let ids = (0..areas)
        .map(|area| system.activate_area("area".to_string(), base(area), blocks * PAGEBLOCK_PAGES, area == 0))
        .collect();
    system.open_live(CmaUse::Half, Lend::None).unwrap();
    test(&mut system, ids)
}

/// Leaves only the first `free` pages of an area.
fn leave(system: &mut System<'_>, area: AreaId, free: u32) -> Buffer {
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
    Setup { areas: areas.to_vec(), callers, pages, align_order: 0, requests: 1, kept: 1, lock }
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
                // One switch more where it matters most.
                let switches = switches
                    + usize::from(placement.name == "first-fit" && callers == 2 && free == 16 && lock == Lock::None);
                with_areas(1, 1, |system, areas| {
                    let rest = leave(system, areas[0], free);
                    system.area_mut(areas[0]).set_placement((placement.make)(None).unwrap());
                    let area = system.area(areas[0]);
                    // A placement may keep requests of this size elsewhere.
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
        for seed in 0..300 {
            for lock in Lock::ALL {
                let setup = Setup { requests: 4, kept: 2, ..setup(&areas, 8, 1 + seed % 200, lock) };
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
        // Pieces of 128 pages are free, and room for 148 only in the last two pageblocks.
        let area = areas[0];
        let pieces: Vec<_> = (0..78 * 8).map(|_| system.cma_alloc(area, 128, 0).unwrap()).collect();
        let mut give = |number: usize, pages| {
            system.cma_release(Buffer::new(area, pieces[number].first(), pages)).unwrap();
        };
        (0..243).for_each(|number| give(2 * number, 128));
        give(490, 9);
        assert_eq!((system.area(area).pages(), system.area(area).free_pages()), (81_920, 33_161));
        let orders = |lock, system: &mut System<'_>| {
            let setup = Setup { requests: 3, kept: 0, align_order: 8, ..setup(&areas, 8, 148, lock) };
            run(system, &setup, &mut Seeded::new(1), false).unwrap()
        };
        let without = orders(Lock::None, system);
        assert!(busy(&without) > 0, "{without:?}");
        let blamed: u32 = without.tallies.iter().flat_map(|tally| &tally.isolated_by).sum();
        assert!(blamed >= busy(&without));
        for lock in [Lock::Global, Lock::Area] {
            let with = orders(lock, system);
            assert_eq!((served(&with), busy(&with)), (24, 0), "{lock:?}");
            assert!(with.tallies.iter().any(|tally| tally.longest_wait > 0));
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn callers_of_two_areas_wait_for_each_other_only_under_the_global_lock() {
    with_areas(2, 1, |system, areas| {
        let waits = |lock, system: &mut System<'_>| {
            let report = run(system, &setup(&areas, 2, 8, lock), &mut RoundRobin, false).unwrap();
            report.tallies.iter().map(|tally| tally.wait_steps).sum::<u32>()
        };
        assert!(waits(Lock::Global, system) > 0);
        assert_eq!((waits(Lock::Area, system), waits(Lock::None, system)), (0, 0));
    });
}
