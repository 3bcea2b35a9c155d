// SPDX-License-Identifier: MIT OR Apache-2.0

//! `peers`: the table of allocators; `peers calls NAME PAGES`: the measured calls alone, for a
//! profiler.
//!
//! Instructions and cache misses are those of the measured calls under `valgrind --tool=callgrind`,
//! which the table starts; without valgrind these columns are empty. Nanoseconds are the host's,
//! and include drawing a slot.

mod allocators;
mod load;

use std::alloc::{GlobalAlloc, Layout, System};
use std::env;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use allocators::{NAMES, with};
use load::STEPS;

/// The areas: the published one, and one of 512 MiB.
const AREAS: [u32; 2] = [2_048, 131_072];

/// Counts allocated bytes, to measure an allocator's metadata.
struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's obligations are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's obligations are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    if let ["calls", name, pages] = words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        let pages = pages.parse().expect("a number of pages");
        with(name, pages, |allocator| load::calls(allocator, pages)).expect("a known allocator");
        return;
    }
    println!(
        "{:<23} {:>7} {:>12} {:>8} {:>10} {:>10} {:>9}  it gives up, or is",
        "allocator", "pages", "instructions", "ns", "D1 misses", "to failure", "bytes"
    );
    for pages in AREAS {
        // A tree of intervals takes many minutes to fill the larger area.
        for (name, what) in NAMES.into_iter().filter(|&(name, _)| pages == AREAS[0] || name != "vm-allocator") {
            row(name, what, pages);
        }
    }
}

fn row(name: &str, what: &str, pages: u32) {
    let before = BYTES.load(Ordering::Relaxed);
    let measured = with(name, pages, |allocator| {
        let ns = load::calls(allocator, pages);
        (ns, BYTES.load(Ordering::Relaxed).saturating_sub(before))
    });
    let (ns, bytes) = measured.expect("a known allocator");
    // The larger area is not filled until a failure: that takes days.
    let failure = (pages == AREAS[0])
        .then(|| with(name, pages, |allocator| load::until_failure(allocator, pages)).expect("a known allocator"))
        .map(|allocations| {
            allocations.map_or_else(|| format!(">{}", load::MOST), |allocations| allocations.to_string())
        })
        .unwrap_or_default();
    let (instructions, misses) =
        profile(name, pages).map_or_else(Default::default, |(a, b)| (a.to_string(), format!("{b:.1}")));
    println!("{name:<23} {pages:>7} {instructions:>12} {ns:>8.0} {misses:>10} {failure:>10} {bytes:>9}  {what}");
}

/// Returns instructions and misses of the first data cache, each per measured call.
fn profile(name: &str, pages: u32) -> Option<(u64, f64)> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--cache-sim=yes", "--callgrind-out-file=/dev/null"])
        .args(["--toggle-collect=peers::load::measured_allocate", "--toggle-collect=peers::load::measured_release"])
        .arg(env::current_exe().ok()?)
        .args(["calls", name, &pages.to_string()])
        .output()
        .ok()?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let number = |what: &str| -> Option<u64> {
        let line = log.lines().find(|line| line.contains(what))?;
        line.rsplit(what).next()?.split_whitespace().next()?.replace(',', "").parse().ok()
    };
    let calls = u64::from(STEPS);
    Some((number("I   refs:")? / calls, number("D1  misses:")? as f64 / calls as f64))
}
