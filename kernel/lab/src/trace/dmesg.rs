// SPDX-License-Identifier: MIT OR Apache-2.0

//! The messages of `CONFIG_CMA_DEBUG` in the kernel's log: a line when a request begins, one when
//! it returns, one for each release.
//!
//! All forms of Linux 3.5 to 7.x are read, at any position in a line, so that any prefix (`<7>`, a
//! time, syslog's) may precede them; other lines have no operation. Pages are pointers to
//! `struct page`, which may be hashed: `lab::replay` derives page numbers from them, if possible.
//!
//! A returning line does not identify its request. If printk prints its callers (`[ T123]`), it is
//! the caller's request. Otherwise returning lines in a row are matched with the same number of the
//! latest requests, in their order: requests queue for a mutex, and Linux may leave a request that
//! can never fit without any answer.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use memchr::memchr;

use super::NAMELESS;
use super::head::{Head, Line, time_ns};
use super::{Field, Lines, Reason, SILENT_LINES, Step, TraceError, decimal, said};
use cma::MAX_ALIGN_ORDER;

/// Characters between the brackets of a line's time, at least: printk writes `%5lu.%06lu`.
const STAMP_LENGTH: usize = 12;
/// Most requests without an answer; the oldest of more is given up.
const MAX_OPEN: usize = 64;

/// The page in a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Page {
    /// No page: the request failed.
    None,
    /// A page whose pointer is not shown (`(ptrval)`).
    Hidden,
    /// The pointer.
    At(Pointer),
}

/// A pointer as it was printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pointer {
    /// Its value.
    pub value: u64,
    /// True if printed with more than 8 digits.
    pub wide: bool,
}

/// Content of a line, or of a pair of lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said<'t> {
    /// A request returned.
    Alloc {
        /// The area's name, or the pointer in its place.
        area: &'t [u8],
        /// The page that it returned.
        page: Page,
        /// Size in pages, not 0.
        pages: u32,
        /// Order of the alignment, at most [`MAX_ALIGN_ORDER`].
        align_order: u32,
    },
    /// Pages of an area without a name were released.
    Release {
        /// The first page.
        page: Page,
        /// Number of pages; `None` if the line does not contain it (before Linux 5.11).
        pages: Option<u32>,
    },
    /// A range was busy, and the request tried the next one.
    Busy,
    /// End of the list of free runs that a failed request prints.
    Free {
        /// The area's name, or the pointer in its place.
        area: &'t [u8],
        /// Free pages of the area.
        free: u32,
        /// All pages of the area.
        pages: u32,
    },
    /// A request without an answer, or an answer without its request.
    Lost,
}

/// Content of a single line of the log.
enum Note<'t> {
    Start { area: &'t [u8], pages: u32, align_order: u32 },
    Returned(Page),
    Release(Page, Option<u32>),
    Busy,
}

struct Open<'t> {
    caller: Option<&'t [u8]>,
    area: &'t [u8],
    pages: u32,
    align_order: u32,
}

enum Waiting<'t> {
    Returned(Page, Option<&'t [u8]>),
    Said(Said<'t>),
}

/// The events of a log, each with the line that completes it.
pub struct Events<'t> {
    lines: Lines<'t>,
    open: Vec<Open<'t>>,
    waiting: VecDeque<(Line<'t>, Waiting<'t>)>,
    ready: VecDeque<(Line<'t>, Said<'t>)>,
    /// The line that was read last.
    last: Line<'t>,
    ended: bool,
}

/// Reads a log from its start.
pub fn events(bytes: &[u8]) -> Events<'_> {
    Events {
        lines: Lines::new(bytes),
        open: Vec::new(),
        waiting: VecDeque::new(),
        ready: VecDeque::new(),
        last: Line { number: 0, start: 0, text: &[] },
        ended: false,
    }
}

/// True if a line is one that is read.
pub(super) fn is_line(line: &[u8]) -> bool {
    matches!(read(line), Ok(Some(_)))
}

impl<'t> Events<'t> {
    /// Returns the number of lines read so far.
    pub const fn lines(&self) -> u64 {
        self.lines.read()
    }

    /// Matches the waiting returns with the open requests.
    fn settle(&mut self) {
        let returns = self.waiting.iter().filter(|(_, waiting)| matches!(waiting, Waiting::Returned(_, None))).count();
        let anonymous = self.open.iter().filter(|open| open.caller.is_none()).count();
        let given_up = anonymous.saturating_sub(returns);
        for (line, waiting) in core::mem::take(&mut self.waiting) {
            let said = match waiting {
                Waiting::Said(said) => said,
                Waiting::Returned(page, caller) => {
                    let mut passed = 0;
                    let place = self.open.iter().position(|open| {
                        let mine = open.caller == caller;
                        passed += usize::from(mine);
                        mine && (caller.is_some() || passed > given_up)
                    });
                    match place.map(|place| self.open.remove(place)) {
                        Some(Open { area, pages, align_order, .. }) => Said::Alloc { area, page, pages, align_order },
                        None => Said::Lost,
                    }
                }
            };
            self.ready.push_back((line, said));
        }
        while self.open.len() > MAX_OPEN {
            self.open.remove(0);
            self.ready.push_back((self.last, Said::Lost));
        }
    }

    /// Returns the area of the open requests of a caller, or of all; `None` if they have several.
    fn failing(&self, caller: Option<&[u8]>) -> Option<&'t [u8]> {
        let mut areas = self.open.iter().filter(|open| caller.is_none() || open.caller == caller).map(|open| open.area);
        let area = areas.next()?;
        areas.all(|other| other == area).then_some(area)
    }

    fn take(&mut self, line: Line<'t>) -> Result<(), Reason> {
        match read(line.text)? {
            // Only a request that fails prints the list.
            None if self.open.is_empty() => {}
            None => {
                if let Some((free, pages)) = totals(line.text)
                    && let Some(area) = self.failing(caller(line.text))
                {
                    self.waiting.push_back((line, Waiting::Said(Said::Free { area, free, pages })));
                }
            }
            Some(Note::Start { area, pages, align_order }) => {
                self.settle();
                let caller = caller(line.text);
                // A caller makes one request at a time.
                if let Some(place) = self.open.iter().position(|open| caller.is_some() && open.caller == caller) {
                    self.open.remove(place);
                    self.ready.push_back((line, Said::Lost));
                }
                self.open.push(Open { caller, area, pages, align_order });
            }
            Some(Note::Returned(page)) => self.waiting.push_back((line, Waiting::Returned(page, caller(line.text)))),
            Some(Note::Release(page, pages)) => {
                self.waiting.push_back((line, Waiting::Said(Said::Release { page, pages })));
            }
            Some(Note::Busy) => self.waiting.push_back((line, Waiting::Said(Said::Busy))),
        }
        if self.waiting.len() > MAX_OPEN {
            self.settle();
        }
        Ok(())
    }
}

impl<'t> Iterator for Events<'t> {
    type Item = Result<(Line<'t>, Said<'t>), TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        core::iter::from_fn(|| self.step()).find_map(said)
    }
}

impl<'t> Events<'t> {
    /// Returns all steps.
    pub fn steps(mut self) -> impl Iterator<Item = Step<'t, Said<'t>>> {
        core::iter::from_fn(move || self.step())
    }

    /// Returns the next step, like [`super::Parsed::step`].
    pub fn step(&mut self) -> Option<Step<'t, Said<'t>>> {
        for lines in 1.. {
            if let Some((line, said)) = self.ready.pop_front() {
                return Some(Ok((line, Some(said))));
            }
            if self.ended {
                return None;
            }
            if lines > SILENT_LINES {
                return Some(Ok((self.last, None)));
            }
            self.lines.skip_blank();
            let Some(line) = self.lines.next() else {
                self.ended = true;
                self.settle();
                let unanswered = self.open.drain(..).map(|_| (self.last, Said::Lost));
                self.ready.extend(unanswered);
                continue;
            };
            // A log begins and ends anywhere: an error in a cut line there is a lost line.
            self.last = line;
            let cut = line.number == 1 || self.lines.unterminated;
            match self.take(line) {
                Err(_) if cut => self.ready.push_back((line, Said::Lost)),
                Err(reason) => {
                    self.ended = true;
                    return Some(Err(line.error(reason)));
                }
                Ok(()) => {}
            }
        }
        None
    }
}

/// Parses a line: a function's name, and in or after its brackets its parameters or its result.
fn read(line: &[u8]) -> Result<Option<Note<'_>>, Reason> {
    let mut at = 0;
    while let Some(offset) = memchr(b'(', &line[at..]) {
        let (before, behind) = (&line[..at + offset], &line[at + offset + 1..]);
        at += offset + 1;
        let function = before.rsplit(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').next().unwrap_or_default();
        let (allocates, releases) = (is_named(function, b"alloc"), is_named(function, b"release"));
        if let (true, Some(fields)) = (allocates, behind.strip_prefix(b"cma ")) {
            return start(fields);
        }
        if let (true, Some(said)) = (allocates, behind.strip_prefix(b"): ")) {
            if let Some(page) = said.strip_prefix(b"returned ") {
                return page_of(page).map(|page| Some(Note::Returned(page)));
            }
            return Ok(said.starts_with(b"memory range at ").then_some(Note::Busy));
        }
        if let (true, Some(fields)) = (releases, behind.strip_prefix(b"page ")) {
            let close = fields.iter().rposition(|&byte| byte == b')').ok_or(Reason::Missing(Field::Page))?;
            let mut words = fields[..close].split(|&byte| byte == b',');
            let page = page_of(words.next().unwrap_or_default())?;
            let count = words.find_map(|word| word.trim_ascii().strip_prefix(b"count "));
            let pages = count.map(|count| decimal(count, Field::Count, 0, u32::MAX)).transpose()?;
            return Ok((pages != Some(0)).then_some(Note::Release(page, pages)));
        }
    }
    Ok(None)
}

/// Returns F and T of `=> F free of T total pages`, if a line ends so and T is not below F.
fn totals(line: &[u8]) -> Option<(u32, u32)> {
    let front = line.trim_ascii_end().strip_suffix(b" total pages")?;
    let (list, pages) = front.split_at(find_last(front, b" free of ")?);
    let free = &list[find_last(list, b"=> ")? + b"=> ".len()..];
    let pages = decimal(&pages[b" free of ".len()..], Field::Count, 1, u32::MAX).ok()?;
    Some((decimal(free, Field::Count, 0, pages).ok()?, pages))
}

/// True if a function's name is one of CMA's with this verb: `cma_alloc`, `__cma_alloc_frozen`,
/// `dma_alloc_from_contiguous`.
fn is_named(function: &[u8], verb: &[u8]) -> bool {
    let has = |word: &[u8]| function.windows(word.len()).any(|part| part == word);
    has(verb) && (has(b"cma") || has(b"contiguous"))
}

/// Parses `PTR, [name: NAME, ]count N, align A)`. A request for 0 pages has no operation.
fn start(fields: &[u8]) -> Result<Option<Note<'_>>, Reason> {
    let end = find_last(fields, b", align ").ok_or(Reason::Missing(Field::Align))?;
    let align = &fields[end + b", align ".len()..];
    let close = memchr(b')', align).ok_or(Reason::Missing(Field::Align))?;
    let fields = &fields[..end];
    let middle = find_last(fields, b", count ").ok_or(Reason::Missing(Field::Count))?;
    let pages = decimal(&fields[middle + b", count ".len()..], Field::Count, 0, u32::MAX)?;
    let align_order = decimal(&align[..close], Field::Align, 0, MAX_ALIGN_ORDER)?;
    let fields = &fields[..middle];
    let comma = memchr(b',', fields).unwrap_or(fields.len());
    let named = fields[comma..].strip_prefix(b", name: ");
    let area = named.unwrap_or(&fields[..comma]).trim_ascii();
    if area.iter().any(|&byte| byte < b' ') {
        return Err(Reason::Bad(Field::Name));
    }
    let area = if area.is_empty() || named.is_none() && is_hidden(area) { NAMELESS } else { area };
    Ok((pages > 0).then_some(Note::Start { area, pages, align_order }))
}

fn find_last(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).rposition(|part| part == word)
}

fn is_hidden(pointer: &[u8]) -> bool {
    pointer.starts_with(b"(") && pointer.windows(6).any(|part| part == b"ptrval")
}

/// Parses a pointer as `%p` prints it: `b7eb8f80`, `ffffea0000a40000`, `(null)`,
/// `          (null)`, `(____ptrval____)`.
fn page_of(text: &[u8]) -> Result<Page, Reason> {
    let text = text.trim_ascii();
    let text = &text[..memchr(b' ', text).unwrap_or(text.len())];
    let digits = text.strip_prefix(b"0x").unwrap_or(text);
    if matches!(text, b"(null)" | b"(nil)" | b"NULL") {
        return Ok(Page::None);
    }
    if is_hidden(text) {
        return Ok(Page::Hidden);
    }
    // Pointers have at least 8 digits; fewer are left in a line that was cut.
    if digits.len() < 8 {
        return Err(Reason::Missing(Field::Page));
    }
    if digits.len() > 16 {
        return Err(Reason::Bad(Field::Page));
    }
    let digit = |value: u64, &byte: &u8| Some(value << 4 | u64::from(char::from(byte).to_digit(16)?));
    let value = digits.iter().try_fold(0, digit).ok_or(Reason::Bad(Field::Page))?;
    Ok(if value == 0 { Page::None } else { Page::At(Pointer { value, wide: digits.len() > 8 }) })
}

/// Returns the time of a line, in the first brackets with one, and its caller, if printed.
pub(super) fn head(line: &[u8]) -> Head<'_> {
    let mut groups = line.split(|&byte| byte == b'[').skip(1);
    let time = groups.find_map(|group| {
        let end = memchr(b']', group)?;
        // A daemon's number may be in brackets before it.
        time_ns(group[..end].trim_ascii()).filter(|_| group[..end].len() >= STAMP_LENGTH)
    });
    Head { task: caller(line), time_ns: time, ..Head::default() }
}

/// Returns the caller of a line, if printk prints it: `[   29.222887][  T123] cma: …`.
fn caller(line: &[u8]) -> Option<&[u8]> {
    let begin = line.windows(2).position(|pair| pair == b"][")? + 2;
    let end = begin + memchr(b']', &line[begin..])?;
    let caller = line[begin..end].trim_ascii();
    let number = caller.strip_prefix(b"T").or_else(|| caller.strip_prefix(b"C"))?;
    (!number.is_empty() && number.iter().all(u8::is_ascii_digit)).then_some(caller)
}

#[cfg(test)]
mod tests;
