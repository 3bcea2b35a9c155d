// SPDX-License-Identifier: MIT OR Apache-2.0

//! Loads in the background: they go on between the prompt's bytes and between the commands of
//! `run=`.
//!
//! The way of a job: a command that ends in `&` leaves a series of rounds here →
//! [`Monitor::step_jobs`] lets it do [`JOB_STEPS`] steps at a time → what it has to say waits, and
//! the job with it, until whoever reads the console has an empty line in front of him → it is said,
//! and the job goes on, or is over. So nothing is lost, nothing piles up, and nothing is printed
//! into a line that is being typed.
//!
//! What holds true: there is at most one job an area, and no other experiment runs on that. A job
//! begins and ends with the placement that its area has otherwise.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use super::news::write_news;
use super::{Failure, Monitor};
use cma::{AreaId, ReleaseError};
use lab::load::{News, Plan, Series};
use lab::metrics::Counted;
use machine::Machine;
use placement::Placement;
use system::System;

/// Steps that a job does at a time: between two bytes that are typed, and between two commands.
pub(crate) const JOB_STEPS: u64 = 1000;

/// A load in the background.
pub(super) struct Job {
    number: u32,
    /// As it was typed.
    command: String,
    series: Series,
    /// The placement that its area has otherwise.
    placement: Option<Box<dyn Placement>>,
    /// What it has to say before it goes on.
    news: Option<Result<News, ReleaseError>>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Jobs(Vec<Job>);

impl Job {
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn area(&self) -> AreaId {
        self.series.plan().options.area
    }

    pub(super) fn command(&self) -> &str {
        &self.command
    }

    /// Goes on, unless it has something to say.
    fn step<M: Machine + ?Sized>(&mut self, system: &mut System<'_>, machine: &mut M, steps: u64) {
        if self.news.is_none() {
            self.news = match self.series.advance(system, machine, steps) {
                Ok(News::Steps) => None,
                news => Some(news),
            };
        }
    }

    /// What it does, in a line.
    pub(super) fn describe(&self, system: &System<'_>) -> String {
        let area = system.area(self.area());
        let (number, round) = self.series.round();
        let mut line = format!("[{}] {}: on {}, round {number}", self.number, self.command, area.name());
        if let Some(round) = round {
            let (allocs, failed) = round.counts();
            let steps = Counted(round.steps(), "step");
            // Writing to a String cannot fail.
            let _ = write!(line, ", {steps}, {}, {failed} failed", Counted(allocs, "allocation"));
        }
        let _ = write!(line, "; {} of {} used", area.used_pages(), Counted(area.pages().into(), "page"));
        line
    }

    /// Ends it, wherever it is; says what it did.
    pub(super) fn stop(self, out: &mut dyn Write, system: &mut System<'_>) -> Result<(), Failure> {
        let Self { number, command, series, placement, news } = self;
        let area = series.plan().options.area;
        let report = series.stop(system);
        if let Some(placement) = placement {
            system.area_mut(area).set_placement(placement);
        }
        writeln!(out, "[{number}] stopped: {command}")?;
        let unsaid = news.transpose().map_err(refused)?;
        if let Some(news) = unsaid {
            write_news(out, system, area, &news)?;
        }
        if let Some(report) = report {
            write_news(out, system, area, &News::Round { report: Box::new(report), last: true })?;
        }
        Ok(())
    }
}

fn refused(error: ReleaseError) -> Failure {
    Failure::check(format!("a release was refused: {error}"))
}

impl Jobs {
    /// Adds a job; returns its number.
    pub(super) fn add(&mut self, command: String, plan: Plan, placement: Option<Box<dyn Placement>>) -> u32 {
        let number = self.0.last().map_or(1, |last| last.number + 1);
        self.0.push(Job { number, command, series: Series::new(plan, true), placement, news: None });
        number
    }

    pub(super) fn all(&self) -> &[Job] {
        &self.0
    }

    /// Takes a job out.
    pub(super) fn take(&mut self, number: u32) -> Option<Job> {
        let place = self.0.iter().position(|job| job.number == number)?;
        Some(self.0.remove(place))
    }

    /// True where some job can go on.
    pub(super) fn can_step(&self) -> bool {
        self.0.iter().any(|job| job.news.is_none())
    }

    /// True where some job has something to say.
    pub(super) fn have_news(&self) -> bool {
        self.0.iter().any(|job| job.news.is_some())
    }

    /// Lets each do `steps` steps.
    pub(super) fn step<M: Machine + ?Sized>(&mut self, system: &mut System<'_>, machine: &mut M, steps: u64) {
        for job in &mut self.0 {
            job.step(system, machine, steps);
        }
    }

    /// Says what there is to say, and forgets the jobs that are over.
    pub(super) fn say(&mut self, out: &mut dyn Write, system: &mut System<'_>) -> Result<(), Failure> {
        let mut result = Ok(());
        let mut place = 0;
        while let Some(job) = self.0.get_mut(place) {
            let area = job.area();
            let Some(news) = job.news.take() else {
                place += 1;
                continue;
            };
            if matches!(news, Ok(News::Round { .. })) {
                writeln!(out, "[{}] {}:", job.number, job.command)?;
            }
            match news {
                Ok(news) if write_news(out, system, area, &news)? => continue,
                Ok(_) => writeln!(out, "[{}] done: {}", job.number, job.command)?,
                Err(error) => result = Err(refused(error)),
            }
            let job = self.0.remove(place);
            if let Some(placement) = job.placement {
                system.area_mut(area).set_placement(placement);
            }
        }
        result
    }
}

impl<M: Machine + ?Sized> Monitor<'_, '_, M> {
    /// Lets the jobs go on for a while. False where none could.
    pub(super) fn step_jobs(&mut self) -> bool {
        let some = self.jobs.can_step();
        self.jobs.step(self.system, self.machine, JOB_STEPS);
        some
    }

    /// Ends all jobs, before the machine ends.
    pub(super) fn stop_jobs(&mut self) -> Result<(), Failure> {
        let mut result = Ok(());
        let mut out = super::output::Output::new(self.machine, self.context.quiet, Vec::new());
        for job in core::mem::take(&mut self.jobs.0) {
            result = result.and(job.stop(&mut out, self.system));
        }
        result
    }

    /// True where the jobs have something to say.
    pub(super) fn have_news(&self) -> bool {
        self.jobs.have_news()
    }

    /// Says what the jobs have to say; the console is at the start of a line.
    pub(super) fn say_of_jobs(&mut self) -> Result<(), Failure> {
        if !self.jobs.have_news() {
            return Ok(());
        }
        let said =
            self.jobs.say(&mut super::output::Output::new(self.machine, self.context.quiet, Vec::new()), self.system);
        said.and_then(|()| self.check())
    }
}
