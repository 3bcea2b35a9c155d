// SPDX-License-Identifier: MIT OR Apache-2.0

//! Replays a recorded trace on one or several empty areas, and takes a fingerprint of each area's
//! placements.
//!
//! Two passes read the trace in place. The first checks every line and collects the IDs or the
//! areas; the second makes the requests, so that a bad trace changes nothing. One error appears
//! only in the second: an allocation for an ID that holds a buffer, because that depends on the
//! area. The replay then releases all its buffers before it reports the line.
//!
//! The formats differ in the names of buffers: `plain` traces have IDs, recordings have the `pages`
//! that Linux allocated, and logs (`logged`) may have pointers that only distinguish buffers. Each
//! area has a `player`, which makes, times and counts requests. The `stage` does the pass over the
//! lines in their order, for all areas.

use alloc::vec::Vec;
use core::fmt;

use super::ids::OutOfMemory;
use super::request::Align;
use super::state::Loaded;
use super::trace::{Format, Head, TraceError};
use cma::area::Area;
use cma::{AreaId, ReleaseError};
pub use compared::{Compared, align_name, compare};
pub use failure::{Blocker, Failure, InTheWay, Tally, size_order};
pub use keeper::Used;
use machine::Machine;
pub use part::{Part, Sizes};
use player::Player;
use pointers::Pointers;
pub use recorded::{Areas, Counts, RecordedSize, Survey};
pub use report::ReplayReport;
use stage::Stage;
use system::System;

mod compared;
mod failure;
mod keeper;
mod learn;
mod ledger;
mod logged;
mod origins;
mod pages;
mod part;
mod plain;
mod player;
mod pointers;
mod recorded;
mod report;
mod stage;

/// Operations of the first pass between two checks for Ctrl-C.
const OPS_BETWEEN_LOOKS: u64 = 1024;

/// Handling of an allocation whose ID or recorded pages hold a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenHeld {
    /// It is an error of the trace.
    Refuse,
    /// The buffer is released first.
    Release,
}

impl WhenHeld {
    /// Returns the default for a format.
    ///
    /// Under Linux's own settings the requests of a plain trace have the results that its driver
    /// saw, so an ID is free when it is allocated. Under others a request may succeed that failed
    /// in the recording, and its driver repeated it. In a recording of ftrace, pages that are
    /// allocated twice were released in between, and that event was lost.
    fn usual(format: Format, as_linux: bool) -> Self {
        if format == Format::Plain && as_linux { Self::Refuse } else { Self::Release }
    }
}

/// Handling of a buffer whose request failed in the recording, and succeeds here.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum WhenServed {
    /// It is released at once: its driver never had it.
    #[default]
    Release,
    /// It is kept for the usual lifetime of such buffers (see `keeper`).
    Keep,
}

/// A step of a replay, with the area after it.
pub enum Told<'a, 't> {
    /// A request succeeded.
    Placed {
        /// The line of the recording.
        line: u64,
        /// The task and the time.
        head: Head<'t>,
        /// The buffer's first page, from the area's first.
        page: u32,
        /// Number of pages.
        pages: u32,
        /// The area.
        area: &'a Area,
    },
    /// Pages were released: a buffer, or a part of one.
    Released {
        /// The line of the recording.
        line: u64,
        /// The first page, from the area's first.
        page: u32,
        /// Number of pages.
        pages: u32,
        /// The area.
        area: &'a Area,
    },
    /// A request failed.
    Failed {
        /// The failure.
        failure: &'a Failure<'t>,
        /// The area.
        area: &'a Area,
    },
}

/// Callback for each step, with the machine to print to.
pub type Tell<'p, M> = Option<&'p mut dyn FnMut(&mut M, Told<'_, '_>)>;

/// Parameters of a replay.
#[derive(Clone, Copy, Debug)]
pub struct Options<'n> {
    /// The area, which must be empty except for the buffers of `loaded`.
    pub area: AreaId,
    /// The alignment; `None`: as in the trace.
    pub align: Option<Align>,
    /// The handling; `None`: the default for the format and the settings.
    pub held: Option<WhenHeld>,
    /// The recorded area, if ftrace recorded several. Default: the one of the same name, or the
    /// only one.
    pub from: Option<&'n str>,
    /// IDs in a thousand whose buffers may be moved, under a placement that relocates.
    pub relocatable: u32,
    /// The state that the area may be in when the replay begins.
    pub loaded: Option<Loaded>,
    /// True if the first request that fails ends the replay.
    pub stop_at_failure: bool,
    /// Handling of requests that failed in the recording and succeed here.
    pub served: WhenServed,
    /// The part of the requests that is made.
    pub part: Part<'n>,
}

impl Options<'_> {
    /// Makes the default options for an area.
    pub const fn new(area: AreaId) -> Self {
        Self {
            area,
            align: None,
            held: None,
            from: None,
            relocatable: 1000,
            loaded: None,
            stop_at_failure: false,
            served: WhenServed::Release,
            part: Part::ALL,
        }
    }

    /// Returns the state that was loaded into this area.
    fn loaded_here(&self) -> Option<Loaded> {
        self.loaded.filter(|loaded| loaded.area == self.area)
    }

    /// Releases all buffers that the replay made.
    fn release_own(&self, system: &mut System<'_>) {
        let loaded = self.loaded_here();
        system.release_those(self.area, |id| loaded.is_none_or(|loaded| !loaded.has(id)));
    }
}

/// Reason why a replay has no report. Its buffers are released.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplayError {
    /// The area has buffers.
    NotEmpty {
        /// The area.
        area: AreaId,
        /// Pages of these buffers.
        used: u32,
    },
    /// A line of the trace is invalid.
    Trace(TraceError),
    /// There are too many different IDs, or there is no memory for them.
    Ids(OutOfMemory),
    /// There is no memory for the table of a recorded area's pages.
    Memory {
        /// Bytes that the table needs.
        bytes: u64,
    },
    /// The recording does not have the chosen area.
    NoSuchArea(Areas),
    /// The recording has several areas, and none is chosen.
    SeveralAreas(Areas),
    /// A recorded area is chosen, but the trace has no areas.
    NoAreas,
    /// Ctrl-C was pressed before the first operation.
    Interrupted,
    /// An area refused the release of a buffer that it had allocated: its state is inconsistent.
    Release {
        /// The area.
        area: AreaId,
        /// The reason.
        error: ReleaseError,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEmpty { used, .. } => write!(f, "{used} pages of the area are in use"),
            Self::Trace(error) => error.fmt(f),
            Self::Ids(error) => error.fmt(f),
            Self::Memory { bytes } => {
                write!(f, "no {} KiB free to follow the recorded pages; boot with more memory", bytes.div_ceil(1024))
            }
            Self::NoSuchArea(areas) => write!(f, "the recording has no area of that name; it has {areas}"),
            Self::SeveralAreas(areas) => write!(f, "choose with from=NAME; the recording has {areas}"),
            Self::NoAreas => f.write_str("from= chooses an area of a recording of ftrace; this trace has none"),
            Self::Interrupted => f.write_str("stopped by Ctrl-C while the trace was checked; nothing was done"),
            Self::Release { error, .. } => write!(f, "a release was refused: {error}"),
        }
    }
}

impl From<TraceError> for ReplayError {
    fn from(error: TraceError) -> Self {
        Self::Trace(error)
    }
}

impl From<OutOfMemory> for ReplayError {
    fn from(error: OutOfMemory) -> Self {
        Self::Ids(error)
    }
}

/// Checks a recording and collects its areas, to choose the area to replay it on
/// ([`Survey::area`]). A plain trace has none, and is checked when it is replayed.
///
/// # Errors
/// See [`ReplayError`].
pub fn survey<'t, M: Machine + ?Sized>(machine: &mut M, trace: &'t [u8]) -> Result<Survey<'t>, ReplayError> {
    match Format::of(trace) {
        Format::Plain => Ok(Survey::default()),
        Format::Ftrace => recorded::survey(machine, trace),
        Format::Dmesg => logged::survey(machine, trace),
    }
}

/// Checks the trace, then replays it; its buffers stay registered with the system.
///
/// # Errors
/// See [`ReplayError`].
pub fn run<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &mut M,
    options: Options<'_>,
    trace: &[u8],
) -> Result<ReplayReport, ReplayError> {
    let survey = survey(machine, trace)?;
    run_surveyed(system, machine, options, &survey, trace, None)
}

/// Replays a trace like [`run`], with its `survey`. Calls `tell` for each step, outside of the
/// timed spans.
///
/// # Errors
/// See [`ReplayError`].
pub fn run_surveyed<'t, M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &mut M,
    options: Options<'_>,
    survey: &Survey<'t>,
    trace: &'t [u8],
    tell: Tell<'_, M>,
) -> Result<ReplayReport, ReplayError> {
    let reports = run_together(system, machine, &[options], survey, trace, tell)?;
    reports.into_iter().next().ok_or(ReplayError::NoAreas)
}

/// Replays a trace on several areas, each with a recorded one of its own. The lines of all areas
/// are replayed in the recording's order, so that state which the areas share changes as on the
/// board. Returns a report for each.
///
/// # Errors
/// See [`ReplayError`].
pub fn run_together<'t, M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &mut M,
    options: &[Options<'_>],
    survey: &Survey<'t>,
    trace: &'t [u8],
    tell: Tell<'_, M>,
) -> Result<Vec<ReplayReport>, ReplayError> {
    for options in options {
        // Pages of buffers other than the state's.
        let loaded = options.loaded_here().map_or(0, |loaded| loaded.pages(system));
        if let used @ 1.. = system.area(options.area).used_pages() - loaded {
            return Err(ReplayError::NotEmpty { area: options.area, used });
        }
    }
    // Reborrowed for at most the machine's lifetime.
    let tell = tell.map(|tell| tell as &mut dyn FnMut(&mut M, Told<'_, '_>));
    let mut stage = Stage::new(system, machine, (trace, Format::of(trace)), tell);
    let mut players = Vec::with_capacity(options.len());
    let made = options.iter().try_for_each(|options| {
        players.push(Player::new(&mut stage, *options)?);
        Ok(())
    });
    let result = made.and_then(|()| answer(&mut stage, &mut players, options, survey));
    let reports = players.into_iter().map(|player| player.finish(&mut stage)).collect();
    if result.is_err() {
        options.iter().for_each(|options| options.release_own(system));
    }
    result.map(|()| reports)
}

/// Does the second pass, or both passes of a plain trace.
fn answer<'t, M: Machine + ?Sized>(
    stage: &mut Stage<'_, '_, 't, M>,
    players: &mut [Player<'_, 't>],
    options: &[Options<'_>],
    survey: &Survey<'t>,
) -> Result<(), ReplayError> {
    if stage.format == Format::Plain {
        return match (players, options) {
            ([player], [Options { from: None, .. }]) => plain::run(stage, player),
            _ => Err(ReplayError::NoAreas),
        };
    }
    let mut places = Vec::with_capacity(players.len());
    for (player, options) in players.iter_mut().zip(options) {
        places.push(survey.introduce(player, stage.system.area(player.area).name(), options.from)?);
    }
    match survey.pointers.as_ref().map(Pointers::scale) {
        Some(None) => logged::run(stage, players, &places, survey.areas.len() == 1),
        scale => pages::run(stage, players, &places, scale.flatten()),
    }
}

#[cfg(test)]
mod tests;
