// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who goes on: at random, in turn, or as a list of switches says, of which all can be gone
//! through.

use alloc::vec::Vec;

use super::{Broken, Report};
use experiment::rng::Rng;

/// Chooses who goes on.
pub trait Scheduler {
    /// One of the callers whose bit is set in `ready`, which has one at least, for the step of this
    /// number; `last` made the step before.
    fn choose(&mut self, step: u32, ready: u32, last: usize) -> usize;
}

/// Anybody, with the same probability.
pub struct Seeded(Rng);

impl Seeded {
    /// The choices of a seed.
    pub fn new(seed: u32) -> Self {
        Self(Rng::seeded(seed))
    }
}

impl Scheduler for Seeded {
    fn choose(&mut self, _: u32, ready: u32, _: usize) -> usize {
        let place = self.0.below(ready.count_ones());
        let rest = (0..place).fold(ready, |rest, _| rest & (rest - 1));
        rest.trailing_zeros() as usize
    }
}

/// The next one after the last.
pub struct RoundRobin;

impl Scheduler for RoundRobin {
    fn choose(&mut self, _: u32, ready: u32, last: usize) -> usize {
        let after = ready & u32::MAX.checked_shl(last as u32 + 1).unwrap_or(0);
        if after == 0 { ready } else { after }.trailing_zeros() as usize
    }
}

/// Before the step of this number another caller goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Switch {
    /// The step.
    pub step: u32,
    /// The caller.
    pub to: usize,
}

/// Whoever went last goes on as long as it can, except at these switches, in the order of their
/// steps.
pub struct Forced<'a>(pub &'a [Switch]);

impl Scheduler for Forced<'_> {
    fn choose(&mut self, step: u32, ready: u32, last: usize) -> usize {
        let forced = self.0.iter().find(|switch| switch.step == step).map(|switch| switch.to);
        let wanted = forced.unwrap_or(last);
        if ready >> wanted & 1 == 1 { wanted } else { RoundRobin.choose(step, ready, last) }
    }
}

/// Runs every schedule with at most `switches` switches; returns how many there are.
///
/// `run` makes a run by the switches and tells its story.
///
/// # Errors
/// The first schedule that breaks something, and what it breaks.
pub fn every_schedule(
    switches: usize,
    mut run: impl FnMut(&[Switch]) -> Result<Report, Broken>,
) -> Result<u64, (Vec<Switch>, Broken)> {
    let mut waiting = Vec::from([Vec::new()]);
    let mut schedules = 0;
    while let Some(schedule) = waiting.pop() {
        let report = run(&schedule).map_err(|broken| (schedule.clone(), broken))?;
        schedules += 1;
        if schedule.len() == switches {
            continue;
        }
        let from = schedule.last().map_or(0, |switch: &Switch| switch.step + 1);
        for (step, record) in (0..).zip(&report.story).skip(from as usize) {
            let others = (0..u32::BITS as usize).filter(|to| record.ready >> to & 1 == 1 && *to != record.caller);
            waiting.extend(others.map(|to| {
                let mut longer = schedule.clone();
                longer.push(Switch { step, to });
                longer
            }));
        }
    }
    Ok(schedules)
}
