// SPDX-License-Identifier: MIT OR Apache-2.0

//! Recorded streams of requests, read in place: the laboratory's own format ([`plain`]), the text
//! of Linux's ftrace ([`ftrace`]), and the kernel's log ([`dmesg`]).
//!
//! A trace may be tens of megabytes in an initrd: the parsers borrow it, store no line, and report
//! errors with the number of the line. They are independent of areas and buffers: the input is
//! bytes, the output is operations or one error. The first significant line decides the format of a
//! trace ([`Format::of`]).

pub mod dmesg;
pub mod ftrace;
mod head;
pub mod plain;

use core::fmt;

pub use head::{Head, Line};
pub use plain::Op;

use crate::state::is_state;
use cma::MAX_ALIGN_ORDER;

/// Name of the area of events without a name.
pub const NAMELESS: &[u8] = b"nameless";

/// Format of a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// `a ID PAGES ALIGN_ORDER` and `r ID`.
    Plain,
    /// The output of `/sys/kernel/tracing/trace`, `trace_pipe` or `trace-cmd report`.
    Ftrace,
    /// The kernel's log with the lines of `CONFIG_CMA_DEBUG`.
    Dmesg,
}

impl<'t> Line<'t> {
    /// Returns the text before the line's event, parsed. It is empty in a plain trace.
    pub fn head(&self, format: Format) -> Head<'t> {
        match format {
            Format::Plain => Head::default(),
            Format::Ftrace => ftrace::head(self.text),
            Format::Dmesg => dmesg::head(self.text),
        }
    }
}

impl Format {
    /// Returns the format of a trace. The first line that only one format has decides: an event of
    /// CMA, or a line of `CONFIG_CMA_DEBUG`, after any prefix. At the start of the trace these
    /// decide, too: ftrace's heads and notes, an event with its task and processor, an operation of
    /// the plain form; only half a line, a state and comments may precede them. Lines with a time
    /// and a colon count as ftrace's only if no line decides, because logs have them (`CPU 1:
    /// failed`).
    pub fn of(bytes: &[u8]) -> Self {
        let mut foreign = 0u32;
        let mut stamped = false;
        let mut lines = Lines::new(bytes);
        lines.skip_blank();
        let mut whole = 1;
        while let Some(Line { number, text: line, .. }) = lines.next() {
            let begins = foreign < whole;
            if line.starts_with(b"# tracer:") || ftrace::is_event(line) || begins && ftrace::is_head(line) {
                return Self::Ftrace;
            }
            if dmesg::is_line(line) {
                return Self::Dmesg;
            }
            if begins && !line.starts_with(b"#") && !line.trim_ascii().is_empty() && !is_state(line) {
                if plain::is_line(line) {
                    return Self::Plain;
                }
                stamped |= ftrace::is_stamped(line);
                // Only the trace's first line may be cut.
                whole = if number == 1 { 2 } else { whole };
                foreign += 1;
            }
            lines.skip_blank();
        }
        if stamped { Self::Ftrace } else { Self::Plain }
    }

    /// Returns the name for records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Ftrace => "ftrace",
            Self::Dmesg => "dmesg",
        }
    }
}

/// An error of a trace, and its line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceError {
    /// Number of the line, from 1.
    pub line: u64,
    /// The error.
    pub reason: Reason,
}

/// Error of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Neither `a`, `r` nor a comment.
    UnknownOp,
    /// Not a line of ftrace.
    NotFtrace,
    /// A word is missing.
    Missing(Field),
    /// There are words after the last one.
    Extra,
    /// Not a number, or out of range.
    Bad(Field),
    /// A byte that is not text.
    Binary(u8),
    /// `r` for an ID without an `a` before it.
    NeverAllocated(u32),
    /// `a` for an ID that holds a buffer.
    Held(u32),
    /// An allocation of recorded pages that are already allocated; the first of them.
    HeldPages(u64),
    /// An allocation at a pointer that holds a buffer.
    HeldPointer(u64),
    /// More areas than a recording may have.
    TooManyAreas(usize),
    /// A page too far from the others to be in one area.
    TooFar(u64),
    /// No line has an operation.
    Empty,
    /// No line has an operation, but this many requests begin.
    OnlyStarts(u64),
}

/// A word of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// `ID`.
    Id,
    /// `PAGES`.
    Pages,
    /// `ALIGN_ORDER`.
    AlignOrder,
    /// `name=`.
    Name,
    /// `pfn=`.
    Pfn,
    /// `page=`.
    Page,
    /// `count=`.
    Count,
    /// `align=`.
    Align,
    /// `errorno=`.
    Errorno,
}

/// A line parser; its result is `None` if the line has no operation.
type LineParser<'t, T> = fn(&'t [u8], Whole) -> Result<Option<T>, Reason>;

/// Number of lines without an operation that make a step.
const SILENT_LINES: u32 = 4096;

/// The operation of a line; `None` for lines without an operation, with the last of them.
pub type Step<'t, T> = Result<(Line<'t>, Option<T>), TraceError>;

/// Ends of a line that are certain: a recording may begin and end in the middle of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Whole {
    start: bool,
    end: bool,
}

/// The operations of a trace, with their lines, up to the first error.
#[derive(Clone, Debug)]
pub struct Parsed<'t, T> {
    lines: Lines<'t>,
    parse_line: LineParser<'t, T>,
    failed: bool,
}

impl<'t, T> Parsed<'t, T> {
    /// Reads a trace from its start. Lines may have no operation.
    const fn new(bytes: &'t [u8], parse_line: LineParser<'t, T>) -> Self {
        Self { lines: Lines::new(bytes), parse_line, failed: false }
    }

    /// Returns the number of lines read so far.
    pub const fn lines(&self) -> u64 {
        self.lines.read()
    }

    /// Returns the next operation, or a step without one after `SILENT_LINES` lines without any, so
    /// that the caller can check for Ctrl-C.
    pub fn step(&mut self) -> Option<Step<'t, T>> {
        for silent in 1.. {
            if self.failed {
                return None;
            }
            self.lines.skip_blank();
            let line = self.lines.next()?;
            let whole = Whole { start: line.number > 1, end: !self.lines.unterminated };
            match (self.parse_line)(line.text, whole) {
                Ok(None) if silent == SILENT_LINES => return Some(Ok((line, None))),
                Ok(None) => {}
                Ok(Some(said)) => return Some(Ok((line, Some(said)))),
                Err(reason) => {
                    self.failed = true;
                    return Some(Err(line.error(reason)));
                }
            }
        }
        None
    }

    /// Returns all steps.
    pub fn steps(mut self) -> impl Iterator<Item = Step<'t, T>> {
        core::iter::from_fn(move || self.step())
    }
}

impl<'t, T> Iterator for Parsed<'t, T> {
    type Item = Result<(Line<'t>, T), TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        core::iter::from_fn(|| self.step()).find_map(said)
    }
}

/// Drops a step without an operation.
fn said<'t, T>(step: Step<'t, T>) -> Option<Result<(Line<'t>, T), TraceError>> {
    step.map(|(line, said)| Some((line, said?))).transpose()
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id => f.write_str("ID (0 to 4294967295)"),
            Self::Pages => f.write_str("PAGES (1 to 4294967295)"),
            Self::AlignOrder => write!(f, "ALIGN_ORDER (0 to {MAX_ALIGN_ORDER})"),
            Self::Name => f.write_str("name= (an area)"),
            Self::Pfn => f.write_str("pfn= (a hexadecimal number)"),
            Self::Page => f.write_str("page= (a pointer)"),
            Self::Count => f.write_str("count= (1 to 4294967295 pages)"),
            Self::Align => write!(f, "align= (0 to {MAX_ALIGN_ORDER})"),
            Self::Errorno => f.write_str("errorno= (0, or a negative number)"),
        }
    }
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::Empty => return f.write_str("the trace is empty: no line allocates or releases anything"),
            Reason::OnlyStarts(count) => {
                return write!(
                    f,
                    "the recording has {count} lines cma_alloc_start, which do not say what was allocated, and nothing else: record \
                     cma_alloc_finish and cma_release, too (echo 1 > /sys/kernel/tracing/events/cma/enable)"
                );
            }
            _ => write!(f, "line {}: ", self.line)?,
        }
        match self.reason {
            Reason::UnknownOp => f.write_str("neither `a ID PAGES ALIGN_ORDER` nor `r ID` nor a # comment"),
            Reason::NotFtrace => f.write_str(
                "neither an event of ftrace nor one of its comments; `grep -e cma_ -e LOST` leaves the lines that count",
            ),
            Reason::Missing(field) => write!(f, "{field} is missing"),
            Reason::Extra => f.write_str("words after the end of the operation"),
            Reason::Bad(field) => write!(f, "not a good {field}"),
            // First bytes of gzip, xz and UTF-16.
            Reason::Binary(byte @ (0x1f | 0xfd)) => {
                write!(f, "byte {byte:#04x} is not text; a compressed file has to be unpacked first (gunzip, unxz)")
            }
            Reason::Binary(byte @ (0xfe | 0xff)) => {
                write!(f, "byte {byte:#04x} is not text; UTF-16 has to be converted first (iconv -f UTF-16 -t UTF-8)")
            }
            Reason::Binary(byte) => write!(f, "byte {byte:#04x} is not text; is this a trace?"),
            Reason::NeverAllocated(id) => write!(f, "releases ID {id}, which was never allocated"),
            Reason::Held(id) => {
                write!(f, "allocates ID {id}, which holds a buffer already; held=release gives that back first")
            }
            Reason::HeldPages(pfn) => write!(f, "allocates pages at pfn {pfn:#x} that are held already"),
            Reason::HeldPointer(pointer) => write!(f, "allocates the page {pointer:#x}, which is held already"),
            Reason::TooManyAreas(most) => write!(f, "one area more than the {most} that are told apart"),
            Reason::TooFar(pfn) => write!(
                f,
                "pfn {pfn:#x} is too far from the area's other pages ({} MiB are the most)",
                ftrace::MAX_RECORDED_PAGES >> 8
            ),
            Reason::Empty | Reason::OnlyStarts(_) => Ok(()),
        }
    }
}

/// The lines of a text, without their ends (LF or CR LF).
#[derive(Clone, Debug)]
pub(super) struct Lines<'t> {
    rest: &'t [u8],
    /// Bytes of the whole text.
    length: usize,
    read: u64,
    /// True if the last line read has no end.
    unterminated: bool,
}

impl<'t> Lines<'t> {
    pub(super) const fn new(bytes: &'t [u8]) -> Self {
        Self { rest: bytes, length: bytes.len(), read: 0, unterminated: false }
    }

    /// Returns the number of lines read so far.
    const fn read(&self) -> u64 {
        self.read
    }

    /// Skips empty lines byte by byte: to parse one costs as much as to parse a long one.
    fn skip_blank(&mut self) {
        loop {
            self.rest = match self.rest {
                [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..] => rest,
                _ => return,
            };
            self.read += 1;
        }
    }
}

impl<'t> Iterator for Lines<'t> {
    type Item = Line<'t>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let start = self.length - self.rest.len();
        let (line, rest) = match memchr::memchr(b'\n', self.rest) {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => {
                self.unterminated = true;
                (self.rest, &[][..])
            }
        };
        self.rest = rest;
        self.read += 1;
        Some(Line { number: self.read, start, text: line.strip_suffix(b"\r").unwrap_or(line) })
    }
}

/// Fails if a line has a byte other than printable ASCII and tabs.
fn text_only(line: &[u8]) -> Result<(), Reason> {
    match line.iter().find(|&&byte| !(b' '..=b'~').contains(&byte) && byte != b'\t') {
        Some(&byte) => Err(Reason::Binary(byte)),
        None => Ok(()),
    }
}

/// Parses a decimal number of up to 64 bits; digits only, no sign.
pub(super) fn decimal_u64(digits: &[u8]) -> Option<u64> {
    core::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// Parses a decimal number from `least` to `most`; digits only, no sign.
fn decimal(word: &[u8], field: Field, least: u32, most: u32) -> Result<u32, Reason> {
    let mut value = 0u32;
    for &byte in word {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(Reason::Bad(field));
        }
        value = value.checked_mul(10).and_then(|v| v.checked_add(u32::from(digit))).ok_or(Reason::Bad(field))?;
    }
    if !word.is_empty() && (least..=most).contains(&value) { Ok(value) } else { Err(Reason::Bad(field)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_seen_from_the_first_lines() {
        for plain in [
            "",
            "# a comment\n\n",
            "a 1 1 0\n",
            "# x\n\nr 1",
            "rubbish",
            "x: y\n",
            "\0\0",
            "a 1 1 0\n# tracer\ncpus=8\n",
            "b 1\nr 1\ncpus=8\n",
            "\nb 1\ncpus=8\n",
            "[    0.0] usb 1: new device\n[    0.1] CPU 1: failed to come online\n",
            "b 1\nCPU 1: failed\na 1 1 0\n",
        ] {
            assert_eq!(Format::of(plain.as_bytes()), Format::Plain, "{plain}");
        }
        for ftrace in [
            "# tracer: nop\n",
            "\n# tracer: nop\na 1 1 0\n",
            "  monitor-1  [000] .....     5.123456: cma_release: name=x pfn=0x1 page=00000010 count=1\n",
            "  a b-1  [000]     5.123456: sched_switch:  a ==> b\n",
            "# kept by a shell\nCPU:0 [LOST 12 EVENTS]\n",
            "CPU:7 [204600 EVENTS DROPPED]\n",
            "version = 7\ncpus=8\n",
            "cpus=8\n",
            "ase: name=x pfn=0x1 page=00000010 count=1\r\n\r\ncpus=8\r\n",
            "5.123456: sched_switch:  a ==> b\n",
            "login: root\n# cat trace_pipe\nCPU 1: failed\ncma_release: name=x pfn=0x1 page=00000010 count=1\n",
            "x\ny\n   cma_alloc_start: name=x count=1 align=0\n",
        ] {
            assert_eq!(Format::of(ftrace.as_bytes()), Format::Ftrace, "{ftrace}");
        }
    }

    /// Lines of a log that look like the prefix of an event, before the recording.
    #[test]
    fn a_time_and_a_colon_make_no_log_a_recording_of_ftrace() {
        let log = "cma: cma_alloc(cma 814923f8, count 3, align 2)\ncma: cma_alloc(): returned b7eb8f80\n";
        for line in [
            "node   0: [mem 0x40000000-0xbfffffff]",
            "usb 1: new device",
            "CPU 1: failed to come online",
            "mxc_vpu 1: alloc",
            "[drm] DM 3: foo",
            "cma: cma_alloc: linux,cma: alloc failed, req-size: 256 pages, ret: -12",
            "a 1 1 0",
            "cpus=8",
            "CPU:0 [LOST 12 EVENTS]",
        ] {
            for front in ["", "[    0.000000] ", "<6>[    0.000000] ", "Jan  1 00:00:29 board kernel: [   29.2] "] {
                // If the recording's own first line is cut, the line after it does decide.
                let before = std::format!("x\ny\n{front}{line}\n{front}{line}\n");
                assert_eq!(Format::of((before + log).as_bytes()), Format::Dmesg, "{front}{line}");
            }
        }
        let log = std::format!("[    0.000000]   node   0: [mem 0x40000000-0xbfffffff]\n{log}");
        assert_eq!(Format::of(log.as_bytes()), Format::Dmesg);
    }
}
