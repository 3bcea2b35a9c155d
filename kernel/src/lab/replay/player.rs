//! Asks the area what a trace asks, times it, and keeps the books of the replay.

use super::{ReplayError, Report};
use crate::cma::AreaId;
use crate::lab::fingerprint::Fingerprint;
use crate::lab::metrics::Metrics;
use crate::lab::request::Align;
use crate::lab::stopwatch::{ClockCost, Timing};
use crate::lab::trace::Format;
use crate::machine::Machine;
use crate::system::System;
use crate::units::Pfn;

/// A replay under way.
pub(super) struct Player<'p, 'm, M: ?Sized> {
    pub system: &'p mut System<'m>,
    pub machine: &'p mut M,
    pub report: Report,
    pub area: AreaId,
    pub base: Pfn,
    align: Option<Align>,
}

impl<'p, 'm, M: Machine + ?Sized> Player<'p, 'm, M> {
    pub fn new(
        system: &'p mut System<'m>,
        machine: &'p mut M,
        id: AreaId,
        align: Option<Align>,
        format: Format,
    ) -> Self {
        let area = system.area(id);
        let report = Report {
            area: area.name().into(),
            placement: area.placement().label(),
            format,
            from: "".into(),
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
            lines: 0,
            checked_ns: 0,
            alloc: Timing::default(),
            release: Timing::default(),
            cost: ClockCost::measure(machine),
        };
        let base = area.base();
        Self { system, machine, report, area: id, base, align }
    }

    /// Whether to stop here.
    pub fn interrupted(&mut self) -> bool {
        self.report.interrupted = self.machine.interrupted();
        self.report.interrupted
    }

    /// Allocates; the buffer stays registered. Returns its page offset in the area.
    pub fn alloc(&mut self, pages: u32, align_order: u32) -> Option<u32> {
        let Self { system, report, area, align, base, .. } = self;
        let align_order = align.map_or(align_order, |align| align.of(pages));
        let answer = report.alloc.time(&*self.machine, || system.cma_alloc(*area, pages, align_order));
        report.ops += 1;
        report.allocs += 1;
        match answer {
            Ok(buffer) => {
                let offset = buffer.first().0 - base.0;
                report.placements.push(offset);
                system.keep(buffer);
                Some(offset)
            }
            Err(_) => {
                report.failed += 1;
                report.placements.push(Fingerprint::FAILED);
                None
            }
        }
    }

    /// Releases the buffer at an offset, if there is one.
    pub fn release(&mut self, offset: u32) -> Result<(), ReplayError> {
        let Some(buffer) = self.system.take_back_at(self.area, self.base.add(offset)) else { return Ok(()) };
        let Self { system, report, .. } = self;
        let answer = report.release.time(&*self.machine, || system.cma_release(buffer));
        answer.map_err(ReplayError::Release)
    }

    /// Releases `pages` pages from `skip` pages into the buffer at an offset; what is left of it stays registered.
    pub fn release_part(&mut self, offset: u32, skip: u32, pages: u32) -> Result<(), ReplayError> {
        let Some(mut buffer) = self.system.take_back_at(self.area, self.base.add(offset)) else { return Ok(()) };
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
        self.system.keep(buffer);
        self.release(offset + skip)
    }

    /// The report, with the area as it is now.
    pub fn finish(mut self) -> Report {
        let area = self.system.area(self.area);
        self.report.bitmap = Fingerprint::of_bits(area.bitmap().words(), area.bitmap().bits());
        self.report.metrics = Metrics::of(area);
        self.report
    }
}
