//! The driver that the README shows is the one that the documentation's test compiles and runs.

use std::string::String;
use std::vec::Vec;

/// The lines of code between two fences, those that a documentation hides left out.
fn example<'t>(text: &'t str, fence: &str, strip: &str) -> Vec<&'t str> {
    let lines = text.lines().map(|line| line.strip_prefix(strip).unwrap_or(line).trim_end());
    let code = lines.skip_while(|line| *line != fence).skip(1).take_while(|line| *line != "```");
    code.filter(|line| !line.starts_with('#') && *line != "//!").filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_readme_shows_the_tested_driver() {
    let readme = include_str!("../../../../README.md");
    let section: String =
        readme.lines().skip_while(|line| *line != "## For driver authors").fold(String::new(), |mut text, line| {
            text.push_str(line);
            text.push('\n');
            text
        });
    let (shown, tested) = (example(&section, "```rust", ""), example(include_str!("../mod.rs"), "```", "//! "));
    assert!(shown.len() > 15 && shown[0].starts_with("use kernel::dma"), "{shown:?}");
    assert_eq!(shown, tested);
}
