// SPDX-License-Identifier: MIT OR Apache-2.0

//! The areas of a machine: the list of them, the choice of an area for a request, and allocation
//! from free pages (`cma_alloc` and `cma_release` of `mm/cma.c`, with `&mut` for the locks).
//!
//! Invariants: a buffer is handed out only after its bits are set and its pages are out of the page
//! allocator; a refused request changes at most the counters of failures.

use alloc::string::String;
use alloc::vec::Vec;

use super::area::Area;
use super::blocked::{Blocked, Owner, Phase, Why};
use super::{AreaId, Buffer, CmaError, ReleaseError};
use page_alloc::zone::Zone;
use units::{MAX_CMA_AREAS, Pfn};

/// A device that names an area.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AreaUser {
    /// The name of its node.
    pub device: String,
    /// The area's name.
    pub area: String,
    /// It names the area by `memory-region`: without that region its driver fails
    /// (`of_reserved_mem_device_init`).
    pub by_region: bool,
}

/// The areas, in the order they were activated.
#[derive(Default)]
pub struct Areas {
    list: Vec<Area>,
    default: Option<AreaId>,
    /// The default area exists only because none was asked for.
    default_unasked: bool,
    users: Vec<AreaUser>,
}

impl Areas {
    /// Makes an empty list of areas; `users` are the devices that name areas.
    pub fn new(users: Vec<AreaUser>) -> Self {
        Self { list: Vec::with_capacity(MAX_CMA_AREAS), users, ..Self::default() }
    }

    /// Activates an area: its pageblocks become MIGRATE_CMA and their pages free
    /// (`cma_activate_area`).
    ///
    /// The range must be in the zone, consist of whole pageblocks, and be unused. At most
    /// [`MAX_CMA_AREAS`] calls are allowed.
    pub fn activate(&mut self, zone: &mut Zone<'_>, name: String, base: Pfn, pages: u32, default: bool) -> AreaId {
        assert!(self.list.len() < MAX_CMA_AREAS, "no more than MAX_CMA_AREAS areas are placed");
        let id = AreaId(self.list.len() as u8);
        zone.free_cma_range(base, pages);
        self.list.push(Area::new(name, base, pages, 0));
        if default {
            self.default = Some(id);
        }
        id
    }

    /// Returns all areas, in the order they were activated.
    pub fn list(&self) -> &[Area] {
        &self.list
    }

    /// Returns an area.
    #[inline]
    pub fn get(&self, id: AreaId) -> &Area {
        &self.list[id.0 as usize]
    }

    /// Returns an area, to change its placement and its counters.
    #[inline]
    pub fn get_mut(&mut self, id: AreaId) -> &mut Area {
        &mut self.list[id.0 as usize]
    }

    /// Returns the identifiers of all areas.
    pub fn ids(&self) -> impl Iterator<Item = AreaId> + use<> {
        (0..self.list.len() as u8).map(AreaId)
    }

    /// Returns the area with a name.
    pub fn find(&self, name: &str) -> Option<AreaId> {
        self.ids().find(|&id| self.get(id).name() == name)
    }

    /// Returns the area of requests that name none.
    pub fn default_area(&self) -> Option<AreaId> {
        self.default
    }

    /// Records that the default area exists although neither the tree nor the command line asked
    /// for one.
    pub fn set_default_unasked(&mut self) {
        self.default_unasked = true;
    }

    /// Returns the area for commands that name none: one that a device names, else the default
    /// area, else the first. A default area that was not asked for comes last, whatever its index.
    pub fn unnamed(&self) -> Option<AreaId> {
        let asked = self.default.filter(|_| !self.default_unasked);
        let first = self.ids().find(|&id| self.default != Some(id));
        self.named_by_device().or(asked).or(first).or(self.default)
    }

    /// Returns the first existing area that a device names.
    pub fn named_by_device(&self) -> Option<AreaId> {
        self.users.iter().find_map(|user| self.find(&user.area))
    }

    /// Returns the area of a device: the first existing one of those it names.
    pub fn of_device(&self, device: &str) -> Option<AreaId> {
        self.users.iter().filter(|user| user.device == device).find_map(|user| self.find(&user.area))
    }

    /// True if a device names an area by `memory-region`, and none of all that it names exists.
    pub fn region_is_refused(&self, device: &str) -> bool {
        let by_region = self.users.iter().any(|user| user.device == device && user.by_region);
        by_region && self.of_device(device).is_none()
    }

    /// Returns the devices that name an area.
    pub fn users(&self) -> &[AreaUser] {
        &self.users
    }

    /// Allocates `pages` pages aligned to 2^`align_order` pages, without emptying candidates: one
    /// that holds a page in use is skipped.
    ///
    /// # Errors
    /// See [`CmaError`]; at most the counters of failures change.
    pub fn alloc(&mut self, zone: &mut Zone<'_>, id: AreaId, pages: u32, align_order: u32) -> Result<Buffer, CmaError> {
        let area = self.get_mut(id);
        let request = area.request(pages, align_order)?;
        let mut candidate = area.place(&request);
        let (mut blocked, mut swept) = (None, false);
        while let Some(bit) = candidate {
            match area.take_free(zone, id, &request, pages, bit) {
                Ok(buffer) => return Ok(buffer),
                Err(busy) => blocked.get_or_insert(busy.frame),
            };
            candidate = area.place_behind(&request, bit, &mut swept);
        }
        area.count_failure(pages);
        Err(match blocked {
            Some(frame) => {
                CmaError::Busy(Blocked { frame, owner: Owner::Kernel, why: Why::Unmovable, phase: Phase::Isolate })
            }
            None => area.shortage(pages),
        })
    }

    /// Releases a buffer; all its bits have to be set.
    ///
    /// # Errors
    /// See [`ReleaseError`]; nothing is changed.
    #[inline(always)]
    pub fn release(&mut self, zone: &mut Zone<'_>, buffer: &Buffer) -> Result<(), ReleaseError> {
        let area = &mut self.list[buffer.area().0 as usize];
        area.release(buffer.first(), buffer.pages())?;
        area.stats.release_pages_success += u64::from(buffer.pages());
        zone.give_range(buffer.first(), buffer.pages());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use page_alloc::zone::descriptors;
    use page_alloc::{Migratetype, PAGEBLOCK_PAGES, Page};
    use std::vec;

    fn with_area(test: impl FnOnce(&mut Areas, &mut Zone<'_>, AreaId)) {
        let mut pages = vec![Page::default(); descriptors(2 * PAGEBLOCK_PAGES)];
        let mut zone = Zone::new(Pfn(0x60000), &mut pages);
        let mut areas = Areas::default();
        let id = areas.activate(&mut zone, "camera".into(), Pfn(0x60000), 2 * PAGEBLOCK_PAGES, true);
        test(&mut areas, &mut zone, id);
        areas.get(id).check(&zone).unwrap();
        zone.check().unwrap();
    }

    /// A movable page in use at the lowest candidate makes the search take the next one; the bits
    /// of the lowest stay clear.
    #[test]
    fn a_candidate_in_use_is_passed_over() {
        with_area(|areas, zone, id| {
            let user = zone.alloc_pages(0, Migratetype::Movable).unwrap();
            let offset = user.first().0 - 0x60000;
            let buffer = areas.alloc(zone, id, PAGEBLOCK_PAGES, 10).unwrap();
            assert_ne!(buffer.first().0 >> 10, user.first().0 >> 10);
            assert_eq!(areas.get(id).used_pages(), PAGEBLOCK_PAGES);
            let error = areas.alloc(zone, id, PAGEBLOCK_PAGES, 10).unwrap_err();
            assert!(
                matches!(error, CmaError::Busy(Blocked { frame, .. }) if frame == user.first()),
                "{offset} {error}"
            );
            assert_eq!(areas.get(id).stats().alloc_fail, 1);
            areas.release(zone, &buffer).unwrap();
            zone.free_pages(user);
        });
    }

    #[test]
    fn what_cannot_be_served_changes_nothing() {
        with_area(|areas, zone, id| {
            let buffer = areas.alloc(zone, id, 5, 0).unwrap();
            assert!(matches!(areas.alloc(zone, id, 0, 0), Err(CmaError::Invalid { .. })));
            assert_eq!(areas.alloc(zone, id, 4000, 0), Err(CmaError::Full { free: 2043 }));
            assert_eq!(areas.alloc(zone, id, 2000, 10), Err(CmaError::Fragmented { free: 2043 }));
            assert_eq!(areas.get(id).stats().alloc_fail, 2);
            let twice = Buffer::new(id, buffer.first(), 5);
            areas.release(zone, &buffer).unwrap();
            assert!(matches!(areas.release(zone, &twice), Err(ReleaseError::NotAllocated { .. })));
        });
    }
}
