//! Replays a recorded trace on an empty area and takes the fingerprints of what the area answered.
//!
//! Two passes over the trace where it lies. The first checks every line and learns the IDs; only then does the second ask
//! the area, so that a bad trace changes nothing. One error shows only there: an ID allocated while it holds a buffer,
//! because whether it does depends on the area. The replay then gives everything back before it reports the line.

use alloc::string::String;
use core::fmt;

use super::fingerprint::Fingerprint;
use super::ids::{IdTable, OutOfMemory};
use super::lender::{Lender, Moves};
use super::metrics::Metrics;
use super::record::Record;
use super::request::Align;
use super::stopwatch::{ClockCost, Timing};
use super::trace::{Op, Ops, Reason, TraceError};
use crate::cma::{AreaId, ReleaseError};
use crate::machine::Machine;
use crate::system::System;

/// What an ID stands for while it holds no buffer; otherwise 1 + its buffer's page offset in the area.
const IDLE: u32 = u32::MAX;
/// The first pass looks for a Ctrl-C every so many operations.
const OPS_BETWEEN_LOOKS: u64 = 1024;

/// Which area, and whether the trace's alignments stand.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The area, which must be empty.
    pub area: AreaId,
    /// `None`: as the trace says.
    pub align: Option<Align>,
    /// Of how many IDs in a thousand the buffers may be moved, under a placement that has use for it.
    pub relocatable: u32,
}

/// Why there is nothing to report. The area is as empty as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
pub struct Report {
    area: String,
    placement: String,
    /// Operations done.
    pub ops: u64,
    /// `a` lines among them.
    pub allocs: u64,
    /// How many of those failed.
    pub failed: u64,
    /// Where each allocation was placed.
    pub placements: Fingerprint,
    /// The bitmap at the end.
    pub bitmap: Fingerprint,
    /// The area at the end.
    pub metrics: Metrics,
    /// Ctrl-C ended it early.
    pub interrupted: bool,
    /// What was moved, where the placement moves anything.
    pub moves: Option<Moves>,
    alloc: Timing,
    release: Timing,
    cost: ClockCost,
}

/// Checks the trace, then replays it; its buffers stay registered with the system.
///
/// # Errors
/// See [`ReplayError`].
pub fn run<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &mut M,
    options: Options,
    trace: &[u8],
) -> Result<Report, ReplayError> {
    let used = system.area(options.area).used_pages();
    if used != 0 {
        return Err(ReplayError::NotEmpty { used });
    }
    let mut ids = IdTable::new()?;
    let mut lender = Lender::new(system, options.area, options.relocatable);
    let mut result = validate(system, machine, &mut ids, trace)
        .and_then(|()| answer(system, machine, &mut ids, &mut lender, options, trace));
    ids.release(&mut system.zone);
    let moves = lender.map(|lender| lender.end(system));
    if let Ok(report) = &mut result {
        report.moves = moves;
    } else {
        system.release_all(options.area);
    }
    result
}

/// The first pass.
fn validate<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &mut M,
    ids: &mut IdTable,
    trace: &[u8],
) -> Result<(), ReplayError> {
    let mut ops = 0u64;
    for op in Ops::new(trace) {
        let (line, op) = op?;
        match op {
            Op::Alloc { id, .. } => ids.set(&mut system.zone, machine, id, IDLE)?,
            Op::Release { id } if ids.get(machine, id).is_none() => {
                return Err(TraceError { line, reason: Reason::NeverAllocated(id) }.into());
            }
            Op::Release { .. } => {}
        }
        ops += 1;
        if ops.is_multiple_of(OPS_BETWEEN_LOOKS) && machine.interrupted() {
            return Err(ReplayError::Interrupted);
        }
    }
    if ops == 0 { Err(TraceError { line: 0, reason: Reason::Empty }.into()) } else { Ok(()) }
}

/// The second pass.
fn answer<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &mut M,
    ids: &mut IdTable,
    lender: &mut Option<Lender>,
    options: Options,
    trace: &[u8],
) -> Result<Report, ReplayError> {
    let area = system.area(options.area);
    let base = area.base();
    let mut report = Report {
        area: area.name().into(),
        placement: area.placement().label(),
        ops: 0,
        allocs: 0,
        failed: 0,
        placements: Fingerprint::new(),
        bitmap: Fingerprint::new(),
        metrics: Metrics::of(area),
        interrupted: false,
        moves: None,
        alloc: Timing::default(),
        release: Timing::default(),
        cost: ClockCost::measure(machine),
    };
    for op in Ops::new(trace) {
        if machine.interrupted() {
            report.interrupted = true;
            break;
        }
        let (line, op) = op?;
        report.ops += 1;
        match op {
            Op::Alloc { id, pages, align_order } => {
                if ids.get(machine, id) != Some(IDLE) {
                    return Err(TraceError { line, reason: Reason::Held(id) }.into());
                }
                let align_order = options.align.map_or(align_order, |align| align.of(pages));
                let answer = report.alloc.time(machine, || system.cma_alloc(options.area, pages, align_order));
                report.allocs += 1;
                if let Ok(buffer) = answer {
                    let offset = buffer.first().0 - base.0;
                    report.placements.push(offset);
                    match lender {
                        Some(lender) if lender.wants(id) => lender.lend(system, buffer, align_order, id),
                        _ => {
                            system.keep(buffer);
                        }
                    }
                    ids.set(&mut system.zone, machine, id, 1 + offset)?;
                } else {
                    report.failed += 1;
                    report.placements.push(Fingerprint::FAILED);
                }
            }
            Op::Release { id } => {
                let held = ids.get(machine, id).filter(|&value| value != IDLE);
                let held = held.map(|value| base.add(value - 1)).and_then(|lay_at| {
                    let lent = lender.as_mut().and_then(|lender| lender.take_back(system, id, lay_at));
                    lent.or_else(|| system.take_back_at(options.area, lay_at))
                });
                if let Some(buffer) = held {
                    let answer = report.release.time(machine, || system.cma_release(buffer));
                    answer.map_err(ReplayError::Release)?;
                    ids.set(&mut system.zone, machine, id, IDLE)?;
                }
            }
        }
    }
    let area = system.area(options.area);
    report.bitmap = Fingerprint::of_bits(area.bitmap().words(), area.bitmap().bits());
    report.metrics = Metrics::of(area);
    Ok(report)
}

impl Report {
    /// Timing of allocations and releases, and what of it is the clock's.
    pub fn timings(&self) -> (Timing, Timing, ClockCost) {
        (self.alloc, self.release, self.cost)
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
            .number("alloc_max_ns", self.alloc.max_ns(self.cost));
        Moves::record(self.moves.as_ref(), record)
    }
}

impl fmt::Display for Report {
    /// The text for people; ends in a newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.interrupted {
            writeln!(f, "Stopped by Ctrl-C after {} operations.", self.ops)?;
        }
        writeln!(
            f,
            "{}: {} operations replayed, {} allocations of which {} failed; mean {} ns, longest {} ns, release {} ns.",
            self.area,
            self.ops,
            self.allocs,
            self.failed,
            self.alloc.mean_ns(self.cost),
            self.alloc.max_ns(self.cost),
            self.release.mean_ns(self.cost)
        )?;
        if let Some(moves) = &self.moves {
            writeln!(f, "{moves}")?;
        }
        writeln!(f, "{}; the buffers stay: `release all {}` gives them back.", self.metrics, self.area)
    }
}

#[cfg(test)]
mod tests;
