// SPDX-License-Identifier: MIT OR Apache-2.0

//! The code that the book shows is what the tests compile.

use std::vec::Vec;

/// The lines of code between two fences, those that a documentation hides left out.
fn example<'t>(text: &'t str, fence: &str, strip: &str) -> Vec<&'t str> {
    let lines = text.lines().map(|line| line.strip_prefix(strip).unwrap_or(line).trim_end());
    let code = lines.skip_while(|line| *line != fence).skip(1).take_while(|line| *line != "```");
    code.filter(|line| !line.starts_with('#') && *line != "//!").filter(|line| !line.is_empty()).collect()
}

/// The driver is the one that the documentation's test compiles and runs.
#[test]
fn the_book_shows_the_tested_driver() {
    let page = include_str!("../../docs/driver.md");
    let (shown, tested) = (example(page, "```rust", ""), example(include_str!("drivers.rs"), "```", "//! "));
    assert!(shown.len() > 15 && shown[0].starts_with("use kernel::dma"), "{shown:?}");
    assert_eq!(shown, tested);
}

/// The page shows the files that are in the tables of the tests, where every test of a table sees
/// them.
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
