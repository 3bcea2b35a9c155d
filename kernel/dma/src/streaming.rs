// SPDX-License-Identifier: MIT OR Apache-2.0

//! Streaming mappings: ordinary memory that a device uses for a transfer, with its owner.
//!
//! The device owns a [`Mapping<ForDevice>`]; only a [`Mapping<ForCpu>`] can be read and written.
//! The calls that convert one into the other maintain the caches. `raw` has Linux's calls, by bare
//! addresses, for drivers ported from Linux.

use core::any::Any;
use core::marker::PhantomData;
use core::panic::Location;

use super::checker::Misuse;
use super::table::{CpuPart, Mapped, MappingKind};
use super::{CpuAddress, DeviceAddress, DeviceId, Direction, Dma, DmaError, lines};
use migration::live::watch::FrameWatch;
use migration::live::{Live, Mm};
use migration::trace::Trace;
use page_alloc::zone::Zone;
use units::{ADDRESS_LIMIT, PAGE_SIZE, Pfn, PhysAddr};

/// The device owns the memory.
#[derive(Debug)]
pub struct ForDevice;
/// The processor owns the memory.
#[derive(Debug)]
pub struct ForCpu;

/// Memory that is mapped for a device, with its owner: neither `Clone` nor `Copy`, given back by
/// [`Streaming::unmap`].
#[must_use = "memory stays mapped, and pinned, until its device is removed"]
#[derive(Debug)]
pub struct Mapping<Owner> {
    start: DeviceAddress,
    bytes: u32,
    direction: Direction,
    place: u16,
    generation: u32,
    owner: PhantomData<Owner>,
}

impl<Owner> Mapping<Owner> {
    /// Its address for the device.
    pub const fn device_address(&self) -> DeviceAddress {
        self.start
    }

    /// Its size in bytes.
    pub const fn bytes(&self) -> u32 {
        self.bytes
    }

    /// The direction of its data.
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    fn now<Other>(self) -> Mapping<Other> {
        let Self { start, bytes, direction, place, generation, owner: _ } = self;
        Mapping { start, bytes, direction, place, generation, owner: PhantomData }
    }
}

impl Mapping<ForDevice> {
    pub(super) fn of(mapped: &Mapped) -> Self {
        let &Mapped { start, bytes, direction, place, generation, .. } = mapped;
        Self { start, bytes, direction, place, generation, owner: PhantomData }
    }
}

/// The calls of streaming mappings; borrows pages, users of memory and tables from their owner.
pub struct Streaming<'a, 'm> {
    /// The page allocator.
    pub zone: &'a mut Zone<'m>,
    /// The users of memory, if there are any.
    pub live: Option<&'a mut Live>,
    /// The ring of trace events.
    pub trace: &'a mut Trace,
    /// The tables of devices, buffers and mappings.
    pub dma: &'a mut Dma,
}

/// Returns the calls of streaming mappings for a page source, which gets the users of memory;
/// `None` if `mm.watch` is not a [`Dma`].
pub fn streaming_of<'a, 'm>(mm: &'a mut Mm<'_, 'm>) -> Option<Streaming<'a, 'm>> {
    let watch: &mut dyn Any = &mut *mm.watch;
    let dma = watch.downcast_mut()?;
    Some(Streaming { zone: mm.zone, live: Some(mm.live), trace: mm.trace, dma })
}

impl<'m> Streaming<'_, 'm> {
    /// Ends and reports all mappings of pages in use, before the users of memory are closed.
    #[track_caller]
    pub fn end_pinned(&mut self) {
        while let Some(mapped) = self.dma.mappings.pinned() {
            self.dma.report_mapped(&mapped, Misuse::OwnerGone, Location::caller());
            // This cannot fail: the mapping was just found, and mappings need hardware.
            let _ = self.end_mapping(mapped.place);
        }
    }

    /// Ends and reports a mapping that a device leaks by its removal; `None` if there is none.
    ///
    /// # Errors
    /// There is no hardware.
    #[track_caller]
    pub fn end_leaked(&mut self, device: DeviceId) -> Option<Result<(), DmaError>> {
        let place = self.dma.leaked_mapping(device)?;
        Some(self.end_mapping(place))
    }

    /// Maps `bytes` bytes from `start` on for a device. Pins pages in use, in the device's name.
    ///
    /// If the range begins or ends inside a cache line, the rest of that line must not be written
    /// until the mapping ends.
    ///
    /// # Errors
    /// See [`DmaError`]; nothing is mapped.
    #[track_caller]
    pub fn map(
        &mut self,
        device: DeviceId,
        start: PhysAddr,
        bytes: u32,
        direction: Direction,
    ) -> Result<Mapping<ForDevice>, DmaError> {
        let mapped = self.add(device, MappingKind::Single, (start, bytes), direction, Location::caller())?;
        lines::to_device(self.dma.hardware()?, start, bytes, direction);
        Ok(Mapping::of(&mapped))
    }

    /// Makes the processor the owner: it may then read the memory and, unless the data only come
    /// from the device, write it.
    ///
    /// # Errors
    /// The mapping has ended: its device was removed, or the users of memory were closed.
    #[track_caller]
    pub fn sync_for_cpu(&mut self, mapping: Mapping<ForDevice>) -> Result<Mapping<ForCpu>, DmaError> {
        let mapped = *self.entry(&mapping)?;
        self.give_to_cpu(&mapped, 0, mapped.bytes, Location::caller())?;
        Ok(mapping.now())
    }

    /// Makes the device the owner again.
    ///
    /// # Errors
    /// See [`Streaming::sync_for_cpu`].
    pub fn sync_for_device(&mut self, mapping: Mapping<ForCpu>) -> Result<Mapping<ForDevice>, DmaError> {
        let mapped = *self.entry(&mapping)?;
        self.give_to_device(&mapped, 0, mapped.bytes)?;
        Ok(mapping.now())
    }

    /// Ends a mapping: the processor owns the memory, and its pages may move.
    ///
    /// # Errors
    /// See [`Streaming::sync_for_cpu`].
    #[track_caller]
    pub fn unmap<Owner>(&mut self, mapping: Mapping<Owner>) -> Result<(), DmaError> {
        self.entry(&mapping)?;
        self.end_mapping(mapping.place)
    }

    /// Reads memory that the processor owns.
    ///
    /// # Errors
    /// The bytes are not all inside, or the mapping has ended.
    pub fn read(&mut self, mapping: &Mapping<ForCpu>, offset: u32, bytes: &mut [u8]) -> Result<(), DmaError> {
        let at = self.cpu_address(mapping, offset, bytes.len())?;
        self.dma.hardware()?.load(at, bytes);
        Ok(())
    }

    /// Writes memory that the processor owns.
    ///
    /// # Errors
    /// See [`Streaming::read`]; also if the data only come from the device, because the next
    /// transfer would drop what was written.
    #[track_caller]
    pub fn write(&mut self, mapping: &mut Mapping<ForCpu>, offset: u32, bytes: &[u8]) -> Result<(), DmaError> {
        let at = self.cpu_address(mapping, offset, bytes.len())?;
        if mapping.direction == Direction::FromDevice {
            let mapped = *self.entry(mapping)?;
            self.dma.report_mapped(&mapped, Misuse::LostWrite, Location::caller());
            return Err(DmaError::Misuse(Misuse::LostWrite));
        }
        self.dma.hardware()?.store(at, bytes);
        Ok(())
    }

    fn cpu_address(&mut self, mapping: &Mapping<ForCpu>, offset: u32, bytes: usize) -> Result<CpuAddress, DmaError> {
        let start = self.entry(mapping)?.start.phys();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        match offset.checked_add(bytes) {
            Some(end) if end <= mapping.bytes => Ok(self.dma.hardware()?.cached(PhysAddr(start.0 + u64::from(offset)))),
            _ => Err(DmaError::Outside { offset, bytes }),
        }
    }

    fn entry<Owner>(&mut self, mapping: &Mapping<Owner>) -> Result<&mut Mapped, DmaError> {
        self.dma.mappings.get(mapping.place, mapping.generation).ok_or(DmaError::NotMapped)
    }

    /// Adds a mapping to the table and pins its pages; the caller maintains the caches.
    pub(super) fn add(
        &mut self,
        device: DeviceId,
        kind: MappingKind,
        (start, bytes): (PhysAddr, u32),
        direction: Direction,
        made_at: &'static Location<'static>,
    ) -> Result<Mapped, DmaError> {
        self.dma.hardware()?;
        let name = self.dma.devices.get(device).ok_or(DmaError::NoDevice)?.name;
        if bytes == 0 || start.0 + u64::from(bytes) > ADDRESS_LIMIT {
            return Err(DmaError::Size { bytes });
        }
        let entry = Mapped {
            device,
            kind,
            direction,
            start: DeviceAddress::of(start),
            bytes,
            made_at,
            cpu: CpuPart::default(),
            pinned: false,
            watch: None,
            place: 0,
            generation: 0,
        };
        self.check_memory(&entry)?;
        let &Mapped { place, generation, .. } = self.dma.mappings.add(entry).ok_or(DmaError::TooManyMappings)?;
        let pinned = match self.pin_pages(start, bytes, name) {
            Ok(pinned) => pinned,
            Err(error) => {
                self.dma.mappings.remove(place);
                return Err(error);
            }
        };
        let entry = Mapped { pinned, place, generation, ..entry };
        if let Some(known) = self.dma.mappings.get(place, generation) {
            known.pinned = pinned;
        }
        if self.dma.checker.is_enabled() {
            self.dma.check_new(place, generation);
        }
        Ok(entry)
    }

    /// Checks that the range is RAM and, if the checker is on, allocated.
    fn check_memory(&mut self, entry: &Mapped) -> Result<(), DmaError> {
        let (first, pages) = frames(entry.start.phys(), entry.bytes);
        let checked = self.dma.checker.is_enabled();
        for frame in (first.0..first.0 + pages).map(Pfn) {
            if !self.zone.has_ram(frame) {
                return Err(DmaError::NotMemory { at: frame.addr() });
            }
            if checked && self.zone.is_free(frame) {
                let misuse = Misuse::FreeMemory { at: frame.addr() };
                self.dma.report_mapped(entry, misuse, entry.made_at);
                return Err(DmaError::Misuse(misuse));
            }
        }
        Ok(())
    }

    /// Pins the pages in use; true if there are any.
    fn pin_pages(&mut self, start: PhysAddr, bytes: u32, by: &'static str) -> Result<bool, DmaError> {
        if self.dma.sabotage_pins {
            return Ok(false);
        }
        let Some(mut mm) = self.mm() else { return Ok(false) };
        let (first, pages) = frames(start, bytes);
        let mut pinned = false;
        for page in 0..pages {
            match mm.pin_for_device(first.add(page), by) {
                Ok(lives) => pinned |= lives,
                Err(error) => {
                    (0..page).for_each(|page| mm.unpin_for_device(first.add(page), by));
                    return Err(DmaError::Pin(error));
                }
            }
        }
        Ok(pinned)
    }

    /// The users of memory, if there are any.
    fn mm(&mut self) -> Option<Mm<'_, 'm>> {
        let live = self.live.as_deref_mut()?;
        let watched = self.dma.is_watching();
        Some(Mm { zone: self.zone, live, trace: self.trace, watch: self.dma, watched })
    }

    /// Gives a part of a mapping to the processor, whose part becomes the span of old and new.
    pub(super) fn give_to_cpu(
        &mut self,
        mapped: &Mapped,
        offset: u32,
        bytes: u32,
        at: &'static Location<'static>,
    ) -> Result<(), DmaError> {
        let start = PhysAddr(mapped.start.phys().0 + u64::from(offset));
        lines::to_cpu(self.dma.hardware()?, start, bytes, mapped.direction);
        if self.dma.checker.is_enabled() {
            self.dma.check_watch(mapped, at);
        }
        if let Some(mapped) = self.dma.mappings.get(mapped.place, mapped.generation) {
            mapped.watch = None;
            let had = if mapped.cpu.is_empty() { CpuPart { start: offset, end: offset } } else { mapped.cpu };
            mapped.cpu = CpuPart { start: had.start.min(offset), end: had.end.max(offset + bytes) };
        }
        Ok(())
    }

    /// Gives a part of a mapping to the device. The processor keeps the rest on one side, or in the
    /// table its whole part if that has a rest on both sides.
    pub(super) fn give_to_device(&mut self, mapped: &Mapped, offset: u32, bytes: u32) -> Result<(), DmaError> {
        let end = offset + bytes;
        let mut whole = false;
        if let Some(mapped) = self.dma.mappings.get(mapped.place, mapped.generation) {
            let cpu = mapped.cpu;
            mapped.cpu = match (cpu.start < offset, end < cpu.end) {
                (false, true) => CpuPart { start: cpu.start.max(end), end: cpu.end },
                (true, false) => CpuPart { start: cpu.start, end: cpu.end.min(offset) },
                (false, false) => CpuPart::default(),
                (true, true) => cpu,
            };
            whole = mapped.cpu.is_empty();
        }
        if whole && self.dma.checker.is_enabled() {
            self.dma.watch(mapped.place, mapped.generation);
        }
        let start = PhysAddr(mapped.start.phys().0 + u64::from(offset));
        lines::to_device(self.dma.hardware()?, start, bytes, mapped.direction);
        Ok(())
    }

    /// Removes a mapping from the table, gives its memory to the processor and unpins its pages.
    #[track_caller]
    pub(super) fn end_mapping(&mut self, place: u16) -> Result<(), DmaError> {
        let mapped = self.dma.mappings.remove(place).ok_or(DmaError::NotMapped)?;
        // The processor's part is left alone: it may have been written meanwhile.
        let CpuPart { start, end } = mapped.cpu;
        let parts = if mapped.cpu.is_empty() { [(0, mapped.bytes), (0, 0)] } else { [(0, start), (end, mapped.bytes)] };
        for (start, end) in parts.into_iter().filter(|(start, end)| start < end) {
            let at = PhysAddr(mapped.start.phys().0 + u64::from(start));
            lines::to_cpu(self.dma.hardware()?, at, end - start, mapped.direction);
        }
        self.finish(&mapped, Location::caller());
        Ok(())
    }

    /// Checks and unpins a mapping that was removed from the table, after the cache maintenance.
    pub(super) fn finish(&mut self, mapped: &Mapped, at: &'static Location<'static>) {
        if self.dma.checker.is_enabled() {
            self.dma.check_watch(mapped, at);
            self.dma.checker.ended(mapped.start, at);
        }
        if mapped.pinned {
            let by = self.dma.devices.get(mapped.device).map_or("", |device| device.name);
            let (first, pages) = frames(mapped.start.phys(), mapped.bytes);
            if let Some(mut mm) = self.mm() {
                (0..pages).for_each(|page| mm.unpin_for_device(first.add(page), by));
            }
        }
    }
}

/// Returns the first page that a range touches, and the number of pages.
fn frames(start: PhysAddr, bytes: u32) -> (Pfn, u32) {
    let first = start.pfn();
    let last = PhysAddr(start.0 + u64::from(bytes) - 1).pfn();
    debug_assert!(u64::from(bytes) <= u64::from(last.0 - first.0 + 1) * PAGE_SIZE);
    (first, last.0 - first.0 + 1)
}
