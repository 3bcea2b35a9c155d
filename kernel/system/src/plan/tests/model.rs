// SPDX-License-Identifier: MIT OR Apache-2.0

//! A plain model of what a plan can reach at most. Other tests of moving buffers by plans include
//! this file, too.

use alloc::vec::Vec;

use super::Request;

/// True if buffers fit in a free map of whole blocks. None is longer than its alignment, except
/// those of the largest order. Highest order first, each takes blocks of its order, and leaves
/// their rest after it.
pub(super) fn fits_somehow(bits: u32, requests: &[Request]) -> bool {
    let mut free: [u32; 12] = core::array::from_fn(|order| bits >> order & 1);
    for order in (0..12).rev() {
        let own = requests.iter().filter(|request| request.align_mask + 1 == 1 << order).map(|request| request.bits);
        let own: Vec<u32> = own.collect();
        let blocks: u32 = own.iter().map(|bits| bits.div_ceil(1 << order)).sum();
        let Some(left) = free[order].checked_sub(blocks) else { return false };
        for bits in own {
            let rest = bits.next_multiple_of(1 << order) - bits;
            (0..order).for_each(|lower| free[lower] += rest >> lower & 1);
        }
        if order > 0 {
            free[order - 1] += 2 * left;
        }
    }
    true
}
