// SPDX-License-Identifier: MIT OR Apache-2.0

//! The text of Linux's ftrace: CMA's tracepoints (`include/trace/events/cma.h`) in
//! `/sys/kernel/tracing/trace`, `trace_pipe` and `trace-cmd report`.
//!
//! The parser reads `cma_alloc_finish` and `cma_release`, and the `cma_alloc` and `cma_release`
//! without a name of Linux before 5.13; of `cma_alloc_start`, the size of the area and its free
//! pages, if Linux is new enough to print them (`total_count`, `available_count`). An allocation
//! that failed has an `errorno` other than 0, or, without that field (before 6.12), no page. Notes
//! of lost events are read, and so is the number of overwritten events in the head. Comments, the
//! heads of both programs, backtraces and all other events have no operation; any other text is an
//! error.
//!
//! The name of a process may contain any text, but cannot be as long as an event with its fields,
//! so these identify an event at any position in its line.

use memchr::memchr;

use super::head::{Head, time_ns};
use super::{Field, NAMELESS, Parsed, Reason, Whole, decimal, decimal_u64};
use crate::state::is_state;
use cma::MAX_ALIGN_ORDER;

/// Most areas of a recording that are distinguished.
pub const MAX_RECORDED_AREAS: usize = 32;
/// Most pages from a recorded area's first to the end of its last (16 GiB).
pub const MAX_RECORDED_PAGES: u32 = 1 << 22;

/// The events that are read, up to the colon after them.
const NAMES: [(&[u8], EventKind); 3] = [
    (b"cma_alloc_finish:", EventKind::Alloc),
    (b"cma_release:", EventKind::Release),
    (b"cma_alloc:", EventKind::Alloc),
];

/// The start of a request, up to the colon after it.
const START: &[u8] = b"cma_alloc_start:";

/// Content of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'t> {
    /// An allocation succeeded or failed.
    Alloc {
        /// The area's name.
        area: &'t [u8],
        /// The first page; `None` if it failed.
        pfn: Option<u64>,
        /// Size in pages, not 0.
        pages: u32,
        /// Order of the alignment, at most [`MAX_ALIGN_ORDER`].
        align_order: u32,
    },
    /// Pages were released.
    Release {
        /// The area's name.
        area: &'t [u8],
        /// The first page.
        pfn: u64,
        /// Number of pages, not 0.
        pages: u32,
    },
    /// An allocation begins.
    Start {
        /// The area's name; empty if Linux is too old to print more.
        area: &'t [u8],
        /// Free pages of the area, if the event has them.
        free: Option<u64>,
        /// All pages of the area, if the event has them.
        pages: Option<u64>,
    },
    /// The least number of events that were lost here.
    Lost(u64),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EventKind {
    Alloc,
    Release,
}

/// An event in its line.
struct Found<'t> {
    kind: EventKind,
    fields: &'t [u8],
    /// The text before its name.
    before: &'t [u8],
}

/// Reads the events of a recording.
pub fn events(bytes: &[u8]) -> Parsed<'_, Event<'_>> {
    Parsed::new(bytes, parse_line)
}

/// True if a line has an event of CMA, at any position.
pub(super) fn is_event(line: &[u8]) -> bool {
    match find_event(line) {
        Ok(Some(_)) => true,
        Err(_) => false,
        Ok(None) => line.trim_ascii_start().starts_with(START),
    }
}

/// True if a line is one that ftrace begins with: a head, a note of lost events, or any event with
/// its prefix. A line of a log may have a time and a colon, but no task.
pub(super) fn is_head(line: &[u8]) -> bool {
    lost_note(line).is_some()
        || is_report_head(line)
        || other_event(line).is_ok_and(|event| {
            let before = event.map(|event| event.front.trim_ascii_end()).and_then(processor);
            before.is_some_and(|(task, _)| numbered(task).is_some())
        })
}

/// True if a line has a time in seconds and a colon, which an event may follow.
pub(super) fn is_stamped(line: &[u8]) -> bool {
    let event = other_event(line).ok().flatten();
    event.is_some_and(|event| {
        line[event.front.len()..].iter().take_while(|&&byte| byte != b':').any(|&byte| byte == b'.')
    })
}

/// Parses a line: an event that is read, or `None` if it has none. A recording that was cut at an
/// end has a cut line there, which counts as a lost event.
fn parse_line(line: &[u8], whole: Whole) -> Result<Option<Event<'_>>, Reason> {
    if line.first() == Some(&b'#') {
        return Ok(overwritten(line).map(Event::Lost));
    }
    // A binary line is not an event, either, so only a bad line is searched for the byte that shows
    // it.
    read_line(line).or_else(|reason| {
        let start_is_lost = !whole.start && matches!(reason, Reason::NotFtrace | Reason::Missing(_));
        match not_text(line) {
            Some(reason) => Err(reason),
            None if start_is_lost || !whole.end => Ok(Some(Event::Lost(1))),
            None => Err(reason),
        }
    })
}

fn read_line(line: &[u8]) -> Result<Option<Event<'_>>, Reason> {
    if let Some(Found { kind, fields, .. }) = find_event(line)? {
        return parse_fields(kind, fields).map(Some);
    }
    if let Some(other) = other_event(line)? {
        return Ok(start(other.event));
    }
    if let Some(lost) = lost_note(line) {
        return Ok(Some(Event::Lost(lost)));
    }
    let trimmed = line.trim_ascii();
    // The prefix of all events may have been cut off.
    let bare = trimmed.starts_with(b"cma_") && trimmed.contains(&b':');
    // Backtraces have one line for each function, `=> cma_alloc`.
    if trimmed.is_empty() || bare || trimmed.starts_with(b"=>") || is_report_head(line) || is_state(line) {
        return Ok(None);
    }
    Err(Reason::NotFtrace)
}

/// Returns the error if a line is not text. Names of processes need not be ASCII, but no byte is a
/// control character.
fn not_text(line: &[u8]) -> Option<Reason> {
    line.iter().find(|&&byte| byte < b' ' && byte != b'\t').map(|&byte| Reason::Binary(byte))
}

/// Returns the event of a line, if it is one of those that are read.
fn find_event(line: &[u8]) -> Result<Option<Found<'_>>, Reason> {
    let mut named = false;
    let mut at = 0;
    while let Some(offset) = memchr(b'_', &line[at..]) {
        let before = &line[..at + offset];
        at += offset + 1;
        let &[ref before @ .., b'c', b'm', b'a'] = before else { continue };
        if !matches!(before.last(), None | Some(b' ' | b'\t' | b':')) {
            continue;
        }
        for (name, kind) in NAMES {
            if let Some(fields) = line[before.len()..].strip_prefix(name) {
                let fields = fields.trim_ascii_start();
                if fields.starts_with(b"name=") || fields.starts_with(b"pfn=") {
                    return Ok(Some(Found { kind, fields, before }));
                }
                named = true;
            }
        }
    }
    if named { Err(Reason::Missing(Field::Name)) } else { Ok(None) }
}

/// Parses the fields, in the order in which they are printed. The text after those that are read
/// must consist of fields, too.
fn parse_fields(kind: EventKind, mut rest: &[u8]) -> Result<Event<'_>, Reason> {
    // A name may contain anything, and ends where the next field begins.
    let area = match rest.strip_prefix(b"name=") {
        Some(named) => {
            let (name, fields) = before_field(named, b"pfn=").ok_or(Reason::Missing(Field::Pfn))?;
            rest = fields;
            name
        }
        None => NAMELESS,
    };
    if area.is_empty() || area.iter().any(|&byte| byte < b' ') {
        return Err(Reason::Bad(Field::Name));
    }
    let pfn = hexadecimal(word(&mut rest, b"pfn=").ok_or(Reason::Missing(Field::Pfn))?)?;
    let page = rest.strip_prefix(b"page=").ok_or(Reason::Missing(Field::Page))?;
    // Some versions print blanks before the pointer.
    let (page, fields) = before_field(page, b"count=").ok_or(Reason::Missing(Field::Count))?;
    let no_page = is_null(page.trim_ascii())?;
    rest = fields;
    let count = word(&mut rest, b"count=").ok_or(Reason::Missing(Field::Count))?;
    let pages = decimal(count, Field::Count, 1, u32::MAX)?;
    let event = match kind {
        EventKind::Release => Event::Release { area, pfn, pages },
        EventKind::Alloc => {
            let align = word(&mut rest, b"align=").ok_or(Reason::Missing(Field::Align))?;
            let align_order = decimal(align, Field::Align, 0, MAX_ALIGN_ORDER)?;
            let failed = match word(&mut rest, b"errorno=") {
                Some(errorno) => {
                    let digits = errorno.strip_prefix(b"-").unwrap_or(errorno);
                    decimal(digits, Field::Errorno, 0, i32::MAX as u32)? != 0
                }
                None => no_page,
            };
            Event::Alloc { area, pfn: (!failed).then_some(pfn), pages, align_order }
        }
    };
    let mut others = rest.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
    if others.all(|word| word.contains(&b'=')) { Ok(event) } else { Err(Reason::Extra) }
}

/// Splits a text at the first blank that a field follows.
fn before_field<'t>(text: &'t [u8], field: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let mut at = 0;
    loop {
        let blank = at + memchr(b' ', &text[at..])?;
        at = blank + 1;
        if text[at..].starts_with(field) {
            return Some((&text[..blank], &text[at..]));
        }
    }
}

/// Returns the value of a field that must come next, up to a blank; `rest` then begins after it.
fn word<'t>(rest: &mut &'t [u8], name: &[u8]) -> Option<&'t [u8]> {
    let value = rest.strip_prefix(name)?;
    let end = memchr(b' ', value).unwrap_or(value.len());
    *rest = value[end..].trim_ascii_start();
    Some(&value[..end])
}

/// Parses a number of up to 64 bits with or without `0x`.
fn hexadecimal(word: &[u8]) -> Result<u64, Reason> {
    let digits = word.strip_prefix(b"0x").unwrap_or(word);
    if digits.is_empty() || digits.len() > 16 {
        return Err(Reason::Bad(Field::Pfn));
    }
    digits.iter().try_fold(0, |value, &byte| {
        let digit = char::from(byte).to_digit(16).ok_or(Reason::Bad(Field::Pfn))?;
        Ok(value << 4 | u64::from(digit))
    })
}

/// True if a pointer is null; it may be hidden, as `(ptrval)`.
fn is_null(pointer: &[u8]) -> Result<bool, Reason> {
    let digits = pointer.strip_prefix(b"0x").unwrap_or(pointer);
    match digits {
        [] => Err(Reason::Bad(Field::Page)),
        b"(null)" | b"(nil)" => Ok(true),
        digits => Ok(digits.iter().all(|&byte| byte == b'0')),
    }
}

/// Parses the text before a line's event: `TASK-PID [CPU] FLAGS TIME:`; `(TGID)` may follow the
/// PID.
pub(super) fn head(line: &[u8]) -> Head<'_> {
    let Ok(Some(Found { before, .. })) = find_event(line) else { return Head::default() };
    let before = before.trim_ascii_end();
    let Some(before) = before.strip_suffix(b":") else { return Head::default() };
    let blank = before.iter().rposition(|byte| byte.is_ascii_whitespace()).map_or(0, |blank| blank + 1);
    let (before, stamp) = before.split_at(blank);
    let mut head = Head { time_ns: time_ns(stamp), ..Head::default() };
    let Some((task, cpu)) = processor(before) else { return head };
    head.cpu = Some(cpu);
    (head.task, head.pid) = numbered(task).unzip();
    head
}

/// Parses a task's name and PID, `TASK-PID`; `(TGID)` may follow.
fn numbered(task: &[u8]) -> Option<(&[u8], u32)> {
    let mut task = task.trim_ascii();
    if let Some(open) = task.strip_suffix(b")").and_then(|task| task.iter().rposition(|&byte| byte == b'(')) {
        task = task[..open].trim_ascii_end();
    }
    let dash = task.iter().rposition(|&byte| byte == b'-')?;
    Some((&task[..dash], u32::try_from(decimal_u64(&task[dash + 1..])?).ok()?))
}

/// Returns the number in the last `[003]`, and the text before it.
fn processor(text: &[u8]) -> Option<(&[u8], u32)> {
    let close = text.iter().rposition(|&byte| byte == b']')?;
    let open = text[..close].iter().rposition(|&byte| byte == b'[')?;
    let cpu = decimal_u64(&text[open + 1..close])?;
    Some((&text[..open], u32::try_from(cpu).ok()?))
}

/// Returns the number of events that the head counts as written but no longer in the buffer:
/// `# entries-in-buffer/entries-written: 1024/5000   #P:1`.
fn overwritten(line: &[u8]) -> Option<u64> {
    let counts = line.strip_prefix(b"# entries-in-buffer/entries-written:")?.trim_ascii_start();
    let slash = memchr(b'/', counts)?;
    let end = memchr(b' ', counts).unwrap_or(counts.len());
    let kept = decimal_u64(counts.get(..slash)?)?;
    let written = decimal_u64(counts.get(slash + 1..end)?)?;
    written.checked_sub(kept).filter(|&lost| lost > 0)
}

/// Parses `CPU:0 [LOST 12 EVENTS]` of ftrace, `CPU:0 [12 EVENTS DROPPED]` of trace-cmd, and both
/// without a number, which is then 1.
fn lost_note(line: &[u8]) -> Option<u64> {
    let note = line.trim_ascii().strip_prefix(b"CPU:")?;
    let note = &note[memchr(b'[', note)? + 1..];
    let note = note.strip_suffix(b"]")?;
    if let Some(number) = note.strip_prefix(b"LOST ").and_then(|note| note.strip_suffix(b" EVENTS")) {
        return decimal_u64(number);
    }
    match note {
        b"LOST EVENTS" | b"EVENTS DROPPED" => Some(1),
        _ => decimal_u64(note.strip_suffix(b" EVENTS DROPPED")?),
    }
}

/// True if a line is one of the first lines of `trace-cmd report`.
fn is_report_head(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.starts_with(b"cpus=")
        || line.starts_with(b"version = ")
        || line.starts_with(b"CPU ") && line.ends_with(b" is empty")
}

/// Parses the start of a request, with the information about the area. Invalid fields are not
/// errors.
fn start(event: &[u8]) -> Option<Event<'_>> {
    let fields = event.strip_prefix(START)?.trim_ascii_start();
    let named = fields.strip_prefix(b"name=").and_then(|fields| before_field(fields, b"request_count="));
    let Some((area, fields)) = named.filter(|(area, _)| !area.is_empty() && area.iter().all(|&byte| byte >= b' '))
    else {
        return Some(Event::Start { area: b"", free: None, pages: None });
    };
    let count = |name: &[u8]| {
        let (_, mut fields) = before_field(fields, name)?;
        decimal_u64(word(&mut fields, name)?)
    };
    let (free, pages) = (count(b"available_count="), count(b"total_count="));
    Some(Event::Start { area, free: free.filter(|&free| pages.is_some_and(|pages| free <= pages)), pages })
}

/// An event with any name.
struct OtherEvent<'l> {
    /// The text before its time.
    front: &'l [u8],
    /// Its name and fields, after the time and a colon.
    event: &'l [u8],
}

/// Returns the event of a line; `None` if there is none.
///
/// # Errors
/// The line is cut before the event's name is complete.
fn other_event(line: &[u8]) -> Result<Option<OtherEvent<'_>>, Reason> {
    let mut at = 0;
    while let Some(offset) = memchr(b':', &line[at..]) {
        let (before, behind) = (&line[..at + offset], &line[at + offset + 1..]);
        at += offset + 1;
        let digits = before.iter().rev().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
        let front = &before[..before.len() - digits];
        let stamp_stands_alone = matches!(front.last(), None | Some(b' ' | b'\t'));
        if digits == 0 || !stamp_stands_alone || !matches!(behind.first(), None | Some(b' ' | b'\t')) {
            continue;
        }
        let event = behind.trim_ascii();
        // The beginning of the name of an event that is read, with nothing after it.
        let cut = NAMES.iter().any(|(name, _)| name.starts_with(event));
        return if cut { Err(Reason::Missing(Field::Name)) } else { Ok(Some(OtherEvent { front, event })) };
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
