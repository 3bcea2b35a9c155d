// SPDX-License-Identifier: MIT OR Apache-2.0

//! A failed request of a replay, and the buffers that blocked it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::metrics::Counted;
use crate::obstacles::Window;
use crate::record::Record;
use crate::trace::Head;
use cma::CmaError;

/// Most buffers of a window in a record.
pub(super) const MAX_BLOCKERS: usize = 16;
/// Most buffers of a window in the text.
const SHOWN_BLOCKERS: usize = 4;
/// Most characters of a task's name that are shown.
const SHOWN_TASK: usize = 40;

/// A request that failed.
#[derive(Clone, Debug)]
pub struct Failure<'t> {
    /// The area.
    pub area: &'t str,
    /// The line of the recording.
    pub line: u64,
    /// The task and the time of the request.
    pub head: Head<'t>,
    /// Pages of the request.
    pub pages: u32,
    /// Order of its alignment.
    pub align_order: u32,
    /// The error.
    pub error: CmaError,
    /// Free pages at that time.
    pub free: u32,
    /// Length of the longest free run, in pages.
    pub longest: u32,
    /// True if the request failed in the recording, too.
    pub failed_there: bool,
    /// The cheapest windows, in order of cost.
    pub in_the_way: Vec<InTheWay<'t>>,
}

/// A window, and the buffers in it.
#[derive(Clone, Debug)]
pub struct InTheWay<'t> {
    /// The window.
    pub window: Window,
    /// The first buffers of the window.
    pub blockers: Vec<Blocker<'t>>,
}

/// A buffer in a window.
#[derive(Clone, Copy, Debug)]
pub struct Blocker<'t> {
    /// The first page, from the area's first.
    pub page: u32,
    /// Number of pages.
    pub pages: u32,
    /// The line of the allocation; 0 if the buffer existed before the replay.
    pub line: u64,
    /// The task and the time of the allocation.
    pub head: Head<'t>,
}

impl Failure<'_> {
    /// Returns the record.
    pub fn record(&self) -> Record {
        let record = Record::new("failure")
            .number("line", self.line)
            .number("time_ns", self.head.time_ns.unwrap_or(0))
            .string("task", &task(&self.head))
            .number("pages", self.pages)
            .number("align_order", self.align_order)
            .string("cause", self.error.cause())
            .number("free", self.free)
            .number("maxchunk", self.longest);
        let cheapest = self.in_the_way.first();
        let blockers = cheapest.map_or(&[][..], |cheapest| &cheapest.blockers);
        let blockers = blockers.iter().map(|blocker| {
            Record::object()
                .number("line", blocker.line)
                .string("task", &task(&blocker.head))
                .number("pages", blocker.pages)
                .number("page", blocker.page)
                .number("time_ns", blocker.head.time_ns.unwrap_or(0))
        });
        record
            .objects("blockers", blockers)
            .string("area", self.area)
            .number("failed_recorded", u32::from(self.failed_there))
            .number("window", cheapest.map_or(0, |cheapest| cheapest.window.page))
            .number("window_used", cheapest.map_or(0, |cheapest| cheapest.window.used))
            .number("window_buffers", cheapest.map_or(0, |cheapest| cheapest.window.buffers))
            .number("window_cost", cheapest.map_or(0, |cheapest| cheapest.window.cost))
    }
}

/// Returns a task's name; empty if it is unknown.
fn task(head: &Head<'_>) -> String {
    String::from_utf8_lossy(head.task.unwrap_or_default()).chars().take(SHOWN_TASK).collect()
}

/// A time in nanoseconds, shown in seconds as in recordings.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NS: u64 = 1_000_000_000;
        let (seconds, ns) = (self.0 / NS, self.0 % NS);
        match ns % 1000 {
            0 => write!(f, "{seconds}.{:06} s", ns / 1000),
            _ => write!(f, "{seconds}.{ns:09} s"),
        }
    }
}

impl fmt::Display for Failure<'_> {
    /// Writes a line, and one for each window; ends in a newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(time_ns) = self.head.time_ns {
            write!(f, ", {}", Seconds(time_ns))?;
        }
        if self.head.task.is_some() {
            write!(f, ", {}", task(&self.head).escape_debug())?;
        }
        write!(f, ": no {}", Counted(self.pages.into(), "page"))?;
        if self.align_order > 0 {
            write!(f, " at a multiple of {}", 1u64 << self.align_order)?;
        }
        write!(f, ": {}", self.error)?;
        if matches!(self.error, CmaError::Fragmented { .. }) {
            write!(f, ", longest free run {}", self.longest)?;
        }
        writeln!(f, "{}", if self.failed_there { "; it failed on the board, too" } else { "" })?;
        self.in_the_way.iter().try_for_each(|window| writeln!(f, "  {window}"))
    }
}

impl fmt::Display for InTheWay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.window.fmt(f)?;
        for (place, blocker) in self.blockers.iter().take(SHOWN_BLOCKERS).enumerate() {
            write!(f, "{} {blocker}", if place == 0 { ":" } else { "," })?;
        }
        match (self.window.buffers as usize).saturating_sub(SHOWN_BLOCKERS) {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

impl fmt::Display for Blocker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pages)?;
        if self.head.task.is_some() {
            write!(f, " of {}", task(&self.head).escape_debug())?;
        }
        match (self.line, self.head.time_ns) {
            (0, _) => f.write_str(" from before"),
            (line, None) => write!(f, " since line {line}"),
            (line, Some(time_ns)) => write!(f, " since line {line} ({})", Seconds(time_ns)),
        }
    }
}

/// Causes in the order of the text.
const CAUSES: [&str; 5] = ["fragmented", "full", "busy", "no-memory", "invalid"];
/// Number of orders that a request's size can have, up to 2^32 pages.
const ORDERS: usize = 33;

/// Returns the smallest order whose 2^order pages hold `pages` pages, like `get_order` of Linux's
/// `include/asm-generic/getorder.h`; 0 for 0 pages.
pub fn size_order(pages: u32) -> u32 {
    u64::from(pages.max(1)).next_power_of_two().ilog2()
}

/// Counts of failed requests, by cause and by size.
#[derive(Clone, Debug)]
pub struct Tally {
    causes: [u64; CAUSES.len()],
    /// By [`size_order`]: the count, the smallest and the largest size.
    sizes: [(u64, u32, u32); ORDERS],
}

impl Default for Tally {
    fn default() -> Self {
        Self { causes: [0; CAUSES.len()], sizes: [(0, u32::MAX, 0); ORDERS] }
    }
}

impl Tally {
    /// Counts a request that failed.
    pub(super) fn add(&mut self, pages: u32, error: &CmaError) {
        let cause = CAUSES.iter().position(|cause| *cause == error.cause());
        self.causes[cause.unwrap_or(CAUSES.len() - 1)] += 1;
        let (count, least, most) = &mut self.sizes[size_order(pages) as usize];
        (*count, *least, *most) = (*count + 1, pages.min(*least), pages.max(*most));
    }

    /// Adds its fields to a record.
    pub(super) fn record(&self, record: Record) -> Record {
        let last = self.sizes.iter().rposition(|size| size.0 > 0).map_or(0, |last| last + 1);
        record
            .number("failed_fragmented", self.causes[0])
            .number("failed_full", self.causes[1])
            .number("failed_busy", self.causes[2])
            .list("failed_orders", self.sizes[..last].iter().map(|size| size.0 as i64))
    }

    /// Returns the number of failed requests.
    fn total(&self) -> u64 {
        self.causes.iter().sum()
    }
}

impl fmt::Display for Tally {
    /// Writes a line without its end; nothing if no request failed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.total() == 0 {
            return Ok(());
        }
        f.write_str("Failed:")?;
        let causes = CAUSES.iter().zip(self.causes).filter(|(_, count)| *count > 0);
        for (place, (cause, count)) in causes.enumerate() {
            write!(f, "{} {count} {cause}", if place == 0 { "" } else { "," })?;
        }
        for (place, (count, least, most)) in self.sizes.iter().filter(|size| size.0 > 0).enumerate() {
            write!(f, "{} {count} of {least}", if place == 0 { ";" } else { "," })?;
            if least != most {
                write!(f, " to {most}")?;
            }
            f.write_str(if place == 0 { " pages" } else { "" })?;
        }
        f.write_str(".")
    }
}

#[cfg(test)]
mod tests;
