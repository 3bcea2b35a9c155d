// SPDX-License-Identifier: MIT OR Apache-2.0

//! A recording under one of several placements and alignments (`compare load=replay`): the number
//! of requests that fail, and the line of the first. Afterwards the area is as before.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use super::{Options, ReplayError, ReplayReport, Survey, WhenHeld, run_surveyed};
use crate::record::Record;
use crate::request::Align;
use machine::Machine;
use placement::Placement;
use system::System;

/// Returns the name of a replay's alignment in `align=`; `None` is the recorded alignment.
pub const fn align_name(align: Option<Align>) -> &'static str {
    match align {
        None => "asis",
        Some(Align::Order) => "order",
        Some(Align::Page) => "page",
        Some(Align::Fixed(_)) => "fixed",
    }
}

/// Result of a replay under a placement and an alignment.
#[derive(Clone, Debug)]
pub struct Compared {
    align: &'static str,
    /// The report of the replay.
    pub report: ReplayReport,
}

/// Replays a recording under a placement, and releases its buffers.
///
/// # Errors
/// See [`ReplayError`].
pub fn compare<'t, M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &mut M,
    options: Options<'_>,
    placement: Box<dyn Placement>,
    (survey, trace): (&Survey<'t>, &'t [u8]),
) -> Result<Compared, ReplayError> {
    let id = options.area;
    let own = system.area_mut(id).set_placement(placement);
    // First-fit alone may refuse an ID that holds a buffer; every placement here releases it first.
    let options = Options { held: Some(options.held.unwrap_or(WhenHeld::Release)), ..options };
    let result = run_surveyed(system, machine, options, survey, trace, None);
    if result.is_ok() {
        options.release_own(system);
    }
    system.area_mut(id).set_placement(own);
    Ok(Compared { align: align_name(options.align), report: result? })
}

impl Compared {
    /// The heading of the table.
    pub const HEADING: &'static str =
        "placement       align    failed of allocs first at line    peak  used% longest  ns/alloc";

    /// Returns the record, of the kind that other loads have.
    pub fn record(&self) -> Record {
        let Self { align, report } = self;
        let served = report.allocs - report.failed;
        let record = Record::new("compare")
            .string("placement", &report.placement)
            .number("seeds", 1u32)
            .number("survived", u32::from(report.failed == 0))
            .number("allocs_min", served)
            .number("allocs_q1", served)
            .number("allocs_median", served)
            .number("allocs_q3", served)
            .number("allocs_max", served)
            .number("used_median", report.metrics.used)
            .number("maxchunk_median", report.metrics.longest)
            .number("alloc_ns", report.alloc.mean_ns(report.cost))
            .string("area", &report.area)
            .number("pages", report.area_pages)
            .string("align", align)
            .string("load", "replay")
            .number("failed", report.failed)
            .number("first_failure", report.first_failure.unwrap_or(0))
            .number("peak_pages", report.peak)
            .display("placement_fnv1a", report.placements);
        report.failures.record(record)
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { align, report } = self;
        let (name, failed, allocs, peak) = (&report.placement, report.failed, report.allocs, report.peak);
        let first = report.first_failure.map_or_else(|| String::from("-"), |line| alloc::format!("{line}"));
        let (used, longest) = (report.metrics.used, report.metrics.longest);
        let percent = u64::from(used) * 100 / u64::from(report.area_pages.max(1));
        write!(
            f,
            "{name:<16}{align:<6}{failed:>9} {allocs:>9} {first:>13} {peak:>7} {percent:>5}% {longest:>7} {:>9}",
            report.alloc.mean_ns(report.cost)
        )
    }
}
