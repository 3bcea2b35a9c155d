//! Which buffers have to move where, so that a request finds room: thought through on copies of the area's map, before
//! anything is touched.
//!
//! A [`Planner`] first looks for the cheapest window: an aligned place without anything that must stay, whose buffers have
//! the fewest pages, and all rank below the request (a smaller alignment, or the same and fewer pages). Each of them then
//! needs room in turn, the highest rank first: a hole, or the cheapest window of its own. Ranks fall from level to level,
//! so this ends. Where no window can be emptied, buffers slide down one after the other, each to the lowest place that fits
//! it, until there is room.
//!
//! What it finds: a buffer that is no longer than its alignment begins at the head of an aligned block of that order, and
//! what it leaves of the block is the same wherever it goes. So of buffers that rank higher only the number counts, not the
//! place, and any window that holds none of them is as good as any other: for such buffers, all of them movable, a window
//! that cannot be emptied means that no arrangement has room, except where every page that they could be moved by way of is
//! taken. Sliding does the same for buffers of any length without alignment. For mixtures, and around buffers that stay, it
//! is a good guess.
//!
//! Steps are done in their order; the target of each is free when its turn comes, except where a buffer slides over itself.

use alloc::vec::Vec;

use crate::bitmap::Bitmap;
use crate::{Placement, Request, SpareHeads};

/// So many windows are tried for a request, the cheapest first.
pub const WINDOWS: u32 = 16;
/// Most steps of a plan.
pub const MAX_STEPS: usize = 4096;

/// A buffer that may move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Movable {
    /// Its first bit.
    pub bit: u32,
    /// What was asked for when it was allocated: the alignment that it keeps.
    pub request: Request,
}

impl Movable {
    fn end(&self) -> u32 {
        self.bit + self.request.bits
    }
}

/// One buffer's way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// Where it begins.
    pub from: u32,
    /// Where it begins afterwards.
    pub to: u32,
    /// Its length.
    pub bits: u32,
}

/// Orders that a bitmap's length, or an alignment, can have.
const ORDERS: usize = 32;

/// Why no plan was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoRoom {
    /// There is none: no arrangement of what the area holds has any.
    Full,
    /// None was found.
    NotFound,
}

/// A change of the maps, to be undone.
enum Change {
    /// A buffer moved.
    Moved(Step),
    /// Clear bits of a window were set.
    Filled(u32, u32),
    /// A window is nobody's.
    Reserved(u32, u32),
}

/// Maps of an area as it would be.
pub struct Planner {
    /// Bits that somebody has.
    taken: Bitmap,
    /// Of them those that stay so: of buffers that do not move, of pages that others live in, of windows.
    fixed: Bitmap,
    /// By address.
    movable: Vec<Movable>,
    changes: Vec<Change>,
}

/// By what buffers rank: alignment, then length.
fn rank(request: &Request) -> (u32, u32) {
    (request.align_mask, request.bits)
}

impl Planner {
    /// Begins with a map of what must stay and the buffers that may move, by address; they do not overlap.
    pub fn new(fixed: Bitmap, movable: Vec<Movable>) -> Self {
        let mut taken = fixed.clone();
        movable.iter().for_each(|buffer| taken.set(buffer.bit, buffer.request.bits));
        Self { taken, fixed, movable, changes: Vec::new() }
    }

    /// Makes room for a request: the bit where it then fits, and the steps to be done before, in order.
    ///
    /// # Errors
    /// There is no plan.
    pub fn make_room(mut self, request: &Request) -> Result<(u32, Vec<Step>), NoRoom> {
        if self.is_full_for(request) {
            return Err(NoRoom::Full);
        }
        let bit = self.by_windows(request);
        let bit =
            bit.or_else(|| self.by_sliding(request)).or_else(|| self.by_windows(request)).ok_or(NoRoom::NotFound)?;
        let moved = |change: &Change| if let Change::Moved(step) = change { Some(*step) } else { None };
        Ok((bit, self.changes.iter().filter_map(moved).collect()))
    }

    /// True where it can be counted that no arrangement has room: nothing stays, and nothing is longer than its alignment.
    ///
    /// From the highest order down each takes a block of its order; what of it lies behind the buffer, and what is left of
    /// the order, is there for the lower ones.
    fn is_full_for(&self, request: &Request) -> bool {
        let all = || self.movable.iter().map(|buffer| &buffer.request).chain([request]);
        let countable = |request: &Request| request.bits <= request.align_mask + 1 && request.align_offset == 0;
        if self.fixed.used() != 0 || !all().all(countable) {
            return false;
        }
        let order_of = |request: &Request| request.align_mask.trailing_ones() as usize;
        // By order: blocks that are wanted, and those that the area, or the rest of a larger block, falls into.
        let (mut wanted, mut given) = ([0_u32; ORDERS], [0_u32; ORDERS]);
        let mut give =
            |pages: u32| given.iter_mut().enumerate().for_each(|(order, blocks)| *blocks += pages >> order & 1);
        give(self.taken.bits());
        for request in all() {
            wanted[order_of(request)] += 1;
            give(request.align_mask + 1 - request.bits);
        }
        let mut left = 0;
        for (wanted, given) in wanted.into_iter().zip(given).rev() {
            match (2 * left + given).checked_sub(wanted) {
                Some(rest) => left = rest,
                None => return true,
            }
        }
        false
    }

    fn hole(&self, request: &Request) -> Option<u32> {
        if request.bits > self.taken.free() { None } else { SpareHeads.place(&self.taken, request, 0) }
    }

    /// Empties the cheapest window that can be emptied; leaves the maps as they were where there is none.
    fn by_windows(&mut self, request: &Request) -> Option<u32> {
        let mut tried = None;
        for _ in 0..WINDOWS {
            let window = self.next_window(request, tried)?;
            let before = self.changes.len();
            if self.empty(window.1, request).is_some() {
                return Some(window.1);
            }
            self.undo(before);
            tried = Some(window);
        }
        None
    }

    /// A hole for a buffer, or the cheapest window once it has been emptied.
    fn room(&mut self, request: &Request) -> Option<u32> {
        if let Some(bit) = self.hole(request) {
            return Some(bit);
        }
        let (_, bit) = self.next_window(request, None)?;
        self.empty(bit, request)?;
        Some(bit)
    }

    /// The cheapest window for a request behind the one that was tried last: pages to move, and first bit.
    fn next_window(&self, request: &Request, tried: Option<(u32, u32)>) -> Option<(u32, u32)> {
        let (mut first, mut last) = (0, 0);
        // Pages of the buffers `first..last`, which overlap the window, and how many of them rank too high.
        let (mut pages, mut too_high) = (0, 0);
        let counts = |buffer: &Movable| u32::from(rank(&buffer.request) >= rank(request));
        let mut best: Option<(u32, u32)> = None;
        let mut bit = request.align_up(0)?;
        while bit.checked_add(request.bits).is_some_and(|end| end <= self.taken.bits()) {
            while let Some(buffer) = self.movable.get(last).filter(|buffer| buffer.bit < bit + request.bits) {
                pages += buffer.request.bits;
                too_high += counts(buffer);
                last += 1;
            }
            while let Some(buffer) = self.movable[..last].get(first).filter(|buffer| buffer.end() <= bit) {
                pages -= buffer.request.bits;
                too_high -= counts(buffer);
                first += 1;
            }
            let window = (pages, bit);
            if too_high == 0
                && tried.is_none_or(|tried| window > tried)
                && best.is_none_or(|best| window < best)
                && self.fixed.is_free(bit, request.bits)
            {
                best = Some(window);
            }
            bit += request.align_mask + 1;
        }
        best
    }

    /// Finds room elsewhere for every buffer that overlaps a window, highest rank first.
    fn empty(&mut self, bit: u32, request: &Request) -> Option<()> {
        let end = bit + request.bits;
        let mut at = bit;
        while let Some(clear) = self.taken.next_clear(at).filter(|&clear| clear < end) {
            at = self.taken.run_end(clear).min(end);
            self.taken.set(clear, at - clear);
            self.changes.push(Change::Filled(clear, at - clear));
        }
        self.fixed.set(bit, request.bits);
        self.changes.push(Change::Reserved(bit, request.bits));
        loop {
            let inside = |buffer: &&Movable| buffer.end() > bit && buffer.bit < end;
            let from = self.movable.partition_point(|buffer| buffer.end() <= bit);
            let overlapping = self.movable[from..].iter().take_while(inside);
            let Some(&buffer) = overlapping.max_by_key(|buffer| rank(&buffer.request)) else { return Some(()) };
            let to = self.room(&buffer.request)?;
            self.move_buffer(buffer.bit, to)?;
        }
    }

    /// Every buffer, from the lowest, goes to the lowest place that fits it, until the request has room.
    fn by_sliding(&mut self, request: &Request) -> Option<u32> {
        let mut at = 0;
        loop {
            let index = self.movable.partition_point(|buffer| buffer.bit < at);
            let &Movable { bit, request: own } = self.movable.get(index)?;
            at = bit + 1;
            self.release(bit, own.bits);
            let to = self.taken.first_fit(&own, 0);
            self.take(bit, own.bits);
            if let Some(to) = to.filter(|&to| to < bit) {
                self.move_buffer(bit, to)?;
                let room = self.hole(request);
                if room.is_some() {
                    return room;
                }
            }
        }
    }

    /// Moves the buffer that begins at a bit; `None` where the plan becomes too long.
    fn move_buffer(&mut self, from: u32, to: u32) -> Option<()> {
        if self.changes.len() >= MAX_STEPS || self.changes.try_reserve(1).is_err() {
            return None;
        }
        let bits = self.shift(from, to);
        self.changes.push(Change::Moved(Step { from, to, bits }));
        Some(())
    }

    /// Changes the maps as a move does; returns the buffer's length.
    fn shift(&mut self, from: u32, to: u32) -> u32 {
        let index = self.movable.partition_point(|buffer| buffer.bit < from);
        let behind = self.movable.partition_point(|buffer| buffer.bit < to);
        let bits = self.movable[index].request.bits;
        self.release(from, bits);
        self.take(to, bits);
        self.movable[index].bit = to;
        if behind <= index {
            self.movable[behind..=index].rotate_right(1);
        } else {
            self.movable[index..behind].rotate_left(1);
        }
        bits
    }

    /// Clears the bits of a buffer; those of a window stay.
    fn release(&mut self, bit: u32, bits: u32) {
        self.pieces(bit, bits, |taken, from, to| {
            let cleared = taken.clear(from, to - from);
            debug_assert_eq!(cleared, Ok(()));
        });
    }

    /// Sets the bits of a buffer; those of a window are set.
    fn take(&mut self, bit: u32, bits: u32) {
        self.pieces(bit, bits, |taken, from, to| taken.set(from, to - from));
    }

    /// Does something to each run of bits that are not fixed.
    fn pieces(&mut self, bit: u32, bits: u32, act: impl Fn(&mut Bitmap, u32, u32)) {
        let end = bit + bits;
        let mut at = bit;
        while let Some(from) = self.fixed.next_clear(at).filter(|&from| from < end) {
            at = self.fixed.run_end(from).min(end);
            act(&mut self.taken, from, at);
        }
    }

    /// Takes changes back until so many are left.
    fn undo(&mut self, left: usize) {
        while self.changes.len() > left {
            match self.changes.pop() {
                Some(Change::Moved(Step { from, to, .. })) => {
                    self.shift(to, from);
                }
                Some(Change::Filled(bit, bits)) => {
                    let cleared = self.taken.clear(bit, bits);
                    debug_assert_eq!(cleared, Ok(()));
                }
                Some(Change::Reserved(bit, bits)) => {
                    let cleared = self.fixed.clear(bit, bits);
                    debug_assert_eq!(cleared, Ok(()));
                }
                None => return,
            }
        }
    }
}

#[cfg(test)]
pub mod tests;
