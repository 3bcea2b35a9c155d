// SPDX-License-Identifier: MIT OR Apache-2.0

//! A group: 32 nodes of a bitmap, which of them are wholly free or wholly taken, and upper bounds
//! on the runs that begin in each and in all of them (see `bounds`).
//!
//! What holds true: the bounds of a touched node are above the runs that begin in it, or above what
//! lies in the node of these while it is open; those of the group are above those of its nodes, and
//! `longest` above the runs that begin with a free node. The bounds of a free node mean nothing. A
//! buffer leaves them all as they are, but for those of free nodes that it begins: these allow
//! everything until a search learns better.

use core::cell::Cell;

use super::bounds::{Bounds, LANES, LONG};
use super::node::NODE_BITS;
use super::words::mask;

/// Nodes in a group: as many as a word has bits.
pub(super) const GROUP_NODES: u32 = u32::BITS;
/// Bits in a group.
pub(super) const GROUP_BITS: u32 = GROUP_NODES * NODE_BITS;

/// What is known of the nodes of a group.
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Group {
    /// One bit a node: set where any bit of the node is, and where it reaches beyond the last bit
    /// of the bitmap.
    touched: u32,
    /// One bit a node: set where a buffer took the whole of it, and only where all of its bits are
    /// set.
    taken: u32,
    /// One bit a node: set where its bounds count a run that leaves the node up to its end alone,
    /// in every lane.
    open: Cell<u32>,
    /// No run that begins with a free node of the group is longer than this.
    longest: Cell<u32>,
    /// As `open`, in each lane by itself.
    open_in: [Cell<u32>; LANES],
    /// No bound of a node is above these, whatever it means.
    most: Bounds,
    /// On the runs that begin in each touched node.
    nodes: [Bounds; GROUP_NODES as usize],
}

impl Group {
    /// A group of which the lowest `bits` bits are the bitmap's, and clear, as all of the bitmap's
    /// bits are.
    pub(super) fn new(bits: u32) -> Self {
        let whole = bits / NODE_BITS;
        let touched = if whole == 0 { u32::MAX } else { !mask(0, whole.min(GROUP_NODES)) };
        Self {
            touched,
            taken: 0,
            open: Cell::new(0),
            longest: Cell::new(u32::MAX),
            open_in: [const { Cell::new(0) }; LANES],
            most: Bounds::full(),
            nodes: [const { Bounds::full() }; GROUP_NODES as usize],
        }
    }

    /// The nodes with set bits, a bit each.
    #[inline(always)]
    pub(super) fn touched(&self) -> u32 {
        self.touched
    }

    /// The nodes `nodes`, a bit each, are free.
    #[inline(always)]
    pub(super) fn set_free(&mut self, nodes: u32) {
        self.touched &= !nodes;
        self.taken &= !nodes;
    }

    /// Of the nodes `nodes`, a bit each, all are known to be wholly taken.
    #[inline(always)]
    pub(super) fn are_taken(&self, nodes: u32) -> bool {
        !self.taken & nodes == 0
    }

    /// A bit of the node is clear.
    #[inline(always)]
    pub(super) fn set_begun(&mut self, node: u32) {
        self.taken &= !(1 << (node % GROUP_NODES));
    }

    /// The bounds of a node.
    #[inline(always)]
    fn bounds(&self, node: u32) -> &Bounds {
        &self.nodes[(node % GROUP_NODES) as usize]
    }

    /// A free run of `length` bits, all of them in the node, begins at bit `from` of a touched one,
    /// and none that it is a part of does before.
    #[inline(always)]
    pub(super) fn raise(&self, node: u32, from: u32, length: u32) {
        self.bounds(node).raise(from, length, &self.most);
    }

    /// A run that leaves the node may go on further than it did.
    #[inline(always)]
    pub(super) fn set_open(&self, node: u32) {
        self.open.set(self.open.get() | 1 << (node % GROUP_NODES));
    }

    /// The nodes whose bound in a lane does not know how far the run that leaves them goes on, a
    /// bit each.
    #[inline(always)]
    pub(super) fn open(&self, lane: usize) -> u32 {
        self.open.get() | self.open_in[lane].get()
    }

    /// The nodes of `open`: their bounds in this lane are told next.
    #[inline(always)]
    pub(super) fn take_open(&self, lane: usize) -> u32 {
        let open = self.open.take();
        if open != 0 {
            self.open_in.iter().for_each(|nodes| nodes.set(nodes.get() | open));
        }
        self.open_in[lane].take()
    }

    /// A run that leaves the node goes on for at most as many bits behind it as `length` says: its
    /// bound knows that, then.
    #[inline(always)]
    pub(super) fn close(&self, node: u32, lane: usize, length: impl FnOnce() -> u32) {
        self.bounds(node).extend(lane, length, &self.most);
    }

    /// The bound on the run at the beginning of a touched node, as far as it lies in the node.
    pub(super) fn first_run(&self, node: u32) -> u32 {
        self.bounds(node).of(LANES - 1).min(NODE_BITS - 1)
    }

    /// A free run of `length` bits begins with a free node, or goes on with the first.
    #[inline(always)]
    pub(super) fn raise_longest(&self, length: u32) {
        self.longest.set(self.longest.get().max(length));
    }

    /// True where a run of `length` bits may begin with a free node.
    #[inline(always)]
    pub(super) fn free_allow(&self, length: u32) -> bool {
        self.longest.get() >= length
    }

    /// True where a run of `length` bits may begin in a touched node, on a bit aligned to the lane.
    #[inline(always)]
    pub(super) fn touched_allow(&self, lane: usize, length: u32) -> bool {
        self.most.of(lane) >= length.min(LONG)
    }

    /// True where a run of `length` bits may begin in a touched node on a bit aligned to the lane.
    #[inline(always)]
    pub(super) fn node_allows(&self, node: u32, lane: usize, length: u32) -> bool {
        self.bounds(node).of(lane) >= length.min(LONG)
    }

    /// The nodes whose bounds allow a run of `length` bits on a bit aligned to the lane, a bit
    /// each; those of free nodes mean nothing.
    #[inline(always)]
    pub(super) fn allowing(&self, lane: usize, length: u32) -> u32 {
        if !self.touched_allow(lane, length) {
            return 0;
        }
        let length = length.min(LONG);
        self.nodes.iter().rev().fold(0, |nodes, bounds| nodes << 1 | u32::from(bounds.of(lane) >= length))
    }

    /// The first node from a node on that is free or has a bound that allows a run of `length` bits
    /// on a bit aligned to the lane; [`GROUP_NODES`] for none.
    #[inline(always)]
    pub(super) fn next_node(&self, from: u32, lane: usize, length: u32) -> u32 {
        let free = (!self.touched & u32::MAX << from).trailing_zeros();
        let touched = self.nodes.get(from as usize..free as usize).unwrap_or_default();
        touched.iter().position(|bounds| bounds.of(lane) >= length.min(LONG)).map_or(free, |place| from + place as u32)
    }

    /// No run of `length` bits begins in the node on an aligned bit.
    #[inline(always)]
    pub(super) fn node_lacks(&self, node: u32, lane: usize, length: u32) {
        if length <= LONG {
            self.bounds(node).lower(lane, length);
        }
    }

    /// As `node_lacks`, of each of the nodes `nodes`, a bit each.
    #[inline(always)]
    pub(super) fn lack(&self, mut nodes: u32, lane: usize, length: u32) {
        while nodes != 0 {
            self.node_lacks(nodes.trailing_zeros(), lane, length);
            nodes &= nodes - 1;
        }
    }

    /// The bound of the group in a lane is the highest of its nodes'.
    pub(super) fn tighten(&self, lane: usize) {
        self.most.set(lane, self.nodes.iter().map(|bounds| bounds.of(lane)).max().unwrap_or(0));
    }

    /// No run of `length` bits begins with a free node.
    #[inline(always)]
    pub(super) fn free_lack(&self, length: u32) {
        self.longest.set(self.longest.get().min(length - 1));
    }

    /// No run of `length` bits begins in any touched node on an aligned bit, and no bound of any
    /// node allows one.
    #[inline(always)]
    pub(super) fn touched_lack(&self, lane: usize, length: u32) {
        if length <= LONG {
            self.most.lower(lane, length);
        }
    }

    /// True where a request that fits into every free node may find room. `LEAVES` where that may
    /// reach into the next node.
    ///
    /// Each run that begins on an aligned bit counts in the lowest lane, too, which may know of
    /// none where the other lane knows nothing.
    #[inline(always)]
    pub(super) fn allows<const LEAVES: bool>(&self, lane: usize, length: u32) -> bool {
        let most = |lane| self.most.of(lane) >= length;
        self.touched != u32::MAX || most(lane) && (most(0) || LEAVES && self.open(0) != 0)
    }

    /// First-fit of a request that fits into every free node, from a node on; `look` finds its
    /// place in a node.
    #[inline(always)]
    pub(super) fn first_fit(
        &self,
        from: u32,
        lane: usize,
        length: u32,
        mut look: impl FnMut(u32) -> Option<u32>,
    ) -> Option<u32> {
        let free = !self.touched & u32::MAX << (from % GROUP_NODES);
        if free != 0 {
            // No search goes beyond the first free node.
            self.bounds(free.trailing_zeros()).allow(lane, &self.most);
        }
        let before = (1 << (from % GROUP_NODES)) - 1;
        let left_out = self.taken | before;
        let chunks = self.nodes.as_chunks::<8>().0.get(from as usize / 8..)?;
        for (first, nodes) in (from & !7..).step_by(8).zip(chunks) {
            for (node, bounds) in (first..).zip(nodes) {
                if bounds.of(lane) < length {
                    continue;
                }
                if left_out >> (node % GROUP_NODES) & 1 == 0 {
                    let found = look(node);
                    if found.is_some() {
                        return found;
                    }
                } else if node < from {
                    continue;
                }
                bounds.set(lane, length - 1);
            }
        }
        if from == 0 {
            self.most.lower(lane, length);
        }
        None
    }

    /// The bits `from..to` are set now.
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

    /// The bounds of a touched node and of the group, for the tests.
    #[cfg(test)]
    pub(super) fn of_node(&self, node: u32, lane: usize) -> (u32, u32) {
        (self.bounds(node).of(lane), self.most.of(lane))
    }

    /// The bound on runs that begin with a free node, for the tests.
    #[cfg(test)]
    pub(super) fn longest(&self) -> u32 {
        self.longest.get()
    }
}
