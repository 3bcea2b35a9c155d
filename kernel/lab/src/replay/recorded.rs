// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a recording is of: its areas, their sizes, and what is known to be missing. That is learned
//! in a pass of its own, before anything is replayed.

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

/// Characters of an area's name that a message repeats.
const SHOWN: usize = 40;

/// The areas of a recording, for a message.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Areas(Vec<(String, u64, u64)>);

impl Areas {
    /// Whether there are none.
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

/// What the first pass learns of a recording; of a plain trace, nothing.
#[derive(Debug, Default)]
pub struct Survey<'t> {
    pub(super) areas: Vec<Recorded<'t>>,
    pub(super) lost: u64,
    /// Ranges that were busy.
    pub(super) busy: u64,
    /// Releases of areas that are not named.
    pub(super) releases: u64,
    pub(super) pointers: Option<Pointers>,
    pub(super) lines: u64,
    pub(super) checked_ns: u64,
}

/// What the first pass learns of an area.
#[derive(Debug)]
pub(super) struct Recorded<'t> {
    name: &'t [u8],
    pub(super) allocs: u64,
    pub(super) releases: u64,
    /// The lowest page that was allocated, and behind the highest.
    pages: Option<(u64, u64)>,
    /// The area's size in pages, where an event tells it.
    size: Option<u64>,
    counts: Counts,
}

/// A recorded area, and the pages of it that were allocated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'t> {
    /// Its name.
    pub name: &'t [u8],
    /// The lowest page.
    pub lowest: u64,
    /// Behind the highest page.
    pub end: u64,
}

impl Place<'_> {
    /// Pages between the two.
    pub(super) const fn pages(&self) -> u32 {
        (self.end - self.lowest) as u32
    }

    /// Whether a page lies between the two.
    pub(super) fn has(&self, pfn: u64) -> bool {
        (self.lowest..self.end).contains(&pfn)
    }

    /// Pages from the lowest to one that lies between the two.
    pub(super) const fn offset(&self, pfn: u64) -> u32 {
        (pfn - self.lowest) as u32
    }
}

/// What the free pages that requests begin with tell of a recorded area, beside its events.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Pages that were held when the recording began, by what it does not show.
    pub held_before: Option<u64>,
    /// Places where pages went or came without an event.
    pub gaps: u64,
    /// The line of the first.
    pub first_gap: u64,
    /// Pages that events took, less those that they gave back.
    live: i64,
    /// Pages that are held and not in `live`, as far as the counts and the events agree.
    hidden: i64,
    /// The counts and the events do not agree since this line: how many pages are hidden by the
    /// counts.
    doubt: Option<(u64, i64)>,
}

impl Counts {
    /// A request begins with this many pages free. Linux takes pages before it tells of them, so
    /// one that does not agree may have met another under way; two in a row that say one thing are
    /// believed.
    fn begin(&mut self, line: u64, free: u64, pages: u64) {
        let hidden = (pages - free) as i64 - self.live;
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
    /// The area of that name, which may be a new one; `None`: there would be too many.
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

    /// What is known of the area's size.
    fn size(&self) -> RecordedSize {
        let (lowest, end) = self.pages.unwrap_or_default();
        match (self.size, end - lowest) {
            (Some(pages), _) => RecordedSize::Pages(pages),
            (None, 0) => RecordedSize::Unknown,
            (None, pages) => RecordedSize::AtLeast(pages),
        }
    }

    /// A request begins in it.
    fn begin(&mut self, line: u64, free: Option<u64>, pages: u64) {
        self.size = Some(pages);
        if let Some(free) = free {
            self.counts.begin(line, free, pages);
        }
    }

    /// Which it is, and where its pages lie.
    pub(super) fn place(&self) -> Place<'t> {
        let (lowest, end) = self.pages.unwrap_or_default();
        Place { name: self.name, lowest, end }
    }

    /// Notes an allocation's pages; returns false if they are too far from the others.
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

/// What is known of the size of the area that was recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RecordedSize {
    /// No allocation was seen.
    #[default]
    Unknown,
    /// The least number of pages that all allocations lie within.
    AtLeast(u64),
    /// Exactly this many pages.
    Pages(u64),
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
    /// The area here that the recording is of: the one called as the recorded one, or as the one of
    /// several recorded ones that is here. `unnamed` where it is among several, or where there is
    /// none.
    pub fn area(&self, system: &System<'_>, from: Option<&str>, unnamed: AreaId) -> AreaId {
        let wanted = |name: &str| from.is_none_or(|from| from == name);
        let names = self.areas.iter().filter_map(|area| core::str::from_utf8(area.name).ok());
        let mut here = names.filter(|name| wanted(name)).filter_map(|name| system.find_area(name));
        match (here.next(), here.next()) {
            (Some(only), None) => only,
            _ => unnamed,
        }
    }

    /// What is known of the size of the recorded area `from`, or of the only one.
    ///
    /// # Errors
    /// The recording has no such area, or several.
    pub fn recorded_size(&self, from: Option<&str>) -> Result<RecordedSize, ReplayError> {
        if self.areas.is_empty() { Ok(RecordedSize::Unknown) } else { self.chosen("", from).map(Recorded::size) }
    }

    /// The recorded areas, as far as their names are text, with what is known of their sizes.
    pub fn recorded(&self) -> impl Iterator<Item = (&'t str, RecordedSize)> {
        self.areas.iter().filter_map(|area| Some((core::str::from_utf8(area.name).ok()?, area.size())))
    }

    /// The recorded areas that are here, where there are several, with where; and those that are
    /// not.
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

    /// Writes into the report of a player what is known of the recorded area that it replays; says
    /// which that is.
    ///
    /// # Errors
    /// The recording has no such area, or several.
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

    /// The recorded area that is replayed: `from`, the only one, or the one called as the area
    /// here.
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

/// As a name is shown: a pointer is not one.
fn area_name(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name).into_owned();
    let pointer = name.len() >= 8 && name.iter().all(u8::is_ascii_hexdigit);
    if pointer { ["cma ", &text].concat() } else { text }
}

/// The first pass: every line is read, and every area's events are counted.
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
            // Kept for the next event of that area, by which the area is known.
            Event::Start { area, free, pages } => {
                starts += 1;
                let Some(pages) = pages else { continue };
                match areas.iter_mut().find(|known| known.name == area) {
                    Some(known) => known.begin(line.number, free, pages),
                    // The first one is as the recording began.
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
                area.counts.live += i64::from(pages);
            }
            Event::Release { pages, .. } => {
                area.releases += 1;
                area.counts.live -= i64::from(pages);
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
