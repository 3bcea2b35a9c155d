// SPDX-License-Identifier: MIT OR Apache-2.0

//! A board of any areas, built in this process's memory.
//!
//! What holds true: an area begins at a multiple of [`BASE_ALIGNMENT_PAGES`], so that its
//! alignments are those of an area of its own on a board; some memory in front of the areas is
//! free, and holds the tables that long recordings need.

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

/// Where RAM begins; a zone lies in a 32-bit address space.
const RAM: Pfn = Pfn(0);
/// Pages in front of the areas: 256 MiB.
const FRONT_PAGES: u32 = 0x10000;
/// Pages of them that are free, for the tables of recordings: 64 MiB.
const FREE_PAGES: u32 = 0x4000;
/// Areas begin at multiples of this many pages: 32 MiB.
pub const BASE_ALIGNMENT_PAGES: u32 = 0x2000;
/// The largest area, in pages, and the most that all areas have together: 3840 MiB.
pub const MAX_AREA_PAGES: u32 = (1 << 20) - FRONT_PAGES;

/// An area to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AreaSpec {
    /// Its name.
    pub name: String,
    /// Its size in pages, which is rounded up to whole pageblocks; [`Board::with`] tells.
    pub pages: u32,
}

/// What a board has.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// Its areas. The first is the one that commands choose by themselves.
    pub areas: Vec<AreaSpec>,
    /// Which Linux is answered like.
    pub linux: LinuxVersion,
}

impl Board {
    /// A board with one area.
    pub fn of_one(name: &str, pages: u32) -> Self {
        Self { areas: vec![AreaSpec { name: name.into(), pages }], linux: LinuxVersion::default() }
    }

    /// Builds the board and does something on it. What is printed goes to `print`.
    ///
    /// # Panics
    /// Where areas have more than [`MAX_AREA_PAGES`] together, or there are more of them than Linux
    /// has.
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

    /// Builds a board that stays as long as the program runs.
    ///
    /// # Panics
    /// See [`Board::with`].
    pub fn leak(&self, clock: Clock, print: Box<dyn FnMut(&str)>) -> (&'static mut System<'static>, &'static mut Host) {
        let board = self.laid_out();
        let system = equipped(board.system(Box::leak(board.descriptors().into_boxed_slice())), clock);
        (Box::leak(Box::new(system)), Box::leak(Box::new(Host::new(clock, print))))
    }

    /// Where all of it lies.
    fn laid_out(&self) -> board::Board {
        let mut at = RAM.0 + FRONT_PAGES;
        // Nobody asks for what is taken, here and in front of areas.
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

/// The system with what moves buffers and with memory for the DMA API.
fn equipped(mut system: System<'_>, clock: Clock) -> System<'_> {
    system.set_address_space(Box::new(Contents { clock, pages: HashMap::new() }));
    system.dma_mut().attach(Box::new(CoherentRam::default()));
    system
}

/// What the pages of buffers hold, for placements that move them: of each page its first and its
/// last word, which is what loads write and look at. There is no window, because nothing else is in
/// the host's memory.
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
