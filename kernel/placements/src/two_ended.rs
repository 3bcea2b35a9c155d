// SPDX-License-Identifier: MIT OR Apache-2.0

//! Large requests at one end of the area, small ones at the other.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use super::Entry;
use super::parameters::whole;
use placement::bitmap::Bitmap;
use placement::{Placement, Request};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "two-ended",
    parameters: ":24",
    summary: "requests of 24 pages and more from the low end, smaller ones from the high end",
    make: |text| Some(Box::new(TwoEnded::parse(text)?)),
}];

/// The default of the smallest large request, in pages: that of the article.
const USUAL: u32 = 24;

/// Places requests of at least `large` pages as low as possible, others as high as possible.
pub struct TwoEnded {
    large: u32,
}

impl TwoEnded {
    /// Reads `large`; `None` gives the default.
    pub(super) fn parse(text: Option<&str>) -> Option<Self> {
        Some(Self { large: text.map_or(Some(USUAL), |text| whole(text, u32::MAX))? })
    }
}

impl Placement for TwoEnded {
    fn name(&self) -> &'static str {
        "two-ended"
    }

    fn label(&self) -> String {
        if self.large == USUAL { self.name().into() } else { format!("{}:{}", self.name(), self.large) }
    }

    fn place(&self, map: &Bitmap, request: &Request, start: u32) -> Option<u32> {
        if request.bits >= self.large { map.first_fit(request, start) } else { map.last_fit(request, start) }
    }

    fn by_length(&self) -> bool {
        true
    }
}
