// SPDX-License-Identifier: MIT OR Apache-2.0

//! The DMA API, which drivers call instead of CMA.
//!
//! There are two kinds of memory. A *coherent* buffer ([`Coherent`]) holds the same data for
//! processor and device at any time: its pages come from the device's own area, else from the
//! default area, else from the page allocator, and the processor accesses them through
//! non-cacheable addresses only. A *streaming* mapping ([`Mapping`]) lends ordinary, cached memory
//! to a device for a transfer: the device becomes the owner, later the processor again, and each
//! time the caches are cleaned or invalidated as the [`Direction`] requires.
//!
//! The data flow: a driver names its device ([`Dma::add_device`]) → memory for it
//! ([`Dma::finish_coherent`], [`Streaming::map`]) → `lines` splits the range at cache lines →
//! [`hardware`] maintains the level 1 cache by address, then the level 2 cache by physical range →
//! the device gets a [`DeviceAddress`] → the memory comes back by the same steps. Every buffer and
//! mapping is in a table of this module until it ends.
//!
//! Invariants:
//! 1. Device addresses and processor addresses are different types, without a conversion.
//! 2. A buffer or a mapping is a value that is neither `Clone` nor `Copy`; giving it back ends it.
//! 3. The processor does not access what the device owns: the typed calls prevent it, and the
//!    [`checker`] detects it in drivers that use bare addresses, as drivers of Linux do.
//! 4. A page in use is pinned in the device's name while it is mapped, so that nothing moves or
//!    drops it.
//! 5. Tables are bounded, and no measured call allocates from the heap.
//!
//! The caller lends zone and users of memory to [`Streaming`], and allocates the pages for
//! [`Dma::finish_coherent`].
//!
//! # Example
//! The direction says whether the device may write to the memory:
//! ```
//! use dma::{DeviceAddress, Direction};
//!
//! assert!(Direction::FromDevice.device_writes() && !Direction::ToDevice.device_writes());
//! let at = DeviceAddress::from_register(0x6980_0000);
//! assert_eq!(at.offset(4096).to_string(), "0x69801000");
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod checker;
mod coherent;
mod devices;
pub mod hardware;
pub mod lines;
mod ram;
mod raw;
mod scatter;
mod streaming;
mod table;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use cma::CmaError;
use migration::live::LiveError;
use page_alloc::AllocError;
use units::PhysAddr;

pub use coherent::{BufferInfo, Coherent, MAX_BUFFERS, Pages};
pub use devices::{DeviceId, DeviceInfo, MAX_DEVICES};
pub use lines::LINE_BYTES;
pub use ram::CoherentRam;
pub use scatter::{MAX_SEGMENTS, ScatterList, ScatterMapping, Segment};
pub use streaming::{ForCpu, ForDevice, Mapping, Streaming, streaming_of};
pub use table::{MAX_MAPPINGS, Mapped, MappingKind};

use checker::{Checker, Misuse};
use coherent::Buffers;
use devices::Devices;
use hardware::Hardware;
use table::Table;

/// An address that the processor uses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CpuAddress(u32);

impl CpuAddress {
    /// Makes an address, for code that maps memory.
    pub const fn new(address: u32) -> Self {
        Self(address)
    }

    /// Returns the number, for a pointer.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for CpuAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// An address that a device uses on its bus. On this board it equals the physical address; drivers
/// must not rely on that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeviceAddress(u32);

impl DeviceAddress {
    /// Makes an address from the bits of a device's register or descriptor.
    pub const fn from_register(bits: u32) -> Self {
        Self(bits)
    }

    /// Returns the number, for a device's register or descriptor.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Returns the address `bytes` bytes after it.
    pub const fn offset(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }

    /// Returns the device address of memory: its physical address.
    pub const fn of(at: PhysAddr) -> Self {
        Self(at.0 as u32)
    }

    /// Returns the physical address of the memory there.
    pub const fn phys(self) -> PhysAddr {
        PhysAddr(self.0 as u64)
    }
}

impl fmt::Display for DeviceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// Direction of a mapping's data (`enum dma_data_direction`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// The device reads.
    ToDevice,
    /// The device writes.
    FromDevice,
    /// Both.
    Bidirectional,
}

impl Direction {
    /// Every direction.
    pub const ALL: [Self; 3] = [Self::ToDevice, Self::FromDevice, Self::Bidirectional];

    /// Returns Linux's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ToDevice => "DMA_TO_DEVICE",
            Self::FromDevice => "DMA_FROM_DEVICE",
            Self::Bidirectional => "DMA_BIDIRECTIONAL",
        }
    }

    /// True if the device may write.
    pub const fn device_writes(self) -> bool {
        !matches!(self, Self::ToDevice)
    }
}

/// Why a request of the DMA API was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DmaError {
    /// The machine has no implementation of [`hardware`].
    NoHardware,
    /// There is no such device, or it was removed.
    NoDevice,
    /// The region that the device names by `memory-region` was refused: -EINVAL of
    /// `of_reserved_mem_device_init`.
    RefusedRegion,
    /// There are [`MAX_DEVICES`] devices.
    TooManyDevices,
    /// There are [`MAX_BUFFERS`] coherent buffers.
    TooManyBuffers,
    /// There are [`MAX_MAPPINGS`] mappings.
    TooManyMappings,
    /// A scatter list has [`MAX_SEGMENTS`] segments.
    TooManySegments,
    /// The size is 0, or reaches beyond the address space.
    Size {
        /// The size that was asked for.
        bytes: u32,
    },
    /// Neither an area nor the page allocator has the pages.
    NoMemory {
        /// The area's error, if an area was asked.
        area: Option<CmaError>,
        /// The page allocator's error.
        buddy: AllocError,
    },
    /// The pages could not be mapped.
    NoWindow(&'static str),
    /// A page of the range is not RAM.
    NotMemory {
        /// The first page that is not.
        at: PhysAddr,
    },
    /// A page could not be pinned.
    Pin(LiveError),
    /// The buffer or mapping does not exist, or has ended.
    NotMapped,
    /// The bytes asked for are not all in the buffer or mapping.
    Outside {
        /// The offset of the first byte asked for.
        offset: u32,
        /// The number of bytes asked for.
        bytes: u32,
    },
    /// The call contradicts how the memory was mapped.
    Misuse(Misuse),
}

impl fmt::Display for DmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHardware => f.write_str("this machine has no DMA"),
            Self::NoDevice => f.write_str("no such device"),
            Self::RefusedRegion => {
                f.write_str("-22 (-EINVAL): the region that its memory-region names was refused; the boot log says why")
            }
            Self::TooManyDevices => write!(f, "there are {MAX_DEVICES} devices (MAX_DEVICES)"),
            Self::TooManyBuffers => write!(f, "there are {MAX_BUFFERS} coherent buffers (MAX_BUFFERS)"),
            Self::TooManyMappings => write!(f, "there are {MAX_MAPPINGS} mappings (MAX_MAPPINGS)"),
            Self::TooManySegments => write!(f, "a scatter list has {MAX_SEGMENTS} segments at most (MAX_SEGMENTS)"),
            Self::Size { bytes } => write!(f, "no buffer has {bytes} bytes"),
            Self::NoMemory { area: Some(area), buddy } => {
                write!(f, "the area is {area}; the page allocator: {buddy}")
            }
            Self::NoMemory { area: None, buddy } => write!(f, "no area to ask; the page allocator: {buddy}"),
            Self::NoWindow(why) => write!(f, "the buffer cannot be mapped: {why}"),
            Self::NotMemory { at } => write!(f, "the page at {at} is not RAM"),
            Self::Pin(error) => write!(f, "a page cannot be pinned: {error}"),
            Self::NotMapped => f.write_str("no such buffer or mapping"),
            Self::Outside { offset, bytes } => write!(f, "{bytes} bytes from {offset} on are not all inside"),
            Self::Misuse(misuse) => misuse.fmt(f),
        }
    }
}

/// State of the DMA API: devices, coherent buffers, mappings, and reports of misuse.
#[derive(Default)]
pub struct Dma {
    hardware: Option<Box<dyn Hardware>>,
    devices: Devices,
    buffers: Buffers,
    mappings: Table,
    checker: Checker,
    /// Pages in use are not pinned while they are mapped, to show that the checks notice it.
    sabotage_pins: bool,
}

impl Dma {
    /// Chooses whether new mappings leave pages in use unpinned, to show the purpose of pins.
    pub fn sabotage_pins(&mut self, on: bool) {
        self.sabotage_pins = on;
    }

    /// Sets the implementation of the machine's caches and mappings.
    pub fn attach(&mut self, hardware: Box<dyn Hardware>) {
        self.hardware = Some(hardware);
    }

    /// Returns the machine's implementation.
    ///
    /// # Errors
    /// There is no hardware.
    pub fn hardware(&mut self) -> Result<&mut dyn Hardware, DmaError> {
        match &mut self.hardware {
            Some(hardware) => Ok(hardware.as_mut()),
            None => Err(DmaError::NoHardware),
        }
    }

    /// True if the processor has a cacheable mapping of the memory at `at`, for self-tests.
    pub fn is_cacheable(&self, at: PhysAddr) -> bool {
        self.hardware.as_ref().is_some_and(|hardware| hardware.is_cacheable(at))
    }

    /// The checker of drivers.
    pub fn checker(&self) -> &Checker {
        &self.checker
    }

    /// The checker, to switch it on and to take its reports.
    pub fn checker_mut(&mut self) -> &mut Checker {
        &mut self.checker
    }

    /// The devices, in the order of their numbers.
    pub fn devices(&self) -> impl Iterator<Item = (DeviceId, &DeviceInfo)> {
        self.devices.iter()
    }

    /// One device.
    pub fn device(&self, id: DeviceId) -> Option<&DeviceInfo> {
        self.devices.get(id)
    }

    /// The coherent buffers.
    pub fn buffers(&self) -> impl Iterator<Item = &BufferInfo> {
        self.buffers.iter()
    }

    /// The streaming mappings.
    pub fn mappings(&self) -> impl Iterator<Item = &Mapped> {
        self.mappings.iter()
    }

    /// Numbers of streaming mappings: at present, and the most so far.
    pub fn mapping_counts(&self) -> (u16, u16) {
        self.mappings.counts()
    }

    /// Numbers of coherent buffers: at present, and the most so far.
    pub fn buffer_counts(&self) -> (usize, usize) {
        self.buffers.counts()
    }

    /// Reserves the tables' memory, so that no later mapping or buffer allocates from the heap.
    fn reserve(&mut self) {
        self.buffers.reserve();
        self.mappings.reserve();
    }
}

/// Returns the lowest free slot of a table, which grows up to `most` slots and never shrinks.
fn free_slot<T>(slots: &mut Vec<Option<T>>, most: usize) -> Option<usize> {
    if let Some(place) = slots.iter().position(Option::is_none) {
        return Some(place);
    }
    (slots.len() < most).then(|| {
        slots.push(None);
        slots.len() - 1
    })
}
