// SPDX-License-Identifier: MIT OR Apache-2.0

//! A group: 32 nodes of a bitmap, masks of the free and the wholly taken ones, and upper bounds on
//! the runs that begin in each node and in any of them (see `bounds`). A node that is not free is
//! touched; it is open in a lane while its bound there counts leaving runs only up to its end.
//!
//! Invariants: a touched node's bounds are >= the runs that begin in it, or, while it is open,
//! their parts in it; the group's are >= those of all nodes; `longest` is >= the runs that begin
//! with a free node. A free node's bounds are unused. Allocation changes only the bounds of free
//! nodes that it takes in part, and the group's: they then allow every run, until a search lowers
//! them.

use core::cell::Cell;

use super::bounds::{Bounds, LANES, LONG};
use super::node::NODE_BITS;
use super::words::mask;

/// Nodes in a group: one for each bit of a word.
pub(super) const GROUP_NODES: u32 = u32::BITS;
/// Bits in a group.
pub(super) const GROUP_BITS: u32 = GROUP_NODES * NODE_BITS;

/// Masks and bounds of the nodes of a group.
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Group {
    /// Mask: nodes with a set bit, or that reach beyond the last bit of the bitmap.
    touched: u32,
    /// Mask: nodes known to be wholly taken, because one buffer took all of each.
    taken: u32,
    /// Mask: nodes that are open in every lane.
    open: Cell<u32>,
    /// Bound on the runs that begin with a free node of the group.
    longest: Cell<u32>,
    /// Masks: nodes that are open in each lane.
    open_in: [Cell<u32>; LANES],
    /// Bounds of the group: >= those of all nodes, the unused ones of free nodes included.
    most: Bounds,
    /// Bounds of each node.
    nodes: [Bounds; GROUP_NODES as usize],
}

impl Group {
    /// Returns the group whose lowest `bits` bits are in the bitmap, all of whose bits are clear.
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

    /// Returns the mask of touched nodes.
    #[inline(always)]
    pub(super) fn touched(&self) -> u32 {
        self.touched
    }

    /// Marks the nodes of mask `nodes` free.
    #[inline(always)]
    pub(super) fn set_free(&mut self, nodes: u32) {
        self.touched &= !nodes;
        self.taken &= !nodes;
    }

    /// True if all nodes of mask `nodes` are known to be wholly taken.
    #[inline(always)]
    pub(super) fn are_taken(&self, nodes: u32) -> bool {
        !self.taken & nodes == 0
    }

    /// Marks `node`, of which a bit was cleared, not wholly taken.
    #[inline(always)]
    pub(super) fn set_begun(&mut self, node: u32) {
        self.taken &= !(1 << (node % GROUP_NODES));
    }

    /// Returns the bounds of `node`.
    #[inline(always)]
    fn bounds(&self, node: u32) -> &Bounds {
        &self.nodes[(node % GROUP_NODES) as usize]
    }

    /// Raises the bounds of touched node `node` to the free run of `length` bits at its bit `from`,
    /// which is maximal in the node.
    #[inline(always)]
    pub(super) fn raise(&self, node: u32, from: u32, length: u32) {
        self.bounds(node).raise(from, length, &self.most);
    }

    /// Marks `node` open in every lane: a run that leaves it may have become longer.
    #[inline(always)]
    pub(super) fn set_open(&self, node: u32) {
        self.open.set(self.open.get() | 1 << (node % GROUP_NODES));
    }

    /// Returns the mask of nodes that are open in `lane`.
    #[inline(always)]
    pub(super) fn open(&self, lane: usize) -> u32 {
        self.open.get() | self.open_in[lane].get()
    }

    /// Returns and clears `open(lane)`; the caller closes these nodes in `lane`.
    #[inline(always)]
    pub(super) fn take_open(&self, lane: usize) -> u32 {
        let open = self.open.take();
        if open != 0 {
            self.open_in.iter().for_each(|nodes| nodes.set(nodes.get() | open));
        }
        self.open_in[lane].take()
    }

    /// Closes `node` in `lane`: raises its bound by `length()`, the most bits that a run that
    /// leaves it has after it.
    #[inline(always)]
    pub(super) fn close(&self, node: u32, lane: usize, length: impl FnOnce() -> u32) {
        self.bounds(node).extend(lane, length, &self.most);
    }

    /// Returns a bound on the free run at the first bit of touched node `node`, cut at its end.
    pub(super) fn first_run(&self, node: u32) -> u32 {
        self.bounds(node).of(LANES - 1).min(NODE_BITS - 1)
    }

    /// Raises `longest` to the `length` bits of a run from its first free node in the group on.
    #[inline(always)]
    pub(super) fn raise_longest(&self, length: u32) {
        self.longest.set(self.longest.get().max(length));
    }

    /// True if a run of `length` bits may begin with a free node.
    #[inline(always)]
    pub(super) fn free_allow(&self, length: u32) -> bool {
        self.longest.get() >= length
    }

    /// True if a run of `length` bits may begin in any touched node on a bit aligned to `lane`.
    #[inline(always)]
    pub(super) fn touched_allow(&self, lane: usize, length: u32) -> bool {
        self.most.of(lane) >= length.min(LONG)
    }

    /// True if a run of `length` bits may begin in touched node `node` on a bit aligned to `lane`.
    #[inline(always)]
    pub(super) fn node_allows(&self, node: u32, lane: usize, length: u32) -> bool {
        self.bounds(node).of(lane) >= length.min(LONG)
    }

    /// Returns the mask of nodes whose bounds in `lane` allow a run of `length` bits; the bits of
    /// free nodes are unused.
    #[inline(always)]
    pub(super) fn allowing(&self, lane: usize, length: u32) -> u32 {
        if !self.touched_allow(lane, length) {
            return 0;
        }
        let length = length.min(LONG);
        self.nodes.iter().rev().fold(0, |nodes, bounds| nodes << 1 | u32::from(bounds.of(lane) >= length))
    }

    /// Returns the first node >= `from` that is free or whose bound in `lane` allows a run of
    /// `length` bits; [`GROUP_NODES`] if there is none.
    #[inline(always)]
    pub(super) fn next_node(&self, from: u32, lane: usize, length: u32) -> u32 {
        let free = (!self.touched & u32::MAX << from).trailing_zeros();
        let touched = self.nodes.get(from as usize..free as usize).unwrap_or_default();
        touched.iter().position(|bounds| bounds.of(lane) >= length.min(LONG)).map_or(free, |place| from + place as u32)
    }

    /// Lowers `node`'s bound in `lane` below `length`: no such run begins in it on an aligned bit.
    #[inline(always)]
    pub(super) fn node_lacks(&self, node: u32, lane: usize, length: u32) {
        if length <= LONG {
            self.bounds(node).lower(lane, length);
        }
    }

    /// Does what `node_lacks` does to each node of mask `nodes`.
    #[inline(always)]
    pub(super) fn lack(&self, mut nodes: u32, lane: usize, length: u32) {
        while nodes != 0 {
            self.node_lacks(nodes.trailing_zeros(), lane, length);
            nodes &= nodes - 1;
        }
    }

    /// Lowers the bound of the group in `lane` to the highest of its nodes'.
    pub(super) fn tighten(&self, lane: usize) {
        self.most.set(lane, self.nodes.iter().map(|bounds| bounds.of(lane)).max().unwrap_or(0));
    }

    /// Lowers `longest` below `length`: no such run begins with a free node.
    #[inline(always)]
    pub(super) fn free_lack(&self, length: u32) {
        self.longest.set(self.longest.get().min(length - 1));
    }

    /// Lowers the bound of the group in `lane` below `length`, as the bounds of all nodes are.
    #[inline(always)]
    pub(super) fn touched_lack(&self, lane: usize, length: u32) {
        if length <= LONG {
            self.most.lower(lane, length);
        }
    }

    /// True if a request that fits into every free node may find room. `LEAVES`: its place may
    /// reach into the next node.
    ///
    /// A run on an aligned bit counts in lane 0, too, whose bound may rule it out while that of
    /// `lane` allows every run.
    #[inline(always)]
    pub(super) fn allows<const LEAVES: bool>(&self, lane: usize, length: u32) -> bool {
        let most = |lane| self.most.of(lane) >= length;
        self.touched != u32::MAX || most(lane) && (most(0) || LEAVES && self.open(0) != 0)
    }

    /// Does first-fit from node `from` on for a request that fits into every free node; `look`
    /// finds its place in a node.
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
            // The search ends at the first free node: its bound has to let the loop look there.
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

    /// Records that the bits `from..to` of the group were set.
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

    /// Lets the bounds of the nodes of mask `nodes`, and those of the group, allow every run.
    #[inline(never)]
    fn forget(&mut self, mut nodes: u32) {
        self.most = Bounds::full();
        while nodes != 0 {
            self.nodes[nodes.trailing_zeros() as usize % GROUP_NODES as usize] = Bounds::full();
            nodes &= nodes - 1;
        }
    }

    /// Returns the bounds of touched node `node` and of the group in `lane`, for the tests.
    #[cfg(test)]
    pub(super) fn of_node(&self, node: u32, lane: usize) -> (u32, u32) {
        (self.bounds(node).of(lane), self.most.of(lane))
    }

    /// Returns the bound on runs that begin with a free node, for the tests.
    #[cfg(test)]
    pub(super) fn longest(&self) -> u32 {
        self.longest.get()
    }
}
