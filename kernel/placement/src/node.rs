// SPDX-License-Identifier: MIT OR Apache-2.0

//! A node: 256 bits of a bitmap, the largest alignment that Linux gives a request (2^[`CMA_ALIGNMENT`] pages).
//!
//! What is asked of one is answered from its eight words alone, in bits counted from its first.

use super::CMA_ALIGNMENT;
use super::words::WORD_BITS;

/// Bits in a node.
pub(super) const NODE_BITS: u32 = 1 << CMA_ALIGNMENT;
/// Words of a node.
pub(super) const NODE_WORDS: usize = (NODE_BITS / WORD_BITS) as usize;
/// The words of a node.
pub(super) type Node = [u32; NODE_WORDS];

/// Turns the bits `first..=last` over. Where all of them were set, and are clear now, the free run around them is returned,
/// as far as it lies in the node. Else they have to be turned back.
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
        let hits = node[before % NODE_WORDS];
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
    while let Some(&hits) = node.get(word) {
        if hits != 0 {
            return word as u32 * WORD_BITS + hits.trailing_zeros();
        }
        word += 1;
    }
    NODE_BITS
}

/// Where the free run in front of a bit, or of the node's end, begins; 0 where that may be before the node.
#[inline(always)]
pub(super) fn run_start(node: &Node, bit: u32) -> u32 {
    let word = (bit / WORD_BITS) as usize;
    let before = node.get(word).map_or(0, |word| word & !(u32::MAX << (bit % WORD_BITS)));
    if before != 0 { word as u32 * WORD_BITS + WORD_BITS - before.leading_zeros() } else { last_set(node, word) }
}

/// Where the free run that goes on at a bit, or at the node's end, ends; the node's bits where that may be behind it.
#[inline(always)]
pub(super) fn run_end(node: &Node, bit: u32) -> u32 {
    let word = (bit / WORD_BITS) as usize;
    let behind = node.get(word).map_or(0, |word| word >> (bit % WORD_BITS));
    if behind != 0 { bit + behind.trailing_zeros() } else { first_set(node, word + 1) }
}

/// True where a run may leave the node: its last bit is clear.
#[inline(always)]
pub(super) fn ends_free(node: &Node) -> bool {
    let [.., last] = node;
    last >> (WORD_BITS - 1) == 0
}
