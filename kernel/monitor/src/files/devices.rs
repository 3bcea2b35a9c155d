// SPDX-License-Identifier: MIT OR Apache-2.0

//! `/sys/bus/platform/devices`: the bitmap of a device's area, as in the article.

use super::{PseudoFile, Read, Write};
use lab::bitmap_view::write_bitmap;

pub(super) const ENTRIES: &[PseudoFile] = &[PseudoFile {
    path: "/sys/bus/platform/devices/DEVICE/bitmap",
    read: Read::Area(|out, area| write_bitmap(out, area)),
    write: Write::No,
}];
