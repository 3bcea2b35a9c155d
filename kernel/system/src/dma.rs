// SPDX-License-Identifier: MIT OR Apache-2.0

//! The DMA API's calls that need the whole system: the source of a coherent buffer's pages, the
//! area of a device, and the removal of a device.
//!
//! The source of the pages follows Linux's rule (`dma_alloc_contiguous` in
//! `kernel/dma/contiguous.c`, `dma_direct_alloc`): a device with an area of its own uses that one.
//! Other devices use the default area, except for a single page, which needs no area to be
//! contiguous. If there is no area to use, or it refuses, the page allocator serves blocks of up to
//! 4 MiB. The area's alignment is the order of the size, at most [`cma::CMA_ALIGNMENT`].

use core::panic::Location;

use cma::{AreaId, CmaError, align_order_of};
use dma::{Coherent, DeviceAddress, DeviceId, DmaError, Pages, Streaming};
use page_alloc::{AllocError, MAX_PAGE_ORDER, Migratetype};

use super::System;

/// Numbers of what a driver had not freed when its device was removed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Leaked {
    /// Coherent buffers.
    pub buffers: u32,
    /// Streaming mappings.
    pub mappings: u32,
}

impl<'m> System<'m> {
    /// Returns the calls of streaming mappings.
    pub fn streaming(&mut self) -> Streaming<'_, 'm> {
        Streaming { zone: &mut self.zone, live: self.live.as_deref_mut(), trace: &mut self.trace, dma: &mut self.dma }
    }

    /// Allocates a zeroed buffer for a device (`dma_alloc_coherent`).
    ///
    /// # Errors
    /// See [`DmaError`]; nothing is allocated.
    #[track_caller]
    pub fn dma_alloc_coherent(&mut self, device: DeviceId, bytes: u32) -> Result<Coherent, DmaError> {
        let made_at = Location::caller();
        let (own_area, pages) = self.dma.begin_coherent(device, bytes)?;
        let source = self.dma_pages(own_area, pages)?;
        self.dma.finish_coherent(device, bytes, source, made_at).map_err(|(source, error)| {
            self.dma_give_back(source);
            error
        })
    }

    /// Frees a buffer (`dma_free_coherent`); the device must not be using it.
    ///
    /// # Errors
    /// The buffer was freed already, with its device.
    #[track_caller]
    pub fn dma_free_coherent(&mut self, buffer: Coherent) -> Result<(), DmaError> {
        let source = self.dma.end_coherent(buffer)?;
        self.dma_give_back(source);
        Ok(())
    }

    /// Keeps a buffer in the table; [`System::dma_take_kept`] finds it by the returned address.
    pub fn dma_keep(&mut self, buffer: Coherent) -> DeviceAddress {
        self.dma.keep(buffer)
    }

    /// Takes out the kept buffer at an address; with `None`, any kept buffer.
    pub fn dma_take_kept(&mut self, at: Option<DeviceAddress>) -> Option<Coherent> {
        self.dma.take_kept(at)
    }

    /// Allocates the pages of a coherent buffer.
    fn dma_pages(&mut self, own_area: Option<AreaId>, pages: u32) -> Result<Pages, DmaError> {
        let shared = if pages > 1 { self.default_area() } else { None };
        let refused = match own_area.or(shared) {
            Some(area) => match self.cma_alloc(area, pages, align_order_of(pages)) {
                Ok(buffer) => return Ok(Pages::Area(buffer)),
                Err(error) => Some(error),
            },
            None => None,
        };
        self.dma_block(pages, refused)
    }

    #[cold]
    #[inline(never)]
    fn dma_block(&mut self, pages: u32, area: Option<CmaError>) -> Result<Pages, DmaError> {
        let order = pages.next_power_of_two().ilog2();
        let block = if order > MAX_PAGE_ORDER {
            Err(AllocError::OrderTooLarge { order })
        } else {
            self.zone.alloc_pages(order, Migratetype::Unmovable)
        };
        block.map(Pages::Buddy).map_err(|buddy| DmaError::NoMemory { area, buddy })
    }

    fn dma_give_back(&mut self, source: Pages) {
        match source {
            Pages::Area(buffer) => {
                // This cannot fail: the table owned the buffer, so its pages were not released.
                let released = self.cma_release(buffer);
                debug_assert_eq!(released, Ok(()));
            }
            Pages::Buddy(block) => self.zone.free_pages(block),
        }
    }

    /// Adds the device `name` for a driver, with its area of the device tree: the first existing
    /// one of those that it names.
    ///
    /// # Errors
    /// There is no hardware for DMA, there are too many devices, or the region that the device
    /// names was refused (`of_reserved_mem_device_init` returns -EINVAL then).
    pub fn dma_add_device(&mut self, name: &'static str) -> Result<DeviceId, DmaError> {
        self.has_its_region(name)?;
        self.dma.add_device(name, self.areas.of_device(name), true)
    }

    fn has_its_region(&self, device: &str) -> Result<(), DmaError> {
        if self.areas.region_is_refused(device) { Err(DmaError::RefusedRegion) } else { Ok(()) }
    }

    /// Adds a device for a driver, with `area` in place of the device tree's.
    ///
    /// # Errors
    /// There is no hardware for DMA, or there are too many devices.
    pub fn dma_add_device_with_area(&mut self, name: &'static str, area: Option<AreaId>) -> Result<DeviceId, DmaError> {
        self.dma.add_device(name, area, true)
    }

    /// Adds the device `name` for the user at the prompt, who acts as its driver.
    ///
    /// # Errors
    /// See [`System::dma_add_device`]; also if the machine has no device of that name
    /// ([`dma::Dma::know`]).
    pub fn dma_add_device_by_hand(&mut self, name: &str) -> Result<DeviceId, DmaError> {
        let name = self.dma.known().find(|&known| known == name).ok_or(DmaError::NoDevice)?;
        self.has_its_region(name)?;
        self.dma.add_device(name, self.areas.of_device(name), false)
    }

    /// Removes a device, which must have stopped. Buffers and mappings that its driver has not
    /// freed are reported, freed and counted in the result.
    ///
    /// # Errors
    /// There is no such device.
    #[track_caller]
    pub fn dma_remove_device(&mut self, id: DeviceId) -> Result<Leaked, DmaError> {
        self.dma.device(id).ok_or(DmaError::NoDevice)?;
        let mut leaked = Leaked::default();
        while let Some(source) = self.dma.end_leaked(id) {
            self.dma_give_back(source?);
            leaked.buffers += 1;
        }
        while let Some(ended) = self.streaming().end_leaked(id) {
            ended?;
            leaked.mappings += 1;
        }
        self.dma.remove_device(id);
        Ok(leaked)
    }
}
