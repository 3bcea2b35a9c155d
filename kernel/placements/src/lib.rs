// SPDX-License-Identifier: MIT OR Apache-2.0

//! The placements, by name: alternatives to first-fit, and the table that `placement=` reads.
//!
//! Each rule is a file with an entry in [`PLACEMENTS`]. A rule sees the present bitmap and the
//! request, no future requests, and of the past at most the end of the last buffer (next-fit).
//!
//! Invariants: those of a [`Placement`] in [`placement`]; and each rule has a plain model that the
//! tests compare it with.
//!
//! # Example
//! ```
//! use placement::Request;
//! use placement::bitmap::Bitmap;
//! use placements::parse;
//!
//! let mut map = Bitmap::new(2048);
//! let rule = parse("best-fit").unwrap();
//! for (bits, align_mask, at) in [(51, 63, Some(0)), (300, 255, Some(256)), (1600, 0, None), (200, 0, Some(51))] {
//!     let place = rule.place(&map, &Request { bits, align_mask, align_offset: 0 }, 0);
//!     assert_eq!(place, at);
//!     if let Some(bit) = place {
//!         map.set(bit, bits);
//!     }
//! }
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod parameters;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;

use placement::Placement;
use units::table;

pub use classes::{SizeClasses, Zoned};
pub use fits::{BestFit, NextFit, WorstFit};
pub use parameters::{MAX_SHARE, Shares};
pub use relocate::Relocate;
pub use spare_heads::{LOOK_NODES, SpareHeads};
pub use two_ended::TwoEnded;

/// An entry of the table that `placement=` reads.
pub struct Entry {
    /// Name of the placement.
    pub name: &'static str,
    /// Its parameters, with the default values; empty if it has none.
    pub parameters: &'static str,
    /// Description of the place of a request.
    pub summary: &'static str,
    /// Makes one from its parameters, or the default ones. Returns `None` if they are invalid.
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

/// Reason why a text names no placement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadPlacement {
    /// No placement has this name.
    Unknown,
    /// The placement has other parameters, or none: name and parameters of the entry.
    Parameters(&'static str, &'static str),
}

/// Returns the placement for `NAME` or `NAME:PARAMETERS`.
///
/// # Errors
/// See [`BadPlacement`].
pub fn parse(text: &str) -> Result<Box<dyn Placement>, BadPlacement> {
    let (name, parameters) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
    let entry = PLACEMENTS.iter().find(|entry| entry.name == name).ok_or(BadPlacement::Unknown)?;
    (entry.make)(parameters).ok_or(BadPlacement::Parameters(entry.name, entry.parameters))
}
