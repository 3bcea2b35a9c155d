// SPDX-License-Identifier: MIT OR Apache-2.0

//! A run: the state of each caller, the holders of the mutexes, and the effect of the next step.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use super::plan::{Held, Op, Progress};
use super::tally::{Tally, WaitFor, Waiting};
use super::{Broken, Did, Lock, Setup};
use cma::{Buffer, CmaError};
use migration::contig_range::{AreaFrames, ContigRange, ContigReport, Phase, Refused, Why};
use migration::live::own_journal::OwnJournal;
use page_alloc::PAGEBLOCK_PAGES;
use system::{CmaSearch, System};
use units::Pfn;

/// State of a caller.
enum At {
    Idle,
    /// It holds the driver's mutex, and will begin this request.
    Driver(Op),
    /// Bits are reserved, and the mutex is not taken.
    Reserved(CmaSearch, Pfn),
    /// In `alloc_contig_range`.
    Inside(CmaSearch, Pfn, Box<ContigRange>),
}

struct Caller {
    at: At,
    /// The current request.
    op: Op,
    tally: Tally,
    waiting: Waiting,
    journal: OwnJournal,
    report: ContigReport,
}

/// A work item, which `lru_add_drain_all` flushes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Item {
    None,
    /// It has begun, and needs the driver's mutex.
    Begun,
    /// It holds the mutex.
    Holds,
}

/// A run of callers.
pub(super) struct Run<'r, 's, 'm> {
    system: &'s mut System<'m>,
    setup: &'r Setup,
    progress: Progress<'r>,
    callers: Vec<Caller>,
    /// The callers inside `alloc_contig_range`, by mutex.
    holders: Vec<Option<usize>>,
    /// The holder of the driver's mutex.
    driver: Option<usize>,
    item: Item,
    items_left: u32,
}

impl<'r, 's, 'm> Run<'r, 's, 'm> {
    pub(super) fn new(system: &'s mut System<'m>, setup: &'r Setup) -> Result<Self, Broken> {
        let mut callers: Vec<Caller> = Vec::with_capacity(setup.callers);
        let mut mm = system.mm().ok_or(Broken::NotOpen)?;
        for _ in 0..setup.callers {
            let Some(journal) = mm.open_journal(setup.plan.most_pages()) else {
                callers.into_iter().for_each(|caller| mm.close_journal(caller.journal));
                return Err(Broken::NoMemory);
            };
            callers.push(Caller {
                at: At::Idle,
                op: Op { tag: 0, pages: 0, align_order: 0, area: 0 },
                tally: Tally::new(setup.callers),
                waiting: Waiting::default(),
                journal,
                report: ContigReport::default(),
            });
        }
        Ok(Self {
            system,
            setup,
            progress: Progress::new(&setup.plan, setup.callers),
            callers,
            holders: vec![None; setup.areas.len()],
            driver: None,
            item: Item::None,
            items_left: setup.work,
        })
    }

    /// Returns the number of the worker, after the callers.
    fn worker(&self) -> usize {
        self.setup.callers
    }

    /// Returns the index of the mutex that a caller holds around `alloc_contig_range`.
    fn mutex(&self, number: usize) -> usize {
        if self.setup.lock == Lock::Area { usize::from(self.callers[number].op.area) } else { 0 }
    }

    /// Returns the thing that an actor waits for.
    pub(super) fn waits_for(&self, number: usize) -> Option<WaitFor> {
        if number == self.worker() {
            return (self.item == Item::Begun && self.driver.is_some()).then_some(WaitFor::Driver);
        }
        match &self.callers[number].at {
            At::Idle => {
                let op = self.progress.next(number, self.setup.areas.len())?;
                let driver = self.takes_driver(number) && op.pages > 0 && self.driver.is_some();
                if driver { Some(WaitFor::Driver) } else { self.progress.waits_for(op) }
            }
            At::Driver(_) => None,
            At::Reserved(..) => {
                let locks = self.setup.lock != Lock::None;
                (locks && self.holders[self.mutex(number)].is_some()).then_some(WaitFor::Contig)
            }
            At::Inside(_, _, range) => {
                (range.phase() == Phase::Drain && self.item != Item::None).then_some(WaitFor::Work)
            }
        }
    }

    /// True if the caller's driver holds a mutex of its own around its requests, which the work
    /// item takes, too.
    fn takes_driver(&self, number: usize) -> bool {
        self.setup.work > 0 && number == 0
    }

    /// Returns the holder of what an actor waits for, if there is one.
    pub(super) fn holder_of(&self, number: usize) -> Option<usize> {
        match self.waits_for(number)? {
            WaitFor::Contig => self.holders[self.mutex(number)],
            WaitFor::Driver => self.driver,
            WaitFor::Work => Some(self.worker()),
            WaitFor::Buffer => None,
        }
    }

    /// True if an actor has nothing left to do.
    fn has_ended(&self, number: usize) -> bool {
        if number == self.worker() {
            return self.item == Item::None && self.items_left == 0;
        }
        matches!(self.callers[number].at, At::Idle) && self.progress.next(number, self.setup.areas.len()).is_none()
    }

    /// Returns the actors: the callers, and the worker if there is work.
    pub(super) fn actors(&self) -> core::ops::Range<usize> {
        0..self.setup.callers + usize::from(self.setup.work > 0)
    }

    /// Skips releases of buffers that were not allocated: they need no step.
    fn skip(&mut self) {
        for number in 0..self.callers.len() {
            while let Some(op) = self.progress.next(number, self.setup.areas.len())
                && op.pages == 0
                && matches!(self.progress.held[op.tag as usize], Held::Gone)
            {
                self.progress.begin(number, op);
            }
        }
    }

    /// Returns a mask of those that can run, 0 if all wait; `None` if all have ended.
    pub(super) fn ready(&mut self) -> Option<u32> {
        self.skip();
        let (mut ready, mut ended) = (0, true);
        for number in self.actors().filter(|&number| !self.has_ended(number)) {
            ended = false;
            ready |= u32::from(self.waits_for(number).is_none()) << number;
        }
        (!ended).then_some(ready)
    }

    /// Counts a step of `stepped` for those that wait.
    pub(super) fn count_waits(&mut self, stepped: usize, step_ns: u64) {
        for number in 0..self.callers.len() {
            let what = self.waits_for(number);
            let caller = &mut self.callers[number];
            if number == stepped {
                caller.waiting.end();
            } else {
                caller.waiting.count(what, step_ns, &mut caller.tally);
            }
        }
    }

    /// Does the next step of a caller or of the worker; its time counts only for that caller.
    pub(super) fn step(&mut self, number: usize) -> Result<Did, Broken> {
        if number == self.worker() {
            return Ok(self.work());
        }
        self.system.trace_mut().set_task(number as u8 + 1);
        let now_ns = self.system.now_ns();
        self.callers[number].report.start(now_ns);
        let did = self.caller_step(number);
        self.system.trace_mut().set_task(0);
        did
    }

    fn work(&mut self) -> Did {
        let (item, did) = match self.item {
            Item::None => {
                self.items_left -= 1;
                (Item::Begun, Did::WorkBegun)
            }
            Item::Begun => {
                self.driver = Some(self.worker());
                (Item::Holds, Did::WorkHolds)
            }
            Item::Holds => {
                self.driver = None;
                (Item::None, Did::WorkDone)
            }
        };
        self.item = item;
        did
    }

    fn caller_step(&mut self, number: usize) -> Result<Did, Broken> {
        let at = core::mem::replace(&mut self.callers[number].at, At::Idle);
        match at {
            At::Idle => {
                let op = self.progress.next(number, self.setup.areas.len()).ok_or(Broken::NotOpen)?;
                self.progress.begin(number, op);
                if op.pages == 0 {
                    return self.release(number, op);
                }
                if self.takes_driver(number) {
                    self.driver = Some(number);
                    self.callers[number].at = At::Driver(op);
                    return Ok(Did::DriverLocked);
                }
                self.request(number, op)
            }
            At::Driver(op) => self.request(number, op),
            At::Reserved(search, first) => {
                let op = self.callers[number].op;
                let area = self.system.area(self.setup.areas[usize::from(op.area)]);
                let range = ContigRange::new(AreaFrames { first: area.base(), pages: area.pages() }, first, op.pages);
                self.callers[number].at = At::Inside(search, first, Box::new(range));
                let mutex = self.mutex(number);
                if self.setup.lock == Lock::None {
                    return self.caller_step(number);
                }
                self.holders[mutex] = Some(number);
                Ok(Did::Locked)
            }
            At::Inside(search, first, range) => self.contig_step(number, search, first, range),
        }
    }

    /// Begins a request.
    fn request(&mut self, number: usize, op: Op) -> Result<Did, Broken> {
        self.callers[number].op = op;
        let (area, align_order) = (self.setup.areas[usize::from(op.area)], u32::from(op.align_order));
        CmaSearch::trace_start(self.system, area, op.pages, align_order);
        match CmaSearch::begin(self.system, area, op.pages, align_order) {
            Ok(search) => self.reserve(number, search).map(|did| did.unwrap_or_else(Did::Reserved)),
            Err(error) => self.ends(number, Err(error)),
        }
    }

    /// Reserves a search's candidate. Returns `Err` with its first page, or `Ok` with the request's
    /// end if there is none.
    fn reserve(&mut self, number: usize, search: CmaSearch) -> Result<Result<Did, Pfn>, Broken> {
        Ok(match search.reserve(self.system) {
            Some(first) => {
                self.callers[number].at = At::Reserved(search, first);
                Err(first)
            }
            None => {
                let result = search.end(self.system, &mut self.callers[number].report);
                Ok(self.ends(number, result)?)
            }
        })
    }

    /// Does a step of `alloc_contig_range`; unlocks the mutex after the last one.
    fn contig_step(
        &mut self,
        number: usize,
        mut search: CmaSearch,
        first: Pfn,
        mut range: Box<ContigRange>,
    ) -> Result<Did, Broken> {
        let phase = range.phase();
        let caller = &mut self.callers[number];
        let mut mm = self.system.mm().ok_or(Broken::NotOpen)?;
        let Some(result) = range.step(&mut mm, &mut caller.journal, &mut caller.report) else {
            caller.at = At::Inside(search, first, range);
            return Ok(Did::Went(phase));
        };
        self.unlock(number);
        if let Err(Refused::Busy(blocked)) = result
            && blocked.why == Why::Isolated
            && let Some(other) = self.isolator(blocked.frame)
        {
            self.callers[number].tally.isolated_by[other] += 1;
        }
        match search.settle(self.system, first, result) {
            Some(result) => self.ends(number, result),
            None => {
                self.callers[number].tally.retries += 1;
                let Err(Refused::Busy(blocked) | Refused::NoMemory(blocked)) = result else {
                    return Err(Broken::NotOpen);
                };
                let next = self.reserve(number, search)?.err();
                Ok(Did::Refused(blocked, next))
            }
        }
    }

    fn unlock(&mut self, number: usize) {
        let mutex = self.mutex(number);
        if self.setup.lock != Lock::None && self.holders[mutex] == Some(number) {
            self.holders[mutex] = None;
        }
    }

    /// Returns the caller that has isolated the pageblock of `frame`.
    fn isolator(&self, frame: Pfn) -> Option<usize> {
        let start = self.system.zone().start().0;
        let block = |frame: u32| (frame - start) / PAGEBLOCK_PAGES;
        self.callers.iter().position(|caller| match &caller.at {
            At::Inside(_, first, range) if range.phase() != Phase::Isolate => {
                (block(first.0)..=block(first.0 + caller.op.pages - 1)).contains(&block(frame.0))
            }
            _ => false,
        })
    }

    /// Ends a request.
    fn ends(&mut self, number: usize, result: Result<Buffer, CmaError>) -> Result<Did, Broken> {
        if self.takes_driver(number) {
            self.driver = None;
        }
        let op = self.callers[number].op;
        let area = self.setup.areas[usize::from(op.area)];
        let told = result.as_ref().map(Buffer::first).map_err(|error| *error);
        CmaSearch::trace_finish(self.system, area, (op.pages, op.align_order.into()), told);
        let tally = &mut self.callers[number].tally;
        match result {
            Ok(buffer) => {
                tally.served += 1;
                self.served(op, buffer)
            }
            Err(error) => {
                match error {
                    CmaError::Busy(_) => tally.busy += 1,
                    _ => tally.failed += 1,
                }
                self.progress.held[op.tag as usize] = Held::Gone;
                Ok(Did::Failed(error))
            }
        }
    }

    fn served(&mut self, op: Op, buffer: Buffer) -> Result<Did, Broken> {
        let (first, end) = (buffer.first(), buffer.first().0 + buffer.pages());
        let overlaps = |held: &Held| match held {
            Held::Here(other) => other.first().0 < end && first.0 < other.first().0 + other.pages(),
            Held::NotYet | Held::Gone => false,
        };
        let twice = self.progress.held.iter().any(overlaps);
        self.progress.held[op.tag as usize] = Held::Here(buffer);
        if twice { Err(Broken::Twice(first)) } else { Ok(Did::Served(first)) }
    }

    fn release(&mut self, number: usize, op: Op) -> Result<Did, Broken> {
        self.callers[number].op = op;
        let held = core::mem::replace(&mut self.progress.held[op.tag as usize], Held::Gone);
        let Held::Here(buffer) = held else { return Ok(Did::NothingToRelease) };
        let first = buffer.first();
        self.system.cma_release(buffer).map_err(Broken::Release)?;
        Ok(Did::Released(first))
    }

    /// Checks the accounting between two steps.
    pub(super) fn check(&self) -> Result<(), Broken> {
        let zone = self.system.zone();
        zone.check().map_err(Broken::Books)?;
        let live = self.system.live().ok_or(Broken::NotOpen)?;
        if live.is_empty() { Ok(()) } else { live.check_under_way(zone).map(|_| ()).map_err(Broken::Books) }
    }

    /// Returns the machine's time, in ns.
    pub(super) fn now_ns(&self) -> u64 {
        self.system.now_ns()
    }

    /// Ends the callers' requests, releases everything, and returns the callers' counts.
    pub(super) fn end(self) -> Result<Vec<Tally>, Broken> {
        let Self { system, progress, callers, .. } = self;
        let mut tallies = Vec::with_capacity(callers.len());
        let mut error = None;
        for mut caller in callers {
            let taken = match caller.at {
                At::Idle | At::Driver(_) => None,
                At::Reserved(search, first) => {
                    let blocked =
                        ContigRange::new(AreaFrames { first, pages: caller.op.pages }, first, caller.op.pages)
                            .never_begun();
                    Some((search, first, Err(Refused::NoMemory(blocked))))
                }
                At::Inside(search, first, mut range) => {
                    let mut mm = system.mm().ok_or(Broken::NotOpen)?;
                    let result = range.give_up(&mut mm, &mut caller.journal, &mut caller.report);
                    // The search tries no other candidate.
                    Some((search, first, result.map_err(|refused| Refused::NoMemory(refused.blocked()))))
                }
            };
            if let Some((mut search, first, result)) = taken
                && let Some(Ok(buffer)) = search.settle(system, first, result)
            {
                error = error.or(system.cma_release(buffer).err());
            }
            let mut mm = system.mm().ok_or(Broken::NotOpen)?;
            mm.close_journal(caller.journal);
            (caller.tally.migrated, caller.tally.dropped) = (caller.report.migrated, caller.report.dropped);
            tallies.push(caller.tally);
        }
        for held in progress.held {
            if let Held::Here(buffer) = held {
                error = error.or(system.cma_release(buffer).err());
            }
        }
        match error {
            Some(error) => Err(Broken::Release(error)),
            None => Ok(tallies),
        }
    }
}
