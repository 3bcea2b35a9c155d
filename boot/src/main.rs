// SPDX-License-Identifier: MIT OR Apache-2.0

//! The image: Linux's contiguous memory allocator on a Versatile Express with a Cortex-A9.
//!
//! The steps of a boot: entry → console → tree → memory → areas ([`start`], which the minimal
//! kernel has too) → devices → monitor. [`cpu`] is specific to the processor, [`board`] to the
//! board, [`memory_map`] has what is mapped; the rest is in `kernel`, which depends on neither.
//!
//! Invariants:
//! 1. No input from a loader or a tree causes a panic: it is refused with a line, or with status 2
//!    if the kernel cannot run without it.
//! 2. Only what is needed is mapped, nothing is both writable and executable, and page 0 is never
//!    mapped.
//! 3. A fatal fault is reported whatever the kernel's state, and ends QEMU with status 101.
#![no_std]
#![no_main]

extern crate alloc;

mod board;
mod console;
mod cpu;
mod dma;
mod frames;
mod heap;
mod input;
mod machine;
mod memory;
mod memory_map;
mod panic;
mod start;
mod tree;
mod window;

use alloc::boxed::Box;
use alloc::vec::Vec;

use board::{gic, virtio};
use frames::IdentityMapped;
use kernel::cma::AreaUser;
use kernel::dt::Device;
use kernel::machine::Machine;
use kernel::monitor::{Context, End, Monitor, STATUS_BAD_COMMAND};
use kernel::system::System;
use kernel::units::PhysRange;
use machine::Board;
use memory::Memory;
use start::{Awake, Ending};
use window::Window;

/// Version, as `version` and the first line of the log print it.
const VERSION: &str = concat!("debris ", env!("CARGO_PKG_VERSION"), ": a laboratory for Linux's CMA, on vexpress-a9");

// A bad command and an unusable tree or memory have the same status.
const _: () = assert!(STATUS_BAD_COMMAND == start::UNUSABLE);

/// Boots with `tree` and runs the monitor to its end.
fn boot(tree: PhysRange) -> Ending {
    match start::wake(tree, VERSION) {
        Ok(awake) => run(awake),
        Err(status) => Ending::Status(status),
    }
}

fn run(Awake { facts, bootargs, cmdline, devices, memory }: Awake) -> Ending {
    let places = virtio::places(&facts);
    let Memory { zone, areas, iomem, initrd, refused, .. } = memory;
    let mut system = System::with_areas(zone, areas);
    system.answer_like(cmdline.linux);
    system.dma_mut().attach(dma::Board::find(&facts));
    let names = device_names(facts.devices, system.area_users());
    system.dma_mut().know(names);
    if cmdline.check {
        system.dma_mut().checker_mut().enable(true);
        system.check_after_commands(true);
        system.zone_mut().enable_poison(Box::new(IdentityMapped));
    }

    // SAFETY: the addresses are the tree's or the board's for its GIC, mapped above.
    unsafe { gic::init(devices.distributor, devices.interface) };
    gic::handle(devices.uart_interrupt, input::receive);
    gic::enable(devices.uart_interrupt);
    input::enable();

    system.set_address_space(Box::new(Window::default()));
    virtio::start(&places, &mut system);
    let mut board = Board;
    let context = Context {
        cmdline: &bootargs,
        iomem: &iomem,
        initrd,
        ns_to_ready: board.now_ns(),
        version: VERSION,
        release: env!("CARGO_PKG_VERSION"),
        git: env!("DEBRIS_GIT"),
        quiet: cmdline.quiet,
        refused: refused.all(),
        strict: cmdline.strict,
        tests: &cpu::selftest::TESTS,
    };
    let mut monitor = Monitor::new(&mut system, &mut board, context);
    monitor.print_boot_records();
    match monitor.run_to_end(cmdline.run.as_deref()) {
        End::PowerOff(status) => Ending::Status(status),
        End::Reboot => Ending::Reboot,
    }
}

/// Returns the names of all devices that memory may be allocated for: those of the tree, and those
/// that name an area without having registers.
fn device_names(devices: Vec<Device>, users: &[AreaUser]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = devices.leak().iter().map(Device::name).collect();
    for user in users {
        if !names.contains(&user.device.as_str()) {
            names.push(user.device.clone().leak());
        }
    }
    names
}
