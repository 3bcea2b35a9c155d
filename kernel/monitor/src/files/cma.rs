// SPDX-License-Identifier: MIT OR Apache-2.0

//! An area's files: `/sys/kernel/debug/cma` (`mm/cma_debug.c`) and `/sys/kernel/mm/cma`
//! (`mm/cma_sysfs.c`).

use alloc::format;
use core::fmt;

use super::{PseudoFile, Read, Write};
use crate::Failure;
use cma::AreaId;
use cma::area::Area;
use system::System;

pub(super) const ENTRIES: &[PseudoFile] = &[
    PseudoFile { path: "/sys/kernel/debug/cma/AREA/alloc", read: Read::No, write: Write::Area(1, u32::MAX, alloc) },
    PseudoFile {
        path: "/sys/kernel/debug/cma/AREA/base_pfn",
        read: Read::Area(|out, area| writeln!(out, "{}", area.base().0)),
        write: Write::No,
    },
    PseudoFile { path: "/sys/kernel/debug/cma/AREA/bitmap", read: Read::Area(bitmap), write: Write::No },
    PseudoFile {
        path: "/sys/kernel/debug/cma/AREA/count",
        read: Read::Area(|out, area| writeln!(out, "{}", area.pages())),
        write: Write::No,
    },
    PseudoFile { path: "/sys/kernel/debug/cma/AREA/free", read: Read::No, write: Write::Area(1, u32::MAX, free) },
    PseudoFile {
        path: "/sys/kernel/debug/cma/AREA/maxchunk",
        read: Read::Area(|out, area| writeln!(out, "{}", area.longest_free_run())),
        write: Write::No,
    },
    PseudoFile {
        path: "/sys/kernel/debug/cma/AREA/order_per_bit",
        read: Read::Area(|out, area| writeln!(out, "{}", area.order_per_bit())),
        write: Write::No,
    },
    PseudoFile {
        path: "/sys/kernel/debug/cma/AREA/used",
        read: Read::Area(|out, area| writeln!(out, "{}", area.used_pages())),
        write: Write::No,
    },
    PseudoFile {
        path: "/sys/kernel/mm/cma/AREA/alloc_pages_fail",
        read: Read::Area(|out, area| writeln!(out, "{}", area.stats().alloc_pages_fail)),
        write: Write::No,
    },
    PseudoFile {
        path: "/sys/kernel/mm/cma/AREA/alloc_pages_success",
        read: Read::Area(|out, area| writeln!(out, "{}", area.stats().alloc_pages_success)),
        write: Write::No,
    },
    PseudoFile {
        path: "/sys/kernel/mm/cma/AREA/available_pages",
        read: Read::Area(|out, area| writeln!(out, "{}", area.free_pages())),
        write: Write::No,
    },
    PseudoFile {
        path: "/sys/kernel/mm/cma/AREA/release_pages_success",
        read: Read::Area(|out, area| writeln!(out, "{}", area.stats().release_pages_success)),
        write: Write::No,
    },
    PseudoFile {
        path: "/sys/kernel/mm/cma/AREA/total_pages",
        read: Read::Area(|out, area| writeln!(out, "{}", area.pages())),
        write: Write::No,
    },
];

/// Prints the words in decimal, separated by blanks. As on Linux, bits past the end are clear.
fn bitmap(out: &mut dyn fmt::Write, area: &Area) -> fmt::Result {
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

/// Allocates like a write to `alloc`: aligned to a page, kept until `free` or `release`.
fn alloc(system: &mut System<'_>, id: AreaId, pages: u32) -> Result<(), Failure> {
    let buffer = system.cma_alloc(id, pages, 0).map_err(|error| {
        let area = system.area(id);
        let (name, error) = (area.name(), area.explain(error));
        Failure::bad(format!("write error: Cannot allocate memory: {pages} pages of {name}: {error}"))
    })?;
    system.keep(buffer);
    Ok(())
}

/// Frees like a write to `free`: `pages` pages, the latest buffers first, of a larger buffer its
/// front part. Like Linux, it stops if no buffer is left, or if a part of one cannot be released.
fn free(system: &mut System<'_>, id: AreaId, mut pages: u32) -> Result<(), Failure> {
    while pages > 0 {
        let Some(last) = system.kept(id).max_by_key(|kept| kept.id) else { break };
        let Some(buffer) = system.take_back_at(id, last.first) else { break };
        let buffer = if buffer.pages() <= pages {
            buffer
        } else if system.area(id).order_per_bit() == 0 {
            let (front, rest) = buffer.split(pages);
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
