// SPDX-License-Identifier: MIT OR Apache-2.0

//! Explains the lines of a kernel's log about CMA, and lists remedies.
//!
//! A line is recognized by Linux's words, of any version from 3.x to 7.x, at any place in it:
//! levels, times, a syslog's prefix and a driver's name in front are ignored. Lines that are not
//! about CMA are skipped.
//!
//! Invariants: an explanation needs evidence in the log. A failure is called full or fragmented
//! only if the kernel printed the area's free runs after it, or returned an error that has one
//! meaning.

mod lines;

use std::borrow::Cow;
use std::fmt::{self, Write};

use kernel::cma::align_order_of;
use kernel::lab::metrics::Counted;
use kernel::lab::state::{self, State};
use lines::other;

/// Maximum of characters of a line that are repeated.
const SHOWN: usize = 160;
/// Maximum of busy ranges that are explained one by one.
const SHOWN_BUSY: u64 = 8;
/// Maximum of bytes of a list of free runs.
const MAX_LIST: usize = 1 << 16;
/// KiB of a page.
const PAGE_KIB: u64 = 4;

/// An explained line of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explained {
    /// The line's number, counted from 1.
    pub line: u64,
    /// The line, from the kernel's own words on.
    pub text: String,
    /// The explanation.
    pub says: String,
    /// A remedy, if there is one.
    pub helps: Option<String>,
}

/// All explanations of a log.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Story {
    /// The explained lines.
    pub lines: Vec<Explained>,
    /// Failed requests.
    pub failed: u64,
    /// Pages of the smallest and of the largest failed request.
    pub failed_pages: Option<(u64, u64)>,
    /// Requests recorded by CONFIG_CMA_DEBUG: with them, the log is also a recording.
    pub recorded: u64,
    /// Busy ranges, which were skipped.
    pub busy: u64,
}

/// A failed request; a list of its area's free runs may follow.
struct Failed {
    /// Index in [`Story::lines`].
    place: usize,
    pages: u64,
    ret: i64,
}

/// Explains every line of a log.
pub fn explain(log: &[u8]) -> Story {
    let mut story = Story::default();
    let mut failed: Option<Failed> = None;
    let mut start = 0;
    for (number, line) in log.split(|&byte| byte == b'\n').enumerate() {
        let rest = &log[start..log.len().min(start + MAX_LIST)];
        start += line.len() + 1;
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
        let number = number as u64 + 1;
        if line.contains("number of available pages: ") {
            // The list may continue in further lines.
            let list = match state::find(rest, Some(1), None) {
                Ok(list) => list,
                Err(error) => {
                    story.add(number, &line, format!("{error}."), None);
                    continue;
                }
            };
            story.add(number, &line, says(&list), None);
            if let Some(failed) = failed.take() {
                let (says, helps) = failed.with_runs(&list);
                story.lines[failed.place].says = says;
                story.lines[failed.place].helps = Some(helps);
            }
        } else if let Some((pages, ret)) = alloc_failed(&line) {
            let (says, helps) = without_runs(pages, ret);
            failed = Some(Failed { place: story.lines.len(), pages, ret });
            story.failed += 1;
            let (least, most) = story.failed_pages.unwrap_or((pages, pages));
            story.failed_pages = Some((least.min(pages), most.max(pages)));
            story.add(number, &line, says, Some(helps));
        } else if is_request(&line) {
            story.recorded += 1;
        } else if line.contains("memory range at ") && line.contains("busy, retrying") {
            story.busy += 1;
            if story.busy <= SHOWN_BUSY {
                let says = "A page of this range was in use and could not be moved: the search went on after it.";
                story.add(number, &line, says.into(), Some(BUSY_HELPS.into()));
            }
        } else if let Some((says, helps)) = other(&line) {
            story.add(number, &line, says, helps.map(str::to_owned));
        }
    }
    story
}

impl Story {
    /// True if no line is about CMA.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.recorded + self.busy == 0
    }

    fn add(&mut self, line: u64, text: &str, says: String, helps: Option<String>) {
        let text = shown(text);
        self.lines.push(Explained { line, text, says, helps });
    }
}

impl fmt::Display for Story {
    /// Prints the explanations; ends in a newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told: Option<&str> = None;
        for line in &self.lines {
            writeln!(f, "{}: {}", line.line, line.text)?;
            writeln!(f, "    {}", line.says)?;
            if let Some(helps) = line.helps.as_deref().filter(|helps| told != Some(helps)) {
                writeln!(f, "    What helps: {helps}")?;
                told = Some(helps);
            }
        }
        if let Some((least, most)) = self.failed_pages {
            let pages = if least == most { format!("{most} pages") } else { format!("{least} to {most} pages") };
            writeln!(f, "{} for {pages} failed.", Counted(self.failed, "request"))?;
        }
        if self.busy > 0 {
            let ranges = Counted(self.busy, "range");
            writeln!(f, "{ranges} had pages in use that could not be moved, and the search went on behind them.")?;
        }
        if self.recorded > 0 {
            let requests = Counted(self.recorded, "request");
            writeln!(
                f,
                "CONFIG_CMA_DEBUG wrote {requests}: the log is a recording for `debris replay` and `debris size`."
            )?;
        }
        if self.is_empty() {
            writeln!(
                f,
                "No line says anything of CMA. Lines like `cma: Reserved`, `Reserved memory: created CMA memory pool`, \
                 `alloc failed, req-size` and `number of available pages` are looked for."
            )?;
        }
        Ok(())
    }
}

fn longest(list: &State<'_>) -> u32 {
    list.free_runs().map(|(_, pages)| pages).max().unwrap_or(0)
}

/// True if a request has room, aligned as the kernel aligns one of its size.
fn has_room(list: &State<'_>, pages: u32) -> bool {
    let align = 1 << align_order_of(pages);
    let aligned_end = |first: u32| first.checked_next_multiple_of(align)?.checked_add(pages);
    list.free_runs().any(|(first, run)| aligned_end(first).is_some_and(|end| end <= first + run))
}

fn says(list: &State<'_>) -> String {
    format!(
        "{} of {} are free ({} of {}), in {}; the longest has {}.",
        list.free,
        Counted(list.pages.into(), "page"),
        mib(list.free.into()),
        mib(list.pages.into()),
        Counted(list.free_runs().count() as u64, "run"),
        Counted(longest(list).into(), "page")
    )
}

impl Failed {
    /// Returns the meaning of a failure with the free runs after it, and a remedy.
    fn with_runs(&self, list: &State<'_>) -> (String, String) {
        let Self { pages, ret, .. } = self;
        let head = format!("A request for {} ({}) failed with {}", Counted(*pages, "page"), mib(*pages), errno(*ret));
        let align = 1u64 << align_order_of(u32::try_from(*pages).unwrap_or(u32::MAX));
        if *pages > list.pages.into() {
            return (
                format!("{head}: the area has {} in all.", Counted(list.pages.into(), "page")),
                format!("an area of more than {}: `cma=`, or `size` of the area's node.", mib(*pages)),
            );
        }
        if *pages > list.free.into() {
            return (
                format!("{head}: the area was full, with {} free.", Counted(list.free.into(), "page")),
                "a larger area. Record the requests, and `debris size` says how large.".into(),
            );
        }
        if !has_room(list, *pages as u32) {
            return (
                format!(
                    "{head}: the area was fragmented. {} are free, and no run has room at a multiple of {align} pages; \
                     the longest has {}.",
                    Counted(list.free.into(), "page"),
                    Counted(longest(list).into(), "page")
                ),
                format!(
                    "`debris view LOG --pages {pages}` on this log shows the cheapest windows; a larger area, or buffers that \
                     stay taken first, keep room together. `debris size` on a recording says how large."
                ),
            );
        }
        (
            format!(
                "{head}, and there is room for it: every range that was tried has a page in use that could not be moved \
                 (pinned, or under I/O), or was isolated by another allocation."
            ),
            BUSY_HELPS.into(),
        )
    }
}

/// A remedy for busy pages.
const BUSY_HELPS: &str = "find who pins pages of the area: `page dumped because` in the log, /sys/kernel/debug/cma, the event \
                          test_pages_isolated. A retry may succeed. Linux 5.13 to 5.17 (but 5.15.49 and later) holds no mutex around \
                          alloc_contig_range, so that drivers that allocate at once refuse each other's ranges: \
                          docs/research/callers.md.";

/// Returns the meaning of a failure without free runs, and a remedy.
fn without_runs(pages: u64, ret: i64) -> (String, String) {
    let head = format!("A request for {} ({}) failed with {}", Counted(pages, "page"), mib(pages), errno(ret));
    match ret {
        -12 => (
            format!("{head}: no free run of the area had room, or none at a multiple of its alignment."),
            "the state of the area: debugfs's `bitmap`, or the line `number of available pages` that CONFIG_CMA_DEBUG adds, \
             for `debris view`; `debris size` on a recording says how large the area must be."
                .into(),
        ),
        -16 => (
            format!(
                "{head}. Until 6.12: every range that was tried has a page in use that could not be moved, or was isolated \
                 by another allocation. Newer kernels return it, too, where no free run has room."
            ),
            BUSY_HELPS.into(),
        ),
        -4 => (format!("{head}: the task that asked had a fatal signal pending."), "nothing in the area's size.".into()),
        _ => (format!("{head}."), "the driver that asked: the area was not looked at.".into()),
    }
}

/// Returns the two numbers of `alloc failed, req-size: N pages, ret: E`.
fn alloc_failed(line: &str) -> Option<(u64, i64)> {
    let rest = after(line, "alloc failed, req-size: ")?;
    let ret = after(rest, "ret: ")?.trim();
    let digits = ret.strip_prefix('-').map(number);
    Some((number(rest)?, digits.map_or_else(|| number(ret).map(|ret| ret as i64), |ret| ret.map(|ret| -(ret as i64)))?))
}

/// True for a request recorded by CONFIG_CMA_DEBUG.
fn is_request(line: &str) -> bool {
    (line.contains("cma_alloc(cma ") || line.contains("dma_alloc_from_contiguous(cma ")) && line.contains("count ")
}

fn after<'t>(text: &'t str, words: &str) -> Option<&'t str> {
    text.find(words).map(|at| &text[at + words.len()..])
}

/// Returns the decimal number at the start.
fn number(text: &str) -> Option<u64> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// Returns the word at the start, without a comma at its end.
fn word(text: &str) -> Option<Cow<'_, str>> {
    let word = text.split_whitespace().next()?.trim_end_matches(',');
    Some(Cow::Owned(printable(word)))
}

fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

/// Returns a line from the kernel's own words on: without level, time and a syslog's prefix.
fn shown(line: &str) -> String {
    let kernel = after(line, " kernel: ").unwrap_or(line);
    let without_level = match kernel.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        Some((level, rest)) if level.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => kernel,
    };
    let mut text = without_level.trim();
    if let Some((_, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        text = rest.trim();
    }
    let mut shown: String = printable(text).chars().take(SHOWN).collect();
    if text.chars().count() > SHOWN {
        shown.push('…');
    }
    shown
}

/// Formats pages as a size.
fn mib(pages: u64) -> String {
    let kib = pages.saturating_mul(PAGE_KIB);
    let mut text = String::new();
    let _ = match kib {
        0..1024 => write!(text, "{kib} KiB"),
        _ if kib.is_multiple_of(1024) => write!(text, "{} MiB", kib / 1024),
        _ => write!(text, "{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024),
    };
    text
}

fn errno(ret: i64) -> String {
    let name = match ret {
        -4 => " (-EINTR)",
        -12 => " (-ENOMEM)",
        -16 => " (-EBUSY)",
        -22 => " (-EINVAL)",
        _ => "",
    };
    format!("{ret}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(log: &str) -> Vec<String> {
        explain(log.as_bytes()).lines.into_iter().map(|line| line.says).collect()
    }

    #[test]
    fn a_failure_is_told_by_the_runs_behind_it() {
        let list = "cma: number of available pages: 4@572+7@585+7@601+8@632+38@730+166@1114+127@1921=> 357 free of 2048 total pages";
        let at = |pages: u32| {
            said(&format!(
                "[    2.0] cma: cma_alloc: linux,cma: alloc failed, req-size: {pages} pages, ret: -12\n{list}\n"
            ))
        };
        assert!(at(256)[0].contains("fragmented. 357 pages are free"), "{:?}", at(256));
        assert!(at(256)[0].contains("multiple of 256 pages; the longest has 166 pages"));
        assert!(at(400)[0].contains("full, with 357 pages free"));
        assert!(at(4096)[0].contains("the area has 2048 pages in all"));
        assert!(at(8)[0].contains("there is room for it"), "run 8@632 begins at a multiple of 8");
        assert_eq!(at(8)[1], "357 of 2048 pages are free (1.3 MiB of 8 MiB), in 7 runs; the longest has 166 pages.");
    }

    #[test]
    fn numbers_have_the_meaning_of_their_version() {
        let at =
            |ret: i32| said(&format!("<3>cma: cma_alloc: alloc failed, req-size: 148 pages, ret: {ret}"))[0].clone();
        assert!(at(-16).starts_with("A request for 148 pages (592 KiB) failed with -16 (-EBUSY). Until 6.12: "));
        assert!(at(-16).contains("where no free run has room"));
        assert!(at(-12).contains("no free run of the area had room"));
        assert!(at(-4).contains("fatal signal"));
    }

    #[test]
    fn what_stands_in_front_of_a_line_is_left_away() {
        for front in
            ["", "<6>", "[    0.000000] ", "<6>[    0.000000] ", "Jan  1 00:00:01 board kernel: [    0.000000] "]
        {
            let story = explain(format!("{front}cma: Reserved 16 MiB at 0x9f000000 on node -1\r\n").as_bytes());
            assert_eq!(story.lines[0].text, "cma: Reserved 16 MiB at 0x9f000000 on node -1");
            assert_eq!(story.lines[0].says, "The default area was made: 16 MiB at 0x9f000000.");
        }
    }

    #[test]
    fn lines_of_other_kinds_are_known_or_passed_over() {
        let known = [
            ("Reserved memory: created CMA memory pool at 0x69800000, size 8 MiB", "8 MiB at 0x69800000"),
            ("OF: reserved mem: initialized node BiscuitOS_cma, compatible id shared-dma-pool", "called BiscuitOS_cma"),
            ("OF: reserved mem: 0x78000000..0x9fffffff (655360 KiB) map reusable linux,cma", "for the area linux,cma"),
            ("cma: Failed to reserve 512 MiB", "no room for the default area of 512 MiB"),
            ("OF: reserved mem: failed to allocate memory for node 'linux,cma': size 32 MiB", "linux,cma (32 MiB)"),
            ("Reserved memory: incorrect alignment of CMA region", "multiple of a pageblock"),
            ("alloc_contig_range: [69c00, 69c40) PFNs busy", "[69c00, 69c40)"),
            ("Memory: 999K/1048576K available (1K kernel code, 24576K reserved, 16384K cma-reserved)", "16 MiB"),
            ("4096 pages cma reserved", "16 MiB"),
            (
                "OF: reserved mem: failed to reserve memory for node 'vram@4c000000': base 0x4c000000, size 8 MiB",
                "vram@4c000000",
            ),
            (
                "OF: fdt: Reserved memory: failed to reserve memory for node 'vram': base 0x4c000000, size 8 MiB",
                "no RAM",
            ),
            ("OF: reserved mem: invalid reg property in 'pool', skipping node.", "`reg` of the node pool"),
            ("Reserved memory: invalid size property in 'pool' node.", "`size` of the node pool"),
            ("OF: reserved mem: node pool compatible matching fail", "Nothing made a pool of the node"),
            ("Reserved memory: regions without no-map are not yet supported", "no-map"),
            ("Reserved memory: bypass linux,cma node, using cmdline CMA params instead", "`cma=` on the command line"),
        ];
        for (line, words) in known {
            let said = said(line);
            assert!(said.len() == 1 && said[0].contains(words), "{line}: {said:?}");
        }
        assert_eq!(said("usb 1-1: new device\n\nrandom: crng init done"), [""; 0]);
        assert!(explain(b"").to_string().starts_with("No line says anything of CMA."));
    }

    #[test]
    fn busy_ranges_are_explained_up_to_a_number() {
        let log = include_str!("../../tests/data/cases/cma-debug.log");
        let lines = explain(log.as_bytes()).lines;
        assert_eq!(lines.iter().map(|line| line.line).collect::<Vec<_>>(), [6, 7]);
        assert!(lines.iter().all(|line| line.says.contains("could not be moved")), "{lines:?}");
        let busy = "cma: cma_alloc(): memory range at b7ec8000 is busy, retrying\n".repeat(100);
        let story = explain(busy.as_bytes());
        assert_eq!((story.lines.len(), story.busy), (8, 100));
    }

    #[test]
    fn no_log_stops_it() {
        for line in [
            "number of available pages: 1@2+=> 3 free of x",
            "number of available pages: 99999999999999999999@1=> 1 free of 1 total pages",
            "alloc failed, req-size: 99999999999999999999 pages, ret: -12",
            "alloc failed, req-size: 18446744073709551615 pages, ret: -12\nnumber of available pages: 18446744073709551615@18446744073709551615=> 1 free of 1 total pages",
            "cma: Reserved ",
            "K cma-reserved",
            "free_cma:",
            "initialized node ",
            "[<>]",
        ] {
            let _ = explain(line.as_bytes()).to_string();
        }
        let escape = explain(b"OF: reserved mem: initialized node \x1b[31mred, compatible id x");
        assert!(!escape.to_string().contains('\x1b'), "a log is data, to a terminal, too");
    }
}
