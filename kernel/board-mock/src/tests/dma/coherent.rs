// SPDX-License-Identifier: MIT OR Apache-2.0

//! Coherent buffers: the source of their pages, what each side sees, and what remains afterwards.

use super::*;
use cma::CmaError;
use page_alloc::AllocError;
use system::Leaked;

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_buffer_comes_zeroed_from_the_devices_area_and_goes_back() {
    with_device(|system, hardware, device| {
        let own = area(system, "BiscuitOS_cma");
        for place in 0..8192 {
            hardware.cpu_write(0x6980_0000 + place, 0xee);
        }
        let mut buffer = system.dma_alloc_coherent(device, 5000).unwrap();
        assert_eq!(system.area(own).used_pages(), 2);
        assert_eq!(buffer.device_address().bits(), 0x6980_0000);
        assert_ne!(buffer.cpu_address().get(), 0x6980_0000);
        assert!(!system.dma().is_cacheable(PhysAddr(0x6980_1fff)));
        assert!((0..5000).step_by(4).all(|offset| system.dma_mut().load_word(&buffer, offset) == Ok(0)));
        assert!((0..5000).all(|offset| hardware.device_read(buffer.device_address().offset(offset)) == 0));
        system.dma_mut().store_word(&mut buffer, 4, 0x0102_0304).unwrap();
        assert_eq!(hardware.device_read(buffer.device_address().offset(7)), 1);
        hardware.device_write(buffer.device_address().offset(4), 9);
        assert_eq!(system.dma_mut().load_word(&buffer, 4), Ok(0x0102_0309));
        system.dma_mut().store(&mut buffer, 4998, &[1, 2]).unwrap();
        let mut bytes = [0; 2];
        system.dma_mut().load(&buffer, 4998, &mut bytes).unwrap();
        assert_eq!(bytes, [1, 2]);
        for offset in [5000, u32::MAX - 3] {
            assert_eq!(system.dma_mut().load_word(&buffer, offset), Err(DmaError::Outside { offset, bytes: 4 }));
        }
        assert_eq!(
            system.dma_mut().load(&buffer, 4996, &mut [0; 5]),
            Err(DmaError::Outside { offset: 4996, bytes: 5 })
        );
        assert_eq!(system.dma_mut().store_word(&mut buffer, 2, 0), Err(DmaError::Outside { offset: 2, bytes: 4 }));
        system.dma_free_coherent(buffer).unwrap();
        assert_eq!(system.area(own).used_pages(), 0);
        assert!(system.dma().is_cacheable(PhysAddr(0x6980_1fff)));
        assert_eq!(system.dma_remove_device(device), Ok(Leaked::default()));
        assert_eq!(misuses(system), []);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn restless_caches_never_reach_a_buffer() {
    with_device(|system, hardware, device| {
        hardware.model_mut().restless = 128;
        for round in 0..20_u8 {
            (0..4096).step_by(16).for_each(|place| hardware.cpu_write(0x6980_0000 + place, round));
            let mut buffer = system.dma_alloc_coherent(device, 4096).unwrap();
            for offset in (0..4096).step_by(64) {
                system.dma_mut().store_word(&mut buffer, offset, u32::from(round)).unwrap();
                assert_eq!(hardware.device_read(buffer.device_address().offset(offset)), round);
            }
            system.dma_free_coherent(buffer).unwrap();
            assert_eq!(hardware.cpu_read(0x6980_0040), round, "the processor sees what was in memory last");
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn which_area_serves_follows_linux() {
    with_device(|system, _, own| {
        let other = system.dma_add_device("other").unwrap();
        let (cma, default) = (area(system, "BiscuitOS_cma"), area(system, "linux,cma"));
        let from = |system: &System<'_>, buffer: &Coherent| {
            system.dma().buffers().find(|info| info.device_address == buffer.device_address()).unwrap().area
        };
        let mut buffers = Vec::new();
        for (device, bytes, expected) in [
            (own, 1, Some(cma)),
            (own, 4097, Some(cma)),
            // A single page does not use the shared area.
            (other, 4096, None),
            (other, 4097, Some(default)),
            (other, 1 << 20, Some(default)),
        ] {
            let buffer = system.dma_alloc_coherent(device, bytes).unwrap();
            assert_eq!(from(system, &buffer), expected, "{bytes} bytes");
            let pages = bytes.div_ceil(4096);
            let align = 4096 << cma::align_order_of(pages);
            assert!(buffer.device_address().bits().is_multiple_of(align), "aligned by the order, 1 MiB at most");
            buffers.push(buffer);
        }
        // If a device's own area refuses, the page allocator is tried, not the shared area.
        let used = system.area(default).used_pages();
        let rest = system.dma_alloc_coherent(own, 2000 * 4096).unwrap_err();
        assert!(matches!(
            rest,
            DmaError::NoMemory {
                area: Some(CmaError::Fragmented { .. }),
                buddy: AllocError::OrderTooLarge { order: 11 }
            }
        ));
        let all = system.cma_alloc(cma, 1024, 8).unwrap();
        let block = system.dma_alloc_coherent(own, 1024 * 4096).unwrap();
        assert_eq!((from(system, &block), system.area(default).used_pages()), (None, used));
        buffers.push(block);
        for buffer in buffers {
            system.dma_free_coherent(buffer).unwrap();
        }
        system.cma_release(all).unwrap();
        assert_eq!(misuses(system), []);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn sizes_bounds_and_stale_values() {
    with_device(|system, hardware, device| {
        assert_eq!(system.dma_alloc_coherent(device, 0), Err(DmaError::Size { bytes: 0 }));
        assert!(matches!(system.dma_alloc_coherent(device, u32::MAX), Err(DmaError::NoMemory { .. })));
        let free = system.zone().nr_free_pages();
        hardware.model_mut().window_pages = 3;
        assert_eq!(system.dma_alloc_coherent(device, 4 * 4096), Err(DmaError::NoWindow("the window is full")));
        assert_eq!(system.zone().nr_free_pages(), free, "the pages went back");
        hardware.model_mut().window_pages = 4096;

        let many: Vec<_> = (0..MAX_BUFFERS).map(|_| system.dma_alloc_coherent(device, 1).unwrap()).collect();
        assert_eq!(system.dma_alloc_coherent(device, 1), Err(DmaError::TooManyBuffers));
        assert_eq!(system.dma().buffers().count(), MAX_BUFFERS);
        assert_eq!(system.dma_remove_device(device), Ok(Leaked { buffers: MAX_BUFFERS as u32, mappings: 0 }));
        assert_eq!(system.zone().nr_free_pages(), free);
        let reports = misuses(system);
        assert!(reports.len() == checker::MAX_REPORTS && reports.iter().all(|misuse| *misuse == Misuse::LeakedBuffer));
        assert_eq!(system.dma().checker().errors(), (MAX_BUFFERS - checker::MAX_REPORTS) as u64);
        system.dma_mut().checker_mut().tell();

        // The buffers end with the device, even if their values still exist.
        assert_eq!(system.dma_alloc_coherent(device, 1), Err(DmaError::NoDevice));
        let again = system.dma_add_device("BiscuitOS_CMA").unwrap();
        assert_ne!(again, device);
        let fresh = system.dma_alloc_coherent(again, 1).unwrap();
        for stale in many {
            assert_eq!(system.dma_mut().load_word(&stale, 0), Err(DmaError::NotMapped));
            assert_eq!(system.dma_free_coherent(stale), Err(DmaError::NotMapped));
        }
        system.dma_free_coherent(fresh).unwrap();
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn devices_are_known_and_bounded() {
    with_board(64, |system, _| {
        let dma = core::mem::take(system.dma_mut());
        assert_eq!(system.dma_add_device("x"), Err(DmaError::NoHardware));
        *system.dma_mut() = dma;
        assert_eq!(system.dma_add_device_by_hand("nobody"), Err(DmaError::NoDevice));
        let ids: Vec<_> = (0..MAX_DEVICES).map(|_| system.dma_add_device("x").unwrap()).collect();
        assert_eq!(system.dma_add_device("one more"), Err(DmaError::TooManyDevices));
        for id in ids {
            assert_eq!(system.dma_remove_device(id), Ok(Leaked::default()));
            assert_eq!(system.dma_remove_device(id), Err(DmaError::NoDevice));
        }
        for round in 0..1000 {
            let name = ["camera@10020000", "ethernet@4e000000"][round % 2];
            let id = system.dma_add_device_by_hand(name).unwrap();
            system.dma_remove_device(id).unwrap();
        }
    });
}
