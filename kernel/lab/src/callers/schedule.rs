// SPDX-License-Identifier: MIT OR Apache-2.0

//! Schedulers: at random, in turn, or by a list of switches, of which all can be tried.

use alloc::vec::Vec;

use super::{Broken, Report};
use experiment::rng::Rng;

/// Chooses the actor of a step.
pub trait Scheduler {
    /// Returns one of the actors in the mask `ready`, which is not 0, for step `step`; `last` did
    /// the step before.
    fn choose(&mut self, step: u32, ready: u32, last: usize) -> usize;
}

/// Chooses each actor that is ready with equal probability.
pub struct Seeded(Rng);

impl Seeded {
    /// Makes the scheduler of a seed.
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

/// Chooses the next ready actor after the last, by number.
pub struct RoundRobin;

impl Scheduler for RoundRobin {
    fn choose(&mut self, _: u32, ready: u32, last: usize) -> usize {
        let after = ready & u32::MAX.checked_shl(last as u32 + 1).unwrap_or(0);
        if after == 0 { ready } else { after }.trailing_zeros() as usize
    }
}

/// Before step `step` another actor continues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Switch {
    /// The step.
    pub step: u32,
    /// The actor.
    pub to: usize,
}

/// Lets the last actor continue as long as it can, except at these switches, which are in the order
/// of their steps.
pub struct Forced<'a>(pub &'a [Switch]);

impl Scheduler for Forced<'_> {
    fn choose(&mut self, step: u32, ready: u32, last: usize) -> usize {
        let forced = self.0.iter().find(|switch| switch.step == step).map(|switch| switch.to);
        let wanted = forced.unwrap_or(last);
        if ready >> wanted & 1 == 1 { wanted } else { RoundRobin.choose(step, ready, last) }
    }
}

/// Runs every schedule with at most `switches` switches; returns the number of schedules.
///
/// `run` makes a run with the given switches, and has to record its steps.
///
/// # Errors
/// The first schedule that fails, and the error.
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
