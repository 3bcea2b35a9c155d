// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pressure: movable and reclaimable memory fills the system while CMA allocates.
//!
//! Four experiments: [`latency`] measures the cost of an allocation whose range is in use,
//! [`underuse`] the free CMA pages at the first OOM kill, [`reliability`] how often a driver gets
//! its large buffer in a full system, and [`integrity`] whether every page keeps its content. Each
//! run creates the users of memory and removes them in every case: areas and zone are then as
//! before. A run returns a [`Row`]: a line of a table for people, and a record.

pub mod integrity;
pub mod latency;
mod population;
pub mod reliability;
mod row;
pub mod underuse;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::fmt;

use cma::{AreaId, CmaError, ReleaseError};
use machine::Machine;
use migration::live::{LiveError, OpenError, Sabotage};
use page_alloc::policy::{CmaUse, Lend};
pub use row::{Refusal, Row, Totals};
use system::System;

/// Parameters from the command's keys; the experiment chooses those that are `None`.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Area of the driver's buffers.
    pub area: AreaId,
    /// Pages of a buffer.
    pub pages: Option<u32>,
    /// Number of pages that fill memory.
    pub fill: Option<u32>,
    /// Allocations of a run.
    pub rounds: Option<u32>,
    /// Seed of the random generator.
    pub seed: u32,
    /// Policy by which movable requests use CMA pages.
    pub cma_use: Option<CmaUse>,
    /// Kinds of pages that may enter the areas.
    pub lend: Option<Lend>,
    /// Kind of pages that fill memory (`latency`).
    pub with: Option<latency::Filling>,
    /// Source of the buffer (`reliability`).
    pub source: Option<reliability::Source>,
    /// Number of pinned pages (`reliability`).
    pub pins: Option<u32>,
    /// Step that migration leaves out (`integrity`).
    pub sabotage: Option<Sabotage>,
}

/// Reason why an experiment could not run, or not to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PressureError {
    /// The users of memory could not be created.
    Open(OpenError),
    /// The area has buffers already.
    NotEmpty {
        /// Pages in use.
        used: u32,
    },
    /// A buffer does not fit the area.
    TooLarge {
        /// Requested pages.
        pages: u32,
        /// Pages of the area.
        area: u32,
    },
    /// There are fewer free pages than `fill`.
    FillTooLarge {
        /// Pages to fill.
        fill: u32,
        /// Free pages that can be filled.
        free: u32,
    },
    /// A user of memory failed.
    Live(LiveError),
    /// The area refused to reserve the buffer in advance.
    Cma(CmaError),
    /// A release was refused: the accounting is inconsistent.
    Release(ReleaseError),
}

impl fmt::Display for PressureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::NotEmpty { used } => {
                write!(f, "{used} pages of the area are in use, and an experiment begins on an empty one")
            }
            Self::TooLarge { pages, area } => {
                write!(
                    f,
                    "a buffer of {pages} pages does not fit the area, which has {area}; cma=64M and area=reserved give it a larger one"
                )
            }
            Self::FillTooLarge { fill, free } => write!(f, "{fill} pages cannot be filled: {free} are free"),
            Self::Live(error) => error.fmt(f),
            Self::Cma(error) => error.fmt(f),
            Self::Release(error) => error.fmt(f),
        }
    }
}

impl From<OpenError> for PressureError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<LiveError> for PressureError {
    fn from(error: LiveError) -> Self {
        Self::Live(error)
    }
}

impl From<ReleaseError> for PressureError {
    fn from(error: ReleaseError) -> Self {
        Self::Release(error)
    }
}

/// The experiments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Experiment {
    /// [`latency`]
    Latency,
    /// [`underuse`]
    Underuse,
    /// [`reliability`]
    Reliability,
    /// [`integrity`]
    Integrity,
}

impl Experiment {
    /// Every experiment.
    pub const ALL: [Self; 4] = [Self::Latency, Self::Underuse, Self::Reliability, Self::Integrity];

    /// Returns the name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Underuse => "underuse",
            Self::Reliability => "reliability",
            Self::Integrity => "integrity",
        }
    }

    /// True if the experiment fills all memory, so that nothing else may hold memory meanwhile.
    pub const fn fills_all_memory(self) -> bool {
        matches!(self, Self::Underuse | Self::Reliability)
    }

    /// Checks the options, then returns the runs that they select.
    ///
    /// # Errors
    /// See [`PressureError`].
    pub fn plan(self, system: &System<'_>, options: &Options) -> Result<Vec<Run>, PressureError> {
        let area = system.area(options.area);
        let (used, area) = (area.used_pages(), area.pages());
        if used > 0 {
            return Err(PressureError::NotEmpty { used });
        }
        if let Some(pages) = options.pages.filter(|&pages| pages > area) {
            return Err(PressureError::TooLarge { pages, area });
        }
        let free = match self {
            Self::Latency | Self::Integrity => system.zone().nr_free_cma(),
            Self::Underuse | Self::Reliability => system.zone().nr_free_pages(),
        };
        if let Some(fill) = options.fill.filter(|&fill| fill > free) {
            return Err(PressureError::FillTooLarge { fill, free });
        }
        let policies = CmaUse::ALL.into_iter().filter(|&policy| options.cma_use.is_none_or(|asked| asked == policy));
        Ok(match self {
            Self::Latency => latency::plan(options, area),
            Self::Underuse => policies.map(Run::Underuse).collect(),
            Self::Reliability => reliability::plan(options),
            Self::Integrity => policies.map(Run::Integrity).collect(),
        })
    }
}

/// One run of an experiment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Run {
    /// The filling, and pages of a buffer.
    Latency(latency::Filling, u32),
    /// The policy.
    Underuse(CmaUse),
    /// The arrangement.
    Reliability(reliability::Arrangement),
    /// The policy.
    Integrity(CmaUse),
}

impl Run {
    /// Runs the experiment; the users of memory that it created are removed, also after an error.
    ///
    /// # Errors
    /// See [`PressureError`].
    pub fn execute<M: Machine + ?Sized>(
        self,
        system: &mut System<'_>,
        machine: &M,
        options: &Options,
    ) -> Result<Row, PressureError> {
        match self {
            Self::Latency(filling, pages) => {
                closed(system, |system| latency::run(system, machine, options, filling, pages))
            }
            Self::Underuse(policy) => closed(system, |system| underuse::run(system, machine, options, policy)),
            Self::Reliability(arrangement) => reliability::run(system, machine, options, arrangement),
            Self::Integrity(policy) => closed(system, |system| integrity::run(system, machine, options, policy)),
        }
    }
}

/// Runs an experiment that opens the users of memory, and closes them. The result does not depend
/// on earlier runs: only the types of pageblocks would remain from these, and they are reset first.
fn closed<'m>(
    system: &mut System<'m>,
    run: impl FnOnce(&mut System<'m>) -> Result<Row, PressureError>,
) -> Result<Row, PressureError> {
    system.zone_mut().forget_types();
    let result = run(system);
    system.close_live();
    result
}
