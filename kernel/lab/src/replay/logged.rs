// SPDX-License-Identifier: MIT OR Apache-2.0

//! Replays the messages of `CONFIG_CMA_DEBUG` in the kernel's log.
//!
//! If the pointers give page numbers, the log is like a recording of ftrace, and `pages` replays
//! it. Otherwise a pointer is the ID of a buffer: a release at it releases the whole buffer.

use alloc::vec::Vec;
use core::cell::Cell;

use super::player::Player;
use super::pointers::{Pointers, Scale, id_of};
use super::recorded::{Counts, Place, Recorded, Survey};
use super::stage::{Follow, Stage};
use super::{OPS_BETWEEN_LOOKS, ReplayError, WhenHeld, WhenServed, learn};
use crate::ids::IdTable;
use crate::trace::dmesg::{self, Page, Pointer, Said};
use crate::trace::ftrace::{Event, MAX_RECORDED_AREAS};
use crate::trace::{Line, Reason, Step, TraceError};
use machine::Machine;

/// Value of an ID without a buffer; otherwise 1 + its buffer's page offset in the area.
const IDLE: u32 = u32::MAX;

/// Does the first pass: reads every line, and finds out whether the pointers give page numbers.
pub(super) fn survey<'t, M: Machine + ?Sized>(machine: &mut M, log: &'t [u8]) -> Result<Survey<'t>, ReplayError> {
    let start_ns = machine.now_ns();
    let mut survey = Survey::default();
    let mut events = dmesg::events(log);
    let mut found = 0u64;
    let mut hidden = false;
    // Before Linux 5.11, a release does not contain its pages; before a request, not its area.
    let mut counted = true;
    while let Some(step) = events.step() {
        let (line, said) = step?;
        found += 1;
        if (said.is_none() || found.is_multiple_of(OPS_BETWEEN_LOOKS)) && machine.interrupted() {
            return Err(ReplayError::Interrupted);
        }
        let Some(event) = said else { continue };
        match event {
            Said::Lost => survey.lost += 1,
            Said::Busy => survey.busy += 1,
            Said::Release { pages, .. } => {
                survey.releases += 1;
                counted &= pages.is_some() && !survey.areas.is_empty();
                if let [only] = &mut survey.areas[..] {
                    only.counts.released(pages.unwrap_or(0));
                }
            }
            Said::Free { area, free, pages } => {
                let most = line.error(Reason::TooManyAreas(MAX_RECORDED_AREAS));
                let area = Recorded::named(&mut survey.areas, area).ok_or(most)?;
                area.begin(line.number, counted.then_some(free.into()), pages.into());
            }
            Said::Alloc { area, page, pages, .. } => {
                hidden |= page == Page::Hidden;
                let most = line.error(Reason::TooManyAreas(MAX_RECORDED_AREAS));
                let area = Recorded::named(&mut survey.areas, area).ok_or(most)?;
                area.allocs += 1;
                if page != Page::None {
                    area.counts.allocated(pages);
                }
            }
        }
    }
    if survey.areas.is_empty() {
        return Err(TraceError { line: 0, reason: Reason::Empty }.into());
    }
    survey.lines = events.lines();
    let stopped = Cell::new(false);
    let pointers = match Pointers::learn(|| moves(log, machine, &stopped)) {
        Pointers::TooFew if hidden => Pointers::Hidden,
        pointers => pointers,
    };
    if stopped.get() {
        return Err(ReplayError::Interrupted);
    }
    if let Some(scale) = pointers.scale() {
        for event in dmesg::events(log) {
            let (line, event) = event?;
            if let Said::Alloc { area, page: Page::At(pointer), pages, .. } = event
                && let (Some(page), Some(area)) = (scale.page(pointer.value), Recorded::named(&mut survey.areas, area))
                && !area.spans(page, pages)
            {
                return Err(line.error(Reason::TooFar(page)).into());
            }
        }
    }
    match &mut survey.areas[..] {
        [only] => only.releases = survey.releases,
        // The area of a release is not known.
        areas if survey.releases > 0 => areas.iter_mut().for_each(|area| area.counts = Counts::default()),
        _ => {}
    }
    survey.pointers = Some(pointers);
    survey.checked_ns = machine.now_ns().saturating_sub(start_ns);
    Ok(survey)
}

/// Returns the pointers of a log, with the pages and the alignment of those that were allocated.
/// Ctrl-C ends the sequence and sets `stopped`.
fn moves<'t, M: Machine + ?Sized>(
    log: &'t [u8],
    machine: &M,
    stopped: &Cell<bool>,
) -> impl Iterator<Item = (Pointer, Option<(u32, u32)>)> {
    let mut found = 0u64;
    let heeded = move |said: &Option<Said<'t>>| {
        found += 1;
        if (said.is_none() || found.is_multiple_of(OPS_BETWEEN_LOOKS)) && machine.interrupted() {
            stopped.set(true);
        }
        !stopped.get()
    };
    let said = dmesg::events(log).steps().flatten().map(|(_, said)| said).take_while(heeded).flatten();
    said.filter_map(|said| match said {
        Said::Alloc { page: Page::At(pointer), pages, align_order, .. } => Some((pointer, Some((pages, align_order)))),
        Said::Release { page: Page::At(pointer), .. } => Some((pointer, None)),
        _ => None,
    })
}

/// Returns the log as events like ftrace's, with page numbers for pointers. A release belongs to
/// the area that has its page; one of 0 pages releases the rest of the range there.
pub(super) fn events<'t>(
    log: &'t [u8],
    scale: &Scale,
    places: &[Place<'t>],
) -> impl Iterator<Item = Result<(Line<'t>, Event<'t>), TraceError>> {
    steps(log, scale, places).filter_map(|step| step.map(|(line, event)| Some((line, event?))).transpose())
}

/// Returns the steps of [`events`], including lines without an operation.
pub(super) fn steps<'t>(
    log: &'t [u8],
    scale: &Scale,
    places: &[Place<'t>],
) -> impl Iterator<Item = Step<'t, Event<'t>>> {
    dmesg::events(log).steps().map(move |step| {
        let (line, said) = step?;
        let Some(said) = said else { return Ok((line, None)) };
        let number = |page| match page {
            Page::At(pointer) => scale.page(pointer.value),
            Page::None | Page::Hidden => None,
        };
        let event = match said {
            Said::Alloc { area, page, pages, align_order } => {
                Event::Alloc { area, pfn: number(page), pages, align_order }
            }
            Said::Release { page, pages } => {
                let release = number(page).and_then(|pfn| {
                    let place = places.iter().find(|place| place.has(pfn))?;
                    Some(Event::Release { area: place.name, pfn, pages: pages.unwrap_or(0) })
                });
                release.unwrap_or(Event::Lost(0))
            }
            Said::Busy | Said::Free { .. } | Said::Lost => Event::Lost(0),
        };
        Ok((line, Some(event)))
    })
}

/// Does the second pass for pointers that give no page numbers, over the areas of `places`, one for
/// each player.
pub(super) fn run<'t, M: Machine + ?Sized>(
    stage: &mut Stage<'_, '_, 't, M>,
    players: &mut [Player<'_, 't>],
    places: &[Place<'t>],
    only: bool,
) -> Result<(), ReplayError> {
    let log = stage.trace;
    let keeping = players.iter_mut().zip(places).filter(|(player, _)| player.served == WhenServed::Keep);
    for (player, place) in keeping {
        player.keeper = Some(learn::by_pointers(stage, place.name)?);
    }
    let mut followers = Vec::with_capacity(places.len());
    let made = players.iter_mut().zip(places).try_for_each(|(player, place)| {
        let ids = IdTable::new(stage.system.zone_mut(), stage.machine)?;
        followers.push(ByPointers { player, ids, name: place.name, only });
        Ok(())
    });
    let result = made.and_then(|()| stage.run(&mut followers, dmesg::events(log).steps()));
    for follower in followers {
        follower.ids.release(stage.system.zone_mut());
    }
    result
}

/// An area, and its buffers by pointer.
struct ByPointers<'p, 'n, 't> {
    player: &'p mut Player<'n, 't>,
    ids: IdTable,
    name: &'t [u8],
    /// True if the log has no other area.
    only: bool,
}

impl<'t> ByPointers<'_, '_, 't> {
    /// Replays the allocation of a page on the board.
    fn allocated<M: Machine + ?Sized>(
        &mut self,
        stage: &mut Stage<'_, '_, 't, M>,
        pointer: Pointer,
        pages: u32,
        align_order: u32,
    ) -> Result<(), ReplayError> {
        let Self { player, ids, .. } = self;
        let id = id_of(pointer);
        if let Some(offset) = offset_of(ids.get(stage.machine, id)) {
            if player.held == WhenHeld::Refuse {
                return Err(stage.line.error(Reason::HeldPointer(pointer.value)).into());
            }
            player.release(stage, id, offset)?;
            player.report.held_released += 1;
        }
        let value = match player.wants(stage, pages) {
            true => player.alloc(stage, id, pages, align_order).map_or(IDLE, |offset| 1 + offset),
            false => IDLE,
        };
        Ok(ids.set(stage.system.zone_mut(), stage.machine, id, value)?)
    }

    /// Replays the release of a page on the board.
    fn released<M: Machine + ?Sized>(
        &mut self,
        stage: &mut Stage<'_, '_, 't, M>,
        page: Page,
    ) -> Result<(), ReplayError> {
        let Self { player, ids, .. } = self;
        let known = match page {
            Page::At(pointer) => ids.get(stage.machine, id_of(pointer)).map(|value| (id_of(pointer), value)),
            Page::None | Page::Hidden => None,
        };
        // In a log of several areas, the area of a page without an allocation is unknown.
        if known.is_none() && !self.only {
            return Ok(());
        }
        let whole = player.is_whole();
        player.report.ops += u64::from(whole || known.is_some_and(|(_, value)| value != IDLE));
        let Some((id, value)) = known else {
            player.report.unmatched += u64::from(whole);
            return Ok(());
        };
        match offset_of(Some(value)) {
            Some(offset) => player.release(stage, id, offset)?,
            None => player.report.unmatched += u64::from(whole),
        }
        Ok(ids.set(stage.system.zone_mut(), stage.machine, id, IDLE)?)
    }
}

impl<'t, M: Machine + ?Sized> Follow<'t, M> for ByPointers<'_, '_, 't> {
    type Said = Said<'t>;

    fn release_due(&mut self, stage: &mut Stage<'_, '_, 't, M>) -> Result<(), ReplayError> {
        self.player.release_due(stage)
    }

    fn answer(&mut self, stage: &mut Stage<'_, '_, 't, M>, said: &Said<'t>) -> Result<(), ReplayError> {
        match *said {
            Said::Alloc { area, page, pages, align_order } if area == self.name => match page {
                Page::At(pointer) => self.allocated(stage, pointer, pages, align_order),
                _ if !self.player.wants(stage, pages) => Ok(()),
                Page::None => self.player.alloc_failed(stage, pages, align_order),
                Page::Hidden => {
                    self.player.alloc_for_good(stage, pages, align_order);
                    Ok(())
                }
            },
            Said::Release { page, .. } => self.released(stage, page),
            _ => Ok(()),
        }
    }
}

/// Returns the offset of the buffer that an ID holds.
fn offset_of(value: Option<u32>) -> Option<u32> {
    value.filter(|&value| value != IDLE).map(|value| value - 1)
}

#[cfg(test)]
mod tests;
