// SPDX-License-Identifier: MIT OR Apache-2.0

//! The devices that use DMA: their names, the areas that the device tree gives them, and what they
//! leave behind.

use alloc::vec::Vec;
use core::panic::Location;

use super::checker::{Misuse, MisuseReport};
use super::{DeviceAddress, Dma, DmaError, free_slot};
use cma::AreaId;

/// Most devices at a time.
pub const MAX_DEVICES: usize = 32;

/// Which device. It stays unlike any later one's after the device was removed.
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
    /// The area it has for itself, by `memory-region` or `CMA-name`.
    pub area: Option<AreaId>,
    /// A driver has taken charge of it; else somebody at the prompt plays one.
    pub has_driver: bool,
    generation: u16,
}

/// The table of devices.
#[derive(Default)]
pub(super) struct Devices {
    slots: Vec<Option<DeviceInfo>>,
    /// The names of those that there are to add at the prompt.
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
    /// Tells which devices the machine has, with a driver or without: the tree's names. A pin and a
    /// report carry a device's name and may outlive the device, hence the lifetime.
    pub fn know(&mut self, names: Vec<&'static str>) {
        self.devices.known = names;
    }

    /// The names of the devices that the machine has.
    pub fn known(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.devices.known.iter().copied()
    }

    /// A driver takes charge of a device, or somebody at the prompt plays one; the device may have
    /// an area of its own.
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

    /// Forgets a device that has nothing left.
    pub fn remove_device(&mut self, id: DeviceId) {
        self.devices.remove(id);
    }

    /// The mapping that a device has left behind, which is said; `None` where it has left none.
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
