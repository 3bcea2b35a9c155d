//! Upper bounds on the free runs of a bitmap, by which a search leaves out what cannot hold a request.
//!
//! A node is 256 bits, the largest alignment that Linux gives a request (2^[`CMA_ALIGNMENT`] pages), a group is 16
//! nodes. For each node and each group, and for each alignment order from 0 to 8 (a lane), there is a bound on the
//! longest free run that begins there on an aligned bit, however far it reaches. Bounds stop counting at 255: longer is
//! as good as 255 to them. Of longer runs it is known how long the longest is at most, and which request was the last to
//! find none.
//!
//! What holds true: no bound is ever below the truth, and none of a group below those of its nodes. They may be above it:
//! allocating leaves the bounds as they are, a release raises those of the runs that it makes longer, and a search that
//! finds a bound to promise too much lowers it. So a node is visited in vain at most once in a lane for each time
//! something changed in it.

use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

use super::CMA_ALIGNMENT;

/// Alignment orders that have bounds of their own.
pub(super) const LANES: usize = CMA_ALIGNMENT as usize + 1;
/// Bits in a node.
pub(super) const NODE_BITS: u32 = 1 << CMA_ALIGNMENT;
/// Nodes in a group.
pub(super) const GROUP_NODES: u32 = 16;
/// Node and group bounds count up to here.
pub(super) const SATURATED: u32 = u8::MAX as u32;
/// The bound that allows every run.
const FULL: u8 = SATURATED as u8;

/// One bound a lane; a power of two of them, by which rows are found with a shift, and aligned, so that a row is filled with
/// four words.
#[derive(Clone, Debug)]
#[repr(align(16))]
struct Row([Cell<u8>; Row::LANES]);

impl Row {
    const LANES: usize = LANES.next_power_of_two();
    /// Rows from which on a call costs less than the loop.
    const MANY: usize = 16;

    /// The same bound in every lane. What is behind the lanes means nothing; it differs, so that a compiler does not call
    /// `memset` for the few rows that there mostly are.
    const fn filled(bound: u8) -> Self {
        let mut row = Self([const { Cell::new(1) }; Self::LANES]);
        let mut lane = 0;
        while lane < LANES {
            row.0[lane] = Cell::new(bound);
            lane += 1;
        }
        row
    }

    /// The same bound in all of the rows: most often one or two, but hundreds where a buffer takes the whole of an area, for
    /// which `memset` is called.
    #[inline(always)]
    fn fill<const BOUND: u8>(rows: &mut [Self]) {
        if rows.len() > Self::MANY {
            Self::fill_many::<BOUND>(rows);
        } else {
            rows.iter_mut().for_each(|row| *row = const { Self::filled(BOUND) });
        }
    }

    #[inline(never)]
    fn fill_many<const BOUND: u8>(rows: &mut [Self]) {
        rows.iter_mut().for_each(|row| *row = Self([const { Cell::new(BOUND) }; Self::LANES]));
    }

    #[inline(always)]
    fn lane(&self, lane: usize) -> &Cell<u8> {
        &self.0[lane % Self::LANES]
    }

    /// A run of so many bits begins here on a bit that is aligned to the lane; true where that was not known.
    #[inline(always)]
    fn raise(&self, lane: usize, length: u8) -> bool {
        let bound = self.lane(lane);
        let news = bound.get() < length;
        if news {
            bound.set(length);
        }
        news
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// Whole groups of them; behind the bitmap nothing ever begins.
    nodes: Vec<Row>,
    groups: Vec<Row>,
    /// No run is longer than this; one that was as long began at `longest_at`.
    longest: Cell<u32>,
    longest_at: Cell<u32>,
    /// No run of so many bits, more than 255, begins on a bit that is aligned to this lane.
    lacking: Cell<(u32, usize)>,
}

/// Nothing was looked for in vain.
const NOTHING: (u32, usize) = (u32::MAX, 0);

/// The first aligned bit at or after `bit`.
#[inline(always)]
const fn align_up(bit: u32, lane: usize) -> u32 {
    (bit + (1 << lane) - 1) >> lane << lane
}

/// The first of `from..end` whose bound in a lane allows a run of `length` bits.
#[inline]
fn next(bounds: &[Row], from: u32, end: u32, lane: usize, length: u32) -> Option<u32> {
    let length = length.min(SATURATED) as u8;
    // Four a step: one load, one comparison and one branch each.
    let (fours, rest) = bounds.get(from as usize..end as usize)?.as_chunks::<4>();
    for (step, four) in fours.iter().enumerate() {
        for (nth, bounds) in four.iter().enumerate() {
            if bounds.lane(lane).get() >= length {
                return Some(from + (step * 4 + nth) as u32);
            }
        }
    }
    let found = rest.iter().position(|bounds| bounds.lane(lane).get() >= length)?;
    Some(from + (fours.len() * 4 + found) as u32)
}

impl Bounds {
    /// Bounds of an area that may be wholly free.
    pub(super) fn new(bits: u32) -> Self {
        let nodes = bits.div_ceil(NODE_BITS);
        let groups = nodes.div_ceil(GROUP_NODES);
        let mut rows = vec![Row::filled(FULL); nodes as usize];
        rows.resize((groups * GROUP_NODES) as usize, Row::filled(0));
        Self {
            nodes: rows,
            groups: vec![Row::filled(FULL); groups as usize],
            longest: Cell::new(bits),
            longest_at: Cell::new(0),
            lacking: Cell::new(NOTHING),
        }
    }

    /// No free run is longer than this; one that was as long began at this bit.
    pub(super) fn longest_seen(&self) -> (u32, u32) {
        (self.longest.get(), self.longest_at.get())
    }

    /// The longest free run is this long and begins at this bit.
    pub(super) fn see_longest(&self, length: u32, at: u32) {
        self.longest.set(length);
        self.longest_at.set(at);
    }

    /// True where a run of `length` bits may begin in the area. The groups say it of shorter ones.
    #[inline]
    pub(super) fn area_may_hold(&self, lane: usize, length: u32) -> bool {
        let (lacking, coarsest) = self.lacking.get();
        length <= self.longest.get() && (length < lacking || lane < coarsest)
    }

    /// No run of `length` bits begins anywhere on an aligned bit.
    #[inline]
    pub(super) fn area_lacks(&self, lane: usize, length: u32) {
        if length > SATURATED {
            self.lacking.set((length, lane));
        }
    }

    /// First-fit of a request of so many bits, at most [`SATURATED`], node by node: `look` at those whose bounds allow it.
    /// Of nodes and groups that are looked at in vain that is known then.
    #[inline(always)]
    pub(super) fn first_fit_in_nodes(
        &self,
        lane: usize,
        length: u32,
        look: impl Fn(u32) -> Option<u32>,
    ) -> Option<u32> {
        debug_assert!(length <= SATURATED);
        let length = length as u8;
        let groups = self.groups.iter().zip(self.nodes.as_chunks::<{ GROUP_NODES as usize }>().0);
        for (of_group, (group, nodes)) in (0..).step_by(GROUP_NODES as usize).zip(groups) {
            if group.lane(lane).get() < length {
                continue;
            }
            for (node, of_node) in (of_group..).zip(nodes) {
                if of_node.lane(lane).get() >= length {
                    let found = look(node);
                    if found.is_some() {
                        return found;
                    }
                    of_node.lane(lane).set(length - 1);
                }
            }
            group.lane(lane).set(length - 1);
        }
        None
    }

    /// The first node at or after `node` where a run of `length` bits may begin.
    pub(super) fn next_node(&self, mut node: u32, lane: usize, length: u32) -> Option<u32> {
        while let Some(group) = next(&self.groups, node / GROUP_NODES, self.groups.len() as u32, lane, length) {
            node = node.max(group * GROUP_NODES);
            let end = (group + 1) * GROUP_NODES;
            let found = next(&self.nodes, node, end, lane, length);
            if found.is_some() {
                return found;
            }
            node = end;
        }
        None
    }

    /// No run of `length` bits begins in the node on an aligned bit.
    #[inline]
    pub(super) fn node_lacks(&self, node: u32, lane: usize, length: u32) {
        if length <= SATURATED {
            self.nodes[node as usize].lane(lane).set(length as u8 - 1);
        }
    }

    /// The bits `start..end` were allocated. Nodes that lie wholly in them hold nothing now; the rest is left to the
    /// searches to find out.
    #[inline]
    pub(super) fn allocated(&mut self, start: u32, end: u32) {
        let (first, last) = (start.div_ceil(NODE_BITS) as usize, (end / NODE_BITS) as usize);
        if first < last {
            Row::fill::<0>(&mut self.nodes[first..last]);
        }
    }

    /// The bits `start..end` were released and are now part of the free run `from..to`.
    #[inline(always)]
    pub(super) fn released(&mut self, start: u32, end: u32, from: u32, to: u32) {
        if to - from >= self.longest.get() {
            self.see_longest(to - from, from);
        }
        if to - from >= self.lacking.get().0 {
            self.lacking.set(NOTHING);
        }
        // Bits further than that before the start began runs of more than can be counted before.
        let first = from.max(start.saturating_sub(SATURATED)) / NODE_BITS;
        if first == (end - 1) / NODE_BITS {
            self.raise::<true>(first, from.max(first * NODE_BITS), to);
        } else {
            self.released_over_nodes(first, (start, end), from, to);
        }
    }

    /// The same where the bounds of several nodes change, from `first` on.
    #[inline(never)]
    fn released_over_nodes(&mut self, first: u32, (start, end): (u32, u32), from: u32, to: u32) {
        // Nodes that lie wholly in the released bits begin runs of more than can be counted, in every lane.
        let (whole, after) = (start.div_ceil(NODE_BITS), end / NODE_BITS);
        let last = (end - 1) / NODE_BITS;
        for node in first..whole {
            self.raise::<true>(node, from.max(node * NODE_BITS), to);
        }
        if whole < after {
            let (first_group, last_group) = (whole / GROUP_NODES, (after - 1) / GROUP_NODES);
            Row::fill::<FULL>(&mut self.nodes[whole as usize..after as usize]);
            let groups = &mut self.groups[first_group as usize..=last_group as usize];
            groups.iter_mut().for_each(|row| *row = const { Row::filled(FULL) });
            // Nothing is above the bounds of such a group.
            if after <= last && last / GROUP_NODES == last_group {
                return self.raise::<false>(last, last * NODE_BITS, to);
            }
        }
        if after <= last {
            self.raise::<true>(last, last * NODE_BITS, to);
        }
    }

    /// Raises the bounds of a node, and of its group if asked, for the free run that begins in it at `first`, or goes on
    /// there, and ends at `to`.
    #[inline(always)]
    fn raise<const GROUP: bool>(&self, node: u32, first: u32, to: u32) {
        let end = (node + 1) * NODE_BITS;
        let (group, node) = (&self.groups[(node / GROUP_NODES) as usize], &self.nodes[node as usize]);
        if to >= end + SATURATED {
            // More than can be counted, from every bit: in the lanes that have an aligned one behind `first`.
            let lanes = (end - first).ilog2() as usize + 1;
            for lane in 0..LANES {
                if lane >= lanes {
                    break;
                }
                node.lane(lane).set(FULL);
                if GROUP {
                    group.lane(lane).set(FULL);
                }
            }
            return;
        }
        let limit = to.min(end);
        for lane in 0..LANES {
            let aligned = align_up(first, lane);
            if aligned >= limit {
                break;
            }
            let length = (to - aligned).min(SATURATED) as u8;
            if node.raise(lane, length) && GROUP {
                group.raise(lane, length);
            }
        }
    }

    /// Memory that the bounds take, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        size_of_val(self.nodes.as_slice()) + size_of_val(self.groups.as_slice())
    }

    /// The bounds of one node, its group and the area, for the tests.
    #[cfg(test)]
    pub(super) fn of_node(&self, node: u32, lane: usize) -> (u8, u8, u32) {
        let group = &self.groups[(node / GROUP_NODES) as usize];
        let (lacking, coarsest) = self.lacking.get();
        let area = if lane >= coarsest { self.longest.get().min(lacking - 1) } else { self.longest.get() };
        (self.nodes[node as usize].lane(lane).get(), group.lane(lane).get(), area)
    }
}
