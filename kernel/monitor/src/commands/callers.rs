// SPDX-License-Identifier: MIT OR Apache-2.0

//! `pressure callers=N`: concurrent callers of `cma_alloc`: a row for each lock and number of
//! callers; every order of their steps; or one order, step by step.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use super::Session;
use super::areas::choose_area;
use crate::Failure;
use crate::syntax::Args;
use cma::align_order_of;
use lab::callers::{
    Broken, Forced, Lock, MAX_CALLERS, Plan, Report, Scheduler, Seeded, Setup, Switch, Tally, WaitFor, Waits,
    every_schedule, run_filled,
};
use lab::keys::{Keys, none_of, number, shown};
use lab::metrics::Counted;
use lab::pressure::latency::Filling;
use lab::record::Record;
use machine::Machine;

/// Default of `callers=`.
const CALLERS: &str = "8";
/// The value of `lock=` that stands for all locks, a row each.
const ALL: &str = "all";
/// Default of `pages=`.
const PAGES: u32 = 64;
/// Requests of a caller: the default and the maximum.
const REQUESTS: (u32, u64) = (4, 1000);
/// Maximum of `schedules=`: switches of a schedule if all are tried.
const MAX_SWITCHES: u64 = 4;
/// Maximum of `work=`: work items.
const MAX_WORK: u64 = 100;
/// Maximum of printed steps.
const STORY: usize = 60;
/// The keys of `pressure` that choose this experiment.
pub(super) const KEYS: [&str; 6] = ["callers", "lock", "requests", "schedules", "schedule", "work"];
/// The keys of `pressure` that this experiment does not take.
const OTHERS: [&str; 7] = ["fill", "rounds", "cma_use", "lend", "source", "pins", "sabotage"];
/// Prefix of a printed schedule, as typed.
const SCHEDULE: &str = "schedule=";
/// The head of the table of [`Session::callers_row`].
pub(super) const HEAD: &str = "lock    callers  served  -EBUSY  no room  by isolation  retries  migrated  waits  steps waited  longest wait   ns waited  longest wait  steps";

/// Options of all rows. Each row's setup is `setup` with one of `counts` and one of `locks`.
struct Options {
    setup: Setup,
    counts: Vec<usize>,
    locks: Vec<Lock>,
    filling: Filling,
    seed: u32,
}

impl Options {
    /// Returns the setup of each row.
    fn rows(&self) -> Vec<Setup> {
        let row = |callers, lock| Setup { callers, lock, ..self.setup.clone() };
        self.counts.iter().flat_map(|&callers| self.locks.iter().map(move |&lock| row(callers, lock))).collect()
    }
}

/// Errs if `lock=` is given: without callers, it has no effect.
pub(super) fn callers_only(args: &Args) -> Result<(), Failure> {
    if args.key("lock").is_some() { Err(Failure::bad("lock= goes with callers=tasks")) } else { Ok(()) }
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    pub(super) fn callers(&mut self, args: &Args) -> Result<(), Failure> {
        if let Some(key) = OTHERS.into_iter().find(|key| args.key(key).is_some()) {
            return Err(Failure::bad(format!("{key}= is not a key of callers=")));
        }
        if let Some(word) = args.word(0) {
            let key = KEYS.into_iter().find(|key| args.key(key).is_some()).unwrap_or("callers");
            let what = format!("{key}= is of callers=N, an experiment of its own: leave {word} or {key}= out");
            return Err(Failure::bad(what));
        }
        let options = self.callers_options(args)?;
        let switches = args.key("schedules").map(|value| number("schedules", value, 0, MAX_SWITCHES)).transpose()?;
        let schedule = args.key("schedule").map(schedule_of).transpose()?;
        if let Some(schedule) = &schedule {
            check_actors(schedule, &options)?;
        }
        self.without_job(options.setup.areas[0])?;
        if options.filling != Filling::Idle {
            self.without_jobs("it fills the areas")?;
        }
        match (switches, schedule) {
            (Some(_), Some(_)) => Err(Failure::bad("schedule= is one order, schedules= tries all: leave one out")),
            (Some(switches), None) => self.every_order(&options, switches as usize),
            (None, schedule) => self.one_order_each(&options, schedule.as_deref()),
        }
    }

    fn callers_options(&self, args: &Args) -> Result<Options, Failure> {
        let whole = |key, usual: u32, least, most| {
            args.key(key).map_or(Ok(usual), |value| number(key, value, least, most).map(|value| value as u32))
        };
        let locks = self.locks(args)?;
        let counts: Vec<usize> = args
            .key("callers")
            .unwrap_or(CALLERS)
            .split(',')
            .map(|count| number("callers", count, 1, MAX_CALLERS as u64).map(|count| count as usize))
            .collect::<Result<_, _>>()?;
        let filling = match args.key("with") {
            None => Filling::Idle,
            Some(word) => Filling::ALL.into_iter().find(|filling| filling.name() == word).ok_or_else(|| {
                none_of("with is", word, Filling::ALL.iter().map(|filling| filling.name()), "it can be")
            })?,
        };
        let area = choose_area(self.system, args.key("area"))?;
        let area_pages = self.system.area(area).pages();
        let pages = whole("pages", PAGES.min(area_pages), 1, area_pages.into())?;
        let plan = Plan::Same {
            pages,
            align_order: align_order_of(pages),
            requests: whole("requests", REQUESTS.0, 1, REQUESTS.1)?,
            kept: 0,
        };
        let work = whole("work", 0, 0, MAX_WORK)?;
        let setup = Setup { areas: Vec::from([area]), callers: 0, plan, lock: Lock::None, work };
        Ok(Options { setup, counts, locks, filling, seed: whole("seed", 1, 0, u32::MAX.into())? })
    }

    /// Returns the locks that `lock=` names; the default is that of the version of `linux=`.
    pub(super) fn locks(&self, args: &Args) -> Result<Vec<Lock>, Failure> {
        Ok(match args.key("lock") {
            None => Vec::from([self.system.linux().differences().lock]),
            Some(ALL) => Lock::ALL.to_vec(),
            Some(word) => {
                let lock = Lock::ALL.into_iter().find(|lock| lock.name() == word);
                let names = Lock::ALL.iter().map(|lock| lock.name()).chain([ALL]);
                Vec::from([lock.ok_or_else(|| none_of("lock is", word, names, "it can be"))?])
            }
        })
    }

    /// Prints a row and a record for each number of callers and lock; for one row, also the steps.
    fn one_order_each(&mut self, options: &Options, schedule: Option<&[Switch]>) -> Result<(), Failure> {
        writeln!(self.out, "{HEAD}")?;
        let rows = options.rows();
        let told = rows.len() == 1;
        for setup in rows {
            let (mut seeded, mut forced) = (Seeded::new(options.seed), Forced(schedule.unwrap_or_default()));
            let scheduler: &mut dyn Scheduler = if schedule.is_some() { &mut forced } else { &mut seeded };
            let traced = self.system.trace().is_enabled();
            self.system.trace_mut().enable(true);
            let report = run_filled(self.system, &setup, options.filling, scheduler, told);
            self.system.trace_mut().enable(traced);
            let report = report.map_err(broken)?;
            let record = self.callers_row(&setup, &report, "")?;
            let record = match setup.plan {
                Plan::Same { pages, requests, .. } => record.number("pages", pages).number("requests", requests),
                Plan::Tasks { .. } => record,
            };
            let record = record.string("with", options.filling.name()).number("seed", options.seed);
            writeln!(self.out, "{record}")?;
            if told {
                self.tell(&report)?;
            } else if !report.deadlock.is_empty() {
                self.tell_deadlock(&report)?;
            }
            if self.out.machine.interrupted() {
                writeln!(self.out, "Stopped by Ctrl-C.")?;
                break;
            }
        }
        Ok(())
    }

    /// Prints the row of a run; returns its record with the fields that all plans share.
    pub(super) fn callers_row(&mut self, setup: &Setup, report: &Report, more: &str) -> Result<Record, Failure> {
        let sum = |of: fn(&Tally) -> u32| report.tallies.iter().map(of).sum::<u32>();
        let isolated = sum(|tally| tally.isolated_by.iter().sum());
        let (served, busy, failed) = (sum(|tally| tally.served), sum(|tally| tally.busy), sum(|tally| tally.failed));
        let (retries, migrated) = (sum(|tally| tally.retries), sum(|tally| tally.migrated));
        let mut waits = Waits::default();
        for tally in &report.tallies {
            waits.add(tally.waits_for(WaitFor::Contig));
        }
        let Waits { times, steps, longest_steps, ns, longest_ns } = waits;
        writeln!(
            self.out,
            "{:<6} {:>8} {served:>7} {busy:>7} {failed:>8} {isolated:>13} {retries:>8} {migrated:>9} {times:>6} {steps:>13} \
             {longest_steps:>13} {ns:>11} {longest_ns:>13} {:>6}{more}",
            setup.lock.name(),
            setup.callers,
            report.steps
        )?;
        let area = self.system.area(setup.areas[0]);
        Ok(Record::new("callers")
            .string("area", area.name())
            .string("placement", &area.placement().label())
            .string("lock", setup.lock.name())
            .number("callers", setup.callers as u64)
            .number("served", served)
            .number("busy", busy)
            .number("failed", failed)
            .number("isolated", isolated)
            .number("retries", retries)
            .number("migrated", migrated)
            .number("dropped", sum(|tally| tally.dropped))
            .number("waits", times)
            .number("wait_steps", steps)
            .number("longest_wait", longest_steps)
            .number("wait_ns", ns)
            .number("longest_wait_ns", longest_ns)
            .number("steps", report.steps)
            .number("deadlock", u32::from(!report.deadlock.is_empty())))
    }

    /// Prints the results of each caller, the first steps, and a deadlock.
    fn tell(&mut self, report: &Report) -> Result<(), Failure> {
        self.tell_callers(report, |number| format!("caller {number}"))?;
        for (step, record) in report.story.iter().take(STORY).enumerate() {
            writeln!(self.out, "step {step}: {}: {}", actor(report, record.caller), record.did)?;
        }
        if let Some(more) = report.story.len().checked_sub(STORY).filter(|&more| more > 0) {
            writeln!(self.out, "and {} more", Counted(more as u64, "step"))?;
        }
        self.tell_deadlock(report)
    }

    /// Prints a line for each caller.
    pub(super) fn tell_callers(&mut self, report: &Report, name: impl Fn(usize) -> String) -> Result<(), Failure> {
        for (number, tally) in report.tallies.iter().enumerate() {
            write!(self.out, "{}: {} served, {} -EBUSY", name(number), tally.served, tally.busy)?;
            if tally.failed > 0 {
                write!(self.out, ", {} without room", tally.failed)?;
            }
            for (other, &times) in tally.isolated_by.iter().enumerate().filter(|(_, times)| **times > 0) {
                let ranges = Counted(times.into(), "range");
                write!(self.out, ", {ranges} lost to the isolation of {}", name(other))?;
            }
            for what in WaitFor::ALL {
                let Waits { times, steps, longest_steps, ns, longest_ns } = *tally.waits_for(what);
                if times > 0 {
                    let [waits, steps, longest] = [(times, "wait"), (steps, "step"), (longest_steps, "step")]
                        .map(|(number, noun)| Counted(number.into(), noun));
                    write!(
                        self.out,
                        ", {waits} for {what} ({steps}, {ns} ns; the longest {longest}, {longest_ns} ns)"
                    )?;
                }
            }
            writeln!(self.out)?;
        }
        Ok(())
    }

    /// Prints which actor waits for what, if there is a deadlock.
    fn tell_deadlock(&mut self, report: &Report) -> Result<(), Failure> {
        for stuck in &report.deadlock {
            write!(self.out, "deadlock: {} waits for {}", actor(report, stuck.caller), stuck.what)?;
            if let Some(holder) = stuck.holder {
                write!(self.out, ", which is {}'s", actor(report, holder))?;
            }
            writeln!(self.out)?;
        }
        Ok(())
    }

    /// Tries every schedule with at most `switches` switches. Prints a row and a record for each
    /// number of callers and lock: the schedules, those in which a request ends with -EBUSY, those
    /// in which a range is lost to another caller's isolation, and those that deadlock.
    fn every_order(&mut self, options: &Options, switches: usize) -> Result<(), Failure> {
        writeln!(
            self.out,
            "lock    callers  schedules  with -EBUSY  with a range lost  deadlocks  first that deadlocks, or loses a range"
        )?;
        for setup in options.rows() {
            let (mut busy, mut lost, mut deadlocks, mut first) = (0_u64, 0_u64, 0_u64, None);
            let mut first_deadlock = None;
            let machine = &*self.out.machine;
            let system = &mut *self.system;
            let schedules = every_schedule(switches, |schedule| {
                if machine.interrupted() {
                    return Err(Broken::Stopped);
                }
                let report = run_filled(system, &setup, options.filling, &mut Forced(schedule), true)?;
                busy += u64::from(report.tallies.iter().any(|tally| tally.busy > 0));
                if report.tallies.iter().any(|tally| tally.isolated_by.iter().any(|&times| times > 0)) {
                    lost += 1;
                    first.get_or_insert_with(|| words(schedule));
                }
                if !report.deadlock.is_empty() {
                    deadlocks += 1;
                    first_deadlock.get_or_insert_with(|| words(schedule));
                }
                Ok(report)
            });
            let (callers, lock) = (setup.callers, setup.lock.name());
            match schedules {
                Ok(schedules) => {
                    let first = first_deadlock.or(first).unwrap_or_default();
                    let row = format!("{lock:<6} {callers:>8} {schedules:>10} {busy:>12} {lost:>18} {deadlocks:>10}");
                    writeln!(self.out, "{}", format!("{row}  {first}").trim_end())?;
                    let area = self.system.area(setup.areas[0]);
                    let record = Record::new("schedules")
                        .string("area", area.name())
                        .string("placement", &area.placement().label())
                        .string("lock", lock)
                        .number("callers", callers as u64)
                        .number("switches", switches as u64)
                        .number("schedules", schedules)
                        .number("busy", busy)
                        .number("isolated", lost)
                        .number("deadlocks", deadlocks)
                        .string("schedule", first.strip_prefix(SCHEDULE).unwrap_or_default());
                    writeln!(self.out, "{record}")?;
                }
                Err((_, Broken::Stopped)) => {
                    writeln!(self.out, "Stopped by Ctrl-C.")?;
                    break;
                }
                Err((schedule, error)) => {
                    return Err(Failure::check(format!("{lock}: {error}: {}", words(&schedule))));
                }
            }
        }
        Ok(())
    }
}

/// Returns a bad command if memory is short or its users cannot be opened, else a failed check.
pub(super) fn broken(error: Broken) -> Failure {
    match error {
        Broken::Open(_) | Broken::NoMemory => Failure::bad(format!("{error}")),
        _ => Failure::check(format!("{error}")),
    }
}

/// Errs if a switch names an actor that does not exist. With work, the last actor is the worker.
fn check_actors(schedule: &[Switch], options: &Options) -> Result<(), Failure> {
    let callers = options.counts.iter().copied().min().unwrap_or_default();
    let last = if options.setup.work == 0 { callers - 1 } else { callers };
    match schedule.iter().find(|switch| switch.to > last) {
        Some(Switch { step, to }) => {
            let worker = if options.setup.work == 0 { "" } else { ", the last of them the worker" };
            Err(Failure::bad(format!("schedule is {step}:{to}, and callers have the numbers 0 to {last}{worker}")))
        }
        None => Ok(()),
    }
}

/// Returns the name of an actor: a caller, or the worker, whose number follows the last caller's.
fn actor(report: &Report, number: usize) -> String {
    if number == report.tallies.len() { String::from("the worker") } else { format!("caller {number}") }
}

/// Formats a schedule for `schedule=`: STEP:CALLER for each switch.
fn words(schedule: &[Switch]) -> String {
    let mut text = String::from(SCHEDULE);
    for (number, Switch { step, to }) in schedule.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}{step}:{to}", if number == 0 { "" } else { "," });
    }
    text
}

/// Parses the switches of `schedule=`; an empty text has none.
fn schedule_of(text: &str) -> Result<Vec<Switch>, Failure> {
    let wrong = || {
        let line = format!("schedule is {}; it is STEP:CALLER for each switch, as in 3:1,7:0", shown(text));
        Failure::bad(line)
    };
    let switch = |word: &str| {
        let (step, to) = word.split_once(':')?;
        let to = to.parse().ok().filter(|&to: &usize| to <= MAX_CALLERS)?;
        Some(Switch { step: step.parse().ok()?, to })
    };
    text.split(',').filter(|word| !word.is_empty()).map(|word| switch(word).ok_or_else(wrong)).collect()
}
