// SPDX-License-Identifier: MIT OR Apache-2.0

//! The debris load on areas of other sizes, scaled so that it fills them as much as the published
//! one fills 8 MiB.

use core::fmt;

use super::sizes::{SLOTS, Slots};

/// Pages of the area of the published load.
const PUBLISHED_PAGES: u32 = 2048;
/// Maximum number of slots: enough for 768 MiB; the table takes a third of the heap.
pub const MAX_SLOTS: u32 = 96 * 256;

/// Scaling of a load to its area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scale {
    /// The published slots.
    None,
    /// More slots of the published sizes, in proportion to the area.
    Slots,
    /// The published slots, larger in proportion to the area.
    Sizes,
    /// Slots larger by d, and more of them by the remaining factor: d is the largest divisor, up to
    /// the square root, of the area's size in units of 8 MiB.
    Both,
    /// This number of slots of the published sizes, for any area.
    Count(u32),
}

impl Scale {
    /// The values of `scale=`, the default first.
    pub const NAMES: &'static [&'static str] = &["none", "slots", "sizes", "both"];

    /// Returns the scale for one of [`Scale::NAMES`].
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "slots" => Some(Self::Slots),
            "sizes" => Some(Self::Sizes),
            "both" => Some(Self::Both),
            _ => None,
        }
    }

    /// Returns the slots for an area of `pages` pages.
    pub fn slots(self, pages: u32) -> Slots {
        let all = SLOTS as u32;
        let larger = (pages / PUBLISHED_PAGES).max(1);
        let filling = |times: u32| {
            let count = u64::from(all) * u64::from(pages) / u64::from(PUBLISHED_PAGES) / u64::from(times);
            Slots { count: count.clamp(1, MAX_SLOTS.into()) as u32, times }
        };
        match self {
            Self::None => Slots { count: all, times: 1 },
            Self::Slots => filling(1),
            Self::Sizes => Slots { count: all, times: larger },
            // With a divisor the fill level stays the same on a multiple of 8 MiB.
            Self::Both => filling((1..=larger.isqrt()).rev().find(|&times| larger.is_multiple_of(times)).unwrap_or(1)),
            Self::Count(count) => Slots { count: count.clamp(1, MAX_SLOTS), times: 1 },
        }
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Slots => "slots",
            Self::Sizes => "sizes",
            Self::Both => "both",
            Self::Count(_) => "count",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sizes::SLOT_PAGES;

    #[test]
    fn the_filling_stays() {
        for name in Scale::NAMES {
            let scale = Scale::named(name).expect("a listed name");
            assert_eq!(scale.slots(2048), Slots { count: 255, times: 1 }, "{name} is the published load on 8 MiB");
            assert_eq!(std::format!("{scale}"), *name);
        }
        let scales = [Scale::Slots, Scale::Sizes, Scale::Both];
        for (scale, pages) in scales.into_iter().flat_map(|scale| [8192, 131_072].map(|pages| (scale, pages))) {
            let slots = scale.slots(pages);
            let sum: u32 = (0..slots.count as usize).map(|slot| slots.pages(slot)).sum();
            assert_eq!(u64::from(sum), 2224 * u64::from(pages) / 2048, "{scale}");
        }
        assert_eq!(Scale::Both.slots(131_072), Slots { count: 8 * 255, times: 8 });
        assert_eq!(Scale::Both.slots(96 * 2048), Slots { count: 12 * 255, times: 8 });
        assert_eq!(Scale::Both.slots(1), Slots { count: 1, times: 1 });
        assert_eq!(Scale::Slots.slots(1), Slots { count: 1, times: 1 });
        assert_eq!(Scale::Sizes.slots(1024), Slots { count: 255, times: 1 });
        assert_eq!(Scale::Count(u32::MAX).slots(2048).count, MAX_SLOTS);
        assert_eq!(Scale::Count(300).slots(2048).pages(299), u32::from(SLOT_PAGES[44]));
    }
}
