// SPDX-License-Identifier: MIT OR Apache-2.0

//! Several concurrent callers of `cma_alloc` on one processor, interleaved in any given order.
//!
//! A caller makes requests one after the other ([`Plan`]). Each request is a chain of steps: the
//! search reserves bits ([`CmaSearch`](system::CmaSearch)), the mutex is taken if there is one, and
//! the range goes through the steps of `alloc_contig_range`
//! ([`ContigRange`](migration::contig_range::ContigRange)). At the end of each step a [`Scheduler`]
//! chooses the next caller, so that the same choices give the same run.
//!
//! Invariants: the accounting of the zone and of pages in use balances after every step; no page
//! belongs to two callers; a caller waits only for what another one holds; at the end everything is
//! released. The range always goes through all steps, even if it is free: Linux has no shorter way
//! either.
//!
//! With [`Setup::work`] the first caller's driver holds a mutex around its requests that work items
//! take, too. `lru_add_drain_all` waits for the item that has begun, so this lock order can
//! deadlock; the run then ends with [`Report::deadlock`].

mod engine;
mod filled;
mod plan;
mod schedule;
mod tally;
mod tasks;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::fmt;

use cma::{AreaId, CmaError, ReleaseError};
use engine::Run;
pub use filled::run_filled;
use migration::contig_range::{Blocked, Phase};
use migration::live::OpenError;
use page_alloc::Imbalance;
pub use plan::{Op, Plan};
pub use schedule::{Forced, RoundRobin, Scheduler, Seeded, Switch, every_schedule};
use system::System;
pub use tally::{Tally, WaitFor, Waits};
pub use tasks::{Tasks, TasksError, tasks_of};
use units::Pfn;
pub use units::linux::ContigLock as Lock;

/// Maximum number of callers: a mask of those that can run has a bit for each and for the worker.
pub const MAX_CALLERS: usize = 31;

/// The callers, and what is locked.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The areas that they allocate from.
    pub areas: Vec<AreaId>,
    /// Number of callers, up to [`MAX_CALLERS`].
    pub callers: usize,
    /// Their requests and releases.
    pub plan: Plan,
    /// The lock.
    pub lock: Lock,
    /// Work items that take the mutex which the first caller's driver holds around its requests;
    /// 0: there is no such mutex.
    pub work: u32,
}

/// The event of a step, for the list of a schedule's steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Did {
    /// It reserved the bits of a candidate that begins at this page.
    Reserved(Pfn),
    /// It took the mutex of the lock.
    Locked,
    /// It did a phase of `alloc_contig_range`.
    Went(Phase),
    /// The candidate was refused; the bits of the next one are reserved if there is one.
    Refused(Blocked, Option<Pfn>),
    /// Its request got the pages from this one on.
    Served(Pfn),
    /// Its request failed.
    Failed(CmaError),
    /// It released the buffer that begins at this page.
    Released(Pfn),
    /// It had no buffer to release.
    NothingToRelease,
    /// It took its driver's mutex.
    DriverLocked,
    /// The worker began an item.
    WorkBegun,
    /// The item took the driver's mutex.
    WorkHolds,
    /// The item ended, and released the mutex.
    WorkDone,
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved(first) => write!(f, "reserves the bits of the range at pfn {:#x}", first.0),
            Self::Locked => f.write_str("takes the mutex"),
            Self::Went(phase) => f.write_str(phase.name()),
            Self::Refused(blocked, None) => write!(f, "-EBUSY ({}), no candidate is left", blocked.why),
            Self::Refused(blocked, Some(next)) => {
                write!(f, "-EBUSY ({}), reserves the bits of the range at pfn {:#x}", blocked.why, next.0)
            }
            Self::Served(first) => write!(f, "has the pages from pfn {:#x} on", first.0),
            Self::Failed(error) => write!(f, "fails: {error}"),
            Self::Released(first) => write!(f, "gives the pages from pfn {:#x} on back", first.0),
            Self::NothingToRelease => f.write_str("has nothing to give back"),
            Self::DriverLocked => f.write_str("takes its driver's mutex"),
            Self::WorkBegun => f.write_str("begins an item, which needs the driver's mutex"),
            Self::WorkHolds => f.write_str("takes the driver's mutex"),
            Self::WorkDone => f.write_str("ends the item, and lets the driver's mutex go"),
        }
    }
}

/// One step of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// The caller that ran, or the worker.
    pub caller: usize,
    /// Mask of those that could run.
    pub ready: u32,
    /// The event.
    pub did: Did,
}

/// Result of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Counts, by caller.
    pub tallies: Vec<Tally>,
    /// Number of steps.
    pub steps: u32,
    /// The steps one by one, if requested.
    pub story: Vec<Record>,
    /// The waits of a deadlock, if the run ended in one.
    pub deadlock: Vec<Stuck>,
}

/// One wait of a deadlock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stuck {
    /// The waiting caller; the number of callers stands for the worker.
    pub caller: usize,
    /// The thing that it waits for.
    pub what: WaitFor,
    /// The holder of it.
    pub holder: Option<usize>,
}

/// A violated invariant, or a reason why a run ended early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// The accounting does not balance.
    Books(Imbalance),
    /// A page was given to two callers.
    Twice(Pfn),
    /// The release of a buffer was refused.
    Release(ReleaseError),
    /// All callers wait, though there is no driver's mutex.
    Deadlock,
    /// The areas' number of used pages differs from that before the run.
    Lost,
    /// Number of pages in use whose content was lost.
    Contents(u32),
    /// There is no memory for the callers' journals, or for what fills the areas.
    NoMemory,
    /// The users of memory could not be opened.
    Open(OpenError),
    /// The system has no users of memory, whose open window the steps need.
    NotOpen,
    /// The consumer of the runs asked to stop.
    Stopped,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Books(imbalance) => imbalance.fmt(f),
            Self::Twice(frame) => write!(f, "the page at pfn {:#x} was given to two callers", frame.0),
            Self::Release(error) => error.fmt(f),
            Self::Deadlock => f.write_str("every caller waits for a mutex that another one holds"),
            Self::Open(error) => error.fmt(f),
            Self::Lost => f.write_str("an area does not have the pages that it had before"),
            Self::Contents(pages) => write!(f, "{pages} pages in use have other contents than before"),
            Self::NoMemory => f.write_str("there is no memory for the callers' journals and for what fills the areas"),
            Self::NotOpen => f.write_str("the system has no users of memory"),
            Self::Stopped => f.write_str("stopped by Ctrl-C"),
        }
    }
}

/// Runs the callers until all have made their requests, in the order that the scheduler chooses,
/// and releases everything. Records the steps if `tell` is set. The system's users of memory have
/// to be open ([`System::open_live`]).
///
/// # Errors
/// See [`Broken`]: only if the allocator is wrong, memory is too small, or the users are not open.
pub fn run(
    system: &mut System<'_>,
    setup: &Setup,
    scheduler: &mut dyn Scheduler,
    tell: bool,
) -> Result<Report, Broken> {
    let used = |system: &System<'_>| setup.areas.iter().map(|&area| system.area(area).used_pages()).sum::<u32>();
    let before = used(system);
    let mut run = Run::new(system, setup)?;
    let (mut steps, mut story, mut last, mut deadlock) = (0, Vec::new(), 0, Vec::new());
    let mut held = Ok(());
    while let Some(ready) = run.ready() {
        if ready == 0 {
            let stuck =
                |caller| run.waits_for(caller).map(|what| Stuck { caller, what, holder: run.holder_of(caller) });
            deadlock = run.actors().filter_map(stuck).collect();
            break;
        }
        let number = scheduler.choose(steps, ready, last);
        let begin_ns = run.now_ns();
        let did = run.step(number);
        let step_ns = run.now_ns().saturating_sub(begin_ns);
        let did = match did.and_then(|did| run.check().map(|()| did)) {
            Ok(did) => did,
            Err(broken) => {
                held = Err(broken);
                break;
            }
        };
        run.count_waits(number, step_ns);
        if tell {
            story.push(Record { caller: number, ready, did });
        }
        steps += 1;
        last = number;
    }
    let tallies = run.end();
    held?;
    let tallies = tallies?;
    system.check().map_err(Broken::Books)?;
    if used(system) != before {
        return Err(Broken::Lost);
    }
    if !deadlock.is_empty() && setup.work == 0 {
        return Err(Broken::Deadlock);
    }
    Ok(Report { tallies, steps, story, deadlock })
}
