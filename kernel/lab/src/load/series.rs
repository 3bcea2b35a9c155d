// SPDX-License-Identifier: MIT OR Apache-2.0

//! Rounds of a load in a row, done in pieces of a given number of steps, so that whoever runs it
//! can print, stop, or do something else in between: a command in the foreground, or the monitor
//! with a job in the background.

use alloc::boxed::Box;

use super::{End, Options, Round, RoundReport};
use crate::record::Record;
use cma::ReleaseError;
use machine::Machine;
use system::System;

/// So many rounds in a row that make no allocation end a series, however many are left.
pub(super) const MAX_EMPTY_ROUNDS: u64 = 10;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The first round; each further one takes the next seed.
    pub options: Options,
    /// How many rounds at most; 0: until one makes no allocation.
    pub rounds: u64,
    /// Steps from sample to sample.
    pub sample: Option<u64>,
    /// The bitmap is wanted before and after each round.
    pub bitmap: bool,
}

/// What there is to say, in the order in which it is to be said.
#[derive(Debug)]
pub enum News {
    /// Nothing: the steps are done.
    Steps,
    /// The area's bitmap is to be shown as it is now.
    Bitmap,
    /// So many steps are done again.
    Sample(Record),
    /// A round is over.
    Round {
        /// What it did.
        report: Box<RoundReport>,
        /// There is nothing more to say.
        last: bool,
    },
    /// The last rounds made no allocation, and nothing says that another would.
    Ruins {
        /// The number of the last one.
        round: u64,
        /// How many there were in a row.
        empty: u64,
        /// How many are left out.
        left: u64,
    },
    /// All rounds are over.
    Done,
}

/// Rounds of a load.
pub struct Series {
    plan: Plan,
    background: bool,
    /// The round that is under way, or the last one.
    round: u64,
    /// Rounds in a row that made no allocation, up to the last that is over.
    empty: u64,
    state: State,
}

enum State {
    /// A round is about to begin; its bitmap was shown.
    Before {
        shown: bool,
    },
    /// A round is under way; holds the steps to its next sample.
    Running(Box<Round>, u64),
    /// A round is over; what comes then, and its bitmap was shown.
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
    /// A series that has done nothing yet.
    pub const fn new(plan: Plan, background: bool) -> Self {
        Self { plan, background, round: 1, empty: 0, state: State::Before { shown: false } }
    }

    /// What is run.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The number of the present round, and the round, if it is under way.
    pub fn round(&self) -> (u64, Option<&Round>) {
        let running = if let State::Running(round, _) = &self.state { Some(&**round) } else { None };
        (self.round, running)
    }

    /// Goes on for at most `steps` steps, up to the next event.
    ///
    /// # Errors
    /// The area refused a buffer that it had given: the accounting is wrong. The series is over
    /// then.
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
                    // What was shown behind one round stands before the next.
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

    /// Ends it; returns what the round under way has done.
    pub fn stop(self, system: &mut System<'_>) -> Option<RoundReport> {
        if let State::Running(round, _) = self.state { Some(round.stop(system)) } else { None }
    }
}
