// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is known of a large bitmap without reading it, by which a search leaves out what cannot hold a request.
//!
//! Short requests are left to the groups of nodes (see `group`). Of the whole area it is known how long its longest run is
//! at most, where runs of free nodes of each length begin at the earliest, and which request of more than 255 bits was the
//! last to find no room. Of a buffer, only the nodes at its ends are looked at when it is released; those between are bits
//! of a word in their group.
//!
//! What holds true: all of this is an upper bound (or, of a place, a lower one), never on the wrong side of the truth.
//! Allocating leaves it as it is, a release raises what the run that it makes may be news to, and a search that finds a
//! bound to promise too much lowers it.

use alloc::vec::Vec;
use core::cell::Cell;

use super::bounds::SATURATED;
use super::group::{GROUP_BITS, GROUP_NODES, Group, GroupWords, Lacking};
use super::node::{self, NODE_BITS, Node};
use super::words::set_bits;

/// Lengths of runs of nodes, powers of two, whose first is known.
pub(super) const CLASSES: usize = 8;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    groups: Vec<Group>,
    /// No run is longer than this; one that was as long began at `longest_at`.
    longest: Cell<u32>,
    longest_at: Cell<u32>,
    /// A request of more than 255 bits.
    lacking: Cell<Lacking>,
    /// No run of 2^index free nodes, or of more, begins before these.
    earliest: [Cell<u32>; CLASSES],
    /// A run that leaves a node is no news to all of the above, nor to a group, if it is shorter.
    news: Cell<u32>,
}

impl Summary {
    /// That of a bitmap of so many bits, all clear.
    pub(super) fn new(bits: u32) -> Self {
        let groups = (0..bits).step_by(GROUP_BITS as usize).map(|first| Group::new((bits - first).min(GROUP_BITS)));
        Self {
            groups: groups.collect(),
            longest: Cell::new(bits),
            longest_at: Cell::new(0),
            lacking: Cell::new(Lacking::NOTHING),
            earliest: [const { Cell::new(0) }; CLASSES],
            news: Cell::new(bits),
        }
    }

    /// The groups, each with its words.
    #[inline(always)]
    pub(super) fn groups<'s>(
        &'s self,
        words: &'s [GroupWords],
    ) -> impl Iterator<Item = (u32, (&'s Group, &'s GroupWords))> {
        (0..).step_by(GROUP_BITS as usize).zip(self.groups.iter().zip(words))
    }

    /// No free run is longer than this; one that was as long began at this bit.
    pub(super) fn longest_seen(&self) -> (u32, u32) {
        (self.longest.get(), self.longest_at.get())
    }

    /// The longest free run is this long and begins at this bit.
    pub(super) fn see_longest(&self, length: u32, at: u32) {
        self.longest.set(length);
        self.longest_at.set(at);
        self.news.set(self.news.get().min(length));
    }

    /// A search will look in groups for runs of `length` bits that leave a node, and may find none.
    pub(super) fn group_lacks(&self, length: u32) {
        self.news.set(self.news.get().min(length));
    }

    /// True where a run of `length` bits may begin in the area. The groups say it of shorter ones.
    #[inline]
    pub(super) fn may_hold(&self, lane: usize, length: u32) -> bool {
        length <= self.longest.get() && self.lacking.get().allows(lane, length)
    }

    /// No run of `length` bits begins anywhere on an aligned bit.
    #[inline]
    pub(super) fn lacks(&self, lane: usize, length: u32) {
        if length > SATURATED {
            self.lacking.set(Lacking { length, lane });
            self.news.set(self.news.get().min(length));
        }
    }

    /// The first node at or after `node` in which a run of `length` bits may lie.
    #[inline(never)]
    pub(super) fn next_node(&self, node: u32, lane: usize, length: u32) -> Option<u32> {
        self.next_where(node, |group, first| self.groups[group as usize].next_node(first, lane, length))
    }

    /// The first node at or after `node` in which a run of `length` bits may begin, and perhaps leave it.
    pub(super) fn next_node_of_run(&self, words: &[GroupWords], node: u32, lane: usize, length: u32) -> Option<u32> {
        self.next_where(node, |group, first| {
            self.groups[group as usize].next_node_of_run(words.get(group as usize)?, first, lane, length)
        })
    }

    #[inline(always)]
    fn next_where(&self, node: u32, next: impl Fn(u32, u32) -> Option<u32>) -> Option<u32> {
        let mut first = node % GROUP_NODES;
        for group in node / GROUP_NODES..self.groups.len() as u32 {
            if let Some(node) = next(group, first) {
                return Some(group * GROUP_NODES + node);
            }
            first = 0;
        }
        None
    }

    /// No run of `length` bits lies in the node on an aligned bit, though its bound allowed it.
    #[inline]
    pub(super) fn node_lacks(&self, node: u32, lane: usize, length: u32) {
        self.groups[(node / GROUP_NODES) as usize].node_lacks(node % GROUP_NODES, lane, length);
    }

    /// The bits `start..end` are set now.
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
        for (group, from, to) in parts(start, end) {
            self.groups[group].allocated(from, to);
        }
    }

    /// Clears the bits `start..end`, if all of them are set; true if they were.
    #[inline(always)]
    pub(super) fn release(&mut self, words: &mut [GroupWords], start: u32, end: u32) -> bool {
        let group = start / GROUP_BITS;
        let first = group * GROUP_BITS;
        if end - first > GROUP_BITS {
            return self.release_over_groups(words, start, end);
        }
        let (Some(known), Some(group_words)) = (self.groups.get_mut(group as usize), words.get_mut(group as usize))
        else {
            return false;
        };
        let Some(run) = known.release(group_words, start - first, end - first) else { return false };
        let (from, to) = (run.from(), run.to());
        if !from.is_multiple_of(NODE_BITS) && from / NODE_BITS == to / NODE_BITS {
            if to - from >= self.longest.get() {
                self.see_longest(to - from, first + from);
            }
            return true;
        }
        let around = known.free_around(run);
        self.joined(words.as_flattened(), first + from, first + to, around);
        true
    }

    /// The same where they lie in several groups.
    #[cold]
    #[inline(never)]
    fn release_over_groups(&mut self, words: &mut [GroupWords], start: u32, end: u32) -> bool {
        let (mut released, mut run_from, mut run_to) = (start, start, end);
        for (group, from, to) in parts(start, end) {
            let first = group as u32 * GROUP_BITS;
            let known = self.groups.get_mut(group).zip(words.get_mut(group));
            let Some(run) = known.and_then(|(known, words)| known.release(words, from, to)) else {
                if released > start {
                    set_bits(words.as_flattened_mut().as_flattened_mut(), start, released - start);
                    self.allocated_over_groups(start, released);
                }
                return false;
            };
            released += to - from;
            (run_from, run_to) = (run_from.min(first + run.from()), run_to.max(first + run.to()));
        }
        self.joined(words.as_flattened(), run_from, run_to, None);
        true
    }

    /// The run `from..to`, told as far as it goes in its first and its last node, is free now, and may leave them; `around` are
    /// the free nodes before it and behind, where that is known. The run is measured only where it may be news.
    #[inline(always)]
    fn joined(&self, nodes: &[Node], from: u32, to: u32, around: Option<(u32, u32)>) {
        let (before, behind) = around.unwrap_or_else(|| self.free_around(from / NODE_BITS, to.div_ceil(NODE_BITS)));
        let free = before + (to - from) / NODE_BITS + behind;
        if free > 0 {
            self.free_nodes_begin(from / NODE_BITS - before, free);
        }
        if to - from + (before + behind + 2) * NODE_BITS > self.news.get() {
            self.made(nodes, from, to);
        }
    }

    /// How many nodes are free right before a node, and right behind the one before another.
    #[cold]
    #[inline(never)]
    fn free_around(&self, first: u32, after: u32) -> (u32, u32) {
        (self.free_before(first), self.free_from(after))
    }

    fn free_before(&self, node: u32) -> u32 {
        let mut from = node;
        while let Some(last) = from.checked_sub(1) {
            let place = last % GROUP_NODES;
            let touched = self.groups[(last / GROUP_NODES) as usize].touched() << (GROUP_NODES - 1 - place);
            from -= touched.leading_zeros().min(place + 1);
            if touched != 0 {
                break;
            }
        }
        node - from
    }

    fn free_from(&self, node: u32) -> u32 {
        let mut to = node;
        while let Some(group) = self.groups.get((to / GROUP_NODES) as usize) {
            let touched = group.touched() >> (to % GROUP_NODES);
            to += touched.trailing_zeros().min(GROUP_NODES - to % GROUP_NODES);
            if touched != 0 {
                break;
            }
        }
        to - node
    }

    /// The run that the bits `from..to` lie in may be news: it is measured.
    #[cold]
    #[inline(never)]
    fn made(&self, nodes: &[Node], from: u32, to: u32) {
        let first = from.saturating_sub(NODE_BITS) / GROUP_BITS;
        let (from, to) = (self.run_start(nodes, from), self.run_end(nodes, to));
        let length = to - from;
        if length < self.news.get() {
            return;
        }
        if length >= self.longest.get() {
            self.longest.set(length);
            self.longest_at.set(from);
        }
        if length >= self.lacking.get().length {
            self.lacking.set(Lacking::NOTHING);
        }
        let groups = self.groups.get(first as usize..=((to - 1) / GROUP_BITS) as usize).unwrap_or_default();
        groups.iter().for_each(|group| group.leaves(length));
        let news = self.longest.get().min(self.lacking.get().length);
        self.news.set(self.groups.iter().fold(news, |news, group| news.min(group.leaving().length)));
    }

    /// A run of so many free nodes, or of fewer, begins at a node, or behind it.
    #[inline(always)]
    fn free_nodes_begin(&self, node: u32, nodes: u32) {
        for earliest in &self.earliest[..(nodes.ilog2() as usize + 1).min(CLASSES)] {
            if node < earliest.get() {
                earliest.set(node);
            }
        }
    }

    /// Where the free run that reaches `bit` begins: behind the last set bit before it, or at 0.
    #[inline(never)]
    pub(super) fn run_start(&self, nodes: &[Node], bit: u32) -> u32 {
        let Some(last) = bit.checked_sub(1) else { return 0 };
        let node = last / NODE_BITS;
        let start = node::run_start(&nodes[node as usize], bit - node * NODE_BITS);
        if start > 0 {
            return node * NODE_BITS + start;
        }
        let touched = (node - self.free_before(node)).checked_sub(1);
        touched.map_or(0, |node| node * NODE_BITS + node::run_start(&nodes[node as usize], NODE_BITS))
    }

    /// Where the free run that goes on at `bit`, which is at most the number of bits, ends.
    #[inline(never)]
    pub(super) fn run_end(&self, nodes: &[Node], bit: u32) -> u32 {
        let node = bit / NODE_BITS;
        let Some(words) = nodes.get(node as usize) else { return bit };
        let end = node::run_end(words, bit % NODE_BITS);
        if end < NODE_BITS {
            return node * NODE_BITS + end;
        }
        let touched = node + 1 + self.free_from(node + 1);
        touched * NODE_BITS + nodes.get(touched as usize).map_or(0, |words| node::run_end(words, 0))
    }

    /// The runs of wholly free nodes from `node` on: the first of each, and one past the last.
    #[inline]
    pub(super) fn free_nodes(&self, node: u32) -> FreeNodes<'_> {
        let group = node / GROUP_NODES;
        let free =
            self.groups.get(group as usize).map_or(0, |known| !known.touched() & u32::MAX << (node % GROUP_NODES));
        FreeNodes { groups: &self.groups, group, free }
    }

    /// What `look` finds in the first of the runs of so many free nodes, at least one, in which it finds anything. Where
    /// runs of about that length begin is known from then on.
    #[inline(always)]
    pub(super) fn find_in_free_nodes(
        &self,
        nodes: u32,
        node: u32,
        look: impl Fn(u32, u32) -> Option<u32>,
    ) -> Option<u32> {
        let class = (nodes.ilog2() as usize).min(CLASSES - 1);
        let earliest = &self.earliest[class];
        let from_earliest = earliest.get() >= node;
        let look = |(first, after)| if after - first >= nodes { look(first, after) } else { None };
        let mut runs = self.free_nodes(node.max(earliest.get()));
        if from_earliest {
            let found = runs.find(|&(first, after)| after - first >= 1 << class)?;
            earliest.set(found.0);
            let found = look(found);
            if found.is_some() {
                return found;
            }
        }
        runs.find_map(look)
    }

    /// Memory that it takes, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        size_of_val(self.groups.as_slice())
    }

    /// The bounds of a node and its group on runs that lie in a node, for the tests.
    #[cfg(test)]
    pub(super) fn bounds_of_node(&self, node: u32, lane: usize) -> (u32, u32) {
        self.groups[(node / GROUP_NODES) as usize].of_node(node % GROUP_NODES, lane)
    }

    /// So far is it known that no run of 2^`class` free nodes begins, for the tests.
    #[cfg(test)]
    pub(super) fn earliest(&self, class: usize) -> u32 {
        self.earliest[class].get()
    }

    /// True where a run that leaves the node is allowed by its group and the area.
    #[cfg(test)]
    pub(super) fn allows_leaving(&self, node: u32, lane: usize, length: u32) -> bool {
        self.groups[(node / GROUP_NODES) as usize].leaving().allows(lane, length) && self.may_hold(lane, length)
    }
}

/// The bits `start..end` by groups: which, and what of them lies in it, counted from its first bit.
fn parts(start: u32, end: u32) -> impl Iterator<Item = (usize, u32, u32)> {
    (start / GROUP_BITS..=(end - 1) / GROUP_BITS).map(move |group| {
        let first = group * GROUP_BITS;
        (group as usize, start.saturating_sub(first), (end - first).min(GROUP_BITS))
    })
}

/// See [`Summary::free_nodes`].
pub(super) struct FreeNodes<'b> {
    groups: &'b [Group],
    /// The group that is being read, and which nodes of it are free and not yet told of.
    group: u32,
    free: u32,
}

impl FreeNodes<'_> {
    #[inline(always)]
    fn next_group(&mut self) -> Option<()> {
        self.group += 1;
        self.free = !self.groups.get(self.group as usize)?.touched();
        Some(())
    }
}

impl Iterator for FreeNodes<'_> {
    type Item = (u32, u32);

    #[inline]
    fn next(&mut self) -> Option<(u32, u32)> {
        while self.free == 0 {
            self.next_group()?;
        }
        let first = self.group * GROUP_NODES + self.free.trailing_zeros();
        // The carry clears a run from its lowest bit on, and sets the bit behind it.
        let (carried, beyond) = self.free.overflowing_add(self.free & self.free.wrapping_neg());
        let mut behind = carried & !self.free;
        self.free &= carried;
        if beyond {
            // The run goes on in the next group, at whose end it may go on again.
            loop {
                if self.next_group().is_none() {
                    self.free = 0;
                    return Some((first, self.group * GROUP_NODES));
                }
                if self.free != u32::MAX {
                    break;
                }
            }
            behind = !self.free & (self.free + 1);
            self.free &= self.free + 1;
        }
        Some((first, self.group * GROUP_NODES + behind.trailing_zeros()))
    }
}
