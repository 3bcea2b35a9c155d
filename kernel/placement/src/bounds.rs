// SPDX-License-Identifier: MIT OR Apache-2.0

//! Upper bounds on the free runs in a node: one for each alignment order from 0 to 8 (a lane).
//!
//! A bound is that on the longest free run that begins on an aligned bit and ends with the node, or before. Bounds stop
//! counting at 255: longer is as good as 255 to them. A request that is no longer than its alignment lies in one node
//! wherever it is placed, so they are all it needs.

use core::cell::Cell;

use super::CMA_ALIGNMENT;

/// Alignment orders that have bounds of their own.
pub(super) const LANES: usize = CMA_ALIGNMENT as usize + 1;
/// Bounds count up to here.
pub(super) const SATURATED: u32 = u8::MAX as u32;

/// The bounds of a node. Sixteen bytes, so that those of many are found with a shift and without a check of the lane.
#[derive(Clone, Debug)]
#[repr(align(16))]
pub(super) struct Bounds([Cell<u8>; Bounds::BYTES]);

impl Bounds {
    const BYTES: usize = LANES.next_power_of_two();

    /// Bounds that allow every run. What is behind the lanes means nothing.
    pub(super) const fn full() -> Self {
        Self([const { Cell::new(u8::MAX) }; Self::BYTES])
    }

    /// The bound of a lane.
    #[inline(always)]
    pub(super) fn of(&self, lane: usize) -> u32 {
        self.0[lane % Self::BYTES].get().into()
    }

    #[inline(always)]
    fn set(&self, lane: usize, bound: u32) {
        self.0[lane % Self::BYTES].set(bound as u8);
    }

    /// The run `from..to` of the node, shorter than it and counted from its first bit, is free, and a part of no longer
    /// one in it. Where that is news, no bound of `most`, which are above those of all nodes, stays below it.
    #[inline(always)]
    pub(super) fn raise(&self, from: u32, to: u32, most: &Self) {
        debug_assert!(to - from <= SATURATED);
        // Its lowest bits are the distance to the next aligned bit.
        let (length, to_aligned) = (to - from, from.wrapping_neg());
        for lane in 0..LANES {
            let skipped = to_aligned & ((1 << lane) - 1);
            if skipped >= length {
                break;
            }
            let length = length - skipped;
            if self.of(lane) < length {
                self.set(lane, length);
                if most.of(lane) < length {
                    most.set(lane, length);
                }
            }
        }
    }

    /// The node is free, which allows every run.
    #[inline(always)]
    pub(super) fn allow(&self, lane: usize, most: &Self) {
        self.set(lane, SATURATED);
        most.set(lane, SATURATED);
    }

    /// No run of so many bits, which the bound allowed, begins on a bit that is aligned to the lane.
    #[inline(always)]
    pub(super) fn lower(&self, lane: usize, length: u32) {
        debug_assert!(self.of(lane) >= length);
        self.set(lane, length - 1);
    }
}
