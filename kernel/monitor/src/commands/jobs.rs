// SPDX-License-Identifier: MIT OR Apache-2.0

//! `jobs`, `stop` and `wait`, and checks of other commands before they use an area.

use alloc::format;
use alloc::vec::Vec;
use core::fmt::Write;

use super::{Command, Session};
use crate::Failure;
use crate::jobs::{JOB_STEPS, Job};
use crate::syntax::Args;
use cma::AreaId;
use lab::help::Help;
use lab::keys::{Keys, number};
use machine::Machine;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Command<M>] {
    const {
        &[
            Command {
                help: Help {
                    name: "jobs",
                    usage: "",
                    summary: "lists the loads that run in the background",
                    details: "The loads ({loads}) become jobs with & at their end, one an area. They go on while \
                              the prompt waits, and for 1000 steps after each command. What they have to say comes before the \
                              next prompt, or at once where nothing is typed. Other experiments refuse an area with a job, and \
                              what fills all memory or uses every area refuses any job. poweroff and reboot stop all, and print \
                              what they did.",
                    example: "debris rounds=0 & ; cat /proc/meminfo | grep Cma; jobs",
                },
                run: |session, _| session.list_jobs(),
            },
            Command {
                help: Help {
                    name: "stop",
                    usage: "[N|all]",
                    summary: "ends a job, or all, and prints what it did",
                    details: "Without a number the only one. Its buffers stay, as those of any load.",
                    example: "stop all",
                },
                run: |session, args| session.stop(args),
            },
            Command {
                help: Help {
                    name: "wait",
                    usage: "[N|all] [steps=N]",
                    summary: "continues the jobs until one has ended, or all have",
                    details: "With steps=N, for N steps at most. Ctrl-C ends the wait; the jobs continue.",
                    example: "wait steps=5000",
                },
                run: |session, args| session.wait(args),
            },
        ]
    }
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    fn list_jobs(&mut self) -> Result<(), Failure> {
        if self.jobs.all().is_empty() {
            writeln!(self.out, "no jobs; a load that ends in & becomes one: debris &")?;
        }
        for job in self.jobs.all() {
            writeln!(self.out, "{}", job.describe(self.system))?;
        }
        Ok(())
    }

    fn stop(&mut self, args: &Args) -> Result<(), Failure> {
        for number in self.chosen_jobs(args.word(0))? {
            if let Some(job) = self.jobs.take(number) {
                job.stop(&mut self.out, self.system)?;
            }
        }
        Ok(())
    }

    fn wait(&mut self, args: &Args) -> Result<(), Failure> {
        let chosen = self.chosen_jobs(Some(args.word(0).unwrap_or("all")))?;
        let mut left = args.key("steps").map(|value| number("steps", value, 1, u64::MAX)).transpose()?;
        loop {
            let waiting = self.jobs.all().iter().map(Job::number).any(|number| chosen.contains(&number));
            if !waiting || left == Some(0) {
                return Ok(());
            }
            if self.out.machine.interrupted() {
                writeln!(self.out, "Ctrl-C ended the wait; the jobs continue.")?;
                return Ok(());
            }
            let steps = left.map_or(JOB_STEPS, |left| left.min(JOB_STEPS));
            left = left.map(|left| left - steps);
            self.jobs.step(self.system, self.out.machine, steps);
            self.jobs.say(&mut self.out, self.system)?;
        }
    }

    /// Returns the jobs that `word` names by number or `all`; without a word, the only one.
    fn chosen_jobs(&self, word: Option<&str>) -> Result<Vec<u32>, Failure> {
        let numbers: Vec<u32> = self.jobs.all().iter().map(Job::number).collect();
        match (word, &numbers[..]) {
            (Some("all"), _) | (None, [_]) => Ok(numbers),
            (None, []) => Err(Failure::bad("there are no jobs")),
            (None, _) => {
                Err(Failure::bad("there are several jobs; name one by its number, or `all`: `jobs` lists them"))
            }
            (Some(word), _) => {
                let chosen = number("N", word, 1, u32::MAX.into()).map_err(|line| format!("{line}, or `all`"))? as u32;
                let known = numbers.contains(&chosen);
                let list = || Failure::bad(format!("there is no job {chosen}; `jobs` lists them"));
                known.then(|| Vec::from([chosen])).ok_or_else(list)
            }
        }
    }

    /// Returns the job that runs on `area`.
    pub(super) fn job_on(&self, area: AreaId) -> Option<&Job> {
        self.jobs.all().iter().find(|job| job.area() == area)
    }

    /// Errs if a job runs on `area`.
    pub(super) fn without_job(&self, area: AreaId) -> Result<(), Failure> {
        let Some(job) = self.job_on(area) else { return Ok(()) };
        let (number, command, name) = (job.number(), job.command(), self.system.area(area).name());
        Err(Failure::bad(format!("job {number} ({command}) runs on {name}: `wait {number}` or `stop {number}` first")))
    }

    /// Errs if any job runs; `reason` begins the message.
    pub(crate) fn without_jobs(&self, reason: &str) -> Result<(), Failure> {
        let Some(job) = self.jobs.all().first() else { return Ok(()) };
        let (number, command, name) = (job.number(), job.command(), self.system.area(job.area()).name());
        Err(Failure::bad(format!("{reason}, and job {number} ({command}) runs on {name}: `wait` or `stop all` first")))
    }
}
