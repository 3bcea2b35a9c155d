// SPDX-License-Identifier: MIT OR Apache-2.0

//! A camera: a few large frames that come and go, and many small buffers (statistics, parameters,
//! thumbnails) between.
//!
//! Every `gap`-th step is a frame's: one of them, drawn, is given back or made. All other steps are
//! those of a small buffer, drawn, of 1 to `most` pages. On average half of the frames and half of
//! the small buffers are held.

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

/// Most frames, and most small buffers.
pub(super) const MAX_BUFFERS: u32 = 4096;
/// Most steps from frame to frame.
const MAX_GAP: u32 = 1_000_000;

/// The parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Camera {
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
    /// For an area of `area_pages` pages: four frames of an eighth of it, which are half of it
    /// together, and 128 small buffers of up to 1/128 of it each, which are about the other half.
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

/// A camera at work.
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
