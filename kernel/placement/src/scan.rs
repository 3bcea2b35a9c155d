// SPDX-License-Identifier: MIT OR Apache-2.0

//! Search for a free run in words: tests all positions of a word at once, and follows a run into
//! the next words.
//!
//! A run inside a word is found by shifts: after shifts by 1, 2, 4 … and the rest, a bit is set
//! only if it begins enough free bits. A run over the end of a word is measured by the zeros on
//! both sides of it. Each word is read once.

use super::Request;
use super::node::{NODE_BITS, NODE_WORDS, Node};
use super::words::{SLOTS, WORD_BITS, read};

/// [`steps`] of requests of 32 bits or more, which do not fit into a part of a word. Shorter ones,
/// of at least 2 bits, need fewer doublings.
pub(super) const STEPS_LONG: u32 = 5;

/// Returns the doublings for a request of `bits` bits, which is longer than its alignment.
pub(super) fn steps(bits: u32) -> u32 {
    bits.ilog2().min(STEPS_LONG)
}

/// `before` of a word that ends a run which was measured from its beginning.
const SEEN: i32 = i32::MIN;

/// Test of a search for one request on each word.
#[derive(Clone, Copy)]
pub(super) struct Scan {
    bits: i32,
    align_mask: i32,
    /// Mask of the aligned bits of a word; used only if the alignment is less than a word.
    aligned: u32,
    /// The last shift.
    rest: u32,
}

impl Scan {
    /// Returns the test for a request that is longer than its alignment, which is at most a node;
    /// `STEPS` is [`steps`] of its length.
    #[inline(always)]
    pub(super) fn new<const STEPS: u32>(request: &Request) -> Self {
        let order = request.align_mask.trailing_ones() as usize;
        Self {
            bits: request.bits as i32,
            align_mask: request.align_mask as i32,
            aligned: SLOTS.get(order).copied().unwrap_or(0),
            rest: if STEPS < STEPS_LONG { request.bits - (1 << STEPS) } else { 0 },
        }
    }

    /// Tests the word at bit `base`; returns the beginning of a run of enough bits, relative to
    /// `base`.
    ///
    /// `before` is the number of free bits before the word, counted from the first aligned one; it
    /// is negative if that one is after the word's beginning. It is updated for the next word.
    #[inline(always)]
    fn word<const STEPS: u32>(&self, before: &mut i32, base: u32, word: u32) -> Option<i32> {
        // A free word holds any request of less than 32 bits.
        if STEPS == STEPS_LONG && word == 0 {
            *before += WORD_BITS as i32;
            return (*before >= self.bits).then(|| WORD_BITS as i32 - *before);
        }
        if word & 1 == 0 && *before + word.trailing_zeros() as i32 >= self.bits {
            return Some(-*before);
        }
        let mut free = !word & !word >> 1;
        // Most words of a full area have no two free bits in a row.
        if STEPS < STEPS_LONG && free != 0 {
            let mut step = 2;
            for _ in 1..STEPS {
                free &= free >> step;
                step *= 2;
            }
            // Nothing wraps around: the last 2^STEPS - 1 bits are clear.
            free &= free.rotate_right(self.rest);
            free &= self.aligned;
            if free != 0 {
                return Some(free.trailing_zeros() as i32);
            }
        }
        let free = word.leading_zeros() as i32;
        *before = if STEPS < STEPS_LONG {
            // The next word begins on an aligned bit.
            free & !self.align_mask
        } else {
            let base = (base + WORD_BITS) as i32;
            base - ((base + self.align_mask - free) & !self.align_mask)
        };
        None
    }

    /// Does first-fit in all words; the first `start` bits count as set.
    #[inline(always)]
    pub(super) fn all<const STEPS: u32>(&self, words: &[u32], start: u32) -> Option<u32> {
        let mut before = (1 << (start % WORD_BITS)) - 1;
        let mut base = start - start % WORD_BITS;
        let mut free_before = base as i32 - ((base as i32 + self.align_mask) & !self.align_mask);
        for word in words.get((start / WORD_BITS) as usize..)? {
            if let Some(bit) = self.word::<STEPS>(&mut free_before, base, read(word) | before) {
                return Some(base.wrapping_add_signed(bit));
            }
            base += WORD_BITS;
            before = 0;
        }
        None
    }
}

/// A search that visits nodes, the lowest first.
pub(super) struct NodeScan<'n> {
    nodes: &'n [Node],
    scan: Scan,
    /// The first unread word; `seen` is the word before it, in which the last run ended.
    next: usize,
    seen: u32,
}

impl<'n> NodeScan<'n> {
    #[inline(always)]
    pub(super) fn new<const STEPS: u32>(nodes: &'n [Node], request: &Request) -> Self {
        Self { nodes, scan: Scan::new::<STEPS>(request), next: 0, seen: 0 }
    }

    /// Returns the lowest bit of `node` that the request fits at, wherever it ends. Not inlined, so
    /// that all it needs stays in registers.
    #[inline(never)]
    pub(super) fn visit<const STEPS: u32>(&mut self, node: u32) -> Option<u32> {
        let (scan, base, first) = (self.scan, node * NODE_BITS, node as usize * NODE_WORDS);
        let words = self.nodes.get(node as usize)?;
        let mut before = 0;
        macro_rules! look {
            ($place:expr, $word:expr) => {
                let base = base + $place * WORD_BITS;
                if let Some(bit) = scan.word::<STEPS>(&mut before, base, $word) {
                    return Some(base.wrapping_add_signed(bit));
                }
            };
        }
        if self.next <= first + 1 {
            let first = if self.next <= first {
                read(&words[0])
            } else {
                before = SEEN;
                self.seen
            };
            // Unrolled: a loop's three instructions are a fifth of all.
            look!(0, first);
            look!(1, read(&words[1]));
            look!(2, read(&words[2]));
            look!(3, read(&words[3]));
            look!(4, read(&words[4]));
            look!(5, read(&words[5]));
            look!(6, read(&words[6]));
            look!(7, read(&words[7]));
        } else {
            before = SEEN;
            let seen = self.next - first;
            look!(seen as u32 - 1, self.seen);
            for (place, word) in (seen as u32..).zip(words.get(seen..)?) {
                look!(place, read(word));
            }
        }
        // A run that begins in the node may leave it.
        if before <= 0 {
            return None;
        }
        let behind = read(&self.nodes.get(node as usize + 1)?[0]);
        if behind == 0 || before + behind.trailing_zeros() as i32 >= scan.bits {
            return self.visit_behind(base + NODE_BITS, before, behind);
        }
        (self.next, self.seen) = (first + NODE_WORDS + 1, behind);
        None
    }

    /// Measures the run of `before` bits before bit `base`, where a node with the first word `word`
    /// begins; returns the place of the request if it fits.
    #[inline(never)]
    fn visit_behind(&mut self, mut base: u32, mut before: i32, mut word: u32) -> Option<u32> {
        loop {
            if before + word.trailing_zeros() as i32 >= self.scan.bits {
                return Some(base.wrapping_add_signed(-before));
            }
            base += WORD_BITS;
            if word != 0 {
                (self.next, self.seen) = ((base / WORD_BITS) as usize, word);
                return None;
            }
            before += WORD_BITS as i32;
            word = read(self.nodes.as_flattened().get((base / WORD_BITS) as usize)?);
        }
    }
}
