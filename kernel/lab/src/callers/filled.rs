// SPDX-License-Identifier: MIT OR Apache-2.0

//! Callers of areas with pages in use, which have to be moved or dropped first.

use super::{Broken, Report, Scheduler, Setup, run};
use crate::pressure::latency::{Filling, fill_areas};
use page_alloc::policy::{CmaUse, Lend};
use system::System;

/// Runs callers like [`run`](super::run), after it has opened the system's users of memory and
/// filled the areas. Checks the pages' content, and closes the users.
///
/// # Errors
/// See [`Broken`].
pub fn run_filled(
    system: &mut System<'_>,
    setup: &Setup,
    filling: Filling,
    scheduler: &mut dyn Scheduler,
    tell: bool,
) -> Result<Report, Broken> {
    system.zone_mut().forget_types();
    let mut mm = system.open_live(CmaUse::Half, Lend::Movable).map_err(Broken::Open)?;
    let filled = fill_areas(&mut mm, filling);
    mm.set_policy(CmaUse::Half, Lend::Movable);
    let result = match filled {
        Ok(_) => run(system, setup, scheduler, tell),
        Err(_) => Err(Broken::NoMemory),
    };
    let bad = system.mm().map_or(0, |mut mm| mm.verify_contents());
    system.close_live();
    let report = result?;
    if bad > 0 { Err(Broken::Contents(bad)) } else { Ok(report) }
}
