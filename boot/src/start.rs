// SPDX-License-Identifier: MIT OR Apache-2.0

//! The first half of every boot: entry → console → tree → memory → areas. Each image continues from
//! there in its own `boot`.
//!
//! Invariant: if the tree or the memory cannot be used, the machine ends with a line that gives the
//! reason, and status 2.

use alloc::string::String;

use devicetree::Facts;
use reserved::cmdline::Cmdline;
use units::PhysRange;
use units::notes::Refusals;

use crate::board::{Devices, exit, system_registers};
use crate::memory::{self, Memory};
use crate::{console, heap, memory_map, tree};

/// Status if tree or memory cannot be used.
pub(crate) const UNUSABLE: u8 = 2;

/// End of the machine.
pub(crate) enum Ending {
    /// With this status.
    Status(u8),
    /// By a reset.
    Reboot,
}

/// State of the machine once memory is set up.
pub(crate) struct Awake {
    /// Contents of the tree.
    pub facts: Facts,
    /// The command line, unparsed.
    pub bootargs: String,
    /// The command line, parsed.
    pub cmdline: Cmdline,
    /// The devices that the kernel drives.
    pub devices: Devices,
    /// Page allocator and areas.
    pub memory: Memory,
}

/// Called by the entry code in supervisor mode, on the supervisor stack, with zeroed statics and
/// the MMU off.
// SAFETY: only the entry code calls it, and nothing else has the name.
#[unsafe(no_mangle)]
extern "C" fn rust_entry(_machine_id: u32, r2: u32) -> ! {
    let known = Devices::known();
    // SAFETY: the board's own UART, accessible with the MMU off, and mapped by `memory_map::start`.
    unsafe { console::init(known.uart) };
    // SAFETY: the MMU is off.
    let tree = unsafe { tree::locate(r2) };
    // SAFETY: called once, by the entry code, with the MMU off and caches invalidated.
    unsafe { memory_map::start(tree.as_ref().ok().copied()) };
    // SAFETY: called once, and the image is mapped.
    unsafe { heap::init() };
    console::init_log();

    let end = match tree {
        Ok(tree) => crate::boot(tree),
        Err(no_tree) => {
            console::emergency(format_args!("{no_tree}"));
            Ending::Status(UNUSABLE)
        }
    };
    console::flush();
    match end {
        Ending::Status(status) => exit::exit(status.into()),
        Ending::Reboot => exit::reboot(),
    }
}

/// Called by the entry code if RAM ends before the image does: statics and the usual stacks may be
/// outside RAM.
// SAFETY: only the entry code calls it, and nothing else has the name.
#[unsafe(no_mangle)]
extern "C" fn too_little_memory() -> ! {
    // SAFETY: the board's own UART, accessible with the MMU off.
    unsafe { console::print_without_statics(Devices::known().uart, format_args!("{}", tree::TooLittleMemory)) };
    exit::exit(UNUSABLE.into())
}

/// Reads the tree and builds page allocator and areas.
///
/// # Errors
/// The status to end with; the reason has been printed.
pub(crate) fn wake(tree: PhysRange, version: &str) -> Result<Awake, u8> {
    // SAFETY: `locate` found it, `start` mapped it, and RAM outside the image is not written yet.
    let mut facts = match devicetree::read(unsafe { tree::bytes(tree) }) {
        Ok(facts) => facts,
        Err(error) => {
            console::emergency(format_args!("the device tree at {:#010x} cannot be used: {error}", tree.start));
            return Err(UNUSABLE);
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
    let mut cmdline = reserved::cmdline::parse(&bootargs);
    console::set_loglevel(cmdline.loglevel);
    log::info!("{version}");
    log::info!("Machine model: {}", facts.model.as_deref().unwrap_or("unknown"));
    log::info!("Kernel command line: {bootargs}");
    log::info!("debris: like Linux {}", cmdline.linux);
    let mut refused = Refusals::default();
    memory::log_notes(&facts.notes, &mut refused);
    memory::log_notes(&cmdline.notes, &mut refused);
    memory::log_notes(&reserved::addresses::adapt(&mut facts, &mut cmdline), &mut refused);

    let memory = match memory::build(&facts, &cmdline, tree, refused) {
        Ok(memory) => memory,
        Err(why) => {
            console::emergency(format_args!("{why}"));
            return Err(UNUSABLE);
        }
    };
    let zone = &memory.zone;
    log::info!(
        "Memory: {}K free of {}K RAM, {}K of it CMA",
        zone.nr_free_pages() * 4,
        memory.ram_pages * 4,
        zone.nr_free_cma() * 4
    );
    Ok(Awake { facts, bootargs, cmdline, devices, memory })
}
