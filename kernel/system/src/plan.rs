// SPDX-License-Identifier: MIT OR Apache-2.0

//! Plans of the moves of buffers that make room for a request: made on copies of the area's bitmap,
//! before any page is changed.
//!
//! A plan is a new place for some of the buffers. All their owners are quiesced before the first
//! page is copied, so that two buffers may exchange places: only the final places count, not the
//! order of the moves. A [`Planner`] tries, in this order:
//!
//! 1. Windows. The cheapest window is emptied: the aligned place without bits that must stay, whose
//!    buffers all rank below the request (see `rank`) and have the fewest pages. Its buffers are
//!    put elsewhere, the highest rank first: into a hole, or into the cheapest window of their own,
//!    whose buffers wait in turn. Those rank lower, so that each buffer is moved once.
//! 2. Sliding. From the lowest buffer up, each moves to the lowest place that fits it, until there
//!    is room.
//! 3. Packing. All buffers and the request are placed in the empty area, the highest rank first,
//!    each at the lowest place that fits it. One that finds no place is the first in the next of
//!    [`ROUNDS`] rounds.
//!
//! # When room is found
//! Room is found if any arrangement has it, every buffer may move, no other pages of the area are
//! in use, the heap has room for the plan, and either
//! - neither the buffers nor the request have an alignment: packing leaves no gap; or
//! - each of them is no longer than its alignment, or has the largest alignment of all (as every
//!   request aligned to its size, which Linux caps), and the area begins and ends at a multiple of
//!   the largest: packing puts those with the largest alignment side by side. Each takes whole
//!   blocks of that order, as it does in any arrangement, and leaves the rest after it; so does
//!   every lower order in the blocks that are left. The number of blocks left of an order depends
//!   on what was placed before, not on the places: if one finds no block, no arrangement has room.
//!   This is counted before any search ([`NoRoom::Full`]).
//!
//! For other mixtures, and around bits that stay, it is a search, and [`NoRoom::NotFound`] says
//! only that the three ways failed. No search at such a cost finds all room: buffers that stay
//! divide an area into bins, and whether buffers without alignment fit into bins is bin packing,
//! which is NP-hard; buffers of the largest alignment, one in each block, divide it the same way.
//! The tests count how much is missed, against all arrangements of small areas.
//!
//! # Cost
//! A window, sliding and a round of packing each place a buffer at most once. The search for
//! windows ends after [`MAX_LOOKS`] places; sliding and packing follow.

use alloc::vec::Vec;

use placement::bitmap::Bitmap;
use placement::{Placement, Request};
use placements::SpareHeads;

/// Most windows that are tried for a request, the cheapest first.
pub const WINDOWS: u32 = 16;
/// Most places that a plan examines for windows.
pub const MAX_LOOKS: u32 = 1 << 22;
/// Most rounds of packing.
pub const ROUNDS: u32 = 16;

/// A buffer that may move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Movable {
    /// Its first bit.
    pub bit: u32,
    /// Its first bit before the plan; [`NOWHERE`] for the request.
    from: u32,
    /// Its size, and the alignment of its allocation, which it keeps.
    pub request: Request,
}

/// The request has no place before the plan.
const NOWHERE: u32 = u32::MAX;

impl Movable {
    /// Makes a buffer that begins at `bit`.
    pub fn new(bit: u32, request: Request) -> Self {
        Self { bit, from: bit, request }
    }

    fn end(&self) -> u32 {
        self.bit + self.request.bits
    }
}

/// The move of a buffer. Steps are done together: a target may be another step's source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// Its first bit before.
    pub from: u32,
    /// Its first bit afterwards.
    pub to: u32,
    /// Its number of bits.
    pub bits: u32,
}

impl Step {
    fn of(buffer: &Movable) -> Self {
        Self { from: buffer.from, to: buffer.bit, bits: buffer.request.bits }
    }
}

/// Number of orders of a bitmap's length or an alignment.
const ORDERS: usize = 32;

/// Why no plan was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoRoom {
    /// No arrangement of the area's buffers has room.
    Full,
    /// No arrangement with room was found.
    NotFound,
}

/// A place for a request, ordered by its cost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Window {
    /// Pages of the buffers that would have to move.
    pages: u32,
    /// Its first bit.
    bit: u32,
}

/// State of an area under the plan.
pub struct Planner {
    /// Bits that are not free: those of `fixed` and of `movable`.
    taken: Bitmap,
    /// Bits that stay: of buffers that do not move, and of pages in use by others.
    fixed: Bitmap,
    /// Buffers that have a place, by address; also the request, when it has one.
    movable: Vec<Movable>,
    /// Buffers that wait for a place, by rank, the highest last.
    waiting: Vec<Movable>,
    /// Places that may still be examined for windows.
    looks: u32,
}

/// Returns the rank of a buffer: the larger of its length and its alignment, then alignment, then
/// length.
fn rank(request: &Request) -> (u32, u32, u32) {
    (request.bits.max(request.align_mask + 1), request.align_mask, request.bits)
}

impl Planner {
    /// Makes a planner from a map of the bits that must stay and the buffers that may move, by
    /// address; they do not overlap.
    pub fn new(fixed: Bitmap, movable: Vec<Movable>) -> Self {
        let taken = fixed.clone();
        let mut planner = Self { taken, fixed, movable, waiting: Vec::new(), looks: MAX_LOOKS };
        planner.mark();
        planner
    }

    /// Makes room for a request: returns the bit where it fits after the steps, and the steps, by
    /// target.
    ///
    /// # Errors
    /// No plan was found.
    pub fn make_room(mut self, request: &Request) -> Result<(u32, Vec<Step>), NoRoom> {
        if self.is_full_for(request) {
            return Err(NoRoom::Full);
        }
        let bit = self.by_windows(request).or_else(|| self.by_sliding(request)).or_else(|| self.by_packing(request));
        let bit = bit.ok_or(NoRoom::NotFound)?;
        self.movable.retain(|buffer| buffer.from != NOWHERE && buffer.from != buffer.bit);
        let mut steps = Vec::new();
        steps.try_reserve_exact(self.movable.len()).map_err(|_| NoRoom::NotFound)?;
        steps.extend(self.movable.iter().map(Step::of));
        Ok((bit, steps))
    }

    /// True if a count proves that no arrangement has room. It counts only under the conditions
    /// under which the module's documentation says that room is found.
    ///
    /// From the highest order down, each takes blocks of its order; their rest after the buffer,
    /// and the blocks left of the order, are for the lower orders.
    fn is_full_for(&self, request: &Request) -> bool {
        let all = || self.movable.iter().map(|buffer| &buffer.request).chain([request]);
        let largest = all().map(|request| request.align_mask).max().unwrap_or(0);
        let countable = |request: &Request| {
            request.align_offset == 0 && (request.bits <= request.align_mask + 1 || request.align_mask == largest)
        };
        if self.fixed.used() != 0 || self.taken.bits() & largest != 0 || !all().all(countable) {
            return false;
        }
        // By order: blocks that are wanted, and blocks from splitting the area, or the rest of a
        // larger block.
        let (mut wanted, mut given) = ([0_u32; ORDERS], [0_u32; ORDERS]);
        let mut give =
            |pages: u32| given.iter_mut().enumerate().for_each(|(order, blocks)| *blocks += pages >> order & 1);
        give(self.taken.bits());
        for request in all() {
            let order = request.align_mask.trailing_ones();
            wanted[order as usize] += request.bits.div_ceil(1 << order);
            give(request.bits.next_multiple_of(1 << order) - request.bits);
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

    /// Empties the cheapest window that can be emptied; if there is none, moves no buffer.
    fn by_windows(&mut self, request: &Request) -> Option<u32> {
        let mut tried = None;
        for _ in 0..WINDOWS {
            let window = self.next_window(request, tried)?;
            let asked = Movable { bit: window.bit, from: NOWHERE, request: *request };
            if self.put(asked).and_then(|()| self.place_waiting()).is_some() {
                return Some(window.bit);
            }
            self.restore();
            tried = Some(window);
        }
        None
    }

    /// Finds a place for every buffer that waits, and for those that this makes wait.
    fn place_waiting(&mut self) -> Option<()> {
        while let Some(&buffer) = self.waiting.last() {
            let bit = match self.hole(&buffer.request) {
                Some(bit) => bit,
                None => self.next_window(&buffer.request, None)?.bit,
            };
            self.waiting.pop();
            self.put(Movable { bit, ..buffer })?;
        }
        Some(())
    }

    /// Returns the cheapest window for a request, of those more expensive than `tried`.
    fn next_window(&mut self, request: &Request, tried: Option<Window>) -> Option<Window> {
        self.looks = self.looks.checked_sub(self.taken.bits() / (request.align_mask + 1))?;
        let (mut first, mut last) = (0, 0);
        // Pages of the buffers `first..last`, which overlap the window, and the number of them that
        // rank too high.
        let (mut pages, mut too_high) = (0, 0);
        let own_rank = rank(request);
        let counts = |buffer: &Movable| u32::from(rank(&buffer.request) >= own_rank);
        let mut best: Option<Window> = None;
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
            let window = Window { pages, bit };
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

    /// Puts a buffer at a place without bits that stay; buffers that it overlaps have to wait.
    /// `None` if there is no memory for those.
    fn put(&mut self, buffer: Movable) -> Option<()> {
        let Movable { bit, request, .. } = buffer;
        let first = self.movable.partition_point(|other| other.end() <= bit);
        let last = self.movable.partition_point(|other| other.bit < buffer.end());
        self.waiting.try_reserve(last - first + 1).ok()?;
        let key = |buffer: &Movable| (rank(&buffer.request), buffer.bit);
        for other in self.movable.splice(first..last, [buffer]) {
            let cleared = self.taken.clear(other.bit, other.request.bits);
            debug_assert_eq!(cleared, Ok(()));
            let place = self.waiting.partition_point(|waiting| key(waiting) < key(&other));
            self.waiting.insert(place, other);
        }
        self.taken.set(bit, request.bits);
        Some(())
    }

    /// Moves every buffer, from the lowest, to the lowest place that fits it, until the request has
    /// room.
    fn by_sliding(&mut self, request: &Request) -> Option<u32> {
        for index in 0..self.movable.len() {
            let Movable { bit, request: own, .. } = self.movable[index];
            let cleared = self.taken.clear(bit, own.bits);
            debug_assert_eq!(cleared, Ok(()));
            let to = self.taken.first_fit(&own, 0).map_or(bit, |to| to.min(bit));
            self.taken.set(to, own.bits);
            if to == bit {
                continue;
            }
            self.movable[index].bit = to;
            let place = self.movable.partition_point(|buffer| buffer.bit < to);
            self.movable[place..=index].rotate_right(1);
            let room = self.hole(request);
            if room.is_some() {
                return room;
            }
        }
        self.restore();
        None
    }

    /// Puts all buffers and the request into the empty area, the highest rank first.
    fn by_packing(&mut self, request: &Request) -> Option<u32> {
        self.movable.push(Movable { bit: 0, from: NOWHERE, request: *request });
        self.movable.sort_unstable_by(|a, b| rank(&b.request).cmp(&rank(&a.request)).then(a.from.cmp(&b.from)));
        for _ in 0..ROUNDS {
            self.taken.clone_from(&self.fixed);
            let taken = &mut self.taken;
            let lacks = self.movable.iter_mut().position(|buffer| match taken.first_fit(&buffer.request, 0) {
                Some(bit) => {
                    buffer.bit = bit;
                    taken.set(bit, buffer.request.bits);
                    false
                }
                None => true,
            });
            match lacks {
                Some(place) => self.movable[..=place].rotate_right(1),
                None => {
                    self.movable.sort_unstable_by_key(|buffer| buffer.bit);
                    return self.movable.iter().find(|buffer| buffer.from == NOWHERE).map(|asked| asked.bit);
                }
            }
        }
        None
    }

    /// Puts every buffer back to its first place, and removes the request.
    fn restore(&mut self) {
        self.movable.append(&mut self.waiting);
        self.movable.retain(|buffer| buffer.from != NOWHERE);
        self.movable.iter_mut().for_each(|buffer| buffer.bit = buffer.from);
        self.movable.sort_unstable_by_key(|buffer| buffer.bit);
        self.mark();
    }

    /// Marks the bits of `fixed` and `movable` taken.
    fn mark(&mut self) {
        self.taken.clone_from(&self.fixed);
        self.movable.iter().for_each(|buffer| self.taken.set(buffer.bit, buffer.request.bits));
    }
}

#[cfg(test)]
mod tests;
