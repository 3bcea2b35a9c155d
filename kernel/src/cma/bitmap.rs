//! The bitmap of an area: one bit for 2^order_per_bit pages, set while they are allocated.
//!
//! What holds true: the bits behind the last one, in its word, are set, so that no search ever finds room there; the
//! number of set bits is known without counting.

use alloc::vec;
use alloc::vec::Vec;

const WORD_BITS: u32 = u32::BITS;

/// Which bits are allocated, lowest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bitmap {
    words: Vec<u32>,
    bits: u32,
    used: u32,
}

/// The bits `from..to` of one word, `from < to <= 32`.
#[inline]
const fn mask(from: u32, to: u32) -> u32 {
    (u32::MAX << from) & (u32::MAX >> (WORD_BITS - to))
}

/// The words that `count` bits from `start` touch, each with the mask of its touched bits.
#[inline]
fn masks(start: u32, count: u32) -> impl Iterator<Item = (usize, u32)> {
    let end = start + count;
    (start / WORD_BITS..end.div_ceil(WORD_BITS)).map(move |word| {
        let base = word * WORD_BITS;
        (word as usize, mask(start.max(base) - base, (end - base).min(WORD_BITS)))
    })
}

impl Bitmap {
    /// A bitmap of `bits` bits, all clear.
    pub fn new(bits: u32) -> Self {
        let mut words = vec![0; bits.div_ceil(WORD_BITS) as usize];
        if let (Some(last), tail @ 1..) = (words.last_mut(), bits % WORD_BITS) {
            *last = !mask(0, tail);
        }
        Self { words, bits, used: 0 }
    }

    /// How many bits there are.
    #[inline]
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// How many are set.
    #[inline]
    pub fn used(&self) -> u32 {
        self.used
    }

    /// How many are clear.
    #[inline]
    pub fn free(&self) -> u32 {
        self.bits - self.used
    }

    /// The words, bit 0 the lowest of the first; what lies behind the last bit is set.
    #[inline]
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// True for an allocated bit, and for every bit beyond the end.
    #[inline]
    pub fn is_set(&self, bit: u32) -> bool {
        self.words.get((bit / WORD_BITS) as usize).is_none_or(|word| word >> (bit % WORD_BITS) & 1 == 1)
    }

    /// Sets `count` clear bits from `start`.
    #[inline]
    pub(super) fn set(&mut self, start: u32, count: u32) {
        for (word, mask) in masks(start, count) {
            debug_assert_eq!(self.words[word] & mask, 0);
            self.words[word] |= mask;
        }
        self.used += count;
    }

    /// Clears `count` bits from `start`.
    #[inline]
    pub(super) fn clear(&mut self, start: u32, count: u32) {
        for (word, mask) in masks(start, count) {
            debug_assert_eq!(self.words[word] & mask, mask);
            self.words[word] &= !mask;
        }
        self.used -= count;
    }

    /// The first clear one of `count` bits from `start`, which lie in the bitmap.
    #[inline]
    pub(super) fn first_clear_of(&self, start: u32, count: u32) -> Option<u32> {
        masks(start, count).find_map(|(word, mask)| {
            let clear = !self.words[word] & mask;
            (clear != 0).then(|| word as u32 * WORD_BITS + clear.trailing_zeros())
        })
    }

    /// The first clear bit at or after `start`.
    #[inline]
    pub fn next_clear(&self, start: u32) -> Option<u32> {
        self.next_where(start, |word| !word)
    }

    /// The first set bit at or after `start`, or the number of bits where there is none.
    #[inline]
    pub fn next_set(&self, start: u32) -> u32 {
        self.next_where(start, |word| word).unwrap_or(self.bits).min(self.bits)
    }

    #[inline]
    fn next_where(&self, start: u32, wanted: impl Fn(u32) -> u32) -> Option<u32> {
        let first = (start / WORD_BITS) as usize;
        let below = (1 << (start % WORD_BITS)) - 1;
        let mut hits = wanted(*self.words.get(first)?) & !below;
        let mut word = first;
        while hits == 0 {
            word += 1;
            hits = wanted(*self.words.get(word)?);
        }
        Some(word as u32 * WORD_BITS + hits.trailing_zeros())
    }

    /// The free runs from the lowest bit: where each begins and how long it is, in bits.
    pub fn runs(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let mut at = 0;
        core::iter::from_fn(move || {
            let start = self.next_clear(at)?;
            at = self.next_set(start);
            Some((start, at - start))
        })
    }

    /// The length of the longest free run, in bits.
    pub fn longest_free_run(&self) -> u32 {
        self.runs().map(|(_, length)| length).max().unwrap_or(0)
    }

    /// How many free runs there are.
    pub fn free_runs(&self) -> u32 {
        self.runs().count() as u32
    }
}
