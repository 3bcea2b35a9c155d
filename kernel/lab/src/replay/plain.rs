// SPDX-License-Identifier: MIT OR Apache-2.0

//! Replays a trace whose buffers have IDs.

use super::player::Player;
use super::{OPS_BETWEEN_LOOKS, ReplayError, WhenHeld};
use crate::ids::IdTable;
use crate::trace::{Op, Reason, TraceError, plain};
use machine::Machine;

/// What an ID stands for while it holds no buffer; otherwise 1 + its buffer's page offset in the area.
const IDLE: u32 = u32::MAX;
/// What it stands for where its allocation failed, or was not made yet: there is nothing to release.
const NOT_SERVED: u32 = IDLE - 1;

/// The offset of the buffer that an ID holds.
fn held_offset(value: Option<u32>) -> Option<u32> {
    value.filter(|&value| value < NOT_SERVED).map(|value| value - 1)
}

/// Both passes.
pub(super) fn run<'t, M: Machine + ?Sized>(
    player: &mut Player<'_, '_, 't, M>,
    held: WhenHeld,
    trace: &'t [u8],
) -> Result<(), ReplayError> {
    let mut ids = IdTable::new(player.system.zone_mut(), player.machine)?;
    let result = validate(player, &mut ids, trace).and_then(|()| answer(player, &mut ids, held, trace));
    ids.release(player.system.zone_mut());
    result
}

/// The first pass.
fn validate<'t, M: Machine + ?Sized>(
    player: &mut Player<'_, '_, 't, M>,
    ids: &mut IdTable,
    trace: &'t [u8],
) -> Result<(), ReplayError> {
    let start_ns = player.machine.now_ns();
    let mut ops = plain::ops(trace);
    let mut found = 0u64;
    while let Some(step) = ops.step() {
        let (line, op) = step?;
        let Some(op) = op else {
            if player.machine.interrupted() {
                return Err(ReplayError::Interrupted);
            }
            continue;
        };
        match op {
            Op::Alloc { id, .. } => ids.set(player.system.zone_mut(), player.machine, id, NOT_SERVED)?,
            Op::Release { id } if ids.get(player.machine, id).is_none() => {
                return Err(line.error(Reason::NeverAllocated(id)).into());
            }
            Op::Release { .. } => {}
        }
        found += 1;
        if found.is_multiple_of(OPS_BETWEEN_LOOKS) && player.machine.interrupted() {
            return Err(ReplayError::Interrupted);
        }
    }
    player.report.lines = ops.lines();
    player.report.checked_ns = player.machine.now_ns().saturating_sub(start_ns);
    if found == 0 { Err(TraceError { line: 0, reason: Reason::Empty }.into()) } else { Ok(()) }
}

/// The second pass.
fn answer<'t, M: Machine + ?Sized>(
    player: &mut Player<'_, '_, 't, M>,
    ids: &mut IdTable,
    held: WhenHeld,
    trace: &'t [u8],
) -> Result<(), ReplayError> {
    for step in plain::ops(trace).steps() {
        let (line, op) = step?;
        if !player.begin(line)? {
            break;
        }
        let Some(op) = op else { continue };
        match op {
            Op::Alloc { id, pages, align_order } => {
                if let Some(offset) = held_offset(ids.get(player.machine, id)) {
                    if held == WhenHeld::Refuse {
                        return Err(line.error(Reason::Held(id)).into());
                    }
                    player.release(id, offset)?;
                    player.report.held_released += 1;
                }
                if !player.wants(pages) {
                    ids.set(player.system.zone_mut(), player.machine, id, NOT_SERVED)?;
                    continue;
                }
                let value = player.alloc(id, pages, align_order).map_or(NOT_SERVED, |offset| 1 + offset);
                ids.set(player.system.zone_mut(), player.machine, id, value)?;
            }
            Op::Release { id } => {
                let value = ids.get(player.machine, id);
                player.report.ops += u64::from(player.is_whole() || held_offset(value).is_some());
                if let Some(offset) = held_offset(value) {
                    player.release(id, offset)?;
                    ids.set(player.system.zone_mut(), player.machine, id, IDLE)?;
                }
                player.report.unmatched += u64::from(player.is_whole() && value == Some(IDLE));
            }
        }
    }
    Ok(())
}
