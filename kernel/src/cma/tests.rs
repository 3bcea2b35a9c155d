use alloc::vec::Vec;

use proptest::prelude::*;

use super::bitmap::Bitmap;
use super::placement::{FirstFit, Placement, Request};

/// First-fit as obviously right as can be: every bit is tried.
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

proptest! {
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

#[test]
fn order_of_a_request_is_capped() {
    let orders: Vec<u32> = [0, 1, 2, 3, 4, 5, 51, 64, 65, 256, 257, u32::MAX].map(super::align_order_of).to_vec();
    assert_eq!(orders, [0, 0, 1, 2, 2, 3, 6, 6, 7, 8, 8, 8]);
}
