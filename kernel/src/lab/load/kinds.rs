//! The loads that there are: a name, parameters that scale with the area, and what each asks next.

use alloc::boxed::Box;
use core::fmt;

use super::camera::Camera;
use super::decoder::Decoder;
use super::random::Random;
use crate::lab::held::Held;
use crate::lab::record::Record;
use crate::lab::rng::{Limit, Rng};
use crate::lab::scale::{Scale, Slots};

/// A load: it names slots, one a step. A slot that holds a buffer gives it back, an empty one is filled.
///
/// Which of the two a step will be, and what became of earlier ones, a load sees from what is held.
pub trait Load {
    /// The next slot, and how many pages it shall have if it is empty.
    fn next(&mut self, held: &Held) -> Ask;
}

/// What a load asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask {
    /// Which slot.
    pub slot: usize,
    /// Pages, if the slot is empty; not 0.
    pub pages: u32,
}

/// Which load, with its parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The published experiment: 255 slots of fixed sizes, or as many as the scale says.
    Debris(Scale),
    /// Large frames, few, with small buffers between.
    Camera(Camera),
    /// Pools of equal buffers, re-made on a change of the resolution.
    Decoder(Decoder),
    /// Sizes and lifetimes from a distribution.
    Random(Random),
}

impl Kind {
    /// The names, that of the published experiment first.
    pub const NAMES: &'static [&'static str] = &["debris", "camera", "decoder", "random"];

    /// The word for commands and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debris(_) => "debris",
            Self::Camera(_) => "camera",
            Self::Decoder(_) => "decoder",
            Self::Random(_) => "random",
        }
    }

    /// How it grows with its area; the others beside the published experiment have parameters that do.
    pub const fn scale(self) -> Scale {
        match self {
            Self::Debris(scale) => scale,
            _ => Scale::None,
        }
    }

    /// How many slots it has on an area of so many pages.
    pub fn slots(self, area_pages: u32) -> u32 {
        match self {
            Self::Debris(scale) => scale.slots(area_pages).count,
            Self::Camera(camera) => camera.slots(),
            Self::Decoder(decoder) => decoder.slots(),
            Self::Random(random) => random.slots(),
        }
    }

    /// How many times larger than published its buffers are; 1 where none is published.
    pub fn times(self, area_pages: u32) -> u32 {
        match self {
            Self::Debris(scale) => scale.slots(area_pages).times,
            _ => 1,
        }
    }

    /// Begins it on an area of so many pages. `None`: there is no memory for what it has to remember.
    pub fn start(self, area_pages: u32, rng: Rng) -> Option<Box<dyn Load>> {
        Some(match self {
            Self::Debris(scale) => {
                let slots = scale.slots(area_pages);
                Box::new(Debris { slots, count: Limit::new(slots.count), rng })
            }
            Self::Camera(camera) => Box::new(camera.start(rng)),
            Self::Decoder(decoder) => Box::new(decoder.start(rng)?),
            Self::Random(random) => Box::new(random.start(rng)?),
        })
    }

    /// Its name and parameters, added to a record.
    pub fn record(self, record: Record) -> Record {
        let record = record.string("load", self.name());
        match self {
            Self::Debris(_) => record,
            Self::Camera(camera) => camera.record(record),
            Self::Decoder(decoder) => decoder.record(record),
            Self::Random(random) => random.record(record),
        }
    }
}

impl fmt::Display for Kind {
    /// The name, and the parameters as they could be typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Debris(_) => Ok(()),
            Self::Camera(camera) => write!(f, " {camera}"),
            Self::Decoder(decoder) => write!(f, " {decoder}"),
            Self::Random(random) => write!(f, " {random}"),
        }
    }
}

/// The published experiment: any slot, every time.
struct Debris {
    slots: Slots,
    count: Limit,
    rng: Rng,
}

impl Load for Debris {
    #[inline]
    fn next(&mut self, _: &Held) -> Ask {
        let slot = self.rng.below_prepared(self.count) as usize;
        Ask { slot, pages: self.slots.pages(slot) }
    }
}
