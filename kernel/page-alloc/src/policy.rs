// SPDX-License-Identifier: MIT OR Apache-2.0

//! The requests that may take pages of CMA areas, and when (`cma_use=`, `lend=`).
//!
//! All code that hands out or counts pages uses this: [`Lend::admits`] says if a request may have
//! CMA pages at all, `CmaAccess::pages_for` which of them it may have at present, and
//! `CmaAccess::first_list` if it takes those first.

use super::Migratetype;
use super::frame::Frame;

/// When movable requests take CMA pages.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum CmaUse {
    /// As the last resort before stealing (Linux before 2020).
    Fallback,
    /// First when more than half of the free memory is CMA, last otherwise (Linux since 2020).
    #[default]
    Half,
    /// Always first (CMA_AGGRESSIVE), with two countermeasures: memory is freed before a large
    /// contiguous allocation starts, and while one runs no page is taken from its area.
    First,
}

impl CmaUse {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Half, Self::Fallback, Self::First];

    /// The value of `cma_use=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fallback => "fallback",
            Self::Half => "half",
            Self::First => "first",
        }
    }
}

/// The pages that may enter the areas.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Lend {
    /// Everything that can be moved or dropped (Linux).
    #[default]
    Movable,
    /// Only pages that can be dropped without being copied or written: clean pages of the cache
    /// (GCMA's idea).
    Clean,
    /// No pages: the areas stay free until they are allocated from.
    None,
}

impl Lend {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Movable, Self::Clean, Self::None];

    /// True if a request may have CMA pages: it has to be movable. `clean`: its page can be dropped
    /// without writeback.
    #[inline]
    pub fn admits(self, migratetype: Migratetype, clean: bool) -> bool {
        let lent = match self {
            Self::Movable => true,
            Self::Clean => clean,
            Self::None => false,
        };
        lent && migratetype == Migratetype::Movable
    }

    /// The value of `lend=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Movable => "movable",
            Self::Clean => "clean",
            Self::None => "none",
        }
    }
}

/// The CMA pages that a request may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CmaPages {
    /// None.
    None,
    /// Those of all areas but one.
    Around(BarredArea),
    /// All.
    All,
}

/// An area that is barred: requests get no pages from it for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BarredArea {
    /// The first frame, and the one after the last.
    pub(super) start: Frame,
    pub(super) end: Frame,
    /// The number of its pages that counted as free when it was barred.
    pub(super) free: u32,
}

/// Access to CMA pages at present: the policy, and the bar.
#[derive(Default)]
pub(super) struct CmaAccess {
    /// When movable requests take CMA pages.
    pub(super) cma_use: CmaUse,
    /// No request takes CMA pages while this is set.
    pub(super) barred: bool,
    /// A movable request takes CMA pages first while free CMA pages exceed all other free pages by
    /// more than this. Derived from the policy and the bar.
    lead: i32,
    /// If set, `barred` bars this area only; `None` bars all areas.
    area: Option<BarredArea>,
}

impl CmaAccess {
    /// Chooses when movable requests take CMA pages.
    pub(super) fn set_cma_use(&mut self, cma_use: CmaUse) {
        self.cma_use = cma_use;
        self.set_lead();
    }

    /// Computes when a movable request takes CMA pages first, so that each request needs one
    /// comparison.
    fn set_lead(&mut self) {
        self.lead = match self.cma_use {
            _ if self.barred => i32::MAX,
            // More than half of the free pages.
            CmaUse::Half => 0,
            CmaUse::First => i32::MIN,
            CmaUse::Fallback => i32::MAX,
        };
    }

    /// Sets or clears the bar, which is for all areas if `area` is `None`.
    pub(super) fn bar(&mut self, barred: bool, area: Option<BarredArea>) {
        (self.barred, self.area) = (barred, area);
        self.set_lead();
    }

    /// Clears the bar if it is for one area.
    pub(super) fn unbar_area(&mut self) {
        if self.area.is_some() {
            self.bar(false, None);
        }
    }

    /// The CMA pages that a request may take at present. `lent`: it may have CMA pages (see
    /// [`Lend::admits`]).
    #[inline(always)]
    pub(super) fn pages_for(&self, migratetype: Migratetype, lent: bool) -> CmaPages {
        if migratetype != Migratetype::Movable || !lent {
            CmaPages::None
        } else if !self.barred {
            CmaPages::All
        } else {
            self.area.map_or(CmaPages::None, CmaPages::Around)
        }
    }

    /// The type whose lists a request looks at first (`__rmqueue`): CMA for a movable request that
    /// may have CMA pages, while enough of them are free and none are barred. `free`: the zone's
    /// free pages by kind.
    #[inline(always)]
    pub(super) fn first_list(&self, [others, cma, _]: [u32; 3], migratetype: Migratetype, lent: bool) -> Migratetype {
        let cma_leads = cma as i32 - others as i32 > self.lead;
        if migratetype == Migratetype::Movable && lent && cma_leads { Migratetype::Cma } else { migratetype }
    }
}
