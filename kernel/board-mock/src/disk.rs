// SPDX-License-Identifier: MIT OR Apache-2.0

//! A disk for host tests: it delays, reorders, fails, disappears, and at a power cut loses what was
//! not flushed.

use core::cell::RefCell;
use core::ops::Range;
use std::rc::Rc;

use super::dma::MockHardware;
use block::volume::{File, TABLE_BYTES, Volume};
use block::{BlockDevice, Completion, Identity, IoError, MAX_SEGMENTS, Operation, Request, SECTOR_BYTES, Segment};
use dma::DeviceId;
use fastrand::Rng;
use migration::live::space::{AddressSpace, OwnedFrame};
use system::System;
use units::{PAGE_SIZE, PhysAddr};

/// The state of the disk that a test can see and change while the cache uses it.
#[derive(Default)]
pub struct Medium {
    /// The contents of the sectors.
    pub data: Vec<u8>,
    /// The contents after a power cut.
    pub durable: Vec<u8>,
    /// Sectors that cannot be read, and sectors that cannot be written.
    pub bad: [Option<Range<u64>>; 2],
    /// The device is gone: every request fails.
    pub gone: bool,
    /// A request ends only when the driver waits.
    pub slow: bool,
    /// No request ends before a reset, and every wait is interrupted.
    pub stuck: bool,
    /// Flushes fail.
    pub bad_flush: bool,
    /// Number of flushes done.
    pub flushes: u32,
    /// Maximum number of requests in flight at a time.
    pub most_in_flight: usize,
}

struct Queued {
    tag: usize,
    operation: Operation,
    sector: u64,
    segments: Vec<Segment>,
}

/// The disk. A request ends when the driver polls or waits, in random order.
pub struct MockDisk {
    identity: Identity,
    device: DeviceId,
    medium: Rc<RefCell<Medium>>,
    queue: Vec<Queued>,
    /// Number of requests in the queue that the device was notified of.
    kicked: usize,
    /// The driver has waited: one request ends.
    due: bool,
    reset: bool,
    waits: u64,
    rng: Rng,
}

impl MockDisk {
    /// Makes a disk of `sectors` sectors of zeros; also returns the state that a test sees.
    pub fn new(device: DeviceId, sectors: u64, read_only: bool) -> (Self, Rc<RefCell<Medium>>) {
        let data = vec![0; (sectors * SECTOR_BYTES) as usize];
        let medium = Rc::new(RefCell::new(Medium { durable: data.clone(), data, ..Medium::default() }));
        let identity = Identity { name: "a disk of software".into(), sectors, read_only, flushes: true };
        let disk = Self {
            identity,
            device,
            medium: Rc::clone(&medium),
            queue: Vec::new(),
            kicked: 0,
            due: false,
            reset: false,
            waits: 0,
            rng: Rng::with_seed(6),
        };
        (disk, medium)
    }

    fn carry_out(&self, request: &Queued, memory: &mut dyn AddressSpace) -> Result<(), IoError> {
        let medium = &mut *self.medium.borrow_mut();
        self.works()?;
        if medium.gone {
            return Err(IoError::Gone);
        }
        if request.operation == Operation::Flush {
            if medium.bad_flush {
                return Err(IoError::Failed);
            }
            medium.durable.copy_from_slice(&medium.data);
            medium.flushes += 1;
            return Ok(());
        }
        let write = request.operation == Operation::Write;
        if write && self.identity.read_only {
            return Err(IoError::ReadOnly);
        }
        let bytes: u32 = request.segments.iter().map(|segment| segment.bytes).sum();
        let end = request.sector + u64::from(bytes) / SECTOR_BYTES;
        if end > self.identity.sectors {
            return Err(IoError::OutOfRange);
        }
        if medium.bad[usize::from(write)].as_ref().is_some_and(|bad| request.sector < bad.end && bad.start < end) {
            return Err(IoError::Failed);
        }
        let mut at = (request.sector * SECTOR_BYTES) as usize;
        for segment in &request.segments {
            let address = PhysAddr(segment.address.bits().into());
            let offset = (address.0 % PAGE_SIZE) as usize / 4;
            let words =
                &mut memory.frame_words(OwnedFrame::by_dma(address.pfn()))[offset..][..segment.bytes as usize / 4];
            for word in words {
                let stored = &mut medium.data[at..at + 4];
                if write {
                    stored.copy_from_slice(&word.to_le_bytes());
                } else {
                    *word = u32::from_le_bytes([stored[0], stored[1], stored[2], stored[3]]);
                }
                at += 4;
            }
        }
        Ok(())
    }
}

/// Gives a system a disk of `pages` pages with one file, `data`, of `bytes` bytes.
pub fn give_disk(system: &mut System<'_>, bytes: u64, pages: u32) -> Rc<RefCell<Medium>> {
    system.dma_mut().attach(Box::new(MockHardware::default()));
    let device = system.dma_add_device_with_area("disk", None).expect("there is room for a device");
    let (disk, medium) = MockDisk::new(device, u64::from(pages) * 8, false);
    let mut state = 1_u32;
    let contents = core::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let contents: Vec<u8> = contents.take(bytes as usize).collect();
    let mut volume = Volume::new(pages).expect("the disk is large enough");
    let file = volume.place("data", bytes).expect("the file has room");
    let first = file.first as usize * PAGE_SIZE as usize;
    volume.add(File { crc: crc32fast::hash(&contents), ..file }).expect("it was just placed");
    let (page, table) = volume.encode();
    medium.borrow_mut().data[first..first + contents.len()].copy_from_slice(&contents);
    medium.borrow_mut().data[page as usize * TABLE_BYTES..][..TABLE_BYTES].copy_from_slice(&table);
    system.set_disk(Box::new(disk));
    medium
}

impl BlockDevice for MockDisk {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn dma_device(&self) -> DeviceId {
        self.device
    }

    fn submit(&mut self, request: &Request<'_>) -> Result<(), IoError> {
        assert!(request.segments.len() <= MAX_SEGMENTS && self.queue.iter().all(|other| other.tag != request.tag));
        self.works()?;
        self.queue.push(Queued {
            tag: request.tag,
            operation: request.operation,
            sector: request.sector,
            segments: request.segments.to_vec(),
        });
        let mut medium = self.medium.borrow_mut();
        medium.most_in_flight = medium.most_in_flight.max(self.queue.len());
        Ok(())
    }

    fn kick(&mut self) {
        self.kicked = self.queue.len();
    }

    fn complete(&mut self, memory: &mut dyn AddressSpace) -> Option<Completion> {
        let Medium { slow, stuck, .. } = *self.medium.borrow();
        if self.kicked == 0 || stuck && !self.reset || slow && !core::mem::take(&mut self.due) && !self.reset {
            return None;
        }
        let request = self.queue.remove(self.rng.u32(..self.kicked as u32) as usize);
        self.kicked -= 1;
        Some(Completion { tag: request.tag, result: self.carry_out(&request, memory) })
    }

    fn wait(&mut self) -> bool {
        self.waits += 1;
        self.due = true;
        !self.medium.borrow().stuck
    }

    fn reset(&mut self) {
        self.reset = true;
        self.kicked = self.queue.len();
    }

    fn works(&self) -> Result<(), IoError> {
        if self.reset { Err(IoError::SwitchedOff) } else { Ok(()) }
    }

    fn interrupts(&self) -> u64 {
        self.waits
    }
}
