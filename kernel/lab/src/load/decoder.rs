// SPDX-License-Identifier: MIT OR Apache-2.0

//! A video decoder: pools of equal buffers. When the resolution of a stream changes, its pool is
//! replaced buffer by buffer, as the display releases the old ones: each is released and allocated
//! again at the new size.
//!
//! The sizes have the ratios of frames of 1080, 720, 480 and 360 lines. A change draws the pool, a
//! size different from its current one, and the first buffer to replace.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::kinds::{Ask, Entry, Load, Stream};
use crate::held::Held;
use crate::help::Help;
use crate::keys::Keys;
use crate::record::Record;
use crate::rng::Rng;

pub(super) const ENTRIES: &[Entry] = &[Entry {
    help: Help {
        name: "decoder",
        usage: "[pools=2] [buffers=8] [frame=PAGES]",
        summary: "re-makes pools of equal buffers when a video's resolution changes",
        details: "A change draws one of pools= pools and another size for its buffers= buffers, and gives them back \
                      and makes them again one by one. Sizes are as those of 1080, 720, 480 and 360 lines; frame= is the \
                      largest (3/64 of the area, so that all together take three quarters of it). The other keys are \
                      those of debris.",
        example: "decoder until=ops ops=2000",
    },
    read: |keys, area_pages| Ok(Arc::new(Decoder::read(keys, area_pages)?)),
}];

/// Maximum number of pools.
pub(super) const MAX_POOLS: u32 = 64;
/// Maximum number of buffers of a pool.
pub(super) const MAX_BUFFERS: u32 = 64;

/// Pages of NV12 frames of 1920×1088, 1280×720, 720×480 and 640×360.
const FRAMES: [u32; 4] = [765, 338, 127, 85];

/// Parameters of the load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Decoder {
    /// Number of streams, at least one.
    pub pools: u32,
    /// Buffers of a pool, at least one.
    pub buffers: u32,
    /// Pages of a buffer at the largest resolution.
    pub frame: u32,
}

impl Decoder {
    /// Returns the defaults for an area of `area_pages` pages: two pools of eight buffers, which
    /// take three quarters of it at the largest resolution.
    pub(super) fn usual(area_pages: u32) -> Self {
        Self { pools: 2, buffers: 8, frame: (area_pages / 64 * 3).max(1) }
    }

    fn read(keys: &dyn Keys, area_pages: u32) -> Result<Self, String> {
        let usual = Self::usual(area_pages);
        Ok(Self {
            pools: keys.count("pools", usual.pools, 1, MAX_POOLS)?,
            buffers: keys.count("buffers", usual.buffers, 1, MAX_BUFFERS)?,
            frame: keys.count("frame", usual.frame, 1, area_pages)?,
        })
    }

    /// Returns the pages of a buffer at a resolution.
    fn pages(self, resolution: usize) -> u32 {
        let pages = u64::from(self.frame) * u64::from(FRAMES[resolution]);
        pages.div_ceil(FRAMES[0].into()) as u32
    }
}

impl Load for Decoder {
    fn name(&self) -> &'static str {
        "decoder"
    }

    fn slots(&self, _: u32) -> u32 {
        self.pools * self.buffers
    }

    fn start(&self, _: u32, rng: Rng) -> Option<Box<dyn Stream>> {
        let mut resolutions = Vec::new();
        resolutions.try_reserve_exact(self.pools as usize).ok()?;
        resolutions.resize(self.pools as usize, FRAMES.len());
        let (pool, begin, done, given_back) = (0, 0, self.buffers, false);
        Some(Box::new(Decoding { decoder: *self, rng, resolutions, pool, begin, done, given_back }))
    }

    fn record(&self, record: Record) -> Record {
        record.number("pools", self.pools).number("buffers", self.buffers).number("frame", self.frame)
    }
}

impl fmt::Display for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "decoder pools={} buffers={} frame={}", self.pools, self.buffers, self.frame)
    }
}

/// A running decoder load.
struct Decoding {
    decoder: Decoder,
    rng: Rng,
    /// Resolution of each pool, by index; the number of resolutions stands for none yet.
    resolutions: Vec<usize>,
    /// The pool that is being replaced.
    pool: u32,
    /// The first buffer of the pool to be replaced.
    begin: u32,
    /// Number of buffers of the pool replaced so far.
    done: u32,
    /// True if the current buffer was released.
    given_back: bool,
}

impl Decoding {
    /// Begins the next change of a resolution.
    fn change(&mut self) {
        let Decoder { pools, buffers, .. } = self.decoder;
        self.pool = self.rng.below(pools);
        let now = &mut self.resolutions[self.pool as usize];
        // The first time any resolution, later any of the others.
        let others = if *now == FRAMES.len() { FRAMES.len() } else { FRAMES.len() - 1 };
        let drawn = self.rng.below(others as u32) as usize;
        *now = if drawn >= *now { drawn + 1 } else { drawn };
        self.begin = self.rng.below(buffers);
        self.done = 0;
        self.given_back = false;
    }
}

impl Stream for Decoding {
    fn next(&mut self, held: &Held) -> Ask {
        if self.done == self.decoder.buffers {
            self.change();
        }
        let buffers = self.decoder.buffers;
        let slot = (self.pool * buffers + (self.begin + self.done) % buffers) as usize;
        self.given_back = !self.given_back && held.is_full(slot);
        if !self.given_back {
            // It is empty: this step allocates it; if that fails, the next change of the pool does.
            self.done += 1;
        }
        Ask { slot, pages: self.decoder.pages(self.resolutions[self.pool as usize]) }
    }
}
