// SPDX-License-Identifier: MIT OR Apache-2.0

//! Compares the output of a command with its page.

use snapbox::filter::{Filter, FilterNewlines, NormalizeToExpected};
use snapbox::{Data, IntoData};

/// Precision of the comparison of figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tolerance {
    /// Exact, except times, which may differ.
    Exact,
    /// Figures of four digits and more, times included, may differ by a tenth: for instructions,
    /// which change with the code.
    Near,
}

/// Shortest figure that may differ with [`Tolerance::Near`], in digits.
const NEAR_DIGITS: usize = 4;

/// Returns the difference as a patch of the page; `None` if there is none.
pub fn difference(expected: &str, printed: &str, tolerance: Tolerance) -> Option<String> {
    let (mut expected, mut printed) = (plain(expected), plain(printed));
    match tolerance {
        Tolerance::Exact => {
            expected = without_times(&expected);
            printed = without_times(&printed);
        }
        Tolerance::Near => {
            expected = with_single_spaces(&expected);
            printed = with_single_spaces(&snapped(&printed, &figures(&expected)));
        }
    }
    let pattern = pattern(&expected).into_data();
    let printed = FilterNewlines.filter(printed.into_data());
    let printed = NormalizeToExpected::new().redact().normalize(printed, &pattern);
    (printed != pattern).then(|| patch(&pattern, &printed))
}

fn patch(expected: &Data, printed: &Data) -> String {
    let mut text = String::new();
    let plain = snapbox::report::Palette::plain();
    snapbox::report::write_diff(&mut text, expected, printed, Some(&"the page"), Some(&"printed"), plain)
        .expect("a string can be written to");
    text
}

/// Removes the boot log's timestamps and spaces at the end of a line.
fn plain(text: &str) -> String {
    let lines = text.lines().map(|line| crate::outcome::without_timestamp(line).trim_end());
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    text.trim_start_matches('\n').to_owned()
}

/// Converts `…` to snapbox's syntax.
fn pattern(text: &str) -> String {
    let lines = text.lines().map(|line| if line.trim() == "…" { "...".to_owned() } else { line.replace('…', "[..]") });
    lines.map(|line| line + "\n").collect()
}

/// Replaces every time by `T`: a number before ` ns` or ` a second`, or of a record's field that
/// ends in `_ns`.
fn without_times(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let length = rest[at..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - at);
        let (before, behind) = (&rest[..at], &rest[at + length..]);
        let unit = behind.starts_with(" ns") || behind.starts_with(" a second");
        let field = before.strip_suffix("\":").and_then(|name| name.rsplit_once('"')).map(|(_, name)| name);
        let is_time = unit || field.is_some_and(|name| name.ends_with("_ns") || name.starts_with("ns_"));
        kept.push_str(before);
        kept.push_str(if is_time { "T" } else { &rest[at..at + length] });
        rest = behind;
    }
    kept.push_str(rest);
    kept
}

/// Returns the long figures of a text.
fn figures(text: &str) -> Vec<u64> {
    numbers(text).filter(|digits| digits.len() >= NEAR_DIGITS).filter_map(|digits| digits.parse().ok()).collect()
}

fn numbers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty())
}

/// Merges spaces: a figure's length moves its column.
fn with_single_spaces(text: &str) -> String {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

/// Replaces each long figure of `text` that is within a tenth of one of `figures` by the nearest.
fn snapped(text: &str, figures: &[u64]) -> String {
    let mut snapped = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let length = rest[at..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - at);
        let digits = &rest[at..at + length];
        snapped.push_str(&rest[..at]);
        let near = digits.parse().ok().filter(|_| digits.len() >= NEAR_DIGITS).and_then(|value: u64| {
            let close = figures.iter().filter(|figure| value.abs_diff(**figure) * 10 <= **figure);
            close.min_by_key(|figure| value.abs_diff(**figure))
        });
        match near {
            Some(figure) => snapped.push_str(&figure.to_string()),
            None => snapped.push_str(digits),
        }
        rest = &rest[at + length..];
    }
    snapped.push_str(rest);
    snapped
}

#[cfg(test)]
mod tests {
    use super::{Tolerance, difference};

    fn same(expected: &str, printed: &str) -> bool {
        difference(expected, printed, Tolerance::Exact).is_none()
    }

    fn near(expected: &str, printed: &str) -> bool {
        difference(expected, printed, Tolerance::Near).is_none()
    }

    #[test]
    fn a_changed_output_is_a_difference() {
        assert!(same("2048 pages\nused 3\n", "2048 pages\nused 3\n"));
        assert!(!same("2048 pages\nused 3\n", "2048 pages\nused 4\n"));
        assert!(!same("2048 pages\n", "2048 pages\nused 3\n"));
        assert!(!same("2048 pages\nused 3\n", "2048 pages\n"));
        assert!(!same("", "cat: no such file\n"));
        assert!(!same("[XX..]\n", "[XXX.]\n"));
    }

    #[test]
    fn an_ellipsis_stands_for_text_or_lines() {
        assert!(same("…\nused 3\n…\n", "a\nb\nused 3\nc\n"));
        assert!(!same("…\nused 3\n…\n", "a\nb\nused 4\nc\n"));
        assert!(same("{\"allocs\":16687,…,\"free\":664,…}\n", "{\"allocs\":16687,\"x\":1,\"free\":664,\"y\":2}\n"));
        assert!(!same("{\"allocs\":16687,…,\"free\":664,…}\n", "{\"allocs\":16687,\"x\":1,\"free\":665,\"y\":2}\n"));
    }

    #[test]
    fn times_are_the_hosts_and_other_figures_are_not() {
        assert!(same("[    0.013569] x: 12 ns a call\n", "[    0.013570] x: 345 ns a call\n"));
        assert!(same("{\"alloc_ns\":426,\"allocs\":3}\n", "{\"alloc_ns\":511,\"allocs\":3}\n"));
        assert!(!same("{\"alloc_ns\":426,\"allocs\":3}\n", "{\"alloc_ns\":426,\"allocs\":4}\n"));
    }

    #[test]
    fn near_figures_are_near() {
        assert!(near("latency   10000 ns 12\n", "latency  9300 ns 12\n"));
        assert!(!near("latency 10000 ns 12\n", "latency 8300 ns 12\n"));
        assert!(!near("latency 10000 ns 12\n", "latency 10000 ns 13\n"));
    }
}
