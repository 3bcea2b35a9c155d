// SPDX-License-Identifier: MIT OR Apache-2.0

//! Plans against a model, and the share of the room that they miss.

mod model;

use alloc::vec;
use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use model::fits_somehow;
use placement::align_order_of;

/// Makes a request of `bits` bits, aligned to 2^`order` bits.
fn request(bits: u32, order: u32) -> Request {
    Request { bits, align_mask: (1 << order) - 1, align_offset: 0 }
}

/// Does all steps together on a map of owners, and checks each of them.
fn follow(owners: &mut [usize], steps: &[Step]) {
    let range = |start: u32, bits: u32| start as usize..(start + bits) as usize;
    let mut moved = vec![];
    for &Step { from, bits, .. } in steps {
        let owner = owners[from as usize];
        assert!(owner != 0 && owners[range(from, bits)].iter().all(|&found| found == owner), "a whole buffer moves");
        owners[range(from, bits)].fill(0);
        moved.push(owner);
    }
    for (&Step { to, bits, .. }, owner) in steps.iter().zip(moved) {
        assert!(owners[range(to, bits)].iter().all(|&found| found == 0), "its target is free, or others leave it");
        owners[range(to, bits)].fill(owner);
    }
    assert!(steps.is_sorted_by(|a, b| a.to < b.to), "steps are sorted by target");
}

/// True if requests fit in the free bits of a map of at most 64 bits; tries every arrangement.
fn fits_by_trial(bits: u32, taken: u64, requests: &mut [Request]) -> bool {
    fn rest_fits(bits: u32, taken: u64, requests: &[Request], seen: &mut HashSet<(usize, u64)>) -> bool {
        let Some((request, rest)) = requests.split_first() else { return true };
        let mask = (1_u64 << request.bits) - 1;
        seen.insert((rest.len(), taken))
            && (0..=bits - request.bits)
                .step_by(request.align_mask as usize + 1)
                .any(|bit| taken & mask << bit == 0 && rest_fits(bits, taken | mask << bit, rest, seen))
    }
    requests.sort_by_key(|request| core::cmp::Reverse(rank(request)));
    rest_fits(bits, taken, requests, &mut HashSet::new())
}

/// Puts buffers into a map at random places, if they fit.
fn scatter(bits: u32, draws: &[(u32, u32, u32, bool)], own_order: bool) -> (Bitmap, Vec<Movable>, Vec<usize>) {
    let (mut taken, mut fixed) = (Bitmap::new(bits), Bitmap::new(bits));
    let mut movable = vec![];
    let mut owners = vec![0; bits as usize];
    for (number, &(size, order, start, stays)) in draws.iter().enumerate() {
        let request = request(size, if own_order { align_order_of(size) } else { order });
        let Some(bit) = taken.first_fit(&request, start % bits).or_else(|| taken.first_fit(&request, 0)) else {
            continue;
        };
        taken.set(bit, size);
        owners[bit as usize..(bit + size) as usize].fill(number + 1);
        if stays { fixed.set(bit, size) } else { movable.push(Movable::new(bit, request)) }
    }
    movable.sort_by_key(|buffer| buffer.bit);
    (fixed, movable, owners)
}

fn draws(most: usize) -> impl Strategy<Value = Vec<(u32, u32, u32, bool)>> {
    let draw = (prop_oneof![1..5u32, 1..20u32, 1..60u32], 0..6u32, any::<u32>(), prop::bool::weighted(0.2));
    prop::collection::vec(draw, 1..if cfg!(miri) { 4 } else { most })
}

proptest! {
    #![proptest_config(property::config(2000))]

    /// With any fixed bits and any alignments, every buffer arrives whole and aligned, and there is
    /// room.
    #[test]
    fn plans_do_what_they_promise(
        draws in draws(80), own_order in any::<bool>(), bits in 1..60u32, order in 0..7u32, size in 200..800u32
    ) {
        let (fixed, movable, mut owners) = scatter(size, &draws, own_order);
        let before = owners.clone();
        let wanted = request(bits, if own_order { align_order_of(bits) } else { order });
        if let Ok((bit, steps)) = Planner::new(fixed.clone(), movable.clone()).make_room(&wanted) {
            follow(&mut owners, &steps);
            prop_assert!(bit & wanted.align_mask == 0 && bit + bits <= size);
            prop_assert!(owners[bit as usize..(bit + bits) as usize].iter().all(|&owner| owner == 0));
            for owner in 1..=draws.len() {
                let first = |owners: &[usize]| owners.iter().position(|&found| found == owner);
                let count = |owners: &[usize]| owners.iter().filter(|&&found| found == owner).count();
                prop_assert_eq!(count(&owners), count(&before));
                if let (Some(from), Some(to)) = (first(&before), first(&owners)) {
                    match movable.iter().find(|buffer| buffer.bit == from as u32) {
                        Some(buffer) => prop_assert_eq!(to as u32 & buffer.request.align_mask, 0),
                        None => prop_assert_eq!(from, to, "what stays stays"),
                    }
                }
            }
        }
    }

    /// With buffers aligned by their order, all of them movable, room is found if any arrangement
    /// has it.
    #[test]
    fn room_is_found_where_there_is_any(draws in draws(80), bits in 1..60u32) {
        let draws: Vec<_> = draws.into_iter().map(|(size, order, start, _)| (size, order, start, false)).collect();
        let (fixed, movable, _) = scatter(512, &draws, true);
        let wanted = request(bits, align_order_of(bits));
        let mut all: Vec<Request> = movable.iter().map(|buffer| buffer.request).collect();
        all.push(wanted);
        let found = Planner::new(fixed, movable).make_room(&wanted);
        prop_assert_eq!(found.is_ok(), fits_somehow(512, &all));
        prop_assert_ne!(found, Err(NoRoom::NotFound), "it is known that there is none");
    }

    /// Room is also found if alignments are capped, as in Linux, and buffers may be longer.
    #[test]
    fn room_is_found_under_a_cap(
        draws in draws(40), long in 1..4u32, cap in 3..7u32, bits in 1..250u32
    ) {
        let order_of = |bits: u32| align_order_of(bits).min(cap);
        let draw = |(size, _, start, _): (u32, u32, u32, bool)| {
            let size = size * if start % 3 == 0 { long } else { 1 };
            (size, order_of(size), start, false)
        };
        let draws: Vec<_> = draws.into_iter().map(draw).collect();
        let (fixed, movable, _) = scatter(512, &draws, false);
        let wanted = request(bits, order_of(bits));
        let largest = movable.iter().map(|buffer| buffer.request.align_mask).chain([wanted.align_mask]).max();
        let mut all: Vec<Request> = movable.iter().map(|buffer| buffer.request).collect();
        all.push(wanted);
        prop_assert!(all.iter().all(|request| request.bits <= request.align_mask + 1 || Some(request.align_mask) == largest));
        let found = Planner::new(fixed, movable).make_room(&wanted);
        prop_assert_eq!(found.is_ok(), fits_somehow(512, &all));
        prop_assert_ne!(found, Err(NoRoom::NotFound), "it is known that there is none");
    }

    /// Without alignment, and with all buffers movable, enough free pages suffice.
    #[test]
    fn without_alignment_free_pages_are_enough(draws in draws(80), bits in 1..60u32) {
        let draws: Vec<_> = draws.into_iter().map(|(size, _, start, _)| (size, 0, start, false)).collect();
        let (fixed, movable, _) = scatter(512, &draws, false);
        let used: u32 = movable.iter().map(|buffer| buffer.request.bits).sum();
        let found = Planner::new(fixed, movable).make_room(&request(bits, 0)).is_ok();
        prop_assert_eq!(found, bits <= 512 - used);
    }
}

#[test]
fn the_cheapest_window_is_chosen() {
    // Three blocks of 8: the first holds 4 pages, the second 3, the third 1 that must stay. No
    // block is free.
    let mut fixed = Bitmap::new(32);
    fixed.set(20, 1);
    let movable = vec![Movable::new(4, request(4, 2)), Movable::new(12, request(3, 2))];
    let mut all = fixed.clone();
    all.set(24, 8);
    let planner = Planner::new(all, movable.clone());
    let (bit, steps) = planner.make_room(&request(8, 3)).expect("there is room");
    assert_eq!((bit, steps), (8, vec![Step { from: 12, to: 16, bits: 3 }]));
    // If there is room, nothing moves.
    let planner = Planner::new(fixed, movable);
    assert_eq!(planner.make_room(&request(8, 3)), Ok((24, vec![])));
}

/// A map that `room_is_found_where_there_is_any` generated, 464 of 512 pages full: a window of 18
/// pages can be emptied only if two of the buffers exchange places.
#[test]
fn buffers_change_places_where_nothing_else_helps() {
    #[rustfmt::skip]
    let buffers = [
        (0, 41), (41, 1), (42, 2), (44, 4), (48, 1), (52, 3), (56, 3), (60, 3), (64, 35), (100, 3), (104, 2), (106, 2),
        (108, 3), (112, 9), (124, 4), (128, 43), (171, 1), (172, 3), (176, 5), (182, 2), (184, 2), (192, 25), (218, 2),
        (220, 3), (224, 17), (248, 5), (256, 49), (308, 2), (312, 5), (320, 41), (364, 4), (368, 9), (384, 29), (416, 9),
        (428, 3), (432, 13), (446, 2), (448, 53), (501, 1), (504, 3), (508, 3),
    ];
    let movable: Vec<_> = buffers.map(|(bit, bits)| Movable::new(bit, request(bits, align_order_of(bits)))).into();
    let mut owners = vec![0; 512];
    for (number, (bit, bits)) in buffers.into_iter().enumerate() {
        owners[bit as usize..(bit + bits) as usize].fill(number + 1);
    }
    let (bit, steps) = Planner::new(Bitmap::new(512), movable).make_room(&request(18, 5)).expect("there is room");
    follow(&mut owners, &steps);
    assert!(bit % 32 == 0 && owners[bit as usize..bit as usize + 18].iter().all(|&owner| owner == 0));
    // In any order of the steps, at least one finds its target in use.
    let mut waiting = steps;
    let overlap = |step: &Step, other: &Step| step.to < other.from + other.bits && other.from < step.to + step.bits;
    while let Some(done) =
        waiting.iter().position(|step| waiting.iter().all(|other| other == step || !overlap(step, other)))
    {
        waiting.remove(done);
    }
    assert!(!waiting.is_empty());
}

/// A last block that the end of the area cuts short serves a request that fits in it.
#[test]
fn the_last_block_may_be_short() {
    let movable = vec![Movable::new(0, request(40, 6)), Movable::new(64, request(2, 1))];
    let planner = Planner::new(Bitmap::new(96), movable);
    assert_eq!(planner.make_room(&request(30, 6)), Ok((64, vec![Step { from: 64, to: 94, bits: 2 }])));
}

/// In small areas with room for a request but no hole, room is mostly found; the model tries every
/// arrangement.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn most_of_the_room_in_mixtures_is_found() {
    // The alignment order by size or at random, the percentage of buffers that stay, and the most
    // areas of 1000 that are missed.
    let own = |size: u32, _: u32| align_order_of(size);
    let page = |_: u32, _: u32| 0;
    let any = |_: u32, order: u32| order;
    type OrderOf = fn(u32, u32) -> u32;
    let mixtures: [(OrderOf, u32, u32); 4] = [(own, 15, 0), (page, 15, 0), (any, 0, 10), (any, 15, 9)];
    for (order_of, stay, most) in mixtures {
        let mut rng = fastrand::Rng::with_seed(1);
        let (mut with_room, mut missed) = (0, 0);
        while with_room < 1000 {
            let bits = 8 * rng.u32(3..=6);
            let mut taken = Bitmap::new(bits);
            let (mut fixed, mut fixed_mask) = (Bitmap::new(bits), 0);
            let mut movable = vec![];
            for _ in 0..rng.u32(4..16) {
                let below = rng.u32(3..20);
                let size = rng.u32(1..below);
                let request = request(size, order_of(size, rng.u32(0..5)));
                let start = rng.u32(0..bits);
                let Some(bit) = taken.first_fit(&request, start) else { continue };
                taken.set(bit, size);
                if rng.u32(0..100) < stay {
                    fixed.set(bit, size);
                    fixed_mask |= ((1 << size) - 1) << bit;
                } else {
                    movable.push(Movable::new(bit, request));
                }
            }
            movable.sort_by_key(|buffer| buffer.bit);
            let size = rng.u32(1..20);
            let wanted = request(size, order_of(size, rng.u32(0..5)));
            if size > taken.free() || taken.first_fit(&wanted, 0).is_some() {
                continue;
            }
            let mut all: Vec<Request> = movable.iter().map(|buffer| buffer.request).chain([wanted]).collect();
            let room = fits_by_trial(bits, fixed_mask, &mut all);
            let found = Planner::new(fixed, movable).make_room(&wanted);
            assert!(room || found.is_err(), "no plan is made where there is no room");
            assert!(!room || found != Err(NoRoom::Full), "there is room");
            with_room += u32::from(room);
            missed += u32::from(room && found.is_err());
        }
        assert!(missed <= most, "{missed} of {with_room} missed where {stay} % stay");
    }
}
