//! An area's files: `/sys/kernel/debug/cma` (`mm/cma_debug.c`) and `/sys/kernel/mm/cma` (`mm/cma_sysfs.c`).

use alloc::format;
use core::fmt::{self, Write};

use crate::cma::area::Area;
use crate::cma::{AreaId, Buffer};
use crate::monitor::Failure;
use crate::system::System;

/// A file of an area's debug directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::monitor) enum Debug {
    Alloc,
    BasePfn,
    Bitmap,
    Count,
    Free,
    Maxchunk,
    OrderPerBit,
    Used,
}

impl Debug {
    pub(super) const ALL: [Self; 8] = [
        Self::Alloc,
        Self::BasePfn,
        Self::Bitmap,
        Self::Count,
        Self::Free,
        Self::Maxchunk,
        Self::OrderPerBit,
        Self::Used,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Alloc => "alloc",
            Self::BasePfn => "base_pfn",
            Self::Bitmap => "bitmap",
            Self::Count => "count",
            Self::Free => "free",
            Self::Maxchunk => "maxchunk",
            Self::OrderPerBit => "order_per_bit",
            Self::Used => "used",
        }
    }

    pub(super) const fn is_write_only(self) -> bool {
        matches!(self, Self::Alloc | Self::Free)
    }

    /// Prints a file that can be read; the others are empty.
    pub(super) fn write(self, out: &mut dyn Write, area: &Area) -> fmt::Result {
        match self {
            Self::Alloc | Self::Free => Ok(()),
            Self::BasePfn => writeln!(out, "{}", area.base().0),
            Self::Bitmap => bitmap(out, area),
            Self::Count => writeln!(out, "{}", area.pages()),
            Self::Maxchunk => writeln!(out, "{}", area.longest_free_run()),
            Self::OrderPerBit => writeln!(out, "{}", area.order_per_bit()),
            Self::Used => writeln!(out, "{}", area.used_pages()),
        }
    }
}

/// The words in decimal, separated by blanks. What lies behind the last bit is clear, as on Linux.
fn bitmap(out: &mut dyn Write, area: &Area) -> fmt::Result {
    let bitmap = area.bitmap();
    let mut left = bitmap.bits();
    for (place, &word) in bitmap.words().iter().enumerate() {
        let word = if left < u32::BITS { word & ((1 << left) - 1) } else { word };
        left = left.saturating_sub(u32::BITS);
        let blank = if place == 0 { "" } else { " " };
        write!(out, "{blank}{word}")?;
    }
    writeln!(out)
}

/// Allocates as a write to `alloc` does: aligned to a page, kept until `free` or `release`.
pub(super) fn alloc(system: &mut System<'_>, id: AreaId, pages: u32) -> Result<(), Failure> {
    let buffer = system.cma_alloc(id, pages, 0).map_err(|error| {
        let area = system.area(id).name();
        Failure::bad(format!("write error: Cannot allocate memory: {pages} pages of {area}: {error}"))
    })?;
    system.keep(buffer);
    Ok(())
}

/// Frees as a write to `free` does: so many pages of those allocated last, the front part of a buffer that is larger. Like
/// Linux it stops where no buffer is left, or where a part of one cannot be released.
pub(super) fn free(system: &mut System<'_>, id: AreaId, mut pages: u32) -> Result<(), Failure> {
    while pages > 0 {
        let Some((_, first, _)) = system.kept(id).max_by_key(|kept| kept.0) else { break };
        let Some(buffer) = system.take_back_at(id, first) else { break };
        let buffer = if buffer.pages() <= pages {
            buffer
        } else if system.area(id).order_per_bit() == 0 {
            let (front, rest) = split(buffer, pages);
            system.keep(rest);
            front
        } else {
            system.keep(buffer);
            return Err(Failure::bad(
                "write error: Invalid argument: a part of a buffer cannot be released where a bit stands for several pages",
            ));
        };
        pages -= buffer.pages();
        system.cma_release(buffer).map_err(|error| Failure::check(format!("{error}")))?;
    }
    Ok(())
}

/// Parts a buffer after so many pages, fewer than it has.
fn split(buffer: Buffer, pages: u32) -> (Buffer, Buffer) {
    let (id, first) = (buffer.area(), buffer.first());
    (Buffer::new(id, first, pages), Buffer::new(id, first.add(pages), buffer.pages() - pages))
}

/// A counter of an area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::monitor) enum Counter {
    AllocPagesFail,
    AllocPagesSuccess,
    AvailablePages,
    ReleasePagesSuccess,
    TotalPages,
}

impl Counter {
    pub(super) const ALL: [Self; 5] = [
        Self::AllocPagesFail,
        Self::AllocPagesSuccess,
        Self::AvailablePages,
        Self::ReleasePagesSuccess,
        Self::TotalPages,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::AllocPagesFail => "alloc_pages_fail",
            Self::AllocPagesSuccess => "alloc_pages_success",
            Self::AvailablePages => "available_pages",
            Self::ReleasePagesSuccess => "release_pages_success",
            Self::TotalPages => "total_pages",
        }
    }

    /// In pages.
    pub(super) fn value(self, area: &Area) -> u64 {
        match self {
            Self::AllocPagesFail => area.stats().alloc_pages_fail,
            Self::AllocPagesSuccess => area.stats().alloc_pages_success,
            Self::AvailablePages => area.free_pages().into(),
            Self::ReleasePagesSuccess => area.stats().release_pages_success,
            Self::TotalPages => area.pages().into(),
        }
    }
}
