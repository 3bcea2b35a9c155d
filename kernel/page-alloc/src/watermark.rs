// SPDX-License-Identifier: MIT OR Apache-2.0

//! Watermarks: how many pages have to stay free (`mm/page_alloc.c`). `Zone::watermark_ok` compares
//! the free pages with one.

/// The watermarks, in pages. Above `high` there is no reclaim; below `low` the background reclaims;
/// below `min` a request has to reclaim by itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Watermarks {
    /// Ordinary requests leave at least this many pages free.
    pub min: u32,
    /// Background reclaim starts below this.
    pub low: u32,
    /// Background reclaim ends above this.
    pub high: u32,
}

/// Values that follow from the zone's size, computed once.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Reserve {
    pub(super) marks: Watermarks,
    /// Pages that move between a per-CPU list and the buddy allocator at a time.
    pub(super) batch: u32,
    /// Pages on a per-CPU list above which a batch goes back.
    pub(super) high_on_list: u32,
}

impl Reserve {
    /// Computes the values for a zone of `managed` managed pages.
    ///
    /// Watermarks (`__setup_per_zone_wmarks`): `min` is 4·√(kB of memory) kB, from 128 kB to 256
    /// MiB, and the steps above are a quarter of it, or a thousandth of the zone where that is
    /// more. Batches (`zone_batchsize`): a thousandth of the zone, at most 1 MiB, a quarter of
    /// that, and one less than a power of two; a list holds `low` (`zone_highsize`).
    pub(super) fn of(managed: u32) -> Self {
        let min_kb = managed.saturating_mul(4).saturating_mul(16).isqrt().clamp(128, 262_144);
        let min = (min_kb / 4).min(managed / 4);
        let step = (min / 4).max(managed / 1000);
        let marks = Watermarks { min, low: min + step, high: min + 2 * step };
        let quarter = ((managed >> 10).min(256) / 4).max(1);
        let batch = ((1 << (quarter + quarter / 2).ilog2()) - 1).max(1);
        Self { marks, batch, high_on_list: marks.low.max(batch * 4) }
    }
}
