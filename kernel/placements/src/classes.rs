// SPDX-License-Identifier: MIT OR Apache-2.0

//! The article's two remedies: zones where requests begin their search, and zones with hard
//! borders.

use alloc::boxed::Box;
use alloc::string::String;

use super::{Entry, Shares};
use placement::bitmap::Bitmap;
use placement::{Placement, Request};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "zoned",
        parameters: ":1:5:9",
        summary: "first-fit from 0 up to 3 pages, from 1/15 up to 23, from 6/15 above; then once more from 0 (the article)",
        make: |text| Some(Box::new(Zoned(Shares::parse_or_usual(text)?))),
    },
    Entry {
        name: "size-classes",
        parameters: ":1:5:9",
        summary: "first-fit inside 1/15, 5/15 or 9/15 of the area by the same three sizes, and nowhere else",
        make: |text| Some(Box::new(SizeClasses(Shares::parse_or_usual(text)?))),
    },
];

/// Places requests by first-fit from the beginning of the zone for their size to the end of the
/// area, then once more from 0.
pub struct Zoned(pub(super) Shares);

impl Placement for Zoned {
    fn name(&self) -> &'static str {
        "zoned"
    }

    fn label(&self) -> String {
        self.0.label(self.name())
    }

    fn place(&self, map: &Bitmap, request: &Request, start: u32) -> Option<u32> {
        if start != 0 {
            return map.first_fit(request, start);
        }
        let zone = self.0.zone(map, request.bits);
        map.first_fit(request, zone.start).or_else(|| map.first_fit(request, 0))
    }
}

/// Places requests by first-fit inside the zone for their size, and nowhere else.
pub struct SizeClasses(pub(super) Shares);

impl Placement for SizeClasses {
    fn name(&self) -> &'static str {
        "size-classes"
    }

    fn label(&self) -> String {
        self.0.label(self.name())
    }

    fn place(&self, map: &Bitmap, request: &Request, start: u32) -> Option<u32> {
        let zone = self.0.zone(map, request.bits);
        // If the lowest place crosses the border, no place is within it.
        map.first_fit(request, start.max(zone.start)).filter(|bit| bit + request.bits <= zone.end)
    }

    fn lowest_first(&self) -> bool {
        true
    }
}
