// SPDX-License-Identifier: MIT OR Apache-2.0

//! The self-tests: operations on the real zone and the real areas, followed by a check of all
//! accounting; printed as KTAP. Afterwards areas hold what they held before, leaked buffers
//! included. A test that finds too little memory, or no area that it could use, is skipped with a
//! reason.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

pub use self::dma::{segments, transfers};
use super::commands::Session;
use super::syntax::Args;
use super::{Context, Failure, STATUS_CHECK_FAILED};
use cma::AreaId;
use lab::keys::shown;
use machine::Machine;
use page_alloc::{MAX_PAGE_ORDER, Migratetype};
use system::System;
use units::table;

/// Steps of a random test.
const STEPS: u32 = 2000;
/// Slots of a random test, each for a buffer.
const SLOTS: usize = 64;

/// The reason why a self-test did not pass.
enum Stop {
    /// The test cannot run, for this reason.
    Skip(String),
    /// The test found this error.
    Fail(String),
}

impl Stop {
    fn skip(reason: impl Into<String>) -> Self {
        Self::Skip(reason.into())
    }

    fn fail(wrong: impl ToString) -> Self {
        Self::Fail(wrong.to_string())
    }
}

impl From<String> for Stop {
    fn from(wrong: String) -> Self {
        Self::Fail(wrong)
    }
}

impl From<&str> for Stop {
    fn from(wrong: &str) -> Self {
        Self::Fail(wrong.into())
    }
}

/// The result of a self-test.
type Verdict<T = ()> = Result<T, Stop>;

/// A self-test.
struct Test {
    name: &'static str,
    /// The test allocates from the areas, which no job may use meanwhile.
    uses_areas: bool,
    run: fn(&mut System<'_>) -> Verdict,
}

/// Creates a test that does not use the areas.
const fn aside(name: &'static str, run: fn(&mut System<'_>) -> Verdict) -> Test {
    Test { name, uses_areas: false, run }
}

/// Creates a test that allocates from the areas.
const fn on_areas(name: &'static str, run: fn(&mut System<'_>) -> Verdict) -> Test {
    Test { name, uses_areas: true, run }
}

table! {
    /// Every self-test except those of the machine's own layer.
    TESTS: [Test] =
        pages,
        areas,
        live,
        dma,
        #[cfg(test)] example,
}

/// Returns the names of all tests, the machine's own last.
pub(super) fn names<'c>(context: &Context<'c>) -> impl Iterator<Item = &'c str> {
    TESTS.iter().map(|test| test.name).chain(context.tests.iter().map(|test| test.0))
}

/// True if `wanted` is the name of the test or of its group, with which the name begins (`dma` for
/// `dma_pins`), or is `None`.
fn is_meant(name: &str, wanted: Option<&str>) -> bool {
    let rest = wanted.map(|wanted| name.strip_prefix(wanted));
    rest.is_none_or(|rest| rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_')))
}

/// Runs all tests, or those that `args` name.
pub(super) fn run<M: Machine + ?Sized>(session: &mut Session<'_, '_, M>, args: &Args) -> Result<(), Failure> {
    let extra = session.context.tests;
    let names = || names(session.context);
    let wanted = args.word(0);
    let count = names().filter(|&name| is_meant(name, wanted)).count();
    if let (Some(wanted), 0) = (wanted, count) {
        let names: Vec<&str> = names().collect();
        return Err(Failure::bad(format!("no test {}; there are {}", shown(wanted), names.join(" "))));
    }
    if let Some(test) = TESTS.iter().find(|test| test.uses_areas && is_meant(test.name, wanted)) {
        session.without_jobs(&format!("{} allocates from every area", test.name))?;
    }
    writeln!(session.out, "KTAP version 1\n1..{count}")?;
    let (mut failed, mut number, mut stopped) = (0, 0, false);
    for name in names().filter(|&name| is_meant(name, wanted)) {
        number += 1;
        stopped |= session.out.machine.interrupted();
        if stopped {
            writeln!(session.out, "ok {number} {name} # SKIP stopped by Ctrl-C")?;
            continue;
        }
        let own = TESTS.iter().find(|test| test.name == name);
        let verdict = match own {
            // The accounting has to balance after every test.
            Some(test) => match ((test.run)(session.system), session.system.check()) {
                (Err(Stop::Fail(wrong)), _) => Err(Stop::Fail(wrong)),
                (verdict, books) => books.map_err(Stop::fail).and(verdict),
            },
            None => extra.iter().find(|test| test.0 == name).map_or(Ok(()), |(_, test)| test().map_err(Stop::Fail)),
        };
        match verdict {
            Ok(()) => writeln!(session.out, "ok {number} {name}")?,
            Err(Stop::Skip(reason)) => writeln!(session.out, "ok {number} {name} # SKIP {reason}")?,
            Err(Stop::Fail(wrong)) => {
                failed += 1;
                for line in wrong.lines() {
                    writeln!(session.out, "# {line}")?;
                }
                writeln!(session.out, "not ok {number} {name}")?;
            }
        }
    }
    if failed == 0 {
        return Ok(());
    }
    Err(Failure { line: format!("{failed} of {count} tests failed"), status: STATUS_CHECK_FAILED })
}

/// Errs with `line` unless `holds`.
fn ensure(holds: bool, line: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Stop::Fail(line())) }
}

/// Returns the areas; skips the test if there are none.
fn existing_areas(system: &System<'_>) -> Verdict<Vec<AreaId>> {
    let areas: Vec<AreaId> = system.area_ids().collect();
    if areas.is_empty() { Err(Stop::skip("there is no CMA area")) } else { Ok(areas) }
}

/// Counts the free blocks of each order, of all migratetypes together: unmovable requests may
/// change that of a pageblock.
fn blocks_by_order(system: &System<'_>) -> Vec<u32> {
    (0..=MAX_PAGE_ORDER)
        .map(|order| Migratetype::ALL.iter().map(|&migratetype| system.zone().free_blocks(order, migratetype)).sum())
        .collect()
}
