// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks the links inside the documents: `make lint` runs it.

use std::process::ExitCode;

use boot_tests::docs::{broken_links, pages};

fn main() -> ExitCode {
    let pages = pages();
    let broken = broken_links(&pages);
    for line in &broken {
        println!("{line}");
    }
    println!("{} pages, {} broken links", pages.len(), broken.len());
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
