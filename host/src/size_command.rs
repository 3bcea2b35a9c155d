// SPDX-License-Identifier: MIT OR Apache-2.0

//! `debris size`: the verdict first, then the table, then the line to paste.

use host::jitter::{Jitter, NoJitter};
use host::size::{
    Alignment, Answer, FIRST_FIT, PAGEBLOCK_PAGES, Recording, Rule, SizeError, Try, USUAL_PLACEMENTS, mib, one_by_one,
};
use host::verdict::Verdict;
use indicatif::ProgressBar;
use kernel::lab::replay::{ReplayError, WhenServed};
use rayon::prelude::*;

use crate::cli::{self, FailedWord, Size};
use crate::html::{Page, usual_rule};
use crate::{AREA, Failure, STATUS_ASSERT, chosen_by, now_ns, progress, recording, say};

pub(crate) fn run(arguments: &Size) -> Result<(), Failure> {
    let (text, _) = recording(&arguments.trace, arguments.anonymous)?;
    let bad =
        |error: SizeError| Failure::bad(format!("{}: {}", arguments.trace.display(), in_words(&error, arguments)));
    let recording = Recording::open(&text, arguments.area.as_deref(), now_ns).map_err(bad)?;
    // The verdict's own rule comes first, in addition to the requested ones.
    let mut rules = vec![Rule { placement: FIRST_FIT.into(), alignment: Alignment::Asis }];
    for placement in &arguments.placement {
        for &alignment in &arguments.align {
            let rule = Rule { placement: placement.clone(), alignment: alignment.into() };
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    }
    let shown = progress(rules.len() as u64 + u64::from(arguments.jitter.unwrap_or(0)), "sizes");
    let answers: Result<Vec<Answer>, SizeError> = rules
        .par_iter()
        .map(|rule| recording.size(rule, served(arguments), arguments.step, &at_once))
        .inspect(|_| shown.inc(1))
        .collect();
    let answers = answers.map_err(bad)?;
    let jitter = arguments.jitter.map(|orders| jittered(&text, arguments, orders, &shown)).transpose()?;
    shown.finish_and_clear();
    let recorded = recording.recorded_size().map_err(bad)?;
    let verdict = Verdict { jitter, recorded, ..Verdict::of(&answers[0], arguments.headroom) };
    if arguments.json {
        let area = arguments.area.as_deref().unwrap_or(AREA);
        let records: String = answers
            .iter()
            .fold(String::new(), |text, answer| text + &format!("{}\n", verdict.added_to(answer, answer.record(area))));
        say(format_args!("{records}"))?;
    } else {
        say(format_args!("{}", verdict.text(&arguments.trace.display().to_string(), &answers)))?;
    }
    if let Some(file) = &arguments.html {
        let page = Page {
            trace: &arguments.trace,
            text: &text,
            from: arguments.area.as_deref(),
            pages: None,
            rule: usual_rule(),
            served: None,
            headroom_percent: arguments.headroom,
            answers: &answers,
        };
        page.write(&recording, file)?;
    }
    held_against(&verdict, arguments)
}

/// Describes an error in terms of the options.
fn in_words(error: &SizeError, arguments: &Size) -> String {
    match (error, arguments.area.as_deref()) {
        (SizeError::Replay(error @ (ReplayError::NoSuchArea(_) | ReplayError::NoAreas)), Some(area))
            if cli::pages(area).is_ok() =>
        {
            format!(
                "--area is the name of a recorded area, no size: {}. --assert '<={area}' holds the answer against a \
             size, and `debris replay --area {area}` replays in an area of that size",
                chosen_by(error, "--area NAME")
            )
        }
        (SizeError::Replay(error), _) => chosen_by(error, "--area NAME"),
        (error, _) => error.to_string(),
    }
}

/// Returns the answers that a page compares a replay with: those of the default rules of [`run`].
pub(crate) fn usual_answers(recording: &Recording<'_>) -> Result<Vec<Answer>, SizeError> {
    let rules: Vec<Rule> = USUAL_PLACEMENTS
        .iter()
        .flat_map(|&placement| Alignment::ALL.map(|alignment| Rule { placement: placement.into(), alignment }))
        .collect();
    rules.par_iter().map(|rule| recording.size(rule, None, PAGEBLOCK_PAGES, &at_once)).collect()
}

/// Returns the smallest sizes of other orders of the events, sorted.
fn jittered(text: &[u8], arguments: &Size, orders: u32, shown: &ProgressBar) -> Result<Vec<u32>, Failure> {
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
    let sizes: Result<Vec<u32>, SizeError> =
        (0..orders.max(1)).into_par_iter().map(size).inspect(|_| shown.inc(1)).collect();
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

/// Tries sizes on all processors.
fn at_once(sizes: &[u32], run: &Try<'_>) -> Vec<Result<u64, SizeError>> {
    sizes.par_iter().map(|&pages| run(pages)).collect()
}

/// Errs if `--assert` does not hold.
fn held_against(verdict: &Verdict<'_>, arguments: &Size) -> Result<(), Failure> {
    let Some(most) = arguments.assert else { return Ok(()) };
    if verdict.answer.partial && !arguments.allow_partial {
        return Err(Failure::bad(
            "--assert: the recording began late, lost events or passed over busy ranges, so that its size is at least this; \
             --allow-partial takes it",
        ));
    }
    if verdict.pages > most {
        let line = format!("--assert: {} is more than {}", mib(verdict.pages), mib(most));
        return Err(Failure { line, status: STATUS_ASSERT });
    }
    Ok(())
}
