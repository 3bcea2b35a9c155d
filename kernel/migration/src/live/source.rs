// SPDX-License-Identifier: MIT OR Apache-2.0

//! The interface of the page cache to a slow source: it reads and writes runs of neighbouring
//! pages, with several requests in flight.
//!
//! The disk layer implements [`PageSource`]; the cache has no device, queue or DMA of its own.

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

/// Kind of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// The device writes to memory.
    Read,
    /// The device reads from memory.
    Write,
    /// The device makes permanent what was written; no data.
    Flush,
}

/// Why a request failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IoError {
    /// The device could not do it.
    Failed,
    /// The pages could not be mapped for the device.
    Unmapped,
    /// The device does not support it.
    Unsupported,
    /// The disk is read-only.
    ReadOnly,
    /// It is beyond the end of the disk.
    OutOfRange,
    /// The device is gone.
    Gone,
    /// The device did not answer, and was reset when the user interrupted the wait.
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
            Self::SwitchedOff => "it did not answer, and is off since Ctrl-C",
        })
    }
}

/// A failed request, and why it failed. The device does not say which of its pages failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskFault {
    /// Kind of the request.
    pub operation: Operation,
    /// Its first page on the disk.
    pub first: u32,
    /// Its number of pages; 0 for a flush, which is for the whole disk.
    pub pages: u32,
    /// Why.
    pub error: IoError,
}

impl DiskFault {
    /// True if `page` was part of a request of kind `operation`.
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

/// Identity of a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Its name in messages, for example `virtio-blk at 0x10013600 (legacy)`.
    pub name: String,
    /// Its size in sectors.
    pub sectors: u64,
    /// True if it cannot be written.
    pub read_only: bool,
    /// True if written data is permanent only after a flush.
    pub flushes: bool,
}

impl Identity {
    /// Pages of the disk; the last one may be partial.
    pub fn pages(&self) -> u64 {
        self.sectors.div_ceil(SECTORS_PER_PAGE)
    }

    /// Bytes of a page of the disk: less than [`PAGE_SIZE`] only for the last page.
    pub fn bytes_of_page(&self, page: u32) -> u32 {
        let before = u64::from(page) * SECTORS_PER_PAGE;
        (self.sectors.saturating_sub(before).min(SECTORS_PER_PAGE) * SECTOR_BYTES) as u32
    }
}

/// Counters of a disk since `open`.
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
    /// Pages read, and pages written, whose frame held another page at the end of the request. With
    /// pins there are none.
    pub astray: [u64; 2],
}

/// A request that has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Its kind.
    pub operation: Operation,
    /// Its first page.
    pub first: u32,
    /// Its number of pages; 0 for a flush.
    pub pages: u32,
    /// Its result.
    pub result: Result<(), IoError>,
}

/// A source of pages that are slow to read and to write back.
///
/// While a request is in flight, the source owns its frames: it has pinned them, and no one else
/// accesses them. Every request that was started ends exactly once.
pub trait PageSource {
    /// Returns its identity, which never changes.
    fn identity(&self) -> &Identity;

    /// Resets its counters and recorded failures, for a new user.
    fn restart(&mut self);

    /// Returns its counters since [`PageSource::restart`].
    fn stats(&self) -> DiskStats;

    /// Returns the number of pages that it owns at present.
    fn owned(&self) -> u32;

    /// Returns the number of requests in flight.
    fn in_flight(&self) -> u32;

    /// True if a request can be started.
    fn has_room(&self) -> bool;

    /// Starts a request for pages that are in the cache and have no other request. The device sees
    /// it at the next [`PageSource::kick`] at the latest.
    ///
    /// # Errors
    /// The request could not be started; nothing was.
    fn start(&mut self, mm: &mut Mm<'_, '_>, operation: Operation, first: u32, pages: u32) -> Result<(), IoError>;

    /// Returns the next request that has ended, and gives its frames back; never waits.
    fn poll(&mut self, mm: &mut Mm<'_, '_>) -> Option<Ended>;

    /// Notifies the device of the requests that were started.
    fn kick(&mut self);

    /// Sleeps until a request may have ended; resets the device if the user interrupts the wait.
    fn wait(&mut self);

    /// Returns the result of the last flush.
    ///
    /// # Errors
    /// What was written may not be permanent.
    fn flushed(&self) -> Result<(), IoError>;

    /// Returns the latest failure that a page was part of.
    fn fault_of(&self, operation: Operation, page: u32) -> Option<DiskFault>;

    /// Returns the frames of requests of a kind started since the last [`PageSource::kick`].
    fn waiting(&self, operation: Operation) -> Box<dyn Iterator<Item = Pfn> + '_>;

    /// Returns an error if the device was stopped.
    ///
    /// # Errors
    /// The reason why it was stopped.
    fn works(&self) -> Result<(), IoError>;

    /// Returns the number of interrupts taken from it.
    fn interrupts(&self) -> u64;
}
