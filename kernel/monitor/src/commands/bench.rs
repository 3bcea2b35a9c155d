// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `bench`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use super::areas::{choose_area, in_the_way};
use super::{Command, Session};
use crate::Failure;
use crate::jobs::Job;
use crate::syntax::Args;
use cma::AreaId;
use lab::bench::{self, Answer, BenchError, Setting};
use lab::help::Help;
use lab::keys::shown;
use machine::Machine;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Command<M>] {
    const {
        &[Command {
            help: Help {
                name: "bench",
                usage: "[NAME...]",
                summary: "measures single operations",
                details: "A NAME is one benchmark (cma/64) or a group (cma); without one, all run that have an area of the \
                              size they need. Everything is left as it was found. `make bench` counts instructions on areas of \
                              every size.",
                example: "bench cma/64 buddy",
            },
            run: |session, args| session.bench(args),
        }]
    }
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    fn bench(&mut self, args: &Args) -> Result<(), Failure> {
        let taken: Vec<AreaId> = self.jobs.all().iter().map(Job::area).collect();
        let setting = Setting {
            preferred: choose_area(self.system, None).ok(),
            taken: &taken,
            ns_to_ready: self.context.ns_to_ready,
            trace: self.context.initrd,
        };
        let mut wanted = Vec::new();
        for word in &args.words {
            let before = wanted.len();
            wanted.extend(bench::named::<M>(word));
            if wanted.len() == before {
                let names = bench::names::<M>().collect::<Vec<_>>().join(" ");
                return Err(Failure::bad(format!("{}: {}; there are {names}", shown(word), BenchError::Unknown)));
            }
        }
        if wanted.is_empty() {
            wanted.extend(bench::names::<M>());
        }
        writeln!(self.out, "{}", Answer::HEADING)?;
        let mut answers = Vec::new();
        let mut missing = Vec::new();
        let mut stopped_at = None;
        let mut failure = None;
        for (place, &name) in wanted.iter().enumerate() {
            match bench::run(self.system, self.out.machine, name, &setting) {
                Ok(answer) => {
                    writeln!(self.out, "{answer}")?;
                    answers.push(answer);
                }
                Err(error) if error.is_lack() => missing.push((name, error)),
                Err(BenchError::Interrupted) => {
                    stopped_at = Some(place);
                    break;
                }
                Err(error) => {
                    let wrong = matches!(error, BenchError::Release(_) | BenchError::Served);
                    let text = format!("{name}: {error}");
                    failure = Some(if wrong { Failure::check(text) } else { Failure::bad(text) });
                    break;
                }
            }
            if self.out.machine.interrupted() {
                stopped_at = Some(place + 1);
                break;
            }
        }
        for answer in answers {
            writeln!(self.out, "{}", answer.record())?;
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        if let Some(place) = stopped_at.filter(|&place| place < wanted.len()) {
            writeln!(self.out, "Stopped by Ctrl-C before: {}.", wanted[place..].join(" "))?;
        }
        // A benchmark that is named has to run; without a name, those run that can.
        match missing.first() {
            None => Ok(()),
            Some((name, error)) if !args.words.is_empty() => {
                let used = self.used_areas(&missing[..1]);
                Err(Failure::bad(format!("{name}: {error}{}{used}", if used.is_empty() { "" } else { "; " })))
            }
            Some(_) => {
                let names: Vec<&str> = missing.iter().map(|&(name, _)| name).collect();
                writeln!(self.out, "Not run for lack of an area, a trace or memory: {}.", names.join(" "))?;
                let used = self.used_areas(&missing);
                if !used.is_empty() {
                    writeln!(self.out, "Areas in use: {used}.")?;
                }
                Ok(())
            }
        }
    }

    /// Lists the users of the areas that would do for `missing` benchmarks if they were free.
    fn used_areas(&self, missing: &[(&str, BenchError)]) -> String {
        let would_do = self.system.area_ids().filter(|&id| {
            let pages = self.system.area(id).pages();
            missing.iter().any(|(_, error)| matches!(error, BenchError::NoArea(need) if need.is_met_by(pages)))
        });
        let lines = would_do.filter_map(|id| {
            let area = self.system.area(id);
            let user = match self.jobs.all().iter().find(|job| job.area() == id) {
                Some(job) => format!("job {} ({})", job.number(), job.command()),
                None if area.used_pages() > 0 => in_the_way(self.system, id),
                None => return None,
            };
            Some(format!("{}: {user}", area.name()))
        });
        lines.collect::<Vec<String>>().join("; ")
    }
}
