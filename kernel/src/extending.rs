// SPDX-License-Identifier: MIT OR Apache-2.0

//! The page on extending, and what the tests compile.

/// The page shows the files that are in the tables of the tests, where every test of a table sees them.
#[test]
fn the_page_on_extending_shows_what_the_tests_compile() {
    let page = include_str!("../../docs/extending.md");
    for (file, text) in [
        ("../placement/src/example.rs", include_str!("../placement/src/example.rs")),
        ("lab/load/example.rs", include_str!("lab/load/example.rs")),
        ("monitor/files/example.rs", include_str!("monitor/files/example.rs")),
        ("monitor/commands/example.rs", include_str!("monitor/commands/example.rs")),
        ("lab/bench/example.rs", include_str!("lab/bench/example.rs")),
        ("monitor/selftest/example.rs", include_str!("monitor/selftest/example.rs")),
    ] {
        let (_licence, text) = text.split_once("\n\n").expect("a licence's line, then the file");
        assert!(page.contains(text), "docs/extending.md does not have the text of kernel/src/{file}");
    }
}
