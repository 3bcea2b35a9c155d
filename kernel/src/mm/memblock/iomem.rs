//! The memory map as people read it, in the form of Linux's `/proc/iomem`.

use core::fmt;

use super::Memblock;
use crate::notes::Words;
use crate::units::PhysRange;

/// How deep regions are shown inside each other; what nests deeper is shown at this depth.
const MAX_DEPTH: usize = 4;

/// [`Memblock`] in the form of `/proc/iomem`: RAM with the regions in it indented below it, and the regions outside of
/// RAM between, in the order of their addresses. Addresses include the last byte.
pub struct Iomem<'a>(pub(super) &'a Memblock);

impl fmt::Display for Iomem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap_start = 0;
        for ram in self.0.ram() {
            self.regions(f, 0, PhysRange { start: gap_start, end: ram.start })?;
            line(f, 0, ram, "System RAM")?;
            self.regions(f, 1, *ram)?;
            gap_start = ram.end;
        }
        self.regions(f, 0, PhysRange { start: gap_start, end: u64::MAX })
    }
}

impl Iomem<'_> {
    /// The regions in a window, as far as they lie in it. A region inside another is indented below it; two that cross
    /// stand side by side.
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
