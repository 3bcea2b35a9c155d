// SPDX-License-Identifier: MIT OR Apache-2.0

//! The minimal kernel: a device tree, the areas that Linux would make of it, a page allocator with
//! MIGRATE_CMA, and the published experiment in one of them. No disk, no DMA, no migration, no
//! prompt.
//!
//! It consists of the modules below, which the laboratory's image has too, and of the crates that
//! `boot/core/Cargo.toml` names; nothing else is linked. Reading order: [`cpu`]'s entry → [`start`]
//! → `reserved::place` → `Zone` → `Areas` → [`boot`], which is the rest of this page.
//!
//! Invariant: it ends by itself, with status 0 if every page is where it should be at the end, 2 if
//! there is no usable tree, memory or area, and 3 if a check fails.
#![no_std]
#![no_main]

extern crate alloc;

mod console;
mod heap;
#[expect(dead_code, reason = "nobody looks at the initrd or at the listing here")]
mod memory;
mod memory_map;
mod panic;
#[expect(dead_code, reason = "nothing starts again here, and no interrupt is handled")]
mod start;
mod tree;

/// The part of the board that a kernel without input needs.
mod board {
    #[expect(dead_code, reason = "devices that only the laboratory drives")]
    pub(crate) mod devices;
    pub(crate) mod exit;
    #[expect(dead_code, reason = "nothing is received")]
    pub(crate) mod pl011;
    pub(crate) mod system_registers;

    pub(crate) use devices::{Devices, RAM_BASE};

    /// The part of the interrupt controller's module that the exceptions need: interrupts stay
    /// masked.
    pub(crate) mod gic {
        /// Returns a number that no interrupt has: none is ever acknowledged.
        pub(crate) fn last_interrupt() -> u32 {
            u32::MAX
        }

        /// Handles an IRQ, called by the vector. Returns 0: no interrupt has a handler.
        // SAFETY: only the vector calls it, and nothing else has the name.
        #[unsafe(no_mangle)]
        extern "C" fn handle_irq() -> u32 {
            0
        }
    }
}

/// The processor, without the parts for migration and DMA.
mod cpu {
    mod entry;
    mod memory_functions;
    mod private;

    pub(crate) mod backtrace;
    #[expect(dead_code, reason = "nothing is measured")]
    pub(crate) mod clock;
    pub(crate) mod exceptions;
    pub(crate) mod image;
    #[expect(dead_code, reason = "interrupts stay masked")]
    pub(crate) mod irq;
    pub(crate) mod mappings;
    #[expect(dead_code, reason = "the windows of movable pages and of coherent buffers are the laboratory's")]
    pub(crate) mod mmu;

    pub(crate) use private::{PRIVATE_PERIPHERALS_BYTES, private_peripherals};
}

use alloc::format;

use experiment::bitmap_view::{write_bitmap, write_summary};
use experiment::debris::{self, DEFAULT_OPS, PUBLISHED_SEED};
use experiment::fragmentation::Fragmentation;
use units::PhysRange;

use memory::Memory;
use start::{Ending, UNUSABLE};

/// The first line of the log.
const VERSION: &str = concat!("debris core ", env!("CARGO_PKG_VERSION"), ": Linux's CMA alone, on vexpress-a9");
/// Status if a check fails, as the laboratory's.
const STATUS_CHECK_FAILED: u8 = 3;

/// Boots with `tree` and runs the experiment to its end.
fn boot(tree: PhysRange) -> Ending {
    let Memory { zone, areas, .. } = match start::wake(tree, VERSION) {
        Ok(awake) => awake.memory,
        Err(status) => return Ending::Status(status),
    };
    let (mut zone, mut areas) = (zone, areas);
    let Some(id) = areas.unnamed() else {
        console::emergency(format_args!("no CMA area: give the tree a node for one, or cma=8M on the command line"));
        return Ending::Status(UNUSABLE);
    };
    let ruins = match debris::run(&mut areas, &mut zone, id, PUBLISHED_SEED, DEFAULT_OPS) {
        Ok(ruins) => ruins,
        Err(error) => {
            console::emergency(format_args!("{error}, though the area allocated it"));
            return Ending::Status(STATUS_CHECK_FAILED);
        }
    };
    let area = areas.get(id);
    let mut text = format!("{ruins}{}\n{}", ruins.record(), Fragmentation::of(area));
    // Writing to a String cannot fail.
    let _ = write_bitmap(&mut text, area).and_then(|()| write_summary(&mut text, area));
    console::print(&text);
    match zone.check().and_then(|()| areas.list().iter().try_for_each(|area| area.check(&zone))) {
        Ok(()) => Ending::Status(0),
        Err(imbalance) => {
            console::emergency(format_args!("{imbalance}"));
            Ending::Status(STATUS_CHECK_FAILED)
        }
    }
}
