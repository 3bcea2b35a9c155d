//! The memory system as a whole: the zone, the areas in it, the devices that use them, and the buffers that outlive the
//! command that made them.
//!
//! This is where a request enters (`cma_alloc`) and where it leaves (`cma_release`). Exclusive access (`&mut`) stands for
//! the locks of `mm/cma.c` and `mm/page_alloc.c`: there is one processor, and interrupt handlers do not allocate.

use alloc::string::String;
use alloc::vec::Vec;

use crate::cma::area::Area;
use crate::cma::{AreaId, Buffer, CmaError, MAX_CMA_AREAS, ReleaseError};
use crate::dt::AreaUser;
use crate::mm::zone::Zone;
use crate::mm::{Busy, Imbalance};
use crate::units::Pfn;

/// The page allocator, the CMA areas, and who uses them.
pub struct System<'m> {
    /// The page allocator.
    pub zone: Zone<'m>,
    areas: Vec<Area>,
    default_area: Option<AreaId>,
    area_users: Vec<AreaUser>,
    last_kept: u32,
    /// Invariants are checked after every command (`check=on`).
    pub check_enabled: bool,
}

impl<'m> System<'m> {
    /// A system without areas over a zone that has its free memory.
    pub fn new(zone: Zone<'m>, area_users: Vec<AreaUser>) -> Self {
        let areas = Vec::with_capacity(MAX_CMA_AREAS);
        Self { zone, areas, default_area: None, area_users, last_kept: 0, check_enabled: false }
    }

    /// Activates an area: its pageblocks become MIGRATE_CMA and their pages free (`cma_activate_area`).
    ///
    /// The range lies in the zone, is whole pageblocks, and is in use by nobody; see `mm::reserved`, which places areas.
    /// There are at most [`MAX_CMA_AREAS`] calls.
    pub fn activate_area(&mut self, name: String, base: Pfn, pages: u32, default: bool) -> AreaId {
        assert!(self.areas.len() < MAX_CMA_AREAS, "no more than MAX_CMA_AREAS areas are placed");
        let id = AreaId(self.areas.len() as u8);
        self.zone.free_cma_range(base, pages);
        self.areas.push(Area::new(name, base, pages, 0));
        if default {
            self.default_area = Some(id);
        }
        id
    }

    /// All areas, in the order they were created.
    pub fn areas(&self) -> &[Area] {
        &self.areas
    }

    /// One area.
    pub fn area(&self, id: AreaId) -> &Area {
        &self.areas[id.0 as usize]
    }

    /// One area, to change its placement.
    pub fn area_mut(&mut self, id: AreaId) -> &mut Area {
        &mut self.areas[id.0 as usize]
    }

    /// Every area's identifier.
    pub fn area_ids(&self) -> impl Iterator<Item = AreaId> + use<> {
        (0..self.areas.len() as u8).map(AreaId)
    }

    /// The area of that name.
    pub fn find_area(&self, name: &str) -> Option<AreaId> {
        self.area_ids().find(|&id| self.area(id).name() == name)
    }

    /// The area that requests without one of their own go to.
    pub fn default_area(&self) -> Option<AreaId> {
        self.default_area
    }

    /// The area that the first device which names one names.
    pub fn device_area(&self) -> Option<AreaId> {
        self.area_users.iter().find_map(|user| self.find_area(&user.area))
    }

    /// The devices that name an area.
    pub fn area_users(&self) -> &[AreaUser] {
        &self.area_users
    }

    /// Allocates `pages` contiguous pages aligned to 2^`align_order` pages from an area (`cma_alloc`).
    ///
    /// A candidate that holds a page in use is passed over, and the search goes on behind it.
    ///
    /// # Errors
    /// See [`CmaError`]; the area and the zone are then as they were.
    pub fn cma_alloc(&mut self, id: AreaId, pages: u32, align_order: u32) -> Result<Buffer, CmaError> {
        let area = &mut self.areas[id.0 as usize];
        let request = area.request(pages, align_order)?;
        let mut first_busy = None;
        let mut swept = false;
        let mut candidate = area.place(&request);
        while let Some(bit) = candidate {
            area.reserve(bit, request.bits);
            let first = area.frame(bit);
            match self.zone.take_range(first, pages) {
                Ok(()) => {
                    area.stats.alloc_success += 1;
                    area.stats.alloc_pages_success += u64::from(pages);
                    return Ok(Buffer::new(id, first, pages));
                }
                Err(Busy { frame }) => {
                    let unreserved = area.unreserve(first, pages);
                    debug_assert_eq!(unreserved, Ok(()));
                    first_busy.get_or_insert(frame);
                    candidate = area.place_behind(&request, bit, &mut swept);
                }
            }
        }
        area.stats.alloc_fail += 1;
        area.stats.alloc_pages_fail += u64::from(pages);
        Err(first_busy.map_or_else(|| area.shortage(pages), |frame| CmaError::Busy { frame }))
    }

    /// Takes a buffer back; every bit of it has to be set (`cma_release`).
    ///
    /// # Errors
    /// See [`ReleaseError`]; nothing was changed then.
    pub fn cma_release(&mut self, buffer: Buffer) -> Result<(), ReleaseError> {
        let area = &mut self.areas[buffer.area().0 as usize];
        area.unreserve(buffer.first(), buffer.pages())?;
        self.zone.give_range(buffer.first(), buffer.pages());
        area.stats.release_pages_success += u64::from(buffer.pages());
        Ok(())
    }

    /// Leaves a buffer in the registry, which lies in the page descriptors and therefore has room for all.
    ///
    /// Returns the identifier to take it back by; identifiers count up from 1 over all areas.
    pub fn keep(&mut self, buffer: Buffer) -> u32 {
        self.last_kept = self.last_kept.wrapping_add(1).max(1);
        self.zone.hold(buffer.first(), buffer.pages(), self.last_kept);
        self.last_kept
    }

    /// Takes a buffer out of the registry.
    pub fn take_back(&mut self, id: u32) -> Option<Buffer> {
        let (area, first, pages) = self
            .area_ids()
            .find_map(|area| self.kept(area).find(|kept| kept.0 == id).map(|(_, first, pages)| (area, first, pages)))?;
        self.zone.unhold(first);
        Some(Buffer::new(area, first, pages))
    }

    /// Takes the buffer that begins at a page of an area out of the registry; costs the same however many there are.
    pub fn take_back_at(&mut self, id: AreaId, first: Pfn) -> Option<Buffer> {
        let area = self.area(id);
        if first.0.wrapping_sub(area.base().0) >= area.pages() {
            return None;
        }
        let (_, pages) = self.zone.held(first)?;
        self.zone.unhold(first);
        Some(Buffer::new(id, first, pages))
    }

    /// The buffers of an area that are in the registry, by address: identifier, first page, pages.
    pub fn kept(&self, id: AreaId) -> impl Iterator<Item = (u32, Pfn, u32)> + '_ {
        let mut bit = 0;
        core::iter::from_fn(move || {
            let found = self.next_kept(id, bit)?;
            bit = found.0 + 1;
            Some(found.1)
        })
    }

    /// The first kept buffer that begins at or after a bit, and the bit it begins at.
    fn next_kept(&self, id: AreaId, mut bit: u32) -> Option<(u32, (u32, Pfn, u32))> {
        let area = self.area(id);
        loop {
            bit = area.bitmap().next_set(bit);
            if bit >= area.bitmap().bits() {
                return None;
            }
            let first = area.frame(bit);
            if let Some((kept, pages)) = self.zone.held(first) {
                return Some((bit, (kept, first, pages)));
            }
            bit += 1;
        }
    }

    /// Releases every buffer of an area that is in the registry; returns how many there were.
    pub fn release_all(&mut self, id: AreaId) -> u32 {
        let (mut released, mut bit) = (0, 0);
        while let Some((at, (_, first, pages))) = self.next_kept(id, bit) {
            self.zone.unhold(first);
            released += u32::from(self.cma_release(Buffer::new(id, first, pages)).is_ok());
            bit = at + 1;
        }
        released
    }

    /// Checks that zone and areas agree: every page of an area is in exactly one place.
    ///
    /// # Errors
    /// The first disagreement.
    pub fn check(&self) -> Result<(), Imbalance> {
        self.zone.check()?;
        self.areas.iter().try_for_each(|area| area.check(&self.zone))
    }
}
