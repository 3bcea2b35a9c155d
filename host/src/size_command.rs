// SPDX-License-Identifier: MIT OR Apache-2.0

//! `debris size`: the verdict first, then the table, then the line to paste.

use std::fmt::Write;

use host::jitter::{Jitter, NoJitter};
use host::size::{Alignment, Answer, FIRST_FIT, PAGEBLOCK_PAGES, Recording, Rule, SizeError, Try, one_by_one};
use kernel::lab::record::Record;
use kernel::lab::replay::WhenServed;
use rayon::prelude::*;

use crate::cli::{FailedWord, Size};
use crate::{AREA, Failure, STATUS_ASSERT, now_ns, read, say};

pub(crate) fn run(arguments: &Size) -> Result<(), Failure> {
    let text = read(&arguments.trace)?;
    let bad = |error: SizeError| Failure::bad(format!("{}: {error}", arguments.trace.display()));
    let recording = Recording::open(&text, arguments.area.as_deref(), now_ns).map_err(bad)?;
    // The verdict's own rule comes first, whatever else is asked for.
    let mut rules = vec![Rule { placement: FIRST_FIT.into(), alignment: Alignment::Asis }];
    for placement in &arguments.placement {
        for &alignment in &arguments.align {
            let rule = Rule { placement: placement.clone(), alignment: alignment.into() };
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    }
    let answers: Vec<Answer> = rules
        .par_iter()
        .map(|rule| recording.size(rule, served(arguments), arguments.step, &at_once))
        .collect::<Result<_, SizeError>>()
        .map_err(bad)?;
    let jitter = arguments.jitter.map(|orders| jittered(&text, arguments, orders)).transpose()?;
    let verdict = Verdict { jitter, ..Verdict::of(&answers[0], arguments.headroom) };
    if arguments.json {
        let area = arguments.area.as_deref().unwrap_or(AREA);
        let records: String = answers.iter().fold(String::new(), |text, answer| {
            text + &format!("{}\n", verdict.jitter_of(answer, answer.record(area)))
        });
        say(format_args!("{records}"))?;
    } else {
        say(format_args!("{}", verdict.text(&arguments.trace.display().to_string(), &answers)))?;
    }
    verdict.held_against(arguments)
}

/// The smallest sizes of other orders of the events, sorted.
fn jittered(text: &[u8], arguments: &Size, orders: u32) -> Result<Vec<u32>, Failure> {
    let bad = |line: String| Failure::bad(format!("--jitter: {}: {line}", arguments.trace.display()));
    let jitter = Jitter::of(text).map_err(|error| match error {
        NoJitter::Trace(error) => bad(error.to_string()),
        NoJitter::OneTask => bad("the events are of one task, or of none: there is no other order".into()),
    })?;
    let size = |number: u32| {
        let text = jitter.seeded(arguments.seed.wrapping_add(number));
        let recording = Recording::open(&text, arguments.area.as_deref(), now_ns)?;
        let rule = Rule { placement: FIRST_FIT.into(), alignment: Alignment::Asis };
        recording.size(&rule, served(arguments), arguments.step, &one_by_one).map(|answer| answer.smallest_pages)
    };
    let sizes: Result<Vec<u32>, SizeError> = (0..orders.max(1)).into_par_iter().map(size).collect();
    let mut sizes = sizes.map_err(|error| bad(error.to_string()))?;
    sizes.sort_unstable();
    Ok(sizes)
}

fn served(arguments: &Size) -> Option<WhenServed> {
    arguments.failed.map(|word| match word {
        FailedWord::Release => WhenServed::Release,
        FailedWord::Keep => WhenServed::Keep,
    })
}

/// Sizes on all processors.
fn at_once(sizes: &[u32], run: &Try<'_>) -> Vec<Result<u64, SizeError>> {
    sizes.par_iter().map(|&pages| run(pages)).collect()
}

/// What is said of an area's size.
struct Verdict<'a> {
    answer: &'a Answer,
    headroom_percent: u32,
    /// The smallest size with its headroom, in whole steps.
    pages: u32,
    /// Smallest sizes for other orders of the events, sorted.
    jitter: Option<Vec<u32>>,
}

impl<'a> Verdict<'a> {
    fn of(answer: &'a Answer, headroom_percent: u32) -> Self {
        let with_headroom = u64::from(answer.smallest_pages) * u64::from(100 + headroom_percent);
        let pages = with_headroom.div_ceil(100).next_multiple_of(answer.step_pages.into());
        Self { answer, headroom_percent, pages: u32::try_from(pages).unwrap_or(u32::MAX), jitter: None }
    }

    /// Least, median and most of the jitter.
    fn spread(&self) -> Option<[u32; 3]> {
        let sizes = self.jitter.as_deref()?;
        Some([*sizes.first()?, sizes[sizes.len() / 2], *sizes.last()?])
    }

    /// Adds the jitter to the record of the verdict's own answer.
    fn jitter_of(&self, answer: &Answer, record: Record) -> Record {
        match self.spread().filter(|_| answer == self.answer) {
            Some([min, median, max]) => {
                record.number("jitter_min", min).number("jitter_median", median).number("jitter_max", max)
            }
            None => record,
        }
    }

    fn text(&self, trace: &str, answers: &[Answer]) -> String {
        let Self { answer, headroom_percent, pages, .. } = self;
        let mut text = String::new();
        let least = if answer.partial { "at least " } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{trace}: {least}{}", size(*pages));
        if *headroom_percent > 0 {
            let _ = write!(text, ", of which {headroom_percent}% is headroom over {}", size(answer.smallest_pages));
        }
        let _ = write!(text, ": no request fails under {}", answer.rule.placement);
        let _ = match answer.largest_failing_pages {
            Some(failing) => writeln!(text, ", and in {} one does.", size(failing)),
            None => writeln!(text, ", and nothing smaller was tried."),
        };
        let _ = writeln!(
            text,
            "{} requests, at most {} pages ({}) held at once.",
            answer.requests,
            answer.peak_pages,
            mib(answer.peak_pages)
        );
        if answer.failed_recorded > 0 {
            let _ = writeln!(
                text,
                "{} requests failed when this was recorded, and how long their buffers would have lived is not known; \
                 this is the answer where they {}.",
                answer.failed_recorded,
                match answer.served {
                    WhenServed::Release => "go back at once",
                    WhenServed::Keep => "live as long as the median of their task's",
                }
            );
        }
        if answer.partial {
            let _ = writeln!(
                text,
                "The recording began late or lost events: what was held then is not counted. Record from boot on for more."
            );
        }
        let _ = writeln!(
            text,
            "\n{:<14} {:<6} {:>9} {:>9} {:>9}",
            "placement", "align", "smallest", "fails in", "tried to"
        );
        for answer in answers {
            let _ = writeln!(
                text,
                "{:<14} {:<6} {:>9} {:>9} {:>9}",
                answer.rule.placement,
                answer.rule.alignment.name(),
                mib(answer.smallest_pages),
                answer.largest_failing_pages.map_or("-".into(), mib),
                mib(answer.tried_to_pages)
            );
        }
        // An area is whole pageblocks, whatever the step.
        let area = u64::from(*pages).next_multiple_of(PAGEBLOCK_PAGES.into());
        let _ = writeln!(text, "\ncma={}M\nsize = <{:#x}>;", area / 256, area * 4096);
        text
    }

    fn held_against(&self, arguments: &Size) -> Result<(), Failure> {
        let Some(most) = arguments.assert else { return Ok(()) };
        if self.answer.partial && !arguments.allow_partial {
            return Err(Failure::bad(
                "--assert: the recording began late or lost events, so that its size is at least this; --allow-partial takes it",
            ));
        }
        if self.pages > most {
            let line = format!("--assert: {} is more than {}", mib(self.pages), mib(most));
            return Err(Failure { line, status: STATUS_ASSERT });
        }
        Ok(())
    }
}

fn size(pages: u32) -> String {
    format!("{} ({pages} pages)", mib(pages))
}

/// Pages as a size that command lines take where it is whole.
fn mib(pages: u32) -> String {
    match pages % 256 {
        0 => format!("{}M", pages / 256),
        _ => format!("{}K", u64::from(pages) * 4),
    }
}
