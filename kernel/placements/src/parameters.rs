// SPDX-License-Identifier: MIT OR Apache-2.0

//! The parameters of placements, which follow the name.

use alloc::format;
use alloc::string::String;
use core::ops::Range;

use placement::bitmap::Bitmap;

/// The largest share of a class of sizes.
pub const MAX_SHARE: u32 = 10_000;

/// Largest small request and smallest large request in pages (the article's classes).
const SMALL: u32 = 3;
const LARGE: u32 = 24;

/// Division of an area among small (up to 3 pages), middle (up to 23) and large requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shares([u32; 3]);

impl Shares {
    /// The article's shares.
    pub const USUAL: Self = Self([1, 5, 9]);

    /// Reads `A:B:C`; `None` gives the default. Returns `None` if the text is no such division.
    pub(super) fn parse_or_usual(text: Option<&str>) -> Option<Self> {
        let Some(text) = text else { return Some(Self::USUAL) };
        let mut words = text.split(':');
        let mut shares = [0; 3];
        for share in &mut shares {
            *share = whole(words.next()?, MAX_SHARE)?;
        }
        (words.next().is_none() && shares != [0; 3]).then_some(Self(shares))
    }

    /// Returns the bits of the class of a request of `bits` bits.
    pub(super) fn zone(self, map: &Bitmap, bits: u32) -> Range<u32> {
        let Self([small, middle, large]) = self;
        let (before, own) = match bits {
            ..=SMALL => (0, small),
            LARGE.. => (small + middle, large),
            _ => (small, middle),
        };
        let border = |share: u32| {
            // At most the number of bits, which is a u32.
            (u64::from(map.bits()) * u64::from(share) / u64::from(small + middle + large)) as u32
        };
        border(before)..border(before + own)
    }

    /// Returns a placement's name with these shares; without them if they are the default.
    pub(super) fn label(self, name: &str) -> String {
        let Self([small, middle, large]) = self;
        if self == Self::USUAL { name.into() } else { format!("{name}:{small}:{middle}:{large}") }
    }
}

/// Reads a number of digits only, up to `most`.
pub(super) fn whole(text: &str, most: u32) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&value| digits && value <= most)
}
