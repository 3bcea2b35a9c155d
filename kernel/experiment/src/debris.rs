// SPDX-License-Identifier: MIT OR Apache-2.0

//! The published experiment: a slot is drawn; its buffer is released, or allocated if it has none,
//! until a request fails. The buffers that are then held are leaked on purpose.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::metrics::{Counted, Metrics};
use super::record::Record;
use super::request::Align;
use super::rng::{Limit, Rng};
use super::sizes::Slots;
use cma::{AreaId, Areas, Buffer, CmaError, ReleaseError};
use page_alloc::zone::Zone;

/// The seed of the published run: 2019-12-28, in seconds.
///
/// Found by trying every second from 2019-12-15 to 2020-01-07: the only one that gives all three
/// published figures.
pub const PUBLISHED_SEED: u32 = 1_577_527_915;

/// Steps after which a load without a failure ends; the default of `ops=`.
pub const DEFAULT_OPS: u64 = 5_000_000;

/// A step of a load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask {
    /// Number of the slot.
    pub slot: usize,
    /// Pages to allocate if the slot is empty; not 0.
    pub pages: u32,
}

/// The sequence of slots that are drawn.
pub struct Draws {
    slots: Slots,
    count: Limit,
    rng: Rng,
}

impl Draws {
    /// Draws from `slots` by `rng`.
    pub fn new(slots: Slots, rng: Rng) -> Self {
        Self { slots, count: Limit::new(slots.count), rng }
    }

    /// Draws a slot.
    #[inline]
    pub fn draw(&mut self) -> Ask {
        let slot = self.rng.below_prepared(self.count) as usize;
        Ask { slot, pages: self.slots.pages(slot) }
    }
}

/// The first request that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Pages of the request.
    pub pages: u32,
    /// Its error.
    pub error: CmaError,
}

impl Failure {
    /// Returns the name for records.
    pub fn cause(&self) -> &'static str {
        self.error.cause()
    }
}

/// Result of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ruins {
    area: String,
    pages: u32,
    seed: u32,
    /// Allocations that succeeded.
    pub allocs: u64,
    /// Releases.
    pub releases: u64,
    /// The request that ended the run; `None` after the last step.
    pub failure: Option<Failure>,
    /// The area at the end.
    pub metrics: Metrics,
}

/// Runs the experiment on an area, aligned by size, with glibc's generator, until a request fails,
/// or for `steps` steps. The buffers that are then held stay allocated.
///
/// # Errors
/// The area refused the release of a buffer that it had allocated: the accounting is inconsistent.
pub fn run(areas: &mut Areas, zone: &mut Zone<'_>, id: AreaId, seed: u32, steps: u64) -> Result<Ruins, ReleaseError> {
    let mut draws = Draws::new(Slots::PUBLISHED, Rng::glibc(seed));
    let mut held: Vec<Option<Buffer>> = Vec::new();
    held.resize_with(Slots::PUBLISHED.count as usize, || None);
    let (mut allocs, mut releases, mut failure) = (0, 0, None);
    for _ in 0..steps {
        let Ask { slot, pages } = draws.draw();
        if let Some(buffer) = held[slot].take() {
            areas.release(zone, &buffer)?;
            releases += 1;
            continue;
        }
        match areas.alloc(zone, id, pages, Align::Order.of(pages)) {
            Ok(buffer) => held[slot] = Some(buffer),
            Err(error) => {
                failure = Some(Failure { pages, error });
                break;
            }
        }
        allocs += 1;
    }
    let area = areas.get(id);
    let metrics = Metrics::of(area);
    Ok(Ruins { area: area.name().into(), pages: area.pages(), seed, allocs, releases, failure, metrics })
}

impl Ruins {
    /// Returns the record, with those of the laboratory's fields that do not contain times.
    pub fn record(&self) -> Record {
        let record = Record::new("debris")
            .string("area", &self.area)
            .number("pages", self.pages)
            .string("placement", "first-fit")
            .display("align", Align::Order)
            .string("rng", "glibc")
            .number("seed", self.seed)
            .number("round", 1u32)
            .number("allocs", self.allocs)
            .number("releases", self.releases)
            .number("live", self.allocs - self.releases)
            .number("failed_pages", self.failure.map_or(0, |failure| failure.pages))
            .string("cause", self.failure.map_or("none", |failure| failure.cause()));
        self.metrics.record(record)
    }
}

impl fmt::Display for Ruins {
    /// Writes the text for people; ends in a newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { area, pages, seed, .. } = self;
        writeln!(f, "debris on {area} ({pages} pages), first-fit, align=order, rng=glibc, seed={seed}:")?;
        write!(f, "  {}, {}, then ", Counted(self.allocs, "allocation"), Counted(self.releases, "release"))?;
        match self.failure {
            Some(Failure { pages, error }) => {
                writeln!(f, "a request for {} failed: {error}.", Counted(pages.into(), "page"))?;
            }
            None => writeln!(f, "the last step.")?,
        }
        writeln!(f, "  {}.", self.metrics)
    }
}
