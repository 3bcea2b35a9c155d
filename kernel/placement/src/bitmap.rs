// SPDX-License-Identifier: MIT OR Apache-2.0

//! The bitmap of an area: one bit for 2^order_per_bit pages, set while they are allocated.
//!
//! Invariants: `used` is the number of set bits; the bits after the last one, up to the end of the
//! words, are set, too, so that no search finds room there. A bitmap of more than 2048 bits has a
//! summary, by which searches skip nodes that cannot hold a request, and runs are measured in
//! nodes; a smaller one is read word by word, which costs less than keeping a summary.

use alloc::vec;
use alloc::vec::Vec;
use core::cell::{RefCell, RefMut};
use core::cmp::Ordering;

use super::Request;
use super::group::GROUP_BITS;
use super::node::{NODE_BITS, Node};
use super::runs::{Runs, Wanted};
use super::summary::Summary;
use super::words::{WORD_BITS, all_set, clear_bits, last_set_before, mask, next_where, set_bits};

/// Bits of the largest bitmap without a summary: 64 words.
pub(super) const PLAIN_BITS: u32 = 2048;

/// Allocated bits of an area, lowest first.
///
/// ```
/// use placement::bitmap::Bitmap;
/// use placement::Request;
///
/// let map = Bitmap::new(2048);
/// let request = Request { bits: 51, align_mask: 63, align_offset: 0 };
/// assert_eq!(map.first_fit(&request, 1), Some(64));
/// assert_eq!(map.longest_free_run(), 2048);
/// ```
#[derive(Clone, Debug)]
pub struct Bitmap {
    words: Vec<u32>,
    pub(super) summary: Option<Summary>,
    /// Index of the free runs, for rules that choose by their length.
    runs: Option<RefCell<Runs>>,
    bits: u32,
    used: u32,
}

impl Bitmap {
    /// A bitmap of `bits` bits, all clear.
    pub fn new(bits: u32) -> Self {
        let summary = (bits > PLAIN_BITS).then(|| Summary::new(bits));
        let unit = if summary.is_some() { GROUP_BITS } else { NODE_BITS };
        let mut words = vec![u32::MAX; (bits.next_multiple_of(unit) / WORD_BITS) as usize];
        if bits > 0 {
            clear_bits(&mut words, 0, bits);
        }
        Self { words, summary, runs: None, bits, used: 0 }
    }

    /// Returns the number of bits.
    #[inline]
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// Returns the number of set bits.
    #[inline]
    pub fn used(&self) -> u32 {
        self.used
    }

    /// Returns the number of clear bits.
    #[inline]
    pub fn free(&self) -> u32 {
        self.bits - self.used
    }

    /// Returns the words that hold the bits, bit 0 the lowest of the first; bits after the last one
    /// are set.
    #[inline]
    pub fn words(&self) -> &[u32] {
        &self.words[..self.bits.div_ceil(WORD_BITS) as usize]
    }

    /// True if `bit` is allocated or beyond the end.
    #[inline]
    pub fn is_set(&self, bit: u32) -> bool {
        self.words.get((bit / WORD_BITS) as usize).is_none_or(|word| word >> (bit % WORD_BITS) & 1 == 1)
    }

    /// Sets `count` clear bits from `start`.
    #[inline]
    pub fn set(&mut self, start: u32, count: u32) {
        set_bits(&mut self.words, start, count);
        self.used += count;
        if let Some(summary) = &mut self.summary {
            summary.allocated(start, start + count);
            if self.runs.is_some() {
                self.note_change(start, start + count);
            }
        }
    }

    /// Keeps an index of the free runs by length if `wanted`, or drops it. A bitmap without a
    /// summary keeps none: its runs are few.
    pub fn keep_runs(&mut self, wanted: bool) {
        if !wanted {
            self.runs = None;
        } else if self.runs.is_none()
            && let Some(summary) = &self.summary
        {
            self.runs = Some(RefCell::new(Runs::new(self.nodes(), summary)));
        }
    }

    /// Returns the first aligned bit of the lowest of the shortest, or longest, free runs that hold
    /// the request. A run that contains `start` counts from there on.
    pub fn fit_by_length(&self, request: &Request, start: u32, wanted: Wanted) -> Option<u32> {
        let indexed = if start == 0 { self.fit_by_index(request, wanted) } else { None };
        indexed.unwrap_or_else(|| self.fit_of_all_runs(request, start, wanted))
    }

    /// Does what `fit_by_length` does by reading every run.
    fn fit_of_all_runs(&self, request: &Request, start: u32, wanted: Wanted) -> Option<u32> {
        let better = match wanted {
            Wanted::Shortest => Ordering::Less,
            Wanted::Longest => Ordering::Greater,
        };
        let mut best: Option<(u32, u32)> = None;
        let mut at = start;
        while let Some(from) = self.next_clear(at) {
            at = self.run_end(from);
            let length = at - from;
            if length >= request.bits
                && best.is_none_or(|(best, _)| length.cmp(&best) == better)
                && let Some(bit) = request.align_up(from)
                && bit <= at
                && at - bit >= request.bits
            {
                best = Some((length, bit));
            }
        }
        best.map(|(_, bit)| bit)
    }

    /// Does what `fit_by_length` does from bit 0 by the index of the runs; `None` if no index is
    /// kept, or `align_offset` is not a multiple of a node.
    fn fit_by_index(&self, request: &Request, wanted: Wanted) -> Option<Option<u32>> {
        let summary = self.summary.as_ref().filter(|_| request.align_offset.is_multiple_of(NODE_BITS))?;
        Some(self.read_runs(summary)?.find(self.nodes(), summary, request, wanted))
    }

    /// Returns the index of the runs, brought up to date, if one is kept.
    pub(super) fn read_runs(&self, summary: &Summary) -> Option<RefMut<'_, Runs>> {
        let mut runs = self.runs.as_ref()?.try_borrow_mut().ok()?;
        runs.read_pending(self.nodes(), summary);
        Some(runs)
    }

    /// Records in the index of the runs that the bits `start..end` were set or cleared. Out of
    /// line: most areas keep no index.
    #[cold]
    #[inline(never)]
    fn note_change(&mut self, start: u32, end: u32) {
        if let (Some(runs), Some(summary)) = (&mut self.runs, &self.summary) {
            let runs = runs.get_mut();
            runs.note(start, end);
            if runs.is_full() {
                runs.read_pending(self.words.as_chunks().0, summary);
            }
        }
    }

    /// True if there is a summary, which rules out nodes of [`NODE_BITS`] bits without reading
    /// them.
    #[inline]
    pub fn has_summary(&self) -> bool {
        self.summary.is_some()
    }

    /// Returns the first node >= `node` that may have room for `bits` bits aligned by 2^`order`;
    /// `None` if there is none, or no summary.
    #[inline]
    pub fn next_node(&self, node: u32, order: u32, bits: u32) -> Option<u32> {
        self.summary.as_ref()?.next_node(node, order as usize, bits)
    }

    /// Records that `node` was read and has no room for `bits` bits aligned by 2^`order`, so that
    /// [`Bitmap::next_node`] skips it until one of its bits is cleared.
    #[inline]
    pub fn node_lacks(&self, node: u32, order: u32, bits: u32) {
        if let Some(summary) = &self.summary {
            summary.node_lacks(node, order as usize, bits);
        }
    }

    /// Clears `count` bits from `start` if all of them are set. If not, changes nothing and returns
    /// the first clear one as the error.
    #[inline(never)]
    pub fn clear(&mut self, start: u32, count: u32) -> Result<(), u32> {
        self.clear_inline(start, count)
    }

    /// Does what `clear` does, inlined for the path that is measured.
    #[inline(always)]
    pub fn clear_inline(&mut self, start: u32, count: u32) -> Result<(), u32> {
        let from = start % WORD_BITS;
        if self.summary.is_some() {
            self.clear_summarized(start, start + count)?;
            if self.runs.is_some() {
                self.note_change(start, start + count);
            }
        } else if from + count <= WORD_BITS {
            let word = &mut self.words[(start / WORD_BITS) as usize];
            let bits = u32::MAX >> (WORD_BITS - count) << from;
            let rest = *word ^ bits;
            if rest & bits != 0 {
                return Err(start + (rest & bits).trailing_zeros() - from);
            }
            *word = rest;
        } else {
            self.clear_words(start, count)?;
        }
        self.used -= count;
        Ok(())
    }

    /// Clears the bits `start..end` if there is a summary; `used` is left to the caller.
    #[inline(always)]
    fn clear_summarized(&mut self, start: u32, end: u32) -> Result<(), u32> {
        let Some(summary) = &mut self.summary else { return Ok(()) };
        if summary.release(self.words.as_chunks_mut().0, start, end) {
            return Ok(());
        }
        Err(self.first_clear(start))
    }

    /// Returns the first clear bit from `start` on, which the caller knows to exist.
    #[cold]
    #[inline(never)]
    fn first_clear(&self, start: u32) -> u32 {
        self.next_clear(start).unwrap_or(start)
    }

    /// Clears bits of several words of a bitmap without a summary; `used` is left to the caller.
    #[inline(never)]
    fn clear_words(&mut self, start: u32, count: u32) -> Result<(), u32> {
        if !all_set(&self.words, start, count) {
            return Err(self.first_clear(start));
        }
        clear_bits(&mut self.words, start, count);
        Ok(())
    }

    /// True if `count` bits from `start` are clear.
    #[inline]
    pub fn is_free(&self, start: u32, count: u32) -> bool {
        let shift = start % WORD_BITS;
        if shift + count <= WORD_BITS {
            return self.words[(start / WORD_BITS) as usize] & mask(shift, shift + count) == 0;
        }
        if count > NODE_BITS {
            return self.run_end(start) >= start + count;
        }
        let end = start + count;
        let words = &self.words[..(end.div_ceil(WORD_BITS) as usize).min(self.words.len())];
        end <= self.bits && next_where(words, start, |word| word).is_none_or(|set| set >= end)
    }

    /// Returns the words from the one that holds `first` to the one before `end`, each with the
    /// number of its first bit.
    #[inline]
    pub(super) fn words_between(&self, first: u32, end: u32) -> impl Iterator<Item = (u32, &u32)> + '_ {
        let first = (first / WORD_BITS) as usize;
        let words = self.words.get(first..(end / WORD_BITS) as usize).unwrap_or_default();
        words.iter().enumerate().map(move |(n, word)| ((first + n) as u32 * WORD_BITS, word))
    }

    /// Returns the number of bits in the words, those after the last bit included.
    #[inline]
    pub(super) fn word_bits(&self) -> u32 {
        self.words.len() as u32 * WORD_BITS
    }

    /// Returns the words in pairs, those after the last bit included; a node is four pairs.
    #[inline]
    pub fn word_pairs(&self) -> &[[u32; 2]] {
        self.words.as_chunks().0
    }

    /// Returns the first clear bit >= `start`.
    #[inline]
    pub fn next_clear(&self, start: u32) -> Option<u32> {
        next_where(&self.words, start, |word| !word)
    }

    /// Returns the first clear bit of `start..end`; reads no word after `end`.
    #[inline]
    pub(super) fn next_clear_before(&self, start: u32, end: u32) -> Option<u32> {
        let words = &self.words[..(end.div_ceil(WORD_BITS) as usize).min(self.words.len())];
        next_where(words, start, |word| !word).filter(|&clear| clear < end)
    }

    /// Returns the first set bit >= `start`; the number of bits if there is none.
    #[inline]
    pub fn next_set(&self, start: u32) -> u32 {
        self.run_end(start).min(self.bits)
    }

    /// Returns the end of the free run at `bit`, which is in the bitmap or right after it: the
    /// first set bit >= `bit`, or the number of bits.
    // Inlined, it would take registers from the loops of the searches that call it.
    #[inline(never)]
    pub(super) fn run_end(&self, bit: u32) -> u32 {
        match &self.summary {
            None => next_where(&self.words, bit, |word| word).unwrap_or(self.bits),
            Some(summary) => summary.run_end(self.words.as_chunks().0, bit).min(self.bits),
        }
    }

    /// Returns the beginning of the free run before `bit`: after the last set bit before it, or 0.
    #[inline(never)]
    pub(super) fn run_start(&self, bit: u32) -> u32 {
        match &self.summary {
            None => last_set_before(&self.words, bit).map_or(0, |last| last + 1),
            Some(summary) => summary.run_start(self.words.as_chunks().0, bit),
        }
    }

    /// Returns the words by nodes, those after the last bit included.
    #[inline(always)]
    pub(super) fn nodes(&self) -> &[Node] {
        self.words.as_chunks().0
    }

    /// Returns the words, those after the last bit included.
    #[inline(always)]
    pub(super) fn padded_words(&self) -> &[u32] {
        &self.words
    }

    /// Returns the last clear bit before `end`, which is at most the number of bits.
    pub(super) fn last_clear_before(&self, end: u32) -> Option<u32> {
        let mut word = (end.checked_sub(1)? / WORD_BITS) as usize;
        let mut clear = !self.words[word] & mask(0, (end - 1) % WORD_BITS + 1);
        while clear == 0 {
            word = word.checked_sub(1)?;
            clear = !self.words[word];
        }
        Some(word as u32 * WORD_BITS + clear.ilog2())
    }

    /// Returns the free runs from the lowest bit on: first bit and length of each, in bits.
    pub fn runs(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let mut at = 0;
        core::iter::from_fn(move || {
            let start = self.next_clear(at)?;
            at = self.run_end(start);
            Some((start, at - start))
        })
    }

    /// Returns the memory that the words, the summary and the index of the runs take, in bytes.
    pub fn size_bytes(&self) -> usize {
        let summary = self.summary.as_ref().map_or(0, Summary::size_bytes);
        let runs = self.runs.as_ref().map_or(0, |runs| runs.borrow().size_bytes());
        size_of_val(self.words.as_slice()) + summary + runs
    }

    /// Returns the index of the runs, for the tests.
    #[cfg(test)]
    pub(super) fn index(&self) -> core::cell::Ref<'_, Runs> {
        self.runs.as_ref().expect("it is kept").borrow()
    }

    /// Returns the number of free runs.
    pub fn free_runs(&self) -> u32 {
        self.runs().count() as u32
    }
}

#[cfg(test)]
mod tests;
