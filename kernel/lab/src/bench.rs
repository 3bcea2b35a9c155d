// SPDX-License-Identifier: MIT OR Apache-2.0

//! Benchmarks of single operations, on the real areas and the real zone. Each restores the state
//! that it found.
//!
//! [`names`] lists them; [`run`] runs one. Each group has a module: `area`, loads on one area;
//! `search`, searches that find nothing; `live`, areas with pages in use; `dma`, the DMA API;
//! `growth`, one load on areas of every size; `buddy`, the page allocator; [`Memory`] is counted,
//! not timed. A benchmark needs an area of some size, and fails with [`BenchError::NoArea`] if
//! there is none: no single device tree has all sizes.
//!
//! A figure passes from the `stopwatch` to a [`Measurement`], to its record, and to the host, which
//! puts it into a table beside Linux's.

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
    /// All benchmarks, in the order of the table.
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
    /// The name; the part before a `/` is the group.
    name: &'static str,
    run: Run<M>,
}

/// The function of a benchmark.
enum Run<M: ?Sized> {
    /// Times calls, and returns a [`Measurement`] under the name that it gets.
    Calls(fn(&mut System<'_>, &mut M, &Setting<'_>, &'static str) -> Result<Measurement, BenchError>),
    /// Counts memory.
    Memory(fn(&System<'_>) -> Memory),
}

/// Returns the names of all benchmarks.
pub fn names<M: Machine + ?Sized>() -> impl Iterator<Item = &'static str> + Clone {
    benchmarks::<M>().iter().map(|benchmark| benchmark.name)
}

/// Pages in a MiB.
const MIB_PAGES: u32 = 256;
/// Pages of the large area that some benchmarks need.
const LARGE_PAGES: u32 = 512 * MIB_PAGES;

/// Parameters of the benchmarks that come from the boot.
#[derive(Clone, Copy, Default)]
pub struct Setting<'s> {
    /// The area to try first.
    pub preferred: Option<AreaId>,
    /// Areas that other jobs use: not to be used, even if they are empty.
    pub taken: &'s [AreaId],
    /// Time from the kernel's first instruction to the first command.
    pub ns_to_ready: u64,
    /// The trace that `big-area` replays.
    pub trace: Option<&'s [u8]>,
}

/// The result of a benchmark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Times of calls.
    Time(Measurement),
    /// Memory that exists, and memory taken to manage it.
    Memory(Memory),
}

/// Times of the calls of a benchmark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Measurement {
    /// The benchmark.
    pub name: &'static str,
    /// The calls that the benchmark measures.
    pub op: Cost,
    /// The releases of what they allocated.
    pub release: Option<Cost>,
    /// Number of calls that failed, on purpose or not.
    pub failed: u64,
    /// Pages of the area that it ran on.
    pub area_pages: Option<u32>,
    /// Fingerprint of the placements of a trace's requests.
    pub placements: Option<Fingerprint>,
}

/// Times of one kind of call, without the cost of reading the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cost {
    /// Number of calls.
    pub calls: u64,
    /// Mean time of a call.
    pub mean_ns: u64,
    /// Upper bound of the time of 999 in 1,000 calls.
    pub p999_ns: u64,
    /// Longest time of a call.
    pub max_ns: u64,
}

/// Reason why a benchmark did not run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BenchError {
    /// The name is not that of a benchmark.
    Unknown,
    /// No area that may be used has the right size and is empty.
    NoArea(Need),
    /// There is no trace to replay.
    NoTrace,
    /// The trace could not be replayed.
    Replay(ReplayError),
    /// The area refused a request that it has room for.
    Cma(CmaError),
    /// A request succeeded for which no room had been left.
    Served,
    /// The page allocator refused a request.
    Buddy(AllocError),
    /// Too many blocks of one order are free to set them aside.
    Scattered {
        /// The order.
        order: u32,
    },
    /// The kernel heap has no room to record the buffers.
    NoHeap,
    /// A release was refused: the accounting is wrong.
    Release(ReleaseError),
    /// The users of memory could not be opened.
    Open(OpenError),
    /// Filling memory failed.
    Live(LiveError),
    /// The DMA API refused a request.
    Dma(DmaError),
    /// Ctrl-C was pressed.
    Interrupted,
}

/// Size of the area that a benchmark runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// This number of pages or more.
    AtLeast(u32),
    /// Exactly this number of pages.
    Exactly(u32),
}

impl Need {
    /// True if an area of `pages` pages has the right size.
    pub const fn is_met_by(self, pages: u32) -> bool {
        match self {
            Self::AtLeast(least) => pages >= least,
            Self::Exactly(exactly) => pages == exactly,
        }
    }

    /// Returns the preferred area if it is suitable and empty, otherwise the first that is.
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

/// Fails if Ctrl-C was pressed; called before a timed call.
fn heed<M: Machine + ?Sized>(machine: &M) -> Result<(), BenchError> {
    if machine.interrupted() { Err(BenchError::Interrupted) } else { Ok(()) }
}

impl BenchError {
    /// True if the machine only lacks what the benchmark needs (an area, a trace, memory): not a
    /// fault.
    pub const fn is_lack(&self) -> bool {
        matches!(self, Self::NoArea(_) | Self::NoTrace | Self::NoHeap | Self::Buddy(_) | Self::Open(_))
    }
}

/// Returns the benchmarks that `word` names: one by its full name, or a group by its prefix (`cma`
/// for `cma/1` and so on).
pub fn named<M: Machine + ?Sized>(word: &str) -> impl Iterator<Item = &'static str> {
    let in_group =
        move |name: &str| name.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    names::<M>().filter(move |name| in_group(name))
}

/// Runs the benchmark `name`.
///
/// # Errors
/// See [`BenchError`]. The system is restored in this case too, unless the accounting is wrong.
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

    /// Makes the measurement of allocations and releases on an area.
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
    /// The heading above the answers.
    pub const HEADING: &'static str = "benchmark              reps      ns/op     max ns  ns/release     max ns";

    /// Returns the record.
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
