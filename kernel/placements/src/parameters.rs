// SPDX-License-Identifier: MIT OR Apache-2.0

//! The parameters of placements, as they stand behind the name.

use alloc::format;
use alloc::string::String;
use core::ops::Range;

use placement::bitmap::Bitmap;

/// The largest share that a class of sizes can be given.
pub const MAX_SHARE: u32 = 10_000;

/// Pages above which a request is no longer small, and from which on it is large (the article's
/// classes).
const SMALL: u32 = 3;
const LARGE: u32 = 24;

/// How an area is divided among small (up to 3 pages), middle (up to 23) and large requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shares([u32; 3]);

impl Shares {
    /// The article's.
    pub const USUAL: Self = Self([1, 5, 9]);

    /// Reads `A:B:C`, the usual ones where there is nothing; `None` where that is no division.
    pub(super) fn parse_or_usual(text: Option<&str>) -> Option<Self> {
        let Some(text) = text else { return Some(Self::USUAL) };
        let mut words = text.split(':');
        let mut shares = [0; 3];
        for share in &mut shares {
            *share = whole(words.next()?, MAX_SHARE)?;
        }
        (words.next().is_none() && shares != [0; 3]).then_some(Self(shares))
    }

    /// The bits of the class that a request of `bits` bits belongs to.
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

    /// A placement's name with these, where they are not the usual ones.
    pub(super) fn label(self, name: &str) -> String {
        let Self([small, middle, large]) = self;
        if self == Self::USUAL { name.into() } else { format!("{name}:{small}:{middle}:{large}") }
    }
}

/// A number of digits only, up to a limit.
pub(super) fn whole(text: &str, most: u32) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&value| digits && value <= most)
}
