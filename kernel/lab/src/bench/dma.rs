// SPDX-License-Identifier: MIT OR Apache-2.0

//! Costs of a driver: coherent buffers from its device's area, and a page mapped for a device and
//! unmapped. The checker is off, as in normal use.

use super::area::SMALL_PAGES;
use super::{BenchError, Benchmark, Cost, Measurement, Need, Run, Setting, heed};
use crate::stopwatch::{ClockCost, Dither, Timing, Timings};
use dma::{DeviceId, Direction};
use machine::Machine;
use page_alloc::Migratetype;
use system::System;
use units::PAGE_SIZE;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Benchmark<M>] {
    const {
        &[
            Benchmark {
                name: "dma/coherent/1",
                run: Run::Calls(|system, machine, setting, name| coherent(system, machine, setting, name, 1)),
            },
            Benchmark {
                name: "dma/coherent/16",
                run: Run::Calls(|system, machine, setting, name| coherent(system, machine, setting, name, 16)),
            },
            Benchmark {
                name: "dma/coherent/1024",
                run: Run::Calls(|system, machine, setting, name| coherent(system, machine, setting, name, 1024)),
            },
            Benchmark { name: "dma/map/1", run: Run::Calls(|system, machine, _, name| map(system, machine, name)) },
        ]
    }
}

const REPS: u32 = 1000;
/// Repetitions with a buffer of 4 MiB, which has to be cleared.
const LARGE_REPS: u32 = 20;
/// Name of the device whose driver the benchmarks are.
const DEVICE: &str = "bench-device";

/// Runs `measure` with the checker off, then removes the device.
fn unwatched(
    system: &mut System<'_>,
    device: DeviceId,
    measure: impl FnOnce(&mut System<'_>) -> Result<Measurement, BenchError>,
) -> Result<Measurement, BenchError> {
    let was_on = system.dma().checker().is_enabled();
    system.dma_mut().checker_mut().enable(false);
    let result = measure(system);
    let left = system.dma_remove_device(device);
    system.dma_mut().checker_mut().enable(was_on);
    left?;
    result
}

/// Allocates and frees a coherent buffer of `pages` pages.
fn coherent<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    setting: &Setting<'_>,
    name: &'static str,
    pages: u32,
) -> Result<Measurement, BenchError> {
    let area = Need::AtLeast(SMALL_PAGES).find(system, setting)?;
    let device = system.dma_add_device_with_area(DEVICE, Some(area))?;
    let reps = if pages > 256 { LARGE_REPS } else { REPS };
    let bytes = pages * PAGE_SIZE as u32;
    unwatched(system, device, |system| {
        // The first one permanently splits a section of memory's mapping into pages.
        let first = system.dma_alloc_coherent(device, bytes)?;
        system.dma_free_coherent(first)?;
        let cost = ClockCost::measure(machine);
        let (mut alloc, mut free) = (Timing::default(), Timing::default());
        let mut dither = Dither::default();
        for _ in 0..reps {
            heed(machine)?;
            dither.wait(machine);
            let buffer = alloc.time(machine, || system.dma_alloc_coherent(device, bytes))?;
            dither.wait(machine);
            free.time(machine, || system.dma_free_coherent(buffer))?;
        }
        Ok(Measurement::on_area(name, system, area, Timings { alloc, release: free, cost }))
    })
}

/// Maps and unmaps a page in both directions: its cache lines are cleaned, then dropped.
fn map<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    name: &'static str,
) -> Result<Measurement, BenchError> {
    let device = system.dma_add_device_with_area(DEVICE, None)?;
    let block = match system.zone_mut().alloc_pages(0, Migratetype::Movable) {
        Ok(block) => block,
        Err(error) => {
            system.dma_remove_device(device)?;
            return Err(error.into());
        }
    };
    let start = block.first().addr();
    let result = unwatched(system, device, |system| {
        let cost = ClockCost::measure(machine);
        let (mut map, mut unmap) = (Timing::default(), Timing::default());
        let mut dither = Dither::default();
        let mut streaming = system.streaming();
        for _ in 0..REPS {
            heed(machine)?;
            dither.wait(machine);
            let mapping =
                map.time(machine, || streaming.map(device, start, PAGE_SIZE as u32, Direction::Bidirectional))?;
            dither.wait(machine);
            unmap.time(machine, || streaming.unmap(mapping))?;
        }
        Ok(Measurement { release: Some(Cost::of(unmap, cost)), ..Measurement::new(name, Cost::of(map, cost)) })
    });
    system.zone_mut().free_pages(block);
    result
}
