// SPDX-License-Identifier: MIT OR Apache-2.0

//! A placement at the highest place that fits.

use super::{Entry, plain};
use placement::bitmap::Bitmap;
use placement::{Placement, Request};

pub(super) const ENTRIES: &[Entry] =
    &[Entry { name: "last-fit", parameters: "", summary: "at the highest place that fits", make: plain::<LastFit> }];

#[derive(Default)]
struct LastFit;

impl Placement for LastFit {
    fn name(&self) -> &'static str {
        "last-fit"
    }

    fn place(&self, map: &Bitmap, request: &Request, start: u32) -> Option<u32> {
        let lowest = map.first_fit(request, start);
        core::iter::successors(lowest, |place| map.first_fit(request, place + 1)).last()
    }
}
