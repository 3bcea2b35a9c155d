// SPDX-License-Identifier: MIT OR Apache-2.0

//! Several callers of `cma_alloc` at once, on one processor and in every order that is asked for.
//!
//! A caller makes requests one after the other ([`Plan`]). Each request is a chain of steps: the
//! search reserves bits ([`CmaSearch`](system::CmaSearch)), the mutex is taken if there is one, and
//! the range goes through the steps of `alloc_contig_range`
//! ([`ContigRange`](migration::contig_range::ContigRange)). At the end of each step a [`Scheduler`]
//! chooses who goes on, so that the same choices give the same run.
//!
//! What holds true: the accounting of the zone and of pages in use balances after every step; no
//! page belongs to two callers; a caller that waits, waits for what somebody else holds; when all
//! have ended everything is given back. The range always goes through all steps, also where it is
//! free: as in Linux, which knows no shorter way.
//!
//! With [`Setup::work`] the first caller's driver holds a mutex around its requests that work items
//! take, too. `lru_add_drain_all` waits for the item that has begun, so that this order of locks
//! can deadlock; the run then ends with [`Report::deadlock`].

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

/// Most callers: who can go on is a bit mask, and the worker has a bit, too.
pub const MAX_CALLERS: usize = 31;

/// Who calls, and what is locked.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The areas that are asked.
    pub areas: Vec<AreaId>,
    /// How many callers there are, up to [`MAX_CALLERS`].
    pub callers: usize,
    /// What they do.
    pub plan: Plan,
    /// The lock.
    pub lock: Lock,
    /// Work items that take the mutex which the first caller's driver holds around its requests;
    /// 0: there is no such mutex.
    pub work: u32,
}

/// What a step was, for the story of a schedule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Did {
    /// It reserved the bits of a candidate that begins at the page.
    Reserved(Pfn),
    /// It took the mutex of the lock.
    Locked,
    /// It went through a phase of `alloc_contig_range`.
    Went(Phase),
    /// The candidate was refused, and the bits of the next one, if there is one, are reserved.
    Refused(Blocked, Option<Pfn>),
    /// It was given the pages from this one on.
    Served(Pfn),
    /// Its request failed.
    Failed(CmaError),
    /// It gave its oldest buffer back.
    Released(Pfn),
    /// What it would give back was never there.
    NothingToRelease,
    /// It took its driver's mutex.
    DriverLocked,
    /// The worker began an item.
    WorkBegun,
    /// The item took the driver's mutex.
    WorkHolds,
    /// The item ended, and let the mutex go.
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
    /// Who went on.
    pub caller: usize,
    /// Who could have, a bit for each.
    pub ready: u32,
    /// What it did.
    pub did: Did,
}

/// What a run came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// By caller.
    pub tallies: Vec<Tally>,
    /// Steps.
    pub steps: u32,
    /// The steps one by one, if they were asked for.
    pub story: Vec<Record>,
    /// Who waits for what, and who holds it, where nobody could go on.
    pub deadlock: Vec<Stuck>,
}

/// One of those who wait for each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stuck {
    /// Who waits; the worker's number is the number of callers.
    pub caller: usize,
    /// For what.
    pub what: WaitFor,
    /// Who holds it.
    pub holder: Option<usize>,
}

/// What must not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// Books do not balance.
    Books(Imbalance),
    /// A page was given to two callers.
    Twice(Pfn),
    /// A buffer was not taken back.
    Release(ReleaseError),
    /// Everybody waits, and no driver's mutex explains it.
    Deadlock,
    /// An area has other pages than before.
    Lost,
    /// Contents of pages in use that did not survive.
    Contents(u32),
    /// There is no memory for the callers' journals, or for what fills the areas.
    NoMemory,
    /// The users of memory could not move in.
    Open(OpenError),
    /// There are no users of memory, whose open window the steps need.
    NotOpen,
    /// Whoever asked for the runs wants no more of them.
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

/// Lets the callers run until all have made their requests, in the order that the scheduler
/// chooses, and gives everything back. The system's users of memory are open
/// ([`System::open_live`]).
///
/// # Errors
/// See [`Broken`]: none of it can happen unless the allocator is wrong, memory is too small, or
/// nobody is open.
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
