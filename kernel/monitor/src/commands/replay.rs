// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `replay`: keys into options, a run into text and a record.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use super::areas::{choose_area, in_the_way};
use super::callers::callers_only;
use super::placements::placement_of;
use super::{Command, Session};
use crate::Failure;
use crate::syntax::Args;
use cma::AreaId;
use lab::help::Help;
use lab::keys::{Keys, number, shown};
use lab::replay::{self, Part, ReplayError, Sizes, Survey, Told, WhenHeld, WhenServed};
use lab::request::Align;
use lab::state::{self, Loaded};
use lab::trace::{Reason, TraceError};
use machine::Machine;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Command<M>] {
    const {
        &[Command {
            help: Help {
                name: "replay",
                usage: "[area=NAME] [placement=PLACEMENT] [align=asis|order|page] [held=refuse|release] \
                            [failed=release|keep] [until=end|failure] [failures=20|all] [from=RECORDED] [task=PATTERN] [pages=RANGE] \
                            [relocatable=1000] [callers=tasks] [lock=none|global|area|all] [seed=1]",
                summary: "replays the trace in the initrd on an empty area; its buffers stay",
                details: "The trace is lines `a ID PAGES ALIGN_ORDER` and `r ID`, the text of Linux's ftrace with the \
                  events cma_alloc_finish and cma_release, or a kernel's log with the lines of CONFIG_CMA_DEBUG; \
                  which of them is seen by itself. Without area= a recording \
                  goes to the area of its name, and where there is none to the one that other commands take; a line \
                  then says on which area it was recorded. A recording of several areas goes to all that are here, each to its \
                  own, in the order of its lines; from= is the one that is wanted. task= (with * and ?, and behind a ! for all others) and pages= (64-256, 64- or -63) replay a part \
                  of the requests, so that a recording can be split over two areas. held=release gives a buffer back where its ID is \
                  allocated again, held=refuse makes that an error of the trace; refuse is the default only for a \
                  plain trace under first-fit and align=asis, where an ID is free again if its request failed when it \
                  was recorded. failed=keep: what failed on the board and succeeds here is kept as long as the median of \
                  its task's buffers lived (else of all tasks'), and does not go back at once. Each request that fails \
                  is a line and a record, with the three windows that are cheapest to empty, and whose buffers are in \
                  them; failures=N: lines of the first N (failures=all). until=failure ends the replay at the first. \
                  relocatable=N: under placement=relocate the buffers of N IDs in a thousand may \
                  be moved to make room. callers=tasks: the tasks of a recording of ftrace are callers at once, whose steps \
                  interleave by seed=, under a lock as in pressure callers=; they release everything at the end. A bad trace \
                  changes nothing.",
                example: "replay align=page",
            },
            run: |session, args| session.replay(args),
        }]
    }
}

/// The values of `align=`, the default first.
pub(super) const ALIGNS: &[&str] = &["asis", "order", "page"];

/// Returns the alignment that a word of [`ALIGNS`] names; `None` for the recorded one.
pub(super) fn align_named(name: &str) -> Option<Align> {
    match name {
        "order" => Some(Align::Order),
        "page" => Some(Align::Page),
        _ => None,
    }
}

/// A checked recording.
pub(super) struct Recording<'a, 't> {
    pub(super) survey: Survey<'t>,
    pub(super) trace: &'t [u8],
    pub(super) options: replay::Options<'a>,
}

/// Default of `failures=`: failures that are printed.
const SHOWN_FAILURES: u64 = 20;

impl<'s, M: Machine + ?Sized> Session<'s, '_, M> {
    fn replay(&mut self, args: &Args) -> Result<(), Failure> {
        if args.key("callers").is_some() {
            return self.replay_callers(args);
        }
        callers_only(args)?;
        let align = align_named(args.one_of("align", ALIGNS)?);
        let stop_at_failure = args.one_of("until", &["end", "failure"])? == "failure";
        let shown = match args.key("failures") {
            Some("all") => u64::MAX,
            Some(count) => number("failures", count, 0, u64::MAX).map_err(|line| format!("{line}, or `all`"))?,
            None => SHOWN_FAILURES,
        };
        placement_of(args)?;
        let Recording { survey, trace, options } = self.recording(args)?;
        let options = replay::Options { align, stop_at_failure, ..options };
        let chosen = args.key("area").or(args.key("from")).is_some();
        let (several, missing) = if chosen { Default::default() } else { survey.several(self.system) };
        for &(area, _) in &several {
            self.without_job(area)?;
        }
        let each = several.iter().map(|&(area, name)| {
            let loaded = self.loaded_in(area);
            replay::Options { area, from: Some(name), loaded, ..options }
        });
        let areas: Vec<replay::Options<'_>> = if several.is_empty() { [options].into() } else { each.collect() };
        let mut placements = Vec::new();
        for options in &areas {
            placements.extend(placement_of(args)?.map(|placement| (options.area, placement)));
        }
        self.with_placements(placements, |session| session.replay_on(&areas, shown, (&survey, trace)))?;
        if !missing.is_empty() {
            writeln!(self.out, "Not replayed, because there are no such areas here: {missing}.")?;
        }
        Ok(())
    }

    /// Returns the state that `load` put into `area`.
    fn loaded_in(&self, area: AreaId) -> Option<Loaded> {
        self.loaded.iter().find(|loaded| loaded.area == area).copied()
    }

    /// Replays the recording of one area, or of several at once.
    fn replay_on<'t>(
        &mut self,
        areas: &[replay::Options<'_>],
        shown: u64,
        (survey, trace): (&Survey<'t>, &'t [u8]),
    ) -> Result<(), Failure> {
        let several = areas.len() > 1;
        let mut failures = 0u64;
        let mut written = Ok(());
        let (machine, mut filters) = self.out.split();
        let mut tell = |machine: &mut M, told: Told<'_, '_>| {
            let Told::Failed { failure, .. } = told else { return };
            failures += 1;
            let text = match several {
                _ if failures > shown => String::new(),
                true => format!("{}: {failure}", failure.area),
                false => format!("{failure}"),
            };
            let printed = filters.print(machine, format_args!("{text}{}\n", failure.record()));
            written = written.and(printed);
        };
        let result = replay::run_together(self.system, machine, areas, survey, trace, Some(&mut tell));
        let reports = result.map_err(|error| self.replay_failure(error))?;
        written?;
        let last = reports.len() - 1;
        for (place, report) in reports.iter().enumerate() {
            write!(self.out, "{report}")?;
            if let (true, hidden @ 1..) = (place == last, failures.saturating_sub(shown)) {
                writeln!(
                    self.out,
                    "{hidden} more of the failures have no line here; failures=all prints lines of all."
                )?;
            }
            writeln!(self.out, "{}", report.record())?;
        }
        Ok(())
    }

    /// Checks the recording in the initrd; returns it with the options of all keys but `align=`.
    pub(super) fn recording<'a>(&mut self, args: &'a Args) -> Result<Recording<'a, 's>, Failure> {
        let named = args.key("area");
        let unnamed = choose_area(self.system, named)?;
        let held = match args.key("held") {
            None => None,
            Some(_) if args.one_of("held", &["refuse", "release"])? == "refuse" => Some(WhenHeld::Refuse),
            Some(_) => Some(WhenHeld::Release),
        };
        let served = match args.one_of("failed", &["release", "keep"])? {
            "keep" => WhenServed::Keep,
            _ => WhenServed::Release,
        };
        let relocatable = args.whole("relocatable", 1000, 0, 1000)? as u32;
        let from = args.key("from");
        let Some(trace) = self.context.initrd else {
            return Err(Failure::bad("there is no trace; boot with one as the initrd (-initrd FILE)"));
        };
        if named.is_some() {
            self.without_job(unnamed)?;
        }
        let survey = replay::survey(self.out.machine, trace).map_err(|error| self.replay_failure(error))?;
        let area = if named.is_some() { unnamed } else { survey.area(self.system, from, unnamed) };
        self.without_job(area)?;
        let (loaded, part) = (self.loaded_in(area), part_of(args)?);
        let options = replay::Options { held, from, relocatable, loaded, served, part, ..replay::Options::new(area) };
        Ok(Recording { survey, trace, options })
    }

    pub(super) fn replay_failure(&self, error: ReplayError) -> Failure {
        match error {
            ReplayError::NotEmpty { area, used } => Failure::bad(format!(
                "{used} pages of {} are in use, and a replay begins on an empty area, or on what `load` put there: {}",
                self.system.area(area).name(),
                in_the_way(self.system, area)
            )),
            ReplayError::Trace(TraceError { reason: Reason::Empty, .. })
                if self.context.initrd.is_some_and(|text| state::find(text, None, None).is_ok()) =>
            {
                Failure::bad("no line allocates or releases anything; it has the state of an area: `load` reads it")
            }
            ReplayError::Release { area, .. } => Failure::check(format!("{}: {error}", self.system.area(area).name())),
            _ => Failure::bad(format!("{error}")),
        }
    }
}

/// Returns the part of a recording that `task=` and `pages=` name.
fn part_of(args: &Args) -> Result<Part<'_>, Failure> {
    let pages = match args.key("pages") {
        None => Sizes::ALL,
        Some(range) => {
            let wrong = || Failure::bad(format!("pages is {}; it can be 64-256, 64- or -63", shown(range)));
            let (least, most) = range.split_once('-').ok_or_else(wrong)?;
            let bound =
                |text: &str, open: u32| if text.is_empty() { Ok(open) } else { text.parse().map_err(|_| wrong()) };
            let (least, most) = (bound(least, 0)?, bound(most, u32::MAX)?);
            if range == "-" || least > most {
                return Err(wrong());
            }
            Sizes { least, most }
        }
    };
    Ok(Part { task: args.key("task"), pages })
}
