// SPDX-License-Identifier: MIT OR Apache-2.0

//! Self-tests of the DMA API on the machine's own page tables and caches. Writes that bypass the
//! API stand for the device; drivers with deliberate errors show that the checker reports them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use system::Leaked;

use super::live::{empty_area, empty_area_of, with_living};
use super::{Stop, Test, Verdict, aside, ensure, on_areas};
use cma::CmaError;
use dma::checker::Misuse;
use dma::hardware::CacheOp;
use dma::{Coherent, CpuAddress, DeviceAddress, DeviceId, Direction, DmaError, LINE_BYTES, MappingKind, ScatterList};
use lab::rng::Rng;
use migration::contig_range::{Owner, Why};
use migration::live::OpenError;
use page_alloc::{Block, Migratetype};
use system::System;
use units::{PAGE_SIZE, PhysAddr};

pub(super) const ENTRIES: &[Test] = &[
    aside("dma_window", window),
    on_areas("dma_coherent", coherent),
    on_areas("dma_streaming", streaming),
    on_areas("dma_misuse", misuse),
    on_areas("dma_pins", pins),
];

/// The name of the tests' device in reports and pins.
const NAME: &str = "selftest-device";
const PAGE: u32 = PAGE_SIZE as u32;
/// Steps of a random test.
const STEPS: u32 = 300;

fn lines<T>(result: Result<T, impl ToString>) -> Verdict<T> {
    result.map_err(Stop::fail)
}

/// Runs `test` with a device under the checker and a page of its driver. Errs if memory is left
/// allocated.
fn with_device(system: &mut System<'_>, test: impl FnOnce(&mut System<'_>, DeviceId, PhysAddr) -> Verdict) -> Verdict {
    let free = system.zone().nr_free_pages();
    let was_on = system.dma().checker().is_enabled();
    system.dma_mut().checker_mut().enable(true);
    system.dma_mut().checker_mut().set_quiet(true);
    let before = system.dma().checker().errors();
    let result = lines(system.dma_add_device_with_area(NAME, system.device_area())).and_then(|device| {
        let block = lines(system.zone_mut().alloc_pages(1, Migratetype::Unmovable))?;
        let result = test(system, device, block.first().addr());
        let left = system.dma_remove_device(device);
        system.zone_mut().free_pages(block);
        result?;
        let left = lines(left)?;
        ensure(left == Leaked::default(), || {
            format!("{} buffers and {} mappings were left", left.buffers, left.mappings)
        })
    });
    let unexpected = system.dma().checker().errors() - before;
    let reports = if unexpected > 0 { system.dma_mut().checker_mut().take_reports() } else { Vec::new() };
    system.dma_mut().checker_mut().set_quiet(false);
    system.dma_mut().checker_mut().enable(was_on);
    result?;
    ensure(unexpected == 0, || {
        format!("{unexpected} reports, {}", reports.first().map_or(String::new(), ToString::to_string))
    })?;
    let after = system.zone().nr_free_pages();
    ensure(free == after, || format!("{free} pages were free, and {after} are"))
}

/// Tests that the window shows the right frames, and that memory has one mapping at a time.
fn window(system: &mut System<'_>) -> Verdict {
    if !system.has_window() {
        return Err(Stop::skip(OpenError::NoAddressSpace.to_string()));
    }
    for order in [0, 3, 8, 9] {
        let Ok(mut blocks) = (0..3)
            .map(|_| system.zone_mut().alloc_pages(order, Migratetype::Unmovable))
            .collect::<Result<Vec<Block>, _>>()
        else {
            continue;
        };
        let result = blocks.iter().try_for_each(|block| one_window(system, block));
        blocks.drain(..).for_each(|block| system.zone_mut().free_pages(block));
        result?;
    }
    Ok(())
}

fn one_window(system: &mut System<'_>, block: &Block) -> Verdict {
    let (first, pages) = (block.first(), 1 << block.order());
    let bytes = pages * PAGE;
    let at = |page: u32| PhysAddr(first.addr().0 + u64::from(page * PAGE + 8 * (page % 500)));
    let offset = |page: u32| page * PAGE + 8 * (page % 500);
    let hardware = lines(system.dma_mut().hardware())?;
    for page in 0..pages {
        let address = hardware.cached(at(page));
        hardware.store_word(address, 0x600d_0000 + page);
    }
    let window = hardware.map_coherent(first, pages)?;
    hardware.inner(CacheOp::CleanInvalidate, window, bytes);
    hardware.outer(CacheOp::CleanInvalidate, first.addr(), bytes);
    hardware.outer_sync();
    let hidden = (0..pages).all(|page| !hardware.is_cacheable(at(page)));
    let mut seen = true;
    for page in 0..pages {
        let address = CpuAddress::new(window.get() + offset(page));
        seen &= hardware.load_word(address) == 0x600d_0000 + page;
        hardware.store_word(address, !page);
    }
    hardware.unmap_coherent(window, first, pages);
    let back = (0..pages).all(|page| {
        let address = hardware.cached(at(page));
        hardware.is_cacheable(at(page)) && hardware.load_word(address) == !page
    });
    ensure(hidden, || format!("memory of {pages} pages kept its own mapping"))?;
    ensure(seen, || format!("the window does not show the {pages} pages it should"))?;
    ensure(back, || format!("{pages} pages did not come back with what the window was given"))
}

/// Tests that buffers of all sizes are zeroed, and keep their contents.
fn coherent(system: &mut System<'_>) -> Verdict {
    with_device(system, |system, device, _| {
        let other = lines(system.dma_add_device_with_area("selftest-other", None))?;
        let mut rng = Rng::seeded(11);
        let mut held: Vec<(Coherent, u32)> = Vec::new();
        let mut result = Ok(());
        for step in 1..=STEPS {
            result = coherent_step(system, if step % 3 == 0 { other } else { device }, &mut rng, &mut held, step);
            if result.is_err() {
                break;
            }
        }
        for (buffer, stamp) in held {
            result = result.and(verify(system, &buffer, stamp));
            lines(system.dma_free_coherent(buffer))?;
        }
        lines(system.dma_remove_device(other))?;
        result
    })
}

fn coherent_step(
    system: &mut System<'_>,
    device: DeviceId,
    rng: &mut Rng,
    held: &mut Vec<(Coherent, u32)>,
    stamp: u32,
) -> Verdict {
    if held.len() == 12 || !held.is_empty() && rng.below(3) == 0 {
        let (buffer, stamp) = held.swap_remove(rng.below(held.len() as u32) as usize);
        let intact = verify(system, &buffer, stamp);
        lines(system.dma_free_coherent(buffer))?;
        return intact;
    }
    let bytes = 1 + (rng.below(PAGE) << rng.below(9));
    let mut buffer = match system.dma_alloc_coherent(device, bytes) {
        Ok(buffer) => buffer,
        // Buffers that were there before may fill the areas.
        Err(DmaError::NoMemory { .. }) => return Ok(()),
        Err(error) => return Err(Stop::fail(error)),
    };
    let zeroed = words_of(&buffer).all(|offset| system.dma_mut().load_word(&buffer, offset) == Ok(0));
    for offset in words_of(&buffer) {
        lines(system.dma_mut().store_word(&mut buffer, offset, stamp ^ offset))?;
    }
    let cacheable = system.dma().is_cacheable(PhysAddr(buffer.device_address().bits().into()));
    held.push((buffer, stamp));
    ensure(zeroed, || format!("a buffer of {bytes} bytes was not zeroed"))?;
    ensure(!cacheable, || format!("a buffer of {bytes} bytes is cacheable"))
}

/// Returns the offsets of some words of each page of a buffer.
fn words_of(buffer: &Coherent) -> impl Iterator<Item = u32> + use<> {
    let bytes = buffer.bytes();
    (0..bytes).step_by(508).filter(move |offset| offset + 4 <= bytes)
}

fn verify(system: &mut System<'_>, buffer: &Coherent, stamp: u32) -> Verdict {
    let intact = words_of(buffer).all(|offset| system.dma_mut().load_word(buffer, offset) == Ok(stamp ^ offset));
    ensure(intact, || format!("the buffer at {} does not hold what was written", buffer.device_address()))
}

/// Writes to memory as the tests' device, without the API.
fn device_writes(system: &mut System<'_>, at: DeviceAddress, bytes: &[u8]) -> Verdict {
    let hardware = lines(system.dma_mut().hardware())?;
    let address = hardware.cached(PhysAddr(at.bits().into()));
    hardware.store(address, bytes);
    // A device writes to memory, not to a cache.
    let line = at.bits() / LINE_BYTES * LINE_BYTES;
    let length = (at.bits() + bytes.len() as u32).next_multiple_of(LINE_BYTES) - line;
    let first = hardware.cached(PhysAddr(line.into()));
    hardware.inner(CacheOp::CleanInvalidate, first, length);
    hardware.outer(CacheOp::CleanInvalidate, PhysAddr(line.into()), length);
    hardware.outer_sync();
    Ok(())
}

/// Returns the transfers of `dma_streaming`: the offset in two pages, the bytes, the direction.
pub fn transfers() -> impl Iterator<Item = (u32, u32, Direction)> {
    let mut rng = Rng::seeded(12);
    (0..STEPS).map(move |_| (rng.below(PAGE), 1 + rng.below(PAGE), Direction::ALL[rng.below(3) as usize]))
}

/// Returns the segments of the last transfer of `dma_streaming`, which comes from the device:
/// offset and bytes.
pub fn segments() -> impl Iterator<Item = (u32, u32)> {
    (0..16).map(|segment| (segment * 512, 100 + segment))
}

/// Returns the byte at an aligned address, which a device can write back without a change.
fn byte_at(system: &mut System<'_>, at: DeviceAddress) -> Verdict<u8> {
    let hardware = lines(system.dma_mut().hardware())?;
    let address = hardware.cached(PhysAddr(at.bits().into()));
    Ok(hardware.load_word(address) as u8)
}

/// Tests transfers of all sizes and alignments, in all directions.
fn streaming(system: &mut System<'_>) -> Verdict {
    with_device(system, |system, device, page| {
        for (offset, bytes, direction) in transfers() {
            let start = PhysAddr(page.0 + u64::from(offset));
            let mapping = lines(system.streaming().map(device, start, bytes, direction))?;
            let data: Vec<u8> = (0..bytes).map(|place| (place ^ offset) as u8).collect();
            if direction.device_writes() {
                device_writes(system, mapping.device_address(), &data)?;
            }
            let mapping = lines(system.streaming().sync_for_cpu(mapping))?;
            let mut seen = vec![0; bytes as usize];
            lines(system.streaming().read(&mapping, 0, &mut seen))?;
            lines(system.streaming().unmap(mapping))?;
            let right = !direction.device_writes() || seen == data;
            ensure(right, || format!("{bytes} bytes at {start}, {}: not what the device wrote", direction.name()))?;
        }
        let mut list = ScatterList::default();
        for (offset, bytes) in segments() {
            lines(list.push(PhysAddr(page.0 + u64::from(offset)), bytes))?;
        }
        let mapping = lines(system.streaming().map_sg(device, &list, Direction::FromDevice))?;
        let segments: Vec<_> = mapping.segments().collect();
        for &(address, bytes) in &segments {
            device_writes(system, address, &vec![0x77; bytes as usize])?;
        }
        lines(system.streaming().unmap_sg(mapping))
    })
}

/// Errs unless the checker has reported exactly `expected`, with the device's name.
fn expect(system: &mut System<'_>, what: &str, expected: &[Misuse]) -> Verdict {
    let reports = system.dma_mut().checker_mut().take_reports();
    let found: Vec<Misuse> = reports.iter().map(|report| report.misuse).collect();
    let named = reports.iter().all(|report| report.device == NAME && report.at.file().ends_with("selftest/dma.rs"));
    ensure(found == expected, || format!("{what}: reported {found:?}, expected {expected:?}"))?;
    ensure(named, || format!("{what}: the report names another device or call"))
}

/// Tests every misuse that the checker reports.
fn misuse(system: &mut System<'_>) -> Verdict {
    with_device(system, |system, device, page| {
        let (to, from) = (Direction::ToDevice, Direction::FromDevice);
        let map =
            |system: &mut System<'_>, direction| lines(system.streaming().dma_map_single(device, page, 200, direction));
        let unmap = |system: &mut System<'_>, at, bytes, direction| {
            system.streaming().dma_unmap_single(device, at, bytes, direction).is_ok()
        };

        let at = map(system, to)?;
        let fine = unmap(system, at, 200, to);
        expect(system, "a good driver", &[])?;
        let twice = system.streaming().dma_unmap_single(device, at, 200, to);
        let Err(DmaError::Misuse(ended @ Misuse::NotMapped { ended_at: Some(_) })) = twice else {
            return Err(Stop::fail("an address was unmapped twice"));
        };
        expect(system, "unmapping twice", &[ended])?;

        let at = map(system, to)?;
        let short = unmap(system, at, 100, to);
        expect(system, "the wrong size", &[Misuse::Size { mapped: 200 }])?;
        let at = map(system, to)?;
        let turned = unmap(system, at, 200, from);
        expect(system, "the wrong direction", &[Misuse::Direction { mapped: to, named: from }])?;
        ensure(fine && !short && !turned, || "a wrong call was served, or a right one refused".to_string())?;

        let at = map(system, from)?;
        let past = system.streaming().dma_sync_single_for_cpu(device, at, 201, from);
        expect(system, "synchronizing too much", &[Misuse::SyncOutside { mapped: 200 }])?;
        system.dma_mut().cpu_access(page, 4, false);
        expect(system, "reading too early", &[Misuse::CpuRead { at: page }])?;
        system.dma_mut().cpu_access(page, 4, true);
        expect(system, "writing too early", &[Misuse::CpuWrite { at: page }])?;
        let value = byte_at(system, at.offset(200))?;
        device_writes(system, at.offset(200), &[!value])?;
        let served = unmap(system, at, 200, from);
        expect(system, "a device that writes too much", &[Misuse::WroteOutside { at: at.offset(200) }])?;
        ensure(past.is_err() && served, || "synchronizing too much was served".to_string())?;

        let at = map(system, to)?;
        let value = byte_at(system, at)?;
        device_writes(system, at.offset(0), &[!value])?;
        let other = system.streaming().dma_map_single(device, PhysAddr(page.0 + 210), 4, from);
        expect(system, "a shared line", &[Misuse::SharedLine { with: at }])?;
        unmap(system, lines(other)?, 4, from);
        unmap(system, at, 200, to);
        expect(system, "a device that writes what it may read", &[Misuse::Changed])?;

        let mut list = ScatterList::default();
        lines(list.push(page, 64))?;
        let mapping = lines(system.streaming().map_sg(device, &list, to))?;
        let segment = mapping.segments().next().map_or(at, |(address, _)| address);
        unmap(system, segment, 64, to);
        expect(system, "the wrong call", &[Misuse::MappingKind { mapped: MappingKind::Scatter }])?;

        let mapping = lines(system.streaming().map(device, page, 64, from))?;
        let mut mapping = lines(system.streaming().sync_for_cpu(mapping))?;
        let written = system.streaming().write(&mut mapping, 0, &[0]);
        lines(system.streaming().unmap(mapping))?;
        expect(system, "a write that would be lost", &[Misuse::LostWrite])?;
        ensure(written.is_err(), || "a write that would be lost was served".to_string())?;
        leaks(system, page)
    })
}

/// Tests a driver that leaks a mapping, and a buffer past whose end was written.
fn leaks(system: &mut System<'_>, page: PhysAddr) -> Verdict {
    // The same name: it is the driver's second device.
    let device = lines(system.dma_add_device_with_area(NAME, None))?;
    let buffer = lines(system.dma_alloc_coherent(device, 10))?;
    let mapping = lines(system.streaming().map(device, page, 64, Direction::ToDevice))?;
    let hardware = lines(system.dma_mut().hardware())?;
    hardware.store_word(CpuAddress::new(buffer.cpu_address().get() + 12), 1);
    let left = lines(system.dma_remove_device(device))?;
    let outside = Misuse::WroteOutside { at: buffer.device_address().offset(12) };
    expect(system, "leaving things behind", &[Misuse::LeakedBuffer, outside, Misuse::LeakedMapping])?;
    let gone = system.dma_free_coherent(buffer).is_err() && system.streaming().unmap(mapping).is_err();
    ensure(left == Leaked { buffers: 1, mappings: 1 } && gone, || "what was left behind was not taken back".to_string())
}

/// Tests that a page in use is not moved while a device has it mapped, and that an allocation which
/// needs its frame fails with the device's name.
fn pins(system: &mut System<'_>) -> Verdict {
    with_device(system, |system, device, _| {
        with_living(system, |system| {
            empty_area(system)?;
            let mut mm = system.mm().ok_or("memory has no users")?;
            lines(mm.cache_write(1))?;
            let frame = mm.cache_frame(1).ok_or("a cache page is not there")?;
            let mapping = lines(system.streaming().map(device, frame.addr(), PAGE, Direction::FromDevice))?;
            let mut mm = system.mm().ok_or("memory has no users")?;
            lines(mm.cache_read(1))?;
            expect(system, "reading a cache page too early", &[Misuse::CpuRead { at: frame.addr() }])?;
            let mut mm = system.mm().ok_or("memory has no users")?;
            mm.drain_lists();
            let area = empty_area_of(system, frame);
            let blocked = area.map(|area| (area, system.area(area).pages()));
            let blocked = blocked.map(|(area, pages)| (area, pages, system.cma_alloc(area, pages, 0)));
            lines(system.streaming().unmap(mapping))?;
            let (area, pages, blocked) = blocked?;
            match blocked {
                Err(CmaError::Busy(blocked)) => {
                    let named = blocked.owner == Owner::Pin(NAME) && blocked.why == Why::Pinned;
                    ensure(named && blocked.frame == frame, || format!("the pin is not named: {blocked}"))?;
                    let buffer = lines(system.cma_alloc(area, pages, 0))?;
                    lines(system.cma_release(buffer))
                }
                Err(error) => Err(Stop::fail(error)),
                Ok(buffer) => {
                    lines(system.cma_release(buffer))?;
                    Err(Stop::fail("a page that a device had was moved"))
                }
            }
        })
    })
}
