// SPDX-License-Identifier: MIT OR Apache-2.0

//! Disks: the interface of block devices, and the layout of files on one.
//!
//! Data flow: a page of the cache is missing, or dirty → a [`Disk`], which is the cache's source,
//! maps its frame for the device and makes a [`Request`] of neighbouring pages → a [`BlockDevice`]
//! queues it and moves the data by itself → its interrupt ends the wait → a [`Completion`] per
//! request, in any order. `boot` has the real device (virtio), the host tests a disk that delays,
//! reorders, fails and disappears. [`volume`] maps files to pages of a disk.
//!
//! Invariants: from [`BlockDevice::submit`] to its completion the device owns a request's memory;
//! every request that was accepted completes exactly once, at [`BlockDevice::reset`] at the latest;
//! no answer of a device causes a panic here.
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
    /// The address for the device.
    pub address: DeviceAddress,
    /// Its length.
    pub bytes: u32,
}

/// A request to the device.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Identifies the request among those in flight: less than [`MAX_REQUESTS`], unique among them.
    pub tag: usize,
    /// The kind of request.
    pub operation: Operation,
    /// The first sector on the disk.
    pub sector: u64,
    /// The memory, in the order of the disk; at most [`MAX_SEGMENTS`], none for a flush.
    pub segments: &'a [Segment],
}

/// The end of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Completion {
    /// The tag of the request.
    pub tag: usize,
    /// The result.
    pub result: Result<(), IoError>,
}

/// A device that stores sectors. It works while its driver sleeps.
pub trait BlockDevice {
    /// Returns its identity, which never changes.
    fn identity(&self) -> &Identity;

    /// Returns its ID for the DMA API.
    fn dma_device(&self) -> DeviceId;

    /// Queues a request. The device owns its memory from the call on, and starts at the next
    /// [`BlockDevice::kick`] at the latest.
    ///
    /// # Errors
    /// The request was not queued.
    fn submit(&mut self, request: &Request<'_>) -> Result<(), IoError>;

    /// Notifies the device of the requests in its queue.
    fn kick(&mut self);

    /// Returns the next request that has ended; never waits. A device made of software moves its
    /// data in this call, through `memory`; hardware has done so by itself.
    fn complete(&mut self, memory: &mut dyn AddressSpace) -> Option<Completion>;

    /// Sleeps until a request may have ended. Returns false if the user interrupts the wait
    /// (Ctrl-C) and the device still does not answer.
    fn wait(&mut self) -> bool;

    /// Stops the device: it accesses no memory afterwards. Requests in flight complete as
    /// [`IoError::SwitchedOff`], and [`BlockDevice::submit`] fails with it from then on.
    fn reset(&mut self);

    /// Returns an error if the device was stopped.
    ///
    /// # Errors
    /// The reason why it was stopped.
    fn works(&self) -> Result<(), IoError>;

    /// Returns the number of interrupts taken from it.
    fn interrupts(&self) -> u64;
}
