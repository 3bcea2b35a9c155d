// SPDX-License-Identifier: MIT OR Apache-2.0

//! The first memory map: RAM from the tree, and its contents before the kernel ran.
//!
//! The order and the checks are those of `arm_memblock_init` (arch/arm/mm/init.c): the image, the
//! initrd (dropped if it is outside RAM or overlaps the others), the device tree, then the tree's
//! memory reservation block.

use alloc::vec::Vec;

use super::memblock::{Memblock, RegionKind, Search};
use devicetree::Facts;
use units::notes::{Note, Notes};
use units::{PAGEBLOCK_PAGES, Pfn, PhysAddr, PhysRange};

/// The first memory map, before the tree's reserved regions are placed in it.
#[derive(Clone, Debug)]
pub struct Early {
    /// RAM; image, initrd, device tree and `/memreserve/` are reserved in it.
    pub memblock: Memblock,
    /// The problems found.
    pub notes: Vec<Note>,
}

/// Makes the first memory map. `image` and `device_tree` are the present places of the two.
pub fn memory_map(facts: &Facts, image: PhysRange, device_tree: PhysRange) -> Early {
    let mut memblock = Memblock::new();
    let mut notes = Notes::default();
    for range in &facts.memory {
        if let Err(full) = memblock.add_ram(*range) {
            notes.error(format_args!("debris: {range} is not used, {full}"));
        }
    }
    let mut reserve = |memblock: &mut Memblock, range: PhysRange, kind: RegionKind| {
        if let Err(full) = memblock.reserve(range, kind) {
            notes.error(format_args!("debris: {range} ({}) is not reserved, {full}", kind.label()));
        }
    };
    reserve(&mut memblock, image, RegionKind::Image);
    reserve(&mut memblock, device_tree, RegionKind::DeviceTree);
    let trouble = facts.initrd.and_then(|initrd| {
        if !memblock.is_ram(&initrd) {
            return Some("is not a memory region");
        }
        let in_use = memblock.reserved().iter().any(|region| region.range.overlaps(&initrd));
        in_use.then_some("overlaps in-use memory region")
    });
    let initrd = facts.initrd.filter(|initrd| trouble.is_none() && !initrd.is_empty());
    if let Some(initrd) = initrd {
        reserve(&mut memblock, initrd, RegionKind::Initrd);
    }
    for range in &facts.memreserve {
        reserve(&mut memblock, *range, RegionKind::Memreserve);
    }
    if let (Some(trouble), Some(initrd)) = (trouble, facts.initrd) {
        let (start, size) = (initrd.start, initrd.end.saturating_sub(initrd.start));
        notes.error(format_args!("INITRD: {start:#010x}+{size:#010x} {trouble} - disabling initrd"));
    }
    Early { memblock, notes: notes.into_vec() }
}

/// The page descriptors for a memory map: one for every frame from the lowest to the highest RAM
/// address, rounded out to whole pageblocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageFrames {
    /// The first frame, on a pageblock boundary.
    pub start: Pfn,
    /// The number of frames.
    pub frames: u32,
    /// The memory of their descriptors, in bytes.
    pub size_bytes: u64,
}

impl PageFrames {
    /// Computes the descriptors for the RAM in `memblock`. `size_bytes` is the page allocator's
    /// function from a number of frames to the size of their descriptors.
    pub fn of(memblock: &Memblock, size_bytes: fn(u32) -> u64) -> Self {
        let lowest = memblock.ram().first().map_or(0, |ram| ram.start);
        let start = PhysAddr(lowest).pfn().0 & !(PAGEBLOCK_PAGES - 1);
        let end = PhysAddr(memblock.end_of_ram()).pfn().0;
        let frames = (end - start).next_multiple_of(PAGEBLOCK_PAGES);
        Self { start: Pfn(start), frames, size_bytes: size_bytes(frames) }
    }

    /// The search for their place in the memory map.
    pub const fn search(&self) -> Search {
        Search::pages(self.size_bytes)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn page_frames_are_whole_pageblocks_around_the_ram() {
        for (start, end, frames) in [
            (0x60000, 0x68000, (0x60000, 0x8000)),
            (0x60001, 0x60002, (0x60000, 0x400)),
            (0x603ff, 0x60401, (0x60000, 0x800)),
        ] {
            let mut memblock = Memblock::new();
            memblock.add_ram(PhysRange { start: Pfn(start).addr().0, end: Pfn(end).addr().0 }).unwrap();
            let found = PageFrames::of(&memblock, |frames| 16 * u64::from(frames));
            assert_eq!((found.start.0, found.frames, found.size_bytes), (frames.0, frames.1, 16 * u64::from(frames.1)));
        }
    }

    const IMAGE: PhysRange = PhysRange { start: 0x6001_0000, end: 0x6005_0000 };
    const TREE: PhysRange = PhysRange { start: 0x6800_0000, end: 0x6800_4000 };

    fn facts(initrd: Option<PhysRange>) -> Facts {
        Facts {
            memory: vec![PhysRange::sized(0x6000_0000, 1 << 30)],
            memreserve: vec![PhysRange::sized(0x7000_0000, 0x1000)],
            initrd,
            ..Facts::default()
        }
    }

    #[test]
    fn everything_is_reserved() {
        let initrd = PhysRange::sized(0x6800_4000, 0x1234);
        let early = memory_map(&facts(Some(initrd)), IMAGE, TREE);
        let kinds: Vec<_> = early.memblock.reserved().iter().map(|region| region.kind).collect();
        assert_eq!(kinds, [RegionKind::Image, RegionKind::DeviceTree, RegionKind::Initrd, RegionKind::Memreserve]);
        assert_eq!(early.memblock.find_kind(RegionKind::Initrd).map(|region| region.range), Some(initrd));
        assert!(early.notes.is_empty());
    }

    #[test]
    fn page_frames_are_whole_pageblocks() {
        for (start, end, first, frames) in [
            (0x60000, 0x68000, 0x60000, 0x8000),
            (0x60001, 0x60002, 0x60000, 0x400),
            (0x603ff, 0x60401, 0x60000, 0x800),
        ] {
            let mut memblock = Memblock::new();
            memblock.add_ram(PhysRange { start: start << 12, end: end << 12 }).unwrap();
            let page_frames = PageFrames::of(&memblock, |frames| 16 * u64::from(frames));
            assert_eq!((page_frames.start, page_frames.frames), (Pfn(first), frames));
            assert_eq!(page_frames.size_bytes, 16 * u64::from(frames));
        }
    }

    #[test]
    fn an_initrd_that_cannot_be_is_dropped() {
        for (start, end, words) in [
            (0x5000_0000, 0x5000_1000, "INITRD: 0x50000000+0x00001000 is not a memory region - disabling initrd"),
            (0x9fff_0000, 0xa000_1000, "INITRD: 0x9fff0000+0x00011000 is not a memory region - disabling initrd"),
            (
                0x6004_0000,
                0x6006_0000,
                "INITRD: 0x60040000+0x00020000 overlaps in-use memory region - disabling initrd",
            ),
            (
                0x6800_3000,
                0x6800_5000,
                "INITRD: 0x68003000+0x00002000 overlaps in-use memory region - disabling initrd",
            ),
        ] {
            let early = memory_map(&facts(Some(PhysRange { start, end })), IMAGE, TREE);
            assert_eq!(early.memblock.find_kind(RegionKind::Initrd), None);
            assert_eq!(early.notes.len(), 1);
            assert_eq!(early.notes[0].text, words);
        }
        let empty = PhysRange { start: 0x7000_0000, end: 0x7000_0000 };
        assert_eq!(memory_map(&facts(Some(empty)), IMAGE, TREE).memblock.find_kind(RegionKind::Initrd), None);
    }

    #[test]
    fn too_much_of_anything_is_said() {
        let mut facts = facts(None);
        facts.memreserve = (0..1000).map(|index| PhysRange::sized(0x7000_0000 + index * 8192, 1)).collect();
        facts.memory = (0..1000).map(|index| PhysRange::sized(index * 8192, 4096)).collect();
        let early = memory_map(&facts, IMAGE, TREE);
        assert!(early.notes.iter().any(|note| note.text.contains("raise MAX_RAM_RANGES")));
        assert!(early.notes.iter().any(|note| note.text.contains("raise MAX_NOTES")));
    }
}
