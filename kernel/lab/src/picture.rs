// SPDX-License-Identifier: MIT OR Apache-2.0

//! A picture of an area: one character for several pages, for areas whose bitmap is longer than a
//! screen.
//!
//! The bits of an area are split into cells of equal length, the last one shorter. The character of
//! a cell shows if it is free, used, less than half used, or at least half used. Free cells inside
//! the longest free run have a character of their own.

use core::fmt;
use core::ops::Range;

use super::metrics::{Counted, Metrics};
use cma::area::Area;
use units::PAGE_SIZE;

/// Default number of characters on a row.
pub const USUAL_WIDTH: u32 = 64;
/// Maximum number of characters on a row: with the label it fits 80 columns.
pub const MAX_WIDTH: u32 = 70;
/// Maximum number of rows if [`Scale::pages`] is not set.
const USUAL_ROWS: u32 = 16;

/// Scale of a picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scale {
    /// Characters on a row, at least 1.
    pub width: u32,
    /// Pages of a character, rounded up to whole bits; default: the least power of two bits that
    /// gives at most 16 rows.
    pub pages: Option<u32>,
}

/// Content of a cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cell {
    Free,
    /// Free, and in the longest free run.
    Longest,
    UnderHalf,
    HalfOrMore,
    Used,
}

impl Cell {
    const fn character(self) -> char {
        match self {
            Self::Free => '.',
            Self::Longest => '=',
            Self::UnderHalf => ':',
            Self::HalfOrMore => '+',
            Self::Used => 'X',
        }
    }
}

/// Draws an area: the scale, rows labelled with the offset of their first page, and the legend with
/// the place of the longest free run.
pub fn write_picture(out: &mut dyn fmt::Write, area: &Area, scale: Scale) -> fmt::Result {
    let (bitmap, order) = (area.bitmap(), area.order_per_bit());
    let width = scale.width.max(1);
    let cell = match scale.pages {
        Some(pages) => pages.div_ceil(1 << order).max(1),
        None => bitmap.bits().div_ceil(width * USUAL_ROWS).max(1).next_power_of_two(),
    };
    // The first of the longest ones.
    let runs = bitmap.runs().map(|(first, length)| first..first + length);
    let longest = runs.fold(0..0, |longest, run| if run.len() > longest.len() { run } else { longest });
    let cell_pages = u64::from(cell) << order;
    writeln!(
        out,
        "{}: {} from {}, one character for {} ({} KiB)",
        area.name(),
        Counted(area.pages().into(), "page"),
        area.base().addr(),
        Counted(cell_pages, "page"),
        cell_pages * PAGE_SIZE / 1024
    )?;
    write_rows(out, bitmap.words(), bitmap.bits(), &Grid { width, cell, order, longest: longest.clone() })?;
    writeln!(out, ". free   : under half used   + half used or more   X used   = longest free run")?;
    let metrics = Metrics::of(area);
    write!(out, "{} used, {} free in {}", metrics.used, metrics.free, Counted(metrics.free_runs.into(), "run"))?;
    if !longest.is_empty() {
        let (start, length) = (u64::from(longest.start) << order, (longest.len() as u64) << order);
        write!(out, "; longest: {} from page {start}", Counted(length, "page"))?;
    }
    writeln!(out)
}

/// Layout of bits in rows.
struct Grid {
    width: u32,
    /// Bits of a cell.
    cell: u32,
    /// log2 of the pages of a bit.
    order: u32,
    /// The longest free run, in bits.
    longest: Range<u32>,
}

fn write_rows(out: &mut dyn fmt::Write, words: &[u32], bits: u32, grid: &Grid) -> fmt::Result {
    let cells = bits.div_ceil(grid.cell);
    let page_of = |cell: u32| (u64::from(cell) * u64::from(grid.cell)) << grid.order;
    let last_row = cells.saturating_sub(1) / grid.width * grid.width;
    let label = page_of(last_row).checked_ilog10().unwrap_or(0) as usize + 1;
    for row in (0..cells).step_by(grid.width as usize) {
        write!(out, "{:>label$} |", page_of(row))?;
        for at in row..cells.min(row + grid.width) {
            let first = at * grid.cell;
            let end = first + grid.cell.min(bits - first);
            out.write_char(cell(words, first, end, &grid.longest).character())?;
        }
        writeln!(out, "|")?;
    }
    Ok(())
}

/// Returns the content of the cell of the bits from `first` to before `end`.
fn cell(words: &[u32], first: u32, end: u32, longest: &Range<u32>) -> Cell {
    let used = used_bits(words, first, end);
    let length = end - first;
    if used == 0 {
        let in_longest = longest.start <= first && end <= longest.end;
        return if in_longest { Cell::Longest } else { Cell::Free };
    }
    if used == length {
        Cell::Used
    } else if used < length - used {
        Cell::UnderHalf
    } else {
        Cell::HalfOrMore
    }
}

/// Returns the number of set bits from `first` to before `end`.
fn used_bits(words: &[u32], first: u32, end: u32) -> u32 {
    let word = |index: u32| words.get(index as usize).copied().unwrap_or(0);
    let below = |bits: u32| if bits >= u32::BITS { u32::MAX } else { (1 << bits) - 1 };
    (first / u32::BITS..end.div_ceil(u32::BITS))
        .map(|index| {
            let start = index * u32::BITS;
            (word(index) & below(end - start) & !below(first.saturating_sub(start))).count_ones()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::string::{String, ToString};
    use std::vec;
    use std::vec::Vec;
    use units::Pfn;

    /// Returns the rows of a map with these runs of used bits.
    fn rows(bits: u32, used: &[(u32, u32)], width: u32, cell: u32, longest: Range<u32>) -> Vec<String> {
        let mut words = vec![0; bits.div_ceil(32) as usize];
        for bit in used.iter().flat_map(|&(start, length)| start..start + length) {
            words[(bit / 32) as usize] |= 1 << (bit % 32);
        }
        let mut text = String::new();
        write_rows(&mut text, &words, bits, &Grid { width, cell, order: 0, longest })
            .expect("a String takes everything");
        text.lines().map(ToString::to_string).collect()
    }

    #[test]
    fn cells_tell_apart_what_matters() {
        // Cells of 4 bits: all used, one used, two, three, free, in the longest run twice; the last
        // has two bits.
        let used = [(0, 4), (4, 1), (8, 2), (13, 3), (29, 1)];
        assert_eq!(rows(30, &used, 8, 4, 16..29), [" 0 |X:++===+|"].map(|row| &row[1..]));
        assert_eq!(rows(30, &used, 3, 4, 17..29), [" 0 |X:+|", "12 |+.=|", "24 |=+|"]);
    }

    #[test]
    fn a_hundred_pages_are_a_hundred_characters() {
        let drawn = rows(100, &[(0, 1), (63, 2), (99, 1)], 64, 1, 1..63);
        assert_eq!(drawn[0], format!(" 0 |X{}X|", "=".repeat(62)));
        assert_eq!(drawn[1], format!("64 |X{}X|", ".".repeat(34)));
        assert_eq!(drawn.len(), 2);
    }

    /// Returns the picture of an area with these runs of used bits.
    fn picture(pages: u32, order_per_bit: u32, scale: Scale, used: &[(u32, u32)]) -> Vec<String> {
        let mut area = Area::new("camera".into(), Pfn(0x70000), pages, order_per_bit);
        used.iter().for_each(|&(bit, bits)| area.reserve(bit, bits));
        let mut text = String::new();
        write_picture(&mut text, &area, scale).expect("a String takes everything");
        text.lines().map(ToString::to_string).collect()
    }

    const USUAL: Scale = Scale { width: USUAL_WIDTH, pages: None };

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn half_a_gibibyte_fits_a_screen() {
        let drawn = picture(131_072, 0, USUAL, &[(0, 8192), (8192, 1), (16_384, 64), (131_071, 1)]);
        let mut expected =
            vec!["camera: 131072 pages from 0x70000000, one character for 128 pages (512 KiB)".to_string()];
        expected.push(format!("     0 |{}|", "X".repeat(64)));
        expected.push(format!("  8192 |:{}|", ".".repeat(63)));
        expected.push(format!(" 16384 |+{}|", "=".repeat(63)));
        expected.extend((3..15).map(|row| format!("{:>6} |{}|", row * 8192, "=".repeat(64))));
        expected.push(format!("122880 |{}:|", "=".repeat(63)));
        expected.push(". free   : under half used   + half used or more   X used   = longest free run".to_string());
        expected.push("8258 used, 122814 free in 2 runs; longest: 114623 pages from page 16448".to_string());
        assert_eq!(drawn, expected);
        assert!(drawn.iter().all(|line| line.len() <= 80));
    }

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn sizes_of_every_kind() {
        let lines = |pages, scale, used: &[(u32, u32)]| {
            let drawn = picture(pages, 0, scale, used);
            let rows = drawn.len() - 3;
            (rows, drawn[0].rsplit(", ").next().unwrap_or_default().to_string(), drawn[rows].clone())
        };
        let one = "one character for 1 page (4 KiB)".to_string();
        let two = "one character for 2 pages (8 KiB)".to_string();
        assert_eq!(lines(100, USUAL, &[]), (2, one.clone(), format!("64 |{}|", "=".repeat(36))));
        assert_eq!(lines(1024, USUAL, &[(0, 1024)]), (16, one.clone(), format!("960 |{}|", "X".repeat(64))));
        assert_eq!(lines(1025, USUAL, &[(0, 1024)]), (9, two.clone(), "1024 |=|".to_string()));
        assert_eq!(lines(2048, USUAL, &[]), (16, two, format!("1920 |{}|", "=".repeat(64))));
        // 768 MiB, and 130 MiB less a pageblock.
        let drawn = lines(196_608, USUAL, &[]);
        assert_eq!((drawn.0, drawn.2), (12, format!("180224 |{}|", "=".repeat(64))));
        let drawn = lines(32_256, USUAL, &[]);
        assert_eq!((drawn.0, drawn.2), (16, format!("30720 |{}|", "=".repeat(48))));
        // As given: rows of 10, characters for 100 pages, the last one for 48.
        let scale = Scale { width: 10, pages: Some(100) };
        assert_eq!(lines(2048, scale, &[(2000, 24)]).2, "2000 |+|");
        assert_eq!(lines(1, USUAL, &[]), (1, one, "0 |=|".to_string()));
    }

    #[test]
    fn bits_for_several_pages() {
        let drawn = picture(4096, 2, USUAL, &[(3, 1021)]);
        assert_eq!(drawn[0], "camera: 4096 pages from 0x70000000, one character for 4 pages (16 KiB)");
        assert_eq!(drawn[1], format!("   0 |==={}|", "X".repeat(61)));
        assert_eq!(drawn[drawn.len() - 1], "4084 used, 12 free in 1 run; longest: 12 pages from page 0");
        let drawn = picture(4096, 2, Scale { width: 70, pages: Some(5) }, &[(0, 1024)]);
        assert!(drawn[0].ends_with("one character for 8 pages (32 KiB)"), "{}", drawn[0]);
        assert_eq!(drawn[drawn.len() - 1], "4096 used, 0 free in 0 runs");
    }

    proptest! {
        #![proptest_config(property::config(64))]

        /// The character of a cell agrees with a count of its bits.
        #[test]
        fn cells_are_their_bits(
            words in proptest::collection::vec(prop_oneof![Just(0), Just(u32::MAX), any::<u32>()], 1..8),
            short in 0..32_u32,
            cell in 1..70_u32,
            width in 1..=MAX_WIDTH,
        ) {
            let bits = words.len() as u32 * 32 - short;
            let set = |bit: u32| words[(bit / 32) as usize] >> (bit % 32) & 1 == 1;
            let mut text = String::new();
            write_rows(&mut text, &words, bits, &Grid { width, cell, order: 0, longest: 0..0 }).expect("a String");
            let drawn: String = text.lines().filter_map(|line| line.split('|').nth(1)).collect();
            let expected: String = (0..bits)
                .step_by(cell as usize)
                .map(|first| {
                    let length = cell.min(bits - first);
                    match (first..first + length).filter(|&bit| set(bit)).count() as u32 {
                        0 => '.',
                        used if used == length => 'X',
                        used if 2 * used < length => ':',
                        _ => '+',
                    }
                })
                .collect();
            prop_assert_eq!(drawn, expected);
            prop_assert!(text.lines().all(|line| line.len() <= 80));
        }
    }
}
