//! The command `pressure`: keys into options, runs into a table and records.

use alloc::format;
use alloc::vec::Vec;
use core::fmt::Write;

use super::Session;
use super::areas::{choose_area, in_the_way};
use crate::cma::AreaId;
use crate::lab::pressure::latency::Filling;
use crate::lab::pressure::reliability::{CAMERA_PAGES, Source};
use crate::lab::pressure::{Experiment, Options, PressureError, Row};
use crate::machine::Machine;
use crate::mm::live::Sabotage;
use crate::mm::{CmaUse, Lend};
use crate::monitor::Failure;
use crate::monitor::syntax::{Args, nearest, number, shown};

/// Most allocations of a run.
const MAX_ROUNDS: u64 = 100_000;
/// Most pinned pages (`MAX_PINS` of the living).
const MAX_PINS: u64 = crate::mm::live::pins::MAX_PINS as u64;

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    pub(super) fn pressure(&mut self, args: &Args) -> Result<(), Failure> {
        let word = args.word(0).unwrap_or_default();
        let experiment = Experiment::ALL.into_iter().find(|experiment| experiment.name() == word).ok_or_else(|| {
            let names = Experiment::ALL.map(Experiment::name);
            match nearest(word, names) {
                Some(near) => format!("no experiment {}; did you mean {near}?", shown(word)),
                None => format!("no experiment {}; there are {}", shown(word), names.join(" ")),
            }
        })?;
        check_keys(args, experiment)?;
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
            let traced = self.system.trace.is_enabled();
            self.system.trace.enable(true);
            let row = run.execute(self.system, &*self.out.machine, &options);
            self.system.trace.enable(traced);
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

/// The value that a key names, if it is there.
fn named<T: Copy>(args: &Args, key: &str, values: &[(&'static str, T)]) -> Result<Option<T>, Failure> {
    let Some(word) = args.key(key) else { return Ok(None) };
    let names = || values.iter().map(|value| value.0);
    values.iter().find(|value| value.0 == word).map(|value| Some(value.1)).ok_or_else(|| {
        let names: Vec<&str> = names().collect();
        match nearest(word, names.iter().copied()) {
            Some(near) => Failure::bad(format!("{key} is {}; did you mean {near}?", shown(word))),
            None => Failure::bad(format!("{key} is {}; it can be {}", shown(word), names.join(" "))),
        }
    })
}

/// Errs where a key is given that means nothing to the experiment.
fn check_keys(args: &Args, experiment: Experiment) -> Result<(), Failure> {
    let others = match experiment {
        Experiment::Latency => &["lend", "source", "pins", "sabotage", "seed"][..],
        Experiment::Underuse => &["with", "source", "pins", "sabotage", "pages"],
        Experiment::Reliability => &["with", "sabotage"],
        Experiment::Integrity => &["with", "source", "pins"],
    };
    match others.iter().find(|key| args.key(key).is_some()) {
        Some(key) => Err(Failure::bad(format!("{key}= means nothing to {}", experiment.name()))),
        None => Ok(()),
    }
}
