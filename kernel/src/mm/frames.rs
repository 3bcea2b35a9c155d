//! What the allocator may do to the memory behind its descriptors: poison it.
//!
//! The kernel crate never forms an address. Whoever can (the boot crate over its identity mapping, a test over a vector)
//! implements [`Poison`]; with `check=on` every page is filled when it becomes free and verified when it is handed out.

use crate::units::{Pfn, PhysAddr};

/// The word that free pages are filled with when checks are on (Linux's `PAGE_POISON` byte, four times).
pub const POISON_WORD: u32 = 0xaaaa_aaaa;

/// Access to the contents of free frames. Only the zone calls it, and only for frames that are in its free lists.
pub trait Poison {
    /// Fills the frames with [`POISON_WORD`].
    fn fill(&mut self, first: Pfn, pages: u32);

    /// The first word that is not [`POISON_WORD`], if any: somebody wrote to memory that was free.
    fn find_damage(&mut self, first: Pfn, pages: u32) -> Option<Damage>;

    /// Reports damage; the pages are handed out all the same.
    fn report(&mut self, damage: Damage);
}

/// A write to free memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damage {
    /// Where the word lies.
    pub addr: PhysAddr,
    /// What it holds instead of the pattern.
    pub found: u32,
}
