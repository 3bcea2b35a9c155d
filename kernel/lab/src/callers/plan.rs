// SPDX-License-Identifier: MIT OR Apache-2.0

//! The operations of the callers: equal for all, or those of the tasks of a recording.

use alloc::vec::Vec;

use super::tally::WaitFor;
use cma::Buffer;

/// An operation of a caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Op {
    /// Number of the buffer.
    pub tag: u32,
    /// Pages to allocate; 0 releases the buffer.
    pub pages: u32,
    /// Order of the alignment.
    pub align_order: u8,
    /// The number of the area.
    pub area: u8,
}

/// The operations of all callers.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Each makes equal requests, in the area of its number modulo the count of areas.
    Same {
        /// Pages of a request.
        pages: u32,
        /// Alignment of a request.
        align_order: u32,
        /// Requests of a caller.
        requests: u32,
        /// Buffers that a caller keeps; it releases the oldest if it has more.
        kept: usize,
    },
    /// Each caller does the operations of a task. A release waits until its buffer is allocated, by
    /// any caller.
    Tasks {
        /// The operations of each task, in their order.
        ops: Vec<Vec<Op>>,
        /// Number of tags.
        tags: u32,
    },
}

impl Plan {
    /// Returns the pages of the largest request.
    pub fn most_pages(&self) -> u32 {
        match self {
            Self::Same { pages, .. } => *pages,
            Self::Tasks { ops, .. } => ops.iter().flatten().map(|op| op.pages).max().unwrap_or(0),
        }
    }
}

/// State of a buffer.
pub(super) enum Held {
    /// Its request has not begun, or is running.
    NotYet,
    /// It is allocated.
    Here(Buffer),
    /// Its request failed, or it was released.
    Gone,
}

/// Progress of the callers, and their buffers.
pub(super) struct Progress<'p> {
    plan: &'p Plan,
    /// Operations that each caller has begun.
    begun: Vec<u32>,
    /// Buffers, by tag.
    pub held: Vec<Held>,
}

impl<'p> Progress<'p> {
    pub(super) fn new(plan: &'p Plan, callers: usize) -> Self {
        let tags = match plan {
            Plan::Same { requests, kept, .. } => callers * (kept + 1).min(*requests as usize),
            Plan::Tasks { tags, .. } => *tags as usize,
        };
        Self { plan, begun: alloc::vec![0; callers], held: (0..tags).map(|_| Held::NotYet).collect() }
    }

    /// Returns the next operation of a caller; `None` if it has done all.
    pub(super) fn next(&self, caller: usize, areas: usize) -> Option<Op> {
        let begun = self.begun[caller];
        match *self.plan {
            Plan::Same { pages, align_order, requests, kept } => {
                // The first `kept` requests only allocate; each later one is followed by a release
                // of the oldest buffer.
                let slots = (kept as u32 + 1).min(requests);
                let (area, align_order) = ((caller % areas) as u8, align_order as u8);
                let releases = requests.saturating_sub(kept as u32);
                let filling = requests - releases;
                let tag = |number: u32| caller as u32 * slots + number % slots.max(1);
                if begun < filling {
                    return Some(Op { tag: tag(begun), pages, align_order, area });
                }
                let number = begun - filling;
                (number < 2 * releases).then(|| match number % 2 {
                    0 => Op { tag: tag(filling + number / 2), pages, align_order, area },
                    _ => Op { tag: tag(number / 2), pages: 0, align_order, area },
                })
            }
            Plan::Tasks { ref ops, .. } => ops[caller].get(begun as usize).copied(),
        }
    }

    /// Returns what an operation has to wait for.
    pub(super) fn waits_for(&self, op: Op) -> Option<WaitFor> {
        let not_yet = matches!(self.held[op.tag as usize], Held::NotYet);
        (op.pages == 0 && not_yet).then_some(WaitFor::Buffer)
    }

    /// Begins the next operation of a caller.
    pub(super) fn begin(&mut self, caller: usize, op: Op) {
        self.begun[caller] += 1;
        if op.pages > 0 {
            self.held[op.tag as usize] = Held::NotYet;
        }
    }
}
