// SPDX-License-Identifier: MIT OR Apache-2.0

//! The areas lie inside the zone.

use alloc::format;

use super::{Test, Verdict, aside, ensure};
use system::System;

pub(super) const ENTRIES: &[Test] = &[aside("cma_inside", cma_inside)];

fn cma_inside(system: &mut System<'_>) -> Verdict {
    let mut areas = system.areas().iter();
    areas.try_for_each(|area| ensure(system.zone().is_cma(area.base()), || format!("{} begins outside", area.name())))
}
