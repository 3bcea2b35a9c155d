//! Disks: what a block device is to those above it, and what lies on one.
//!
//! The way of the data: a page of the cache that is missing, or dirty → `mm::live::disk` maps its frame for the device and
//! makes a [`Request`] of neighbours → a [`BlockDevice`] queues it and moves the data by itself → its interrupt ends the wait →
//! a [`Completion`] per request, in any order. `boot` has the real device (virtio), the host tests a disk that delays,
//! reorders, fails and disappears. [`volume`] says which pages of a disk are which file.
//!
//! What holds true: from [`BlockDevice::submit`] to its completion a request's memory is the device's; every request that
//! was accepted completes exactly once, after [`BlockDevice::reset`] at the latest; nothing here panics on what a device says.

#[cfg(test)]
pub(crate) mod mock;
pub mod volume;

use alloc::string::String;
use core::fmt;

use crate::dma::{DeviceAddress, DeviceId};
use crate::mm::live::space::AddressSpace;
use crate::units::PAGE_SIZE;

/// Bytes of a sector, the unit of a disk's addresses.
pub const SECTOR_BYTES: u64 = 512;
/// Sectors of a page.
pub const SECTORS_PER_PAGE: u64 = PAGE_SIZE / SECTOR_BYTES;
/// Most requests in flight.
pub const MAX_REQUESTS: usize = 7;
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

/// A piece of memory that is mapped for the device: within a page, whole sectors, not empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Where the device finds it.
    pub address: DeviceAddress,
    /// Its length.
    pub bytes: u32,
}

/// Something for the device to do.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Names it among those in flight: less than [`MAX_REQUESTS`], and of one at a time.
    pub tag: usize,
    /// What to do.
    pub operation: Operation,
    /// Where on the disk.
    pub sector: u64,
    /// Where in memory, in the order of the disk; at most [`MAX_SEGMENTS`], none for a flush.
    pub segments: &'a [Segment],
}

/// The end of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Completion {
    /// Which.
    pub tag: usize,
    /// How it ended.
    pub result: Result<(), IoError>,
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

/// What a disk did not do: the request, and why. Which of its pages it was, the device does not say.
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
    pub(crate) fn is_about(&self, operation: Operation, page: u32) -> bool {
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

/// A device that stores sectors. It works while its driver sleeps.
pub trait BlockDevice {
    /// What it says of itself; the same for ever.
    fn identity(&self) -> &Identity;

    /// Who it is to the DMA API.
    fn dma_device(&self) -> DeviceId;

    /// Queues a request. Its memory is the device's from now on, which starts at the next [`BlockDevice::kick`] at the latest.
    ///
    /// # Errors
    /// The device took nothing.
    fn submit(&mut self, request: &Request<'_>) -> Result<(), IoError>;

    /// Tells the device to look at its queue.
    fn kick(&mut self);

    /// The next request that has ended; never waits. A device made of software moves its data now, through `memory`;
    /// hardware has done so by itself.
    fn complete(&mut self, memory: &mut dyn AddressSpace) -> Option<Completion>;

    /// Sleeps until a request may have ended; false where somebody wants out (Ctrl-C) and the device still does not answer.
    fn wait(&mut self) -> bool;

    /// Stops the device: it touches no memory afterwards. Requests in flight complete as [`IoError::SwitchedOff`], and so
    /// does whatever is submitted from now on.
    fn reset(&mut self);

    /// Whether it still works.
    ///
    /// # Errors
    /// It was stopped, for this reason.
    fn works(&self) -> Result<(), IoError>;

    /// Interrupts taken from it.
    fn interrupts(&self) -> u64;
}
