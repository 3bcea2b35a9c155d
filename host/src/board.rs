// SPDX-License-Identifier: MIT OR Apache-2.0

//! A board with any areas, built in this process's memory.
//!
//! Invariants: an area begins at a multiple of [`BASE_ALIGNMENT_PAGES`], so that its alignments are
//! those of an area on a board of its own; in front of the areas is free memory for the tables that
//! long recordings need.

use std::collections::HashMap;

use kernel::cma::AreaUser;
use kernel::dma::CoherentRam;
use kernel::mm::live::space::{AddressSpace, OwnedFrame, Table};
use kernel::mm::{Block, PAGEBLOCK_PAGES};
use kernel::system::System;
use kernel::system::board::{self, BoardArea};
use kernel::units::Pfn;
use kernel::units::linux::LinuxVersion;

use crate::machine::{Clock, Host};

/// Start of RAM; a zone is in a 32-bit address space.
const RAM: Pfn = Pfn(0);
/// Pages in front of the areas: 256 MiB.
const FRONT_PAGES: u32 = 0x10000;
/// Free pages among them, for the tables of recordings: 64 MiB.
const FREE_PAGES: u32 = 0x4000;
/// Areas begin at multiples of this many pages: 32 MiB.
pub const BASE_ALIGNMENT_PAGES: u32 = 0x2000;
/// Maximum of pages of an area, and of all areas together: 3840 MiB.
pub const MAX_AREA_PAGES: u32 = (1 << 20) - FRONT_PAGES;

/// An area of a board.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AreaSpec {
    /// The name.
    pub name: String,
    /// The size in pages; [`Board::with`] rounds it up to whole pageblocks.
    pub pages: u32,
}

/// The areas of a board, and its version of Linux.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// The areas. The first is the default of commands.
    pub areas: Vec<AreaSpec>,
    /// The emulated version of Linux.
    pub linux: LinuxVersion,
}

impl Board {
    /// Returns a board with one area.
    pub fn of_one(name: &str, pages: u32) -> Self {
        Self { areas: vec![AreaSpec { name: name.into(), pages }], linux: LinuxVersion::default() }
    }

    /// Builds the board and runs `experiment` on it. Its output goes to `print`.
    ///
    /// # Panics
    /// If areas have more than [`MAX_AREA_PAGES`] together, or if there are more than Linux allows.
    pub fn with<R>(
        &self,
        clock: Clock,
        print: Box<dyn FnMut(&str)>,
        experiment: impl FnOnce(&mut System<'_>, &mut Host) -> R,
    ) -> R {
        let board = self.laid_out();
        let mut pages = board.descriptors();
        experiment(&mut equipped(board.system(&mut pages), clock), &mut Host::new(clock, print))
    }

    /// Builds a board that exists until the program ends.
    ///
    /// # Panics
    /// See [`Board::with`].
    pub fn leak(&self, clock: Clock, print: Box<dyn FnMut(&str)>) -> (&'static mut System<'static>, &'static mut Host) {
        let board = self.laid_out();
        let system = equipped(board.system(Box::leak(board.descriptors().into_boxed_slice())), clock);
        (Box::leak(Box::new(system)), Box::leak(Box::new(Host::new(clock, print))))
    }

    /// Returns the board with the addresses of its areas.
    fn laid_out(&self) -> board::Board {
        let mut at = RAM.0 + FRONT_PAGES;
        // Gaps, here and in front of areas, are taken: nothing allocates them.
        let mut taken = vec![RAM.add(FREE_PAGES)..RAM.add(FRONT_PAGES)];
        let mut areas = Vec::with_capacity(self.areas.len());
        for area in &self.areas {
            assert!((1..=MAX_AREA_PAGES).contains(&area.pages), "{area:?}: 1 to {MAX_AREA_PAGES} pages");
            let base = at.next_multiple_of(BASE_ALIGNMENT_PAGES);
            assert!(base <= (1 << 20) - area.pages, "areas have {MAX_AREA_PAGES} pages together");
            taken.push(Pfn(at)..Pfn(base));
            let pages = area.pages.next_multiple_of(PAGEBLOCK_PAGES);
            areas.push(BoardArea { name: area.name.clone(), base: Pfn(base), pages, is_default: false });
            at = base + pages;
        }
        let first = self.areas.first();
        let user = first.map(|area| AreaUser { device: "host".into(), area: area.name.clone(), by_region: true });
        let users = user.into_iter().collect();
        board::Board { ram: RAM, frames: at - RAM.0, taken, areas, users, linux: self.linux }
    }
}

/// Adds an address space, which moves buffers, and memory for the DMA API.
fn equipped(mut system: System<'_>, clock: Clock) -> System<'_> {
    system.set_address_space(Box::new(Contents { clock, pages: HashMap::new() }));
    system.dma_mut().attach(Box::new(CoherentRam::default()));
    system
}

/// Contents of the pages of buffers, for placements that move them: of each page the first and the
/// last word, which loads write and check. There is no window, because the host's memory has no
/// other contents.
struct Contents {
    clock: Clock,
    pages: HashMap<Pfn, [u32; 2]>,
}

impl AddressSpace for Contents {
    fn max_slots(&self) -> u32 {
        0
    }

    fn open(&mut self, _slots: u32, tables: Block) -> Result<(), (Block, &'static str)> {
        Err((tables, "the host has none"))
    }

    fn close(&mut self) -> Option<Block> {
        None
    }

    fn set_entry(&mut self, _slot: u32, _frame: Option<OwnedFrame>) {
        unreachable!("there is no window")
    }

    fn flush(&mut self, _slot: u32) {
        unreachable!("there is no window")
    }

    fn words(&mut self, _slot: u32) -> &mut [u32] {
        unreachable!("there is no window")
    }

    fn frame_words(&mut self, frame: OwnedFrame) -> &mut [u32] {
        self.pages.entry(frame.frame()).or_default()
    }

    fn copy(&mut self, from: OwnedFrame, to: OwnedFrame) {
        let words = *self.pages.entry(from.frame()).or_default();
        self.pages.insert(to.frame(), words);
    }

    fn table(&mut self, _block: Block) -> Table {
        unreachable!("there is no window")
    }

    fn address(&self, _slot: u32) -> u64 {
        unreachable!("there is no window")
    }

    fn now_ns(&self) -> u64 {
        (self.clock)()
    }
}
