// SPDX-License-Identifier: MIT OR Apache-2.0

//! The memory behind frames that the page allocator owns, or that somebody owns as a block.
//!
//! RAM is mapped at its own address, so a frame's number is all it takes.

use kernel::mm::Block;
use kernel::mm::poison::{Damage, FreeRun, POISON_WORD, Poison};
use kernel::units::{PAGE_SIZE, Pfn, PhysAddr};

/// Words of a page.
pub(crate) const PAGE_WORDS: usize = PAGE_SIZE as usize / size_of::<u32>();

/// RAM by the identity mapping.
pub(crate) struct IdentityMapped;

/// The words of a run of frames.
///
/// # Safety
/// The frames are RAM, mapped, and nobody else refers to them while the slice lives.
pub(crate) unsafe fn words<'a>(first: Pfn, pages: u32) -> &'a mut [u32] {
    let start = core::ptr::with_exposed_provenance_mut(first.addr().0 as usize);
    // SAFETY: by the caller's word; a page is aligned for words.
    unsafe { core::slice::from_raw_parts_mut(start, pages as usize * PAGE_WORDS) }
}

/// The words of a block, for as long as it is borrowed.
pub(crate) fn block_words(block: &mut Block) -> &mut [u32] {
    // SAFETY:
    // - the page allocator hands out RAM that is mapped;
    // - whoever holds the block owns its frames, and it is borrowed for as long as the slice lives.
    unsafe { words(block.first(), 1 << block.order()) }
}

impl Poison for IdentityMapped {
    fn fill(&mut self, run: FreeRun) {
        // SAFETY:
        // - only the zone makes a `FreeRun`, of frames it was given, which `memory` takes from RAM
        //   that is mapped;
        // - they are free, so nobody refers to them.
        unsafe { words(run.first(), run.pages()) }.fill(POISON_WORD);
    }

    fn find_damage(&mut self, run: FreeRun) -> Option<Damage> {
        // SAFETY: as above.
        let words = unsafe { words(run.first(), run.pages()) };
        let index = words.iter().position(|word| *word != POISON_WORD)?;
        Some(Damage { addr: PhysAddr(run.first().addr().0 + 4 * index as u64), found: words[index] })
    }
}
