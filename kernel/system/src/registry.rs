// SPDX-License-Identifier: MIT OR Apache-2.0

//! The registry of kept buffers, which outlive the command that made them. Each is recorded in the
//! page descriptor of its first page, so there is room for all.

use cma::area::Area;
use cma::{AreaId, Areas, Buffer};
use page_alloc::HeldBuffer;
use page_alloc::zone::Zone;
use units::Pfn;

/// A buffer in the registry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Its ID.
    pub id: u32,
    /// Its first page.
    pub first: Pfn,
    /// Its number of pages.
    pub pages: u32,
}

impl Kept {
    /// Returns the bit after it in its area's bitmap.
    pub(super) fn end_bit(&self, area: &Area) -> u32 {
        (self.first.0 + self.pages - area.base().0).div_ceil(1 << area.order_per_bit())
    }
}

/// The source of the IDs.
#[derive(Default)]
pub(super) struct Registry {
    last: u32,
}

impl Registry {
    /// Adds a buffer and returns its ID; IDs count up from 1 over all areas.
    pub(super) fn keep(&mut self, zone: &mut Zone<'_>, buffer: &Buffer) -> u32 {
        self.last = self.last.wrapping_add(1).max(1);
        zone.hold(buffer.first(), HeldBuffer { id: self.last, pages: buffer.pages() });
        self.last
    }
}

/// Removes and returns the buffer of an ID.
pub(super) fn take_back(zone: &mut Zone<'_>, areas: &Areas, id: u32) -> Option<Buffer> {
    let find = |area| Some((area, kept(zone, areas.get(area)).find(|kept| kept.id == id)?));
    let (area, kept) = areas.ids().find_map(find)?;
    zone.unhold(kept.first);
    Some(Buffer::new(area, kept.first, kept.pages))
}

/// Removes and returns the buffer that begins at a page.
pub(super) fn take_back_at(zone: &mut Zone<'_>, areas: &Areas, id: AreaId, first: Pfn) -> Option<Buffer> {
    let area = areas.get(id);
    if first.0.wrapping_sub(area.base().0) >= area.pages() {
        return None;
    }
    let HeldBuffer { pages, .. } = zone.held(first)?;
    zone.unhold(first);
    Some(Buffer::new(id, first, pages))
}

/// Returns the kept buffers of an area, by address.
pub(super) fn kept<'s>(zone: &'s Zone<'_>, area: &'s Area) -> impl Iterator<Item = Kept> + 's {
    let mut bit = 0;
    core::iter::from_fn(move || {
        let kept = next_kept(zone, area, bit)?;
        bit = kept.end_bit(area);
        Some(kept)
    })
}

/// Returns the first kept buffer that begins at or after a bit.
pub(super) fn next_kept(zone: &Zone<'_>, area: &Area, mut bit: u32) -> Option<Kept> {
    loop {
        bit = area.bitmap().next_set(bit);
        if bit >= area.bitmap().bits() {
            return None;
        }
        let first = area.frame(bit);
        if let Some(HeldBuffer { id, pages }) = zone.held(first) {
            return Some(Kept { id, first, pages });
        }
        bit += 1;
    }
}
