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
mod heap;
mod machine;
mod memory_map;
mod panic;
mod tree;

use alloc::string::String;
use alloc::vec::Vec;

use board::{Devices, exit, gic, system_registers};
use kernel::dt::{Facts, Placement};
use kernel::machine::{Fault, Machine};
use kernel::units::PhysRange;
use machine::Board;

/// QEMU's status where there is no usable tree.
const NO_TREE_STATUS: u32 = 2;

/// How a session ends.
enum End {
    PowerOff(u32),
    Reboot,
}

/// The entry code comes here in supervisor mode, on the supervisor stack, with zeroed statics and the MMU off.
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
    cpu::clock::init();
    console::init_log();

    let end = match tree {
        Ok(tree) => boot(tree),
        Err(no_tree) => {
            log::error!("{no_tree}");
            End::PowerOff(NO_TREE_STATUS)
        }
    };
    console::flush();
    match end {
        End::PowerOff(status) => exit::exit(status),
        End::Reboot => exit::reboot(),
    }
}

/// From the tree to the monitor's end.
fn boot(tree: PhysRange) -> End {
    // SAFETY: `locate` found it, `start` mapped it, and all of RAM is still untouched.
    let facts = match kernel::dt::read(unsafe { tree::bytes(tree) }) {
        Ok(facts) => facts,
        Err(error) => {
            log::error!("the device tree at {:#010x} cannot be used: {error}", tree.start);
            return End::PowerOff(NO_TREE_STATUS);
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
    for note in &facts.notes {
        log::log!(note.level, "{}", note.text);
    }

    let no_map = no_map_regions(&facts);
    for range in memory_map::map_memory(&facts.memory, &no_map) {
        log::error!("{range} stays unused");
    }
    memory_map::map_devices(&facts, &no_map);
    log::debug!("{} of {} page tables in use", memory_map::tables_used(), cpu::mmu::MAX_PAGE_TABLES);

    // SAFETY: the addresses are the tree's or the board's for its GIC, mapped above.
    unsafe { gic::init(devices.distributor, devices.interface, devices.uart_interrupt) };
    console::enable_input();
    session(&facts)
}

/// The fixed regions that must not be mapped.
fn no_map_regions(facts: &Facts) -> Vec<(PhysRange, &str)> {
    let mut regions = Vec::new();
    for node in facts.reserved.iter().filter(|node| node.no_map) {
        if let Placement::Fixed(ranges) = &node.placement {
            regions.extend(ranges.iter().map(|range| (*range, node.name.as_str())));
        }
    }
    regions
}

/// Stands in for the monitor: `fault=NAME`, `selftest`, `echo`, `reboot` and `poweroff=N` among the boot arguments.
fn session(facts: &Facts) -> End {
    let mut board = Board;
    let bootargs = facts.bootargs.as_deref().unwrap_or_default();
    log::info!(
        "{} MiB of RAM, {} devices",
        facts.memory.iter().map(PhysRange::size).sum::<u64>() >> 20,
        facts.devices.len()
    );
    let mut end = End::PowerOff(0);
    for word in bootargs.split_whitespace() {
        match word.split_once('=').unwrap_or((word, "")) {
            ("fault", name) => match Fault::from_name(name) {
                Some(fault) => board.fault(fault),
                None => end = End::PowerOff(2),
            },
            ("selftest", _) => {
                for (name, test) in cpu::selftest::TESTS {
                    let before = board.now_ns();
                    match test() {
                        Ok(()) => log::info!("ok {name} ({} ns)", board.now_ns() - before),
                        Err(error) => {
                            log::error!("not ok {name}: {error}");
                            end = End::PowerOff(3);
                        }
                    }
                }
            }
            ("echo", _) => echo(&mut board),
            ("reboot", _) => end = End::Reboot,
            ("poweroff", status) => end = End::PowerOff(status.parse().unwrap_or(0)),
            _ => {}
        }
    }
    end
}

/// Repeats lines until one says `end`.
fn echo(board: &mut Board) {
    let mut line = String::new();
    loop {
        match board.read_byte() {
            b'\n' | b'\r' => {
                board.write_str(&alloc::format!("<{line}>\n"));
                if line == "end" {
                    return;
                }
                line.clear();
            }
            byte => line.push(byte.into()),
        }
    }
}
