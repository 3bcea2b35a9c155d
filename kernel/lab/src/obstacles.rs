// SPDX-License-Identifier: MIT OR Apache-2.0

//! What stands in the way of a request that found no room: which aligned windows are cheapest to
//! empty, and which buffers lie in them.
//!
//! The cost of a window is the pages of all buffers that overlap it, whole buffers, because part of
//! one cannot be given back. It changes only where a buffer comes into the window or leaves it, so
//! windows are looked at from one such place to the next: the cost of a search goes with the
//! buffers, not with the pages. Of windows with the same buffers, the lowest stands for all.

use super::metrics::Counted;
use cma::AreaId;
use cma::area::Area;
use core::fmt;
use system::System;

/// Windows that are named for a request.
pub const WINDOWS: usize = 3;

/// Buffers of a window that are named to people.
const SHOWN: usize = 4;

/// Pages of an area that belong together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Obstacle {
    /// The first one, from the area's first.
    pub page: u32,
    /// How many.
    pub pages: u32,
    /// Whose they are.
    pub holder: Holder,
}

/// Who holds a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder {
    /// The registry, under this identifier.
    Kept(u32),
    /// Relocatable, under this tag of its owner's.
    Relocatable(u32),
    /// Whoever made it: a driver, or a load that runs.
    Other,
}

impl Obstacle {
    /// The page behind it.
    pub const fn end(&self) -> u32 {
        self.page + self.pages
    }
}

/// A place for a request, and what has to go from there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Its first page, from the area's first.
    pub page: u32,
    /// Its length.
    pub pages: u32,
    /// Pages of it that are allocated.
    pub used: u32,
    /// Pages of the buffers that overlap it.
    pub cost: u32,
    /// How many buffers these are.
    pub buffers: u32,
    /// Where the first of them begins, or something in front of it.
    from: u32,
}

/// The cheapest windows of a request, the cheapest first, then the lowest; none where the area is
/// too small for it.
pub type Windows = [Option<Window>; WINDOWS];

/// The buffers of an area from a page on, lowest first.
pub fn obstacles<'s, 'm>(
    system: &'s System<'m>,
    id: AreaId,
    from: u32,
) -> impl Iterator<Item = Obstacle> + use<'s, 'm> {
    let area = system.area(id);
    let (map, order) = (area.bitmap(), area.order_per_bit());
    let mut bit = from >> order;
    core::iter::from_fn(move || {
        // Most buffers lie side by side.
        if bit >= map.bits() || !map.is_set(bit) {
            bit = map.next_set(bit);
        }
        if bit >= map.bits() {
            return None;
        }
        let page = bit << order;
        let found = holder(system, area, bit);
        let (holder, pages) = found.unwrap_or_else(|| {
            // Up to where somebody else's begin.
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

/// Whose buffer begins at a bit, and how long it is, as far as it is written down.
fn holder(system: &System<'_>, area: &Area, bit: u32) -> Option<(Holder, u32)> {
    let first = area.frame(bit);
    let kept = system.zone().held(first).map(|held| (Holder::Kept(held.id), held.pages));
    kept.or_else(|| system.zone().relocatable(first).map(|buffer| (Holder::Relocatable(buffer.tag), buffer.pages)))
}

/// The cheapest windows for a request.
pub fn windows(system: &System<'_>, id: AreaId, pages: u32, align_order: u32) -> Windows {
    let mut cheapest = Windows::default();
    let area = system.area(id);
    let Ok(request) = area.request(pages, align_order) else { return cheapest };
    let order = area.order_per_bit();
    let Some(last) = area.bitmap().bits().checked_sub(request.bits) else { return cheapest };
    // Buffers that come into the window, and buffers that leave it, each with the next one.
    let (mut coming, mut leaving) = (obstacles(system, id, 0), obstacles(system, id, 0));
    let (mut comes, mut leaves) = (coming.next(), leaving.next());
    // Where the last one ends that came.
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
            // Only the first and the last buffer can lie outside in part.
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

/// Puts a window among the cheapest, behind those that cost as much.
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
    /// The page behind it.
    pub const fn end(&self) -> u32 {
        self.page + self.pages
    }

    /// The buffers that overlap it, lowest first.
    pub fn obstacles<'s, 'm>(
        &self,
        system: &'s System<'m>,
        id: AreaId,
    ) -> impl Iterator<Item = Obstacle> + use<'s, 'm> {
        let end = self.end();
        obstacles(system, id, self.from).take_while(move |buffer| buffer.page < end)
    }
}

/// Windows for people, a line each: what is in them, by the identifiers of the registry.
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
