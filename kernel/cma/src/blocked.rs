// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a contiguous allocation says of a page that was in its way: which, whose, why it stayed,
//! and in which phase that was found. Whoever empties ranges fills it in; the errors of
//! [`CmaError`](super::CmaError) carry it.

use core::fmt;

use units::Pfn;

/// The phases of a contiguous allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Looking for room in the bitmap.
    Search,
    /// Looking for pages that will not go, and taking the pageblocks from everybody.
    Isolate,
    /// Emptying the per-CPU lists and batches.
    Drain,
    /// Moving pages.
    Migrate,
    /// Dropping clean pages, and with `cma_use=first` freeing memory before.
    Reclaim,
    /// Looking whether the range is isolated and free.
    Test,
    /// Taking it off the lists.
    Grab,
    /// Making the pageblocks MIGRATE_CMA again, and after a failure putting everything back.
    Undo,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 8] =
        [Self::Search, Self::Isolate, Self::Drain, Self::Migrate, Self::Reclaim, Self::Test, Self::Grab, Self::Undo];

    /// Its name, as records and messages have it.
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

/// Whose a page in the way is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// A kernel allocation, or somebody who said nothing.
    Kernel,
    /// A process, by its number.
    Process(u32),
    /// The page cache: which page of the source.
    Cache(u32),
    /// Whoever pinned it.
    Pin(&'static str),
    /// Nobody: it is free, but not where it should be.
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

/// Why a page could not get out of the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// It is no page that can be moved.
    Unmovable,
    /// It is pinned.
    Pinned,
    /// There was no page to move it to.
    NoTarget,
    /// It was in use, or not free, when everything should have been out.
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

/// The first page in the way: which, whose, why, and in which phase that was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Blocked {
    /// The page.
    pub frame: Pfn,
    /// Whose it is.
    pub owner: Owner,
    /// Why it is still there.
    pub why: Why,
    /// Where the allocation was.
    pub phase: Phase,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frame, owner, why, phase } = self;
        write!(f, "the page at pfn {:#x}, of {owner}, did not go: {why} ({})", frame.0, phase.name())
    }
}

/// Why a range could not be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// A page is in the way: -EBUSY, another range may do.
    Busy(Blocked),
    /// There is no memory to empty it into: -ENOMEM, and no other range will do.
    NoMemory(Blocked),
}

impl Refused {
    /// What was in the way.
    pub const fn blocked(self) -> Blocked {
        match self {
            Self::Busy(blocked) | Self::NoMemory(blocked) => blocked,
        }
    }
}
