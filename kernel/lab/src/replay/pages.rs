// SPDX-License-Identifier: MIT OR Apache-2.0

//! Replays a recording of an area whose page numbers are known; these identify the buffers. This is
//! ftrace's text, or a log whose pointers give page numbers (`logged`).
//!
//! A recording begins and ends at any time and may have lost events, so only an unreadable line is
//! an error. A release of pages whose allocation is not recorded is counted and skipped. Pages that
//! are allocated while they are held were released in between: their buffer is released first, by
//! default. A request that failed in the recording is made, too; if it succeeds here, the buffer is
//! released at once, because its driver never had it, or kept (`keeper`).

use alloc::vec::Vec;

use super::ledger::{Held, Ledger};
use super::player::Player;
use super::pointers::Scale;
use super::recorded::Place;
use super::stage::{Follow, Stage};
use super::{ReplayError, WhenHeld, WhenServed, learn, logged};
use crate::trace::Reason;
use crate::trace::ftrace::{self, Event};
use machine::Machine;

/// Value of recorded pages whose request failed here; otherwise the buffer's page offset in the
/// area.
const FAILED: u32 = u32::MAX;

/// Does the second pass, over the areas of `places`, one for each player; a log has a scale.
pub(super) fn run<'t, M: Machine + ?Sized>(
    stage: &mut Stage<'_, '_, 't, M>,
    players: &mut [Player<'_, 't>],
    places: &[Place<'t>],
    scale: Option<&Scale>,
) -> Result<(), ReplayError> {
    let trace = stage.trace;
    let keeping = players.iter_mut().zip(places).filter(|(player, _)| player.served == WhenServed::Keep);
    for (player, place) in keeping {
        player.keeper = Some(match scale {
            Some(scale) => {
                learn::by_pages(stage, *place, || logged::events(trace, scale, core::slice::from_ref(place)))
            }
            None => learn::by_pages(stage, *place, || ftrace::events(trace)),
        }?);
    }
    let mut followers = Vec::with_capacity(places.len());
    let made = players.iter_mut().zip(places).try_for_each(|(player, place)| {
        // Alignments limit where the area of a log may begin.
        let first = scale.map_or(place.lowest, |scale| scale.base(place.lowest));
        followers.push(ByPages::new(stage, player, *place, first)?);
        Ok(())
    });
    let result = made.and_then(|()| match scale {
        Some(scale) => stage.run(&mut followers, logged::steps(trace, scale, places)),
        None => stage.run(&mut followers, ftrace::events(trace).steps()),
    });
    for follower in followers {
        follower.ledger.release(stage.system.zone_mut());
    }
    result
}

/// An area, and its buffers by recorded page.
struct ByPages<'p, 'n, 't> {
    player: &'p mut Player<'n, 't>,
    ledger: Ledger,
    place: Place<'t>,
    /// The recorded page that counts as the area's first.
    base: u64,
    /// The area's first page in the recording, if it is known.
    known_base: Option<u64>,
    area_pages: u64,
}

impl<'p, 'n, 't> ByPages<'p, 'n, 't> {
    /// Makes a follower with no held pages. The recorded area is assumed to begin at `first`,
    /// unless its first page is known.
    ///
    /// # Errors
    /// There is no memory for the table of its pages.
    fn new<M: Machine + ?Sized>(
        stage: &mut Stage<'_, '_, 't, M>,
        player: &'p mut Player<'n, 't>,
        place: Place<'t>,
        first: u64,
    ) -> Result<Self, ReplayError> {
        let pages = place.pages();
        let ledger = Ledger::new(stage.system.zone_mut(), stage.machine, pages)
            .map_err(|_| ReplayError::Memory { bytes: Ledger::bytes(pages) })?;
        // If all recorded pages are in the area here, or in that of the state, offsets are known.
        let own = u64::from(player.base.0);
        let area_pages = u64::from(stage.system.area(player.area).pages());
        let told = player.loaded.and_then(|loaded| loaded.base_pfn).filter(|_| stage.has_page_numbers());
        let fits = |base: &u64| *base <= place.lowest && place.end <= base.saturating_add(area_pages);
        let known = Some(own).filter(fits).or_else(|| told.filter(fits));
        let known_base = known.filter(|_| stage.has_page_numbers());
        Ok(Self { player, ledger, place, base: known.unwrap_or(first), known_base, area_pages })
    }

    /// Replays an allocation of pages on the board.
    fn allocated<M: Machine + ?Sized>(
        &mut self,
        stage: &mut Stage<'_, '_, 't, M>,
        pfn: u64,
        pages: u32,
        align_order: u32,
    ) -> Result<(), ReplayError> {
        let Self { player, ledger, place, base, .. } = self;
        let first = place.offset(pfn);
        while let Some(held) = ledger.first_in(stage.machine, first, pages) {
            if player.held == WhenHeld::Refuse {
                return Err(stage.line.error(Reason::HeldPages(pfn)).into());
            }
            ledger.remove(stage.machine, held.first);
            if held.value != FAILED {
                player.release(stage, held.first, held.value)?;
            }
            player.report.held_released += 1;
        }
        if !player.wants(stage, pages) {
            return Ok(());
        }
        let offset = player.alloc(stage, first, pages, align_order);
        player.report.compared += 1;
        if offset.is_some_and(|offset| *base + u64::from(offset) == pfn) {
            player.report.as_recorded += 1;
        } else {
            player.report.first_elsewhere.get_or_insert(stage.line.number);
        }
        ledger.insert(stage.machine, Held { first, pages, value: offset.unwrap_or(FAILED) });
        Ok(())
    }

    /// Replays a release of pages on the board; 0 pages, from a log, are the rest of the range.
    fn released<M: Machine + ?Sized>(
        &mut self,
        stage: &mut Stage<'_, '_, 't, M>,
        pfn: u64,
        pages: u32,
    ) -> Result<(), ReplayError> {
        let offset = self.place.has(pfn).then(|| self.place.offset(pfn));
        let pages = match offset {
            Some(offset) if pages == 0 => {
                self.ledger.first_in(stage.machine, offset, 1).map_or(1, |held| held.end() - offset)
            }
            _ => pages.max(1),
        };
        let mut matched = match offset {
            Some(offset) => self.release(stage, offset, pages)?,
            None => 0,
        };
        // The recording may begin in a loaded state, whose buffers it does not allocate.
        if let Some(offset) = self.known_base.and_then(|base| pfn.checked_sub(base)).filter(|_| matched < pages)
            && let Some(room) = self.area_pages.checked_sub(offset)
        {
            matched += self.player.release_loaded(stage, offset as u32, room.min(pages.into()) as u32)?;
        }
        let whole = self.player.is_whole();
        self.player.report.ops += u64::from(whole || matched > 0);
        self.player.report.unmatched += u64::from(whole && matched < pages);
        Ok(())
    }

    /// Releases the held ones of these pages, which may be a part of a buffer; returns their
    /// number.
    fn release<M: Machine + ?Sized>(
        &mut self,
        stage: &mut Stage<'_, '_, 't, M>,
        first: u32,
        pages: u32,
    ) -> Result<u32, ReplayError> {
        let Self { player, ledger, .. } = self;
        let mut released = 0;
        while let Some(held) = ledger.first_in(stage.machine, first, pages) {
            let from = held.first.max(first);
            let to = held.end().min(first.saturating_add(pages));
            let (skip, behind) = (from - held.first, held.end() - to);
            ledger.remove(stage.machine, held.first);
            let value = match held.value {
                FAILED => FAILED,
                offset => player.release_part(stage, (held.first, offset), skip, to - from)?,
            };
            if skip > 0 {
                ledger.insert(stage.machine, Held { pages: skip, value, ..held });
            }
            if behind > 0 {
                let value = if value == FAILED { FAILED } else { value + (to - held.first) };
                ledger.insert(stage.machine, Held { first: to, pages: behind, value });
            }
            released += to - from;
        }
        Ok(released)
    }
}

impl<'t, M: Machine + ?Sized> Follow<'t, M> for ByPages<'_, '_, 't> {
    type Said = Event<'t>;

    fn release_due(&mut self, stage: &mut Stage<'_, '_, 't, M>) -> Result<(), ReplayError> {
        self.player.release_due(stage)
    }

    fn answer(&mut self, stage: &mut Stage<'_, '_, 't, M>, event: &Event<'t>) -> Result<(), ReplayError> {
        match *event {
            Event::Alloc { area, pfn, pages, align_order } if area == self.place.name => match pfn {
                Some(pfn) => self.allocated(stage, pfn, pages, align_order),
                None if self.player.wants(stage, pages) => self.player.alloc_failed(stage, pages, align_order),
                None => Ok(()),
            },
            Event::Release { area, pfn, pages } if area == self.place.name => self.released(stage, pfn, pages),
            _ => Ok(()),
        }
    }
}
