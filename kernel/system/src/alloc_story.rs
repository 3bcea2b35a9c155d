// SPDX-License-Identifier: MIT OR Apache-2.0

//! The steps of an allocation and of a release: `cma_alloc` and `cma_release` of a system.
//!
//! A candidate whose pages are all free is taken at once ([`cma::area::Area::take_free`]). If there
//! are users of memory, a candidate with pages in use is emptied (`migration::contig_range`). If a
//! page cannot be moved, the search continues at the next candidate (-EBUSY); a lack of memory ends
//! it (-ENOMEM), as in `mm/cma.c`.

use super::System;
use crate::plan::NoRoom;
use cma::{AreaId, Buffer, CmaError, ReleaseError};
use migration::contig_range::{AreaFrames, Blocked, ContigReport, Owner, Phase, Refused, Why};
use migration::trace::Event;
use placement::Request;
use units::Pfn;

/// Result of an allocation, with the report of its time.
pub type Reported = (Result<Buffer, CmaError>, ContigReport);

/// The search of a request from candidate to candidate: the bits of a candidate are reserved, the
/// caller takes its pages (`alloc_contig_range`), and the outcome ends the search or continues it
/// at the next candidate.
pub struct CmaSearch {
    id: AreaId,
    request: Request,
    pages: u32,
    candidate: Option<u32>,
    first_blocked: Option<Blocked>,
    swept: bool,
}

impl CmaSearch {
    /// Begins a search at the first candidate of a request.
    ///
    /// # Errors
    /// [`CmaError::Invalid`]
    pub fn begin(system: &System<'_>, id: AreaId, pages: u32, align_order: u32) -> Result<Self, CmaError> {
        let area = system.area(id);
        let request = area.request(pages, align_order)?;
        let candidate = area.place(&request);
        Ok(Self { id, request, pages, candidate, first_blocked: None, swept: false })
    }

    /// Writes the event of a request that begins.
    pub fn trace_start(system: &mut System<'_>, id: AreaId, pages: u32, align_order: u32) {
        if system.trace.is_enabled() {
            system.trace_alloc_start(id, pages, align_order);
        }
    }

    /// Writes the event of a request that has ended.
    pub fn trace_finish(
        system: &mut System<'_>,
        id: AreaId,
        (pages, align_order): (u32, u32),
        result: Result<Pfn, CmaError>,
    ) {
        if system.trace.is_enabled() {
            system.trace_alloc_finish(id, (pages, align_order), result);
        }
    }

    /// Reserves the bits of the candidate; returns its first page. Returns `None` if there is no
    /// candidate left.
    pub fn reserve(&self, system: &mut System<'_>) -> Option<Pfn> {
        let bit = self.candidate?;
        let area = system.area_mut(self.id);
        area.reserve(bit, self.request.bits);
        Some(area.frame(bit))
    }

    /// Ends with the buffer of the reserved candidate, or with an error. Returns `None` if the
    /// search continues: then the bits are clear, and the next candidate is chosen.
    pub fn settle(
        &mut self,
        system: &mut System<'_>,
        first: Pfn,
        taken: Result<(), Refused>,
    ) -> Option<Result<Buffer, CmaError>> {
        let (id, pages, request) = (self.id, self.pages, &self.request);
        let Err(refused) = taken else { return Some(Ok(system.area_mut(id).hand_out(id, first, pages))) };
        let area = system.area_mut(id);
        let bit = first.0.wrapping_sub(area.base().0) >> area.order_per_bit();
        let unreserved = area.release(first, pages);
        debug_assert_eq!(unreserved, Ok(()));
        let (Refused::Busy(blocked) | Refused::NoMemory(blocked)) = refused;
        if matches!(refused, Refused::NoMemory(_)) {
            return Some(system.count_failure(id, pages, CmaError::NoMemory(blocked)));
        }
        self.first_blocked.get_or_insert(blocked);
        let mut busy = bit;
        if blocked.phase == Phase::Isolate && blocked.why != Why::Isolated {
            // A page that was found before anything was done blocks every candidate up to it: they
            // are skipped.
            let area = system.area(id);
            let blocked_bit = blocked.frame.0.wrapping_sub(area.base().0) >> area.order_per_bit();
            system.trace_refused(id, request, pages, (bit, blocked_bit), &blocked);
            busy = busy.max(blocked_bit.saturating_sub(request.align_mask));
        } else {
            system.trace_busy(id, request, first, pages);
        }
        self.candidate = system.area(id).place_behind(request, busy, &mut self.swept);
        None
    }

    /// Ends a search without a candidate left: if the placement relocates, buffers are moved to
    /// make room; else the request fails.
    ///
    /// # Errors
    /// See [`CmaError`].
    pub fn end(self, system: &mut System<'_>, report: &mut ContigReport) -> Result<Buffer, CmaError> {
        let Self { id, request, pages, first_blocked, .. } = self;
        if let Some(blocked) = first_blocked
            && !system.area(id).placement().relocates()
        {
            return system.count_failure(id, pages, CmaError::Busy(blocked));
        }
        let result = system.cma_alloc_without_room(id, &request, pages);
        report.mark(Phase::Migrate, system.now_ns());
        result.map_err(|error| first_blocked.map_or(error, CmaError::Busy))
    }
}

impl System<'_> {
    /// Allocates `pages` contiguous pages aligned to 2^`align_order` pages from an area
    /// (`cma_alloc`).
    ///
    /// A candidate that holds pages in use is emptied if all of them can be moved, else the search
    /// continues after it.
    ///
    /// # Errors
    /// See [`CmaError`]. Counters change, and `migration`'s `undo` lists what else is not undone.
    pub fn cma_alloc(&mut self, id: AreaId, pages: u32, align_order: u32) -> Result<Buffer, CmaError> {
        if self.trace.is_enabled() {
            return self.cma_alloc_reported(id, pages, align_order).0;
        }
        let area = self.areas.get_mut(id);
        let request = area.request(pages, align_order)?;
        let Some(bit) = area.place(&request) else { return self.cma_alloc_without_room(id, &request, pages) };
        match area.take_free(&mut self.zone, id, &request, pages, bit) {
            Ok(buffer) => Ok(buffer),
            Err(_) => self.cma_alloc_busy(id, &request, pages, bit),
        }
    }

    /// Continues an allocation whose first candidate holds a page in use.
    #[cold]
    fn cma_alloc_busy(&mut self, id: AreaId, request: &Request, pages: u32, bit: u32) -> Result<Buffer, CmaError> {
        let mut report = ContigReport::default();
        report.start(self.now_ns());
        self.cma_alloc_from(id, request, pages, Some(bit), &mut report)
    }

    /// Allocates as [`System::cma_alloc`] does, reports its time phase by phase, and writes trace
    /// events.
    pub fn cma_alloc_reported(&mut self, id: AreaId, pages: u32, align_order: u32) -> Reported {
        let mut report = ContigReport::default();
        report.start(self.now_ns());
        let request = self.area(id).request(pages, align_order);
        self.trace_alloc_start(id, pages, align_order);
        let result = request.and_then(|request| {
            let candidate = self.area(id).place(&request);
            self.cma_alloc_from(id, &request, pages, candidate, &mut report)
        });
        let told = result.as_ref().map(Buffer::first).map_err(|error| *error);
        self.trace_alloc_finish(id, (pages, align_order), told);
        (result, report)
    }

    #[inline]
    fn trace_alloc_start(&mut self, id: AreaId, pages: u32, align_order: u32) {
        let area = self.area(id);
        let (available, total) = (area.free_pages(), area.pages());
        self.trace_event(Event::AllocStart { area: id.0, count: pages, available, total, align: align_order });
    }

    #[inline]
    fn trace_alloc_finish(&mut self, id: AreaId, (pages, align): (u32, u32), result: Result<Pfn, CmaError>) {
        let (first, errno) = match result {
            Ok(first) => (Some(first), 0),
            Err(error) => (None, error.errno(self.linux())),
        };
        if pages <= self.area(id).pages() || self.linux().differences().finishes_too_large {
            self.trace_event(Event::AllocFinish { area: id.0, first, count: pages, align, errno });
        }
    }

    /// Tries a candidate, and those after it, one after the other.
    fn cma_alloc_from(
        &mut self,
        id: AreaId,
        request: &Request,
        pages: u32,
        candidate: Option<u32>,
        report: &mut ContigReport,
    ) -> Result<Buffer, CmaError> {
        let mut search = CmaSearch { id, request: *request, pages, candidate, first_blocked: None, swept: false };
        report.mark(Phase::Search, self.now_ns());
        while let Some(first) = search.reserve(self) {
            let taken = self.take(id, first, pages, report);
            if let Some(result) = search.settle(self, first, taken) {
                return result;
            }
            report.mark(Phase::Search, self.now_ns());
        }
        search.end(self, report)
    }

    /// Serves a request for which the placement finds no room: if it relocates, buffers are moved
    /// to make room; else the request fails.
    #[cold]
    fn cma_alloc_without_room(&mut self, id: AreaId, request: &Request, pages: u32) -> Result<Buffer, CmaError> {
        let made = if self.area(id).placement().relocates() { Some(self.make_room(id, request)) } else { None };
        let error = match made {
            Some(Ok(bit)) => return self.take_room(id, request, pages, bit),
            Some(Err(NoRoom::Full)) => CmaError::Full { free: self.area(id).free_pages() },
            Some(Err(NoRoom::NotFound)) | None => self.area(id).shortage(pages),
        };
        self.count_failure(id, pages, error)
    }

    fn trace_busy(&mut self, id: AreaId, request: &Request, first: Pfn, count: u32) {
        let align = request.align_mask.count_ones() + self.area(id).order_per_bit();
        self.trace_event(Event::BusyRetry { area: id.0, first, count, align });
    }

    /// Writes the events of a candidate at `bit` that was refused for a page at `blocked_bit`
    /// before anything was done, and of the candidates up to it that are skipped: Linux tries each
    /// of them, and finds the page by its test each time.
    fn trace_refused(
        &mut self,
        id: AreaId,
        request: &Request,
        pages: u32,
        (bit, blocked_bit): (u32, u32),
        blocked: &Blocked,
    ) {
        let mut candidate = Some(bit);
        while let Some(bit) = candidate.filter(|&bit| bit <= blocked_bit && self.trace.is_enabled()) {
            let (start, fin) = (self.area(id).frame(bit), blocked.frame);
            let end = start.add(pages);
            self.trace_event(Event::MigrateRange { start, end, migrated: 0, reclaimed: 0, mapped: 0 });
            self.trace_event(Event::TestIsolated { start, end, fin, success: false });
            self.trace_busy(id, request, start, pages);
            let area = self.area(id);
            let goes_by_address = area.placement().lowest_first();
            let next = area.bitmap().first_fit(request, bit + request.align_mask + 1);
            candidate = next.filter(|_| goes_by_address);
        }
    }

    /// Allocates the room that was made by moving buffers, whose pages are free.
    fn take_room(&mut self, id: AreaId, request: &Request, pages: u32, bit: u32) -> Result<Buffer, CmaError> {
        self.areas.get_mut(id).take_free(&mut self.zone, id, request, pages, bit).or_else(|busy| {
            let blocked = Blocked { frame: busy.frame, owner: Owner::Kernel, why: Why::StillInUse, phase: Phase::Grab };
            self.count_failure(id, pages, CmaError::Busy(blocked))
        })
    }

    fn count_failure(&mut self, id: AreaId, pages: u32, error: CmaError) -> Result<Buffer, CmaError> {
        if pages <= self.area(id).pages() || self.linux().differences().counts_too_large {
            self.area_mut(id).count_failure(pages);
        }
        Err(error)
    }

    /// Takes a range of an area out of the page allocator; empties it first if needed.
    fn take(&mut self, id: AreaId, first: Pfn, pages: u32, report: &mut ContigReport) -> Result<(), Refused> {
        let fast = self.zone.take_range(first, pages);
        report.mark(Phase::Grab, self.now_ns());
        let Err(busy) = fast else { return Ok(()) };
        let area = AreaFrames { first: self.area(id).base(), pages: self.area(id).pages() };
        let Some(mut mm) = self.mm() else {
            let frame = busy.frame;
            let blocked = Blocked { frame, owner: Owner::Kernel, why: Why::Unmovable, phase: Phase::Isolate };
            return Err(Refused::Busy(blocked));
        };
        mm.alloc_contig_range(area, first, pages, report)
    }

    /// Releases a buffer; all its bits have to be set (`cma_release`).
    ///
    /// # Errors
    /// See [`ReleaseError`]; nothing is changed.
    pub fn cma_release(&mut self, buffer: Buffer) -> Result<(), ReleaseError> {
        if self.trace.is_enabled() {
            return self.cma_release_traced(&buffer);
        }
        self.areas.release(&mut self.zone, &buffer)
    }

    #[cold]
    #[inline(never)]
    fn cma_release_traced(&mut self, buffer: &Buffer) -> Result<(), ReleaseError> {
        self.areas.release(&mut self.zone, buffer)?;
        self.trace_event(Event::Release { area: buffer.area().0, first: buffer.first(), count: buffer.pages() });
        Ok(())
    }
}
