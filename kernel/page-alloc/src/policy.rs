// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who may take the pages of CMA areas, and when (`cma_use=`, `lend=`).
//!
//! Everybody who gives out or counts pages asks here: [`Lend::admits`] says whether a request may
//! have CMA pages at all, `Zone::cma_pages_for` which of them it may have at present, and
//! `Zone::first_list` whether it looks there first.

use super::frame::Frame;
use super::zone::Zone;
use super::{MAX_PAGE_ORDER, Migratetype};
use units::Pfn;

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

impl Zone<'_> {
    /// Chooses when movable requests take CMA pages.
    pub fn set_cma_use(&mut self, cma_use: CmaUse) {
        self.cma_use = cma_use;
        self.set_cma_lead();
    }

    /// Works out when a movable request prefers CMA pages: so that it is one comparison for each
    /// request.
    fn set_cma_lead(&mut self) {
        self.cma_lead = match self.cma_use {
            _ if self.cma_barred => i32::MAX,
            // More than half of what is free.
            CmaUse::Half => 0,
            CmaUse::First => i32::MIN,
            CmaUse::Fallback => i32::MAX,
        };
    }

    /// Keeps everybody out of the areas, or lets movable requests in again.
    pub fn bar_cma(&mut self, barred: bool) {
        (self.cma_barred, self.barred_area) = (barred, None);
        self.set_cma_lead();
    }

    /// Keeps everybody out of one area while a contiguous allocation in it runs (the second cure of
    /// `cma_use=first`).
    ///
    /// Where everybody is kept out of all areas, that stays so.
    pub fn bar_area(&mut self, first: Pfn, pages: u32) {
        if self.cma_barred {
            return;
        }
        let (start, end) = (self.frame(first), self.frame(first) + pages);
        let blocks = (0..=MAX_PAGE_ORDER).flat_map(|order| {
            let inside = self.lists.iter(order, Migratetype::Cma).filter(move |block| (start..end).contains(block));
            inside.map(move |_| 1 << order)
        });
        let free = blocks.sum();
        self.barred_area = Some(BarredArea { start, end, free });
        self.cma_barred = true;
        self.set_cma_lead();
    }

    /// Lets everybody in again.
    pub fn unbar_area(&mut self) {
        if self.barred_area.take().is_some() {
            self.cma_barred = false;
            self.set_cma_lead();
        }
    }

    /// A page for a movable request while an area is barred: of another area, and else of no area.
    ///
    /// It goes past the per-CPU list, which may hold pages of the barred one.
    #[cold]
    pub(super) fn rmqueue_around(&mut self, area: BarredArea) -> Option<Frame> {
        let other = (0..=MAX_PAGE_ORDER).find_map(|order| {
            let mut blocks = self.lists.iter(order, Migratetype::Cma);
            blocks.find(|block| !(area.start..area.end).contains(block)).map(|block| (order, block))
        });
        let Some((order, index)) = other else { return self.rmqueue(Migratetype::Movable, false) };
        self.lists.unlink(index);
        self.expand(index, 0, order, Migratetype::Cma);
        self.count_taken(1, Migratetype::Cma);
        self.verify_poison(self.pfn(index), 1);
        Some(index)
    }

    /// True where somebody is kept out of some area.
    pub fn is_cma_barred(&self) -> bool {
        self.cma_barred
    }

    /// When movable requests take CMA pages.
    pub fn cma_use(&self) -> CmaUse {
        self.cma_use
    }

    /// True for a page of an area.
    pub fn is_cma(&self, frame: Pfn) -> bool {
        let index = self.frame(frame);
        self.spans(index) && self.pageblock(index) == Migratetype::Cma
    }

    /// Which CMA pages a request may take at present. `lent`: whether it may have any (see
    /// [`Lend::admits`]).
    #[inline(always)]
    pub(super) fn cma_pages_for(&self, migratetype: Migratetype, lent: bool) -> CmaPages {
        if migratetype != Migratetype::Movable || !lent {
            CmaPages::None
        } else if !self.cma_barred {
            CmaPages::All
        } else {
            self.barred_area.map_or(CmaPages::None, CmaPages::Around)
        }
    }

    /// The type whose lists a request looks at first (`__rmqueue`): CMA for a movable one that may
    /// have CMA pages, as long as enough of them are free and nobody is kept out.
    #[inline(always)]
    pub(super) fn first_list(&self, migratetype: Migratetype, lent: bool) -> Migratetype {
        let [others, cma, _] = self.free;
        let cma_leads = cma as i32 - others as i32 > self.cma_lead;
        if migratetype == Migratetype::Movable && lent && cma_leads { Migratetype::Cma } else { migratetype }
    }
}
