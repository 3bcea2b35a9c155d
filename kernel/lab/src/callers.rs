// SPDX-License-Identifier: MIT OR Apache-2.0

//! Several callers of `cma_alloc` at once, on one processor and in every order that is asked for.
//!
//! A caller makes requests one after the other. Each request is a chain of steps: the search
//! reserves bits ([`CmaSearch`]), the mutex is taken if there is one, and the range goes through
//! the steps of `alloc_contig_range` ([`ContigRange`]). At the end of each step a [`Scheduler`]
//! chooses who goes on, so that the same choices give the same run.
//!
//! What holds true: a caller waits for a mutex only while another caller holds it; the zone's books
//! balance after every step; no page belongs to two callers; and when all have ended everything is
//! given back. The range always goes through all steps, also where it is free: as in Linux, which
//! knows no shorter way.

mod schedule;

#[cfg(test)]
mod tests;

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use cma::{AreaId, Buffer, CmaError, ReleaseError};
use migration::contig_range::{Blocked, ContigRange, ContigReport, Phase, Refused, Why};
use page_alloc::{Imbalance, PAGEBLOCK_PAGES};
pub use schedule::{Forced, RoundRobin, Scheduler, Seeded, Switch, every_schedule};
use system::{CmaSearch, System};
use units::Pfn;
pub use units::linux::ContigLock as Lock;

/// Most callers: who can go on is a bit mask.
pub const MAX_CALLERS: usize = 32;

/// What the callers do.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Caller number n asks area number n modulo their count.
    pub areas: Vec<AreaId>,
    /// How many callers there are.
    pub callers: usize,
    /// Pages of a request.
    pub pages: u32,
    /// Alignment of a request.
    pub align_order: u32,
    /// Requests of a caller.
    pub requests: u32,
    /// Buffers that a caller keeps; the oldest goes when it has more.
    pub kept: usize,
    /// The lock.
    pub lock: Lock,
}

/// What became of one caller.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Requests that got a buffer.
    pub served: u32,
    /// Requests that ended with -EBUSY.
    pub busy: u32,
    /// Requests that ended with another error.
    pub failed: u32,
    /// Candidates that were given up because another caller had isolated a pageblock, by caller.
    pub isolated_by: Vec<u32>,
    /// Candidates that were given up for the next one.
    pub retries: u32,
    /// How often the caller waited for the mutex.
    pub waits: u32,
    /// Steps of others for which it waited.
    pub wait_steps: u32,
    /// The longest wait, in steps.
    pub longest_wait: u32,
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
    /// Somebody waits, and nobody can go on.
    Deadlock,
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
            Self::NotOpen => f.write_str("the system has no users of memory"),
            Self::Stopped => f.write_str("stopped by Ctrl-C"),
        }
    }
}

/// Where a caller is.
enum At {
    Idle,
    /// Bits are reserved, the mutex is not taken.
    Reserved(CmaSearch, Pfn),
    /// In `alloc_contig_range`.
    Inside(CmaSearch, Pfn, alloc::boxed::Box<ContigRange>),
}

struct Caller {
    area: AreaId,
    mutex: usize,
    at: At,
    left: u32,
    kept: VecDeque<Buffer>,
    tally: Tally,
    waiting: u32,
}

/// A run under way.
struct Run<'r, 's, 'm> {
    system: &'s mut System<'m>,
    setup: &'r Setup,
    callers: Vec<Caller>,
    /// Who holds each mutex.
    holders: Vec<Option<usize>>,
    report: ContigReport,
}

/// Lets the callers run until all have made their requests, in the order that the scheduler
/// chooses, and gives everything back. The system's users of memory are open
/// ([`System::open_live`]) and use no page of the areas.
///
/// # Errors
/// See [`Broken`]: none of it can happen unless the allocator is wrong or nobody is open.
pub fn run(
    system: &mut System<'_>,
    setup: &Setup,
    scheduler: &mut dyn Scheduler,
    tell: bool,
) -> Result<Report, Broken> {
    let caller = |number: usize| Caller {
        area: setup.areas[number % setup.areas.len()],
        mutex: if setup.lock == Lock::Area { number % setup.areas.len() } else { 0 },
        at: At::Idle,
        left: setup.requests,
        kept: VecDeque::new(),
        tally: Tally { isolated_by: vec![0; setup.callers], ..Tally::default() },
        waiting: 0,
    };
    let callers = (0..setup.callers.min(MAX_CALLERS)).map(caller).collect();
    let holders = vec![None; setup.areas.len()];
    let mut run = Run { system, setup, callers, holders, report: ContigReport::default() };
    let (mut steps, mut story, mut last) = (0, Vec::new(), 0);
    while let Some(ready) = run.ready()? {
        let number = scheduler.choose(steps, ready, last);
        let did = run.step(number)?;
        run.system.zone().check().map_err(Broken::Books)?;
        run.count_waits();
        if tell {
            story.push(Record { caller: number, ready, did });
        }
        steps += 1;
        last = number;
    }
    let Run { system, callers, .. } = run;
    let mut tallies = Vec::new();
    for caller in callers {
        for buffer in caller.kept {
            system.cma_release(buffer).map_err(Broken::Release)?;
        }
        tallies.push(caller.tally);
    }
    system.check().map_err(Broken::Books)?;
    Ok(Report { tallies, steps, story })
}

impl Run<'_, '_, '_> {
    /// Whether a caller waits for its mutex.
    fn waits(&self, caller: &Caller) -> bool {
        let locks = self.setup.lock != Lock::None;
        locks && matches!(caller.at, At::Reserved(..)) && self.holders[caller.mutex].is_some()
    }

    /// Who can go on; `None` if all have ended.
    fn ready(&self) -> Result<Option<u32>, Broken> {
        let (mut ready, mut ended) = (0, true);
        for (number, caller) in self.callers.iter().enumerate() {
            if caller.left == 0 && matches!(caller.at, At::Idle) && caller.kept.len() <= self.setup.kept {
                continue;
            }
            ended = false;
            ready |= u32::from(!self.waits(caller)) << number;
        }
        match (ended, ready) {
            (true, _) => Ok(None),
            (false, 0) => Err(Broken::Deadlock),
            (false, _) => Ok(Some(ready)),
        }
    }

    fn count_waits(&mut self) {
        for number in 0..self.callers.len() {
            let waits = self.waits(&self.callers[number]);
            let caller = &mut self.callers[number];
            if waits {
                caller.tally.waits += u32::from(caller.waiting == 0);
                caller.waiting += 1;
                caller.tally.wait_steps += 1;
                caller.tally.longest_wait = caller.tally.longest_wait.max(caller.waiting);
            } else {
                caller.waiting = 0;
            }
        }
    }

    /// The next step of a caller.
    fn step(&mut self, number: usize) -> Result<Did, Broken> {
        let at = core::mem::replace(&mut self.callers[number].at, At::Idle);
        match at {
            At::Idle if self.callers[number].kept.len() > self.setup.kept => self.release(number),
            At::Idle => {
                self.callers[number].left -= 1;
                let (pages, align) = (self.setup.pages, self.setup.align_order);
                match CmaSearch::begin(self.system, self.callers[number].area, pages, align) {
                    Ok(search) => self.reserve(number, search).map(|did| did.unwrap_or_else(Did::Reserved)),
                    Err(error) => Ok(self.failed(number, error)),
                }
            }
            At::Reserved(search, first) => {
                let area = self.system.area(self.callers[number].area);
                let range = ContigRange::new((area.base(), area.pages()), first, self.setup.pages);
                let inside = At::Inside(search, first, alloc::boxed::Box::new(range));
                if self.setup.lock == Lock::None {
                    return self.contig_step(number, inside);
                }
                self.holders[self.callers[number].mutex] = Some(number);
                self.callers[number].at = inside;
                Ok(Did::Locked)
            }
            inside @ At::Inside(..) => self.contig_step(number, inside),
        }
    }

    /// Reserves a search's candidate: `Err` has its first page, `Ok` says how the request ended
    /// without one.
    fn reserve(&mut self, number: usize, search: CmaSearch) -> Result<Result<Did, Pfn>, Broken> {
        Ok(match search.reserve(self.system) {
            Some(first) => {
                self.callers[number].at = At::Reserved(search, first);
                Err(first)
            }
            None => Ok(match search.end(self.system, &mut self.report) {
                Ok(buffer) => self.served(number, buffer)?,
                Err(error) => self.failed(number, error),
            }),
        })
    }

    /// A step of `alloc_contig_range`; the mutex is let go after the last one.
    fn contig_step(&mut self, number: usize, at: At) -> Result<Did, Broken> {
        let At::Inside(mut search, first, mut range) = at else { return Err(Broken::NotOpen) };
        let phase = range.phase();
        let mut mm = self.system.mm().ok_or(Broken::NotOpen)?;
        let Some(result) = range.step(&mut mm, &mut self.report) else {
            self.callers[number].at = At::Inside(search, first, range);
            return Ok(Did::Went(phase));
        };
        if self.setup.lock != Lock::None {
            self.holders[self.callers[number].mutex] = None;
        }
        if let Err(Refused::Busy(blocked)) = result
            && blocked.why == Why::Isolated
            && let Some(other) = self.isolator(blocked.frame)
        {
            self.callers[number].tally.isolated_by[other] += 1;
        }
        match search.settle(self.system, first, result) {
            Some(Ok(buffer)) => self.served(number, buffer),
            Some(Err(error)) => Ok(self.failed(number, error)),
            None => {
                self.callers[number].tally.retries += 1;
                let Err(Refused::Busy(blocked) | Refused::NoMemory(blocked)) = result else {
                    return Err(Broken::NotOpen);
                };
                Ok(match self.reserve(number, search)? {
                    Err(next) => Did::Refused(blocked, Some(next)),
                    Ok(_) => Did::Refused(blocked, None),
                })
            }
        }
    }

    /// Who has isolated the pageblock that begins with a page.
    fn isolator(&self, frame: Pfn) -> Option<usize> {
        let start = self.system.zone().start().0;
        let block = |frame: u32| (frame - start) / PAGEBLOCK_PAGES;
        self.callers.iter().position(|caller| match &caller.at {
            At::Inside(_, first, range) if range.phase() != Phase::Isolate => {
                (block(first.0)..=block(first.0 + self.setup.pages - 1)).contains(&block(frame.0))
            }
            _ => false,
        })
    }

    fn served(&mut self, number: usize, buffer: Buffer) -> Result<Did, Broken> {
        let (first, end) = (buffer.first(), buffer.first().0 + buffer.pages());
        let overlaps = |other: &Buffer| other.first().0 < end && first.0 < other.first().0 + other.pages();
        let twice = self.callers.iter().flat_map(|caller| &caller.kept).any(overlaps);
        self.callers[number].tally.served += 1;
        self.callers[number].kept.push_back(buffer);
        if twice { Err(Broken::Twice(first)) } else { Ok(Did::Served(first)) }
    }

    fn failed(&mut self, number: usize, error: CmaError) -> Did {
        let tally = &mut self.callers[number].tally;
        match error {
            CmaError::Busy(_) => tally.busy += 1,
            _ => tally.failed += 1,
        }
        Did::Failed(error)
    }

    fn release(&mut self, number: usize) -> Result<Did, Broken> {
        let Some(buffer) = self.callers[number].kept.pop_front() else { return Err(Broken::NotOpen) };
        let first = buffer.first();
        self.system.cma_release(buffer).map_err(Broken::Release)?;
        Ok(Did::Released(first))
    }
}
