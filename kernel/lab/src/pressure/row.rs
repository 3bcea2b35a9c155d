// SPDX-License-Identifier: MIT OR Apache-2.0

//! Result of a run: a line of a table, and a record.

use alloc::string::String;
use core::fmt;

use super::super::record::{Record, permille};
use super::super::stopwatch::ClockCost;
use super::Options;
use cma::{AreaId, CmaError};
use machine::Machine;
use migration::contig_range::{ContigReport, Phase};
use migration::live::Live;
use page_alloc::AllocError;
use page_alloc::policy::{CmaUse, Lend};
use system::System;
use units::Pfn;

/// Reason why a driver did not get its buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The area failed.
    Cma(CmaError),
    /// The page allocator failed.
    Buddy(AllocError),
}

impl Refusal {
    /// Returns the name for records.
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::Cma(error) => error.cause(),
            Self::Buddy(AllocError::OrderTooLarge { .. } | AllocError::NotRequestable { .. }) => "too-large",
            Self::Buddy(AllocError::NoBlock { .. }) => "fragmented",
        }
    }

    /// Returns the page that blocked the allocation, if one did.
    pub const fn blocked(&self) -> Option<Pfn> {
        match self {
            Self::Cma(CmaError::Busy(blocked) | CmaError::NoMemory(blocked)) => Some(blocked.frame),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cma(error) => error.fmt(f),
            Self::Buddy(error) => error.fmt(f),
        }
    }
}

/// Sums over the allocations of a run.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Totals {
    /// Calls, including those that failed.
    pub calls: u32,
    /// Calls that failed.
    pub failed: u32,
    /// The first failure.
    pub failure: Option<Refusal>,
    /// Shortest call in ns, including the cost of the clock.
    min_ns: u64,
    /// Longest call.
    max_ns: u64,
    sum_ns: u64,
    phase_ns: [u64; Phase::ALL.len()],
}

impl Totals {
    /// Adds one call.
    pub fn add(&mut self, span_ns: u64, report: &ContigReport, error: Option<Refusal>) {
        self.min_ns = if self.calls == 0 { span_ns } else { self.min_ns.min(span_ns) };
        self.max_ns = self.max_ns.max(span_ns);
        self.sum_ns += span_ns;
        self.calls += 1;
        if let Some(error) = error {
            self.failed += 1;
            self.failure.get_or_insert(error);
        }
        for (sum, phase_ns) in self.phase_ns.iter_mut().zip(report.phase_ns) {
            *sum += phase_ns;
        }
    }

    /// Returns the time that all calls spent in a phase.
    pub const fn phase_sum_ns(&self, phase: Phase) -> u64 {
        self.phase_ns[phase as usize]
    }

    fn mean(&self, sum_ns: u64) -> u64 {
        sum_ns.checked_div(u64::from(self.calls)).unwrap_or(0)
    }
}

/// Result of one run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Name of the experiment.
    pub experiment: &'static str,
    /// The area's name.
    pub area: String,
    /// `cma_use=`
    pub cma_use: &'static str,
    /// `lend=`
    pub lend: &'static str,
    /// Source of the buffer.
    pub source: &'static str,
    /// Kind of pages that filled memory.
    pub with: &'static str,
    /// Pages of a buffer.
    pub pages: u32,
    /// Pages that filled memory.
    pub fill_pages: u32,
    /// Pinned pages.
    pub pins: u32,
    /// Sums over the allocations.
    pub totals: Totals,
    /// Pages migrated.
    pub migrated: u64,
    /// Pages reclaimed, for allocations and in the background.
    pub reclaimed: u64,
    /// Processes killed.
    pub oom_kills: u64,
    /// Free CMA pages at the first kill.
    pub cma_free_at_kill: u32,
    /// Mean free CMA pages before requests, with a reserved buffer's; in `underuse`, those at the
    /// end.
    pub unused_pages: u32,
    /// Pages whose content was wrong.
    pub bad_pages: u32,
    /// True if Ctrl-C ended the run early.
    pub interrupted: bool,
    /// Time of the whole run, ns.
    pub load_ns: u64,
    /// Cost of reading the clock, ns.
    pub clock_ns: u64,
}

impl Row {
    /// Makes the row of an experiment on an area, with all counts 0.
    pub fn begin<M: Machine + ?Sized>(
        experiment: &'static str,
        system: &System<'_>,
        machine: &M,
        area: AreaId,
    ) -> Self {
        Self::new(experiment, system.area(area).name().into(), ClockCost::measure(machine))
    }

    /// Makes the row of an experiment with processes and cache in the area, under `policy`. Returns
    /// also the kinds of pages that may enter it.
    pub(super) fn begin_mixed<M: Machine + ?Sized>(
        experiment: &'static str,
        system: &System<'_>,
        machine: &M,
        options: &Options,
        policy: CmaUse,
    ) -> (Self, Lend) {
        let lend = options.lend.unwrap_or(Lend::Movable);
        let row = Self::begin(experiment, system, machine, options.area);
        (Self { cma_use: policy.name(), lend: lend.name(), with: "mixed", ..row }, lend)
    }

    /// Copies the counters of the users of memory.
    pub fn take_in(&mut self, live: &Live) {
        let stats = &live.stats;
        (self.migrated, self.reclaimed, self.oom_kills) = (stats.migrated, stats.reclaimed(), stats.oom_kills);
    }

    /// Makes a row whose counts are 0.
    pub fn new(experiment: &'static str, area: String, cost: ClockCost) -> Self {
        Self {
            experiment,
            area,
            cma_use: "",
            lend: "",
            source: "cma",
            with: "",
            pages: 0,
            fill_pages: 0,
            pins: 0,
            totals: Totals::default(),
            migrated: 0,
            reclaimed: 0,
            oom_kills: 0,
            cma_free_at_kill: 0,
            unused_pages: 0,
            bad_pages: 0,
            interrupted: false,
            load_ns: 0,
            clock_ns: cost.reading_ns(),
        }
    }

    /// Returns the share of the run's time that was spent in migration.
    pub fn migrate_permille(&self) -> u64 {
        (self.totals.phase_sum_ns(Phase::Migrate) * 1000).checked_div(self.load_ns).unwrap_or(0)
    }

    /// Returns the share of the calls that succeeded.
    pub fn success_permille(&self) -> u32 {
        permille(self.totals.calls - self.totals.failed, self.totals.calls)
    }

    /// Returns the shortest, mean and longest call, without the cost of the clock.
    pub fn latency_ns(&self) -> [u64; 3] {
        let totals = &self.totals;
        [totals.min_ns, totals.mean(totals.sum_ns), totals.max_ns].map(|ns| ns.saturating_sub(self.clock_ns))
    }

    /// Returns the record. Times of phases are means over all calls.
    pub fn record(&self) -> Record {
        let totals = &self.totals;
        let [min_ns, mean_ns, max_ns] = self.latency_ns();
        let mut record = Record::new("pressure")
            .string("experiment", self.experiment)
            .string("cma_use", self.cma_use)
            .string("lend", self.lend)
            .number("pages", self.pages)
            .number("fill_pages", self.fill_pages)
            .number("allocs", totals.calls - totals.failed)
            .number("failed", totals.failed)
            .number("migrated", self.migrated)
            .number("reclaimed", self.reclaimed)
            .number("oom_kills", self.oom_kills)
            .number("bad_pages", self.bad_pages);
        for phase in Phase::ALL {
            let name = match phase {
                Phase::Search => "search_ns",
                Phase::Isolate => "isolate_ns",
                Phase::Drain => "drain_ns",
                Phase::Migrate => "migrate_ns",
                Phase::Reclaim => "reclaim_ns",
                Phase::Test => "test_ns",
                Phase::Grab => "grab_ns",
                Phase::Undo => "undo_ns",
            };
            record = record.number(name, totals.mean(totals.phase_sum_ns(phase)));
        }
        record
            .number("migrate_permille", self.migrate_permille())
            .string("area", &self.area)
            .string("source", self.source)
            .string("with", self.with)
            .number("pins", self.pins)
            .number("min_ns", min_ns)
            .number("mean_ns", mean_ns)
            .number("max_ns", max_ns)
            .number("success_permille", self.success_permille())
            .number("cma_free_at_kill", self.cma_free_at_kill)
            .number("unused_pages", self.unused_pages)
            .number("blocked_pfn", self.totals.failure.as_ref().and_then(Refusal::blocked).map_or(0, |frame| frame.0))
            .string("cause", self.totals.failure.as_ref().map_or("none", Refusal::cause))
    }

    /// The heading of the table.
    pub const HEADING: &'static str =
        "experiment  source   cma_use  lend    with     pins  pages    ok/all    min ns    mean ns     max ns";
}

impl fmt::Display for Row {
    /// Writes a line of the table and a line of counts, then the phases if there are times, and the
    /// first failure.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = &self.totals;
        let [min_ns, mean_ns, max_ns] = self.latency_ns();
        writeln!(
            f,
            "{:<11} {:<8} {:<8} {:<7} {:<8} {:>4} {:>6} {:>4}/{:<4} {min_ns:>9} {mean_ns:>10} {max_ns:>10}",
            self.experiment,
            self.source,
            self.cma_use,
            self.lend,
            self.with,
            self.pins,
            self.pages,
            totals.calls - totals.failed,
            totals.calls
        )?;
        write!(
            f,
            "  migrated {}, reclaimed {}, OOM kills {}, cma-free {}, unused {}, bad {}",
            self.migrated, self.reclaimed, self.oom_kills, self.cma_free_at_kill, self.unused_pages, self.bad_pages
        )?;
        if totals.phase_sum_ns(Phase::Isolate) > 0 {
            writeln!(f, "; {} permille of the run in migration", self.migrate_permille())?;
            // Two lines: one would be wider than a table may be.
            for (place, phase) in Phase::ALL.into_iter().enumerate() {
                let before = match place {
                    0 => "  mean ns: ",
                    4 => "\n           ",
                    _ => ", ",
                };
                write!(f, "{before}{} {}", phase.name(), totals.mean(totals.phase_sum_ns(phase)))?;
            }
        }
        writeln!(f)?;
        match &totals.failure {
            Some(error) => writeln!(f, "  first failure: {error}"),
            None => Ok(()),
        }
    }
}
