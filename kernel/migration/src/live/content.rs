// SPDX-License-Identifier: MIT OR Apache-2.0

//! Contents of pages: words that follow from a stamp, one in each cache line.
//!
//! A stamp belongs to one page at one time: every write to a mapped page takes a new one, and a
//! cache page's follows from its index in the cache and its version. A page that was not copied,
//! was copied to the wrong frame, or is an older state of itself therefore differs in its first
//! word already; one that was copied in part, in a later one.

/// Distance in words of two that are written: a cache line of a Cortex-A9.
const STRIDE: usize = 8;
/// Marks the stamps of cache pages.
const CACHE: u32 = 1 << 31;
/// Bits of a cache page's version that its stamp holds.
pub(super) const VERSION_BITS: u32 = 12;

#[inline]
fn word(stamp: u32, index: usize) -> u32 {
    stamp.wrapping_add((index as u32).wrapping_mul(0x9e37_79b1))
}

/// Writes the content of a stamp.
pub(super) fn fill(words: &mut [u32], stamp: u32) {
    for (line, words) in words.chunks_exact_mut(STRIDE).enumerate() {
        words[0] = word(stamp, line);
    }
}

/// True if a page holds the content of a stamp.
pub(super) fn holds(words: &[u32], stamp: u32) -> bool {
    words.chunks_exact(STRIDE).enumerate().all(|(line, words)| words[0] == word(stamp, line))
}

/// The next stamp of mapped pages; never 0.
pub(super) const fn next(stamp: u32) -> u32 {
    let next = stamp.wrapping_add(1) & !CACHE;
    if next == 0 { 1 } else { next }
}

/// The stamp of a version of a cache page.
pub(super) const fn of_cache_page(page: u32, version: u32) -> u32 {
    CACHE | page << VERSION_BITS | version & ((1 << VERSION_BITS) - 1)
}
