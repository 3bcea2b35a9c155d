// SPDX-License-Identifier: MIT OR Apache-2.0

//! The page cache over a slow source: runs of neighbouring pages are read ahead and written back,
//! with several requests in flight.
//!
//! A page's entry in the cache says which request is in flight (`READING`, `WRITING`), and if the
//! last one failed (`FAILED`, `UNWRITTEN`); the cause is `PageSource::fault_of`, returned to the
//! next reader or sync ([`LiveError::Io`]). A page that could not be written stays dirty, and is
//! not written again before a sync or a new write to it.
//!
//! There is no other thread: the user that needs a page starts the request, the source works
//! meanwhile, and [`Mm::poll_disk`] records ended requests whenever a user polls or waits.

use core::ops::Range;

use super::cache::{FAILED, READING, UNWRITTEN, WRITING};
use super::source::{DiskFault, Identity, IoError, MAX_SEGMENTS, Operation, PageSource};
use super::space::OwnedFrame;
use super::{LiveError, Mm};
use page_alloc::lru::{DIRTY, FILE, Place};
use page_alloc::{Frame, Migratetype};
use units::Pfn;

pub use super::source::DiskStats;

/// Managed pages for each page that may be dirty; a writer that makes more dirty starts writeback.
const DIRTY_SHARE: u32 = 8;

impl Mm<'_, '_> {
    fn disk(&mut self) -> Option<&mut (dyn PageSource + 'static)> {
        self.live.cache.source.as_deref_mut()
    }

    /// Calls `call` with the source and the rest of `Mm`; the source is out of the cache meanwhile.
    fn with_disk<R>(&mut self, call: impl FnOnce(&mut dyn PageSource, &mut Self) -> R) -> Option<R> {
        let mut source = self.live.cache.source.take()?;
        let result = call(&mut *source, self);
        self.live.cache.source = Some(source);
        Some(result)
    }

    /// The identity of the disk under the cache.
    pub fn disk_identity(&self) -> Option<&Identity> {
        self.live.cache.source.as_ref().map(|source| source.identity())
    }

    /// The disk's counters.
    pub fn disk_stats(&self) -> DiskStats {
        self.live.cache.source.as_ref().map_or_else(DiskStats::default, |source| source.stats())
    }

    /// Pages that the device owns at present.
    pub fn pages_lent_to_disk(&self) -> u32 {
        self.live.cache.source.as_ref().map_or(0, |source| source.owned())
    }

    /// The frames of requests of a kind that were started since the last [`Mm::kick_disk`].
    pub fn frames_waiting_for_disk(&self, operation: Operation) -> impl Iterator<Item = Pfn> + '_ {
        self.live.cache.source.iter().flat_map(move |source| source.waiting(operation))
    }

    /// Marks cache pages that have no request in flight, and starts a request for them.
    fn start(&mut self, operation: Operation, first: u32, pages: u32) -> Result<(), LiveError> {
        let state = if operation == Operation::Read { READING } else { WRITING };
        (first..first + pages).for_each(|page| self.live.cache.set_state(page, state));
        let started = self.with_disk(|source, mm| source.start(mm, operation, first, pages));
        started.ok_or(LiveError::NotThere)?.map_err(|error| {
            self.ended(operation, first..first + pages, false);
            LiveError::Io(DiskFault { operation, first, pages, error })
        })
    }

    /// Records the requests that have ended; returns their number.
    pub fn poll_disk(&mut self) -> u32 {
        let mut ended = 0;
        while let Some(Some(end)) = self.with_disk(|source, mm| source.poll(mm)) {
            self.ended(end.operation, end.first..end.first + end.pages, end.result.is_ok());
            ended += 1;
        }
        ended
    }

    /// Records in the entries of `pages` how their request ended.
    fn ended(&mut self, operation: Operation, pages: Range<u32>, well: bool) {
        for page in pages {
            let state = match operation {
                Operation::Read if !well => FAILED,
                Operation::Write if !well => UNWRITTEN,
                _ => 0,
            };
            self.live.cache.set_state(page, state);
            if operation == Operation::Write && well {
                self.set_clean(page);
            }
        }
    }

    /// Marks a page clean: the disk has its content.
    fn set_clean(&mut self, page: u32) {
        let Some(frame) = self.live.cache.frame(page) else { return };
        let index = self.zone.frame(frame);
        if self.zone.tag(index).has(DIRTY) {
            self.zone.mark(index, DIRTY, false);
            self.live.cache.dirty -= 1;
            self.live.stats.written_back += 1;
        }
    }

    /// Sleeps until a request has ended; false if none is in flight.
    pub fn wait_for_disk(&mut self) -> bool {
        loop {
            let Some(disk) = self.disk() else { return false };
            if disk.in_flight() == 0 {
                return false;
            }
            disk.kick();
            if self.poll_disk() > 0 {
                return true;
            }
            if let Some(disk) = self.disk() {
                disk.wait();
            }
        }
    }

    /// Notifies the device of the queued requests.
    pub fn kick_disk(&mut self) {
        if let Some(disk) = self.disk() {
            disk.kick();
        }
    }

    /// Waits until nothing is in flight.
    pub fn settle_disk(&mut self) {
        while self.wait_for_disk() {}
    }

    /// Waits until a request can be started, or none is in flight.
    fn make_room(&mut self) {
        while self.disk().is_some_and(|disk| !disk.has_room()) && self.wait_for_disk() {}
    }

    /// Starts reading a run of up to `most` pages from `first` on, up to the first that is in the
    /// cache; returns the number of pages.
    ///
    /// The device may see the request only at the next [`Mm::kick_disk`], or wait.
    ///
    /// # Errors
    /// No page could be allocated, or the request could not be started.
    pub(super) fn start_reading(&mut self, first: u32, most: u32) -> Result<u32, LiveError> {
        let end = first.saturating_add(most.min(MAX_SEGMENTS as u32)).min(self.live.cache.pages);
        let missing = (first..end).take_while(|&page| self.live.cache.frame(page).is_none()).count();
        let (mut frames, mut pages, mut result) = ([Frame(0); MAX_SEGMENTS], 0, Ok(()));
        // This may write dirty pages, drop others, and wait: the new frames enter the cache only
        // after all of them are allocated.
        while pages < missing && result.is_ok() {
            match self.get_page(Migratetype::Movable, true) {
                Ok(index) => {
                    frames[pages] = index;
                    pages += 1;
                }
                Err(error) => result = Err(error),
            }
        }
        if pages == 0 {
            return result.map(|()| 0);
        }
        self.make_room();
        for (page, index) in (first..).zip(&frames[..pages]) {
            self.adopt(page, *index);
        }
        let pages = pages as u32;
        self.start(Operation::Read, first, pages).map(|()| pages)
    }

    /// Puts a newly allocated frame into the cache, for a page that is to be read.
    fn adopt(&mut self, page: u32, index: Frame) {
        let bytes = self.disk_identity().map_or(0, |identity| identity.bytes_of_page(page));
        let frame = self.zone.pfn(index);
        // Zeroes what the disk's last page lacks.
        self.live.space.frame_words(OwnedFrame::living(frame))[bytes as usize / 4..].fill(0);
        self.zone.bring_to_life(index, FILE, page, Place::Batch);
        self.live.cache.set_frame(page, Some(frame));
        self.live.cache.cached += 1;
        self.live.stats.filled += 1;
        self.lru_batch_add(index);
    }

    /// Starts reading ahead while requests are free; returns the number of pages started.
    ///
    /// It does not wait for the reads, but may reclaim, wait and kill to get frames. It reports no
    /// failure: the reader of the page gets it.
    pub fn read_ahead(&mut self, first: u32, pages: u32) -> u32 {
        let (mut at, mut started) = (first, 0);
        let end = first.saturating_add(pages).min(self.live.cache.pages);
        self.poll_disk();
        while at < end {
            if self.live.cache.frame(at).is_some() {
                at += 1;
                continue;
            }
            if self.disk().is_none_or(|disk| !disk.has_room()) {
                break;
            }
            let Ok(count @ 1..) = self.start_reading(at, end - at) else { break };
            (at, started) = (at + count, started + count);
        }
        started
    }

    /// True for a dirty page without a request in flight; one that could not be written counts only
    /// if `again` is set, with which the caller says that the page has no request.
    fn is_writable(&self, page: u32, again: bool) -> bool {
        // A page that is being read is not dirty.
        let dirty = self.live.cache.frame(page).is_some_and(|frame| self.zone.tag(self.zone.frame(frame)).has(DIRTY));
        dirty && (again || self.live.cache.state(page) & (WRITING | UNWRITTEN) == 0)
    }

    /// Starts writing the run of dirty pages from `first` on; returns their number, 0 if the first
    /// is not writable.
    pub(super) fn start_writing(&mut self, first: u32, again: bool) -> u32 {
        if !self.is_writable(first, again) {
            return 0;
        }
        self.make_room();
        let end = (first + MAX_SEGMENTS as u32).min(self.live.cache.pages);
        let pages = (first..end).take_while(|&page| self.is_writable(page, again)).count() as u32;
        // A request that could not be started has marked its pages `UNWRITTEN`.
        let _ = self.start(Operation::Write, first, pages);
        pages
    }

    /// Starts writing the next run of dirty pages after the last one; returns its number of pages.
    pub fn write_some(&mut self) -> u32 {
        let pages = self.live.cache.pages;
        let from = self.live.cache.sweep;
        let next = (from..pages).chain(0..from.min(pages)).find(|&page| self.is_writable(page, false));
        let Some(first) = next.filter(|_| self.disk().is_some_and(|disk| disk.has_room())) else {
            return 0;
        };
        let started = self.start_writing(first, false);
        self.live.cache.sweep = first + started;
        started
    }

    /// Starts writing dirty pages if there are too many of them, and waits while there are twice as
    /// many.
    ///
    /// # Errors
    /// They do not become fewer, because they cannot be written.
    pub(super) fn balance_dirty_pages(&mut self) -> Result<(), LiveError> {
        let limit = self.zone.managed_pages() / DIRTY_SHARE;
        if self.live.cache.dirty <= limit {
            return Ok(());
        }
        while self.write_some() > 0 {}
        self.kick_disk();
        while self.live.cache.dirty > 2 * limit {
            if !self.wait_for_disk() {
                return Err(self.io_error(Operation::Write, self.live.cache.sweep.saturating_sub(1)));
            }
            self.write_some();
        }
        Ok(())
    }

    /// Writes the dirty pages of a range and waits until the disk has made them permanent; returns
    /// the number of pages written.
    ///
    /// # Errors
    /// The first request that could not be written, or the flush. Pages that may not be on the disk
    /// are still cached, and dirty: the next sync writes them again.
    pub fn sync_pages(&mut self, first: u32, pages: u32) -> Result<u32, LiveError> {
        let end = first.saturating_add(pages).min(self.live.cache.pages);
        self.settle_disk();
        let mut written = 0;
        let mut at = first;
        while at < end {
            let started = self.start_writing(at, true);
            written += started;
            at += started.max(1);
        }
        self.settle_disk();
        for page in first..end {
            if self.is_writable(page, true) {
                return Err(self.io_error(Operation::Write, page));
            }
        }
        self.flush_disk().map_err(|error| {
            // It is unknown what the disk has of the range: the next sync writes all of it again.
            (first..end).for_each(|page| self.doubt(page));
            LiveError::Io(DiskFault { operation: Operation::Flush, first: 0, pages: 0, error })
        })?;
        Ok(written)
    }

    /// Makes a cached page dirty, unless it holds no content. It has no request in flight.
    fn doubt(&mut self, page: u32) {
        let holds = self.live.cache.state(page) & FAILED == 0;
        if let Some(frame) = self.live.cache.frame(page).filter(|_| holds) {
            self.set_dirty(self.zone.frame(frame));
        }
    }

    /// Flushes the disk, if it has to be flushed, and waits.
    fn flush_disk(&mut self) -> Result<(), IoError> {
        if self.disk_identity().is_none_or(|identity| !identity.flushes) {
            return Ok(());
        }
        if let Err(LiveError::Io(DiskFault { error, .. })) = self.start(Operation::Flush, 0, 0) {
            return Err(error);
        }
        self.settle_disk();
        self.disk().map_or(Ok(()), |disk| disk.flushed())
    }

    /// The error of a page whose request failed; a general one if the source has no record of it.
    pub(super) fn io_error(&mut self, operation: Operation, page: u32) -> LiveError {
        let unknown = DiskFault { operation, first: page, pages: 1, error: IoError::Failed };
        LiveError::Io(self.disk().and_then(|disk| disk.fault_of(operation, page)).unwrap_or(unknown))
    }
}
