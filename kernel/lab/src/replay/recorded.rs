// SPDX-License-Identifier: MIT OR Apache-2.0

//! Replays what Linux recorded of one area: the pages that it gave name the buffers. That is ftrace's text, and a log whose
//! pointers give page numbers (`logged`).
//!
//! A recording begins and ends at any time and may have lost events, so nothing in it but an unreadable line is an error. A
//! release of pages that nobody was seen to allocate is counted and passed over. Pages that are allocated while they are held
//! were released in between: what holds them is given back first. A request that failed when it was recorded is made,
//! too; if it succeeds now, the buffer goes back at once, because its driver never had it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::ledger::{Held, Ledger};
use super::logged;
use super::player::Player;
use super::pointers::Pointers;
use super::{OPS_BETWEEN_LOOKS, Options, ReplayError, WhenHeld, WhenServed, learn};
use crate::trace::ftrace::{self, Event, MAX_RECORDED_AREAS, MAX_RECORDED_PAGES};
use crate::trace::{Format, Line, Reason, Step, TraceError};
use cma::AreaId;
use machine::Machine;
use system::System;

/// What recorded pages stand for whose request failed here; otherwise the buffer's page offset in the area.
const FAILED: u32 = u32::MAX;
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
            write!(f, "{comma}{name} ({allocs} allocations, {releases} releases)")?;
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
    /// The counts and the events do not agree since this line: how many pages are hidden by the counts.
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
    /// The allocations lie within so many pages.
    AtLeast(u64),
    /// So many pages.
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
    /// The area here that the recording is of: the one called as the recorded one, or as the one of several recorded ones
    /// that is here. `unnamed` where it is among several, or where there is none.
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

    /// The recorded areas that are here, where there are several, with where; and those that are not.
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

    /// The recorded area that is replayed: `from`, the only one, or the one called as the area here.
    fn chosen(&self, own_name: &str, from: Option<&str>) -> Result<&Recorded<'t>, ReplayError> {
        let named = |name: &str| self.areas.iter().find(|area| area.name == name.as_bytes());
        match (from, &self.areas[..]) {
            (Some(name), _) => named(name).ok_or_else(|| ReplayError::NoSuchArea(listed(&self.areas))),
            (None, [only]) => Ok(only),
            (None, _) => named(own_name).ok_or_else(|| ReplayError::SeveralAreas(listed(&self.areas))),
        }
    }
}

/// The second pass.
pub(super) fn run<'t, M: Machine + ?Sized>(
    player: &mut Player<'_, '_, 't, M>,
    held: WhenHeld,
    options: Options<'_>,
    survey: &Survey<'t>,
    trace: &'t [u8],
) -> Result<(), ReplayError> {
    let chosen = survey.chosen(player.system.area(player.area).name(), options.from)?;
    player.report.from = logged::area_name(chosen.name);
    (player.report.pointers, player.report.busy) = (survey.pointers, survey.busy);
    (player.report.lost, player.report.lines) = (survey.lost, survey.lines);
    player.report.checked_ns = survey.checked_ns;
    let (lowest, end) = chosen.pages.unwrap_or_default();
    let pages = (end - lowest) as u32;
    player.report.recorded_size = chosen.size();
    player.report.counts = chosen.counts;
    let scale = survey.pointers.as_ref().map(Pointers::scale);
    if scale == Some(None) {
        return logged::answer(player, (held, options.served), (chosen.name, survey.areas.len() == 1), trace);
    }
    let Ok(mut ledger) = Ledger::new(player.system.zone_mut(), player.machine, pages) else {
        return Err(ReplayError::Memory { bytes: Ledger::bytes(pages) });
    };
    let place = (chosen.name, lowest, end);
    let result = match scale.flatten() {
        // Alignments tell where an area may begin.
        Some(scale) => {
            let events = || logged::events(trace, scale, place);
            let recording = (trace, Format::Dmesg);
            let learned = learn_lives(player, options.served, recording, place, events);
            let steps = logged::steps(trace, scale, place);
            learned.and_then(|()| answer(player, &mut ledger, held, place, scale.base(lowest), steps))
        }
        None => {
            let events = || ftrace::events(trace);
            let learned = learn_lives(player, options.served, (trace, Format::Ftrace), place, events);
            learned.and_then(|()| answer(player, &mut ledger, held, place, lowest, ftrace::events(trace).steps()))
        }
    };
    ledger.release(player.system.zone_mut());
    result
}

/// Learns how long to keep what failed on the board, where it is kept.
fn learn_lives<'t, M, I>(
    player: &mut Player<'_, '_, 't, M>,
    served: WhenServed,
    recording: (&'t [u8], Format),
    place: (&[u8], u64, u64),
    events: impl Fn() -> I,
) -> Result<(), ReplayError>
where
    M: Machine + ?Sized,
    I: Iterator<Item = Result<(Line<'t>, Event<'t>), TraceError>>,
{
    if served == WhenServed::Keep {
        player.keeper = Some(learn::by_pages(player, recording, place, events)?);
    }
    Ok(())
}

fn listed<'a, 't: 'a>(areas: impl IntoIterator<Item = &'a Recorded<'t>>) -> Areas {
    let shown = |name: &[u8]| String::from_utf8_lossy(name).chars().take(SHOWN).collect();
    Areas(areas.into_iter().map(|area| (shown(area.name), area.allocs, area.releases)).collect())
}

/// The first pass: every line is read, and every area's events are counted.
pub(super) fn survey<'t, M: Machine + ?Sized>(machine: &mut M, trace: &'t [u8]) -> Result<Survey<'t>, ReplayError> {
    let start_ns = machine.now_ns();
    let mut lost = 0u64;
    let mut areas: Vec<Recorded<'t>> = Vec::new();
    let mut begun: Option<(&[u8], u64, Option<u64>, u64)> = None;
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
                    None if begun.is_none_or(|begun| begun.0 != area) => begun = Some((area, pages, free, line.number)),
                    None => {}
                }
                continue;
            }
        };
        let area = Recorded::named(&mut areas, name).ok_or(error(Reason::TooManyAreas(MAX_RECORDED_AREAS)))?;
        if let Some((_, pages, free, line)) = begun.take_if(|begun| begun.0 == name) {
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

/// The second pass. The area is given by its name, its lowest page, and what is behind its highest; it is taken to begin at
/// `first`.
fn answer<'t, M: Machine + ?Sized>(
    player: &mut Player<'_, '_, 't, M>,
    ledger: &mut Ledger,
    when_held: WhenHeld,
    (name, lowest, end): (&[u8], u64, u64),
    first: u64,
    steps: impl Iterator<Item = Step<'t, Event<'t>>>,
) -> Result<(), ReplayError> {
    // Where the recorded pages are the area's own, offsets are known; elsewhere `first` is taken for its first.
    let own = u64::from(player.base.0);
    let own_end = own + u64::from(player.system.area(player.area).pages());
    let told = player.loaded.and_then(|loaded| loaded.base_pfn).filter(|_| player.has_page_numbers());
    let is_told = |base: &u64| *base <= lowest && end <= base.saturating_add(own_end - own);
    let known = if own <= lowest && end <= own_end { Some(own) } else { told.filter(is_told) };
    let base = known.unwrap_or(first);
    let area_base = known.filter(|_| player.has_page_numbers());
    let area_pages = own_end - own;
    for step in steps {
        let (line, event) = step?;
        if !player.begin(line)? {
            break;
        }
        match event {
            Some(Event::Alloc { area, pfn, pages, align_order }) if area == name => match pfn {
                None if player.wants(pages) => player.alloc_failed(pages, align_order)?,
                None => {}
                Some(pfn) => {
                    let first = (pfn - lowest) as u32;
                    while let Some(held) = ledger.first_in(player.machine, first, pages) {
                        if when_held == WhenHeld::Refuse {
                            return Err(line.error(Reason::HeldPages(pfn)).into());
                        }
                        ledger.remove(player.machine, held.first);
                        if held.value != FAILED {
                            player.release(held.first, held.value)?;
                        }
                        player.report.held_released += 1;
                    }
                    if !player.wants(pages) {
                        continue;
                    }
                    let offset = player.alloc(first, pages, align_order);
                    player.report.compared += 1;
                    player.report.as_recorded +=
                        u64::from(offset.is_some_and(|offset| base + u64::from(offset) == pfn));
                    ledger.insert(player.machine, Held { first, pages, value: offset.unwrap_or(FAILED) });
                }
            },
            Some(Event::Release { area, pfn, pages }) if area == name => {
                let known = pfn >= lowest && pfn < end;
                // A log may not say how many: all that begins there.
                let whole =
                    if known && pages == 0 { ledger.first_in(player.machine, (pfn - lowest) as u32, 1) } else { None };
                let pages = whole.map_or(pages.max(1), |held| held.end() - (pfn - lowest) as u32);
                let mut matched = if known { release(player, ledger, (pfn - lowest) as u32, pages)? } else { 0 };
                // The recording may go on from a state, whose buffers it did not see allocated.
                if let Some(offset) = area_base.and_then(|base| pfn.checked_sub(base)).filter(|_| matched < pages)
                    && let Some(room) = area_pages.checked_sub(offset)
                {
                    matched += player.release_loaded(offset as u32, room.min(pages.into()) as u32)?;
                }
                let whole = player.is_whole();
                player.report.ops += u64::from(whole || matched > 0);
                player.report.unmatched += u64::from(whole && matched < pages);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Releases what is held of these pages, which may be a part of what was allocated; returns how many there were.
fn release<'t, M: Machine + ?Sized>(
    player: &mut Player<'_, '_, 't, M>,
    ledger: &mut Ledger,
    first: u32,
    pages: u32,
) -> Result<u32, ReplayError> {
    let mut released = 0;
    while let Some(held) = ledger.first_in(player.machine, first, pages) {
        let from = held.first.max(first);
        let to = held.end().min(first.saturating_add(pages));
        let (skip, behind) = (from - held.first, held.end() - to);
        ledger.remove(player.machine, held.first);
        let value = match held.value {
            FAILED => FAILED,
            offset => player.release_part(held.first, offset, skip, to - from)?,
        };
        if skip > 0 {
            ledger.insert(player.machine, Held { pages: skip, value, ..held });
        }
        if behind > 0 {
            let value = if value == FAILED { FAILED } else { value + (to - held.first) };
            ledger.insert(player.machine, Held { first: to, pages: behind, value });
        }
        released += to - from;
    }
    Ok(released)
}

#[cfg(test)]
mod tests;
