// SPDX-License-Identifier: MIT OR Apache-2.0

//! The text of Linux's ftrace: what `/sys/kernel/tracing/trace`, `trace_pipe` and `trace-cmd
//! report` print of CMA's tracepoints (`include/trace/events/cma.h`).
//!
//! Read are `cma_alloc_finish` and `cma_release`, and the nameless `cma_alloc` and `cma_release` of
//! Linux before 5.13; of `cma_alloc_start` the size of the area and how much of it is free, where
//! Linux is new enough to print them (`total_count`, `available_count`). An allocation that failed
//! has an `errorno` other than 0, or, where there is no such field (before 6.12), no page. Notes of
//! lost events are read, and so is what the head says was overwritten. Comments, the heads of both
//! programs, backtraces and all other events say nothing; whatever else stands in the text is an
//! error.
//!
//! The name of a process may hold anything but cannot be as long as an event with its fields, so an
//! event is found by those, wherever it stands in its line.

use memchr::memchr;

use super::head::{Head, time_ns};
use super::{Field, NAMELESS, Parsed, Reason, Whole, decimal, decimal_u64};
use crate::state::is_state;
use cma::MAX_ALIGN_ORDER;

/// Areas of a recording that are told apart.
pub const MAX_RECORDED_AREAS: usize = 32;
/// Pages from the first to behind the last that a recorded area may have (16 GiB).
pub const MAX_RECORDED_PAGES: u32 = 1 << 22;

/// The events that are read, up to the colon behind them.
const NAMES: [(&[u8], EventKind); 3] = [
    (b"cma_alloc_finish:", EventKind::Alloc),
    (b"cma_release:", EventKind::Release),
    (b"cma_alloc:", EventKind::Alloc),
];

/// The beginning of a request, up to the colon behind it.
const START: &[u8] = b"cma_alloc_start:";

/// What a line tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'t> {
    /// An allocation was made, or failed.
    Alloc {
        /// The area's name.
        area: &'t [u8],
        /// The first page; `None`: it failed.
        pfn: Option<u64>,
        /// Size in pages, not 0.
        pages: u32,
        /// At most [`MAX_ALIGN_ORDER`].
        align_order: u32,
    },
    /// Pages were released.
    Release {
        /// The area's name.
        area: &'t [u8],
        /// The first page.
        pfn: u64,
        /// How many, not 0.
        pages: u32,
    },
    /// An allocation begins.
    Start {
        /// The area's name; empty where Linux is too old to say more than that.
        area: &'t [u8],
        /// Pages of the area that are free, where the event tells it.
        free: Option<u64>,
        /// All pages of the area, where the event tells it.
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

/// An event as it stands in its line.
struct Found<'t> {
    kind: EventKind,
    fields: &'t [u8],
    /// What stands in front of its name.
    before: &'t [u8],
}

/// The events of a recording.
pub fn events(bytes: &[u8]) -> Parsed<'_, Event<'_>> {
    Parsed::new(bytes, parse_line)
}

/// Whether a line is an event of CMA's, wherever it stands in the line.
pub(super) fn is_event(line: &[u8]) -> bool {
    match find_event(line) {
        Ok(Some(_)) => true,
        Err(_) => false,
        Ok(None) => line.trim_ascii_start().starts_with(START),
    }
}

/// Whether a line is one that ftrace begins with: a head, a note of lost events, or any event with
/// what stands in front of it. A line of a log may have a time and a colon, but no task.
pub(super) fn is_head(line: &[u8]) -> bool {
    lost_note(line).is_some()
        || is_report_head(line)
        || other_event(line).is_ok_and(|event| {
            let before = event.map(|event| event.front.trim_ascii_end()).and_then(processor);
            before.is_some_and(|(task, _)| numbered(task).is_some())
        })
}

/// Whether a line has a time in seconds and a colon, behind which an event may stand.
pub(super) fn is_stamped(line: &[u8]) -> bool {
    let event = other_event(line).ok().flatten();
    event.is_some_and(|event| {
        line[event.front.len()..].iter().take_while(|&&byte| byte != b':').any(|&byte| byte == b'.')
    })
}

/// One line: an event that is read, or `None` for all that says nothing. A recording that was cut
/// off at an end has half a line there, which is an event that was lost.
fn parse_line(line: &[u8], whole: Whole) -> Result<Option<Event<'_>>, Reason> {
    if line.first() == Some(&b'#') {
        return Ok(overwritten(line).map(Event::Lost));
    }
    // What is no text is no event, either, so only a bad line is searched for the byte that says
    // why.
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
    // Somebody may have cut off all in front of the events.
    let bare = trimmed.starts_with(b"cma_") && trimmed.contains(&b':');
    // Backtraces have a line a function, `=> cma_alloc`.
    if trimmed.is_empty() || bare || trimmed.starts_with(b"=>") || is_report_head(line) || is_state(line) {
        return Ok(None);
    }
    Err(Reason::NotFtrace)
}

/// Why a line is no text, if it is none. Names of processes may be no ASCII, but nothing here is a
/// control character.
fn not_text(line: &[u8]) -> Option<Reason> {
    line.iter().find(|&&byte| byte < b' ' && byte != b'\t').map(|&byte| Reason::Binary(byte))
}

/// The event of a line, if it is one of those that are read.
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

/// The fields, in the order in which they are printed. What comes behind those that are read has to
/// look like fields, too.
fn parse_fields(kind: EventKind, mut rest: &[u8]) -> Result<Event<'_>, Reason> {
    // A name ends where the next field begins, whatever it holds.
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
    // Some print blanks in front of the pointer.
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

/// What stands in front of the first blank that a field follows, and what stands behind it.
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

/// The value of a field that has to come next, up to a blank; `rest` then begins with what comes
/// behind.
fn word<'t>(rest: &mut &'t [u8], name: &[u8]) -> Option<&'t [u8]> {
    let value = rest.strip_prefix(name)?;
    let end = memchr(b' ', value).unwrap_or(value.len());
    *rest = value[end..].trim_ascii_start();
    Some(&value[..end])
}

/// A number of up to 64 bits with or without `0x`.
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

/// Whether a pointer is null; it may be hidden, as `(ptrval)`.
fn is_null(pointer: &[u8]) -> Result<bool, Reason> {
    let digits = pointer.strip_prefix(b"0x").unwrap_or(pointer);
    match digits {
        [] => Err(Reason::Bad(Field::Page)),
        b"(null)" | b"(nil)" => Ok(true),
        digits => Ok(digits.iter().all(|&byte| byte == b'0')),
    }
}

/// What stands in front of a line's event: `TASK-PID [CPU] FLAGS TIME:`; `(TGID)` may follow the
/// number.
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

/// A task's name and number, `TASK-PID`; `(TGID)` may follow.
fn numbered(task: &[u8]) -> Option<(&[u8], u32)> {
    let mut task = task.trim_ascii();
    if let Some(open) = task.strip_suffix(b")").and_then(|task| task.iter().rposition(|&byte| byte == b'(')) {
        task = task[..open].trim_ascii_end();
    }
    let dash = task.iter().rposition(|&byte| byte == b'-')?;
    Some((&task[..dash], u32::try_from(decimal_u64(&task[dash + 1..])?).ok()?))
}

/// The number in the last `[003]`, and what stands in front of it.
fn processor(text: &[u8]) -> Option<(&[u8], u32)> {
    let close = text.iter().rposition(|&byte| byte == b']')?;
    let open = text[..close].iter().rposition(|&byte| byte == b'[')?;
    let cpu = decimal_u64(&text[open + 1..close])?;
    Some((&text[..open], u32::try_from(cpu).ok()?))
}

/// The events that the head says were written and are not in the buffer any more:
/// `# entries-in-buffer/entries-written: 1024/5000   #P:1`.
fn overwritten(line: &[u8]) -> Option<u64> {
    let counts = line.strip_prefix(b"# entries-in-buffer/entries-written:")?.trim_ascii_start();
    let slash = memchr(b'/', counts)?;
    let end = memchr(b' ', counts).unwrap_or(counts.len());
    let kept = decimal_u64(counts.get(..slash)?)?;
    let written = decimal_u64(counts.get(slash + 1..end)?)?;
    written.checked_sub(kept).filter(|&lost| lost > 0)
}

/// `CPU:0 [LOST 12 EVENTS]` of ftrace, `CPU:0 [12 EVENTS DROPPED]` of trace-cmd, and both without a
/// number.
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

/// The first lines of `trace-cmd report`.
fn is_report_head(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.starts_with(b"cpus=")
        || line.starts_with(b"version = ")
        || line.starts_with(b"CPU ") && line.ends_with(b" is empty")
}

/// The beginning of a request, with what it says of the area; whatever is wrong with its fields
/// does no harm.
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

/// An event of any name.
struct OtherEvent<'l> {
    /// What stands in front of its time.
    front: &'l [u8],
    /// Its name and fields, which stand behind the time and a colon.
    event: &'l [u8],
}

/// The event of a line; `None` where there is none.
///
/// # Errors
/// It ends too soon to tell which.
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
        // The beginning of a name of ours, and nothing behind it.
        let cut = NAMES.iter().any(|(name, _)| name.starts_with(event));
        return if cut { Err(Reason::Missing(Field::Name)) } else { Ok(Some(OtherEvent { front, event })) };
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
