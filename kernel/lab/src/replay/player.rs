// SPDX-License-Identifier: MIT OR Apache-2.0

//! Asks the area what a trace asks, times it, and keeps the books of the replay.

use super::{Options, RecordedSize, ReplayError, ReplayReport};
use crate::fingerprint::Fingerprint;
use crate::lender::Lender;
use crate::metrics::Metrics;
use crate::request::Align;
use crate::stopwatch::{ClockCost, Timing};
use crate::trace::Format;
use cma::{AreaId, Buffer};
use machine::Machine;
use system::System;
use units::Pfn;

/// A replay under way.
pub(super) struct Player<'p, 'm, M: ?Sized> {
    pub system: &'p mut System<'m>,
    pub machine: &'p mut M,
    pub report: ReplayReport,
    pub area: AreaId,
    pub base: Pfn,
    align: Option<Align>,
    lender: Option<Lender>,
}

impl<'p, 'm, M: Machine + ?Sized> Player<'p, 'm, M> {
    pub fn new(system: &'p mut System<'m>, machine: &'p mut M, options: Options<'_>, format: Format) -> Self {
        let lender = Lender::new(system, options.area, options.relocatable);
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
            interrupted: false,
            lost: 0,
            unmatched: 0,
            held_released: 0,
            failed_recorded: 0,
            failed_served: 0,
            as_recorded: 0,
            peak_pages: 0,
            highest_page: 0,
            moves: None,
            lines: 0,
            checked_ns: 0,
            alloc: Timing::default(),
            release: Timing::default(),
            cost: ClockCost::measure(machine),
        };
        let base = area.base();
        Self { system, machine, report, area: options.area, base, align: options.align, lender }
    }

    /// Whether to stop here.
    pub fn interrupted(&mut self) -> bool {
        self.report.interrupted = self.machine.interrupted();
        self.report.interrupted
    }

    /// Allocates; the buffer stays registered. Returns its page offset in the area, by which it is found together with its
    /// tag, which no other buffer has.
    pub fn alloc(&mut self, tag: u32, pages: u32, align_order: u32) -> Option<u32> {
        let Self { system, report, area, align, base, .. } = self;
        let align_order = align.map_or(align_order, |align| align.of(pages));
        let answer = report.alloc.time(&*self.machine, || system.cma_alloc(*area, pages, align_order));
        report.ops += 1;
        report.allocs += 1;
        let Ok(buffer) = answer else {
            report.failed += 1;
            report.placements.push(Fingerprint::FAILED);
            return None;
        };
        let offset = buffer.first().0 - base.0;
        report.placements.push(offset);
        report.peak_pages = report.peak_pages.max(system.area(*area).used_pages());
        report.highest_page = report.highest_page.max(offset + pages);
        match &mut self.lender {
            Some(lender) if lender.wants(tag) => lender.lend(system, buffer, align_order, tag),
            _ => {
                system.keep(buffer);
            }
        }
        Some(offset)
    }

    /// Asks for what failed when it was recorded. If it succeeds here, the buffer goes back at once: its driver never had it.
    pub fn alloc_failed(&mut self, tag: u32, pages: u32, align_order: u32) -> Result<(), ReplayError> {
        self.report.failed_recorded += 1;
        match self.alloc(tag, pages, align_order) {
            Some(offset) => {
                self.report.failed_served += 1;
                self.release(tag, offset)
            }
            None => Ok(()),
        }
    }

    /// Releases a buffer, if there is one.
    pub fn release(&mut self, tag: u32, offset: u32) -> Result<(), ReplayError> {
        match self.take(tag, offset) {
            Some(buffer) => self.give_back(buffer),
            None => Ok(()),
        }
    }

    /// Releases `pages` pages from `skip` pages into a buffer; what is left of it stays registered, and is not moved any
    /// more. Returns the offset of where the buffer lay last.
    pub fn release_part(&mut self, tag: u32, offset: u32, skip: u32, pages: u32) -> Result<u32, ReplayError> {
        let Some(mut buffer) = self.take(tag, offset) else { return Ok(offset) };
        let lay_at = buffer.first().0 - self.base.0;
        if skip > 0 {
            let (front, rest) = buffer.split(skip);
            self.system.keep(front);
            buffer = rest;
        }
        if pages < buffer.pages() {
            let (front, rest) = buffer.split(pages);
            self.system.keep(rest);
            buffer = front;
        }
        self.give_back(buffer).map(|()| lay_at)
    }

    fn take(&mut self, tag: u32, offset: u32) -> Option<Buffer> {
        let lay_at = self.base.add(offset);
        let lent = self.lender.as_mut().and_then(|lender| lender.take_back(self.system, tag, lay_at));
        lent.or_else(|| self.system.take_back_at(self.area, lay_at))
    }

    fn give_back(&mut self, buffer: Buffer) -> Result<(), ReplayError> {
        let Self { system, report, .. } = self;
        let answer = report.release.time(&*self.machine, || system.cma_release(buffer));
        answer.map_err(ReplayError::Release)
    }

    /// The report, with the area as it is now; all buffers stay registered.
    pub fn finish(mut self) -> ReplayReport {
        self.report.moves = self.lender.map(|lender| lender.end(self.system));
        let area = self.system.area(self.area);
        self.report.bitmap = Fingerprint::of_bits(area.bitmap().words(), area.bitmap().bits());
        self.report.metrics = Metrics::of(area);
        self.report
    }
}
