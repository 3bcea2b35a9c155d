// SPDX-License-Identifier: MIT OR Apache-2.0

//! Loads in the background, which run between the prompt's bytes and between the commands of
//! `run=`.
//!
//! The steps of a job: a command that ends in `&` adds a series of rounds → [`Monitor::step_jobs`]
//! does [`JOB_STEPS`] steps of it at a time → a round or sample that is to be printed stops the job
//! until the console is at an empty line → it is printed, and the job continues or ends. So at most
//! one message of a job waits, and nothing is printed into a line that is being typed.
//!
//! Invariants: an area has at most one job, and no other experiment meanwhile. After a job, the
//! area has its own placement.

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

/// Steps that a job does between two typed bytes, and between two commands.
pub(crate) const JOB_STEPS: u64 = 1000;

/// A load in the background.
pub(super) struct Job {
    number: u32,
    /// The command as typed.
    command: String,
    series: Series,
    /// The area's own placement, if the job has set another one.
    placement: Option<Box<dyn Placement>>,
    /// News to print before the job continues.
    news: Option<Result<News, ReleaseError>>,
}

/// All jobs.
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

    /// Does `steps` steps, unless it has news to print.
    fn step<M: Machine + ?Sized>(&mut self, system: &mut System<'_>, machine: &mut M, steps: u64) {
        if self.news.is_none() {
            self.news = match self.series.advance(system, machine, steps) {
                Ok(News::Steps) => None,
                news => Some(news),
            };
        }
    }

    /// Describes the job in a line.
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

    /// Ends the job at any step; prints its last news and a report.
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

    /// Removes a job.
    pub(super) fn take(&mut self, number: u32) -> Option<Job> {
        let place = self.0.iter().position(|job| job.number == number)?;
        Some(self.0.remove(place))
    }

    /// True if a job can do steps.
    pub(super) fn can_step(&self) -> bool {
        self.0.iter().any(|job| job.news.is_none())
    }

    /// True if a job has news to print.
    pub(super) fn have_news(&self) -> bool {
        self.0.iter().any(|job| job.news.is_some())
    }

    /// Lets each job do `steps` steps.
    pub(super) fn step<M: Machine + ?Sized>(&mut self, system: &mut System<'_>, machine: &mut M, steps: u64) {
        for job in &mut self.0 {
            job.step(system, machine, steps);
        }
    }

    /// Prints the jobs' news, and removes the jobs that are over.
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
    /// Lets the jobs do some steps. Returns false if none can.
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

    /// True if a job has news to print.
    pub(super) fn have_news(&self) -> bool {
        self.jobs.have_news()
    }

    /// Prints the jobs' news. The console has to be at the start of a line.
    pub(super) fn say_of_jobs(&mut self) -> Result<(), Failure> {
        if !self.jobs.have_news() {
            return Ok(());
        }
        let said =
            self.jobs.say(&mut super::output::Output::new(self.machine, self.context.quiet, Vec::new()), self.system);
        said.and_then(|()| self.check())
    }
}
