// SPDX-License-Identifier: MIT OR Apache-2.0

//! An area at one moment as SVG: rows of pages, buffers coloured by their size, the window of a
//! failure outlined.

use std::fmt::Write;

use crate::timeline::{Failed, Timeline};

/// Width of the picture.
const WIDTH: u32 = 960;
/// Height of a row, without the gap below it.
const ROW: u32 = 11;
/// Distance between the tops of two rows.
const PITCH: u32 = 13;
/// Maximum of rows.
const ROWS: u32 = 48;
/// Minimum of pages of a row.
const MIN_ROW_PAGES: u32 = 64;
/// Colours of buffers by the order of their size, two orders each: lightness grows with the size,
/// so that hue is not needed.
pub const COLOURS: [&str; 6] = ["#440154", "#3b528b", "#21918c", "#35b779", "#90d743", "#fde725"];

/// Returns the colour of a buffer of `pages` pages.
const fn colour(pages: u32) -> &'static str {
    let class = (pages.ilog2() / 2) as usize;
    COLOURS[if class < COLOURS.len() { class } else { COLOURS.len() - 1 }]
}

/// Draws the area of `pages` pages after `step`; for a failure, also the cheapest window.
pub fn svg(timeline: &Timeline, step: u32, pages: u32, failed: Option<&Failed>) -> String {
    let row_pages = pages.div_ceil(ROWS).next_power_of_two().max(MIN_ROW_PAGES);
    let rows = pages.div_ceil(row_pages);
    let held = timeline.held_at(step);
    let used: u64 = held.iter().map(|band| u64::from(band.pages)).sum();
    let mut svg = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        svg,
        "<svg viewBox=\"-44 0 {} {}\" width=\"100%\" role=\"img\" aria-label=\"{} buffers hold {used} of {pages} pages\" \
         xmlns=\"http://www.w3.org/2000/svg\" font-family=\"monospace\" font-size=\"10\">",
        WIDTH + 46,
        rows * PITCH + 2,
        held.len()
    );
    let x = |page: u32| (u64::from(page) * u64::from(WIDTH) / u64::from(row_pages)) as u32;
    for row in 0..rows {
        let width = x(row_pages.min(pages - row * row_pages));
        let y = row * PITCH + 1;
        let _ = write!(
            svg,
            "<text x=\"-4\" y=\"{}\" text-anchor=\"end\" fill=\"#888\">{}</text><rect x=\"0\" y=\"{y}\" width=\"{width}\" \
             height=\"{ROW}\" fill=\"#8882\" stroke=\"#8886\" stroke-width=\".5\"/>",
            y + ROW - 2,
            row * row_pages
        );
    }
    // One path for each colour, because areas have thousands of buffers.
    for colour_now in COLOURS {
        let mut path = String::new();
        for band in held.iter().filter(|band| colour(band.pages) == colour_now) {
            each_row(band.page, band.end_page(), row_pages, |row, from, to| {
                let (left, right) = (x(from), x(to));
                // A gap between neighbours, if there is room for one.
                let width = (right - left).max(1);
                let width = if width > 3 { width - 1 } else { width };
                let _ = write!(path, "M{left} {}h{width}v{ROW}h-{width}z", row * PITCH + 1);
            });
        }
        if !path.is_empty() {
            let _ = write!(svg, "<path fill=\"{colour_now}\" d=\"{path}\"/>");
        }
    }
    if let Some((failed, window)) = failed.and_then(|failed| Some((failed, failed.windows.first()?))) {
        let end = (window.page + failed.pages).min(pages);
        each_row(window.page, end, row_pages, |row, from, to| {
            let (left, right) = (x(from), x(to));
            let _ = write!(
                svg,
                "<rect x=\"{left}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#d55e00\" stroke-width=\"2\"/>",
                row * PITCH,
                (right - left).max(2),
                ROW + 2
            );
        });
    }
    svg.push_str("</svg>");
    svg
}

/// Splits pages into rows: passes the row, its first page, and the page after its last to `each`.
fn each_row(first: u32, end: u32, row_pages: u32, mut each: impl FnMut(u32, u32, u32)) {
    let mut page = first;
    while page < end {
        let row = page / row_pages;
        let to = end.min((row + 1) * row_pages);
        each(row, page - row * row_pages, to - row * row_pages);
        page = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_cut_into_rows() {
        let mut cut = Vec::new();
        each_row(60, 200, 64, |row, from, to| cut.push((row, from, to)));
        assert_eq!(cut, [(0, 60, 64), (1, 0, 64), (2, 0, 64), (3, 0, 8)]);
    }

    #[test]
    fn larger_buffers_are_lighter() {
        assert_eq!(
            (colour(1), colour(3), colour(4), colour(1 << 20)),
            (COLOURS[0], COLOURS[0], COLOURS[1], COLOURS[5])
        );
    }
}
