// SPDX-License-Identifier: MIT OR Apache-2.0

//! First-fit over a bitmap, exactly as trying every bit would find it; in a large one guided by its summary (see `summary`).
//!
//! At worst, right after much was allocated and nothing was looked for, a search visits every group and every node once:
//! 24 and 768 for 768 MiB. A visit in vain lowers the bound that led there, where a bound did: of requests of at most 255
//! bits that are no longer than their alignment, looked for from the area's start. Longer ones are also looked for where
//! a run leaves a node, and that is learned of a group once all of its nodes were looked at.

use super::Request;
use super::bitmap::Bitmap;
use super::bounds::{LANES, SATURATED};
use super::node::{self, NODE_BITS, NODE_WORDS, Node};
use super::summary::Summary;

/// A run of so many bits covers at least one whole node, wherever it begins.
const SURE_OF_A_NODE: u32 = 2 * NODE_BITS - 1;

impl Bitmap {
    /// The lowest aligned bit at or after `start` that so many clear bits follow (`bitmap_find_next_zero_area_off`).
    #[inline]
    pub fn first_fit(&self, request: &Request, start: u32) -> Option<u32> {
        match &self.summary {
            Some(summary) if request.align_offset == 0 => self.first_fit_by_nodes(summary, request, start),
            _ => self.first_fit_between(request, start, self.word_bits()),
        }
    }

    fn first_fit_by_nodes(&self, summary: &Summary, request: &Request, start: u32) -> Option<u32> {
        let order = request.align_mask.trailing_ones() as usize;
        // An alignment above the lanes' is looked for in the highest, whose bounds hold for it but say too much.
        let lane = order.min(LANES - 1);
        if !summary.may_hold(lane, request.bits) {
            return None;
        }
        let from_a_node = request.align_mask == NODE_BITS - 1;
        let found = if request.bits >= NODE_BITS && from_a_node {
            self.first_fit_from_a_node(summary, request.bits, start)
        } else if request.bits >= SURE_OF_A_NODE {
            self.first_fit_around_nodes(summary, request, start)
        } else if start > 0 || order > lane || request.bits > SATURATED {
            self.first_fit_after(summary, lane, request, start)
        } else if request.bits > request.align_mask + 1 {
            self.first_fit_over_nodes(summary, lane, request)
        } else {
            match order {
                0..6 => self.first_fit_by_slots(summary, lane, &Slots::of(request)?),
                6 => self.first_fit_by_wide_slots::<2>(summary, lane, request.bits),
                7 => self.first_fit_by_wide_slots::<4>(summary, lane, request.bits),
                _ => self.first_fit_by_wide_slots::<NODE_WORDS>(summary, lane, request.bits),
            }
        };
        if found.is_none() && order == lane && start == 0 {
            summary.lacks(lane, request.bits);
        }
        found
    }

    /// First-fit of a request that is no longer than its alignment, of a word at most. By itself, as the next one is, so that
    /// all it needs stays in registers.
    #[inline(never)]
    fn first_fit_by_slots(&self, summary: &Summary, lane: usize, slots: &Slots) -> Option<u32> {
        summary.groups(self.group_words()).find_map(|(first, (group, words))| {
            let look = |node| Some(slots.first_in_words(&words[node as usize])? - slots.reach);
            Some(first + group.first_fit_inside(lane, slots.bits, look)?)
        })
    }

    /// The same where the alignment is so many words, a node at most.
    #[inline(never)]
    fn first_fit_by_wide_slots<const WORDS: usize>(&self, summary: &Summary, lane: usize, bits: u32) -> Option<u32> {
        summary.groups(self.group_words()).find_map(|(first, (group, words))| {
            let look = |node| first_wide_slot::<WORDS>(&words[node as usize], bits);
            Some(first + group.first_fit_inside(lane, bits, look)?)
        })
    }

    /// First-fit of a request that is longer than its alignment, and may lie in two nodes.
    #[inline(never)]
    fn first_fit_over_nodes(&self, summary: &Summary, lane: usize, request: &Request) -> Option<u32> {
        summary.group_lacks(request.bits);
        summary.groups(self.group_words()).find_map(|(first, (group, words))| {
            group.first_fit_over_nodes(words, lane, request.bits, |node| {
                let node = first + node * NODE_BITS;
                self.first_fit_by_runs(request, node, node + NODE_BITS)
            })
        })
    }

    /// First-fit of any request from anywhere, node by node. Nothing is learned from it.
    #[inline(never)]
    fn first_fit_after(&self, summary: &Summary, lane: usize, request: &Request, start: u32) -> Option<u32> {
        let mut first = start;
        while let Some(node) = summary.next_node_of_run(self.group_words(), first / NODE_BITS, lane, request.bits) {
            let end = (node + 1) * NODE_BITS;
            let found = self.first_fit_between(request, first.max(node * NODE_BITS), end);
            if found.is_some() {
                return found;
            }
            first = end;
        }
        None
    }

    /// First-fit of a request that begins with a node and covers it: free nodes are counted, and bits looked at only where
    /// the last of them are in question.
    #[inline(never)]
    fn first_fit_from_a_node(&self, summary: &Summary, bits: u32, start: u32) -> Option<u32> {
        let (whole, rest) = (bits / NODE_BITS, bits % NODE_BITS);
        let nodes = self.group_words().as_flattened();
        summary.find_in_free_nodes(whole, start.div_ceil(NODE_BITS), |first, after| {
            let begun = || nodes.get(after as usize).is_some_and(|node| node::run_end(node, 0) >= rest);
            (after - first > whole || rest == 0 || begun()).then_some(first * NODE_BITS)
        })
    }

    /// First-fit of a request that cannot fit without covering a whole node: only runs around free nodes are looked at.
    fn first_fit_around_nodes(&self, summary: &Summary, request: &Request, start: u32) -> Option<u32> {
        // So many free nodes a run has at least that is long enough.
        let least = (request.bits - (SURE_OF_A_NODE - 1)).div_ceil(NODE_BITS);
        summary.find_in_free_nodes(least, start / NODE_BITS, |first, after| {
            let bit = request.align_up(self.run_start(first * NODE_BITS).max(start))?;
            (self.run_end(after * NODE_BITS).saturating_sub(bit) >= request.bits).then_some(bit)
        })
    }

    /// The lowest aligned bit of `first..end` that the request fits at; `end` is a multiple of the word's bits.
    #[inline]
    fn first_fit_between(&self, request: &Request, first: u32, end: u32) -> Option<u32> {
        let alignment = request.align_mask + 1;
        if let Some(slots) = Slots::of(request) {
            return slots.first_fit(self, first, end);
        }
        if request.bits > alignment || request.align_offset != 0 {
            return self.first_fit_by_runs(request, first, end);
        }
        let mut bit = request.align_up(first)?;
        while bit < end {
            if self.is_free(bit, request.bits) {
                return Some(bit);
            }
            bit += alignment;
        }
        None
    }

    /// First-fit from run to run among the bits `first..end`, for any request.
    fn first_fit_by_runs(&self, request: &Request, first: u32, end: u32) -> Option<u32> {
        let end = end.min(self.bits());
        let mut at = first;
        loop {
            let bit = self.next_clear_before(at, end).and_then(|clear| request.align_up(clear))?;
            if bit >= end || request.bits > self.bits() - bit {
                return None;
            }
            let used = self.run_end(bit);
            if used - bit >= request.bits {
                return Some(bit);
            }
            at = used.max(bit + 1);
        }
    }

    /// The length of the longest free run, in bits.
    ///
    /// First runs of free nodes are measured; if they are short, those that begin in nodes which may hold a longer one.
    pub fn longest_free_run(&self) -> u32 {
        let Some(summary) = &self.summary else { return self.longest_run_from(0, self.bits()) };
        let (length, from) = summary.longest_seen();
        if length == 0 || !self.is_set(from) && self.run_end(from) - from == length {
            return length;
        }
        let (mut longest, mut longest_at) = (0, 0);
        for (first, after) in summary.free_nodes(0) {
            if (after - first) * NODE_BITS + SURE_OF_A_NODE > longest {
                let from = self.run_start(first * NODE_BITS);
                let length = self.run_end(after * NODE_BITS) - from;
                if length > longest {
                    (longest, longest_at) = (length, from);
                }
            }
        }
        // Where no run covers a whole node, the nodes that may begin a longer one than seen so far are looked at.
        let mut first = 0;
        while longest < SURE_OF_A_NODE
            && let Some(node) = summary.next_node_of_run(self.group_words(), first / NODE_BITS, 0, longest + 1)
        {
            let node_end = (node + 1) * NODE_BITS;
            first = first.max(node * NODE_BITS);
            while let Some(from) = self.next_clear_before(first, node_end) {
                first = self.run_end(from);
                if first - from > longest {
                    (longest, longest_at) = (first - from, from);
                }
            }
            first = first.max(node_end);
        }
        summary.see_longest(longest, longest_at);
        longest
    }

    /// The longest free run that begins, or goes on, among the bits `first..end`.
    fn longest_run_from(&self, first: u32, end: u32) -> u32 {
        let (mut longest, mut at) = (0, first);
        while let Some(start) = self.next_clear_before(at, end) {
            at = self.run_end(start);
            longest = longest.max(at - start);
        }
        longest
    }
}

/// The first bit of the first slot of so many words in a node whose first `bits` are clear. By itself, so that what calls it
/// keeps its registers.
#[inline(never)]
fn first_wide_slot<const WORDS: usize>(node: &Node, bits: u32) -> Option<u32> {
    let (whole, rest) = ((bits / u32::BITS) as usize, (1 << (bits % u32::BITS)) - 1);
    let fits = |slot: &[u32; WORDS]| {
        let (whole, behind) = slot.split_at(whole % (WORDS + 1));
        whole.iter().all(|&used| used == 0) && behind.first().is_none_or(|used| used & rest == 0)
    };
    let slot = node.as_chunks().0.iter().position(fits)?;
    Some((slot * WORDS) as u32 * u32::BITS)
}

/// A request that is no longer than its alignment, which is at most a word: a word is then a row of slots, and a buffer
/// begins with one.
///
/// A slot fits where the bits that the buffer would take are clear. The lowest slot without any of them set is found for
/// all slots of a word at once: taking one from each slot borrows into the top bit of the first that is empty.
#[derive(Clone, Copy)]
struct Slots {
    bits: u32,
    /// The first bit of each slot, and the last.
    lowest: u32,
    highest: u32,
    /// What the buffer would take of each.
    wanted: u32,
    /// From a slot's last bit to its first.
    reach: u32,
}

impl Slots {
    #[inline(always)]
    fn of(request: &Request) -> Option<Self> {
        let lowest = *SLOTS.get(request.align_mask.trailing_ones() as usize)?;
        let reach = request.align_mask;
        (request.bits <= reach + 1 && request.align_offset == 0).then(|| Self {
            bits: request.bits,
            lowest,
            highest: lowest << reach,
            wanted: lowest.wrapping_mul(u32::MAX >> (u32::BITS - request.bits)),
            reach,
        })
    }

    /// The lowest fit among the bits `first..end`; `end` is a multiple of the word's bits.
    #[inline(always)]
    fn first_fit(&self, map: &Bitmap, first: u32, end: u32) -> Option<u32> {
        let mut before = (1 << (first % u32::BITS)) - 1;
        for (base, used) in map.words_between(first, end) {
            let empty = self.empty(used | before);
            if empty != 0 {
                return Some(base + empty.trailing_zeros() - self.reach);
            }
            before = 0;
        }
        None
    }

    /// The last bits of the slots of a word that are empty; only the first of them can be relied on.
    #[inline(always)]
    const fn empty(&self, used: u32) -> u32 {
        let taken = used & self.wanted;
        taken.wrapping_sub(self.lowest) & !taken & self.highest
    }

    /// The last bit of the first empty slot of a node. By itself, so that all it needs stays in registers.
    #[inline(never)]
    fn first_in_words(&self, node: &Node) -> Option<u32> {
        let words = node.iter().map(|&used| self.empty(used));
        let (word, empty) = (0..).zip(words).find(|&(_, empty)| empty != 0)?;
        Some(word * u32::BITS + empty.trailing_zeros())
    }
}

/// The first bit of each slot of 2^index bits in a word.
pub(super) const SLOTS: [u32; 6] = [u32::MAX, 0x5555_5555, 0x1111_1111, 0x0101_0101, 0x0001_0001, 1];
