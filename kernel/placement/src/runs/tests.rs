// SPDX-License-Identifier: MIT OR Apache-2.0
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::bitmap::Bitmap;
use crate::group::GROUP_BITS;
use crate::tests::reads;

/// A step of a history: a bit (modulo the bitmap's bits), a length, and true to change the free or
/// set bits there up to their end instead.
type Step = (u32, u32, bool);

/// Steps at bits on both sides of the borders of nodes and groups, or anywhere.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at =
        prop_oneof![0..20_000u32, (0..80u32, 0..4u32).prop_map(|(node, bit)| (node * 256 + bit).saturating_sub(2))];
    let length = prop_oneof![1..4u32, 1..70u32, 200..300u32, 1..6_000u32];
    prop::collection::vec((at, length, any::<bool>()), 1..if cfg!(miri) { 6 } else { 90 })
}

/// Inverts the bits from `at` on that are all set or all clear: `length` of them at most, or all.
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

/// Returns the rows of the index, the count of each, and the mask of rows that are not empty.
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

/// Most lengths of inner runs in a node: 1 + 2 + … + 21 bits, and the bits between.
const MOST_LENGTHS: u32 = 21;
/// Most words read for a pending node: its own and, for each, the next one; those on both sides of
/// its borders; and for each border a node in which its run begins, and one in which it ends.
const MOST_OF_A_NODE: u32 = 8 + 7 + 4 + 2 * (8 + 8);

/// Returns the answer of `call`, and how often it reads each word of the bitmap, in order.
fn reads_of<T>(map: &Bitmap, call: impl FnOnce(&Bitmap) -> T) -> (T, Vec<u32>) {
    let (answer, reads) = reads::counted(|| call(map));
    let times = |word: &u32| reads.get(&core::ptr::from_ref(word).addr()).copied().unwrap_or(0);
    (answer, map.padded_words().iter().map(times).collect())
}

/// Returns the number of different lengths >= `least` of the inner runs of `node`.
fn lengths_from(map: &Bitmap, node: usize, least: u32) -> u32 {
    let index = map.index();
    let has = |length: &u32| index.inner[node][(length / 32) as usize] >> (length % 32) & 1 == 1;
    (least..NODE_BITS).filter(has).count() as u32
}

proptest! {
    #![proptest_config(property::config(256))]

    #[test]
    fn words_are_read_as_often_as_the_module_says(
        bits in prop_oneof![Just(8_192u32), 2_049..40_000u32],
        history in steps(),
        requests in prop::collection::vec((prop_oneof![1..6u32, 1..64u32, 1..300u32, 1..3_000u32], 0..11u32), 1..6),
    ) {
        let mut map = Bitmap::new(bits);
        map.keep_runs(true);
        for (number, step) in history.into_iter().enumerate() {
            turn(&mut map, step);
            if number % 5 != 0 {
                continue;
            }
            let pending = map.index().pending_count;
            let mut nodes = map.index().pending[..pending].to_vec();
            nodes.sort_unstable();
            nodes.dedup();
            prop_assert_eq!(nodes.len(), pending, "a node is pending once");
            let (_, reads) = reads_of(&map, |map| map.read_runs(map.summary.as_ref()?).map(|runs| runs.pending_count));
            prop_assert!(reads.iter().sum::<u32>() <= MOST_OF_A_NODE * pending as u32, "{pending} nodes are read");
            for &(bits, order) in &requests {
                let request = Request { bits, align_mask: (1 << order) - 1, align_offset: 0 };
                // Each on a copy: the bounds that a search lowers save the next one reads.
                for wanted in [Wanted::Shortest, Wanted::Longest] {
                    let (_, reads) = reads_of(&map.clone(), |map| map.fit_by_length(&request, 0, wanted));
                    for (node, reads) in reads.chunks(NODE_WORDS).enumerate() {
                        let lengths = lengths_from(&map, node, bits);
                        prop_assert!(lengths <= MOST_LENGTHS);
                        prop_assert!(reads.iter().all(|&times| times <= lengths), "{:?} {:?} {:?}", wanted, request, reads);
                    }
                }
                let (_, reads) = reads_of(&map.clone(), |map| map.last_fit(&request, 0));
                for (word, times) in reads.into_iter().enumerate() {
                    prop_assert!(times <= 3 + u32::from(word % NODE_WORDS == 0), "{:?}: word {} {} times", request, word, times);
                }
            }
        }
    }
}

/// The request fits only into the longest run of a node, and is tried for each shorter length
/// first.
#[test]
fn a_node_is_read_once_for_each_length_of_its_runs() {
    let mut map = Bitmap::new(8_192);
    map.keep_runs(true);
    map.set(0, 8_192);
    // Only the last run contains a multiple of 32.
    for (block, lengths) in
        [&[15, 14][..], &[13, 12, 3], &[11, 10, 7], &[9, 8, 6, 4], &[5, 2, 1]].into_iter().enumerate()
    {
        let mut at = 256 + block as u32 * 32 + 1;
        for &length in lengths {
            map.clear(at, length).expect("it is set");
            at += length + 1;
        }
    }
    map.clear(256 + 184, 17).expect("it is set");
    let request = Request { bits: 2, align_mask: 31, align_offset: 0 };
    map.fit_by_length(&Request { bits: 8_192, ..request }, 0, Wanted::Longest);
    for (wanted, expected) in [(Wanted::Shortest, 15), (Wanted::Longest, 1)] {
        let (found, reads) = reads_of(&map.clone(), |map| map.fit_by_length(&request, 0, wanted));
        assert_eq!(found, Some(256 + 192));
        assert_eq!(reads[8..16], [expected; 8], "{wanted:?}");
        assert_eq!(reads.iter().sum::<u32>(), 8 * expected, "{wanted:?}");
    }
}

/// There are as many groups as a mistaken multiple of a node's number can name.
#[test]
#[cfg_attr(miri, ignore = "eight million bits")]
fn a_run_is_looked_for_by_the_bounds_of_its_own_group() {
    let mut map = Bitmap::new((GROUP_NODES * GROUP_NODES + 1) * GROUP_BITS);
    map.keep_runs(true);
    map.set(0, map.bits());
    let request = Request { bits: 2, align_mask: 0, align_offset: 0 };
    // A search in vain lowers the bounds of all groups.
    assert_eq!(map.first_fit(&request, 0), None);
    let bit = GROUP_BITS + NODE_BITS + 10;
    map.clear(bit, 2).expect("they are set");
    for wanted in [Wanted::Shortest, Wanted::Longest] {
        assert_eq!(map.fit_by_length(&request, 0, wanted), Some(bit), "{wanted:?}");
    }
}

/// Two free nodes among used ones: the bounds of the first one's group say nothing of it.
#[test]
fn the_lower_of_two_free_nodes_is_the_shortest_run() {
    let mut map = Bitmap::new(2 * GROUP_BITS);
    map.keep_runs(true);
    map.set(0, map.bits());
    let request = |bits| Request { bits, align_mask: 0, align_offset: 0 };
    // Searches in vain lower the bounds of touched nodes, and close the node before the free one.
    assert_eq!(map.first_fit(&request(1), 0), None);
    map.clear(5 * NODE_BITS, NODE_BITS).expect("they are set");
    assert_eq!(map.first_fit(&request(300), 0), None);
    map.clear(40 * NODE_BITS, NODE_BITS).expect("they are set");
    assert_eq!(map.fit_by_length(&request(200), 0, Wanted::Shortest), Some(5 * NODE_BITS));
}
