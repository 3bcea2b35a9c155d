// SPDX-License-Identifier: MIT OR Apache-2.0

//! The verdict on an area's size, with the table and the lines to paste.

use std::fmt::Write;

use kernel::lab::metrics::Counted;
use kernel::lab::record::Record;
use kernel::lab::replay::{RecordedSize, WhenServed};

use crate::helps;
use crate::size::{Answer, PAGEBLOCK_PAGES, mib, size};

/// The verdict on an area's size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict<'a> {
    /// The answer under the verdict's rule.
    pub answer: &'a Answer,
    /// Headroom that is added.
    pub headroom_percent: u32,
    /// The smallest size plus headroom, in whole steps.
    pub pages: u32,
    /// Smallest sizes for other orders of the events, sorted.
    pub jitter: Option<Vec<u32>>,
    /// The recorded size of the area, as far as it is known.
    pub recorded: RecordedSize,
}

impl<'a> Verdict<'a> {
    /// Returns the verdict for an answer with a headroom.
    pub fn of(answer: &'a Answer, headroom_percent: u32) -> Self {
        let with_headroom = u64::from(Self::needed(answer)) * u64::from(100 + headroom_percent);
        let pages = with_headroom.div_ceil(100).next_multiple_of(answer.step_pages.into());
        Self {
            answer,
            headroom_percent,
            pages: u32::try_from(pages).unwrap_or(u32::MAX),
            jitter: None,
            recorded: RecordedSize::Unknown,
        }
    }

    /// Returns the pages that an answer's area needs: no fewer than by what the board did.
    fn needed(answer: &Answer) -> u32 {
        match answer.least_pages {
            least if least > answer.smallest_pages => least.next_multiple_of(answer.step_pages),
            _ => answer.smallest_pages,
        }
    }

    /// Returns minimum, median and maximum of the jitter.
    fn spread(&self) -> Option<[u32; 3]> {
        let sizes = self.jitter.as_deref()?;
        Some([*sizes.first()?, sizes[sizes.len() / 2], *sizes.last()?])
    }

    /// Adds the headroom and the jitter to `record`, if `answer` is the verdict's own.
    pub fn added_to(&self, answer: &Answer, record: Record) -> Record {
        if answer != self.answer {
            return record;
        }
        let record = match self.headroom_percent {
            0 => record,
            percent => record.number("headroom_percent", percent),
        };
        let record = match self.pages {
            pages if pages == answer.smallest_pages => record,
            pages => record.number("verdict_pages", pages),
        };
        match self.spread() {
            Some([min, median, max]) => {
                record.number("jitter_min", min).number("jitter_median", median).number("jitter_max", max)
            }
            None => record,
        }
    }

    /// Returns a sentence with the size, and the sizes that were tried.
    pub fn sentence(&self) -> String {
        let Self { answer, headroom_percent, pages, .. } = self;
        let least = if answer.partial { "at least " } else { "" };
        let mut text = format!("{least}{}", size(*pages));
        // Writing to a String cannot fail.
        if *headroom_percent > 0 {
            let _ = write!(text, ", of which {headroom_percent}% is headroom over {}", size(Self::needed(answer)));
        }
        if answer.least_pages > answer.smallest_pages {
            let _ = write!(text, ", by what the board did. Replayed in {}", size(answer.smallest_pages));
            let _ = write!(text, ", no request fails under {}", answer.rule.placement);
        } else {
            let _ = write!(text, ": no request fails under {}", answer.rule.placement);
        }
        let _ = match answer.largest_failing_pages {
            Some(failing) => write!(text, ", and in {} one does.", size(failing)),
            None => write!(text, ", and nothing smaller was tried."),
        };
        text
    }

    /// Lists what the recording does not contain, so that the size may differ.
    pub fn caveats(&self) -> Vec<String> {
        let Self { answer, .. } = self;
        let mut caveats = Vec::new();
        if answer.failed_recorded > 0 {
            caveats.push(format!(
                "{} failed when this was recorded, and how long their buffers would have lived is not known. {}",
                Counted(answer.failed_recorded, "request"),
                of_failed(answer)
            ));
        }
        if let RecordedSize::AtLeast(reached) = self.recorded
            && answer.partial
            && reached > u64::from(answer.smallest_pages)
        {
            let reached = u32::try_from(reached).unwrap_or(u32::MAX);
            caveats.push(format!(
                "On the board they reached {}, of what is known of its area: there pages were in use that the recording \
                 does not show, in front of the first or in ranges that were busy.",
                size(reached)
            ));
        }
        if let RecordedSize::Pages(had) = self.recorded
            && u64::from(answer.least_pages) > had
        {
            caveats.push(format!(
                "On the board, requests failed in {}, and no range was busy: there pages were in use that the recording \
                 does not show.",
                size(u32::try_from(had).unwrap_or(u32::MAX))
            ));
        }
        if answer.unmatched > 0 {
            caveats.push(format!(
                "The recording began late: {} of buffers that it does not know; what they held is not counted. Record \
                 from boot on for more.",
                Counted(answer.unmatched, "release")
            ));
        }
        if answer.lost > 0 {
            caveats.push(format!(
                "{} lost: what they held is not counted. Record with a larger buffer (cma-record -b KIB, or \
                 buffer_size_kb).",
                Counted(answer.lost, "event")
            ));
        }
        if answer.held_before > 0 {
            caveats.push(format!(
                "{} held when the recording began, by what it does not show, and not counted.",
                Counted(answer.held_before, "page")
            ));
        }
        if answer.busy > 0 {
            caveats.push(format!(
                "{} busy when this was recorded, and passed over: pages that are pinned take room that is not counted.",
                Counted(answer.busy, "range")
            ));
        }
        caveats
    }

    /// Returns the text for a terminal.
    pub fn text(&self, trace: &str, answers: &[Answer]) -> String {
        let Self { answer, pages, .. } = self;
        // Writing to a String cannot fail.
        let mut text = format!("{trace}: {}\n", self.sentence());
        let _ = writeln!(
            text,
            "{} requests, at most {} pages ({}) held at once.",
            answer.requests,
            answer.peak_pages,
            mib(answer.peak_pages)
        );
        for caveat in self.caveats() {
            let _ = writeln!(text, "{caveat}");
        }
        if let Some([min, median, max]) = self.spread() {
            let orders = self.jitter.as_ref().map_or(0, Vec::len) as u64;
            let _ = writeln!(
                text,
                "In {} of the tasks: {} at least, {} in the median, {} at most.",
                Counted(orders, "other order"),
                size(min),
                size(median),
                size(max)
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
        if let Some(sentence) = helps::sentence(answers, self.answer.busy) {
            let _ = writeln!(text, "\n{sentence}");
        }
        let _ = write!(text, "\n{}{}", if answer.partial { "At least:\n" } else { "" }, paste(*pages));
        text
    }
}

/// Describes both treatments of requests that failed when this was recorded.
fn of_failed(answer: &Answer) -> String {
    let here = mib(answer.smallest_pages);
    let (released, kept) = match answer.served {
        WhenServed::Release => (Some(here), answer.otherwise_pages.map(mib)),
        WhenServed::Keep => (answer.otherwise_pages.map(mib), Some(here)),
    };
    match (released, kept) {
        (Some(released), Some(kept)) => format!(
            "Where they go back at once: {released}; where they live as long as the median of their task's: {kept}. The larger is \
             taken; --failed release or keep chooses, as failed= of `debris replay`, whose default is release."
        ),
        (Some(_), None) => "This is the answer where they go back at once.".into(),
        _ => "This is the answer where they live as long as the median of their task's.".into(),
    }
}

/// Returns the kernel parameter for an area of `pages` pages, and the node's property for one and
/// two cells.
pub fn paste(pages: u32) -> String {
    // An area is whole pageblocks, for any step.
    let area = u64::from(pages).next_multiple_of(PAGEBLOCK_PAGES.into());
    let (mib, bytes) = (area / 256, area * 4096);
    let one = match u32::try_from(bytes) {
        Ok(bytes) => format!("size = <{bytes:#x}>; // where #size-cells is 1\n"),
        Err(_) => String::new(),
    };
    format!("cma={mib}M\n{one}size = <{:#x} {:#x}>; // where #size-cells is 2\n", bytes >> 32, bytes as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_to_paste_have_one_cell_or_two() {
        assert_eq!(
            paste(13000),
            "cma=52M\nsize = <0x3400000>; // where #size-cells is 1\nsize = <0x0 0x3400000>; // where #size-cells is 2\n"
        );
        assert_eq!(paste((1 << 20) + 1024), "cma=4100M\nsize = <0x1 0x400000>; // where #size-cells is 2\n");
    }
}
