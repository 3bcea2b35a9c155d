// SPDX-License-Identifier: MIT OR Apache-2.0
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::bitmap::Bitmap;

/// A step of a history: at a share of the bitmap, a length, and whether the free run or the buffer
/// there is taken to its end.
type Step = (u32, u32, bool);

/// Bits that lie on both sides of the borders of nodes and groups, or anywhere.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at =
        prop_oneof![0..20_000u32, (0..80u32, 0..4u32).prop_map(|(node, bit)| (node * 256 + bit).saturating_sub(2))];
    let length = prop_oneof![1..4u32, 1..70u32, 200..300u32, 1..6_000u32];
    prop::collection::vec((at, length, any::<bool>()), 1..if cfg!(miri) { 6 } else { 90 })
}

/// Turns bits from `at` on over, `length` of them at most, which all are set or all are clear.
fn turn(map: &mut Bitmap, (at, length, to_the_end): Step) {
    let at = at % map.bits();
    let end = if map.is_set(at) { map.next_clear(at).unwrap_or(map.bits()) } else { map.next_set(at) };
    let count = if to_the_end { end - at } else { (end - at).min(length) };
    if map.is_set(at) {
        map.clear(at, count).expect("they are set");
    } else {
        map.set(at, count);
    }
}

/// What the index says, every run of every slot.
fn all(runs: &Runs) -> (Vec<u32>, Vec<u16>, Vec<u32>) {
    (runs.rows.clone(), runs.counts.iter().map(|&(count, _)| count).collect(), runs.present.to_vec())
}

proptest! {
    #![proptest_config(property::config(256))]

    #[test]
    fn searches_by_length_equal_those_that_look_at_every_run(
        bits in prop_oneof![Just(8_192u32), 2_049..20_000u32],
        history in steps(),
        requests in prop::collection::vec((prop_oneof![1..6u32, 1..64u32, 1..300u32, 1..3_000u32], 0..11u32, 0..4u32), 1..6),
    ) {
        let mut map = Bitmap::new(bits);
        map.keep_runs(true);
        for (number, step) in history.into_iter().enumerate() {
            turn(&mut map, step);
            if number % 3 != 0 {
                continue;
            }
            let mut plain = map.clone();
            plain.keep_runs(false);
            for &(bits, order, offset) in &requests {
                let request = Request { bits, align_mask: (1 << order) - 1, align_offset: (offset * 256) & ((1 << order) - 1) };
                for wanted in [Wanted::Shortest, Wanted::Longest] {
                    let found = map.fit_by_length(&request, 0, wanted);
                    prop_assert_eq!(found, plain.fit_by_length(&request, 0, wanted), "{:?} {:?}", wanted, request);
                }
                prop_assert_eq!(map.last_fit(&request, 0), map.last_fit_by_runs(&request, 0), "{:?}", request);
            }
        }
    }

    #[test]
    fn the_index_of_a_history_is_that_of_its_bitmap(bits in 2_049..20_000u32, history in steps()) {
        let mut map = Bitmap::new(bits);
        map.keep_runs(true);
        for step in history {
            turn(&mut map, step);
        }
        let request = Request { bits: 1, align_mask: 0, align_offset: 0 };
        map.fit_by_length(&request, 0, Wanted::Shortest);
        let mut fresh = map.clone();
        fresh.keep_runs(false);
        fresh.keep_runs(true);
        prop_assert_eq!(all(&map.index()), all(&fresh.index()));
        prop_assert_eq!(&map.index().inner, &fresh.index().inner);
        prop_assert_eq!(&map.index().border, &fresh.index().border);
    }
}
