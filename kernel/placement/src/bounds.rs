// SPDX-License-Identifier: MIT OR Apache-2.0

//! Upper bounds on the free runs that begin in a node: one for each alignment order from 0 to 8 (a
//! lane).
//!
//! What holds true of a node that has any bit set: no free run that begins in it on a bit aligned
//! to the lane, wherever it ends, is longer than the lane's bound. A bound of [`LONG`] or more
//! allows every run.

use core::cell::Cell;

use super::CMA_ALIGNMENT;
use super::node::NODE_BITS;

/// Alignment orders that have bounds of their own.
pub(super) const LANES: usize = CMA_ALIGNMENT as usize + 1;
/// Bounds tell runs apart up to this length. What is lost of a longer one in front of its first
/// aligned bit fits above.
pub(super) const LONG: u32 = u16::MAX as u32 - NODE_BITS;

/// The bounds of a node. 32 bytes, so that those of many are found with a shift and without a check
/// of the lane.
#[derive(Clone, Debug)]
#[repr(align(32))]
pub(super) struct Bounds([Cell<u16>; Bounds::CELLS]);

impl Bounds {
    const CELLS: usize = LANES.next_power_of_two();

    /// Bounds that allow every run. What is behind the lanes means nothing.
    pub(super) const fn full() -> Self {
        Self([const { Cell::new(u16::MAX) }; Self::CELLS])
    }

    /// The bound of a lane.
    #[inline(always)]
    pub(super) fn of(&self, lane: usize) -> u32 {
        self.0[lane % Self::CELLS].get().into()
    }

    #[inline(always)]
    pub(super) fn set(&self, lane: usize, bound: u32) {
        self.0[lane % Self::CELLS].set(bound as u16);
    }

    /// A free run of `length` bits, all of them in the node, begins at bit `from` of it, and none
    /// that it is a part of does before. No bound of `most`, which are above those of all nodes,
    /// stays below it.
    #[inline(always)]
    pub(super) fn raise(&self, from: u32, length: u32, most: &Self) {
        debug_assert!(length > 0 && from + length <= NODE_BITS);
        for lane in 0..LANES {
            // The distance to the next aligned bit, which has to be in the run.
            let skipped = from.wrapping_neg() & ((1 << lane) - 1);
            if lane > 0 && skipped >= length {
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

    /// A run that leaves the node goes on for at most as many bits behind it as `length` says,
    /// which the bound of the lane did not know.
    #[inline(always)]
    pub(super) fn extend(&self, lane: usize, length: impl FnOnce() -> u32, most: &Self) {
        let bound = self.of(lane);
        if bound > 0 && bound < u16::MAX.into() {
            let bound = (bound + length()).min(u16::MAX.into());
            self.set(lane, bound);
            if most.of(lane) < bound {
                most.set(lane, bound);
            }
        }
    }

    /// Every run is allowed.
    #[inline(always)]
    pub(super) fn allow(&self, lane: usize, most: &Self) {
        self.set(lane, u16::MAX.into());
        most.set(lane, u16::MAX.into());
    }

    /// No run of `length` bits begins in the node on a bit that is aligned to the lane.
    #[inline(always)]
    pub(super) fn lower(&self, lane: usize, length: u32) {
        debug_assert!(length <= LONG);
        if self.of(lane) >= length {
            self.set(lane, length - 1);
        }
    }
}
