// SPDX-License-Identifier: MIT OR Apache-2.0

//! What pointers of `struct page` tell of the pages: their distances, where the structure's size
//! can be told, and where the pages lie modulo the largest alignment, where one place fits every
//! alignment.
//!
//! Pointers may be hashed; then they tell buffers apart, and no more.

use alloc::vec::Vec;
use core::fmt;

use crate::trace::dmesg::Pointer;
use crate::trace::ftrace::MAX_RECORDED_PAGES;

/// Sizes that `struct page` has had, in bytes, the usual one first.
const NARROW: [u64; 6] = [32, 36, 40, 44, 48, 64];
const WIDE: [u64; 6] = [64, 56, 72, 80, 88, 96];
/// Buffers by which the size is told: fewer prove nothing.
const LEAST: usize = 3;
/// Buffers that are compared with each other.
const COMPARED: usize = 256;
/// The number of the first page of a recording, before what is known of its place: page numbers are
/// never negative.
const ORIGIN: u64 = 1 << 40;

/// What the pointers of a recording are worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pointers {
    /// They tell buffers apart.
    Hashed,
    /// There are too few to tell the size of `struct page`.
    TooFew,
    /// Pages were allocated, and no pointer is shown.
    Hidden,
    /// No size of `struct page` fits them.
    NoSize,
    /// Distances are known, but no place fits every alignment.
    NoAnchor {
        /// Size of `struct page` in bytes.
        bytes: u64,
    },
    /// Distances and the place.
    Placed(Scale),
}

/// How pointers become page numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Scale {
    first: u64,
    bytes: u64,
    anchor: Anchor,
}

/// Where the first page lies: at `bit` modulo 2^`order` pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Anchor {
    order: u32,
    bit: u64,
}

impl Anchor {
    /// The anchor that also puts the page `distance` pages behind the first one on a multiple of
    /// 2^`order` pages.
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

    /// Pages from the first page to this one, modulo 2^64; `None`: it does not begin a `struct
    /// page`, or lies too far away.
    fn distance(&self, pointer: u64) -> Option<u64> {
        let away = pointer.abs_diff(self.first);
        let pages = away / self.bytes;
        let near = away.is_multiple_of(self.bytes) && pages <= MAX_RECORDED_PAGES.into();
        near.then_some(if pointer < self.first { pages.wrapping_neg() } else { pages })
    }

    /// The number of a page, which lies as the page does modulo the anchor.
    pub(super) fn page(&self, pointer: u64) -> Option<u64> {
        self.distance(pointer).map(|distance| (ORIGIN + self.anchor.bit).wrapping_add(distance))
    }

    /// The last page at or before a page at which an area may begin.
    pub(super) fn base(&self, page: u64) -> u64 {
        page & !((1 << self.anchor.order) - 1)
    }
}

impl Pointers {
    /// Learns what pointers are worth from the allocations of a recording, which are asked for more
    /// than once: the first page, pages, and the order of the alignment, in their order. Releases
    /// have no pages.
    pub(super) fn learn<I: Iterator<Item = (Pointer, Option<(u32, u32)>)>>(moves: impl Fn() -> I) -> Self {
        let allocs = || moves().filter_map(|(pointer, asked)| Some((pointer, asked?)));
        let Some((first, _)) = allocs().next() else { return Self::TooFew };
        // Pointers of 64 bits that lie in the first 4 GiB are no pointers.
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

    /// How pointers become page numbers, where they do.
    pub(super) const fn scale(&self) -> Option<&Scale> {
        match self {
            Self::Placed(scale) => Some(scale),
            _ => None,
        }
    }
}

/// Whether two of the first buffers have a page in common while both are held.
fn overlaps(scale: &Scale, moves: impl Iterator<Item = (Pointer, Option<(u32, u32)>)>) -> bool {
    let mut held: Vec<(u64, u64)> = Vec::new();
    for (pointer, asked) in moves.take(COMPARED) {
        let Some(first) = scale.page(pointer.value) else { return true };
        let Some((pages, _)) = asked else {
            held.retain(|held| held.0 != first);
            continue;
        };
        let end = first + u64::from(pages);
        // What is allocated where a buffer begins was released, and that line is lost.
        held.retain(|held| held.0 != first);
        if held.iter().any(|held| held.0 < end && first < held.1) {
            return true;
        }
        held.push((first, end));
    }
    false
}

/// The ID of the buffer that begins at a pointer. Pointers of 64 bits are multiples of 4, and lie
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
