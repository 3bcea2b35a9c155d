// SPDX-License-Identifier: MIT OR Apache-2.0

//! Access to the memory that the descriptors stand for, to poison it.
//!
//! The kernel crate never forms an address. The owner of the memory (the boot crate, through its
//! identity mapping, or a test, in a vector) implements [`Poison`]; with `check=on` every page is
//! filled when it becomes free and verified when it is handed out. The first write to free memory
//! that is found fails every check until [`forget_damage`] clears it.
//!
//! [`forget_damage`]: crate::zone::Zone::forget_damage

use units::{Pfn, PhysAddr};

/// The word that free pages are filled with when checks are on (Linux's `PAGE_POISON` byte, four
/// times).
pub const POISON_WORD: u32 = 0xaaaa_aaaa;

/// Frames that are on the zone's free lists, or on their way to or from them, so that they have no
/// user. Only the zone can make one.
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

    /// The number of frames.
    pub const fn pages(&self) -> u32 {
        self.pages
    }
}

/// Access to the contents of free frames.
pub trait Poison {
    /// Fills the frames with [`POISON_WORD`].
    fn fill(&mut self, run: FreeRun);

    /// Returns the first word that is not [`POISON_WORD`], which shows a write to free memory.
    fn find_damage(&mut self, run: FreeRun) -> Option<Damage>;
}

/// A write to free memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damage {
    /// Address of the word.
    pub addr: PhysAddr,
    /// The value found instead of the pattern.
    pub found: u32,
}
