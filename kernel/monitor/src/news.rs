// SPDX-License-Identifier: MIT OR Apache-2.0

//! The lines of a series of rounds, for a command that waits for it and for a job.

use alloc::format;
use core::fmt::{self, Write};

use cma::AreaId;
use lab::bitmap_view::write_bitmap;
use lab::load::News;
use system::System;

/// Prints `news` of a series; returns false if the series is over.
pub(super) fn write_news(
    out: &mut dyn Write,
    system: &System<'_>,
    area: AreaId,
    news: &News,
) -> Result<bool, fmt::Error> {
    match news {
        News::Steps => {}
        News::Bitmap => write_bitmap(out, system.area(area))?,
        News::Sample(record) => writeln!(out, "{record}")?,
        News::Round { report, last } => {
            writeln!(out, "{report}{}", report.record())?;
            return Ok(!last);
        }
        News::Ruins { round, empty, left } => {
            match empty {
                1 => write!(out, "Round {round} made no allocation: the area is in ruins")?,
                _ => write!(out, "{empty} rounds in a row made no allocation: the area is in ruins")?,
            }
            writeln!(out, "{}", if *left > 0 { format!("; {left} more were not run.") } else { ".".into() })?;
            return Ok(false);
        }
        News::Done => return Ok(false),
    }
    Ok(true)
}
