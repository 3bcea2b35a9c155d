//! Upper bounds on the free runs of a bitmap, by which a search leaves out what cannot hold a request.
//!
//! A node is 256 bits, the largest alignment that Linux gives a request (2^[`CMA_ALIGNMENT`] pages), a group is 16
//! nodes. For each node and each group, and for each alignment order from 0 to 8 (a lane), there is a bound on the
//! longest free run that begins there on an aligned bit, however far it reaches. Bounds stop counting at 255: longer is
//! as good as 255 to them. Of longer runs it is known how long the longest is at most, and which request was the last to
//! find none.
//!
//! What holds true: no bound is ever below the truth. It may be above it: allocating leaves the bounds as they are, a
//! release raises those of the runs that it makes longer, and a search that finds a bound to promise too much lowers it.
//! So a node is visited in vain at most once in a lane for each time something changed in it.

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

/// One bound a lane; a power of two of them, by which rows are found with a shift.
type Lanes = [Cell<u8>; LANES_OF_ROW];
const LANES_OF_ROW: usize = LANES.next_power_of_two();

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// Whole groups of them; behind the bitmap nothing ever begins.
    nodes: Vec<Lanes>,
    groups: Vec<Lanes>,
    /// No run is longer than this; one that was as long began at `longest_at`.
    longest: Cell<u32>,
    longest_at: Cell<u32>,
    /// No run of so many bits, more than 255, begins on a bit that is aligned to this lane.
    lacking: Cell<(u32, usize)>,
}

/// Nothing was looked for in vain.
const NOTHING: (u32, usize) = (u32::MAX, 0);

/// The same bound in every lane.
#[inline]
fn lanes(bound: u8) -> Lanes {
    core::array::from_fn(|_| Cell::new(bound))
}

/// The first aligned bit at or after `bit`.
#[inline(always)]
const fn align_up(bit: u32, lane: usize) -> u32 {
    (bit + (1 << lane) - 1) >> lane << lane
}

#[inline(always)]
fn raise(bound: &Cell<u8>, length: u8) {
    if bound.get() < length {
        bound.set(length);
    }
}

/// The first of `from..end` whose bound in a lane allows a run of `length` bits.
#[inline]
fn next(bounds: &[Lanes], from: u32, end: u32, lane: usize, length: u32) -> Option<u32> {
    let length = length.min(SATURATED) as u8;
    // Four a step: one load, one comparison and one branch each.
    let (fours, rest) = bounds.get(from as usize..end as usize)?.as_chunks::<4>();
    for (step, four) in fours.iter().enumerate() {
        for (nth, bounds) in four.iter().enumerate() {
            if bounds[lane].get() >= length {
                return Some(from + (step * 4 + nth) as u32);
            }
        }
    }
    let found = rest.iter().position(|bounds| bounds[lane].get() >= length)?;
    Some(from + (fours.len() * 4 + found) as u32)
}

impl Bounds {
    /// Bounds of an area that may be wholly free.
    pub(super) fn new(bits: u32) -> Self {
        let nodes = bits.div_ceil(NODE_BITS);
        let groups = nodes.div_ceil(GROUP_NODES);
        let all = lanes(SATURATED as u8);
        let mut rows = vec![all.clone(); nodes as usize];
        rows.resize((groups * GROUP_NODES) as usize, lanes(0));
        Self {
            nodes: rows,
            groups: vec![all; groups as usize],
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
        let (lane, length) = (lane % LANES_OF_ROW, length as u8);
        let groups = self.groups.iter().zip(self.nodes.as_chunks::<{ GROUP_NODES as usize }>().0);
        for (of_group, (group, nodes)) in (0..).step_by(GROUP_NODES as usize).zip(groups) {
            if group[lane].get() < length {
                continue;
            }
            for (node, of_node) in (of_group..).zip(nodes) {
                if of_node[lane].get() >= length {
                    let found = look(node);
                    if found.is_some() {
                        return found;
                    }
                    of_node[lane].set(length - 1);
                }
            }
            group[lane].set(length - 1);
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
            self.nodes[node as usize][lane].set(length as u8 - 1);
        }
    }

    /// The bits `start..end` were allocated. Nodes that lie wholly in them hold nothing now; the rest is left to the
    /// searches to find out.
    #[inline]
    pub(super) fn allocated(&mut self, start: u32, end: u32) {
        let (first, last) = (start.div_ceil(NODE_BITS) as usize, (end / NODE_BITS) as usize);
        if first < last {
            self.nodes[first..last].iter_mut().for_each(|bounds| *bounds = lanes(0));
        }
    }

    /// The bits `start..end` were released and are now part of the free run `from..to`.
    ///
    /// Bits further than [`SATURATED`] before `start` began runs of that length before.
    #[inline]
    pub(super) fn released(&mut self, start: u32, end: u32, from: u32, to: u32) {
        if to - from >= self.longest.get() {
            self.see_longest(to - from, from);
        }
        if to - from >= self.lacking.get().0 {
            self.lacking.set(NOTHING);
        }
        let (first, last) = (from.max(start.saturating_sub(SATURATED)) / NODE_BITS, (end - 1) / NODE_BITS);
        // Nodes that lie wholly in the released bits begin runs of more than can be counted, in every lane.
        let (whole, after) = (start.div_ceil(NODE_BITS), end / NODE_BITS);
        if whole >= after {
            self.raise_from::<true>(first, from, to);
            (first + 1..=last).for_each(|node| self.raise_all::<true>(node, to));
            return;
        }
        let all = |bounds: &mut [Lanes]| bounds.iter_mut().for_each(|bounds| *bounds = lanes(SATURATED as u8));
        let (first_group, last_group) = (whole / GROUP_NODES, (after - 1) / GROUP_NODES);
        all(&mut self.nodes[whole as usize..after as usize]);
        all(&mut self.groups[first_group as usize..=last_group as usize]);
        // Groups that have such nodes have nothing above them.
        if first < whole {
            if first / GROUP_NODES == first_group {
                self.raise_from::<false>(first, from, to);
            } else {
                self.raise_from::<true>(first, from, to);
            }
            (first + 1..whole).for_each(|node| self.raise_all::<true>(node, to));
        }
        if after <= last {
            if last / GROUP_NODES == last_group {
                self.raise_all::<false>(last, to);
            } else {
                self.raise_all::<true>(last, to);
            }
        }
    }

    /// Raises the bounds of a node that the free run `from..to` begins in, or goes on in, and those of its group if asked.
    #[inline(always)]
    fn raise_from<const GROUP: bool>(&self, node: u32, from: u32, to: u32) {
        let first = from.max(node * NODE_BITS);
        let end = (node + 1) * NODE_BITS;
        let limit = to.min(end);
        let group = &self.groups[(node / GROUP_NODES) as usize];
        let node = &self.nodes[node as usize];
        if to >= end + SATURATED {
            // More than can be counted, from every bit of the node: in the lanes that have an aligned one behind `first`.
            let lanes = (end - first).ilog2() as usize + 1;
            for lane in 0..LANES {
                if lane >= lanes {
                    break;
                }
                node[lane].set(SATURATED as u8);
                if GROUP {
                    group[lane].set(SATURATED as u8);
                }
            }
            return;
        }
        for lane in 0..LANES {
            let aligned = align_up(first, lane);
            if aligned >= limit {
                break;
            }
            let length = (to - aligned).min(SATURATED) as u8;
            // A search may have lowered the group's bound below the node's.
            raise(&node[lane], length);
            if GROUP {
                raise(&group[lane], length);
            }
        }
    }

    /// Raises the bounds of a node whose first bit, which is aligned to every lane, is in a free run that ends at `to`, and
    /// those of its group if asked.
    #[inline(always)]
    fn raise_all<const GROUP: bool>(&self, node: u32, to: u32) {
        let length = (to - node * NODE_BITS).min(SATURATED) as u8;
        let group = &self.groups[(node / GROUP_NODES) as usize];
        let node = &self.nodes[node as usize];
        if u32::from(length) == SATURATED {
            node[..LANES].iter().for_each(|bound| bound.set(length));
            if GROUP {
                group[..LANES].iter().for_each(|bound| bound.set(length));
            }
            return;
        }
        for lane in 0..LANES {
            raise(&node[lane], length);
            if GROUP {
                raise(&group[lane], length);
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
        (self.nodes[node as usize][lane].get(), group[lane].get(), area)
    }
}
