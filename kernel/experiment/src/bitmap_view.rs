// SPDX-License-Identifier: MIT OR Apache-2.0

//! Text of an area's bitmap, in the format of the published experiment's driver.

use core::fmt;

use super::metrics::Metrics;
use cma::area::Area;
use units::PAGE_SIZE;

/// Bits on a row.
const ROW_BITS: u32 = 64;

/// Prints an area's name, its rows of 64 bits (`X` used, `.` free, lowest first) after the index of
/// their first 32-bit word, and its size. [`write_summary`] prints the line of counts.
pub fn write_bitmap(out: &mut dyn fmt::Write, area: &Area) -> fmt::Result {
    let bitmap = area.bitmap();
    writeln!(out, "CMA area: {}", area.name())?;
    write_rows(out, bitmap.words(), bitmap.bits())?;
    writeln!(out, "CMA total size: {:#x}", u64::from(area.pages()) * PAGE_SIZE)?;
    let bit_kb = (PAGE_SIZE << area.order_per_bit()) / 1024;
    writeln!(out, "CMA: X - used . - free (1bit = {bit_kb}KB)")
}

/// Prints the numbers of used pages, free pages and free runs, and the longest run.
pub fn write_summary(out: &mut dyn fmt::Write, area: &Area) -> fmt::Result {
    writeln!(out, "{}: {}", area.name(), Metrics::of(area))
}

fn write_rows(out: &mut dyn fmt::Write, words: &[u32], bits: u32) -> fmt::Result {
    let mut row = [0; ROW_BITS as usize];
    for first in (0..bits).step_by(ROW_BITS as usize) {
        let length = ROW_BITS.min(bits - first);
        for (place, bit) in row.iter_mut().zip(first..first + length) {
            let used = words.get((bit / 32) as usize).is_some_and(|word| word >> (bit % 32) & 1 == 1);
            *place = if used { b'X' } else { b'.' };
        }
        let text = core::str::from_utf8(&row[..length as usize]).map_err(|_| fmt::Error)?;
        writeln!(out, "[{:04}] [{text}]", first / 32)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec;
    use std::vec::Vec;

    fn rows(words: &[u32], bits: u32) -> Vec<String> {
        let mut text = String::new();
        write_rows(&mut text, words, bits).expect("a String takes everything");
        text.lines().map(String::from).collect()
    }

    #[test]
    fn lowest_bit_first_and_word_index() {
        let rows = rows(&[0x0000_0001, 0x8000_0000, 0x0000_0006, 0], 128);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0], "[0000] [X..............................................................X]");
        assert_eq!(rows[1], "[0002] [.XX.............................................................]");
    }

    #[test]
    fn a_last_row_may_be_short() {
        assert_eq!(rows(&[0, 0, 1], 65)[1], "[0002] [X]");
        assert_eq!(rows(&[3], 3), ["[0000] [XX.]"]);
        assert!(rows(&[], 0).is_empty());
    }

    #[test]
    #[cfg_attr(miri, ignore = "too long for an interpreter")]
    fn large_areas_widen_the_index() {
        let rows = rows(&vec![0; 131_072 / 32 * 4], 131_072 * 4);
        assert_eq!(rows.len(), 8192);
        assert!(rows[2047].starts_with("[4094] [.") && rows[8191].starts_with("[16382] [."));
    }
}
