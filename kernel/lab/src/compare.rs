// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs a load under several placements, with the same seeds and from an empty area each: how long
//! it lasts, how full the area is when it fails, and what an allocation costs.
//!
//! A [`Comparison`] runs step by step, each a load or a part of a long one, so that the caller can
//! show progress. After every load the area is empty. Ctrl-C ends a load, which then does not
//! count.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

use super::buffer_owner::Moves;
use super::load::{self, End, Round};
use super::record::Record;
use super::sign_test::sign_test_permille;
use super::stopwatch::{ClockCost, Timing, Timings};
use cma::{AreaId, ReleaseError};
use machine::Machine;
use placement::Placement;
use system::System;

/// Maximum number of seeds.
pub const MAX_SEEDS: u32 = 1000;
/// Maximum number of placements.
pub const MAX_PLACEMENTS: usize = 16;
/// Steps after which a load without a failure counts as survived; the default of `ops=`.
pub const DEFAULT_OPS: u64 = 10_000_000;

/// Number of a load's steps that are done at a time.
const SLICE: u64 = 1 << 18;

/// Makes a placement to compare; each seed begins with a fresh one, without state of the last.
pub type MakePlacement = Box<dyn Fn() -> Box<dyn Placement>>;

/// Reason why a comparison does not begin, or ends early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CompareError {
    /// The area has buffers.
    NotEmpty {
        /// Pages of these buffers.
        used: u32,
    },
    /// There is no memory for the load's slots.
    NoMemory,
    /// The area refused the release of a buffer that it had allocated: the accounting is wrong.
    Release(ReleaseError),
}

impl fmt::Display for CompareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEmpty { used } => write!(f, "{used} pages are in use, and a comparison begins on an empty area"),
            Self::NoMemory => f.write_str("there is no memory for the slots"),
            Self::Release(error) => write!(f, "a release was refused: {error}"),
        }
    }
}

/// Result of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A load has ended.
    Done {
        /// Number of loads done.
        loads: u32,
        /// Number of all loads.
        of: u32,
    },
    /// A load has more steps to do.
    Running {
        /// Number of loads done.
        loads: u32,
        /// Number of all loads.
        of: u32,
        /// Successful allocations of the running load.
        allocs: u64,
    },
    /// Nothing was left to do.
    Finished,
    /// Ctrl-C was pressed.
    Interrupted,
}

/// A comparison of placements.
pub struct Comparison {
    options: load::Options,
    seeds: u32,
    placements: Vec<MakePlacement>,
    rows: Vec<Row>,
    /// The load that has more steps to do, and its placement.
    running: Option<(Round, Box<dyn Placement>)>,
}

/// Characters of a placement's name in the table.
const NAME_COLUMNS: usize = 16;

/// Results of the loads under one placement.
#[derive(Clone, Debug)]
pub struct Row {
    area: String,
    pages: u32,
    placement: String,
    options: load::Options,
    loads: Vec<Load>,
    moves: Option<Moves>,
    alloc: Timing,
    cost: ClockCost,
}

#[derive(Clone, Copy, Debug)]
struct Load {
    failed: bool,
    allocs: u64,
    used: u32,
    longest: u32,
}

impl Comparison {
    /// Makes a comparison of the load of `options` under `placements`, with `seeds` consecutive
    /// seeds from that of the options on.
    ///
    /// # Errors
    /// The area is not empty.
    pub fn new(
        system: &System<'_>,
        options: load::Options,
        seeds: u32,
        placements: Vec<MakePlacement>,
    ) -> Result<Self, CompareError> {
        let used = system.area(options.area).used_pages();
        if used != 0 {
            return Err(CompareError::NotEmpty { used });
        }
        Ok(Self { options, seeds, placements, rows: Vec::new(), running: None })
    }

    /// Runs the next load, or the next part of it.
    ///
    /// # Errors
    /// There is no memory for the load's slots, or the accounting is wrong.
    pub fn step<M: Machine + ?Sized>(
        &mut self,
        system: &mut System<'_>,
        machine: &mut M,
    ) -> Result<Step, CompareError> {
        let seeds = self.seeds as usize;
        let filled = self.rows.iter().filter(|row| row.loads.len() == seeds).count();
        let Some(make) = self.placements.get(filled) else { return Ok(Step::Finished) };
        let area = self.options.area;
        let running = self.running.take();
        let (round, placement) = running.map_or_else(|| (None, make()), |(round, placement)| (Some(round), placement));
        // Each slice begins and ends with the area's own placement set.
        let own = system.area_mut(area).set_placement(placement);
        if self.rows.len() == filled {
            self.rows.push(Row::of(system, machine, &self.options));
        }
        let row = &mut self.rows[filled];
        let loads = (filled * seeds + row.loads.len()) as u32;
        let of = self.placements.len() as u32 * self.seeds;
        let mut round = round.unwrap_or_else(|| {
            Round::begin(system, machine, &self.options, 1 + u64::from(loads) % u64::from(self.seeds))
        });
        let result = round.run(system, machine, SLICE);
        if result == Ok(true) {
            let allocs = round.counts().0;
            self.running = Some((round, system.area_mut(area).set_placement(own)));
            return Ok(Step::Running { loads, of, allocs });
        }
        let report = round.finish(system);
        system.release_all(area);
        system.area_mut(area).set_placement(own);
        result.map_err(CompareError::Release)?;
        match report.end {
            End::Interrupted | End::Stopped => return Ok(Step::Interrupted),
            End::NoMemory => return Err(CompareError::NoMemory),
            End::Failure | End::Ops => {}
        }
        row.include(&report);
        Ok(Step::Done { loads: loads + 1, of })
    }

    /// Returns the number of loads. They are ordered by placement, then by seed.
    pub fn loads(&self) -> u32 {
        self.placements.len() as u32 * self.seeds
    }

    /// Keeps only load `load`, counted from 0, so that it can run on a system of its own.
    pub fn only(mut self, load: u32) -> Self {
        self.placements = self.placements.into_iter().skip((load / self.seeds) as usize).take(1).collect();
        self.options.seed = self.options.seed.wrapping_add(load % self.seeds);
        self.seeds = 1;
        self
    }

    /// Returns the results, one row for each placement.
    pub fn into_rows(self) -> Vec<Row> {
        self.rows
    }

    /// Adds rows of comparisons of single loads ([`Comparison::only`]), in the order of the loads.
    pub fn join(&mut self, rows: impl IntoIterator<Item = Row>) {
        for row in rows {
            match self.rows.last_mut().filter(|last| last.loads.len() < self.seeds as usize) {
                Some(last) => last.join(row),
                None => self.rows.push(row),
            }
        }
    }

    /// Returns the rows of the placements that have finished a load.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| !row.loads.is_empty())
    }

    /// Returns all pairs of placements, over the seeds that both have done.
    pub fn pairs(&self) -> impl Iterator<Item = Pair> {
        self.rows().enumerate().flat_map(|(place, row)| self.rows().skip(place + 1).map(|other| Pair::of(row, other)))
    }

    /// Returns the area.
    pub const fn area(&self) -> AreaId {
        self.options.area
    }

    /// Returns the line above the tables.
    pub fn title(&self, system: &System<'_>) -> String {
        let load::Options { area, ops, load, .. } = &self.options;
        let (area, seeds) = (system.area(*area), self.seeds);
        format!(
            "compare {load} on {} ({} pages): the same {seeds} seeds each, at most {ops} steps a seed.",
            area.name(),
            area.pages()
        )
    }

    /// Returns the placement of the latest load; empty before the first.
    pub fn placement(&self) -> &str {
        self.rows.last().map_or("", |row| row.placement.as_str())
    }
}

impl fmt::Display for Comparison {
    /// Writes the tables, then the records; ends in a newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Row::HEADING)?;
        for row in self.rows() {
            writeln!(f, "{row}")?;
        }
        for row in self.rows() {
            if let Some(moves) = row.moves() {
                writeln!(f, "{}: {moves}", row.placement())?;
            }
        }
        if self.pairs().next().is_some() {
            writeln!(f, "{}", Pair::HEADING)?;
        }
        for pair in self.pairs() {
            writeln!(f, "{pair}")?;
        }
        for row in self.rows() {
            writeln!(f, "{}", row.record())?;
        }
        for pair in self.pairs() {
            writeln!(f, "{}", pair.record())?;
        }
        for record in self.rows().flat_map(Row::seed_records) {
            writeln!(f, "{record}")?;
        }
        Ok(())
    }
}

/// Two placements compared seed by seed. The better one survives where the other fails, or fails
/// after more allocations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pair {
    /// The first placement.
    pub placement: String,
    /// The one that it is compared with.
    pub other: String,
    /// Seeds in which the first is better.
    pub better: u32,
    /// Seeds in which the other one is better.
    pub worse: u32,
    /// Seeds in which neither one is better.
    pub equal: u32,
}

impl Pair {
    /// The heading above the pairs.
    pub const HEADING: &'static str = "placement       compared with   better  worse  equal  p (permille)";

    fn of(row: &Row, other: &Row) -> Self {
        let mut pair =
            Self { placement: row.placement.clone(), other: other.placement.clone(), better: 0, worse: 0, equal: 0 };
        for (one, another) in row.loads.iter().zip(&other.loads) {
            let count = match one.lasted().cmp(&another.lasted()) {
                Ordering::Greater => &mut pair.better,
                Ordering::Less => &mut pair.worse,
                Ordering::Equal => &mut pair.equal,
            };
            *count += 1;
        }
        pair
    }

    /// Returns the probability of a difference at least as large, in either direction, if neither
    /// placement is better.
    pub fn p_permille(&self) -> u32 {
        sign_test_permille(self.better, self.worse)
    }

    /// Returns the record.
    pub fn record(&self) -> Record {
        Record::new("pair")
            .string("placement", &self.placement)
            .string("other", &self.other)
            .number("better", self.better)
            .number("worse", self.worse)
            .number("equal", self.equal)
            .number("p_permille", self.p_permille())
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { placement, other, better, worse, equal } = self;
        write!(f, "{placement:<16}{other:<16}{better:>6} {worse:>6} {equal:>6} {:>13}", self.p_permille())
    }
}

impl Load {
    /// Returns the value to compare: all loads that survived are equal.
    fn lasted(&self) -> (bool, u64) {
        if self.failed { (false, self.allocs) } else { (true, 0) }
    }
}

impl Row {
    /// The heading above the rows.
    pub const HEADING: &'static str =
        "placement       survived       min        q1    median        q3       max  used% longest  ns/alloc";

    /// Makes a row without loads, for the area's current placement.
    fn of<M: Machine + ?Sized>(system: &System<'_>, machine: &M, options: &load::Options) -> Self {
        let area = system.area(options.area);
        Self {
            area: area.name().into(),
            pages: area.pages(),
            placement: area.placement().label(),
            options: options.clone(),
            loads: Vec::new(),
            moves: None,
            alloc: Timing::default(),
            cost: ClockCost::measure(machine),
        }
    }

    /// Adds the result of a load.
    fn include(&mut self, report: &load::RoundReport) {
        if let Some(moves) = &report.moves {
            self.moves.get_or_insert_default().include(moves);
        }
        self.loads.push(Load {
            failed: report.failure.is_some(),
            allocs: report.allocs,
            used: report.metrics.used,
            longest: report.metrics.longest,
        });
        let Timings { alloc, cost, .. } = report.timings();
        self.alloc.include(alloc);
        self.cost = cost;
    }

    /// Adds the loads of another row for this placement.
    fn join(&mut self, other: Self) {
        if let Some(moves) = &other.moves {
            self.moves.get_or_insert_default().include(moves);
        }
        self.loads.extend(other.loads);
        self.alloc.include(other.alloc);
        self.cost = other.cost;
    }

    /// Returns the number of loads that did all their steps without a failure.
    pub fn survived(&self) -> u32 {
        self.loads.iter().filter(|load| !load.failed).count() as u32
    }

    /// Returns minimum, quartiles and maximum of `value`, over the loads that `which` selects.
    fn quartiles(&self, value: impl Fn(&Load) -> u64, which: impl Fn(&Load) -> bool) -> [u64; 5] {
        let mut values: Vec<u64> = self.loads.iter().filter(|load| which(load)).map(value).collect();
        values.sort_unstable();
        core::array::from_fn(|quartile| quantile(&values, quartile))
    }

    fn allocs(&self) -> [u64; 5] {
        self.quartiles(|load| load.allocs, |_| true)
    }

    /// Returns the medians of the used pages and of the longest free run at the failure, or at the
    /// end if no load failed.
    fn at_failure(&self) -> (u64, u64) {
        let none_failed = self.survived() as usize == self.loads.len();
        let which = |load: &Load| load.failed || none_failed;
        (self.quartiles(|load| load.used.into(), which)[2], self.quartiles(|load| load.longest.into(), which)[2])
    }

    /// Returns the record.
    pub fn record(&self) -> Record {
        let [min, q1, median, q3, max] = self.allocs();
        let (used, longest) = self.at_failure();
        let record = Record::new("compare")
            .string("placement", &self.placement)
            .number("seeds", self.loads.len() as u64)
            .number("survived", self.survived())
            .number("allocs_min", min)
            .number("allocs_q1", q1)
            .number("allocs_median", median)
            .number("allocs_q3", q3)
            .number("allocs_max", max)
            .number("used_median", used)
            .number("maxchunk_median", longest)
            .number("alloc_ns", self.alloc.mean_ns(self.cost))
            .string("area", &self.area)
            .number("pages", self.pages)
            .display("align", self.options.align)
            .string("rng", self.options.rng)
            .number("seed", self.options.seed)
            .number("ops", self.options.ops);
        let load = &self.options.load;
        let record = load.record(record.string("load", load.name()));
        let record = record.display("scale", load.scale()).number("timed", self.options.timed);
        Moves::record(self.moves.as_ref(), record)
    }

    /// Returns one record for each load, that is, for each seed.
    pub fn seed_records(&self) -> impl Iterator<Item = Record> {
        self.loads.iter().enumerate().map(|(place, load)| {
            Record::new("seed")
                .string("placement", &self.placement)
                .number("seed", self.options.seed.wrapping_add(place as u32))
                .number("allocs", load.allocs)
                .number("survived", u32::from(!load.failed))
                .number("used", load.used)
                .number("maxchunk", load.longest)
                .string("load", self.options.load.name())
                .string("area", &self.area)
        })
    }

    /// Returns the relocations in all of its loads, if the placement relocates.
    pub fn moves(&self) -> Option<&Moves> {
        self.moves.as_ref()
    }

    /// Returns the placement's name.
    pub fn placement(&self) -> &str {
        &self.placement
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [min, q1, median, q3, max] = self.allocs();
        let (used, longest) = self.at_failure();
        let percent = used * 100 / u64::from(self.pages.max(1));
        let (mut name, seeds, survived) = (&*self.placement, self.loads.len(), self.survived());
        if name.len() > NAME_COLUMNS {
            // The figures are in the next line.
            writeln!(f, "{name}")?;
            name = "";
        }
        write!(
            f,
            "{name:<NAME_COLUMNS$}{:>8} {min:>9} {q1:>9} {median:>9} {q3:>9} {max:>9} {percent:>5}% {longest:>7} {:>9}",
            format!("{survived}/{seeds}"),
            self.alloc.mean_ns(self.cost)
        )
    }
}

/// Returns a quartile of sorted values, interpolated between two of them and rounded down.
fn quantile(sorted: &[u64], quarters: usize) -> u64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0 };
    let (at, rest) = (last * quarters / 4, (last * quarters % 4) as u64);
    let (here, next) = (sorted[at], sorted[last.min(at + 1)]);
    here + (u128::from(next - here) * u128::from(rest) / 4) as u64
}

#[cfg(test)]
mod tests;
