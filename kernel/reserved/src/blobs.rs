// SPDX-License-Identifier: MIT OR Apache-2.0

//! Moves the device tree and the initrd out of the way of regions.
//!
//! A boot loader may put them at the only place where a region fits. They keep their places while
//! regions are placed, so that every region that has another choice goes where Linux would put it.
//! When all regions are placed, blobs that one of them overlaps are moved.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Attempt, Move};
use crate::memblock::{Region, RegionKind, Search};
use units::PhysRange;
use units::notes::Words;

impl Attempt<'_> {
    /// Searches as if there were no movable blobs.
    pub(super) fn find_over_blobs(&self, search: Search) -> Option<u64> {
        self.memblock.find_where(search, |region| !self.movable(region))
    }

    /// Finds a new place for every blob that a region overlaps. Returns a blob without one as
    /// `Err`.
    pub(super) fn house_blobs(&mut self) -> Result<Vec<Move>, Region> {
        let mut moves = Vec::new();
        let regions = self.memblock.reserved().iter();
        let mut waiting: Vec<Region> =
            regions.filter(|region| self.movable(region) && self.region_over(region).is_some()).cloned().collect();
        while !waiting.is_empty() {
            // A blob that has no room yet may get some when another one has moved.
            let next = waiting.iter().enumerate().find_map(|(index, blob)| Some((index, self.new_place(blob)?)));
            let Some((index, start)) = next else { return Err(waiting.remove(0)) };
            let blob = waiting.remove(index);
            moves.push(self.move_blob(&blob, start));
        }
        Ok(moves)
    }

    /// Returns the name of a region that was placed over a blob.
    fn region_over(&self, blob: &Region) -> Option<String> {
        let is_placed =
            |region: &&Region| matches!(region.kind, RegionKind::Cma | RegionKind::NoMap | RegionKind::Reserved);
        let mut over = self.memblock.reserved().iter().filter(is_placed);
        over.find(|region| region.range.overlaps(&blob.range)).map(|region| region.name.clone())
    }

    /// Finds free memory for a blob, clear of its present place if possible, else overlapping that.
    fn new_place(&self, blob: &Region) -> Option<u64> {
        let search = Search::pages(blob.range.size());
        self.memblock.find(search).or_else(|| self.memblock.find_where(search, |region| region != blob))
    }

    fn move_blob(&mut self, blob: &Region, start: u64) -> Move {
        let to = PhysRange::sized(start, blob.range.size());
        if let Some(over) = self.region_over(blob) {
            self.notes.info(format_args!(
                "debris: Reserved memory: moving the {} ({} KiB) from {:#010x} to {start:#010x}, out of the way of {}",
                blob.name,
                blob.range.size().div_ceil(1024),
                blob.range.start,
                Words(&over)
            ));
        }
        self.memblock.release(blob.range, blob.kind);
        // The list has room: a reservation was just removed from it.
        let reserved = self.memblock.reserve_named(to, blob.kind, &blob.name);
        debug_assert_eq!(reserved, Ok(()));
        Move { what: blob.kind, from: blob.range, to }
    }
}
