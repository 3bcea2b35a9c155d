// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sources of pages: free pages above the watermark, then reclaimed ones, then those of a killed
//! process (`__alloc_pages_slowpath`, `mm/page_alloc.c`).

use super::processes::ProcessId;
use super::{LiveError, Mm};
use crate::reclaim::{COMPACT_CLUSTER_MAX, Undo};
use page_alloc::{Frame, Migratetype};

/// Pages that a request reclaims at a time (`SWAP_CLUSTER_MAX`).
pub(crate) const SWAP_CLUSTER_MAX: u32 = 32;
/// Most tries of a request for a target page, each of which may reclaim (`MAX_RECLAIM_RETRIES`).
const MAX_RECLAIM_RETRIES: u32 = 16;

/// Target pages of a migration.
pub(crate) struct Targets {
    pages: [Frame; COMPACT_CLUSTER_MAX],
    len: usize,
    used: usize,
}

impl Targets {
    /// Takes the next target page.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Frame> {
        if self.used == self.len {
            return None;
        }
        // `used` is less than that: the remainder only saves a bounds check.
        let page = self.pages[self.used % COMPACT_CLUSTER_MAX];
        self.used += 1;
        Some(page)
    }
}

impl Mm<'_, '_> {
    /// Gets a page: a free one, or after reclaim, a wait for the disk, or the kill of a process.
    ///
    /// # Errors
    /// [`LiveError::NoMemory`] if there is nothing left to reclaim and no process to kill.
    pub(super) fn get_page(&mut self, migratetype: Migratetype, file: bool) -> Result<Frame, LiveError> {
        let may_use_cma = self.live.lend.admits(migratetype, file);
        let marks = self.zone.kept_watermarks();
        if !self.zone.watermark_ok(marks.low, may_use_cma) {
            self.live.kswapd_awake = true;
        }
        loop {
            if self.zone.watermark_ok(marks.min, may_use_cma)
                && let Some(index) = self.zone.alloc_page(migratetype, may_use_cma)
            {
                return Ok(index);
            }
            if self.direct_reclaim(SWAP_CLUSTER_MAX, Undo::No) > 0 {
                continue;
            }
            // Pages on the per-CPU lists do not count as free; those just reclaimed may be there.
            if self.zone.drain_all_pages() > 0 {
                continue;
            }
            // Pages that the disk owns can be dropped after their requests have ended.
            if self.wait_for_disk() {
                continue;
            }
            self.kill_largest().ok_or(LiveError::NoMemory)?;
        }
    }

    /// Gets a target page. It reclaims, but never kills (`alloc_migration_target`,
    /// `__GFP_RETRY_MAYFAIL`).
    ///
    /// Isolated pageblocks serve no request, so it is never in the range that is being emptied.
    #[inline]
    pub(crate) fn get_target(&mut self, clean: bool) -> Option<Frame> {
        if let Some(left) = &mut self.live.faults.targets_left {
            *left = left.checked_sub(1)?;
        }
        let may_use_cma = self.live.lend.admits(Migratetype::Movable, clean);
        let mark = self.zone.kept_watermarks().min;
        for _ in 0..MAX_RECLAIM_RETRIES {
            if self.zone.watermark_ok(mark, may_use_cma)
                && let Some(index) = self.zone.alloc_page(Migratetype::Movable, may_use_cma)
            {
                return Some(index);
            }
            if self.direct_reclaim(SWAP_CLUSTER_MAX, Undo::Possible) == 0 && !self.wait_for_disk() {
                break;
            }
        }
        None
    }

    /// Gets up to `wanted` target pages, without reclaim.
    pub(crate) fn get_targets(&mut self, wanted: usize) -> Targets {
        let mut targets = Targets { pages: [Frame(0); COMPACT_CLUSTER_MAX], len: 0, used: 0 };
        let left = self.live.faults.targets_left.map_or(wanted, |left| wanted.min(left as usize));
        let may_use_cma = self.live.lend.admits(Migratetype::Movable, false);
        let mark = self.zone.kept_watermarks().min;
        targets.len = self.zone.alloc_pages_bulk(&mut targets.pages[..left], mark, may_use_cma);
        if let Some(left) = &mut self.live.faults.targets_left {
            *left -= targets.len as u32;
        }
        targets
    }

    /// Frees the target pages that were not used.
    pub(crate) fn give_back(&mut self, targets: &Targets) {
        for &index in &targets.pages[targets.used..targets.len] {
            self.zone.free_page(index);
        }
        if let Some(left) = &mut self.live.faults.targets_left {
            *left += (targets.len - targets.used) as u32;
        }
    }

    /// True if background reclaim was woken; clears that mark.
    pub(crate) fn kswapd_was_woken(&mut self) -> bool {
        core::mem::take(&mut self.live.kswapd_awake)
    }

    /// Kills the process with the most memory, mapped pages and the kernel's pages for it together,
    /// and of equals the one with the highest number (`oom_badness`, without adjustments). Returns
    /// its ID.
    fn kill_largest(&mut self) -> Option<ProcessId> {
        let ids = (0..self.live.processes.len() as u32).map(ProcessId);
        let (_, victim) = ids
            .filter_map(|id| self.process(id).map(|process| (process.resident() + process.kernel_pages(), id)))
            .filter(|&(pages, _)| pages > 0)
            .max()?;
        self.live.stats.cma_free_at_first_kill.get_or_insert(self.zone.nr_free_cma());
        self.live.stats.oom_kills += 1;
        self.destroy(victim).ok()?;
        Some(victim)
    }
}
