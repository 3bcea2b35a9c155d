// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which buffers have to move where, so that a request finds room: thought through on copies of the
//! area's map, before anything is touched.
//!
//! A plan is a new place for some of the buffers. All of them let go before the first page is
//! copied, so that two buffers may change places: only where the buffers end counts, never by way
//! of what. A [`Planner`] tries, in this order:
//!
//! 1. Windows. The cheapest aligned place without anything that must stay, whose buffers have the
//!    fewest pages and all rank below the request (see `rank`), is emptied. What lay there is put
//!    elsewhere, the highest rank first: into a hole, or into the cheapest window of its own, whose
//!    buffers wait in turn. They rank lower, so that each buffer is moved once.
//! 2. Sliding. Buffers go, one after the other from the lowest, to the lowest place that fits them,
//!    until there is room.
//! 3. Packing. All buffers and the request are put into the area anew, the highest rank first, each
//!    at the lowest place that fits it. One that finds none is first in the next of [`ROUNDS`]
//!    rounds.
//!
//! # When room is found
//! Whenever any arrangement has room, if every buffer may move, nothing else lives in the area, the
//! heap holds the plan, and either
//! - no buffer and not the request has an alignment: packing leaves no gap; or
//! - each of them is no longer than its alignment, or has the largest alignment that there is
//!   (every request whose alignment is that of its size, which Linux caps), and the area begins and
//!   ends at a multiple of the largest: packing puts those with the largest alignment side by side.
//!   Each takes whole blocks of that order, as it does anywhere, and leaves what is behind it; so
//!   does every next order in the blocks that are left. How many blocks of an order are left
//!   depends on what was put before, not on where: where one finds none, no arrangement has room.
//!   It is counted before any search ([`NoRoom::Full`]).
//!
//! For other mixtures, and around what stays, it is a search, and [`NoRoom::NotFound`] says only
//! that the three ways failed. No search of such a cost finds all: buffers that stay cut an area
//! into bins, and whether buffers without alignment fit into bins is bin packing, which is NP-hard;
//! buffers of the largest alignment, one in each block, cut it the same way. How much is missed is
//! counted in the tests, against all arrangements of small areas.
//!
//! # Cost
//! A window, sliding and a round of packing each place a buffer at most once. Looking for windows
//! ends after [`MAX_LOOKS`] places; sliding and packing go on.

use alloc::vec::Vec;

use placement::bitmap::Bitmap;
use placement::{Placement, Request};
use placements::SpareHeads;

/// How many windows are tried for a request, the cheapest first.
pub const WINDOWS: u32 = 16;
/// How many places are looked at for windows, in all that a plan tries.
pub const MAX_LOOKS: u32 = 1 << 22;
/// How often packing begins anew.
pub const ROUNDS: u32 = 16;

/// A buffer that may move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Movable {
    /// Its first bit.
    pub bit: u32,
    /// Where it begins before the plan; [`NOWHERE`] for the request.
    from: u32,
    /// What was asked for when it was allocated: the alignment that it keeps.
    pub request: Request,
}

/// Where the request comes from.
const NOWHERE: u32 = u32::MAX;

impl Movable {
    /// A buffer that begins at a bit.
    pub fn new(bit: u32, request: Request) -> Self {
        Self { bit, from: bit, request }
    }

    fn end(&self) -> u32 {
        self.bit + self.request.bits
    }
}

/// One buffer's way. Steps are done together: a target may be another's source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// Where it begins.
    pub from: u32,
    /// Where it begins afterwards.
    pub to: u32,
    /// Its length.
    pub bits: u32,
}

impl Step {
    fn of(buffer: &Movable) -> Self {
        Self { from: buffer.from, to: buffer.bit, bits: buffer.request.bits }
    }
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

/// A place that a request could be given, by what that costs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Window {
    /// Pages of the buffers that would have to move.
    pages: u32,
    /// Its first bit.
    bit: u32,
}

/// Maps of an area as it would be.
pub struct Planner {
    /// Bits that are not free: those that stay, and those of `movable`.
    taken: Bitmap,
    /// Bits that stay as they are: of buffers that do not move, of pages that others live in.
    fixed: Bitmap,
    /// Buffers that have a place, by address; the request too, once it has one.
    movable: Vec<Movable>,
    /// Buffers that wait for a place, by rank, the highest last.
    waiting: Vec<Movable>,
    /// How many places may still be looked at for windows.
    looks: u32,
}

/// By what buffers rank: how many pages without a gap they need, or block their alignment; then
/// alignment, then length.
fn rank(request: &Request) -> (u32, u32, u32) {
    (request.bits.max(request.align_mask + 1), request.align_mask, request.bits)
}

impl Planner {
    /// Begins with a map of what must stay and the buffers that may move, by address; they do not
    /// overlap.
    pub fn new(fixed: Bitmap, movable: Vec<Movable>) -> Self {
        let taken = fixed.clone();
        let mut planner = Self { taken, fixed, movable, waiting: Vec::new(), looks: MAX_LOOKS };
        planner.mark();
        planner
    }

    /// Makes room for a request: the bit where it then fits, and the steps to be done before, by
    /// target.
    ///
    /// # Errors
    /// There is no plan.
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

    /// True where it can be counted that no arrangement has room, which is where the module says
    /// that room is found.
    ///
    /// From the highest order down each takes blocks of its order; what of them lies behind the
    /// buffer, and what is left of the order, is there for the lower ones.
    fn is_full_for(&self, request: &Request) -> bool {
        let all = || self.movable.iter().map(|buffer| &buffer.request).chain([request]);
        let largest = all().map(|request| request.align_mask).max().unwrap_or(0);
        let countable = |request: &Request| {
            request.align_offset == 0 && (request.bits <= request.align_mask + 1 || request.align_mask == largest)
        };
        if self.fixed.used() != 0 || self.taken.bits() & largest != 0 || !all().all(countable) {
            return false;
        }
        // By order: blocks that are wanted, and those that the area, or the rest of a larger block,
        // falls into.
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

    /// Empties the cheapest window that can be emptied; leaves everything where it was if none can.
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

    /// Finds a place for every buffer that waits, and for those that have to wait then.
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

    /// The cheapest window for a request behind the one that was tried last.
    fn next_window(&mut self, request: &Request, tried: Option<Window>) -> Option<Window> {
        self.looks = self.looks.checked_sub(self.taken.bits() / (request.align_mask + 1))?;
        let (mut first, mut last) = (0, 0);
        // Pages of the buffers `first..last`, which overlap the window, and how many of them rank
        // too high.
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

    /// Puts a buffer where nothing stays; whatever it overlaps has to wait. `None` without memory
    /// for those.
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

    /// Every buffer, from the lowest, goes to the lowest place that fits it, until the request has
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

    /// Puts everything and the request into the empty area, the highest rank first.
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

    /// Puts every buffer back to where it was; the request is gone.
    fn restore(&mut self) {
        self.movable.append(&mut self.waiting);
        self.movable.retain(|buffer| buffer.from != NOWHERE);
        self.movable.iter_mut().for_each(|buffer| buffer.bit = buffer.from);
        self.movable.sort_unstable_by_key(|buffer| buffer.bit);
        self.mark();
    }

    /// Marks what is taken.
    fn mark(&mut self) {
        self.taken.clone_from(&self.fixed);
        self.movable.iter().for_each(|buffer| self.taken.set(buffer.bit, buffer.request.bits));
    }
}

#[cfg(test)]
mod tests;
