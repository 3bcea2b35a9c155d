// SPDX-License-Identifier: MIT OR Apache-2.0

//! `replay callers=tasks` and `compare load=replay callers=tasks`: a recording whose tasks are
//! concurrent callers.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use super::Session;
use super::areas::in_the_way;
use super::callers::{HEAD, broken};
use super::placements::{placement_named, placement_names};
use super::replay::{ALIGNS, Recording, align_named};
use crate::Failure;
use crate::syntax::Args;
use lab::callers::{Lock, Seeded, Setup, Tasks, run_filled, tasks_of};
use lab::keys::{Keys, none_of, number};
use lab::pressure::latency::Filling;
use machine::Machine;
use placement::Placement;

/// The only value of `callers=` for a recording.
const TASKS: &str = "tasks";
/// The keys that `callers=tasks` takes.
const OWN: [&str; 12] =
    ["callers", "lock", "seed", "area", "from", "task", "pages", "align", "placement", "placements", "load", "held"];

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    /// Replays the recording with its tasks as callers. Prints a row and a record for each
    /// placement and lock; if there is only one row, also a line for each task.
    pub(super) fn tasks_as_callers(&mut self, args: &Args, placements: Vec<String>) -> Result<(), Failure> {
        if let Some(word) = args.key("callers").filter(|&word| word != TASKS) {
            return Err(Failure::bad(none_of("callers is", word, [TASKS].into_iter(), "of a recording they are")));
        }
        if let Some(key) = args.given().find(|key| !OWN.contains(key)) {
            return Err(Failure::bad(format!("{key}= is not a key of callers=tasks")));
        }
        let seed = args.key("seed").map_or(Ok(1), |seed| number("seed", seed, 0, u32::MAX.into()))? as u32;
        let align = align_named(args.one_of("align", ALIGNS)?);
        let locks = self.locks(args)?;
        let tasks = self.tasks(args, align)?;
        let Tasks { plan, areas, names, left_out, unmatched } = tasks;
        for &area in &areas {
            self.without_job(area)?;
            if self.system.area(area).used_pages() > 0 {
                let name = self.system.area(area).name();
                let way = in_the_way(self.system, area);
                return Err(Failure::bad(format!("{name} is in use, and callers begin on an empty area: {way}")));
            }
        }
        let mut setup = Setup { areas: areas.clone(), callers: names.len(), plan, lock: Lock::None, work: 0 };
        let told = placements.len() * locks.len() == 1;
        writeln!(
            self.out,
            "{} tasks as callers; {left_out} requests left out, {unmatched} releases of what was allocated before.",
            names.len()
        )?;
        writeln!(self.out, "{HEAD}  placement")?;
        for placement in placements {
            let mut before: Vec<Box<dyn Placement>> = Vec::new();
            if !placement.is_empty() {
                for &area in &areas {
                    before.push(self.system.area_mut(area).set_placement(placement_named(&placement)?));
                }
            }
            let mut done = Ok(());
            for &lock in &locks {
                setup.lock = lock;
                done = done.and_then(|()| self.tasks_row(&setup, seed, told, &names));
            }
            for (&area, before) in areas.iter().zip(before) {
                self.system.area_mut(area).set_placement(before);
            }
            done?;
        }
        Ok(())
    }

    fn tasks_row(&mut self, setup: &Setup, seed: u32, told: bool, names: &[String]) -> Result<(), Failure> {
        let report = run_filled(self.system, setup, Filling::Idle, &mut Seeded::new(seed), false).map_err(broken)?;
        let label = self.system.area(setup.areas[0]).placement().label();
        let record = self.callers_row(setup, &report, &format!("  {label}"))?;
        writeln!(self.out, "{}", record.number("seed", seed))?;
        if told {
            self.tell_callers(&report, |number| names[number].clone())?;
        }
        Ok(())
    }

    fn tasks(&mut self, args: &Args, align: Option<lab::request::Align>) -> Result<Tasks, Failure> {
        let chosen = args.key("area").or(args.key("from")).is_some();
        let Recording { survey, trace, options } = self.recording(args)?;
        let (several, _) = survey.several(self.system);
        let system = &*self.system;
        let area_of = |name: &[u8]| {
            if chosen || several.is_empty() {
                return options.from.is_none_or(|from| from.as_bytes() == name).then_some(options.area);
            }
            system.find_area(core::str::from_utf8(name).ok()?)
        };
        tasks_of(trace, options.part, align, area_of).map_err(|error| Failure::bad(format!("{error}")))
    }

    /// Executes `compare load=replay callers=tasks`.
    pub(super) fn compare_callers(&mut self, args: &Args) -> Result<(), Failure> {
        if args.key("load") != Some("replay") {
            return Err(Failure::bad("callers=tasks goes with load=replay: it is the recording that has tasks"));
        }
        let placements = placement_names(args)?;
        self.tasks_as_callers(args, placements)
    }

    /// Executes `replay callers=tasks`.
    pub(super) fn replay_callers(&mut self, args: &Args) -> Result<(), Failure> {
        let placement = args.key("placement").unwrap_or_default().to_string();
        self.tasks_as_callers(args, Vec::from([placement]))
    }
}
