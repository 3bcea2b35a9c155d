//! How full and how fragmented an area is, in pages.

use core::fmt;

use super::record::permille;
use crate::cma::area::Area;

/// A look at an area's bitmap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metrics {
    /// Pages taken.
    pub used: u32,
    /// Pages free.
    pub free: u32,
    /// How many runs the free pages lie in.
    pub free_runs: u32,
    /// Length of the longest of them, in pages.
    pub longest: u32,
}

impl Metrics {
    /// Counts an area.
    pub fn of(area: &Area) -> Self {
        let bitmap = area.bitmap();
        Self {
            used: area.used_pages(),
            free: area.free_pages(),
            free_runs: bitmap.free_runs(),
            longest: bitmap.longest_free_run() << area.order_per_bit(),
        }
    }

    /// 1000·(1 − longest/free), floored; 0 when nothing is free.
    pub fn frag_permille(&self) -> u32 {
        permille(self.free.saturating_sub(self.longest), self.free)
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} pages used, {} free in {} {}, longest free run {} pages ({} KiB)",
            self.used,
            self.free,
            self.free_runs,
            if self.free_runs == 1 { "run" } else { "runs" },
            self.longest,
            u64::from(self.longest) * 4
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragmentation() {
        let metrics = |free, longest| Metrics { used: 0, free, free_runs: 1, longest }.frag_permille();
        assert_eq!((metrics(0, 0), metrics(664, 44), metrics(5, 5)), (0, 933, 0));
    }
}
