// SPDX-License-Identifier: MIT OR Apache-2.0

//! Benchmarks of single operations, on the real areas and the real zone. Each leaves them as it
//! found them.
//!
//! [`names`] lists them; [`run`] runs one. What each does is in the module of its group: `area` has
//! the loads on one area, `search` the searches that find nothing, `live` areas that somebody lives
//! in, `dma` the DMA API, `growth` one load on areas of every size, `buddy` the page allocator;
//! [`Memory`] is not timed but counted. A benchmark asks for the area it needs by size, and says so
//! where there is none: no single device tree has them all.
//!
//! The way of a figure: a call is timed by the `stopwatch` → [`Measurement`] → its record → the
//! host, which puts it into a table beside Linux's.

#[cfg(test)]
mod tests;

use core::fmt;

use super::fingerprint::Fingerprint;
use super::record::Record;
use super::replay::ReplayError;
use super::stopwatch::{ClockCost, Timing, Timings};
use ::dma::DmaError;
use cma::{AreaId, CmaError, ReleaseError};
use machine::Machine;
pub use memory::Memory;
use migration::live::{LiveError, OpenError};
use page_alloc::AllocError;
use system::System;
use units::table;

table! {
    /// Every benchmark, in the order of the table.
    benchmarks<M: Machine>: [Benchmark<M>] =
        boot,
        area,
        search,
        buddy,
        live,
        dma,
        growth,
        memory,
        #[cfg(test)] example,
}

/// A benchmark.
struct Benchmark<M: ?Sized> {
    /// Its name. What stands before a `/` is its group.
    name: &'static str,
    run: Run<M>,
}

/// What a benchmark does.
enum Run<M: ?Sized> {
    /// It times calls, and makes a [`Measurement`] of its own name.
    Calls(fn(&mut System<'_>, &mut M, &Setting<'_>, &'static str) -> Result<Measurement, BenchError>),
    /// It counts memory.
    Memory(fn(&System<'_>) -> Memory),
}

/// The names of all benchmarks.
pub fn names<M: Machine + ?Sized>() -> impl Iterator<Item = &'static str> + Clone {
    benchmarks::<M>().iter().map(|benchmark| benchmark.name)
}

/// Pages of a MiB.
const MIB_PAGES: u32 = 256;
/// Pages of the large area that some benchmarks are about.
const LARGE_PAGES: u32 = 512 * MIB_PAGES;

/// What the benchmarks are told about the boot they run in.
#[derive(Clone, Copy, Default)]
pub struct Setting<'s> {
    /// The area to use where its size does not matter.
    pub preferred: Option<AreaId>,
    /// Areas that somebody else works on, which are left alone, also when they are empty.
    pub taken: &'s [AreaId],
    /// Time from the kernel's first instruction to the first command.
    pub ns_to_ready: u64,
    /// The trace that `big-area` replays.
    pub trace: Option<&'s [u8]>,
}

/// What a benchmark found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// How long calls took.
    Time(Measurement),
    /// How much memory there is and how much is taken to manage it.
    Memory(Memory),
}

/// How long the calls of a benchmark took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Measurement {
    /// The benchmark.
    pub name: &'static str,
    /// The calls that the benchmark is about.
    pub op: Cost,
    /// Giving back what they took.
    pub release: Option<Cost>,
    /// How many of the calls failed, on purpose or not.
    pub failed: u64,
    /// Pages of the area it ran on.
    pub area_pages: Option<u32>,
    /// Where a trace's requests were placed.
    pub placements: Option<Fingerprint>,
}

/// A kind of call, net of reading the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cost {
    /// How many there were.
    pub calls: u64,
    /// Mean time of one.
    pub mean_ns: u64,
    /// What 999 of 1,000 took at most.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// Why a benchmark did not run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BenchError {
    /// There is no such benchmark.
    Unknown,
    /// No area is empty and of the right size.
    NoArea(Need),
    /// There is no trace to replay.
    NoTrace,
    /// The trace could not be replayed.
    Replay(ReplayError),
    /// The area refused a request that it has room for.
    Cma(CmaError),
    /// A request was served that no room had been left for.
    Served,
    /// The page allocator refused.
    Buddy(AllocError),
    /// So many blocks of one order are free that they cannot be put aside.
    Scattered {
        /// The order.
        order: u32,
    },
    /// The kernel heap has no room to remember the buffers in.
    NoHeap,
    /// A release was refused: the accounting is wrong.
    Release(ReleaseError),
    /// Nobody could move into memory.
    Open(OpenError),
    /// Those who fill memory could not.
    Live(LiveError),
    /// The DMA API refused.
    Dma(DmaError),
    /// Ctrl-C.
    Interrupted,
}

/// How large an area a benchmark runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// So many pages or more.
    AtLeast(u32),
    /// So many pages.
    Exactly(u32),
}

impl Need {
    /// Whether an area of `pages` pages is large enough.
    pub const fn is_met_by(self, pages: u32) -> bool {
        match self {
            Self::AtLeast(least) => pages >= least,
            Self::Exactly(exactly) => pages == exactly,
        }
    }

    /// The area that will do: the preferred one, or the first.
    fn find(self, system: &System<'_>, setting: &Setting<'_>) -> Result<AreaId, BenchError> {
        let is_free = |id: &AreaId| system.area(*id).used_pages() == 0 && !setting.taken.contains(id);
        let mut areas = setting.preferred.into_iter().chain(system.area_ids());
        areas.find(|id| is_free(id) && self.is_met_by(system.area(*id).pages())).ok_or(BenchError::NoArea(self))
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(pages) => write!(f, "an empty area of {pages} pages or more"),
            Self::Exactly(pages) => write!(f, "an empty area of {pages} pages"),
        }
    }
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("no such benchmark"),
            Self::NoArea(need) => {
                write!(f, "needs {need}; `make bench` boots with one of each size")
            }
            Self::NoTrace => f.write_str("needs a trace; boot with one as the initrd (-initrd FILE)"),
            Self::Replay(error) => error.fmt(f),
            Self::Cma(error) => error.fmt(f),
            Self::Served => f.write_str("a request was served that there was no room for"),
            Self::Buddy(error) => error.fmt(f),
            Self::Scattered { order } => write!(
                f,
                "too many free blocks of order {order} to put aside; raise MAX_ASIDE, or run it right after boot"
            ),
            Self::NoHeap => f.write_str("the kernel heap has no room for the load's slots"),
            Self::Release(error) => error.fmt(f),
            Self::Open(error) => error.fmt(f),
            Self::Live(error) => error.fmt(f),
            Self::Dma(error) => error.fmt(f),
            Self::Interrupted => f.write_str("stopped by Ctrl-C"),
        }
    }
}

impl From<CmaError> for BenchError {
    fn from(error: CmaError) -> Self {
        Self::Cma(error)
    }
}

impl From<AllocError> for BenchError {
    fn from(error: AllocError) -> Self {
        Self::Buddy(error)
    }
}

impl From<ReleaseError> for BenchError {
    fn from(error: ReleaseError) -> Self {
        Self::Release(error)
    }
}

impl From<OpenError> for BenchError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<LiveError> for BenchError {
    fn from(error: LiveError) -> Self {
        Self::Live(error)
    }
}

impl From<DmaError> for BenchError {
    fn from(error: DmaError) -> Self {
        Self::Dma(error)
    }
}

/// Looks for a Ctrl-C, before a call that is timed.
fn heed<M: Machine + ?Sized>(machine: &M) -> Result<(), BenchError> {
    if machine.interrupted() { Err(BenchError::Interrupted) } else { Ok(()) }
}

impl BenchError {
    /// True where the machine lacks what the benchmark needs (an area, a trace, memory), and
    /// nothing is wrong.
    pub const fn is_lack(&self) -> bool {
        matches!(self, Self::NoArea(_) | Self::NoTrace | Self::NoHeap | Self::Buddy(_) | Self::Open(_))
    }
}

/// The benchmarks that a word means: one by its name, or a group by what its names begin with
/// (`cma` for `cma/1` and so on).
pub fn named<M: Machine + ?Sized>(word: &str) -> impl Iterator<Item = &'static str> {
    let in_group =
        move |name: &str| name.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    names::<M>().filter(move |name| in_group(name))
}

/// Runs one benchmark.
///
/// # Errors
/// See [`BenchError`]. The system is as it was all the same, unless the accounting is wrong.
pub fn run<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &mut M,
    name: &str,
    setting: &Setting<'_>,
) -> Result<Answer, BenchError> {
    let benchmark = benchmarks::<M>().iter().find(|known| known.name == name).ok_or(BenchError::Unknown)?;
    match benchmark.run {
        Run::Calls(run) => run(system, machine, setting, benchmark.name).map(Answer::Time),
        Run::Memory(count) => Ok(Answer::Memory(count(system))),
    }
}

impl Cost {
    fn of(timing: Timing, cost: ClockCost) -> Self {
        Self {
            calls: timing.calls(),
            mean_ns: timing.mean_ns(cost),
            p999_ns: timing.p999_ns(cost),
            max_ns: timing.max_ns(cost),
        }
    }
}

impl Measurement {
    const fn new(name: &'static str, op: Cost) -> Self {
        Self { name, op, release: None, failed: 0, area_pages: None, placements: None }
    }

    /// Allocations and releases on an area.
    fn on_area(
        name: &'static str,
        system: &System<'_>,
        area: AreaId,
        Timings { alloc, release, cost }: Timings,
    ) -> Self {
        Self {
            release: Some(Cost::of(release, cost)),
            area_pages: Some(system.area(area).pages()),
            ..Self::new(name, Cost::of(alloc, cost))
        }
    }
}

impl Answer {
    /// The heading that answers stand under.
    pub const HEADING: &'static str = "benchmark              reps      ns/op     max ns  ns/release     max ns";

    /// The record.
    pub fn record(&self) -> Record {
        let measurement = match self {
            Self::Time(measurement) => measurement,
            Self::Memory(memory) => return memory.record(),
        };
        let Measurement { name, op, release, failed, area_pages, placements } = measurement;
        let mut record = Record::new("bench")
            .string("name", name)
            .number("reps", op.calls)
            .number("ns_per_op", op.mean_ns)
            .number("p999_ns", op.p999_ns)
            .number("max_ns", op.max_ns);
        if let Some(release) = release {
            record = record
                .number("release_ns", release.mean_ns)
                .number("release_p999_ns", release.p999_ns)
                .number("release_max_ns", release.max_ns)
                .number("releases", release.calls);
        }
        if let Some(area_pages) = area_pages {
            record = record.number("area_pages", *area_pages).number("failed", *failed);
        }
        match placements {
            Some(placements) => record.display("placement_fnv1a", placements),
            None => record,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measurement = match self {
            Self::Time(measurement) => measurement,
            Self::Memory(memory) => return memory.fmt(f),
        };
        let Measurement { name, op, release, .. } = measurement;
        write!(f, "{name:<17} {:>9} {:>10} {:>10}", op.calls, op.mean_ns, op.max_ns)?;
        match release {
            Some(release) => write!(f, " {:>11} {:>10}", release.mean_ns, release.max_ns),
            None => Ok(()),
        }
    }
}
