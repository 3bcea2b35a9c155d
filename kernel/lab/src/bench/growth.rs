// SPDX-License-Identifier: MIT OR Apache-2.0

//! Growth of costs: the debris load on areas from 8 to 768 MiB, scaled in three ways that keep the
//! fill level.
//!
//! `slots/N` has the published number of slots, of the published sizes, for each 8 MiB: the number
//! of buffers and of free runs grows with the area, and a search has to cope with them. `sizes/N`
//! has the published 255 slots, each larger by the factor of the area: the blocks that hold a
//! buffer grow in number and size. `both/N` has larger slots and more of them: at 768 MiB eight
//! times larger, and twelve times the number.
//!
//! Every call counts, from the first one on the empty area. After filling, about half of the slots
//! are in use. Requests that fail are timed like the others, and counted.

use alloc::vec::Vec;

use super::{BenchError, Benchmark, MIB_PAGES, Measurement, Need, Run, Setting};
use crate::load::PUBLISHED_SEED;
use crate::rng::Rng;
use crate::scale::Scale;
use crate::sizes::Slots;
use crate::stopwatch::{ClockCost, Timing, Timings};
use cma::{AreaId, align_order_of};
use machine::Machine;
use system::System;

pub(super) const fn entries<M: Machine + ?Sized>() -> &'static [Benchmark<M>] {
    const {
        &[
            Benchmark {
                name: "slots/8",
                run: Run::Calls(|system, machine, setting, name| run(system, machine, setting, name, Scale::Slots, 8)),
            },
            Benchmark {
                name: "slots/32",
                run: Run::Calls(|system, machine, setting, name| run(system, machine, setting, name, Scale::Slots, 32)),
            },
            Benchmark {
                name: "slots/128",
                run: Run::Calls(|system, machine, setting, name| {
                    run(system, machine, setting, name, Scale::Slots, 128)
                }),
            },
            Benchmark {
                name: "slots/512",
                run: Run::Calls(|system, machine, setting, name| {
                    run(system, machine, setting, name, Scale::Slots, 512)
                }),
            },
            Benchmark {
                name: "slots/768",
                run: Run::Calls(|system, machine, setting, name| {
                    run(system, machine, setting, name, Scale::Slots, 768)
                }),
            },
            Benchmark {
                name: "sizes/8",
                run: Run::Calls(|system, machine, setting, name| run(system, machine, setting, name, Scale::Sizes, 8)),
            },
            Benchmark {
                name: "sizes/32",
                run: Run::Calls(|system, machine, setting, name| run(system, machine, setting, name, Scale::Sizes, 32)),
            },
            Benchmark {
                name: "sizes/128",
                run: Run::Calls(|system, machine, setting, name| {
                    run(system, machine, setting, name, Scale::Sizes, 128)
                }),
            },
            Benchmark {
                name: "sizes/512",
                run: Run::Calls(|system, machine, setting, name| {
                    run(system, machine, setting, name, Scale::Sizes, 512)
                }),
            },
            Benchmark {
                name: "sizes/768",
                run: Run::Calls(|system, machine, setting, name| {
                    run(system, machine, setting, name, Scale::Sizes, 768)
                }),
            },
            Benchmark {
                name: "both/8",
                run: Run::Calls(|system, machine, setting, name| run(system, machine, setting, name, Scale::Both, 8)),
            },
            Benchmark {
                name: "both/32",
                run: Run::Calls(|system, machine, setting, name| run(system, machine, setting, name, Scale::Both, 32)),
            },
            Benchmark {
                name: "both/128",
                run: Run::Calls(|system, machine, setting, name| run(system, machine, setting, name, Scale::Both, 128)),
            },
            Benchmark {
                name: "both/512",
                run: Run::Calls(|system, machine, setting, name| run(system, machine, setting, name, Scale::Both, 512)),
            },
            Benchmark {
                name: "both/768",
                run: Run::Calls(|system, machine, setting, name| run(system, machine, setting, name, Scale::Both, 768)),
            },
        ]
    }
}

/// Steps for each slot to fill the area: the share of slots never drawn is then e^-4.
const FILLING: u32 = 4;
/// Steps after filling.
const OPS: u32 = 32_768;
/// Steps between two checks for Ctrl-C.
const OPS_BETWEEN_LOOKS: u32 = 1024;
/// Value of a slot without a buffer; otherwise the page offset of the buffer in the area.
const IDLE: u32 = u32::MAX;

/// A load on an area.
struct Load {
    area: AreaId,
    slots: Vec<u32>,
    scaled: Slots,
    rng: Rng,
    alloc: Timing,
    release: Timing,
    failed: u64,
}

/// Runs a scaled load on an area of `mib` MiB.
fn run<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    setting: &Setting<'_>,
    name: &'static str,
    scale: Scale,
    mib: u32,
) -> Result<Measurement, BenchError> {
    let scaled = scale.slots(mib * MIB_PAGES);
    let area = Need::Exactly(mib * MIB_PAGES).find(system, setting)?;
    let mut slots = Vec::new();
    slots.try_reserve_exact(scaled.count as usize).map_err(|_| BenchError::NoHeap)?;
    slots.resize(scaled.count as usize, IDLE);
    let mut load = Load {
        area,
        slots,
        scaled,
        rng: Rng::named("glibc", PUBLISHED_SEED).ok_or(BenchError::Unknown)?,
        alloc: Timing::NONE,
        release: Timing::NONE,
        failed: 0,
    };
    let cost = ClockCost::measure(machine);
    let result = load.steps(system, machine);
    system.release_all(area);
    result?;
    let Load { alloc, release, failed, .. } = load;
    let timings = Timings { alloc, release, cost };
    Ok(Measurement { failed, ..Measurement::on_area(name, system, area, timings) })
}

impl Load {
    fn steps<M: Machine + ?Sized>(&mut self, system: &mut System<'_>, machine: &M) -> Result<(), BenchError> {
        for step in 0..self.slots.len() as u32 * FILLING + OPS {
            if step % OPS_BETWEEN_LOOKS == 0 && machine.interrupted() {
                return Err(BenchError::Interrupted);
            }
            self.step(system, machine)?;
        }
        Ok(())
    }

    fn step<M: Machine + ?Sized>(&mut self, system: &mut System<'_>, machine: &M) -> Result<(), BenchError> {
        let drawn = self.rng.below(self.slots.len() as u32) as usize;
        let slot = &mut self.slots[drawn];
        let base = system.area(self.area).base();
        if *slot != IDLE {
            let buffer = system.take_back_at(self.area, base.add(*slot));
            *slot = IDLE;
            return match buffer {
                Some(buffer) => Ok(self.release.time(machine, || system.cma_release(buffer))?),
                None => Ok(()),
            };
        }
        let pages = self.scaled.pages(drawn);
        let align_order = align_order_of(pages);
        match self.alloc.time(machine, || system.cma_alloc(self.area, pages, align_order)) {
            Ok(buffer) => {
                *slot = buffer.first().0 - base.0;
                system.keep(buffer);
            }
            Err(_) => self.failed += 1,
        }
        Ok(())
    }
}
