// SPDX-License-Identifier: MIT OR Apache-2.0

//! A group: 32 nodes of a bitmap, which of them are wholly free or wholly taken, and upper bounds on the runs in each and in
//! all of them (see `bounds`).
//!
//! Nodes that a buffer takes as a whole are two bits here, and their bounds are not kept; where a free one is begun, its
//! bounds allow everything until a search learns better. No bound of a touched node is ever below the truth, and none of
//! the group's below those of its nodes, whatever these mean.

use core::cell::Cell;
use core::num::NonZeroU32;

use super::bounds::{Bounds, SATURATED};
use super::node::{self, NODE_BITS, Node};
use super::words::mask;

/// Nodes in a group: as many as a word has bits.
pub(super) const GROUP_NODES: u32 = u32::BITS;
/// Bits in a group.
pub(super) const GROUP_BITS: u32 = GROUP_NODES * NODE_BITS;
/// The words of a group.
pub(super) type GroupWords = [Node; GROUP_NODES as usize];

/// A part of a group that is free, in bits from the group's first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    from: u32,
    to: NonZeroU32,
}

impl Run {
    fn new(from: u32, to: u32) -> Option<Self> {
        debug_assert!(from < to && to <= GROUP_BITS);
        Some(Self { from, to: NonZeroU32::new(to)? })
    }

    /// The first bit.
    pub(super) fn from(self) -> u32 {
        self.from
    }

    /// The first bit behind it.
    pub(super) fn to(self) -> u32 {
        self.to.get()
    }
}

/// What is known of the nodes of a group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// One bit a node: set where any bit of the node is, and where it reaches beyond the last bit of the bitmap.
    touched: u32,
    /// One bit a node: set where a buffer took the whole of it, and only where all of its bits are set.
    taken: u32,
    /// Of the runs that begin here and leave the node that they begin in.
    leaving: Cell<Lacking>,
    /// On the runs in each touched node. Those of a free or a taken one are left from before, and mean nothing.
    nodes: [Bounds; GROUP_NODES as usize],
    /// No bound of a node is above these.
    most: Bounds,
}

/// A request that found no room: no run of so many bits begins on a bit that is aligned to the lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lacking {
    /// In bits.
    pub(super) length: u32,
    /// log2 of the alignment, at most that of a node.
    pub(super) lane: usize,
}

impl Lacking {
    /// Nothing was looked for in vain.
    pub(super) const NOTHING: Self = Self { length: u32::MAX, lane: 0 };

    /// True where there may be room for another request.
    #[inline(always)]
    pub(super) const fn allows(self, lane: usize, length: u32) -> bool {
        length < self.length || lane < self.lane
    }
}

impl Group {
    /// A group of which so many bits, the lowest, are the bitmap's, and clear.
    pub(super) fn new(bits: u32) -> Self {
        let whole = bits / NODE_BITS;
        let touched = if whole == 0 { u32::MAX } else { !mask(0, whole.min(GROUP_NODES)) };
        Self {
            touched,
            taken: 0,
            leaving: Cell::new(Lacking::NOTHING),
            nodes: [const { Bounds::full() }; GROUP_NODES as usize],
            most: Bounds::full(),
        }
    }

    /// The nodes with set bits, a bit each.
    #[inline(always)]
    pub(super) fn touched(&self) -> u32 {
        self.touched
    }

    /// How many nodes are free right before those that a run lies in, and right behind; `None` where they may go on in other
    /// groups.
    #[inline(always)]
    pub(super) fn free_around(&self, run: Run) -> Option<(u32, u32)> {
        let (first, after) = (run.from() / NODE_BITS, run.to().div_ceil(NODE_BITS));
        let before = (self.touched << ((GROUP_NODES - first) % GROUP_NODES)).leading_zeros();
        let behind = (self.touched >> (after % GROUP_NODES)).trailing_zeros();
        (before < first && behind < GROUP_NODES - after).then_some((before, behind))
    }

    /// True where a run that may leave its node may begin here.
    #[inline(always)]
    pub(super) fn allows(&self, lane: usize, length: u32) -> bool {
        self.allows_inside(lane, length.min(SATURATED)) || self.leaving.get().allows(lane, length)
    }

    /// True where a run of so many bits, at most [`SATURATED`], may lie in a node.
    #[inline(always)]
    fn allows_inside(&self, lane: usize, length: u32) -> bool {
        self.touched != u32::MAX || self.most.of(lane) >= length
    }

    /// The request that was the last to find no run that leaves its node.
    #[inline(always)]
    pub(super) fn leaving(&self) -> Lacking {
        self.leaving.get()
    }

    /// A run of so many bits leaves a node here.
    #[inline(always)]
    pub(super) fn leaves(&self, length: u32) {
        if length >= self.leaving.get().length {
            self.leaving.set(Lacking::NOTHING);
        }
    }

    /// First-fit of a request that is no longer than its alignment, and than [`SATURATED`]: `look` finds its place in a node.
    #[inline(always)]
    pub(super) fn first_fit_inside(&self, lane: usize, length: u32, look: impl Fn(u32) -> Option<u32>) -> Option<u32> {
        if !self.allows_inside(lane, length) {
            return None;
        }
        if self.touched != u32::MAX {
            // No search goes beyond the first free node.
            self.nodes[(!self.touched).trailing_zeros() as usize % GROUP_NODES as usize].allow(lane, &self.most);
        }
        for (first, nodes) in (0..).step_by(8).zip(self.nodes.as_chunks::<8>().0) {
            for (node, bounds) in (first..).zip(nodes) {
                if bounds.of(lane) >= length {
                    let taken = self.taken >> (node % GROUP_NODES) & 1 != 0;
                    if !taken && let Some(bit) = look(node) {
                        return Some(node * NODE_BITS + bit);
                    }
                    bounds.lower(lane, length);
                }
            }
        }
        self.most.lower(lane, length);
        None
    }

    /// The same of a request of at most [`SATURATED`] bits that may also fit where a run leaves a node; `look` finds its place
    /// in the group.
    #[inline]
    pub(super) fn first_fit_over_nodes(
        &self,
        words: &GroupWords,
        lane: usize,
        length: u32,
        look: impl Fn(u32) -> Option<u32>,
    ) -> Option<u32> {
        if !self.allows(lane, length) {
            return None;
        }
        for (node, (words, bounds)) in (0..).zip(words.iter().zip(&self.nodes)) {
            if bounds.of(lane) >= length || node::ends_free(words) {
                let found = look(node);
                if found.is_some() {
                    return found;
                }
                if bounds.of(lane) >= length {
                    bounds.lower(lane, length);
                }
            }
        }
        if self.most.of(lane) >= length {
            self.most.lower(lane, length);
        }
        self.leaving.set(Lacking { length, lane });
        None
    }

    /// The first node from `first` on in which a run of so many bits may lie.
    #[inline]
    pub(super) fn next_node(&self, first: u32, lane: usize, length: u32) -> Option<u32> {
        let length = length.min(SATURATED);
        let allows = |node: &u32| self.touched >> node & 1 == 0 || self.nodes[*node as usize].of(lane) >= length;
        if self.allows_inside(lane, length) { (first..GROUP_NODES).find(allows) } else { None }
    }

    /// The first node from `first` on in which a run of so many bits may begin, and perhaps leave it.
    #[inline]
    pub(super) fn next_node_of_run(&self, words: &GroupWords, first: u32, lane: usize, length: u32) -> Option<u32> {
        let inside = length.min(SATURATED);
        let allows = |node: &u32| {
            self.nodes[*node as usize].of(lane) >= inside || words.get(*node as usize).is_some_and(node::ends_free)
        };
        if self.allows(lane, length) { (first..GROUP_NODES).find(allows) } else { None }
    }

    /// No run of `length` bits lies in the node on an aligned bit.
    #[inline]
    pub(super) fn node_lacks(&self, node: u32, lane: usize, length: u32) {
        if length <= SATURATED {
            self.nodes[node as usize].lower(lane, length);
        }
    }

    /// The bits `from..to` are set now. What is left of free nodes may hold anything; the rest is left to the searches to find
    /// out.
    #[inline(always)]
    pub(super) fn allocated(&mut self, from: u32, to: u32) {
        let all = mask(from / NODE_BITS, (to - 1) / NODE_BITS + 1);
        let (first, after) = (from.div_ceil(NODE_BITS), to / NODE_BITS);
        let whole = if first < after { mask(first, after) } else { 0 };
        let free = !self.touched;
        self.touched |= all;
        self.taken |= whole;
        let begun = free & all & !whole;
        if begun != 0 {
            self.forget(begun);
        }
    }

    /// Nothing is known of the runs in these nodes, a bit each.
    #[inline(never)]
    fn forget(&mut self, mut nodes: u32) {
        self.most = Bounds::full();
        while nodes != 0 {
            self.nodes[nodes.trailing_zeros() as usize % GROUP_NODES as usize] = Bounds::full();
            nodes &= nodes - 1;
        }
    }

    /// Clears the bits `from..to`, if all of them are set, and returns the free run around them, as far as it lies in nodes
    /// that hold any of them.
    #[inline(always)]
    pub(super) fn release(&mut self, words: &mut GroupWords, from: u32, to: u32) -> Option<Run> {
        let node = from / NODE_BITS;
        if node == (to - 1) / NODE_BITS {
            self.release_in_node(words, from, to)
        } else {
            self.release_over_nodes(words, from, to)
        }
    }

    /// The same where they lie in one node.
    #[inline(never)]
    fn release_in_node(&mut self, words: &mut GroupWords, from: u32, to: u32) -> Option<Run> {
        let first = from % NODE_BITS;
        let (run_from, run_to) = self.release_of_node(words, from / NODE_BITS, first, (to - 1) % NODE_BITS)?;
        let node = from - first;
        Run::new(node + run_from, node + run_to)
    }

    /// Clears the bits `first..=last` of a node, if all of them are set, and returns the free run around them, as far as it lies
    /// in the node.
    #[inline(always)]
    fn release_of_node(&mut self, words: &mut GroupWords, node: u32, first: u32, last: u32) -> Option<(u32, u32)> {
        let place = (node % GROUP_NODES) as usize;
        let words = &mut words[place];
        let Some((run_from, run_to)) = node::turn_over(words, first, last) else {
            node::turn_back(words, first, last);
            return None;
        };
        self.taken &= !(1 << place);
        if run_to - run_from < NODE_BITS {
            self.nodes[place].raise(run_from, run_to, &self.most);
        } else {
            self.touched &= !(1 << place);
        }
        Some((run_from, run_to))
    }

    /// The same where they lie in several nodes.
    #[inline(never)]
    fn release_over_nodes(&mut self, words: &mut GroupWords, from: u32, to: u32) -> Option<Run> {
        if !from.is_multiple_of(NODE_BITS) {
            return self.release_from_within(words, from, to);
        }
        let (first, after) = (from / NODE_BITS, to / NODE_BITS);
        if !self.taken & mask(first, after) != 0 && !are_taken(words, first, after) {
            return None;
        }
        let mut run_to = to;
        if !to.is_multiple_of(NODE_BITS) {
            // Inlined: where a range begins with its node, nothing in front of it is to be looked at.
            run_to = after * NODE_BITS + self.release_of_node(words, after, 0, (to - 1) % NODE_BITS)?.1;
        }
        words[first as usize..after as usize].as_flattened_mut().fill(0);
        let nodes = mask(first, after);
        self.taken &= !nodes;
        self.touched &= !nodes;
        Run::new(from, run_to)
    }

    /// The same where they do not begin with a node.
    #[inline(never)]
    fn release_from_within(&mut self, words: &mut GroupWords, from: u32, to: u32) -> Option<Run> {
        let head_to = from.next_multiple_of(NODE_BITS);
        let head = self.release_in_node(words, from, head_to)?;
        let Some(rest) = self.release(words, head_to, to) else {
            // Back to where it was.
            node::turn_back(&mut words[(from / NODE_BITS) as usize], from % NODE_BITS, NODE_BITS - 1);
            self.allocated(from, head_to);
            return None;
        };
        Run::new(head.from(), rest.to())
    }

    /// The bounds of a node and of the group on runs that lie in a node, for the tests.
    #[cfg(test)]
    pub(super) fn of_node(&self, node: u32, lane: usize) -> (u32, u32) {
        let of_node = if self.touched >> node & 1 == 0 { SATURATED } else { self.nodes[node as usize].of(lane) };
        let most = if self.touched == u32::MAX { self.most.of(lane) } else { SATURATED };
        (of_node, most)
    }
}

/// True where nodes have no clear bit.
#[cold]
#[inline(never)]
fn are_taken(words: &GroupWords, first: u32, after: u32) -> bool {
    let words = words.get(first as usize..after as usize).unwrap_or_default();
    words.as_flattened().iter().all(|&word| word == u32::MAX)
}
