// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the allocator may do to the memory behind its descriptors: poison it.
//!
//! The kernel crate never forms an address. Whoever can (the boot crate over its identity mapping,
//! a test over a vector) implements [`Poison`]; with `check=on` every page is filled when it
//! becomes free and verified when it is handed out. The first write to free memory that is found
//! stays known, and fails every check until [`forget_damage`] is told.
//!
//! [`forget_damage`]: crate::zone::Zone::forget_damage

use units::{Pfn, PhysAddr};

/// The word that free pages are filled with when checks are on (Linux's `PAGE_POISON` byte, four
/// times).
pub const POISON_WORD: u32 = 0xaaaa_aaaa;

/// Frames that are on the zone's free lists or on their way there or from there, so that nobody
/// else refers to them. Only the zone can make one.
#[derive(Debug)]
pub struct FreeRun {
    first: Pfn,
    pages: u32,
}

impl FreeRun {
    pub(super) const fn new(first: Pfn, pages: u32) -> Self {
        Self { first, pages }
    }

    /// The first frame.
    pub const fn first(&self) -> Pfn {
        self.first
    }

    /// How many there are.
    pub const fn pages(&self) -> u32 {
        self.pages
    }
}

/// Access to the contents of free frames.
pub trait Poison {
    /// Fills the frames with [`POISON_WORD`].
    fn fill(&mut self, run: FreeRun);

    /// The first word that is not [`POISON_WORD`], if any: somebody wrote to memory that was free.
    fn find_damage(&mut self, run: FreeRun) -> Option<Damage>;
}

/// A write to free memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damage {
    /// Where the word lies.
    pub addr: PhysAddr,
    /// What it holds instead of the pattern.
    pub found: u32,
}
