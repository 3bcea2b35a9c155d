// SPDX-License-Identifier: MIT OR Apache-2.0

//! Users of memory in an experiment: processes and cache pages, created, used and ended.

use alloc::vec::Vec;

use super::super::rng::Rng;
use super::super::stopwatch::span_ns_of;
use super::{PressureError, Refusal, Totals};
use cma::{AreaId, Buffer};
use machine::Machine;
use migration::live::processes::{MAX_PROCESSES, ProcessId};
use migration::live::{LiveError, Mm};
use system::System;

/// Number of a process's pages for each kernel page (page tables, descriptors, buffers) that it
/// needs.
const PAGES_PER_KERNEL_PAGE: u32 = 16;

/// The processes of an experiment, and the pages of the cache's source that it uses.
#[derive(Default)]
pub(super) struct Population {
    pub(super) processes: Vec<ProcessId>,
    /// Pages of the source that are read and written.
    pub(super) cache_pages: u32,
    /// Page that [`Population::read_on`] read last.
    next_read: u32,
    /// Number of reads with wrong content.
    pub(super) bad_reads: u32,
}

impl Population {
    /// Creates a process and touches all of its pages. It is not an error if the process is killed
    /// meanwhile.
    pub(super) fn add_process(&mut self, mm: &mut Mm<'_, '_>, pages: u32, kernel: bool) -> Result<(), PressureError> {
        let id = mm.create(pages)?;
        self.processes.push(id);
        let touched = (0..pages).try_for_each(|page| {
            if kernel && page % PAGES_PER_KERNEL_PAGE == 0 {
                mm.add_kernel_page(id)?;
            }
            mm.populate(id, page)
        });
        match touched {
            Ok(()) | Err(LiveError::Killed) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the next page of the source that was not read before.
    pub(super) fn add_cache_page(&mut self, mm: &mut Mm<'_, '_>) -> Result<(), PressureError> {
        if self.cache_pages < mm.cache_capacity() {
            self.cache_pages += 1;
            self.bad_reads += u32::from(!mm.cache_read(self.cache_pages - 1)?);
        }
        Ok(())
    }

    /// Continues to read the source, cyclically, until memory is full: background reclaim would
    /// have to begin.
    pub(super) fn read_on(&mut self, mm: &mut Mm<'_, '_>) -> Result<(), PressureError> {
        for _ in 0..mm.cache_capacity() {
            if !mm.has_room_for_cache() {
                break;
            }
            self.next_read = (self.next_read + 1) % mm.cache_capacity();
            self.cache_pages = self.cache_pages.max(self.next_read + 1);
            self.bad_reads += u32::from(!mm.cache_read(self.next_read)?);
        }
        Ok(())
    }

    /// True if another process can be created.
    pub(super) fn has_room(&self) -> bool {
        self.processes.len() < MAX_PROCESSES
    }

    /// Removes processes that were killed from the list.
    pub(super) fn bury(&mut self, mm: &Mm<'_, '_>) {
        self.processes.retain(|&id| mm.process(id).is_some());
    }

    /// Returns a random process, which may have been killed.
    pub(super) fn any(&self, rng: &mut Rng) -> Option<ProcessId> {
        let processes = self.processes.len() as u32;
        (processes > 0).then(|| self.processes[rng.below(processes) as usize])
    }

    /// Reads and writes pages of processes and of the cache, `times` times at random. Counts
    /// contents that are not what was written last.
    pub(super) fn use_memory(&mut self, mm: &mut Mm<'_, '_>, rng: &mut Rng, times: u32) -> Result<(), PressureError> {
        self.bury(mm);
        for _ in 0..times {
            let used = match rng.below(8) {
                0..=2 if self.cache_pages > 0 => mm.cache_read(rng.below(self.cache_pages)),
                3 if self.cache_pages > 0 => mm.cache_write(rng.below(self.cache_pages)).map(|()| true),
                what => {
                    let Some(id) = self.any(rng) else { continue };
                    let pages = mm.process(id).map_or(0, |process| process.pages());
                    if pages == 0 {
                        continue;
                    }
                    let page = rng.below(pages);
                    if what == 7 { mm.write(id, page).map(|()| true) } else { mm.read(id, page) }
                }
            };
            match used {
                Ok(good) => self.bad_reads += u32::from(!good),
                // Unmapped, or killed meanwhile.
                Err(LiveError::NotThere | LiveError::Killed) => self.bury(mm),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Makes one allocation, timed, and adds it to `totals`.
pub(super) fn timed_alloc<M: Machine + ?Sized>(
    system: &mut System<'_>,
    machine: &M,
    area: AreaId,
    pages: u32,
    align_order: u32,
    totals: &mut Totals,
) -> Option<Buffer> {
    let ((result, report), span_ns) = span_ns_of(machine, || system.cma_alloc_reported(area, pages, align_order));
    totals.add(span_ns, &report, result.as_ref().err().copied().map(Refusal::Cma));
    result.ok()
}
