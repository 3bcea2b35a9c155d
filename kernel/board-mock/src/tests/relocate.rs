// SPDX-License-Identifier: MIT OR Apache-2.0

//! Buffers that are relocated, their owners, and their contents.

#[path = "../../../system/src/plan/tests/model.rs"]
mod model;

use core::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::with_board;
use cma::AreaId;
use cma::{CmaError, align_order_of};
use migration::live::space::OwnedFrame;
use page_alloc::policy::{CmaUse, Lend};
use placement::Request;
use placements::parse;
use system::MAX_PLANS;
use system::System;
use system::plan::Step;
use system::{MAX_OWNERS, OwnerId, Relocatable, StillBusy};
use units::Pfn;

/// A driver's record of its buffers, by tag, and of the calls to it.
#[derive(Default)]
struct Driver {
    at: RefCell<BTreeMap<u32, Pfn>>,
    busy: RefCell<Vec<u32>>,
    quiet: RefCell<Vec<u32>>,
    asked: Cell<u32>,
}

struct Shared(Rc<Driver>);

impl Relocatable for Shared {
    fn quiesce(&mut self, tag: u32) -> Result<(), StillBusy> {
        self.0.asked.set(self.0.asked.get() + 1);
        if self.0.busy.borrow().contains(&tag) {
            return Err(StillBusy);
        }
        assert!(!self.0.quiet.borrow().contains(&tag), "nobody is asked twice");
        self.0.quiet.borrow_mut().push(tag);
        Ok(())
    }

    fn resume(&mut self, tag: u32, first: Pfn) {
        let mut quiet = self.0.quiet.borrow_mut();
        let place = quiet.iter().position(|&quiet| quiet == tag).expect("who resumes had let go");
        quiet.remove(place);
        self.0.at.borrow_mut().insert(tag, first);
    }
}

/// Fills every word of a buffer, or checks that it is unchanged.
fn words(system: &mut System<'_>, first: Pfn, pages: u32, tag: u32, check: bool) {
    for page in 0..pages {
        let words = system.frame_words(OwnedFrame::by_dma(first.add(page))).expect("there is an address space");
        for (number, word) in words.iter_mut().enumerate() {
            let expected = tag << 16 | page << 10 | number as u32;
            if check { assert_eq!(*word, expected, "buffer {tag}, page {page}") } else { *word = expected }
        }
    }
}

/// A driver and its means to allocate.
struct Bench {
    driver: Rc<Driver>,
    owner: OwnerId,
    area: AreaId,
}

impl Bench {
    fn new(system: &mut System<'_>) -> Self {
        let driver = Rc::new(Driver::default());
        let owner = system.add_owner(Box::new(Shared(driver.clone()))).expect("the first owner");
        let area = system.find_area("BiscuitOS_cma").expect("the board has it");
        system.area_mut(area).set_placement(parse("relocate").expect("a listed name"));
        Self { driver, owner, area }
    }

    fn alloc(&self, system: &mut System<'_>, tag: u32, pages: u32, align_order: u32) -> Result<(), CmaError> {
        let buffer = system.cma_alloc(self.area, pages, align_order)?;
        words(system, buffer.first(), pages, tag, false);
        self.driver.at.borrow_mut().insert(tag, buffer.first());
        system.let_move(buffer, align_order, self.owner, tag);
        Ok(())
    }

    fn release(&self, system: &mut System<'_>, tag: u32) {
        let first = self.driver.at.borrow_mut().remove(&tag).expect("it was allocated");
        let buffer = system.take_back_relocatable(self.area, first).expect("it lies where the owner was told");
        words(system, first, buffer.pages(), tag, true);
        system.cma_release(buffer).expect("it was held");
    }

    /// Checks that every buffer has its content, and that the accounting balances.
    fn check(&self, system: &mut System<'_>, pages: impl Fn(u32) -> u32) {
        system.check().expect("the accounting balances");
        assert!(self.driver.quiet.borrow().is_empty(), "everybody has resumed");
        for (&tag, &first) in &*self.driver.at.borrow() {
            words(system, first, pages(tag), tag, true);
        }
    }
}

const SIZES: [u32; 12] = [1, 2, 3, 4, 5, 7, 12, 16, 23, 34, 45, 51];

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn others_make_room_and_keep_what_they_hold() {
    with_board(64, |system, _| {
        let bench = Bench::new(system);
        // Pairs, of which every second is released: no run of free pages is longer than 2.
        (0..1024).for_each(|tag| bench.alloc(system, tag, 2, 1).expect("there is room"));
        (0..1024).step_by(2).for_each(|tag| bench.release(system, tag));
        assert_eq!(system.area(bench.area).longest_free_run(), 2);
        bench.alloc(system, 2000, 64, 6).expect("others make room");
        let done = system.area(bench.area).stats().relocations;
        assert_eq!((done.served, done.in_vain, done.moved_buffers, done.moved_pages, done.busy), (1, 0, 16, 32, 0));
        assert!(done.ns > 0 && bench.driver.asked.get() == 16);
        bench.check(system, |tag| if tag == 2000 { 64 } else { 2 });
        // Buffers released at the address that their owner was notified of last are intact.
        bench.release(system, 2000);
        (1..1024).step_by(2).for_each(|tag| bench.release(system, tag));
        assert_eq!(system.area(bench.area).used_pages(), 0);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn who_is_busy_stays() {
    with_board(64, |system, _| {
        let bench = Bench::new(system);
        (0..1024).for_each(|tag| bench.alloc(system, tag, 2, 1).expect("there is room"));
        (0..1024).step_by(2).for_each(|tag| bench.release(system, tag));
        let words = system.area(bench.area).bitmap().words().to_vec();
        let at = bench.driver.at.borrow().clone();
        // Each window of 64 pages contains 16 buffers; one of each is busy.
        bench.driver.busy.borrow_mut().extend((0..32).map(|window| window * 32 + 7));
        let refused = bench.alloc(system, 2000, 64, 6);
        assert_eq!(refused, Err(CmaError::Fragmented { free: 1024 }));
        let done = system.area(bench.area).stats().relocations;
        assert_eq!((done.served, done.in_vain, done.moved_pages, done.busy), (0, 1, 0, u64::from(MAX_PLANS)));
        assert_eq!((system.area(bench.area).bitmap().words(), &*bench.driver.at.borrow()), (&words[..], &at));
        bench.check(system, |_| 2);
        // One window without a busy buffer, after some with one, is found.
        bench.driver.busy.borrow_mut().retain(|&tag| tag != 3 * 32 + 7);
        bench.alloc(system, 2000, 64, 6).expect("others make room");
        assert_eq!(bench.driver.at.borrow()[&2000].0, system.area(bench.area).base().0 + 3 * 64);
        bench.check(system, |tag| if tag == 2000 { 64 } else { 2 });
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn without_alignment_buffers_slide_over_themselves() {
    with_board(64, |system, _| {
        let bench = Bench::new(system);
        // 31 pages and then a free one, all through the area: no free run has 30 pages.
        (0..64).for_each(|tag| bench.alloc(system, tag, 31, 5).expect("there is room"));
        (0..64).for_each(|tag| {
            let first = bench.driver.at.borrow()[&tag];
            let buffer = system.take_back_relocatable(bench.area, first).expect("it lies there");
            system.let_move(buffer, 0, bench.owner, tag);
        });
        bench.alloc(system, 100, 40, 0).expect("64 pages are free");
        assert_eq!(system.area(bench.area).free_pages(), 24);
        bench.check(system, |tag| if tag == 100 { 40 } else { 31 });
        let refused = bench.alloc(system, 101, 25, 0);
        assert_eq!(refused, Err(CmaError::Full { free: 24 }));
        bench.alloc(system, 101, 24, 0).expect("others make room");
        assert_eq!(system.area(bench.area).free_pages(), 0);
        bench.check(system, |tag| [31, 40, 24][(tag.max(99) - 99) as usize]);
    });
}

/// Cycles of buffers of one length and of two; a chain that ends in free pages; a buffer that moves
/// to an overlapping place.
#[test]
fn buffers_change_places() {
    with_board(64, |system, _| {
        let bench = Bench::new(system);
        let pages = |tag: u32| [2, 2, 2, 2, 3, 4, 1][tag as usize];
        (0..7).for_each(|tag| bench.alloc(system, tag, pages(tag), 0).expect("the area is empty"));
        let steps = [(4, 0, 2), (0, 2, 2), (2, 4, 2), (8, 7, 3), (15, 11, 1), (11, 12, 4), (6, 20, 2)];
        let steps = steps.map(|(from, to, bits)| Step { from, to, bits });
        let base = system.area(bench.area).base();
        let relocatable = steps
            .iter()
            .map(|step| system.zone().relocatable(base.add(step.from)).expect("it is relocatable"))
            .collect();
        system.move_buffers(bench.area, &steps, relocatable);
        for at in bench.driver.at.borrow_mut().values_mut() {
            let step = steps.iter().find(|step| base.add(step.from) == *at).expect("all of them move");
            *at = base.add(step.to);
        }
        bench.check(system, pages);
        assert_eq!(system.area(bench.area).bitmap().words()[0], 0b11_0000_1111_1011_1011_1111);
        (0..7).for_each(|tag| bench.release(system, tag));
        assert_eq!(system.area(bench.area).used_pages(), 0);
        system.check().expect("the accounting balances");
    });
}

/// Random sizes, far more than fit, each aligned by its order: a request fails only if no
/// arrangement has room for it.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn requests_fail_only_where_nothing_would_help() {
    with_board(64, |system, _| {
        let bench = Bench::new(system);
        let mut rng = fastrand::Rng::with_seed(7);
        let size = |tag: u32| SIZES[(tag % 12) as usize];
        let (mut failed, mut least_used) = (0, u32::MAX);
        for step in 0..6000 {
            let tag = rng.u32(0..300);
            if bench.driver.at.borrow().contains_key(&tag) {
                bench.release(system, tag);
            } else if let Err(error) = bench.alloc(system, tag, size(tag), align_order_of(size(tag))) {
                assert!(matches!(error, CmaError::Full { .. }), "{error}");
                let mut all: Vec<Request> = Vec::new();
                let held: Vec<u32> = bench.driver.at.borrow().keys().copied().collect();
                for held in held.into_iter().chain([tag]) {
                    let pages = size(held);
                    all.push(system.area(bench.area).request(pages, align_order_of(pages)).expect("it was asked for"));
                }
                assert!(!model::fits_somehow(2048, &all), "step {step}");
                failed += 1;
                least_used = least_used.min(system.area(bench.area).used_pages());
            }
            if step % 500 == 0 {
                bench.check(system, size);
            }
        }
        bench.check(system, size);
        let done = system.area(bench.area).stats().relocations;
        assert!(failed > 100 && done.served > 100, "{failed} failed, {done:?}");
        assert!(least_used >= 1650, "{least_used}");
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn who_did_not_lend_and_who_lives_there_stays() {
    with_board(64, |system, _| {
        let bench = Bench::new(system);
        // A buffer that its owner does not let move, in front.
        let fixed = system.cma_alloc(bench.area, 3, 0).expect("the area is empty");
        let first = fixed.first();
        words(system, first, 3, 9, false);
        system.keep(fixed);
        (0..1000).for_each(|tag| bench.alloc(system, tag, 2, 1).expect("there is room"));
        (0..1000).filter(|tag| tag % 8 != 0).for_each(|tag| bench.release(system, tag));
        // Movable pages enter the area and are pinned, so that they cannot move.
        let mut mm = system.open_live(CmaUse::First, Lend::Movable).expect("there is an address space");
        let process = mm.create(2600).expect("there is room");
        (0..2600).for_each(|page| mm.populate(process, page).expect("there is memory"));
        let frames: Vec<Pfn> = (0..2600).filter_map(|page| mm.frame_of(process, page)).collect();
        let inside = |frame: &Pfn| (0x69800..0x6a000).contains(&frame.0);
        let lived_in = frames.iter().filter(|frame| inside(frame)).count();
        assert!(lived_in > 1000, "{lived_in}");
        for page in (0..2600).step_by(40) {
            mm.pin(process, page, "a device").expect("it is there");
        }
        let answer = bench.alloc(system, 5000, 256, 8);
        assert!(matches!(answer, Err(CmaError::Fragmented { .. })), "{answer:?}");
        system.check().expect("the accounting balances");
        let mut mm = system.mm().expect("they live there");
        assert_eq!(mm.verify_contents(), 0);
        system.close_live();
        words(system, first, 3, 9, true);
        bench.check(system, |_| 2);
        // After they are freed, other buffers make room, but not the one in front.
        bench.alloc(system, 5000, 1024, 10).expect("others make room");
        assert_eq!(bench.driver.at.borrow()[&5000].0, 0x69c00);
        let refused = bench.alloc(system, 5001, 1024, 8);
        assert!(matches!(refused, Err(CmaError::Full { .. } | CmaError::Fragmented { .. })));
        words(system, first, 3, 9, true);
        bench.check(system, |tag| if tag == 5000 { 1024 } else { 2 });
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn owners_come_and_go() {
    with_board(64, |system, _| {
        let bench = Bench::new(system);
        (0..1024).for_each(|tag| bench.alloc(system, tag, 2, 1).expect("there is room"));
        (0..1024).step_by(2).for_each(|tag| bench.release(system, tag));
        assert_eq!(system.take_back_relocatable(bench.area, Pfn(0x1)), None);
        assert_eq!(system.take_back_relocatable(bench.area, Pfn(0x69800)), None, "that one was released");
        assert_eq!(system.release_all(bench.area), 0, "a relocatable buffer is its owner's");
        system.remove_owner(bench.owner);
        assert!(bench.alloc(system, 2000, 64, 6).is_err(), "nobody is there to be asked");
        for place in 0..MAX_OWNERS {
            let owner = system.add_owner(Box::new(Shared(bench.driver.clone())));
            assert_eq!(owner, Some(OwnerId(place as u32)));
        }
        assert_eq!(system.add_owner(Box::new(Shared(bench.driver.clone()))), None);
        bench.alloc(system, 2000, 64, 6).expect("its number is somebody's again");
        bench.check(system, |tag| if tag == 2000 { 64 } else { 2 });
    });
}

/// With tracing on, the allocation performs all phases, and relocates as well.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn traced_allocations_relocate() {
    with_board(64, |system, _| {
        let bench = Bench::new(system);
        (0..1024).for_each(|tag| bench.alloc(system, tag, 2, 1).expect("there is room"));
        (0..1024).step_by(2).for_each(|tag| bench.release(system, tag));
        system.trace_mut().enable(true);
        bench.alloc(system, 2000, 64, 6).expect("others make room");
        bench.check(system, |tag| if tag == 2000 { 64 } else { 2 });
    });
}
