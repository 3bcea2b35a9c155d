// SPDX-License-Identifier: MIT OR Apache-2.0

//! `/proc/cmainfo`: how much of each area is free, in pages.

use super::{PseudoFile, Read, Write};

pub(super) const ENTRIES: &[PseudoFile] = &[PseudoFile {
    path: "/proc/cmainfo",
    read: Read::System(|out, system| {
        let mut areas = system.areas().iter();
        areas.try_for_each(|area| writeln!(out, "{} {} of {}", area.name(), area.free_pages(), area.pages()))
    }),
    write: Write::No,
}];
