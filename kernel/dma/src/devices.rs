// SPDX-License-Identifier: MIT OR Apache-2.0

//! The devices that use DMA: their names, their areas from the device tree, and reports of what
//! they leak.

use alloc::vec::Vec;
use core::panic::Location;

use super::checker::{Misuse, MisuseReport};
use super::{DeviceAddress, Dma, DmaError, free_slot};
use cma::AreaId;

/// Most devices at a time.
pub const MAX_DEVICES: usize = 32;

/// ID of a device. A later device does not get the ID of a removed one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceId {
    place: u16,
    generation: u16,
}

/// A device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceInfo {
    /// Its node's name in the device tree.
    pub name: &'static str,
    /// Its own area, by `memory-region` or `CMA-name`.
    pub area: Option<AreaId>,
    /// True if it has a driver; else the user at the prompt acts as its driver.
    pub has_driver: bool,
    generation: u16,
}

/// The table of devices.
#[derive(Default)]
pub(super) struct Devices {
    slots: Vec<Option<DeviceInfo>>,
    /// Names of the devices that can be added at the prompt.
    known: Vec<&'static str>,
    last_generation: u16,
}

impl Devices {
    fn add(&mut self, name: &'static str, area: Option<AreaId>, has_driver: bool) -> Result<DeviceId, DmaError> {
        let place = free_slot(&mut self.slots, MAX_DEVICES).ok_or(DmaError::TooManyDevices)?;
        self.last_generation = self.last_generation.wrapping_add(1);
        let generation = self.last_generation;
        self.slots[place] = Some(DeviceInfo { name, area, has_driver, generation });
        Ok(DeviceId { place: place as u16, generation })
    }

    pub(super) fn get(&self, id: DeviceId) -> Option<&DeviceInfo> {
        self.slots.get(usize::from(id.place))?.as_ref().filter(|info| info.generation == id.generation)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (DeviceId, &DeviceInfo)> {
        self.slots.iter().enumerate().filter_map(|(place, slot)| {
            let info = slot.as_ref()?;
            Some((DeviceId { place: place as u16, generation: info.generation }, info))
        })
    }

    fn remove(&mut self, id: DeviceId) {
        if self.get(id).is_some() {
            self.slots[usize::from(id.place)] = None;
        }
    }
}

impl Dma {
    /// Sets the names of the machine's devices in the device tree, with a driver or without. They
    /// are `'static` because pins and reports hold a device's name and may outlive the device.
    pub fn know(&mut self, names: Vec<&'static str>) {
        self.devices.known = names;
    }

    /// The names of the devices that the machine has.
    pub fn known(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.devices.known.iter().copied()
    }

    /// Adds a device, with its own area if it has one. `has_driver` is false if the user at the
    /// prompt acts as its driver.
    ///
    /// # Errors
    /// There is no hardware for DMA, or there are too many devices.
    pub fn add_device(
        &mut self,
        name: &'static str,
        area: Option<AreaId>,
        has_driver: bool,
    ) -> Result<DeviceId, DmaError> {
        self.hardware()?;
        let id = self.devices.add(name, area, has_driver)?;
        self.reserve();
        Ok(id)
    }

    /// Removes a device that has no buffers and mappings.
    pub fn remove_device(&mut self, id: DeviceId) {
        self.devices.remove(id);
    }

    /// Reports a mapping that a device has leaked and returns its slot; `None` if there is none.
    #[track_caller]
    pub(crate) fn leaked_mapping(&mut self, id: DeviceId) -> Option<u16> {
        let mapped = self.mappings.of_device(id)?;
        self.report_leak(id, Misuse::LeakedMapping, (mapped.start, mapped.bytes), mapped.made_at);
        Some(mapped.place)
    }

    #[track_caller]
    pub(crate) fn report_leak(
        &mut self,
        device: DeviceId,
        misuse: Misuse,
        (address, bytes): (DeviceAddress, u32),
        made_at: &'static Location<'static>,
    ) {
        let device = self.devices.get(device).map_or("", |device| device.name);
        let report = MisuseReport { device, misuse, address, bytes, at: Location::caller(), made_at: Some(made_at) };
        self.checker.report(report);
    }
}
