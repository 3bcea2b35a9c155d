//! The experiments: keys into options, runs into text and records.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use super::Session;
use super::areas::{choose_area, in_the_way};
use crate::cma::AreaId;
use crate::cma::placement::{self, BadPlacement, PLACEMENTS, Placement};
use crate::lab::bench::{self, Answer, BenchError, Setting};
use crate::lab::replay::{self, ReplayError, WhenHeld};
use crate::lab::request::Align;
use crate::machine::Machine;
use crate::monitor::Failure;
use crate::monitor::jobs::Job;
use crate::monitor::syntax::{Args, nearest, number, shown};

/// The placement that a text names.
pub(super) fn placement_named(text: &str) -> Result<Box<dyn Placement>, Failure> {
    placement::parse(text).map_err(|bad| {
        let name = shown(text);
        Failure::bad(match bad {
            BadPlacement::Unknown => {
                let names = PLACEMENTS.map(|entry| entry.name).join(" ");
                format!("no placement {name}; there are {names}")
            }
            BadPlacement::Parameters(entry, "") => format!("{name}: {entry} takes no parameters"),
            BadPlacement::Parameters(entry, usual) => {
                format!("{name}: the parameters of {entry} look like {entry}{usual}")
            }
        })
    })
}

/// The placement that `placement=` names, if it is there.
pub(super) fn placement_of(args: &Args) -> Result<Option<Box<dyn Placement>>, Failure> {
    args.key("placement").map(placement_named).transpose()
}

/// One of a key's words.
pub(super) fn one_of(args: &Args, key: &str, choices: &'static [&'static str]) -> Result<&'static str, Failure> {
    let Some(value) = args.key(key) else { return Ok(choices[0]) };
    choices.iter().copied().find(|&choice| choice == value).ok_or_else(|| {
        let near = nearest(value, choices.iter().copied());
        let near =
            near.map_or_else(|| format!("it can be {}", choices.join(" ")), |near| format!("did you mean {near}?"));
        Failure::bad(format!("{key} is {}; {near}", shown(value)))
    })
}

/// A key's number, or the default.
pub(super) fn whole(args: &Args, key: &str, default: u64, least: u64, most: u64) -> Result<u64, String> {
    args.key(key).map_or(Ok(default), |value| number(key, value, least, most))
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    pub(super) fn replay(&mut self, args: &Args) -> Result<(), Failure> {
        let named = args.key("area");
        let unnamed = choose_area(self.system, named)?;
        let align = match one_of(args, "align", &["asis", "order", "page"])? {
            "order" => Some(Align::Order),
            "page" => Some(Align::Page),
            _ => None,
        };
        let held = match args.key("held") {
            None => None,
            Some(_) if one_of(args, "held", &["refuse", "release"])? == "refuse" => Some(WhenHeld::Refuse),
            Some(_) => Some(WhenHeld::Release),
        };
        let relocatable = whole(args, "relocatable", 1000, 0, 1000)? as u32;
        let placement = placement_of(args)?;
        let from = args.key("from");
        let Some(trace) = self.context.initrd else {
            return Err(Failure::bad("there is no trace; boot with one as the initrd (-initrd FILE)"));
        };
        if named.is_some() {
            self.without_job(unnamed)?;
        }
        let survey = replay::survey(self.out.machine, trace).map_err(|error| Failure::bad(format!("{error}")))?;
        let area = if named.is_some() { unnamed } else { survey.area(self.system, from, unnamed) };
        self.without_job(area)?;
        let options = replay::Options { area, align, held, from, relocatable };
        self.with_placement(area, placement, |session| {
            let report = replay::run_surveyed(session.system, session.out.machine, options, &survey, trace)
                .map_err(|error| session.replay_failure(area, error))?;
            write!(session.out, "{report}")?;
            writeln!(session.out, "{}", report.record())?;
            Ok(())
        })
    }

    fn replay_failure(&self, area: AreaId, error: ReplayError) -> Failure {
        let name = self.system.area(area).name();
        match error {
            ReplayError::NotEmpty { used } => Failure::bad(format!(
                "{used} pages of {name} are in use, and a replay begins on an empty area: {}",
                in_the_way(self.system, area)
            )),
            ReplayError::Release(_) => Failure::check(format!("{name}: {error}")),
            _ => Failure::bad(format!("{error}")),
        }
    }

    pub(super) fn bench(&mut self, args: &Args) -> Result<(), Failure> {
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
            wanted.extend(bench::named(word));
            if wanted.len() == before {
                return Err(Failure::bad(format!("{}: {}", shown(word), BenchError::Unknown)));
            }
        }
        if wanted.is_empty() {
            wanted.extend(bench::NAMES);
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
        // Asked for by name, a benchmark has to run; of all of them, those run that can.
        match missing.first() {
            None => Ok(()),
            Some((name, error)) if !args.words.is_empty() => {
                let used = self.used_areas(&missing[..1]);
                Err(Failure::bad(format!("{name}: {error}{}{used}", if used.is_empty() { "" } else { "; " })))
            }
            Some(_) => {
                let names: Vec<&str> = missing.iter().map(|&(name, _)| name).collect();
                writeln!(self.out, "Not run for want of an area, a trace or memory: {}.", names.join(" "))?;
                let used = self.used_areas(&missing);
                if !used.is_empty() {
                    writeln!(self.out, "Areas in use: {used}.")?;
                }
                Ok(())
            }
        }
    }

    /// Who has the areas that would do for benchmarks if they were empty and nobody worked on them.
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

    /// Does something under another placement, and puts the area's own back.
    pub(super) fn with_placement(
        &mut self,
        area: AreaId,
        placement: Option<Box<dyn Placement>>,
        load: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let before = placement.map(|placement| self.system.area_mut(area).set_placement(placement));
        let result = load(self);
        if let Some(before) = before {
            self.system.area_mut(area).set_placement(before);
        }
        result
    }
}
