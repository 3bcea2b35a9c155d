// SPDX-License-Identifier: MIT OR Apache-2.0

//! Records the cache maintenance that a machine carries out.
//!
//! QEMU has no caches: missing maintenance changes nothing that the kernel could read, so no test
//! of contents fails. But QEMU executes the instructions and accepts the register writes, and logs
//! both. With one instruction per block (`-singlestep`), it logs the registers before each
//! instruction at the addresses of `-dfilter`: those of all words of the image that decode as
//! DCCMVAC, DCIMVAC, DCCIMVAC, DCISW or DSB. Writes to the level 2 controller's registers and the
//! disk's requests are trace events in the same log, so that their order is known.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use kernel::dma::LINE_BYTES;
use kernel::dma::hardware::CacheOp;

use crate::{Boot, Outcome, in_tree};

/// A machine with one instruction per block and a log is about ten times slower.
const TIME_LIMIT: Duration = Duration::from_secs(180);
/// Address of the raw image in memory: 64 KiB into RAM, as for Linux.
const IMAGE_BASE: u32 = 0x6001_0000;
/// QEMU's name of the level 2 controller.
const CONTROLLER: &str = "'l2x0_cc'";
/// Offset of the controller's cache_sync register.
const SYNC: u32 = 0x730;

/// Level of a cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Level 1, by the processor's address.
    Inner,
    /// Level 2, by the physical address.
    Outer,
}

/// An event of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Maintenance of contiguous lines.
    Lines {
        /// Level of the cache.
        level: Level,
        /// Operation on the lines.
        op: CacheOp,
        /// Address of the first line, as passed to the cache.
        start: u32,
        /// Length of all lines.
        bytes: u32,
    },
    /// The command to the level 2 controller to drain its buffers.
    Sync,
    /// A write to another register of the level 2 controller.
    Register {
        /// Offset of the register.
        offset: u32,
        /// Value written.
        value: u32,
    },
    /// No DSB was executed between earlier level 1 operations and the next step.
    NotAwaited,
    /// The disk begins a request.
    DiskBegins {
        /// QEMU's number of the request while it is in flight.
        request: u64,
        /// True for a write to the disk.
        writes: bool,
        /// Length of the transfer.
        bytes: u32,
    },
    /// The disk has ended a request.
    DiskEnds {
        /// QEMU's number of the request.
        request: u64,
    },
}

/// The cache maintenance and disk requests of a machine.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Maintenance {
    /// Events in the order of the log.
    pub steps: Vec<Step>,
    /// Operands of level 1's invalidations by set and way.
    pub sets_and_ways: Vec<u32>,
}

impl Maintenance {
    /// Adds `length` bytes of lines from `from` on; extends the last step if they continue it.
    pub fn lines(&mut self, at: Level, with: CacheOp, from: u32, length: u32) {
        let last = self.steps.last_mut();
        if let Some(Step::Lines { level, op, start, bytes }) = last
            && (*level, *op) == (at, with)
            && start.wrapping_add(*bytes).wrapping_sub(from) <= length
        {
            // An instruction at which the emulator was interrupted is logged twice: a repeated line
            // counts once.
            *bytes = from.wrapping_add(length).wrapping_sub(*start);
        } else if length > 0 {
            self.steps.push(Step::Lines { level: at, op: with, start: from, bytes: length });
        }
    }
}

/// An instruction to look for.
#[derive(Clone, Copy)]
enum Instruction {
    Line(CacheOp, usize),
    SetAndWay(usize),
    Barrier,
}

impl Instruction {
    fn decode(word: u32) -> Option<Self> {
        // MCR p15, 0, Rt, c7, CRm, opc2: Rt is in bits 15..12.
        let register = (word >> 12 & 0xf) as usize;
        match word & !0xf000 {
            0xee07_0f3a => Some(Self::Line(CacheOp::Clean, register)),
            0xee07_0f36 => Some(Self::Line(CacheOp::Invalidate, register)),
            0xee07_0f3e => Some(Self::Line(CacheOp::CleanInvalidate, register)),
            0xee07_0f56 => Some(Self::SetAndWay(register)),
            _ if word == 0xf57f_f04f => Some(Self::Barrier),
            _ => None,
        }
    }
}

/// Returns the instructions to look for in an image, by address.
fn instructions(image: &Path) -> HashMap<u32, Instruction> {
    let image = fs::read(image).expect("the image");
    let words = image.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    (IMAGE_BASE..).step_by(4).zip(words).filter_map(|(at, word)| Some((at, Instruction::decode(word)?))).collect()
}

/// Reader of the log.
struct Reader {
    instructions: HashMap<u32, Instruction>,
    /// The instruction about to be executed; the log lists its registers.
    next: Option<Instruction>,
    registers: [u32; 16],
    /// No barrier followed the last level 1 operation yet.
    pending: bool,
    found: Maintenance,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let mut words = line.split([' ', '\t']);
        match words.next().unwrap_or_default() {
            "Trace" => {
                let address = line.split('/').nth(1).and_then(|address| u32::from_str_radix(address, 16).ok());
                self.next = address.and_then(|address| self.instructions.get(&address).copied());
            }
            "memory_region_ops_write" if line.ends_with(CONTROLLER) => {
                self.register(number(line, "addr") as u32 & 0xfff, number(line, "value") as u32);
            }
            kind @ ("virtio_blk_handle_read" | "virtio_blk_handle_write") => {
                let (writes, bytes) = (kind.ends_with("write"), number(line, "nsectors") as u32 * 512);
                self.step(Step::DiskBegins { request: number(line, "req"), writes, bytes });
            }
            "virtio_blk_rw_complete" => self.found.steps.push(Step::DiskEnds { request: number(line, "req") }),
            first if first.starts_with("PSR=") => self.execute(),
            first if first.starts_with('R') => {
                for (name, value) in line.split(' ').filter_map(|word| word.split_once('=')) {
                    if let (Some(register), Ok(value)) = (
                        name.strip_prefix('R').and_then(|name| name.parse::<usize>().ok()),
                        u32::from_str_radix(value, 16),
                    ) {
                        self.registers[register] = value;
                    }
                }
            }
            _ => {}
        }
    }

    fn execute(&mut self) {
        match self.next.take() {
            Some(Instruction::Line(op, register)) => {
                self.found.lines(Level::Inner, op, self.registers[register], LINE_BYTES);
                self.pending = true;
            }
            Some(Instruction::SetAndWay(register)) => self.found.sets_and_ways.push(self.registers[register]),
            Some(Instruction::Barrier) => self.pending = false,
            None => {}
        }
    }

    fn register(&mut self, offset: u32, value: u32) {
        let op = match offset {
            0x7b0 => CacheOp::Clean,
            0x770 => CacheOp::Invalidate,
            0x7f0 => CacheOp::CleanInvalidate,
            SYNC => return self.step(Step::Sync),
            _ => return self.step(Step::Register { offset, value }),
        };
        self.await_inner();
        self.found.lines(Level::Outer, op, value, LINE_BYTES);
    }

    fn step(&mut self, step: Step) {
        self.await_inner();
        self.found.steps.push(step);
    }

    fn await_inner(&mut self) {
        if std::mem::take(&mut self.pending) {
            self.found.steps.push(Step::NotAwaited);
        }
    }
}

/// Returns the number after the word `name`, hexadecimal after `0x`.
fn number(line: &str, name: &str) -> u64 {
    let mut words = line.split(' ').skip_while(|word| *word != name).skip(1);
    let word = words.next().unwrap_or_else(|| panic!("no {name} in {line}"));
    let parsed = match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => word.parse(),
    };
    parsed.unwrap_or_else(|error| panic!("{error}: {name} in {line}"))
}

/// Runs a machine with the raw image until it ends by itself; returns its cache maintenance too.
pub fn run(boot: Boot) -> (Outcome, Maintenance) {
    let instructions = instructions(&in_tree("build/debris.bin"));
    let filter: Vec<String> = instructions.keys().map(|at| format!("{at:#x}+4")).collect();
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let events =
        ["memory_region_ops_write", "virtio_blk_handle_read", "virtio_blk_handle_write", "virtio_blk_rw_complete"];
    let logged = format!("exec,cpu,trace:{}", events.join(",trace:"));
    let path = log.path().to_str().expect("a name in ASCII");
    let outcome = boot.options(&["-singlestep", "-d", &logged, "-dfilter", &filter.join(","), "-D", path]);
    let outcome = outcome.time_limit(TIME_LIMIT).run();
    let found = Maintenance::default();
    let mut reader = Reader { instructions, next: None, registers: [0; 16], pending: false, found };
    for line in BufReader::new(File::open(log.path()).expect("QEMU's log")).lines() {
        reader.line(&line.expect("a line of QEMU's log"));
    }
    (outcome, reader.found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
Trace 0: 0x7f41440032c0 [00000000/60010004/00000770/ff000201] \n\
R00=00000000 R01=60400040 R02=64000000 R03=00c5007a\n\
PSR=400001d3 -Z-- A S svc32\n\
Trace 0: 0x7f41440032c4 [00000000/60010008/00000770/ff000201] \n\
PSR=400001d3 -Z-- A S svc32\n\
Trace 0: 0x7f41440032c0 [00000000/60010004/00000770/ff000201] \n\
virtio_blk_rw_complete vdev 0x55d0 req 0x55d8 ret 0\n\
R00=00000000 R01=60400060 R02=64000000 R03=00c5007a\n\
PSR=400001d3 -Z-- A S svc32\n\
memory_region_ops_write cpu 0 mr 0x56 addr 0x1e00a7b0 value 0x60400040 size 4 name 'l2x0_cc'\n\
memory_region_ops_write cpu 0 mr 0x56 addr 0x1e00a730 value 0x0 size 4 name 'other'\n\
memory_region_ops_write cpu 0 mr 0x56 addr 0x1e00a730 value 0x0 size 4 name 'l2x0_cc'\n\
virtio_blk_handle_read vdev 0x55d0 req 0x55d8 sector 8 nsectors 16\n";

    #[test]
    fn a_log_is_read() {
        let words = [0xe3a0_0000, 0xee07_1f3a, 0xf57f_f04f].map(Instruction::decode);
        let instructions = (IMAGE_BASE..).step_by(4).zip(words).filter_map(|(at, found)| Some((at, found?))).collect();
        let found = Maintenance::default();
        let mut reader = Reader { instructions, next: None, registers: [0; 16], pending: false, found };
        LOG.lines().for_each(|line| reader.line(line));
        let lines = |level, start| Step::Lines { level, op: CacheOp::Clean, start, bytes: 32 };
        let expected = [
            lines(Level::Inner, 0x6040_0040),
            Step::DiskEnds { request: 0x55d8 },
            lines(Level::Inner, 0x6040_0060),
            Step::NotAwaited,
            lines(Level::Outer, 0x6040_0040),
            Step::Sync,
            Step::DiskBegins { request: 0x55d8, writes: false, bytes: 8192 },
        ];
        assert_eq!(reader.found.steps, expected);
    }
}
