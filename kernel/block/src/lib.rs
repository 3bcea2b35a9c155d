// SPDX-License-Identifier: MIT OR Apache-2.0

//! Disks: what a block device is to those above it, and what lies on one.
//!
//! The way of the data: a page of the cache that is missing, or dirty → a [`Disk`], which is the
//! cache's source, maps its frame for the device and makes a [`Request`] of neighbours → a
//! [`BlockDevice`] queues it and moves the data by itself → its interrupt ends the wait → a
//! [`Completion`] per request, in any order. `boot` has the real device (virtio), the host tests a
//! disk that delays, reorders, fails and disappears. [`volume`] says which pages of a disk are
//! which file.
//!
//! What holds true: from [`BlockDevice::submit`] to its completion a request's memory is the
//! device's; every request that was accepted completes exactly once, after [`BlockDevice::reset`]
//! at the latest; nothing here panics on what a device says.
//!
//! # Example
//! ```
//! use block::Identity;
//!
//! let disk = Identity { name: "a disk".into(), sectors: 8 * 3 + 5, read_only: false, flushes: true };
//! assert_eq!((disk.pages(), disk.bytes_of_page(2), disk.bytes_of_page(3)), (4, 4096, 5 * 512));
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod disk;
pub mod volume;

use dma::{DeviceAddress, DeviceId};
use migration::live::space::AddressSpace;

pub use disk::Disk;
pub use migration::live::source::{
    DiskFault, DiskStats, Identity, IoError, MAX_SEGMENTS, Operation, SECTOR_BYTES, SECTORS_PER_PAGE,
};

/// Most requests in flight.
pub const MAX_REQUESTS: usize = 7;

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

/// A device that stores sectors. It works while its driver sleeps.
pub trait BlockDevice {
    /// What it says of itself; the same for ever.
    fn identity(&self) -> &Identity;

    /// Who it is to the DMA API.
    fn dma_device(&self) -> DeviceId;

    /// Queues a request. Its memory is the device's from now on, which starts at the next
    /// [`BlockDevice::kick`] at the latest.
    ///
    /// # Errors
    /// The device took nothing.
    fn submit(&mut self, request: &Request<'_>) -> Result<(), IoError>;

    /// Tells the device to look at its queue.
    fn kick(&mut self);

    /// The next request that has ended; never waits. A device made of software moves its data now,
    /// through `memory`; hardware has done so by itself.
    fn complete(&mut self, memory: &mut dyn AddressSpace) -> Option<Completion>;

    /// Sleeps until a request may have ended; false where somebody wants out (Ctrl-C) and the
    /// device still does not answer.
    fn wait(&mut self) -> bool;

    /// Stops the device: it touches no memory afterwards. Requests in flight complete as
    /// [`IoError::SwitchedOff`], and so does whatever is submitted from now on.
    fn reset(&mut self);

    /// Whether it still works.
    ///
    /// # Errors
    /// It was stopped, for this reason.
    fn works(&self) -> Result<(), IoError>;

    /// Interrupts taken from it.
    fn interrupts(&self) -> u64;
}
