// SPDX-License-Identifier: MIT OR Apache-2.0

//! `compare`: one load under several placements.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt::Write;

use super::areas::in_the_way;
use super::callers::callers_only;
use super::placements::placement_names;
use super::replay::{ALIGNS, Recording, align_named};
use super::{Command, Session};
use crate::Failure;
use crate::syntax::Args;
use lab::compare::{CompareError, Comparison, DEFAULT_OPS, MAX_SEEDS, MakePlacement, Step};
use lab::help::Help;
use lab::keys::{Keys, none_of};
use lab::load;
use lab::metrics::Counted;
use lab::replay::{self, Compared, WhenServed};
use machine::Machine;
use placement::{FirstFit, Placement};

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Command<M>] {
    const {
        &[Command {
            help: Help {
                name: "compare",
                usage: "[placements=PLACEMENT,PLACEMENT] [load={loads}|replay] [seeds=10] [area=NAME] [seed=1577527915] \
                                    [rng=glibc|wyrand] [align=order|page|ORDER|asis] [until=failure|ops] [ops=10000000] \
                                    [relocatable=1000] [timed=1] [held=refuse|release] [failed=release|keep] [from=RECORDED] \
                                    [callers=tasks] [lock=none|global|area|all] {parameters of loads}",
                summary: "runs a load with the same seeds under several placements",
                details: "Each load begins on an empty area. Prints allocations to the first failure (least, quartiles, \
                              most), how full the area was then, its longest free run, and the cost of an allocation. A load that \
                              does not fail within ops= steps survived. For every two placements: in how many seeds the first \
                              lasted longer, shorter, as long, and how likely so large a difference is if neither is better (sign \
                              test). Each seed is a record. Ctrl-C prints what is done. Without placements= all are \
                              compared: {placements}. scale=, slots=, relocatable= and timed= as for \
                              debris, and the parameters of the other loads as for those. load=replay: the recording in the initrd \
                              under every placement and every alignment of align=asis,order,page (default asis); area=, \
                              held=, failed=, from= and relocatable= as for replay; so are callers= and lock=.",
                example: "compare placements=first-fit,zoned seeds=2 ops=20000",
            },
            run: |session, args| session.compare(args),
        }]
    }
}

/// Default of `seeds=`.
const DEFAULT_SEEDS: u64 = 10;
/// Time without output after which a progress line is printed.
pub(super) const PROGRESS_NS: u64 = 5_000_000_000;

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    fn compare(&mut self, args: &Args) -> Result<(), Failure> {
        if args.key("callers").is_some() {
            return self.compare_callers(args);
        }
        callers_only(args)?;
        let name = args.key("load").unwrap_or(load::DEFAULT);
        if name == "replay" {
            return self.compare_replays(args);
        }
        let mut comparison = self.comparison(args)?;
        writeln!(self.out, "{}", comparison.title(self.system))?;
        let area = self.system.area(comparison.area()).name().to_string();
        let mut printed_ns = self.out.machine.now_ns();
        let interrupted = loop {
            match comparison.step(self.system, self.out.machine) {
                Ok(step @ (Step::Done { loads, of } | Step::Running { loads, of, .. })) => {
                    let now_ns = self.out.machine.now_ns();
                    if now_ns.saturating_sub(printed_ns) >= PROGRESS_NS && loads < of {
                        printed_ns = now_ns;
                        let placement = comparison.placement();
                        write!(self.out, "... {loads} of {of} loads done, at {placement}")?;
                        if let Step::Running { allocs, .. } = step {
                            write!(self.out, ", {allocs} allocations")?;
                        }
                        writeln!(self.out)?;
                    }
                }
                Ok(Step::Finished) => break false,
                Ok(Step::Interrupted) => break true,
                Err(error @ CompareError::Release(_)) => return Err(Failure::check(format!("{area}: {error}"))),
                Err(error) => return Err(Failure::bad(format!("{area}: {error}"))),
            }
        };
        if interrupted {
            writeln!(self.out, "Stopped by Ctrl-C; this is done:")?;
        }
        write!(self.out, "{comparison}")?;
        Ok(())
    }
}

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    /// Returns the comparison that the keys describe.
    pub(crate) fn comparison(&self, args: &Args) -> Result<Comparison, Failure> {
        let name = args.key("load").unwrap_or(load::DEFAULT);
        only_for(args, name, &["held", "failed", "from"])?;
        let load =
            load::find(name).ok_or_else(|| none_of("load is", name, load::names().chain(["replay"]), "it can be"))?;
        let options = self.load_options(load, args, DEFAULT_OPS)?;
        self.without_job(options.area)?;
        let seeds = args.whole("seeds", DEFAULT_SEEDS, 1, MAX_SEEDS.into())? as u32;
        let mut placements: Vec<MakePlacement> = Vec::new();
        for name in placement_names(args)? {
            placements.push(Box::new(move || made(&name)));
        }
        let id = options.area;
        Comparison::new(self.system, options, seeds, placements).map_err(|error| {
            let area = self.system.area(id).name();
            match error {
                CompareError::NotEmpty { .. } => {
                    Failure::bad(format!("{area}: {error}: {}", in_the_way(self.system, id)))
                }
                CompareError::NoMemory => Failure::bad(format!("{area}: {error}")),
                CompareError::Release(_) => Failure::check(format!("{area}: {error}")),
            }
        })
    }

    /// Replays the recording under several placements and alignments.
    fn compare_replays(&mut self, args: &Args) -> Result<(), Failure> {
        let own = ["placements", "load", "area", "align", "held", "failed", "from", "relocatable"];
        let others: Vec<&str> = args.given().filter(|key| !own.contains(key)).collect();
        if let [key, ..] = others[..] {
            return Err(Failure::bad(format!("{key}= is not a key of replay; it takes {}=", own.join("= "))));
        }
        let names = placement_names(args)?;
        let mut aligns = Vec::new();
        for name in args.key("align").unwrap_or(ALIGNS[0]).split(',') {
            if !ALIGNS.contains(&name) {
                return Err(Failure::bad(none_of("align is", name, ALIGNS.iter().copied(), "it can be")));
            }
            aligns.push(align_named(name));
        }
        let recording = self.recording(args)?;
        let Recording { survey, trace, options } = &recording;
        let area = self.system.area(options.area);
        let text = format!("compare replay on {} ({} pages): the recording under each.", area.name(), area.pages());
        let mut rows: Vec<Compared> = Vec::new();
        for (name, align) in names.iter().flat_map(|name| aligns.iter().map(move |align| (name, *align))) {
            let options = replay::Options { align, ..*options };
            let row = replay::compare(self.system, self.out.machine, options, made(name), (survey, *trace));
            let row = row.map_err(|error| self.replay_failure(error))?;
            if rows.is_empty() {
                writeln!(self.out, "{text}\n{}", Compared::HEADING)?;
            }
            if row.report.interrupted {
                writeln!(self.out, "Stopped by Ctrl-C.")?;
                break;
            }
            writeln!(self.out, "{row}")?;
            rows.push(row);
        }
        if let Some(failed @ 1..) = rows.first().map(|row| row.report.failed_recorded) {
            let failed = Counted(failed, "request");
            let becomes = match options.served {
                WhenServed::Release => "go back at once; failed=keep keeps them as long as others",
                WhenServed::Keep => "are kept as long as others; failed=release gives them back at once",
            };
            writeln!(self.out, "{failed} failed when this was recorded; those that succeed here {becomes}.")?;
        }
        for row in &rows {
            writeln!(self.out, "{}", row.record())?;
        }
        Ok(())
    }
}

/// Errs if another load than `replay` is given one of `keys`, which only replays take.
fn only_for(args: &Args, load: &str, keys: &[&str]) -> Result<(), Failure> {
    match keys.iter().find(|key| args.key(key).is_some()) {
        Some(key) => Err(Failure::bad(format!("{key}= is not a key of {load}; it is of load=replay"))),
        None => Ok(()),
    }
}

/// Returns the placement called `name`, which was checked before.
fn made(name: &str) -> Box<dyn Placement> {
    placements::parse(name).unwrap_or_else(|_| Box::new(FirstFit))
}
