// SPDX-License-Identifier: MIT OR Apache-2.0

//! Any bytes typed at the prompt of a whole monitor on the host tests' machine.
#![no_main]

/// The recording for `replay`.
const TRACE: &[u8] = b"a 1 3 2\na 2 51 6\nr 1\na 3 700 0\nr 3\n";

libfuzzer_sys::fuzz_target!(|typed: &[u8]| {
    debris_fuzz::at_the_monitor("", typed, Some(TRACE));
});
