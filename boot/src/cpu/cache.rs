// SPDX-License-Identifier: MIT OR Apache-2.0

//! The level 1 data cache, maintained by address to the point of coherency (DDI 0406C, B4.2.1; DDI
//! 0388, 4.2.9).
//!
//! On a Cortex-A9 the processor's point of coherency is the port to the level 2 cache, which
//! `board::l2c310` maintains. Maintenance uses the physical line whatever the mapping's attributes
//! are: addresses of Normal memory that is not cacheable count as shareable, so that the line is
//! found in every processor's cache.

use cortex_a::asm::dsb;
use cortex_a::register::{Dccimvac, Dccmvac, Dcimvac, SysRegWrite};
use kernel::dma::LINE_BYTES;
use kernel::dma::hardware::CacheOp;

/// Lines maintained per iteration of the unrolled loop.
const TURN: u32 = 8;

/// Applies `op` to every line from `start` on; `start` and `bytes` are whole lines, and mapped.
///
/// # Safety
/// For [`CacheOp::Invalidate`], data written to those lines and not cleaned yet is not needed.
pub(crate) unsafe fn maintain(op: CacheOp, start: u32, bytes: u32) {
    // Earlier stores must have reached the cache before their lines are maintained (also Cortex-A9
    // erratum 764369).
    dsb();
    match op {
        CacheOp::Clean => each_line(start, bytes, |line| {
            // SAFETY: cleaning changes no data.
            unsafe { Dccmvac::write_raw(line) }
        }),
        CacheOp::Invalidate => each_line(start, bytes, |line| {
            // SAFETY: guaranteed by the caller.
            unsafe { Dcimvac::write_raw(line) }
        }),
        CacheOp::CleanInvalidate => each_line(start, bytes, |line| {
            // SAFETY: cleaning and invalidating changes no data.
            unsafe { Dccimvac::write_raw(line) }
        }),
    }
    dsb();
}

#[inline(always)]
pub(crate) fn each_line(start: u32, bytes: u32, mut apply: impl FnMut(u32)) {
    let (mut line, end) = (start, start.wrapping_add(bytes));
    for _ in 0..bytes / (TURN * LINE_BYTES) {
        for place in 0..TURN {
            apply(line.wrapping_add(place * LINE_BYTES));
        }
        line = line.wrapping_add(TURN * LINE_BYTES);
    }
    while line != end {
        apply(line);
        line = line.wrapping_add(LINE_BYTES);
    }
}
