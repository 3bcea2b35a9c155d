// SPDX-License-Identifier: MIT OR Apache-2.0

//! A plan of the moves that make room for a request: made like those of the placement `relocate`,
//! but not carried out.
//!
//! Every registered or relocatable buffer counts as movable as a whole, and so does every run of
//! used pages of a state that `load` put into the area. A registered buffer does not record its
//! alignment: it keeps the one that it has, up to that of its size.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::metrics::Counted;
use super::obstacles::{Holder, Obstacle, obstacles};
use super::record::Record;
use cma::area::Area;
use cma::{AreaId, CmaError, align_order_of};
use placement::bitmap::Bitmap;
use system::plan::{Movable, NoRoom, Planner, Step};
use system::{MAX_MOVABLE, System};

/// Number of moves in the text.
const SHOWN_MOVES: usize = 16;

/// Reason why no plan was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RoomError {
    /// The request is invalid.
    Invalid(CmaError),
    /// There is no memory for the plan.
    Memory,
}

impl fmt::Display for RoomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) => error.fmt(f),
            Self::Memory => f.write_str("the area has more buffers than a plan has memory for"),
        }
    }
}

/// The result of planning for a request.
#[derive(Clone, Debug)]
pub struct Room {
    area: String,
    pages: u32,
    align_order: u32,
    free: u32,
    /// The first page of the request, and the moves before it.
    plan: Result<(u32, Vec<Step>), NoRoom>,
}

/// Plans for a request; leaves the area unchanged.
///
/// # Errors
/// See [`RoomError`].
pub fn plan(system: &System<'_>, id: AreaId, pages: u32, align_order: u32) -> Result<Room, RoomError> {
    let area = system.area(id);
    let request = area.request(pages, align_order).map_err(RoomError::Invalid)?;
    let map = area.bitmap();
    let plan = if request.bits > map.free() {
        Err(NoRoom::Full)
    } else if let Some(bit) = map.first_fit(&request, 0) {
        Ok((bit, Vec::new()))
    } else {
        planner(system, id).ok_or(RoomError::Memory)?.make_room(&request)
    };
    let order = area.order_per_bit();
    let plan = plan.map(|(bit, steps)| (bit << order, steps));
    Ok(Room { area: area.name().into(), pages, align_order, free: area.free_pages(), plan })
}

/// Returns a planner with the area's buffers.
fn planner(system: &System<'_>, id: AreaId) -> Option<Planner> {
    let area = system.area(id);
    let movable = |buffer: &Obstacle| buffer.holder != Holder::Other;
    let count = obstacles(system, id, 0).filter(movable).take(MAX_MOVABLE + 1).count();
    let mut buffers = Vec::new();
    // One more entry for the request itself.
    if count > MAX_MOVABLE || buffers.try_reserve_exact(count + 1).is_err() {
        return None;
    }
    let mut fixed = Bitmap::new(area.bitmap().bits());
    let order = area.order_per_bit();
    for buffer in obstacles(system, id, 0) {
        let bit = buffer.page >> order;
        match area.request(buffer.pages, align_order(system, area, &buffer)) {
            Ok(request) if movable(&buffer) => buffers.push(Movable::new(bit, request)),
            _ => fixed.set(bit, buffer.pages.div_ceil(1 << order)),
        }
    }
    Some(Planner::new(fixed, buffers))
}

/// Returns the order of the alignment that a buffer keeps.
fn align_order(system: &System<'_>, area: &Area, buffer: &Obstacle) -> u32 {
    let first = area.base().add(buffer.page);
    match system.zone().relocatable(first) {
        Some(relocatable) if matches!(buffer.holder, Holder::Relocatable(_)) => relocatable.align_order,
        _ => align_order_of(buffer.pages).min(first.0.trailing_zeros()),
    }
}

impl Room {
    /// Returns the number of buffers that would move, and their bits.
    fn moved(&self) -> (usize, u64) {
        let steps = self.plan.as_ref().map_or(&[][..], |(_, steps)| steps);
        (steps.len(), steps.iter().map(|step| u64::from(step.bits)).sum())
    }

    /// Returns the record.
    pub fn record(&self) -> Record {
        let (buffers, pages) = self.moved();
        Record::new("relocate")
            .string("area", &self.area)
            .number("pages", self.pages)
            .number("align_order", self.align_order)
            .number("fits", u32::from(self.plan.is_ok()))
            .number("page", self.plan.as_ref().map_or(0, |plan| plan.0))
            .number("moved_buffers", buffers as u64)
            .number("moved_pages", pages)
            .string(
                "cause",
                match self.plan {
                    Ok(_) => "none",
                    Err(NoRoom::Full) if self.pages > self.free => "full",
                    Err(NoRoom::Full) => "fragmented",
                    Err(NoRoom::NotFound) => "not-found",
                },
            )
    }
}

impl fmt::Display for Room {
    /// Writes the text for people; ends in a newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.area, Counted(self.pages.into(), "page"))?;
        if self.align_order > 0 {
            write!(f, " at a multiple of {}", 1u64 << self.align_order)?;
        }
        let (buffers, pages) = self.moved();
        match &self.plan {
            Err(NoRoom::Full) if self.pages > self.free => writeln!(f, " do not fit: {} are free.", self.free),
            Err(NoRoom::Full) => writeln!(
                f,
                " do not fit: buffers (of a loaded state: runs of used pages) can move only as a whole and to their \
                 alignment; {} are free.",
                self.free
            ),
            Err(NoRoom::NotFound) => writeln!(f, " do not fit: no way to move its buffers was found."),
            Ok((page, _)) if buffers == 0 => writeln!(f, " fit at page {page}; nothing has to move."),
            Ok((page, steps)) => {
                writeln!(
                    f,
                    " fit at page {page} once {} of {} moved:",
                    Counted(buffers as u64, "buffer"),
                    Counted(pages, "page")
                )?;
                for step in steps.iter().take(SHOWN_MOVES) {
                    writeln!(f, "  {} from {} to {}", Counted(step.bits.into(), "page"), step.from, step.to)?;
                }
                match steps.len().saturating_sub(SHOWN_MOVES) {
                    0 => Ok(()),
                    more => writeln!(f, "  and {more} more"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use board_mock::with_board;
    use std::string::ToString;

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn a_plan_moves_what_it_has_to_and_nothing_is_moved() {
        with_board(64, |system, _| {
            let id = system.find_area("BiscuitOS_cma").expect("the board has it");
            let say = |system: &mut System<'_>, pages, order| {
                let before: Vec<u32> = system.area(id).bitmap().words().to_vec();
                let room = plan(system, id, pages, order).expect("a request");
                assert_eq!(system.area(id).bitmap().words(), before);
                (room.to_string(), room.record().to_string())
            };
            assert_eq!(
                say(system, 2048, 8).0,
                "BiscuitOS_cma: 2048 pages at a multiple of 256 fit at page 0; nothing has to move.\n"
            );
            // 100 pages in the middle of both halves, and a driver's 4 after the first.
            let mut held = Vec::new();
            for (pages, keep) in [(400, false), (100, true), (4, true), (800, false), (100, true), (644, false)] {
                held.push((system.cma_alloc(id, pages, 0).expect("room"), keep));
            }
            let mut drivers = None;
            for (buffer, keep) in held {
                if buffer.pages() == 4 {
                    drivers = Some(buffer);
                } else if keep {
                    system.keep(buffer);
                } else {
                    system.cma_release(buffer).expect("it was held");
                }
            }
            let (text, record) = say(system, 1400, 0);
            assert_eq!(
                text,
                "BiscuitOS_cma: 1400 pages fit at page 504 once 1 buffer of 100 pages moved:\n  100 pages from 1304 to 1904\n"
            );
            assert_eq!(
                record,
                "{\"record\":\"relocate\",\"area\":\"BiscuitOS_cma\",\"pages\":1400,\"align_order\":0,\"fits\":1,\
                 \"page\":504,\"moved_buffers\":1,\"moved_pages\":100,\"cause\":\"none\"}"
            );
            let (text, record) = say(system, 1600, 0);
            assert!(text.contains("do not fit") && record.contains("\"fits\":0"), "{text}{record}");
            let (text, record) = say(system, 1845, 0);
            assert_eq!(text, "BiscuitOS_cma: 1845 pages do not fit: 1844 are free.\n");
            assert!(record.ends_with("\"cause\":\"full\"}"), "{record}");
            assert!(matches!(plan(system, id, 0, 0), Err(RoomError::Invalid(_))));
            system.cma_release(drivers.expect("the driver's")).expect("it was held");
            system.release_all(id);
        });
    }

    /// A board's state has only runs of used pages. Enough pages are free, so the cause is that of
    /// `alloc`.
    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn a_state_does_not_fit_as_far_as_its_runs_move_whole() {
        let list = b"number of available pages: 4@572+7@585+7@601+8@632+38@730+166@1114+127@1921=> 357 free of 2048 total pages";
        with_board(64, |system, _| {
            let id = system.find_area("BiscuitOS_cma").expect("the board has it");
            let found = crate::state::find(list, None, None).expect("a list");
            crate::state::put(system, id, &found).expect("it fits");
            let room = plan(system, id, 256, 8).expect("a request");
            let text = room.to_string();
            assert!(text.contains("do not fit: buffers (of a loaded state: runs of used pages)"), "{text}");
            assert!(room.record().to_string().ends_with("\"cause\":\"fragmented\"}"), "{}", room.record());
            system.release_all(id);
        });
    }
}
