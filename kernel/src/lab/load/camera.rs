//! A camera: a few large frames that come and go, and many small buffers (statistics, parameters, thumbnails) between.
//!
//! Every `gap`-th step is a frame's: one of them, drawn, is given back or made. All other steps are those of a small
//! buffer, drawn, of 1 to `most` pages. On average half of the frames and half of the small buffers are held.

use core::fmt;

use super::kinds::{Ask, Load};
use crate::lab::held::Held;
use crate::lab::record::Record;
use crate::lab::rng::Rng;

/// Most frames, and most small buffers.
pub const MAX_BUFFERS: u32 = 4096;

/// The parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Camera {
    /// How many frames, at least one.
    pub frames: u32,
    /// Pages of a frame.
    pub frame: u32,
    /// How many small buffers.
    pub small: u32,
    /// Pages of the largest of them.
    pub most: u32,
    /// Steps from frame to frame.
    pub gap: u32,
}

impl Camera {
    /// For an area of so many pages: four frames of an eighth of it, which are half of it together, and 128 small buffers of
    /// up to 1/128 of it each, which are about the other half.
    pub fn usual(area_pages: u32) -> Self {
        Self { frames: 4, frame: (area_pages / 8).max(1), small: 128, most: (area_pages / 128).max(1), gap: 16 }
    }

    pub(super) const fn slots(self) -> u32 {
        self.frames + self.small
    }

    pub(super) const fn start(self, rng: Rng) -> Shooting {
        Shooting { camera: self, rng, steps: 0 }
    }

    pub(super) fn record(self, record: Record) -> Record {
        let Self { frames, frame, small, most, gap } = self;
        record
            .number("frames", frames)
            .number("frame", frame)
            .number("small", small)
            .number("most", most)
            .number("gap", gap)
    }
}

impl fmt::Display for Camera {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frames, frame, small, most, gap } = self;
        write!(f, "frames={frames} frame={frame} small={small} most={most} gap={gap}")
    }
}

/// A camera at work.
pub(super) struct Shooting {
    camera: Camera,
    rng: Rng,
    steps: u32,
}

impl Load for Shooting {
    fn next(&mut self, _: &Held) -> Ask {
        let Camera { frames, frame, small, most, gap } = self.camera;
        self.steps = (self.steps + 1) % gap;
        if self.steps == 0 || small == 0 {
            return Ask { slot: self.rng.below(frames) as usize, pages: frame };
        }
        let slot = frames + self.rng.below(small);
        Ask { slot: slot as usize, pages: 1 + self.rng.below(most) }
    }
}
