// SPDX-License-Identifier: MIT OR Apache-2.0

//! The course of a replay: pages in use, buffers and their places, failed requests.
//!
//! A step is an event of the replay: a served request, a failed request, a release. Invariant: the
//! bands that contain a step are the buffers held after it.

use std::collections::BTreeMap;

use kernel::lab::replay::Told;
use kernel::lab::trace::Head;

/// Maximum of windows of a failure that are kept.
pub const WINDOWS: usize = 3;
/// The end of a band that is not released.
pub const OPEN: u32 = u32::MAX;
/// Maximum of characters of a task's name.
const MAX_TASK: usize = 40;

/// A buffer, or a part of one, from its allocation to its release.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Band {
    /// First page, from the area's first.
    pub page: u32,
    /// Number of pages.
    pub pages: u32,
    /// The step of the allocation.
    pub begin: u32,
    /// The step of the release, or [`OPEN`].
    pub end: u32,
    /// The line of the request.
    pub line: u32,
    /// The task's index in [`Timeline::tasks`].
    pub task: u32,
    /// Time of the allocation.
    pub time_ns: u64,
}

impl Band {
    /// Returns the page after the band's last.
    pub const fn end_page(&self) -> u32 {
        self.page + self.pages
    }

    /// True if it is held after `step`.
    pub const fn held_at(&self, step: u32) -> bool {
        self.begin <= step && step < self.end
    }
}

/// A window that is cheap to empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cheap {
    /// First page, from the area's first.
    pub page: u32,
    /// Pages in use in the window.
    pub used: u32,
    /// Pages of the buffers that overlap it.
    pub cost: u32,
    /// Number of these buffers.
    pub buffers: u32,
}

/// A request that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failed {
    /// The step.
    pub step: u32,
    /// The line.
    pub line: u32,
    /// The time, if known.
    pub time_ns: Option<u64>,
    /// The task's index in [`Timeline::tasks`].
    pub task: u32,
    /// Requested pages.
    pub pages: u32,
    /// Requested alignment, as an order.
    pub align_order: u32,
    /// The cause, as in records.
    pub cause: &'static str,
    /// Free pages at that time.
    pub free: u32,
    /// The longest free run.
    pub longest: u32,
    /// The windows that are cheapest to empty.
    pub windows: Vec<Cheap>,
}

/// The course of a replay.
#[derive(Debug)]
pub struct Timeline {
    /// Names of tasks; the first is empty, for events without a task.
    pub tasks: Vec<String>,
    /// Every buffer, in the order of allocation.
    pub bands: Vec<Band>,
    /// The line of each step.
    pub lines: Vec<u32>,
    /// Failed requests.
    pub failures: Vec<Failed>,
    /// The step after which the most pages were in use.
    pub peak_step: u32,
    peak: u32,
    /// Indices of bands that are not ended, by their first page.
    open: BTreeMap<u32, u32>,
    task_places: BTreeMap<Vec<u8>, u32>,
    time_ns: u64,
}

impl Default for Timeline {
    /// Returns a timeline without events.
    fn default() -> Self {
        Self {
            tasks: vec![String::new()],
            bands: Vec::new(),
            lines: Vec::new(),
            failures: Vec::new(),
            peak_step: 0,
            peak: 0,
            open: BTreeMap::new(),
            task_places: BTreeMap::new(),
            time_ns: 0,
        }
    }
}

impl Timeline {
    /// Returns the number of steps.
    pub fn steps(&self) -> u32 {
        self.lines.len() as u32
    }

    /// Records an event of the replay.
    pub fn note(&mut self, told: &Told<'_, '_>) {
        let step = self.steps();
        let (line, area) = match *told {
            Told::Placed { line, ref head, page, pages, area } => {
                let task = self.task(head);
                self.time_ns = head.time_ns.unwrap_or(self.time_ns);
                let line = short(line);
                let band = Band { page, pages, begin: step, end: OPEN, line, task, time_ns: self.time_ns };
                self.begin(band);
                (line, area)
            }
            Told::Released { line, page, pages, area } => {
                self.end(page, pages, step);
                (short(line), area)
            }
            Told::Failed { failure, area } => {
                let task = self.task(&failure.head);
                self.time_ns = failure.head.time_ns.unwrap_or(self.time_ns);
                let windows = failure.in_the_way.iter().take(WINDOWS).map(|way| Cheap {
                    page: way.window.page,
                    used: way.window.used,
                    cost: way.window.cost,
                    buffers: way.window.buffers,
                });
                self.failures.push(Failed {
                    step,
                    line: short(failure.line),
                    time_ns: failure.head.time_ns,
                    task,
                    pages: failure.pages,
                    align_order: failure.align_order,
                    cause: failure.error.cause(),
                    free: failure.free,
                    longest: failure.longest,
                    windows: windows.collect(),
                });
                (short(failure.line), area)
            }
        };
        let used = area.used_pages();
        if used > self.peak {
            (self.peak, self.peak_step) = (used, step);
        }
        self.lines.push(line);
    }

    /// Returns the buffers held after `step`, lowest first.
    pub fn held_at(&self, step: u32) -> Vec<Band> {
        let mut held: Vec<Band> = self.bands.iter().filter(|band| band.held_at(step)).copied().collect();
        held.sort_unstable_by_key(|band| band.page);
        held
    }

    /// Returns the failure to show: the fragmented one with the most free pages, else the first.
    pub fn worst(&self) -> Option<&Failed> {
        self.worst_place().map(|place| &self.failures[place])
    }

    /// Returns the index of [`Timeline::worst`] in the failures.
    pub fn worst_place(&self) -> Option<usize> {
        let fragmented = (0..self.failures.len()).filter(|&place| self.failures[place].cause == "fragmented");
        // Of equal ones, the first.
        let most = fragmented.rev().max_by_key(|&place| self.failures[place].free);
        most.or((!self.failures.is_empty()).then_some(0))
    }

    fn begin(&mut self, band: Band) {
        self.open.insert(band.page, self.bands.len() as u32);
        self.bands.push(band);
    }

    /// Ends the band that contains the pages; the rest on either side continues as a band of its
    /// own.
    fn end(&mut self, page: u32, pages: u32, step: u32) {
        let Some((&first, &place)) = self.open.range(..=page).next_back() else { return };
        let whole = self.bands[place as usize];
        if page >= whole.end_page() {
            return;
        }
        self.open.remove(&first);
        self.bands[place as usize].end = step;
        let behind = page + pages;
        for (from, to) in [(whole.page, page), (behind, whole.end_page())] {
            if from < to {
                self.begin(Band { page: from, pages: to - from, begin: step, ..whole });
            }
        }
    }

    fn task(&mut self, head: &Head<'_>) -> u32 {
        let Some(name) = head.task else { return 0 };
        if let Some(&place) = self.task_places.get(name) {
            return place;
        }
        let place = self.tasks.len() as u32;
        self.tasks.push(String::from_utf8_lossy(name).chars().take(MAX_TASK).collect());
        self.task_places.insert(name.into(), place);
        place
    }
}

fn short(line: u64) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use kernel::lab::replay::{Part, WhenServed};

    use super::*;
    use crate::size::{Alignment, FIRST_FIT, Recording, Rule};

    fn course(text: &str, pages: u32) -> Timeline {
        let recording = Recording::open(text.as_bytes(), None, || 0).expect("a recording");
        let rule = Rule { placement: FIRST_FIT.into(), alignment: Alignment::Asis };
        recording.course(&rule, (WhenServed::Release, Part::ALL), pages).expect("it is replayed").1
    }

    #[test]
    fn bands_are_the_buffers_of_their_steps() {
        let timeline = course("a 1 4 0\na 2 2 0\nr 1\na 3 1 0\n", 1024);
        let held = |step| timeline.held_at(step).iter().map(|band| (band.page, band.pages)).collect::<Vec<_>>();
        assert_eq!(held(0), [(0, 4)]);
        assert_eq!(held(1), [(0, 4), (4, 2)]);
        assert_eq!(held(2), [(4, 2)]);
        assert_eq!(held(3), [(0, 1), (4, 2)]);
        assert_eq!((timeline.steps(), timeline.peak_step), (4, 1));
        assert!(timeline.worst().is_none());
        assert_eq!(timeline.lines, [1, 2, 3, 4]);
    }

    #[test]
    fn what_is_left_of_a_buffer_goes_on() {
        let event = |ms: u32, what: &str| format!("  cam-7 [000] ..... 1.00000{ms}: {what}\n");
        let text = event(0, "cma_alloc_finish: name=x pfn=0x100 page=00000000 count=8 align=0 errorno=0")
            + &event(1, "cma_release: name=x pfn=0x102 page=00000000 count=2");
        let timeline = course(&text, 1024);
        let left: Vec<_> = timeline.held_at(1).iter().map(|band| (band.page, band.pages, band.line)).collect();
        assert_eq!(left, [(0, 2, 1), (4, 4, 1)]);
        assert_eq!((timeline.tasks[1].as_str(), timeline.bands[0].time_ns), ("cam", 1_000_000_000));
    }

    #[test]
    fn the_worst_failure_has_the_most_pages_free() {
        // 1024 pages: every second one of the first 8 stays; then 1017 at once, then 1021 of 1020.
        let text: String = (0..8).map(|id| format!("a {id} 1 0\n")).collect();
        let text = text + "r 1\nr 3\nr 5\na 20 1018 0\na 21 1016 0\na 22 4 0\n";
        let timeline = course(&text, 1024);
        let failed: Vec<_> = timeline.failures.iter().map(|failed| (failed.line, failed.cause, failed.free)).collect();
        assert_eq!(failed, [(12, "fragmented", 1019), (14, "full", 3)]);
        assert_eq!(timeline.worst_place(), Some(0));
        assert_eq!(timeline.failures[0].windows[0].buffers, 2, "the cheapest window leaves out what lies lowest");
    }
}
