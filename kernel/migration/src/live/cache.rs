// SPDX-License-Identifier: MIT OR Apache-2.0

//! The page cache: pages that can be read from their source again.
//!
//! The source is a [`PageSource`], mostly a disk. If there is none, the content is made up: it
//! follows from the page's index and its version, which the table keeps. A clean page can be
//! dropped at any time; a dirty one has to be written back first, which takes a disk some time (see
//! `disk`). The kernel reads and writes these pages by frame; they have no virtual address.

use alloc::boxed::Box;

use super::journal::Fate;
use super::source::PageSource;
use super::space::OwnedFrame;
use super::space::Table;
use super::{LiveError, Mm, content};
use page_alloc::lru::{DIRTY, FILE, Place, REFERENCED};
use page_alloc::policy::Lend;
use page_alloc::{Frame, Migratetype};
use units::Pfn;

/// Words of an entry.
const ENTRY: usize = 2;
/// Bytes of an entry.
pub(super) const ENTRY_BYTES: u32 = 4 * ENTRY as u32;
/// The frame, 0 if the page is not in the cache.
const FRAME: usize = 0;
/// For a made-up source: the version written last in the upper half, the source's version in the
/// lower.
const VERSIONS: usize = 1;
/// For a disk: the request in flight and the last failure; unused while there is no frame.
const STATE: usize = 1;
/// A request is in flight that fills the page.
pub(super) const READING: u32 = 1 << 0;
/// A request is in flight that writes the page.
pub(super) const WRITING: u32 = 1 << 1;
/// It could not be read: the frame has no valid content.
pub(super) const FAILED: u32 = 1 << 2;
/// It could not be written.
pub(super) const UNWRITTEN: u32 = 1 << 3;

/// The table of pages. A version wraps after 65,535.
pub(super) struct Cache {
    table: Table,
    pub(super) pages: u32,
    pub(super) cached: u32,
    pub(super) dirty: u32,
    /// Source of the pages; `None` if they are made up.
    pub(super) source: Option<Box<dyn PageSource>>,
    /// Page at which the writing of dirty pages continues.
    pub(super) sweep: u32,
}

impl Cache {
    /// Makes an empty cache over a zeroed `table`.
    pub(super) fn new(table: Table, pages: u32, mut source: Option<Box<dyn PageSource>>) -> Self {
        if let Some(source) = &mut source {
            source.restart();
        }
        Self { table, pages, cached: 0, dirty: 0, source, sweep: 0 }
    }

    pub(super) fn into_parts(self) -> (Table, Option<Box<dyn PageSource>>) {
        (self.table, self.source)
    }

    #[inline]
    fn get(&self, page: u32, word: usize) -> u32 {
        self.table.get()[page as usize * ENTRY + word]
    }

    #[inline]
    fn set(&mut self, page: u32, word: usize, value: u32) {
        self.table.get_mut()[page as usize * ENTRY + word] = value;
    }

    pub(super) fn frame(&self, page: u32) -> Option<Pfn> {
        let frame = self.get(page, FRAME);
        (frame != 0).then_some(Pfn(frame))
    }

    pub(super) fn set_frame(&mut self, page: u32, frame: Option<Pfn>) {
        self.set(page, FRAME, frame.map_or(0, |frame| frame.0));
    }

    /// The state of a disk's page: a mask of [`READING`] to [`UNWRITTEN`].
    pub(super) fn state(&self, page: u32) -> u32 {
        self.get(page, STATE)
    }

    pub(super) fn set_state(&mut self, page: u32, state: u32) {
        self.set(page, STATE, state);
    }

    /// The stamp of the page's expected content; `None` for a disk's page, which its readers
    /// verify.
    pub(super) fn stamp(&self, page: u32) -> Option<u32> {
        self.source.is_none().then(|| content::of_cache_page(page, self.get(page, VERSIONS) >> 16))
    }

    /// The stamp of the content that a made-up source has.
    fn source_stamp(&self, page: u32) -> u32 {
        content::of_cache_page(page, self.get(page, VERSIONS) & 0xffff)
    }

    fn write(&mut self, page: u32) {
        let versions = self.get(page, VERSIONS);
        self.set(page, VERSIONS, versions.wrapping_add(1 << 16));
    }

    fn write_back(&mut self, page: u32) {
        let versions = self.get(page, VERSIONS);
        self.set(page, VERSIONS, versions & !0xffff | versions >> 16);
    }
}

impl Mm<'_, '_> {
    /// Number of pages that can be cached: the source's, at most [`super::MAX_SLOTS`].
    pub fn cache_capacity(&self) -> u32 {
        self.live.cache.pages
    }

    /// Pages in the cache.
    pub fn cached_pages(&self) -> u32 {
        self.live.cache.cached
    }

    /// Pages in the cache that the source does not have yet.
    pub fn dirty_pages(&self) -> u32 {
        self.live.cache.dirty
    }

    /// True if a page can be read in without waking background reclaim.
    pub fn has_room_for_cache(&self) -> bool {
        let low = self.zone.kept_watermarks().low;
        self.zone.watermark_ok(low, self.live.lend.admits(Migratetype::Movable, true))
    }

    /// The frame that holds a page of the source.
    pub fn cache_frame(&self, page: u32) -> Option<Pfn> {
        if page < self.live.cache.pages { self.live.cache.frame(page) } else { None }
    }

    /// Reads a page of the source through the cache; true if it holds what was written last. A
    /// disk's page is not verified.
    ///
    /// # Errors
    /// There is no such page, no memory for it, or it cannot be read.
    #[track_caller]
    pub fn cache_read(&mut self, page: u32) -> Result<bool, LiveError> {
        let index = self.bring_in(page)?;
        self.cpu_access(self.zone.pfn(index), false);
        self.mark_accessed(index);
        let words = self.live.space.frame_words(OwnedFrame::living(self.zone.pfn(index)));
        let holds = self.live.cache.stamp(page).is_none_or(|stamp| content::holds(words, stamp));
        self.background_reclaim();
        Ok(holds)
    }

    /// Writes a page of a made-up source through the cache and makes it dirty. For a disk's page,
    /// use [`Mm::cache_put`].
    ///
    /// If only clean pages may be in an area (`lend=clean`) and the page is in one, it is written
    /// back at once.
    ///
    /// # Errors
    /// There is no such page, or no memory for it.
    #[track_caller]
    pub fn cache_write(&mut self, page: u32) -> Result<(), LiveError> {
        if self.live.cache.source.is_some() {
            return Err(LiveError::NotThere);
        }
        let index = self.bring_in(page)?;
        self.cpu_access(self.zone.pfn(index), true);
        self.mark_accessed(index);
        self.live.cache.write(page);
        let stamp = content::of_cache_page(page, self.live.cache.get(page, VERSIONS) >> 16);
        content::fill(self.live.space.frame_words(OwnedFrame::living(self.zone.pfn(index))), stamp);
        self.set_dirty(index);
        // An isolated pageblock is one of an area that is being emptied.
        let lent = matches!(self.zone.pageblock(index), Migratetype::Cma | Migratetype::Isolate);
        if self.live.lend == Lend::Clean && lent {
            self.write_back(index);
        }
        self.background_reclaim();
        Ok(())
    }

    pub(super) fn set_dirty(&mut self, index: Frame) {
        if !self.zone.tag(index).has(DIRTY) {
            self.zone.mark(index, DIRTY, true);
            self.live.cache.dirty += 1;
        }
    }

    /// Returns the frame of a page of the source; reads it in if it is not cached.
    pub(super) fn bring_in(&mut self, page: u32) -> Result<Frame, LiveError> {
        if page >= self.live.cache.pages {
            return Err(LiveError::NotThere);
        }
        if self.live.cache.source.is_some() {
            return self.bring_in_from_disk(page);
        }
        if let Some(frame) = self.live.cache.frame(page) {
            return Ok(self.zone.frame(frame));
        }
        let index = self.get_page(Migratetype::Movable, true)?;
        self.fill_in(page, index, Place::Batch);
        self.lru_batch_add(index);
        Ok(index)
    }

    /// Puts a newly allocated frame into the cache as `page`, with the made-up source's content.
    fn fill_in(&mut self, page: u32, index: Frame, place: Place) {
        self.zone.bring_to_life(index, FILE, page, place);
        let frame = self.zone.pfn(index);
        content::fill(self.live.space.frame_words(OwnedFrame::living(frame)), self.live.cache.source_stamp(page));
        self.live.cache.set_frame(page, Some(frame));
        self.live.cache.cached += 1;
        self.live.stats.filled += 1;
    }

    /// Marks a page used; the second use makes an inactive page active (`mark_page_accessed`).
    pub(super) fn mark_accessed(&mut self, index: Frame) {
        let tag = self.zone.tag(index);
        if tag.has(REFERENCED) && tag.place() == Place::Inactive {
            self.zone.mark(index, REFERENCED, false);
            self.zone.lru_set_active(index, true);
        } else {
            self.zone.mark(index, REFERENCED, true);
        }
    }

    /// Writes a dirty page back; false if the source refuses. For a disk it starts the write and
    /// returns false.
    pub(crate) fn write_back(&mut self, index: Frame) -> bool {
        if self.live.faults.refuse_write_back {
            return false;
        }
        if self.live.cache.source.is_some() {
            self.start_writing(self.zone.owner(index), false);
            return false;
        }
        self.live.cache.write_back(self.zone.owner(index));
        self.zone.mark(index, DIRTY, false);
        self.live.cache.dirty -= 1;
        self.live.stats.written_back += 1;
        true
    }

    /// Writes every dirty page back (`sync`); returns their number, 0 for a disk: its writes only
    /// start.
    pub fn sync(&mut self) -> u32 {
        let mut written = 0;
        for page in 0..self.live.cache.pages {
            if let Some(frame) = self.live.cache.frame(page) {
                let index = self.zone.frame(frame);
                if self.zone.tag(index).has(DIRTY) {
                    written += u32::from(self.write_back(index));
                }
            }
        }
        written
    }

    /// Drops a page that is clean and on no list, and frees its frame.
    #[inline]
    pub(crate) fn drop_clean(&mut self, index: Frame) {
        self.live.cache.set_frame(self.zone.owner(index), None);
        self.live.cache.cached -= 1;
        self.zone.set_place(index, Place::None);
        self.zone.free_page(index);
    }

    /// Drops a clean page for a contiguous allocation: records it in the journal, and leaves it to
    /// the caller to free the frame.
    #[inline]
    pub(crate) fn drop_for_contig(&mut self, index: Frame, entry: u32) {
        let page = self.zone.owner(index);
        self.live.journal.became(entry, Fate::Dropped(page));
        self.live.cache.cached -= 1;
        self.live.cache.set(page, FRAME, 0);
        self.live.stats.dropped += 1;
    }

    /// Puts a newly allocated frame into the cache as `page`, which was dropped; it is on no list.
    ///
    /// Returns `false` for a disk's page, which takes too long to read: it stays dropped until it
    /// is read.
    pub(crate) fn refill(&mut self, page: u32, index: Frame) -> bool {
        let made_up = self.live.cache.source.is_none();
        if made_up {
            self.fill_in(page, index, Place::Isolated);
        }
        made_up
    }

    /// Drops all cached pages without writeback, because the source goes away.
    pub(super) fn forget_cache(&mut self) {
        for page in 0..self.live.cache.pages {
            self.forget_page(page);
        }
    }

    /// Drops a page without writeback.
    pub(super) fn forget_page(&mut self, page: u32) {
        let Some(frame) = self.live.cache.frame(page) else { return };
        let index = self.zone.frame(frame);
        self.live.cache.dirty -= u32::from(self.zone.tag(index).has(DIRTY));
        self.live.cache.cached -= 1;
        self.live.cache.set_frame(page, None);
        self.let_go(index);
    }

    /// Records the new frame of a cache page.
    pub(crate) fn move_cache_page(&mut self, page: u32, to: Pfn) {
        self.live.cache.set_frame(page, Some(to));
    }
}

/// Queries of the accounting checks and the pseudo files.
impl super::Live {
    pub(super) fn cache_pages(&self) -> u32 {
        self.cache.pages
    }

    /// Pages in the cache.
    pub fn cached_pages(&self) -> u32 {
        self.cache.cached
    }

    /// Pages in the cache that the source does not have yet.
    pub fn dirty_pages(&self) -> u32 {
        self.cache.dirty
    }

    pub(super) fn cache_frame_of(&self, page: u32) -> Option<Pfn> {
        self.cache.frame(page)
    }

    pub(super) fn cache_stamp(&self, page: u32) -> Option<u32> {
        self.cache.stamp(page)
    }
}
