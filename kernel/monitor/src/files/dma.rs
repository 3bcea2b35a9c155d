// SPDX-License-Identifier: MIT OR Apache-2.0

//! `/sys/kernel/debug/dma-api`: mappings and buffers in the format of Linux's `kernel/dma/debug.c`.

use core::fmt;

use super::{PseudoFile, Read, Write};
use dma::{DeviceAddress, Dma, LINE_BYTES, MAX_BUFFERS, MAX_MAPPINGS};

pub(super) const ENTRIES: &[PseudoFile] = &[
    PseudoFile {
        path: "/sys/kernel/debug/dma-api/disabled",
        read: Read::System(|out, system| {
            writeln!(out, "{}", if system.dma().checker().is_enabled() { 'N' } else { 'Y' })
        }),
        write: Write::No,
    },
    PseudoFile {
        path: "/sys/kernel/debug/dma-api/dump",
        read: Read::System(|out, system| dump(out, system.dma())),
        write: Write::No,
    },
    PseudoFile {
        path: "/sys/kernel/debug/dma-api/error_count",
        read: Read::System(|out, system| writeln!(out, "{}", system.dma().checker().errors())),
        write: Write::No,
    },
    PseudoFile {
        path: "/sys/kernel/debug/dma-api/min_free_entries",
        read: Read::System(|out, system| {
            let (mappings, buffers) = (system.dma().mapping_counts().1, system.dma().buffer_counts().1);
            writeln!(out, "{}", ENTRIES_IN_ALL - usize::from(mappings) - buffers)
        }),
        write: Write::No,
    },
    PseudoFile {
        path: "/sys/kernel/debug/dma-api/nr_total_entries",
        read: Read::System(|out, _| writeln!(out, "{ENTRIES_IN_ALL}")),
        write: Write::No,
    },
    PseudoFile {
        path: "/sys/kernel/debug/dma-api/num_free_entries",
        read: Read::System(|out, system| {
            let (mappings, buffers) = (system.dma().mapping_counts().0, system.dma().buffer_counts().0);
            writeln!(out, "{}", ENTRIES_IN_ALL - usize::from(mappings) - buffers)
        }),
        write: Write::No,
    },
];

/// Capacity of the tables of buffers and mappings together.
const ENTRIES_IN_ALL: usize = MAX_BUFFERS + MAX_MAPPINGS;

/// Prints like `dump_show`: driver, device, type, hash index, physical address, frame, device
/// address, length, cache line number, direction, and if the driver has checked the mapping for
/// errors, which cannot be left out here.
fn dump(out: &mut dyn fmt::Write, dma: &Dma) -> fmt::Result {
    let mut line = |device, kind, start: DeviceAddress, bytes: u32, direction: &str, error: &str| {
        let address = start.bits();
        let name = dma.device(device).map_or("", |device| device.name);
        let (index, frame, cache_line) = ((address >> 13) & 0x3fff, address >> 12, address / LINE_BYTES);
        writeln!(
            out,
            "debris {name} {kind} idx {index} P={address:x} N={frame:x} D={address:x} L={bytes:x} cln={cache_line:#010x} \
             {direction} {error}"
        )
    };
    for buffer in dma.buffers() {
        let (device, at) = (buffer.device, buffer.device_address);
        line(device, "coherent", at, buffer.bytes, "DMA_BIDIRECTIONAL", "dma map error check not applicable")?;
    }
    for mapped in dma.mappings() {
        let (kind, direction) = (mapped.kind.name(), mapped.direction.name());
        line(mapped.device, kind, mapped.start, mapped.bytes, direction, "dma map error checked")?;
    }
    Ok(())
}
