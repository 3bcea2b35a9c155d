//! `compare`: the same load under several placements.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use super::Session;
use super::areas::in_the_way;
use super::experiments::{one_of, placement_named, whole};
use crate::cma::placement::{self, FirstFit, PLACEMENTS, Placement};
use crate::lab::compare::{CompareError, Comparison, DEFAULT_OPS, MAX_PLACEMENTS, MAX_SEEDS, MakePlacement, Row, Step};
use crate::lab::load::Kind;
use crate::machine::Machine;
use crate::monitor::Failure;
use crate::monitor::syntax::Args;

/// Seeds, unless `seeds=` says otherwise.
const DEFAULT_SEEDS: u64 = 10;
/// So long nothing is printed before a progress line is.
pub(super) const PROGRESS_NS: u64 = 5_000_000_000;

impl<M: Machine + ?Sized> Session<'_, '_, M> {
    pub(super) fn compare(&mut self, args: &Args) -> Result<(), Failure> {
        let load = one_of(args, "load", Kind::NAMES)?;
        let options = self.load_options(load, args, DEFAULT_OPS)?;
        self.without_job(options.area)?;
        let seeds = whole(args, "seeds", DEFAULT_SEEDS, 1, MAX_SEEDS.into())? as u32;
        let names: Vec<String> = match args.key("placements") {
            Some(list) => list.split(',').map(ToString::to_string).collect(),
            None => PLACEMENTS.iter().map(|entry| entry.name.to_string()).collect(),
        };
        if names.len() > MAX_PLACEMENTS {
            return Err(Failure::bad(format!("more than {MAX_PLACEMENTS} placements (MAX_PLACEMENTS)")));
        }
        let mut placements: Vec<MakePlacement> = Vec::new();
        for name in names {
            placement_named(&name)?;
            placements.push(Box::new(move || made(&name)));
        }
        let area = self.system.area(options.area);
        let (area, pages) = (area.name().to_string(), area.pages());
        let (ops, kind) = (options.ops, options.kind);
        let id = options.area;
        let mut comparison = Comparison::new(self.system, options, seeds, placements).map_err(|error| match error {
            CompareError::NotEmpty { .. } => Failure::bad(format!("{area}: {error}: {}", in_the_way(self.system, id))),
            CompareError::NoMemory => Failure::bad(format!("{area}: {error}")),
            CompareError::Release(_) => Failure::check(format!("{area}: {error}")),
        })?;
        writeln!(
            self.out,
            "compare {kind} on {area} ({pages} pages): the same {seeds} seeds each, at most {ops} steps a seed."
        )?;
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
        writeln!(self.out, "{}", Row::HEADING)?;
        for row in comparison.rows() {
            writeln!(self.out, "{row}")?;
        }
        for row in comparison.rows() {
            if let Some(moves) = row.moves() {
                writeln!(self.out, "{}: {moves}", row.placement())?;
            }
        }
        for row in comparison.rows() {
            writeln!(self.out, "{}", row.record())?;
        }
        Ok(())
    }
}

/// A placement whose name was found good before.
fn made(name: &str) -> Box<dyn Placement> {
    placement::parse(name).unwrap_or_else(|_| Box::new(FirstFit))
}
