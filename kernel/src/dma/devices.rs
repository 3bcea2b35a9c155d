//! The devices that use DMA: their names, the areas that the device tree gives them, and what they leave behind.

use alloc::vec::Vec;
use core::panic::Location;

use super::checker::{Misuse, MisuseReport};
use super::{Dma, DmaError, free_slot};
use crate::cma::AreaId;
use crate::system::System;

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
    /// Tells which devices the machine has, with a driver or without: the tree's names. A pin and a report carry a
    /// device's name and may outlive the device, hence the lifetime.
    pub fn know(&mut self, names: Vec<&'static str>) {
        self.devices.known = names;
    }

    /// The names of the devices that the machine has.
    pub fn known(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.devices.known.iter().copied()
    }
}

impl System<'_> {
    /// A driver takes charge of the device of that name, which gets the area that the device tree gives it: the first that
    /// there is of those it names.
    ///
    /// # Errors
    /// There is no hardware for DMA, or there are too many devices.
    pub fn dma_add_device(&mut self, name: &'static str) -> Result<DeviceId, DmaError> {
        self.dma_add(name, self.area_of(name), true)
    }

    /// The same for a device that the tree says nothing of.
    ///
    /// # Errors
    /// As above.
    pub fn dma_add_device_with_area(&mut self, name: &'static str, area: Option<AreaId>) -> Result<DeviceId, DmaError> {
        self.dma_add(name, area, true)
    }

    /// Somebody at the prompt plays the driver of the device of that name.
    ///
    /// # Errors
    /// As above, or the machine has no device of that name ([`Dma::know`]).
    pub fn dma_add_device_by_hand(&mut self, name: &str) -> Result<DeviceId, DmaError> {
        let name = self.dma.known().find(|&known| known == name).ok_or(DmaError::NoDevice)?;
        self.dma_add(name, self.area_of(name), false)
    }

    fn area_of(&self, device: &str) -> Option<AreaId> {
        let mut users = self.area_users().iter().filter(|user| user.device == device);
        users.find_map(|user| self.find_area(&user.area))
    }

    fn dma_add(&mut self, name: &'static str, area: Option<AreaId>, has_driver: bool) -> Result<DeviceId, DmaError> {
        self.dma.hardware()?;
        let id = self.dma.devices.add(name, area, has_driver)?;
        self.dma.reserve();
        Ok(id)
    }

    /// The driver lets its device go, which has to be quiet by then. What it has not given back is reported, taken
    /// from it and counted in the answer: buffers and mappings.
    ///
    /// # Errors
    /// There is no such device.
    #[track_caller]
    pub fn dma_remove_device(&mut self, id: DeviceId) -> Result<(u32, u32), DmaError> {
        let device = self.dma.devices.get(id).ok_or(DmaError::NoDevice)?.name;
        let (mut buffers, mut mappings) = (0, 0);
        while let Some(info) = self.dma.buffers.of_device(id) {
            self.report_leak(device, Misuse::LeakedBuffer, (info.device_address, info.bytes), info.made_at);
            self.dma_take_back(info.place)?;
            buffers += 1;
        }
        while let Some(mapped) = self.dma.mappings.of_device(id) {
            self.report_leak(device, Misuse::LeakedMapping, (mapped.start, mapped.bytes), mapped.made_at);
            self.streaming().end_mapping(mapped.place)?;
            mappings += 1;
        }
        self.dma.devices.remove(id);
        Ok((buffers, mappings))
    }

    #[track_caller]
    fn report_leak(
        &mut self,
        device: &'static str,
        misuse: Misuse,
        (address, bytes): (super::DeviceAddress, u32),
        made_at: &'static Location<'static>,
    ) {
        let report = MisuseReport { device, misuse, address, bytes, at: Location::caller(), made_at: Some(made_at) };
        self.dma.checker.report(report);
    }
}
