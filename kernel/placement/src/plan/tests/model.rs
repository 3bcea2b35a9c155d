//! What a plan can come to at most, said plainly. The tests of whoever moves buffers by plans include this file, too.

use alloc::vec::Vec;

use super::Request;

/// Whether buffers no longer than their alignment fit in a free map of whole blocks at all: highest order first, each takes
/// a block of its order, and leaves what of it lies behind it.
pub(super) fn fits_somehow(bits: u32, requests: &[Request]) -> bool {
    let mut free: [u32; 12] = core::array::from_fn(|order| bits >> order & 1);
    for order in (0..12).rev() {
        let own: Vec<u32> = requests
            .iter()
            .filter(|request| request.align_mask + 1 == 1 << order)
            .map(|request| request.bits)
            .collect();
        let Some(left) = free[order].checked_sub(own.len() as u32) else { return false };
        for bits in own {
            let rest = (1 << order) - bits;
            (0..order).for_each(|lower| free[lower] += rest >> lower & 1);
        }
        if order > 0 {
            free[order - 1] += 2 * left;
        }
    }
    true
}
