// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the areas of a replay have in common: the system, the machine, and the pass over the
//! recording, whose lines are answered in their order whichever area they are of.

use alloc::vec::Vec;

use super::failure::{Blocker, Failure, InTheWay, MAX_BLOCKERS};
use super::origins::{Origin, Origins};
use super::{ReplayError, Tell, Told};
use crate::obstacles::{Holder, Window};
use crate::trace::{Format, Line, Step};
use crate::watch::interrupted;
use cma::{AreaId, CmaError};
use machine::Machine;
use system::System;

/// A replay under way.
pub(super) struct Stage<'p, 'm, 't, M: ?Sized> {
    pub system: &'p mut System<'m>,
    pub machine: &'p mut M,
    pub trace: &'t [u8],
    pub format: Format,
    /// The line that is being answered.
    pub line: Line<'t>,
    /// Ctrl-C ended it.
    pub interrupted: bool,
    /// The line of the failure that ended it.
    pub stopped: Option<u64>,
    tell: Tell<'p, M>,
}

/// What answers the lines that are of one area.
pub(super) trait Follow<'t, M: Machine + ?Sized> {
    /// What a line says.
    type Said;

    /// Does what is due in front of the line.
    ///
    /// # Errors
    /// See [`ReplayError`].
    fn release_due(&mut self, stage: &mut Stage<'_, '_, 't, M>) -> Result<(), ReplayError>;

    /// Answers what the line says, if it is of its area.
    ///
    /// # Errors
    /// See [`ReplayError`].
    fn answer(&mut self, stage: &mut Stage<'_, '_, 't, M>, said: &Self::Said) -> Result<(), ReplayError>;
}

impl<'p, 'm, 't, M: Machine + ?Sized> Stage<'p, 'm, 't, M> {
    /// In front of the first line. `tell` is told of each step.
    pub(super) fn new(
        system: &'p mut System<'m>,
        machine: &'p mut M,
        (trace, format): (&'t [u8], Format),
        tell: Tell<'p, M>,
    ) -> Self {
        let line = Line { number: 0, start: 0, text: &[] };
        Self { system, machine, trace, format, line, interrupted: false, stopped: None, tell }
    }

    /// The pass: every line is shown to all that follow, up to Ctrl-C, or to the failure that ends
    /// the replay.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub(super) fn run<F: Follow<'t, M>>(
        &mut self,
        followers: &mut [F],
        steps: impl Iterator<Item = Step<'t, F::Said>>,
    ) -> Result<(), ReplayError> {
        for step in steps {
            let (line, said) = step?;
            self.interrupted = interrupted(self.machine, self.system);
            if self.interrupted || self.stopped.is_some() {
                break;
            }
            self.line = line;
            for follower in &mut *followers {
                follower.release_due(self)?;
            }
            let Some(said) = said else { continue };
            for follower in &mut *followers {
                follower.answer(self, &said)?;
            }
        }
        Ok(())
    }

    /// Whether somebody is told of each step.
    pub(super) fn is_told(&self) -> bool {
        self.tell.is_some()
    }

    /// Whether pages are numbers of the board's page frames.
    pub(super) fn has_page_numbers(&self) -> bool {
        self.format == Format::Ftrace
    }

    /// Tells that the line's request was served.
    pub(super) fn placed(&mut self, area: AreaId, page: u32, pages: u32) {
        let Some(tell) = &mut self.tell else { return };
        let (line, head) = (self.line.number, self.line.head(self.format));
        tell(self.machine, Told::Placed { line, head, page, pages, area: self.system.area(area) });
    }

    /// Tells of pages that were released.
    pub(super) fn released(&mut self, area: AreaId, page: u32, pages: u32) {
        let Some(tell) = &mut self.tell else { return };
        let line = self.line.number;
        tell(self.machine, Told::Released { line, page, pages, area: self.system.area(area) });
    }

    /// What is in a window that a request could have.
    pub(super) fn in_the_way(&mut self, window: Window, area: AreaId, origins: &mut Origins) -> InTheWay<'t> {
        let mut blockers = Vec::new();
        for buffer in window.obstacles(self.system, area).take(MAX_BLOCKERS) {
            let origin = match buffer.holder {
                Holder::Kept(_) => origins.get(self.machine, buffer.page),
                Holder::Relocatable(tag) => origins.get_relocatable(tag),
                Holder::Other => Origin::default(),
            };
            let head = origin.line(self.trace).map(|line: Line<'t>| line.head(self.format)).unwrap_or_default();
            blockers.push(Blocker { page: buffer.page, pages: buffer.pages, line: origin.line.into(), head });
        }
        InTheWay { window, blockers }
    }

    /// Tells that the line's request failed.
    pub(super) fn failed(
        &mut self,
        area: AreaId,
        (pages, align_order): (u32, u32),
        error: CmaError,
        failed_there: bool,
        in_the_way: Vec<InTheWay<'t>>,
    ) {
        let Some(tell) = &mut self.tell else { return };
        let area = self.system.area(area);
        let failure = Failure {
            area: area.name(),
            line: self.line.number,
            head: self.line.head(self.format),
            pages,
            align_order,
            error,
            free: area.free_pages(),
            longest: area.longest_free_run(),
            failed_there,
            in_the_way,
        };
        tell(self.machine, Told::Failed { failure: &failure, area });
    }
}

#[cfg(test)]
mod tests;
