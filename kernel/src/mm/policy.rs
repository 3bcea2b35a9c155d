//! Who may use the pages that CMA areas lend, and when (`cma_use=`, `lend=`).

use super::Migratetype;
use super::zone::Zone;
use crate::units::Pfn;

/// When movable requests take CMA pages.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum CmaUse {
    /// As the last resort, when nothing else is left but stealing (Linux before 2020).
    Fallback,
    /// First when more than half of the free memory is CMA, last otherwise (Linux since 2020).
    #[default]
    Half,
    /// First of all (CMA_AGGRESSIVE), with two cures: memory is freed before a large contiguous allocation starts, and
    /// while one runs no page is taken from an area.
    First,
}

impl CmaUse {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Half, Self::Fallback, Self::First];

    /// The word of `cma_use=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fallback => "fallback",
            Self::Half => "half",
            Self::First => "first",
        }
    }
}

/// Whose pages may enter the areas.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Lend {
    /// Everything that can be moved or dropped (Linux).
    #[default]
    Movable,
    /// Only what can be dropped without being copied or written: clean pages of the cache (GCMA's idea).
    Clean,
    /// Nobody's: the areas stand free until they are allocated from.
    None,
}

impl Lend {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Movable, Self::Clean, Self::None];

    /// The word of `lend=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Movable => "movable",
            Self::Clean => "clean",
            Self::None => "none",
        }
    }
}

impl Zone<'_> {
    /// Chooses when movable requests take CMA pages.
    pub fn set_cma_use(&mut self, cma_use: CmaUse) {
        self.cma_use = cma_use;
    }

    /// Keeps everybody out of the areas, or lets movable requests in again.
    ///
    /// Returns whether it was so before.
    pub(crate) fn bar_cma(&mut self, barred: bool) -> bool {
        core::mem::replace(&mut self.cma_barred, barred)
    }

    /// When movable requests take CMA pages.
    pub fn cma_use(&self) -> CmaUse {
        self.cma_use
    }

    /// True for a page of an area.
    pub fn is_cma(&self, frame: Pfn) -> bool {
        let index = self.index(frame);
        index < self.spanned_pages() && self.pageblock(index) == Migratetype::Cma
    }

    /// True where a movable request takes CMA pages before any other (`__rmqueue`).
    #[inline]
    pub(super) fn prefers_cma(&self) -> bool {
        match self.cma_use {
            CmaUse::Half => self.nr_free_cma > self.nr_free / 2,
            CmaUse::First => true,
            CmaUse::Fallback => false,
        }
    }
}
