// SPDX-License-Identifier: MIT OR Apache-2.0

//! The four classical fits: by address, by the end of the last buffer, and by the length of the
//! free run.

use core::cell::Cell;

use super::{Entry, plain};
use placement::bitmap::Bitmap;
use placement::{FirstFit, Placement, Request, Wanted};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "first-fit",
        parameters: "",
        summary: "at the lowest place that fits (Linux)",
        make: plain::<FirstFit>,
    },
    Entry {
        name: "next-fit",
        parameters: "",
        summary: "at the next place after the last buffer, from 0 after the end",
        make: plain::<NextFit>,
    },
    Entry {
        name: "best-fit",
        parameters: "",
        summary: "into the shortest free run that holds it",
        make: plain::<BestFit>,
    },
    Entry { name: "worst-fit", parameters: "", summary: "into the longest free run", make: plain::<WorstFit> },
];

/// Places requests at the first place that fits after the last buffer; if there is none, from 0.
#[derive(Default)]
pub struct NextFit {
    /// End of the last buffer that was placed.
    next: Cell<u32>,
}

impl Placement for NextFit {
    fn name(&self) -> &'static str {
        "next-fit"
    }

    fn place(&self, map: &Bitmap, request: &Request, start: u32) -> Option<u32> {
        let found = match start {
            0 => map.first_fit(request, self.next.get()).or_else(|| map.first_fit(request, 0)),
            _ => map.first_fit(request, start),
        };
        if let Some(bit) = found {
            self.next.set(bit + request.bits);
        }
        found
    }
}

/// Places requests in the lowest of the shortest free runs that hold them, at its first aligned
/// bit.
#[derive(Default)]
pub struct BestFit;

impl Placement for BestFit {
    fn name(&self) -> &'static str {
        "best-fit"
    }

    fn place(&self, map: &Bitmap, request: &Request, start: u32) -> Option<u32> {
        map.fit_by_length(request, start, Wanted::Shortest)
    }

    fn by_length(&self) -> bool {
        true
    }
}

/// Places requests in the lowest of the longest free runs that hold them, at its first aligned bit.
#[derive(Default)]
pub struct WorstFit;

impl Placement for WorstFit {
    fn name(&self) -> &'static str {
        "worst-fit"
    }

    fn place(&self, map: &Bitmap, request: &Request, start: u32) -> Option<u32> {
        map.fit_by_length(request, start, Wanted::Longest)
    }

    fn by_length(&self) -> bool {
        true
    }
}
