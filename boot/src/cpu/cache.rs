// SPDX-License-Identifier: MIT OR Apache-2.0

//! The level 1 data cache, maintained by address to the point of coherency (DDI 0406C, B4.2.1; DDI
//! 0388, 4.2.9).
//!
//! On a Cortex-A9 the point of coherency, as far as the processor is concerned, is the port to the
//! level 2 cache: what lies behind is `board::l2c310`'s. Maintenance goes by the physical line
//! whatever the mapping's attributes are: addresses of Normal memory that is not cacheable count as
//! shareable, so that the line is found in every processor's cache.

use cortex_a::asm::dsb;
use cortex_a::register::{Dccimvac, Dccmvac, Dcimvac, SysRegWrite};
use kernel::dma::LINE_BYTES;
use kernel::dma::hardware::CacheOp;

/// Lines maintained in a turn of the loop.
const TURN: u32 = 8;

/// Does `op` to every line from `start` on; both are whole lines, and mapped.
///
/// # Safety
/// For [`CacheOp::Invalidate`], nobody needs what was written to those lines and not cleaned yet.
pub(crate) unsafe fn maintain(op: CacheOp, start: u32, bytes: u32) {
    // A store before must have reached the cache before its line is looked at (also Cortex-A9
    // erratum 764369).
    dsb();
    match op {
        CacheOp::Clean => each_line(start, bytes, |line| {
            // SAFETY: cleaning changes no data.
            unsafe { Dccmvac::write_raw(line) }
        }),
        CacheOp::Invalidate => each_line(start, bytes, |line| {
            // SAFETY: by the caller's word.
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
