// SPDX-License-Identifier: MIT OR Apache-2.0

//! A stack: buffers are allocated one after another, and released in reverse order.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use super::kinds::{Ask, Entry, Load, Stream};
use crate::held::Held;
use crate::help::Help;
use crate::record::Record;
use crate::rng::Rng;

pub(super) const ENTRIES: &[Entry] = &[Entry {
    help: Help {
        name: "stack",
        usage: "[depth=64]",
        summary: "makes buffers of one page, and gives the last one back first",
        details: "The stack grows to depth= buffers and shrinks to none, over and over.",
        example: "stack depth=8 until=ops ops=2000",
    },
    read: |keys, _| Ok(Arc::new(Stack { depth: keys.count("depth", 64, 1, 4096)? })),
}];

/// Parameters of the load.
#[derive(Clone, Copy, Debug)]
struct Stack {
    depth: u32,
}

impl Load for Stack {
    fn name(&self) -> &'static str {
        "stack"
    }

    fn slots(&self, _area_pages: u32) -> u32 {
        self.depth
    }

    fn start(&self, _area_pages: u32, _rng: Rng) -> Option<Box<dyn Stream>> {
        Some(Box::new(Moves { depth: self.depth as usize, steps: 0 }))
    }

    fn record(&self, record: Record) -> Record {
        record.number("depth", self.depth)
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stack depth={}", self.depth)
    }
}

/// A running stack load.
struct Moves {
    depth: usize,
    steps: usize,
}

impl Stream for Moves {
    fn next(&mut self, _: &Held) -> Ask {
        let step = self.steps;
        self.steps = (step + 1) % (2 * self.depth);
        // Up through all slots, and down again: empty slots are filled, full ones released.
        Ask { slot: if step < self.depth { step } else { 2 * self.depth - 1 - step }, pages: 1 }
    }
}
