// SPDX-License-Identifier: MIT OR Apache-2.0

//! Rounds of a load in a row, run in parts of a given number of steps, so that the caller can
//! print, stop, or do other work in between: a command in the foreground, or the monitor with a job
//! in the background.

use alloc::boxed::Box;

use super::{End, Options, Round, RoundReport};
use crate::record::Record;
use cma::ReleaseError;
use machine::Machine;
use system::System;

/// Rounds in a row without an allocation that end a series early.
pub(super) const MAX_EMPTY_ROUNDS: u64 = 10;

/// Parameters of a series.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Parameters of the first round; each further round takes the next seed.
    pub options: Options,
    /// Maximum number of rounds; 0: until one makes no allocation.
    pub rounds: u64,
    /// Steps from sample to sample.
    pub sample: Option<u64>,
    /// True to report the bitmap before and after each round.
    pub bitmap: bool,
}

/// Events of a series, in the order in which they are to be reported.
#[derive(Debug)]
pub enum News {
    /// No event: the steps are done.
    Steps,
    /// The current bitmap of the area is due.
    Bitmap,
    /// A sample is due.
    Sample(Record),
    /// A round has ended.
    Round {
        /// Its result.
        report: Box<RoundReport>,
        /// True if only [`News::Done`] follows.
        last: bool,
    },
    /// The last rounds made no allocation, and no later one is expected to.
    Ruins {
        /// The number of the last round.
        round: u64,
        /// Number of such rounds in a row.
        empty: u64,
        /// Number of rounds not run.
        left: u64,
    },
    /// All rounds have ended.
    Done,
}

/// Rounds of a load.
pub struct Series {
    plan: Plan,
    background: bool,
    /// The number of the running round, or of the last one.
    round: u64,
    /// Rounds in a row without an allocation, up to the last that has ended.
    empty: u64,
    state: State,
}

enum State {
    /// A round is about to begin; `shown` is true if its bitmap was reported.
    Before {
        shown: bool,
    },
    /// A round is running, with the steps to its next sample.
    Running(Box<Round>, u64),
    /// A round has ended; `shown` is true if its bitmap was reported.
    After {
        then: Then,
        shown: bool,
    },
    Over,
}

#[derive(Clone, Copy)]
enum Then {
    Next,
    Ruins,
    Over,
}

impl Series {
    /// Makes a series that has not begun.
    pub const fn new(plan: Plan, background: bool) -> Self {
        Self { plan, background, round: 1, empty: 0, state: State::Before { shown: false } }
    }

    /// Returns the parameters.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the number of the current round, and the round if it is running.
    pub fn round(&self) -> (u64, Option<&Round>) {
        let running = if let State::Running(round, _) = &self.state { Some(&**round) } else { None };
        (self.round, running)
    }

    /// Runs at most `steps` steps, up to the next event.
    ///
    /// # Errors
    /// The area refused the release of a buffer that it had allocated: the accounting is wrong. The
    /// series is over then.
    pub fn advance<M: Machine + ?Sized>(
        &mut self,
        system: &mut System<'_>,
        machine: &mut M,
        steps: u64,
    ) -> Result<News, ReleaseError> {
        loop {
            match core::mem::replace(&mut self.state, State::Over) {
                State::Before { shown: false } if self.plan.bitmap => {
                    self.state = State::Before { shown: true };
                    return Ok(News::Bitmap);
                }
                State::Before { .. } => {
                    let mut round = Round::begin(system, machine, &self.plan.options, self.round);
                    if self.background {
                        round.in_background();
                    }
                    self.state = State::Running(Box::new(round), self.plan.sample.unwrap_or(u64::MAX));
                }
                State::Running(mut round, left) => {
                    let before = round.steps();
                    let result = round.run(system, machine, steps.min(left));
                    let done = round.steps() - before;
                    match result {
                        Ok(true) if done < left => {
                            self.state = State::Running(round, left - done);
                            return Ok(News::Steps);
                        }
                        Ok(true) => {
                            let sample = round.sample(system);
                            self.state = State::Running(round, self.plan.sample.unwrap_or(u64::MAX));
                            return Ok(News::Sample(sample));
                        }
                        Ok(false) => {
                            let report = round.finish(system);
                            let then = self.then(&report);
                            let last = matches!(then, Then::Over) && !self.plan.bitmap;
                            self.state = State::After { then, shown: false };
                            return Ok(News::Round { report: Box::new(report), last });
                        }
                        Err(error) => {
                            round.finish(system);
                            return Err(error);
                        }
                    }
                }
                State::After { then, shown: false } if self.plan.bitmap => {
                    self.state = State::After { then, shown: true };
                    return Ok(News::Bitmap);
                }
                State::After { then: Then::Ruins, .. } => {
                    let (round, empty) = (self.round, self.empty);
                    return Ok(News::Ruins { round, empty, left: self.plan.rounds.saturating_sub(round) });
                }
                State::After { then: Then::Next, shown } => {
                    self.round += 1;
                    // The bitmap after one round is that before the next.
                    self.state = State::Before { shown };
                }
                State::After { then: Then::Over, .. } | State::Over => return Ok(News::Done),
            }
        }
    }

    fn then(&mut self, report: &RoundReport) -> Then {
        let Plan { rounds, .. } = self.plan;
        self.empty = if report.allocs == 0 { self.empty + 1 } else { 0 };
        let most_empty = if rounds == 0 { 1 } else { MAX_EMPTY_ROUNDS };
        if matches!(report.end, End::Interrupted | End::NoMemory) || self.round == rounds {
            Then::Over
        } else if self.empty == most_empty {
            Then::Ruins
        } else {
            Then::Next
        }
    }

    /// Ends the series; returns the result of the running round.
    pub fn stop(self, system: &mut System<'_>) -> Option<RoundReport> {
        if let State::Running(round, _) = self.state { Some(round.stop(system)) } else { None }
    }
}
