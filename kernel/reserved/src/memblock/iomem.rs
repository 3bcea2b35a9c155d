// SPDX-License-Identifier: MIT OR Apache-2.0

//! The memory map as text, in the form of Linux's `/proc/iomem`.

use core::fmt;

use super::{Memblock, RegionKind};
use units::PhysRange;
use units::notes::Words;

/// Maximum depth of nested regions; those deeper are shown at this depth.
const MAX_DEPTH: usize = 4;

/// [`Memblock`] in the form of `/proc/iomem`: RAM with its regions indented below it, and the
/// regions outside RAM between, in address order. A `no-map` region is not System RAM
/// (`request_standard_resources`). Addresses include the last byte.
pub struct Iomem<'a>(pub(super) &'a Memblock);

impl fmt::Display for Iomem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap_start = 0;
        for ram in self.0.ram() {
            let mut start = ram.start;
            while start < ram.end {
                let rest = PhysRange { start, end: ram.end };
                let unmapped = self.0.reserved().iter().filter(|region| region.kind == RegionKind::NoMap);
                let hole = unmapped.map(|region| region.range).find(|range| range.overlaps(&rest));
                let end = hole.map_or(ram.end, |hole| hole.start.max(start));
                if start < end {
                    let piece = PhysRange { start, end };
                    self.regions(f, 0, PhysRange { start: gap_start, end: start })?;
                    line(f, 0, &piece, "System RAM")?;
                    self.regions(f, 1, piece)?;
                    gap_start = end;
                }
                start = hole.map_or(ram.end, |hole| hole.end);
            }
        }
        self.regions(f, 0, PhysRange { start: gap_start, end: u64::MAX })
    }
}

impl Iomem<'_> {
    /// Writes the regions that overlap a window, cut to it. A region inside another is indented
    /// below it; two that overlap in part have the same indent.
    fn regions(&self, f: &mut fmt::Formatter<'_>, indent: usize, window: PhysRange) -> fmt::Result {
        let mut ends = [0; MAX_DEPTH];
        let mut depth = 0;
        for region in self.0.reserved().iter().filter(|region| region.range.overlaps(&window)) {
            let start = region.range.start.max(window.start);
            let end = region.range.end.min(window.end);
            while depth > 0 && ends[depth - 1] < end {
                depth -= 1;
            }
            line(f, indent + depth, &PhysRange { start, end }, &region.name)?;
            if depth < MAX_DEPTH {
                ends[depth] = end;
                depth += 1;
            }
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, depth: usize, range: &PhysRange, name: &str) -> fmt::Result {
    let last = range.end - 1;
    writeln!(f, "{:width$}{:08x}-{last:08x} : {}", "", range.start, Words(name), width = 2 * depth)
}
