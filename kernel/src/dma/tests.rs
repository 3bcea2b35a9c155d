//! Tests of the DMA API on a machine with two caches.

use std::boxed::Box;

use super::hardware::CacheOp;
use super::mock::{MockHardware, Step};
use super::*;
use crate::mm::Migratetype;
use crate::mock::with_board;
use crate::system::System;

/// A board with DMA and a device that has the area `BiscuitOS_cma`.
fn with_device(test: impl FnOnce(&mut System<'_>, &MockHardware, DeviceId)) {
    with_board(64, |system, _| {
        let hardware = MockHardware::default();
        system.dma.attach(Box::new(hardware.clone()));
        system.dma.checker_mut().enable(true);
        let device = system.dma_add_device("BiscuitOS_CMA").unwrap();
        test(system, &hardware, device);
        assert_eq!(system.check(), Ok(()));
    });
}

#[test]
fn a_buffer_comes_zeroed_from_the_devices_area_and_goes_back() {
    with_device(|system, hardware, device| {
        let area = system.find_area("BiscuitOS_cma").unwrap();
        let mut buffer = system.dma_alloc_coherent(device, 5000).unwrap();
        assert_eq!(system.area(area).used_pages(), 2);
        assert_eq!(buffer.device_address().bits(), 0x6980_0000);
        assert_ne!(buffer.cpu_address().get(), 0x6980_0000);
        assert_eq!(system.dma.load_word(&buffer, 4096), Ok(0));
        system.dma.store_word(&mut buffer, 4, 0x0102_0304).unwrap();
        assert_eq!(hardware.device_read(buffer.device_address().offset(7)), 1);
        hardware.device_write(buffer.device_address().offset(4), 9);
        assert_eq!(system.dma.load_word(&buffer, 4), Ok(0x0102_0309));
        assert_eq!(system.dma.load_word(&buffer, 5000), Err(DmaError::Outside { offset: 5000, bytes: 4 }));
        system.dma_free_coherent(buffer).unwrap();
        assert_eq!(system.area(area).used_pages(), 0);
        assert_eq!(system.dma_remove_device(device), Ok((0, 0)));
        assert_eq!(system.dma.checker().errors(), 0);
    });
}

#[test]
fn a_page_is_lent_to_the_device_and_comes_back() {
    with_device(|system, hardware, device| {
        let block = system.zone.alloc_pages(0, Migratetype::Unmovable).unwrap();
        let start = block.first().addr();
        hardware.cpu_write(start.0 as u32 + 100, 7);
        let mapping = system.streaming().map(device, start, 4096, Direction::Bidirectional).unwrap();
        assert_eq!(hardware.device_read(mapping.device_address().offset(100)), 7);
        hardware.device_write(mapping.device_address().offset(101), 8);
        let mapping = system.streaming().sync_for_cpu(mapping).unwrap();
        let mut bytes = [0; 2];
        system.streaming().read(&mapping, 100, &mut bytes).unwrap();
        assert_eq!(bytes, [7, 8]);
        assert_eq!(hardware.cpu_read(start.0 as u32 + 101), 8);
        system.streaming().unmap(mapping).unwrap();
        system.zone.free_pages(block);
        let first = start.0 as u32;
        assert_eq!(
            hardware.model().steps,
            [
                Step::Inner(CacheOp::Clean, first, 4096),
                Step::Outer(CacheOp::Clean, first, 4096),
                Step::Sync,
                Step::Outer(CacheOp::Invalidate, first, 4096),
                Step::Sync,
                Step::Inner(CacheOp::Invalidate, first, 4096),
            ]
        );
        assert_eq!(system.dma.checker().errors(), 0);
    });
}
