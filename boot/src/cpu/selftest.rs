// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tests of this module that need the processor itself; the monitor's `selftest` runs them.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;

use kernel::units::PhysRange;

use super::mappings;
use crate::cpu::clock;

/// A test: its name, and a function that returns a message if it fails.
pub(crate) type Test = (&'static str, fn() -> Result<(), String>);

/// All tests of this module.
pub(crate) const TESTS: [Test; 3] =
    [("memory_functions", memory_functions), ("page_window", page_window), ("clock", monotonic_clock)];

/// Lengths tested by [`memory_functions`], in bytes.
const LENGTHS: core::ops::Range<usize> = 0..300;
const BUFFER: usize = 512;

/// Tests `memcpy`, `memmove` and `memset` against byte loops, at all alignments, and with all
/// overlaps that matter.
fn memory_functions() -> Result<(), String> {
    let pattern: [u8; BUFFER] = core::array::from_fn(|index| (index * 7 + 3) as u8);
    // Long lengths take the unrolled loops, short ones every tail.
    for length in LENGTHS.filter(|length| *length < 72 || length % 13 == 0) {
        for destination in 0..4 {
            for source in 0..4 {
                check_copy(&pattern, destination, source, length)?;
            }
            for distance in [1, 2, 3, 4, 5, 8, 31, 32, 36] {
                check_move(&pattern, destination, destination + distance, length)?;
                check_move(&pattern, destination + distance, destination, length)?;
            }
            check_set(&pattern, destination, length)?;
        }
    }
    Ok(())
}

fn check_copy(pattern: &[u8; BUFFER], destination: usize, source: usize, length: usize) -> Result<(), String> {
    let mut got = [0xee_u8; BUFFER];
    core::hint::black_box(&mut got[32 + destination..][..length])
        .copy_from_slice(core::hint::black_box(&pattern[source..source + length]));
    let right = got.iter().enumerate().all(|(index, byte)| {
        let inside = index.checked_sub(32 + destination).filter(|offset| *offset < length);
        *byte == inside.map_or(0xee, |offset| pattern[source + offset])
    });
    right.then_some(()).ok_or_else(|| format!("memcpy to +{destination} from +{source}, {length} bytes"))
}

fn check_move(pattern: &[u8; BUFFER], destination: usize, source: usize, length: usize) -> Result<(), String> {
    let mut got = *pattern;
    core::hint::black_box(&mut got).copy_within(source..source + length, destination);
    let right = got.iter().enumerate().all(|(index, byte)| {
        let inside = index.checked_sub(destination).filter(|offset| *offset < length);
        *byte == inside.map_or(pattern[index], |offset| pattern[source + offset])
    });
    right.then_some(()).ok_or_else(|| format!("memmove to +{destination} from +{source}, {length} bytes"))
}

fn check_set(pattern: &[u8; BUFFER], destination: usize, length: usize) -> Result<(), String> {
    let mut got = *pattern;
    core::hint::black_box(&mut got[destination..][..length]).fill(0xa5);
    let right = got.iter().enumerate().all(|(index, byte)| {
        let inside = index.checked_sub(destination).is_some_and(|offset| offset < length);
        *byte == if inside { 0xa5 } else { pattern[index] }
    });
    right.then_some(()).ok_or_else(|| format!("memset at +{destination}, {length} bytes"))
}

/// A page of address space that nothing else uses, in the last section but one.
const WINDOW: u32 = 0xffe0_0000;

/// Tests that one address of a window maps two frames in turn.
fn page_window() -> Result<(), String> {
    let memory = Box::leak(vec![0_u32; 3 * 1024].into_boxed_slice());
    let first = (memory.as_ptr().expose_provenance() as u32).next_multiple_of(4096);
    let frames = [first, first + 4096];
    mappings::with(|map| map.space().reserve_window(PhysRange::sized(WINDOW.into(), 4096)))
        .map_err(|error| format!("{error}"))?;
    let window = core::ptr::with_exposed_provenance_mut::<u32>(WINDOW as usize);
    let mut result = Ok(());
    for round in 0..4 {
        let frame = frames[round % 2];
        mappings::with(|map| map.space().set_page(WINDOW, Some(frame)));
        // SAFETY: the window shows a frame of `memory`, and nothing else refers to it while this
        // runs.
        unsafe { window.wrapping_add(round).write_volatile(0x600d_0000 + round as u32) };
        let word = core::ptr::with_exposed_provenance::<u32>(frame as usize).wrapping_add(round);
        // SAFETY: the same word, by the address it has in `memory`.
        let seen = unsafe { word.read_volatile() };
        if seen != 0x600d_0000 + round as u32 {
            result = Err(format!("round {round}: frame {frame:#010x} holds {seen:#010x}"));
        }
    }
    mappings::with(|map| map.space().set_page(WINDOW, None));
    // SAFETY: `memory` was leaked from a box of this type above, and the window no longer maps it.
    drop(unsafe { Box::from_raw(memory) });
    result
}

/// Tests that the clock never goes back and counts.
fn monotonic_clock() -> Result<(), String> {
    let mut before = clock::now_ns();
    for _ in 0..1000 {
        let now = clock::now_ns();
        if now < before {
            return Err(format!("{now} ns after {before} ns"));
        }
        before = now;
    }
    if before == 0 { Err(String::from("the timer does not count")) } else { Ok(()) }
}
