// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where a request goes: given the bitmap, a placement names the bit that a buffer shall begin at.
//!
//! A placement sees the bitmap and the request. First-fit is Linux's
//! (`bitmap_find_next_zero_area_off`, `lib/bitmap.c`) and the default; its peers are the crate
//! `placements`.
//!
//! What holds true: a placement answers only bits that the request fits at, and with `start` at 0
//! it finds one wherever its rule allows any. Above 0 it looks only from there: that is how a
//! caller goes on behind a candidate that was busy.
//!
//! The way of the data: [`bitmap`] keeps which bits are taken, and for a large one a summary of
//! where long runs can be → `search` finds the lowest place that fits, exactly, without reading
//! what the summary rules out → a rule puts it to use ([`FirstFit`], or another [`Placement`]).
//!
//! Nothing here knows a page, an area or an allocator: a bit stands for whatever the caller counts.
//!
//! # Example
//! Two requests in an empty area of 2048 pages, and the one that no longer fits behind them:
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

/// The alignment a driver's request of `pages` pages gets: its order, capped at [`CMA_ALIGNMENT`]
/// (`dma_alloc_contiguous`).
pub const fn align_order_of(pages: u32) -> u32 {
    let order = u32::BITS - pages.saturating_sub(1).leading_zeros();
    if order > CMA_ALIGNMENT { CMA_ALIGNMENT } else { order }
}

/// What is looked for, in bits of the area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// How many bits; at least 1.
    pub bits: u32,
    /// The alignment in bits less one: a power of two less one.
    pub align_mask: u32,
    /// By how much the area's first bit lies above an aligned address, in bits.
    pub align_offset: u32,
}

impl Request {
    /// The first bit at or after `bit` that lies on an aligned address; `None` where that is beyond
    /// any bitmap.
    #[inline]
    pub fn align_up(&self, bit: u32) -> Option<u32> {
        let address = bit.checked_add(self.align_offset)?.checked_add(self.align_mask)?;
        Some((address & !self.align_mask) - self.align_offset)
    }

    /// The last bit at or before `bit` that lies on an aligned address; `None` where that is before
    /// the bitmap.
    #[inline]
    pub fn align_down(&self, bit: u32) -> Option<u32> {
        let address = bit.checked_add(self.align_offset)?;
        (address & !self.align_mask).checked_sub(self.align_offset)
    }
}

/// A rule that places requests.
pub trait Placement {
    /// What `placement=` calls it.
    fn name(&self) -> &'static str;

    /// Its name with its parameters, where they are not the usual ones.
    fn label(&self) -> String {
        self.name().into()
    }

    /// The bit at or after `start` where the request goes, or `None` where the rule has no room for
    /// it there.
    fn place(&self, map: &Bitmap, request: &Request, start: u32) -> Option<u32>;

    /// True for the rule that Linux has.
    fn is_linux(&self) -> bool {
        false
    }

    /// True where a request that finds no room has others moved by whoever holds the area.
    fn relocates(&self) -> bool {
        false
    }

    /// True where the length of free runs decides: the bitmap then keeps an index of them
    /// ([`Bitmap::keep_runs`]).
    fn by_length(&self) -> bool {
        false
    }

    /// True where candidates come lowest first: once all from some bit on were busy, none before it
    /// is left to try.
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
