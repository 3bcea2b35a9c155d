// SPDX-License-Identifier: MIT OR Apache-2.0

//! The laboratory on the host: the same crate, the same commands, at the host's speed.
//!
//! `cargo run --release --target host-tuple -p kernel --example host -- "compare seeds=60; cma"` executes a line of the
//! monitor on a board with 1 GiB of RAM and the areas `8M` (which commands choose by themselves), `32M` and `512M`. A second
//! argument names a trace for `replay`. Times are the host's nanoseconds. Ctrl-C ends the process.

use std::io::Write;
use std::time::Instant;

use kernel::dma::CoherentRam;
use kernel::dt::AreaUser;
use kernel::machine::{Fault, Machine};
use kernel::mm::live::space::{AddressSpace, Table};
use kernel::mm::zone::{Zone, descriptors};
use kernel::mm::{Block, Page};
use kernel::monitor::{Context, Monitor, Outcome};
use kernel::system::System;
use kernel::units::Pfn;

/// First frame and frames of the board's RAM.
const RAM: Pfn = Pfn(0x60000);
const RAM_PAGES: u32 = 0x40000;
/// The areas: name, first frame, frames. What lies between and around them is free memory.
const AREAS: [(&str, Pfn, u32); 3] =
    [("8M", Pfn(0x69800), 0x800), ("32M", Pfn(0x6c000), 0x2000), ("512M", Pfn(0x70000), 0x20000)];

/// The host as the laboratory's machine.
struct Host {
    booted: Instant,
    /// What the pages of blocks hold, by first frame; only the tables of large traces ask for it.
    memory: std::collections::HashMap<u32, Vec<u32>>,
    /// What is printed of a line that has not ended.
    line: String,
}

impl Machine for Host {
    fn now_ns(&self) -> u64 {
        self.booted.elapsed().as_nanos() as u64
    }

    fn tick_ns(&self) -> u32 {
        1
    }

    fn interrupted(&self) -> bool {
        false
    }

    fn write_str(&mut self, text: &str) {
        for piece in text.split_inclusive('\n') {
            self.line.push_str(piece);
            if !piece.ends_with('\n') {
                return;
            }
            // A call a line, so that those of runs side by side stay whole.
            if std::io::stdout().write_all(self.line.as_bytes()).is_err() {
                // Nobody reads on.
                std::process::exit(0);
            }
            self.line.clear();
        }
    }

    fn read_byte(&mut self) -> u8 {
        unreachable!("there is no prompt")
    }

    fn poll_byte(&mut self) -> Option<u8> {
        None
    }

    fn page_memory<'a>(&'a mut self, block: &'a mut Block) -> &'a mut [u32] {
        let words = 1024 << block.order();
        let memory = self.memory.entry(block.first().0).or_default();
        if memory.len() < words {
            memory.resize(words, 0);
        }
        &mut memory[..words]
    }

    fn fault(&mut self, fault: Fault) -> ! {
        panic!("fault {}", fault.name())
    }
}

/// What the pages of buffers hold, for placements that move them: of each page its first and its last word, which is what
/// loads write and look at. Nobody lives in the host's memory, so there is no window.
struct Contents {
    booted: Instant,
    pages: Vec<[u32; 2]>,
}

impl Contents {
    fn page(&mut self, frame: Pfn) -> &mut [u32; 2] {
        &mut self.pages[(frame.0 - RAM.0) as usize]
    }
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

    fn set_entry(&mut self, _slot: u32, _frame: Option<Pfn>) {
        unreachable!("there is no window")
    }

    fn flush(&mut self, _slot: u32) {
        unreachable!("there is no window")
    }

    fn words(&mut self, _slot: u32) -> &mut [u32] {
        unreachable!("there is no window")
    }

    fn frame_words(&mut self, frame: Pfn) -> &mut [u32] {
        self.page(frame)
    }

    fn copy(&mut self, from: Pfn, to: Pfn) {
        *self.page(to) = *self.page(from);
    }

    fn table(&mut self, _block: Block) -> Table {
        unreachable!("there is no window")
    }

    fn address(&self, _slot: u32) -> u64 {
        unreachable!("there is no window")
    }

    fn now_ns(&self) -> u64 {
        self.booted.elapsed().as_nanos() as u64
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let line = arguments.next().unwrap_or_else(|| "help".into());
    let trace = arguments.next().map(|path| {
        std::fs::read(&path).unwrap_or_else(|error| {
            eprintln!("{path}: {error}");
            std::process::exit(2);
        })
    });
    let mut pages = vec![Page::default(); descriptors(RAM_PAGES)];
    let mut zone = Zone::new(RAM, &mut pages);
    let mut at = RAM;
    for (_, base, pages) in AREAS {
        zone.free_range(at, base.0 - at.0);
        at = base.add(pages);
    }
    zone.free_range(at, RAM.0 + RAM_PAGES - at.0);
    let mut system = System::new(zone, vec![AreaUser { device: "host".into(), area: AREAS[0].0.into() }]);
    for (name, base, pages) in AREAS {
        system.activate_area(name.into(), base, pages, false);
    }
    let booted = Instant::now();
    system.set_address_space(Box::new(Contents { booted, pages: vec![[0; 2]; RAM_PAGES as usize] }));
    system.dma.attach(Box::new(CoherentRam::default()));
    let mut host = Host { booted, memory: Default::default(), line: String::new() };
    let context = Context {
        cmdline: "",
        iomem: "",
        initrd: trace.as_deref(),
        ns_to_ready: 0,
        version: concat!("debris ", env!("CARGO_PKG_VERSION"), " on the host"),
        tests: &[],
    };
    let status = match Monitor::new(&mut system, &mut host, context).run(&line) {
        Outcome::Failed(status) | Outcome::PowerOff(status) => status,
        Outcome::Ok | Outcome::Reboot => 0,
    };
    std::process::exit(status.into());
}
