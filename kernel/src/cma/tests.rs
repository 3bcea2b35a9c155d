use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::bitmap::Bitmap;
use super::bounds::LANES;
use super::placement::{FirstFit, Placement, Request};
use super::summary::CLASSES;

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

mod areas {
    use alloc::string::ToString;
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use crate::cma::{AreaId, Buffer, CmaError, ReleaseError};
    use crate::mm::zone::{Zone, descriptors};
    use crate::mm::{MAX_PAGE_ORDER, Migratetype, PAGEBLOCK_PAGES, Page};
    use crate::system::System;
    use crate::units::Pfn;

    const START: Pfn = Pfn(0x60000);

    /// Two pageblocks of RAM, then areas of two pageblocks and of one.
    fn system(pages: &mut [Page]) -> (System<'_>, AreaId, AreaId) {
        let mut zone = Zone::new(START, pages);
        zone.free_range(START, 2 * PAGEBLOCK_PAGES);
        let mut system = System::new(zone, Vec::new());
        let first = system.activate_area("first".to_string(), START.add(2048), 2048, true);
        let second = system.activate_area("second".to_string(), START.add(4096), 1024, false);
        (system, first, second)
    }

    fn pages() -> Vec<Page> {
        vec![Page::default(); descriptors(5 * PAGEBLOCK_PAGES)]
    }

    fn place(system: &System, buffer: &Buffer) -> u32 {
        buffer.first().0 - system.area(buffer.area()).base().0
    }

    #[test]
    fn errors_say_full_or_fragmented_or_busy_or_which_argument() {
        let mut pages = pages();
        let (mut system, first, second) = system(&mut pages);
        assert_eq!(system.cma_alloc(second, 1025, 0), Err(CmaError::Full { free: 1024 }));
        assert_eq!(system.cma_alloc(second, 0, 0), Err(CmaError::Invalid { argument: "number of pages" }));
        assert_eq!(system.cma_alloc(second, 1, 21), Err(CmaError::Invalid { argument: "alignment order" }));
        assert_eq!(system.cma_alloc(second, 0, 0).map_err(|error| error.cause()), Err("invalid"));
        assert_eq!(system.cma_alloc(second, u32::MAX, 20), Err(CmaError::Full { free: 1024 }));
        let buffers: Vec<Buffer> = (0..4).map(|_| system.cma_alloc(second, 256, 8).unwrap()).collect();
        for (n, buffer) in buffers.into_iter().enumerate() {
            if n % 2 == 0 {
                system.cma_release(buffer).unwrap();
            }
        }
        assert_eq!(system.cma_alloc(second, 257, 0), Err(CmaError::Fragmented { free: 512, longest_run: 256 }));

        let taken: Vec<_> =
            (0..2).map(|_| system.zone.alloc_pages(MAX_PAGE_ORDER, Migratetype::Unmovable).unwrap()).collect();
        assert_eq!(taken.len(), 2);
        let lent: Vec<_> =
            (0..2).map(|_| system.zone.alloc_pages(MAX_PAGE_ORDER, Migratetype::Movable).unwrap()).collect();
        assert!(lent.iter().all(|block| block.first() >= START.add(2048) && block.first() < START.add(4096)));
        let busy = system.cma_alloc(first, 1, 0);
        let frame = START.add(2048);
        assert!(matches!(busy, Err(CmaError::Busy(blocked)) if blocked.frame == frame), "{busy:?}");
        system.check().unwrap();
        assert_eq!((system.area(first).stats().alloc_fail, system.area(second).stats().alloc_fail), (1, 3));
    }

    #[test]
    fn the_search_goes_on_behind_a_busy_candidate() {
        let mut pages = pages();
        let (mut system, first, _) = system(&mut pages);
        let taken: Vec<_> =
            (0..2).map(|_| system.zone.alloc_pages(MAX_PAGE_ORDER, Migratetype::Unmovable).unwrap()).collect();
        assert_eq!(taken.len(), 2);
        let lent: Vec<_> = (0..64).map(|_| system.zone.alloc_pages(0, Migratetype::Movable).unwrap()).collect();
        let top = lent.iter().map(|block| block.first()).filter(|&frame| frame < START.add(4096)).max();
        let buffer = system.cma_alloc(first, 100, 7).unwrap();
        assert!(top.is_none_or(|top| buffer.first() > top || buffer.first().0 + 100 <= START.0 + 4096));
        assert_eq!(place(&system, &buffer) % 128, 0);
        system.check().unwrap();
        lent.into_iter().for_each(|block| system.zone.free_pages(block));
        system.cma_release(buffer).unwrap();
        system.check().unwrap();
        assert_eq!(system.zone.free_blocks(10, Migratetype::Cma), 3);
    }

    #[test]
    fn a_buffer_is_taken_back_once() {
        let mut pages = pages();
        let (mut system, first, second) = system(&mut pages);
        let buffer = system.cma_alloc(first, 5, 3).unwrap();
        let forged = Buffer::new(first, buffer.first(), 6);
        assert_eq!(system.cma_release(forged), Err(ReleaseError::NotAllocated { frame: buffer.first().add(5) }));
        let foreign = Buffer::new(second, buffer.first(), 5);
        assert_eq!(system.cma_release(foreign), Err(ReleaseError::OutsideArea { frame: buffer.first() }));
        let copy = Buffer::new(first, buffer.first(), 5);
        system.cma_release(buffer).unwrap();
        assert!(matches!(system.cma_release(copy), Err(ReleaseError::NotAllocated { .. })));
        system.check().unwrap();
        assert_eq!(system.area(first).used_pages(), 0);
    }

    #[test]
    fn kept_buffers_come_back_by_identifier_or_all_at_once() {
        let mut pages = pages();
        let (mut system, first, second) = system(&mut pages);
        let mut keep = |area, n| {
            let buffer = system.cma_alloc(area, n, 0).unwrap();
            system.keep(buffer)
        };
        assert_eq!([keep(first, 3), keep(second, 1), keep(first, 700)], [1, 2, 3]);
        let loose = system.cma_alloc(first, 9, 0).unwrap();
        assert_eq!(system.kept(first).map(|kept| (kept.id, kept.pages)).collect::<Vec<_>>(), [(1, 3), (3, 700)]);
        let back = system.take_back(2).unwrap();
        assert_eq!((back.area(), back.pages()), (second, 1));
        system.cma_release(back).unwrap();
        assert_eq!((system.take_back(2), system.take_back(0), system.take_back(99)), (None, None, None));
        assert_eq!(system.release_all(first), 2);
        assert_eq!(system.area(first).used_pages(), 9, "what was never kept is not touched");
        system.cma_release(loose).unwrap();
        system.check().unwrap();
        assert_eq!(system.zone.nr_free_cma(), 3072);
    }

    #[test]
    fn the_books_notice_what_does_not_balance() {
        let mut pages = pages();
        let (mut system, first, _) = system(&mut pages);
        system.check().unwrap();
        system.area_mut(first).reserve(5, 3);
        assert!(system.check().is_err(), "bits are set, and the pages are free");
        let base = system.area(first).base();
        system.area_mut(first).release(base.add(5), 3).unwrap();
        system.check().unwrap();
        let buffer = system.cma_alloc(first, 16, 4).unwrap();
        system.zone.give_range(buffer.first(), 4);
        assert!(system.check().is_err(), "pages are free whose bits are set");
        system.zone.take_range(buffer.first(), 4).unwrap();
        system.check().unwrap();
        system.area_mut(first).release(buffer.first(), 16).unwrap();
        assert!(system.check().is_err(), "pages are in no place");
    }

    /// What the area answers, page by page: the lowest aligned place that is free.
    fn plain_place(free: &[bool], pages: u32, order: u32) -> Option<u32> {
        (0..free.len() as u32)
            .step_by(1 << order)
            .find(|&at| at + pages <= 2048 && free[at as usize..(at + pages) as usize].iter().all(|&page| page))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        #[cfg_attr(miri, ignore = "checks every page after every step")]
        fn any_load_is_placed_as_the_plain_model_places_it(
            steps in prop::collection::vec((any::<bool>(), any::<u32>(), prop_oneof![1..60u32, 1..600u32], 0..12u32),
                                           1..200)
        ) {
            let mut pages = pages();
            let (mut system, area, _) = system(&mut pages);
            let mut free = vec![true; 2048];
            let mut buffers = Vec::new();
            for (release, which, pages, order) in steps {
                if release && !buffers.is_empty() {
                    let buffer: Buffer = buffers.swap_remove(which as usize % buffers.len());
                    let at = place(&system, &buffer) as usize;
                    free[at..at + buffer.pages() as usize].fill(true);
                    prop_assert_eq!(system.cma_release(buffer), Ok(()));
                } else {
                    let expected = plain_place(&free, pages, order);
                    let buffer = system.cma_alloc(area, pages, order);
                    prop_assert_eq!(buffer.as_ref().ok().map(|buffer| place(&system, buffer)), expected);
                    if let Ok(buffer) = buffer {
                        let at = place(&system, &buffer) as usize;
                        free[at..at + pages as usize].fill(false);
                        buffers.push(buffer);
                    }
                }
                prop_assert_eq!(system.check(), Ok(()));
            }
            for buffer in buffers {
                prop_assert_eq!(system.cma_release(buffer), Ok(()));
            }
            prop_assert_eq!(system.check(), Ok(()));
            prop_assert_eq!(system.zone.free_blocks(10, Migratetype::Cma), 3);
        }
    }
}

/// A bitmap as plain as it gets, and what is true of it.
struct Plain {
    used: Vec<bool>,
    /// For each bit the first one at or after it that is set, or the end.
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

    /// The first clear bit of a range.
    fn first_clear(&self, first: u32, length: u32) -> Option<u32> {
        (first..first + length).find(|&bit| !self.used[bit as usize])
    }

    fn first_fit(&self, length: u32, alignment: u32, start: u32) -> Option<u32> {
        let aligned = (start.next_multiple_of(alignment)..self.used.len() as u32).step_by(alignment as usize);
        aligned.into_iter().find(|&bit| self.next_used[bit as usize] - bit >= length)
    }

    /// The longest free run that begins in a node on a bit of a lane, as far as `end`.
    fn bound(&self, node: u32, lane: usize, end: u32) -> u32 {
        let bits = self.used.len() as u32;
        let aligned = (node * 256..((node + 1) * 256).min(bits)).step_by(1 << lane);
        aligned.map(|bit| self.next_used[bit as usize].min(end).saturating_sub(bit)).max().unwrap_or(0)
    }

    /// The runs of wholly free nodes: the first of each, and one past the last.
    fn free_nodes(&self) -> Vec<(u32, u32)> {
        let mut runs = Vec::<(u32, u32)>::new();
        for (node, used) in (0..).zip(self.used.chunks_exact(256)) {
            match runs.last_mut() {
                _ if used.contains(&true) => {}
                Some((_, after)) if *after == node => *after += 1,
                _ => runs.push((node, node + 1)),
            }
        }
        runs
    }
}

/// Lengths of buffers: a part of a node, of a group, and more.
fn lengths() -> impl Strategy<Value = u32> {
    prop_oneof![1..60u32, 1..900u32, 1..9000u32, 1..60_000u32]
}

/// What a summary says against what is true.
fn check_summary(map: &Bitmap, plain: &Plain) -> Result<(), TestCaseError> {
    let Some(summary) = &map.summary else { return Ok(()) };
    for node in 0..map.bits().div_ceil(256) {
        for lane in 0..LANES {
            let (inside, anywhere) = (plain.bound(node, lane, (node + 1) * 256), plain.bound(node, lane, map.bits()));
            let (of_node, of_group) = summary.bounds_of_node(node, lane);
            prop_assert!(of_node >= inside.min(255) && of_group >= inside.min(255));
            prop_assert!(anywhere == inside || summary.allows_leaving(node, lane, anywhere));
        }
    }
    for (first, after) in plain.free_nodes() {
        for class in (0..CLASSES).take_while(|class| 1 << class <= after - first) {
            prop_assert!(summary.earliest(class) <= first, "runs of 2^{} nodes begin at {}", class, first);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    #[cfg_attr(miri, ignore = "compares every bit after every step")]
    fn a_summary_is_never_below_the_truth_and_searches_stay_exact(
        bits in prop_oneof![1..2100u32, 2049..4000u32, 8000..40_000u32, (1..20u32).prop_map(|groups| groups * 8192)],
        steps in prop::collection::vec((0..4u32, any::<u32>(), lengths(), 0..10u32), 1..60)
    ) {
        let (mut map, mut plain) = (Bitmap::new(bits), Plain::new(bits));
        let mut held = Vec::<(u32, u32)>::new();
        for (kind, which, length, order) in steps {
            // A buffer is released, or any bits, of which a part may be clear; else one is allocated.
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
                let found = map.first_fit(&request, start);
                prop_assert_eq!(found, plain.first_fit(length, 1 << order, start));
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
