// SPDX-License-Identifier: MIT OR Apache-2.0

//! The zone: every page frame of the machine, the types of the pageblocks, and Linux's counters.
//!
//! A new zone has no free pages. Boot adds the free ranges of `memblock` ([`Zone::free_range`]) and
//! the pageblocks of each CMA area ([`Zone::free_cma_range`]). After that, pages leave and return
//! as blocks (`buddy`), as ranges (`contig`) or one by one (`pcp`).

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use super::frame::{Frame, frames};
use super::free_list::{FreeLists, LIST_HEADS};
use super::page::{HeldBuffer, Page, RelocatableBuffer, State, Tag};
use super::poison::{Damage, FreeRun, Poison};
use super::policy::{BarredArea, CmaAccess, CmaPages, CmaUse};
use super::watermark::{Reserve, Watermarks};
use super::{MAX_PAGE_ORDER, MAX_PAGEBLOCKS, Migratetype, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES};
use units::{PAGE_SIZE, Pfn};

/// All page frames between the lowest and the highest RAM address, and their use.
pub struct Zone<'m> {
    /// First frame, on a pageblock boundary, so that arithmetic on an index finds buddies.
    pub(super) start: Pfn,
    pub(super) lists: FreeLists<'m>,
    /// The type of each pageblock; sized for the largest zone, so that an index needs no bounds
    /// check.
    pub(super) pageblocks: Box<[Migratetype; MAX_PAGEBLOCKS]>,
    /// Free pages by the kind of their pageblocks ([`Migratetype::kind`]), so that counting is one
    /// addition.
    pub(super) free: [u32; 3],
    /// True for each pageblock that contains RAM.
    has_ram: Vec<bool>,
    managed: u32,
    cma: u32,
    /// The requests that may take CMA pages at present.
    pub(super) cma_access: CmaAccess,
    /// The types that pageblocks had before they were claimed, recorded since the last
    /// [`Zone::forget_claims`].
    pub(super) claimed: Vec<Option<Migratetype>>,
    pub(super) reserve: Reserve,
    pub(super) poison: Option<Box<dyn Poison + 'm>>,
    /// The first write to free memory that was found.
    pub(super) damage: Option<Damage>,
    /// Number of runs that were found damaged, the one of `damage` included.
    pub(super) damaged_runs: u32,
}

/// Number of descriptors that a zone over `frames` frames needs.
pub const fn descriptors(frames: u32) -> usize {
    frames as usize + LIST_HEADS
}

/// Size of the descriptors of a zone over `frames` frames, in bytes, rounded up to whole pages.
pub const fn descriptor_bytes(frames: u32) -> u64 {
    ((descriptors(frames) * size_of::<Page>()) as u64).next_multiple_of(PAGE_SIZE)
}

impl<'m> Zone<'m> {
    /// Makes a zone without free pages, whose first frame is `start`; `pages` sets how many there
    /// are.
    ///
    /// `start` is a multiple of [`PAGEBLOCK_PAGES`]; `pages` holds [`descriptors`] zeroed
    /// descriptors. Every pageblock begins as movable, as on Linux (`memmap_init_range`).
    pub fn new(start: Pfn, pages: &'m mut [Page]) -> Self {
        assert!(start.0.is_multiple_of(PAGEBLOCK_PAGES), "a zone starts on a pageblock boundary");
        let lists = FreeLists::new(pages);
        let blocks = lists.frames().div_ceil(PAGEBLOCK_PAGES) as usize;
        assert!(blocks <= MAX_PAGEBLOCKS, "a zone lies in a 32-bit address space");
        let pageblocks = Box::new([Migratetype::Movable; MAX_PAGEBLOCKS]);
        let has_ram = vec![false; blocks];
        let claimed = vec![None; blocks];
        Self {
            start,
            lists,
            pageblocks,
            has_ram,
            free: [0; 3],
            managed: 0,
            cma: 0,
            cma_access: CmaAccess::default(),
            claimed,
            reserve: Reserve::default(),
            poison: None,
            damage: None,
            damaged_runs: 0,
        }
    }

    /// First frame.
    pub fn start(&self) -> Pfn {
        self.start
    }

    /// Every frame, holes included.
    pub fn frames(&self) -> impl DoubleEndedIterator<Item = Frame> + ExactSizeIterator + use<> {
        frames(Frame(0)..Frame(self.spanned_pages()))
    }

    /// Frames spanned, holes included.
    pub fn spanned_pages(&self) -> u32 {
        self.lists.frames()
    }

    /// Size of the descriptors, the lists' heads included, in bytes.
    pub fn descriptor_bytes(&self) -> usize {
        descriptors(self.spanned_pages()) * size_of::<Page>()
    }

    /// Size of the pageblocks' types, in bytes.
    pub fn pageblock_bytes(&self) -> usize {
        size_of_val(&*self.pageblocks)
    }

    /// Pages that the allocator has received since it was made.
    pub fn managed_pages(&self) -> u32 {
        self.managed
    }

    /// Pages of all CMA areas, free or not.
    pub fn cma_pages(&self) -> u32 {
        self.cma
    }

    /// Free pages of every type except isolated ones, which serve no request.
    #[inline]
    pub fn nr_free_pages(&self) -> u32 {
        let [others, cma, _] = self.free;
        others + cma
    }

    /// Free pages in CMA pageblocks.
    #[inline]
    pub fn nr_free_cma(&self) -> u32 {
        let [_, cma, _] = self.free;
        cma
    }

    /// Computes the watermarks and the sizes of the per-CPU lists; requests of single pages use
    /// them from then on (`__setup_per_zone_wmarks`).
    pub fn set_up_watermarks(&mut self) {
        self.reserve = Reserve::of(self.managed);
    }

    /// The watermarks that [`Zone::set_up_watermarks`] computed; all 0 before it ran.
    #[inline]
    pub fn kept_watermarks(&self) -> Watermarks {
        self.reserve.marks
    }

    /// Computes the zone's watermarks from its managed pages.
    pub fn watermarks(&self) -> Watermarks {
        Reserve::of(self.managed).marks
    }

    /// True if more than `mark` pages are free, so that a request may take one page
    /// (`__zone_watermark_ok` at order 0). CMA pages that the request may not use do not count.
    #[inline]
    pub fn watermark_ok(&self, mark: u32, may_use_cma: bool) -> bool {
        let free = match self.cma_access.pages_for(Migratetype::Movable, may_use_cma) {
            CmaPages::All => self.nr_free_pages(),
            CmaPages::Around(area) => self.nr_free_pages().saturating_sub(area.free),
            CmaPages::None => self.nr_free_pages() - self.nr_free_cma(),
        };
        free > mark
    }

    /// The policy: when movable requests take CMA pages.
    pub fn cma_use(&self) -> CmaUse {
        self.cma_access.cma_use
    }

    /// Sets the policy: when movable requests take CMA pages.
    pub fn set_cma_use(&mut self, cma_use: CmaUse) {
        self.cma_access.set_cma_use(cma_use);
    }

    /// True if an area, or all of them, is barred.
    pub fn is_cma_barred(&self) -> bool {
        self.cma_access.barred
    }

    /// Bars all requests from all areas, or admits movable requests again.
    pub fn bar_cma(&mut self, barred: bool) {
        self.cma_access.bar(barred, None);
    }

    /// Bars all requests from one area while a contiguous allocation in it runs (the second
    /// countermeasure of `cma_use=first`).
    ///
    /// Does nothing if all areas are barred already.
    pub fn bar_area(&mut self, first: Pfn, pages: u32) {
        if self.is_cma_barred() {
            return;
        }
        let (start, end) = (self.frame(first), self.frame(first) + pages);
        let blocks = (0..=MAX_PAGE_ORDER).flat_map(|order| {
            let inside = self.lists.iter(order, Migratetype::Cma).filter(move |block| (start..end).contains(block));
            inside.map(move |_| 1 << order)
        });
        let free = blocks.sum();
        self.cma_access.bar(true, Some(BarredArea { start, end, free }));
    }

    /// Ends [`Zone::bar_area`].
    pub fn unbar_area(&mut self) {
        self.cma_access.unbar_area();
    }

    /// True if `frame` is in a pageblock of type CMA, which isolated ones are not.
    pub fn is_cma(&self, frame: Pfn) -> bool {
        let index = self.frame(frame);
        self.spans(index) && self.pageblock(index) == Migratetype::Cma
    }

    /// Number of blocks on the free list of an order and type.
    pub fn free_blocks(&self, order: u32, migratetype: Migratetype) -> u32 {
        if order <= MAX_PAGE_ORDER { self.lists.count(order, migratetype) } else { 0 }
    }

    /// Number of pageblocks of a type that contain RAM.
    pub fn pageblocks_of(&self, migratetype: Migratetype) -> u32 {
        let blocks = self.pageblocks.iter().zip(&self.has_ram);
        blocks.filter(|&(&block, &has_ram)| has_ram && block == migratetype).count() as u32
    }

    /// Records that the frames `first` to `last` (inclusive) are RAM, free or reserved.
    pub fn mark_ram(&mut self, first: Pfn, last: Pfn) {
        let blocks = self.frame(first).pageblock()..=self.frame(last).pageblock();
        self.has_ram[blocks].fill(true);
    }

    /// Gives `pages` unused pages of RAM from `first` to the allocator. Boot only; no block may
    /// contain any of them.
    ///
    /// They go to the tails of the lists in ascending order, as Linux frees memblock's memory
    /// (`__free_pages_core`).
    pub fn free_range(&mut self, first: Pfn, pages: u32) {
        self.managed += pages;
        if pages > 0 {
            self.mark_ram(first, first.add(pages - 1));
            self.free_blocks_of::<true>(first, pages);
        }
    }

    /// Makes the pageblocks of a CMA area MIGRATE_CMA and frees their pages
    /// (`init_cma_reserved_pageblock`).
    ///
    /// `first` and `pages` are multiples of [`PAGEBLOCK_PAGES`], which is CMA_MIN_ALIGNMENT.
    pub fn free_cma_range(&mut self, first: Pfn, pages: u32) {
        let block = self.frame(first).pageblock();
        let blocks = (pages >> PAGEBLOCK_ORDER) as usize;
        self.pageblocks[block..block + blocks].fill(Migratetype::Cma);
        self.cma += pages;
        self.managed += pages;
        self.has_ram[block..block + blocks].fill(true);
        if pages > 0 {
            self.free_blocks_of::<false>(first, pages);
        }
    }

    /// True if a frame is in a pageblock that contains RAM.
    pub fn has_ram(&self, frame: Pfn) -> bool {
        self.has_ram.get(self.frame(frame).pageblock()).is_some_and(|&has_ram| has_ram)
    }

    /// True if a frame is free, in the buddy lists or on a per-CPU list.
    pub fn is_free(&self, frame: Pfn) -> bool {
        let index = self.frame(frame);
        self.is_on_pcp(index) || self.covering_free_block(index).is_some()
    }

    /// Clears the damage that [`Zone::check`] fails with, so that it can report the next, and
    /// returns the number of further runs that were found damaged. Damaged pages are in use, and
    /// are filled with the pattern when they are freed.
    pub fn forget_damage(&mut self) -> u32 {
        self.damage = None;
        core::mem::take(&mut self.damaged_runs).saturating_sub(1)
    }

    /// Turns poisoning on: free pages are filled with a pattern, which is verified when they are
    /// handed out.
    pub fn enable_poison(&mut self, mut poison: Box<dyn Poison + 'm>) {
        for order in 0..=MAX_PAGE_ORDER {
            for migratetype in Migratetype::ALL {
                for block in self.lists.iter(order, migratetype) {
                    poison.fill(FreeRun::new(self.start.add(block.0), 1 << order));
                }
            }
        }
        self.poison = Some(poison);
    }

    /// Registers a taken range under an identifier, in the descriptor of its first page.
    pub fn hold(&mut self, first: Pfn, HeldBuffer { id, pages }: HeldBuffer) {
        let index = self.frame(first);
        *self.lists.page_mut(index) = Page { next: id, prev: pages, tag: Tag::HELD, owner: 0 };
    }

    /// Clears what [`Zone::hold`] or [`Zone::set_relocatable`] registered for a taken range.
    pub fn unhold(&mut self, first: Pfn) {
        let index = self.frame(first);
        self.lists.set_tag(index, Tag::BODY);
    }

    /// The registered range that begins at `first`.
    pub fn held(&self, first: Pfn) -> Option<HeldBuffer> {
        let page = self.lists.page(self.frame(first));
        (page.tag == Tag::HELD).then_some(HeldBuffer { id: page.next, pages: page.prev })
    }

    /// Makes a taken range relocatable, in the descriptor of its first page.
    pub fn set_relocatable(&mut self, first: Pfn, lent: RelocatableBuffer) {
        let RelocatableBuffer { tag, pages, align_order, owner } = lent;
        let index = self.frame(first);
        *self.lists.page_mut(index) = Page { next: tag, prev: pages, tag: Tag::relocatable(align_order), owner };
    }

    /// The relocatable range that begins at `first`.
    pub fn relocatable(&self, first: Pfn) -> Option<RelocatableBuffer> {
        let page = self.lists.page(self.frame(first));
        let lent = RelocatableBuffer {
            tag: page.next,
            pages: page.prev,
            align_order: page.tag.align_order(),
            owner: page.owner,
        };
        (page.tag.state() == State::Relocatable).then_some(lent)
    }

    /// The frame after the free block that contains `frame`; `None` if `frame` is not in one.
    pub fn end_of_free(&self, frame: Pfn) -> Option<Pfn> {
        let head = self.covering_free_block(self.frame(frame))?;
        Some(self.pfn(head + (1 << self.lists.tag(head).order())))
    }

    /// The tag in the descriptor of a frame: state, order, migratetype and marks.
    #[inline]
    pub fn tag(&self, index: Frame) -> Tag {
        self.lists.tag(index)
    }

    /// A copy of the descriptor of a frame.
    #[inline]
    pub fn descriptor(&self, index: Frame) -> Page {
        *self.lists.page(index)
    }

    /// Takes one free page, by its number, out of the buddy lists for movable use; returns false if
    /// it is not in them.
    pub fn take_page(&mut self, index: Frame) -> bool {
        let free = self.take_range(self.pfn(index), 1).is_ok();
        if free {
            self.lists.set_tag(index, Tag::allocated(0, Migratetype::Movable));
        }
        free
    }

    /// The word that the user of a kernel page keeps in its descriptor; undefined if none was kept.
    pub fn kept_word(&self, index: Frame) -> u32 {
        self.lists.page(index).next
    }

    /// Keeps a word in the descriptor of an allocated page that is on no list, so that its user can
    /// chain its pages.
    pub fn keep_word(&mut self, index: Frame, word: u32) {
        self.lists.page_mut(index).next = word;
    }

    /// The index in the zone of a page frame number.
    #[inline]
    pub fn frame(&self, pfn: Pfn) -> Frame {
        Frame(pfn.0.wrapping_sub(self.start.0))
    }

    /// The page frame number of a frame.
    #[inline]
    pub fn pfn(&self, frame: Frame) -> Pfn {
        self.start.add(frame.0)
    }

    /// True if the frame is in the zone.
    #[inline]
    pub fn spans(&self, frame: Frame) -> bool {
        frame.0 < self.lists.frames()
    }

    /// The type of the pageblock of a frame of the zone.
    #[inline]
    pub fn pageblock(&self, index: Frame) -> Migratetype {
        self.pageblocks[index.pageblock() % MAX_PAGEBLOCKS]
    }

    /// Adds `pages` pages to the free counter of pageblocks of a type.
    #[inline]
    pub(super) fn count_free(&mut self, pages: u32, migratetype: Migratetype) {
        self.free[migratetype.kind()] += pages;
    }

    /// Subtracts `pages` pages from the free counter of pageblocks of a type.
    #[inline]
    pub(super) fn count_taken(&mut self, pages: u32, migratetype: Migratetype) {
        self.free[migratetype.kind()] -= pages;
    }
}
