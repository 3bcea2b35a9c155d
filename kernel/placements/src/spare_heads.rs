// SPDX-License-Identifier: MIT OR Apache-2.0

//! The project's own placement: it spares the heads of free blocks.
//!
//! # The idea
//!
//! A request that is aligned by its order always begins at the head of an aligned block. Of the
//! free pages of a block of 2^k pages, a request of order k can therefore use only the run from the
//! block's first page on, whatever is free after it: this run is the block's *free head*. A buffer
//! placed after a free head costs the block nothing; one placed in it costs the block the pages
//! from there on.
//!
//! The rule: a request goes to the place where the aligned blocks around it, from its own up to a
//! chunk of 64 pages, lose the fewest pages of free heads in sum; to the lowest of equal places,
//! and to a wholly free chunk only if that costs less than all others. In each chunk only the
//! highest place that fits is examined. The search ends at the first place that costs only the
//! buffer's own pages.
//!
//! # Why it works
//!
//! Sizes that do not fill their block (51 of 64, 34 of 64) leave tails (13 and 30 pages) that no
//! request of that order can use. Small buffers cost nothing there, and gather there (13 = 8 + 4 +
//! 1). Heads are broken only if nothing else is left, short ones first. Best-fit compares only the
//! lengths of runs, so it breaks the head of one block to spare the useless tail of another. The
//! requests that fail in the end are those of the largest alignments, for lack of heads: of 30
//! failures each under first-fit, best-fit and this rule (290 slots), 24 to 27 were requests of 34
//! to 51 pages and the rest of 21 to 32, while 578, 539 and 474 of 2048 pages were free. So heads
//! must be saved, not runs.
//!
//! # Costs and limits
//!
//! An allocation takes 2.8 times the instructions of one by first-fit, 1190 instead of 426. Only
//! blocks of up to 64 pages are protected: requests that are longer than a chunk, or than their own
//! alignment (`align=page`), have no such head, and are placed by best-fit. In a large area only
//! the first [`LOOK_NODES`] nodes of 256 pages that have room are examined, so that the cost has a
//! bound; a better place further up is not found.
//!
//! # What was tried and dropped
//!
//! Median of the allocations to the first failure, 60 seeds of the load with 290 slots instead of
//! 255 on 8 MiB (`compare slots=290 seeds=60 ops=2000000`), which distinguishes rules in a minute:
//!
//! | rule | median |
//! |---|--:|
//! | this one | 81,700 |
//! | of each head only what reaches beyond the block's middle (own block from 9 pages on) | 25,100 |
//! | the buffer's own block does not count | 48,500 |
//! | the own block counts from 9 pages on | 62,700 |
//! | among equals the half of a chunk with the shortest free head | 71,800 |
//! | among equals the chunk with the shortest free head (own block from 9 pages on) | 78,200 |
//! | all places of a chunk instead of the highest | 53,300 |
//! | the lowest place of a chunk instead of the highest | 6,900 |
//! | the chunk's head only | 5,500 |
//! | the number of blocks whose head is broken, larger ones weighing more | 13,800 |
//! | each block's loss weighed by its length, or by its inverse | 64,000, 52,000 |
//! | the loss squared | 77,300 |
//! | the shortest free run inside a chunk | 6,500 |
//! | the fullest chunk | 2,400 |
//! | the smallest free aligned block, as the buddy allocator does | 2,000 |
//! | best-fit, first-fit | 4,600, 800 |
//!
//! Ties and weights hardly matter (a median of 60 is accurate to about a quarter); the heads, all
//! their orders, and the highest place do.

use super::fits::BestFit;
use super::{Entry, plain};
use placement::bitmap::Bitmap;
use placement::{NODE_BITS, Placement, Request, SLOTS};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "spare-heads",
    parameters: "",
    summary: "where it costs larger aligned blocks least of their free heads (ours)",
    make: plain::<SpareHeads>,
}];

/// Number of nodes with room that are examined: the whole of an area of 8 MiB, the first 8 MiB with
/// room of a larger one.
pub const LOOK_NODES: u32 = 8;

const WORD_BITS: u32 = u32::BITS;
const WORD_ORDER: u32 = 5;
const CHUNK_ORDER: u32 = 6;
const CHUNK_BITS: u32 = 1 << CHUNK_ORDER;
const NODE_CHUNKS: u32 = NODE_BITS / CHUNK_BITS;

/// The placement `spare-heads`; see the module.
#[derive(Default)]
pub struct SpareHeads;

impl Placement for SpareHeads {
    fn name(&self) -> &'static str {
        "spare-heads"
    }

    fn place(&self, map: &Bitmap, request: &Request, start: u32) -> Option<u32> {
        let Request { bits, align_mask, align_offset } = *request;
        if bits > align_mask + 1 || align_offset != 0 || start != 0 {
            return BestFit.place(map, request, start);
        }
        // One function for each order, so that the shifts and masks of its levels are constants.
        match align_mask {
            0 => look::<0>(map, bits),
            1 => look::<1>(map, bits),
            3 => look::<2>(map, bits),
            7 => look::<3>(map, bits),
            15 => look::<4>(map, bits),
            31 => look::<5>(map, bits),
            63 => look::<CHUNK_ORDER>(map, bits),
            _ => BestFit.place(map, request, start),
        }
    }

    fn by_length(&self) -> bool {
        true
    }
}

/// Returns the place for a request of at most 2^`ORDER` pages, aligned by 2^`ORDER`.
// If inlined, all orders would share one frame, and spill values that each could keep in registers.
#[inline(never)]
fn look<const ORDER: u32>(map: &Bitmap, bits: u32) -> Option<u32> {
    let mut look = Look::<ORDER>::new(bits);
    let chunks = map.word_pairs();
    if !map.has_summary() {
        look.at(0, chunks);
        return look.answer();
    }
    let mut next = 0;
    for _ in 0..LOOK_NODES {
        // Nodes without room are not counted: their bounds make the next request skip them.
        loop {
            let Some(node) = map.next_node(next, ORDER, bits) else { return look.answer() };
            next = node + 1;
            if look.at(node * NODE_CHUNKS, &chunks[(node * NODE_CHUNKS) as usize..][..NODE_CHUNKS as usize]) {
                break;
            }
            map.node_lacks(node, ORDER, bits);
        }
        if look.done() {
            break;
        }
    }
    look.answer()
}

/// A search for the place that costs least.
struct Look<const ORDER: u32> {
    wanted: Wanted,
    /// The lowest possible cost.
    least: u32,
    /// Cost of the best place so far; [`u32::MAX`] if there is none.
    best_cost: u32,
    best_bit: u32,
    /// The lowest wholly free chunk. All of them cost the same.
    first_empty: Option<u32>,
}

impl<const ORDER: u32> Look<ORDER> {
    fn new(bits: u32) -> Self {
        Self { wanted: Wanted::new::<ORDER>(bits), least: bits, best_cost: u32::MAX, best_bit: 0, first_empty: None }
    }

    /// Examines chunks, from number `first` on, until no other can be better. Returns true if any
    /// had room.
    #[inline(always)]
    fn at(&mut self, first: u32, chunks: &[[u32; 2]]) -> bool {
        let mut has_room = false;
        for (chunk, &words) in (first..).zip(chunks) {
            let [low, high] = words;
            if low & high == u32::MAX {
                continue;
            }
            if low | high == 0 {
                self.first_empty = self.first_empty.or(Some(chunk));
                has_room = true;
            } else if let Some(at) = self.wanted.highest::<ORDER>(words) {
                has_room = true;
                let cost = cost::<ORDER>(words, at);
                if cost < self.best_cost {
                    self.best_cost = cost;
                    self.best_bit = chunk * CHUNK_BITS + at;
                    if self.done() {
                        break;
                    }
                }
            }
        }
        has_room
    }

    /// True if no other place can be better.
    #[inline(always)]
    fn done(&self) -> bool {
        self.best_cost == self.least
    }

    fn answer(&self) -> Option<u32> {
        if let Some(chunk) = self.first_empty
            && let Some(at) = self.wanted.highest::<ORDER>([0; 2])
            && cost::<ORDER>([0; 2], at) < self.best_cost
        {
            return Some(chunk * CHUNK_BITS + at);
        }
        (self.best_cost != u32::MAX).then_some(self.best_bit)
    }
}

/// The bits of each slot that a request takes, in a chunk's two words. A slot is as long as the
/// alignment; a buffer begins at the start of one.
#[derive(Clone, Copy)]
struct Wanted {
    low: u32,
    high: u32,
}

impl Wanted {
    fn new<const ORDER: u32>(bits: u32) -> Self {
        if ORDER == CHUNK_ORDER {
            let low = bits.min(WORD_BITS);
            return Self { low: low_bits(low), high: low_bits(bits - low) };
        }
        let slots = SLOTS[ORDER as usize].wrapping_mul(low_bits(bits));
        Self { low: slots, high: slots }
    }

    /// Returns the highest bit of the chunk at which the request fits.
    #[inline(always)]
    fn highest<const ORDER: u32>(self, [low, high]: [u32; 2]) -> Option<u32> {
        let taken = [low & self.low, high & self.high];
        if ORDER == CHUNK_ORDER {
            return (taken == [0; 2]).then_some(0);
        }
        let free = free_slots::<ORDER>(taken[1]);
        if free != 0 {
            return Some(CHUNK_BITS - (1 << ORDER) - free.leading_zeros());
        }
        let free = free_slots::<ORDER>(taken[0]);
        (free != 0).then(|| WORD_BITS - (1 << ORDER) - free.leading_zeros())
    }
}

/// Returns the last bit of each slot without taken bits: adding all bits but the last to the taken
/// ones carries into the last bit of every other slot.
#[inline(always)]
const fn free_slots<const ORDER: u32>(taken: u32) -> u32 {
    let last = SLOTS[ORDER as usize] << ((1 << ORDER) - 1);
    !((taken & !last).wrapping_add(!last) | taken) & last
}

/// Returns a mask of the lowest `count` bits; at most a word.
const fn low_bits(count: u32) -> u32 {
    if count == 0 { 0 } else { u32::MAX >> (WORD_BITS - count) }
}

/// Returns the cost of a buffer at bit `at` of a chunk: the pages of free heads that the aligned
/// blocks around the place lose, from the slot of 2^`ORDER` up to the chunk.
///
/// A block whose free head ends before `at` loses nothing, and neither does any larger one.
#[inline(always)]
fn cost<const ORDER: u32>([low, high]: [u32; 2], at: u32) -> u32 {
    if ORDER == CHUNK_ORDER {
        return if low == 0 { WORD_BITS + high.trailing_zeros() } else { low.trailing_zeros() };
    }
    let in_high = at >= WORD_BITS;
    let word = if in_high { high } else { low };
    let at = at % WORD_BITS;
    // The free run around `at`, within its word.
    let from = WORD_BITS - (word & !(u32::MAX << at)).leading_zeros();
    let to = (at + (word >> at).trailing_zeros()).min(WORD_BITS);
    let mut lost = 0;
    let mut order = ORDER;
    while order <= WORD_ORDER {
        let length = 1 << order;
        let first = at & !(length - 1);
        if first < from {
            return lost;
        }
        lost += to.min(first + length) - at;
        order += 1;
    }
    // The chunk itself; its middle is the start of its upper word.
    if from != 0 {
        lost
    } else if !in_high && to == WORD_BITS {
        lost + to - at + high.trailing_zeros()
    } else if !in_high || low == 0 {
        lost + to - at
    } else {
        lost
    }
}
