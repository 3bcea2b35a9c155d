// SPDX-License-Identifier: MIT OR Apache-2.0

//! Linux's calls for streaming mappings, by bare device addresses: for drivers that keep the
//! address themselves.
//!
//! An address says nothing about its mapping, so each call names again what was mapped; a
//! difference from the table is refused and reported. An unmapping with the wrong kind, size or
//! direction still ends the mapping, as it was made.

use core::panic::Location;

use super::checker::{Misuse, MisuseReport};
use super::table::{Mapped, MappingKind};
use super::{DeviceAddress, DeviceId, Direction, DmaError, Streaming};
use units::PhysAddr;

/// A mapping as a call names it.
#[derive(Clone, Copy)]
pub(super) struct Named {
    pub(super) device: DeviceId,
    pub(super) start: DeviceAddress,
    pub(super) bytes: u32,
    pub(super) direction: Direction,
}

impl Streaming<'_, '_> {
    /// Maps a range (`dma_map_single`, `dma_map_page`).
    ///
    /// # Errors
    /// See [`Streaming::map`].
    #[track_caller]
    pub fn dma_map_single(
        &mut self,
        device: DeviceId,
        start: PhysAddr,
        bytes: u32,
        direction: Direction,
    ) -> Result<DeviceAddress, DmaError> {
        self.map(device, start, bytes, direction).map(|mapping| mapping.device_address())
    }

    /// Ends a mapping (`dma_unmap_single`, `dma_unmap_page`).
    ///
    /// # Errors
    /// The mapping does not exist, or differs from the call.
    #[track_caller]
    pub fn dma_unmap_single(
        &mut self,
        device: DeviceId,
        start: DeviceAddress,
        bytes: u32,
        direction: Direction,
    ) -> Result<(), DmaError> {
        let at = Location::caller();
        let named = Named { device, start, bytes, direction };
        let mapped = self.find_exactly(named, at)?;
        let wrong = if mapped.kind != MappingKind::Single {
            Some(Misuse::MappingKind { mapped: mapped.kind })
        } else if mapped.bytes != bytes {
            Some(Misuse::Size { mapped: mapped.bytes })
        } else if mapped.direction != direction {
            Some(Misuse::Direction { mapped: mapped.direction, named: direction })
        } else {
            None
        };
        let refused = wrong.map(|misuse| self.refuse(named, misuse, Some(mapped.made_at), at));
        self.end_mapping(mapped.place)?;
        refused.map_or(Ok(()), Err)
    }

    /// Gives a mapping, or a part of one, to the processor (`dma_sync_single_for_cpu`).
    ///
    /// # Errors
    /// The mapping does not exist, or differs from the call.
    #[track_caller]
    pub fn dma_sync_single_for_cpu(
        &mut self,
        device: DeviceId,
        start: DeviceAddress,
        bytes: u32,
        direction: Direction,
    ) -> Result<(), DmaError> {
        let at = Location::caller();
        let (mapped, offset) = self.find_around(Named { device, start, bytes, direction }, at)?;
        self.give_to_cpu(&mapped, offset, bytes, at)
    }

    /// Gives a mapping, or a part of one, to the device (`dma_sync_single_for_device`).
    ///
    /// # Errors
    /// The mapping does not exist, or differs from the call.
    #[track_caller]
    pub fn dma_sync_single_for_device(
        &mut self,
        device: DeviceId,
        start: DeviceAddress,
        bytes: u32,
        direction: Direction,
    ) -> Result<(), DmaError> {
        let (mapped, offset) = self.find_around(Named { device, start, bytes, direction }, Location::caller())?;
        self.give_to_device(&mapped, offset, bytes)
    }

    /// Returns the device's mapping that begins at the named address.
    fn find_exactly(&mut self, named: Named, at: &'static Location<'static>) -> Result<Mapped, DmaError> {
        let found = self.dma.mappings.find(named.device, named.start).copied();
        self.owned(named, found, at)
    }

    /// Returns the device's mapping that contains the named bytes, and their offset in it.
    fn find_around(&mut self, named: Named, at: &'static Location<'static>) -> Result<(Mapped, u32), DmaError> {
        let start = u64::from(named.start.bits());
        let around = |mapped: &&Mapped| mapped.device == named.device && mapped.range().contains(&start);
        let exact = self.dma.mappings.find(named.device, named.start);
        let found = exact.or_else(|| self.dma.mappings.iter().find(around)).copied();
        let mapped = self.owned(named, found, at)?;
        if start + u64::from(named.bytes) > mapped.range().end || named.bytes == 0 {
            let misuse = Misuse::SyncOutside { mapped: mapped.bytes };
            return Err(self.refuse(named, misuse, Some(mapped.made_at), at));
        }
        if mapped.direction != Direction::Bidirectional && mapped.direction != named.direction {
            let misuse = Misuse::Direction { mapped: mapped.direction, named: named.direction };
            return Err(self.refuse(named, misuse, Some(mapped.made_at), at));
        }
        Ok((mapped, named.start.bits() - mapped.start.bits()))
    }

    /// Returns the mapping that was found, if there is one and it is the device's.
    pub(super) fn owned(
        &mut self,
        named: Named,
        found: Option<Mapped>,
        at: &'static Location<'static>,
    ) -> Result<Mapped, DmaError> {
        let Some(mapped) = found else {
            let ended_at = self.dma.checker.ended_at(named.start);
            return Err(self.refuse(named, Misuse::NotMapped { ended_at }, None, at));
        };
        if mapped.device != named.device {
            let device = self.dma.devices.get(mapped.device).map_or("", |device| device.name);
            return Err(self.refuse(named, Misuse::OtherDevice { device }, Some(mapped.made_at), at));
        }
        Ok(mapped)
    }

    pub(super) fn refuse(
        &mut self,
        named: Named,
        misuse: Misuse,
        made_at: Option<&'static Location<'static>>,
        at: &'static Location<'static>,
    ) -> DmaError {
        let device = self.dma.devices.get(named.device).map_or("", |device| device.name);
        self.dma.checker.report(MisuseReport { device, misuse, address: named.start, bytes: named.bytes, at, made_at });
        DmaError::Misuse(misuse)
    }
}
