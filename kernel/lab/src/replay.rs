// SPDX-License-Identifier: MIT OR Apache-2.0

//! Replays a recorded trace on an empty area and takes the fingerprints of what the area answered.
//!
//! Two passes over the trace where it lies. The first checks every line and learns the IDs or the areas; only then does the
//! second ask the area, so that a bad trace changes nothing. One error shows only there: an ID allocated while it holds a
//! buffer, because whether it does depends on the area. The replay then gives everything back before it reports the line.
//!
//! The formats differ in what names a buffer: `plain` traces have IDs, and `recorded` ones the pages that Linux gave. Both
//! ask through a `player`, which times and counts.

use alloc::string::String;
use core::fmt;

use super::buffer_owner::Moves;
use super::fingerprint::Fingerprint;
use super::ids::OutOfMemory;
use super::metrics::{Counted, Metrics};
use super::record::Record;
use super::request::Align;
use super::state::Loaded;
use super::stopwatch::{ClockCost, Timing, Timings};
use super::trace::{Format, Head, TraceError};
use cma::area::Area;
use cma::{AreaId, ReleaseError};
pub use compared::{Compared, align_name, compare};
pub use failure::{Blocker, Failure, InTheWay, Tally};
pub use keeper::Used;
use machine::Machine;
pub use part::Part;
use player::Player;
use pointers::Pointers;
pub use recorded::{Areas, Counts, RecordedSize, Survey};
use system::System;

mod compared;
mod failure;
mod keeper;
mod learn;
mod ledger;
mod logged;
mod origins;
mod part;
mod plain;
mod player;
mod pointers;
mod recorded;

/// The first pass looks for a Ctrl-C every so many operations.
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
    /// Under Linux's own settings a plain trace gets the answers that its driver got, so that an ID is free when it is
    /// allocated. Under others a request may succeed that failed when it was recorded, and then its driver asks again. In
    /// a recording of ftrace, pages that are allocated twice were released in between, and that event was lost.
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
    /// The recorded area, where ftrace recorded several. `None`: the one of the same name, or the only one.
    pub from: Option<&'n str>,
    /// Of how many IDs in a thousand the buffers may be moved, under a placement that has use for it.
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

    /// Gives everything back that the replay made.
    fn release_own(&self, system: &mut System<'_>) {
        let loaded = self.loaded.filter(|loaded| loaded.area == self.area);
        system.release_those(self.area, |id| loaded.is_none_or(|loaded| !loaded.has(id)));
    }
}

/// Why there is nothing to report. The area is as empty as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplayError {
    /// The area has buffers.
    NotEmpty {
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
    /// The area refused a buffer that it had given: the books are wrong.
    Release(ReleaseError),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEmpty { used } => write!(f, "{used} pages of the area are in use"),
            Self::Trace(error) => error.fmt(f),
            Self::Ids(error) => error.fmt(f),
            Self::Memory { bytes } => {
                write!(f, "no {} KiB free to follow the recorded pages; boot with more memory", bytes.div_ceil(1024))
            }
            Self::NoSuchArea(areas) => write!(f, "the recording has no area of that name; it has {areas}"),
            Self::SeveralAreas(areas) => write!(f, "choose with from=NAME; the recording has {areas}"),
            Self::NoAreas => f.write_str("from= chooses an area of a recording of ftrace; this trace has none"),
            Self::Interrupted => f.write_str("stopped by Ctrl-C while the trace was checked; nothing was done"),
            Self::Release(error) => write!(f, "a release was refused: {error}"),
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

/// What the area answered.
#[derive(Clone, Debug)]
pub struct ReplayReport {
    area: String,
    placement: String,
    format: Format,
    area_pages: u32,
    /// Name of the recorded area; empty where the format has none.
    from: String,
    recorded_size: RecordedSize,
    /// What the pages of a log are worth; other formats have page numbers.
    pointers: Option<Pointers>,
    /// Ranges that were busy when they were recorded, where the format says so.
    busy: u64,
    /// Operations done.
    pub ops: u64,
    /// Allocations among them.
    pub allocs: u64,
    /// How many of those failed.
    pub failed: u64,
    /// Where each allocation was placed.
    pub placements: Fingerprint,
    /// The bitmap at the end.
    pub bitmap: Fingerprint,
    /// The area at the end.
    pub metrics: Metrics,
    /// Most pages that were used at a time.
    pub peak: u32,
    /// The line of the first request that failed.
    pub first_failure: Option<u64>,
    /// What failed, by cause and by size.
    pub failures: Tally,
    /// Ctrl-C ended it early.
    pub interrupted: bool,
    /// The line of the failure that ended it early.
    pub stopped: Option<u64>,
    /// Events that the recording says were lost, at least.
    pub lost: u64,
    /// Releases of pages whose allocation was not recorded, or of an ID that was released already.
    pub unmatched: u64,
    /// Buffers given back because what they stood for was allocated again.
    pub held_released: u64,
    /// Allocations that failed when they were recorded.
    pub failed_recorded: u64,
    /// How many of those succeeded now.
    pub failed_served: u64,
    /// For how long those were kept, where they were.
    pub kept: Option<Used>,
    /// Allocations whose place in the recording is known.
    pub compared: u64,
    /// Allocations placed where they were when they were recorded.
    pub as_recorded: u64,
    /// Requests that are of no part of the recording that was wanted.
    pub left_out: u64,
    /// What the recording tells of the area beside its events.
    pub counts: Counts,
    /// Behind the highest page of the area that was held.
    pub highest_page: u32,
    /// What was moved, where the placement moves anything.
    pub moves: Option<Moves>,
    lines: u64,
    /// What reading and checking the trace took.
    checked_ns: u64,
    alloc: Timing,
    release: Timing,
    cost: ClockCost,
}

/// Checks a recording and learns its areas, by which the area to replay it on can be chosen ([`Survey::area`]). A plain
/// trace has none, and is checked when it is replayed.
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
    let loaded = options.loaded.filter(|loaded| loaded.area == options.area);
    let held = loaded.map_or(0, |loaded| loaded.pages(system));
    let area = system.area(options.area);
    // What others than the state's buffers take.
    if let used @ 1.. = area.used_pages() - held {
        return Err(ReplayError::NotEmpty { used });
    }
    let format = Format::of(trace);
    let as_linux = options.align.is_none() && area.placement().is_linux();
    let held = options.held.unwrap_or(WhenHeld::usual(format, as_linux));
    // Reborrowed for no longer than the machine.
    let tell = tell.map(|tell| tell as &mut dyn FnMut(&mut M, Told<'_, '_>));
    let mut player = Player::new(system, machine, options, (trace, format), tell)?;
    let result = match format {
        Format::Plain if options.from.is_some() => Err(ReplayError::NoAreas),
        Format::Plain => plain::run(&mut player, held, trace),
        Format::Ftrace | Format::Dmesg => recorded::run(&mut player, held, options, survey, trace),
    };
    let report = player.finish();
    if result.is_err() {
        options.release_own(system);
    }
    result.map(|()| report)
}

impl ReplayReport {
    /// Timing of allocations and releases, and what of it is the clock's.
    pub fn timings(&self) -> Timings {
        Timings { alloc: self.alloc, release: self.release, cost: self.cost }
    }

    /// The record.
    pub fn record(&self) -> Record {
        let record = Record::new("replay")
            .string("area", &self.area)
            .string("placement", &self.placement)
            .number("ops", self.ops)
            .number("allocs", self.allocs)
            .number("failed", self.failed)
            .display("placement_fnv1a", self.placements)
            .display("bitmap_fnv1a", self.bitmap)
            .number("used", self.metrics.used)
            .number("maxchunk", self.metrics.longest)
            .number("alloc_ns", self.alloc.mean_ns(self.cost))
            .number("release_ns", self.release.mean_ns(self.cost))
            .number("alloc_max_ns", self.alloc.max_ns(self.cost))
            .number("alloc_p999_ns", self.alloc.p999_ns(self.cost))
            .string("format", self.format.name())
            .string("from", &self.from)
            .number("lost", self.lost)
            .number("unmatched", self.unmatched)
            .number("held_released", self.held_released)
            .number("failed_recorded", self.failed_recorded)
            .number("failed_served", self.failed_served)
            .number("compared", self.compared)
            .number("as_recorded", self.as_recorded)
            .number("left_out", self.left_out)
            .number("gaps", self.counts.gaps)
            .number("first_gap", self.counts.first_gap)
            .number("lines", self.lines)
            .number("line_ns", self.checked_ns / self.lines.max(1))
            .number("peak_pages", self.peak);
        let record = self.failures.record(record);
        let record = match self.counts.held_before {
            Some(pages) => record.number("held_before", pages),
            None => record,
        };
        Moves::record(self.moves.as_ref(), record)
    }
}

impl ReplayReport {
    /// What is said of a recording that was not written by hand.
    fn write_recording(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let other_size = matches!(self.recorded_size, RecordedSize::Pages(pages) if pages != self.area_pages.into());
        if self.from != self.area || other_size {
            writeln!(
                f,
                "The recording is of {}, {}; here it ran on {}, which has {}.",
                self.from, self.recorded_size, self.area, self.area_pages
            )?;
        }
        write!(f, "Recorded on {}: {}; ", self.from, Counted(self.lines, "line"))?;
        if self.pointers.is_none_or(|pointers| pointers.scale().is_some()) {
            write!(f, "{} of {} placements as recorded; ", self.as_recorded, self.compared)?;
        }
        writeln!(
            f,
            "{} failed there, of which {} succeeded here{}.",
            self.failed_recorded,
            self.failed_served,
            if self.kept.is_some() { "" } else { " (and went back at once)" }
        )?;
        if let Some(kept) = self.kept.filter(|_| self.failed_served > 0) {
            writeln!(f, "Those were {kept}.")?;
        }
        if let Some(pointers) = &self.pointers {
            writeln!(f, "{pointers}.")?;
        }
        if let Some(pages @ 1..) = self.counts.held_before {
            writeln!(
                f,
                "{} held there when the recording began, by what it does not show; `load` puts a board's state here.",
                Counted(pages, "page")
            )?;
        }
        if self.counts.gaps > 0 {
            writeln!(
                f,
                "In {}, first at line {}, pages came or went without an event: events were lost there.",
                Counted(self.counts.gaps, "place"),
                self.counts.first_gap
            )?;
        }
        if self.busy > 0 {
            writeln!(
                f,
                "{} busy there and passed over; what follows may lie elsewhere here.",
                Counted(self.busy, "range")
            )?;
        }
        if self.lost + self.unmatched + self.held_released > 0 {
            writeln!(
                f,
                "The recording lost {} that it knows of; {} of what it had not seen allocated; {} that it had not seen released.",
                Counted(self.lost, "event"),
                Counted(self.unmatched, "release"),
                Counted(self.held_released, "buffer")
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for ReplayReport {
    /// The text for people; ends in a newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.interrupted {
            writeln!(f, "Stopped by Ctrl-C after {} operations.", self.ops)?;
        }
        if let Some(line) = self.stopped {
            writeln!(f, "Stopped at line {line}, the first request that failed.")?;
        }
        writeln!(
            f,
            "{}: {} replayed, {} of which {} failed, at most {} used; mean {} ns, longest {} ns, release {} ns.",
            self.area,
            Counted(self.ops, "operation"),
            Counted(self.allocs, "allocation"),
            self.failed,
            Counted(self.peak.into(), "page"),
            self.alloc.mean_ns(self.cost),
            self.alloc.max_ns(self.cost),
            self.release.mean_ns(self.cost)
        )?;
        if self.format != Format::Plain {
            self.write_recording(f)?;
        } else {
            if self.held_released > 0 {
                let again = Counted(self.held_released, "buffer");
                writeln!(
                    f,
                    "{again} given back because the ID was allocated again (held=refuse makes that an error)."
                )?;
            }
            if self.unmatched > 0 {
                writeln!(f, "{} of what was released already.", Counted(self.unmatched, "release"))?;
            }
        }
        if let Some(moves) = &self.moves {
            writeln!(f, "{moves}")?;
        }
        if self.failed > 0 {
            writeln!(f, "{}", self.failures)?;
        }
        writeln!(f, "{}; the buffers stay: `release all {}` gives them back.", self.metrics, self.area)
    }
}

#[cfg(test)]
mod tests;
