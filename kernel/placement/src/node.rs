// SPDX-License-Identifier: MIT OR Apache-2.0

//! A node: 256 bits of a bitmap, the largest alignment that Linux gives a request
//! (2^[`CMA_ALIGNMENT`] pages).
//!
//! What is asked of one is answered from its eight words alone, in bits counted from its first.

use super::CMA_ALIGNMENT;
use super::words::{SLOTS, WORD_BITS, read};

/// Bits in a node.
pub const NODE_BITS: u32 = 1 << CMA_ALIGNMENT;
/// Words of a node.
pub(super) const NODE_WORDS: usize = (NODE_BITS / WORD_BITS) as usize;
/// The words of a node.
pub(super) type Node = [u32; NODE_WORDS];

/// Turns the bits `first..=last` over. Where all of them were set, and are clear now, the free run
/// around them is returned, as far as it lies in the node. Else they have to be turned back.
#[inline(always)]
pub(super) fn turn_over(node: &mut Node, first: u32, last: u32) -> Option<(u32, u32)> {
    debug_assert!(first <= last && last < NODE_BITS);
    let (head, tail) = ((first / WORD_BITS) as usize % NODE_WORDS, (last / WORD_BITS) as usize % NODE_WORDS);
    let (from_head, up_to_tail) = (u32::MAX << (first % WORD_BITS), u32::MAX >> (WORD_BITS - 1 - last % WORD_BITS));
    let (mut word, mut bits, mut set) = (head, from_head, 0);
    while word < tail {
        node[word] ^= bits;
        set |= node[word] & bits;
        bits = u32::MAX;
        word += 1;
    }
    bits &= up_to_tail;
    node[tail] ^= bits;
    set |= node[tail] & bits;
    if set != 0 {
        return None;
    }
    let (before, behind) = (node[head] & !from_head, node[tail] & !up_to_tail);
    let run_from =
        if before != 0 { head as u32 * WORD_BITS + WORD_BITS - before.leading_zeros() } else { last_set(node, head) };
    let run_to =
        if behind != 0 { tail as u32 * WORD_BITS + behind.trailing_zeros() } else { first_set(node, tail + 1) };
    Some((run_from, run_to))
}

/// Turns the bits `first..=last` over once more.
#[cold]
#[inline(never)]
pub(super) fn turn_back(node: &mut Node, first: u32, last: u32) {
    turn_over(node, first, last);
}

/// One past the last set bit before a word, or 0.
#[inline(always)]
fn last_set(node: &Node, mut word: usize) -> u32 {
    while let Some(before) = word.checked_sub(1) {
        let hits = read(&node[before % NODE_WORDS]);
        if hits != 0 {
            return word as u32 * WORD_BITS - hits.leading_zeros();
        }
        word = before;
    }
    0
}

/// The first set bit from a word on, or the node's bits.
#[inline(always)]
fn first_set(node: &Node, mut word: usize) -> u32 {
    while let Some(hits) = node.get(word).map(read) {
        if hits != 0 {
            return word as u32 * WORD_BITS + hits.trailing_zeros();
        }
        word += 1;
    }
    NODE_BITS
}

/// Where the free run in front of a bit, or of the node's end, begins; 0 where that may be before
/// the node.
#[inline(always)]
pub(super) fn run_start(node: &Node, bit: u32) -> u32 {
    let word = (bit / WORD_BITS) as usize;
    let before = node.get(word).map_or(0, |word| read(word) & !(u32::MAX << (bit % WORD_BITS)));
    if before != 0 { word as u32 * WORD_BITS + WORD_BITS - before.leading_zeros() } else { last_set(node, word) }
}

/// Where the free run that goes on at a bit, or at the node's end, ends; the node's bits where that
/// may be behind it.
#[inline(always)]
pub(super) fn run_end(node: &Node, bit: u32) -> u32 {
    let word = (bit / WORD_BITS) as usize;
    let behind = node.get(word).map_or(0, |word| read(word) >> (bit % WORD_BITS));
    if behind != 0 { bit + behind.trailing_zeros() } else { first_set(node, word + 1) }
}

/// How long the free run at the node's beginning is, and the word that it ends in, which is where
/// it lies and what it is.
#[inline(always)]
pub(super) fn first_run(node: &Node) -> (u32, Option<(usize, u32)>) {
    for (place, word) in node.iter().map(read).enumerate() {
        if word != 0 {
            return (place as u32 * WORD_BITS + word.trailing_zeros(), Some((place, word)));
        }
    }
    (NODE_BITS, None)
}

/// Where the free run at the node's end begins; `seen` is what [`first_run`] read last of it, and
/// is not read once more.
#[inline(always)]
pub(super) fn last_run_start(node: &Node, seen: Option<(usize, u32)>) -> u32 {
    let (place, word) = seen.unwrap_or((usize::MAX, 0));
    for (at, bits) in node.iter().enumerate().rev() {
        let bits = if at == place { word } else { read(bits) };
        if bits != 0 {
            return (at as u32 + 1) * WORD_BITS - bits.leading_zeros();
        }
    }
    0
}

/// The bits of a node that `bits` free bits of it follow, themselves counted, in words; `bits` is
/// at least 1.
pub(super) fn fits(node: &Node, bits: u32) -> Node {
    let mut fits = node.each_ref().map(|word| !read(word));
    let mut length = 1;
    while length < bits {
        let step = length.min(bits - length);
        let (words, shift) = ((step / WORD_BITS) as usize, step % WORD_BITS);
        for place in 0..NODE_WORDS {
            let behind = |words: usize| fits.get(place + words).copied().unwrap_or(0);
            let (low, high) = (behind(words), behind(words + 1));
            fits[place] &= if shift == 0 { low } else { low >> shift | high << (WORD_BITS - shift) };
        }
        length += step;
    }
    fits
}

/// The bits of the word at bit `base` of a node that are aligned to 2^`order`, at most a node.
pub(super) fn aligned(order: u32, base: u32) -> u32 {
    SLOTS.get(order as usize).copied().unwrap_or_else(|| u32::from(base.is_multiple_of(1 << order)))
}
