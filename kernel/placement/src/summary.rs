// SPDX-License-Identifier: MIT OR Apache-2.0

//! Summary of a large bitmap: bounds by which a search skips what cannot hold a request, without
//! reading it.
//!
//! The nodes are kept in groups (see `group`), each with upper bounds on the runs that begin in it.
//! Allocation raises only bounds of free nodes that it takes in part; a release raises those of the
//! nodes that its run begins or ends in, and opens a node that the run leaves; a search closes open
//! nodes, and lowers the bounds of nodes visited in vain.

use alloc::vec::Vec;

use super::bounds::LANES;
use super::group::{GROUP_BITS, GROUP_NODES, Group};
use super::node::{self, NODE_BITS, NODE_WORDS, Node};
use super::words::{WORD_BITS, mask};

/// Groups of a large bitmap.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    groups: Vec<Group>,
}

impl Summary {
    /// The summary of a bitmap of `bits` bits, all clear.
    pub(super) fn new(bits: u32) -> Self {
        let groups = (0..bits).step_by(GROUP_BITS as usize).map(|first| Group::new((bits - first).min(GROUP_BITS)));
        Self { groups: groups.collect() }
    }

    /// Returns the groups from that of `node` on: the number of the first node of each, the place
    /// in it to begin at, and the group.
    #[inline(always)]
    pub(super) fn groups_from(&self, node: u32) -> impl Iterator<Item = (u32, u32, &Group)> {
        let first = node / GROUP_NODES;
        let groups = self.groups.get(first as usize..).unwrap_or_default();
        let firsts = (first * GROUP_NODES..).step_by(GROUP_NODES as usize);
        firsts.zip(groups).map(move |(first, group)| (first, node.saturating_sub(first), group))
    }

    /// Returns the groups from the last one down, each with the number of its first node.
    pub(super) fn groups_back(&self) -> impl Iterator<Item = (u32, &Group)> {
        self.groups.iter().enumerate().rev().map(|(place, group)| (place as u32 * GROUP_NODES, group))
    }

    /// Does first-fit from node `from` on for a request that fits into every free node; `look`
    /// finds its place in a node. `LEAVES`: the place may reach into the next node.
    #[inline(always)]
    pub(super) fn first_fit<const LEAVES: bool>(
        &self,
        from: u32,
        lane: usize,
        length: u32,
        mut look: impl FnMut(u32) -> Option<u32>,
    ) -> Option<u32> {
        let (mut first, mut from) = (from - from % GROUP_NODES, from % GROUP_NODES);
        for group in self.groups.get((first / GROUP_NODES) as usize..)? {
            if LEAVES && group.open(lane) != 0 {
                self.close(group, first, lane);
            }
            if group.allows::<LEAVES>(lane, length) {
                let found = group.first_fit(from, lane, length, |node| look(first + node));
                if found.is_some() {
                    return found;
                }
            }
            (first, from) = (first + GROUP_NODES, 0);
        }
        None
    }

    /// Returns the first node >= `node` that is free, or in which a run of `length` bits, at most a
    /// node, may begin on a bit aligned to `lane`.
    #[inline(never)]
    pub(super) fn next_node(&self, node: u32, lane: usize, length: u32) -> Option<u32> {
        let mut allowing = self.groups_from(node).filter(|(.., group)| group.allows::<true>(lane, length));
        allowing.find_map(|(first, from, group)| {
            let found = group.next_node(from, lane, length);
            if found == GROUP_NODES && from == 0 {
                group.touched_lack(lane, length);
            }
            (found < GROUP_NODES).then_some(first + found)
        })
    }

    /// True if touched node `node`'s own bound allows a run of `length` bits on a bit aligned to
    /// `lane`, or there is no such lane.
    #[inline(always)]
    pub(super) fn node_allows(&self, node: u32, lane: usize, length: u32) -> bool {
        let group = self.groups.get((node / GROUP_NODES) as usize);
        group.is_some_and(|group| lane >= LANES || group.node_allows(node % GROUP_NODES, lane, length))
    }

    /// True if a run of `length` bits may begin in any touched node of `node`'s group on a bit
    /// aligned to `lane`, or there is no such lane.
    #[inline]
    pub(super) fn group_allows(&self, node: u32, lane: usize, length: u32) -> bool {
        let group = self.groups.get((node / GROUP_NODES) as usize);
        lane >= LANES || group.is_none_or(|group| group.open(lane) != 0 || group.touched_allow(lane, length))
    }

    /// If no node is free, lowers the bound of `node`'s group in `lane` to the highest of the
    /// nodes'.
    pub(super) fn tighten(&self, node: u32, lane: usize) {
        if let Some(group) = self.groups.get((node / GROUP_NODES) as usize)
            && lane < LANES
            && group.touched() == u32::MAX
        {
            group.tighten(lane);
        }
    }

    /// Lowers `node`'s bound in `lane` below `length`: no such run begins in it on an aligned bit.
    #[inline]
    pub(super) fn node_lacks(&self, node: u32, lane: usize, length: u32) {
        self.group(node).node_lacks(node % GROUP_NODES, lane, length);
    }

    /// Returns the group of `node`.
    #[inline(always)]
    fn group(&self, node: u32) -> &Group {
        &self.groups[(node / GROUP_NODES) as usize]
    }

    /// Records that the bits `start..end` were set.
    #[inline(always)]
    pub(super) fn allocated(&mut self, start: u32, end: u32) {
        let group = start / GROUP_BITS;
        if group == (end - 1) / GROUP_BITS {
            self.groups[group as usize].allocated(start % GROUP_BITS, end - group * GROUP_BITS);
        } else {
            self.allocated_over_groups(start, end);
        }
    }

    #[inline(never)]
    fn allocated_over_groups(&mut self, start: u32, end: u32) {
        for group in start / GROUP_BITS..=(end - 1) / GROUP_BITS {
            let first = group * GROUP_BITS;
            self.groups[group as usize].allocated(start.saturating_sub(first), (end - first).min(GROUP_BITS));
        }
    }

    /// Clears the bits `start..end` if all of them are set; true if they were.
    #[inline(always)]
    pub(super) fn release(&mut self, nodes: &mut [Node], start: u32, end: u32) -> bool {
        if start / NODE_BITS == (end - 1) / NODE_BITS {
            self.release_in_node(nodes, start, end)
        } else {
            self.release_over_nodes(nodes, start, end)
        }
    }

    #[inline(never)]
    fn release_in_node(&mut self, nodes: &mut [Node], start: u32, end: u32) -> bool {
        let (node, first) = (start / NODE_BITS, start % NODE_BITS);
        let (Some(group), Some(words)) =
            (self.groups.get_mut((node / GROUP_NODES) as usize), nodes.get_mut(node as usize))
        else {
            return false;
        };
        let Some((from, to)) = node::turn_over(words, first, (end - 1) % NODE_BITS) else {
            node::turn_back(words, first, (end - 1) % NODE_BITS);
            return false;
        };
        group.set_begun(node);
        let ends_before = || node > 0 && nodes[node as usize - 1][NODE_WORDS - 1] >> (WORD_BITS - 1) != 0;
        if to < NODE_BITS && (from > 0 || ends_before()) {
            group.raise(node, from, to - from);
        } else {
            self.joined(start - first + from, start - first + to);
        }
        true
    }

    /// Does what `release` does to bits in several nodes.
    #[inline(never)]
    fn release_over_nodes(&mut self, nodes: &mut [Node], start: u32, end: u32) -> bool {
        let (first, after) = (start.div_ceil(NODE_BITS), end / NODE_BITS);
        if !self.are_taken(nodes, first, after) {
            return false;
        }
        let (mut from, mut to) = (start, end);
        if start < first * NODE_BITS {
            let Some(run) = self.turn_over(nodes, start, first * NODE_BITS) else { return false };
            from = run.0;
        }
        if after * NODE_BITS < end {
            let Some(run) = self.turn_over(nodes, after * NODE_BITS, end) else {
                if start < first * NODE_BITS {
                    node::turn_back(&mut nodes[first as usize - 1], start % NODE_BITS, NODE_BITS - 1);
                }
                return false;
            };
            to = run.1;
        }
        nodes[first as usize..after as usize].as_flattened_mut().fill(0);
        self.joined(from, to);
        true
    }

    /// Clears the bits `start..end` of one node if all of them are set, and returns the free run
    /// around them, cut at the ends of the node; `None` if any was clear.
    #[inline(always)]
    fn turn_over(&mut self, nodes: &mut [Node], start: u32, end: u32) -> Option<(u32, u32)> {
        let (node, first) = (start / NODE_BITS, start % NODE_BITS);
        let words = nodes.get_mut(node as usize)?;
        let Some((from, to)) = node::turn_over(words, first, (end - 1) % NODE_BITS) else {
            node::turn_back(words, first, (end - 1) % NODE_BITS);
            return None;
        };
        self.groups[(node / GROUP_NODES) as usize].set_begun(node);
        Some((start - first + from, start - first + to))
    }

    /// True if the nodes `first..after` have no clear bit.
    #[inline(always)]
    fn are_taken(&self, nodes: &[Node], first: u32, after: u32) -> bool {
        let is_set = |first: u32, after: u32| {
            nodes[first as usize..after as usize].as_flattened().iter().all(|&word| word == u32::MAX)
        };
        parts(first, after, |group, nodes| {
            let first = group * GROUP_NODES + nodes.trailing_zeros();
            self.groups[group as usize].are_taken(nodes) || is_set(first, first + nodes.count_ones())
        })
    }

    /// Marks the nodes in the run `from..to` free and raises bounds, after bits of its first and
    /// its last node, and all bits between, were released. The run is cut at the outer ends of
    /// these nodes.
    #[inline(never)]
    fn joined(&mut self, from: u32, to: u32) {
        let (begun, last) = (from / NODE_BITS, to / NODE_BITS);
        let (mut first, mut after) = (from.div_ceil(NODE_BITS), last);
        parts(first, after, |group, nodes| {
            self.groups[group as usize].set_free(nodes);
            true
        });
        if begun < first {
            let group = self.group(begun);
            group.raise(begun, from % NODE_BITS, to.min(first * NODE_BITS) - from);
            if to >= first * NODE_BITS {
                group.set_open(begun);
            }
        } else {
            first -= self.free_before(first);
            if let Some(before) = first.checked_sub(1) {
                self.group(before).set_open(before);
            }
        }
        let mut behind = to % NODE_BITS;
        if behind == 0 {
            after += self.free_from(after);
            behind = NODE_BITS - 1;
        } else if begun < last || from == begun * NODE_BITS {
            self.group(last).raise(last, 0, behind);
        }
        parts(first, after, |group, nodes| {
            let first = group * GROUP_NODES + nodes.trailing_zeros();
            self.groups[group as usize].raise_longest((after - first) * NODE_BITS + behind);
            true
        });
    }

    /// Closes the open nodes of `group` in `lane`: raises their bounds by what the summary allows
    /// the runs that leave them, without reading the bitmap.
    #[cold]
    #[inline(never)]
    pub(super) fn close(&self, group: &Group, first: u32, lane: usize) {
        let mut open = group.take_open(lane);
        while open != 0 {
            let node = first + open.trailing_zeros();
            open &= open - 1;
            group.close(node, lane, || {
                let after = node + 1 + self.free_from(node + 1);
                let known = self.groups.get((after / GROUP_NODES) as usize).map_or(0, |group| group.first_run(after));
                (after - node - 1) * NODE_BITS + known
            });
        }
    }

    /// Returns the number of free nodes right before `node`.
    fn free_before(&self, node: u32) -> u32 {
        let mut from = node;
        while let Some(last) = from.checked_sub(1) {
            let place = last % GROUP_NODES;
            let touched = self.group(last).touched() << (GROUP_NODES - 1 - place);
            from -= touched.leading_zeros().min(place + 1);
            if touched != 0 {
                break;
            }
        }
        node - from
    }

    /// Returns the number of free nodes from `node` on.
    #[inline(always)]
    pub(super) fn free_from(&self, node: u32) -> u32 {
        let groups = self.groups.get((node / GROUP_NODES) as usize..).unwrap_or_default();
        let (mut first, mut before) = (node - node % GROUP_NODES, (1 << (node % GROUP_NODES)) - 1);
        for group in groups {
            let touched = group.touched() & !before;
            if touched != 0 {
                return first + touched.trailing_zeros() - node;
            }
            (first, before) = (first + GROUP_NODES, 0);
        }
        first.saturating_sub(node)
    }

    /// Returns the beginning of the free run before `node`.
    #[inline(always)]
    pub(super) fn begins_before(&self, nodes: &[Node], node: u32) -> u32 {
        let touched = (node - self.free_before(node)).checked_sub(1);
        touched.map_or(0, |node| node * NODE_BITS + node::run_start(&nodes[node as usize], NODE_BITS))
    }

    /// Returns the end of the free run at the first bit of `node`.
    #[inline(always)]
    pub(super) fn ends_from(&self, nodes: &[Node], node: u32) -> u32 {
        let touched = node + self.free_from(node);
        touched * NODE_BITS + nodes.get(touched as usize).map_or(0, |words| node::run_end(words, 0))
    }

    /// Returns the beginning of the free run before `bit`: after the last set bit before it, or 0.
    #[inline(never)]
    pub(super) fn run_start(&self, nodes: &[Node], bit: u32) -> u32 {
        let Some(last) = bit.checked_sub(1) else { return 0 };
        let node = last / NODE_BITS;
        let start = node::run_start(&nodes[node as usize], bit - node * NODE_BITS);
        if start > 0 { node * NODE_BITS + start } else { self.begins_before(nodes, node) }
    }

    /// Returns the end of the free run at `bit`, which is at most the number of bits.
    #[inline(never)]
    pub(super) fn run_end(&self, nodes: &[Node], bit: u32) -> u32 {
        let node = bit / NODE_BITS;
        let Some(words) = nodes.get(node as usize) else { return bit };
        let end = node::run_end(words, bit % NODE_BITS);
        if end < NODE_BITS { node * NODE_BITS + end } else { self.ends_from(nodes, node + 1) }
    }

    /// Returns the memory that it takes, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        size_of_val(self.groups.as_slice())
    }

    /// Returns the group of `node`, for the tests.
    #[cfg(test)]
    pub(super) fn group_of(&self, node: u32) -> &Group {
        self.group(node)
    }
}

/// Calls `tell` with each group of the nodes `first..after` and the mask of these nodes in it,
/// until a call returns false; true if none did.
#[inline(always)]
fn parts(first: u32, after: u32, mut tell: impl FnMut(u32, u32) -> bool) -> bool {
    if first >= after {
        return true;
    }
    let (mut group, last) = (first / GROUP_NODES, (after - 1) / GROUP_NODES);
    let mut from = first % GROUP_NODES;
    while group < last {
        if !tell(group, mask(from, GROUP_NODES)) {
            return false;
        }
        (group, from) = (group + 1, 0);
    }
    tell(group, mask(from, (after - 1) % GROUP_NODES + 1))
}
