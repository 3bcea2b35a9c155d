//! Small benchmarks of single operations, on the real areas and the real zone. Each leaves them as it found them.

use core::fmt;

use super::debris;
use super::live_bench::{self, Filling};
use super::record::Record;
use super::request::Align;
use super::stopwatch::{ClockCost, Timing};
use crate::cma::{AreaId, CmaError, ReleaseError, align_order_of};
use crate::machine::Machine;
use crate::mm::live::{LiveError, OpenError};
use crate::mm::{AllocError, Migratetype};
use crate::system::System;

/// Every benchmark, in the order of the table.
pub const NAMES: [&str; 11] = [
    "cma/1",
    "cma/64",
    "cma/2048",
    "debris",
    "buddy/0",
    "buddy/9",
    "cma/1-full",
    "migrate/1",
    "reclaim/clean",
    "empty-area",
    "boot",
];

/// Pages that an area needs to be measured on.
pub const AREA_PAGES: u32 = 2048;

const REPS: u32 = 1000;

/// One line of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Measurement {
    /// A name of [`NAMES`].
    pub name: &'static str,
    /// How often the operation ran.
    pub reps: u64,
    /// Mean time of one, net.
    pub ns_per_op: u64,
    /// The longest, net.
    pub max_ns: u64,
    /// Mean time of giving back what it took.
    pub release_ns: Option<u64>,
}

/// Why a benchmark did not run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BenchError {
    /// There is no such benchmark.
    Unknown,
    /// No area is empty and large enough.
    NoArea,
    /// The area refused a request that it has room for.
    Cma(CmaError),
    /// The page allocator refused.
    Buddy(AllocError),
    /// A release was refused: the books are wrong.
    Release(ReleaseError),
    /// Nobody could move into memory.
    Open(OpenError),
    /// Those who fill memory could not.
    Live(LiveError),
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => {
                f.write_str("no such benchmark; there are")?;
                NAMES.iter().try_for_each(|name| write!(f, " {name}"))
            }
            Self::NoArea => {
                write!(f, "needs an empty area of {AREA_PAGES} pages or more; `release all AREA` empties one")
            }
            Self::Cma(error) => error.fmt(f),
            Self::Buddy(error) => error.fmt(f),
            Self::Release(error) => error.fmt(f),
            Self::Open(error) => error.fmt(f),
            Self::Live(error) => error.fmt(f),
        }
    }
}

/// Runs one benchmark on the preferred area, or the first that will do.
///
/// # Errors
/// See [`BenchError`].
pub fn run<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &mut M,
    name: &str,
    preferred: Option<AreaId>,
    ns_to_ready: u64,
) -> Result<Measurement, BenchError> {
    let name = NAMES.into_iter().find(|&known| known == name).ok_or(BenchError::Unknown)?;
    match name {
        "cma/1" => cma(system, machine, name, preferred, 1),
        "cma/64" => cma(system, machine, name, preferred, 64),
        "cma/2048" => cma(system, machine, name, preferred, AREA_PAGES),
        "debris" => debris_load(system, machine, name, preferred),
        "buddy/0" => buddy(system, machine, name, 0),
        "buddy/9" => buddy(system, machine, name, 9),
        "cma/1-full" => live_bench::single_in_full_system(system, machine, name, empty_area(system, preferred)?),
        "migrate/1" => emptying(system, machine, name, preferred, Filling::Movable, true),
        "reclaim/clean" => emptying(system, machine, name, preferred, Filling::Clean, true),
        "empty-area" => emptying(system, machine, name, preferred, Filling::Movable, false),
        _ => Ok(Measurement { name, reps: 1, ns_per_op: ns_to_ready, max_ns: ns_to_ready, release_ns: None }),
    }
}

fn empty_area(system: &System<'_>, preferred: Option<AreaId>) -> Result<AreaId, BenchError> {
    preferred
        .into_iter()
        .chain(system.area_ids())
        .find(|&id| system.area(id).used_pages() == 0 && system.area(id).pages() >= AREA_PAGES)
        .ok_or(BenchError::NoArea)
}

fn emptying<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    name: &'static str,
    preferred: Option<AreaId>,
    filling: Filling,
    per_page: bool,
) -> Result<Measurement, BenchError> {
    let area = empty_area(system, preferred)?;
    live_bench::empty_area(system, machine, name, area, filling, per_page)
}

fn measurement(name: &'static str, alloc: Timing, release: Timing, cost: ClockCost) -> Measurement {
    Measurement {
        name,
        reps: alloc.calls(),
        ns_per_op: alloc.mean_ns(cost),
        max_ns: alloc.max_ns(cost),
        release_ns: Some(release.mean_ns(cost)),
    }
}

fn cma<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    name: &'static str,
    preferred: Option<AreaId>,
    pages: u32,
) -> Result<Measurement, BenchError> {
    let area = empty_area(system, preferred)?;
    let cost = ClockCost::measure(machine);
    let (mut alloc, mut release) = (Timing::default(), Timing::default());
    for _ in 0..REPS {
        let start_ns = machine.now_ns();
        let answer = system.cma_alloc(area, pages, align_order_of(pages));
        alloc.add(start_ns, machine.now_ns());
        let buffer = answer.map_err(BenchError::Cma)?;
        let start_ns = machine.now_ns();
        let answer = system.cma_release(buffer);
        release.add(start_ns, machine.now_ns());
        answer.map_err(BenchError::Release)?;
    }
    Ok(measurement(name, alloc, release, cost))
}

fn debris_load<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &mut M,
    name: &'static str,
    preferred: Option<AreaId>,
) -> Result<Measurement, BenchError> {
    let area = empty_area(system, preferred)?;
    let options = debris::Options {
        area,
        seed: debris::PUBLISHED_SEED,
        rng: "glibc",
        align: Align::Order,
        stop_at_failure: true,
        // As many as the published run has.
        ops: 33_238,
    };
    let report = debris::run_round(system, machine, &options, 1).map_err(BenchError::Release);
    system.release_all(area);
    let (alloc, release, cost) = report?.timings();
    Ok(measurement(name, alloc, release, cost))
}

fn buddy<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    name: &'static str,
    order: u32,
) -> Result<Measurement, BenchError> {
    let cost = ClockCost::measure(machine);
    let (mut alloc, mut free) = (Timing::default(), Timing::default());
    for _ in 0..REPS {
        let start_ns = machine.now_ns();
        // Movable requests change the type of no pageblock that has room for them.
        let answer = system.zone.alloc_pages(order, Migratetype::Movable);
        alloc.add(start_ns, machine.now_ns());
        let block = answer.map_err(BenchError::Buddy)?;
        let start_ns = machine.now_ns();
        system.zone.free_pages(block);
        free.add(start_ns, machine.now_ns());
    }
    Ok(measurement(name, alloc, free, cost))
}

impl Measurement {
    /// The heading that [`Measurement`]'s lines stand under.
    pub const HEADING: &'static str = "benchmark          reps      ns/op     max ns  ns/release";

    /// The record.
    pub fn record(&self) -> Record {
        let record = Record::new("bench")
            .string("name", self.name)
            .number("reps", self.reps)
            .number("ns_per_op", self.ns_per_op)
            .number("max_ns", self.max_ns);
        match self.release_ns {
            Some(release_ns) => record.number("release_ns", release_ns),
            None => record,
        }
    }
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<13} {:>9} {:>10} {:>10}", self.name, self.reps, self.ns_per_op, self.max_ns)?;
        match self.release_ns {
            Some(release_ns) => write!(f, " {release_ns:>11}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::with_board;

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn every_name_runs_and_restores() {
        with_board(64, |system, machine| {
            let before = system.zone.nr_free_pages();
            for name in NAMES {
                let measurement = run(system, machine, name, None, 77).expect("the areas are empty");
                assert_eq!(measurement.name, name);
                assert!(measurement.reps > 0);
                assert_eq!(system.zone.nr_free_pages(), before, "{name}");
                assert!(system.areas().iter().all(|area| area.used_pages() == 0), "{name}");
            }
            system.check().expect("the books balance");
            assert_eq!(run(system, machine, "cma", None, 0), Err(BenchError::Unknown));
            for id in system.area_ids() {
                let buffer = system.cma_alloc(id, 1, 0).expect("an empty area");
                system.keep(buffer);
            }
            assert_eq!(run(system, machine, "debris", None, 0), Err(BenchError::NoArea));
        });
    }
}
