// SPDX-License-Identifier: MIT OR Apache-2.0

//! Use and fragmentation of an area, in pages.

use core::fmt;

use super::record::{Record, permille};
use cma::area::Area;
use units::PAGE_SIZE;

/// Counts of an area's bitmap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metrics {
    /// Pages in use.
    pub used: u32,
    /// Pages free.
    pub free: u32,
    /// Number of free runs.
    pub free_runs: u32,
    /// Length of the longest free run, in pages.
    pub longest: u32,
}

impl Metrics {
    /// Counts an area's pages and runs.
    pub fn of(area: &Area) -> Self {
        let bitmap = area.bitmap();
        Self {
            used: area.used_pages(),
            free: area.free_pages(),
            free_runs: bitmap.free_runs(),
            longest: bitmap.longest_free_run() << area.order_per_bit(),
        }
    }

    /// Adds its fields to a record.
    pub fn record(&self, record: Record) -> Record {
        record
            .number("used", self.used)
            .number("free", self.free)
            .number("maxchunk", self.longest)
            .number("free_runs", self.free_runs)
            .number("frag_permille", self.frag_permille())
    }

    /// Returns 1000·(1 − longest/free), floored; 0 if no page is free.
    pub fn frag_permille(&self) -> u32 {
        permille(self.free.saturating_sub(self.longest), self.free)
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} used, {} free in {}, longest free run {} ({} KiB)",
            Counted(self.used.into(), "page"),
            self.free,
            Counted(self.free_runs.into(), "run"),
            Counted(self.longest.into(), "page"),
            u64::from(self.longest) * PAGE_SIZE / 1024
        )
    }
}

/// A number with its noun: `1 page`, `2 pages`.
#[derive(Clone, Copy, Debug)]
pub struct Counted(pub u64, pub &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, noun) = self;
        write!(f, "{number} {noun}{}", if *number == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn fragmentation() {
        let metrics = |free, longest| Metrics { used: 0, free, free_runs: 1, longest }.frag_permille();
        assert_eq!((metrics(0, 0), metrics(664, 44), metrics(5, 5)), (0, 933, 0));
    }

    #[test]
    fn one_and_many() {
        let text = Metrics { used: 1, free: 2, free_runs: 1, longest: 1 }.to_string();
        assert_eq!(text, "1 page used, 2 free in 1 run, longest free run 1 page (4 KiB)");
        assert_eq!(Counted(0, "run").to_string(), "0 runs");
    }
}
