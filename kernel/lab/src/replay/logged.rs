// SPDX-License-Identifier: MIT OR Apache-2.0

//! Replays what `CONFIG_CMA_DEBUG` wrote to the kernel's log.
//!
//! Where the pointers give page numbers, that is a recording as ftrace makes it, and `recorded` replays it. Where they do not,
//! a pointer is a buffer's ID: a release gives back all that was allocated at that pointer.

use alloc::string::String;
use core::cell::Cell;

use super::player::Player;
use super::pointers::{Pointers, Scale};
use super::recorded::{Recorded, Survey};
use super::{OPS_BETWEEN_LOOKS, ReplayError, WhenHeld, WhenServed, learn};
use crate::ids::IdTable;
use crate::trace::dmesg::{self, Page, Pointer, Said};
use crate::trace::ftrace::{Event, MAX_RECORDED_AREAS};
use crate::trace::{Format, Line, Reason, Step, TraceError};
use machine::Machine;

/// What an ID stands for that holds no buffer; otherwise 1 + its buffer's page offset in the area.
const IDLE: u32 = u32::MAX;

/// The first pass: every line is read, and what the pointers are worth is found.
pub(super) fn survey<'t, M: Machine + ?Sized>(machine: &mut M, log: &'t [u8]) -> Result<Survey<'t>, ReplayError> {
    let start_ns = machine.now_ns();
    let mut survey = Survey::default();
    let mut events = dmesg::events(log);
    let mut found = 0u64;
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
            Said::Release { .. } => survey.releases += 1,
            Said::Alloc { area, .. } => {
                let most = line.error(Reason::TooManyAreas(MAX_RECORDED_AREAS));
                Recorded::named(&mut survey.areas, area).ok_or(most)?.allocs += 1;
            }
        }
    }
    if survey.areas.is_empty() {
        return Err(TraceError { line: 0, reason: Reason::Empty }.into());
    }
    survey.lines = events.lines();
    let stopped = Cell::new(false);
    let pointers = Pointers::learn(|| moves(log, machine, &stopped));
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
    if let [only] = &mut survey.areas[..] {
        only.releases = survey.releases;
    }
    survey.pointers = Some(pointers);
    survey.checked_ns = machine.now_ns().saturating_sub(start_ns);
    Ok(survey)
}

/// The pointers of a log, with the pages and the alignment of those that were allocated. Ctrl-C ends them, and is noted.
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

/// The log as a recording of ftrace, where pointers are page numbers. A release is one of the area whose pages (`from` to
/// `to`) it is in; one of 0 pages is one of all that begins there.
pub(super) fn events<'t>(
    log: &'t [u8],
    scale: &Scale,
    place: (&'t [u8], u64, u64),
) -> impl Iterator<Item = Result<(Line<'t>, Event<'t>), TraceError>> {
    steps(log, scale, place).filter_map(|step| step.map(|(line, event)| Some((line, event?))).transpose())
}

/// As [`events`], with the lines between them that say nothing.
pub(super) fn steps<'t>(
    log: &'t [u8],
    scale: &Scale,
    (name, from, to): (&'t [u8], u64, u64),
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
            Said::Release { page, pages } => match number(page) {
                Some(pfn) if (from..to).contains(&pfn) => Event::Release { area: name, pfn, pages: pages.unwrap_or(0) },
                _ => Event::Lost(0),
            },
            Said::Busy | Said::Lost => Event::Lost(0),
        };
        Ok((line, Some(event)))
    })
}

/// The second pass where pointers are no page numbers.
pub(super) fn answer<'t, M: Machine + ?Sized>(
    player: &mut Player<'_, '_, 't, M>,
    (held, served): (WhenHeld, WhenServed),
    (name, only): (&[u8], bool),
    log: &'t [u8],
) -> Result<(), ReplayError> {
    if served == WhenServed::Keep {
        player.keeper = Some(learn::by_pointers(player, (log, Format::Dmesg), name)?);
    }
    let mut ids = IdTable::new(player.system.zone_mut(), player.machine)?;
    let result = follow(player, &mut ids, held, (name, only), log);
    ids.release(player.system.zone_mut());
    result
}

fn follow<'t, M: Machine + ?Sized>(
    player: &mut Player<'_, '_, 't, M>,
    ids: &mut IdTable,
    held: WhenHeld,
    (name, only): (&[u8], bool),
    log: &'t [u8],
) -> Result<(), ReplayError> {
    for step in dmesg::events(log).steps() {
        let (line, said) = step?;
        if !player.begin(line)? {
            break;
        }
        let Some(event) = said else { continue };
        match event {
            Said::Alloc { area, page, pages, align_order } if area == name => match page {
                Page::None if player.wants(pages) => player.alloc_failed(pages, align_order)?,
                Page::Hidden if player.wants(pages) => player.alloc_for_good(pages, align_order),
                Page::None | Page::Hidden => {}
                Page::At(pointer) => {
                    let id = id_of(pointer);
                    if let Some(offset) = offset_of(ids.get(player.machine, id)) {
                        if held == WhenHeld::Refuse {
                            return Err(line.error(Reason::HeldPointer(pointer.value)).into());
                        }
                        player.release(id, offset)?;
                        player.report.held_released += 1;
                    }
                    if !player.wants(pages) {
                        ids.set(player.system.zone_mut(), player.machine, id, IDLE)?;
                        continue;
                    }
                    let value = player.alloc(id, pages, align_order).map_or(IDLE, |offset| 1 + offset);
                    ids.set(player.system.zone_mut(), player.machine, id, value)?;
                }
            },
            Said::Release { page, .. } => {
                let known = match page {
                    Page::At(pointer) => ids.get(player.machine, id_of(pointer)).map(|value| (id_of(pointer), value)),
                    Page::None | Page::Hidden => None,
                };
                // A log of several areas does not say of which a page is that was not seen allocated.
                if known.is_none() && !only {
                    continue;
                }
                let whole = player.is_whole();
                player.report.ops += u64::from(whole || known.is_some_and(|(_, value)| value != IDLE));
                let Some((id, value)) = known else {
                    player.report.unmatched += u64::from(whole);
                    continue;
                };
                match offset_of(Some(value)) {
                    Some(offset) => player.release(id, offset)?,
                    None => player.report.unmatched += u64::from(whole),
                }
                ids.set(player.system.zone_mut(), player.machine, id, IDLE)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The offset of the buffer that an ID holds.
fn offset_of(value: Option<u32>) -> Option<u32> {
    value.filter(|&value| value != IDLE).map(|value| value - 1)
}

/// Pointers of 64 bits are multiples of 4, and lie within 16 GiB; hashed ones have 32 bits.
pub(super) const fn id_of(pointer: Pointer) -> u32 {
    if pointer.value >> 32 == 0 { pointer.value as u32 } else { (pointer.value >> 2) as u32 }
}

/// As a name is shown: a pointer is not one.
pub(super) fn area_name(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name).into_owned();
    let pointer = name.len() >= 8 && name.iter().all(u8::is_ascii_hexdigit);
    if pointer { ["cma ", &text].concat() } else { text }
}

#[cfg(test)]
mod tests;
