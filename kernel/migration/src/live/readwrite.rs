// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reading and writing files' pages: whole pages in and out of the cache, over a disk.

use super::cache::{FAILED, READING, WRITING};
use super::source::{DiskFault, IoError, MAX_SEGMENTS, Operation};
use super::space::OwnedFrame;
use super::{LiveError, Mm};
use page_alloc::lru::{DIRTY, FILE, PINNED, Place};
use page_alloc::{Frame, Migratetype};

/// The words of a page.
pub type PageWords = [u32; 1024];

impl Mm<'_, '_> {
    /// Returns the frame of a page of the disk; reads it and waits if it is not cached.
    pub(super) fn bring_in_from_disk(&mut self, page: u32) -> Result<Frame, LiveError> {
        // A page that was brought in may be dropped before it can be used, when others need memory.
        for _ in 0..MAX_TRIES {
            let Some(frame) = self.live.cache.frame(page) else {
                self.start_reading(page, MAX_SEGMENTS as u32)?;
                continue;
            };
            let state = self.live.cache.state(page);
            if state & FAILED != 0 {
                let error = self.io_error(Operation::Read, page);
                self.forget_page(page);
                return Err(error);
            }
            if state & READING == 0 {
                return Ok(self.zone.frame(frame));
            }
            self.wait_for_disk();
        }
        Err(LiveError::NoMemory)
    }

    /// Reads a page of the disk through the cache.
    ///
    /// # Errors
    /// There is no such page, no memory for it, or it cannot be read.
    pub fn cache_get(&mut self, page: u32, words: &mut PageWords) -> Result<(), LiveError> {
        let index = self.bring_in(page)?;
        self.mark_accessed(index);
        self.cpu_access(self.zone.pfn(index), false);
        words.copy_from_slice(self.live.space.frame_words(OwnedFrame::living(self.zone.pfn(index))));
        self.background_reclaim();
        Ok(())
    }

    /// Writes a page of the disk through the cache and makes it dirty.
    ///
    /// # Errors
    /// There is no such page, no memory for it, the disk is read-only, or too many dirty pages
    /// cannot be written.
    pub fn cache_put(&mut self, page: u32, words: &PageWords) -> Result<(), LiveError> {
        let identity = self.disk_identity().ok_or(LiveError::NotThere)?;
        if identity.read_only {
            let (operation, error) = (Operation::Write, IoError::ReadOnly);
            return Err(LiveError::Io(DiskFault { operation, first: page, pages: 1, error }));
        }
        if page >= self.live.cache.pages {
            return Err(LiveError::NotThere);
        }
        // While a device owns the page, the processor must not write to it.
        while self.live.cache.frame(page).is_some() && self.live.cache.state(page) & (READING | WRITING) != 0 {
            self.wait_for_disk();
        }
        let frame = match self.live.cache.frame(page) {
            Some(frame) => frame,
            None => {
                let index = self.get_page(Migratetype::Movable, false)?;
                let frame = self.zone.pfn(index);
                self.zone.bring_to_life(index, FILE, page, Place::Batch);
                self.live.cache.set_frame(page, Some(frame));
                self.live.cache.cached += 1;
                self.lru_batch_add(index);
                frame
            }
        };
        let index = self.zone.frame(frame);
        self.cpu_access(frame, true);
        self.live.space.frame_words(OwnedFrame::living(frame)).copy_from_slice(words);
        self.live.cache.set_state(page, 0);
        self.mark_accessed(index);
        self.set_dirty(index);
        let balanced = self.balance_dirty_pages();
        self.background_reclaim();
        balanced
    }

    /// Drops the pages of a range that are clean and not pinned; returns their number.
    pub fn drop_pages(&mut self, first: u32, pages: u32) -> u32 {
        let mut dropped = 0;
        for page in first..first.saturating_add(pages).min(self.live.cache.pages) {
            let Some(frame) = self.live.cache.frame(page) else { continue };
            let tag = self.zone.tag(self.zone.frame(frame));
            if !tag.has(PINNED) && !tag.has(DIRTY) {
                self.forget_page(page);
                dropped += 1;
            }
        }
        dropped
    }
}

/// Most rounds of bringing in a page and waiting for it.
const MAX_TRIES: u32 = 64;
