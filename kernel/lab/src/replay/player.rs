// SPDX-License-Identifier: MIT OR Apache-2.0

//! Makes a trace's requests in an area, times them, and counts the results for the report.

use super::failure::Tally;
use super::keeper::Keeper;
use super::origins::{Origin, Origins};
use super::stage::Stage;
use super::{Counts, Options, Part, RecordedSize, ReplayError, ReplayReport, WhenHeld, WhenServed};
use crate::buffer_owner::BufferOwner;
use crate::fingerprint::Fingerprint;
use crate::metrics::Metrics;
use crate::obstacles;
use crate::request::Align;
use crate::state::Loaded;
use crate::stopwatch::{ClockCost, Timing};
use cma::{AreaId, Buffer, CmaError};
use machine::Machine;
use system::Kept;
use units::Pfn;

/// The tag of buffers without recorded pages.
const NOBODYS: u32 = u32::MAX;

/// The player of one area.
pub(super) struct Player<'n, 't> {
    pub report: ReplayReport,
    pub area: AreaId,
    pub base: Pfn,
    /// Handling of an allocation whose ID or pages hold a buffer.
    pub held: WhenHeld,
    /// Handling of requests that failed on the board and succeed here.
    pub served: WhenServed,
    /// Keeps these buffers, with [`WhenServed::Keep`].
    pub keeper: Option<Keeper<'t>>,
    /// The state that the area was in when the replay began.
    pub loaded: Option<Loaded>,
    align: Option<Align>,
    part: Part<'n>,
    stop_at_failure: bool,
    owner: Option<BufferOwner>,
    /// The origins of buffers, if failures are reported.
    origins: Option<Origins>,
}

impl<'n, 't> Player<'n, 't> {
    /// Makes the player of an area in its present state.
    ///
    /// # Errors
    /// There is no memory.
    pub(super) fn new<M: Machine + ?Sized>(
        stage: &mut Stage<'_, '_, 't, M>,
        options: Options<'n>,
    ) -> Result<Self, ReplayError> {
        let format = stage.format;
        let pages = stage.system.area(options.area).pages();
        let origins = match stage.is_told() {
            true => Origins::new(stage.system.zone_mut(), stage.machine, pages).map(Some),
            false => Ok(None),
        };
        let origins = origins.map_err(|_| ReplayError::Memory { bytes: Origins::bytes(pages) })?;
        let owner = BufferOwner::new(stage.system, options.area, options.relocatable);
        let area = stage.system.area(options.area);
        let as_linux = options.align.is_none() && area.placement().is_linux();
        let report = ReplayReport {
            area: area.name().into(),
            placement: area.placement().label(),
            format,
            from: "".into(),
            area_pages: area.pages(),
            recorded_size: RecordedSize::Unknown,
            pointers: None,
            busy: 0,
            recorded_ops: 0,
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
            first_elsewhere: None,
            left_out: 0,
            counts: Counts::default(),
            highest_page: 0,
            moves: None,
            lines: 0,
            checked_ns: 0,
            alloc: Timing::default(),
            release: Timing::default(),
            cost: ClockCost::measure(stage.machine),
        };
        let base = area.base();
        Ok(Self {
            report,
            area: options.area,
            base,
            held: options.held.unwrap_or(WhenHeld::usual(format, as_linux)),
            served: options.served,
            keeper: None,
            loaded: options.loaded_here(),
            align: options.align,
            part: options.part,
            stop_at_failure: options.stop_at_failure,
            owner,
            origins,
        })
    }

    /// Releases the buffers that are due at the stage's line.
    pub(super) fn release_due<M: Machine + ?Sized>(
        &mut self,
        stage: &mut Stage<'_, '_, 't, M>,
    ) -> Result<(), ReplayError> {
        while let Some(page) = self.keeper.as_mut().and_then(|keeper| keeper.due(stage.machine, &stage.line)) {
            self.release(stage, NOBODYS, page)?;
        }
        Ok(())
    }

    /// True if the line's request is in the part that is replayed; otherwise counts it.
    pub(super) fn wants<M: Machine + ?Sized>(&mut self, stage: &Stage<'_, '_, 't, M>, pages: u32) -> bool {
        let wanted = self.part == Part::ALL || self.part.wants(&stage.line, stage.format, pages);
        self.report.left_out += u64::from(!wanted);
        wanted
    }

    /// True if all requests are replayed; only then are unmatched releases counted.
    pub(super) fn is_whole(&self) -> bool {
        self.part == Part::ALL
    }

    /// Allocates a buffer, which stays registered. Returns its page offset in the area. This and
    /// the tag, which no other buffer has, identify it.
    pub(super) fn alloc<M: Machine + ?Sized>(
        &mut self,
        stage: &mut Stage<'_, '_, 't, M>,
        tag: u32,
        pages: u32,
        align_order: u32,
    ) -> Option<u32> {
        self.ask(stage, Some(tag), pages, align_order, false)
    }

    /// Makes a request that failed in the recording. If it succeeds here, the buffer is released at
    /// once, because its driver never had it, or at the time that the keeper chooses.
    pub(super) fn alloc_failed<M: Machine + ?Sized>(
        &mut self,
        stage: &mut Stage<'_, '_, 't, M>,
        pages: u32,
        align_order: u32,
    ) -> Result<(), ReplayError> {
        self.report.failed_recorded += 1;
        let Some(offset) = self.ask(stage, None, pages, align_order, true) else { return Ok(()) };
        self.report.failed_served += 1;
        match &mut self.keeper {
            Some(keeper) => keeper.keep(stage.system.zone_mut(), stage.machine, &stage.line, offset),
            None => self.release(stage, NOBODYS, offset),
        }
    }

    /// Allocates a buffer that no release of its pages will match.
    pub(super) fn alloc_for_good<M: Machine + ?Sized>(
        &mut self,
        stage: &mut Stage<'_, '_, 't, M>,
        pages: u32,
        align_order: u32,
    ) {
        self.ask(stage, None, pages, align_order, false);
    }

    /// Allocates a buffer; one without a tag has no recorded pages and is not relocatable.
    fn ask<M: Machine + ?Sized>(
        &mut self,
        stage: &mut Stage<'_, '_, 't, M>,
        tag: Option<u32>,
        pages: u32,
        align_order: u32,
        failed_there: bool,
    ) -> Option<u32> {
        let Self { report, area, align, base, .. } = self;
        let Stage { system, machine, .. } = stage;
        let align_order = align.map_or(align_order, |align| align.of(pages));
        let answer = report.alloc.time(&**machine, || system.cma_alloc(*area, pages, align_order));
        report.ops += 1;
        report.allocs += 1;
        let buffer = match answer {
            Ok(buffer) => buffer,
            Err(error) => {
                self.fail(stage, pages, align_order, error, failed_there);
                return None;
            }
        };
        let offset = buffer.first().0 - base.0;
        report.placements.push(offset);
        report.highest_page = report.highest_page.max(offset + pages);
        report.peak = report.peak.max(system.area(*area).used_pages());
        let origin = Origin::of(&stage.line);
        match (tag, &mut self.owner) {
            (Some(tag), Some(owner)) if owner.wants(tag) => {
                owner.let_move(system, buffer, align_order, tag);
                self.origins.iter_mut().for_each(|origins| origins.set_relocatable(tag, origin));
            }
            _ => {
                system.keep(buffer);
                self.origins.iter_mut().for_each(|origins| origins.set(*machine, offset, origin));
            }
        }
        stage.placed(self.area, offset, pages);
        Some(offset)
    }

    /// Records a failed request, and reports it.
    #[cold]
    fn fail<M: Machine + ?Sized>(
        &mut self,
        stage: &mut Stage<'_, '_, 't, M>,
        pages: u32,
        align_order: u32,
        error: CmaError,
        failed_there: bool,
    ) {
        let Self { report, area, origins, .. } = self;
        report.failed += 1;
        report.placements.push(Fingerprint::FAILED);
        report.failures.add(pages, &error);
        report.first_failure.get_or_insert(stage.line.number);
        if self.stop_at_failure {
            stage.stopped = Some(stage.line.number);
        }
        let Some(origins) = origins else { return };
        let windows = obstacles::windows(stage.system, *area, pages, align_order);
        let in_the_way = windows.into_iter().flatten();
        let in_the_way = in_the_way.map(|window| stage.in_the_way(window, *area, origins)).collect();
        stage.failed(*area, (pages, align_order), error, failed_there, in_the_way);
    }

    /// Releases the buffer with this tag and offset, if there is one.
    pub(super) fn release<M: Machine + ?Sized>(
        &mut self,
        stage: &mut Stage<'_, '_, 't, M>,
        tag: u32,
        offset: u32,
    ) -> Result<(), ReplayError> {
        match self.take(stage, tag, offset) {
            Some((buffer, _)) => self.give_back(stage, buffer),
            None => Ok(()),
        }
    }

    /// Releases `pages` pages from page `skip` of a buffer. The rest stays registered, and is not
    /// moved afterwards. Returns the offset at which the whole buffer was last.
    pub(super) fn release_part<M: Machine + ?Sized>(
        &mut self,
        stage: &mut Stage<'_, '_, 't, M>,
        (tag, offset): (u32, u32),
        skip: u32,
        pages: u32,
    ) -> Result<u32, ReplayError> {
        let Some((mut buffer, origin)) = self.take(stage, tag, offset) else { return Ok(offset) };
        let lay_at = buffer.first().0 - self.base.0;
        if skip > 0 {
            let (front, rest) = buffer.split(skip);
            self.keep(stage, front, origin);
            buffer = rest;
        }
        if pages < buffer.pages() {
            let (front, rest) = buffer.split(pages);
            self.keep(stage, rest, origin);
            buffer = front;
        }
        self.give_back(stage, buffer).map(|()| lay_at)
    }

    /// Releases those of `pages` pages from `offset` that buffers of the loaded state hold; returns
    /// their number. The remaining parts keep their buffers' IDs.
    pub(super) fn release_loaded<M: Machine + ?Sized>(
        &mut self,
        stage: &mut Stage<'_, '_, 't, M>,
        offset: u32,
        pages: u32,
    ) -> Result<u32, ReplayError> {
        let Some(loaded) = self.loaded else { return Ok(0) };
        let (from, to) = (self.base.add(offset), self.base.add(offset + pages));
        let end = |kept: &Kept| kept.first.add(kept.pages);
        let mut released = 0;
        loop {
            let in_front = |kept: &Kept| kept.first < to;
            let found = |kept: &Kept| end(kept) > from && loaded.has(kept.id);
            let next = stage.system.kept(self.area).take_while(in_front).find(found);
            let Some(kept) = next else { return Ok(released) };
            let Some(mut buffer) = stage.system.take_back_at(self.area, kept.first) else { return Ok(released) };
            if kept.first < from {
                let (front, rest) = buffer.split(from.0 - kept.first.0);
                stage.system.keep_part(kept.id, front);
                buffer = rest;
            }
            if end(&kept) > to {
                let (front, rest) = buffer.split(to.0 - kept.first.max(from).0);
                stage.system.keep_part(kept.id, rest);
                buffer = front;
            }
            released += buffer.pages();
            self.give_back(stage, buffer)?;
        }
    }

    /// Registers the rest of a buffer.
    fn keep<M: Machine + ?Sized>(&mut self, stage: &mut Stage<'_, '_, 't, M>, buffer: Buffer, origin: Origin) {
        let offset = buffer.first().0 - self.base.0;
        self.origins.iter_mut().for_each(|origins| origins.set(stage.machine, offset, origin));
        stage.system.keep(buffer);
    }

    /// Removes a buffer from those registered with the system; returns it with its origin.
    fn take<M: Machine + ?Sized>(
        &mut self,
        stage: &mut Stage<'_, '_, 't, M>,
        tag: u32,
        offset: u32,
    ) -> Option<(Buffer, Origin)> {
        let lay_at = self.base.add(offset);
        let relocatable = self.owner.as_mut().and_then(|owner| owner.take_back(stage.system, tag, lay_at));
        let origins = &mut self.origins;
        if let Some(buffer) = relocatable {
            return Some((
                buffer,
                origins.as_mut().and_then(|origins| origins.take_relocatable(tag)).unwrap_or_default(),
            ));
        }
        let buffer = stage.system.take_back_at(self.area, lay_at)?;
        let origin = origins.as_mut().map(|origins| origins.get(stage.machine, offset));
        Some((buffer, origin.unwrap_or_default()))
    }

    fn give_back<M: Machine + ?Sized>(
        &mut self,
        stage: &mut Stage<'_, '_, 't, M>,
        buffer: Buffer,
    ) -> Result<(), ReplayError> {
        let (page, pages) = (buffer.first().0 - self.base.0, buffer.pages());
        let Stage { system, machine, .. } = stage;
        let answer = self.report.release.time(&**machine, || system.cma_release(buffer));
        stage.released(self.area, page, pages);
        answer.map_err(|error| ReplayError::Release { area: self.area, error })
    }

    /// Returns the report on the area's final state; all buffers stay registered.
    pub(super) fn finish<M: Machine + ?Sized>(mut self, stage: &mut Stage<'_, '_, 't, M>) -> ReplayReport {
        self.report.kept = self.keeper.as_ref().map(Keeper::used);
        if let Some(keeper) = self.keeper {
            keeper.release(stage.system.zone_mut());
        }
        if let Some(origins) = self.origins {
            origins.release(stage.system.zone_mut());
        }
        self.report.moves = self.owner.map(|owner| owner.end(stage.system));
        let area = stage.system.area(self.area);
        self.report.bitmap = Fingerprint::of_bits(area.bitmap().words(), area.bitmap().bits());
        self.report.metrics = Metrics::of(area);
        (self.report.interrupted, self.report.stopped) = (stage.interrupted, stage.stopped);
        self.report
    }
}
