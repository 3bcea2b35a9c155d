// SPDX-License-Identifier: MIT OR Apache-2.0

//! The areas of a recording, their sizes, and the gaps that are known. A separate pass collects
//! them before the replay.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::player::Player;
use super::pointers::Pointers;
use super::{OPS_BETWEEN_LOOKS, ReplayError};
use crate::metrics::Counted;
use crate::trace::ftrace::{self, Event, MAX_RECORDED_AREAS, MAX_RECORDED_PAGES};
use crate::trace::{Reason, TraceError};
use cma::AreaId;
use machine::Machine;
use system::System;

/// Most characters of an area's name in a message.
const SHOWN: usize = 40;

/// The areas of a recording, for a message.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Areas(Vec<(String, u64, u64)>);

impl Areas {
    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Areas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, allocs, releases)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            let (allocs, releases) = (Counted(*allocs, "allocation"), Counted(*releases, "release"));
            write!(f, "{comma}{name} ({allocs}, {releases})")?;
        }
        Ok(())
    }
}

/// Result of the first pass over a recording; empty for a plain trace.
#[derive(Debug, Default)]
pub struct Survey<'t> {
    pub(super) areas: Vec<Recorded<'t>>,
    pub(super) lost: u64,
    /// Number of ranges that were busy.
    pub(super) busy: u64,
    /// Number of releases without the area's name.
    pub(super) releases: u64,
    pub(super) pointers: Option<Pointers>,
    pub(super) lines: u64,
    pub(super) checked_ns: u64,
}

/// Result of the first pass for one area.
#[derive(Debug)]
pub(super) struct Recorded<'t> {
    name: &'t [u8],
    pub(super) allocs: u64,
    pub(super) releases: u64,
    /// The lowest page that was allocated, and the end of the highest range.
    pages: Option<(u64, u64)>,
    /// The area's size in pages, if an event has it.
    size: Option<u64>,
    pub(super) counts: Counts,
}

/// A recorded area, and the range of its pages that were allocated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'t> {
    /// The area's name.
    pub name: &'t [u8],
    /// The lowest page.
    pub lowest: u64,
    /// The page after the highest one.
    pub end: u64,
}

impl Place<'_> {
    /// Returns the number of pages in the range.
    pub(super) const fn pages(&self) -> u32 {
        (self.end - self.lowest) as u32
    }

    /// True if the range has the page.
    pub(super) fn has(&self, pfn: u64) -> bool {
        (self.lowest..self.end).contains(&pfn)
    }

    /// Returns the offset of a page in the range from the lowest.
    pub(super) const fn offset(&self, pfn: u64) -> u32 {
        (pfn - self.lowest) as u32
    }
}

/// Results of comparing free pages at the starts of requests with the events.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Pages that were held when the recording began.
    pub held_before: Option<u64>,
    /// Maximum of pages in use at the starts of requests.
    pub most_used: u64,
    /// Number of places where held pages changed without an event.
    pub gaps: u64,
    /// The line of the first of these.
    pub first_gap: u64,
    /// Pages that events allocated, minus those that they released.
    live: i64,
    /// Held pages that are not in `live`, as long as the counts and the events agree.
    hidden: i64,
    /// The line since which counts and events differ, and the hidden pages by the counts.
    doubt: Option<(u64, i64)>,
}

impl Counts {
    /// Processes the allocation of `pages` pages.
    pub(super) fn allocated(&mut self, pages: u32) {
        self.live += i64::from(pages);
    }

    /// Processes the release of `pages` pages.
    pub(super) fn released(&mut self, pages: u32) {
        self.live -= i64::from(pages);
    }

    /// Compares the free pages at the start of a request with the events. Linux takes pages before
    /// it writes the event, so a single difference may be another request in progress; a difference
    /// counts as a gap if two counts in a row give the same value.
    fn begin(&mut self, line: u64, free: u64, pages: u64) {
        let hidden = (pages - free) as i64 - self.live;
        self.most_used = self.most_used.max(pages - free);
        if self.held_before.is_none() {
            (self.held_before, self.hidden) = (Some(hidden.max(0) as u64), hidden);
        } else if hidden == self.hidden {
            self.doubt = None;
        } else if let Some((since, _)) = self.doubt.filter(|doubt| doubt.1 == hidden) {
            self.first_gap = if self.gaps == 0 { since } else { self.first_gap };
            self.gaps += 1;
            (self.hidden, self.doubt) = (hidden, None);
        } else {
            self.doubt = Some((line, hidden));
        }
    }
}

impl<'t> Recorded<'t> {
    /// Returns the area `name`, new if necessary; `None` if there would be too many.
    pub(super) fn named<'a>(areas: &'a mut Vec<Self>, name: &'t [u8]) -> Option<&'a mut Self> {
        let place = match areas.iter().position(|area| area.name == name) {
            Some(place) => place,
            None if areas.len() == MAX_RECORDED_AREAS => return None,
            None => {
                areas.push(Self { name, allocs: 0, releases: 0, pages: None, size: None, counts: Counts::default() });
                areas.len() - 1
            }
        };
        Some(&mut areas[place])
    }

    /// Returns the information about the area's size.
    fn size(&self) -> RecordedSize {
        let (lowest, end) = self.pages.unwrap_or_default();
        match (self.size, end - lowest) {
            (Some(pages), _) => RecordedSize::Pages(pages),
            (None, 0) => RecordedSize::Unknown,
            (None, pages) => RecordedSize::AtLeast(pages),
        }
    }

    /// Processes the start of a request.
    pub(super) fn begin(&mut self, line: u64, free: Option<u64>, pages: u64) {
        self.size = Some(pages);
        if let Some(free) = free {
            self.counts.begin(line, free, pages);
        }
    }

    /// Returns the area's name and page range.
    pub(super) fn place(&self) -> Place<'t> {
        let (lowest, end) = self.pages.unwrap_or_default();
        Place { name: self.name, lowest, end }
    }

    /// Adds an allocation to the range; returns false if it is too far from the others.
    pub(super) fn spans(&mut self, pfn: u64, pages: u32) -> bool {
        let Some(end) = pfn.checked_add(pages.into()) else { return false };
        let (lowest, highest) = self.pages.unwrap_or((pfn, end));
        let (lowest, highest) = (lowest.min(pfn), highest.max(end));
        let near = highest - lowest <= MAX_RECORDED_PAGES.into();
        if near {
            self.pages = Some((lowest, highest));
        }
        near
    }
}

/// Information about the size of a recorded area.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RecordedSize {
    /// No allocation was recorded.
    #[default]
    Unknown,
    /// Length of the smallest range that contains all allocations, in pages.
    AtLeast(u64),
    /// Exactly this many pages.
    Pages(u64),
}

impl RecordedSize {
    /// Returns the pages that an area has to have; 0 if unknown.
    pub const fn pages(self) -> u64 {
        match self {
            Self::Unknown => 0,
            Self::AtLeast(pages) | Self::Pages(pages) => pages,
        }
    }
}

impl fmt::Display for RecordedSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("an area of unknown size"),
            Self::AtLeast(pages) => write!(f, "an area of at least {pages} pages"),
            Self::Pages(pages) => write!(f, "an area of {pages} pages"),
        }
    }
}

impl<'t> Survey<'t> {
    /// Returns the area here on which to replay the recording: the area with the name of a recorded
    /// one (`from`, or any). Returns `unnamed` if there are several of these, or none.
    pub fn area(&self, system: &System<'_>, from: Option<&str>, unnamed: AreaId) -> AreaId {
        let wanted = |name: &str| from.is_none_or(|from| from == name);
        let names = self.areas.iter().filter_map(|area| core::str::from_utf8(area.name).ok());
        let mut here = names.filter(|name| wanted(name)).filter_map(|name| system.find_area(name));
        match (here.next(), here.next()) {
            (Some(only), None) => only,
            _ => unnamed,
        }
    }

    /// Returns the information about the size of the recorded area `from`, or of the only one.
    ///
    /// # Errors
    /// The recording does not have this area, or has several.
    pub fn recorded_size(&self, from: Option<&str>) -> Result<RecordedSize, ReplayError> {
        if self.areas.is_empty() { Ok(RecordedSize::Unknown) } else { self.chosen("", from).map(Recorded::size) }
    }

    /// Returns the pages that the area `from`, or the only one, needs at least by the recording
    /// itself: the length of the range of its allocations, the maximum in use at once, and one more
    /// than the area's size in a log where requests `failed` and no range was busy.
    ///
    /// # Errors
    /// The recording has no such area, or several.
    pub fn least_pages(&self, from: Option<&str>, failed: bool) -> Result<u64, ReplayError> {
        if self.areas.is_empty() {
            return Ok(0);
        }
        let area = self.chosen("", from)?;
        let (lowest, end) = area.pages.unwrap_or_default();
        let no_room = failed && self.pointers.is_some() && self.busy == 0;
        let whole = area.size.filter(|_| no_room).map_or(0, |pages| pages + 1);
        Ok(whole.max(end - lowest).max(area.counts.most_used))
    }

    /// Returns the recorded areas whose names are text, with the information about their sizes.
    pub fn recorded(&self) -> impl Iterator<Item = (&'t str, RecordedSize)> {
        self.areas.iter().filter_map(|area| Some((core::str::from_utf8(area.name).ok()?, area.size())))
    }

    /// Returns the recorded areas that exist here, with their IDs, and those that do not. Both
    /// lists are empty if fewer than two were recorded.
    pub fn several(&self, system: &System<'_>) -> (Vec<(AreaId, &'t str)>, Areas) {
        let here = |area: &Recorded<'t>| {
            let name = core::str::from_utf8(area.name).ok()?;
            Some((system.find_area(name)?, name))
        };
        if self.areas.len() < 2 {
            return (Vec::new(), Areas::default());
        }
        let missing = self.areas.iter().filter(|area| here(area).is_none());
        (self.areas.iter().filter_map(here).collect(), listed(missing))
    }

    /// Writes the information about a player's recorded area into its report; returns the area's
    /// place.
    ///
    /// # Errors
    /// The recording does not have this area, or has several.
    pub(super) fn introduce(
        &self,
        player: &mut Player<'_, 't>,
        own_name: &str,
        from: Option<&str>,
    ) -> Result<Place<'t>, ReplayError> {
        let chosen = self.chosen(own_name, from)?;
        let report = &mut player.report;
        report.from = area_name(chosen.name);
        (report.pointers, report.busy) = (self.pointers, self.busy);
        (report.lost, report.lines, report.checked_ns) = (self.lost, self.lines, self.checked_ns);
        (report.recorded_size, report.counts) = (chosen.size(), chosen.counts);
        report.recorded_ops = chosen.allocs + chosen.releases;
        Ok(chosen.place())
    }

    /// Returns the recorded area that is replayed: `from`, the only one, or the one with the name
    /// of the area here.
    fn chosen(&self, own_name: &str, from: Option<&str>) -> Result<&Recorded<'t>, ReplayError> {
        let named = |name: &str| self.areas.iter().find(|area| area.name == name.as_bytes());
        match (from, &self.areas[..]) {
            (Some(name), _) => named(name).ok_or_else(|| ReplayError::NoSuchArea(listed(&self.areas))),
            (None, [only]) => Ok(only),
            (None, _) => named(own_name).ok_or_else(|| ReplayError::SeveralAreas(listed(&self.areas))),
        }
    }
}

fn listed<'a, 't: 'a>(areas: impl IntoIterator<Item = &'a Recorded<'t>>) -> Areas {
    let shown = |name: &[u8]| String::from_utf8_lossy(name).chars().take(SHOWN).collect();
    Areas(areas.into_iter().map(|area| (shown(area.name), area.allocs, area.releases)).collect())
}

/// Returns a name for people; a pointer gets a prefix.
fn area_name(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name).into_owned();
    let pointer = name.len() >= 8 && name.iter().all(u8::is_ascii_hexdigit);
    if pointer { ["cma ", &text].concat() } else { text }
}

/// Does the first pass: reads every line and counts every area's events.
pub(super) fn survey<'t, M: Machine + ?Sized>(machine: &mut M, trace: &'t [u8]) -> Result<Survey<'t>, ReplayError> {
    let start_ns = machine.now_ns();
    let mut lost = 0u64;
    let mut areas: Vec<Recorded<'t>> = Vec::new();
    let mut begun: Vec<(&[u8], u64, Option<u64>, u64)> = Vec::new();
    let mut events = ftrace::events(trace);
    let (mut found, mut starts) = (0u64, 0u64);
    while let Some(step) = events.step() {
        let (line, event) = step?;
        let error = |reason| ReplayError::from(line.error(reason));
        found += 1;
        if (event.is_none() || found.is_multiple_of(OPS_BETWEEN_LOOKS)) && machine.interrupted() {
            return Err(ReplayError::Interrupted);
        }
        let Some(event) = event else { continue };
        let name = match event {
            Event::Alloc { area, .. } | Event::Release { area, .. } => area,
            Event::Lost(events) => {
                lost = lost.saturating_add(events);
                continue;
            }
            // Stored until the next event of that area, which makes the area known.
            Event::Start { area, free, pages } => {
                starts += 1;
                let Some(pages) = pages else { continue };
                match areas.iter_mut().find(|known| known.name == area) {
                    Some(known) => known.begin(line.number, free, pages),
                    // Only the first one shows the state when the recording began.
                    None if begun.iter().any(|begun| begun.0 == area) || begun.len() == MAX_RECORDED_AREAS => {}
                    None => begun.push((area, pages, free, line.number)),
                }
                continue;
            }
        };
        let area = Recorded::named(&mut areas, name).ok_or(error(Reason::TooManyAreas(MAX_RECORDED_AREAS)))?;
        if let Some(place) = begun.iter().position(|begun| begun.0 == name) {
            let (_, pages, free, line) = begun.swap_remove(place);
            area.begin(line, free, pages);
        }
        match event {
            Event::Alloc { pfn: Some(pfn), pages, .. } => {
                if !area.spans(pfn, pages) {
                    return Err(error(Reason::TooFar(pfn)));
                }
                area.allocs += 1;
                area.counts.allocated(pages);
            }
            Event::Release { pages, .. } => {
                area.releases += 1;
                area.counts.released(pages);
            }
            _ => area.allocs += 1,
        }
    }
    if areas.is_empty() {
        let reason = if starts > 0 { Reason::OnlyStarts(starts) } else { Reason::Empty };
        return Err(TraceError { line: 0, reason }.into());
    }
    let checked_ns = machine.now_ns().saturating_sub(start_ns);
    Ok(Survey { areas, lost, lines: events.lines(), checked_ns, ..Survey::default() })
}

#[cfg(test)]
mod tests;
