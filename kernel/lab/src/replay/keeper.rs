// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lifetimes of buffers whose requests failed on the board and succeed here (`failed=keep`). The
//! time of their release is unknown, so each is kept for the median lifetime of its task's buffers
//! in the recording. If that task released none, the median of all tasks counts; if no task did,
//! the buffer is kept to the end. Lifetimes are times, or numbers of lines if there are no times.

use alloc::vec::Vec;
use core::fmt;

use super::ReplayError;
use crate::trace::{Format, Line};
use crate::word_heap::{Key, WordHeap};
use machine::Machine;
use page_alloc::zone::Zone;

/// Most tasks that are distinguished; the lifetimes of others count only for all tasks.
const MAX_TASKS: usize = 256;

/// The time of a line, or its number if lines have no times.
#[derive(Clone, Copy, Debug)]
struct Clock {
    format: Format,
    timed: bool,
}

impl Clock {
    fn at(self, line: &Line<'_>) -> Option<u64> {
        if self.timed { line.head(self.format).time_ns } else { Some(line.number) }
    }
}

/// The lifetimes of a recording's buffers, collected line by line.
pub(super) struct Lives<'t> {
    clock: Clock,
    /// For each task: its name, the number of lifetimes, and their median.
    tasks: Vec<(&'t [u8], usize, u64)>,
    all: Option<u64>,
    samples: WordHeap,
}

impl<'t> Lives<'t> {
    /// Makes an empty collection. A recording has times if one of its lines, `any`, has one.
    ///
    /// # Errors
    /// There is no memory.
    pub(super) fn new<M: Machine + ?Sized>(
        zone: &mut Zone<'_>,
        machine: &mut M,
        format: Format,
        any: Option<Line<'t>>,
    ) -> Result<Self, ReplayError> {
        let timed = any.is_some_and(|line| line.head(format).time_ns.is_some());
        let samples = WordHeap::new(zone, machine).map_err(|_| ReplayError::Memory { bytes: 0 })?;
        Ok(Self { clock: Clock { format, timed }, tasks: Vec::new(), all: None, samples })
    }

    /// Adds the lifetime of a buffer that was allocated at line `from` and released at line `to`.
    ///
    /// # Errors
    /// There is no memory.
    pub(super) fn lived<M: Machine + ?Sized>(
        &mut self,
        zone: &mut Zone<'_>,
        machine: &mut M,
        from: &Line<'t>,
        to: &Line<'t>,
    ) -> Result<(), ReplayError> {
        let (Some(begin), Some(end)) = (self.clock.at(from), self.clock.at(to)) else { return Ok(()) };
        let name = from.head(self.clock.format).task.unwrap_or_default();
        let known = self.tasks.iter().position(|task| task.0 == name);
        let class = known.or_else(|| {
            (self.tasks.len() < MAX_TASKS).then(|| {
                self.tasks.push((name, 0, 0));
                self.tasks.len() - 1
            })
        });
        if let Some(class) = class {
            self.tasks[class].1 += 1;
        }
        let key = Key { class: class.unwrap_or(MAX_TASKS) as u32, number: end.saturating_sub(begin) };
        let bytes = self.samples.wanted_bytes();
        self.samples.push(zone, machine, key, 0).map_err(|_| ReplayError::Memory { bytes })
    }

    /// Computes the medians from all lifetimes; of an even number, the lower middle one.
    ///
    /// # Errors
    /// There is no memory.
    fn settle<M: Machine + ?Sized>(&mut self, zone: &mut Zone<'_>, machine: &mut M) -> Result<(), ReplayError> {
        let total = self.samples.len();
        let bytes = self.samples.wanted_bytes();
        let mut all = WordHeap::new(zone, machine).map_err(|_| ReplayError::Memory { bytes })?;
        let (mut class, mut place) = (0, 0);
        let mut result = Ok(());
        while let Some((key, _)) = self.samples.pop(machine) {
            if key.class != class {
                (class, place) = (key.class, 0);
            }
            if let Some((_, count, median)) = self.tasks.get_mut(class as usize)
                && place == (*count - 1) / 2
            {
                *median = key.number;
            }
            place += 1;
            result = result.and_then(|()| all.push(zone, machine, Key { class: 0, ..key }, 0));
        }
        for _ in 0..total.div_ceil(2) {
            self.all = all.pop(machine).map(|(key, _)| key.number);
        }
        all.release(zone);
        result.map_err(|_| ReplayError::Memory { bytes })
    }

    /// Releases the memory.
    pub(super) fn release(self, zone: &mut Zone<'_>) {
        self.samples.release(zone);
    }
}

/// The buffers that are kept, and until when.
pub(super) struct Keeper<'t> {
    lives: Lives<'t>,
    /// First pages of buffers, ordered by the time of their release.
    due: WordHeap,
    used: Used,
}

/// Numbers of kept buffers, by the source of their lifetime.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Used {
    /// The median of their task.
    pub task: u64,
    /// The median of all tasks.
    pub all: u64,
    /// No lifetime: they are kept to the end.
    pub none: u64,
}

impl fmt::Display for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, all, none } = self;
        write!(f, "kept: {task} for the median life of their task's buffers, {all} of all tasks', {none} to the end")
    }
}

impl<'t> Keeper<'t> {
    /// Makes the keeper of a recording from its complete lifetimes.
    ///
    /// # Errors
    /// There is no memory.
    pub(super) fn new<M: Machine + ?Sized>(
        zone: &mut Zone<'_>,
        machine: &mut M,
        mut lives: Lives<'t>,
    ) -> Result<Self, ReplayError> {
        let settled = lives.settle(zone, machine);
        match settled.and_then(|()| WordHeap::new(zone, machine).map_err(|_| ReplayError::Memory { bytes: 0 })) {
            Ok(due) => Ok(Self { lives, due, used: Used::default() }),
            Err(error) => {
                lives.release(zone);
                Err(error)
            }
        }
    }

    /// Returns the numbers of buffers that were kept.
    pub(super) fn used(&self) -> Used {
        self.used
    }

    /// Keeps the buffer that begins at page `page` and was requested at line `line`.
    ///
    /// # Errors
    /// There is no memory.
    pub(super) fn keep<M: Machine + ?Sized>(
        &mut self,
        zone: &mut Zone<'_>,
        machine: &mut M,
        line: &Line<'t>,
        page: u32,
    ) -> Result<(), ReplayError> {
        let name = line.head(self.lives.clock.format).task.unwrap_or_default();
        let own = self.lives.tasks.iter().find(|task| task.0 == name && task.1 > 0).map(|task| task.2);
        let count = match (own, self.lives.all) {
            (Some(_), _) => &mut self.used.task,
            (None, Some(_)) => &mut self.used.all,
            (None, None) => &mut self.used.none,
        };
        *count += 1;
        let (Some(life), Some(now)) = (own.or(self.lives.all), self.lives.clock.at(line)) else { return Ok(()) };
        let bytes = self.due.wanted_bytes();
        let key = Key { class: 0, number: now.saturating_add(life) };
        self.due.push(zone, machine, key, page).map_err(|_| ReplayError::Memory { bytes })
    }

    /// Removes a buffer that is due at line `line`, and returns its page.
    pub(super) fn due<M: Machine + ?Sized>(&mut self, machine: &mut M, line: &Line<'t>) -> Option<u32> {
        let first = self.due.first(machine)?;
        let now = self.lives.clock.at(line)?;
        if first.number > now {
            return None;
        }
        self.due.pop(machine).map(|(_, page)| page)
    }

    /// Releases the memory.
    pub(super) fn release(self, zone: &mut Zone<'_>) {
        self.due.release(zone);
        self.lives.release(zone);
    }
}
