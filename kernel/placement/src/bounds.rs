// SPDX-License-Identifier: MIT OR Apache-2.0

//! Upper bounds on the free runs that begin in a node: one for each alignment order from 0 to 8 (a
//! lane).
//!
//! Invariants: no free run that begins in a touched node (one that is not free) on a bit aligned to
//! the lane, wherever it ends, is longer than the lane's bound; while the node is open (see
//! `group`), only the run's part in it counts. A bound >= [`LONG`] allows every run.

use core::cell::Cell;

use super::CMA_ALIGNMENT;
use super::node::NODE_BITS;

/// Number of lanes.
pub(super) const LANES: usize = CMA_ALIGNMENT as usize + 1;
/// The greatest length that bounds tell apart. Between it and `u16::MAX` is room for what a longer
/// run loses before its first aligned bit.
pub(super) const LONG: u32 = u16::MAX as u32 - NODE_BITS;

/// The bounds of a node: 32 bytes, so that a shift finds those of a node, and a lane needs no
/// check.
#[derive(Clone, Debug)]
#[repr(align(32))]
pub(super) struct Bounds([Cell<u16>; Bounds::CELLS]);

impl Bounds {
    const CELLS: usize = LANES.next_power_of_two();

    /// Returns bounds that allow every run. The cells after the lanes are unused.
    pub(super) const fn full() -> Self {
        Self([const { Cell::new(u16::MAX) }; Self::CELLS])
    }

    /// Returns the bound of `lane`.
    #[inline(always)]
    pub(super) fn of(&self, lane: usize) -> u32 {
        self.0[lane % Self::CELLS].get().into()
    }

    #[inline(always)]
    pub(super) fn set(&self, lane: usize, bound: u32) {
        self.0[lane % Self::CELLS].set(bound as u16);
    }

    /// Raises the bounds to the free run of `length` bits at bit `from`, which is maximal in the
    /// node. Keeps `most`, the bounds of the group, >= them.
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

    /// Raises the bound of `lane` by `length()`, the most bits that a run that leaves the node has
    /// after it, unless it is 0 or allows every run. Keeps `most` >= it.
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

    /// Lets the bounds of `lane`, here and in `most`, allow every run.
    #[inline(always)]
    pub(super) fn allow(&self, lane: usize, most: &Self) {
        self.set(lane, u16::MAX.into());
        most.set(lane, u16::MAX.into());
    }

    /// Lowers the bound of `lane` below `length`: no such run begins in the node on an aligned bit.
    #[inline(always)]
    pub(super) fn lower(&self, lane: usize, length: u32) {
        debug_assert!(length <= LONG);
        if self.of(lane) >= length {
            self.set(lane, length - 1);
        }
    }
}
