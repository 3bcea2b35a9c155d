// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random uses of memory, among fixed and relocatable buffers: the check and all contents after
//! every step.

use core::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::prelude::*;

use super::{fill, verify, with_system};
use cma::{AreaId, Buffer};
use migration::live::Faults;
use migration::live::pins::Pin;
use migration::live::processes::ProcessId;
use migration::live::space::OwnedFrame;
use page_alloc::policy::{CmaUse, Lend};
use placements::parse;
use system::System;
use system::{OwnerId, Relocatable, StillBusy};
use units::Pfn;

#[derive(Clone, Debug)]
enum Step {
    Create(u32),
    Destroy(usize),
    Write(usize, u32),
    Unmap(usize, u32),
    Share((usize, u32), (usize, u32)),
    Pin(usize, u32),
    Unpin(usize),
    CacheRead(u32),
    CacheWrite(u32),
    CacheDrop(u32),
    Alloc(u32, u32),
    Release(usize),
    Lend(u32, u32),
    TakeBack(usize),
    Busy(usize),
    Policy(usize, usize),
    Fault(u32),
    KernelPage(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let process = || 0..12_usize;
    let page = || 0..48_u32;
    prop_oneof![
        4 => (1..48_u32).prop_map(Step::Create),
        1 => process().prop_map(Step::Destroy),
        8 => (process(), page()).prop_map(|(o, p)| Step::Write(o, p)),
        2 => (process(), page()).prop_map(|(o, p)| Step::Unmap(o, p)),
        2 => ((process(), page()), (process(), page())).prop_map(|(a, b)| Step::Share(a, b)),
        1 => (process(), page()).prop_map(|(o, p)| Step::Pin(o, p)),
        1 => (0..4_usize).prop_map(Step::Unpin),
        4 => (0..2000_u32).prop_map(Step::CacheRead),
        3 => (0..2000_u32).prop_map(Step::CacheWrite),
        1 => (0..2000_u32).prop_map(Step::CacheDrop),
        4 => (1..1100_u32, 0..9_u32).prop_map(|(p, a)| Step::Alloc(p, a)),
        3 => (0..8_usize).prop_map(Step::Release),
        8 => (1..90_u32, 0..9_u32).prop_map(|(p, a)| Step::Lend(p, a)),
        4 => (0..64_usize).prop_map(Step::TakeBack),
        1 => (0..64_usize).prop_map(Step::Busy),
        1 => (0..3_usize, 0..3_usize).prop_map(|(c, l)| Step::Policy(c, l)),
        1 => (0..40_u32).prop_map(Step::Fault),
        1 => process().prop_map(Step::KernelPage),
    ]
}

/// A driver's record of the relocatable buffers, by tag, and the ones that it cannot quiesce.
#[derive(Default)]
struct Driver {
    lie_at: BTreeMap<u32, Pfn>,
    busy: Vec<u32>,
}

struct Owner(Rc<RefCell<Driver>>);

impl Relocatable for Owner {
    fn quiesce(&mut self, tag: u32) -> Result<(), StillBusy> {
        if self.0.borrow().busy.contains(&tag) { Err(StillBusy) } else { Ok(()) }
    }

    fn resume(&mut self, tag: u32, first: Pfn) {
        self.0.borrow_mut().lie_at.insert(tag, first);
    }
}

/// The users of memory in a random mix.
struct Mix {
    processes: Vec<ProcessId>,
    pins: Vec<Pin>,
    buffers: Vec<Buffer>,
    driver: Rc<RefCell<Driver>>,
    owner: OwnerId,
    last_tag: u32,
}

impl Mix {
    fn new(system: &mut System<'_>) -> Self {
        let driver = Rc::new(RefCell::new(Driver::default()));
        let owner = system.add_owner(Box::new(Owner(driver.clone()))).unwrap();
        Self { processes: Vec::new(), pins: Vec::new(), buffers: Vec::new(), driver, owner, last_tag: 0 }
    }

    fn let_move(&mut self, system: &mut System<'_>, buffer: Buffer, align_order: u32) {
        self.last_tag += 1;
        for page in 0..buffer.pages() {
            system.frame_words(OwnedFrame::of_buffer(&buffer, page)).unwrap().fill(self.last_tag << 16 | page);
        }
        self.driver.borrow_mut().lie_at.insert(self.last_tag, buffer.first());
        system.let_move(buffer, align_order, self.owner, self.last_tag);
    }

    fn take_back(&mut self, system: &mut System<'_>, area: AreaId, place: usize) {
        let Some((tag, first)) = self.relocatable(place) else { return };
        self.driver.borrow_mut().lie_at.remove(&tag);
        let buffer = system.take_back_relocatable(area, first).unwrap();
        for page in 0..buffer.pages() {
            let words = system.frame_words(OwnedFrame::of_buffer(&buffer, page)).unwrap();
            assert!(words.iter().all(|&word| word == tag << 16 | page), "buffer {tag} holds what it held");
        }
        system.cma_release(buffer).unwrap();
    }

    /// Returns one of the relocatable buffers.
    fn relocatable(&self, place: usize) -> Option<(u32, Pfn)> {
        let driver = self.driver.borrow();
        let number = place.checked_rem(driver.lie_at.len())?;
        driver.lie_at.iter().nth(number).map(|(&tag, &first)| (tag, first))
    }
}

fn take_step(system: &mut System<'_>, area: AreaId, mix: &mut Mix, step: &Step) {
    let mut mm = system.mm().unwrap();
    mix.processes.retain(|&id| mm.process(id).is_some());
    let pick = |place: usize| mix.processes.get(place % mix.processes.len().max(1)).copied();
    // Many random steps are impossible; the check verifies that they were refused properly.
    match *step {
        Step::Create(pages) if mix.processes.len() < 12 => {
            let id = mm.create(pages).unwrap();
            for page in 0..pages {
                if mm.populate(id, page).is_err() {
                    break;
                }
            }
            mix.processes.push(id);
        }
        Step::Destroy(place) => drop(pick(place).map(|id| mm.destroy(id))),
        Step::Write(place, page) => drop(pick(place).map(|id| mm.write(id, page))),
        Step::Unmap(place, page) => drop(pick(place).map(|id| mm.unmap(id, page))),
        Step::Share(a, b) => {
            if let (Some(of), Some(with)) = (pick(a.0), pick(b.0)) {
                let _ = mm.share((of, a.1), (with, b.1));
            }
        }
        Step::Pin(place, page) => mix.pins.extend(pick(place).and_then(|id| mm.pin(id, page, "random").ok())),
        Step::Unpin(place) if place < mix.pins.len() => mm.unpin(mix.pins.swap_remove(place)).unwrap(),
        Step::CacheRead(page) => assert!(mm.cache_read(page).unwrap_or(true)),
        Step::CacheWrite(page) => drop(mm.cache_write(page)),
        Step::CacheDrop(page) => drop(migration::live::mock::cache_drop(&mut mm, page)),
        Step::Policy(cma_use, lend) => mm.set_policy(CmaUse::ALL[cma_use], Lend::ALL[lend]),
        Step::KernelPage(place) => drop(pick(place).map(|id| mm.add_kernel_page(id))),
        Step::Fault(targets) => {
            mm.zone.drain_all_pages();
            mm.lru_add_drain();
            let (before, written) = (mm.fingerprint(), mm.live.stats.written_back);
            mm.live.faults.targets_left = Some(targets);
            let result = system.cma_alloc(area, 1024, 0);
            let mut mm = system.mm().unwrap();
            mm.live.faults = Faults::default();
            match result {
                Ok(buffer) => {
                    fill(system, &buffer);
                    mix.buffers.push(buffer);
                }
                // Pages that were written back to be reclaimed are clean.
                Err(_) if mm.live.stats.written_back == written => assert_eq!(mm.fingerprint(), before),
                Err(_) => {}
            }
        }
        Step::Alloc(pages, align) => {
            if let Ok(buffer) = system.cma_alloc(area, pages, align) {
                fill(system, &buffer);
                mix.buffers.push(buffer);
            }
        }
        Step::Release(place) if place < mix.buffers.len() => {
            let buffer = mix.buffers.swap_remove(place);
            let mm = system.mm().unwrap();
            for page in 0..buffer.pages() {
                let words = mm.live.space().frame_words(OwnedFrame::of_buffer(&buffer, page));
                assert!(words[..] == [0xdead_beef; 1024], "nobody writes to a driver's buffer");
            }
            system.cma_release(buffer).unwrap();
        }
        Step::Lend(pages, align) => {
            if let Ok(buffer) = system.cma_alloc(area, pages, align) {
                mix.let_move(system, buffer, align);
            }
        }
        Step::TakeBack(place) => mix.take_back(system, area, place),
        Step::Busy(place) => {
            let busy = mix.relocatable(place).map(|(tag, _)| tag);
            mix.driver.borrow_mut().busy = busy.into_iter().collect();
        }
        Step::Create(_) | Step::Unpin(_) | Step::Release(_) => {}
    }
    verify(system);
}

proptest! {
    #![proptest_config(property::config(48))]

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn any_life_keeps_the_books_and_the_contents(
        steps in prop::collection::vec(step(), 1..120),
        placement in prop::sample::select(&["first-fit", "relocate"][..]),
    ) {
        with_system(2, 2, |system, area| {
            system.area_mut(area).set_placement(parse(placement).unwrap());
            system.open_live(CmaUse::Half, Lend::Movable).unwrap();
            let mut mix = Mix::new(system);
            for step in &steps {
                take_step(system, area, &mut mix, step);
            }
            for buffer in mix.buffers.drain(..) {
                system.cma_release(buffer).unwrap();
            }
            while mix.relocatable(0).is_some() {
                mix.take_back(system, area, 0);
            }
        });
    }
}
