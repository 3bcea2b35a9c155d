// SPDX-License-Identifier: MIT OR Apache-2.0

//! Any bytes as a device tree: facts, the memory map, and the areas in it.
#![no_main]

use kernel::mm::{early, reserved, zone};
use kernel::units::PhysRange;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(facts) = kernel::dt::read(bytes) else { return };
    let cmdline = kernel::cmdline::parse(facts.bootargs.as_deref().unwrap_or_default());
    let image = PhysRange::sized(0x6001_0000, 0x30_0000);
    let tree = PhysRange::sized(0x6800_0000, 0x4000);
    let mut memblock = early::memory_map(&facts, image, tree).memblock;
    let placed = reserved::place(&facts, &cmdline, zone::descriptor_bytes, &mut memblock);
    for area in &placed.areas {
        assert!(memblock.is_ram(&area.range), "an area lies in RAM");
    }
});
