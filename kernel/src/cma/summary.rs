//! What is known of a large bitmap without reading it: which nodes (256 bits each) are wholly free, and upper bounds on the
//! runs that begin in each (see `bounds`).

use alloc::vec;
use alloc::vec::Vec;

use super::bounds::{Bounds, NODE_BITS};
use super::words::{WORD_BITS, clear_bits, set_bits};

/// What is known of a bitmap without reading it.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    /// One bit a node (256 bits): set where any bit of the node is, and beyond the last whole node.
    pub(super) touched_nodes: Vec<u32>,
    /// Upper bounds on the free runs, never below the truth.
    pub(super) bounds: Bounds,
}

impl Summary {
    pub(super) fn new(bits: u32) -> Self {
        let nodes = bits / NODE_BITS;
        let mut touched_nodes = vec![u32::MAX; (nodes / WORD_BITS) as usize + 1];
        for node in 0..nodes {
            touched_nodes[(node / WORD_BITS) as usize] &= !(1 << (node % WORD_BITS));
        }
        Self { touched_nodes, bounds: Bounds::new(bits) }
    }

    #[inline]
    pub(super) fn allocated(&mut self, start: u32, end: u32) {
        let (first, last) = (start / NODE_BITS, (end - 1) / NODE_BITS);
        set_bits(&mut self.touched_nodes, first, last + 1 - first);
        self.bounds.allocated(start, end);
    }

    /// The bits `start..end` were released and are now part of the free run `from..to`.
    pub(super) fn released(&mut self, start: u32, end: u32, from: u32, to: u32) {
        let (first, after) = (from.div_ceil(NODE_BITS), to / NODE_BITS);
        if first < after {
            clear_bits(&mut self.touched_nodes, first, after - first);
        }
        self.bounds.released(start, end, from, to);
    }
}

/// See [`super::bitmap::Bitmap::free_nodes`].
pub(super) struct FreeNodes<'b> {
    pub(super) touched: &'b [u32],
    /// The word that is being read, and which nodes of it are free and not yet told of.
    pub(super) word: u32,
    pub(super) free: u32,
}

impl Iterator for FreeNodes<'_> {
    type Item = (u32, u32);

    #[inline]
    fn next(&mut self) -> Option<(u32, u32)> {
        while self.free == 0 {
            self.word += 1;
            self.free = !*self.touched.get(self.word as usize)?;
        }
        let first = self.word * WORD_BITS + self.free.trailing_zeros();
        // The carry clears a run from its lowest bit on, and sets the bit behind it.
        let (carried, beyond) = self.free.overflowing_add(self.free & self.free.wrapping_neg());
        let mut behind = carried & !self.free;
        self.free &= carried;
        if beyond {
            // The run goes on in the next word, at whose end it may go on again.
            loop {
                self.word += 1;
                self.free = !*self.touched.get(self.word as usize)?;
                if self.free != u32::MAX {
                    break;
                }
            }
            behind = !self.free & (self.free + 1);
            self.free &= self.free + 1;
        }
        Some((first, self.word * WORD_BITS + behind.trailing_zeros()))
    }
}
