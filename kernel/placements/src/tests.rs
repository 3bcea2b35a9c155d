// SPDX-License-Identifier: MIT OR Apache-2.0
use alloc::string::ToString;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use placement::bitmap::Bitmap;
use placement::{Request, align_order_of};

/// Returns all bits from `start` on at which the request fits, lowest first, by trying all bits.
fn places(map: &Bitmap, request: &Request, start: u32) -> Vec<u32> {
    let fits = |&bit: &u32| {
        (bit + request.align_offset) & request.align_mask == 0
            && bit + request.bits <= map.bits()
            && (bit..bit + request.bits).all(|bit| !map.is_set(bit))
    };
    (start..map.bits()).filter(fits).collect()
}

/// Returns the free run around a bit, no further down than `start`.
fn run_around(map: &Bitmap, bit: u32, start: u32) -> core::ops::Range<u32> {
    let first = (start..=bit).rev().take_while(|&bit| !map.is_set(bit)).last().unwrap_or(bit);
    first..(bit..map.bits()).find(|&bit| map.is_set(bit)).unwrap_or(map.bits())
}

/// Returns the zone of a size by the article's rule, with its shares.
fn zone(map: &Bitmap, bits: u32) -> (u32, u32) {
    let n = map.bits();
    match bits {
        0..=3 => (0, n / 15),
        4..=23 => (n / 15, n * 6 / 15),
        _ => (n * 6 / 15, n),
    }
}

/// Returns the length of the free head of the aligned block of 2^`order` bits around a bit.
fn free_head(used: &dyn Fn(u32) -> bool, bit: u32, order: u32) -> u32 {
    let first = bit >> order << order;
    (first..first + (1 << order)).take_while(|&bit| !used(bit)).count() as u32
}

/// The rule of `spare-heads` as documented, on a map of which all nodes are looked at.
fn plain_spare_heads(map: &Bitmap, request: &Request) -> Option<u32> {
    let order = request.align_mask.count_ones();
    places(map, request, 0).chunk_by(|a, b| a / 64 == b / 64).filter_map(|chunk| chunk.last().copied()).min_by_key(
        |&place| {
            let before = |bit: u32| map.is_set(bit);
            // The bits after the buffer's first bit are lost to a block's head in any case.
            let after = |bit: u32| map.is_set(bit) || bit == place;
            let lost: u32 =
                (order..=6).map(|order| free_head(&before, place, order) - free_head(&after, place, order)).sum();
            let chunk = place / 64 * 64;
            let empty = (chunk..chunk + 64).all(|bit| !map.is_set(bit));
            (lost, empty, place)
        },
    )
}

/// Returns the place by the rule named `name`, computed as plainly as possible from `all`, the
/// places from `start` on that fit, lowest first. Returns `None` if the placement has no model.
fn model(name: &str, all: &[u32], map: &Bitmap, request: &Request, start: u32) -> Option<Option<u32>> {
    let lowest = |from: u32| all.iter().copied().find(|&bit| bit >= from);
    // The lowest place of the shortest or longest run that holds the request.
    let by_length = |longest: bool| {
        all.iter().copied().min_by_key(|&bit| {
            let run = run_around(map, bit, start).len() as i64;
            (if longest { -run } else { run }, bit)
        })
    };
    Some(match name {
        // A next-fit without an earlier request begins at 0.
        "first-fit" | "next-fit" | "relocate" => lowest(0),
        "best-fit" => by_length(false),
        "worst-fit" => by_length(true),
        "zoned" if start == 0 => lowest(zone(map, request.bits).0).or(lowest(0)),
        "zoned" => lowest(0),
        "size-classes" => {
            let (first, end) = zone(map, request.bits);
            all.iter().copied().find(|&bit| bit >= first && bit + request.bits <= end)
        }
        "last-fit" => all.last().copied(),
        "two-ended" if request.bits < 24 => all.last().copied(),
        "two-ended" => lowest(0),
        "spare-heads" => {
            let chunked =
                request.bits <= request.align_mask + 1 && request.align_mask < 64 && request.align_offset == 0;
            if chunked && start == 0 { plain_spare_heads(map, request) } else { by_length(false) }
        }
        _ => return None,
    })
}

#[test]
fn every_placement_has_a_model() {
    let map = Bitmap::new(64);
    let request = Request { bits: 1, align_mask: 0, align_offset: 0 };
    for entry in PLACEMENTS.iter() {
        assert!(
            model(entry.name, &[0], &map, &request, 0).is_some(),
            "nothing says what `{0}` should answer: add an arm \"{0}\" to the `match` of `model` in {1}, which picks from \
             `all`, the places that fit, the one that the rule means, by a way as plain as can be and not by the placement's \
             own code; `every_placement_follows_its_rule` then compares the two",
            entry.name,
            file!()
        );
    }
}

fn map_of(bits: &[bool]) -> Bitmap {
    let mut map = Bitmap::new(bits.len() as u32);
    for (bit, _) in bits.iter().enumerate().filter(|(_, used)| **used) {
        map.set(bit as u32, 1);
    }
    map
}

/// Bitmaps of up to several nodes, with runs of 1 to 89 bits; shorter runs are more likely.
fn bitmaps() -> impl Strategy<Value = Bitmap> {
    let run = (any::<bool>(), prop_oneof![1..5usize, 1..20usize, 1..90usize]);
    prop::collection::vec(run, 1..if cfg!(miri) { 6 } else { 60 })
        .prop_map(|runs| map_of(&runs.iter().flat_map(|&(used, n)| core::iter::repeat_n(used, n)).collect::<Vec<_>>()))
}

proptest! {
    #![proptest_config(property::config(512))]

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn every_placement_follows_its_rule(
        map in bitmaps(), bits in prop_oneof![1..10u32, 1..64u32, 1..200u32], order in 0..9u32, own_order in any::<bool>(),
        offset in 0..256u32, start in prop_oneof![Just(0), 1..2000u32]
    ) {
        let order = if own_order { align_order_of(bits) } else { order };
        let align_mask = (1 << order) - 1;
        for align_offset in [0, offset & align_mask] {
            let request = Request { bits, align_mask, align_offset };
            let all = places(&map, &request, start);
            for entry in PLACEMENTS.iter() {
                let placement = parse(entry.name).expect("a listed name");
                let found = placement.place(&map, &request, start);
                prop_assert!(found.is_none_or(|bit| all.contains(&bit)), "{} of {:?}: {:?}", entry.name, all, found);
                if let Some(expected) = model(entry.name, &all, &map, &request, start) {
                    prop_assert_eq!(found, expected, "{}", entry.name);
                }
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn next_fit_goes_round(
        mut map in bitmaps(), requests in prop::collection::vec((1..40u32, 0..4u32), 1..30)
    ) {
        let placement = NextFit::default();
        let mut next = 0;
        for (bits, order) in requests {
            let request = Request { bits, align_mask: (1 << order) - 1, align_offset: 0 };
            let all = places(&map, &request, 0);
            let expected = all.iter().copied().find(|&bit| bit >= next).or(all.first().copied());
            prop_assert_eq!(placement.place(&map, &request, 0), expected);
            if let Some(bit) = expected {
                map.set(bit, bits);
                next = bit + bits;
            }
        }
    }

    #[test]
    fn shares_divide_as_told(bits in 1..5000u32, small in 0..9u32, middle in 0..9u32, large in 1..9u32) {
        let map = Bitmap::new(bits);
        let request = |bits| Request { bits, align_mask: 0, align_offset: 0 };
        let sum = small + middle + large;
        let text = alloc::format!("size-classes:{small}:{middle}:{large}");
        let placement = parse(&text).expect("good shares");
        let borders = [0, bits * small / sum, bits * (small + middle) / sum, bits];
        for (class, pages) in [1, 4, 24].into_iter().enumerate() {
            let expected = (borders[class] + pages <= borders[class + 1]).then_some(borders[class]);
            prop_assert_eq!(placement.place(&map, &request(pages), 0), expected);
        }
        let zoned = parse(&alloc::format!("zoned:{small}:{middle}:{large}")).expect("good shares");
        let expected = if borders[1] + 4 <= bits { Some(borders[1]) } else { (bits >= 4).then_some(0) };
        prop_assert_eq!(zoned.place(&map, &request(4), 0), expected);
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn spare_heads_looks_at_a_part_of_a_large_map() {
    // A single free page far away costs nothing, the upper page of a pair costs the pair its head;
    // but the pairs are in the nodes that are looked at first.
    let mut map = Bitmap::new(1 << 17);
    map.set(0, 1 << 17);
    let request = |bits: u32| Request { bits, align_mask: bits.next_power_of_two() - 1, align_offset: 0 };
    assert_eq!(SpareHeads.place(&map, &request(1), 0), None);
    map.clear(100_000, 1).expect("it was set");
    assert_eq!(SpareHeads.place(&map, &request(1), 0), Some(100_000));
    for node in 0..LOOK_NODES {
        map.clear(node * 256 + 254, 2).expect("it was set");
    }
    assert_eq!(SpareHeads.place(&map, &request(2), 0), Some(254));
    assert_eq!(SpareHeads.place(&map, &request(1), 0), Some(255), "the lowest of {LOOK_NODES} pairs");
    assert_eq!(SpareHeads.place(&map, &request(3), 0), None);
}

#[test]
fn names_and_parameters() {
    for entry in PLACEMENTS.iter() {
        let placement = parse(entry.name).expect("a listed name");
        assert_eq!(placement.name(), entry.name);
        assert_eq!(placement.label(), entry.name);
        // The default parameters can be written out.
        let text = entry.name.to_string() + entry.parameters;
        assert_eq!(parse(&text).expect("its own parameters").label(), entry.name);
        let bad = BadPlacement::Parameters(entry.name, entry.parameters);
        for parameters in [
            "",
            "x",
            "1:5:9:1",
            "-1",
            "1:5",
            "0:0:0",
            "1:5:10001",
            "4294967296",
            "+1:5:9",
            " 1:5:9",
            "relocate",
            "first",
        ] {
            let text = entry.name.to_string() + ":" + parameters;
            assert_eq!(parse(&text).err(), Some(bad), "{text}");
        }
    }
    for label in ["zoned:2:3:10", "size-classes:0:1:1", "two-ended:9", "relocate:best-fit", "relocate:spare-heads"] {
        assert_eq!(parse(label).map(|placement| placement.label()).as_deref(), Ok(label));
    }
    for unknown in ["", ":", "fit", "First-fit", "zone:1:5:9", "relocation"] {
        assert_eq!(parse(unknown).err(), Some(BadPlacement::Unknown), "{unknown}");
    }
}
