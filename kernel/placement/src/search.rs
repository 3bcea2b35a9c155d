// SPDX-License-Identifier: MIT OR Apache-2.0

//! First-fit over a bitmap: finds what trying every bit finds. In a large one its summary rules out
//! groups and nodes (see `summary`).
//!
//! Cost of a search from bit 0: a group is skipped if its bounds rule out the request; in the other
//! groups each node is visited whose own bound allows it, and no word outside the place found is
//! read twice. So at worst every word is read once: 768 nodes of eight words in 768 MiB. A visit
//! that finds nothing lowers the bound that led there: a request that fails twice, with no release
//! between, visits only groups the second time.

use super::Request;
use super::bitmap::Bitmap;
use super::bounds::LANES;
use super::group::GROUP_NODES;
use super::node::{self, NODE_BITS, NODE_WORDS, Node};
use super::scan::{NodeScan, Scan, steps};
use super::summary::Summary;
use super::words::{SLOTS, WORD_BITS, mask, read};

/// The highest lane: every bit that is aligned to it begins a node.
const NODE_LANE: usize = LANES - 1;

impl Bitmap {
    /// Returns the lowest aligned bit >= `start` that begins `request.bits` clear bits
    /// (`bitmap_find_next_zero_area_off`).
    #[inline]
    pub fn first_fit(&self, request: &Request, start: u32) -> Option<u32> {
        match &self.summary {
            Some(summary) if request.align_offset.is_multiple_of(NODE_BITS) => {
                if start == 0 {
                    self.first_fit_by_nodes::<false>(summary, request, 0)
                } else {
                    self.first_fit_after(summary, request, start)
                }
            }
            None if request.align_offset == 0 => self.first_fit_by_words(request, start),
            _ => self.first_fit_by_runs(request, start, self.bits()),
        }
    }

    /// Does first-fit from any bit: searches the rest of the node that `start` is in run by run,
    /// and then the nodes after it.
    #[cold]
    #[inline(never)]
    fn first_fit_after(&self, summary: &Summary, request: &Request, start: u32) -> Option<u32> {
        let from = start.checked_next_multiple_of(NODE_BITS)?;
        let found = self.first_fit_by_runs(request, start, from);
        found.or_else(|| self.first_fit_by_nodes::<true>(summary, request, from / NODE_BITS))
    }

    /// Does first-fit from node `from` on, which is 0 if not `BEHIND`.
    #[inline(always)]
    fn first_fit_by_nodes<const BEHIND: bool>(&self, summary: &Summary, request: &Request, from: u32) -> Option<u32> {
        let order = request.align_mask.trailing_ones() as usize;
        if order > NODE_LANE || request.bits >= NODE_BITS && order == NODE_LANE {
            self.first_fit_on_nodes(summary, request, from)
        } else if request.bits >= NODE_BITS {
            self.first_fit_over_borders(summary, order, request, from)
        } else if request.bits > request.align_mask + 1 {
            match steps(request.bits) {
                1 => self.first_fit_by_scan::<1, BEHIND>(summary, order, request, from),
                2 => self.first_fit_by_scan::<2, BEHIND>(summary, order, request, from),
                3 => self.first_fit_by_scan::<3, BEHIND>(summary, order, request, from),
                4 => self.first_fit_by_scan::<4, BEHIND>(summary, order, request, from),
                _ => self.first_fit_by_scan::<5, BEHIND>(summary, order, request, from),
            }
        } else {
            match order {
                0..6 => self.first_fit_by_slots::<BEHIND>(summary, order, &Slots::of(request)?, from),
                6 => self.first_fit_by_wide_slots::<2, BEHIND>(summary, order, request.bits, from),
                7 => self.first_fit_by_wide_slots::<4, BEHIND>(summary, order, request.bits, from),
                _ => self.first_fit_by_wide_slots::<NODE_WORDS, BEHIND>(summary, order, request.bits, from),
            }
        }
    }

    /// Does first-fit of a request that is no longer than its alignment, at most a word. Not
    /// inlined, like the next one, so that all it needs stays in registers.
    #[inline(never)]
    fn first_fit_by_slots<const BEHIND: bool>(
        &self,
        summary: &Summary,
        lane: usize,
        slots: &Slots,
        from: u32,
    ) -> Option<u32> {
        let nodes = self.nodes();
        summary.first_fit::<false>(if BEHIND { from } else { 0 }, lane, slots.bits, |node| {
            Some(node * NODE_BITS + slots.first_in_words(nodes.get(node as usize)?)? - slots.reach)
        })
    }

    /// Does first-fit of a request no longer than its alignment, which is whole words, at most 8.
    #[inline(never)]
    fn first_fit_by_wide_slots<const WORDS: usize, const BEHIND: bool>(
        &self,
        summary: &Summary,
        lane: usize,
        bits: u32,
        from: u32,
    ) -> Option<u32> {
        let nodes = self.nodes();
        summary.first_fit::<false>(if BEHIND { from } else { 0 }, lane, bits, |node| {
            Some(node * NODE_BITS + first_wide_slot::<WORDS>(nodes.get(node as usize)?, bits)?)
        })
    }

    /// Does first-fit of a request that is longer than its alignment, and shorter than a node.
    #[inline(never)]
    fn first_fit_by_scan<const STEPS: u32, const BEHIND: bool>(
        &self,
        summary: &Summary,
        lane: usize,
        request: &Request,
        from: u32,
    ) -> Option<u32> {
        let mut scan = NodeScan::new::<STEPS>(self.nodes(), request);
        summary.first_fit::<true>(if BEHIND { from } else { 0 }, lane, request.bits, |node| scan.visit::<STEPS>(node))
    }

    /// Does first-fit of a request that can begin only with a node, and is at least a node long or
    /// aligned to more than a node.
    #[inline(never)]
    fn first_fit_on_nodes(&self, summary: &Summary, request: &Request, from: u32) -> Option<u32> {
        let (bits, nodes) = (request.bits, self.nodes());
        let (apart, offset) = ((request.align_mask + 1) / NODE_BITS, request.align_offset / NODE_BITS);
        let aligned = SLOTS[(apart.trailing_zeros() as usize).min(SLOTS.len() - 1)];
        // Nodes before this one are parts of a run that is too short.
        let mut next = from;
        for (first, _, group) in summary.groups_from(from) {
            let free = if group.free_allow(bits) { !group.touched() } else { 0 };
            let begun = if bits < NODE_BITS && group.touched_allow(NODE_LANE, bits) { group.touched() } else { 0 };
            let skipped = (first + offset).wrapping_neg() & (apart - 1);
            if free | begun == 0 || skipped >= GROUP_NODES {
                continue;
            }
            let mut left = aligned << skipped & (free | begun);
            if next > first {
                left &= if next - first < GROUP_NODES { u32::MAX << (next - first) } else { 0 };
            }
            while left != 0 {
                let place = left.trailing_zeros();
                let node = first + place;
                if free >> place & 1 == 0 {
                    if group.node_allows(place, NODE_LANE, bits) {
                        let length = node::run_end(nodes.get(node as usize)?, 0);
                        if length >= bits {
                            return Some(node * NODE_BITS);
                        }
                        group.node_lacks(place, NODE_LANE, length + 1);
                    }
                    left &= left - 1;
                    continue;
                }
                let run = (free >> place).trailing_ones();
                next = node + if place + run < GROUP_NODES { run } else { summary.free_from(node) };
                // Bits needed of the node after the free ones, which can be enough only if it is
                // less than a node.
                let missing = bits.saturating_sub((next - node) * NODE_BITS);
                let begins = || nodes.get(next as usize).is_some_and(|node| node::run_end(node, 0) >= missing);
                if missing == 0 || missing < NODE_BITS && begins() {
                    return Some(node * NODE_BITS);
                }
                left &= if next - first < GROUP_NODES { u32::MAX << (next - first) } else { 0 };
            }
            if apart == 1 && next >= from && first >= from {
                group.free_lack(bits);
            }
        }
        None
    }

    /// Does first-fit of a request of at least a node that may begin inside a node, and then leaves
    /// it.
    #[inline(never)]
    fn first_fit_over_borders(&self, summary: &Summary, lane: usize, request: &Request, from: u32) -> Option<u32> {
        let (bits, nodes) = (request.bits, self.nodes());
        // The node that the last run ended in, and the word of it that was read last.
        let (mut next, mut seen) = (from, None);
        for (first, from, group) in summary.groups_from(from) {
            if group.open(lane) != 0 {
                summary.close(group, first, lane);
            }
            let free = !group.touched();
            let longer = if group.free_allow(bits) { free } else { 0 };
            // A free node's bound is lowered, too: the group's has to be >= it.
            let mut left = (longer | group.allowing(lane, bits)) & u32::MAX << from;
            while left != 0 {
                let place = left.trailing_zeros();
                let node = first + place;
                left &= left - 1;
                let begins = if free >> place & 1 != 0 {
                    node * NODE_BITS
                } else {
                    let seen = seen.filter(|_| node == next);
                    request.align_up(node * NODE_BITS + node::last_run_start(nodes.get(node as usize)?, seen))?
                };
                // Of the runs that begin in a node, only the last can be as long as a node.
                let mut longest = NODE_BITS - 1;
                if node >= next && begins < (node + 1) * NODE_BITS {
                    next = node + 1 + summary.free_from(node + 1);
                    let (length, word) = nodes.get(next as usize).map_or((0, None), node::first_run);
                    longest = longest.max(next * NODE_BITS + length - begins);
                    if longest >= bits {
                        return Some(begins);
                    }
                    seen = word;
                }
                group.node_lacks(place, lane, longest + 1);
            }
            if from == 0 {
                group.free_lack(bits);
                group.touched_lack(lane, bits);
            }
        }
        None
    }

    /// Does first-fit in a bitmap without a summary.
    #[inline]
    fn first_fit_by_words(&self, request: &Request, start: u32) -> Option<u32> {
        if let Some(slots) = Slots::of(request) {
            return slots.first_fit(self, start, self.word_bits());
        }
        self.first_fit_of_many_words(request, start)
    }

    #[inline(never)]
    fn first_fit_of_many_words(&self, request: &Request, start: u32) -> Option<u32> {
        if request.bits > request.align_mask + 1 {
            if request.bits > self.bits() {
                return None;
            }
            return match steps(request.bits) {
                1 => self.first_fit_in_words::<1>(request, start),
                2 => self.first_fit_in_words::<2>(request, start),
                3 => self.first_fit_in_words::<3>(request, start),
                4 => self.first_fit_in_words::<4>(request, start),
                _ => self.first_fit_in_words::<5>(request, start),
            };
        }
        // The alignment is whole words: the first word of most places rules them out.
        let wanted = mask(0, request.bits.min(WORD_BITS));
        let behind = request.bits.saturating_sub(WORD_BITS);
        let mut bit = request.align_up(start)?;
        while let Some(word) = self.padded_words().get((bit / WORD_BITS) as usize) {
            if read(word) & wanted == 0 && (behind == 0 || self.is_free(bit + WORD_BITS, behind)) {
                return Some(bit);
            }
            bit += request.align_mask + 1;
        }
        None
    }

    #[inline(never)]
    fn first_fit_in_words<const STEPS: u32>(&self, request: &Request, start: u32) -> Option<u32> {
        Scan::new::<STEPS>(request).all::<STEPS>(self.padded_words(), start)
    }

    /// Does first-fit run by run for any request, of a place that begins in `first..end`.
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

    /// Returns the length of the longest free run, in bits: measures all runs.
    pub fn longest_free_run(&self) -> u32 {
        self.runs().map(|(_, length)| length).max().unwrap_or(0)
    }
}

/// Returns the first bit of the node's first slot of `WORDS` words whose first `bits` bits are
/// clear. Not inlined, so that its caller keeps its registers.
#[inline(never)]
fn first_wide_slot<const WORDS: usize>(node: &Node, bits: u32) -> Option<u32> {
    let (whole, rest) = ((bits / u32::BITS) as usize, (1 << (bits % u32::BITS)) - 1);
    let fits = |slot: &[u32; WORDS]| {
        let (whole, behind) = slot.split_at(whole % (WORDS + 1));
        whole.iter().all(|used| read(used) == 0)
            && (rest == 0 || behind.first().is_none_or(|used| read(used) & rest == 0))
    };
    let slot = node.as_chunks().0.iter().position(fits)?;
    Some((slot * WORDS) as u32 * u32::BITS)
}

/// A request that is no longer than its alignment, which is at most a word: a word is then a row of
/// slots, and a buffer begins with a slot.
///
/// A slot is empty if the bits that the buffer would take are clear. The lowest empty slot is found
/// for all slots of a word at once: subtracting one from each slot borrows into the top bit of the
/// first empty one.
#[derive(Clone, Copy)]
struct Slots {
    bits: u32,
    /// Masks of the first bit of each slot, and of the last.
    lowest: u32,
    highest: u32,
    /// Mask of the bits that a buffer would take of each slot.
    wanted: u32,
    /// Distance between a slot's first and last bit.
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

    /// Returns the lowest fit in the bits `first..end`; `end` is a multiple of the word's bits.
    #[inline(always)]
    fn first_fit(&self, map: &Bitmap, first: u32, end: u32) -> Option<u32> {
        if first == 0 {
            return Some(self.first_in(map.padded_words().as_chunks().0)? - self.reach);
        }
        let mut before = (1 << (first % u32::BITS)) - 1;
        for (base, used) in map.words_between(first, end) {
            let empty = self.empty(read(used) | before);
            if empty != 0 {
                return Some(base + empty.trailing_zeros() - self.reach);
            }
            before = 0;
        }
        None
    }

    /// Returns the mask of the last bits of the word's empty slots; only its lowest bit is
    /// reliable.
    #[inline(always)]
    const fn empty(&self, used: u32) -> u32 {
        self.borrowed(used) & self.highest
    }

    /// Returns `empty` with unrelated bits beside the last bits of slots.
    #[inline(always)]
    const fn borrowed(&self, used: u32) -> u32 {
        let taken = used & self.wanted;
        taken.wrapping_sub(self.lowest) & !taken
    }

    /// Returns the last bit of the node's first empty slot. Not inlined, so that all it needs stays
    /// in registers.
    #[inline(never)]
    fn first_in_words(&self, node: &Node) -> Option<u32> {
        self.first_in(node.as_chunks().0)
    }

    /// Returns the last bit of the first empty slot; tests four words at once.
    #[inline(always)]
    fn first_in(&self, words: &[[u32; 4]]) -> Option<u32> {
        for (base, words) in (0..).step_by(4 * u32::BITS as usize).zip(words) {
            let [first, second, third, fourth] = words.each_ref().map(|used| self.borrowed(read(used)));
            if (first | second | third | fourth) & self.highest != 0 {
                let words = [first, second, third, fourth].map(|bits| bits & self.highest);
                let (word, empty) = (0..).zip(words).find(|&(_, empty)| empty != 0)?;
                return Some(base + word * u32::BITS + empty.trailing_zeros());
            }
        }
        None
    }
}
