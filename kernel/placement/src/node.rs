// SPDX-License-Identifier: MIT OR Apache-2.0

//! A node: 256 bits of a bitmap, the largest alignment that Linux gives a request
//! (2^[`CMA_ALIGNMENT`] pages).
//!
//! The functions here read only the node's eight words, and count bits from its first.

use super::CMA_ALIGNMENT;
use super::words::{SLOTS, WORD_BITS, read};

/// Bits in a node.
pub const NODE_BITS: u32 = 1 << CMA_ALIGNMENT;
/// Words of a node.
pub(super) const NODE_WORDS: usize = (NODE_BITS / WORD_BITS) as usize;
/// The words of a node.
pub(super) type Node = [u32; NODE_WORDS];

/// Inverts the bits `first..=last`. If all of them were set, returns the free run around them, cut
/// at the ends of the node; if not, returns `None`, and the caller has to turn them back.
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

/// Inverts the bits `first..=last` back.
#[cold]
#[inline(never)]
pub(super) fn turn_back(node: &mut Node, first: u32, last: u32) {
    turn_over(node, first, last);
}

/// Returns one past the last set bit before word `word`; 0 if there is none.
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

/// Returns the first set bit from word `word` on; the node's bits if there is none.
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

/// Returns the beginning of the free run before `bit`, which may be the node's end; 0 if the run
/// may begin before the node.
#[inline(always)]
pub(super) fn run_start(node: &Node, bit: u32) -> u32 {
    let word = (bit / WORD_BITS) as usize;
    let before = node.get(word).map_or(0, |word| read(word) & !(u32::MAX << (bit % WORD_BITS)));
    if before != 0 { word as u32 * WORD_BITS + WORD_BITS - before.leading_zeros() } else { last_set(node, word) }
}

/// Returns the end of the free run at `bit`, which may be the node's end; the node's bits if the
/// run may leave the node.
#[inline(always)]
pub(super) fn run_end(node: &Node, bit: u32) -> u32 {
    let word = (bit / WORD_BITS) as usize;
    let behind = node.get(word).map_or(0, |word| read(word) >> (bit % WORD_BITS));
    if behind != 0 { bit + behind.trailing_zeros() } else { first_set(node, word + 1) }
}

/// Returns the length of the free run at the node's beginning, and the index and the value of the
/// word that it ends in.
#[inline(always)]
pub(super) fn first_run(node: &Node) -> (u32, Option<(usize, u32)>) {
    for (place, word) in node.iter().map(read).enumerate() {
        if word != 0 {
            return (place as u32 * WORD_BITS + word.trailing_zeros(), Some((place, word)));
        }
    }
    (NODE_BITS, None)
}

/// Returns the beginning of the free run at the node's end; `seen` is the word that [`first_run`]
/// returned, which is not read twice.
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

/// Returns the mask, in words, of the node's bits from which on `bits` bits of it are free; `bits`
/// is at least 1.
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

/// Returns the mask of bits aligned to 2^`order`, at most a node, in the word at bit `base` of a
/// node.
pub(super) fn aligned(order: u32, base: u32) -> u32 {
    SLOTS.get(order as usize).copied().unwrap_or_else(|| u32::from(base.is_multiple_of(1 << order)))
}
