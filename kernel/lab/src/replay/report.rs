// SPDX-License-Identifier: MIT OR Apache-2.0

//! The report of a replay on an area: counts, fingerprints and times, as text and as a record.

use alloc::string::String;
use core::fmt;

use super::pointers::Pointers;
use super::{Counts, RecordedSize, Tally, Used};
use crate::buffer_owner::Moves;
use crate::fingerprint::Fingerprint;
use crate::metrics::{Counted, Metrics};
use crate::record::Record;
use crate::state::padded_mib;
use crate::stopwatch::{ClockCost, Timing, Timings};
use crate::trace::Format;
use placement::{FirstFit, Placement};

/// Result of a replay on one area.
#[derive(Clone, Debug)]
pub struct ReplayReport {
    pub(super) area: String,
    pub(super) placement: String,
    pub(super) format: Format,
    pub(super) area_pages: u32,
    /// Name of the recorded area; empty if the format has none.
    pub(super) from: String,
    pub(super) recorded_size: RecordedSize,
    /// Information from a log's pointers; other formats have page numbers.
    pub(super) pointers: Option<Pointers>,
    /// Ranges that were busy in the recording, if the format has this.
    pub busy: u64,
    /// Allocations and releases of the recorded area.
    pub(super) recorded_ops: u64,
    /// Operations done.
    pub ops: u64,
    /// Allocations among them.
    pub allocs: u64,
    /// Allocations that failed.
    pub failed: u64,
    /// Fingerprint of all placements.
    pub placements: Fingerprint,
    /// Fingerprint of the bitmap at the end.
    pub bitmap: Fingerprint,
    /// The area at the end.
    pub metrics: Metrics,
    /// Most pages in use at a time.
    pub peak: u32,
    /// The line of the first request that failed.
    pub first_failure: Option<u64>,
    /// Failed requests, by cause and by size.
    pub failures: Tally,
    /// True if Ctrl-C ended the replay early.
    pub interrupted: bool,
    /// The line of the failure that ended the replay early.
    pub stopped: Option<u64>,
    /// Least number of events that the recording reports as lost.
    pub lost: u64,
    /// Releases of pages whose allocation was not recorded, or of an ID that was released already.
    pub unmatched: u64,
    /// Buffers released because their ID or pages were allocated while held.
    pub held_released: u64,
    /// Allocations that failed in the recording.
    pub failed_recorded: u64,
    /// Allocations that failed in the recording and succeeded here.
    pub failed_served: u64,
    /// Numbers of these that were kept, with [`super::WhenServed::Keep`].
    pub kept: Option<Used>,
    /// Allocations whose place in the recording is known.
    pub compared: u64,
    /// Allocations with the same place as in the recording.
    pub as_recorded: u64,
    /// The line of the first with another place.
    pub first_elsewhere: Option<u64>,
    /// Requests outside the part that is replayed.
    pub left_out: u64,
    /// Results from the counts of free pages in the recording.
    pub counts: Counts,
    /// The page after the highest one of the area that was held.
    pub highest_page: u32,
    /// Moved buffers, if the placement moves any.
    pub moves: Option<Moves>,
    pub(super) lines: u64,
    /// Time for reading and checking the trace.
    pub(super) checked_ns: u64,
    pub(super) alloc: Timing,
    pub(super) release: Timing,
    pub(super) cost: ClockCost,
}

impl ReplayReport {
    /// Returns the timing of allocations and releases, with the cost of the clock.
    pub fn timings(&self) -> Timings {
        Timings { alloc: self.alloc, release: self.release, cost: self.cost }
    }

    /// Returns the record.
    pub fn record(&self) -> Record {
        let record = Record::new("replay")
            .string("area", &self.area)
            .string("placement", &self.placement)
            .number("ops", self.ops)
            .number("allocs", self.allocs)
            .number("failed", self.failed)
            .display("placement_fnv1a", self.placements)
            .display("bitmap_fnv1a", self.bitmap)
            .number("used", self.metrics.used)
            .number("maxchunk", self.metrics.longest)
            .number("alloc_ns", self.alloc.mean_ns(self.cost))
            .number("release_ns", self.release.mean_ns(self.cost))
            .number("alloc_max_ns", self.alloc.max_ns(self.cost))
            .number("alloc_p999_ns", self.alloc.p999_ns(self.cost))
            .string("format", self.format.name())
            .string("from", &self.from)
            .number("lost", self.lost)
            .number("unmatched", self.unmatched)
            .number("held_released", self.held_released)
            .number("failed_recorded", self.failed_recorded)
            .number("failed_served", self.failed_served)
            .number("compared", self.compared)
            .number("as_recorded", self.as_recorded)
            .number("first_elsewhere", self.first_elsewhere.unwrap_or(0))
            .number("left_out", self.left_out)
            .number("gaps", self.counts.gaps)
            .number("first_gap", self.counts.first_gap)
            .number("lines", self.lines)
            .number("line_ns", self.checked_ns / self.lines.max(1))
            .number("peak_pages", self.peak);
        let record = self.failures.record(record);
        let record = match self.counts.held_before {
            Some(pages) => record.number("held_before", pages),
            None => record,
        };
        Moves::record(self.moves.as_ref(), record)
    }
}

impl ReplayReport {
    /// Returns the reason why no buffer has the same place as on the board, if none has.
    fn why_elsewhere(&self) -> Option<&'static str> {
        if self.as_recorded > 0 || self.compared == 0 {
            return None;
        }
        Some(match self.failed_served {
            1.. => "what failed there is in the way here",
            0 if self.placement != FirstFit.name() => "they were placed by another rule",
            // In an empty area, first-fit begins at the first page, as on the board.
            0 => "what was in use in front of them there is not recorded",
        })
    }

    /// Writes the information about a recording by Linux.
    fn write_recording(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let other_size = matches!(self.recorded_size, RecordedSize::Pages(pages) if pages != self.area_pages.into());
        if self.from != self.area || other_size {
            write!(
                f,
                "The recording is of {}, {}; here it ran on {}, which has {}",
                self.from, self.recorded_size, self.area, self.area_pages
            )?;
            match self.recorded_size.pages() {
                pages if pages > self.area_pages.into() => {
                    let mib = padded_mib(pages);
                    writeln!(f, "; boot with cma={mib}M and use area=reserved, or debris replay --area {mib}M.")?;
                }
                _ => writeln!(f, ".")?,
            }
        }
        write!(f, "Recorded on {}: {}; ", self.from, Counted(self.recorded_ops, "operation"))?;
        if self.pointers.is_none_or(|pointers| pointers.scale().is_some()) {
            write!(f, "{} of {} placements as recorded", self.as_recorded, self.compared)?;
            match (self.why_elsewhere(), self.first_elsewhere) {
                (Some(why), _) => write!(f, " ({why}); ")?,
                (None, Some(line)) => write!(f, " (the first that is not: line {line}); ")?,
                (None, None) => write!(f, "; ")?,
            }
        }
        write!(f, "{} failed there, of which {} succeeded here", self.failed_recorded, self.failed_served)?;
        match (self.failed_served, self.kept) {
            (0, _) => writeln!(f, ".")?,
            (_, None) => writeln!(f, " and went back at once; failed=keep keeps them as long as others.")?,
            (_, Some(kept)) => writeln!(f, "; failed=release gives them back at once.\nThose were {kept}.")?,
        }
        if let Some(pointers) = &self.pointers {
            writeln!(f, "{pointers}.")?;
        }
        if let Some(pages @ 1..) = self.counts.held_before {
            writeln!(
                f,
                "{} held there when the recording began, by what it does not show; `load` puts a board's state here.",
                Counted(pages, "page")
            )?;
        }
        if self.counts.gaps > 0 {
            writeln!(
                f,
                "In {}, first at line {}, pages came or went without an event: events were lost there.",
                Counted(self.counts.gaps, "place"),
                self.counts.first_gap
            )?;
        }
        if self.busy > 0 {
            writeln!(
                f,
                "{} busy there and passed over; what follows may lie elsewhere here.",
                Counted(self.busy, "range")
            )?;
        }
        if self.lost + self.unmatched + self.held_released > 0 {
            writeln!(
                f,
                "The recording lost {} that it knows of; {} of what it had not seen allocated; {} that it had not seen released.",
                Counted(self.lost, "event"),
                Counted(self.unmatched, "release"),
                Counted(self.held_released, "buffer")
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for ReplayReport {
    /// Writes the text for people; ends in a newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.interrupted {
            writeln!(f, "Stopped by Ctrl-C after {} operations.", self.ops)?;
        }
        if let Some(line) = self.stopped {
            match self.first_failure == Some(line) {
                true => writeln!(f, "Stopped at line {line}, the first request that failed.")?,
                false => writeln!(f, "Stopped at line {line}, where the first request of another area failed.")?,
            }
        }
        writeln!(
            f,
            "{}: {} replayed, {} of which {} failed, at most {} used; mean {} ns, longest {} ns, release {} ns.",
            self.area,
            Counted(self.ops, "operation"),
            Counted(self.allocs, "allocation"),
            self.failed,
            Counted(self.peak.into(), "page"),
            self.alloc.mean_ns(self.cost),
            self.alloc.max_ns(self.cost),
            self.release.mean_ns(self.cost)
        )?;
        if self.format != Format::Plain {
            self.write_recording(f)?;
        } else {
            if self.held_released > 0 {
                let again = Counted(self.held_released, "buffer");
                writeln!(
                    f,
                    "{again} given back because the ID was allocated again (held=refuse makes that an error)."
                )?;
            }
            if self.unmatched > 0 {
                writeln!(f, "{} of what was released already.", Counted(self.unmatched, "release"))?;
            }
        }
        if let Some(moves) = &self.moves {
            writeln!(f, "{moves}")?;
        }
        if self.failed > 0 {
            writeln!(f, "{}", self.failures)?;
        }
        writeln!(f, "{}; the buffers stay: `release all {}` gives them back.", self.metrics, self.area)
    }
}
