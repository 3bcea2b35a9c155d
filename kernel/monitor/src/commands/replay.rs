// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `replay`: keys into options, a run into text and a record.

use alloc::format;
use core::fmt::Write;

use super::areas::{choose_area, in_the_way};
use super::placements::placement_of;
use super::{Command, Session};
use crate::Failure;
use crate::syntax::Args;
use cma::AreaId;
use lab::help::Help;
use lab::keys::Keys;
use lab::replay::{self, ReplayError, WhenHeld};
use lab::request::Align;
use machine::Machine;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Command<M>] {
    const {
        &[Command {
            help: Help {
                name: "replay",
                usage: "[area=NAME] [placement=NAME] [align=asis|order|page] [held=refuse|release] [from=RECORDED] \
                            [relocatable=1000]",
                summary: "replays the trace in the initrd on an empty area; its buffers stay",
                details: "The trace is lines `a ID PAGES ALIGN_ORDER` and `r ID`, the text of Linux's ftrace with the \
                  events cma_alloc_finish and cma_release, or a kernel's log with the lines of CONFIG_CMA_DEBUG; \
                  which of them is seen by itself. Without area= a recording \
                  goes to the area of its name, and where there is none to the one that other commands take; a line \
                  then says on which area it was recorded. from= is the recorded area, where there are several and \
                  none has the name of the area that is replayed on. held=release gives a buffer back where its ID is \
                  allocated again, held=refuse makes that an error of the trace; refuse is the default only for a \
                  plain trace under first-fit and align=asis, where an ID is free again if its request failed when it \
                  was recorded. relocatable=N: under placement=relocate the buffers of so many IDs in a thousand may \
                  be moved to make room. A bad trace changes nothing.",
                example: "replay align=page",
            },
            run: |session, args| session.replay(args),
        }]
    }
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    fn replay(&mut self, args: &Args) -> Result<(), Failure> {
        let named = args.key("area");
        let unnamed = choose_area(self.system, named)?;
        let align = match args.one_of("align", &["asis", "order", "page"])? {
            "order" => Some(Align::Order),
            "page" => Some(Align::Page),
            _ => None,
        };
        let held = match args.key("held") {
            None => None,
            Some(_) if args.one_of("held", &["refuse", "release"])? == "refuse" => Some(WhenHeld::Refuse),
            Some(_) => Some(WhenHeld::Release),
        };
        let relocatable = args.whole("relocatable", 1000, 0, 1000)? as u32;
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
        let loaded = self.loaded.iter().find(|loaded| loaded.area == area).copied();
        let options = replay::Options { area, align, held, from, relocatable, loaded };
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
                "{used} pages of {name} are in use, and a replay begins on an empty area, or on what `load` put there: {}",
                in_the_way(self.system, area)
            )),
            ReplayError::Release(_) => Failure::check(format!("{name}: {error}")),
            _ => Failure::bad(format!("{error}")),
        }
    }
}
