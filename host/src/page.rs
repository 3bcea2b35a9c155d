// SPDX-License-Identifier: MIT OR Apache-2.0

//! The part of a page that works without scripts: the verdict on an area in words, the lines to
//! paste, the table of sizes, a picture of the worst moment, the failures.
//!
//! Invariants: all text of a recording goes through [`escaped`].

use std::fmt::Write;

use kernel::lab::replay::ReplayReport;

use crate::size::{Alignment, Answer, PAGEBLOCK_PAGES, Rule, mib, size};
use crate::timeline::{Failed, Timeline};
use crate::verdict::{Verdict, paste};
use crate::{helps, picture};

/// Maximum of rows of the table of failures.
const SHOWN_FAILURES: usize = 20;

/// A replay in an area of a size.
pub struct Run<'r> {
    /// The rule.
    pub rule: &'r Rule,
    /// The area's size.
    pub pages: u32,
    /// The result.
    pub report: &'r ReplayReport,
    /// The course of the replay.
    pub timeline: &'r Timeline,
}

/// A diagnosis of an area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Diagnosis {
    /// Nothing: no request failed.
    Enough,
    /// More is held at once than the area has.
    TooSmall,
    /// All that is held at once has room, but not in the pieces that are free.
    Fragmented,
}

impl Diagnosis {
    /// Returns the words for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enough => "Large enough",
            Self::TooSmall => "Too small",
            Self::Fragmented => "Fragmented",
        }
    }
}

impl Run<'_> {
    /// Returns the diagnosis; `peak_pages` are held at once if no request fails.
    pub fn diagnosis(&self, peak_pages: u32) -> Diagnosis {
        match self.report.failed {
            0 => Diagnosis::Enough,
            _ if peak_pages > self.pages => Diagnosis::TooSmall,
            _ => Diagnosis::Fragmented,
        }
    }

    /// Explains the diagnosis in sentences.
    pub fn says(&self, peak_pages: u32) -> Vec<String> {
        let Self { rule, pages, report, timeline } = self;
        let how = match rule.alignment {
            Alignment::Asis => rule.placement.clone(),
            Alignment::Order => format!("{}, requests aligned by their order", rule.placement),
            Alignment::Page => format!("{}, requests aligned by one page", rule.placement),
        };
        let head = format!("In an area of {} under {how}, ", size(*pages));
        let requests = counted(report.allocs, "request");
        let mut says = Vec::new();
        let held = format!("if no request failed, {peak_pages} pages ({}) would be held at once", mib(peak_pages));
        match self.diagnosis(peak_pages) {
            Diagnosis::Enough => {
                says.push(format!("{head}none of {requests} fails. At most {} pages are in use.", report.peak));
            }
            Diagnosis::TooSmall => {
                says.push(format!("{head}{} of {requests} {}.", report.failed, fail(report.failed)));
                says.push(format!(
                    "It is too small, however buffers are placed: {held}. Here requests failed, and at most {} pages were \
                     in use.",
                    report.peak
                ));
                let fragmented = timeline.failures.iter().filter(|failed| failed.cause == "fragmented").count();
                let others = match timeline.failures.len() - fragmented {
                    0 => "",
                    _ => "; for the others, fewer were free than they asked for",
                };
                if fragmented > 0 {
                    says.push(format!(
                        "It is fragmented, too: for {fragmented} of the requests that failed, enough pages were free at \
                         that moment, but not in one piece{others}."
                    ));
                }
            }
            Diagnosis::Fragmented => {
                says.push(format!("{head}{} of {requests} {}.", report.failed, fail(report.failed)));
                says.push(format!(
                    "It is fragmented: {held}, and the area has room for them in total, but when a request failed, no \
                     free piece was long enough for it."
                ));
            }
        }
        if let Some(first) = timeline.failures.first() {
            says.push(format!("The first failure: {}.", told(timeline, first)));
        }
        if let Some(worst) = timeline.worst().filter(|worst| Some(*worst) != timeline.failures.first()) {
            says.push(format!(
                "The worst, of those with enough free pages the one with the most: {}.",
                told(timeline, worst)
            ));
        }
        says
    }
}

/// Describes a failure.
fn told(timeline: &Timeline, failed: &Failed) -> String {
    let mut text = format!("line {}", failed.line);
    // Writing to a String cannot fail.
    if let Some(time_ns) = failed.time_ns {
        let _ = write!(text, " ({})", seconds(time_ns));
    }
    let task = timeline.tasks.get(failed.task as usize).filter(|task| !task.is_empty());
    let _ = match task {
        Some(task) => write!(text, ", {task} asks for {}", counted(failed.pages.into(), "page")),
        None => write!(text, " asks for {}", counted(failed.pages.into(), "page")),
    };
    if failed.align_order > 0 {
        let _ = write!(text, " at a multiple of {}", 1u64 << failed.align_order);
    }
    let free = counted(failed.free.into(), "page");
    let _ = match (failed.cause, failed.align_order) {
        ("full", _) => write!(text, "; {free} are free"),
        (_, 1..) if failed.longest >= failed.pages => write!(
            text,
            "; {free} are free, and the longest run of them has {}, but no run has room at a multiple of {}",
            failed.longest,
            1u64 << failed.align_order
        ),
        _ => write!(text, "; {free} are free, the longest run of them has {}", failed.longest),
    };
    text
}

/// Returns the part of a page that works without scripts; `why` explains the size's origin, and
/// `helps` are remedies.
pub fn body(
    (title, why): (&str, &str),
    run: &Run<'_>,
    (answers, helps): (&[Answer], &[String]),
    verdict: &Verdict<'_>,
) -> String {
    let usual = answers.first();
    let peak_pages = usual.map_or(run.report.peak, |answer| answer.peak_pages);
    let diagnosis = run.diagnosis(peak_pages);
    let mut html = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        html,
        "<header><p class=\"file\">{}</p>\n<h1 class=\"{}\">{}: {}</h1>\n<div class=\"says\" id=\"says\">",
        escaped(title),
        if diagnosis == Diagnosis::Enough { "good" } else { "bad" },
        diagnosis.name(),
        match diagnosis {
            // Pages that the recording does not show may need more.
            Diagnosis::Enough if verdict.answer.partial && usual.is_some() => {
                format!(
                    "no request that was recorded fails in {}; it takes at least {}",
                    mib(run.pages),
                    mib(verdict.pages)
                )
            }
            Diagnosis::Enough => format!("no request fails in {}", mib(run.pages)),
            _ => format!(
                "{} of {} {} in {}",
                run.report.failed,
                counted(run.report.allocs, "request"),
                fail(run.report.failed),
                mib(run.pages)
            ),
        }
    );
    for sentence in run.says(peak_pages) {
        let _ = write!(html, "<p>{}</p>", escaped(&sentence));
    }
    if !why.is_empty() {
        let _ = write!(html, "<p class=\"note\">{}</p>", escaped(why));
    }
    html.push_str("</div>");
    if diagnosis == Diagnosis::Enough {
        if let Some(sentence) = helps::sentence(answers, verdict.answer.busy) {
            let _ = write!(html, "\n<p id=\"helps\">{}</p>", escaped(&sentence));
        }
    } else if !helps.is_empty() {
        html.push_str("\n<p><b>What would have helped</b></p><ul>");
        for line in helps {
            let _ = write!(html, "<li>{}</li>", escaped(line));
        }
        html.push_str(
            "</ul><p class=\"note\">A board sets a size, as below, and an alignment as far as the kernel's \
             CONFIG_CMA_ALIGNMENT caps it; a placement other than first-fit, and smaller alignments, are changes to the \
             kernel.</p>",
        );
    }
    if usual.is_some() {
        let _ = write!(html, "\n<p id=\"verdict\">{}</p>", escaped(&capital(&verdict.sentence())));
        for caveat in verdict.caveats() {
            let _ = write!(html, "<p class=\"caveat\">{}</p>", escaped(&caveat));
        }
        let _ = write!(
            html,
            "<p>On the kernel's command line, or in the area's node{}:</p><pre id=\"paste\">{}</pre>",
            if verdict.answer.partial { ", at least" } else { "" },
            escaped(&paste(verdict.pages))
        );
    }
    html.push_str("</header>\n");
    html.push_str(&figure(run));
    html.push_str(&sizes(run.pages, answers));
    html.push_str(&failures(run));
    html.push_str(
        "<noscript><p class=\"note\">With scripts, this page also replays the recording in areas of other sizes, and \
         shows its course.</p></noscript>\n",
    );
    html
}

/// Returns the picture of the worst moment, with a caption.
fn figure(run: &Run<'_>) -> String {
    let (step, words) = match run.timeline.worst() {
        Some(worst) => {
            let window = match worst.windows.first() {
                Some(window) => format!(
                    " Outlined is the window that is cheapest to empty: {} of {} lie in pages {} to {}.",
                    counted(window.cost.into(), "page"),
                    counted(window.buffers.into(), "buffer"),
                    window.page,
                    window.page + worst.pages - 1
                ),
                None => String::new(),
            };
            let asked = if run.timeline.failures.len() > 1 { "The worst moment" } else { "The moment of the failure" };
            (worst.step, format!("{asked}: {}.{window}", told(run.timeline, worst)))
        }
        None => (run.timeline.peak_step, format!("The fullest moment: {} pages are in use.", run.report.peak)),
    };
    let picture = picture::svg(run.timeline, step, run.pages, run.timeline.worst());
    let mut keys = String::new();
    for (place, colour) in picture::COLOURS.iter().enumerate() {
        let least = 1u32 << (2 * place);
        let pages = match place + 1 < picture::COLOURS.len() {
            true => format!("{least}–{} pages", 4 * least - 1),
            false => format!("{least} pages and more"),
        };
        // Writing to a String cannot fail.
        let _ = write!(keys, "<span class=\"key\"><i style=\"background:{colour}\"></i>{pages}</span>");
    }
    format!("<figure id=\"worst\">{picture}<figcaption><p>{keys}</p>{}</figcaption></figure>\n", escaped(&words))
}

/// Returns a table of placements and alignments, with the smallest size of each.
fn sizes(pages: u32, answers: &[Answer]) -> String {
    let mut placements: Vec<&str> = Vec::new();
    for answer in answers {
        if !placements.contains(&answer.rule.placement.as_str()) {
            placements.push(&answer.rule.placement);
        }
    }
    let mut html = String::from(
        "<section id=\"sizes\"><h2>The smallest area in which no request fails</h2><table><thead><tr>\
         <th scope=\"col\">placement</th>",
    );
    for alignment in Alignment::ALL {
        let _ = write!(html, "<th scope=\"col\">{}</th>", alignment.words());
    }
    html.push_str("</tr></thead><tbody>");
    for placement in placements {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escaped(placement));
        for alignment in Alignment::ALL {
            let rule = Rule { placement: placement.into(), alignment };
            let _ = match answers.iter().find(|answer| answer.rule == rule) {
                Some(answer) => {
                    let class = if answer.smallest_pages <= pages { " class=\"good\"" } else { "" };
                    write!(html, "<td{class}>{}</td>", mib(answer.smallest_pages))
                }
                None => write!(html, "<td>–</td>"),
            };
        }
        html.push_str("</tr>");
    }
    let step = answers.first().map_or(PAGEBLOCK_PAGES, |answer| answer.step_pages);
    let _ = writeln!(
        html,
        "</tbody></table><p class=\"note\">Sizes are multiples of {}. A size of at most this area's is marked ✓.</p>\
         </section>",
        mib(step)
    );
    html
}

/// Returns the table of the first failures.
fn failures(run: &Run<'_>) -> String {
    let failures = &run.timeline.failures;
    if failures.is_empty() {
        return String::new();
    }
    let count = failures.len() as u64;
    let mut html = format!(
        "<section id=\"failures\"><h2>{} that {}</h2><table><thead><tr>",
        counted(count, "request"),
        fail(count)
    );
    let tasks = |failed: &Failed| run.timeline.tasks.get(failed.task as usize).map_or("", String::as_str);
    type Cell<'c> = &'c dyn Fn(&Failed) -> String;
    let columns: [(&str, Cell<'_>); 8] = [
        ("line", &|failed| failed.line.to_string()),
        ("time", &|failed| failed.time_ns.map_or(String::new(), seconds)),
        ("task", &|failed| escaped(tasks(failed))),
        ("pages", &|failed| failed.pages.to_string()),
        ("multiple of", &|failed| (1u64 << failed.align_order).to_string()),
        ("cause", &|failed| failed.cause.into()),
        ("free", &|failed| failed.free.to_string()),
        ("longest run", &|failed| failed.longest.to_string()),
    ];
    // A plain recording has neither times nor tasks.
    let columns: Vec<_> =
        columns.iter().filter(|(_, cell)| failures.iter().any(|failed| !cell(failed).is_empty())).collect();
    for (word, _) in &columns {
        let _ = write!(html, "<th scope=\"col\">{word}</th>");
    }
    html.push_str("</tr></thead><tbody>");
    for failed in failures.iter().take(SHOWN_FAILURES) {
        html.push_str("<tr>");
        for (_, cell) in &columns {
            let _ = write!(html, "<td>{}</td>", cell(failed));
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table>");
    if let Some(more @ 1..) = failures.len().checked_sub(SHOWN_FAILURES) {
        let _ = write!(html, "<p class=\"note\">… and {more} more.</p>");
    }
    html.push_str("</section>\n");
    html
}

/// Escapes text for HTML's text and attributes.
pub fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            control if control.is_control() && control != '\n' => html.push('\u{fffd}'),
            plain => html.push(plain),
        }
    }
    html
}

fn seconds(time_ns: u64) -> String {
    format!("{}.{:06} s", time_ns / 1_000_000_000, time_ns % 1_000_000_000 / 1000)
}

/// Returns the verb after a count of requests.
const fn fail(count: u64) -> &'static str {
    if count == 1 { "fails" } else { "fail" }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use kernel::lab::replay::{Part, WhenServed};

    use super::*;
    use crate::size::{FIRST_FIT, Recording, one_by_one};

    /// Returns the diagnosis of a recording in 1024 pages, and its sentences.
    fn diagnosis(text: &str) -> (Diagnosis, String) {
        let recording = Recording::open(text.as_bytes(), None, || 0).expect("a recording");
        let rule = Rule { placement: FIRST_FIT.into(), alignment: Alignment::Asis };
        let course = |pages| recording.course(&rule, (WhenServed::Release, Part::ALL), pages).expect("it is replayed");
        let peak_pages = course(1 << 16).0.peak;
        let (report, timeline) = course(1024);
        let run = Run { rule: &rule, pages: 1024, report: &report, timeline: &timeline };
        (run.diagnosis(peak_pages), run.says(peak_pages).join(" "))
    }

    #[test]
    fn too_small_is_told_from_fragmented() {
        let (enough, says) = diagnosis("a 1 1024 0\n");
        assert!(enough == Diagnosis::Enough && says.contains("none of 1 request fails"), "{says}");
        let (full, says) = diagnosis("a 1 1000 0\na 2 25 0\n");
        assert!(full == Diagnosis::TooSmall && !says.contains("fragmented"), "{says}");
        let hole = "a 1 500 0\na 2 1 0\na 3 500 0\nr 1\nr 3\n";
        let (fragmented, says) = diagnosis(&format!("{hole}a 4 600 0\n"));
        assert!(
            fragmented == Diagnosis::Fragmented
                && says.contains("1001 pages (4004K) would be held at once, and the area has room for them in total"),
            "{says}"
        );
        let (both, says) = diagnosis(&format!("{hole}a 4 600 0\na 5 500 0\na 6 500 0\n"));
        assert!(both == Diagnosis::TooSmall && says.contains("fragmented, too: for 1 of the"), "{says}");
    }

    #[test]
    fn a_partial_answer_is_at_least_in_the_heading_and_beside_the_lines() {
        let text = include_bytes!("../../tests/data/cases/cma-debug.log");
        let recording = Recording::open(text, None, || 0).expect("a recording");
        let rule = Rule { placement: FIRST_FIT.into(), alignment: Alignment::Asis };
        let answers = [recording.size(&rule, None, PAGEBLOCK_PAGES, &one_by_one).expect("an answer")];
        let (report, timeline) = recording.course(&rule, (WhenServed::Release, Part::ALL), 56 << 8).expect("a replay");
        let run = Run { rule: &rule, pages: 56 << 8, report: &report, timeline: &timeline };
        let html = body(("x", ""), &run, (&answers, &[]), &Verdict::of(&answers[0], 0));
        for words in [
            "Large enough: no request that was recorded fails in 56M; it takes at least 56M</h1>",
            "What else helps: fewer pinned pages: 2 ranges were busy",
            "in the area's node, at least:</p><pre id=\"paste\">cma=56M\n",
        ] {
            assert!(html.contains(words), "{words}: {html}");
        }
    }

    #[test]
    fn what_a_recording_says_is_text() {
        assert_eq!(
            escaped("<img src=x onerror='a&b'>\"\x1b"),
            "&lt;img src=x onerror=&#39;a&amp;b&#39;&gt;&quot;\u{fffd}"
        );
    }
}
