//! First-fit over a bitmap, exactly as trying every bit would find it; in a large one guided by its bounds (see `bounds`).
//!
//! At worst, right after much was allocated and nothing was looked for, a search visits every group and every node once:
//! 48 and 768 for 768 MiB. Each visit in vain lowers the bound that led there, where the bounds can say it: of requests of
//! at most 255 bits under an alignment that has a lane, looked for from the area's start.

use super::bitmap::{Bitmap, NODE_WORDS};
use super::bounds::{Bounds, LANES, NODE_BITS, SATURATED};
use super::placement::Request;
use super::summary::Summary;

/// A run of so many bits covers at least one whole node, wherever it begins.
const SURE_OF_A_NODE: u32 = 2 * NODE_BITS - 1;

impl Bitmap {
    /// The lowest aligned bit at or after `start` that so many clear bits follow (`bitmap_find_next_zero_area_off`).
    #[inline]
    pub fn first_fit(&self, request: &Request, start: u32) -> Option<u32> {
        match &self.summary {
            Some(Summary { bounds, .. }) if request.align_offset == 0 => {
                self.first_fit_by_nodes(bounds, request, start)
            }
            _ => self.first_fit_between(request, start, self.word_bits()),
        }
    }

    fn first_fit_by_nodes(&self, bounds: &Bounds, request: &Request, start: u32) -> Option<u32> {
        let order = request.align_mask.trailing_ones() as usize;
        // An alignment above the lanes' is looked for in the highest, whose bounds hold for it but say too much.
        let lane = order.min(LANES - 1);
        if !bounds.area_may_hold(lane, request.bits) {
            return None;
        }
        let from_a_node = request.align_mask == NODE_BITS - 1;
        let found = if request.bits >= NODE_BITS && from_a_node {
            self.first_fit_from_a_node(request, start)
        } else if request.bits >= SURE_OF_A_NODE {
            self.first_fit_around_nodes(request, start)
        } else if start > 0 || order > lane || request.bits > SATURATED {
            self.first_fit_after(bounds, lane, request, start)
        } else if request.bits > request.align_mask + 1 {
            bounds.first_fit_in_nodes(lane, request.bits, |node| {
                self.first_fit_by_runs(request, node * NODE_BITS, (node + 1) * NODE_BITS)
            })
        } else {
            match order {
                0..6 => self.first_fit_by_slots(bounds, lane, &Slots::of(request)?),
                6 => self.first_fit_by_wide_slots::<2>(bounds, lane, request.bits),
                7 => self.first_fit_by_wide_slots::<4>(bounds, lane, request.bits),
                _ => self.first_fit_by_wide_slots::<NODE_WORDS>(bounds, lane, request.bits),
            }
        };
        if found.is_none() && order == lane && start == 0 {
            bounds.area_lacks(lane, request.bits);
        }
        found
    }

    /// First-fit of a request that is no longer than its alignment, of a word at most. By itself, as the next one is, so that
    /// all it needs stays in registers.
    #[inline(never)]
    fn first_fit_by_slots(&self, bounds: &Bounds, lane: usize, slots: &Slots) -> Option<u32> {
        bounds.first_fit_in_nodes(lane, slots.bits, |node| slots.first_fit_in_node(self, node))
    }

    /// The same where the alignment is so many words, a node at most.
    #[inline(never)]
    fn first_fit_by_wide_slots<const WORDS: usize>(&self, bounds: &Bounds, lane: usize, bits: u32) -> Option<u32> {
        let (whole, rest) = ((bits / u32::BITS) as usize, (1 << (bits % u32::BITS)) - 1);
        bounds.first_fit_in_nodes(lane, bits, |node| {
            let fits = |slot: &[u32; WORDS]| {
                let (whole, behind) = slot.split_at(whole % (WORDS + 1));
                whole.iter().all(|&used| used == 0) && behind.first().is_none_or(|used| used & rest == 0)
            };
            let slot = self.node(node)?.as_chunks().0.iter().position(fits)?;
            Some(node * NODE_BITS + (slot * WORDS) as u32 * u32::BITS)
        })
    }

    /// First-fit of any request from anywhere, node by node, of which none is learned.
    #[inline(never)]
    fn first_fit_after(&self, bounds: &Bounds, lane: usize, request: &Request, start: u32) -> Option<u32> {
        let mut first = start;
        while let Some(node) = bounds.next_node(first / NODE_BITS, lane, request.bits) {
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
    fn first_fit_from_a_node(&self, request: &Request, start: u32) -> Option<u32> {
        let (whole, rest) = (request.bits / NODE_BITS, request.bits % NODE_BITS);
        for (first, after) in self.free_nodes(start.div_ceil(NODE_BITS)) {
            let free = after - first;
            if free < whole {
                continue;
            }
            let end = after * NODE_BITS;
            let fits = free > whole || rest == 0 || rest <= self.bits() - end && self.is_free(end, rest);
            if fits {
                return Some(first * NODE_BITS);
            }
        }
        None
    }

    /// First-fit of a request that cannot fit without covering a whole node: only runs around free nodes are looked at.
    fn first_fit_around_nodes(&self, request: &Request, start: u32) -> Option<u32> {
        // So many free nodes a run has at least that is long enough.
        let least = (request.bits - (SURE_OF_A_NODE - 1)).div_ceil(NODE_BITS);
        for (first, after) in self.free_nodes(start / NODE_BITS) {
            if after - first >= least {
                let bit = request.align_up(self.run_start(first * NODE_BITS).max(start))?;
                if self.run_end(after * NODE_BITS).saturating_sub(bit) >= request.bits {
                    return Some(bit);
                }
            }
        }
        None
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
            let bit = self.next_clear(at).and_then(|clear| request.align_up(clear))?;
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
    /// Only nodes whose bound is above the longest run found so far are looked at.
    pub fn longest_free_run(&self) -> u32 {
        let Some(Summary { bounds, .. }) = &self.summary else { return self.longest_run_from(0, self.bits()) };
        let (length, from) = bounds.longest_seen();
        if length == 0 || !self.is_set(from) && self.run_end(from) - from == length {
            return length;
        }
        let (mut longest, mut longest_at) = (0, 0);
        for (first, after) in self.free_nodes(0) {
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
            && let Some(node) = bounds.next_node(first / NODE_BITS, 0, longest + 1)
        {
            let node_end = (node + 1) * NODE_BITS;
            first = first.max(node * NODE_BITS);
            while let Some(from) = self.next_clear(first).filter(|&from| from < node_end) {
                first = self.run_end(from);
                if first - from > longest {
                    (longest, longest_at) = (first - from, from);
                }
            }
            first = first.max(node_end);
        }
        bounds.see_longest(longest, longest_at);
        longest
    }

    /// The longest free run that begins, or goes on, among the bits `first..end`.
    fn longest_run_from(&self, first: u32, end: u32) -> u32 {
        let (mut longest, mut at) = (0, first);
        while let Some(start) = self.next_clear(at).filter(|&start| start < end) {
            at = self.run_end(start);
            longest = longest.max(at - start);
        }
        longest
    }
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

    /// The lowest fit in a node.
    #[inline(always)]
    fn first_fit_in_node(&self, map: &Bitmap, node: u32) -> Option<u32> {
        Some(node * NODE_BITS + self.first_in_words(map.node(node)?)? - self.reach)
    }

    /// The last bits of the slots of a word that are empty; only the first of them can be relied on.
    #[inline(always)]
    const fn empty(&self, used: u32) -> u32 {
        let taken = used & self.wanted;
        taken.wrapping_sub(self.lowest) & !taken & self.highest
    }

    /// The last bit of the first empty slot of a node. By itself, so that all it needs stays in registers.
    #[inline(never)]
    fn first_in_words(&self, node: &[u32; NODE_WORDS]) -> Option<u32> {
        let words = node.iter().map(|&used| self.empty(used));
        let (word, empty) = (0..).zip(words).find(|&(_, empty)| empty != 0)?;
        Some(word * u32::BITS + empty.trailing_zeros())
    }
}

/// The first bit of each slot of 2^index bits in a word.
pub(super) const SLOTS: [u32; 6] = [u32::MAX, 0x5555_5555, 0x1111_1111, 0x0101_0101, 0x0001_0001, 1];
