// SPDX-License-Identifier: MIT OR Apache-2.0

//! A disk as the page cache's source: runs of neighbouring pages become requests, with several of
//! them in flight.
//!
//! A page that is read or written is mapped for the device and thus pinned until the request has
//! ended: it is neither moved nor reclaimed. There is no other thread: a caller that needs a page
//! starts the request, the device works meanwhile, and completions are processed when a caller
//! polls or waits.

use alloc::boxed::Box;

use super::{
    BlockDevice, DiskFault, DiskStats, Identity, IoError, MAX_REQUESTS, MAX_SEGMENTS, Operation, Request,
    SECTORS_PER_PAGE, Segment,
};
use dma::{DeviceAddress, Direction, ForDevice, ScatterList, ScatterMapping, streaming_of};
use migration::live::Mm;
use migration::live::source::{Ended, PageSource};
use units::Pfn;

/// A request in flight.
struct InFlight {
    operation: Operation,
    /// The first page on the disk, and the number of pages.
    first: u32,
    pages: u32,
    /// True if the device was notified after the request was queued.
    told: bool,
    /// The mapping of its pages' frames; `None` for a flush.
    mapping: Option<ScatterMapping<ForDevice>>,
}

impl InFlight {
    /// Returns the frames that the device owns.
    fn frames(&self) -> impl Iterator<Item = Pfn> + '_ {
        self.mapping.iter().flat_map(|mapping| mapping.segments().map(|(address, _)| address.phys().pfn()))
    }
}

/// A block device and its requests.
pub struct Disk {
    device: Box<dyn BlockDevice>,
    requests: [Option<InFlight>; MAX_REQUESTS],
    /// Number of pages that the device owns.
    owned: u32,
    /// Result of the last flush.
    flushed: Result<(), IoError>,
    /// The latest failures, and the index of the next.
    faults: [Option<DiskFault>; MAX_REQUESTS],
    next_fault: usize,
    stats: DiskStats,
}

impl Disk {
    /// Makes a disk without requests.
    pub fn new(device: Box<dyn BlockDevice>) -> Self {
        Self {
            device,
            requests: [const { None }; MAX_REQUESTS],
            owned: 0,
            flushed: Ok(()),
            faults: [None; MAX_REQUESTS],
            next_fault: 0,
            stats: DiskStats::default(),
        }
    }

    /// Records a failure in place of the oldest one.
    fn note(&mut self, fault: DiskFault) {
        self.stats.failed += 1;
        self.faults[self.next_fault] = Some(fault);
        self.next_fault = (self.next_fault + 1) % MAX_REQUESTS;
    }

    fn submit(&mut self, mm: &mut Mm<'_, '_>, request: &mut InFlight) -> Result<usize, IoError> {
        let mut segments = [Segment { address: DeviceAddress::from_register(0), bytes: 0 }; MAX_SEGMENTS];
        if request.pages > 0 {
            let mapping = self.map(mm, request).ok_or(IoError::Unmapped)?;
            for (segment, (address, bytes)) in segments.iter_mut().zip(mapping.segments()) {
                *segment = Segment { address, bytes };
            }
            request.mapping = Some(mapping);
        }
        let tag = self.requests.iter().position(Option::is_none).ok_or(IoError::Failed)?;
        self.device.submit(&Request {
            tag,
            operation: request.operation,
            sector: u64::from(request.first) * SECTORS_PER_PAGE,
            segments: &segments[..request.pages as usize],
        })?;
        Ok(tag)
    }

    /// Maps a request's pages for the device, which pins them. Returns `None` if that fails.
    fn map(&self, mm: &mut Mm<'_, '_>, request: &InFlight) -> Option<ScatterMapping<ForDevice>> {
        let (device, identity) = (self.device.dma_device(), self.device.identity());
        let mut list = ScatterList::default();
        for page in request.first..request.first + request.pages {
            let frame = mm.cache_frame(page)?;
            list.push(frame.addr(), identity.bytes_of_page(page)).ok()?;
        }
        let reads = request.operation == Operation::Read;
        let direction = if reads { Direction::FromDevice } else { Direction::ToDevice };
        streaming_of(mm)?.map_sg(device, &list, direction).ok()
    }

    /// Ends a request, and returns its pages to the processor.
    fn end(&mut self, mm: &mut Mm<'_, '_>, mut request: InFlight, result: Result<(), IoError>) -> Ended {
        let astray = (request.first..).zip(request.frames()).filter(|&(page, at)| mm.cache_frame(page) != Some(at));
        let astray = astray.count() as u64;
        if let Some((mapping, mut streaming)) = request.mapping.take().zip(streaming_of(mm)) {
            // The mapping exists: it is removed only here, and the request was in flight.
            let unmapped = streaming.unmap_sg(mapping);
            debug_assert_eq!(unmapped, Ok(()));
        }
        let InFlight { operation, first, pages, .. } = request;
        if let Err(error) = result {
            self.note(DiskFault { operation, first, pages, error });
        }
        self.stats.astray[usize::from(operation == Operation::Write)] += astray;
        match (operation, result) {
            (Operation::Flush, _) => {
                self.stats.flushes += 1;
                self.flushed = result;
            }
            (Operation::Read, Ok(())) => self.stats.pages_read += u64::from(pages),
            (Operation::Write, Ok(())) => self.stats.pages_written += u64::from(pages),
            _ => {}
        }
        Ended { operation, first, pages, result }
    }
}

impl PageSource for Disk {
    fn identity(&self) -> &Identity {
        self.device.identity()
    }

    fn restart(&mut self) {
        (self.flushed, self.faults, self.next_fault) = (Ok(()), [None; MAX_REQUESTS], 0);
        self.stats = DiskStats::default();
    }

    fn stats(&self) -> DiskStats {
        self.stats
    }

    fn owned(&self) -> u32 {
        self.owned
    }

    fn in_flight(&self) -> u32 {
        self.requests.iter().flatten().count() as u32
    }

    fn has_room(&self) -> bool {
        self.requests.iter().any(Option::is_none)
    }

    fn start(&mut self, mm: &mut Mm<'_, '_>, operation: Operation, first: u32, pages: u32) -> Result<(), IoError> {
        let mut request = InFlight { operation, first, pages, told: false, mapping: None };
        match self.submit(mm, &mut request) {
            Ok(tag) => {
                self.owned += pages;
                self.requests[tag] = Some(request);
                self.stats.most_in_flight = self.stats.most_in_flight.max(self.in_flight());
                Ok(())
            }
            Err(error) => {
                // The device did not take the request, so it ends with the error.
                self.end(mm, request, Err(error));
                Err(error)
            }
        }
    }

    fn poll(&mut self, mm: &mut Mm<'_, '_>) -> Option<Ended> {
        loop {
            let completion = self.device.complete(mm.live.space())?;
            let Some(request) = self.requests.get_mut(completion.tag).and_then(Option::take) else { continue };
            self.owned -= request.pages;
            self.stats.requests += 1;
            return Some(self.end(mm, request, completion.result));
        }
    }

    fn kick(&mut self) {
        self.requests.iter_mut().flatten().for_each(|request| request.told = true);
        self.device.kick();
    }

    fn wait(&mut self) {
        if !self.device.wait() {
            self.device.reset();
        }
    }

    fn flushed(&self) -> Result<(), IoError> {
        self.flushed
    }

    fn fault_of(&self, operation: Operation, page: u32) -> Option<DiskFault> {
        let (newest, older) = self.faults.split_at(self.next_fault);
        let newest_first = newest.iter().rev().chain(older.iter().rev()).flatten();
        newest_first.copied().find(|fault| fault.is_about(operation, page))
    }

    fn waiting(&self, operation: Operation) -> Box<dyn Iterator<Item = Pfn> + '_> {
        let requests = self.requests.iter().flatten();
        let waiting = requests.filter(move |request| request.operation == operation && !request.told);
        Box::new(waiting.flat_map(InFlight::frames))
    }

    fn works(&self) -> Result<(), IoError> {
        self.device.works()
    }

    fn interrupts(&self) -> u64 {
        self.device.interrupts()
    }
}
