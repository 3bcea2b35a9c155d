// SPDX-License-Identifier: MIT OR Apache-2.0

//! Trace events: Linux's tracepoints of contiguous allocations, in a ring that keeps the latest
//! ones (`include/trace/events`).
//!
//! While tracing is off, an event costs one test. `/sys/kernel/tracing/trace` prints the ring.

use alloc::vec::Vec;

use units::Pfn;
use units::linux::LinuxVersion;

/// Most events in the ring.
pub const TRACE_EVENTS: usize = 1024;

/// A trace event. Areas are given by their index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// `cma_alloc_start`
    AllocStart {
        /// Index of the area.
        area: u8,
        /// Pages asked for.
        count: u32,
        /// Pages of the area that are not allocated.
        available: u32,
        /// Pages of the area.
        total: u32,
        /// Order of the alignment.
        align: u32,
    },
    /// `cma_alloc_finish`
    AllocFinish {
        /// Index of the area.
        area: u8,
        /// The first page, `None` if the allocation failed.
        first: Option<Pfn>,
        /// Pages asked for.
        count: u32,
        /// Order of the alignment.
        align: u32,
        /// 0, or a negative error number.
        errno: i32,
    },
    /// `cma_alloc_busy_retry`
    BusyRetry {
        /// Index of the area.
        area: u8,
        /// First page of the range that was busy.
        first: Pfn,
        /// Pages asked for.
        count: u32,
        /// Order of the alignment.
        align: u32,
    },
    /// `cma_release`
    Release {
        /// Index of the area.
        area: u8,
        /// The first page.
        first: Pfn,
        /// Pages of the buffer.
        count: u32,
    },
    /// `test_pages_isolated`
    TestIsolated {
        /// First page of the range.
        start: Pfn,
        /// One past its last page.
        end: Pfn,
        /// The page at which the test ended.
        fin: Pfn,
        /// True if all pages were isolated and free.
        success: bool,
    },
    /// `mm_alloc_contig_migrate_range_info`
    MigrateRange {
        /// First page of the range.
        start: Pfn,
        /// One past its last page.
        end: Pfn,
        /// Pages moved.
        migrated: u32,
        /// Pages dropped.
        reclaimed: u32,
        /// Mappings changed.
        mapped: u32,
    },
}

/// The ring of events.
#[derive(Debug, Default)]
pub struct Trace {
    enabled: bool,
    linux: LinuxVersion,
    events: Vec<(u64, Event)>,
    /// The task that wrote each event, in the order of `events`.
    tasks: Vec<u8>,
    task: u8,
    written: u64,
}

impl Trace {
    /// True if events are kept.
    #[inline]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Starts or stops keeping events; events already kept stay.
    pub fn enable(&mut self, enabled: bool) {
        if enabled {
            self.events.reserve_exact(TRACE_EVENTS.saturating_sub(self.events.len()));
            self.tasks.reserve_exact(TRACE_EVENTS.saturating_sub(self.tasks.len()));
        }
        self.enabled = enabled;
    }

    /// Sets the task that writes the following events: 0 is the monitor, others are callers.
    pub fn set_task(&mut self, task: u8) {
        self.task = task;
    }

    /// Chooses the Linux version whose events are kept.
    pub fn answer_like(&mut self, linux: LinuxVersion) {
        self.linux = linux;
    }

    /// Forgets all events.
    pub fn clear(&mut self) {
        self.events.clear();
        self.tasks.clear();
        self.written = 0;
    }

    /// Keeps an event, if tracing is on; it replaces the oldest if the ring is full.
    #[inline]
    pub fn add(&mut self, now_ns: u64, event: Event) {
        if self.enabled {
            self.store(now_ns, event);
        }
    }

    #[cold]
    fn store(&mut self, now_ns: u64, event: Event) {
        if matches!(event, Event::MigrateRange { .. }) && !self.linux.differences().has_migrate_range_info {
            return;
        }
        if self.events.len() < TRACE_EVENTS {
            self.events.push((now_ns, event));
            self.tasks.push(self.task);
        } else {
            let oldest = (self.written % TRACE_EVENTS as u64) as usize;
            (self.events[oldest], self.tasks[oldest]) = ((now_ns, event), self.task);
        }
        self.written += 1;
    }

    /// Number of events added since the ring was empty; it keeps the latest [`TRACE_EVENTS`].
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The events with their times in ns, oldest first.
    pub fn events(&self) -> impl Iterator<Item = &(u64, Event)> {
        let oldest = self.oldest();
        self.events[oldest..].iter().chain(&self.events[..oldest])
    }

    /// The task that wrote each event, oldest first.
    pub fn tasks(&self) -> impl Iterator<Item = u8> {
        let oldest = self.oldest();
        self.tasks[oldest..].iter().chain(&self.tasks[..oldest]).copied()
    }

    fn oldest(&self) -> usize {
        if self.events.len() < TRACE_EVENTS { 0 } else { (self.written % TRACE_EVENTS as u64) as usize }
    }
}
