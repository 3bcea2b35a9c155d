// SPDX-License-Identifier: MIT OR Apache-2.0

//! A camera: a few large frames and many small buffers (statistics, parameters, thumbnails),
//! allocated and released in turn.
//!
//! Every `gap`-th step allocates or releases a random frame. All other steps allocate or release a
//! random small buffer, of 1 to `most` pages. On average half of the frames and half of the small
//! buffers are held.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use super::kinds::{Ask, Entry, Load, Stream};
use crate::held::Held;
use crate::help::Help;
use crate::keys::Keys;
use crate::record::Record;
use crate::rng::Rng;

pub(super) const ENTRIES: &[Entry] = &[Entry {
    help: Help {
        name: "camera",
        usage: "[frames=4] [frame=PAGES] [small=128] [most=PAGES] [gap=16]",
        summary: "large frames, few, come and go, with small buffers between",
        details: "Every gap= steps one of frames= frames, drawn, of frame= pages (an eighth of the area), is made, or \
                      given back if it is there; all other steps are those of one of small= buffers of 1 to most= pages \
                      (1/128 of the area). The other keys are those of debris.",
        example: "camera until=ops ops=2000",
    },
    read: |keys, area_pages| Ok(Arc::new(Camera::read(keys, area_pages)?)),
}];

/// Maximum number of frames, and of small buffers.
pub(super) const MAX_BUFFERS: u32 = 4096;
/// Maximum number of steps from frame to frame.
const MAX_GAP: u32 = 1_000_000;

/// Parameters of the load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Camera {
    /// Number of frames, at least one.
    pub frames: u32,
    /// Pages of a frame.
    pub frame: u32,
    /// Number of small buffers.
    pub small: u32,
    /// Pages of the largest small buffer.
    pub most: u32,
    /// Steps from frame to frame.
    pub gap: u32,
}

impl Camera {
    /// Returns the defaults for an area of `area_pages` pages: four frames, which take half of it,
    /// and 128 small buffers of up to 1/128 of it, which take about the other half.
    pub(super) fn usual(area_pages: u32) -> Self {
        Self { frames: 4, frame: (area_pages / 8).max(1), small: 128, most: (area_pages / 128).max(1), gap: 16 }
    }

    fn read(keys: &dyn Keys, area_pages: u32) -> Result<Self, String> {
        let usual = Self::usual(area_pages);
        Ok(Self {
            frames: keys.count("frames", usual.frames, 1, MAX_BUFFERS)?,
            frame: keys.count("frame", usual.frame, 1, area_pages)?,
            small: keys.count("small", usual.small, 0, MAX_BUFFERS)?,
            most: keys.count("most", usual.most, 1, area_pages)?,
            gap: keys.count("gap", usual.gap, 1, MAX_GAP)?,
        })
    }
}

impl Load for Camera {
    fn name(&self) -> &'static str {
        "camera"
    }

    fn slots(&self, _: u32) -> u32 {
        self.frames + self.small
    }

    fn start(&self, _: u32, rng: Rng) -> Option<Box<dyn Stream>> {
        Some(Box::new(Shooting { camera: *self, rng, steps: 0 }))
    }

    fn record(&self, record: Record) -> Record {
        let Self { frames, frame, small, most, gap } = *self;
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
        write!(f, "camera frames={frames} frame={frame} small={small} most={most} gap={gap}")
    }
}

/// A running camera load.
struct Shooting {
    camera: Camera,
    rng: Rng,
    steps: u32,
}

impl Stream for Shooting {
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
