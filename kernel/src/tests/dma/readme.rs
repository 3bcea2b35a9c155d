// SPDX-License-Identifier: MIT OR Apache-2.0

//! The driver that the book shows is the one that the documentation's test compiles and runs.

use std::vec::Vec;

/// The lines of code between two fences, those that a documentation hides left out.
fn example<'t>(text: &'t str, fence: &str, strip: &str) -> Vec<&'t str> {
    let lines = text.lines().map(|line| line.strip_prefix(strip).unwrap_or(line).trim_end());
    let code = lines.skip_while(|line| *line != fence).skip(1).take_while(|line| *line != "```");
    code.filter(|line| !line.starts_with('#') && *line != "//!").filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_book_shows_the_tested_driver() {
    let page = include_str!("../../../../docs/driver.md");
    let (shown, tested) = (example(page, "```rust", ""), example(include_str!("../../drivers.rs"), "```", "//! "));
    assert!(shown.len() > 15 && shown[0].starts_with("use kernel::dma"), "{shown:?}");
    assert_eq!(shown, tested);
}
