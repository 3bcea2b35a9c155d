// SPDX-License-Identifier: MIT OR Apache-2.0

//! Scatter-gather: one transfer to or from several ranges, in order.
//!
//! The caches are maintained level by level over all segments, so that one wait for level 2 is
//! enough.

use core::marker::PhantomData;
use core::panic::Location;

use super::lines::Lines;
use super::table::{CpuPart, Mapped, MappingKind};
use super::{DeviceAddress, DeviceId, Direction, DmaError, ForCpu, ForDevice, Streaming};
use units::PhysAddr;

/// Most segments of a list.
pub const MAX_SEGMENTS: usize = 64;

/// A range of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Its first byte.
    pub start: PhysAddr,
    /// Its length in bytes.
    pub bytes: u32,
}

/// The ranges of a transfer.
#[derive(Clone, Debug)]
pub struct ScatterList {
    segments: [Segment; MAX_SEGMENTS],
    count: usize,
}

impl Default for ScatterList {
    fn default() -> Self {
        Self { segments: [Segment { start: PhysAddr(0), bytes: 0 }; MAX_SEGMENTS], count: 0 }
    }
}

impl ScatterList {
    /// Adds a segment after the others.
    ///
    /// # Errors
    /// There are [`MAX_SEGMENTS`] already.
    pub fn push(&mut self, start: PhysAddr, bytes: u32) -> Result<(), DmaError> {
        let segment = self.segments.get_mut(self.count).ok_or(DmaError::TooManySegments)?;
        *segment = Segment { start, bytes };
        self.count += 1;
        Ok(())
    }

    /// The segments.
    pub fn segments(&self) -> &[Segment] {
        &self.segments[..self.count]
    }
}

/// A scatter list that is mapped, with its owner: neither `Clone` nor `Copy`, given back by
/// [`Streaming::unmap_sg`].
#[must_use = "memory stays mapped, and pinned, until its device is removed"]
#[derive(Debug)]
pub struct ScatterMapping<Owner> {
    parts: [Part; MAX_SEGMENTS],
    count: usize,
    direction: Direction,
    owner: PhantomData<Owner>,
}

/// A mapped segment: its slot in the table, and its address and length for the device.
#[derive(Clone, Copy, Default, Debug)]
struct Part {
    start: u32,
    bytes: u32,
    place: u16,
    generation: u32,
}

impl Part {
    const fn lines(&self) -> Lines {
        Lines::new(PhysAddr(self.start as u64), self.bytes)
    }
}

impl<Owner> ScatterMapping<Owner> {
    /// Returns the device address and the length of each segment.
    pub fn segments(&self) -> impl Iterator<Item = (DeviceAddress, u32)> + '_ {
        self.parts().iter().map(|part| (DeviceAddress(part.start), part.bytes))
    }

    fn parts(&self) -> &[Part] {
        &self.parts[..self.count]
    }

    fn now<Other>(self) -> ScatterMapping<Other> {
        let Self { parts, count, direction, owner: _ } = self;
        ScatterMapping { parts, count, direction, owner: PhantomData }
    }
}

impl Streaming<'_, '_> {
    /// Maps all segments of a list for a device (`dma_map_sg`).
    ///
    /// # Errors
    /// See [`Streaming::map`]; nothing is mapped.
    #[track_caller]
    pub fn map_sg(
        &mut self,
        device: DeviceId,
        list: &ScatterList,
        direction: Direction,
    ) -> Result<ScatterMapping<ForDevice>, DmaError> {
        let made_at = Location::caller();
        let parts = [Part::default(); MAX_SEGMENTS];
        let mut mapping = ScatterMapping { parts, count: 0, direction, owner: PhantomData };
        for segment in list.segments() {
            match self.add(device, MappingKind::Scatter, (segment.start, segment.bytes), direction, made_at) {
                Ok(Mapped { start, bytes, place, generation, .. }) => {
                    mapping.parts[mapping.count] = Part { start: start.bits(), bytes, place, generation };
                    mapping.count += 1;
                }
                Err(error) => {
                    // The device has not received any of them, and the caches were not maintained.
                    mapping.parts().iter().for_each(|part| self.forget(part, made_at));
                    return Err(error);
                }
            }
        }
        let hardware = self.dma.hardware()?;
        mapping.parts().iter().for_each(|part| part.lines().inner_to_device(hardware, direction));
        mapping.parts().iter().for_each(|part| part.lines().outer_to_device(hardware, direction));
        hardware.outer_sync();
        Ok(mapping)
    }

    /// Gives all segments to the processor (`dma_sync_sg_for_cpu`).
    ///
    /// # Errors
    /// The mapping has ended.
    #[track_caller]
    pub fn sync_sg_for_cpu(&mut self, mapping: ScatterMapping<ForDevice>) -> Result<ScatterMapping<ForCpu>, DmaError> {
        self.all_there(&mapping)?;
        self.drop_lines(&mapping)?;
        for part in mapping.parts() {
            let Some(known) = self.dma.mappings.get(part.place, part.generation) else { continue };
            let before = *known;
            (known.watch, known.cpu) = (None, CpuPart { start: 0, end: known.bytes });
            if self.dma.checker.is_enabled() {
                self.dma.check_watch(&before, Location::caller());
            }
        }
        Ok(mapping.now())
    }

    /// Gives all segments to the device again (`dma_sync_sg_for_device`).
    ///
    /// # Errors
    /// The mapping has ended.
    pub fn sync_sg_for_device(
        &mut self,
        mapping: ScatterMapping<ForCpu>,
    ) -> Result<ScatterMapping<ForDevice>, DmaError> {
        self.all_there(&mapping)?;
        for part in mapping.parts() {
            if let Some(&mut mapped) = self.dma.mappings.get(part.place, part.generation) {
                self.give_to_device(&mapped, 0, mapped.bytes)?;
            }
        }
        Ok(mapping.now())
    }

    /// Ends the mapping of all segments (`dma_unmap_sg`).
    ///
    /// # Errors
    /// The mapping has ended.
    #[track_caller]
    pub fn unmap_sg<Owner>(&mut self, mapping: ScatterMapping<Owner>) -> Result<(), DmaError> {
        self.all_there(&mapping)?;
        // All segments have the same owner: lists change owner only as a whole.
        if mapping.parts().first().is_some_and(|part| {
            self.dma.mappings.get(part.place, part.generation).is_some_and(|known| known.cpu.is_empty())
        }) {
            self.drop_lines(&mapping)?;
        }
        mapping.parts().iter().for_each(|part| self.forget(part, Location::caller()));
        Ok(())
    }

    fn all_there<Owner>(&mut self, mapping: &ScatterMapping<Owner>) -> Result<(), DmaError> {
        let mut parts = mapping.parts().iter();
        let there = parts.all(|part| self.dma.mappings.get(part.place, part.generation).is_some());
        if there { Ok(()) } else { Err(DmaError::NotMapped) }
    }

    /// Drops the segments' lines from the caches, if the device may have written.
    fn drop_lines<Owner>(&mut self, mapping: &ScatterMapping<Owner>) -> Result<(), DmaError> {
        if mapping.direction.device_writes() {
            let hardware = self.dma.hardware()?;
            mapping.parts().iter().for_each(|part| part.lines().outer_to_cpu(hardware, mapping.direction));
            hardware.outer_sync();
            mapping.parts().iter().for_each(|part| part.lines().inner_to_cpu(hardware, mapping.direction));
        }
        Ok(())
    }

    /// Removes a segment from the table and unpins its pages.
    fn forget(&mut self, part: &Part, at: &'static Location<'static>) {
        if let Some(mapped) = self.dma.mappings.remove(part.place) {
            self.finish(&mapped, at);
        }
    }
}
