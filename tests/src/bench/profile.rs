// SPDX-License-Identifier: MIT OR Apache-2.0

//! Attributes the instructions of a benchmark's calls to functions.
//!
//! QEMU logs every block of instructions that it translates (`-d in_asm`) and every one that it
//! executes (`exec,nochain`). The log is read as it is written, and never stored. Between the two
//! readings of the clock around each measured call (`first_reading` and `last_reading` of the
//! kernel's stopwatch) the instructions of executed blocks are counted by address; debug
//! information then gives their functions, inlined ones included. The clock and the stopwatch are
//! left out, as they are from the benchmark's figures; so are readings inside a call, which the
//! figures include (an area that is emptied reads the clock for each phase). For `boot` everything
//! up to the first command counts.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use kernel::lab::bench::names;
use kernel::machine::Machine;
use tempfile::TempDir;

use super::hard;
use super::machines::machine_for;
use crate::in_tree;
use crate::symbols::{Place, Symbols};

/// Number of functions and lines that are printed.
const SHOWN: usize = 24;
/// Seconds after which QEMU is ended; logging makes it about thirty times slower.
const TIME_LIMIT: &str = "600";

/// Source of the code around the measured calls.
const STOPWATCH: &str = "kernel/lab/src/stopwatch.rs";
/// Source of the code that reads the clock.
const CLOCK: &str = "boot/src/cpu/clock.rs";

/// Function that reads a device's register.
const DEVICE_READ: &str = "read_volatile";

/// Bytes of an instruction.
const INSTRUCTION: u32 = 4;

/// A block as QEMU translated it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Block {
    start: u32,
    instructions: u32,
}

impl Block {
    const fn end(self) -> u32 {
        self.start + self.instructions * INSTRUCTION
    }

    /// Returns the number of its instructions that were executed before `next`.
    ///
    /// When instructions are counted, only a block's last instruction may access a device: before
    /// any other that does, QEMU leaves the block and continues with a new, shorter one that begins
    /// there.
    const fn executed_before(self, next: Self) -> u32 {
        if next.start >= self.start && next.start < self.end() && next.end() < self.end() {
            (next.start - self.start) / INSTRUCTION
        } else {
            self.instructions
        }
    }
}

/// Effect on the count of the last instruction of a sequence of executed ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mark {
    Begin,
    End,
    None,
}

/// Counter of the instructions in the log.
struct Counter<F> {
    mark_of: F,
    marks: HashMap<u32, Mark>,
    /// The block whose translation is being listed.
    listed: Option<Block>,
    /// Translated blocks that were not executed yet, by address.
    translated: HashMap<u32, Block>,
    /// Executed blocks, by the address of QEMU's translation.
    blocks: HashMap<u64, Block>,
    previous: Option<Block>,
    counting: bool,
    calls: u64,
    /// Number of executions of each executed block, or part of one.
    runs: HashMap<Block, u64>,
}

impl<F: FnMut(u32) -> Mark> Counter<F> {
    fn new(mark_of: F, counting: bool) -> Self {
        Self {
            mark_of,
            marks: HashMap::new(),
            listed: None,
            translated: HashMap::new(),
            blocks: HashMap::new(),
            previous: None,
            counting,
            calls: u64::from(counting),
            runs: HashMap::new(),
        }
    }

    fn line(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("Trace ") {
            self.finish_listing();
            if let Some((translation, address)) = executed(rest) {
                self.execute(translation, address);
            }
        } else if line.starts_with("IN:") {
            self.finish_listing();
        } else if let Some(address) = listed(line) {
            match &mut self.listed {
                Some(block) => block.instructions += 1,
                None => self.listed = Some(Block { start: address, instructions: 1 }),
            }
        }
    }

    fn finish_listing(&mut self) {
        if let Some(block) = self.listed.take() {
            self.translated.insert(block.start, block);
        }
    }

    fn execute(&mut self, translation: u64, address: u32) {
        if let Some(block) = self.translated.remove(&address) {
            self.blocks.insert(translation, block);
        }
        let Some(&block) = self.blocks.get(&translation) else { return };
        if let Some(previous) = self.previous.take() {
            self.executed(Block { instructions: previous.executed_before(block), ..previous });
        }
        self.previous = Some(block);
    }

    /// Counts the instructions of `row`, executed in sequence. Only its last one can be a reading
    /// of the clock, because only the last of a block may access a device.
    fn executed(&mut self, row: Block) {
        if row.instructions == 0 {
            return;
        }
        if self.counting {
            *self.runs.entry(row).or_default() += 1;
        }
        let last = row.end() - INSTRUCTION;
        let mark_of = &mut self.mark_of;
        match *self.marks.entry(last).or_insert_with(|| mark_of(last)) {
            Mark::Begin => {
                self.calls += u64::from(!self.counting);
                self.counting = true;
            }
            Mark::End => self.counting = false,
            Mark::None => {}
        }
    }

    /// Returns the number of executions of each instruction.
    fn instructions(&self) -> HashMap<u32, u64> {
        let mut counts = HashMap::new();
        for (block, times) in &self.runs {
            for instruction in 0..block.instructions {
                *counts.entry(block.start + instruction * INSTRUCTION).or_default() += times;
            }
        }
        counts
    }
}

/// Parses `0: 0x7f8a [00400000/60010abc/00000101/ff200000] name`: the address of the translation,
/// and that of the block.
fn executed(line: &str) -> Option<(u64, u32)> {
    let (_, rest) = line.split_once(": 0x")?;
    let (translation, rest) = rest.split_once(" [")?;
    let address = rest.split('/').nth(1)?;
    Some((u64::from_str_radix(translation, 16).ok()?, u64::from_str_radix(address, 16).ok()? as u32))
}

/// Parses `0x60010000:  e3a00000  mov r0, #0`: the instruction's address.
fn listed(line: &str) -> Option<u32> {
    let (address, _) = line.strip_prefix("0x")?.split_once(": ")?;
    u32::from_str_radix(address, 16).ok()
}

/// Returns a path relative to the project's root, if it is in the kernel's sources.
fn own_file(location: &str) -> Option<&str> {
    ["kernel/", "boot/src/"].iter().find_map(|root| location.rfind(root).map(|at| &location[at..]))
}

/// Returns the innermost function of the project that an instruction is in, and its line: library
/// code is attributed to its caller.
fn owner(places: &[Place]) -> Option<(String, String)> {
    let own = |place: &Place| {
        let location = own_file(place.location.as_deref()?)?;
        Some((short(&place.function), location.to_owned()))
    };
    places.iter().find_map(own).or_else(|| places.first().map(|place| (short(&place.function), String::new())))
}

/// Shortens a function's path: `page_alloc::zone::Zone::index` becomes `Zone::index`.
fn short(function: &str) -> String {
    let plain = function.split('<').next().unwrap_or_default().trim_end_matches(':');
    if plain.is_empty() {
        return function.to_owned();
    }
    let parts: Vec<&str> = plain.split("::").collect();
    let from = parts.len().saturating_sub(2);
    parts[from..].join("::")
}

/// Instructions by function and by line.
#[derive(Default)]
struct Profile {
    benchmark: String,
    calls: u64,
    functions: HashMap<String, u64>,
    lines: HashMap<String, u64>,
}

impl Profile {
    fn of(benchmark: &str, calls: u64, instructions: &HashMap<u32, u64>, symbols: &Symbols) -> Self {
        let mut profile = Self { benchmark: benchmark.into(), calls, ..Self::default() };
        for (&address, &times) in instructions {
            let places = symbols.resolve(address.into());
            if places.iter().filter_map(|place| place.location.as_deref()).any(|at| at.contains(CLOCK)) {
                continue;
            }
            let (function, line) = owner(&places).unwrap_or_else(|| ("unknown".into(), String::new()));
            if line.starts_with(STOPWATCH) {
                continue;
            }
            let file = line.split(':').next().unwrap_or_default();
            *profile.functions.entry(format!("{function}  {file}")).or_default() += times;
            *profile.lines.entry(format!("{line}  {function}")).or_default() += times;
        }
        profile.join_nameless_files();
        profile
    }

    /// Adds instructions of which only the function is known to the function of that name, if there
    /// is only one.
    fn join_nameless_files(&mut self) {
        let nameless: Vec<String> = self.functions.keys().filter(|key| key.ends_with("  ")).cloned().collect();
        for key in nameless {
            let mut alike = self.functions.keys().filter(|other| **other != key && other.starts_with(&key));
            if let (Some(full), None) = (alike.next().cloned(), alike.next())
                && let Some(times) = self.functions.remove(&key)
            {
                *self.functions.entry(full).or_default() += times;
            }
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u64 = self.functions.values().sum();
        let per_call = |times: u64| times as f64 / self.calls as f64;
        let calls = if self.calls == 1 { "call" } else { "calls" };
        let (name, count, each) = (&self.benchmark, self.calls, per_call(total));
        writeln!(f, "{name}: {count} {calls} of {each:.1} instructions, without clock and stopwatch")?;
        for (what, counts) in [("function", &self.functions), ("line", &self.lines)] {
            writeln!(f, "\n{:>12}  {:>6}  {what}", "per call", "share")?;
            let mut sorted: Vec<_> = counts.iter().collect();
            sorted.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
            let share = |times: u64| times as f64 * 100.0 / total.max(1) as f64;
            for (name, times) in sorted.iter().take(SHOWN) {
                writeln!(f, "{:>12.1}  {:>5.1}%  {}", per_call(**times), share(**times), name.trim_end())?;
            }
            let rest: u64 = sorted.iter().skip(SHOWN).map(|(_, times)| **times).sum();
            if rest > 0 {
                writeln!(f, "{:>12.1}  {:>5.1}%  the rest", per_call(rest), share(rest))?;
            }
        }
        Ok(())
    }
}

/// Runs a benchmark in a QEMU that logs, and returns its profile as text.
///
/// # Errors
/// A message: there is no such benchmark or hard load, or it could not be run or its log not be
/// read.
pub fn run(benchmark: &str) -> Result<String, String> {
    let all = || names::<dyn Machine>().map(str::to_owned).chain(hard::names()).collect::<Vec<_>>().join(" ");
    let unknown = || format!("no benchmark '{benchmark}'; there are {}", all());
    let directory = TempDir::new().map_err(|error| error.to_string())?;
    let boot = machine_for(benchmark).or_else(|| hard::machine_for(benchmark, &directory)).ok_or_else(unknown)??;
    let symbols = Symbols::load(&in_tree("build/debris.elf"))?;
    let whole_boot = benchmark == "boot";
    let mark_of = |address: u32| {
        let places = symbols.resolve(address.into());
        let is_in = |name: &str| places.iter().any(|place| short(&place.function).ends_with(name));
        if whole_boot {
            return if is_in("print_boot_record") { Mark::End } else { Mark::None };
        }
        match is_in(DEVICE_READ) {
            true if is_in("first_reading") => Mark::Begin,
            true if is_in("last_reading") => Mark::End,
            _ => Mark::None,
        }
    };

    let (mut command, tree) = boot.into_command(&["-d", "in_asm,exec,nochain"]);
    command.env("TIMEOUT", TIME_LIMIT).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("scripts/qemu: {error}"))?;
    let log = child.stderr.take().ok_or("QEMU has no log")?;
    let mut counter = Counter::new(mark_of, whole_boot);
    let mut last = String::new();
    let read = || -> std::io::Result<()> {
        let mut reader = BufReader::with_capacity(1 << 20, log);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            let text = String::from_utf8_lossy(&line);
            counter.line(text.trim_end());
            if !text.starts_with("Trace") && !text.trim().is_empty() {
                last.clear();
                // Writing to a string cannot fail.
                let _ = write!(last, "{}", text.trim_end());
            }
            line.clear();
        }
        Ok(())
    };
    let result = read();
    let status = child.wait().map_err(|error| format!("scripts/qemu: {error}"))?;
    drop(tree);
    result.map_err(|error| format!("QEMU's log: {error}"))?;
    if !status.success() {
        return Err(format!("QEMU ended with {status}; its last words: {last}"));
    }
    let (calls, instructions) = (counter.calls, counter.instructions());
    if calls == 0 {
        return Err(format!("{benchmark} makes no call that is measured"));
    }
    Ok(Profile::of(benchmark, calls, &instructions, &symbols).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
----------------
IN: begin
0x00000100:  e12fff1e  bx       lr

Trace 0: 0x7f01 [00000000/00000100/00000101/ff200000] begin
----------------
IN:
0x00000200:  e3a00000  mov      r0, #0
0x00000204:  e5901000  ldr      r1, [r0]
0x00000208:  e12fff1e  bx       lr

Trace 0: 0x7f02 [00000000/00000200/00000101/ff200000] work
----------------
IN:
0x00000204:  e5901000  ldr      r1, [r0]

Trace 0: 0x7f03 [00000000/00000204/00000101/ff200001] work
----------------
IN:
0x00000208:  e12fff1e  bx       lr

Trace 0: 0x7f04 [00000000/00000208/00000101/ff200000] work
IN: end
0x00000300:  e12fff1e  bx       lr

Trace 0: 0x7f05 [00000000/00000300/00000101/ff200000] end
Trace 0: 0x7f02 [00000000/00000200/00000101/ff200000] not measured
Trace 0: 0x7f01 [00000000/00000100/00000101/ff200000] begin
Trace 0: 0x7f02 [00000000/00000200/00000101/ff200000] work
Trace 0: 0x7f05 [00000000/00000300/00000101/ff200000] end
Trace 0: 0x7f02 [00000000/00000200/00000101/ff200000] not measured
----------------
IN:
0x00000400:  e5901000  ldr      r1, [r0]
0x00000404:  e12fff1e  bx       lr

Trace 0: 0x7f06 [00000000/00000400/00000101/ff200000] begins with a device
----------------
IN:
0x00000400:  e5901000  ldr      r1, [r0]

Trace 0: 0x7f07 [00000000/00000400/00000101/ff200001] begins with a device
";

    #[test]
    fn blocks_between_the_marks_are_counted_and_cut_ones_once() {
        let mark_of = |address| match address {
            0x100 | 0x3fc => Mark::Begin,
            0x300 => Mark::End,
            _ => Mark::None,
        };
        let mut counter = Counter::new(mark_of, false);
        LOG.lines().for_each(|line| counter.line(line));
        assert_eq!(counter.calls, 2);
        let mut counts: Vec<_> = counter.instructions().into_iter().collect();
        counts.sort_unstable();
        // The readings that end a call are counted with it.
        assert_eq!(counts, [(0x200, 2), (0x204, 2), (0x208, 2), (0x300, 2)]);
    }

    #[test]
    fn nameless_files_are_joined_where_that_is_certain() {
        let mut profile = Profile::default();
        for (key, times) in [("a  x.rs", 1), ("a  ", 2), ("b  ", 3), ("c  x.rs", 4), ("c  y.rs", 5), ("c  ", 6)] {
            profile.functions.insert(key.into(), times);
        }
        profile.join_nameless_files();
        let mut functions: Vec<_> = profile.functions.iter().map(|(key, times)| (key.as_str(), *times)).collect();
        functions.sort_unstable();
        assert_eq!(functions, [("a  x.rs", 3), ("b  ", 3), ("c  ", 6), ("c  x.rs", 4), ("c  y.rs", 5)]);
    }

    #[test]
    fn names_are_short_and_ours() {
        assert_eq!(short("page_alloc::zone::Zone::index"), "Zone::index");
        assert_eq!(short("main"), "main");
        assert_eq!(own_file("/home/x/debris/kernel/page-alloc/src/zone.rs:7"), Some("kernel/page-alloc/src/zone.rs:7"));
        assert_eq!(own_file("library/core/src/slice/mod.rs:7"), None);
        let place =
            |function: &str, location: &str| Place { function: function.into(), location: Some(location.into()) };
        let places = [place("core::mem::swap", "core/src/mem.rs:1"), place("a::b::c", "kernel/src/a.rs:2")];
        assert_eq!(owner(&places), Some(("b::c".into(), "kernel/src/a.rs:2".into())));
        assert_eq!(owner(&places[..1]), Some(("mem::swap".into(), String::new())));
    }
}
