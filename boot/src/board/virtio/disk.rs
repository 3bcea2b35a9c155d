// SPDX-License-Identifier: MIT OR Apache-2.0

//! The disk: a virtio block device (Virtio 1.2, 5.2) with several requests in flight.
//!
//! The crate's own `VirtIOBlk` supports one page per request and five requests, and its flush spins
//! and expects no other request in flight; so only its queue and transport are used, and the three
//! kinds of requests are written here: a header, pages, a status byte. Headers and statuses are in
//! a coherent page, the data in pages that the caller has mapped for the device.
//!
//! `VIRTIO_F_EVENT_IDX` is not negotiated: version 0.13 of the crate compares indices without
//! regard to wraparound, and then fails to notify the device.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};

use cortex_a::asm::dsb;
use kernel::block::{
    BlockDevice, Completion, Identity, IoError, MAX_REQUESTS, MAX_SEGMENTS, Operation, Request, SECTOR_BYTES, Segment,
};
use kernel::dma::{DeviceAddress, DeviceId};
use kernel::mm::live::space::AddressSpace;
use kernel::system::System;
use kernel::units::PAGE_SIZE;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::mmio::{MmioTransport, MmioVersion};
use virtio_drivers::transport::{DeviceStatus, Transport};

use super::memory::{self, Coherent, Piece};
use crate::cpu::clock;
use crate::cpu::irq::IrqMask;
use crate::input;

/// Descriptors of the queue: each request takes one for each page, one for its header and one for
/// its status.
const QUEUE_SIZE: usize = 128;
const _: () = assert!(MAX_REQUESTS * (MAX_SEGMENTS + 2) <= QUEUE_SIZE);
/// The only queue.
const QUEUE: u16 = 0;
/// Pages of a legacy queue: descriptors and available ring, then the used ring on a page of its
/// own.
const LEGACY_QUEUE_PAGES: u32 = 2;
/// Time that the device still gets to complete a request after a Ctrl-C.
const GRACE_NS: u64 = 2_000_000_000;

/// Feature bits (5.2.3, 6).
const READ_ONLY: u64 = 1 << 5;
const FLUSH: u64 = 1 << 9;
const VERSION_1: u64 = 1 << 32;

bitflags::bitflags! {
    /// The features that the driver supports.
    #[derive(Clone, Copy, Debug)]
    struct Features: u64 {
        const READ_ONLY = READ_ONLY;
        const FLUSH = FLUSH;
        const VERSION_1 = VERSION_1;
    }
}

/// Bytes of a request's header: type, 4 bytes 0, sector.
const HEADER_BYTES: usize = 16;
/// Distance between headers in the control page, which holds the headers, then the statuses.
const HEADER_STRIDE: usize = 32;
const STATUSES: usize = 2048;

/// A request in the queue.
struct Queued {
    token: u16,
    operation: Operation,
    segments: [Segment; MAX_SEGMENTS],
    count: usize,
}

/// The device.
pub(crate) struct VirtioDisk {
    device: DeviceId,
    identity: Identity,
    transport: MmioTransport<'static>,
    queue: Box<VirtQueue<Coherent, QUEUE_SIZE>>,
    /// The processor's address of the control page, which holds headers and statuses.
    control: u32,
    requests: [Option<Queued>; MAX_REQUESTS],
    /// The reason that the device was stopped, if it was.
    stopped: Option<IoError>,
}

impl VirtioDisk {
    /// Initialises the device and allocates its coherent memory.
    ///
    /// # Errors
    /// The reason that the device cannot be used.
    pub(crate) fn start(
        name: &'static str,
        mut transport: MmioTransport<'static>,
        system: &mut System<'_>,
    ) -> Result<Self, String> {
        let legacy = transport.version() == MmioVersion::Legacy;
        let queue_pages: &[u32] = if legacy { &[LEGACY_QUEUE_PAGES] } else { &[1, 1] };
        let device = system.dma_add_device(name).map_err(|error| error.to_string())?;
        for &pages in queue_pages {
            stock(system, device, pages, false)?;
        }
        let control = stock(system, device, 1, true)?;

        let features = transport.begin_init(Features::all());
        let half = |offset| transport.read_config_space::<u32>(offset).map_err(|error| error.to_string());
        let sectors = u64::from(half(0)?) | u64::from(half(4)?) << 32;
        let queue = VirtQueue::new(&mut transport, QUEUE, false, false).map_err(|error| error.to_string())?;
        transport.finish_init();
        let kind = if legacy { "legacy" } else { "modern" };
        let identity = Identity {
            name: format!("{name} ({kind} virtio)"),
            sectors,
            read_only: features.contains(Features::READ_ONLY),
            flushes: features.contains(Features::FLUSH),
        };
        let access = if identity.read_only { "read-only" } else { "read-write" };
        log::info!("{}: a disk of {} KiB, {access}", identity.name, sectors / (1024 / SECTOR_BYTES));
        Ok(Self {
            device,
            identity,
            transport,
            queue: Box::new(queue),
            control,
            requests: [const { None }; MAX_REQUESTS],
            stopped: None,
        })
    }

    /// Returns `bytes` bytes of the control page, from offset `at` on.
    ///
    /// # Safety
    /// `at + bytes` is at most a page, and the part belongs to a request whose tag the caller owns.
    unsafe fn control(&self, at: usize, bytes: usize) -> &'static mut [u8] {
        let start = core::ptr::with_exposed_provenance_mut::<u8>(self.control as usize + at);
        // SAFETY:
        // - the page is coherent memory, mapped permanently, without another user;
        // - the caller guarantees that the part is in the page and is not referred to twice.
        unsafe { core::slice::from_raw_parts_mut(start, bytes) }
    }

    /// Calls `act` with the queue and a request's buffers: those that the device reads, then those
    /// that it writes.
    fn with_buffers<T>(
        &mut self,
        tag: usize,
        operation: Operation,
        segments: &[Segment],
        act: impl for<'a> FnOnce(&mut VirtQueue<Coherent, QUEUE_SIZE>, &'a [&'a [u8]], &'a mut [&'a mut [u8]]) -> T,
    ) -> T {
        // SAFETY: 7 headers of 16 bytes, 32 apart, fit; each belongs to one tag.
        let header = unsafe { self.control(tag * HEADER_STRIDE, HEADER_BYTES) };
        // SAFETY: the statuses begin in the middle of the page; each belongs to one tag.
        let status = unsafe { self.control(STATUSES + tag, 1) };
        let mut inputs: [&[u8]; MAX_SEGMENTS + 1] = [&[]; MAX_SEGMENTS + 1];
        let mut outputs: [&mut [u8]; MAX_SEGMENTS + 1] = core::array::from_fn(|_| <&mut [u8]>::default());
        let writes = operation == Operation::Read;
        inputs[0] = header;
        for (place, segment) in segments.iter().enumerate() {
            let start = core::ptr::with_exposed_provenance_mut::<u8>(segment.address.bits() as usize);
            // SAFETY:
            // - the submitter of the request has mapped this memory for the device, and does not
            //   access it until the request has ended; it is RAM, which is mapped at the address
            //   that the device uses;
            // - the queue takes only the slices' addresses; nothing is read or written through
            //   them.
            let data = unsafe { core::slice::from_raw_parts_mut(start, segment.bytes as usize) };
            if writes {
                outputs[place] = data;
            } else {
                inputs[place + 1] = data;
            }
        }
        let count = segments.len();
        let (read, written) = if writes { (1, count) } else { (1 + count, 0) };
        outputs[written] = status;
        act(&mut self.queue, &inputs[..read], &mut outputs[..=written])
    }

    /// Removes the request with `token` from the list; returns its tag and the request.
    fn take(&mut self, token: u16) -> Option<(usize, Queued)> {
        let tag =
            self.requests.iter().position(|queued| queued.as_ref().is_some_and(|queued| queued.token == token))?;
        Some((tag, self.requests[tag].take()?))
    }
}

impl VirtioDisk {
    /// Resets the device, which accesses no memory afterwards.
    fn stop(&mut self, why: IoError) {
        self.transport.set_status(DeviceStatus::empty());
        self.stopped = Some(why);
    }

    /// Removes a request that the device has finished from the queue; returns its result.
    fn result(&mut self, tag: usize, queued: &Queued) -> Result<(), IoError> {
        let segments = &queued.segments[..queued.count];
        let popped = self.with_buffers(tag, queued.operation, segments, |queue, inputs, outputs| {
            // SAFETY: the buffers are those of `submit`: made from the same tag, operation and
            // segments.
            unsafe { queue.pop_used(queued.token, inputs, outputs) }
        });
        popped.map_err(|_| IoError::Failed)?;
        // SAFETY: as in `with_buffers`; the device has finished with it.
        let status = unsafe { self.control(STATUSES + tag, 1) };
        // The device has written it, which the compiler cannot see.
        match core::hint::black_box(status)[0] {
            0 => Ok(()),
            2 => Err(IoError::Unsupported),
            _ => Err(IoError::Failed),
        }
    }
}

/// Allocates a coherent buffer that is never released; returns the processor's address of it.
fn stock(system: &mut System<'_>, device: DeviceId, pages: u32, taken: bool) -> Result<u32, String> {
    let buffer = system.dma_alloc_coherent(device, pages * PAGE_SIZE as u32).map_err(|error| error.to_string())?;
    let (cpu, address) = (buffer.cpu_address().get(), buffer.device_address().bits());
    // SAFETY: the value that could release the buffer goes out of scope here, and the device is
    // never removed.
    if unsafe { memory::stock(Piece { cpu, device: address, pages, taken }) } {
        Ok(cpu)
    } else {
        Err("too many pieces of memory (MAX_PIECES)".into())
    }
}

impl BlockDevice for VirtioDisk {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn dma_device(&self) -> DeviceId {
        self.device
    }

    fn submit(&mut self, request: &Request<'_>) -> Result<(), IoError> {
        self.works()?;
        if request.operation == Operation::Write && self.identity.read_only {
            return Err(IoError::ReadOnly);
        }
        let count = request.segments.len();
        if request.tag >= MAX_REQUESTS || self.requests[request.tag].is_some() || count > MAX_SEGMENTS {
            return Err(IoError::Unsupported);
        }
        let kind: u32 = match request.operation {
            Operation::Read => 0,
            Operation::Write => 1,
            Operation::Flush => 4,
        };
        // SAFETY: as in `with_buffers`; no other request has the tag, and the device does not have
        // it yet.
        let header = unsafe { self.control(request.tag * HEADER_STRIDE, HEADER_BYTES) };
        header[..4].copy_from_slice(&kind.to_le_bytes());
        header[4..8].fill(0);
        header[8..].copy_from_slice(&request.sector.to_le_bytes());
        let added = self.with_buffers(request.tag, request.operation, request.segments, |queue, inputs, outputs| {
            // SAFETY: header, status and data are neither moved nor accessed until the request has
            // left the queue: the tag is taken until then, and the caller keeps the data's pages
            // pinned.
            unsafe { queue.add(inputs, outputs) }
        });
        let token = added.map_err(|_| IoError::Failed)?;
        let mut segments = [Segment { address: DeviceAddress::from_register(0), bytes: 0 }; MAX_SEGMENTS];
        segments[..count].copy_from_slice(request.segments);
        self.requests[request.tag] = Some(Queued { token, operation: request.operation, segments, count });
        Ok(())
    }

    fn kick(&mut self) {
        // The flag must be read after the index that `submit` wrote is visible (virtio 1.2,
        // 2.7.13.4.1): a store-release and a load-acquire of different words are not ordered (DDI
        // 0406C, A3.8.3), and a device that is not notified never looks at the queue.
        dsb();
        if self.stopped.is_none() && self.queue.should_notify() {
            self.transport.notify(QUEUE);
        }
    }

    fn complete(&mut self, _memory: &mut dyn AddressSpace) -> Option<Completion> {
        if self.stopped.is_none() {
            let token = self.queue.peek_used()?;
            if let Some((tag, queued)) = self.take(token) {
                return Some(Completion { tag, result: self.result(tag, &queued) });
            }
            log::error!("{}: the device returned a request that it was not given: it is stopped", self.identity.name);
            self.stop(IoError::Gone);
        }
        let tag = self.requests.iter().position(Option::is_some)?;
        self.requests[tag] = None;
        Some(Completion { tag, result: self.works() })
    }

    fn wait(&mut self) -> bool {
        if input::wants_out() {
            let end = clock::now_ns() + GRACE_NS;
            while !self.queue.can_pop() {
                if clock::now_ns() > end {
                    // Consumes the Ctrl-C, which ended this wait.
                    input::interrupted();
                    return false;
                }
            }
            return true;
        }
        // Interrupts are masked from the check to the sleep, so that none can come in between; a
        // pending interrupt still ends WFI.
        let mask = IrqMask::new();
        if !self.queue.can_pop() {
            cortex_a::asm::wfi();
        }
        drop(mask);
        true
    }

    fn reset(&mut self) {
        self.stop(IoError::SwitchedOff);
    }

    fn works(&self) -> Result<(), IoError> {
        self.stopped.map_or(Ok(()), Err)
    }

    fn interrupts(&self) -> u64 {
        super::interrupts()
    }
}
