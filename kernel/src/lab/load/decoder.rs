//! A video decoder: pools of equal buffers. When the resolution of a stream changes, its pool is re-made buffer by buffer,
//! as the display lets go of the old ones: each is given back and made again at the new size.
//!
//! The sizes are to each other as frames of 1080, 720, 480 and 360 lines. A change draws the pool, a size that it does
//! not have, and the buffer to begin with.

use alloc::vec::Vec;
use core::fmt;

use super::kinds::{Ask, Load};
use crate::lab::held::Held;
use crate::lab::record::Record;
use crate::lab::rng::Rng;

/// Most pools, and most buffers of a pool.
pub const MAX_POOLS: u32 = 64;
/// Most buffers of a pool.
pub const MAX_BUFFERS: u32 = 64;

/// Pages of an NV12 frame of 1920×1088, 1280×720, 720×480 and 640×360.
const FRAMES: [u32; 4] = [765, 338, 127, 85];

/// The parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decoder {
    /// How many streams are decoded, at least one.
    pub pools: u32,
    /// Buffers of a pool, at least one.
    pub buffers: u32,
    /// Pages of a buffer at the largest resolution.
    pub frame: u32,
}

impl Decoder {
    /// For an area of so many pages: two pools of eight buffers, which take three quarters of it at the largest resolution.
    pub fn usual(area_pages: u32) -> Self {
        Self { pools: 2, buffers: 8, frame: (area_pages / 64 * 3).max(1) }
    }

    pub(super) const fn slots(self) -> u32 {
        self.pools * self.buffers
    }

    /// Pages of a buffer at a resolution.
    fn pages(self, resolution: usize) -> u32 {
        let pages = u64::from(self.frame) * u64::from(FRAMES[resolution]);
        pages.div_ceil(FRAMES[0].into()) as u32
    }

    pub(super) fn start(self, rng: Rng) -> Option<Decoding> {
        let mut resolutions = Vec::new();
        resolutions.try_reserve_exact(self.pools as usize).ok()?;
        resolutions.resize(self.pools as usize, FRAMES.len());
        Some(Decoding { decoder: self, rng, resolutions, pool: 0, begin: 0, done: self.buffers, given_back: false })
    }

    pub(super) fn record(self, record: Record) -> Record {
        record.number("pools", self.pools).number("buffers", self.buffers).number("frame", self.frame)
    }
}

impl fmt::Display for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pools={} buffers={} frame={}", self.pools, self.buffers, self.frame)
    }
}

/// A decoder at work.
pub(super) struct Decoding {
    decoder: Decoder,
    rng: Rng,
    /// Of each pool; as many as there are resolutions: none yet.
    resolutions: Vec<usize>,
    /// The pool that is re-made.
    pool: u32,
    /// Its buffer with which that began.
    begin: u32,
    /// How many of its buffers are re-made.
    done: u32,
    /// The present buffer was given back.
    given_back: bool,
}

impl Decoding {
    /// The next change of a resolution.
    fn change(&mut self) {
        let Decoder { pools, buffers, .. } = self.decoder;
        self.pool = self.rng.below(pools);
        let now = &mut self.resolutions[self.pool as usize];
        // The first time any of all, later any of the others.
        let others = if *now == FRAMES.len() { FRAMES.len() } else { FRAMES.len() - 1 };
        let drawn = self.rng.below(others as u32) as usize;
        *now = if drawn >= *now { drawn + 1 } else { drawn };
        self.begin = self.rng.below(buffers);
        self.done = 0;
        self.given_back = false;
    }
}

impl Load for Decoding {
    fn next(&mut self, held: &Held) -> Ask {
        if self.done == self.decoder.buffers {
            self.change();
        }
        let buffers = self.decoder.buffers;
        let slot = (self.pool * buffers + (self.begin + self.done) % buffers) as usize;
        self.given_back = !self.given_back && held.is_full(slot);
        if !self.given_back {
            // It is empty: made now, or, where that fails, at the next change.
            self.done += 1;
        }
        Ask { slot, pages: self.decoder.pages(self.resolutions[self.pool as usize]) }
    }
}
