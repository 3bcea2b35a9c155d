// SPDX-License-Identifier: MIT OR Apache-2.0

//! Any placement, with buffers that are moved if it finds no room.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use super::{Entry, parse};
use placement::bitmap::Bitmap;
use placement::{Placement, Request};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "relocate",
    parameters: ":first-fit",
    summary: "as the rule that it names; where that finds no room, buffers whose owners let them move make some",
    make: |text| Some(Box::new(Relocate::parse(text)?)),
}];

/// The default rule for requests that find room.
const USUAL: &str = "first-fit";

/// Places requests by another rule; if that finds no room, the caller moves buffers.
pub struct Relocate {
    rule: Box<dyn Placement>,
}

impl Relocate {
    /// Reads a rule that does not relocate, with its parameters; `None` gives the default.
    pub(super) fn parse(text: Option<&str>) -> Option<Self> {
        let rule = parse(text.unwrap_or(USUAL)).ok()?;
        (!rule.relocates()).then_some(Self { rule })
    }
}

impl Placement for Relocate {
    fn name(&self) -> &'static str {
        "relocate"
    }

    fn label(&self) -> String {
        let rule = self.rule.label();
        if rule == USUAL { self.name().into() } else { format!("{}:{rule}", self.name()) }
    }

    fn place(&self, map: &Bitmap, request: &Request, start: u32) -> Option<u32> {
        self.rule.place(map, request, start)
    }

    fn relocates(&self) -> bool {
        true
    }

    fn by_length(&self) -> bool {
        self.rule.by_length()
    }

    fn lowest_first(&self) -> bool {
        self.rule.lowest_first()
    }
}
