// SPDX-License-Identifier: MIT OR Apache-2.0

//! Placements: given the bitmap and a request, a placement names the bit that the buffer begins at.
//!
//! First-fit is Linux's (`bitmap_find_next_zero_area_off`, `lib/bitmap.c`) and the default; the
//! crate `placements` has others.
//!
//! Invariants: a placement returns only bits that the request fits at. With `start` 0 it finds one
//! if its rule allows any; with a higher `start` it searches only from there on, which is how a
//! caller continues after a busy candidate.
//!
//! Data flow: [`bitmap`] keeps which bits are taken and, if it is large, a summary of where long
//! free runs can begin → `search` finds the lowest place that fits, exactly, without reading what
//! the summary rules out → a rule uses it ([`FirstFit`], or another [`Placement`]).
//!
//! A bit stands for whatever the caller counts: the crate has no notion of pages, areas or
//! allocators.
//!
//! # Example
//! Two requests in an empty area of 2048 pages, and a third that does not fit after them:
//! ```
//! use placement::bitmap::Bitmap;
//! use placement::{FirstFit, Placement, Request};
//!
//! let mut map = Bitmap::new(2048);
//! for (bits, align_mask, at) in [(51, 63, Some(0)), (300, 255, Some(256)), (1600, 0, None)] {
//!     let place = FirstFit.place(&map, &Request { bits, align_mask, align_offset: 0 }, 0);
//!     assert_eq!(place, at);
//!     if let Some(bit) = place {
//!         map.set(bit, bits);
//!     }
//! }
//! assert_eq!((map.free(), map.longest_free_run()), (2048 - 351, 2048 - 556));
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod bitmap;
mod bounds;
mod group;
mod last_fit;
mod node;
mod runs;
mod scan;
mod search;
mod summary;
mod words;

#[cfg(test)]
mod tests {
    pub(crate) mod reads;
}

use alloc::string::String;

use bitmap::Bitmap;

pub use node::NODE_BITS;
pub use runs::Wanted;
pub use words::SLOTS;

/// The largest alignment order that a request gets from its size (Linux's `CONFIG_CMA_ALIGNMENT`).
pub const CMA_ALIGNMENT: u32 = 8;

/// Returns the alignment order of a driver's request for `pages` pages: their order, capped at
/// [`CMA_ALIGNMENT`] (`dma_alloc_contiguous`).
pub const fn align_order_of(pages: u32) -> u32 {
    let order = u32::BITS - pages.saturating_sub(1).leading_zeros();
    if order > CMA_ALIGNMENT { CMA_ALIGNMENT } else { order }
}

/// A request for free bits of the area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// Number of bits; at least 1.
    pub bits: u32,
    /// The alignment in bits less one: a power of two less one.
    pub align_mask: u32,
    /// Distance from an aligned address up to the area's first bit, in bits; at most `align_mask`.
    pub align_offset: u32,
}

impl Request {
    /// Returns the first bit >= `bit` on an aligned address; `None` if that is beyond any bitmap.
    #[inline]
    pub fn align_up(&self, bit: u32) -> Option<u32> {
        let address = bit.checked_add(self.align_offset)?.checked_add(self.align_mask)?;
        Some((address & !self.align_mask) - self.align_offset)
    }

    /// Returns the last bit <= `bit` on an aligned address; `None` if that is before the bitmap.
    #[inline]
    pub fn align_down(&self, bit: u32) -> Option<u32> {
        let address = bit.checked_add(self.align_offset)?;
        (address & !self.align_mask).checked_sub(self.align_offset)
    }
}

/// A rule that places requests.
pub trait Placement {
    /// Returns the rule's name in `placement=`.
    fn name(&self) -> &'static str;

    /// Returns the name, with the rule's parameters if they are not the defaults.
    fn label(&self) -> String {
        self.name().into()
    }

    /// Returns the bit >= `start` where the request goes; `None` if the rule has no room for it
    /// there.
    fn place(&self, map: &Bitmap, request: &Request, start: u32) -> Option<u32>;

    /// True for Linux's rule.
    fn is_linux(&self) -> bool {
        false
    }

    /// True if the holder of the area relocates buffers for a request that finds no room.
    fn relocates(&self) -> bool {
        false
    }

    /// True if the rule chooses by the length of free runs: the bitmap then keeps an index of them
    /// ([`Bitmap::keep_runs`]).
    fn by_length(&self) -> bool {
        false
    }

    /// True if candidates come lowest first: once all from a bit on were busy, no candidate before
    /// it is left to try.
    fn lowest_first(&self) -> bool {
        false
    }
}

/// The lowest place that fits: Linux's rule (`cma_alloc`, `mm/cma.c`).
#[derive(Default)]
pub struct FirstFit;

impl Placement for FirstFit {
    fn name(&self) -> &'static str {
        "first-fit"
    }

    fn place(&self, map: &Bitmap, request: &Request, start: u32) -> Option<u32> {
        map.first_fit(request, start)
    }

    fn is_linux(&self) -> bool {
        true
    }

    fn lowest_first(&self) -> bool {
        true
    }
}
