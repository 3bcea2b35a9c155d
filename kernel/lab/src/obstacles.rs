// SPDX-License-Identifier: MIT OR Apache-2.0

//! The buffers that block a request: the aligned windows that are cheapest to empty, and the
//! buffers inside them.
//!
//! The cost of a window is the pages of all buffers that overlap it, as a whole, because a buffer
//! cannot be released in part. It changes only where a buffer enters or leaves the window, so the
//! search steps from one such place to the next: its time depends on the number of buffers, not of
//! pages. Of the windows with the same buffers, only the lowest is considered.

use super::metrics::Counted;
use cma::AreaId;
use cma::area::Area;
use core::fmt;
use system::System;

/// Number of windows listed for a request.
pub const WINDOWS: usize = 3;

/// Number of buffers of a window that the text lists.
const SHOWN: usize = 4;

/// A buffer, or a run of pages whose buffers are not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Obstacle {
    /// The first page, from the area's first.
    pub page: u32,
    /// Number of pages.
    pub pages: u32,
    /// The holder.
    pub holder: Holder,
}

/// Holder of a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder {
    /// The registry, under this ID.
    Kept(u32),
    /// The owner of a relocatable buffer, under this tag of the owner.
    Relocatable(u32),
    /// The caller that allocated it: a driver, or a running load.
    Other,
}

impl Obstacle {
    /// Returns the page after it.
    pub const fn end(&self) -> u32 {
        self.page + self.pages
    }
}

/// A place for a request, and the buffers that have to be released there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// The first page, from the area's first.
    pub page: u32,
    /// Number of pages.
    pub pages: u32,
    /// Pages of it that are allocated.
    pub used: u32,
    /// Pages of the buffers that overlap it.
    pub cost: u32,
    /// Number of these buffers.
    pub buffers: u32,
    /// Page to begin the list of these buffers at.
    from: u32,
}

/// The cheapest windows of a request, ordered by cost, then by page; empty if the area is too small
/// for it.
pub type Windows = [Option<Window>; WINDOWS];

/// Returns the buffers of an area that begin at page `from` or after it, lowest first.
pub fn obstacles<'s, 'm>(
    system: &'s System<'m>,
    id: AreaId,
    from: u32,
) -> impl Iterator<Item = Obstacle> + use<'s, 'm> {
    let area = system.area(id);
    let (map, order) = (area.bitmap(), area.order_per_bit());
    let mut bit = from >> order;
    core::iter::from_fn(move || {
        // Most buffers are adjacent.
        if bit >= map.bits() || !map.is_set(bit) {
            bit = map.next_set(bit);
        }
        if bit >= map.bits() {
            return None;
        }
        let page = bit << order;
        let found = holder(system, area, bit);
        let (holder, pages) = found.unwrap_or_else(|| {
            // It ends where a registered or relocatable buffer begins.
            let mut end = bit + 1;
            while end < map.bits() && map.is_set(end) && holder(system, area, end).is_none() {
                end += 1;
            }
            (Holder::Other, (end - bit) << order)
        });
        bit += pages.div_ceil(1 << order);
        Some(Obstacle { page, pages, holder })
    })
}

/// Returns the holder and length of the buffer that begins at `bit`, if they are recorded.
fn holder(system: &System<'_>, area: &Area, bit: u32) -> Option<(Holder, u32)> {
    let first = area.frame(bit);
    let kept = system.zone().held(first).map(|held| (Holder::Kept(held.id), held.pages));
    kept.or_else(|| system.zone().relocatable(first).map(|buffer| (Holder::Relocatable(buffer.tag), buffer.pages)))
}

/// Returns the cheapest windows for a request.
pub fn windows(system: &System<'_>, id: AreaId, pages: u32, align_order: u32) -> Windows {
    let mut cheapest = Windows::default();
    let area = system.area(id);
    let Ok(request) = area.request(pages, align_order) else { return cheapest };
    let order = area.order_per_bit();
    let Some(last) = area.bitmap().bits().checked_sub(request.bits) else { return cheapest };
    // Iterators over the buffers that enter the window and that leave it, with the next of each.
    let (mut coming, mut leaving) = (obstacles(system, id, 0), obstacles(system, id, 0));
    let (mut comes, mut leaves) = (coming.next(), leaving.next());
    // End of the last buffer that entered.
    let mut came_to = 0;
    let (mut cost, mut buffers) = (0, 0);
    let mut next = request.align_up(0);
    while let Some(bit) = next.filter(|&bit| bit <= last) {
        let page = bit << order;
        let end = (bit + request.bits) << order;
        while let Some(buffer) = comes.filter(|buffer| buffer.page < end) {
            cost += buffer.pages;
            buffers += 1;
            came_to = buffer.end();
            comes = coming.next();
        }
        while let Some(buffer) = leaves.filter(|buffer| buffer.end() <= page) {
            cost -= buffer.pages;
            buffers -= 1;
            leaves = leaving.next();
        }
        if cheapest[WINDOWS - 1].is_none_or(|last| cost < last.cost) {
            let from = leaves.map_or(page, |buffer| buffer.page);
            // Only the first and the last buffer can be outside in part.
            let outside = page.saturating_sub(from) + came_to.saturating_sub(end);
            insert(&mut cheapest, Window { page, pages: end - page, used: cost - outside, cost, buffers, from });
        }
        let comes = comes.map(|buffer| (buffer.page >> order) + 1 - request.bits);
        let leaves = leaves.map(|buffer| buffer.end().div_ceil(1 << order));
        let change = comes.into_iter().chain(leaves).min();
        next = change.and_then(|change| request.align_up(change.max(bit + 1)));
    }
    cheapest
}

/// Inserts a window among the cheapest, after those of equal cost.
fn insert(cheapest: &mut Windows, window: Window) {
    let cheaper = |other: &Option<Window>| other.is_some_and(|other| other.cost <= window.cost);
    let place = cheapest.iter().take_while(|other| cheaper(other)).count();
    if let Some(behind) = cheapest.get_mut(place..)
        && !behind.is_empty()
    {
        behind.rotate_right(1);
        behind[0] = Some(window);
    }
}

impl Window {
    /// Returns the page after it.
    pub const fn end(&self) -> u32 {
        self.page + self.pages
    }

    /// Returns the buffers that overlap it, lowest first.
    pub fn obstacles<'s, 'm>(
        &self,
        system: &'s System<'m>,
        id: AreaId,
    ) -> impl Iterator<Item = Obstacle> + use<'s, 'm> {
        let end = self.end();
        obstacles(system, id, self.from).take_while(move |buffer| buffer.page < end)
    }
}

/// Writes windows for people, one in a line, with their buffers and the IDs of the registry.
pub fn write_windows(out: &mut dyn fmt::Write, system: &System<'_>, id: AreaId, windows: &Windows) -> fmt::Result {
    for window in windows.iter().flatten() {
        write!(out, "  {window}")?;
        for (place, buffer) in window.obstacles(system, id).take(SHOWN).enumerate() {
            let Obstacle { page, pages, holder } = buffer;
            write!(out, "{} {pages} at page {page}", if place == 0 { ":" } else { "," })?;
            match holder {
                Holder::Kept(id) => write!(out, " (id {id})")?,
                Holder::Relocatable(_) | Holder::Other => {}
            }
        }
        match (window.buffers as usize).saturating_sub(SHOWN) {
            0 => writeln!(out)?,
            more => writeln!(out, ", and {more} more")?,
        }
    }
    Ok(())
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pages {}-{}, {} used: ", self.page, self.end() - 1, self.used)?;
        match self.buffers {
            0 => f.write_str("no buffer, but pages that are in use"),
            buffers => {
                write!(f, "{} of {} to empty", Counted(self.cost.into(), "page"), Counted(buffers.into(), "buffer"))
            }
        }
    }
}

#[cfg(test)]
mod tests;
