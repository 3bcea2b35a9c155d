// SPDX-License-Identifier: MIT OR Apache-2.0

//! A load as a command: keys into a plan, which runs in the foreground or becomes a job.

use alloc::format;
use alloc::sync::Arc;
use core::fmt::Write;

use super::Session;
use super::areas::choose_area;
use super::placements::placement_of;
use crate::Failure;
use crate::news::write_news;
use crate::syntax::Args;
use lab::keys::{Keys, number, shown};
use lab::load::{self, DEFAULT_OPS, MAX_RATE, Options, PUBLISHED_SEED, Plan, Series};
use lab::request::Align;
use lab::rng::Rng;
use machine::Machine;

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    /// Runs a load, or starts it as a job.
    pub(super) fn load(&mut self, args: &Args) -> Result<(), Failure> {
        let load = load::find(self.name).ok_or_else(|| Failure::bad("is not a load"))?;
        let options = self.load_options(load, args, DEFAULT_OPS)?;
        let plan = Plan {
            rounds: args.whole("rounds", 1, 0, u64::MAX)?,
            sample: args.key("sample").map(|value| number("sample", value, 1, u64::MAX)).transpose()?,
            bitmap: args.one_of("bitmap", &["off", "on"])? == "on",
            options,
        };
        let area = plan.options.area;
        self.without_job(area)?;
        let placement = placement_of(args)?;
        if let Some(command) = self.background.take() {
            let before = placement.map(|placement| self.system.area_mut(area).set_placement(placement));
            let load = Arc::clone(&plan.options.load);
            let number = self.jobs.add(command, plan, before);
            let name = self.system.area(area).name();
            writeln!(self.out, "[{number}] {load} runs on {name}: `jobs` shows it, `stop {number}` ends it")?;
            return Ok(());
        }
        self.with_placements(placement.map(|placement| (area, placement)), |session| {
            let mut series = Series::new(plan, false);
            loop {
                let news = series.advance(session.system, session.out.machine, u64::MAX);
                let news = news.map_err(|error| Failure::check(format!("a release was refused: {error}")))?;
                if !write_news(&mut session.out, session.system, area, &news)? {
                    return Ok(());
                }
            }
        })
    }

    /// Returns the options of `load` that the keys describe.
    pub(super) fn load_options(&self, load: &load::Entry, args: &Args, default_ops: u64) -> Result<Options, Failure> {
        let until = args.one_of("until", &["failure", "ops"])?;
        if until == "ops" && args.key("ops").is_none() {
            return Err(Failure::bad("until=ops needs ops=, the number of steps"));
        }
        let align = args.key("align").unwrap_or("order");
        let area = choose_area(self.system, args.key("area"))?;
        Ok(Options {
            area,
            seed: args.whole("seed", PUBLISHED_SEED.into(), 0, u32::MAX.into())? as u32,
            rng: args.one_of("rng", Rng::NAMES)?,
            align: Align::parse(align)
                .ok_or_else(|| format!("align is {}; it can be order, page, or an order from 0 to 20", shown(align)))?,
            stop_at_failure: until == "failure",
            ops: args.whole("ops", default_ops, 1, u64::MAX)?,
            load: load.load(args, self.system.area(area).pages())?,
            relocatable: args.whole("relocatable", 1000, 0, 1000)? as u32,
            timed: args.whole("timed", 1, 1, u32::MAX.into())? as u32,
            rate: match args.key("rate") {
                Some(rate) => number("rate", rate, 1, MAX_RATE.into())? as u32,
                None => 0,
            },
        })
    }
}
