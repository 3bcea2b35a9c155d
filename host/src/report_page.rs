// SPDX-License-Identifier: MIT OR Apache-2.0

//! `debris report --html`: the runs as a page, with a verdict, and a table for each group of rows
//! that differ only in their placement, with a box plot for each row.
//!
//! Invariants: all text of a record goes through [`escaped`]; a page has at most [`SHOWN_ROWS`]
//! rows and [`SHOWN_VALUES`] of their values, so that it stays below 1 MB.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use host::page::escaped;
use kernel::lab::metrics::Counted;
use serde_json::{Value, json};

use crate::Failure;
use crate::html::Parts;
use crate::runs::{Paired, Row, Runs, quantile};

/// Maximum of rows of a page.
const SHOWN_ROWS: usize = 500;
/// Maximum of values that a page's script draws from, and of those of a row.
const SHOWN_VALUES: usize = 40_000;
const VALUES_OF_ROW: usize = 201;
/// Maximum of groups that have their own sentence.
const SAID_GROUPS: usize = 8;
/// Maximum of placements that a verdict names.
const MOST_NAMED: usize = 4;
/// The placement that others are compared with, if it is there.
const FIRST_FIT: &str = host::size::FIRST_FIT;
/// Probability from which on a difference is reported as possible chance.
const CHANCE_PERMILLE: u32 = 50;
/// Width of a box plot.
const PLOT: u64 = 300;

/// The contents of a page about runs.
pub(crate) struct ReportPage<'a> {
    /// The files of the runs.
    pub(crate) files: &'a [PathBuf],
    /// The runs.
    pub(crate) rows: &'a BTreeMap<Row, Runs>,
    /// Earlier runs.
    pub(crate) baseline: Option<&'a BTreeMap<Row, Runs>>,
    /// Percent by which a median may be lower than the baseline's.
    pub(crate) fail_on: Option<u32>,
}

/// Rows that differ only in their placement.
type Group<'a> = Vec<(&'a Row, &'a Runs)>;

impl ReportPage<'_> {
    /// Writes the page to `file`.
    pub(crate) fn write(&self, file: &Path) -> Result<(), Failure> {
        let names: Vec<_> =
            self.files.iter().map(|file| file.file_name().unwrap_or_default().to_string_lossy()).collect();
        let title = match &names[..] {
            [one] => one.to_string(),
            [first, more @ ..] => format!("{first} and {}", Counted(more.len() as u64, "more file")),
            [] => String::new(),
        };
        let groups = self.groups();
        Parts { title: &title, body: &self.body(&title, &groups), data: &self.data(&groups), recording: None }
            .write(file)
    }

    /// Returns the groups that are shown.
    fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: BTreeMap<&str, Group<'_>> = BTreeMap::new();
        for (row, runs) in self.rows.iter().take(SHOWN_ROWS) {
            groups.entry(&row.group).or_default().push((row, runs));
        }
        groups.into_values().collect()
    }

    fn before(&self, row: &Row) -> Option<&Runs> {
        self.baseline?.get(row)
    }

    /// Returns a row's median relative to the baseline's, in permille.
    fn change_permille(&self, row: &Row, runs: &Runs) -> Option<u64> {
        let before = self.before(row)?.median();
        (before > 0).then(|| runs.median().saturating_mul(1000) / before)
    }

    /// Returns the headline: a class, and the verdict.
    fn verdict(&self, groups: &[Group<'_>]) -> (&'static str, String) {
        let compared = self.rows.iter().filter_map(|(row, runs)| self.change_permille(row, runs));
        if self.baseline.is_some() {
            let least = 1000 - u64::from(10 * self.fail_on.unwrap_or(0).min(100));
            let (mut rows, mut worse) = (0, 0);
            for change in compared {
                rows += 1;
                worse += u64::from(change < least);
            }
            let by = self.fail_on.map_or(String::new(), |percent| format!(" by more than {percent}%"));
            return match (rows, worse) {
                (0, _) => ("bad", "No row of the baseline is here".into()),
                (_, 0) => ("good", format!("None of {} is worse than before{by}", Counted(rows, "row"))),
                _ => ("bad", format!("{worse} of {} are worse than before{by}", Counted(rows, "row"))),
            };
        }
        let runs: u64 = self.rows.values().map(|runs| runs.allocs.len() as u64).sum();
        let failed: u64 = self.rows.values().map(|runs| runs.failed).sum();
        // Number of groups that each placement leads, among those with several rows.
        let contests: Vec<&Group<'_>> = groups.iter().filter(|group| group.len() > 1).collect();
        let mut leads: BTreeMap<&str, usize> = BTreeMap::new();
        for leader in contests.iter().flat_map(|group| leaders(group)) {
            *leads.entry(leader).or_default() += 1;
        }
        let most = leads.values().copied().max().unwrap_or(0);
        let first: Vec<&str> = leads.iter().filter(|&(_, &groups)| groups == most).map(|(&name, _)| name).collect();
        let of = if contests.len() > 1 { format!(" in {most} of {} groups", contests.len()) } else { String::new() };
        match first[..] {
            [] if failed == 0 => ("good", format!("No request fails in {}", Counted(runs, "run"))),
            [] => ("bad", format!("Requests fail in {failed} of {}", Counted(runs, "run"))),
            [one] => ("good", format!("{one} lasts longest{of}")),
            ref several if several.len() > MOST_NAMED => ("good", format!("Most placements last equally long{of}")),
            ref several => ("good", format!("{} last longest{of}", listed(several))),
        }
    }

    /// Returns the part of the page that works without scripts.
    fn body(&self, title: &str, groups: &[Group<'_>]) -> String {
        let (class, verdict) = self.verdict(groups);
        let mut html = format!(
            "<header><p class=\"file\">{}</p>\n<h1 class=\"{class}\">{}</h1>\n<div class=\"says\" id=\"says\">",
            escaped(title),
            escaped(&verdict)
        );
        for group in groups.iter().take(SAID_GROUPS) {
            // Writing to a String cannot fail.
            let _ = write!(html, "<p>{}</p>", escaped(&said(group)));
        }
        if let Some(more @ 1..) = groups.len().checked_sub(SAID_GROUPS) {
            let _ = write!(html, "<p>{} below.</p>", Counted(more as u64, "more group"));
        }
        html.push_str(
            "</div><p class=\"note\">Counted are the allocations that succeed in a run, which without until=ops ends with \
             its first failure. Better and worse are seeds; p is how likely so uneven a difference is if neither placement \
             is better.</p></header>\n",
        );
        for group in groups {
            html.push_str(&self.table(group));
        }
        if let Some(more @ 1..) = self.rows.len().checked_sub(SHOWN_ROWS) {
            let _ = writeln!(
                html,
                "<p class=\"note\">{} are not shown; `debris report` without --html prints all.</p>",
                Counted(more as u64, "more row")
            );
        }
        html
    }

    /// Returns the table of a group's rows.
    fn table(&self, group: &Group<'_>) -> String {
        let Some((first, _)) = group.first() else { return String::new() };
        let before = group.iter().any(|(row, _)| self.before(row).is_some());
        let mut html = format!(
            "<section class=\"runs\"><h2>{}</h2><div class=\"wide\"><table><thead><tr><th scope=\"col\">placement</th>",
            escaped(&first.group)
        );
        let mut heads = vec!["runs", "failed", "least", "q1", "median", "q3", "most"];
        heads.extend(before.then_some(["before", "change"]).into_iter().flatten());
        heads.push("pages used");
        for head in heads {
            let _ = write!(html, "<th scope=\"col\">{head}</th>");
        }
        html.push_str("<th scope=\"col\" class=\"plot\">allocations</th></tr></thead><tbody>");
        let all = || group.iter().flat_map(|&(row, runs)| [Some(runs), self.before(row)]).flatten();
        let most = all().filter_map(|runs| runs.allocs.last()).copied().max().unwrap_or(0).max(1);
        let least = all().filter_map(|runs| runs.allocs.first()).copied().min().unwrap_or(0);
        let scale = (if least > most / 2 { least } else { 0 }, most);
        for &(row, runs) in group {
            let _ = write!(
                html,
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td>",
                escaped(&row.placement),
                runs.allocs.len(),
                runs.failed
            );
            for part in 0..=4 {
                let _ = write!(html, "<td>{}</td>", quantile(&runs.allocs, part, 4));
            }
            let earlier = self.before(row);
            if before {
                let change = self.change_permille(row, runs).map_or("–".into(), |permille| {
                    format!(
                        "{}{}.{}%",
                        if permille < 1000 { "−" } else { "+" },
                        permille.abs_diff(1000) / 10,
                        permille.abs_diff(1000) % 10
                    )
                });
                let earlier = earlier.map_or("–".into(), |runs| runs.median().to_string());
                let _ = write!(html, "<td>{earlier}</td><td>{change}</td>");
            }
            let _ = write!(
                html,
                "<td>{}</td><td class=\"plot\">{}</td></tr>",
                quantile(&runs.used, 2, 4),
                plot(runs, earlier, scale)
            );
        }
        let _ = writeln!(
            html,
            "</tbody></table></div><p class=\"note\">The picture goes from {} to {}: a line from least to most, a box from \
             q1 to q3, a stroke at the median{}.</p></section>",
            scale.0,
            scale.1,
            if before { "; dotted, the median before" } else { "" }
        );
        html
    }

    /// Returns the input of the page's script: of each row's sorted values, an even selection.
    fn data(&self, groups: &[Group<'_>]) -> Value {
        let rows: usize = groups.iter().map(Vec::len).sum();
        let values = (SHOWN_VALUES / (2 * rows).max(1)).clamp(5, VALUES_OF_ROW);
        let thinned = |runs: &Runs| -> Vec<u64> {
            let values = values.min(runs.allocs.len());
            (0..values).map(|value| quantile(&runs.allocs, value, (values - 1).max(1))).collect()
        };
        let row = |&(row, runs): &(&Row, &Runs)| {
            json!({
                "placement": row.placement,
                "allocs": thinned(runs),
                "before": self.before(row).map(thinned),
            })
        };
        let group = |group: &Group<'_>| json!({ "name": group.first().map(|(row, _)| &row.group), "rows": group.iter().map(row).collect::<Vec<_>>() });
        json!({ "kind": "report", "groups": groups.iter().map(group).collect::<Vec<_>>() })
    }
}

/// Returns the rank of a row: its median, then how few of its runs fail.
fn standing(runs: &Runs) -> (u64, Reverse<u64>) {
    (runs.median(), Reverse(runs.failed))
}

/// Returns the placements that do best in a group.
fn leaders<'a>(group: &Group<'a>) -> Vec<&'a str> {
    let best = group.iter().map(|(_, runs)| standing(runs)).max();
    group.iter().filter(|(_, runs)| Some(standing(runs)) == best).map(|(row, _)| &*row.placement).collect()
}

/// Describes a group in a sentence: the leading placement, compared with another.
fn said(group: &Group<'_>) -> String {
    // Linux's own rule wins a tie.
    let order = |(row, runs): &&(&Row, &Runs)| (standing(runs), row.placement == FIRST_FIT);
    let Some(&(best, runs)) = group.iter().max_by_key(order) else { return String::new() };
    let lasts = format!(
        "{}: {} allocations in the median under {}, and a request fails in {} of {}",
        best.group,
        runs.median(),
        best.placement,
        runs.failed,
        Counted(runs.allocs.len() as u64, "run")
    );
    let others = || group.iter().filter(|(row, _)| *row != best);
    let usual = others().find(|(row, _)| row.placement == FIRST_FIT).or_else(|| others().max_by_key(order));
    let Some((other, others)) = usual else { return format!("{lasts}.") };
    let paired = Paired::of(runs, others);
    let Paired { better, worse, equal } = paired;
    let (median, p) = (others.median(), paired.p_permille());
    let seeds = match p {
        _ if better + worse == 0 => format!("{} equal", Counted(equal.into(), "seed")),
        CHANCE_PERMILLE.. => format!(
            "{better} seeds better, {worse} worse, {equal} equal (p = {}.{}%, which may be chance)",
            p / 10,
            p % 10
        ),
        _ => format!("{better} seeds better, {worse} worse, {equal} equal (p = {}.{}%)", p / 10, p % 10),
    };
    format!("{lasts}; {median} under {}: {seeds}.", other.placement)
}

fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).into(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Draws a box plot on a scale from `first` to `last`.
fn plot(runs: &Runs, before: Option<&Runs>, (first, last): (u64, u64)) -> String {
    let x = |value: u64| (value - first).saturating_mul(PLOT) / (last - first).max(1) + 2;
    let [least, q1, median, q3, largest] = [0, 1, 2, 3, 4].map(|part| x(quantile(&runs.allocs, part, 4)));
    let mut svg = format!(
        "<svg viewBox=\"0 0 {} 16\" width=\"{}\" height=\"16\" aria-hidden=\"true\" xmlns=\"http://www.w3.org/2000/svg\">\
         <path d=\"M{least} 8H{largest}M{least} 5v6M{largest} 5v6\" stroke=\"#888\"/>\
         <rect x=\"{q1}\" y=\"3\" width=\"{}\" height=\"10\" fill=\"#56b4e9\" stroke=\"#0072b2\"/>\
         <path d=\"M{median} 1v14\" stroke=\"#d55e00\" stroke-width=\"2\"/>",
        PLOT + 4,
        PLOT + 4,
        (q3 - q1).max(1)
    );
    if let Some(before) = before {
        let _ = write!(
            svg,
            "<path d=\"M{} 0v16\" stroke=\"#888\" stroke-width=\"2\" stroke-dasharray=\"2 2\"/>",
            x(before.median())
        );
    }
    svg + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::rows_of;
    use crate::runs::tests::written;

    fn body(runs: &[(&str, &[u64])], before: &[(&str, &[u64])]) -> String {
        let directory = tempfile::TempDir::new().unwrap();
        let files = |runs: &[(&str, &[u64])], end: &str| -> Vec<PathBuf> {
            runs.iter()
                .map(|(placement, allocs)| {
                    written(directory.path(), &format!("{}.{end}", allocs[0]), placement, allocs)
                })
                .collect()
        };
        let runs = files(runs, "jsonl");
        let rows = rows_of(&runs).ok().unwrap();
        let baseline = (!before.is_empty()).then(|| rows_of(&files(before, "old")).ok().unwrap());
        let page = ReportPage { files: &runs, rows: &rows, baseline: baseline.as_ref(), fail_on: Some(5) };
        page.body("runs", &page.groups())
    }

    #[test]
    fn the_verdict_is_who_lasts_longest() {
        let one = body(&[("first-fit", &[1, 2, 3]), ("best-fit", &[11, 12, 13])], &[]);
        assert!(one.contains("<h1 class=\"good\">best-fit lasts longest</h1>"), "{one}");
        let sentence = "debris area=8M: 12 allocations in the median under best-fit, and a request fails in 3 of 3 runs; 2 under \
                        first-fit: 3 seeds better, 0 worse, 0 equal (p = 25.0%, which may be chance).";
        assert!(one.contains(sentence), "{one}");
        assert!(one.contains("<td>11</td><td>11</td><td>12</td><td>12</td><td>13</td>"), "{one}");
        let alike = body(&[("first-fit", &[5, 6, 7]), ("best-fit", &[4, 6, 8])], &[]);
        assert!(alike.contains("best-fit and first-fit last longest"), "{alike}");
    }

    #[test]
    fn against_a_baseline_it_is_what_fell() {
        let fell = body(&[("a", &[189]), ("b", &[190])], &[("a", &[200]), ("b", &[201])]);
        assert!(fell.contains("<h1 class=\"bad\">2 of 2 rows are worse than before by more than 5%</h1>"), "{fell}");
        assert!(fell.contains("<td>200</td><td>−5.5%</td>"), "{fell}");
        let held = body(&[("a", &[190]), ("b", &[400])], &[("a", &[200]), ("b", &[201])]);
        assert!(held.contains("<h1 class=\"good\">None of 2 rows is worse than before by more than 5%</h1>"), "{held}");
        assert!(held.contains("<td>201</td><td>+99.0%</td>"), "{held}");
    }

    #[test]
    fn what_a_record_says_is_text() {
        let html = body(&[("</script><img/src=x>", &[1])], &[]);
        assert!(html.contains("&lt;/script&gt;&lt;img/src=x&gt;") && !html.contains("<img"), "{html}");
    }
}
