// SPDX-License-Identifier: MIT OR Apache-2.0

//! Loads that are hard for a search, and that the allocator was not tuned for: each is a trace that
//! is written here, replayed from an empty area, including the first call. Its limits are in
//! `bench/limits.csv` as `hard/NAME`.

use std::fmt::Write as _;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use super::{Figure, Figures, PREFIX_OF_HARD, machines};
use crate::{Boot, Tree, in_tree};

/// Pages of `dts/bench-768.dtsi`'s area.
const LARGE: u32 = 196_608;
/// Pages of the board's areas.
const SMALL: u32 = 2_048;
/// Machines that run at a time.
const MACHINES: usize = 2;

/// A load: its name, the pages of its area, the keys of `replay`, and its trace.
struct Load {
    name: &'static str,
    pages: u32,
    keys: &'static str,
    trace: Trace,
}

/// Source of a trace.
#[derive(Clone, Copy)]
enum Trace {
    /// A file of `tests/data`.
    File(&'static str),
    /// Every second page used, then failing requests at alignments of 2^0 to 2^9, with a page
    /// toggled between them.
    Comb,
    /// Buffers of 4,000 pages, single free pages between them, and small requests that fail.
    Holes,
    /// `.1` allocations of sizes over many orders of magnitude at page alignment, `.0` percent
    /// full.
    Longer(u32, u32),
    /// Requests at several alignments, 2^9 and 2^10 among them.
    HighAlign,
    /// One page at every multiple of 2^`.0`, then one request of `.1` pages at alignment 2^`.2`
    /// that fails.
    Stale(u32, u32, u32),
    /// 20,000 buffers of a page on every second page, then small ones at random.
    Live,
}

const LOADS: [Load; 18] = [
    Load { name: "wquad", pages: LARGE, keys: "", trace: Trace::File("perf/wquad.trace") },
    Load { name: "holes", pages: LARGE, keys: "", trace: Trace::Holes },
    Load { name: "stale-1-3-0", pages: LARGE, keys: "", trace: Trace::Stale(1, 3, 0) },
    Load { name: "stale-1-300-0", pages: LARGE, keys: "", trace: Trace::Stale(1, 300, 0) },
    Load { name: "stale-1-32-5", pages: LARGE, keys: "", trace: Trace::Stale(1, 32, 5) },
    Load { name: "stale-2-3-1", pages: LARGE, keys: "", trace: Trace::Stale(2, 3, 1) },
    Load { name: "stale-5-32-0", pages: LARGE, keys: "", trace: Trace::Stale(5, 32, 0) },
    Load { name: "comb", pages: LARGE, keys: "", trace: Trace::Comb },
    Load { name: "longer", pages: LARGE, keys: "", trace: Trace::Longer(90, 30_000) },
    Load { name: "high-align", pages: LARGE, keys: "", trace: Trace::HighAlign },
    Load { name: "live", pages: LARGE, keys: "", trace: Trace::Live },
    Load { name: "live-best-fit", pages: LARGE, keys: " placement=best-fit", trace: Trace::Live },
    Load { name: "live-worst-fit", pages: LARGE, keys: " placement=worst-fit", trace: Trace::Live },
    Load { name: "live-two-ended", pages: LARGE, keys: " placement=two-ended", trace: Trace::Live },
    Load {
        name: "longer-spare-heads",
        pages: LARGE,
        keys: " align=order placement=spare-heads",
        trace: Trace::Longer(90, 30_000),
    },
    Load { name: "longer-8m", pages: SMALL, keys: "", trace: Trace::Longer(80, 20_000) },
    Load { name: "churn-full", pages: SMALL, keys: "", trace: Trace::File("linux-6.1/churn-full.trace") },
    Load { name: "camera", pages: SMALL, keys: "", trace: Trace::File("linux-6.1/camera.trace") },
];

/// Reproducible random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ bits >> 31) % u64::from(end)) as u32
    }

    fn of<const N: usize>(&mut self, values: [u32; N]) -> u32 {
        values[self.below(N as u32) as usize]
    }
}

/// Text of a trace being written: allocations are numbered.
#[derive(Default)]
struct Text {
    lines: String,
    next: u32,
}

impl Text {
    fn allocate(&mut self, pages: u32, align: u32) -> u32 {
        let id = self.next;
        self.next += 1;
        let _ = writeln!(self.lines, "a {id} {pages} {align}");
        id
    }

    fn release(&mut self, id: u32) {
        let _ = writeln!(self.lines, "r {id}");
    }
}

impl Trace {
    /// Returns the trace's text, for an area of `pages` pages.
    fn text(self, pages: u32) -> Result<String, String> {
        let mut text = Text::default();
        match self {
            Self::File(name) => {
                let path = in_tree("tests/data").join(name);
                return fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()));
            }
            Self::Comb => comb(&mut text, pages),
            Self::Holes => holes(&mut text, pages),
            Self::Longer(percent, steps) => longer(&mut text, pages, percent, steps),
            Self::HighAlign => high_align(&mut text),
            Self::Stale(spacing, pages_asked, align) => {
                for _ in 0..pages >> spacing {
                    text.allocate(1, spacing);
                }
                text.allocate(pages_asked, align);
            }
            Self::Live => live(&mut text),
        }
        Ok(text.lines)
    }
}

fn comb(text: &mut Text, pages: u32) {
    let singles: Vec<u32> = (0..pages).map(|_| text.allocate(1, 0)).collect();
    singles.iter().step_by(2).for_each(|&id| text.release(id));
    for turn in 0..2 {
        let mut toggled = singles[2 * (turn + 7) + 1];
        let asked = [(2, 0), (2, 1), (3, 0), (3, 2), (5, 1), (8, 3), (32, 5), (256, 8), (300, 0), (512, 9), (3, 9)];
        for (pages, align) in asked {
            text.release(toggled);
            toggled = text.allocate(1, 0);
            let failing = text.allocate(pages, align);
            text.release(failing);
        }
    }
}

fn holes(text: &mut Text, pages: u32) {
    let mut random = Random(11);
    let singles: Vec<u32> = (0..100).map(|_| text.allocate(1, 0)).collect();
    let count = (pages - 100) / 4_000;
    let mut large: Vec<u32> = (0..count).map(|_| text.allocate(4_000, 0)).collect();
    text.allocate(pages - 100 - 4_000 * count, 0);
    singles.iter().step_by(2).for_each(|&id| text.release(id));
    for turn in 0..40 {
        let gone = large.swap_remove(random.below(large.len() as u32) as usize);
        text.release(gone);
        large.push(text.allocate(3_990, 0));
        text.allocate(10, 0);
        let failing = text.allocate(3 + turn % 31, 0);
        text.release(failing);
    }
}

fn longer(text: &mut Text, area: u32, percent: u32, steps: u32) {
    let (mut random, mut held, mut used) = (Random(13), Vec::new(), 0);
    for _ in 0..steps {
        // Roughly log-normal: the number of set bits of 16 is roughly normal, with a deviation of 2
        // octaves.
        let octaves = random.below(1 << 16).count_ones();
        let pages = ((8 + random.below(8)) << octaves >> 8).clamp(1, area / 16);
        while used + pages > area / 100 * percent {
            let (id, freed) = held.swap_remove(random.below(held.len() as u32) as usize);
            used -= freed;
            text.release(id);
        }
        held.push((text.allocate(pages, 0), pages));
        used += pages;
    }
}

fn high_align(text: &mut Text) {
    let (mut random, mut held) = (Random(12), Vec::new());
    for _ in 0..20_000 {
        if !held.is_empty() && (held.len() > 500 || random.below(100) < 45) {
            text.release(held.swap_remove(random.below(held.len() as u32) as usize));
        } else {
            let pages = random.of([1, 5, 20, 60, 130, 257, 400, 800]);
            held.push(text.allocate(pages, random.of([0, 2, 8, 9, 10])));
        }
    }
}

fn live(text: &mut Text) {
    let mut random = Random(15);
    let mut held: Vec<u32> = (0..20_000).map(|_| text.allocate(1, 1)).collect();
    for _ in 0..4_000 {
        let at = random.below(20_000) as usize;
        text.release(held[at]);
        held[at] = text.allocate(random.of([1, 1, 2, 3, 5, 9]), 0);
    }
}

impl Load {
    fn boot(&self, directory: &TempDir) -> Result<Boot, String> {
        let trace = directory.path().join(self.name);
        fs::write(&trace, self.trace.text(self.pages)?).map_err(|error| format!("{}: {error}", trace.display()))?;
        let boot = Boot::commands(&format!("replay{}", self.keys));
        let boot = boot.memory("1024M").counted().time_limit(machines::TIME_LIMIT).initrd(trace);
        if self.pages == SMALL {
            return Ok(boot);
        }
        let nodes = fs::read_to_string(in_tree("dts/bench-768.dtsi")).map_err(|error| error.to_string())?;
        Ok(boot.with("cma=0").tree(Tree::Nodes(nodes)))
    }

    /// Replays the load and reads its figures from the record.
    fn measure(&self, directory: &TempDir) -> Result<Vec<Figure>, String> {
        let outcome = self.boot(directory)?.run();
        let record = outcome.console().lines().find(|line| line.starts_with("{\"record\":\"replay\","));
        let record = record.filter(|_| outcome.status() == Some(0)).ok_or_else(|| outcome.to_string())?;
        let record: Value = serde_json::from_str(record).map_err(|error| format!("{error} in the record {record}"))?;
        let fields =
            [("alloc_ns", "op"), ("alloc_p999_ns", "op_p999"), ("alloc_max_ns", "op_max"), ("release_ns", "release")];
        let figure = |(field, what): (&str, &str)| {
            let value = record[field].as_u64().ok_or_else(|| format!("no {field} in {record}"))?;
            Ok(Figure { benchmark: format!("{PREFIX_OF_HARD}{}", self.name), what: what.into(), value })
        };
        fields.into_iter().map(figure).collect()
    }
}

/// Returns the names of the loads' benchmarks.
pub fn names() -> impl Iterator<Item = String> {
    LOADS.iter().map(|load| format!("{PREFIX_OF_HARD}{}", load.name))
}

/// Returns the machine that replays a load, whose trace is written into a directory; `None` if
/// there is no such load.
pub(super) fn machine_for(name: &str, directory: &TempDir) -> Option<Result<Boot, String>> {
    let name = name.strip_prefix(PREFIX_OF_HARD)?;
    LOADS.iter().find(|load| load.name == name).map(|load| load.boot(directory))
}

/// Replays every load, some at a time, and returns their figures in the loads' order.
///
/// # Errors
/// The console of a machine that failed.
pub fn measure() -> Result<Figures, String> {
    let directory = TempDir::new().map_err(|error| error.to_string())?;
    let (next, measured) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..MACHINES {
            scope.spawn(|| {
                while let Some(load) = LOADS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let figures = load.measure(&directory);
                    measured.lock().unwrap_or_else(|held| held.into_inner()).push((load.name, figures));
                }
            });
        }
    });
    let mut measured = measured.into_inner().unwrap_or_else(|held| held.into_inner());
    measured.sort_by_key(|(name, _)| LOADS.iter().position(|load| load.name == *name));
    let figures: Result<Vec<_>, String> = measured.into_iter().map(|(_, figures)| figures).collect();
    Ok(Figures(figures?.into_iter().flatten().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trace_is_one() {
        for load in &LOADS {
            let text = load.trace.text(load.pages).expect("the trace is written");
            assert!(text.lines().all(|line| line.starts_with("a ") || line.starts_with("r ")), "{}", load.name);
            assert_eq!(text, load.trace.text(load.pages).expect("once more"), "{} differs", load.name);
        }
        let longer = Trace::Longer(90, 1_000).text(LARGE).expect("the trace is written");
        let pages: Vec<u32> = longer.lines().filter_map(|line| line.split(' ').nth(2)?.parse().ok()).collect();
        assert!(pages.iter().any(|&pages| pages > 200) && pages.contains(&1));
    }
}
