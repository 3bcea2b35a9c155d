//! Plans against a model, and what they cost.

mod model;

use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::align_order_of;
use model::fits_somehow;

/// A request as drivers make them, or of page alignment.
fn request(bits: u32, order: u32) -> Request {
    Request { bits, align_mask: (1 << order) - 1, align_offset: 0 }
}

/// Does the steps on a map of owners, and checks each against what it promises.
fn follow(owners: &mut [usize], steps: &[Step]) {
    for &Step { from, to, bits } in steps {
        let (from, to, bits) = (from as usize, to as usize, bits as usize);
        let owner = owners[from];
        assert!(owner != 0 && owners[from..from + bits].iter().all(|&found| found == owner), "a whole buffer moves");
        owners[from..from + bits].fill(0);
        assert!(owners[to..to + bits].iter().all(|&found| found == 0), "its target is free");
        assert!(to < from || to >= from + bits, "it slides down only");
        owners[to..to + bits].fill(owner);
    }
}

/// Buffers put into a map at random, where they fit.
fn scatter(
    bits: u32,
    draws: &[(u32, u32, u32, bool)],
    own_order: bool,
) -> (Bitmap, vec::Vec<Movable>, vec::Vec<usize>) {
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
        if stays { fixed.set(bit, size) } else { movable.push(Movable { bit, request }) }
    }
    movable.sort_by_key(|buffer| buffer.bit);
    (fixed, movable, owners)
}

fn draws(most: usize) -> impl Strategy<Value = vec::Vec<(u32, u32, u32, bool)>> {
    let draw = (prop_oneof![1..5u32, 1..20u32, 1..60u32], 0..6u32, any::<u32>(), prop::bool::weighted(0.2));
    prop::collection::vec(draw, 1..if cfg!(miri) { 4 } else { most })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 2000 }))]

    /// Whatever stays, and whatever the alignments: every buffer arrives whole and aligned, and there is room.
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

    /// Buffers aligned by their order, all of them movable: room is found wherever any arrangement has it.
    #[test]
    fn room_is_found_where_there_is_any(draws in draws(80), bits in 1..60u32) {
        let draws: vec::Vec<_> = draws.into_iter().map(|(size, order, start, _)| (size, order, start, false)).collect();
        let (fixed, movable, _) = scatter(512, &draws, true);
        let wanted = request(bits, align_order_of(bits));
        let mut all: vec::Vec<Request> = movable.iter().map(|buffer| buffer.request).collect();
        all.push(wanted);
        let found = Planner::new(fixed, movable).make_room(&wanted);
        prop_assert_eq!(found.is_ok(), fits_somehow(512, &all));
        prop_assert_ne!(found, Err(NoRoom::NotFound), "it is known that there is none");
    }

    /// Without alignment, and all of them movable: as many free pages as are wanted are enough.
    #[test]
    fn without_alignment_free_pages_are_enough(draws in draws(80), bits in 1..60u32) {
        let draws: vec::Vec<_> = draws.into_iter().map(|(size, _, start, _)| (size, 0, start, false)).collect();
        let (fixed, movable, _) = scatter(512, &draws, false);
        let used: u32 = movable.iter().map(|buffer| buffer.request.bits).sum();
        let found = Planner::new(fixed, movable).make_room(&request(bits, 0)).is_ok();
        prop_assert_eq!(found, bits <= 512 - used);
    }
}

#[test]
fn the_cheapest_window_is_chosen() {
    // Three blocks of 8: the first holds 4 pages, the second 3, the third 1 that must stay. A pair is free in none.
    let mut fixed = Bitmap::new(32);
    fixed.set(20, 1);
    let movable = vec![Movable { bit: 4, request: request(4, 2) }, Movable { bit: 12, request: request(3, 2) }];
    let mut all = fixed.clone();
    all.set(24, 8);
    let planner = Planner::new(all, movable.clone());
    let (bit, steps) = planner.make_room(&request(8, 3)).expect("there is room");
    assert_eq!((bit, steps), (8, vec![Step { from: 12, to: 16, bits: 3 }]));
    // Where nothing needs to move, nothing does.
    let planner = Planner::new(fixed, movable);
    assert_eq!(planner.make_room(&request(8, 3)), Ok((24, vec![])));
}
