// SPDX-License-Identifier: MIT OR Apache-2.0

//! `pressure callers=N`: several callers of `cma_alloc` at once, a row for each lock and number of
//! callers, or every order of their steps.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use super::Session;
use super::areas::choose_area;
use crate::Failure;
use crate::syntax::Args;
use cma::align_order_of;
use lab::callers::{Broken, Forced, Lock, MAX_CALLERS, Report, Seeded, Setup, Switch, Tally, every_schedule, run};
use lab::keys::{Keys, none_of, number};
use lab::record::Record;
use machine::Machine;
use page_alloc::policy::{CmaUse, Lend};

/// Callers unless told.
const CALLERS: &str = "8";
/// The word of `lock=` for one row each.
const ALL: &str = "all";
/// Pages of a request unless told.
const PAGES: u32 = 64;
/// Requests of a caller unless told, and at most.
const REQUESTS: (u32, u64) = (4, 1000);
/// Most switches of a schedule when all are tried.
const MAX_SWITCHES: u64 = 4;
/// Steps of a story that are printed.
const STORY: usize = 60;
/// The keys of `pressure` that mean nothing here.
const OTHERS: [&str; 8] = ["fill", "rounds", "cma_use", "lend", "with", "source", "pins", "sabotage"];

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    pub(super) fn callers(&mut self, args: &Args) -> Result<(), Failure> {
        if let Some(key) = OTHERS.into_iter().find(|key| args.key(key).is_some()) {
            return Err(Failure::bad(format!("{key}= means nothing to callers=")));
        }
        if let Some(word) = args.word(0) {
            return Err(Failure::bad(format!("callers= is an experiment of its own: leave {word} away")));
        }
        let whole = |key, usual: u32, least, most| {
            args.key(key).map_or(Ok(usual), |value| number(key, value, least, most).map(|value| value as u32))
        };
        let locks = match args.key("lock") {
            None => Vec::from([self.system.linux().differences().lock]),
            Some(ALL) => Lock::ALL.to_vec(),
            Some(word) => {
                let lock = Lock::ALL.into_iter().find(|lock| lock.name() == word);
                let names = Lock::ALL.iter().map(|lock| lock.name()).chain([ALL]);
                Vec::from([lock.ok_or_else(|| none_of("lock is", word, names, "it can be"))?])
            }
        };
        let counts: Vec<usize> = args
            .key("callers")
            .unwrap_or(CALLERS)
            .split(',')
            .map(|count| number("callers", count, 1, MAX_CALLERS as u64).map(|count| count as usize))
            .collect::<Result<_, _>>()?;
        let area = choose_area(self.system, args.key("area"))?;
        let pages =
            whole("pages", PAGES.min(self.system.area(area).pages()), 1, self.system.area(area).pages().into())?;
        let setup = Setup {
            areas: Vec::from([area]),
            callers: 0,
            pages,
            align_order: align_order_of(pages),
            requests: whole("requests", REQUESTS.0, 1, REQUESTS.1)?,
            kept: 0,
            lock: Lock::None,
        };
        let seed = whole("seed", 1, 0, u32::MAX.into())?;
        let switches = args.key("schedules").map(|value| number("schedules", value, 0, MAX_SWITCHES)).transpose()?;
        self.without_job(area)?;
        let opened = self.system.open_live(CmaUse::Half, Lend::None).map(|_| ());
        opened.map_err(|error| Failure::bad(format!("{error}")))?;
        let done = match switches {
            Some(switches) => self.every_order(&setup, &counts, &locks, switches as usize),
            None => self.random_orders(&setup, &counts, &locks, seed),
        };
        self.system.close_live();
        done
    }

    /// A row and a record for each number of callers and lock; of one row alone, the story, too.
    fn random_orders(&mut self, setup: &Setup, counts: &[usize], locks: &[Lock], seed: u32) -> Result<(), Failure> {
        writeln!(
            self.out,
            "lock    callers  served  -EBUSY  failed  by isolation  retries  waits  steps waited  longest wait  steps"
        )?;
        let rows: Vec<_> = counts.iter().flat_map(|&callers| locks.iter().map(move |&lock| (callers, lock))).collect();
        let told = rows.len() == 1;
        for (callers, lock) in rows {
            let setup = Setup { callers, lock, ..setup.clone() };
            let report = run(self.system, &setup, &mut Seeded::new(seed), told).map_err(broken)?;
            let sum = |of: fn(&Tally) -> u32| report.tallies.iter().map(of).sum::<u32>();
            let isolated = sum(|tally| tally.isolated_by.iter().sum());
            let longest = report.tallies.iter().map(|tally| tally.longest_wait).max().unwrap_or(0);
            let (served, busy, failed) =
                (sum(|tally| tally.served), sum(|tally| tally.busy), sum(|tally| tally.failed));
            let (retries, waits, waited) =
                (sum(|tally| tally.retries), sum(|tally| tally.waits), sum(|tally| tally.wait_steps));
            writeln!(
                self.out,
                "{:<6} {callers:>8} {served:>7} {busy:>7} {failed:>7} {isolated:>13} {retries:>8} {waits:>6} {waited:>13} {longest:>13} {:>6}",
                lock.name(),
                report.steps
            )?;
            let record = Record::new("callers")
                .string("area", self.system.area(setup.areas[0]).name())
                .string("lock", lock.name())
                .number("callers", setup.callers as u64)
                .number("pages", setup.pages)
                .number("requests", setup.requests)
                .number("seed", seed)
                .number("served", served)
                .number("busy", busy)
                .number("failed", failed)
                .number("isolated", isolated)
                .number("retries", retries)
                .number("waits", waits)
                .number("wait_steps", waited)
                .number("longest_wait", longest)
                .number("steps", report.steps);
            writeln!(self.out, "{record}")?;
            if told {
                self.tell(&report)?;
            }
            if self.out.machine.interrupted() {
                writeln!(self.out, "Stopped by Ctrl-C.")?;
                break;
            }
        }
        Ok(())
    }

    /// What each caller came to, and the first steps one by one.
    fn tell(&mut self, report: &Report) -> Result<(), Failure> {
        for (number, tally) in report.tallies.iter().enumerate() {
            write!(self.out, "caller {number}: {} served, {} -EBUSY, {} waits", tally.served, tally.busy, tally.waits)?;
            for (other, &times) in tally.isolated_by.iter().enumerate().filter(|(_, times)| **times > 0) {
                write!(self.out, ", {times} by the isolation of caller {other}")?;
            }
            writeln!(self.out)?;
        }
        for (step, record) in report.story.iter().take(STORY).enumerate() {
            writeln!(self.out, "step {step}: caller {}: {}", record.caller, record.did)?;
        }
        if let Some(more) = report.story.len().checked_sub(STORY).filter(|&more| more > 0) {
            writeln!(self.out, "and {more} steps more")?;
        }
        Ok(())
    }

    /// Every schedule with at most `switches` switches: how many there are, in how many somebody
    /// was told -EBUSY, and in how many a range was lost to another caller's isolation.
    fn every_order(&mut self, setup: &Setup, counts: &[usize], locks: &[Lock], switches: usize) -> Result<(), Failure> {
        writeln!(self.out, "lock    callers  schedules  with -EBUSY  with a range lost  the first of these")?;
        for (callers, lock) in counts.iter().flat_map(|&callers| locks.iter().map(move |&lock| (callers, lock))) {
            let setup = Setup { callers, lock, ..setup.clone() };
            let (mut busy, mut lost, mut first) = (0_u64, 0_u64, None);
            let machine = &*self.out.machine;
            let system = &mut *self.system;
            let schedules = every_schedule(switches, |schedule| {
                if machine.interrupted() {
                    return Err(Broken::Stopped);
                }
                let report = run(system, &setup, &mut Forced(schedule), true)?;
                busy += u64::from(report.tallies.iter().any(|tally| tally.busy > 0));
                if report.tallies.iter().any(|tally| tally.isolated_by.iter().any(|&times| times > 0)) {
                    lost += 1;
                    first.get_or_insert_with(|| words(schedule));
                }
                Ok(report)
            });
            match schedules {
                Ok(schedules) => {
                    let first = first.unwrap_or_default();
                    writeln!(
                        self.out,
                        "{:<6} {callers:>8} {schedules:>10} {busy:>12} {lost:>18}  {first}",
                        lock.name()
                    )?;
                }
                Err((_, Broken::Stopped)) => {
                    writeln!(self.out, "Stopped by Ctrl-C.")?;
                    break;
                }
                Err((schedule, error)) => {
                    return Err(Failure::check(format!("{}: {error}: {}", lock.name(), words(&schedule))));
                }
            }
        }
        Ok(())
    }
}

fn broken(error: Broken) -> Failure {
    Failure::check(format!("{error}"))
}

/// A schedule in words.
fn words(schedule: &[Switch]) -> String {
    let mut text = String::new();
    for Switch { step, to } in schedule {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}step {step} to caller {to}", if text.is_empty() { "" } else { ", " });
    }
    text
}
