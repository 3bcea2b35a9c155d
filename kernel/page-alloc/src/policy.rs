// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who may take the pages of CMA areas, and when (`cma_use=`, `lend=`).
//!
//! Everybody who gives out or counts pages asks here: [`Lend::admits`] says whether a request may
//! have CMA pages at all, `CmaAccess::pages_for` which of them it may have at present, and
//! `CmaAccess::first_list` whether it looks there first.

use super::Migratetype;
use super::frame::Frame;

/// When movable requests take CMA pages.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum CmaUse {
    /// As the last resort, when nothing else is left but stealing (Linux before 2020).
    Fallback,
    /// First when more than half of the free memory is CMA, last otherwise (Linux since 2020).
    #[default]
    Half,
    /// First of all (CMA_AGGRESSIVE), with two cures: memory is freed before a large contiguous
    /// allocation starts, and while one runs no page is taken from its area.
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
    /// Only what can be dropped without being copied or written: clean pages of the cache (GCMA's
    /// idea).
    Clean,
    /// Nobody's: the areas stand free until they are allocated from.
    None,
}

impl Lend {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Movable, Self::Clean, Self::None];

    /// True where a request may have CMA pages: a movable one. `clean`: its page can be dropped as
    /// it is.
    #[inline]
    pub fn admits(self, migratetype: Migratetype, clean: bool) -> bool {
        let lent = match self {
            Self::Movable => true,
            Self::Clean => clean,
            Self::None => false,
        };
        lent && migratetype == Migratetype::Movable
    }

    /// The word of `lend=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Movable => "movable",
            Self::Clean => "clean",
            Self::None => "none",
        }
    }
}

/// Which CMA pages a request may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CmaPages {
    /// None.
    None,
    /// Those of all areas but one.
    Around(BarredArea),
    /// All.
    All,
}

/// An area from which nobody gets pages for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BarredArea {
    /// Its frames.
    pub(super) start: Frame,
    pub(super) end: Frame,
    /// How many of its pages counted as free when it was barred.
    pub(super) free: u32,
}

/// Who may take CMA pages at present: the policy, and who is kept out meanwhile.
#[derive(Default)]
pub(super) struct CmaAccess {
    /// When movable requests take CMA pages.
    pub(super) cma_use: CmaUse,
    /// No request takes CMA pages while this is set.
    pub(super) barred: bool,
    /// A movable request takes CMA pages first while free CMA pages exceed all other free pages by
    /// more than this. What follows from the policy and the bar.
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

    /// Works out when a movable request prefers CMA pages: so that it is one comparison for each
    /// request.
    fn set_lead(&mut self) {
        self.lead = match self.cma_use {
            _ if self.barred => i32::MAX,
            // More than half of what is free.
            CmaUse::Half => 0,
            CmaUse::First => i32::MIN,
            CmaUse::Fallback => i32::MAX,
        };
    }

    /// Keeps everybody out of the areas, or of one of them, or lets movable requests in again.
    pub(super) fn bar(&mut self, barred: bool, area: Option<BarredArea>) {
        (self.barred, self.area) = (barred, area);
        self.set_lead();
    }

    /// Lets everybody in again where one area is barred.
    pub(super) fn unbar_area(&mut self) {
        if self.area.is_some() {
            self.bar(false, None);
        }
    }

    /// Which CMA pages a request may take at present. `lent`: whether it may have any (see
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

    /// The type whose lists a request looks at first (`__rmqueue`): CMA for a movable one that may
    /// have CMA pages, as long as enough of them are free and nobody is kept out. `free`: the
    /// zone's free pages by kind.
    #[inline(always)]
    pub(super) fn first_list(&self, [others, cma, _]: [u32; 3], migratetype: Migratetype, lent: bool) -> Migratetype {
        let cma_leads = cma as i32 - others as i32 > self.lead;
        if migratetype == Migratetype::Movable && lent && cma_leads { Migratetype::Cma } else { migratetype }
    }
}
