// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bits in words, the lowest first: sets, clears and tests ranges a word at a time, and finds
//! single bits.

/// Bits in a word.
pub(super) const WORD_BITS: u32 = u32::BITS;

/// Masks of the first bit of each slot of 2^index bits in a word.
pub const SLOTS: [u32; 6] = [u32::MAX, 0x5555_5555, 0x1111_1111, 0x0101_0101, 0x0001_0001, 1];

/// Reads a word of the bitmap for a search; the tests count these reads.
#[inline(always)]
pub(super) fn read(word: &u32) -> u32 {
    #[cfg(test)]
    super::tests::reads::note(word);
    *word
}

/// Returns the mask of the bits `from..to` of a word, `from < to <= 32`.
#[inline]
pub(super) const fn mask(from: u32, to: u32) -> u32 {
    (u32::MAX << from) & (u32::MAX >> (WORD_BITS - to))
}

/// A range of bits as words: a partial one, whole ones, and a partial one that may be absent.
struct Split {
    head: usize,
    head_mask: u32,
    whole: core::ops::Range<usize>,
    /// 0 if the range ends in the first word.
    tail_mask: u32,
}

impl Split {
    /// Splits the `count` bits from `start`, at least one.
    #[inline]
    fn new(start: u32, count: u32) -> Self {
        let last_bit = start + count - 1;
        let (head, tail) = ((start / WORD_BITS) as usize, (last_bit / WORD_BITS) as usize);
        let (from, to) = (start % WORD_BITS, last_bit % WORD_BITS + 1);
        if head == tail {
            Self { head, head_mask: mask(from, to), whole: tail..tail, tail_mask: 0 }
        } else {
            Self { head, head_mask: mask(from, WORD_BITS), whole: head + 1..tail, tail_mask: mask(0, to) }
        }
    }
}

/// Sets `count` bits from `start`.
#[inline]
pub(super) fn set_bits(words: &mut [u32], start: u32, count: u32) {
    let Split { head, head_mask, whole, tail_mask } = Split::new(start, count);
    words[head] |= head_mask;
    if tail_mask != 0 {
        words[whole.end] |= tail_mask;
        if !whole.is_empty() {
            words[whole].fill(u32::MAX);
        }
    }
}

/// Clears `count` bits from `start`.
#[inline]
pub(super) fn clear_bits(words: &mut [u32], start: u32, count: u32) {
    let Split { head, head_mask, whole, tail_mask } = Split::new(start, count);
    words[head] &= !head_mask;
    if tail_mask != 0 {
        words[whole.end] &= !tail_mask;
        if !whole.is_empty() {
            words[whole].fill(0);
        }
    }
}

/// True if `count` bits from `start` are set.
#[inline]
pub(super) fn all_set(words: &[u32], start: u32, count: u32) -> bool {
    let Split { head, head_mask, whole, tail_mask } = Split::new(start, count);
    let mut clear = !words[head] & head_mask;
    if tail_mask != 0 {
        clear |= !words[whole.end] & tail_mask;
        // Eight words a step: one load each, and one branch for all.
        let (eights, rest) = words[whole].as_chunks::<8>();
        let set = eights.iter().fold(u32::MAX, |set, eight| eight.iter().fold(set, |set, word| set & word));
        clear |= !rest.iter().fold(set, |set, word| set & word);
    }
    clear == 0
}

/// Returns the first bit >= `start` that is set in the words as `wanted` maps them.
#[inline]
pub(super) fn next_where(words: &[u32], start: u32, wanted: impl Fn(u32) -> u32) -> Option<u32> {
    let mut word = (start / WORD_BITS) as usize;
    let below = (1 << (start % WORD_BITS)) - 1;
    let mut hits = wanted(*words.get(word)?) & !below;
    while hits == 0 {
        word += 1;
        hits = wanted(*words.get(word)?);
    }
    Some(word as u32 * WORD_BITS + hits.trailing_zeros())
}

/// Returns the last set bit before `end`.
pub(super) fn last_set_before(words: &[u32], end: u32) -> Option<u32> {
    let last = end.checked_sub(1)?;
    let mut word = (last / WORD_BITS) as usize;
    let mut hits = words.get(word)? & mask(0, last % WORD_BITS + 1);
    while hits == 0 {
        word = word.checked_sub(1)?;
        hits = *words.get(word)?;
    }
    Some(word as u32 * WORD_BITS + hits.ilog2())
}
