// SPDX-License-Identifier: MIT OR Apache-2.0

//! Allocators of ranges of pages behind one trait, each with its crate's own rules.

use std::alloc::Layout;

use bitmap_allocator::{BitAlloc, BitAlloc1M, BitAlloc4K};
use buddy_system_allocator::FrameAllocator;
use free_list::{FreeList, PAGE_SIZE, PageLayout, PageRange};
use host::board::Board;
use kernel::cma::{AreaId, align_order_of};
use kernel::system::System;
use placement::Request;
use placement::bitmap::Bitmap;
use range_alloc::RangeAllocator;
use vm_allocator::{AddressAllocator, AllocPolicy, RangeInclusive};

/// An allocator of ranges of pages.
pub trait Allocator {
    /// Allocates `pages` free pages, aligned to their order up to 2^8 if the allocator supports it;
    /// returns the first page.
    fn allocate(&mut self, pages: u32) -> Option<u32>;

    /// Releases `pages` pages from `first` on, which were allocated together.
    fn release(&mut self, first: u32, pages: u32);
}

/// Start of the range of vm-allocator, which underflows at 0.
const ADDRESS: u64 = 1 << 20;

/// Rows of the table: the name, and the range that it returns or what it lacks. Linux returns the
/// lowest aligned range.
pub const NAMES: [(&str, &str); 8] = [
    ("placement", "the bitmap alone; the lowest aligned range"),
    ("whole-call", "cma_alloc and cma_release: bitmap and buddy"),
    ("bitmap-allocator", "the lowest aligned range"),
    ("free-list", "the lowest range that fits aligned"),
    ("vm-allocator", "the lowest range that fits aligned"),
    ("range-alloc", "best-fit instead of the lowest range"),
    ("buddy_system_allocator", "rounds up to a power of two; no exact fit"),
    ("offset-allocator", "no alignment; size classes instead of the lowest range"),
];

/// Runs `load` on the allocator `name`, with an area of `pages` pages; `None` if there is none.
pub fn with<R>(name: &str, pages: u32, load: impl FnOnce(&mut dyn Allocator) -> R) -> Option<R> {
    let largest = pages as usize;
    Some(match name {
        "placement" => load(&mut Bitmap::new(pages)),
        "whole-call" => {
            let board = Board::of_one("area", pages);
            board.with(
                || 0,
                Box::new(|_| ()),
                |system, _| {
                    let area = system.find_area("area")?;
                    Some(load(&mut Whole { system, area }))
                },
            )?
        }
        "bitmap-allocator" if pages <= 4096 => load(&mut Bits::<BitAlloc4K>::new(largest)),
        "bitmap-allocator" => load(&mut Bits::<BitAlloc1M>::new(largest)),
        "free-list" => load(&mut List::new(largest)),
        "vm-allocator" => load(&mut AddressAllocator::new(ADDRESS, pages.into()).ok()?),
        "range-alloc" => load(&mut RangeAllocator::new(0..pages)),
        "buddy_system_allocator" => {
            let mut buddy = FrameAllocator::<33>::new();
            buddy.add_frame(0, largest);
            load(&mut buddy)
        }
        "offset-allocator" => {
            let slots = vec![None; largest];
            load(&mut Offsets { allocator: offset_allocator::Allocator::new(pages), slots })
        }
        _ => return None,
    })
}

impl Allocator for Bitmap {
    fn allocate(&mut self, pages: u32) -> Option<u32> {
        let request = Request { bits: pages, align_mask: (1 << align_order_of(pages)) - 1, align_offset: 0 };
        let first = self.first_fit(&request, 0)?;
        self.set(first, pages);
        Some(first)
    }

    fn release(&mut self, first: u32, pages: u32) {
        self.clear(first, pages).expect("they are allocated");
    }
}

/// The laboratory's `cma_alloc` and `cma_release`, as a driver calls them.
struct Whole<'s, 'z> {
    system: &'s mut System<'z>,
    area: AreaId,
}

impl Allocator for Whole<'_, '_> {
    fn allocate(&mut self, pages: u32) -> Option<u32> {
        let buffer = self.system.cma_alloc(self.area, pages, align_order_of(pages)).ok()?;
        let first = buffer.first().0 - self.system.area(self.area).base().0;
        self.system.keep(buffer);
        Some(first)
    }

    fn release(&mut self, first: u32, _: u32) {
        let base = self.system.area(self.area).base();
        let buffer = self.system.take_back_at(self.area, base.add(first)).expect("it is kept");
        self.system.cma_release(buffer).expect("it is allocated");
    }
}

/// A bitmap of the crate bitmap-allocator, which is a tree of fixed size.
struct Bits<B>(Box<B>);

impl<B: BitAlloc> Bits<B> {
    fn new(pages: usize) -> Self {
        let mut bits = Box::<B>::default();
        bits.insert(0..pages);
        Self(bits)
    }
}

impl<B: BitAlloc> Allocator for Bits<B> {
    fn allocate(&mut self, pages: u32) -> Option<u32> {
        let order = align_order_of(pages) as usize;
        self.0.alloc_contiguous(None, pages as usize, order).map(|first| first as u32)
    }

    fn release(&mut self, first: u32, pages: u32) {
        assert!(self.0.dealloc_contiguous(first as usize, pages as usize));
    }
}

/// A list of at most 16,384 free ranges, in bytes.
struct List(Box<FreeList<16_384>>);

impl List {
    fn new(pages: usize) -> Self {
        let mut list = Box::new(FreeList::new());
        let all = PageRange::from_start_len(0, pages * PAGE_SIZE).expect("whole pages");
        // SAFETY: nothing uses the addresses that are handed out.
        unsafe { list.deallocate(all) }.expect("the list is empty");
        Self(list)
    }
}

impl Allocator for List {
    fn allocate(&mut self, pages: u32) -> Option<u32> {
        let layout =
            PageLayout::from_size_align(pages as usize * PAGE_SIZE, PAGE_SIZE << align_order_of(pages)).ok()?;
        self.0.allocate(layout).ok().map(|range| (range.start() / PAGE_SIZE) as u32)
    }

    fn release(&mut self, first: u32, pages: u32) {
        let range = PageRange::from_start_len(first as usize * PAGE_SIZE, pages as usize * PAGE_SIZE);
        // SAFETY: nothing uses the addresses that are handed out.
        unsafe { self.0.deallocate(range.expect("whole pages")) }.expect("the list has room");
    }
}

impl Allocator for AddressAllocator {
    fn allocate(&mut self, pages: u32) -> Option<u32> {
        let range = Self::allocate(self, pages.into(), 1 << align_order_of(pages), AllocPolicy::FirstMatch).ok()?;
        Some((range.start() - ADDRESS) as u32)
    }

    fn release(&mut self, first: u32, pages: u32) {
        let first = ADDRESS + u64::from(first);
        let range = RangeInclusive::new(first, first + u64::from(pages) - 1).expect("a range");
        self.free(&range).expect("it is allocated");
    }
}

impl Allocator for RangeAllocator<u32> {
    fn allocate(&mut self, pages: u32) -> Option<u32> {
        self.allocate_range_aligned(pages, 1 << align_order_of(pages)).ok().map(|range| range.start)
    }

    fn release(&mut self, first: u32, pages: u32) {
        self.free_range(first..first + pages);
    }
}

impl Allocator for FrameAllocator<33> {
    fn allocate(&mut self, pages: u32) -> Option<u32> {
        let layout = Layout::from_size_align(pages as usize, 1 << align_order_of(pages)).ok()?;
        self.alloc_aligned(layout).map(|first| first as u32)
    }

    fn release(&mut self, first: u32, pages: u32) {
        let layout = Layout::from_size_align(pages as usize, 1 << align_order_of(pages)).expect("a power of two");
        self.dealloc_aligned(first as usize, layout);
    }
}

/// The crate releases by its own handle, which is stored by first page.
struct Offsets {
    allocator: offset_allocator::Allocator,
    slots: Vec<Option<offset_allocator::Allocation>>,
}

impl Allocator for Offsets {
    fn allocate(&mut self, pages: u32) -> Option<u32> {
        let allocation = self.allocator.allocate(pages)?;
        self.slots[allocation.offset as usize] = Some(allocation);
        Some(allocation.offset)
    }

    fn release(&mut self, first: u32, _: u32) {
        self.allocator.free(self.slots[first as usize].take().expect("it is allocated"));
    }
}
