// SPDX-License-Identifier: MIT OR Apache-2.0

//! Index of the free runs by length, for rules that choose by it: finds the lowest of the shortest,
//! or of the longest, free runs that hold a request without looking at every run.
//!
//! A run that touches no border of a node is an inner run of it; any other belongs to the first
//! border that it touches (the bitmap's beginning and end are borders, too). Slot `n` stands for
//! the border before node `n` and for the inner runs of node `n`, so that slots are in order of
//! address. Each length < 256 has a row with one bit a slot; longer runs, of which a border has at
//! most one, share the last row.
//!
//! Invariants, while no node is pending: a slot's bit is set in the row of a length if and only if
//! the slot has a run of that length. Setting and clearing bits makes their first and last node
//! pending; the slots of nodes between have no run, before and after. Pending nodes are read before
//! the next search, or when two more may not fit into [`PENDING`], each once: at most 51 words.
//!
//! At worst a search looks at each slot of the rows from the request's length on. A node has inner
//! runs of at most 21 lengths (1 + 2 + … + 21 bits and the bits between), each in a row. Its words
//! are read once for each of these rows while its bounds (see `bounds`) allow the request; a node
//! in which no fit can begin is read once, and its bound lowered. At page alignment the first slot
//! fits.

use alloc::vec;
use alloc::vec::Vec;

use super::Request;
use super::group::GROUP_NODES;
use super::node::{self, NODE_BITS, NODE_WORDS, Node};
use super::summary::Summary;
use super::words::{WORD_BITS, read};

/// Most nodes that can be pending.
const PENDING: usize = 64;
/// `longest` of a pending node; no inner run is that long.
const NOTED: u8 = u8::MAX;
/// Slots of a row in one group: a vain search of more tightens the group's bound.
const MANY: u32 = 8;
/// Number of rows: one for each length < 256, and the last for all longer runs.
const ROWS: usize = NODE_BITS as usize;

/// Choice among the free runs that hold a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// The shortest that holds the request.
    Shortest,
    /// The longest of all.
    Longest,
}

/// The index; see the module.
#[derive(Clone, Debug)]
pub(super) struct Runs {
    /// Words of a row.
    row_words: usize,
    /// One bit a slot, row by row.
    rows: Vec<u32>,
    /// For each row, the number of set bits, and of its first words that may have one.
    counts: Vec<(u16, u16)>,
    /// Mask: rows whose count is not 0.
    present: [u32; ROWS / WORD_BITS as usize],
    /// Mask of the lengths of each node's inner runs.
    inner: Vec<[u32; NODE_WORDS]>,
    /// The length of each node's longest inner run; [`NOTED`] while the node is pending.
    longest: Vec<u8>,
    /// Run of each border: its first bit, and its length or 0.
    border: Vec<(u32, u32)>,
    pending: [u32; PENDING],
    pending_count: usize,
}

impl Runs {
    /// Returns the index of a bitmap.
    pub(super) fn new(nodes: &[Node], summary: &Summary) -> Self {
        let slots = nodes.len() + 1;
        let row_words = slots.div_ceil(WORD_BITS as usize);
        let mut runs = Self {
            row_words,
            rows: vec![0; ROWS * row_words],
            counts: vec![(0, 0); ROWS],
            present: [0; _],
            inner: vec![[0; NODE_WORDS]; nodes.len()],
            longest: vec![0; nodes.len()],
            border: vec![(0, 0); slots],
            pending: [0; PENDING],
            pending_count: 0,
        };
        for node in 0..nodes.len() as u32 {
            runs.read_node(nodes, summary, node);
        }
        runs
    }

    /// Returns the memory that it takes, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        size_of_val(self.rows.as_slice())
            + size_of_val(self.counts.as_slice())
            + size_of_val(self.inner.as_slice())
            + size_of_val(self.longest.as_slice())
            + size_of_val(self.border.as_slice())
    }

    /// Makes the first and last node of the bits `start..end`, which were set or cleared, pending:
    /// they are read before the next search, or once [`Runs::is_full`].
    #[inline(always)]
    pub(super) fn note(&mut self, start: u32, end: u32) {
        let (first, last) = (start / NODE_BITS, (end - 1) / NODE_BITS);
        self.note_node(first);
        if last != first {
            self.note_node(last);
        }
    }

    #[inline(always)]
    fn note_node(&mut self, node: u32) {
        if core::mem::replace(&mut self.longest[node as usize], NOTED) != NOTED {
            self.pending[self.pending_count % PENDING] = node;
            self.pending_count += 1;
        }
    }

    /// True if two more nodes may not fit into `pending`.
    #[inline(always)]
    pub(super) fn is_full(&self) -> bool {
        self.pending_count + 2 > PENDING
    }

    /// Reads the pending nodes.
    #[inline(never)]
    pub(super) fn read_pending(&mut self, nodes: &[Node], summary: &Summary) {
        for place in 0..core::mem::take(&mut self.pending_count) {
            self.read_node(nodes, summary, self.pending[place % PENDING]);
        }
    }

    fn read_node(&mut self, nodes: &[Node], summary: &Summary, node: u32) {
        let lengths = inner_lengths(&nodes[node as usize]);
        let before = core::mem::replace(&mut self.inner[node as usize], lengths);
        let (_, border) = self.border[node as usize];
        self.longest[node as usize] = longest_of(&lengths) as u8;
        for (first, (before, now)) in (0..).step_by(WORD_BITS as usize).zip(before.iter().zip(&lengths)) {
            let mut changed = before ^ now;
            while changed != 0 {
                let length = first + changed.trailing_zeros();
                changed &= changed - 1;
                if length != border {
                    self.set_row(node, length, now >> (length % WORD_BITS) & 1 == 1);
                }
            }
        }
        for slot in [node, node + 1] {
            let border = slot * NODE_BITS;
            // Most borders are inside a buffer.
            let free_before = slot > 0 && read(&nodes[slot as usize - 1][NODE_WORDS - 1]) >> (WORD_BITS - 1) == 0;
            let free_behind = nodes.get(slot as usize).is_some_and(|words| read(&words[0]) & 1 == 0);
            let from = if free_before { summary.begins_before(nodes, slot) } else { border };
            let to = if free_behind { summary.ends_from(nodes, slot) } else { border };
            let first = from.div_ceil(NODE_BITS);
            self.set_border(first, from, to - from);
            if first != slot {
                self.set_border(slot, 0, 0);
            }
        }
    }

    fn set_border(&mut self, slot: u32, from: u32, length: u32) {
        let (_, before) =
            core::mem::replace(&mut self.border[slot as usize], (if length == 0 { 0 } else { from }, length));
        if before == length {
            return;
        }
        if before != 0 && !self.has_inner(slot, before) {
            self.set_row(slot, before, false);
        }
        if length != 0 && !self.has_inner(slot, length) {
            self.set_row(slot, length, true);
        }
    }

    /// True if node `slot` has an inner run of `length` bits.
    fn has_inner(&self, slot: u32, length: u32) -> bool {
        let lengths = self.inner.get(slot as usize);
        lengths
            .and_then(|lengths| lengths.get((length / WORD_BITS) as usize))
            .is_some_and(|word| word >> (length % WORD_BITS) & 1 == 1)
    }

    fn set_row(&mut self, slot: u32, length: u32, to: bool) {
        let row = row_of(length);
        let place = (slot / WORD_BITS) as usize;
        let word = &mut self.rows[row * self.row_words + place];
        *word ^= 1 << (slot % WORD_BITS);
        debug_assert_eq!(*word >> (slot % WORD_BITS) & 1 == 1, to);
        let (count, end) = &mut self.counts[row];
        *count = if to { *count + 1 } else { *count - 1 };
        let (word, bit) = (row / WORD_BITS as usize, 1 << (row % WORD_BITS as usize));
        if *count == 0 {
            self.present[word] &= !bit;
            *end = 0;
        } else {
            self.present[word] |= bit;
            *end = (*end).max(place as u16 + 1);
        }
    }

    /// Returns the first aligned bit of the lowest of the shortest, or longest, runs that hold the
    /// request. No node may be pending.
    pub(super) fn find(&self, nodes: &[Node], summary: &Summary, request: &Request, wanted: Wanted) -> Option<u32> {
        let search = Search { runs: self, nodes, summary, request };
        let shortest = request.bits.max(1);
        match wanted {
            Wanted::Shortest => {
                let mut row = row_of(shortest);
                while row < ROWS - 1 {
                    row = self.next_row(row)?;
                    if row < ROWS - 1
                        && let Some(bit) = search.in_row(row)
                    {
                        return Some(bit);
                    }
                    row += 1;
                }
                search.among_longer(wanted)
            }
            Wanted::Longest => search.among_longer(wanted).or_else(|| {
                let mut rows = core::iter::successors(self.last_row_before(ROWS - 1), |&row| self.last_row_before(row))
                    .take_while(|&row| row >= row_of(shortest));
                rows.find_map(|row| search.in_row(row))
            }),
        }
    }

    /// Returns the mask of those nodes of mask `left`, from node `first` on, that a free run of
    /// `length` bits may begin in or reach. No node may be pending.
    #[inline(always)]
    pub(super) fn holding(&self, nodes: &[Node], first: u32, mut left: u32, length: u32) -> u32 {
        let longest = self.longest.get(first as usize..).and_then(<[_]>::first_chunk::<{ GROUP_NODES as usize }>);
        let border = self.border.get(first as usize..).and_then(<[_]>::first_chunk::<{ GROUP_NODES as usize + 1 }>);
        let (Some(longest), Some(border)) = (longest, border) else { return left };
        let mut holding = 0;
        while left != 0 {
            let place = left.trailing_zeros() as usize % GROUP_NODES as usize;
            left &= left - 1;
            let [(_, before), (_, behind)] = [border[place], border[place + 1]];
            // A run that reaches the node over free nodes belongs to an earlier border.
            let reached = || before == 0 && read(&nodes[first as usize + place][0]) & 1 == 0;
            let holds = u32::from(longest[place]) >= length || before >= length || behind >= length || reached();
            holding |= u32::from(holds) << place;
        }
        holding
    }

    /// Returns the words of `row` up to the last that may have a slot, each with its first slot.
    #[inline(always)]
    fn words_of(&self, row: usize) -> impl Iterator<Item = (u32, u32)> {
        let words = &self.rows[row * self.row_words..][..self.counts[row].1.into()];
        (0..).step_by(WORD_BITS as usize).zip(words.iter().copied())
    }

    /// Returns the first row >= `row` that has a slot.
    fn next_row(&self, row: usize) -> Option<usize> {
        let first = row / WORD_BITS as usize;
        let mut rows = self.present.get(first)? & u32::MAX << (row % WORD_BITS as usize);
        let mut word = first;
        while rows == 0 {
            word += 1;
            rows = *self.present.get(word)?;
        }
        Some(word * WORD_BITS as usize + rows.trailing_zeros() as usize)
    }

    /// Returns the last row before `row` that has a slot.
    fn last_row_before(&self, row: usize) -> Option<usize> {
        let mut word = row.checked_sub(1)? / WORD_BITS as usize;
        let mut rows = self.present[word] & u32::MAX >> (WORD_BITS as usize - 1 - (row - 1) % WORD_BITS as usize);
        while rows == 0 {
            word = word.checked_sub(1)?;
            rows = self.present[word];
        }
        Some(word * WORD_BITS as usize + rows.ilog2() as usize)
    }
}

/// Returns the row of `length`.
fn row_of(length: u32) -> usize {
    (length as usize).min(ROWS) - 1
}

/// Returns the mask of the lengths of a node's inner runs.
fn inner_lengths(node: &Node) -> [u32; NODE_WORDS] {
    let mut lengths = [0; NODE_WORDS];
    // Bits outside count as free: a run that touches them is not an inner one.
    let (mut before, mut last) = (1, 0);
    let mut begins = None;
    for (place, word) in node.iter().enumerate() {
        let free = !read(word);
        // No run begins or ends in this word.
        if free == 0u32.wrapping_sub(last) {
            before = last;
            continue;
        }
        let behind = node.get(place + 1).map_or(1, |word| !read(word) & 1);
        // Single free bits, the most common runs of a full area, are found all at once.
        let alone = free & !(free << 1 | before) & !(free >> 1 | behind << (WORD_BITS - 1));
        before = free >> (WORD_BITS - 1);
        lengths[0] |= u32::from(alone != 0) << 1;
        let longer = free & !alone;
        let mut edges = longer ^ (longer << 1 | last);
        last = longer >> (WORD_BITS - 1);
        while edges != 0 {
            let bit = place as u32 * WORD_BITS + edges.trailing_zeros();
            edges &= edges - 1;
            match begins.take() {
                None => begins = Some(bit),
                Some(0) => {}
                Some(from) => lengths[((bit - from) / WORD_BITS) as usize] |= 1 << ((bit - from) % WORD_BITS),
            }
        }
    }
    lengths
}

/// Returns the largest length of the mask; 0 if it is empty.
fn longest_of(lengths: &[u32; NODE_WORDS]) -> u32 {
    let word = lengths.iter().rposition(|&word| word != 0);
    word.map_or(0, |word| word as u32 * WORD_BITS + lengths[word].ilog2())
}

/// A search for one request.
struct Search<'a> {
    runs: &'a Runs,
    nodes: &'a [Node],
    summary: &'a Summary,
    request: &'a Request,
}

impl Search<'_> {
    /// Returns the request's place in the lowest run of `row`, not the last row, that holds it.
    fn in_row(&self, row: usize) -> Option<u32> {
        let (length, lane) = (row as u32 + 1, self.request.align_mask.trailing_ones() as usize);
        for (first, word) in self.runs.words_of(row) {
            let mut slots = word;
            // No run that begins in the group fits; that of its first border may begin in the group
            // before.
            if slots & !1 != 0 && !self.summary.group_allows(first, lane, self.request.bits) {
                slots &= 1;
            }
            let many = slots.count_ones() > MANY;
            while slots != 0 {
                let slot = first + slots.trailing_zeros();
                slots &= slots - 1;
                if let Some(&(from, border)) = self.runs.border.get(slot as usize)
                    && border == length
                {
                    let found = self.in_run(from, length);
                    if found.is_some() {
                        return found;
                    }
                }
                if self.summary.node_allows(slot, lane, self.request.bits) && self.runs.has_inner(slot, length) {
                    let found = self.inside(slot, length);
                    if found.is_some() {
                        return found;
                    }
                }
            }
            if many {
                self.summary.tighten(first, lane);
            }
        }
        None
    }

    /// Returns the request's place in the lowest of the shortest, or longest, runs that hold it, of
    /// those of at least a node.
    fn among_longer(&self, wanted: Wanted) -> Option<u32> {
        let mut best: Option<(u32, u32)> = None;
        for (first, word) in self.runs.words_of(ROWS - 1) {
            let mut slots = word;
            while slots != 0 {
                let slot = first + slots.trailing_zeros();
                slots &= slots - 1;
                let (from, length) = self.runs.border[slot as usize];
                let is_better = |(best, _)| if wanted == Wanted::Shortest { length < best } else { length > best };
                if length >= self.request.bits
                    && best.is_none_or(is_better)
                    && let Some(bit) = self.in_run(from, length)
                {
                    best = Some((length, bit));
                }
            }
        }
        best.map(|(_, bit)| bit)
    }

    /// Returns the request's place in the run of `length` bits at bit `from`, if it fits.
    #[inline(always)]
    fn in_run(&self, from: u32, length: u32) -> Option<u32> {
        let Request { bits, align_mask, align_offset } = *self.request;
        let skipped = (from + align_offset).wrapping_neg() & align_mask;
        (length.checked_sub(skipped)? >= bits).then_some(from + skipped)
    }

    /// Returns the request's place in the lowest inner run of `node` of `length` bits that holds
    /// it.
    fn inside(&self, node: u32, length: u32) -> Option<u32> {
        let Request { bits, align_mask, .. } = *self.request;
        let order = align_mask.trailing_ones();
        if align_mask + 1 >= NODE_BITS {
            return None;
        }
        // Read once for all of the node's runs.
        let words = &self.nodes.get(node as usize)?.each_ref().map(read);
        let (mut any, mut behind) = (false, 0u32);
        for (base, fits) in (0..).step_by(WORD_BITS as usize).zip(node::fits(words, bits)) {
            let mut fits = fits & node::aligned(order, base);
            any |= fits != 0;
            // Only the first place in each run counts.
            while let Some(left) = u32::MAX.checked_shl(behind.saturating_sub(base)).map(|from| fits & from)
                && left != 0
            {
                let bit = base + left.trailing_zeros();
                fits = left & (left - 1);
                let from = node::run_start(words, bit);
                behind = node::run_end(words, bit);
                if behind - from == length && from > 0 && behind < NODE_BITS {
                    return Some(node * NODE_BITS + bit);
                }
            }
            if behind == NODE_BITS {
                break;
            }
        }
        // The length of a run that leaves the node is unknown here.
        if !any && self.request.align_up(node::run_start(words, NODE_BITS)).is_none_or(|bit| bit >= NODE_BITS) {
            self.summary.node_lacks(node, order as usize, bits);
        }
        None
    }
}

#[cfg(test)]
mod tests;
