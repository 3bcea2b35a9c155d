// SPDX-License-Identifier: MIT OR Apache-2.0

//! The default area from `cma=` or the configuration: `dma_contiguous_reserve` and
//! `cma_declare_contiguous_nid` (kernel/dma/contiguous.c, mm/cma.c), in their 32-bit arithmetic.

use super::{Attempt, CMA_BY_CONFIG, CMA_MIN_ALIGNMENT, DEFAULT_AREA, MAX_CMA_AREAS, MIB};
use crate::cmdline::CmaParameter;
use crate::memblock::{RegionKind, Search};
use units::PhysRange;
use units::notes::{Refused, Words};

/// `arm_dma_limit` if DMA reaches every address.
const DMA_LIMIT: u32 = u32::MAX;

/// Mask of the address bits below [`CMA_MIN_ALIGNMENT`].
const ALIGNMENT_MASK: u32 = CMA_MIN_ALIGNMENT as u32 - 1;

/// Rounds up to a multiple of [`CMA_MIN_ALIGNMENT`]; wraps to 0 at the top of 32 bits.
fn align_up(value: u32) -> u32 {
    value.wrapping_add(ALIGNMENT_MASK) & !ALIGNMENT_MASK
}

impl Attempt<'_> {
    /// Makes the area of `cma`, or logs the reason. Returns true if it made one.
    pub(super) fn declare(&mut self, cma: &CmaParameter) -> bool {
        if cma.size == 0 {
            return false;
        }
        if self.areas.len() == MAX_CMA_AREAS {
            self.notes.error(format_args!("cma: Not enough slots for CMA reserved regions!"));
            self.beyond_slots += 1;
            self.say_no_slot();
            self.refuse_parameter(self.notes.count() - 1);
            return false;
        }
        let size = align_up(cma.size);
        let said = self.notes.count();
        let placed = self.find_declared(cma, size).and_then(|range| {
            let reserved = self.reserve(range, RegionKind::Cma, DEFAULT_AREA);
            (reserved && self.create_area(range, DEFAULT_AREA, true).is_ok()).then_some(range)
        });
        match placed {
            Some(range) => {
                let bytes = if self.linux.says_size_asked { cma.size.into() } else { range.size() };
                let suffix = self.linux.node_suffix;
                self.notes.info(format_args!("cma: Reserved {} MiB at {:#010x}{suffix}", bytes / MIB, range.start));
                self.say_twin();
            }
            None => {
                // Linux refuses the base before it rounds the size.
                let bytes = if self.misaligned(cma) || self.linux.says_size_asked { cma.size } else { size };
                let suffix = self.linux.node_suffix;
                self.notes.error(format_args!("cma: Failed to reserve {} MiB{suffix}", u64::from(bytes) / MIB));
                self.refuse_parameter(said);
            }
        }
        placed.is_some()
    }

    /// Records that a given `cma=` made no area; the reason is the line with number `said`.
    fn refuse_parameter(&mut self, said: usize) {
        if self.cma_given {
            let why = self.notes.line(said).unwrap_or_default().into();
            self.notes.refuse_because(Refused::Parameter, "cma", why);
        }
    }

    /// Logs that the area that was not requested is not made, because its memory is needed
    /// otherwise.
    pub(super) fn say_crowded(&mut self) {
        let mib = u64::from(CMA_BY_CONFIG.size) / MIB;
        self.notes.error(format_args!("cma: Failed to reserve {mib} MiB{}", self.linux.node_suffix));
        self.notes.error(format_args!(
            "debris: Reserved memory: {DEFAULT_AREA}: no room beside the device tree, the initrd and the page frames"
        ));
    }

    /// True if the parameter names a place, not only bounds.
    fn is_fixed(cma: &CmaParameter) -> bool {
        cma.base.wrapping_add(cma.size) == cma.limit
    }

    fn misaligned(&self, cma: &CmaParameter) -> bool {
        Self::is_fixed(cma) && cma.base & ALIGNMENT_MASK != 0
    }

    /// Finds the place of the area; `size` is `cma.size` rounded up to pageblocks. Returns `None`
    /// if there is none, with a line unless the reason is just lack of room.
    fn find_declared(&mut self, cma: &CmaParameter, size: u32) -> Option<PhysRange> {
        if self.misaligned(cma) {
            self.notes.error(format_args!(
                "cma: Region at {:#010x} must be aligned to {CMA_MIN_ALIGNMENT:#010x} bytes",
                cma.base
            ));
            return None;
        }
        let base = align_up(cma.base);
        let fixed = Self::is_fixed(cma) && base != 0;
        let end_of_ram = u32::try_from(self.memblock.end_of_ram()).unwrap_or(u32::MAX);
        let end = base.wrapping_add(size);
        if fixed && base < end_of_ram && end > end_of_ram {
            self.notes.error(format_args!(
                "cma: Region at {base:#010x} defined on low/high memory boundary ({end_of_ram:#010x})"
            ));
            return None;
        }
        let given = if cma.limit == 0 { DMA_LIMIT } else { cma.limit };
        let mut limit = given & !ALIGNMENT_MASK;
        if limit == 0 || limit > end_of_ram {
            limit = end_of_ram;
        }
        if end > limit {
            self.notes.error(format_args!(
                "cma: Size ({size:#010x}) of region at {base:#010x} exceeds limit ({limit:#010x})"
            ));
            return None;
        }
        if size == 0 {
            return None;
        }
        let within = PhysRange { start: base.into(), end: limit.into() };
        if !fixed {
            let search = Search { size: size.into(), align: CMA_MIN_ALIGNMENT, within };
            let start = self.memblock.find(search).or_else(|| self.find_over_blobs(search))?;
            return Some(PhysRange::sized(start, size.into()));
        }
        let range = PhysRange::sized(base.into(), size.into());
        if !self.memblock.is_ram(&range) {
            self.notes.error(format_args!("debris: Reserved memory: cma=: outside RAM"));
            return None;
        }
        if let Some(other) = self.in_the_way(&range, |_| true) {
            self.notes.error(format_args!("debris: Reserved memory: cma=: overlaps {}", Words(&other)));
            return None;
        }
        Some(range)
    }
}
