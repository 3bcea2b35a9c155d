// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cache maintenance of a range that a device uses, in the order that loses no data.
//!
//! Caches work in lines. If a range begins or ends inside a line, the line's other bytes belong to
//! neighbouring data and may be dirty: such an edge line is always cleaned before it is dropped.
//!
//! Maintenance follows the direction of the data. Before the device starts: level 1, then level 2.
//! A dirty line that level 1 writes, by an operation or by eviction, enters level 2, and the level
//! 2 operation that follows handles it; in the other order the line could enter level 2 afterwards,
//! and be written over the device's data later. After the device has written: first level 2, then
//! level 1. A line that level 1 fills before level 2 has dropped it is stale, and the operation on
//! level 1 that follows drops it; in the other order it would stay.

use super::hardware::{CacheOp, Caches, Hardware};
use super::{CpuAddress, Direction};
use units::PhysAddr;

/// Bytes of a line, in the Cortex-A9's level 1 cache and in the L2C-310.
pub const LINE_BYTES: u32 = 32;

/// A range of memory, to be split at cache lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lines {
    /// First byte.
    start: u32,
    /// One past the last byte.
    end: u64,
}

/// A part of a range that is maintained in one way: the first line's address, and its bytes.
type Part = (u32, u32);

impl Lines {
    /// Makes the range of `bytes` bytes from `start` on, which must not reach beyond 4 GiB.
    pub const fn new(start: PhysAddr, bytes: u32) -> Self {
        Self { start: start.0 as u32, end: start.0 + bytes as u64 }
    }

    /// Returns all lines that the range touches.
    pub fn all(self) -> Part {
        let start = self.start & !(LINE_BYTES - 1);
        (start, (self.end.next_multiple_of(LINE_BYTES.into()) - u64::from(start)) as u32)
    }

    /// Returns the partly covered first line, the whole lines, and the partly covered last line.
    pub fn parts(self) -> (Option<Part>, Option<Part>, Option<Part>) {
        let (first, all_bytes) = self.all();
        let last = first + (all_bytes - LINE_BYTES);
        let head = !self.start.is_multiple_of(LINE_BYTES);
        let tail = !self.end.is_multiple_of(LINE_BYTES.into());
        if first == last {
            let line = Some((first, LINE_BYTES));
            return if head || tail { (line, None, None) } else { (None, line, None) };
        }
        let whole_first = if head { first + LINE_BYTES } else { first };
        let whole_bytes = all_bytes - u32::from(head) * LINE_BYTES - u32::from(tail) * LINE_BYTES;
        (
            head.then_some((first, LINE_BYTES)),
            (whole_bytes > 0).then_some((whole_first, whole_bytes)),
            tail.then_some((last, LINE_BYTES)),
        )
    }

    /// Calls `apply` with the operation for each part that drops the range's own data.
    fn drop_own(self, mut apply: impl FnMut(CacheOp, Part)) {
        let (head, whole, tail) = self.parts();
        for edge in [head, tail].into_iter().flatten() {
            apply(CacheOp::CleanInvalidate, edge);
        }
        if let Some(whole) = whole {
            apply(CacheOp::Invalidate, whole);
        }
    }

    /// Maintains level 1 before the device begins.
    pub(super) fn inner_to_device(self, hardware: &mut dyn Hardware, direction: Direction) {
        if direction == Direction::FromDevice {
            self.drop_own(|op, part| inner(hardware, op, part));
        } else {
            inner(hardware, CacheOp::Clean, self.all());
        }
    }

    /// Maintains level 2 before the device begins; called after level 1.
    pub(super) fn outer_to_device(self, hardware: &mut dyn Hardware, direction: Direction) {
        if direction == Direction::FromDevice {
            self.drop_own(|op, part| outer(hardware, op, part));
        } else {
            outer(hardware, CacheOp::Clean, self.all());
        }
    }

    /// Maintains level 2 after the device has ended.
    pub(super) fn outer_to_cpu(self, hardware: &mut dyn Hardware, direction: Direction) {
        if direction.device_writes() {
            self.drop_own(|op, part| outer(hardware, op, part));
        }
    }

    /// Maintains level 1 after the device has ended; called after level 2.
    pub(super) fn inner_to_cpu(self, hardware: &mut dyn Hardware, direction: Direction) {
        if direction.device_writes() {
            self.drop_own(|op, part| inner(hardware, op, part));
        }
    }
}

fn inner(hardware: &mut dyn Hardware, op: CacheOp, (start, bytes): Part) {
    let at = hardware.cached(PhysAddr(start.into()));
    Caches::inner(hardware, op, at, bytes);
}

fn outer(hardware: &mut dyn Hardware, op: CacheOp, (start, bytes): Part) {
    Caches::outer(hardware, op, PhysAddr(start.into()), bytes);
}

/// Maintains the caches before the device uses a range.
pub(super) fn to_device(hardware: &mut dyn Hardware, start: PhysAddr, bytes: u32, direction: Direction) {
    let lines = Lines::new(start, bytes);
    lines.inner_to_device(hardware, direction);
    lines.outer_to_device(hardware, direction);
    hardware.outer_sync();
}

/// Maintains the caches after the device has used a range.
pub(super) fn to_cpu(hardware: &mut dyn Hardware, start: PhysAddr, bytes: u32, direction: Direction) {
    if direction.device_writes() {
        let lines = Lines::new(start, bytes);
        lines.outer_to_cpu(hardware, direction);
        hardware.outer_sync();
        lines.inner_to_cpu(hardware, direction);
    }
}

/// Purges whole pages whose cacheable mapping was removed from the caches; `at` is their new
/// address.
pub(super) fn purge(hardware: &mut dyn Hardware, at: CpuAddress, start: PhysAddr, bytes: u32) {
    Caches::inner(hardware, CacheOp::CleanInvalidate, at, bytes);
    Caches::outer(hardware, CacheOp::CleanInvalidate, start, bytes);
    hardware.outer_sync();
}
