// SPDX-License-Identifier: MIT OR Apache-2.0

//! Any text as the kernel's command line.
#![no_main]

use kernel::cmdline::{MAX_RUN_BYTES, parse};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let cmdline = parse(text);
    assert!(cmdline.loglevel <= 7);
    assert!(cmdline.run.is_none_or(|run| run.len() <= MAX_RUN_BYTES && text.contains(&run)));
});
