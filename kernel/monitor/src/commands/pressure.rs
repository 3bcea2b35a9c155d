// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `pressure`: keys into options, runs into a table and records.

use alloc::format;
use alloc::string::ToString;
use core::fmt::Write;

use super::areas::{choose_area, in_the_way};
use super::callers;
use super::{Command, Session};
use crate::Failure;
use crate::syntax::Args;
use cma::AreaId;
use lab::help::Help;
use lab::keys::{Keys, none_of, number};
use lab::pressure::latency::Filling;
use lab::pressure::reliability::{CAMERA_PAGES, Source};
use lab::pressure::{Experiment, Options, PressureError, Row};
use machine::Machine;
use migration::live::{OpenError, Sabotage};
use page_alloc::policy::{CmaUse, Lend};

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Command<M>] {
    const {
        &[Command {
            help: Help {
                name: "pressure",
                usage: "[{experiments}] [area=NAME] [pages=PAGES] [fill=PAGES] [rounds=N] \
                            [seed=1] [cma_use=half|fallback|first] [lend=movable|clean|none] [with=idle|movable|clean|mixed] \
                            [source=reserved|buddy|cma] [pins=PAGES] [sabotage=copy|tlb|mapping] \
                            [callers=N] [lock=none|global|area|all] [requests=N] [schedules=N] \
                            [schedule=SWITCHES] [work=N]",
                summary: "fills memory with movable and reclaimable pages while CMA allocates",
                details: "latency: what a buffer of `pages` costs, phase by phase, by what fills the areas (with=). underuse: \
                              OOM kills, and CMA pages free at the first one, by cma_use=. reliability: a driver's large buffer in a \
                              full system, by source=, cma_use=, lend= and pins=; pages= is 6656 (26 MiB), or the whole area \
                              where that is smaller; pins=, pages that cannot move, are 0, 1 and 100. integrity: whether every \
                              page survives; with sabotage= migration leaves a step out; pages= is the largest buffer, the whole \
                              area by default. Without a key its values are tried in turn; rounds= are 4, 64, 16 and 16, and \
                              fill= is the pages that fill memory, all there are \
                              unless given. Where no page is left and none can be \
                              reclaimed, the process with the most memory is killed, its pages and the kernel's for it together, \
                              and of several the one made last. cat /sys/kernel/tracing/trace shows what was traced. callers= is an experiment of its own: \
                              N callers (or, as in callers=2,4,8, one number after the other) ask for pages= at once, requests= times each, and after each step of \
                              alloc_contig_range a scheduler chooses who goes on, by seed=; schedules= tries every order with \
                              at most N switches, and schedule=STEP:CALLER,... runs one of them. The default lock= is that of linux=. \
                              work=N: N work items need a mutex that the first caller's driver holds around its requests, and \
                              draining waits for the item that has begun.",
                example: "pressure latency pages=64 with=movable",
            },
            run: |session, args| session.pressure(args),
        }]
    }
}

/// Maximum of `rounds=`: allocations of a run.
const MAX_ROUNDS: u64 = 100_000;
/// Maximum of pinned pages (`migration::live::pins::MAX_PINS`).
const MAX_PINS: u64 = migration::live::pins::MAX_PINS as u64;

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    fn pressure(&mut self, args: &Args) -> Result<(), Failure> {
        if callers::KEYS.iter().any(|key| args.key(key).is_some()) {
            return self.callers(args);
        }
        let Some(word) = args.word(0) else {
            let names = Experiment::ALL.map(|each| each.name()).join(" ");
            return Err(Failure::bad(format!("no experiment: there are {names}, and callers=N")));
        };
        let experiment = Experiment::ALL.into_iter().find(|experiment| experiment.name() == word).ok_or_else(|| {
            none_of("no experiment", word, Experiment::ALL.iter().map(|each| each.name()), "there are")
        })?;
        check_keys(args, experiment)?;
        if !self.system.has_window() {
            return Err(Failure::bad(OpenError::NoAddressSpace.to_string()));
        }
        let options = self.pressure_options(args)?;
        self.without_job(options.area)?;
        if experiment.fills_all_memory() {
            self.without_jobs("it fills all memory")?;
        }
        let runs =
            experiment.plan(self.system, &options).map_err(|error| self.pressure_failure(options.area, error))?;
        let area = self.system.area(options.area).pages();
        if experiment == Experiment::Reliability && options.pages.is_none() && area < CAMERA_PAGES {
            let mib = CAMERA_PAGES / 256;
            writeln!(
                self.out,
                "The buffer is {area} pages, all of the area: {mib} MiB would take cma=32M and area=reserved."
            )?;
        }
        writeln!(self.out, "{}", Row::HEADING)?;
        let mut bad_pages = 0;
        for run in runs {
            let traced = self.system.trace().is_enabled();
            self.system.trace_mut().enable(true);
            let row = run.execute(self.system, &*self.out.machine, &options);
            self.system.trace_mut().enable(traced);
            let row = row.map_err(|error| self.pressure_failure(options.area, error))?;
            bad_pages += row.bad_pages;
            write!(self.out, "{row}")?;
            writeln!(self.out, "{}", row.record())?;
            if row.interrupted || self.out.machine.interrupted() {
                writeln!(self.out, "Stopped by Ctrl-C.")?;
                break;
            }
        }
        if bad_pages > 0 {
            return Err(Failure::check(format!("{bad_pages} pages did not survive")));
        }
        Ok(())
    }

    fn pressure_options(&self, args: &Args) -> Result<Options, Failure> {
        let whole = |key, least, most| args.key(key).map(|value| number(key, value, least, most)).transpose();
        let pages = |key, least| Ok::<_, Failure>(whole(key, least, u32::MAX.into())?.map(|pages| pages as u32));
        let policies = CmaUse::ALL.map(|policy| (policy.name(), policy));
        let lends = Lend::ALL.map(|lend| (lend.name(), lend));
        Ok(Options {
            area: choose_area(self.system, args.key("area"))?,
            pages: pages("pages", 1)?,
            fill: pages("fill", 0)?,
            rounds: whole("rounds", 1, MAX_ROUNDS)?.map(|rounds| rounds as u32),
            seed: whole("seed", 0, u32::MAX.into())?.unwrap_or(1) as u32,
            cma_use: named(args, "cma_use", &policies)?,
            lend: named(args, "lend", &lends)?,
            with: named(args, "with", &Filling::ALL.map(|filling| (filling.name(), filling)))?,
            source: named(args, "source", &Source::ALL.map(|source| (source.name(), source)))?,
            pins: whole("pins", 0, MAX_PINS)?.map(|pins| pins as u32),
            sabotage: named(args, "sabotage", &Sabotage::ALL.map(|sabotage| (sabotage.name(), sabotage)))?,
        })
    }

    fn pressure_failure(&self, area: AreaId, error: PressureError) -> Failure {
        match error {
            PressureError::NotEmpty { .. } => Failure::bad(format!("{error}: {}", in_the_way(self.system, area))),
            PressureError::Release(_) => Failure::check(format!("{error}")),
            _ => Failure::bad(format!("{error}")),
        }
    }
}

/// Returns the value that `key` names, if given.
fn named<T: Copy>(args: &Args, key: &str, values: &[(&'static str, T)]) -> Result<Option<T>, Failure> {
    let Some(word) = args.key(key) else { return Ok(None) };
    let value = values.iter().find(|value| value.0 == word).map(|value| Some(value.1));
    value.ok_or_else(|| none_of(&format!("{key} is"), word, values.iter().map(|value| value.0), "it can be").into())
}

/// Errs if a key is given that the experiment does not take.
fn check_keys(args: &Args, experiment: Experiment) -> Result<(), Failure> {
    let others = match experiment {
        Experiment::Latency => &["lend", "source", "pins", "sabotage", "seed"][..],
        Experiment::Underuse => &["with", "source", "pins", "sabotage", "pages"],
        Experiment::Reliability => &["with", "sabotage"],
        Experiment::Integrity => &["with", "source", "pins"],
    };
    match others.iter().find(|key| args.key(key).is_some()) {
        Some(key) => Err(Failure::bad(format!("{key}= is not a key of {}", experiment.name()))),
        None => Ok(()),
    }
}
