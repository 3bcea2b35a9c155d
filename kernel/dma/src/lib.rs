// SPDX-License-Identifier: MIT OR Apache-2.0

//! The DMA API: what drivers call instead of CMA.
//!
//! Two kinds of memory. A *coherent* buffer ([`Coherent`]) is seen alike by processor and device at
//! any time: its pages come from the device's own area, else from the default area, else from the
//! page allocator, and the processor reaches them through non-cacheable addresses only. A
//! *streaming* mapping ([`Mapping`]) lends ordinary, cached memory to a device for a transfer:
//! ownership goes to the device and comes back, and each time the caches are cleaned or invalidated
//! as the [`Direction`] asks.
//!
//! The way of the data: a driver names its device ([`Dma::add_device`]) → memory for it
//! ([`Dma::finish_coherent`], [`Streaming::map`]) → `lines` splits the range at cache lines →
//! [`hardware`] maintains the level 1 cache by address, then the level 2 cache by physical range →
//! the device gets a [`DeviceAddress`] → it all comes back the same way. Every live buffer and
//! mapping stands in a table of this module, whoever holds the value.
//!
//! What holds true:
//! 1. A device's address and the processor's are two types, and neither becomes the other.
//! 2. A buffer or a mapping is a value that is neither `Clone` nor `Copy`; giving it back ends it.
//! 3. What the device owns, the processor does not touch: the typed calls make that impossible, and
//!    the [`checker`] sees it where a driver goes by bare addresses, as drivers of Linux do.
//! 4. A page that lives is pinned in the device's name while it is mapped, so that nothing moves or
//!    drops it.
//! 5. Tables are bounded, and no call that is measured allocates from the heap.
//!
//! Whoever has zone, areas and users of memory at hand lends them to [`Streaming`], and gets pages
//! for [`Dma::finish_coherent`].
//!
//! # Example
//! Which way the data go decides who may touch the memory meanwhile:
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
    /// For whoever maps memory.
    pub const fn new(address: u32) -> Self {
        Self(address)
    }

    /// The number, to make a pointer of.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for CpuAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// An address that a device puts on its bus. On this board the bus is the memory's; no driver may
/// rely on that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeviceAddress(u32);

impl DeviceAddress {
    /// What a device's register or descriptor holds.
    pub const fn from_register(bits: u32) -> Self {
        Self(bits)
    }

    /// The number, for a device's register or descriptor.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The address `bytes` bytes further on.
    pub const fn offset(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }

    /// Where a device finds memory: at its physical address.
    pub const fn of(at: PhysAddr) -> Self {
        Self(at.0 as u32)
    }

    /// The memory that a device finds there.
    pub const fn phys(self) -> PhysAddr {
        PhysAddr(self.0 as u64)
    }
}

impl fmt::Display for DeviceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// Which way the data of a mapping goes (`enum dma_data_direction`).
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

    /// Linux's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ToDevice => "DMA_TO_DEVICE",
            Self::FromDevice => "DMA_FROM_DEVICE",
            Self::Bidirectional => "DMA_BIDIRECTIONAL",
        }
    }

    /// Whether the device may write.
    pub const fn device_writes(self) -> bool {
        !matches!(self, Self::ToDevice)
    }
}

/// Why a request of the DMA API was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DmaError {
    /// The machine has not said how its caches and mappings are reached.
    NoHardware,
    /// There is no such device, or it was removed.
    NoDevice,
    /// The region that `memory-region` of the device names was refused: -EINVAL of
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
    /// Nothing was asked for, or more than the address space has.
    Size {
        /// What was asked for.
        bytes: u32,
    },
    /// Neither an area nor the page allocator has the pages.
    NoMemory {
        /// What the area said, where one was asked.
        area: Option<CmaError>,
        /// What the page allocator said.
        buddy: AllocError,
    },
    /// The pages could not be mapped.
    NoWindow(&'static str),
    /// The range is not all memory that somebody has allocated.
    NotMemory {
        /// The first page that is not.
        at: PhysAddr,
    },
    /// A page could not be pinned.
    Pin(LiveError),
    /// There is no such buffer or mapping (any more).
    NotMapped,
    /// The bytes asked for do not lie in the buffer or mapping.
    Outside {
        /// The offset of the first byte asked for.
        offset: u32,
        /// How many were asked for.
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
            Self::NotMemory { at } => write!(f, "nobody has allocated the page at {at}"),
            Self::Pin(error) => write!(f, "a page cannot be pinned: {error}"),
            Self::NotMapped => f.write_str("no such buffer or mapping"),
            Self::Outside { offset, bytes } => write!(f, "{bytes} bytes from {offset} on are not all inside"),
            Self::Misuse(misuse) => misuse.fmt(f),
        }
    }
}

/// Everything the DMA API knows: devices, coherent buffers, mappings, and what went wrong.
#[derive(Default)]
pub struct Dma {
    hardware: Option<Box<dyn Hardware>>,
    devices: Devices,
    buffers: Buffers,
    mappings: Table,
    checker: Checker,
    /// Pages that live are not pinned while they are mapped, to show that the checks notice.
    sabotage_pins: bool,
}

impl Dma {
    /// Leaves pages that live unpinned from now on while they are mapped, or pins them again: to
    /// show what pins are for.
    pub fn sabotage_pins(&mut self, on: bool) {
        self.sabotage_pins = on;
    }

    /// Tells the API how the machine's caches and mappings are reached.
    pub fn attach(&mut self, hardware: Box<dyn Hardware>) {
        self.hardware = Some(hardware);
    }

    /// The machine.
    ///
    /// # Errors
    /// There is none.
    pub fn hardware(&mut self) -> Result<&mut dyn Hardware, DmaError> {
        match &mut self.hardware {
            Some(hardware) => Ok(hardware.as_mut()),
            None => Err(DmaError::NoHardware),
        }
    }

    /// Whether the processor has memory mapped cacheable, for self-tests.
    pub fn is_cacheable(&self, at: PhysAddr) -> bool {
        self.hardware.as_ref().is_some_and(|hardware| hardware.is_cacheable(at))
    }

    /// What watches drivers.
    pub fn checker(&self) -> &Checker {
        &self.checker
    }

    /// What watches drivers, to switch it on and to take its reports.
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

    /// The coherent buffers that live.
    pub fn buffers(&self) -> impl Iterator<Item = &BufferInfo> {
        self.buffers.iter()
    }

    /// The streaming mappings that live.
    pub fn mappings(&self) -> impl Iterator<Item = &Mapped> {
        self.mappings.iter()
    }

    /// How many streaming mappings live, and how many did at most.
    pub fn mapping_counts(&self) -> (u16, u16) {
        self.mappings.counts()
    }

    /// How many coherent buffers live, and how many did at most.
    pub fn buffer_counts(&self) -> (usize, usize) {
        self.buffers.counts()
    }

    /// Makes room for all the tables, so that no later call allocates.
    fn reserve(&mut self) {
        self.buffers.reserve();
        self.mappings.reserve();
    }
}

/// A table of slots that is filled up to a bound and never shrinks.
fn free_slot<T>(slots: &mut Vec<Option<T>>, most: usize) -> Option<usize> {
    if let Some(place) = slots.iter().position(Option::is_none) {
        return Some(place);
    }
    (slots.len() < most).then(|| {
        slots.push(None);
        slots.len() - 1
    })
}
