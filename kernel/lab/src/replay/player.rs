// SPDX-License-Identifier: MIT OR Apache-2.0

//! Asks the area what a trace asks, times it, and counts what the replay reports.

use super::failure::{Failure, InTheWay, Tally};
use super::keeper::Keeper;
use super::origins::{Origin, Origins};
use super::{Counts, Options, Part, RecordedSize, ReplayError, ReplayReport, Tell, Told};
use crate::buffer_owner::BufferOwner;
use crate::fingerprint::Fingerprint;
use crate::metrics::Metrics;
use crate::obstacles;
use crate::request::Align;
use crate::state::Loaded;
use crate::stopwatch::{ClockCost, Timing};
use crate::trace::{Format, Line};
use cma::{AreaId, Buffer, CmaError};
use machine::Machine;
use system::{Kept, System};
use units::Pfn;

/// The tag of a buffer that no recorded pages stand for.
const NOBODYS: u32 = u32::MAX;

/// A replay under way.
pub(super) struct Player<'p, 'm, 't, M: ?Sized> {
    pub system: &'p mut System<'m>,
    pub machine: &'p mut M,
    pub report: ReplayReport,
    pub area: AreaId,
    pub base: Pfn,
    /// Keeps what failed on the board and succeeds here; without one it goes back at once.
    pub keeper: Option<Keeper<'t>>,
    /// What the area held when the replay began.
    pub loaded: Option<Loaded>,
    trace: &'t [u8],
    format: Format,
    align: Option<Align>,
    part: Part<'p>,
    stop_at_failure: bool,
    owner: Option<BufferOwner>,
    /// Where buffers are from, for whom failures are told.
    origins: Option<Origins>,
    /// The line that is being answered.
    line: Line<'t>,
    tell: Tell<'p, M>,
}

impl<'p, 'm, 't, M: Machine + ?Sized> Player<'p, 'm, 't, M> {
    pub(super) fn new(
        system: &'p mut System<'m>,
        machine: &'p mut M,
        options: Options<'p>,
        (trace, format): (&'t [u8], Format),
        tell: Tell<'p, M>,
    ) -> Result<Self, ReplayError> {
        let pages = system.area(options.area).pages();
        let origins = match &tell {
            Some(_) => Origins::new(system.zone_mut(), machine, pages).map(Some),
            None => Ok(None),
        };
        let origins = origins.map_err(|_| ReplayError::Memory { bytes: Origins::bytes(pages) })?;
        let owner = BufferOwner::new(system, options.area, options.relocatable);
        let area = system.area(options.area);
        let report = ReplayReport {
            area: area.name().into(),
            placement: area.placement().label(),
            format,
            from: "".into(),
            area_pages: area.pages(),
            recorded_size: RecordedSize::Unknown,
            pointers: None,
            busy: 0,
            ops: 0,
            allocs: 0,
            failed: 0,
            placements: Fingerprint::new(),
            bitmap: Fingerprint::new(),
            metrics: Metrics::of(area),
            peak: area.used_pages(),
            first_failure: None,
            failures: Tally::default(),
            interrupted: false,
            stopped: None,
            lost: 0,
            unmatched: 0,
            held_released: 0,
            failed_recorded: 0,
            failed_served: 0,
            kept: None,
            compared: 0,
            as_recorded: 0,
            left_out: 0,
            counts: Counts::default(),
            highest_page: 0,
            moves: None,
            lines: 0,
            checked_ns: 0,
            alloc: Timing::default(),
            release: Timing::default(),
            cost: ClockCost::measure(machine),
        };
        let base = area.base();
        Ok(Self {
            system,
            machine,
            report,
            area: options.area,
            base,
            keeper: None,
            loaded: options.loaded.filter(|loaded| loaded.area == options.area),
            trace,
            format,
            align: options.align,
            part: options.part,
            stop_at_failure: options.stop_at_failure,
            owner,
            origins,
            line: Line { number: 0, start: 0, text: &[] },
            tell,
        })
    }

    /// What a line asks is answered next; false where the replay ends in front of it.
    pub(super) fn begin(&mut self, line: Line<'t>) -> Result<bool, ReplayError> {
        self.report.interrupted = self.machine.interrupted();
        if self.report.interrupted || self.report.stopped.is_some() {
            return Ok(false);
        }
        self.line = line;
        while let Some(page) = self.keeper.as_mut().and_then(|keeper| keeper.due(self.machine, &line)) {
            self.release(NOBODYS, page)?;
        }
        Ok(true)
    }

    /// Whether the request of the line is of the part that is replayed; counts it where not.
    pub(super) fn wants(&mut self, pages: u32) -> bool {
        let wanted = self.part == Part::ALL || self.part.wants(&self.line, self.format, pages);
        self.report.left_out += u64::from(!wanted);
        wanted
    }

    /// Whether pages are numbers of the board's page frames.
    pub(super) fn has_page_numbers(&self) -> bool {
        self.format == Format::Ftrace
    }

    /// Whether all requests are replayed: only then it means something that a release matches none.
    pub(super) fn is_whole(&self) -> bool {
        self.part == Part::ALL
    }

    /// Allocates; the buffer stays registered. Returns its page offset in the area, by which it is found together with its
    /// tag, which no other buffer has.
    pub(super) fn alloc(&mut self, tag: u32, pages: u32, align_order: u32) -> Option<u32> {
        self.ask(Some(tag), pages, align_order, false)
    }

    /// Asks for what failed when it was recorded. If it succeeds here, the buffer goes back at once, because its driver never had it, or
    /// when the keeper says.
    pub(super) fn alloc_failed(&mut self, pages: u32, align_order: u32) -> Result<(), ReplayError> {
        self.report.failed_recorded += 1;
        let Some(offset) = self.ask(None, pages, align_order, true) else { return Ok(()) };
        self.report.failed_served += 1;
        match &mut self.keeper {
            Some(keeper) => keeper.keep(self.system.zone_mut(), self.machine, &self.line, offset),
            None => self.release(NOBODYS, offset),
        }
    }

    /// Allocates what nobody will release by its pages.
    pub(super) fn alloc_for_good(&mut self, pages: u32, align_order: u32) {
        self.ask(None, pages, align_order, false);
    }

    /// Allocates; without a tag it is nobody's, and not relocatable.
    fn ask(&mut self, tag: Option<u32>, pages: u32, align_order: u32, failed_there: bool) -> Option<u32> {
        let Self { system, report, area, align, base, .. } = self;
        let align_order = align.map_or(align_order, |align| align.of(pages));
        let answer = report.alloc.time(&*self.machine, || system.cma_alloc(*area, pages, align_order));
        report.ops += 1;
        report.allocs += 1;
        let buffer = match answer {
            Ok(buffer) => buffer,
            Err(error) => {
                self.fail(pages, align_order, error, failed_there);
                return None;
            }
        };
        let offset = buffer.first().0 - base.0;
        report.placements.push(offset);
        report.highest_page = report.highest_page.max(offset + pages);
        report.peak = report.peak.max(system.area(*area).used_pages());
        let origin = Origin::of(&self.line);
        match (tag, &mut self.owner) {
            (Some(tag), Some(owner)) if owner.wants(tag) => {
                owner.let_move(system, buffer, align_order, tag);
                self.origins.iter_mut().for_each(|origins| origins.set_lent(tag, origin));
            }
            _ => {
                system.keep(buffer);
                self.origins.iter_mut().for_each(|origins| origins.set(self.machine, offset, origin));
            }
        }
        if let Some(tell) = &mut self.tell {
            let head = self.line.head(self.format);
            let area = self.system.area(self.area);
            tell(self.machine, Told::Placed { line: self.line.number, head, page: offset, pages, area });
        }
        Some(offset)
    }

    /// Notes a request that failed, and tells of it.
    #[cold]
    fn fail(&mut self, pages: u32, align_order: u32, error: CmaError, failed_there: bool) {
        let Self { system, report, area, origins, machine, trace, format, line, .. } = self;
        report.failed += 1;
        report.placements.push(Fingerprint::FAILED);
        report.failures.add(pages, &error);
        report.first_failure.get_or_insert(line.number);
        if self.stop_at_failure {
            report.stopped = Some(line.number);
        }
        let (Some(tell), Some(origins)) = (&mut self.tell, origins) else { return };
        let windows = obstacles::windows(system, *area, pages, align_order);
        let in_the_way = windows.into_iter().flatten();
        let in_the_way = in_the_way
            .map(|window| InTheWay::of(window, (system, *area), origins, *machine, (*trace, *format)))
            .collect();
        let here = system.area(*area);
        let failure = Failure {
            area: here.name(),
            line: line.number,
            head: line.head(*format),
            pages,
            align_order,
            error,
            free: here.free_pages(),
            longest: here.longest_free_run(),
            failed_there,
            in_the_way,
        };
        tell(machine, Told::Failed { failure: &failure, area: here });
    }

    /// Releases a buffer, if there is one.
    pub(super) fn release(&mut self, tag: u32, offset: u32) -> Result<(), ReplayError> {
        match self.take(tag, offset) {
            Some((buffer, _)) => self.give_back(buffer),
            None => Ok(()),
        }
    }

    /// Releases `pages` pages from `skip` pages into a buffer; what is left of it stays registered, and is not moved any
    /// more. Returns the offset of where the buffer lay last.
    pub(super) fn release_part(&mut self, tag: u32, offset: u32, skip: u32, pages: u32) -> Result<u32, ReplayError> {
        let Some((mut buffer, origin)) = self.take(tag, offset) else { return Ok(offset) };
        let lay_at = buffer.first().0 - self.base.0;
        if skip > 0 {
            let (front, rest) = buffer.split(skip);
            self.keep(front, origin);
            buffer = rest;
        }
        if pages < buffer.pages() {
            let (front, rest) = buffer.split(pages);
            self.keep(rest, origin);
            buffer = front;
        }
        self.give_back(buffer).map(|()| lay_at)
    }

    /// Releases what the state that the replay began on holds of `pages` pages from `offset` of the
    /// area; returns how many those are. The rest of the state's buffers stays under their
    /// identifiers.
    pub(super) fn release_loaded(&mut self, offset: u32, pages: u32) -> Result<u32, ReplayError> {
        let Some(loaded) = self.loaded else { return Ok(0) };
        let (from, to) = (self.base.add(offset), self.base.add(offset + pages));
        let end = |kept: &Kept| kept.first.add(kept.pages);
        let mut released = 0;
        loop {
            let in_front = |kept: &Kept| kept.first < to;
            let found = |kept: &Kept| end(kept) > from && loaded.has(kept.id);
            let next = self.system.kept(self.area).take_while(in_front).find(found);
            let Some(kept) = next else { return Ok(released) };
            let Some(mut buffer) = self.system.take_back_at(self.area, kept.first) else { return Ok(released) };
            if kept.first < from {
                let (front, rest) = buffer.split(from.0 - kept.first.0);
                self.system.keep_part(kept.id, front);
                buffer = rest;
            }
            if end(&kept) > to {
                let (front, rest) = buffer.split(to.0 - kept.first.max(from).0);
                self.system.keep_part(kept.id, rest);
                buffer = front;
            }
            released += buffer.pages();
            self.give_back(buffer)?;
        }
    }

    /// Leaves a part of a buffer registered.
    fn keep(&mut self, buffer: Buffer, origin: Origin) {
        let offset = buffer.first().0 - self.base.0;
        self.origins.iter_mut().for_each(|origins| origins.set(self.machine, offset, origin));
        self.system.keep(buffer);
    }

    /// Takes a buffer back, and says where it is from.
    fn take(&mut self, tag: u32, offset: u32) -> Option<(Buffer, Origin)> {
        let lay_at = self.base.add(offset);
        let relocatable = self.owner.as_mut().and_then(|owner| owner.take_back(self.system, tag, lay_at));
        let origins = &mut self.origins;
        if let Some(buffer) = relocatable {
            return Some((buffer, origins.as_mut().and_then(|origins| origins.take_lent(tag)).unwrap_or_default()));
        }
        let buffer = self.system.take_back_at(self.area, lay_at)?;
        let origin = origins.as_mut().map(|origins| origins.get(self.machine, offset));
        Some((buffer, origin.unwrap_or_default()))
    }

    fn give_back(&mut self, buffer: Buffer) -> Result<(), ReplayError> {
        let Self { system, report, .. } = self;
        let (page, pages) = (buffer.first().0 - self.base.0, buffer.pages());
        let answer = report.release.time(&*self.machine, || system.cma_release(buffer));
        if let Some(tell) = &mut self.tell {
            let area = self.system.area(self.area);
            tell(self.machine, Told::Released { line: self.line.number, page, pages, area });
        }
        answer.map_err(ReplayError::Release)
    }

    /// The report, with the area as it is now; all buffers stay registered.
    pub(super) fn finish(mut self) -> ReplayReport {
        self.report.kept = self.keeper.as_ref().map(Keeper::used);
        if let Some(keeper) = self.keeper {
            keeper.release(self.system.zone_mut());
        }
        if let Some(origins) = self.origins {
            origins.release(self.system.zone_mut());
        }
        self.report.moves = self.owner.map(|owner| owner.end(self.system));
        let area = self.system.area(self.area);
        self.report.bitmap = Fingerprint::of_bits(area.bitmap().words(), area.bitmap().bits());
        self.report.metrics = Metrics::of(area);
        self.report
    }
}
