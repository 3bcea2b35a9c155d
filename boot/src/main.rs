// SPDX-License-Identifier: MIT OR Apache-2.0

//! The image: Linux's contiguous memory allocator on a Versatile Express with a Cortex-A9.
//!
//! This page is the story of a boot: entry → console → tree → memory → areas → devices → monitor. [`cpu`] knows the
//! processor, [`board`] the board, [`memory_map`] what is mapped; everything else is `kernel`'s, which knows neither.
//!
//! What holds in all of it:
//! 1. Nothing a loader or a tree can hand over panics: it is refused with a line, or with status 2 where nothing is left.
//! 2. Nothing is mapped that is not needed, nothing is writable and executable, and page 0 never is.
//! 3. A fatal fault says what happened, whatever state it happened in, and ends QEMU with status 101.
#![no_std]
#![no_main]

extern crate alloc;

mod board;
mod console;
mod cpu;
mod dma;
mod frames;
mod heap;
mod machine;
mod memory;
mod memory_map;
mod panic;
mod tree;
mod window;

use alloc::boxed::Box;

use board::{Devices, exit, gic, system_registers, virtio};
use kernel::machine::Machine;
use kernel::monitor::{Context, End, Monitor, STATUS_BAD_COMMAND};
use kernel::units::PhysRange;
use machine::Board;
use window::Window;

/// What `version` and the first line of the log say.
const VERSION: &str = concat!("debris ", env!("CARGO_PKG_VERSION"), ": a laboratory for Linux's CMA, on vexpress-a9");

/// The entry code comes here in supervisor mode, on the supervisor stack, with zeroed statics and the MMU off.
// SAFETY: the entry code is what calls it, and nothing else has the name.
#[unsafe(no_mangle)]
extern "C" fn rust_entry(_machine_id: u32, r2: u32) -> ! {
    let known = Devices::known();
    // SAFETY: the board's own UART, accessible with the MMU off, and mapped by `memory_map::start`.
    unsafe { console::init(known.uart) };
    // SAFETY: the MMU is off.
    let tree = unsafe { tree::locate(r2) };
    // SAFETY: the entry code comes here once, with the MMU off and caches invalidated.
    unsafe { memory_map::start(tree.as_ref().ok().copied()) };
    // SAFETY: called once, and the image is mapped.
    unsafe { heap::init() };
    console::init_log();

    let end = match tree {
        Ok(tree) => boot(tree),
        Err(no_tree) => {
            console::emergency(format_args!("{no_tree}"));
            End::PowerOff(STATUS_BAD_COMMAND)
        }
    };
    console::flush();
    match end {
        End::PowerOff(status) => exit::exit(status.into()),
        End::Reboot => exit::reboot(),
    }
}

/// The entry code comes here instead where RAM ends before the image does: there may be no statics, and no stack but this.
// SAFETY: the entry code is what calls it, and nothing else has the name.
#[unsafe(no_mangle)]
extern "C" fn too_little_memory() -> ! {
    // SAFETY: the board's own UART, accessible with the MMU off.
    unsafe { console::print_without_statics(Devices::known().uart, format_args!("{}", tree::TooLittleMemory)) };
    exit::exit(STATUS_BAD_COMMAND.into())
}

/// From the tree to the monitor's end.
fn boot(tree: PhysRange) -> End {
    // SAFETY: `locate` found it, `start` mapped it, and all of RAM is still untouched.
    let mut facts = match kernel::dt::read(unsafe { tree::bytes(tree) }) {
        Ok(facts) => facts,
        Err(error) => {
            console::emergency(format_args!("the device tree at {:#010x} cannot be used: {error}", tree.start));
            return End::PowerOff(STATUS_BAD_COMMAND);
        }
    };
    memory_map::release_tree(tree);
    let mut devices = Devices::find(&facts);
    memory_map::map_essential_devices(&devices);
    system_registers::set_base(devices.system_registers);
    // SAFETY: mapped as device memory two lines above.
    if !unsafe { console::init(devices.uart) } {
        log::warn!("no PL011 at {:#010x}, where the tree has one: the console stays", devices.uart);
        devices.uart_interrupt = Devices::known().uart_interrupt;
    }

    let bootargs = facts.bootargs.clone().unwrap_or_default();
    let mut cmdline = kernel::cmdline::parse(&bootargs);
    console::set_loglevel(cmdline.loglevel);
    log::info!("{VERSION}");
    log::info!("Machine model: {}", facts.model.as_deref().unwrap_or("unknown"));
    log::info!("Kernel command line: {bootargs}");
    log::info!("debris: like Linux {}", cmdline.linux);
    memory::log_notes(&facts.notes);
    memory::log_notes(&cmdline.notes);
    memory::log_notes(&kernel::mm::addresses::adapt(&mut facts, &mut cmdline));

    let places = virtio::places(&facts);
    let mut memory = match memory::build(facts, &cmdline, tree) {
        Ok(memory) => memory,
        Err(why) => {
            console::emergency(format_args!("{why}"));
            return End::PowerOff(STATUS_BAD_COMMAND);
        }
    };
    let zone = &memory.system.zone;
    log::info!(
        "Memory: {}K free of {}K RAM, {}K of it CMA",
        zone.nr_free_pages() * 4,
        memory.ram_pages * 4,
        zone.nr_free_cma() * 4
    );

    // SAFETY: the addresses are the tree's or the board's for its GIC, mapped above.
    unsafe { gic::init(devices.distributor, devices.interface) };
    gic::handle(devices.uart_interrupt, console::receive);
    gic::enable(devices.uart_interrupt);
    console::enable_input();

    memory.system.set_address_space(Box::new(Window::default()));
    virtio::start(&places, &mut memory.system);
    let mut board = Board;
    let context = Context {
        cmdline: &bootargs,
        iomem: &memory.iomem,
        initrd: memory.initrd,
        ns_to_ready: board.now_ns(),
        version: VERSION,
        tests: &cpu::selftest::TESTS,
    };
    let mut monitor = Monitor::new(&mut memory.system, &mut board, context);
    monitor.print_boot_record();
    monitor.run_to_end(cmdline.run.as_deref())
}
