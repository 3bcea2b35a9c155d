// SPDX-License-Identifier: MIT OR Apache-2.0

//! A system described by numbers: the RAM, its frames that are taken, and its areas. The host tool,
//! the web page, tests and fuzzers build their systems this way; the image uses a device tree.
//!
//! Invariant: every page of RAM that is neither taken nor in an area is free.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::System;
use cma::AreaUser;
use page_alloc::Page;
use page_alloc::zone::{Zone, descriptors};
use units::Pfn;
use units::linux::LinuxVersion;

/// An area of a board.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BoardArea {
    /// Its name.
    pub name: String,
    /// Its first frame, the first of a pageblock.
    pub base: Pfn,
    /// Its number of pages: whole pageblocks.
    pub pages: u32,
    /// True if it is the default area.
    pub is_default: bool,
}

/// A board. Areas and taken frames are in RAM, and do not overlap.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Board {
    /// The first frame of RAM.
    pub ram: Pfn,
    /// The number of frames of RAM.
    pub frames: u32,
    /// Frames that are never free, such as those of the image.
    pub taken: Vec<Range<Pfn>>,
    /// The areas, in the order in which they become active.
    pub areas: Vec<BoardArea>,
    /// The devices that name areas.
    pub users: Vec<AreaUser>,
    /// The version of Linux that is modelled.
    pub linux: LinuxVersion,
}

impl Board {
    /// Returns the page descriptors that [`Board::system`] needs.
    pub fn descriptors(&self) -> Vec<Page> {
        vec![Page::default(); descriptors(self.frames)]
    }

    /// Makes the system, with `pages` as its page descriptors. It has neither an address space nor
    /// hardware of the DMA API.
    pub fn system<'p>(&self, pages: &'p mut [Page]) -> System<'p> {
        let mut zone = Zone::new(self.ram, pages);
        zone.mark_ram(self.ram, self.ram.add(self.frames - 1));
        let end = self.ram.add(self.frames);
        let areas = self.areas.iter().map(|area| area.base..area.base.add(area.pages));
        let mut taken: Vec<Range<Pfn>> = self.taken.iter().cloned().chain(areas).chain([end..end]).collect();
        taken.sort_unstable_by_key(|frames| frames.start);
        let mut at = self.ram;
        for Range { start, end } in taken {
            zone.free_range(at, start.0 - at.0);
            at = end;
        }
        let mut system = System::new(zone, self.users.clone());
        system.answer_like(self.linux);
        for area in &self.areas {
            system.activate_area(area.name.clone(), area.base, area.pages, area.is_default);
        }
        system
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use page_alloc::PAGEBLOCK_PAGES;

    #[test]
    fn what_is_neither_taken_nor_an_area_is_free() {
        let area = |name: &str, block: u32, is_default| BoardArea {
            name: name.into(),
            base: Pfn(0x60000 + block * PAGEBLOCK_PAGES),
            pages: PAGEBLOCK_PAGES,
            is_default,
        };
        let board = Board {
            ram: Pfn(0x60000),
            frames: 8 * PAGEBLOCK_PAGES,
            taken: vec![Pfn(0x60010)..Pfn(0x60020), Pfn(0x60000)..Pfn(0x60003)],
            areas: vec![area("last", 7, false), area("middle", 4, true)],
            users: Vec::new(),
            linux: LinuxVersion::default(),
        };
        let mut pages = board.descriptors();
        let system = board.system(&mut pages);
        system.check().expect("the accounting balances");
        let names: Vec<&str> = system.areas().iter().map(|area| area.name()).collect();
        assert_eq!((&names[..], system.default_area()), (&["last", "middle"][..], system.find_area("middle")));
        assert_eq!(system.zone().nr_free_pages(), 8 * PAGEBLOCK_PAGES - 19);
    }
}
