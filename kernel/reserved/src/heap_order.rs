// SPDX-License-Identifier: MIT OR Apache-2.0

//! A sort whose order of equal keys is that of Linux's heap sort (lib/sort.c), which is not stable.
//!
//! Regions without a place have equal keys, so the sort's own steps decide which is placed first.
//! Of n equal keys, the second comes first and the first last.

/// Sorts by `key`, bottom-up: an element moves down to a leaf along the larger children, then up to
/// its position. Of two equal children the left one counts as the larger.
pub(super) fn sort_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    let count = items.len();
    for root in (0..count / 2).rev() {
        sift_down(items, root, &key);
    }
    for end in (1..count).rev() {
        items.swap(0, end);
        sift_down(&mut items[..end], 0, &key);
    }
}

fn sift_down<T, K: Ord>(heap: &mut [T], root: usize, key: &impl Fn(&T) -> K) {
    let parent = |node: usize| (node - 1) / 2;
    let mut leaf = root;
    loop {
        let left = 2 * leaf + 1;
        let right = left + 1;
        leaf = match (heap.get(left), heap.get(right)) {
            (Some(one), Some(other)) if key(one) < key(other) => right,
            (Some(_), _) => left,
            (None, _) => break,
        };
    }
    let mut target = leaf;
    while target != root && key(&heap[root]) >= key(&heap[target]) {
        target = parent(target);
    }
    let mut node = target;
    while node != root {
        node = parent(node);
        heap.swap(node, target);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn order(keys: &[u64]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..keys.len()).collect();
        sort_by_key(&mut order, |&index| keys[index]);
        order
    }

    #[test]
    fn the_first_of_equal_ones_comes_last() {
        assert_eq!(order(&[]), [0; 0]);
        assert_eq!(order(&[0]), [0]);
        assert_eq!(order(&[0, 0]), [1, 0]);
        assert_eq!(order(&[0; 3]), [1, 2, 0]);
        assert_eq!(order(&[0; 8]), [1, 2, 3, 4, 5, 6, 7, 0]);
        assert_eq!(order(&[0, 1, 1]), [0, 2, 1], "the left of two children goes up first");
    }

    proptest! {
        #![proptest_config(property::config(256))]

        #[test]
        fn it_sorts(keys in prop::collection::vec(0u64..20, 0..70)) {
            let order = order(&keys);
            let sorted: Vec<u64> = order.iter().map(|&index| keys[index]).collect();
            prop_assert!(sorted.is_sorted());
            let mut indices = order;
            indices.sort_unstable();
            prop_assert!(indices.into_iter().eq(0..keys.len()));
        }
    }
}
