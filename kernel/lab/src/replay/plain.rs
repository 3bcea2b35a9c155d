// SPDX-License-Identifier: MIT OR Apache-2.0

//! Replays a trace whose buffers have IDs.

use super::player::Player;
use super::stage::{Follow, Stage};
use super::{OPS_BETWEEN_LOOKS, ReplayError, WhenHeld};
use crate::ids::IdTable;
use crate::trace::{Op, Reason, TraceError, plain};
use machine::Machine;

/// Value of an ID without a buffer; otherwise 1 + its buffer's page offset in the area.
const IDLE: u32 = u32::MAX;
/// Value of an ID whose allocation failed, was left out, or has not been made yet: there is nothing
/// to release.
const NOT_SERVED: u32 = IDLE - 1;

/// Returns the offset of the buffer that an ID holds.
fn held_offset(value: Option<u32>) -> Option<u32> {
    value.filter(|&value| value < NOT_SERVED).map(|value| value - 1)
}

/// Does both passes.
pub(super) fn run<'t, M: Machine + ?Sized>(
    stage: &mut Stage<'_, '_, 't, M>,
    player: &mut Player<'_, 't>,
) -> Result<(), ReplayError> {
    let mut ids = IdTable::new(stage.system.zone_mut(), stage.machine)?;
    let result = validate(stage, player, &mut ids);
    let mut follower = ById { player, ids };
    let result = result.and_then(|()| {
        let steps = plain::ops(stage.trace).steps();
        stage.run(core::slice::from_mut(&mut follower), steps)
    });
    follower.ids.release(stage.system.zone_mut());
    result
}

/// Does the first pass.
fn validate<'t, M: Machine + ?Sized>(
    stage: &mut Stage<'_, '_, 't, M>,
    player: &mut Player<'_, 't>,
    ids: &mut IdTable,
) -> Result<(), ReplayError> {
    let start_ns = stage.machine.now_ns();
    let mut ops = plain::ops(stage.trace);
    let mut found = 0u64;
    while let Some(step) = ops.step() {
        let (line, op) = step?;
        let Some(op) = op else {
            if stage.machine.interrupted() {
                return Err(ReplayError::Interrupted);
            }
            continue;
        };
        match op {
            Op::Alloc { id, .. } => ids.set(stage.system.zone_mut(), stage.machine, id, NOT_SERVED)?,
            Op::Release { id } if ids.get(stage.machine, id).is_none() => {
                return Err(line.error(Reason::NeverAllocated(id)).into());
            }
            Op::Release { .. } => {}
        }
        found += 1;
        if found.is_multiple_of(OPS_BETWEEN_LOOKS) && stage.machine.interrupted() {
            return Err(ReplayError::Interrupted);
        }
    }
    player.report.lines = ops.lines();
    player.report.checked_ns = stage.machine.now_ns().saturating_sub(start_ns);
    if found == 0 { Err(TraceError { line: 0, reason: Reason::Empty }.into()) } else { Ok(()) }
}

/// An area, and its buffers by ID.
struct ById<'p, 'n, 't> {
    player: &'p mut Player<'n, 't>,
    ids: IdTable,
}

impl<'t, M: Machine + ?Sized> Follow<'t, M> for ById<'_, '_, 't> {
    type Said = Op;

    fn release_due(&mut self, stage: &mut Stage<'_, '_, 't, M>) -> Result<(), ReplayError> {
        self.player.release_due(stage)
    }

    fn answer(&mut self, stage: &mut Stage<'_, '_, 't, M>, op: &Op) -> Result<(), ReplayError> {
        let Self { player, ids } = self;
        match *op {
            Op::Alloc { id, pages, align_order } => {
                if let Some(offset) = held_offset(ids.get(stage.machine, id)) {
                    if player.held == WhenHeld::Refuse {
                        return Err(stage.line.error(Reason::Held(id)).into());
                    }
                    player.release(stage, id, offset)?;
                    player.report.held_released += 1;
                }
                let value = match player.wants(stage, pages) {
                    true => player.alloc(stage, id, pages, align_order).map_or(NOT_SERVED, |offset| 1 + offset),
                    false => NOT_SERVED,
                };
                ids.set(stage.system.zone_mut(), stage.machine, id, value)?;
            }
            Op::Release { id } => {
                let value = ids.get(stage.machine, id);
                player.report.ops += u64::from(player.is_whole() || held_offset(value).is_some());
                if let Some(offset) = held_offset(value) {
                    player.release(stage, id, offset)?;
                    ids.set(stage.system.zone_mut(), stage.machine, id, IDLE)?;
                }
                player.report.unmatched += u64::from(player.is_whole() && value == Some(IDLE));
            }
        }
        Ok(())
    }
}
