// SPDX-License-Identifier: MIT OR Apache-2.0

//! The events of a recording in any format, for code that counts them.

use kernel::lab::trace::{Format, Op, TraceError, dmesg, ftrace, plain};
use kernel::lab::trace::{Head, Line};

/// The content of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Happened {
    /// A request.
    Alloc {
        /// The requested pages.
        pages: u32,
        /// The alignment, as an order.
        align_order: u32,
        /// True if the request failed when recorded; `None` if the format does not record that.
        failed: Option<bool>,
    },
    /// Pages were released.
    Release,
    /// At least this many events were lost.
    Lost(u64),
    /// A range was busy.
    Busy,
    /// The area has this many pages.
    AreaPages(u64),
}

/// An event.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'t> {
    /// The line of the event.
    pub line: Line<'t>,
    /// Task, processor and time, if recorded.
    pub head: Head<'t>,
    /// The area; empty if the format has none.
    pub area: &'t [u8],
    /// The key of the buffer: its first page and number of pages; or its ID or pointer, and 1;
    /// `None` if the event has none.
    pub names: Option<(u64, u64)>,
    /// The content of the event.
    pub happened: Happened,
}

/// Reads all events of a recording.
///
/// # Errors
/// The first invalid line.
pub fn all(text: &[u8]) -> Result<Vec<Recorded<'_>>, TraceError> {
    each(text).collect()
}

/// Returns the events of a recording one by one, up to the first invalid line.
pub fn each(text: &[u8]) -> Box<dyn Iterator<Item = Result<Recorded<'_>, TraceError>> + '_> {
    match Format::of(text) {
        Format::Plain => Box::new(plain::ops(text).map(|op| op.map(|(line, op)| of_plain(line, op)))),
        Format::Ftrace => Box::new(ftrace::events(text).map(|event| event.map(|(line, event)| of_ftrace(line, event)))),
        Format::Dmesg => Box::new(dmesg::events(text).map(|said| said.map(|(line, said)| of_dmesg(line, said)))),
    }
}

fn of_plain(line: Line<'_>, op: Op) -> Recorded<'_> {
    let (id, happened) = match op {
        Op::Alloc { id, pages, align_order } => (id, Happened::Alloc { pages, align_order, failed: None }),
        Op::Release { id } => (id, Happened::Release),
    };
    Recorded { line, head: Head::default(), area: b"", names: Some((id.into(), 1)), happened }
}

fn of_ftrace<'t>(line: Line<'t>, event: ftrace::Event<'t>) -> Recorded<'t> {
    let (area, names, happened): (&[u8], _, _) = match event {
        ftrace::Event::Alloc { area, pfn, pages, align_order } => (
            area,
            pfn.map(|pfn| (pfn, pages.into())),
            Happened::Alloc { pages, align_order, failed: Some(pfn.is_none()) },
        ),
        ftrace::Event::Release { area, pfn, pages } => (area, Some((pfn, pages.into())), Happened::Release),
        ftrace::Event::Start { area, pages, .. } => (area, None, pages.map_or(Happened::Lost(0), Happened::AreaPages)),
        ftrace::Event::Lost(events) => (b"", None, Happened::Lost(events)),
    };
    Recorded { line, head: line.head(Format::Ftrace), area, names, happened }
}

fn of_dmesg<'t>(line: Line<'t>, said: dmesg::Said<'t>) -> Recorded<'t> {
    let named = |page: dmesg::Page| match page {
        dmesg::Page::At(pointer) => Some((pointer.value, 1)),
        dmesg::Page::Hidden | dmesg::Page::None => None,
    };
    let (area, names, happened): (&[u8], _, _) = match said {
        dmesg::Said::Alloc { area, page, pages, align_order } => {
            (area, named(page), Happened::Alloc { pages, align_order, failed: Some(page == dmesg::Page::None) })
        }
        dmesg::Said::Release { page, .. } => (b"", named(page), Happened::Release),
        dmesg::Said::Busy => (b"", None, Happened::Busy),
        dmesg::Said::Free { area, pages, .. } => (area, None, Happened::AreaPages(pages.into())),
        dmesg::Said::Lost => (b"", None, Happened::Lost(1)),
    };
    Recorded { line, head: line.head(Format::Dmesg), area, names, happened }
}
