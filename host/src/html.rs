// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--html`: one file with the verdict, the recording, and the allocator as WebAssembly.
//!
//! The template is beside the program: `make host` makes it if node is installed.

use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use host::board::MAX_AREA_PAGES;
use host::check::census;
use host::helps::helps;
use host::page::{Run, body, escaped};
use host::size::{Alignment, Answer, FIRST_FIT, PAGEBLOCK_PAGES, Recording, Rule, SizeError};
use host::verdict::Verdict;
use kernel::lab::replay::{Part, RecordedSize, WhenServed};
use serde_json::{Value, json};

use crate::{Failure, files};

/// The template, in the program's directory.
const TEMPLATE: &str = "debris-page.html";
/// Places in the template that are replaced.
const PLACES: [&str; 3] = ["<!--debris:title-->", "<!--debris:body-->", "<!--debris:data-->"];

/// The template's element that contains the allocator.
const ALLOCATOR: &str = "<script type=\"application/octet-stream\" id=\"wasm\">";
const SCRIPT_END: &str = "</script>";

/// The contents of a page about a recording.
pub(crate) struct Page<'a> {
    /// The recording's file.
    pub(crate) trace: &'a Path,
    /// The file's content.
    pub(crate) text: &'a [u8],
    /// The recorded area, if there are several.
    pub(crate) from: Option<&'a str>,
    /// The area's size; `None` for that of the recorded one.
    pub(crate) pages: Option<u32>,
    /// The placement and the alignment.
    pub(crate) rule: Rule,
    /// Treatment of requests that failed on the board; `None` for that of the first answer.
    pub(crate) served: Option<WhenServed>,
    /// Headroom of the verdict.
    pub(crate) headroom_percent: u32,
    /// The answers, the one for Linux's rule first.
    pub(crate) answers: &'a [Answer],
}

impl Page<'_> {
    /// Writes the page to `file`.
    pub(crate) fn write(&self, recording: &Recording<'_>, file: &Path) -> Result<(), Failure> {
        let bad = |line: String| Failure::bad(format!("{}: {line}", self.trace.display()));
        let usual = self.answers.first().ok_or_else(|| bad("there is no answer".into()))?;
        let served = self.served.unwrap_or(usual.served);
        let (pages, why) = match self.pages {
            Some(pages) => (pages, ""),
            None => shown_pages(recording, usual).map_err(|error| bad(error.to_string()))?,
        };
        let (report, timeline) =
            recording.course(&self.rule, (served, Part::ALL), pages).map_err(|error| bad(error.to_string()))?;
        let run = Run { rule: &self.rule, pages, report: &report, timeline: &timeline };
        let title = self.trace.file_name().map_or("recording".into(), |name| name.to_string_lossy().into_owned());
        let census = census(self.text).map_err(|error| bad(error.to_string()))?;
        let recorded = recording.recorded_size().map_err(|error| bad(error.to_string()))?;
        let verdict = Verdict { recorded, ..Verdict::of(usual, self.headroom_percent) };
        let sizes: Vec<_> = self
            .answers
            .iter()
            .map(|answer| {
                json!({
                    "placement": answer.rule.placement,
                    "align": answer.rule.alignment.name(),
                    "smallest_pages": answer.smallest_pages,
                })
            })
            .collect();
        let data = json!({
            "kind": "recording",
            "name": title,
            "from": self.from,
            "pages": pages,
            "placement": self.rule.placement,
            "align": self.rule.alignment.name(),
            "failed": if served == WhenServed::Keep { "keep" } else { "release" },
            "failed_recorded": usual.failed_recorded,
            "peak_pages": usual.peak_pages,
            "smallest_pages": usual.smallest_pages,
            "sizes": sizes,
        });
        let mut named: Vec<&str> = census.areas.keys().map(String::as_str).filter(|name| !name.is_empty()).collect();
        if let Some(from) = self.from {
            named = vec![from];
        }
        let heading = match named[..] {
            [] => title.clone(),
            _ => format!("{title}, of the area {}", named.join(", ")),
        };
        let helps = helps(Some(pages), self.answers, usual.busy);
        let mut body = body((&heading, why), &run, (self.answers, &helps), &verdict);
        body += &format!("<p class=\"note\" id=\"made\">Made by {}</p>\n", escaped(&made_by(std::env::args())));
        let parts = Parts { title: &title, body: &body, data: &data, recording: Some(self.text) };
        parts.write(file)
    }
}

/// The parts that fill the template.
pub(crate) struct Parts<'a> {
    /// The title, as text.
    pub(crate) title: &'a str,
    /// The part that works without scripts, as HTML.
    pub(crate) body: &'a str,
    /// The script's input.
    pub(crate) data: &'a Value,
    /// The recording that the script replays; without one, the page has no allocator.
    pub(crate) recording: Option<&'a [u8]>,
}

impl Parts<'_> {
    /// Writes the page to `file`.
    pub(crate) fn write(&self, file: &Path) -> Result<(), Failure> {
        let template = template()?;
        // A `<` in a script's text could end the script.
        let mut data = format!(
            "<script type=\"application/json\" id=\"data\">{}</script>",
            self.data.to_string().replace('<', "\\u003c")
        );
        if let Some(recording) = self.recording {
            data += &format!(
                "\n<script type=\"application/octet-stream\" id=\"recording\">{}</script>",
                packed(recording)?
            );
        }
        let title = escaped(self.title);
        let filled = [&*title, self.body, &*data];
        let mut rest = template.as_str();
        let mut html = String::with_capacity(template.len() + filled.iter().map(|text| text.len()).sum::<usize>());
        for (place, text) in PLACES.iter().zip(filled) {
            let (before, behind) = rest.split_once(place).ok_or_else(|| no_template(place))?;
            html.push_str(before);
            html.push_str(text);
            rest = behind;
        }
        if self.recording.is_none() {
            let (before, behind) = rest.split_once(ALLOCATOR).ok_or_else(|| no_template(ALLOCATOR))?;
            html.push_str(before);
            rest = behind.split_once(SCRIPT_END).ok_or_else(|| no_template(SCRIPT_END))?.1;
        }
        html.push_str(rest);
        files::write(file, &html)
    }
}

fn no_template(place: &str) -> Failure {
    Failure::bad(format!("{TEMPLATE} is not a template of this version: it has no {place}; `make host` makes one"))
}

/// Returns the size to show, and its origin: that of the recorded area; if that is unknown, the
/// largest in which a request fails.
fn shown_pages(recording: &Recording<'_>, usual: &Answer) -> Result<(u32, &'static str), SizeError> {
    let (pages, why) = match (recording.recorded_size()?, usual.largest_failing_pages) {
        (RecordedSize::Pages(pages), _) => (pages, "The area had this size when it was recorded."),
        (RecordedSize::AtLeast(pages), _) => {
            (pages, "The recording does not say how large its area was; this size holds every recorded page.")
        }
        (RecordedSize::Unknown, Some(failing)) => (
            failing.into(),
            "The recording does not say how large its area was; this is the largest size tried in which a request fails.",
        ),
        (RecordedSize::Unknown, None) => (
            usual.smallest_pages.into(),
            "The recording does not say how large its area was; this is the smallest size in which no request fails.",
        ),
    };
    let pages = u32::try_from(pages).unwrap_or(MAX_AREA_PAGES).clamp(1, MAX_AREA_PAGES);
    Ok((pages.next_multiple_of(PAGEBLOCK_PAGES), why))
}

/// Returns the version, and the command without directories and the page's name.
fn made_by(arguments: impl Iterator<Item = String>) -> String {
    let mut text = format!("debris {}: debris", env!("CARGO_PKG_VERSION"));
    let mut arguments = arguments.skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--html" {
            arguments.next();
        } else if !argument.starts_with("--html=") {
            text.push(' ');
            text.push_str(argument.rsplit_once('/').map_or(&*argument, |(_, name)| name));
        }
    }
    text
}

/// Returns Linux's rule, with requests aligned as recorded.
pub(crate) fn usual_rule() -> Rule {
    Rule { placement: FIRST_FIT.into(), alignment: Alignment::Asis }
}

/// Compresses with gzip and encodes in base64.
fn packed(text: &[u8]) -> Result<String, Failure> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text)?;
    Ok(STANDARD.encode(encoder.finish()?))
}

fn template() -> Result<String, Failure> {
    let program = std::env::current_exe().and_then(|program| program.canonicalize());
    let file = program.map_or(PathBuf::from(TEMPLATE), |program| program.with_file_name(TEMPLATE));
    std::fs::read_to_string(&file).map_err(|error| {
        Failure::bad(format!(
            "--html: {}: {error}; `make host` makes it where node and npm are installed",
            file.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_told_without_folders() {
        let words = ["/x/debris", "replay", "/home/me/a.trace", "--area", "24M", "--html", "b.html"];
        let told = made_by(words.into_iter().map(String::from));
        assert_eq!(told, concat!("debris ", env!("CARGO_PKG_VERSION"), ": debris replay a.trace --area 24M"));
    }
}
