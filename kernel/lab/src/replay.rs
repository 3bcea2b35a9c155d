// SPDX-License-Identifier: MIT OR Apache-2.0

//! Replays a recorded trace on an empty area, or on several, and takes the fingerprints of what
//! each answered.
//!
//! Two passes over the trace where it lies. The first checks every line and learns the IDs or the
//! areas; only then does the second ask the areas, so that a bad trace changes nothing. One error
//! shows only there: an ID allocated while it holds a buffer, because whether it does depends on
//! the area. The replay then gives everything back before it reports the line.
//!
//! The formats differ in what names a buffer: `plain` traces have IDs, recordings have the `pages`
//! that Linux gave, and logs (`logged`) may have pointers that only tell buffers apart. Each area
//! has a `player`, which asks, times and counts. The pass itself, over the lines in their order, is
//! the `stage`'s, whichever areas they are of.

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

/// Operations of the first pass between two looks for a Ctrl-C.
const OPS_BETWEEN_LOOKS: u64 = 1024;

/// What is done with an allocation for an ID, or of recorded pages, that hold a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenHeld {
    /// It is an error of the trace.
    Refuse,
    /// The buffer is given back first.
    Release,
}

impl WhenHeld {
    /// Unless it is said.
    ///
    /// Under Linux's own settings a plain trace gets the answers that its driver got, so that an ID
    /// is free when it is allocated. Under others a request may succeed that failed when it was
    /// recorded, and then its driver asks again. In a recording of ftrace, pages that are allocated
    /// twice were released in between, and that event was lost.
    fn usual(format: Format, as_linux: bool) -> Self {
        if format == Format::Plain && as_linux { Self::Refuse } else { Self::Release }
    }
}

/// What is done with a buffer whose request failed when it was recorded, and succeeds here.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum WhenServed {
    /// It goes back at once: its driver never had it.
    #[default]
    Release,
    /// It is kept as long as such buffers lived (see `keeper`).
    Keep,
}

/// What a replay did, with the area behind it.
pub enum Told<'a, 't> {
    /// A request was served.
    Placed {
        /// The line of the recording.
        line: u64,
        /// Who asked, and when.
        head: Head<'t>,
        /// The buffer's first page, from the area's first.
        page: u32,
        /// Its pages.
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
        /// How many.
        pages: u32,
        /// The area.
        area: &'a Area,
    },
    /// A request failed.
    Failed {
        /// How.
        failure: &'a Failure<'t>,
        /// The area.
        area: &'a Area,
    },
}

/// Who is told of each step, with the machine to print to.
pub type Tell<'p, M> = Option<&'p mut dyn FnMut(&mut M, Told<'_, '_>)>;

/// Which area, and how the trace is read.
#[derive(Clone, Copy, Debug)]
pub struct Options<'n> {
    /// The area, which must be empty but for what `loaded` put there.
    pub area: AreaId,
    /// `None`: as the trace says.
    pub align: Option<Align>,
    /// `None`: what is usual for the trace and the settings.
    pub held: Option<WhenHeld>,
    /// The recorded area, where ftrace recorded several. `None`: the one of the same name, or the
    /// only one.
    pub from: Option<&'n str>,
    /// Of how many IDs in a thousand the buffers may be moved, under a placement that has use for
    /// it.
    pub relocatable: u32,
    /// The state that the area may be in when the replay begins.
    pub loaded: Option<Loaded>,
    /// The first request that fails ends the replay.
    pub stop_at_failure: bool,
    /// What becomes of what failed there and succeeds here.
    pub served: WhenServed,
    /// Which of the requests are made.
    pub part: Part<'n>,
}

impl Options<'_> {
    /// An area, and the trace as it is.
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

    /// What was loaded into the area.
    fn loaded_here(&self) -> Option<Loaded> {
        self.loaded.filter(|loaded| loaded.area == self.area)
    }

    /// Gives everything back that the replay made.
    fn release_own(&self, system: &mut System<'_>) {
        let loaded = self.loaded_here();
        system.release_those(self.area, |id| loaded.is_none_or(|loaded| !loaded.has(id)));
    }
}

/// Why there is nothing to report. The area is as empty as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplayError {
    /// The area has buffers.
    NotEmpty {
        /// Which area.
        area: AreaId,
        /// Pages they take.
        used: u32,
    },
    /// A line of the trace is no good.
    Trace(TraceError),
    /// Too many different IDs.
    Ids(OutOfMemory),
    /// No memory for the table of a recorded area's pages.
    Memory {
        /// What it takes.
        bytes: u64,
    },
    /// A recorded area is wanted that is not in the recording.
    NoSuchArea(Areas),
    /// The recording is of several areas.
    SeveralAreas(Areas),
    /// A recorded area is wanted, and the trace is none of ftrace.
    NoAreas,
    /// Ctrl-C before the first operation was done.
    Interrupted,
    /// An area refused a buffer that it had given: its state is inconsistent.
    Release {
        /// Which area.
        area: AreaId,
        /// Why.
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

/// Checks a recording and learns its areas, by which the area to replay it on can be chosen
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

/// As [`run`], with the `survey` of that trace. `tell` is called for each step, outside of what is
/// timed.
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

/// As [`run_surveyed`], for several areas, each with a recorded one of its own: the lines of all
/// are answered in the recording's order, so that what the areas share sees what it saw on the
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
        // What others than the state's buffers take.
        let loaded = options.loaded_here().map_or(0, |loaded| loaded.pages(system));
        if let used @ 1.. = system.area(options.area).used_pages() - loaded {
            return Err(ReplayError::NotEmpty { area: options.area, used });
        }
    }
    // Reborrowed for no longer than the machine.
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

/// The second pass; of a plain trace, both.
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
