// SPDX-License-Identifier: MIT OR Apache-2.0

//! A load as the owner of relocatable buffers: it lets them be moved, and takes them back at their
//! new places.
//!
//! Buffers are relocatable only under a placement that relocates. They carry a pattern, which is
//! checked when they are taken back: pages whose content did not survive a move are counted.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::fmt;

use super::metrics::Counted;
use super::record::Record;
use cma::Relocations;
use cma::{AreaId, Buffer};
use migration::live::space::OwnedFrame;
use system::MAX_MOVABLE;
use system::System;
use system::{OwnerId, Relocatable, StillBusy};
use units::Pfn;

/// The relocatable buffers of a load.
pub struct BufferOwner {
    area: AreaId,
    owner: OwnerId,
    permille: u32,
    /// Current first pages of moved buffers, by tag; shared with the owner, which records them.
    moved: Rc<RefCell<BTreeMap<u32, Pfn>>>,
    relocatable: usize,
    /// Counters of the area when this load's turn began; `None` outside its turns.
    turn: Option<Relocations>,
    /// Relocations in this load's turns.
    own: Relocations,
    bad_pages: u64,
}

/// An owner that always agrees to quiesce.
struct Owner(Rc<RefCell<BTreeMap<u32, Pfn>>>);

impl Relocatable for Owner {
    fn quiesce(&mut self, _tag: u32) -> Result<(), StillBusy> {
        Ok(())
    }

    fn resume(&mut self, tag: u32, first: Pfn) {
        self.0.borrow_mut().insert(tag, first);
    }
}

impl BufferOwner {
    /// Makes the buffers of `permille` in a thousand tags relocatable, evenly spread over the tags,
    /// and begins a turn. Returns `None` if the area's placement does not relocate, or if there are
    /// too many owners.
    pub fn new(system: &mut System<'_>, area: AreaId, permille: u32) -> Option<Self> {
        if !system.area(area).placement().relocates() {
            return None;
        }
        let moved = Rc::new(RefCell::new(BTreeMap::new()));
        let owner = system.add_owner(Box::new(Owner(moved.clone())))?;
        let own = Relocations::default();
        let mut owner = Self { area, owner, permille, moved, relocatable: 0, turn: None, own, bad_pages: 0 };
        owner.begin_turn(system);
        Some(owner)
    }

    /// Begins a turn: counts relocations in the area for this load.
    pub fn begin_turn(&mut self, system: &System<'_>) {
        self.turn.get_or_insert(system.area(self.area).stats().relocations);
    }

    /// Ends the turn: later relocations in the area are for the requests of others.
    pub fn end_turn(&mut self, system: &System<'_>) {
        if let Some(before) = self.turn.take() {
            self.own.include(&system.area(self.area).stats().relocations.since(&before));
        }
    }

    /// True if the buffer of `tag` is to become relocatable.
    pub fn wants(&self, tag: u32) -> bool {
        let until = |tag: u64| tag * u64::from(self.permille) / 1000;
        self.relocatable < MAX_MOVABLE && until(u64::from(tag) + 1) > until(u64::from(tag))
    }

    /// Makes a buffer relocatable. The caller has to remember its first page; no other relocatable
    /// buffer may have this tag.
    pub fn let_move(&mut self, system: &mut System<'_>, buffer: Buffer, align_order: u32, tag: u32) {
        let stamp = stamp(tag, buffer.first());
        for_each_page(system, &buffer, |page, words| {
            if let [first, .., last] = words {
                (*first, *last) = (stamp ^ page, !(stamp ^ page));
            }
        });
        self.relocatable += 1;
        system.let_move(buffer, align_order, self.owner, tag);
    }

    /// Takes back the buffer that became relocatable at `lay_at`; `None` if there is none.
    pub fn take_back(&mut self, system: &mut System<'_>, tag: u32, lay_at: Pfn) -> Option<Buffer> {
        let now_at = self.moved.borrow_mut().remove(&tag);
        let buffer = system.take_back_relocatable(self.area, now_at.unwrap_or(lay_at))?;
        let stamp = stamp(tag, lay_at);
        let mut wrong = 0;
        for_each_page(system, &buffer, |page, words| {
            if let [first, .., last] = words {
                wrong += u64::from(*first != stamp ^ page || *last != !(stamp ^ page));
            }
        });
        self.bad_pages += wrong;
        self.relocatable -= 1;
        Some(buffer)
    }

    /// Leaves the buffers registered with the system, where they are not relocatable; returns the
    /// relocations of this load's turns.
    pub fn end(mut self, system: &mut System<'_>) -> Moves {
        while self.relocatable > 0
            && let Some(buffer) = system.take_back_any(self.area, self.owner)
        {
            system.keep(buffer);
        }
        system.remove_owner(self.owner);
        self.end_turn(system);
        Moves { relocations: self.own, bad_pages: self.bad_pages }
    }
}

/// Relocations while a load ran, and their result.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Moves {
    /// Counts of requests, buffers and pages, and the time.
    pub relocations: Relocations,
    /// Pages that did not hold what had been written to them.
    pub bad_pages: u64,
}

impl Moves {
    /// Adds the fields to a record; leaves it unchanged if the placement does not relocate.
    pub fn record(moves: Option<&Self>, record: Record) -> Record {
        let Some(Self { relocations, bad_pages }) = moves else { return record };
        record
            .number("relocations", relocations.served)
            .number("relocations_in_vain", relocations.in_vain)
            .number("moved_buffers", relocations.moved_buffers)
            .number("moved_pages", relocations.moved_pages)
            .number("relocate_ns", relocations.ns)
            .number("bad_pages", *bad_pages)
    }

    /// Adds the counts of another load.
    pub fn include(&mut self, other: &Self) {
        self.relocations.include(&other.relocations);
        self.bad_pages += other.bad_pages;
    }
}

impl fmt::Display for Moves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Relocations { served, in_vain, moved_buffers, moved_pages, ns, .. } = self.relocations;
        let (requests, buffers) = (Counted(served, "request"), Counted(moved_buffers, "buffer"));
        let pages = Counted(moved_pages, "page");
        write!(f, "{requests} served by moving {buffers}, {pages}; {in_vain} in vain; {ns} ns for plans and copies.")?;
        match self.bad_pages {
            0 => Ok(()),
            bad => write!(f, " {} did not hold what was written.", Counted(bad, "page")),
        }
    }
}

/// Returns the pattern of a buffer's pages, from its tag and the page where it was allocated.
fn stamp(tag: u32, lay_at: Pfn) -> u32 {
    tag.wrapping_mul(0x9e37_79b9) ^ lay_at.0.wrapping_mul(0x85eb_ca6b)
}

/// Calls `look` with each page of a buffer, if there is an address space to map it.
fn for_each_page(system: &mut System<'_>, buffer: &Buffer, mut look: impl FnMut(u32, &mut [u32])) {
    for page in 0..buffer.pages() {
        if let Some(words) = system.frame_words(OwnedFrame::of_buffer(buffer, page)) {
            look(page, words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use board_mock::with_board;
    use placements::parse;
    use std::vec::Vec;

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn relocatable_buffers_come_back_from_where_they_lie() {
        with_board(64, |system, _| {
            let area = system.find_area("BiscuitOS_cma").expect("the board has it");
            assert!(BufferOwner::new(system, area, 1000).is_none(), "first-fit moves nothing");
            system.area_mut(area).set_placement(parse("relocate").expect("a listed name"));
            let mut owner = BufferOwner::new(system, area, 500).expect("the first owner");
            assert_eq!((0..1000).filter(|&tag| owner.wants(tag)).count(), 500);
            let mut at = Vec::new();
            for tag in 0..1024 {
                let buffer = system.cma_alloc(area, 2, 1).expect("there is room");
                at.push(buffer.first());
                owner.let_move(system, buffer, 1, tag);
            }
            for tag in (0..1024).step_by(2) {
                let buffer = owner.take_back(system, tag, at[tag as usize]).expect("it is relocatable");
                system.cma_release(buffer).expect("it was held");
            }
            assert_eq!(owner.take_back(system, 0, at[0]), None);
            let large = system.cma_alloc(area, 256, 8).expect("others make room");
            // Relocations for others between two turns do not count for the load.
            owner.end_turn(system);
            let others = system.cma_alloc(area, 256, 8).expect("others make room again");
            assert_eq!(system.area(area).stats().relocations.served, 2);
            owner.begin_turn(system);
            // A page that another user writes to is found.
            let first = owner.moved.borrow()[&1];
            system.frame_words(OwnedFrame::by_dma(first.add(1))).expect("there is an address space")[1023] ^= 1;
            for tag in (1..1001).step_by(2) {
                let buffer = owner.take_back(system, tag, at[tag as usize]).expect("it is relocatable");
                system.cma_release(buffer).expect("it was held");
            }
            let moves = owner.end(system);
            assert_eq!((moves.relocations.served, moves.relocations.moved_pages, moves.bad_pages), (1, 128, 1));
            assert!(std::format!("{moves}").contains("1 page did not hold what was written"));
            assert_eq!(system.kept(area).count(), 12, "the rest stays, registered");
            system.check().expect("the accounting balances");
            for buffer in [large, others] {
                system.cma_release(buffer).expect("it was held");
            }
            system.release_all(area);
            assert_eq!(system.area(area).used_pages(), 0);
        });
    }
}
