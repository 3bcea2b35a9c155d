// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks that the code in the documents is the code that the tests compile.

use std::vec::Vec;

/// Returns the lines of code between two fences, without lines that rustdoc hides.
fn example<'t>(text: &'t str, fence: &str, strip: &str) -> Vec<&'t str> {
    let lines = text.lines().map(|line| line.strip_prefix(strip).unwrap_or(line).trim_end());
    let code = lines.skip_while(|line| *line != fence).skip(1).take_while(|line| *line != "```");
    code.filter(|line| !line.starts_with('#') && *line != "//!").filter(|line| !line.is_empty()).collect()
}

/// Checks that the driver in the book is the one that a doc test compiles and runs.
#[test]
fn the_book_shows_the_tested_driver() {
    let page = include_str!("../../docs/driver.md");
    let (shown, tested) = (example(page, "```rust", ""), example(include_str!("drivers.rs"), "```", "//! "));
    assert!(shown.len() > 15 && shown[0].starts_with("use kernel::dma"), "{shown:?}");
    assert_eq!(shown, tested);
}

/// Checks that the page shows the files that are in the tests' tables, and so in every test of a
/// table.
#[test]
fn the_page_on_extending_shows_what_the_tests_compile() {
    let page = include_str!("../../docs/extending.md");
    for (file, text) in [
        ("placements/src/example.rs", include_str!("../placements/src/example.rs")),
        ("lab/src/load/example.rs", include_str!("../lab/src/load/example.rs")),
        ("monitor/src/files/example.rs", include_str!("../monitor/src/files/example.rs")),
        ("monitor/src/commands/example.rs", include_str!("../monitor/src/commands/example.rs")),
        ("lab/src/bench/example.rs", include_str!("../lab/src/bench/example.rs")),
        ("monitor/src/selftest/example.rs", include_str!("../monitor/src/selftest/example.rs")),
    ] {
        let (_licence, text) = text.split_once("\n\n").expect("a licence's line, then the file");
        assert!(page.contains(text), "docs/extending.md does not have the text of kernel/{file}");
    }
}
