// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lifetimes of a recording's buffers, from a pass before the replay, for `keeper`.

use super::ReplayError;
use super::keeper::{Keeper, Lives};
use super::ledger::{Held, Ledger};
use super::origins::{Origin, Origins};
use super::pointers::id_of;
use super::recorded::Place;
use super::stage::Stage;
use crate::ids::{IdTable, OutOfMemory};
use crate::trace::dmesg::{self, Page, Said};
use crate::trace::ftrace::Event;
use crate::trace::{Line, TraceError};
use crate::words::NoRoom;
use machine::Machine;
use page_alloc::zone::Zone;

/// Line number of an ID that holds no buffer.
const IDLE: u32 = u32::MAX;

/// Learns from a recording whose pages are known. The first release of any of a buffer's pages ends
/// its lifetime.
pub(super) fn by_pages<'t, M, I>(
    stage: &mut Stage<'_, '_, 't, M>,
    place: Place<'t>,
    events: impl Fn() -> I,
) -> Result<Keeper<'t>, ReplayError>
where
    M: Machine + ?Sized,
    I: Iterator<Item = Result<(Line<'t>, Event<'t>), TraceError>>,
{
    let (trace, format, pages) = (stage.trace, stage.format, place.pages());
    let any = events().flatten().find(|(_, event)| matches!(event, Event::Alloc { .. })).map(|(line, _)| line);
    let (zone, machine) = (stage.system.zone_mut(), &mut *stage.machine);
    let memory = |_: NoRoom| ReplayError::Memory { bytes: Ledger::bytes(pages) + Origins::bytes(pages) };
    let mut ledger = Ledger::new(zone, machine, pages).map_err(memory)?;
    let origins = Origins::new(zone, machine, pages).map_err(memory);
    let lives = Lives::new(zone, machine, format, any);
    let mut origins = match origins {
        Ok(origins) => origins,
        Err(error) => {
            ledger.release(zone);
            lives.into_iter().for_each(|lives| lives.release(zone));
            return Err(error);
        }
    };
    let result = lives.and_then(|mut lives| {
        for (line, event) in events().flatten() {
            let (first, pages, allocated) = match event {
                Event::Alloc { area, pfn: Some(pfn), pages, .. } if area == place.name => (pfn, pages, true),
                // A log may not contain the number of pages.
                Event::Release { area, pfn, pages } if area == place.name => (pfn, pages.max(1), false),
                _ => continue,
            };
            if !place.has(first) {
                continue;
            }
            let first = place.offset(first);
            while let Some(held) = ledger.first_in(machine, first, pages) {
                ledger.remove(machine, held.first);
                let origin = origins.get(machine, held.first).line(trace);
                // Pages that are allocated while held were released at an unknown time.
                if let (false, Some(from)) = (allocated, origin)
                    && let Err(error) = lives.lived(zone, machine, &from, &line)
                {
                    lives.release(zone);
                    return Err(error);
                }
            }
            if allocated {
                ledger.insert(machine, Held { first, pages, value: 0 });
                origins.set(machine, first, Origin::of(&line));
            }
        }
        Ok(lives)
    });
    origins.release(zone);
    ledger.release(zone);
    Keeper::new(zone, machine, result?)
}

/// Learns from a log whose pointers only distinguish buffers.
pub(super) fn by_pointers<'t, M: Machine + ?Sized>(
    stage: &mut Stage<'_, '_, 't, M>,
    name: &[u8],
) -> Result<Keeper<'t>, ReplayError> {
    let (log, format) = (stage.trace, stage.format);
    let any = dmesg::events(log).flatten().find(|(_, said)| matches!(said, Said::Alloc { .. })).map(|(line, _)| line);
    let (zone, machine) = (stage.system.zone_mut(), &mut *stage.machine);
    let mut tables = Tables::new(zone, machine)?;
    let result = Lives::new(zone, machine, format, any).and_then(|mut lives| {
        for (line, said) in dmesg::events(log).flatten() {
            let noted = match said {
                Said::Alloc { area, page: Page::At(pointer), .. } if area == name => {
                    tables.set(zone, machine, id_of(pointer), Origin::of(&line)).map_err(ReplayError::from)
                }
                Said::Release { page: Page::At(pointer), .. } => {
                    let from = tables.take(machine, id_of(pointer)).and_then(|origin| origin.line(log));
                    from.map_or(Ok(()), |from| lives.lived(zone, machine, &from, &line))
                }
                _ => continue,
            };
            if let Err(error) = noted {
                lives.release(zone);
                return Err(error);
            }
        }
        Ok(lives)
    });
    tables.release(zone);
    Keeper::new(zone, machine, result?)
}

/// The origins of buffers with IDs: the numbers of their lines, and where those begin.
struct Tables {
    lines: IdTable,
    starts: IdTable,
}

impl Tables {
    fn new<M: Machine + ?Sized>(zone: &mut Zone<'_>, machine: &mut M) -> Result<Self, OutOfMemory> {
        let lines = IdTable::new(zone, machine)?;
        match IdTable::new(zone, machine) {
            Ok(starts) => Ok(Self { lines, starts }),
            Err(error) => {
                lines.release(zone);
                Err(error)
            }
        }
    }

    fn set<M: Machine + ?Sized>(
        &mut self,
        zone: &mut Zone<'_>,
        machine: &mut M,
        id: u32,
        origin: Origin,
    ) -> Result<(), OutOfMemory> {
        let (line, start) = origin.parts();
        self.lines.set(zone, machine, id, line)?;
        // No value may be 0.
        self.starts.set(zone, machine, id, start.saturating_add(1))
    }

    /// Removes an ID's buffer and returns its origin.
    fn take<M: Machine + ?Sized>(&mut self, machine: &mut M, id: u32) -> Option<Origin> {
        let line = self.lines.get(machine, id).filter(|&line| line != IDLE)?;
        let start = self.starts.get(machine, id)? - 1;
        self.lines.replace(machine, id, IDLE);
        Some(Origin::from_parts(line, start))
    }

    fn release(self, zone: &mut Zone<'_>) {
        self.starts.release(zone);
        self.lines.release(zone);
    }
}
