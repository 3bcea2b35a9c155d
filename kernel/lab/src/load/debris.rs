// SPDX-License-Identifier: MIT OR Apache-2.0

//! The published experiment: each step draws any of 255 slots of fixed sizes. A scale may change
//! the number and the size of slots.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use super::kinds::{Ask, Entry, Load, Stream};
use crate::held::Held;
use crate::help::Help;
use crate::keys::{Keys, number};
use crate::rng::Rng;
use crate::scale::{MAX_SLOTS, Scale};
use experiment::debris::Draws;

pub(super) const ENTRIES: &[Entry] = &[Entry {
    help: Help {
        name: "debris",
        usage: "[scale=none|slots|sizes|both] [slots=255]",
        summary: "fills and empties 255 slots at random until a request fails",
        details: "The published experiment. Its live buffers are leaked on purpose and stay until `release all`. A \
                  round ends at the first request that fails, or after ops= steps; until=ops, which needs ops=, goes \
                  on after failures. rounds=0: again with the next seed, until a round makes no allocation; rounds=N: \
                  N rounds, or until ten in a row make none. Without area= it is the one that a device names, else the \
                  default area, else the first (a default area that nobody asked for is the last choice); without \
                  placement=, the area's own. sample=N: a `sample` record after \
                  every N steps, with the free runs by length and the fragmentation indices by order. bitmap=on: the \
                  bitmap before and after each round. Ctrl-C stops between two steps. With & at its end it runs in \
                  the background: see `help jobs`. scale=slots: as many more slots as the area is larger than 8 MiB; \
                  scale=sizes: as many times larger ones; scale=both: some of each, 8 times as many and 8 times larger \
                  ones on 512 MiB; slots=N: N of the published sizes. relocatable=N: under \
                  placement=relocate the buffers of N slots in a thousand may be moved to make room. timed=N: \
                  one call in N is timed, for the means; reading the clock takes as long in QEMU as many a call.",
        example: "debris seed=1 until=ops ops=20000",
    },
    read: |keys, _| Ok(Arc::new(Debris(scale_of(keys)?))),
}];

/// Parameters of the load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Debris(pub Scale);

/// Returns the scale for `scale=` or `slots=`.
fn scale_of(keys: &dyn Keys) -> Result<Scale, String> {
    let scale = Scale::named(keys.one_of("scale", Scale::NAMES)?).unwrap_or(Scale::None);
    match keys.key("slots") {
        None => Ok(scale),
        Some(_) if keys.key("scale").is_some() => Err("slots= and scale= both say how many slots there are".into()),
        Some(count) => Ok(Scale::Count(number("slots", count, 1, MAX_SLOTS.into())? as u32)),
    }
}

impl Load for Debris {
    fn name(&self) -> &'static str {
        "debris"
    }

    fn slots(&self, area_pages: u32) -> u32 {
        self.0.slots(area_pages).count
    }

    fn start(&self, area_pages: u32, rng: Rng) -> Option<Box<dyn Stream>> {
        Some(Box::new(Draws::new(self.0.slots(area_pages), rng)))
    }

    fn scale(&self) -> Scale {
        self.0
    }

    fn times(&self, area_pages: u32) -> u32 {
        self.0.slots(area_pages).times
    }
}

impl fmt::Display for Debris {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Stream for Draws {
    #[inline]
    fn next(&mut self, _: &Held) -> Ask {
        self.draw()
    }
}
