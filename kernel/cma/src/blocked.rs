// SPDX-License-Identifier: MIT OR Apache-2.0

//! The description of a page that blocks a contiguous allocation: its frame, its owner, the reason,
//! and the phase in which it was found. The code that empties ranges makes it; the errors of
//! [`CmaError`](super::CmaError) contain it.

use core::fmt;

use units::Pfn;

/// The phases of a contiguous allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Searching room in the bitmap.
    Search,
    /// Checking for pages that cannot be moved, and isolating the pageblocks.
    Isolate,
    /// Emptying the per-CPU lists and the LRU batch.
    Drain,
    /// Moving pages.
    Migrate,
    /// Dropping clean pages; with `cma_use=first`, also freeing memory before that.
    Reclaim,
    /// Testing that the range is isolated and free.
    Test,
    /// Taking the range off the free lists.
    Grab,
    /// Making the pageblocks MIGRATE_CMA again, after a failure also taking back what was done.
    Undo,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 8] =
        [Self::Search, Self::Isolate, Self::Drain, Self::Migrate, Self::Reclaim, Self::Test, Self::Grab, Self::Undo];

    /// Returns its name in records and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Isolate => "isolate",
            Self::Drain => "drain",
            Self::Migrate => "migrate",
            Self::Reclaim => "reclaim",
            Self::Test => "test",
            Self::Grab => "grab",
            Self::Undo => "undo",
        }
    }
}

/// Owner of a page that blocks an allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// A kernel allocation, or an unnamed owner.
    Kernel,
    /// A process, by its number.
    Process(u32),
    /// The page cache, with the page's number in the source.
    Cache(u32),
    /// The user that pinned it, by its name.
    Pin(&'static str),
    /// No owner: it is free, but not on the right list.
    Nobody,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel => f.write_str("the kernel"),
            Self::Process(id) => write!(f, "process {id}"),
            Self::Cache(page) => write!(f, "page {page} of the cache"),
            Self::Pin(by) => f.write_str(by),
            Self::Nobody => f.write_str("nobody"),
        }
    }
}

/// Why a page blocks an allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// It is not a movable page.
    Unmovable,
    /// It is pinned.
    Pinned,
    /// There was no page to move it to.
    NoTarget,
    /// It was still in use, or not free, after everything should have been moved.
    StillInUse,
    /// Another allocation has isolated the pageblock that begins with it.
    Isolated,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unmovable => "it cannot be moved",
            Self::Pinned => "it is pinned",
            Self::NoTarget => "there is no page to move it to",
            Self::StillInUse => "it was still in use",
            Self::Isolated => "another allocation has isolated its pageblock",
        })
    }
}

/// The first page that blocks an allocation: its frame, its owner, the reason and the phase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Blocked {
    /// The page.
    pub frame: Pfn,
    /// Its owner.
    pub owner: Owner,
    /// Why it is still there.
    pub why: Why,
    /// The phase of the allocation.
    pub phase: Phase,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frame, owner, why, phase } = self;
        write!(f, "the page at pfn {:#x}, of {owner}, is in the way: {why} ({})", frame.0, phase.name())
    }
}

/// Why a range could not be allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// A page blocks it: -EBUSY; another range may succeed.
    Busy(Blocked),
    /// There is no memory to move its pages to: -ENOMEM; no other range is tried.
    NoMemory(Blocked),
}

impl Refused {
    /// Returns the page that blocked it.
    pub const fn blocked(self) -> Blocked {
        match self {
            Self::Busy(blocked) | Self::NoMemory(blocked) => blocked,
        }
    }
}
