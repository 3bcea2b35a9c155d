//! `/sys/kernel/debug/dma-api`: mappings and buffers in the format of Linux's `kernel/dma/debug.c`.

use core::fmt::{self, Write};

use crate::dma::{DeviceAddress, Dma, LINE_BYTES, MAX_BUFFERS, MAX_MAPPINGS};

/// A file of the directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::monitor) enum DmaApi {
    Disabled,
    Dump,
    ErrorCount,
    MinFreeEntries,
    NrTotalEntries,
    NumFreeEntries,
}

impl DmaApi {
    pub(super) const ALL: [Self; 6] = [
        Self::Disabled,
        Self::Dump,
        Self::ErrorCount,
        Self::MinFreeEntries,
        Self::NrTotalEntries,
        Self::NumFreeEntries,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Dump => "dump",
            Self::ErrorCount => "error_count",
            Self::MinFreeEntries => "min_free_entries",
            Self::NrTotalEntries => "nr_total_entries",
            Self::NumFreeEntries => "num_free_entries",
        }
    }

    /// Prints the file. Entries are what the tables have room for, buffers and mappings together.
    pub(super) fn write(self, out: &mut dyn Write, dma: &Dma) -> fmt::Result {
        let total = MAX_BUFFERS + MAX_MAPPINGS;
        let (now, most) = dma.mapping_counts();
        let (buffers_now, buffers_most) = dma.buffer_counts();
        match self {
            Self::Disabled => writeln!(out, "{}", if dma.checker().is_enabled() { 'N' } else { 'Y' }),
            Self::Dump => dump(out, dma),
            Self::ErrorCount => writeln!(out, "{}", dma.checker().errors()),
            Self::MinFreeEntries => writeln!(out, "{}", total - usize::from(most) - buffers_most),
            Self::NrTotalEntries => writeln!(out, "{total}"),
            Self::NumFreeEntries => writeln!(out, "{}", total - usize::from(now) - buffers_now),
        }
    }
}

/// `dump_show`: driver, device, type, hash index, physical address, frame, device address, length, cache line number,
/// direction, and whether the driver has looked at the mapping's error, which nothing here can return unseen.
fn dump(out: &mut dyn Write, dma: &Dma) -> fmt::Result {
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
