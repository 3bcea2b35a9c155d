// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;
use board_mock::with_board;
use proptest::prelude::*;
use std::vec::Vec;

/// A window: its page, cost and buffers.
type Emptied = (u32, u32, Vec<(u32, u32)>);

/// Returns the cheapest windows by a plain search over every aligned page.
fn plain(pages: u32, align_order: u32, area: (u32, u32), held: &[(u32, u32)]) -> Vec<Emptied> {
    let (base, area_pages) = area;
    let mut found: Vec<Emptied> = Vec::new();
    for page in 0..area_pages {
        if !(base + page).is_multiple_of(1 << align_order) || page + pages > area_pages {
            continue;
        }
        let inside: Vec<(u32, u32)> =
            held.iter().copied().filter(|&(first, length)| first < page + pages && page < first + length).collect();
        if found.last().is_none_or(|last| last.2 != inside) {
            found.push((page, inside.iter().map(|buffer| buffer.1).sum(), inside));
        }
    }
    found.sort_by_key(|window| (window.1, window.0));
    found.truncate(WINDOWS);
    found
}

proptest! {
    #![proptest_config(property::config(64))]

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn the_cheapest_are_those_of_a_plain_search(
        sizes in proptest::collection::vec((1u32..300, 0..=8u32, 0..4u32), 1..60),
        pages in 1u32..2200,
        align_order in 0..=9u32,
    ) {
        with_board(64, |system, _| {
            let id = system.find_area("BiscuitOS_cma").expect("the board has it");
            let mut held = Vec::new();
            for (place, &(pages, align_order, kind)) in sizes.iter().enumerate() {
                if let Ok(buffer) = system.cma_alloc(id, pages, align_order) {
                    held.push((buffer.first().0 - system.area(id).base().0, buffer, kind == 0, place));
                }
            }
            // Some are released as gaps; the others stay in the registry.
            let mut kept = Vec::new();
            for (page, buffer, gap, _) in held {
                if gap {
                    system.cma_release(buffer).expect("it was held");
                } else {
                    kept.push((page, buffer.pages()));
                    system.keep(buffer);
                }
            }
            kept.sort_unstable();
            let area = (system.area(id).base().0, system.area(id).pages());
            let expected = plain(pages, align_order, area, &kept);
            let found: Vec<Window> = windows(system, id, pages, align_order).into_iter().flatten().collect();
            let inside = |window: &Window| {
                window.obstacles(system, id).map(|buffer| (buffer.page, buffer.pages)).collect::<Vec<_>>()
            };
            let told: Vec<_> = found.iter().map(|window| (window.page, window.cost, inside(window))).collect();
            assert_eq!(told, expected);
            assert!(found.iter().all(|window| window.buffers as usize == window.obstacles(system, id).count()));
            let map = system.area(id).bitmap();
            let used = |window: &Window| (window.page..window.end()).filter(|&bit| map.is_set(bit)).count();
            assert!(found.iter().all(|window| window.used as usize == used(window)));
            system.release_all(id);
        });
    }
}

#[test]
fn pages_that_nobody_wrote_down_are_an_obstacle_too() {
    with_board(64, |system, _| {
        let id = system.find_area("BiscuitOS_cma").expect("the board has it");
        let mine = system.cma_alloc(id, 100, 0).expect("room");
        let theirs = system.cma_alloc(id, 20, 0).expect("room");
        let rest = system.cma_alloc(id, 1928, 0).expect("room");
        let kept = system.keep(theirs);
        // Windows begin at multiples of 16 pages, 0 to 48, and hold the same three buffers.
        let [Some(cheapest), None, None] = windows(system, id, 2000, 4) else { panic!("one window") };
        assert_eq!((cheapest.page, cheapest.cost, cheapest.buffers), (0, 2048, 3));
        assert_eq!(windows(system, id, 2049, 0), [None; 3]);
        let inside: Vec<Holder> = cheapest.obstacles(system, id).map(|buffer| buffer.holder).collect();
        assert_eq!(inside, [Holder::Other, Holder::Kept(kept), Holder::Other]);
        for buffer in [mine, rest] {
            system.cma_release(buffer).expect("it was held");
        }
        system.release_all(id);
    });
}
