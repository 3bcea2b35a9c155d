// SPDX-License-Identifier: MIT OR Apache-2.0

//! Remedies where requests fail or an area is large, from the sizes that each rule needs, for a
//! page and for a terminal.

use kernel::cma::placements;
use kernel::lab::metrics::Counted;

use crate::size::{Alignment, Answer, size};

/// Returns the remedies: rules and sizes in which nothing fails. The first answer is that of the
/// rule in use, and `here` the area's size; with `None`, only sizes below that answer are listed.
/// `busy` ranges were pinned when this was recorded.
pub fn helps(here: Option<u32>, answers: &[Answer], busy: u64) -> Vec<String> {
    let Some((usual, others)) = answers.split_first() else { return Vec::new() };
    let mut helps = Vec::new();
    if here.is_some_and(|pages| usual.smallest_pages > pages) {
        helps.push(format!("an area of {}", size(usual.smallest_pages)));
    }
    let fits = |answer: &&Answer| here.is_some_and(|pages| answer.smallest_pages <= pages);
    let fitting: Vec<String> = others.iter().filter(fits).map(named).collect();
    if !fitting.is_empty() {
        helps.push(format!("in this size: {}", fitting.join(", ")));
    }
    let least = others.iter().min_by_key(|answer| answer.smallest_pages);
    let least = least.filter(|least| least.smallest_pages < usual.smallest_pages);
    if let Some(least) = least.filter(|_| fitting.is_empty()) {
        helps.push(format!("{} under {}", size(least.smallest_pages), named(least)));
    }
    // A placement does not change how much is held at once.
    let floor = usual.peak_pages.next_multiple_of(usual.step_pages);
    let reached = least.unwrap_or(usual).smallest_pages;
    if reached > floor && !answers.iter().any(relocates) {
        helps.push(format!(
            "buffers that can be moved to make room, down to {} (`debris size --placement relocate` tries it)",
            size(floor)
        ));
    }
    if busy > 0 {
        helps.push(format!("fewer pinned pages: {} busy when this was recorded", were(busy, "range")));
    }
    helps
}

/// Returns a sentence for a terminal if there are remedies, or if requests failed when this was
/// recorded.
pub fn sentence(answers: &[Answer], busy: u64) -> Option<String> {
    let usual = answers.first()?;
    let helps = helps(None, answers, busy);
    if !helps.is_empty() {
        return Some(format!("What else helps: {}.", helps.join("; ")));
    }
    (usual.failed_recorded > 0).then(|| {
        let held = size(usual.peak_pages);
        match usual.partial {
            // What is not recorded may be in the way.
            true => format!(
                "What else helps: fewer or smaller buffers (of those recorded, {held} are held at once), and fewer pinned \
                 pages where requests failed with -16: `debris explain` says which did."
            ),
            false => format!("Nothing else helps but fewer or smaller buffers: {held} are held at once."),
        }
    })
}

fn relocates(answer: &Answer) -> bool {
    placements::parse(&answer.rule.placement).is_ok_and(|placement| placement.relocates())
}

fn named(answer: &Answer) -> String {
    match answer.rule.alignment {
        Alignment::Asis => answer.rule.placement.clone(),
        alignment => format!("{} with align={}", answer.rule.placement, alignment.name()),
    }
}

fn were(count: u64, noun: &'static str) -> String {
    format!("{} {}", Counted(count, noun), if count == 1 { "was" } else { "were" })
}

#[cfg(test)]
mod tests {
    use kernel::lab::replay::WhenServed;

    use super::*;
    use crate::size::{PAGEBLOCK_PAGES, Rule};

    fn answer(placement: &str, alignment: Alignment, mib: u32) -> Answer {
        Answer {
            rule: Rule { placement: placement.into(), alignment },
            requests: 9,
            failed_recorded: 0,
            peak_pages: 3000,
            step_pages: PAGEBLOCK_PAGES,
            smallest_pages: mib * 256,
            largest_failing_pages: None,
            tried_to_pages: 1 << 18,
            partial: false,
            lost: 0,
            unmatched: 0,
            busy: 0,
            held_before: 0,
            least_pages: 0,
            served: WhenServed::Release,
            otherwise_pages: None,
        }
    }

    #[test]
    fn every_cause_has_what_helps() {
        let usual = answer("first-fit", Alignment::Asis, 20);
        let page = answer("best-fit", Alignment::Page, 16);
        let moved = answer("relocate", Alignment::Asis, 12);
        assert_eq!(
            helps(Some(2048), &[usual.clone(), page.clone()], 1),
            [
                "an area of 20M (5120 pages)",
                "16M (4096 pages) under best-fit with align=page",
                "buffers that can be moved to make room, down to 12M (3072 pages) (`debris size --placement relocate` tries it)",
                "fewer pinned pages: 1 range was busy when this was recorded",
            ]
        );
        let here = helps(Some(4096), &[usual.clone(), page.clone(), moved.clone()], 0);
        assert_eq!(here, ["an area of 20M (5120 pages)", "in this size: best-fit with align=page, relocate"]);
        assert_eq!(
            sentence(&[usual, page, moved.clone()], 0).as_deref(),
            Some("What else helps: 12M (3072 pages) under relocate.")
        );
        let partial = Answer { failed_recorded: 2, partial: true, ..answer("first-fit", Alignment::Asis, 12) };
        let said = sentence(&[partial], 0).expect("requests failed");
        assert!(said.starts_with("What else helps: fewer or smaller buffers") && said.contains("with -16"), "{said}");
        // Without fragmentation there is nothing to gain.
        assert_eq!(sentence(&[answer("first-fit", Alignment::Asis, 12), moved.clone()], 0), None);
        let failed = Answer { failed_recorded: 2, ..answer("first-fit", Alignment::Asis, 12) };
        assert_eq!(
            sentence(&[failed, moved], 0).as_deref(),
            Some("Nothing else helps but fewer or smaller buffers: 12000K (3000 pages) are held at once.")
        );
    }
}
