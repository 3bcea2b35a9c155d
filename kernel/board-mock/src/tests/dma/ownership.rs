// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ownership of mappings, pages that a pin keeps in place, and scatter lists.

use super::*;
use crate::dma::Step;
use migration::contig_range::{Owner, Why};
use migration::live::Mm;
use migration::live::processes::ProcessId;

/// Fills the areas with a process's pages, then allocates from ordinary memory; returns the process
/// and its number of pages.
fn with_full_areas<'a, 'm>(system: &'a mut System<'m>) -> (Mm<'a, 'm>, ProcessId, u32) {
    let mut mm = system.open_live(CmaUse::First, Lend::Movable).unwrap();
    let id = mm.create(8192).unwrap();
    let mut pages = 0;
    while mm.zone.nr_free_cma() > 0 {
        mm.populate(id, pages).unwrap();
        pages += 1;
    }
    mm.set_policy(CmaUse::Half, Lend::Movable);
    (mm, id, pages)
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_processor_keeps_what_it_wrote_before_the_end() {
    with_pages(0, |system, hardware, device, page| {
        let mapping = system.streaming().map(device, page, 64, Direction::Bidirectional).unwrap();
        let mut mapping = system.streaming().sync_for_cpu(mapping).unwrap();
        system.streaming().write(&mut mapping, 10, &[1, 2, 3]).unwrap();
        assert_eq!(
            system.streaming().write(&mut mapping, 62, &[1, 2, 3]),
            Err(DmaError::Outside { offset: 62, bytes: 3 })
        );
        system.streaming().unmap(mapping).unwrap();
        assert_eq!(hardware.cpu_read(page.0 as u32 + 12), 3);
        assert_eq!(misuses(system), []);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn parts_of_a_mapping_change_hands() {
    with_pages(0, |system, hardware, device, page| {
        let direction = Direction::Bidirectional;
        let mut streaming = system.streaming();
        let at = streaming.dma_map_single(device, page, 4096, direction).unwrap();
        streaming.dma_sync_single_for_cpu(device, at.offset(1024), 1024, direction).unwrap();
        let dma = &mut *streaming.dma;
        dma.cpu_access(PhysAddr(page.0 + 1024), 1024, true);
        assert_eq!(dma.checker().errors(), 0);
        dma.cpu_access(PhysAddr(page.0 + 1023), 1, false);
        dma.cpu_access(PhysAddr(page.0 + 2048), 1, true);
        assert_eq!(
            misuses(system),
            [Misuse::CpuRead { at: PhysAddr(page.0 + 1023) }, Misuse::CpuWrite { at: PhysAddr(page.0 + 2048) }]
        );
        let mut streaming = system.streaming();
        streaming.dma_sync_single_for_device(device, at.offset(1024), 512, direction).unwrap();
        streaming.dma.cpu_access(PhysAddr(page.0 + 1024 + 511), 1, false);
        streaming.dma.cpu_access(PhysAddr(page.0 + 1024 + 512), 1, true);
        assert_eq!(misuses(system), [Misuse::CpuRead { at: PhysAddr(page.0 + 1535) }]);
        hardware.device_write(at.offset(1025), 77);
        hardware.model_mut().steps.clear();
        system.streaming().dma_unmap_single(device, at, 4096, direction).unwrap();
        assert_eq!(hardware.cpu_read(page.0 as u32 + 1025), 77);
        let mine = page.0 as u32 + 1536..page.0 as u32 + 2048;
        assert!(hardware.model().steps.iter().all(|step| match *step {
            Step::Inner(_, first, bytes) | Step::Outer(_, first, bytes) =>
                first >= mine.end || first + bytes <= mine.start,
            Step::Sync => true,
        }));
        assert_eq!(misuses(system), []);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_table_that_is_full_refuses_and_every_mapping_is_found_again() {
    with_pages(0, |system, _, device, page| {
        system.dma_mut().checker_mut().enable(false);
        let mut streaming = system.streaming();
        let at: Vec<_> = (0..MAX_MAPPINGS as u64)
            .map(|n| streaming.dma_map_single(device, PhysAddr(page.0 + n), 1, Direction::ToDevice).unwrap())
            .collect();
        assert_eq!(streaming.dma_map_single(device, page, 1, Direction::ToDevice), Err(DmaError::TooManyMappings));
        assert_eq!(streaming.dma.mapping_counts(), (MAX_MAPPINGS as u16, MAX_MAPPINGS as u16));
        // An order that removes entries from the middle of their chains.
        let order = (0..at.len()).map(|n| n * 367 % at.len());
        for n in order {
            assert_eq!(streaming.dma_unmap_single(device, at[n], 1, Direction::ToDevice), Ok(()));
        }
        assert_eq!(streaming.dma.mapping_counts().0, 0);
        system.dma_mut().checker_mut().enable(true);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_page_that_lives_is_pinned_by_name_while_it_is_mapped() {
    with_device(|system, _, device| {
        let own = area(system, "BiscuitOS_cma");
        let (mut mm, id, pages) = with_full_areas(system);
        let frame = (0..pages).find_map(|page| mm.frame_of(id, page).filter(|frame| frame.0 >= 0x69800 + 100)).unwrap();
        let mapping = streaming_of(&mut mm)
            .unwrap()
            .map(device, PhysAddr(frame.addr().0 + 512), 512, Direction::FromDevice)
            .unwrap();
        mm.drain_lists();
        assert_eq!(mm.pins().len(), 1);
        mm.unpin_all();
        assert_eq!(mm.pins().len(), 1, "a device's pin ends with the mapping");

        let (result, _) = system.cma_alloc_reported(own, 2048, 0);
        let Err(cma::CmaError::Busy(blocked)) = result else { panic!("{result:?}") };
        assert_eq!((blocked.frame, blocked.owner, blocked.why), (frame, Owner::Pin("BiscuitOS_CMA"), Why::Pinned));

        system.streaming().unmap(mapping).unwrap();
        let buffer = system.cma_alloc(own, 2048, 0).unwrap();
        system.cma_release(buffer).unwrap();
        assert_eq!(misuses(system), []);
        system.close_live();
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn whoever_lives_in_memory_asks_before_touching_it() {
    with_device(|system, _, device| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        mm.cache_write(5).unwrap();
        let id = mm.create(2).unwrap();
        mm.populate(id, 0).unwrap();
        let (file, anon) = (mm.cache_frame(5).unwrap().addr(), mm.frame_of(id, 0).unwrap().addr());
        let read = streaming_of(&mut mm).unwrap().map(device, file, 4096, Direction::ToDevice).unwrap();
        let written = streaming_of(&mut mm).unwrap().map(device, anon, 4096, Direction::FromDevice).unwrap();
        assert_eq!(mm.cache_read(5), Ok(true), "what is written back may be read");
        assert_eq!(system.dma().checker().errors(), 0);
        let mut mm = system.mm().unwrap();
        mm.cache_write(5).unwrap();
        mm.read(id, 0).unwrap();
        mm.write(id, 0).unwrap();
        assert_eq!(
            misuses(system),
            [Misuse::CpuWrite { at: file }, Misuse::CpuRead { at: anon }, Misuse::CpuWrite { at: anon }]
        );
        // Pages that lose their owner meanwhile stay until the device is done.
        let mut mm = system.mm().unwrap();
        assert!(migration::live::mock::cache_drop(&mut mm, 5).is_err());
        mm.destroy(id).unwrap();
        assert!(!mm.zone.is_free(anon.pfn()));
        streaming_of(&mut mm).unwrap().unmap(written).unwrap();
        assert!(mm.zone.is_free(anon.pfn()));
        // The model's memory is separate from the pages', so none of them has changed.
        streaming_of(&mut mm).unwrap().unmap(read).unwrap();
        system.close_live();
        assert_eq!(misuses(system), []);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn moving_out_under_a_device_ends_its_mapping() {
    with_device(|system, _, device| {
        let mut mm = system.open_live(CmaUse::Half, Lend::Movable).unwrap();
        mm.cache_read(9).unwrap();
        let frame = mm.cache_frame(9).unwrap().addr();
        let mapping = streaming_of(&mut mm).unwrap().map(device, frame, 4096, Direction::FromDevice).unwrap();
        system.close_live();
        let reports = system.dma_mut().checker_mut().take_reports();
        assert_eq!(reports.iter().map(|report| report.misuse).collect::<Vec<_>>(), [Misuse::OwnerGone]);
        assert_eq!(system.streaming().unmap(mapping), Err(DmaError::NotMapped));
        assert_eq!(system.dma().mapping_counts().0, 0);
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn without_pins_a_mapped_page_moves_and_the_checker_sees_it() {
    with_device(|system, _, device| {
        let own = area(system, "BiscuitOS_cma");
        let (mm, id, pages) = with_full_areas(system);
        let (page, frame) = (0..pages)
            .find_map(|page| Some((page, mm.frame_of(id, page).filter(|frame| frame.0 >= 0x69800)?)))
            .unwrap();
        system.dma_mut().sabotage_pins(true);
        let mapping = system.streaming().map(device, frame.addr(), 4096, Direction::FromDevice).unwrap();
        let buffer = system.cma_alloc(own, 2048, 0).unwrap();
        assert_ne!(system.mm().unwrap().frame_of(id, page), Some(frame), "it moved away under the device");
        let reports = system.dma_mut().checker_mut().take_reports();
        assert_eq!(
            reports.iter().map(|report| report.misuse).collect::<Vec<_>>(),
            [Misuse::CpuRead { at: frame.addr() }]
        );
        system.cma_release(buffer).unwrap();
        system.streaming().unmap(mapping).unwrap();
        system.close_live();
    });
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_scatter_list_is_maintained_level_by_level() {
    with_pages(2, |system, hardware, device, page| {
        let mut list = ScatterList::default();
        let segments = [(0, 100), (4096 + 20, 44), (3 * 4096, 4096)];
        for (offset, bytes) in segments {
            list.push(PhysAddr(page.0 + offset), bytes).unwrap();
        }
        for (offset, _) in segments {
            hardware.cpu_write((page.0 + offset) as u32, 5);
        }
        let mapping = system.streaming().map_sg(device, &list, Direction::Bidirectional).unwrap();
        let kinds: Vec<_> = hardware.model().steps.iter().map(core::mem::discriminant).collect();
        let [inner, outer] = [Step::Inner(hardware::CacheOp::Clean, 0, 0), Step::Outer(hardware::CacheOp::Clean, 0, 0)]
            .map(|step| core::mem::discriminant(&step));
        assert_eq!(kinds, [inner, inner, inner, outer, outer, outer, core::mem::discriminant(&Step::Sync)]);
        for ((address, bytes), (offset, length)) in mapping.segments().zip(segments) {
            assert_eq!((u64::from(address.bits()), bytes), (page.0 + offset, length));
            assert_eq!(hardware.device_read(address), 5);
            hardware.device_write(address, 6);
        }
        let mapping = system.streaming().sync_sg_for_cpu(mapping).unwrap();
        assert!(segments.iter().all(|(offset, _)| hardware.cpu_read((page.0 + offset) as u32) == 6));
        hardware.cpu_write(page.0 as u32, 7);
        let mapping = system.streaming().sync_sg_for_device(mapping).unwrap();
        assert_eq!(hardware.device_read(DeviceAddress::from_register(page.0 as u32)), 7);
        hardware.device_write(DeviceAddress::from_register(page.0 as u32), 8);
        system.streaming().unmap_sg(mapping).unwrap();
        assert_eq!(hardware.cpu_read(page.0 as u32), 8);

        // A list that cannot be mapped as a whole is not mapped at all.
        list.push(PhysAddr(0x1000), 1).unwrap();
        let refused = system.streaming().map_sg(device, &list, Direction::ToDevice).unwrap_err();
        assert_eq!(refused, DmaError::NotMemory { at: PhysAddr(0x1000) });
        assert_eq!(system.dma().mapping_counts().0, 0);
        while list.segments().len() < MAX_SEGMENTS {
            list.push(page, 1).unwrap();
        }
        assert_eq!(list.push(page, 1), Err(DmaError::TooManySegments));
        assert_eq!(misuses(system), []);
    });
}
