// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the callers do: each the same, or each what a task of a recording did.

use alloc::vec::Vec;

use super::tally::WaitFor;
use cma::Buffer;

/// What a caller does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Op {
    /// Which buffer.
    pub tag: u32,
    /// Pages that are allocated for it; 0: it is given back.
    pub pages: u32,
    /// Order of the alignment.
    pub align_order: u8,
    /// The number of the area.
    pub area: u8,
}

/// What the callers do.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Each makes the same requests, of the area of its number modulo their count.
    Same {
        /// Pages of a request.
        pages: u32,
        /// Alignment of a request.
        align_order: u32,
        /// Requests of a caller.
        requests: u32,
        /// Buffers that a caller keeps; the oldest goes when it has more.
        kept: usize,
    },
    /// Each caller does what a task did. A buffer is given back when it is there, whoever
    /// allocated it.
    Tasks {
        /// The operations of each task, in their order.
        ops: Vec<Vec<Op>>,
        /// Tags are below this.
        tags: u32,
    },
}

impl Plan {
    /// Pages of the largest request.
    pub fn most_pages(&self) -> u32 {
        match self {
            Self::Same { pages, .. } => *pages,
            Self::Tasks { ops, .. } => ops.iter().flatten().map(|op| op.pages).max().unwrap_or(0),
        }
    }
}

/// A buffer of a plan.
pub(super) enum Held {
    /// Its request was not made yet, or is under way.
    NotYet,
    /// It is there.
    Here(Buffer),
    /// Its request failed, or it was given back.
    Gone,
}

/// How far the callers have come, and what they hold.
pub(super) struct Progress<'p> {
    plan: &'p Plan,
    /// Operations that each caller has begun.
    begun: Vec<u32>,
    /// By tag.
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

    /// What a caller does next; `None` where it has done everything.
    pub(super) fn next(&self, caller: usize, areas: usize) -> Option<Op> {
        let begun = self.begun[caller];
        match *self.plan {
            Plan::Same { pages, align_order, requests, kept } => {
                // It allocates kept + 1 buffers, and from then on gives the oldest back before
                // each request and at the end.
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

    /// What the caller has to wait for before it does that.
    pub(super) fn waits_for(&self, op: Op) -> Option<WaitFor> {
        let not_yet = matches!(self.held[op.tag as usize], Held::NotYet);
        (op.pages == 0 && not_yet).then_some(WaitFor::Buffer)
    }

    /// A caller begins its next operation.
    pub(super) fn begin(&mut self, caller: usize, op: Op) {
        self.begun[caller] += 1;
        if op.pages > 0 {
            self.held[op.tag as usize] = Held::NotYet;
        }
    }
}
