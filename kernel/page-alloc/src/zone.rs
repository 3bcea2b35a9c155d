// SPDX-License-Identifier: MIT OR Apache-2.0

//! The zone: every page frame of the machine, its pageblocks' types, and the counters Linux keeps
//! about it.
//!
//! A zone starts with nothing free. Boot hands it the free ranges of `memblock`
//! ([`Zone::free_range`]) and the pageblocks of each CMA area ([`Zone::free_cma_range`]); from then
//! on pages leave and return as blocks (`buddy`) or as ranges (`contig`).

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

/// All page frames between the lowest and the highest RAM address, and who may use them.
pub struct Zone<'m> {
    /// First frame, on a pageblock boundary, so that buddies are found by index.
    pub(super) start: Pfn,
    pub(super) lists: FreeLists<'m>,
    /// Each pageblock's type; room for as many as there can be, so that one is found without a
    /// check.
    pub(super) pageblocks: Box<[Migratetype; MAX_PAGEBLOCKS]>,
    /// Free pages by the kind of their pageblocks ([`Migratetype::kind`]), so that to count is to
    /// add.
    pub(super) free: [u32; 3],
    /// Which pageblocks hold RAM at all.
    has_ram: Vec<bool>,
    managed: u32,
    cma: u32,
    /// Who may take CMA pages at present.
    pub(super) cma_access: CmaAccess,
    /// The types of pageblocks before they were claimed, since a contiguous allocation last began
    /// to keep them.
    pub(super) claimed: Vec<Option<Migratetype>>,
    pub(super) reserve: Reserve,
    pub(super) poison: Option<Box<dyn Poison + 'm>>,
    /// The first write to free memory that was found.
    pub(super) damage: Option<Damage>,
    /// How many runs were found damaged, that one among them.
    pub(super) damaged_runs: u32,
}

/// Descriptors a zone over this many frames needs.
pub const fn descriptors(frames: u32) -> usize {
    frames as usize + LIST_HEADS
}

/// Memory of the descriptors of a zone over `frames` frames, in bytes, whole pages.
pub const fn descriptor_bytes(frames: u32) -> u64 {
    ((descriptors(frames) * size_of::<Page>()) as u64).next_multiple_of(PAGE_SIZE)
}

impl<'m> Zone<'m> {
    /// A zone in which nothing is free, over the frames from `start` that `pages` has descriptors
    /// for.
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

    /// Memory of the descriptors, the free lists' heads included, in bytes.
    pub fn descriptor_bytes(&self) -> usize {
        descriptors(self.spanned_pages()) * size_of::<Page>()
    }

    /// Memory of the pageblocks' types, in bytes.
    pub fn pageblock_bytes(&self) -> usize {
        size_of_val(&*self.pageblocks)
    }

    /// Pages that were ever handed to the allocator.
    pub fn managed_pages(&self) -> u32 {
        self.managed
    }

    /// Pages of all CMA areas, free or not.
    pub fn cma_pages(&self) -> u32 {
        self.cma
    }

    /// Free pages of every type; isolated ones are free for nobody, and not counted.
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

    /// Works out the watermarks and the sizes of the per-CPU lists, for requests of single pages
    /// from now on (`__setup_per_zone_wmarks`).
    pub fn set_up_watermarks(&mut self) {
        self.reserve = Reserve::of(self.managed);
    }

    /// The watermarks that [`Zone::set_up_watermarks`] has worked out; all 0 before.
    #[inline]
    pub fn kept_watermarks(&self) -> Watermarks {
        self.reserve.marks
    }

    /// The zone's watermarks.
    pub fn watermarks(&self) -> Watermarks {
        Reserve::of(self.managed).marks
    }

    /// True where more than `mark` pages are free, of which a request for one page may then take
    /// one (`__zone_watermark_ok` at order 0). For a request that may not use CMA pages they do not
    /// count.
    #[inline]
    pub fn watermark_ok(&self, mark: u32, may_use_cma: bool) -> bool {
        let free = match self.cma_access.pages_for(Migratetype::Movable, may_use_cma) {
            CmaPages::All => self.nr_free_pages(),
            CmaPages::Around(area) => self.nr_free_pages().saturating_sub(area.free),
            CmaPages::None => self.nr_free_pages() - self.nr_free_cma(),
        };
        free > mark
    }

    /// When movable requests take CMA pages.
    pub fn cma_use(&self) -> CmaUse {
        self.cma_access.cma_use
    }

    /// Chooses when movable requests take CMA pages.
    pub fn set_cma_use(&mut self, cma_use: CmaUse) {
        self.cma_access.set_cma_use(cma_use);
    }

    /// True where somebody is kept out of some area.
    pub fn is_cma_barred(&self) -> bool {
        self.cma_access.barred
    }

    /// Keeps everybody out of the areas, or lets movable requests in again.
    pub fn bar_cma(&mut self, barred: bool) {
        self.cma_access.bar(barred, None);
    }

    /// Keeps everybody out of one area while a contiguous allocation in it runs (the second cure of
    /// `cma_use=first`).
    ///
    /// Where everybody is kept out of all areas, that stays so.
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

    /// Lets everybody in again.
    pub fn unbar_area(&mut self) {
        self.cma_access.unbar_area();
    }

    /// True for a page of an area.
    pub fn is_cma(&self, frame: Pfn) -> bool {
        let index = self.frame(frame);
        self.spans(index) && self.pageblock(index) == Migratetype::Cma
    }

    /// Blocks on the free list of an order and type.
    pub fn free_blocks(&self, order: u32, migratetype: Migratetype) -> u32 {
        if order <= MAX_PAGE_ORDER { self.lists.count(order, migratetype) } else { 0 }
    }

    /// How many pageblocks with RAM in them are of a type.
    pub fn pageblocks_of(&self, migratetype: Migratetype) -> u32 {
        let blocks = self.pageblocks.iter().zip(&self.has_ram);
        blocks.filter(|&(&block, &has_ram)| has_ram && block == migratetype).count() as u32
    }

    /// Notes that there is RAM from one frame to another (included), free or reserved.
    pub fn mark_ram(&mut self, first: Pfn, last: Pfn) {
        let blocks = self.frame(first).pageblock()..=self.frame(last).pageblock();
        self.has_ram[blocks].fill(true);
    }

    /// Hands the allocator RAM that nothing uses: whole pages from `first`. Boot only; the pages
    /// must be in no block.
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

    /// Whether a frame lies in a pageblock with RAM.
    pub fn has_ram(&self, frame: Pfn) -> bool {
        self.has_ram.get(self.frame(frame).pageblock()).is_some_and(|&has_ram| has_ram)
    }

    /// Whether a frame where there is RAM is free.
    pub fn is_free(&self, frame: Pfn) -> bool {
        let index = self.frame(frame);
        self.is_on_pcp(index) || self.covering_free_block(index).is_some()
    }

    /// Forgets the damage that [`Zone::check`] fails with, so that the next is seen, and returns
    /// how many runs more were found damaged. What was damaged is in use, and is filled with the
    /// pattern when it is free.
    pub fn forget_damage(&mut self) -> u32 {
        self.damage = None;
        core::mem::take(&mut self.damaged_runs).saturating_sub(1)
    }

    /// Turns poisoning on: free pages are filled with a pattern that is checked when they are
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

    /// Forgets what was registered of a taken range, or that it is relocatable.
    pub fn unhold(&mut self, first: Pfn) {
        let index = self.frame(first);
        self.lists.set_tag(index, Tag::BODY);
    }

    /// The registered range that begins here.
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

    /// The relocatable range that begins here.
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

    /// One past the free block that a frame lies in; `None` where it is not free.
    pub fn end_of_free(&self, frame: Pfn) -> Option<Pfn> {
        let head = self.covering_free_block(self.frame(frame))?;
        Some(self.pfn(head + (1 << self.lists.tag(head).order())))
    }

    /// What the descriptor of a frame says: what the frame is the head of, and its marks.
    #[inline]
    pub fn tag(&self, index: Frame) -> Tag {
        self.lists.tag(index)
    }

    /// The descriptor of a frame, read as a whole.
    #[inline]
    pub fn descriptor(&self, index: Frame) -> Page {
        *self.lists.page(index)
    }

    /// Takes one free page, by its number, out of the buddy lists for movable use; false where it
    /// is not free.
    pub fn take_page(&mut self, index: Frame) -> bool {
        let free = self.take_range(self.pfn(index), 1).is_ok();
        if free {
            self.lists.set_tag(index, Tag::allocated(0, Migratetype::Movable));
        }
        free
    }

    /// The word that a kernel page's holder keeps in its descriptor; whatever was there where
    /// nothing was kept.
    pub fn kept_word(&self, index: Frame) -> u32 {
        self.lists.page(index).next
    }

    /// Keeps a word in the descriptor of a page that is allocated and on no list, so that its
    /// holder can chain its pages.
    pub fn keep_word(&mut self, index: Frame, word: u32) {
        self.lists.page_mut(index).next = word;
    }

    /// A page frame number's place in the zone.
    #[inline]
    pub fn frame(&self, pfn: Pfn) -> Frame {
        Frame(pfn.0.wrapping_sub(self.start.0))
    }

    /// The page frame number of a frame.
    #[inline]
    pub fn pfn(&self, frame: Frame) -> Pfn {
        self.start.add(frame.0)
    }

    /// Whether the zone has such a frame.
    #[inline]
    pub fn spans(&self, frame: Frame) -> bool {
        frame.0 < self.lists.frames()
    }

    /// The type of the pageblock that a frame of the zone lies in.
    #[inline]
    pub fn pageblock(&self, index: Frame) -> Migratetype {
        self.pageblocks[index.pageblock() % MAX_PAGEBLOCKS]
    }

    /// Counts pages that become free in a pageblock of a type.
    #[inline]
    pub(super) fn count_free(&mut self, pages: u32, migratetype: Migratetype) {
        self.free[migratetype.kind()] += pages;
    }

    /// Counts pages that leave a pageblock of a type.
    #[inline]
    pub(super) fn count_taken(&mut self, pages: u32, migratetype: Migratetype) {
        self.free[migratetype.kind()] -= pages;
    }
}
