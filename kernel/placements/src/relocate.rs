// SPDX-License-Identifier: MIT OR Apache-2.0

//! Any placement, and buffers that make room where it finds none.

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

/// The usual rule for requests that find room.
const USUAL: &str = "first-fit";

/// Places as another rule does; where that has no room, buffers are moved by whoever holds the
/// area.
pub struct Relocate {
    rule: Box<dyn Placement>,
}

impl Relocate {
    /// Reads the name of a rule without parameters, the usual one where there is nothing.
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
