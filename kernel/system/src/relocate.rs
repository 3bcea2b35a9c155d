// SPDX-License-Identifier: MIT OR Apache-2.0

//! Buffers that can be moved while they are held: in a fragmented area, a request moves other
//! buffers to make room instead of failing.
//!
//! An owner that can stop using a buffer for a moment registers ([`Relocatable`]) and makes the
//! buffer relocatable ([`System::let_move`]). If the area's placement relocates and finds no room,
//! a plan is made (`plan`), the owners of its buffers are quiesced, the pages are copied, and the
//! owners resume with the new addresses. If an owner is busy, its buffer is not moved, and another
//! plan is made without it.
//!
//! Invariants: no page is changed before a whole plan exists and every owner in it is quiesced.
//! Pages of users of memory, buffers that are not relocatable, and areas with more than one page to
//! a bit are not touched. The owner, pages and alignment of a relocatable buffer are in the
//! descriptor of its first page, so that there is room for all and no allocation pays for it.

mod moves;

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::System;
use crate::owners::{OwnerId, Relocatable};
use crate::plan::{Movable, NoRoom, Planner, Step};
use cma::{AreaId, Buffer, Relocations};
use page_alloc::RelocatableBuffer;
use placement::Request;
use placement::bitmap::Bitmap;
use units::Pfn;

/// Most buffers of an area that a plan considers, from the lowest; those after them stay.
pub const MAX_MOVABLE: usize = 8192;
/// Most plans that are made for a request; each but the last failed because an owner was busy.
pub const MAX_PLANS: u32 = 8;

impl System<'_> {
    /// Registers an owner; `None` if there are [`MAX_OWNERS`](super::MAX_OWNERS) already.
    pub fn add_owner(&mut self, owner: Box<dyn Relocatable>) -> Option<OwnerId> {
        self.owners.add(owner)
    }

    /// Removes an owner. Its buffers stay where they are, and can be taken back.
    pub fn remove_owner(&mut self, id: OwnerId) {
        self.owners.remove(id);
    }

    /// Makes a buffer relocatable that was allocated with alignment `align_order`, which a move
    /// keeps. Its owner identifies it by `tag`, and takes it back by its latest address.
    pub fn let_move(&mut self, buffer: Buffer, align_order: u32, owner: OwnerId, tag: u32) {
        self.zone.set_relocatable(
            buffer.first(),
            RelocatableBuffer { tag, pages: buffer.pages(), align_order, owner: owner.0 },
        );
    }

    /// Takes back a relocatable buffer; `None` if none begins at that page.
    pub fn take_back_relocatable(&mut self, id: AreaId, first: Pfn) -> Option<Buffer> {
        let area = self.area(id);
        if first.0.wrapping_sub(area.base().0) >= area.pages() {
            return None;
        }
        let relocatable = self.zone.relocatable(first)?;
        self.zone.unhold(first);
        Some(Buffer::new(id, first, relocatable.pages))
    }

    /// Takes back the lowest relocatable buffer of an owner in an area.
    pub fn take_back_any(&mut self, id: AreaId, owner: OwnerId) -> Option<Buffer> {
        let area = self.area(id);
        let mut bit = 0;
        loop {
            bit = area.bitmap().next_set(bit);
            let first = area.frame(bit);
            if bit >= area.bitmap().bits() {
                return None;
            }
            if self.zone.relocatable(first).is_some_and(|relocatable| relocatable.owner == owner.0) {
                return self.take_back_relocatable(id, first);
            }
            bit += 1;
        }
    }

    /// Moves buffers to make room for a request; returns the bit where it then fits.
    ///
    /// # Errors
    /// [`NoRoom`]: `Full` only if the planner counted it. No buffer is moved.
    #[cold]
    pub(crate) fn make_room(&mut self, id: AreaId, request: &Request) -> Result<u32, NoRoom> {
        let area = self.area(id);
        if request.bits > area.bitmap().free() || area.order_per_bit() != 0 || !self.has_space() {
            return Err(NoRoom::NotFound);
        }
        let start_ns = self.now_ns();
        let mut done = Relocations::default();
        let room = self.relocate(id, request, &mut done);
        match room {
            Ok(_) => done.served = 1,
            Err(_) => done.in_vain = 1,
        }
        done.ns = self.now_ns().saturating_sub(start_ns);
        self.area_mut(id).stats.relocations.include(&done);
        room
    }

    fn relocate(&mut self, id: AreaId, request: &Request, done: &mut Relocations) -> Result<u32, NoRoom> {
        let mut busy = Vec::new();
        for _ in 0..MAX_PLANS {
            let planner = self.planner(id, &busy).ok_or(NoRoom::NotFound)?;
            let (bit, steps) = planner.make_room(request)?;
            let base = self.area(id).base();
            // The memory for the descriptors is allocated before any owner is asked.
            let mut relocatable = Vec::new();
            relocatable.try_reserve_exact(steps.len()).map_err(|_| NoRoom::NotFound)?;
            if let Err(first) = self.quiesce(base, &steps, &mut relocatable) {
                done.busy += 1;
                busy.push(first);
                continue;
            }
            self.move_buffers(id, &steps, relocatable);
            done.moved_buffers += steps.len() as u64;
            done.moved_pages += steps.iter().map(|step| u64::from(step.bits)).sum::<u64>();
            steps.iter().for_each(|step| self.resume(base.add(step.to)));
            return Ok(bit);
        }
        Err(NoRoom::NotFound)
    }

    /// Makes a planner of an area: the buffers that may move, and the bits that stay. `None` if no
    /// buffer may move, or if there is no memory for the plan.
    fn planner(&self, id: AreaId, busy: &[Pfn]) -> Option<Planner> {
        let bits = self.area(id).bitmap().bits();
        let mut count = 0;
        self.walk(id, busy, |_| count += 1, |_| {});
        let mut movable = Vec::new();
        // One more for the request itself.
        movable.try_reserve_exact(count + 1).ok()?;
        let mut fixed = Bitmap::new(bits);
        self.walk(id, busy, |buffer| movable.push(buffer), |bit| fixed.set(bit, 1));
        if movable.is_empty() { None } else { Some(Planner::new(fixed, movable)) }
    }

    /// Walks an area from its lowest bit; calls `may_move` for buffers that may move, and `stays`
    /// for bits that must not change.
    fn walk(&self, id: AreaId, busy: &[Pfn], mut may_move: impl FnMut(Movable), mut stays: impl FnMut(u32)) {
        let area = self.area(id);
        let map = area.bitmap();
        let (mut bit, mut considered) = (0, 0);
        while bit < map.bits() {
            let first = area.frame(bit);
            if !map.is_set(bit) {
                // Pages that are clear in the bitmap may be in use by others.
                let end = map.next_set(bit);
                let free_end = self.zone.end_of_free(first).map_or(bit, |free| free.0 - area.base().0).min(end);
                if free_end == bit {
                    stays(bit);
                }
                bit = free_end.max(bit + 1);
                continue;
            }
            let relocatable = self.zone.relocatable(first).filter(|relocatable| {
                considered < MAX_MOVABLE && !busy.contains(&first) && self.owners.has(relocatable.owner)
            });
            match relocatable.and_then(|relocatable| area.request(relocatable.pages, relocatable.align_order).ok()) {
                Some(request) => {
                    considered += 1;
                    may_move(Movable::new(bit, request));
                    bit += request.bits;
                }
                None => {
                    stays(bit);
                    bit += 1;
                }
            }
        }
    }

    /// Quiesces the owners of a plan, and adds the buffers' descriptors to `relocatable`.
    ///
    /// # Errors
    /// The first buffer whose owner is busy; the owners asked before it have resumed.
    fn quiesce(&mut self, base: Pfn, steps: &[Step], relocatable: &mut Vec<RelocatableBuffer>) -> Result<(), Pfn> {
        for (asked, step) in steps.iter().enumerate() {
            let first = base.add(step.from);
            let let_go = self.zone.relocatable(first).filter(|relocatable| {
                let owner = self.owners.of(relocatable);
                owner.is_some_and(|owner| owner.quiesce(relocatable.tag).is_ok())
            });
            let Some(descriptor) = let_go else {
                steps[..asked].iter().for_each(|step| self.resume(base.add(step.from)));
                return Err(first);
            };
            relocatable.push(descriptor);
        }
        Ok(())
    }

    /// Resumes the owner of the buffer that begins at `first`.
    fn resume(&mut self, first: Pfn) {
        if let Some(relocatable) = self.zone.relocatable(first)
            && let Some(owner) = self.owners.of(&relocatable)
        {
            owner.resume(relocatable.tag, first);
        }
    }
}
