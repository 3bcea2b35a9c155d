// SPDX-License-Identifier: MIT OR Apache-2.0

//! The laboratory in a page: replays with their course, and sizes, for a worker's script.
//!
//! The steps of a request: [`recording`] and [`request`] allocate buffers, which the script fills;
//! [`run`] executes it and leaves answers, which the script reads at [`answer`], [`answer_bytes`]
//! bytes each. The first is JSON, the others are words of 32 bits. This code does not access memory
//! by address: buffers and answers are its vectors. Only exported names and imported functions are
//! unsafe.
//!
//! A request is lines `key=value`. Its `do=` is `replay`, `size`, `look` (the kind of a file),
//! `rules` (the choices), or, with the feature `playground`, `page` (the part of a page that works
//! without scripts), `boot` or `type`.

#[cfg(feature = "playground")]
mod playground;

use std::cell::RefCell;

use host::page::Run;
use host::size::{Alignment, Recording, Rule, SizeError, one_by_one};
use host::timeline::{Timeline, WINDOWS};
use kernel::cma::placements;
use kernel::lab::record::Record;
use kernel::lab::replay::{Part, RecordedSize, Sizes, WhenServed};
use kernel::lab::state;
#[cfg(feature = "playground")]
use playground::Playground;

/// Input from the page, and answers to it.
#[derive(Default)]
struct Desk {
    recording: Vec<u8>,
    request: Vec<u8>,
    text: String,
    words: Vec<Vec<u32>>,
    #[cfg(feature = "playground")]
    playground: Playground,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
}

/// Allocates a buffer for a recording of `bytes` bytes.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn recording(bytes: u32) -> *const u8 {
    DESK.with_borrow_mut(|desk| {
        desk.recording = vec![0; bytes as usize];
        desk.recording.as_ptr()
    })
}

/// Allocates a buffer for a request of `bytes` bytes.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn request(bytes: u32) -> *const u8 {
    DESK.with_borrow_mut(|desk| {
        desk.request = vec![0; bytes as usize];
        desk.request.as_ptr()
    })
}

/// Executes the request.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn run() {
    DESK.with_borrow_mut(|desk| {
        let request = String::from_utf8_lossy(&desk.request).into_owned();
        let request = Request(&request);
        let answer = match request.get("do") {
            Some("replay") => replay(&desk.recording, &request),
            Some("size") => size(&desk.recording, &request),
            Some("look") => Ok(look(&desk.recording)),
            Some("rules") => Ok(rules()),
            #[cfg(feature = "playground")]
            Some("page") => page(&desk.recording, &request),
            #[cfg(feature = "playground")]
            Some("boot") => desk.playground.boot(&desk.recording, &request),
            #[cfg(feature = "playground")]
            Some("type") => desk.playground.type_keys(request.get("keys").unwrap_or_default()),
            _ => Err("there is nothing of that name to do".into()),
        };
        (desk.text, desk.words) = answer
            .unwrap_or_else(|error| (format!("{}}}", object(Record::object().string("error", &error))), Vec::new()));
    });
}

/// Returns the address of an answer; the first is text, and words follow.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn answer(number: u32) -> *const u8 {
    DESK.with_borrow(|desk| match number.checked_sub(1) {
        None => desk.text.as_ptr(),
        Some(place) => desk.words.get(place as usize).map_or(std::ptr::null(), |words| words.as_ptr().cast()),
    })
}

/// Returns the length of an answer in bytes.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn answer_bytes(number: u32) -> u32 {
    DESK.with_borrow(|desk| match number.checked_sub(1) {
        None => desk.text.len() as u32,
        Some(place) => desk.words.get(place as usize).map_or(0, |words| 4 * words.len() as u32),
    })
}

#[cfg(target_arch = "wasm32")]
mod clock {
    #[link(wasm_import_module = "page")]
    // SAFETY: the worker's script gives it to every instance, with this signature.
    unsafe extern "C" {
        /// Returns milliseconds since the page began.
        safe fn now_ms() -> f64;
    }

    /// Returns nanoseconds since the page began.
    pub(crate) fn now_ns() -> u64 {
        (now_ms() * 1e6) as u64
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod clock {
    /// Returns 0: there is no page.
    pub(crate) fn now_ns() -> u64 {
        0
    }
}

/// The text, and the words.
type Answers = (String, Vec<Vec<u32>>);

/// A request: lines `key=value`.
struct Request<'r>(&'r str);

impl<'r> Request<'r> {
    fn get(&self, key: &str) -> Option<&'r str> {
        self.0.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    }

    fn number(&self, key: &str) -> Result<Option<u32>, String> {
        self.get(key).map(|text| text.parse().map_err(|_| format!("{key} is {text}, and no number"))).transpose()
    }

    fn rule(&self) -> Result<Rule, String> {
        let align = self.get("align").unwrap_or("asis");
        let alignment = Alignment::ALL.into_iter().find(|alignment| alignment.name() == align);
        let alignment = alignment.ok_or_else(|| format!("align is {align}; it can be asis, order or page"))?;
        Ok(Rule { placement: self.get("placement").unwrap_or(host::size::FIRST_FIT).into(), alignment })
    }

    fn served(&self) -> WhenServed {
        if self.get("failed") == Some("keep") { WhenServed::Keep } else { WhenServed::Release }
    }
}

fn said(error: SizeError) -> String {
    error.to_string()
}

/// Returns an object's text without its end, to which more is added.
fn object(record: Record) -> String {
    let mut text = record.to_string();
    text.pop();
    text
}

fn replay(text: &[u8], request: &Request<'_>) -> Result<Answers, String> {
    let from = request.get("from");
    let recording = Recording::open(text, from, clock::now_ns).map_err(said)?;
    let rule = request.rule()?;
    let pages = request.number("pages")?.ok_or("how many pages?")?;
    if !(1..=host::board::MAX_AREA_PAGES).contains(&pages) {
        return Err(format!("an area has 1 to {} pages", host::board::MAX_AREA_PAGES));
    }
    let Sizes { least, most } = Sizes::ALL;
    let sizes =
        Sizes { least: request.number("least")?.unwrap_or(least), most: request.number("most")?.unwrap_or(most) };
    let part = Part { task: request.get("task"), pages: sizes };
    let (report, timeline) = recording.course(&rule, (request.served(), part), pages).map_err(said)?;
    let run = Run { rule: &rule, pages, report: &report, timeline: &timeline };
    let peak_pages = request.number("peak_pages")?.unwrap_or(report.peak);
    let words = |words: &[String]| words.iter().map(|word| Record::object().string("text", word)).collect::<Vec<_>>();
    let answer = Record::object()
        .string("diagnosis", run.diagnosis(peak_pages).name())
        .objects("says", words(&run.says(peak_pages)))
        .objects("tasks", words(&timeline.tasks))
        .number("steps", timeline.steps())
        .number("peak_step", timeline.peak_step)
        .number("highest_page", report.highest_page)
        .number("worst", timeline.worst_place().map_or(u64::from(u32::MAX), |place| place as u64));
    let text = format!("{},\"record\":{}}}", object(answer), report.record());
    Ok((text, vec![timeline.lines.clone(), bands(&timeline), failures(&timeline)]))
}

/// Returns the part of a page that works without scripts, for an area of `pages=` pages.
#[cfg(feature = "playground")]
fn page(text: &[u8], request: &Request<'_>) -> Result<Answers, String> {
    let recording = Recording::open(text, request.get("from"), clock::now_ns).map_err(said)?;
    let pages = request.number("pages")?.ok_or("how many pages?")?;
    let mut answers = Vec::new();
    for placement in host::size::USUAL_PLACEMENTS {
        for alignment in Alignment::ALL {
            let rule = Rule { placement: placement.into(), alignment };
            answers.push(recording.size(&rule, None, host::size::PAGEBLOCK_PAGES, &one_by_one).map_err(said)?);
        }
    }
    let rule = request.rule()?;
    let (report, timeline) = recording.course(&rule, (request.served(), Part::ALL), pages).map_err(said)?;
    let run = Run { rule: &rule, pages, report: &report, timeline: &timeline };
    let recorded = recording.recorded_size().map_err(said)?;
    let verdict = host::verdict::Verdict { recorded, ..host::verdict::Verdict::of(&answers[0], 0) };
    let helps = host::helps::helps(Some(pages), &answers, answers[0].busy);
    let name = request.get("name").unwrap_or("recording");
    let html = host::page::body((name, ""), &run, (&answers, &helps), &verdict);
    Ok((Record::object().string("error", "").string("html", &html).to_string(), Vec::new()))
}

/// Finds the smallest area under a rule.
fn size(text: &[u8], request: &Request<'_>) -> Result<Answers, String> {
    let recording = Recording::open(text, request.get("from"), clock::now_ns).map_err(said)?;
    let served = request.get("failed").map(|_| request.served());
    let answer = recording.size(&request.rule()?, served, host::size::PAGEBLOCK_PAGES, &one_by_one).map_err(said)?;
    Ok((answer.record(request.get("from").unwrap_or("area")).to_string(), Vec::new()))
}

/// Advice for a shell in the explanation of a log, and its replacement in the page.
const AT_THE_PROMPT: &[(&str, &str)] = &[
    ("`debris view LOG --pages ", "`load` at the prompt, then `relocate board "),
    ("` on this log shows", "`, shows"),
    ("for `debris view`", "for `load` at the prompt"),
    ("a recording for `debris replay` and `debris size`", "a recording, too"),
    (". `debris size` on a recording", ". A recording that is dropped here"),
    ("`debris size` on a recording", "a recording that is dropped here"),
];

/// Returns the kind of a file: a recording, a state, a log.
fn look(text: &[u8]) -> Answers {
    let recording = host::check::census(text);
    let recorded = Recording::open(text, None, clock::now_ns).and_then(|recording| recording.recorded_size());
    let recorded = match recorded {
        Ok(RecordedSize::Pages(pages) | RecordedSize::AtLeast(pages)) => u32::try_from(pages).unwrap_or(0),
        _ => 0,
    };
    let story = host::explain::explain(text);
    // The page's prompt has other commands than the host tool.
    let words = if story.lines.is_empty() { String::new() } else { story.to_string() };
    let words = AT_THE_PROMPT.iter().fold(words, |words, (host, here)| words.replace(host, here));
    let answer = Record::object()
        .number("recording", u32::from(recording.is_ok()))
        .string("error", "")
        .string("why", &recording.err().map_or(String::new(), |error| error.to_string()))
        .number("recorded_pages", recorded)
        .number("state", state::find(text, None, None).map_or(0, |state| state.pages))
        .string("story", &words);
    (answer.to_string(), Vec::new())
}

/// Returns placements and alignments. Placements that relocate are left out, because the page would
/// draw their buffers in wrong places.
fn rules() -> Answers {
    let drawn = |entry: &&placements::Entry| (entry.make)(None).is_some_and(|placement| !placement.relocates());
    let placements = placements::PLACEMENTS.iter().filter(drawn);
    let placements = placements.map(|entry| Record::object().string("name", entry.name));
    let alignments = Alignment::ALL.into_iter();
    let alignments =
        alignments.map(|align| Record::object().string("name", align.name()).string("words", align.words()));
    let answer =
        Record::object().string("error", "").objects("placements", placements).objects("alignments", alignments);
    (answer.to_string(), Vec::new())
}

fn bands(timeline: &Timeline) -> Vec<u32> {
    let words = |band: &host::timeline::Band| {
        let [low, high] = halves(band.time_ns);
        [band.page, band.pages, band.begin, band.end, band.line, band.task, low, high]
    };
    timeline.bands.iter().flat_map(words).collect()
}

/// Causes by number.
const CAUSES: [&str; 4] = ["fragmented", "full", "busy", "no-memory"];

fn failures(timeline: &Timeline) -> Vec<u32> {
    let mut words = Vec::new();
    for failed in &timeline.failures {
        let cause = CAUSES.iter().position(|cause| *cause == failed.cause).unwrap_or(CAUSES.len());
        let [low, high] = halves(failed.time_ns.unwrap_or(u64::MAX));
        words.extend([failed.step, failed.line, low, high, failed.task, failed.pages, failed.align_order]);
        words.extend([cause as u32, failed.free, failed.longest]);
        for place in 0..WINDOWS {
            let window = failed.windows.get(place).copied().unwrap_or_default();
            words.extend([window.page, window.used, window.cost, window.buffers]);
        }
    }
    words
}

const fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}
