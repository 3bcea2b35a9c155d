// SPDX-License-Identifier: MIT OR Apache-2.0

//! Finds the state of an area in a text: the list of free runs that Linux prints if an allocation
//! fails (`number of available pages: N@P+N@P=> F free of T total pages`), or the words of
//! debugfs's `bitmap`.
//!
//! A list may begin anywhere in a line, and other lines of the log may be between its parts. A
//! bitmap is lines of decimal numbers, or a line with its name
//! (`/sys/kernel/debug/cma/NAME/bitmap:4294967295 0`, as `grep "" *` prints it), which may have
//! neighbours with the names `order_per_bit`, `count` and `base_pfn`. The text is borrowed, and the
//! runs are not stored.

mod bitmap;

use core::fmt;

use memchr::memmem;

use bitmap::{BitmapRuns, WORD_BITS, words_of};

use crate::keys::shown;
use crate::trace::{Lines, decimal_u64};

/// Text before a list.
const HEADING: &[u8] = b"number of available pages:";
/// Text after the runs of a list.
const TOTALS: &[u8] = b"=> ";
/// Most unrelated lines between two parts of a list.
const MAX_BETWEEN: usize = 256;
/// Most lines between a failure and its list.
const MAX_BEFORE: u64 = 16;
/// The largest log2 of the pages of a bit.
pub const MAX_ORDER_PER_BIT: u32 = 20;
/// Most pages of a state: 16 GiB.
const MAX_PAGES: u64 = 1 << 22;

/// A valid state in a text.
#[derive(Clone, Copy, Debug)]
pub struct State<'t> {
    /// Line at which it begins, from 1.
    pub line: u64,
    /// The area's name, if the text has it.
    pub name: Option<&'t str>,
    /// Number of the area's pages; of a bitmap without a count, those of its words.
    pub pages: u32,
    /// Number of free pages.
    pub free: u32,
    /// Pages of the request that failed.
    pub wanted: Option<u32>,
    /// Number of states in the text.
    pub states: u64,
    /// Page frame number of the area's first page on the board, if the text has it.
    pub base_pfn: Option<u64>,
    form: Form<'t>,
    order_per_bit: u32,
}

#[derive(Clone, Copy, Debug)]
enum Form<'t> {
    /// The text after the heading.
    List(&'t [u8]),
    /// The text from the first word on; following lines of numbers belong to it.
    Bitmap(&'t [u8]),
}

/// Reason why a text has no usable state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StateError {
    /// The text has no state.
    None,
    /// No state begins at the requested line.
    NotThere {
        /// The requested line.
        line: u64,
        /// The line at which the last state begins.
        last: u64,
    },
    /// A state is invalid.
    Bad {
        /// The line at which it begins.
        line: u64,
        /// The error.
        why: Why,
    },
}

/// Error of a state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// A list has no end.
    Cut,
    /// A part of a list is not a run of free pages.
    NoRun(alloc::string::String),
    /// A run is empty, or does not begin after the end of the previous one.
    OutOfOrder(u64),
    /// A run ends after the area.
    Beyond(u64),
    /// The length of a run is not a multiple of a bit's pages.
    NotWhole(u64),
    /// The runs have another number of pages than the line states.
    Sum {
        /// Pages of the runs.
        listed: u64,
        /// Pages that the line states.
        said: u64,
    },
    /// A word of a bitmap has more than 32 bits.
    Word(alloc::string::String),
    /// The area has this many pages, or bits, which is too large.
    TooLarge(u64),
    /// The area has no pages.
    Empty,
    /// The bits of a bitmap do not match its `count`.
    Count {
        /// Pages of the words.
        words: u64,
        /// Pages by `count`.
        count: u64,
    },
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str(
                "there is no state: no line `number of available pages: N@P+N@P=> F free of T total \
                 pages` and no bitmap of debugfs (decimal words)",
            ),
            Self::NotThere { line, last } => write!(f, "no state begins at line {line}; the last one begins at {last}"),
            Self::Bad { line, why } => write!(f, "the state at line {line}: {why}"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("the list has no end (`=> F free of T total pages`); the log was cut"),
            Self::NoRun(text) => write!(f, "{text} is not a run of free pages (N@P: N pages from page P)"),
            Self::OutOfOrder(at) => write!(f, "the run at page {at} does not begin after the end of the run before it"),
            Self::Beyond(at) => write!(f, "the run at page {at} ends outside the area"),
            Self::NotWhole(at) => write!(f, "the run at bit {at} is not a multiple of 2^order_per_bit pages"),
            Self::Sum { listed, said } => {
                write!(f, "{listed} pages are listed as free, and the line says {said}; a part of it is missing")
            }
            Self::Word(text) => write!(f, "{text} is not a 32-bit word"),
            Self::TooLarge(pages) => write!(f, "{pages} pages are more than the {MAX_PAGES} that an area can have"),
            Self::Empty => f.write_str("it is of an area without pages"),
            Self::Count { words, count } => write!(f, "its words have {words} pages, and count says {count}"),
        }
    }
}

/// True if a line is part of a state and nothing else.
pub fn is_state(text: &[u8]) -> bool {
    let list = heading(text).is_some() || part(text, false).is_some() || failed_request(text).is_some();
    list || words_of(text) > Some(1) || keyed(text).is_some()
}

/// Finds a state: the one that begins at line `at`, or the last one. A bit stands for
/// 2^`order_per_bit` pages; the default is the value in the text, or 0.
///
/// # Errors
/// See [`StateError`].
pub fn find(text: &[u8], at: Option<u64>, order_per_bit: Option<u32>) -> Result<State<'_>, StateError> {
    let mut states = 0;
    let (mut last, mut chosen) = (0, None);
    let mut failure: Option<(u64, Failure<'_>)> = None;
    let mut in_bitmap = false;
    for line in Lines::new(text) {
        let form = match heading(line.text) {
            Some(offset) => Some((Form::List(&text[line.start + offset..]), None)),
            None => match bitmap(line.text) {
                Some((offset, prefix, named)) if named || !in_bitmap => {
                    Some((Form::Bitmap(&text[line.start + offset..]), Some(prefix)))
                }
                _ => None,
            },
        };
        in_bitmap = words_of(line.text).is_some() || matches!(form, Some((Form::Bitmap(_), _)));
        if let Some(found) = failed_request(line.text) {
            failure = Some((line.number, found));
        }
        let Some((form, prefix)) = form else { continue };
        (states, last) = (states + 1, line.number);
        if at.is_none_or(|at| at == line.number) {
            let before = failure.filter(|(number, _)| line.number - number <= MAX_BEFORE).map(|(_, failure)| failure);
            chosen = Some((line, form, prefix, before.filter(|_| prefix.is_none())));
        }
    }
    let Some((line, form, prefix, failure)) = chosen else {
        return Err(at.filter(|_| last > 0).map_or(StateError::None, |line| StateError::NotThere { line, last }));
    };
    let neighbour = |key| prefix.and_then(|prefix| neighbour(text, prefix, key));
    let order = order_per_bit.map(u64::from).or_else(|| neighbour("order_per_bit")).unwrap_or(0);
    let mut state = State {
        line: line.number,
        name: prefix.and_then(name_of).or(failure.map(|failure| failure.area)),
        pages: 0,
        free: 0,
        wanted: failure.map(|failure| failure.pages),
        states,
        base_pfn: neighbour("base_pfn"),
        form,
        order_per_bit: order.min(MAX_ORDER_PER_BIT.into()) as u32,
    };
    state.check(neighbour("count")).map_err(|why| StateError::Bad { line: line.number, why })?;
    Ok(state)
}

impl<'t> State<'t> {
    /// Returns the form: `list` or `bitmap`.
    pub const fn form(&self) -> &'static str {
        match self.form {
            Form::List(_) => "list",
            Form::Bitmap(_) => "bitmap",
        }
    }

    /// Returns the free runs, lowest first: the first page and the number of pages.
    pub fn free_runs(&self) -> impl Iterator<Item = (u32, u32)> + use<'t> {
        let state = *self;
        let pages = u64::from(self.pages);
        let runs = state.runs().filter_map(move |run| state.in_pages(run.ok()?).ok());
        // A bitmap may have bits after the last page.
        let runs = runs.filter(move |&(start, _)| start < pages);
        runs.map(move |(start, length)| (start as u32, length.min(pages - start) as u32))
    }

    /// Returns the free runs in the text's units.
    fn runs(&self) -> Runs<'t> {
        match self.form {
            Form::List(text) => Runs::List(ListRuns { lines: Lines::new(text), rest: &[], first: true, totals: None }),
            Form::Bitmap(text) => Runs::Bitmap(BitmapRuns::of(text)),
        }
    }

    /// Converts a run to pages. A list has the start in bits, a bitmap also the length.
    fn in_pages(&self, (start, length): (u64, u64)) -> Result<(u64, u64), Why> {
        let shift = |bits: u64| bits.checked_mul(1 << self.order_per_bit).ok_or(Why::TooLarge(bits));
        match self.form {
            Form::Bitmap(_) => Ok((shift(start)?, shift(length)?)),
            Form::List(_) if !length.is_multiple_of(1 << self.order_per_bit) => Err(Why::NotWhole(start)),
            Form::List(_) => Ok((shift(start)?, length)),
        }
    }

    /// Reads and checks the whole state; sets the numbers of pages.
    fn check(&mut self, count: Option<u64>) -> Result<(), Why> {
        let (mut runs, mut end, mut listed, mut last) = (self.runs(), 0, 0u64, None);
        for run in runs.by_ref() {
            let (start, length) = self.in_pages(run?)?;
            // Adjacent runs would be one run.
            if length == 0 || last.is_some() && start <= end {
                return Err(Why::OutOfOrder(start));
            }
            end = start.checked_add(length).ok_or(Why::Beyond(start))?;
            listed = listed.checked_add(length).ok_or(Why::Beyond(start))?;
            last = Some(start);
        }
        let pages = match &runs {
            Runs::List(list) => {
                let (said, pages) = list.totals.ok_or(Why::Cut)?;
                if said != listed {
                    return Err(Why::Sum { listed, said });
                }
                if end > pages {
                    return Err(Why::Beyond(last.unwrap_or(0)));
                }
                pages
            }
            Runs::Bitmap(BitmapRuns { bits, .. }) => {
                let (words, _) = self.in_pages((*bits, 0))?;
                let pages = count.unwrap_or(words);
                if pages > words || words - pages >= WORD_BITS << self.order_per_bit {
                    return Err(Why::Count { words, count: pages });
                }
                pages
            }
        };
        match pages {
            0 => return Err(Why::Empty),
            pages if pages > MAX_PAGES => return Err(Why::TooLarge(pages)),
            pages => self.pages = pages as u32,
        }
        self.free = self.free_runs().map(|(_, length)| length).sum();
        Ok(())
    }
}

/// The free runs of either form: the first bit, and the length in the text's unit.
enum Runs<'t> {
    List(ListRuns<'t>),
    Bitmap(BitmapRuns<'t>),
}

impl Iterator for Runs<'_> {
    type Item = Result<(u64, u64), Why>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::List(list) => list.next(),
            Self::Bitmap(bitmap) => bitmap.next(),
        }
    }
}

struct ListRuns<'t> {
    lines: Lines<'t>,
    rest: &'t [u8],
    /// True if the next line is the one with the heading.
    first: bool,
    /// Free pages and all pages, after the end was read.
    totals: Option<(u64, u64)>,
}

impl ListRuns<'_> {
    fn next(&mut self) -> Option<Result<(u64, u64), Why>> {
        let mut between = 0;
        while self.rest.is_empty() {
            if self.totals.is_some() {
                return None;
            }
            let text = self.lines.next()?.text;
            match part(text, self.first) {
                Some((runs, totals)) => (self.rest, self.totals, between) = (runs, totals, 0),
                None if self.first => return Some(Err(Why::NoRun(quoted(text)))),
                None if heading(text).is_some() || between == MAX_BETWEEN => return None,
                None => between += 1,
            }
            self.first = false;
        }
        let rest = self.rest.strip_prefix(b"+").unwrap_or(self.rest);
        let end = memchr::memchr(b'+', rest).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        self.rest = behind;
        let at = memchr::memchr(b'@', run);
        let numbers = at.and_then(|at| Some((decimal(&run[at + 1..])?, decimal(&run[..at])?)));
        Some(numbers.ok_or_else(|| Why::NoRun(quoted(run))))
    }
}

/// Parses a number: at least one digit, and nothing else.
fn decimal(digits: &[u8]) -> Option<u64> {
    decimal_u64(digits)
}

/// Returns a part of a text for a message.
fn quoted(text: &[u8]) -> alloc::string::String {
    shown(&alloc::string::String::from_utf8_lossy(&text[..text.len().min(256)]))
}

/// Returns the offset in a line at which a list begins: after its heading.
fn heading(text: &[u8]) -> Option<usize> {
    memmem::find(text, HEADING).map(|at| at + HEADING.len())
}

/// The runs in a part of a list, and the totals if the list ends there.
type Part<'t> = (&'t [u8], Option<(u64, u64)>);

/// Parses a part of a list: runs, or their end, after a time or another prefix. After the heading,
/// any text is such a part.
fn part(text: &[u8], behind_heading: bool) -> Option<Part<'_>> {
    let (runs, totals) = match memmem::find(text, TOTALS) {
        Some(at) => (&text[..at], Some(totals(&text[at + TOTALS.len()..])?)),
        None => (text, None),
    };
    let runs = runs.trim_ascii();
    if behind_heading {
        return Some((runs, totals));
    }
    // The prefix ends in a blank, or is the level (`<c>`).
    let runs = &runs[runs.iter().rposition(|byte| b" \t>".contains(byte)).map_or(0, |blank| blank + 1)..];
    let numbers = runs.iter().all(|byte| byte.is_ascii_digit() || b"@+".contains(byte));
    match totals {
        Some(_) if numbers => Some((runs, totals)),
        Some(_) => runs.ends_with(b"]").then_some((&[], totals)),
        None => (numbers && memchr::memchr(b'@', runs).is_some()).then_some((runs, None)),
    }
}

/// Parses `F free of T total pages`.
fn totals(text: &[u8]) -> Option<(u64, u64)> {
    let (free, rest) = text.split_at(memmem::find(text, b" free of ")?);
    let rest = rest.strip_prefix(b" free of ")?;
    let (pages, _) = rest.split_at(memmem::find(rest, b" total pages")?);
    Some((decimal(free.trim_ascii())?, decimal(pages.trim_ascii())?))
}

/// Parses a line that begins a bitmap; returns its offset, the path before its name, and true if it
/// has a name. A single number without a name is not a bitmap.
fn bitmap(text: &[u8]) -> Option<(usize, &[u8], bool)> {
    if words_of(text).is_some_and(|words| words > 1) {
        return Some((0, &[], false));
    }
    let (prefix, key, value) = keyed(text)?;
    (key == b"bitmap").then(|| (text.len() - value.len(), prefix, true))
}

/// Parses a file of debugfs with its content: the path before its name, the name, and the numbers.
fn keyed(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let text = text.trim_ascii_start();
    let end = text.iter().position(|byte| b":= \t".contains(byte))?;
    let (path, value) = (&text[..end], text[end + 1..].trim_ascii_start());
    let slash = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    let (prefix, key) = path.split_at(slash);
    let known = [&b"bitmap"[..], b"base_pfn", b"count", b"order_per_bit"].contains(&key);
    (known && words_of(value).is_some()).then_some((prefix, key, value))
}

/// Returns the number in another file of the same directory.
fn neighbour(text: &[u8], prefix: &[u8], key: &str) -> Option<u64> {
    let files = Lines::new(text).filter_map(|line| keyed(line.text));
    let mut values = files.filter(|file| file.0 == prefix && file.1 == key.as_bytes());
    values.next().and_then(|file| decimal(file.2.trim_ascii()))
}

/// Returns the area whose files have a path: `/sys/kernel/debug/cma/NAME/`, with the prefix `cma-`
/// before Linux 6.1.
fn name_of(prefix: &[u8]) -> Option<&str> {
    let path = core::str::from_utf8(prefix).ok()?.strip_suffix('/')?;
    let name = path.rsplit('/').next()?;
    Some(name.strip_prefix("cma-").unwrap_or(name)).filter(|name| !name.is_empty())
}

/// Area and size of a failed request.
#[derive(Clone, Copy, Debug)]
struct Failure<'t> {
    area: &'t str,
    pages: u32,
}

/// Parses `cma_alloc: NAME: alloc failed, req-size: N pages, ret: -12`.
fn failed_request(text: &[u8]) -> Option<Failure<'_>> {
    const FAILED: &[u8] = b": alloc failed, req-size: ";
    let at = memmem::find(text, FAILED)?;
    let begin = memmem::rfind(&text[..at], b"alloc: ")? + b"alloc: ".len();
    let size = &text[at + FAILED.len()..];
    let digits = size.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let pages = u32::try_from(decimal(&size[..digits])?).ok()?;
    Some(Failure { area: core::str::from_utf8(&text[begin..at]).ok()?, pages })
}

#[cfg(test)]
mod tests;
