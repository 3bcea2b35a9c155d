// SPDX-License-Identifier: MIT OR Apache-2.0
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::Bitmap;
use crate::bounds::{LANES, LONG};
use crate::node::{self, NODE_BITS, NODE_WORDS};
use crate::tests::reads;
use crate::{FirstFit, Placement, Request, align_order_of};

/// Finds first-fit by trying every bit.
fn plain_first_fit(map: &Bitmap, request: &Request, start: u32) -> Option<u32> {
    (start..map.bits()).find(|&bit| {
        (bit + request.align_offset) & request.align_mask == 0
            && bit + request.bits <= map.bits()
            && (bit..bit + request.bits).all(|b| !map.is_set(b))
    })
}

fn map_of(bits: &[bool]) -> Bitmap {
    let mut map = Bitmap::new(bits.len() as u32);
    for (bit, _) in bits.iter().enumerate().filter(|(_, used)| **used) {
        map.set(bit as u32, 1);
    }
    map
}

/// Bitmaps made of runs, so that long free runs and full words occur.
fn bitmaps() -> impl Strategy<Value = Bitmap> {
    prop::collection::vec((any::<bool>(), prop_oneof![1..4usize, 1..80usize]), 1..60)
        .prop_map(|runs| map_of(&runs.iter().flat_map(|&(used, n)| core::iter::repeat_n(used, n)).collect::<Vec<_>>()))
}

#[test]
fn no_bit_behind_the_end_is_the_next_clear_one() {
    let mut map = Bitmap::new(100);
    map.set(0, 40);
    assert_eq!([40, 41, 64].map(|end| map.next_clear_before(0, end)), [None, Some(40), Some(40)]);
    assert_eq!([5, 50].map(|start| map.next_clear_before(start, 60)), [Some(40), Some(50)]);
    assert_eq!(FirstFit.name(), "first-fit");
}

#[test]
fn a_node_that_is_free_again_is_found_whatever_was_known_of_it() {
    let mut map = Bitmap::new(64 * NODE_BITS);
    map.set(0, 64 * NODE_BITS);
    let whole = Request { bits: NODE_BITS, align_mask: 0, align_offset: 0 };
    let found = |map: &Bitmap| (map.last_fit(&whole, 0), map.first_fit(&whole, 0));
    assert_eq!(found(&map), (None, None));
    for node in [5, 40, 63] {
        map.clear(node * NODE_BITS, NODE_BITS).unwrap();
        assert_eq!(found(&map), (Some(node * NODE_BITS), Some(node * NODE_BITS)));
        map.set(node * NODE_BITS, NODE_BITS);
        assert_eq!(found(&map), (None, None));
    }
}

#[test]
fn bits_that_are_turned_over_leave_the_run_around_them() {
    let set = |bits: &[(u32, u32)]| {
        let mut node = [0; NODE_WORDS];
        bits.iter().for_each(|&(from, to)| (from..to).for_each(|bit| node[bit as usize / 32] |= 1 << (bit % 32)));
        node
    };
    for (before, behind) in [((3, 4), (20, 21)), ((40, 70), (95, 96)), ((0, 1), (255, 256)), ((64, 65), (66, 256))] {
        let mut node = set(&[before, (before.1, behind.0), behind]);
        let run = node::turn_over(&mut node, before.1, behind.0 - 1);
        assert_eq!((run, node), (Some((before.1, behind.0)), set(&[before, behind])));
    }
    let mut node = set(&[(10, 20)]);
    assert_eq!(node::turn_over(&mut node, 10, 19), Some((0, NODE_BITS)));
    let mut node = set(&[(10, 20)]);
    assert_eq!(node::turn_over(&mut node, 10, 20), None, "one of them was clear");
}

proptest! {
    #![proptest_config(property::config(256))]

    #[test]
    fn first_fit_finds_what_trying_every_bit_finds(
        map in bitmaps(), bits in prop_oneof![1..10u32, 1..200u32], order in 0..9u32, offset in 0..256u32, start in 0..2000u32
    ) {
        let align_mask = (1 << order) - 1;
        for align_offset in [0, offset & align_mask] {
            let request = Request { bits, align_mask, align_offset };
            prop_assert_eq!(FirstFit.place(&map, &request, start), plain_first_fit(&map, &request, start));
        }
    }

    #[test]
    fn the_bitmap_counts_what_it_holds(runs in prop::collection::vec((any::<bool>(), 1..80usize), 1..60)) {
        let plain: Vec<bool> = runs.iter().flat_map(|&(used, n)| core::iter::repeat_n(used, n)).collect();
        let map = map_of(&plain);
        prop_assert_eq!(map.used() as usize, plain.iter().filter(|used| **used).count());
        let free: Vec<(u32, u32)> = plain
            .chunk_by(|a, b| a == b)
            .scan(0, |at, run| { *at += run.len() as u32; Some((*at - run.len() as u32, run.len() as u32, run[0])) })
            .filter(|run| !run.2)
            .map(|run| (run.0, run.1))
            .collect();
        prop_assert_eq!(map.free_runs() as usize, free.len());
        prop_assert_eq!(map.longest_free_run(), free.iter().map(|run| run.1).max().unwrap_or(0));
        prop_assert_eq!(map.runs().collect::<Vec<_>>(), free);
    }
}

#[test]
fn bits_behind_the_last_are_never_found() {
    let map = Bitmap::new(40);
    let request = |bits| Request { bits, align_mask: 0, align_offset: 0 };
    assert_eq!(FirstFit.place(&map, &request(40), 0), Some(0));
    assert_eq!(FirstFit.place(&map, &request(41), 0), None);
    assert_eq!(FirstFit.place(&map, &request(u32::MAX), 0), None);
    assert_eq!(FirstFit.place(&map, &request(1), u32::MAX), None);
    assert!(map.is_set(40) && map.is_set(63) && map.is_set(64) && !map.is_set(39));
}

/// A release of clear bits returns the first one and changes nothing, in one word and in several,
/// with a summary and without one.
#[test]
fn what_is_clear_is_not_cleared() {
    for bits in [100, 2048, 8192] {
        let mut map = Bitmap::new(bits);
        map.set(10, 20);
        map.set(35, 5);
        map.set(60, 10);
        for (first, count, clear) in
            [(8, 4, 8), (10, 21, 30), (28, 4, 30), (35, 6, 40), (36, 8, 40), (10, 30, 30), (60, 11, 70), (50, 20, 50)]
        {
            assert_eq!(map.clear(first, count), Err(clear), "{bits} bits, {count} from {first}");
            assert_eq!((map.used(), map.free(), map.free_runs()), (35, bits - 35, 4));
        }
        for (first, count) in [(60, 10), (10, 20), (35, 5)] {
            assert_eq!(map.clear(first, count), Ok(()));
        }
        assert_eq!((map.used(), map.longest_free_run()), (0, bits));
    }
}

/// Memory of the words; and what the index of the runs takes for 32 more nodes: for each node the
/// mask of its inner runs' lengths, the longest of them and the run of its border, and a word in
/// each of the 256 rows.
/// The nodes between the first and the last are known to be taken, or are read; nothing changes
/// where a bit is clear.
#[test]
fn what_is_clear_in_several_nodes_is_not_cleared() {
    let whole = 32 * NODE_BITS;
    let mut taken = Bitmap::new(2 * whole);
    taken.set(0, 2 * whole);
    for (clear, start, end) in [
        // A node between, the only one of its group that is not known to be taken.
        (5 * NODE_BITS + 7, 5 * NODE_BITS - 1, 6 * NODE_BITS + 1),
        (5 * NODE_BITS + 7, 5 * NODE_BITS, 6 * NODE_BITS),
        // The last node, from a node's first bit on.
        (7 * NODE_BITS + 3, 5 * NODE_BITS, 7 * NODE_BITS + 10),
        (whole + 3, 0, whole + 10),
    ] {
        let mut map = taken.clone();
        map.clear(clear, 1).expect("it is set");
        let words = map.words().to_vec();
        assert_eq!(map.clear(start, end - start), Err(clear), "{start}..{end}");
        assert_eq!(map.words(), words, "{start}..{end}");
    }
}

#[test]
fn memory_is_counted() {
    assert_eq!([0, 1, 2048].map(|bits| Bitmap::new(bits).size_bytes()), [0, 32, 256]);
    let [small, large] = [8192, 16_384].map(|bits| {
        let mut map = Bitmap::new(bits);
        let before = map.size_bytes();
        map.keep_runs(true);
        (before, map.size_bytes() - before)
    });
    assert!(small.0 > 1024 && large.0 == 2 * small.0, "a summary has its size for each group");
    assert_eq!(large.1 - small.1, 32 * (32 + 1 + 8) + 256 * 4);
    assert!(small.1 > large.1 - small.1, "the rows' lengths, too");
}

#[test]
fn order_of_a_request_is_capped() {
    let orders: Vec<u32> = [0, 1, 2, 3, 4, 5, 51, 64, 65, 256, 257, u32::MAX].map(align_order_of).to_vec();
    assert_eq!(orders, [0, 0, 1, 2, 2, 3, 6, 6, 7, 8, 8, 8]);
}

/// A bitmap as a list of bits, to compare with.
struct Plain {
    used: Vec<bool>,
    /// For each bit the first set bit >= it, or the end.
    next_used: Vec<u32>,
}

impl Plain {
    fn new(bits: u32) -> Self {
        let mut plain = Self { used: vec![false; bits as usize], next_used: vec![bits; bits as usize] };
        plain.fill(0, 0, false);
        plain
    }

    fn fill(&mut self, first: u32, length: u32, used: bool) {
        self.used[first as usize..(first + length) as usize].fill(used);
        let mut next = self.used.len() as u32;
        for bit in (0..self.used.len()).rev() {
            next = if self.used[bit] { bit as u32 } else { next };
            self.next_used[bit] = next;
        }
    }

    /// Returns the first clear bit of the `length` bits from `first`.
    fn first_clear(&self, first: u32, length: u32) -> Option<u32> {
        (first..first + length).find(|&bit| !self.used[bit as usize])
    }

    fn first_fit(&self, length: u32, alignment: u32, start: u32) -> Option<u32> {
        let aligned = (start.next_multiple_of(alignment)..self.used.len() as u32).step_by(alignment as usize);
        aligned.into_iter().find(|&bit| self.next_used[bit as usize] - bit >= length)
    }

    /// Returns the length of the longest free run, cut at `end`, that begins in `node` on a bit
    /// aligned to `lane`.
    fn longest(&self, node: u32, lane: usize, end: u32) -> u32 {
        let bits = self.used.len() as u32;
        let aligned = (node * 256..((node + 1) * 256).min(bits)).step_by(1 << lane);
        aligned.map(|bit| self.next_used[bit as usize].min(end) - bit).max().unwrap_or(0)
    }

    /// True if all of `node` is free.
    fn is_free(&self, node: u32) -> bool {
        let bits = self.used.get(node as usize * 256..(node as usize + 1) * 256);
        bits.is_some_and(|bits| !bits.contains(&true))
    }
}

/// Lengths of buffers: a part of a node, of a group, and more.
fn lengths() -> impl Strategy<Value = u32> {
    prop_oneof![1..60u32, 1..900u32, 1..9000u32, 1..60_000u32]
}

/// Compares a summary with the plain bitmap.
fn check_summary(map: &Bitmap, plain: &Plain) -> Result<(), TestCaseError> {
    let Some(summary) = &map.summary else { return Ok(()) };
    for node in 0..map.bits().div_ceil(256) {
        let group = summary.group_of(node);
        let bounds = (0..LANES).map(|lane| group.of_node(node, lane));
        prop_assert!(bounds.clone().all(|(of_node, of_group)| of_group >= of_node), "above the bounds of all nodes");
        prop_assert_eq!(group.touched() >> (node % 32) & 1 == 0, plain.is_free(node), "free nodes are known");
        if plain.is_free(node) {
            prop_assert!(
                group.longest() >= plain.longest(node, 0, u32::MAX),
                "above the runs that begin with a free node"
            );
            continue;
        }
        for (lane, (of_node, _)) in bounds.enumerate() {
            let end = if group.open(lane) >> (node % 32) & 1 == 0 { u32::MAX } else { (node + 1) * 256 };
            prop_assert!(
                of_node >= plain.longest(node, lane, end).min(LONG),
                "above the runs that begin in a touched node"
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(property::config(1000))]

    #[test]
    #[cfg_attr(miri, ignore = "compares every bit after every step")]
    fn a_summary_is_never_below_the_truth_and_searches_stay_exact(
        bits in prop_oneof![1..2100u32, 2049..4000u32, 8000..40_000u32, (1..20u32).prop_map(|groups| groups * 8192)],
        steps in prop::collection::vec((0..4u32, any::<u32>(), lengths(), 0..10u32), 1..60)
    ) {
        let (mut map, mut plain) = (Bitmap::new(bits), Plain::new(bits));
        let mut held = Vec::<(u32, u32)>::new();
        for (kind, which, length, order) in steps {
            // Releases a buffer, or any bits, of which some may be clear; else allocates a buffer.
            let released = match kind {
                0 if !held.is_empty() => Some(held.swap_remove(which as usize % held.len())),
                1 if order == 0 => Some((which % bits, length.min(bits - which % bits))),
                _ => None,
            };
            if let Some((bit, length)) = released {
                let first_clear = plain.first_clear(bit, length);
                prop_assert_eq!(map.clear(bit, length), first_clear.map_or(Ok(()), Err));
                if first_clear.is_none() {
                    plain.fill(bit, length, false);
                }
            } else {
                let request = Request { bits: length, align_mask: (1 << order) - 1, align_offset: 0 };
                let start = if which % 4 == 0 { which % (2 * bits + 5000) } else { 0 };
                if map.has_summary() && length <= 1 << order && order <= 8 {
                    let has_room = |node: &u32| plain.longest(*node, order as usize, u32::MAX) >= length;
                    let mut next = if which % 3 == 0 { which / 3 % bits.div_ceil(256) } else { 0 };
                    while let Some(node) = map.next_node(next, order, length) {
                        prop_assert!(!(next..node).any(|node| has_room(&node)), "only nodes without room are left out");
                        next = node + 1;
                    }
                    prop_assert!(!(next..bits.div_ceil(256)).any(|node| has_room(&node)), "so behind the last");
                }
                let (found, twice) = reads::during(|| map.first_fit(&request, start));
                prop_assert_eq!(found, plain.first_fit(length, 1 << order, start));
                let address = |bit: u32| core::ptr::from_ref(&map.words()[(bit / 32) as usize]).addr();
                let answer = found.map(|bit| address(bit)..=address(bit + length - 1));
                let in_answer = |word: &usize| answer.as_ref().is_some_and(|answer| answer.contains(word));
                prop_assert!(start > 0 || twice.iter().all(in_answer), "no other word is read twice");
                if let Some(bit) = found {
                    map.set(bit, length);
                    plain.fill(bit, length, true);
                    held.push((bit, length));
                }
            }
            let used = |bit: u32| map.is_set(bit);
            prop_assert!((0..bits).all(|bit| used(bit) == plain.used[bit as usize]), "every bit is as it should be");
            prop_assert_eq!(map.used(), plain.used.iter().filter(|&&used| used).count() as u32);
            check_summary(&map, &plain)?;
            let longest = map.runs().map(|run| run.1).max().unwrap_or(0);
            prop_assert_eq!(map.longest_free_run(), longest);
        }
    }
}

/// A node that is free in a failed search is then taken whole, and bits from inside it on are
/// released: their run, which is longer than the failed request, is found.
#[test]
fn a_node_that_was_free_in_a_failed_search_is_searched_later() {
    for last in [false, true] {
        let mut map = Bitmap::new(8192);
        map.set(0, 256);
        map.set(512, 7680);
        let request = Request { bits: 300, align_mask: 0, align_offset: 0 };
        assert_eq!(if last { map.last_fit(&request, 0) } else { map.first_fit(&request, 0) }, None);
        map.set(256, 256);
        map.clear(266, 310).unwrap();
        assert_eq!(map.first_fit(&request, 0), Some(266));
        assert_eq!(map.last_fit(&request, 0), Some(276));
    }
}
