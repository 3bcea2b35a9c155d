// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counts of each caller: requests, candidates that were lost, and waits.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// The thing that a caller waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitFor {
    /// The mutex around `alloc_contig_range`: `cma_mutex`, or the area's.
    Contig,
    /// The driver's own mutex, which the work item takes, too.
    Driver,
    /// The work item that `lru_add_drain_all` flushes.
    Work,
    /// A buffer that another task has not allocated yet.
    Buffer,
}

impl WaitFor {
    /// All things that a caller can wait for.
    pub const ALL: [Self; 4] = [Self::Contig, Self::Driver, Self::Work, Self::Buffer];
}

impl fmt::Display for WaitFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Contig => "the mutex around alloc_contig_range",
            Self::Driver => "the driver's mutex",
            Self::Work => "the work item to end",
            Self::Buffer => "the other task's buffer",
        })
    }
}

/// The waits of a caller for one thing.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Waits {
    /// Number of waits: one for each time that it needed something that was not free.
    pub times: u32,
    /// Steps of others, from when it could not run to its own next step.
    pub steps: u32,
    /// Steps of the longest wait.
    pub longest_steps: u32,
    /// Nanoseconds of these steps.
    pub ns: u64,
    /// Nanoseconds of the longest wait.
    pub longest_ns: u64,
}

impl Waits {
    /// Adds the sums of another, and takes the maximum of the longest waits.
    pub fn add(&mut self, other: &Self) {
        self.times += other.times;
        self.steps += other.steps;
        self.longest_steps = self.longest_steps.max(other.longest_steps);
        self.ns += other.ns;
        self.longest_ns = self.longest_ns.max(other.longest_ns);
    }
}

/// Counts of one caller.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Requests that got a buffer.
    pub served: u32,
    /// Requests that ended with -EBUSY.
    pub busy: u32,
    /// Requests that ended with another error.
    pub failed: u32,
    /// Candidates given up because another caller had isolated a pageblock, by that caller.
    pub isolated_by: Vec<u32>,
    /// Candidates given up for the next one.
    pub retries: u32,
    /// Pages in use that were moved, including those moved back.
    pub migrated: u32,
    /// Clean pages that were dropped, including those restored.
    pub dropped: u32,
    /// Waits, in the order of [`WaitFor::ALL`].
    pub waits: [Waits; WaitFor::ALL.len()],
}

impl Tally {
    pub(super) fn new(callers: usize) -> Self {
        Self { isolated_by: vec![0; callers], ..Self::default() }
    }

    /// Returns the waits for one thing.
    pub const fn waits_for(&self, what: WaitFor) -> &Waits {
        &self.waits[what as usize]
    }
}

/// A wait that has not ended.
#[derive(Clone, Copy, Default)]
pub(super) struct Waiting {
    what: Option<WaitFor>,
    steps: u32,
    ns: u64,
}

impl Waiting {
    /// Ends the wait, after a step of the caller itself.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }

    /// Counts a step of another actor for a caller that needs `what`. A wait lasts until the
    /// caller's own next step, even if the thing is free for a while and another caller gets it.
    pub(super) fn count(&mut self, what: Option<WaitFor>, step_ns: u64, tally: &mut Tally) {
        if self.what.is_none()
            && let Some(what) = what
        {
            *self = Self { what: Some(what), ..Self::default() };
            tally.waits[what as usize].times += 1;
        }
        let Some(what) = self.what else { return };
        self.steps += 1;
        self.ns += step_ns;
        let waits = &mut tally.waits[what as usize];
        waits.steps += 1;
        waits.ns += step_ns;
        waits.longest_steps = waits.longest_steps.max(self.steps);
        waits.longest_ns = waits.longest_ns.max(self.ns);
    }
}
