// SPDX-License-Identifier: MIT OR Apache-2.0

//! The state that the areas of a replay share: the system, the machine, and the pass over the
//! recording, which answers the lines of all areas in their order.

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

/// A running replay.
pub(super) struct Stage<'p, 'm, 't, M: ?Sized> {
    pub system: &'p mut System<'m>,
    pub machine: &'p mut M,
    pub trace: &'t [u8],
    pub format: Format,
    /// The current line.
    pub line: Line<'t>,
    /// True if Ctrl-C ended it.
    pub interrupted: bool,
    /// The line of the failure that ended it.
    pub stopped: Option<u64>,
    tell: Tell<'p, M>,
}

/// A receiver of lines, which makes the requests of one area.
pub(super) trait Follow<'t, M: Machine + ?Sized> {
    /// The content of a line.
    type Said;

    /// Releases what is due before the line.
    ///
    /// # Errors
    /// See [`ReplayError`].
    fn release_due(&mut self, stage: &mut Stage<'_, '_, 't, M>) -> Result<(), ReplayError>;

    /// Answers a line, if it belongs to its area.
    ///
    /// # Errors
    /// See [`ReplayError`].
    fn answer(&mut self, stage: &mut Stage<'_, '_, 't, M>, said: &Self::Said) -> Result<(), ReplayError>;
}

impl<'p, 'm, 't, M: Machine + ?Sized> Stage<'p, 'm, 't, M> {
    /// Makes a stage before the first line; `tell` is called for each step.
    pub(super) fn new(
        system: &'p mut System<'m>,
        machine: &'p mut M,
        (trace, format): (&'t [u8], Format),
        tell: Tell<'p, M>,
    ) -> Self {
        let line = Line { number: 0, start: 0, text: &[] };
        Self { system, machine, trace, format, line, interrupted: false, stopped: None, tell }
    }

    /// Passes every line to all followers, up to Ctrl-C, or to the failure that ends the replay.
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

    /// True if a callback gets each step.
    pub(super) fn is_told(&self) -> bool {
        self.tell.is_some()
    }

    /// True if pages are numbers of the board's page frames.
    pub(super) fn has_page_numbers(&self) -> bool {
        self.format == Format::Ftrace
    }

    /// Reports that the line's request succeeded.
    pub(super) fn placed(&mut self, area: AreaId, page: u32, pages: u32) {
        let Some(tell) = &mut self.tell else { return };
        let (line, head) = (self.line.number, self.line.head(self.format));
        tell(self.machine, Told::Placed { line, head, page, pages, area: self.system.area(area) });
    }

    /// Reports released pages.
    pub(super) fn released(&mut self, area: AreaId, page: u32, pages: u32) {
        let Some(tell) = &mut self.tell else { return };
        let line = self.line.number;
        tell(self.machine, Told::Released { line, page, pages, area: self.system.area(area) });
    }

    /// Returns a window with the first buffers in it.
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

    /// Reports that the line's request failed.
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
