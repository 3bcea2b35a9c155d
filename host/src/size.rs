// SPDX-License-Identifier: MIT OR Apache-2.0

//! The smallest area in which no request of a recording fails.
//!
//! Under first-fit, the place of a request does not depend on the area's size: one run in an area
//! that is never full gives the answer, the highest page that was used. A run in that size and one
//! in a step less confirm it. Under other rules it does depend, and failures are not monotone in
//! the size: sizes are tried downwards from a limit (twice the peak, if there is room for it, or
//! more), and the answer is the smallest from which on nothing failed up to that limit.
//!
//! Invariants:
//! 1. Every size that is tried, the answer included, is a run of `lab::replay` on its own board.
//! 2. An ID that is allocated while it is held is released first, because a request that failed
//!    when it was recorded may succeed here.

use std::fmt;

use kernel::cma::placements;
use kernel::lab::record::Record;
use kernel::lab::replay::{
    self, Options, Part, RecordedSize, ReplayError, ReplayReport, Survey, Tell, Told, WhenHeld, WhenServed,
};
use kernel::lab::request::Align;
use kernel::lab::state;

use crate::board::{Board, MAX_AREA_PAGES};
use crate::machine::{Clock, Host};
use crate::timeline::Timeline;

/// Name of the area on a board that a size is tried on.
const AREA: &str = "tried";
/// Pages of a pageblock: the default step.
pub const PAGEBLOCK_PAGES: u32 = kernel::mm::PAGEBLOCK_PAGES;

/// The alignment of requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Alignment {
    /// As they were recorded.
    #[default]
    Asis,
    /// By the order of their size, capped at 8.
    Order,
    /// By one page.
    Page,
}

impl Alignment {
    /// All alignments, in the order of a table.
    pub const ALL: [Self; 3] = [Self::Asis, Self::Order, Self::Page];

    /// Returns the alignment's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asis => "asis",
            Self::Order => "order",
            Self::Page => "page",
        }
    }

    /// Returns the heading of the alignment's column.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Asis => "as recorded",
            Self::Order => "by order",
            Self::Page => "by page",
        }
    }

    const fn align(self) -> Option<Align> {
        match self {
            Self::Asis => None,
            Self::Order => Some(Align::Order),
            Self::Page => Some(Align::Page),
        }
    }
}

/// A recording that was read, to be replayed.
#[derive(Debug)]
pub struct Recording<'t> {
    text: &'t [u8],
    area: Option<&'t str>,
    clock: Clock,
    survey: Survey<'t>,
}

/// A placement and an alignment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// The placement, as in `placement=`.
    pub placement: String,
    /// The alignment of requests.
    pub alignment: Alignment,
}

/// The reason why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SizeError {
    /// The recording cannot be replayed.
    Replay(ReplayError),
    /// There is no placement of that name.
    Placement(String),
    /// Requests fail in the largest area that can be tried, of this many pages.
    TooLarge(u32),
    /// The run in an area of this many pages contradicts the one in an area that is never full.
    Disagrees(u32),
    /// Ctrl-C was typed.
    Stopped,
}

impl From<ReplayError> for SizeError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Interrupted => Self::Stopped,
            error => Self::Replay(error),
        }
    }
}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replay(error) => error.fmt(f),
            Self::Placement(name) => {
                let names: Vec<_> = placements::PLACEMENTS.iter().map(|entry| entry.name).collect();
                write!(f, "no placement {name}; there are {}", names.join(" "))
            }
            Self::TooLarge(pages) => {
                write!(f, "requests fail in an area of {} MiB, too, the largest that is tried", pages / 256)
            }
            Self::Disagrees(pages) => {
                write!(f, "a run in {pages} pages does not agree with one in an area without an end")
            }
            Self::Stopped => f.write_str("stopped by Ctrl-C"),
        }
    }
}

/// The smallest area under a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The rule.
    pub rule: Rule,
    /// Requests in the recording.
    pub requests: u64,
    /// Requests that failed when this was recorded.
    pub failed_recorded: u64,
    /// Maximum of pages held at once.
    pub peak_pages: u32,
    /// Distance of tried sizes.
    pub step_pages: u32,
    /// The smallest tried size for which nothing failed in it and in all larger ones.
    pub smallest_pages: u32,
    /// The largest tried multiple of the step in which a request failed.
    pub largest_failing_pages: Option<u32>,
    /// The size that the answer holds up to.
    pub tried_to_pages: u32,
    /// Pages allocated before the recording or in lost events are unknown, or ranges were busy: the
    /// area has to be larger by what these take.
    pub partial: bool,
    /// Events that the recording lost.
    pub lost: u64,
    /// Releases of what was allocated before the recording began.
    pub unmatched: u64,
    /// Ranges that were busy when it was recorded.
    pub busy: u64,
    /// Pages held when the recording began, if recorded.
    pub held_before: u64,
    /// Least pages of the area by what the board did, if the recording is partial; else 0.
    pub least_pages: u32,
    /// Treatment of buffers whose requests failed when this was recorded.
    pub served: WhenServed,
    /// The smallest size under the other treatment, if both were tried.
    pub otherwise_pages: Option<u32>,
}

impl Answer {
    /// Returns the record.
    pub fn record(&self, area: &str) -> Record {
        let record = Record::new("size")
            .string("area", area)
            .string("placement", &self.rule.placement)
            .string("align", self.rule.alignment.name())
            .number("requests", self.requests)
            .number("failed_recorded", self.failed_recorded)
            .number("peak_pages", self.peak_pages)
            .number("step_pages", self.step_pages)
            .number("smallest_pages", self.smallest_pages)
            .number("largest_failing_pages", self.largest_failing_pages.unwrap_or(0))
            .number("tried_to_pages", self.tried_to_pages)
            .number("partial", u64::from(self.partial))
            .string("failed", if self.served == WhenServed::Keep { "keep" } else { "release" })
            .number("lost", self.lost)
            .number("unmatched", self.unmatched)
            .number("busy", self.busy)
            .number("held_before", self.held_before);
        if self.least_pages > self.smallest_pages { record.number("least_pages", self.least_pages) } else { record }
    }
}

impl<'t> Recording<'t> {
    /// Reads a recording; `area` chooses one of several recorded areas.
    ///
    /// # Errors
    /// See [`SizeError`].
    pub fn open(text: &'t [u8], area: Option<&'t str>, clock: Clock) -> Result<Self, SizeError> {
        let survey = replay::survey(&mut Host::new(clock, Box::new(|_| {})), text)?;
        Ok(Self { text, area, clock, survey })
    }

    /// Returns the chosen recorded area, if any.
    pub const fn area(&self) -> Option<&'t str> {
        self.area
    }

    /// Replays the recording in an area of `pages` pages; with `stop`, up to the first failed
    /// request.
    ///
    /// # Errors
    /// See [`SizeError`].
    pub fn run(&self, rule: &Rule, served: WhenServed, pages: u32, stop: bool) -> Result<ReplayReport, SizeError> {
        self.run_part(rule, (served, Part::ALL), pages, stop, None)
    }

    /// Replays a part of the requests to the end, otherwise like [`Recording::run`]; also returns
    /// the course of the replay.
    ///
    /// # Errors
    /// See [`SizeError`].
    pub fn course(
        &self,
        rule: &Rule,
        (served, part): (WhenServed, Part<'_>),
        pages: u32,
    ) -> Result<(ReplayReport, Timeline), SizeError> {
        let mut timeline = Timeline::default();
        let mut tell = |_: &mut Host, told: Told<'_, '_>| timeline.note(&told);
        let report = self.run_part(rule, (served, part), pages, false, Some(&mut tell))?;
        Ok((report, timeline))
    }

    /// Returns the recorded size of the area, as far as it is known.
    ///
    /// # Errors
    /// See [`SizeError`].
    pub fn recorded_size(&self) -> Result<RecordedSize, SizeError> {
        Ok(self.survey.recorded_size(self.area)?)
    }

    /// Returns the maximum of pages held at once in an area in which nothing fails.
    ///
    /// # Errors
    /// See [`SizeError`].
    pub fn peak_pages(&self) -> Result<u32, SizeError> {
        let rule = Rule { placement: FIRST_FIT.into(), alignment: Alignment::Asis };
        Ok(self.without_end(&rule, WhenServed::Release)?.1.peak)
    }

    fn run_part(
        &self,
        rule: &Rule,
        (served, part): (WhenServed, Part<'_>),
        pages: u32,
        stop: bool,
        tell: Tell<'_, Host>,
    ) -> Result<ReplayReport, SizeError> {
        let placement = placements::parse(&rule.placement).map_err(|_| SizeError::Placement(rule.placement.clone()))?;
        let board = Board::of_one(AREA, pages);
        board.with(self.clock, Box::new(|_| {}), |system, host| {
            let Some(area) = system.find_area(AREA) else { return Err(SizeError::TooLarge(pages)) };
            system.area_mut(area).set_placement(placement);
            // An area is whole pageblocks: pages after its size are marked used.
            let text = format!("number of available pages: {pages}@0=> {pages} free of {pages} total pages");
            let loaded = if pages.is_multiple_of(PAGEBLOCK_PAGES) {
                None
            } else {
                state::find(text.as_bytes(), None, None).ok().and_then(|state| state::put(system, area, &state).ok())
            };
            let options = Options {
                loaded: loaded.map(|report| report.loaded),
                align: rule.alignment.align(),
                held: Some(WhenHeld::Release),
                from: self.area,
                served,
                part,
                stop_at_failure: stop,
                ..Options::new(area)
            };
            let report = replay::run_surveyed(system, host, options, &self.survey, self.text, tell)?;
            if report.interrupted { Err(SizeError::Stopped) } else { Ok(report) }
        })
    }

    /// Finds the smallest area under a rule, in multiples of `step_pages`. `served` is the
    /// treatment of buffers whose requests failed when this was recorded; `None` takes the larger
    /// answer. `each` runs several sizes.
    ///
    /// # Errors
    /// See [`SizeError`].
    pub fn size(
        &self,
        rule: &Rule,
        served: Option<WhenServed>,
        step_pages: u32,
        each: Each<'_>,
    ) -> Result<Answer, SizeError> {
        let released = self.size_served(rule, served.unwrap_or_default(), step_pages, each)?;
        if served.is_some() || released.failed_recorded == 0 {
            return Ok(released);
        }
        let kept = self.size_served(rule, WhenServed::Keep, step_pages, each)?;
        let (larger, other) =
            if kept.smallest_pages > released.smallest_pages { (kept, released) } else { (released, kept) };
        Ok(Answer { otherwise_pages: Some(other.smallest_pages), ..larger })
    }

    fn size_served(
        &self,
        rule: &Rule,
        served: WhenServed,
        step_pages: u32,
        each: Each<'_>,
    ) -> Result<Answer, SizeError> {
        let (capacity, roomy) = self.without_end(rule, served)?;
        let held_before = roomy.counts.held_before.unwrap_or(0);
        let partial = roomy.lost + roomy.unmatched + roomy.busy + held_before > 0;
        let least_pages = match partial {
            true => self.survey.least_pages(self.area, roomy.failed_recorded > 0)?.min(MAX_AREA_PAGES.into()) as u32,
            false => 0,
        };
        let answer = |smallest_pages, largest_failing_pages, tried_to_pages| Answer {
            rule: rule.clone(),
            requests: roomy.allocs,
            failed_recorded: roomy.failed_recorded,
            peak_pages: roomy.peak,
            step_pages,
            smallest_pages,
            largest_failing_pages,
            tried_to_pages,
            partial,
            lost: roomy.lost,
            unmatched: roomy.unmatched,
            busy: roomy.busy,
            held_before,
            least_pages,
            served,
            otherwise_pages: None,
        };
        let up = |pages: u32| pages.max(1).next_multiple_of(step_pages);
        if rule.placement == FIRST_FIT {
            let smallest = up(roomy.highest_page);
            let below = smallest.checked_sub(step_pages).filter(|&pages| pages > 0);
            let tried: Vec<u32> = below.into_iter().chain([smallest]).collect();
            for (pages, failed) in tried.iter().zip(each(&tried, &|pages| self.failures(rule, served, pages))) {
                if (failed? == 0) != (*pages == smallest) {
                    return Err(SizeError::Disagrees(*pages));
                }
            }
            return Ok(answer(smallest, below, capacity));
        }
        let least = up(roomy.peak);
        let mut limit = least.saturating_mul(2).min(MAX_AREA_PAGES);
        while self.failures(rule, served, limit)? > 0 {
            if limit == MAX_AREA_PAGES {
                return Err(SizeError::TooLarge(limit));
            }
            limit = limit.saturating_mul(2).min(MAX_AREA_PAGES);
        }
        // In the size below the peak, requests fail because the area is full.
        let sizes = (1..).map_while(|steps| limit.checked_sub(steps * step_pages));
        let sizes: Vec<u32> = sizes.take_while(|&pages| pages > 0 && pages + step_pages >= least).collect();
        let mut smallest = limit;
        for batch in sizes.chunks(BATCH) {
            for (&pages, failed) in batch.iter().zip(each(batch, &|pages| self.failures(rule, served, pages))) {
                if failed? > 0 {
                    return Ok(answer(smallest, Some(pages), limit));
                }
                smallest = pages;
            }
        }
        Ok(answer(smallest, None, limit))
    }

    /// Returns 0 if no request fails, else 1: the run ends at the first failure.
    fn failures(&self, rule: &Rule, served: WhenServed, pages: u32) -> Result<u64, SizeError> {
        self.run(rule, served, pages, true).map(|report| report.failed)
    }

    /// Replays in an area in which nothing fails; returns its size and the report.
    fn without_end(&self, rule: &Rule, served: WhenServed) -> Result<(u32, ReplayReport), SizeError> {
        let mut pages = FIRST_CAPACITY_PAGES;
        loop {
            let report = self.run(rule, served, pages, true)?;
            if report.failed == 0 {
                return Ok((pages, report));
            }
            if pages == MAX_AREA_PAGES {
                return Err(SizeError::TooLarge(pages));
            }
            pages = pages.saturating_mul(2).min(MAX_AREA_PAGES);
        }
    }
}

/// A function that tries each size, in any order or at once; results are in the sizes' order.
pub type Each<'a> = &'a (dyn Fn(&[u32], &Try<'_>) -> Vec<Result<u64, SizeError>> + Sync);
/// A function that returns 0 if no request fails in an area of a size.
pub type Try<'a> = dyn Fn(u32) -> Result<u64, SizeError> + Sync + 'a;

/// Tries the sizes one after the other.
pub fn one_by_one(sizes: &[u32], run: &Try<'_>) -> Vec<Result<u64, SizeError>> {
    sizes.iter().map(|&pages| run(pages)).collect()
}

/// Sizes that are tried at once.
const BATCH: usize = 8;
/// Linux's placement.
pub const FIRST_FIT: &str = "first-fit";
/// Placements in the table of an HTML page.
pub const USUAL_PLACEMENTS: [&str; 4] = [FIRST_FIT, "best-fit", "two-ended", "spare-heads"];
/// The size that is tried first: 1 GiB.
const FIRST_CAPACITY_PAGES: u32 = 1 << 18;

/// Formats pages as a size and a number.
pub fn size(pages: u32) -> String {
    format!("{} ({pages} pages)", mib(pages))
}

/// Formats pages as a size that command lines take.
pub fn mib(pages: u32) -> String {
    match pages % 256 {
        0 => format!("{}M", pages / 256),
        _ => format!("{}K", u64::from(pages) * 4),
    }
}
