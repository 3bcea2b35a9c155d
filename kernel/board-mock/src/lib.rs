// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine and a board for host tests: a clock that steps, a console that records, memory in a
//! map. Needs std; for tests and fuzzers only.
//!
//! Also contains the tests of lower crates that need a whole board, a machine or a disk.
//!
//! # Example
//! ```
//! use board_mock::with_board;
//!
//! let free = with_board(64, |system, _| system.areas().iter().map(|area| area.free_pages()).sum::<u32>());
//! assert_eq!(free, 4096);
//! ```
#![forbid(unsafe_code)]

// The planner's model, which the tests of `relocate` include from `system`, is written without std.
#[cfg(test)]
extern crate alloc;

pub mod disk;
pub mod dma;
#[cfg(test)]
mod tests;

use core::cell::Cell;
use core::ops::Range;
use std::collections::{HashMap, VecDeque};

use cma::AreaUser;
use dma::MockHardware;
use machine::{Fault, Machine};
use migration::live::mock::MockSpace;
use page_alloc::{Block, PAGEBLOCK_PAGES};
use system::System;
use system::board::{Board, BoardArea};
use units::Pfn;
use units::linux::LinuxVersion;

/// First frame of the board's RAM.
const RAM: Pfn = Pfn(0x60000);
/// First frame of the small board's RAM, which holds only the first two areas.
const SMALL_RAM: Pfn = Pfn(0x68000);
/// The frames of the image, at the start of the small board's RAM.
const IMAGE: Range<Pfn> = SMALL_RAM..SMALL_RAM.add(2 * PAGEBLOCK_PAGES);
/// Frames of the small board.
const SMALL_FRAMES: u32 = 0x2000;

/// The mock of the machine.
#[derive(Default)]
pub struct Mock {
    /// All output so far.
    pub printed: String,
    /// Input that has been typed.
    pub typed: VecDeque<u8>,
    /// Input for when nothing else is left to do: [`Machine::read_byte`] appends it to `typed`.
    pub typed_later: VecDeque<u8>,
    /// Number of checks for a Ctrl-C before one is found; `None`: none comes.
    pub interrupt_after: Cell<Option<u64>>,
    now_ns: Cell<u64>,
    memory: HashMap<u32, Vec<u32>>,
}

impl Mock {
    /// Returns the output so far, and clears it.
    pub fn take(&mut self) -> String {
        core::mem::take(&mut self.printed)
    }
}

impl Machine for Mock {
    fn now_ns(&self) -> u64 {
        self.now_ns.set(self.now_ns.get() + 10);
        self.now_ns.get()
    }

    fn tick_ns(&self) -> u32 {
        10
    }

    fn interrupted(&self) -> bool {
        let left = self.interrupt_after.get();
        self.interrupt_after.set(left.and_then(|left| left.checked_sub(1)));
        left == Some(0)
    }

    fn write_str(&mut self, text: &str) {
        self.printed.push_str(text);
    }

    fn read_byte(&mut self) -> u8 {
        let later = core::mem::take(&mut self.typed_later);
        self.typed.extend(later);
        self.typed.pop_front().expect("a test types all that is read")
    }

    fn poll_byte(&mut self) -> Option<u8> {
        self.typed.pop_front()
    }

    fn fault(&mut self, fault: Fault) -> ! {
        panic!("fault {fault:?}")
    }

    fn page_memory<'a>(&'a mut self, block: &'a mut Block) -> &'a mut [u32] {
        // Fresh pages contain rubbish, and used ones their former content.
        let words = 1024 << block.order();
        let memory = self.memory.entry(block.first().0).or_default();
        if memory.len() < words {
            memory.resize(words, 0x5a5a_5a5a);
        }
        &mut memory[..words]
    }
}

/// Makes a board with RAM of `pageblocks` pageblocks from 0x60000000. The areas, as far as they
/// fit: `linux,cma` (2048 pages at 0x69000000, the default), `BiscuitOS_cma` (2048 pages at
/// 0x69800000, named by the device `BiscuitOS_CMA`) and `big` (131,072 pages at 0x70000000). There
/// are two more devices, `camera@10020000` and `ethernet@4e000000`. The 2 pageblocks at 0x68000000
/// contain the image and are never free. Miri gets a small board.
pub fn with_board<R>(pageblocks: u32, test: impl FnOnce(&mut System<'_>, &mut Mock) -> R) -> R {
    if cfg!(miri) { with_small_board(test) } else { board(RAM, pageblocks * PAGEBLOCK_PAGES, test) }
}

/// Makes a board with 32 MiB of RAM: the image, 8 MiB after it, and the first two areas. It has an
/// eighth of the pages of a board with 64 pageblocks.
pub fn with_small_board<R>(test: impl FnOnce(&mut System<'_>, &mut Mock) -> R) -> R {
    board(SMALL_RAM, SMALL_FRAMES, test)
}

fn board<R>(ram: Pfn, frames: u32, test: impl FnOnce(&mut System<'_>, &mut Mock) -> R) -> R {
    let end = ram.0 + frames;
    let areas = [("linux,cma", 0x69000, 2048), ("BiscuitOS_cma", 0x69800, 2048), ("big", 0x70000, 131_072)];
    let areas = areas.into_iter().filter(|&(_, base, pages)| base + pages <= end);
    let areas = areas.map(|(name, base, pages)| BoardArea {
        name: name.into(),
        base: Pfn(base),
        pages,
        is_default: name == "linux,cma",
    });
    let board = Board {
        ram,
        frames,
        taken: if IMAGE.start.0 < end { vec![IMAGE] } else { Vec::new() },
        areas: areas.collect(),
        users: vec![AreaUser { device: "BiscuitOS_CMA".into(), area: "BiscuitOS_cma".into(), by_region: false }],
        linux: LinuxVersion::default(),
    };
    let mut pages = board.descriptors();
    let mut system = board.system(&mut pages);
    system.set_address_space(Box::new(MockSpace::default()));
    system.dma_mut().attach(Box::new(MockHardware::default()));
    system.dma_mut().know(vec!["BiscuitOS_CMA", "camera@10020000", "ethernet@4e000000"]);
    test(&mut system, &mut Mock::default())
}

/// Returns a load's output without the time that it took: each turn reads the clock at its begin
/// and end, which advances it.
pub fn but_load_time(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.ends_with(" a second."));
    lines.fold(String::new(), |text, line| text + line.split(",\"load_ns\":").next().unwrap_or_default() + "\n")
}
