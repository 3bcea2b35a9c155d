// SPDX-License-Identifier: MIT OR Apache-2.0

//! The steps of `alloc_contig_range` (`mm/page_alloc.c`): a range of an area is emptied of pages in
//! use, and taken.
//!
//! Isolate the pageblocks → drain the LRU batch and the per-CPU lists → migrate and reclaim what is
//! still in use, in batches of `COMPACT_CLUSTER_MAX`, at most `MAX_TRIES` times each → find the
//! free block that covers the start → test that the whole range is isolated and free → take it off
//! the free lists → give back what extends beyond the range on both sides → undo the isolation.
//! A [`ContigRange`] does this in six steps, between which others may run. A range that is all free
//! does not come here: `page_alloc` takes it directly (`Zone::take_range`).
//!
//! After a failure what was done is taken back: see `undo`. Linux leaves moved pages in their new
//! frames, and finds only at the end that a page cannot be moved; here that is checked first, so
//! that most failures have nothing to take back.

pub use cma::blocked::{Blocked, Owner, Phase, Refused, Why};

use super::live::Mm;
use super::live::own_journal::OwnJournal;
use super::migrate::Stuck;
use super::reclaim::{Batch, Undo};
use crate::trace::Event;
use page_alloc::Frame;
use page_alloc::lru::{NO_OWNER, Place};
use page_alloc::policy::CmaUse;
use units::Pfn;

/// Most tries of a batch (`__alloc_contig_migrate_range`).
const MAX_TRIES: u32 = 5;

/// Time of one allocation by phase, and counts of the work done in it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ContigReport {
    /// Nanoseconds by phase, in the order of [`Phase::ALL`].
    pub phase_ns: [u64; Phase::ALL.len()],
    /// Pages moved, including those moved back.
    pub migrated: u32,
    /// Clean pages of the range dropped, including those brought back.
    pub dropped: u32,
    /// Pages freed ahead (`cma_use=first`).
    pub freed_ahead: u32,
    /// Repeated tries of batches.
    pub retried_batches: u32,
    /// Ranges that a pin kept from moving.
    pub refused_pinned: u32,
    /// Ranges that were tried.
    pub ranges: u32,
    last_ns: u64,
}

impl ContigReport {
    /// Starts to count time at `now_ns`.
    pub fn start(&mut self, now_ns: u64) {
        self.last_ns = now_ns;
    }

    /// Adds the time since the last mark to `phase`.
    pub fn mark(&mut self, phase: Phase, now_ns: u64) {
        self.phase_ns[phase as usize] += now_ns.saturating_sub(self.last_ns);
        self.last_ns = now_ns;
    }

    /// Nanoseconds of a phase.
    pub const fn ns(&self, phase: Phase) -> u64 {
        self.phase_ns[phase as usize]
    }

    /// Nanoseconds of all phases.
    pub fn total_ns(&self) -> u64 {
        self.phase_ns.iter().sum()
    }
}

/// Frames of the area that contains a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AreaFrames {
    /// The area's first page.
    pub first: Pfn,
    /// The area's size in pages.
    pub pages: u32,
}

/// A step of [`ContigRange`].
#[derive(Clone, Copy, Debug)]
enum Step {
    Isolate,
    Drain,
    /// One batch.
    Migrate,
    Test,
    Grab,
    Undo(Result<(), Refused>),
}

/// One contiguous allocation under way, made step by step: isolate, drain, a batch of migration at
/// a time, test, grab, undo. Between two steps others may run, and the zone's accounting balances.
/// Several can be under way at once, each with a journal of its own.
pub struct ContigRange {
    area: AreaFrames,
    first: Pfn,
    pages: u32,
    next: Step,
    migration: Migration,
}

/// Progress and result of one allocation's batches.
struct Migration {
    at: Frame,
    end: Frame,
    batch: Batch,
    tries: u32,
    /// Pages moved before the first batch.
    migrated_before: u32,
    /// Pages dropped before the first batch.
    dropped_before: u32,
    mappings: u32,
    result: Result<(), Refused>,
}

impl ContigRange {
    /// Makes an allocation of a range of an area, all of it MIGRATE_CMA pageblocks; starts nothing.
    pub const fn new(area: AreaFrames, first: Pfn, pages: u32) -> Self {
        let migration = Migration {
            at: Frame(0),
            end: Frame(0),
            batch: Batch::new(),
            tries: 0,
            migrated_before: 0,
            dropped_before: 0,
            mappings: 0,
            result: Ok(()),
        };
        Self { area, first, pages, next: Step::Isolate, migration }
    }

    /// The phase of the next step.
    pub const fn phase(&self) -> Phase {
        match self.next {
            Step::Isolate => Phase::Isolate,
            Step::Drain => Phase::Drain,
            Step::Migrate => Phase::Migrate,
            Step::Test => Phase::Test,
            Step::Grab => Phase::Grab,
            Step::Undo(_) => Phase::Undo,
        }
    }

    /// Takes the next step. Returns the result after the last one; an error means that what was
    /// done is taken back (`undo`). `own` is this allocation's journal in every step.
    #[inline(never)]
    pub fn step(
        &mut self,
        mm: &mut Mm<'_, '_>,
        own: &mut OwnJournal,
        report: &mut ContigReport,
    ) -> Option<Result<(), Refused>> {
        mm.swap_journal(own);
        let result = self.step_inline(mm, report);
        mm.swap_journal(own);
        result
    }

    /// Ends the allocation at once: takes back what it has done, or completes it if the pages are
    /// taken already.
    ///
    /// # Errors
    /// The error under way, else [`Refused::Busy`] with the next phase.
    pub fn give_up(
        &mut self,
        mm: &mut Mm<'_, '_>,
        own: &mut OwnJournal,
        report: &mut ContigReport,
    ) -> Result<(), Refused> {
        let blocked = self.never_begun();
        match self.next {
            Step::Isolate => return Err(Refused::Busy(blocked)),
            Step::Undo(_) => {}
            _ => self.next = Step::Undo(Err(Refused::Busy(blocked))),
        }
        self.step(mm, own, report).unwrap_or(Err(Refused::Busy(blocked)))
    }

    /// The error of an allocation that is given up: names the first page and the next step's phase.
    pub const fn never_begun(&self) -> Blocked {
        Blocked { frame: self.first, owner: Owner::Nobody, why: Why::StillInUse, phase: self.phase() }
    }

    /// Takes the next step with the journal of `mm`; inlined to save the measured path a call.
    #[inline(always)]
    fn step_inline(&mut self, mm: &mut Mm<'_, '_>, report: &mut ContigReport) -> Option<Result<(), Refused>> {
        let (first, pages) = (self.first, self.pages);
        self.next = match self.next {
            Step::Isolate => match mm.isolate(self.area, first, pages, report) {
                Ok(()) => Step::Drain,
                Err(refused) => return Some(Err(refused)),
            },
            Step::Drain => {
                mm.drain(report);
                let at = mm.zone.frame(first);
                (self.migration.at, self.migration.end) = (at, at + pages);
                (self.migration.migrated_before, self.migration.dropped_before) = (report.migrated, report.dropped);
                Step::Migrate
            }
            Step::Migrate => {
                if mm.migrate_batch(&mut self.migration, report) {
                    return None;
                }
                mm.end_migration(first, pages, &self.migration, report);
                match self.migration.result {
                    Err(Refused::NoMemory(_)) => Step::Undo(self.migration.result),
                    _ => Step::Test,
                }
            }
            // A page that was busy may have become free, and then the test succeeds. If it fails,
            // the error is migration's, if there is one.
            Step::Test => match mm.test(first, pages, report) {
                Ok(()) => Step::Grab,
                Err(tested) => Step::Undo(Err(self.migration.result.err().unwrap_or(tested))),
            },
            Step::Grab => Step::Undo(mm.grab(first, pages, report)),
            Step::Undo(result) => {
                match result {
                    Ok(()) => mm.settle(report.migrated > self.migration.migrated_before),
                    Err(_) => mm.take_back(),
                }
                mm.zone.unbar_area();
                mm.zone.undo_isolate_page_range(first, pages, result.is_ok());
                mm.end_phase(Phase::Undo, report);
                return Some(result);
            }
        };
        None
    }
}

impl Mm<'_, '_> {
    /// Empties a range of an area, all of it MIGRATE_CMA pageblocks, and takes its pages out of the
    /// allocator: all steps of a [`ContigRange`].
    ///
    /// # Errors
    /// See [`Refused`]; what was done is taken back (`undo`).
    pub fn alloc_contig_range(
        &mut self,
        area: AreaFrames,
        first: Pfn,
        pages: u32,
        report: &mut ContigReport,
    ) -> Result<(), Refused> {
        let mut range = ContigRange::new(area, first, pages);
        loop {
            if let Some(result) = range.step_inline(self, report) {
                return result;
            }
        }
    }

    /// Isolates the pageblocks of the range, if no page of it is known to be impossible to move.
    fn isolate(&mut self, area: AreaFrames, first: Pfn, pages: u32, report: &mut ContigReport) -> Result<(), Refused> {
        report.ranges += 1;
        if let Some(frame) = self.zone.isolated_in(first, pages) {
            report.mark(Phase::Isolate, self.now_ns());
            let (owner, why, phase) = (Owner::Kernel, Why::Isolated, Phase::Isolate);
            return Err(Refused::Busy(Blocked { frame, owner, why, phase }));
        }
        self.look(first, pages, report)?;
        self.begin_undoable();
        let first_of_all = self.zone.cma_use() == CmaUse::First;
        if first_of_all {
            report.freed_ahead += self.free_ahead(pages, Undo::Possible);
            report.mark(Phase::Reclaim, self.now_ns());
        }
        self.zone.start_isolate_page_range(first, pages);
        if first_of_all {
            self.zone.bar_area(area.first, area.pages);
        }
        self.end_phase(Phase::Isolate, report);
        Ok(())
    }

    /// Adds the time since the last mark to `phase` and runs `Live::meanwhile`, whose time counts
    /// for no phase. True if there is such a callback.
    fn end_phase(&mut self, phase: Phase, report: &mut ContigReport) -> bool {
        report.mark(phase, self.now_ns());
        let Some(mut others) = self.live.meanwhile.take() else { return false };
        others(self, phase);
        self.live.meanwhile = Some(others);
        report.start(self.now_ns());
        true
    }

    /// Ends a phase, and removes pages from `batch` that others have freed meanwhile.
    fn end_phase_of(&mut self, batch: &mut Batch, phase: Phase, report: &mut ContigReport) {
        if self.end_phase(phase, report) {
            batch.retain(|index, _| self.zone.is_at(index, Place::Isolated));
        }
    }

    /// Fails if the range has a page that cannot be moved, before anything is done.
    ///
    /// Linux notices it at the end, by the pages that did not move or are not free, and leaves
    /// moved pages in their new frames; here they would all have to be moved back.
    fn look(&self, first: Pfn, pages: u32, report: &mut ContigReport) -> Result<(), Refused> {
        let in_the_way = self.zone.has_unmovable_pages(first, pages, self.live.faults.ignore_pins);
        let Some(index) = in_the_way else { return Ok(()) };
        report.mark(Phase::Isolate, self.now_ns());
        let blocked = self.blocked(index, Phase::Isolate);
        report.refused_pinned += u32::from(blocked.why == Why::Pinned);
        Err(Refused::Busy(blocked))
    }

    /// Empties the LRU batch and the per-CPU lists, where isolation does not find pages
    /// (`lru_add_drain_all`, `drain_all_pages`).
    fn drain(&mut self, report: &mut ContigReport) {
        self.lru_add_drain();
        self.zone.drain_all_pages();
        self.end_phase(Phase::Drain, report);
    }

    /// Moves or drops the next batch of pages in use, or tries the last one again; false if none is
    /// left or one failed (`__alloc_contig_migrate_range`).
    #[inline(always)]
    fn migrate_batch(&mut self, migration: &mut Migration, report: &mut ContigReport) -> bool {
        let Migration { at, end, batch, tries, mappings, result, .. } = migration;
        if result.is_err() {
            return false;
        }
        if batch.is_empty() {
            *at = self.isolate_migratepages_range(*at, *end, batch);
            *tries = 0;
            if batch.is_empty() {
                return false;
            }
        } else {
            *tries += 1;
            report.retried_batches += 1;
        }
        report.mark(Phase::Migrate, self.now_ns());
        report.dropped += self.reclaim_clean_pages_from_list(batch);
        self.end_phase_of(batch, Phase::Reclaim, report);
        let migrated = self.migrate_pages(batch);
        report.migrated += migrated.pages;
        *mappings += migrated.mappings;
        if let Some((index, stuck)) = migrated.stuck {
            let blocked = Blocked { why: why_of(stuck), ..self.blocked(index, Phase::Migrate) };
            match stuck {
                Stuck::NoTarget => *result = Err(Refused::NoMemory(blocked)),
                Stuck::Pinned if *tries + 1 == MAX_TRIES => {
                    report.refused_pinned += 1;
                    *result = Err(Refused::Busy(blocked));
                }
                Stuck::Pinned => {}
            }
        }
        self.end_phase_of(batch, Phase::Migrate, report);
        true
    }

    /// Writes one trace event for all batches.
    fn end_migration(&mut self, first: Pfn, pages: u32, migration: &Migration, report: &ContigReport) {
        self.trace.add(
            report.last_ns,
            Event::MigrateRange {
                start: first,
                end: first.add(pages),
                migrated: report.migrated - migration.migrated_before,
                reclaimed: report.dropped - migration.dropped_before,
                mapped: migration.mappings,
            },
        );
    }

    /// Takes the next batch of pages in use off their LRU lists; returns the frame to continue at
    /// (`isolate_migratepages_range`).
    #[inline]
    fn isolate_migratepages_range(&mut self, mut at: Frame, end: Frame, batch: &mut Batch) -> Frame {
        while at < end && !batch.is_full() && !self.live.journal.is_full() {
            if let Some(spot) = self.zone.lru_isolate(at) {
                batch.push(at, self.live.journal.isolated(at, spot), spot.marks);
                at += 1;
            } else {
                let tag = self.zone.tag(at);
                at += if tag.is_free() { 1 << tag.order() } else { 1 };
            }
        }
        at
    }

    /// Tests that the range is isolated and free, from the block that covers its start
    /// (`test_pages_isolated`).
    fn test(&mut self, first: Pfn, pages: u32, report: &mut ContigReport) -> Result<(), Refused> {
        let start = self.zone.frame(first);
        let block = self.zone.covering_free_block(start).ok_or(start);
        let tested = block.and_then(|head| self.zone.test_pages_isolated(head, start + pages));
        let (Ok(fin) | Err(fin)) = tested;
        let event = Event::TestIsolated {
            start: block.map_or(first, |head| self.zone.pfn(head)),
            end: first.add(pages),
            fin: self.zone.pfn(fin),
            success: tested.is_ok(),
        };
        let blocked = tested.map_err(|index| self.blocked(index, Phase::Test));
        self.trace.add(self.now_ns(), event);
        self.end_phase(Phase::Test, report);
        blocked.map(|_| ()).map_err(|blocked| Refused::Busy(Blocked { why: Why::StillInUse, ..blocked }))
    }

    /// Takes the range's blocks off the free lists.
    fn grab(&mut self, first: Pfn, pages: u32, report: &mut ContigReport) -> Result<(), Refused> {
        let taken = self.zone.take_isolated_range(first, pages);
        taken.map_err(|start| Refused::Busy(self.blocked(start, Phase::Grab)))?;
        self.end_phase(Phase::Grab, report);
        Ok(())
    }

    /// Describes a page that blocks the allocation.
    fn blocked(&self, index: Frame, phase: Phase) -> Blocked {
        let frame = self.zone.pfn(index);
        let pin = self.pin_of(frame);
        let owner = match (pin, self.zone.living(index)) {
            (Some(pin), _) => Owner::Pin(pin.by),
            (None, Some(tag)) if tag.has(page_alloc::lru::FILE) => Owner::Cache(self.zone.owner(index)),
            (None, Some(_)) => match self.zone.owner(index) {
                NO_OWNER => Owner::Kernel,
                slot => self.process_at(slot).map_or(Owner::Kernel, Owner::Process),
            },
            (None, None) => Owner::Kernel,
        };
        let why = if pin.is_some() { Why::Pinned } else { Why::Unmovable };
        Blocked { frame, owner, why, phase }
    }
}

fn why_of(stuck: Stuck) -> Why {
    match stuck {
        Stuck::Pinned => Why::Pinned,
        Stuck::NoTarget => Why::NoTarget,
    }
}
