//! First-fit over a bitmap, exactly as trying every bit would find it; in a large one guided by its bounds (see `bounds`).
//!
//! At worst, right after much was allocated and nothing was looked for, a search visits every group and every node once:
//! 24 and 768 for 768 MiB. Each visit in vain lowers the bound that led there.

use super::bitmap::{Bitmap, Summary};
use super::bounds::{Bounds, GROUP_NODES, LANES, NODE_BITS};
use super::placement::Request;

/// Bits in a group.
const GROUP_BITS: u32 = GROUP_NODES * NODE_BITS;

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
        let lane_is_exact = order == lane;
        if !bounds.area_may_hold(lane, request.bits) {
            return None;
        }
        let mut first = start;
        for group in start / GROUP_BITS..bounds.groups() {
            let end = bounds.end_of_group(group);
            if bounds.group_may_hold(group, lane, request.bits) {
                let mut from = first / NODE_BITS;
                while let Some(node) = bounds.next_node(from, end, lane, request.bits) {
                    let from_bit = first.max(node * NODE_BITS);
                    let found = self.first_fit_between(request, from_bit, (node + 1) * NODE_BITS);
                    if found.is_some() {
                        return found;
                    }
                    if lane_is_exact && from_bit == node * NODE_BITS {
                        bounds.node_lacks(node, lane, request.bits);
                    }
                    from = node + 1;
                }
                if lane_is_exact && first <= group * GROUP_BITS {
                    bounds.group_lacks(group, lane, request.bits);
                }
            }
            first = (group + 1) * GROUP_BITS;
        }
        if lane_is_exact && start == 0 {
            bounds.area_lacks(lane, request.bits);
        }
        None
    }

    /// The lowest aligned bit of `first..end` that the request fits at; `end` is a multiple of the word's bits.
    #[inline]
    fn first_fit_between(&self, request: &Request, first: u32, end: u32) -> Option<u32> {
        let alignment = request.align_mask + 1;
        if request.bits > alignment || request.align_offset != 0 {
            return self.first_fit_by_runs(request, first, end);
        }
        if alignment <= u32::BITS {
            return self.first_fit_in_words(request, first, end, alignment);
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

    /// The lowest fit of a request that is no longer than its alignment, which is at most a word: a word is
    /// then a row of slots, and a buffer begins with one.
    ///
    /// A slot fits where the bits that the buffer would take are clear. The lowest slot without any of them set is found
    /// for all slots of a word at once: taking one from each slot borrows into the top bit of the first that is empty.
    #[inline]
    fn first_fit_in_words(&self, request: &Request, first: u32, end: u32, alignment: u32) -> Option<u32> {
        let lowest = SLOTS[alignment.trailing_zeros() as usize];
        let highest = lowest << (alignment - 1);
        let wanted = lowest.wrapping_mul(u32::MAX >> (u32::BITS - request.bits));
        let mut before = (1 << (first % u32::BITS)) - 1;
        for (base, used) in self.words_between(first, end) {
            let taken = (used | before) & wanted;
            let empty = taken.wrapping_sub(lowest) & !taken & highest;
            if empty != 0 {
                return Some(base + empty.trailing_zeros() + 1 - alignment);
            }
            before = 0;
        }
        None
    }

    /// First-fit from run to run among the bits `first..end`, for any request.
    fn first_fit_by_runs(&self, request: &Request, first: u32, end: u32) -> Option<u32> {
        let mut at = first;
        loop {
            let bit = request.align_up(self.next_clear(at)?)?;
            if bit >= end.min(self.bits()) || request.bits > self.bits() - bit {
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
        let mut longest = 0;
        for group in 0..bounds.groups() {
            if !bounds.group_may_hold(group, 0, longest + 1) {
                continue;
            }
            let (mut node, end) = (group * GROUP_NODES, bounds.end_of_group(group));
            while let Some(next) = bounds.next_node(node, end, 0, longest + 1) {
                let here = self.longest_run_from(next * NODE_BITS, (next + 1) * NODE_BITS);
                bounds.node_lacks(next, 0, here + 1);
                longest = longest.max(here);
                node = next + 1;
            }
            bounds.group_lacks(group, 0, longest + 1);
        }
        bounds.area_lacks(0, longest + 1);
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

/// The first bit of each slot of 2^index bits in a word.
const SLOTS: [u32; 6] = [u32::MAX, 0x5555_5555, 0x1111_1111, 0x0101_0101, 0x0001_0001, 1];
