// SPDX-License-Identifier: MIT OR Apache-2.0

//! Derives page positions from pointers to `struct page`: their distances, if the structure's size
//! can be determined, and the first page's position modulo the largest alignment, if one position
//! fits every alignment.
//!
//! Pointers may be hashed; then they only distinguish buffers.

use alloc::vec::Vec;
use core::fmt;

use crate::trace::dmesg::Pointer;
use crate::trace::ftrace::MAX_RECORDED_PAGES;

/// Sizes that `struct page` has had, in bytes, the most common one first.
const NARROW: [u64; 6] = [32, 36, 40, 44, 48, 64];
const WIDE: [u64; 6] = [64, 56, 72, 80, 88, 96];
/// Least number of buffers to determine the size.
const LEAST: usize = 3;
/// Number of buffers that are compared with each other.
const COMPARED: usize = 256;
/// Number of the first page of a recording before its position is known, so large that page numbers
/// are never negative.
const ORIGIN: u64 = 1 << 40;

/// Information that the pointers of a recording give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pointers {
    /// They only distinguish buffers.
    Hashed,
    /// There are too few to tell the size of `struct page`.
    TooFew,
    /// Pages were allocated, but no pointer is shown.
    Hidden,
    /// No size of `struct page` fits them.
    NoSize,
    /// Distances are known, but no position fits every alignment.
    NoAnchor {
        /// Size of `struct page` in bytes.
        bytes: u64,
    },
    /// Distances and the position are known.
    Placed(Scale),
}

/// Conversion of pointers to page numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Scale {
    first: u64,
    bytes: u64,
    anchor: Anchor,
}

/// Position of the first page: `bit` modulo 2^`order` pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Anchor {
    order: u32,
    bit: u64,
}

impl Anchor {
    /// Returns the anchor that also puts the page `distance` pages after the first one on a
    /// multiple of 2^`order` pages. Returns `None` if there is none.
    fn and(self, distance: u64, order: u32) -> Option<Self> {
        let bit = distance.wrapping_neg() & ((1 << order) - 1);
        let common = (1 << order.min(self.order)) - 1;
        let more = if order > self.order { Self { order, bit } } else { self };
        ((bit ^ self.bit) & common == 0).then_some(more)
    }
}

impl Scale {
    fn new(first: u64, bytes: u64) -> Self {
        Self { first, bytes, anchor: Anchor::default() }
    }

    /// Returns the pages from the first page to this one, modulo 2^64. Returns `None` if the
    /// pointer is not that of a `struct page`, or is too far away.
    fn distance(&self, pointer: u64) -> Option<u64> {
        let away = pointer.abs_diff(self.first);
        let pages = away / self.bytes;
        let near = away.is_multiple_of(self.bytes) && pages <= MAX_RECORDED_PAGES.into();
        near.then_some(if pointer < self.first { pages.wrapping_neg() } else { pages })
    }

    /// Returns a number for a page; it equals the page's position modulo the anchor.
    pub(super) fn page(&self, pointer: u64) -> Option<u64> {
        self.distance(pointer).map(|distance| (ORIGIN + self.anchor.bit).wrapping_add(distance))
    }

    /// Returns the last page at or before `page` at which an area may begin.
    pub(super) fn base(&self, page: u64) -> u64 {
        page & !((1 << self.anchor.order) - 1)
    }
}

impl Pointers {
    /// Derives the information from the operations of a recording, in their order; `moves` is
    /// called several times. Each has the first page; allocations also have the pages and the order
    /// of the alignment.
    pub(super) fn learn<I: Iterator<Item = (Pointer, Option<(u32, u32)>)>>(moves: impl Fn() -> I) -> Self {
        let allocs = || moves().filter_map(|(pointer, asked)| Some((pointer, asked?)));
        let Some((first, _)) = allocs().next() else { return Self::TooFew };
        // Values of 64 bits below 4 GiB are not pointers.
        if moves().any(|(pointer, _)| pointer.wide && pointer.value >> 32 == 0) {
            return Self::Hashed;
        }
        let sizes = if first.wide { WIDE } else { NARROW };
        let mut found = Self::NoSize;
        for bytes in sizes {
            let scale = Scale::new(first.value, bytes);
            if moves().any(|(pointer, _)| scale.distance(pointer.value).is_none()) || overlaps(&scale, moves()) {
                continue;
            }
            let mut known = allocs().map(|(pointer, (_, order))| (scale.distance(pointer.value).unwrap_or(0), order));
            if let Some(anchor) =
                known.try_fold(Anchor::default(), |anchor, (distance, order)| anchor.and(distance, order))
            {
                let enough = allocs().take(LEAST).count() == LEAST;
                return if enough { Self::Placed(Scale { anchor, ..scale }) } else { Self::TooFew };
            }
            if found == Self::NoSize {
                found = Self::NoAnchor { bytes };
            }
        }
        found
    }

    /// Returns the conversion to page numbers, if there is one.
    pub(super) const fn scale(&self) -> Option<&Scale> {
        match self {
            Self::Placed(scale) => Some(scale),
            _ => None,
        }
    }
}

/// True if two of the first buffers share a page while both are held.
fn overlaps(scale: &Scale, moves: impl Iterator<Item = (Pointer, Option<(u32, u32)>)>) -> bool {
    let mut held: Vec<(u64, u64)> = Vec::new();
    for (pointer, asked) in moves.take(COMPARED) {
        let Some(first) = scale.page(pointer.value) else { return true };
        let Some((pages, _)) = asked else {
            held.retain(|held| held.0 != first);
            continue;
        };
        let end = first + u64::from(pages);
        // If a buffer is allocated where another begins, the release of that one was lost.
        held.retain(|held| held.0 != first);
        if held.iter().any(|held| held.0 < end && first < held.1) {
            return true;
        }
        held.push((first, end));
    }
    false
}

/// Returns the ID of the buffer that begins at a pointer. Pointers of 64 bits are multiples of 4
/// within 16 GiB; hashed ones have 32 bits.
pub(super) const fn id_of(pointer: Pointer) -> u32 {
    if pointer.value >> 32 == 0 { pointer.value as u32 } else { (pointer.value >> 2) as u32 }
}

impl fmt::Display for Pointers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self {
            Self::Placed(Scale { bytes, anchor: Anchor { order, bit }, .. }) => {
                return write!(
                    f,
                    "Pages are pointers, {bytes} bytes apart; all alignments hold where the first page is bit {bit} modulo {}",
                    1u64 << order
                );
            }
            Self::NoAnchor { bytes } => {
                return write!(
                    f,
                    "Placements cannot be compared: pages are pointers, {bytes} bytes apart, and no place of the first one fits every alignment"
                );
            }
            Self::Hashed => "pointers are hashed (no_hash_pointers on the board's command line shows them)",
            Self::Hidden => {
                "pointers are hidden (ptrval), as before there are random numbers; no_hash_pointers on the board's command \
                 line shows them"
            }
            Self::TooFew => "three allocations are needed to tell the size of struct page",
            Self::NoSize => "pointers fit no size of struct page; they may be hashed, or lines may be missing",
        };
        write!(f, "Placements cannot be compared: {reason}")
    }
}
