// SPDX-License-Identifier: MIT OR Apache-2.0

//! The test data in `tests/data`, read into types.

use serde::Deserialize;

use crate::in_tree;

/// A case of `linux-6.1/reserved-memory.toml`, which describes each field.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeCase {
    /// Subject of the case.
    pub name: String,
    /// Children of `/reserved-memory`.
    #[serde(default)]
    pub nodes: String,
    /// True if `nodes` is a fragment of the whole tree instead.
    #[serde(default)]
    pub fragment: bool,
    /// Words of the kernel command line.
    #[serde(default)]
    pub append: String,
    /// Whole lines of the boot log, in order.
    #[serde(default)]
    pub says: Vec<String>,
    /// Words of the boot log.
    #[serde(default)]
    pub mentions: Vec<String>,
    /// Name, base (`*`: anywhere) and MiB of every area.
    pub areas: Vec<String>,
    /// True if Linux's result is the same.
    #[serde(default = "yes")]
    pub linux: bool,
}

fn yes() -> bool {
    true
}

/// Reads the cases of `linux-6.1/reserved-memory.toml`.
pub fn tree_cases() -> Vec<TreeCase> {
    #[derive(Deserialize)]
    struct File {
        case: Vec<TreeCase>,
    }
    let text =
        std::fs::read_to_string(in_tree("tests/data/linux-6.1/reserved-memory.toml")).expect("the table of cases");
    let file: File = toml::from_str(&text).expect("the table of cases is well-formed");
    let expand = |case: TreeCase| TreeCase {
        nodes: case.nodes.replace("POOL", "compatible = \"shared-dma-pool\"; reusable;"),
        ..case
    };
    file.case.into_iter().map(expand).collect()
}

/// Linux's result for a trace: a row of `linux-6.1/results.csv`.
#[derive(Clone, Debug)]
pub struct TraceResult {
    /// File name.
    pub trace: String,
    /// Size of the area, in pages.
    pub area_bits: u64,
    /// Requests in the trace.
    pub ops: u64,
    /// Allocations: `a` lines.
    pub allocs: u64,
    /// Allocations that failed.
    pub failed: u64,
    /// Fingerprint of all placements.
    pub placement_fnv1a: String,
    /// Bits set at the end.
    pub used: u64,
    /// Longest free run at the end, in pages.
    pub maxchunk: u64,
    /// Fingerprint of the bitmap at the end.
    pub bitmap_fnv1a: String,
}

/// Returns the row of `linux-6.1/results.csv` for `trace`.
///
/// # Panics
/// If there is none.
pub fn trace_result(trace: &str) -> TraceResult {
    let text = std::fs::read_to_string(in_tree("tests/data/linux-6.1/results.csv")).expect("the results");
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let row: Vec<&str> =
        lines.map(|line| line.split(',').collect()).find(|row: &Vec<&str>| row[0] == trace).expect("a row");
    let field = |name: &str| {
        let column = header.iter().position(|column| *column == name).expect("a column");
        row[column].to_owned()
    };
    let number = |name: &str| field(name).parse().expect("a number");
    TraceResult {
        trace: field("trace"),
        area_bits: number("area_bits"),
        ops: number("ops"),
        allocs: number("allocs"),
        failed: number("failed"),
        placement_fnv1a: field("placement_fnv1a"),
        used: number("used"),
        maxchunk: number("maxchunk"),
        bitmap_fnv1a: field("bitmap_fnv1a"),
    }
}

/// Returns the fingerprint of a bitmap: 64-bit FNV-1a, one step per bit, lowest first.
pub fn bitmap_fnv1a(bits: &[bool]) -> String {
    let step = |hash: u64, bit: &bool| (hash ^ u64::from(*bit)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x}", bits.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// Returns the bits of a printed bitmap: rows `[0000] [XX..]`, `X` used, with the index counting
/// 32-bit words.
///
/// # Panics
/// If a row's index does not follow from the rows before it.
pub fn parse_bitmap(text: &str) -> Vec<bool> {
    let mut bits = Vec::new();
    for line in text.lines() {
        let Some((index, row)) = line.strip_prefix('[').and_then(|rest| rest.split_once("] [")) else { continue };
        let (Ok(index), Some(row)) = (index.parse::<usize>(), row.strip_suffix(']')) else { continue };
        assert_eq!(index * 32, bits.len(), "the index of {line}");
        for (column, c) in row.chars().enumerate() {
            assert!("X.".contains(c), "column {column} of {line}");
            bits.push(c == 'X');
        }
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitmap_rows_become_bits() {
        let text = "CMA area: a\n[0000] [XX..]\nCMA: X - used\n";
        assert_eq!(parse_bitmap(text), [true, true, false, false]);
        // Computed by hand: no step, and one: (offset ^ 1) * prime.
        assert_eq!(bitmap_fnv1a(&[]), "cbf29ce484222325");
        assert_eq!(bitmap_fnv1a(&[true]), "af63bc4c8601b62c");
    }

    #[test]
    fn every_trace_has_its_row_and_its_lines() {
        for trace in ["article", "debris-seed1", "churn-full", "camera", "big-area"] {
            let result = trace_result(&format!("{trace}.trace"));
            let text = std::fs::read_to_string(in_tree("tests/data/linux-6.1").join(&result.trace)).unwrap();
            assert_eq!(text.lines().count() as u64, result.ops);
            assert_eq!(text.lines().filter(|line| line.starts_with('a')).count() as u64, result.allocs);
        }
    }

    #[test]
    fn the_table_of_cases_is_whole() {
        assert!(tree_cases().len() > 20);
        assert!(tree_cases().iter().all(|case| case.nodes.is_empty() || !case.nodes.contains("POOL")));
    }
}
