// SPDX-License-Identifier: MIT OR Apache-2.0

//! Drivers and devices that are broken on purpose: each mistake is reported with the device, the
//! address and the call.

use super::*;
use system::Leaked;

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn unmapping_what_is_not_mapped() {
    with_pages(0, |system, _, device, page| {
        let (bytes, direction) = (256, Direction::ToDevice);
        let mut streaming = system.streaming();
        let at = streaming.dma_map_single(device, page, bytes, direction).unwrap();
        streaming.dma_unmap_single(device, at, bytes, direction).unwrap();
        let twice = line!() + 1;
        let error = streaming.dma_unmap_single(device, at, bytes, direction).unwrap_err();
        let DmaError::Misuse(Misuse::NotMapped { ended_at: Some(ended_at) }) = error else { panic!("{error:?}") };
        assert_eq!(ended_at.line(), twice - 2);
        let report = streaming.dma.checker().reports()[0];
        assert_eq!((report.address, report.bytes, report.at.line()), (at, bytes, twice));
        assert_eq!(misuses(system).len(), 1);
        let never = DeviceAddress::from_register(0x6000_0123);
        let error = system.streaming().dma_unmap_single(device, never, 1, direction);
        assert_eq!(error, Err(DmaError::Misuse(Misuse::NotMapped { ended_at: None })));
        assert_eq!(misuses(system), [Misuse::NotMapped { ended_at: None }]);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn naming_it_wrongly() {
    with_pages(0, |system, _, device, page| {
        let (bytes, direction) = (256, Direction::ToDevice);
        let wrong = [
            (100, direction, Misuse::Size { mapped: bytes }),
            (bytes, Direction::FromDevice, Misuse::Direction { mapped: direction, named: Direction::FromDevice }),
        ];
        for (named, towards, misuse) in wrong {
            let mut streaming = system.streaming();
            let at = streaming.dma_map_single(device, page, bytes, direction).unwrap();
            let error = streaming.dma_unmap_single(device, at, named, towards);
            assert_eq!((error, misuses(system)), (Err(DmaError::Misuse(misuse)), [misuse].to_vec()));
            assert_eq!(system.dma().mapping_counts().0, 0, "it ended all the same");
        }
        let mut list = ScatterList::default();
        list.push(page, bytes).unwrap();
        let mapping = system.streaming().map_sg(device, &list, direction).unwrap();
        let (at, _) = mapping.segments().next().unwrap();
        let error = system.streaming().dma_unmap_single(device, at, bytes, direction);
        let misuse = Misuse::MappingKind { mapped: MappingKind::Scatter };
        assert_eq!((error, misuses(system)), (Err(DmaError::Misuse(misuse)), [misuse].to_vec()));
        assert_eq!(system.streaming().unmap_sg(mapping), Err(DmaError::NotMapped));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn another_devices_mapping() {
    with_pages(0, |system, _, device, page| {
        let other = system.dma_add_device("other").unwrap();
        let at = system.streaming().dma_map_single(other, page, 64, Direction::ToDevice).unwrap();
        let error = system.streaming().dma_unmap_single(device, at, 64, Direction::ToDevice);
        let misuse = Misuse::OtherDevice { device: "other" };
        assert_eq!((error, misuses(system)), (Err(DmaError::Misuse(misuse)), [misuse].to_vec()));
        assert_eq!(system.streaming().dma_unmap_single(other, at, 64, Direction::ToDevice), Ok(()));
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn synchronizing_outside_or_the_wrong_way() {
    with_pages(0, |system, _, device, page| {
        let at = system.streaming().dma_map_single(device, page, 256, Direction::FromDevice).unwrap();
        let mut streaming = system.streaming();
        let outside = streaming.dma_sync_single_for_cpu(device, at.offset(200), 57, Direction::FromDevice);
        let wrong = streaming.dma_sync_single_for_device(device, at, 256, Direction::ToDevice);
        let nowhere = streaming.dma_sync_single_for_cpu(device, at.offset(256), 1, Direction::FromDevice);
        assert!([outside, wrong, nowhere].iter().all(Result::is_err));
        assert_eq!(
            misuses(system),
            [
                Misuse::SyncOutside { mapped: 256 },
                Misuse::Direction { mapped: Direction::FromDevice, named: Direction::ToDevice },
                Misuse::NotMapped { ended_at: None }
            ]
        );
        system.streaming().dma_unmap_single(device, at, 256, Direction::FromDevice).unwrap();
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn mapping_free_or_shared_memory() {
    with_pages(1, |system, _, device, page| {
        let free = Pfn(0x60000 + 8 * 1024).addr();
        assert!(system.zone().is_free(free.pfn()));
        let error = system.streaming().dma_map_single(device, free, 4096, Direction::ToDevice);
        assert_eq!(error, Err(DmaError::Misuse(Misuse::FreeMemory { at: free })));
        assert_eq!(misuses(system), [Misuse::FreeMemory { at: free }]);
        let error = system.streaming().dma_map_single(device, PhysAddr(0xffff_f000), 4097, Direction::ToDevice);
        assert_eq!(error, Err(DmaError::Size { bytes: 4097 }));
        let error = system.streaming().dma_map_single(device, PhysAddr(0xffff_f000), 4096, Direction::ToDevice);
        assert_eq!(error, Err(DmaError::NotMemory { at: PhysAddr(0xffff_f000) }));

        let mut streaming = system.streaming();
        let (one, other) = (page, PhysAddr(page.0 + 40));
        let one = streaming.dma_map_single(device, one, 40, Direction::ToDevice).unwrap();
        let two = streaming.dma_map_single(device, other, 8, Direction::ToDevice).unwrap();
        assert_eq!(streaming.dma.checker().errors(), 0, "two that read may share a line");
        let three = streaming.dma_map_single(device, PhysAddr(page.0 + 48), 8, Direction::FromDevice).unwrap();
        assert_eq!(misuses(system), [Misuse::SharedLine { with: one }]);
        for (at, bytes, direction) in
            [(one, 40, Direction::ToDevice), (two, 8, Direction::ToDevice), (three, 8, Direction::FromDevice)]
        {
            system.streaming().dma_unmap_single(device, at, bytes, direction).unwrap();
        }
        assert_eq!(misuses(system), []);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn touching_what_the_device_owns() {
    with_pages(0, |system, _, device, page| {
        let start = PhysAddr(page.0 + 40);
        for (direction, reads) in
            [(Direction::ToDevice, false), (Direction::FromDevice, true), (Direction::Bidirectional, true)]
        {
            let mapping = system.streaming().map(device, start, 100, direction).unwrap();
            let before = line!() + 1;
            system.dma_mut().cpu_access(PhysAddr(page.0 + 139), 4, false);
            let report = system.dma().checker().reports().first().copied();
            assert_eq!(
                report.map(|report| (report.address, report.at.line())),
                reads.then_some((mapping.device_address(), before))
            );
            system.dma_mut().cpu_access(start, 1, true);
            // The other bytes of the last line: reading them is harmless, writing them dirties the
            // line.
            system.dma_mut().cpu_access(PhysAddr(page.0 + 150), 1, false);
            system.dma_mut().cpu_access(PhysAddr(page.0 + 150), 1, true);
            system.dma_mut().cpu_access(PhysAddr(page.0 + 160), 1, true);
            let expected: &[Misuse] = &[
                Misuse::CpuRead { at: PhysAddr(page.0 + 139) },
                Misuse::CpuWrite { at: start },
                Misuse::CpuWrite { at: PhysAddr(page.0 + 150) },
            ];
            assert_eq!(misuses(system), if reads { expected } else { &expected[1..2] });
            let mut mapping = system.streaming().sync_for_cpu(mapping).unwrap();
            system.dma_mut().cpu_access(start, 100, true);
            assert_eq!(misuses(system), [], "the processor has it back");
            let written = system.streaming().write(&mut mapping, 0, &[1]);
            let lost = direction == Direction::FromDevice;
            assert_eq!(written.is_err(), lost);
            assert_eq!(misuses(system), if lost { [Misuse::LostWrite].to_vec() } else { Vec::new() });
            system.streaming().unmap(mapping).unwrap();
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_device_that_writes_where_it_must_not() {
    with_pages(0, |system, hardware, device, page| {
        let start = PhysAddr(page.0 + 100);
        let at = DeviceAddress::of(start);
        for (direction, place, expected) in [
            (Direction::FromDevice, 0_u64, None),
            (Direction::FromDevice, 49, None),
            (Direction::FromDevice, 50, Some(Misuse::WroteOutside { at: at.offset(50) })),
            (Direction::FromDevice, 59, Some(Misuse::WroteOutside { at: at.offset(50) })),
            (
                Direction::Bidirectional,
                u64::MAX,
                Some(Misuse::WroteOutside { at: DeviceAddress::of(PhysAddr(page.0 + 96)) }),
            ),
            (Direction::ToDevice, 7, Some(Misuse::Changed)),
        ] {
            for sync_first in [false, true] {
                let mapping = system.streaming().map(device, start, 50, direction).unwrap();
                hardware.device_write(at.offset(place as u32), !hardware.device_read(at.offset(place as u32)));
                // A device's write to lines that it does not own is visible when the processor
                // reads from memory.
                let line = (start.0 as u32).wrapping_add(place as u32) / LINE_BYTES * LINE_BYTES;
                let mut forget = hardware.clone();
                hardware::Caches::inner(&mut forget, hardware::CacheOp::Invalidate, CpuAddress::new(line), LINE_BYTES);
                hardware::Caches::outer(&mut forget, hardware::CacheOp::Invalidate, PhysAddr(line.into()), LINE_BYTES);
                if sync_first {
                    let mapping = system.streaming().sync_for_cpu(mapping).unwrap();
                    system.streaming().unmap(mapping).unwrap();
                } else {
                    system.streaming().unmap(mapping).unwrap();
                }
                assert_eq!(misuses(system), expected.into_iter().collect::<Vec<_>>(), "{direction:?} at {place}");
            }
        }
        let buffer = system.dma_alloc_coherent(device, 100).unwrap();
        let behind = buffer.device_address().offset(100);
        hardware.device_write(behind.offset(3000), 1);
        system.dma_free_coherent(buffer).unwrap();
        assert_eq!(misuses(system), [Misuse::WroteOutside { at: behind.offset(3000) }]);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn leaving_things_behind() {
    with_pages(0, |system, _, device, page| {
        let free = system.zone().nr_free_pages();
        let buffer_line = line!() + 1;
        let buffer = system.dma_alloc_coherent(device, 8192).unwrap();
        let mapping = system.streaming().map(device, page, 100, Direction::ToDevice).unwrap();
        let removal = line!() + 1;
        assert_eq!(system.dma_remove_device(device), Ok(Leaked { buffers: 1, mappings: 1 }));
        assert_eq!(system.zone().nr_free_pages(), free);
        let reports = system.dma().checker().reports().to_vec();
        assert_eq!(
            reports.iter().map(|report| (report.address, report.bytes, report.at.line())).collect::<Vec<_>>(),
            [(buffer.device_address(), 8192, removal), (mapping.device_address(), 100, removal)]
        );
        assert_eq!(reports[0].made_at.map(core::panic::Location::line), Some(buffer_line));
        assert_eq!(misuses(system), [Misuse::LeakedBuffer, Misuse::LeakedMapping]);
        assert_eq!(system.streaming().unmap(mapping), Err(DmaError::NotMapped));
        assert_eq!(system.dma_free_coherent(buffer), Err(DmaError::NotMapped));
        assert_eq!(system.streaming().map(device, page, 1, Direction::ToDevice).unwrap_err(), DmaError::NoDevice);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_report_says_who_where_and_what() {
    with_pages(0, |system, _, device, page| {
        let at = system.streaming().dma_map_single(device, page, 256, Direction::ToDevice).unwrap();
        let _ = system.streaming().dma_unmap_single(device, at, 128, Direction::ToDevice);
        assert!(system.check().is_err_and(|imbalance| imbalance.what.contains("DMA")));
        let reports = system.dma_mut().checker_mut().take_reports();
        let text = ToString::to_string(&reports[0]);
        assert!(text.starts_with(&std::format!(
            "DMA-API: BiscuitOS_CMA: 256 bytes were mapped [device address={at}] [size=128 bytes], at kernel/board-mock/src/tests/dma"
        )), "{text}");
        assert!(text.contains(", mapped at kernel/board-mock/src/tests/dma"), "{text}");

        // When off, the checker watches nothing, but invalid calls are still refused.
        system.dma_mut().checker_mut().enable(false);
        let error = system.streaming().dma_unmap_single(device, at, 128, Direction::ToDevice);
        assert!(error.is_err());
        assert_eq!(system.dma().checker().errors(), 0);
    });
}
