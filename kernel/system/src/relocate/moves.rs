// SPDX-License-Identifier: MIT OR Apache-2.0

//! Execution of a plan: target pages are taken, contents copied, descriptors set, old pages freed.
//!
//! A page can be copied after the page at its target was copied. So copies begin at the targets
//! that were free, and continue from each to the source of its page. The moves that are left form
//! cycles; in each of them, one page waits in a separate buffer.

use alloc::vec::Vec;
use core::ops::Range;

use crate::System;
use crate::plan::Step;
use cma::{AreaId, Buffer};
use migration::live::space::OwnedFrame;
use page_alloc::RelocatableBuffer;
use placement::bitmap::Bitmap;
use units::PAGE_SIZE;

const PAGE_WORDS: usize = PAGE_SIZE as usize / size_of::<u32>();

/// Returns the first run of clear bits from `from` up to `end`.
fn clear_run(map: &Bitmap, from: u32, end: u32) -> Option<Range<u32>> {
    let bit = map.next_clear(from).filter(|&bit| bit < end)?;
    Some(bit..map.next_set(bit).min(end))
}

/// Returns the source of the page that moves to `to`, if one does. Steps are sorted by target.
fn origin(steps: &[Step], to: u32) -> Option<u32> {
    let step = steps[..steps.partition_point(|step| step.to <= to)].last()?;
    let offset = to - step.to;
    (offset < step.bits).then_some(step.from + offset)
}

impl System<'_> {
    /// Moves buffers whose owners are quiesced. Steps are sorted by target; `relocatable` has a
    /// descriptor for each.
    pub fn move_buffers(&mut self, id: AreaId, steps: &[Step], relocatable: Vec<RelocatableBuffer>) {
        let base = self.area(id).base();
        steps.iter().for_each(|step| self.zone.unhold(base.add(step.from)));
        // Targets whose page has been copied.
        let mut arrived = Bitmap::new(self.area(id).bitmap().bits());
        for step in steps {
            while let Some(run) = clear_run(self.area(id).bitmap(), step.to, step.to + step.bits) {
                let (bit, bits) = (run.start, run.len() as u32);
                self.area_mut(id).reserve(bit, bits);
                let taken = self.zone.take_range(base.add(bit), bits);
                debug_assert_eq!(taken, Ok(()), "a plan moves to free pages, and to those of others that move");
                run.for_each(|bit| self.fill(id, steps, bit, &mut arrived));
            }
        }
        for step in steps {
            while let Some(run) = clear_run(&arrived, step.to, step.to + step.bits) {
                self.turn(id, steps, run.start, &mut arrived);
            }
        }
        steps
            .iter()
            .zip(relocatable)
            .for_each(|(step, relocatable)| self.zone.set_relocatable(base.add(step.to), relocatable));
        for step in steps {
            let mut at = step.from;
            while let Some(run) = clear_run(&arrived, at, step.from + step.bits) {
                let (bit, bits) = (run.start, run.len() as u32);
                let unreserved = self.area_mut(id).release(base.add(bit), bits);
                debug_assert_eq!(unreserved, Ok(()), "what a buffer leaves was its own");
                self.zone.give_range(base.add(bit), bits);
                at = run.end;
            }
        }
    }

    /// Returns the page of a bit that is reserved for a buffer of the plan.
    fn page(&self, id: AreaId, bit: u32) -> OwnedFrame {
        OwnedFrame::of_buffer(&Buffer::new(id, self.area(id).frame(bit), 1), 0)
    }

    /// Copies to a page that was free, then to the source of that copy, and so on.
    fn fill(&mut self, id: AreaId, steps: &[Step], mut to: u32, arrived: &mut Bitmap) {
        while let Some(from) = origin(steps, to) {
            self.copy_frame(self.page(id, from), self.page(id, to));
            arrived.set(to, 1);
            to = from;
        }
    }

    /// Copies the pages of the cycle that contains page `first`.
    #[inline(never)]
    fn turn(&mut self, id: AreaId, steps: &[Step], first: u32, arrived: &mut Bitmap) {
        // An address space may show fewer words of a page, but not more.
        let mut outside = [0; PAGE_WORDS];
        let words = self.frame_words(self.page(id, first)).into_iter().flatten();
        outside.iter_mut().zip(words).for_each(|(to, &mut from)| *to = from);
        let mut to = first;
        while let Some(from) = origin(steps, to).filter(|&from| from != first) {
            self.copy_frame(self.page(id, from), self.page(id, to));
            arrived.set(to, 1);
            to = from;
        }
        let words = self.frame_words(self.page(id, to)).into_iter().flatten();
        words.zip(outside).for_each(|(to, from)| *to = from);
        arrived.set(to, 1);
    }
}
