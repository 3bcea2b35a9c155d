// SPDX-License-Identifier: MIT OR Apache-2.0

//! Linux's calls for streaming mappings, by bare device addresses: for drivers that keep the
//! address themselves.
//!
//! Here nothing but the table knows what an address stands for, so each call says again what was
//! mapped, and what does not agree is refused and reported. An unmapping that names the wrong size
//! or direction ends the mapping all the same, as it was made.

use core::panic::Location;

use super::checker::{Misuse, MisuseReport};
use super::table::{Mapped, MappingKind};
use super::{DeviceAddress, DeviceId, Direction, DmaError, Streaming};
use units::PhysAddr;

/// What a call says of a mapping.
#[derive(Clone, Copy)]
pub(super) struct Named {
    pub(super) device: DeviceId,
    pub(super) start: DeviceAddress,
    pub(super) bytes: u32,
    pub(super) direction: Direction,
}

impl Streaming<'_, '_> {
    /// `dma_map_single`, `dma_map_page`.
    ///
    /// # Errors
    /// As for [`Streaming::map`].
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

    /// `dma_unmap_single`, `dma_unmap_page`.
    ///
    /// # Errors
    /// The mapping is not there, or not as named.
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

    /// `dma_sync_single_for_cpu`: a mapping, or a part of one.
    ///
    /// # Errors
    /// The mapping is not there, or not as named.
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

    /// `dma_sync_single_for_device`: a mapping, or a part of one.
    ///
    /// # Errors
    /// The mapping is not there, or not as named.
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

    /// The device's mapping that begins at the named address.
    fn find_exactly(&mut self, named: Named, at: &'static Location<'static>) -> Result<Mapped, DmaError> {
        let found = self.dma.mappings.find(named.device, named.start).copied();
        self.owned(named, found, at)
    }

    /// The device's mapping that the named bytes lie in, and how far from its start.
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

    /// What was found, if it is there and the device's.
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
