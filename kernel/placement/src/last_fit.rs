// SPDX-License-Identifier: MIT OR Apache-2.0

//! Last-fit: the highest place that a request fits at. In a large bitmap the search visits the
//! nodes from the last one down that their bounds allow (see `summary`), and lowers the bounds of
//! those visited in vain. It reads a word at most four times: for the run that reaches its node,
//! the run that leaves it, the fits in it, and the end of a run that begins before it.

use super::Request;
use super::bitmap::Bitmap;
use super::bounds::LANES;
use super::node::{self, NODE_BITS};
use super::summary::Summary;
use super::words::WORD_BITS;

impl Bitmap {
    /// Returns the highest aligned bit >= `start` that begins `request.bits` clear bits.
    pub fn last_fit(&self, request: &Request, start: u32) -> Option<u32> {
        match &self.summary {
            Some(summary) if start == 0 && request.align_offset.is_multiple_of(NODE_BITS) => {
                self.last_fit_by_nodes(summary, request)
            }
            _ => self.last_fit_by_runs(request, start),
        }
    }

    fn last_fit_by_nodes(&self, summary: &Summary, request: &Request) -> Option<u32> {
        let (bits, order) = (request.bits, request.align_mask.trailing_ones() as usize);
        let lane = order.min(LANES - 1);
        let (nodes, runs) = (self.nodes(), self.read_runs(summary));
        let mut behind = (0, 0);
        for (first, group) in summary.groups_back() {
            if group.open(lane) != 0 {
                summary.close(group, first, lane);
            }
            let longer = if group.free_allow(bits) { !group.touched() } else { 0 };
            // A free node's bound is lowered, too: the group's has to be >= it.
            let mut left = longer | group.allowing(lane, bits);
            if left == 0 {
                continue;
            }
            // The index does not cover free nodes.
            let (free, begun) = (left & !group.touched(), left & group.touched());
            let mut looked = runs.as_ref().map_or(left, |runs| free | runs.holding(nodes, first, begun, bits));
            let mut found = None;
            while looked != 0 && found.is_none() {
                let place = looked.ilog2();
                looked ^= 1 << place;
                found = self.last_in_node(summary, request, first + place, &mut behind);
                left &= found.map_or(left, |_| u32::MAX << place << 1);
            }
            if order == lane {
                group.lack(left, lane, bits);
            }
            if found.is_some() {
                return found;
            }
            if order == lane {
                group.free_lack(bits);
                group.touched_lack(lane, bits);
            }
        }
        None
    }

    /// Returns the highest bit of `node` that the request fits at, wherever it ends; `behind` is
    /// the touched node that the last run ended in, and that end. Not inlined, so that the loop
    /// over nodes keeps its registers.
    #[inline(never)]
    fn last_in_node(&self, summary: &Summary, request: &Request, node: u32, behind: &mut (u32, u32)) -> Option<u32> {
        let (base, words) = (node * NODE_BITS, self.nodes().get(node as usize)?);
        let leaves = node::run_start(words, NODE_BITS);
        if leaves < NODE_BITS {
            let touched = node + 1 + summary.free_from(node + 1);
            if touched != behind.0 {
                *behind = (touched, summary.ends_from(self.nodes(), touched));
            }
            let end = behind.1;
            let last = end.checked_sub(request.bits).map(|bit| bit.min(base + NODE_BITS - 1));
            let bit = last.and_then(|last| request.align_down(last)).filter(|&bit| bit >= base + leaves);
            if bit.is_some() {
                return bit;
            }
        }
        let order = request.align_mask.trailing_ones().min(NODE_BITS.ilog2());
        if request.bits > NODE_BITS || leaves == 0 {
            return None;
        }
        let fits = node::fits(words, request.bits);
        let places = (0..NODE_BITS).step_by(WORD_BITS as usize).zip(fits).rev();
        let (first, fits) =
            places.map(|(first, fits)| (first, fits & node::aligned(order, first))).find(|&(_, fits)| fits != 0)?;
        let bit = base + first + fits.ilog2();
        // Only the first bit of a node can have an alignment of more than a node.
        (request.align_down(bit) == Some(bit)).then_some(bit)
    }

    /// Does last-fit run by run, for any request.
    pub(super) fn last_fit_by_runs(&self, request: &Request, start: u32) -> Option<u32> {
        let mut before = self.bits();
        loop {
            let end = self.last_clear_before(before)? + 1;
            let from = self.run_start(end).max(start);
            if end <= start {
                return None;
            }
            if end - from >= request.bits
                && let Some(bit) = request.align_down(end - request.bits)
                && bit >= from
            {
                return Some(bit);
            }
            before = from;
        }
    }
}
