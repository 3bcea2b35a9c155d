// SPDX-License-Identifier: MIT OR Apache-2.0

//! Any bytes as a recorded trace in the initrd, replayed under three placements: whatever format they are in, the command that
//! a user would type reads them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let run = "replay; release all; replay align=page placement=spare-heads; release all; replay align=order placement=next-fit";
    debris_fuzz::at_the_monitor(run, b"", Some(bytes));
});
