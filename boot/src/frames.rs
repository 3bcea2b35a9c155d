// SPDX-License-Identifier: MIT OR Apache-2.0

//! Access to the memory of frames that are free in the page allocator or allocated as a block.
//!
//! RAM is identity-mapped, so a frame's number is enough to access it.

use kernel::mm::Block;
use kernel::mm::poison::{Damage, FreeRun, POISON_WORD, Poison};
use kernel::units::{PAGE_SIZE, Pfn, PhysAddr};

/// Words in a page.
pub(crate) const PAGE_WORDS: usize = PAGE_SIZE as usize / size_of::<u32>();

/// RAM, accessed through the identity mapping.
pub(crate) struct IdentityMapped;

/// Returns the words of `pages` frames from `first` on.
///
/// # Safety
/// The frames are mapped RAM, and nothing else refers to them while the slice lives.
pub(crate) unsafe fn words<'a>(first: Pfn, pages: u32) -> &'a mut [u32] {
    let start = core::ptr::with_exposed_provenance_mut(first.addr().0 as usize);
    // SAFETY: guaranteed by the caller; a page is aligned for words.
    unsafe { core::slice::from_raw_parts_mut(start, pages as usize * PAGE_WORDS) }
}

/// Returns the words of `block`, which stays borrowed meanwhile.
pub(crate) fn block_words(block: &mut Block) -> &mut [u32] {
    // SAFETY:
    // - the page allocator hands out mapped RAM;
    // - the block's holder owns its frames, and the block is borrowed for as long as the slice
    //   lives.
    unsafe { words(block.first(), 1 << block.order()) }
}

impl Poison for IdentityMapped {
    fn fill(&mut self, run: FreeRun) {
        // SAFETY:
        // - only the zone makes a `FreeRun`, of frames that it was given, which `memory` takes from
        //   RAM that is mapped;
        // - they are free, so nothing refers to them.
        unsafe { words(run.first(), run.pages()) }.fill(POISON_WORD);
    }

    fn find_damage(&mut self, run: FreeRun) -> Option<Damage> {
        // SAFETY: as above.
        let words = unsafe { words(run.first(), run.pages()) };
        let index = words.iter().position(|word| *word != POISON_WORD)?;
        Some(Damage { addr: PhysAddr(run.first().addr().0 + 4 * index as u64), found: words[index] })
    }
}
