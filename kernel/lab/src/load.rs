// SPDX-License-Identifier: MIT OR Apache-2.0

//! Loads that allocate and release repeatedly: the published experiment, `debris`, and others.
//!
//! One driver runs them all. In each step a load ([`Stream`]) names a slot: the driver allocates a
//! buffer for an empty slot, and releases that of a full one. It times and counts these calls. A
//! round ends at the first request that fails, after a number of steps, or by Ctrl-C between two
//! steps. As in the published experiment the remaining buffers are leaked on purpose: they stay
//! registered with the system, and the report counts them. A [`Series`] is rounds in a row.

mod kinds;
mod series;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use super::buffer_owner::Moves;
use super::fragmentation::Fragmentation;
use super::held::Held;
use super::metrics::{Counted, Metrics};
use super::record::Record;
use super::request::Align;
use super::rng::Rng;
use super::stopwatch::{ClockCost, Sampled, Timings};
use super::watch::interrupted;
use cma::{AreaId, ReleaseError};
use experiment::debris::Failure;
use machine::Machine;
use system::System;
use units::table;

pub use ::experiment::debris::{DEFAULT_OPS, PUBLISHED_SEED};
pub use debris::Debris;
pub use kinds::{Ask, Entry, Load, Stream};
pub use series::{News, Plan, Series};

table! {
    /// The loads, the published experiment first.
    pub LOADS: [Entry] =
        debris,
        camera,
        decoder,
        random,
        #[cfg(test)] example,
}

/// The default load.
pub const DEFAULT: &str = "debris";

/// Returns the names of all loads.
pub fn names() -> impl Iterator<Item = &'static str> + Clone {
    LOADS.iter().map(|entry| entry.help.name)
}

/// Returns the load with this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    LOADS.iter().find(|entry| entry.help.name == name)
}

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Maximum lag that a load makes up for: if others use the processor, too, it keeps its rate up to
/// this lag.
const LATE_NS: u64 = NS_PER_SECOND / 10;

/// The highest rate of a load, in steps a second.
pub const MAX_RATE: u32 = 1_000_000;

/// Parameters of a round.
#[derive(Clone, Debug)]
pub struct Options {
    /// The area.
    pub area: AreaId,
    /// Seed of the first round; each further round takes the next one.
    pub seed: u32,
    /// A name of [`Rng::NAMES`].
    pub rng: &'static str,
    /// The alignment of requests.
    pub align: Align,
    /// True if the first failure ends a round.
    pub stop_at_failure: bool,
    /// Steps after which a round ends.
    pub ops: u64,
    /// The load.
    pub load: Arc<dyn Load>,
    /// Slots in a thousand whose buffers may be moved, under a placement that relocates.
    pub relocatable: u32,
    /// Each `timed`th call is timed; at least 1, which is all of them.
    pub timed: u32,
    /// Steps a second, so that the load can be watched; 0: no limit.
    pub rate: u32,
}

/// Reason why a round ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// A request failed.
    Failure,
    /// All steps were done.
    Ops,
    /// Ctrl-C was pressed.
    Interrupted,
    /// The user stopped it in the background.
    Stopped,
    /// There is no memory for the slots.
    NoMemory,
}

/// Result of a round.
#[derive(Clone, Debug)]
pub struct RoundReport {
    area: String,
    pages: u32,
    placement: String,
    align: Align,
    rng: &'static str,
    seed: u32,
    /// Number of the round, from 1.
    pub round: u64,
    /// Allocations that succeeded.
    pub allocs: u64,
    /// Releases.
    pub releases: u64,
    /// Allocations that failed.
    pub failed: u64,
    /// The first failure.
    pub failure: Option<Failure>,
    /// The reason why it ended.
    pub end: End,
    /// The area at the end.
    pub metrics: Metrics,
    /// Relocations, if the placement relocates.
    pub moves: Option<Moves>,
    load: Arc<dyn Load>,
    timed: u32,
    /// Time of its steps, with the choice of slots and the readings of the clock; with a rate also
    /// the time between them, in which others may have run.
    load_ns: u64,
    alloc: Sampled,
    release: Sampled,
    cost: ClockCost,
}

/// A running round. After any end, [`Round::finish`] leaves its remaining buffers registered with
/// the system.
pub struct Round {
    options: Options,
    /// Its buffers, and the source of its steps; `None` if there is no memory for them.
    at_work: Option<(Held, Box<dyn Stream>)>,
    /// True if Ctrl-C ends it: not in the background, where Ctrl-C is for the prompt.
    heeds_ctrl_c: bool,
    steps_left: u64,
    /// With a rate: the earliest time of the next step.
    due_ns: u64,
    /// Time when it began.
    begin_ns: u64,
    report: RoundReport,
}

/// Runs one round; its remaining buffers stay registered with the system.
///
/// # Errors
/// The area refused the release of a buffer that it had allocated: the accounting is wrong.
pub fn run_round<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &mut M,
    options: &Options,
    round: u64,
) -> Result<RoundReport, ReleaseError> {
    let mut round = Round::begin(system, machine, options, round);
    let result = round.run(system, machine, u64::MAX);
    let report = round.finish(system);
    result.map(|_| report)
}

impl Round {
    /// Makes a round that has done no step.
    pub fn begin<M: Machine + ?Sized>(system: &mut System<'_>, machine: &M, options: &Options, round: u64) -> Self {
        let pages = system.area(options.area).pages();
        // Rounds may outnumber seeds; the seeds then wrap around.
        let seed = options.seed.wrapping_add(round.wrapping_sub(1) as u32);
        let stream = Rng::named(options.rng, seed).and_then(|rng| options.load.start(pages, rng));
        let at_work = stream.and_then(|stream| {
            let held = Held::new(system, options.area, options.load.slots(pages), options.relocatable)?;
            Some((held, stream))
        });
        let area = system.area(options.area);
        let report = RoundReport {
            area: area.name().into(),
            pages: area.pages(),
            placement: area.placement().label(),
            align: options.align,
            rng: options.rng,
            seed,
            round,
            allocs: 0,
            releases: 0,
            failed: 0,
            failure: None,
            end: End::Ops,
            metrics: Metrics::of(area),
            moves: None,
            load: Arc::clone(&options.load),
            timed: options.timed,
            load_ns: 0,
            alloc: Sampled::one_in(options.timed),
            release: Sampled::one_in(options.timed),
            cost: ClockCost::measure(machine),
        };
        let (options, steps_left) = (options.clone(), options.ops);
        let begin_ns = machine.now_ns();
        Self { options, at_work, heeds_ctrl_c: true, steps_left, due_ns: begin_ns, begin_ns, report }
    }

    /// Does at most `steps` steps; returns true if there are more to do. In the background it
    /// returns early instead of waiting for a step that is not due.
    ///
    /// # Errors
    /// The area refused the release of a buffer that it had allocated: the accounting is wrong.
    pub fn run<M: Machine + ?Sized>(
        &mut self,
        system: &mut System<'_>,
        machine: &mut M,
        steps: u64,
    ) -> Result<bool, ReleaseError> {
        if let Some((held, _)) = &mut self.at_work {
            held.begin_turn(system);
        }
        let turn_ns = machine.now_ns();
        let result = self.run_steps(system, machine, steps);
        let now_ns = machine.now_ns();
        self.report.load_ns = match self.options.rate {
            0 => self.report.load_ns + now_ns.saturating_sub(turn_ns),
            _ => now_ns.saturating_sub(self.begin_ns),
        };
        if let Some((held, _)) = &mut self.at_work {
            held.end_turn(system);
        }
        result
    }

    fn run_steps<M: Machine + ?Sized>(
        &mut self,
        system: &mut System<'_>,
        machine: &mut M,
        steps: u64,
    ) -> Result<bool, ReleaseError> {
        let Self { options, at_work: Some((held, stream)), heeds_ctrl_c, steps_left, due_ns, report, .. } = self else {
            self.report.end = End::NoMemory;
            return Ok(false);
        };
        for _ in 0..steps.min(*steps_left) {
            let mut stopped = *heeds_ctrl_c && interrupted(machine, system);
            if options.rate > 0 {
                while !stopped && machine.now_ns() < *due_ns {
                    // In the background others use the time.
                    if !*heeds_ctrl_c {
                        return Ok(true);
                    }
                    stopped = interrupted(machine, system);
                }
                // Late steps are made up for, unless they are late by more than LATE_NS: such a
                // burst cannot be watched.
                let earliest_ns = machine.now_ns().saturating_sub(LATE_NS);
                *due_ns = earliest_ns.max(*due_ns + NS_PER_SECOND / u64::from(options.rate));
            }
            if stopped {
                report.end = End::Interrupted;
                return Ok(false);
            }
            *steps_left -= 1;
            let Ask { slot, pages } = stream.next(held);
            match held.take(system, slot) {
                None => {
                    let align_order = options.align.of(pages);
                    let answer = report.alloc.time(machine, || system.cma_alloc(options.area, pages, align_order));
                    match answer {
                        Ok(buffer) => {
                            report.allocs += 1;
                            held.put(system, slot, buffer, align_order);
                        }
                        Err(error) => {
                            report.failed += 1;
                            report.failure.get_or_insert(Failure { pages, error });
                            if options.stop_at_failure {
                                report.end = End::Failure;
                                return Ok(false);
                            }
                        }
                    }
                }
                Some(buffer) => {
                    report.release.time(machine, || system.cma_release(buffer))?;
                    report.releases += 1;
                }
            }
        }
        Ok(*steps_left > 0)
    }

    /// Puts the round into the background: Ctrl-C does not end it.
    pub fn in_background(&mut self) {
        self.heeds_ctrl_c = false;
    }

    /// Returns the number of steps done.
    pub fn steps(&self) -> u64 {
        self.options.ops - self.steps_left
    }

    /// Returns the numbers of allocations that have succeeded, and that have failed.
    pub fn counts(&self) -> (u64, u64) {
        (self.report.allocs, self.report.failed)
    }

    /// Ends the round at the user's request.
    pub fn stop(mut self, system: &mut System<'_>) -> RoundReport {
        self.report.end = End::Stopped;
        self.finish(system)
    }

    /// Returns a record of kind `sample`: the current state of the area and of the round.
    pub fn sample(&self, system: &System<'_>) -> Record {
        let area = system.area(self.options.area);
        let metrics = Metrics::of(area);
        let record = Record::new("sample")
            .string("load", self.options.load.name())
            .string("area", &self.report.area)
            .string("placement", &self.report.placement)
            .number("seed", self.report.seed)
            .number("round", self.report.round)
            .number("ops", self.steps())
            .number("allocs", self.report.allocs)
            .number("failed", self.report.failed);
        Fragmentation::of(area).record(metrics.record(record))
    }

    /// Ends the round.
    pub fn finish(mut self, system: &mut System<'_>) -> RoundReport {
        self.report.moves = self.at_work.and_then(|(held, _)| held.keep_all(system));
        self.report.metrics = Metrics::of(system.area(self.options.area));
        self.report
    }
}

impl RoundReport {
    /// Returns the number of buffers that this round leaked.
    pub fn live(&self) -> u64 {
        self.allocs - self.releases
    }

    /// Returns the mean times of timed allocations and releases, in ns, without the clock's cost.
    pub fn means_ns(&self) -> (u64, u64) {
        let Timings { alloc, release, cost } = self.timings();
        (alloc.mean_ns(cost), release.mean_ns(cost))
    }

    /// Returns the times of allocations and releases, and the clock's part in them.
    pub const fn timings(&self) -> Timings {
        Timings { alloc: self.alloc.timing(), release: self.release.timing(), cost: self.cost }
    }

    /// Returns the number of steps done.
    const fn steps(&self) -> u64 {
        self.allocs + self.releases + self.failed
    }

    /// Returns the steps a second of `load_ns`, which includes the choice of slots and the readings
    /// of the clock; 0 if no time has passed.
    pub fn steps_per_second(&self) -> u64 {
        (u128::from(self.steps()) * u128::from(NS_PER_SECOND)).checked_div(self.load_ns.into()).unwrap_or(0) as u64
    }

    /// Returns the record.
    pub fn record(&self) -> Record {
        let (alloc_ns, release_ns) = self.means_ns();
        let record = Record::new(self.load.name())
            .string("area", &self.area)
            .number("pages", self.pages)
            .string("placement", &self.placement)
            .display("align", self.align)
            .string("rng", self.rng)
            .number("seed", self.seed)
            .number("round", self.round)
            .number("allocs", self.allocs)
            .number("releases", self.releases)
            .number("live", self.live())
            .number("failed_pages", self.failure.map_or(0, |failure| failure.pages))
            .string("cause", self.failure.as_ref().map_or("none", Failure::cause));
        let record = self
            .metrics
            .record(record)
            .number("alloc_ns", alloc_ns)
            .number("release_ns", release_ns)
            .number("failed", self.failed);
        let record = self
            .load
            .record(record.string("load", self.load.name()))
            .number("slots", self.load.slots(self.pages))
            .number("times", self.load.times(self.pages));
        Moves::record(self.moves.as_ref(), record).number("timed", self.timed).number("load_ns", self.load_ns)
    }
}

impl fmt::Display for RoundReport {
    /// Writes the text for people; ends in a newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { area, pages, placement, align, rng, seed, round, .. } = self;
        writeln!(
            f,
            "{} on {area} ({pages} pages), {placement}, align={align}, rng={rng}, seed={seed}, round {round}:",
            self.load
        )?;
        write!(f, "  {}, {}, then ", Counted(self.allocs, "allocation"), Counted(self.releases, "release"))?;
        match (self.end, &self.failure) {
            (End::Failure, Some(failure)) => writeln!(
                f,
                "a request for {} failed ({}): {} free, the longest free run is {}.",
                Counted(failure.pages.into(), "page"),
                failure.cause(),
                Counted(self.metrics.free.into(), "page"),
                Counted(self.metrics.longest.into(), "page")
            )?,
            (End::NoMemory, _) => {
                writeln!(f, "nothing: there is no memory to keep {} slots in.", self.load.slots(*pages))?
            }
            (End::Stopped, _) => writeln!(f, "it was stopped; {} requests failed.", self.failed)?,
            (End::Interrupted, _) => writeln!(f, "Ctrl-C; {} requests failed.", self.failed)?,
            _ => writeln!(f, "the last step (ops= sets how many); {} requests failed.", self.failed)?,
        }
        let live = Counted(self.live(), "buffer");
        writeln!(f, "  {live} leaked on purpose: `release all {area}` gives them back.")?;
        let (alloc_ns, release_ns) = self.means_ns();
        write!(f, "  {}", self.metrics)?;
        match (self.alloc.timing().calls(), self.release.timing().calls()) {
            (0, 0) => f.write_str("; none of its calls was timed")?,
            (_, 0) => write!(f, "; {alloc_ns} ns an allocation, and no release was timed")?,
            (0, _) => write!(f, "; no allocation was timed, {release_ns} ns a release")?,
            _ => write!(f, "; {alloc_ns} ns an allocation, {release_ns} ns a release")?,
        }
        match self.timed {
            1 => writeln!(f, ".")?,
            timed => writeln!(f, " (timed={timed}).")?,
        }
        if let rate @ 1.. = self.steps_per_second() {
            writeln!(f, "  {} in {} ns, {rate} a second.", Counted(self.steps(), "step"), self.load_ns)?;
        }
        self.moves.as_ref().map_or(Ok(()), |moves| writeln!(f, "  {moves}"))
    }
}

#[cfg(test)]
mod tests;
