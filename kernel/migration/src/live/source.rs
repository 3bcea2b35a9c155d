// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the page cache asks of the source under it, where pages take their time: to read and to
//! write runs of neighbours, several of them in flight.
//!
//! A disk's layer implements [`PageSource`]; the cache knows no device, no queue and no DMA.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use super::Mm;
use units::{PAGE_SIZE, Pfn};

/// Bytes of a sector, the unit of a disk's addresses.
pub const SECTOR_BYTES: u64 = 512;
/// Sectors of a page.
pub const SECTORS_PER_PAGE: u64 = PAGE_SIZE / SECTOR_BYTES;
/// Most pages of a request.
pub const MAX_SEGMENTS: usize = 16;

/// What a request does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// The device writes to memory.
    Read,
    /// The device reads from memory.
    Write,
    /// What was written is made permanent; no data.
    Flush,
}

/// Why a request failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IoError {
    /// The device could not do it.
    Failed,
    /// The pages could not be mapped for the device.
    Unmapped,
    /// The device does not know how to do it.
    Unsupported,
    /// The disk is read-only.
    ReadOnly,
    /// The disk is not that large.
    OutOfRange,
    /// The device is gone.
    Gone,
    /// The device did not answer, and was reset by whoever wanted out.
    SwitchedOff,
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "an I/O error",
            Self::Unmapped => "the pages could not be mapped for the device",
            Self::Unsupported => "the device does not do that",
            Self::ReadOnly => "the disk is read-only",
            Self::OutOfRange => "beyond the end of the disk",
            Self::Gone => "the device is gone",
            Self::SwitchedOff => "it did not answer, and was switched off by Ctrl-C, for good",
        })
    }
}

/// What a disk did not do: the request, and why. Which of its pages it was, the device does not
/// say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskFault {
    /// What it was to do.
    pub operation: Operation,
    /// The first page of the disk that it was about.
    pub first: u32,
    /// How many; none for a flush, which is about all.
    pub pages: u32,
    /// Why.
    pub error: IoError,
}

impl DiskFault {
    /// Whether a page was part of it.
    pub fn is_about(&self, operation: Operation, page: u32) -> bool {
        self.operation == operation && page.wrapping_sub(self.first) < self.pages
    }
}

impl fmt::Display for DiskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, first, pages, error } = self;
        f.write_str(match operation {
            Operation::Read => "reading ",
            Operation::Write => "writing ",
            Operation::Flush => "flushing ",
        })?;
        match pages {
            0 => f.write_str("the disk")?,
            1 => write!(f, "page {first} of the disk")?,
            _ => write!(f, "pages {first} to {} of the disk", first + pages - 1)?,
        }
        write!(f, ": {error}")
    }
}

/// What a device says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// What it is called in messages, for example `virtio-blk at 0x10013600 (legacy)`.
    pub name: String,
    /// Its size.
    pub sectors: u64,
    /// Whether it refuses to be written.
    pub read_only: bool,
    /// Whether what was written is permanent at once only after a flush.
    pub flushes: bool,
}

impl Identity {
    /// Pages of the disk, the last of which may be a part of one.
    pub fn pages(&self) -> u64 {
        self.sectors.div_ceil(SECTORS_PER_PAGE)
    }

    /// Bytes of a page of the disk: less than a page only for the last.
    pub fn bytes_of_page(&self, page: u32) -> u32 {
        let before = u64::from(page) * SECTORS_PER_PAGE;
        (self.sectors.saturating_sub(before).min(SECTORS_PER_PAGE) * SECTOR_BYTES) as u32
    }
}

/// What a disk has done since `open`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct DiskStats {
    /// Requests that ended.
    pub requests: u64,
    /// Pages read.
    pub pages_read: u64,
    /// Pages written.
    pub pages_written: u64,
    /// Flushes.
    pub flushes: u64,
    /// Requests that failed.
    pub failed: u64,
    /// The most requests that were in flight together.
    pub most_in_flight: u32,
    /// Pages that the device filled, or took, in frames that were theirs no longer. With pins there
    /// are none.
    pub astray: [u64; 2],
}

/// The end of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    /// What it did.
    pub operation: Operation,
    /// Its first page.
    pub first: u32,
    /// How many; none for a flush.
    pub pages: u32,
    /// How it ended.
    pub result: Result<(), IoError>,
}

/// Pages that can be read and written back, which takes a while.
///
/// While a request is in flight its frames are the source's: it has pinned them, and nobody else
/// touches them. Every request that was started ends exactly once.
pub trait PageSource {
    /// What it says of itself; the same for ever.
    fn identity(&self) -> &Identity;

    /// Nobody has used it before: what was counted is forgotten.
    fn restart(&mut self);

    /// What it has done since [`PageSource::restart`].
    fn stats(&self) -> DiskStats;

    /// Pages that it owns just now.
    fn owned(&self) -> u32;

    /// Requests in flight.
    fn in_flight(&self) -> u32;

    /// Whether a request can be started.
    fn has_room(&self) -> bool;

    /// Starts a request for pages that are in the cache and in nobody's hands. It begins at the
    /// next [`PageSource::kick`] at the latest.
    ///
    /// # Errors
    /// Nothing was started.
    fn start(&mut self, mm: &mut Mm<'_, '_>, operation: Operation, first: u32, pages: u32) -> Result<(), IoError>;

    /// The next request that has ended, whose frames are the cache's again; never waits.
    fn poll(&mut self, mm: &mut Mm<'_, '_>) -> Option<Ended>;

    /// Tells it to look at what was started.
    fn kick(&mut self);

    /// Sleeps until a request may have ended, or gives up on all of them where somebody wants out.
    fn wait(&mut self);

    /// How the last flush ended.
    ///
    /// # Errors
    /// Nobody knows whether what was written is permanent.
    fn flushed(&self) -> Result<(), IoError>;

    /// The latest failure that a page was part of.
    fn fault_of(&self, operation: Operation, page: u32) -> Option<DiskFault>;

    /// The frames of requests of a kind that were started since the last [`PageSource::kick`].
    fn waiting(&self, operation: Operation) -> Box<dyn Iterator<Item = Pfn> + '_>;

    /// Whether it still works.
    ///
    /// # Errors
    /// It was stopped, for this reason.
    fn works(&self) -> Result<(), IoError>;

    /// Interrupts taken from it.
    fn interrupts(&self) -> u64;
}
