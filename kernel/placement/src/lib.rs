// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where a request goes: given the bitmap, a placement names the bit that a buffer shall begin at.
//!
//! A placement sees the present bitmap and the request, nothing of the future, and of the past at most where it stopped
//! (next-fit). First-fit is Linux's (`bitmap_find_next_zero_area_off`, `lib/bitmap.c`) and the default; the others are its
//! peers, chosen by name.
//!
//! What holds true: a placement answers only bits that the request fits at, and with `start` at 0 it finds one wherever
//! its rule allows any. Above 0 it looks only from there: that is how a caller goes on behind a candidate that was busy.
//!
//! The way of the data: [`bitmap`] keeps which bits are taken, and for a large one a summary of where long runs can be →
//! `search` finds the lowest place that fits, exactly, without reading what the summary rules out → a rule puts it to use
//! ([`FirstFit`] and its peers).
//!
//! Nothing here knows a page, an area or an allocator: a bit stands for whatever the caller counts.
//!
//! # Example
//! Two requests in an empty area of 2048 pages, and the one that no longer fits behind them:
//! ```
//! use placement::bitmap::Bitmap;
//! use placement::{Request, parse};
//!
//! let mut map = Bitmap::new(2048);
//! let rule = parse("best-fit").unwrap();
//! for (bits, align_mask, at) in [(51, 63, Some(0)), (300, 255, Some(256)), (1600, 0, None)] {
//!     let place = rule.place(&map, &Request { bits, align_mask, align_offset: 0 }, 0);
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

mod parameters;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::string::String;

use bitmap::Bitmap;
use units::table;

pub use classes::{SizeClasses, Zoned};
pub use fits::{BestFit, FirstFit, NextFit, WorstFit};
pub use parameters::{MAX_SHARE, Shares};
pub use relocate::Relocate;
pub use spare_heads::{LOOK_NODES, SpareHeads};
pub use two_ended::TwoEnded;

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
    /// The first bit at or after `bit` that lies on an aligned address; `None` where that is beyond any bitmap.
    #[inline]
    pub fn align_up(&self, bit: u32) -> Option<u32> {
        let address = bit.checked_add(self.align_offset)?.checked_add(self.align_mask)?;
        Some((address & !self.align_mask) - self.align_offset)
    }

    /// The last bit at or before `bit` that lies on an aligned address; `None` where that is before the bitmap.
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

    /// The bit at or after `start` where the request goes, or `None` where the rule has no room for it there.
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

    /// True where candidates come lowest first: once all from some bit on were busy, none before it is left to try.
    fn lowest_first(&self) -> bool {
        false
    }
}

/// A placement as `placement=` knows it.
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Its parameters, with the usual values; empty if it has none.
    pub parameters: &'static str,
    /// Where it puts a request.
    pub summary: &'static str,
    /// Makes one from its parameters, the usual ones if there are none; `None` if they are no good.
    pub make: fn(Option<&str>) -> Option<Box<dyn Placement>>,
}

table! {
    /// Every placement, the default first.
    pub PLACEMENTS: [Entry] =
        fits,
        classes,
        two_ended,
        spare_heads,
        relocate,
        #[cfg(test)] example,
}

fn plain<P: Placement + Default + 'static>(parameters: Option<&str>) -> Option<Box<dyn Placement>> {
    parameters.is_none().then(|| Box::new(P::default()) as Box<dyn Placement>)
}

/// Why a text names no placement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadPlacement {
    /// There is none of that name.
    Unknown,
    /// It takes other parameters: those of the entry, or none.
    Parameters(&'static str, &'static str),
}

/// The placement that `NAME` or `NAME:PARAMETERS` means.
///
/// # Errors
/// See [`BadPlacement`].
pub fn parse(text: &str) -> Result<Box<dyn Placement>, BadPlacement> {
    let (name, parameters) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
    let entry = PLACEMENTS.iter().find(|entry| entry.name == name).ok_or(BadPlacement::Unknown)?;
    (entry.make)(parameters).ok_or(BadPlacement::Parameters(entry.name, entry.parameters))
}
