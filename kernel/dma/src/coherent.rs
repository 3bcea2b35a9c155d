// SPDX-License-Identifier: MIT OR Apache-2.0

//! Coherent buffers: contiguous pages that hold the same data for processor and device at any time.
//!
//! The source of the pages follows Linux's rule (`dma_alloc_contiguous` in
//! `kernel/dma/contiguous.c`, `dma_direct_alloc`): a device with an area of its own uses that one.
//! Other devices use the default area, except for a single page, which needs no area to be
//! contiguous. If there is no area to use, or it refuses, the page allocator serves blocks of up to
//! 4 MiB. The area's alignment is the order of the size, at most [`cma::CMA_ALIGNMENT`].
//!
//! While a buffer exists, its pages have only a non-cacheable mapping: the cacheable one is removed
//! first, then the caches are purged of the pages. No mapping is left through which speculation
//! could fill lines of them, so they stay out of the caches until the buffer is freed.

use alloc::vec::Vec;
use core::panic::Location;

use super::checker::{Misuse, MisuseReport};
use super::{CpuAddress, DeviceAddress, DeviceId, Dma, DmaError, free_slot, lines};
use cma::{AreaId, Buffer};
use page_alloc::Block;
use units::{PAGE_SIZE, Pfn};

/// Most coherent buffers at a time.
pub const MAX_BUFFERS: usize = 256;

/// A coherent buffer that a driver owns: neither `Clone` nor `Copy`, given back by
/// [`Dma::end_coherent`].
#[must_use = "a coherent buffer that is dropped stays until its device is removed"]
#[derive(PartialEq, Eq, Debug)]
pub struct Coherent {
    cpu: CpuAddress,
    device_address: DeviceAddress,
    bytes: u32,
    place: u16,
    generation: u32,
}

impl Coherent {
    /// Its address for the processor: non-cacheable, and unmapped with the buffer.
    pub const fn cpu_address(&self) -> CpuAddress {
        self.cpu
    }

    /// Its address for the device.
    pub const fn device_address(&self) -> DeviceAddress {
        self.device_address
    }

    /// Its size in bytes, as it was asked for.
    pub const fn bytes(&self) -> u32 {
        self.bytes
    }

    /// The processor's address of `bytes` bytes from `offset` on.
    fn at(&self, offset: u32, bytes: u32) -> Result<CpuAddress, DmaError> {
        match offset.checked_add(bytes) {
            Some(end) if end <= self.bytes => Ok(CpuAddress(self.cpu.0 + offset)),
            _ => Err(DmaError::Outside { offset, bytes }),
        }
    }
}

/// The pages of a coherent buffer, by their source.
#[derive(Debug)]
pub enum Pages {
    /// An area.
    Area(Buffer),
    /// The page allocator.
    Buddy(Block),
}

/// Record of a coherent buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BufferInfo {
    /// Its device.
    pub device: DeviceId,
    /// Its address for the device.
    pub device_address: DeviceAddress,
    /// Its address for the processor.
    pub cpu_address: CpuAddress,
    /// Its size in bytes, as it was asked for.
    pub bytes: u32,
    /// Its pages, including those that the page allocator added to round up.
    pub pages: u32,
    /// The area of its pages; `None` if they are from the page allocator.
    pub area: Option<AreaId>,
    /// The call that allocated it.
    pub made_at: &'static Location<'static>,
    /// True if the table keeps it without a [`Coherent`]: see [`Dma::keep`].
    pub kept: bool,
    place: u16,
    generation: u32,
}

impl BufferInfo {
    /// The first page.
    pub const fn first(&self) -> Pfn {
        self.device_address.phys().pfn()
    }
}

/// The table of buffers.
#[derive(Default)]
pub(super) struct Buffers {
    slots: Vec<Option<(BufferInfo, Pages)>>,
    last_generation: u32,
}

impl Buffers {
    pub(super) fn reserve(&mut self) {
        if self.slots.capacity() < MAX_BUFFERS {
            self.slots.reserve_exact(MAX_BUFFERS);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &BufferInfo> {
        self.slots.iter().filter_map(|slot| slot.as_ref().map(|(info, _)| info))
    }

    /// Numbers of buffers: at present, and the most so far (slots are taken from the lowest up).
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.iter().count(), self.slots.len())
    }

    pub(super) fn of_device(&self, device: DeviceId) -> Option<BufferInfo> {
        self.iter().find(|info| info.device == device).copied()
    }

    fn get(&self, buffer: &Coherent) -> Option<&BufferInfo> {
        let (info, _) = self.slots.get(usize::from(buffer.place))?.as_ref()?;
        (info.generation == buffer.generation).then_some(info)
    }
}

/// Allocation of coherent buffers, and the processor's access to them.
impl Dma {
    /// Begins to allocate a buffer: returns the device's own area, and the number of pages needed.
    ///
    /// # Errors
    /// There is no such device, the size is 0, or the table is full.
    #[inline]
    pub fn begin_coherent(&mut self, device: DeviceId, bytes: u32) -> Result<(Option<AreaId>, u32), DmaError> {
        let own_area = self.devices.get(device).ok_or(DmaError::NoDevice)?.area;
        let pages = u64::from(bytes).div_ceil(PAGE_SIZE) as u32;
        if pages == 0 {
            return Err(DmaError::Size { bytes });
        }
        free_slot(&mut self.buffers.slots, MAX_BUFFERS).ok_or(DmaError::TooManyBuffers)?;
        Ok((own_area, pages))
    }

    /// Makes a zeroed buffer of the pages in `source`; reports name `made_at` as the call that made
    /// it.
    ///
    /// # Errors
    /// The table is full, or the pages cannot be mapped; they are returned with the reason.
    #[inline(always)]
    pub fn finish_coherent(
        &mut self,
        device: DeviceId,
        bytes: u32,
        source: Pages,
        made_at: &'static Location<'static>,
    ) -> Result<Coherent, (Pages, DmaError)> {
        let (first, pages, area) = match &source {
            Pages::Area(buffer) => (buffer.first(), buffer.pages(), Some(buffer.area())),
            Pages::Buddy(block) => (block.first(), 1 << block.order(), None),
        };
        let Some(place) = free_slot(&mut self.buffers.slots, MAX_BUFFERS) else {
            return Err((source, DmaError::TooManyBuffers));
        };
        let cpu_address = match self.show_coherent(first, pages) {
            Ok(address) => address,
            Err(error) => return Err((source, error)),
        };
        let device_address = DeviceAddress::of(first.addr());
        let buffers = &mut self.buffers;
        buffers.last_generation = buffers.last_generation.wrapping_add(1);
        let (place, generation) = (place as u16, buffers.last_generation);
        let info = BufferInfo {
            device,
            device_address,
            cpu_address,
            bytes,
            pages,
            area,
            made_at,
            kept: false,
            place,
            generation,
        };
        buffers.slots[usize::from(place)] = Some((info, source));
        Ok(Coherent { cpu: cpu_address, device_address, bytes, place, generation })
    }

    /// Ends a buffer; the caller frees the pages that it returns.
    ///
    /// # Errors
    /// The buffer has ended already, with its device.
    #[inline(always)]
    #[track_caller]
    pub fn end_coherent(&mut self, buffer: Coherent) -> Result<Pages, DmaError> {
        self.buffers.get(&buffer).ok_or(DmaError::NotMapped)?;
        self.end_buffer(buffer.place)
    }

    /// Ends and reports a buffer that a device leaks by its removal; `None` if there is none.
    ///
    /// # Errors
    /// There is no hardware.
    #[track_caller]
    pub fn end_leaked(&mut self, device: DeviceId) -> Option<Result<Pages, DmaError>> {
        let info = self.buffers.of_device(device)?;
        self.report_leak(device, Misuse::LeakedBuffer, (info.device_address, info.bytes), info.made_at);
        Some(self.end_buffer(info.place))
    }

    #[inline(always)]
    #[track_caller]
    fn end_buffer(&mut self, place: u16) -> Result<Pages, DmaError> {
        let (info, source) = self.buffers.slots[usize::from(place)].take().ok_or(DmaError::NotMapped)?;
        self.check_tail(&info);
        self.hardware()?.unmap_coherent(info.cpu_address, info.first(), info.pages);
        Ok(source)
    }

    /// Keeps a buffer in the table; [`Dma::take_kept`] finds it by the returned address.
    pub fn keep(&mut self, buffer: Coherent) -> DeviceAddress {
        if let Some(Some((info, _))) = self.buffers.slots.get_mut(usize::from(buffer.place))
            && info.generation == buffer.generation
        {
            info.kept = true;
        }
        buffer.device_address
    }

    /// Takes out the kept buffer at an address; with `None`, any kept buffer.
    pub fn take_kept(&mut self, at: Option<DeviceAddress>) -> Option<Coherent> {
        let slots = self.buffers.slots.iter_mut().flatten();
        let mut kept = slots.map(|(info, _)| info).filter(|info| info.kept);
        let info = kept.find(|info| at.is_none_or(|at| info.device_address == at))?;
        info.kept = false;
        let &mut BufferInfo { cpu_address: cpu, device_address, bytes, place, generation, .. } = info;
        Some(Coherent { cpu, device_address, bytes, place, generation })
    }

    /// Maps pages non-cacheable, purges them from the caches and zeroes them.
    fn show_coherent(&mut self, first: Pfn, pages: u32) -> Result<CpuAddress, DmaError> {
        let hardware = self.hardware()?;
        let at = hardware.map_coherent(first, pages).map_err(DmaError::NoWindow)?;
        let bytes = pages * PAGE_SIZE as u32;
        lines::purge(hardware, at, first.addr(), bytes);
        hardware.zero(at, bytes);
        hardware.barrier();
        Ok(at)
    }

    /// Reports a write after the end of a buffer, in its last page, if the checker is on.
    #[track_caller]
    fn check_tail(&mut self, info: &BufferInfo) {
        if !self.checker.is_enabled() {
            return;
        }
        let Ok(hardware) = self.hardware() else { return };
        let end = info.bytes.next_multiple_of(PAGE_SIZE as u32);
        let damaged = (info.bytes..end).find(|&offset| {
            let mut byte = [0];
            hardware.load(CpuAddress(info.cpu_address.0 + offset), &mut byte);
            byte != [0]
        });
        if let Some(offset) = damaged {
            let misuse = Misuse::WroteOutside { at: info.device_address.offset(offset) };
            let report = MisuseReport {
                device: self.devices.get(info.device).map_or("", |device| device.name),
                misuse,
                address: info.device_address,
                bytes: info.bytes,
                at: Location::caller(),
                made_at: Some(info.made_at),
            };
            self.checker.report(report);
        }
    }

    /// Returns the device of a buffer.
    pub fn device_of(&self, buffer: &Coherent) -> Option<DeviceId> {
        self.buffers.get(buffer).map(|info| info.device)
    }

    /// Reads from a coherent buffer.
    ///
    /// # Errors
    /// The bytes are not all inside, or the buffer has ended with its device.
    pub fn load(&mut self, buffer: &Coherent, offset: u32, bytes: &mut [u8]) -> Result<(), DmaError> {
        let at = self.coherent_at(buffer, offset, bytes.len())?;
        self.hardware()?.load(at, bytes);
        Ok(())
    }

    /// Writes to a coherent buffer.
    ///
    /// # Errors
    /// See [`Dma::load`].
    pub fn store(&mut self, buffer: &mut Coherent, offset: u32, bytes: &[u8]) -> Result<(), DmaError> {
        let at = self.coherent_at(buffer, offset, bytes.len())?;
        self.hardware()?.store(at, bytes);
        Ok(())
    }

    /// Reads an aligned word of a coherent buffer in one access.
    ///
    /// # Errors
    /// See [`Dma::load`]; a word that is not aligned counts as outside.
    pub fn load_word(&mut self, buffer: &Coherent, offset: u32) -> Result<u32, DmaError> {
        let at = self.coherent_word(buffer, offset)?;
        Ok(self.hardware()?.load_word(at))
    }

    /// Writes an aligned word of a coherent buffer in one access.
    ///
    /// # Errors
    /// See [`Dma::load_word`].
    pub fn store_word(&mut self, buffer: &mut Coherent, offset: u32, word: u32) -> Result<(), DmaError> {
        let at = self.coherent_word(buffer, offset)?;
        self.hardware()?.store_word(at, word);
        Ok(())
    }

    /// Orders earlier accesses to coherent buffers before later ones, as the device sees them
    /// (`dma_wmb`, `dma_rmb`).
    pub fn barrier(&mut self) {
        if let Some(hardware) = &mut self.hardware {
            hardware.barrier();
        }
    }

    fn coherent_word(&self, buffer: &Coherent, offset: u32) -> Result<CpuAddress, DmaError> {
        if !offset.is_multiple_of(4) {
            return Err(DmaError::Outside { offset, bytes: 4 });
        }
        self.coherent_at(buffer, offset, 4)
    }

    fn coherent_at(&self, buffer: &Coherent, offset: u32, bytes: usize) -> Result<CpuAddress, DmaError> {
        self.buffers.get(buffer).ok_or(DmaError::NotMapped)?;
        buffer.at(offset, u32::try_from(bytes).unwrap_or(u32::MAX))
    }
}
