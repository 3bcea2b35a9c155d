//! First-fit over a bitmap, exactly as trying every bit would find it, guided by its bounds (see `bounds`).
//!
//! At worst, right after much was allocated and nothing was looked for, a search visits every group and every node once:
//! 24 and 768 for 768 MiB. Each visit in vain lowers the bound that led there.

use super::bitmap::Bitmap;
use super::bounds::{GROUP_NODES, LANES, NODE_BITS};
use super::placement::Request;

impl Bitmap {
    /// The lowest aligned bit at or after `start` that so many clear bits follow (`bitmap_find_next_zero_area_off`).
    #[inline]
    pub fn first_fit(&self, request: &Request, start: u32) -> Option<u32> {
        let order = request.align_mask.trailing_ones() as usize;
        // An alignment above the lanes' is looked for in the highest, whose bounds hold for it but say too much.
        let lane = order.min(LANES - 1);
        if request.align_offset != 0 {
            return self.first_fit_by_runs(request, start, self.bits());
        }
        if !self.bounds.area_may_hold(lane, request.bits) {
            return None;
        }
        let found = self.first_fit_by_nodes(request, start, lane, order == lane);
        if found.is_none() && start == 0 && order == lane {
            self.bounds.area_lacks(lane, request.bits);
        }
        found
    }

    fn first_fit_by_nodes(&self, request: &Request, start: u32, lane: usize, lane_is_exact: bool) -> Option<u32> {
        let nodes = self.bounds.nodes();
        let mut node = start / NODE_BITS;
        while node < nodes {
            let group = node / GROUP_NODES;
            let group_end = nodes.min((group + 1) * GROUP_NODES);
            if !self.bounds.group_may_hold(group, lane, request.bits) {
                node = group_end;
                continue;
            }
            while node < group_end {
                if self.bounds.node_may_hold(node, lane, request.bits) {
                    let first = start.max(node * NODE_BITS);
                    let found = self.first_fit_in_node(request, first);
                    if found.is_some() {
                        return found;
                    }
                    if lane_is_exact && first == node * NODE_BITS {
                        self.bounds.node_lacks(node, lane, request.bits);
                    }
                }
                node += 1;
            }
            self.bounds.tighten_group(group, lane);
        }
        None
    }

    /// The lowest aligned bit that the request fits at, among those of the node from `first`.
    #[inline]
    fn first_fit_in_node(&self, request: &Request, first: u32) -> Option<u32> {
        let alignment = request.align_mask + 1;
        let node_end = (first / NODE_BITS + 1) * NODE_BITS;
        if request.bits > alignment {
            return self.first_fit_by_runs(request, first, node_end);
        }
        if alignment > u32::BITS {
            let mut bit = request.align_up(first)?;
            while bit < node_end {
                if self.is_free(bit, request.bits) {
                    return Some(bit);
                }
                bit += alignment;
            }
            return None;
        }
        self.first_fit_in_words(request, first, alignment)
    }

    /// The lowest fit in a node of a request that is no longer than its alignment, which is at most a word: a word is
    /// then a row of slots, and a buffer begins with one.
    ///
    /// A slot fits where the bits that the buffer would take are clear. The lowest slot without any of them set is found
    /// for all slots of a word at once: taking one from each slot borrows into the top bit of the first that is empty.
    #[inline]
    fn first_fit_in_words(&self, request: &Request, first: u32, alignment: u32) -> Option<u32> {
        let lowest = SLOTS[alignment.trailing_zeros() as usize];
        let highest = lowest << (alignment - 1);
        let wanted = lowest.wrapping_mul(u32::MAX >> (u32::BITS - request.bits));
        let mut before = (1 << (first % u32::BITS)) - 1;
        for (base, used) in self.node_words(first) {
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

    /// The nodes that may hold a request whose alignment is the lane's, from the lowest.
    pub(super) fn nodes_that_may_hold(&self, lane: usize, bits: u32) -> impl Iterator<Item = u32> + '_ {
        let mut node = 0;
        core::iter::from_fn(move || {
            while node < self.bounds.nodes() {
                let here = node;
                if here.is_multiple_of(GROUP_NODES) && !self.bounds.group_may_hold(here / GROUP_NODES, lane, bits) {
                    node += GROUP_NODES;
                    continue;
                }
                node += 1;
                if self.bounds.node_may_hold(here, lane, bits) {
                    return Some(here);
                }
            }
            None
        })
    }

    /// The length of the longest free run, in bits.
    ///
    /// Only nodes whose bound is above the longest run found so far are looked at.
    pub fn longest_free_run(&self) -> u32 {
        let mut longest = 0;
        for group in 0..self.bounds.nodes().div_ceil(GROUP_NODES) {
            if !self.bounds.group_may_hold(group, 0, longest + 1) {
                continue;
            }
            for node in group * GROUP_NODES..self.bounds.nodes().min((group + 1) * GROUP_NODES) {
                if self.bounds.node_may_hold(node, 0, longest + 1) {
                    let here = self.longest_run_from(node * NODE_BITS, (node + 1) * NODE_BITS);
                    self.bounds.node_lacks(node, 0, here + 1);
                    longest = longest.max(here);
                }
            }
            self.bounds.tighten_group(group, 0);
        }
        self.bounds.area_lacks(0, longest + 1);
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
pub(super) const SLOTS: [u32; 6] = [u32::MAX, 0x5555_5555, 0x1111_1111, 0x0101_0101, 0x0001_0001, 1];
